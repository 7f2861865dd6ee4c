//! How items are run, by workers and by the calling thread alike.

use super::board::{Batch, Board, Bring, Done, End};
use super::pace::{Pace, QUOTA};
use super::work::Work;
use crate::cancel::CancelToken;
use crate::job::Job;
use crate::panics;
use crate::scope::Door;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

pub(super) struct Core<'scope, T, W: Work<T>> {
    pub(super) work: W,
    pub(super) pace: Pace,
    pub(super) door: Door<'scope>,
    pub(super) board: Board<T, W::Out>,
    /// Nobody wants what has not been started.
    halted: AtomicBool,
    cancel: Option<CancelToken>,
}

impl<'scope, T, W> Core<'scope, T, W>
where
    T: Send + 'scope,
    W: Work<T> + 'scope,
    W::Out: 'scope,
{
    pub(super) fn new(work: W, pace: Pace, door: Door<'scope>) -> Arc<Self> {
        let cancel = door.group().options().cancel.clone();
        Arc::new(Core { work, pace, door, board: Board::new(), halted: AtomicBool::new(false), cancel })
    }

    /// Queues a job that runs items.
    pub(super) fn push(self: &Arc<Self>) {
        let core = self.clone();
        self.door.push(Job::plain(move || _ = core.run(true)));
    }

    /// Runs batches until none waits or the quota is used up; returns how many. `arrival` tells that the caller took a
    /// job from the queue; if not, one batch is enough.
    pub(super) fn run(self: &Arc<Self>, arrival: bool) -> usize {
        let mut bring = Bring { done: None, rest: None, arrival };
        let mut state = None;
        let began = arrival.then(Instant::now);
        let mut batches = 0;
        loop {
            let over = began.map_or(batches > 0, |began| batches > 0 && began.elapsed() >= QUOTA);
            let leaving = over || self.door.group().is_cancelled();
            let turn = self.board.turn(bring, leaving, || self.pace.batch());
            if turn.push {
                self.push();
            }
            if turn.nudge {
                self.door.group().nudge();
            }
            if let Some(refused) = turn.refused {
                panics::drop_each(refused.done.into_iter().flat_map(|done| done.results));
                panics::drop_each(refused.rest.into_iter().flat_map(|rest| rest.items));
            }
            let Some(batch) = turn.batch else { break };
            batches += 1;
            let (done, rest) = self.run_batch(&mut state, batch);
            bring = Bring { done: Some(done), rest, arrival: false };
        }
        if let Some(state) = state {
            self.work.keep(state);
        }
        batches
    }

    /// Runs a batch, or the first part of it if that takes too long.
    fn run_batch(&self, state: &mut Option<W::State>, batch: Batch<T>) -> (Done<W::Out>, Option<Batch<T>>) {
        let Batch { at, mut items } = batch;
        let mut results = Vec::with_capacity(if W::MERGES { 1 } else { items.len() });
        let (mut ran, mut end, mut late) = (0, End::Whole, false);
        let began = Instant::now();
        let mut last = began;
        let caught = panics::catch(|| {
            let state = state.get_or_insert_with(|| self.work.state());
            let (mut looked, mut look) = (0, 1);
            while let Some(item) = items.next() {
                let out = self.work.run(state, item);
                self.put(&mut results, out);
                ran += 1;
                let mut halted = self.is_halted();
                if ran == look {
                    let now = Instant::now();
                    halted |= self.door.group().is_cancelled();
                    late = self.pace.is_late(ran - looked, now - last, items.len());
                    last = now;
                    looked = ran;
                    look += (3 * ran).min(self.pace.look());
                }
                if halted && items.len() > 0 {
                    end = End::Unrun;
                }
                if halted || late {
                    break;
                }
            }
        });
        self.pace.record(ran, if ran == 1 { last - began } else { began.elapsed() });
        if let Err(payload) = caught {
            end = End::Panicked(payload);
            // A state that a panic has passed may be half-changed.
            panics::drop_each(state.take());
        }
        let rest = match end {
            End::Whole if items.len() > 0 => Some(Batch { at: at + ran, items }),
            End::Whole => None,
            _ => {
                let unrun = items.len() + usize::from(matches!(end, End::Panicked(_)));
                panics::drop_each(items);
                return (Done { at, count: ran + unrun, results, end }, None);
            }
        };
        (Done { at, count: ran, results, end }, rest)
    }

    #[inline]
    fn put(&self, results: &mut Vec<W::Out>, out: W::Out) {
        let out = match if W::MERGES { results.pop() } else { None } {
            Some(before) => self.work.merge(before, out),
            None => out,
        };
        results.push(out);
    }

    /// Whether what has not been started had better not be. A deadline is not looked at here, which would cost a look at the
    /// clock.
    fn is_halted(&self) -> bool {
        self.halted.load(Ordering::Relaxed) || self.cancel.as_ref().is_some_and(CancelToken::was_called)
    }
}

impl<T, W: Work<T>> Core<'_, T, W> {
    pub(super) fn halt(&self) {
        self.halted.store(true, Ordering::Relaxed);
    }
}
