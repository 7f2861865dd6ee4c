//! What everybody who works on a map shares, and how items are run.

use super::pace::{Pace, QUOTA};
use super::segment::{Deposit, Segment, Slot};
use super::work::Work;
use crate::job::Job;
use crate::panics;
use crate::scope::Door;
use crate::sync::Arc;
use std::marker::PhantomData;
use std::mem;
use std::time::Instant;

pub(super) struct Core<'scope, T, W: Work<T>> {
    pub(super) work: W,
    pub(super) pace: Pace,
    pub(super) door: Door<'scope>,
    item: PhantomData<fn(T)>,
}

impl<'scope, T, W> Core<'scope, T, W>
where
    T: Send + 'scope,
    W: Work<T> + 'scope,
    W::Out: 'scope,
{
    pub(super) fn new(work: W, pace: Pace, door: Door<'scope>) -> Arc<Self> {
        Arc::new(Core { work, pace, door, item: PhantomData })
    }

    /// Queues a job that runs items of the segment.
    pub(super) fn push(self: &Arc<Self>, segment: &Arc<Segment<T, W::Out>>) {
        let (core, segment) = (self.clone(), segment.clone());
        self.door.push(Job::plain(move || _ = core.run(&segment, true)));
    }

    /// Runs unclaimed items of a segment until there is none or the quota is used up; returns how many. `arrival` tells that
    /// the caller took the segment's job from the queue.
    pub(super) fn run(self: &Arc<Self>, segment: &Arc<Segment<T, W::Out>>, mut arrival: bool) -> usize {
        let (mut items, mut deposit) = (Vec::new(), Deposit::new());
        let mut state = None;
        let mut over = false;
        let began = Instant::now();
        let (mut run, mut look, mut panicked) = (0, self.pace.look(), false);
        loop {
            let stop = over || self.door.group().is_cancelled();
            let turn =
                segment.turn(&mut deposit, &mut items, arrival, |left| if stop { 0 } else { self.pace.claim(left) });
            arrival = false;
            if turn.push {
                self.push(segment);
            }
            if turn.nudge {
                self.door.group().nudge();
            }
            // What nobody collects any more.
            panics::drop_each(deposit.slots.drain(..));
            if items.is_empty() {
                break;
            }
            run += items.len();
            panicked |= self.run_claimed(&mut state, &mut items, &mut deposit.slots);
            if run >= look {
                let time = began.elapsed();
                look = run + self.pace.look();
                over = time >= QUOTA;
                if run == 1 {
                    self.pace.record(1, time);
                }
            }
        }
        if run > 1 {
            self.pace.record(run, began.elapsed());
        }
        if let (Some(state), false) = (state, panicked) {
            self.work.keep(state);
        }
        run
    }

    /// Runs the claimed items and writes one slot for each. A panic ends it: what follows would not be delivered. Returns
    /// whether there was one.
    fn run_claimed(&self, state: &mut Option<W::State>, items: &mut Vec<T>, slots: &mut Vec<Slot<T, W::Out>>) -> bool {
        let claimed = items.len();
        slots.reserve(claimed);
        // A merged result stands in the first place of its claim.
        let mut merged = None;
        let mut queue = items.drain(..);
        let result = panics::catch(|| {
            let state = state.get_or_insert_with(|| self.work.state());
            for item in queue.by_ref() {
                let out = self.work.run(state, item);
                if W::MERGES {
                    merged = Some(match merged.take() {
                        Some(before) => self.work.merge(before, out),
                        None => out,
                    });
                    slots.push(Slot::Merged);
                } else {
                    slots.push(Slot::Done(out));
                }
            }
        });
        if let (Some(merged), Some(first)) = (merged, slots.first_mut()) {
            *first = Slot::Done(merged);
        }
        let Err(payload) = result else { return false };
        slots.push(Slot::Panicked(payload));
        panics::drop_each(queue);
        slots.resize_with(claimed, || Slot::Merged);
        // A state that a panic has passed may be half-changed.
        panics::drop_each(mem::take(state));
        true
    }
}
