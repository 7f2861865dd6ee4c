//! How items are run, by workers and by the calling thread alike.

use super::board::{Board, Bring, Done, End, Running, Turn};
use super::pace::{LOOKING, PART, Pace, QUOTA, TAKING};
use super::work::Work;
use crate::cancel::CancelToken;
use crate::job::Job;
use crate::panics;
use crate::scope::Door;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, now};
use crate::trace::Carried;
use std::collections::VecDeque;

pub(super) struct Core<'scope, T, W: Work<T>> {
    pub(super) work: W,
    pub(super) pace: Pace,
    pub(super) door: Door<'scope>,
    pub(super) board: Board<T, W::Out>,
    /// Nobody wants what has not been started.
    halted: AtomicBool,
    pub(super) cancel: Option<CancelToken>,
    limited: bool,
    /// From where the map was begun.
    trace: Carried,
}

/// Whose limit and token a map obeys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rules {
    /// Those of its group, which was made for it.
    Own,
    /// Nobody's: its group is that of a scope, and rules of that hold for the workers that help, not for the calling thread.
    None,
}

impl<'scope, T, W> Core<'scope, T, W>
where
    T: Send + 'scope,
    W: Work<T> + 'scope,
    W::Out: 'scope,
{
    pub(super) fn new(work: W, pace: Pace, door: Door<'scope>, rules: Rules) -> Arc<Self> {
        let own = rules == Rules::Own;
        let cancel = door.group().options().cancel.clone().filter(|_| own);
        let limited = own && door.group().is_limited();
        let (halted, trace) = (AtomicBool::new(false), Carried::capture(door.group().options().name.as_ref()));
        Arc::new(Core { work, pace, door, board: Board::new(), halted, cancel, limited, trace })
    }

    /// Queues a job that runs items.
    pub(super) fn push(self: &Arc<Self>) {
        let core = self.clone();
        self.door.push(Job::plain(move || _ = core.run(true)));
    }

    /// Runs batches until no item waits or the quota is used up; returns how many. `arrival` tells that the caller took a
    /// job from the queue; if not, one batch is enough.
    pub(super) fn run(self: &Arc<Self>, arrival: bool) -> usize {
        let mut bring = Bring { done: None, ran: None, arrival };
        let (mut state, mut chunk) = (None, VecDeque::new());
        let began = arrival.then(now);
        let mut batches = 0;
        loop {
            let over = began.map_or(batches > 0, |began| batches > 0 && (now() - began) >= QUOTA);
            let leaving = over || self.is_cancelled();
            let turn = self.board.turn(bring, leaving, || self.pace.batch());
            let batch = turn.batch.clone();
            self.follow(turn);
            let Some(batch) = batch else { break };
            batches += 1;
            let mut done = self.run_part(&mut state, &batch, &mut chunk, arrival);
            while batch.left() > 0 {
                // What is done need not wait for the rest.
                self.follow(self.board.turn(Bring { done, ran: None, arrival: false }, true, || 0));
                done = self.run_part(&mut state, &batch, &mut chunk, arrival);
            }
            bring = Bring { done, ran: Some(batch), arrival: false };
        }
        if let Some(state) = state {
            self.work.keep(state);
        }
        batches
    }

    /// Does what a turn asks for.
    fn follow(self: &Arc<Self>, turn: Turn<T, W::Out>) {
        if turn.push {
            self.push();
        }
        if turn.nudge {
            self.door.group().nudge();
        }
        if let Some(done) = turn.refused {
            done.discard();
        }
    }

    /// Runs what waits in a batch, for a bounded time unless an item takes longer; `None` if nothing waited.
    fn run_part(
        &self,
        state: &mut Option<W::State>,
        batch: &Running<T>,
        chunk: &mut VecDeque<T>,
        arrival: bool,
    ) -> Option<Done<W::Out>> {
        let at = batch.take(self.pace.chunk(), chunk);
        if chunk.is_empty() {
            return None;
        }
        let mut results = Vec::with_capacity(if W::MERGES { 1 } else { chunk.len() + batch.left() });
        let (mut ran, mut halted) = (0, false);
        // The thread that began the map is in its own span, if it has not come with a job.
        let entered = arrival.then(|| self.trace.map_batch());
        let began = now();
        let (mut last, mut looked, mut looks, mut takes) = (began, 0, 1, 1);
        let caught = panics::catch(|| {
            let state = state.get_or_insert_with(|| self.work.state());
            let mut look = 1;
            while let Some(item) = chunk.pop_front() {
                let out = self.work.run(state, item);
                self.put(&mut results, out);
                ran += 1;
                halted = self.is_halted();
                if ran >= look {
                    last = now();
                    looked = ran;
                    looks += 1;
                    if self.pace.is_unknown() {
                        self.pace.record(ran, last - began);
                    }
                    look = ran + (3 * ran).min(self.pace.look());
                    halted |= self.is_cancelled();
                }
                if halted {
                    break;
                }
                if chunk.is_empty() {
                    if last - began >= PART {
                        break;
                    }
                    batch.take(self.pace.chunk(), chunk);
                    takes += u32::from(!chunk.is_empty());
                }
            }
        });
        let end = if looked == ran { last } else { now() };
        self.pace.record(ran, (end - began).saturating_sub(looks * LOOKING + takes * TAKING));
        if let Some(entered) = entered {
            if let Err(payload) = &caught {
                entered.panicked(payload);
            }
            entered.leave();
        }
        let end = match caught {
            Ok(()) if !halted => return Some(Done { at, count: ran, ran, results, end: End::Whole }),
            Ok(()) => End::Unrun,
            Err(payload) => {
                // A state that a panic has passed may be half-changed.
                panics::drop_each(state.take());
                End::Panicked(payload)
            }
        };
        let rest = batch.take_all();
        let count = rest.at + rest.items.len() - at;
        panics::drop_each(chunk.drain(..).chain(rest.items));
        let end = if matches!(end, End::Unrun) && count == ran { End::Whole } else { end };
        Some(Done { at, count, ran, results, end })
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
    #[inline]
    pub(super) fn is_halted(&self) -> bool {
        self.halted.load(Ordering::Relaxed) || self.cancel.as_ref().is_some_and(CancelToken::was_called)
    }
}

impl<T, W: Work<T>> Core<'_, T, W> {
    pub(super) fn is_limited(&self) -> bool {
        self.limited
    }

    pub(super) fn may_be_cancelled(&self) -> bool {
        self.cancel.is_some()
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancel.as_ref().is_some_and(CancelToken::is_cancelled)
    }

    pub(super) fn halt(&self) {
        self.halted.store(true, Ordering::Relaxed);
    }
}
