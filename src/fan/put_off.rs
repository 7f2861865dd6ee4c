//! Items that are not to be started yet: how they are put off, and who makes them ready.
//!
//! **Putting off.** Whoever has an item in hand that is not to be started yet remembers what it knows of it, then puts it back under the
//! queue's lock with the time when it is due, and then has the clock call at that time. No credit is given back and no key
//! given on: the item still counts in the window, and is still the first of its key. When the clock calls, whoever calls takes the queue's
//! lock, makes those ready whose time has come, sees when the next is due, and summons somebody. So an item is either found by that look, or was
//! put back after it, and then the clock is told of it afterwards.
//!
//! **For a breaker.** An item that an open breaker keeps waiting is put off until the breaker would let somebody try, and is marked as held. A
//! breaker that has room earlier, mostly because a probe has closed it, calls, and whoever calls makes all that are held ready. Whoever
//! has put one off looks at the breaker once more. The call comes after the breaker's change, and the look after the putting off; so the
//! call finds the item, or the look finds the change.
//!
//! **Against stopping.** `stop` closes the intake and then takes everything out of each queue under its lock. Whoever puts an item off looks
//! under the queue's lock whether that has happened: it has put the item there before, and `stop` finds it, or it sees the intake
//! closed and ends the item itself. Items are not left to wait for a time that nobody waits for.

use super::attempt::GuardOf;
use super::core::{Core, panicked};
use super::guard::{Hold, Past};
use super::landing::{Done, NO_WORKER};
use super::queue::Entry;
use super::summon::Summons;
use super::work::Work;
use crate::error::TaskError;
use crate::panics;
use crate::resilience::{Sleeper, Waiter};
use crate::sync::broken;
use std::collections::VecDeque;
use std::time::Instant;

/// Which of the items that were put off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaken {
    /// Those whose time has come.
    Due,
    /// Those that are held for a breaker.
    Held,
    All,
}

impl<'a, T: Send + 'a, W: Work<T> + 'a> Core<'a, T, W> {
    /// Puts an item back for later. It comes back itself if the service was stopped, and nothing is to be started any more.
    pub(super) fn put_off(
        &self,
        guard: &GuardOf<'a, T, W>,
        lane: usize,
        entry: Entry<T>,
        past: Past<W::Error>,
        Hold { until, breaker }: Hold,
    ) -> Option<(T, Past<W::Error>)> {
        let seq = entry.seq;
        guard.remember(seq, past);
        {
            let mut held = self.lanes[lane].queue.lock();
            let stopped = self.intake.lock().stopped.is_some_and(|first| seq >= first);
            if stopped && !broken!("put_off_after_the_stop") {
                drop(held);
                return Some((entry.item, guard.recall(seq)));
            }
            held.waiting.put_off(entry, until, breaker.is_some());
        }
        if breaker.is_some_and(|breaker| breaker.has_room()) && !broken!("held_without_a_look") {
            self.wake(guard, Awaken::Held);
        }
        self.call_at(guard, until);
        None
    }

    /// Has the clock call when the time has come. If that is so already, what comes after it may rely on this call.
    pub(super) fn call_at(&self, guard: &GuardOf<'a, T, W>, at: Instant) {
        let Some(clock) = &self.clock else { return };
        let mut next = Some(at);
        while let Some(at) = next.take() {
            match guard.clock().call_at(at, &clock.sleeper) {
                Some(true) => {}
                Some(false) => next = self.wake(guard, Awaken::Due),
                None if clock.timer.set(at, &clock.alarm) => {}
                // There is nobody to wait any more: what was put off is tried at once.
                None => _ = self.wake(guard, Awaken::All),
            }
        }
    }

    /// Makes items ready that were put off; returns when the next is due.
    pub(super) fn wake(&self, guard: &GuardOf<'a, T, W>, which: Awaken) -> Option<Instant> {
        let mut next = None;
        for lane in 0..self.lanes.len() {
            let summons = {
                let mut held = self.lanes[lane].queue.lock();
                let woken = match which {
                    Awaken::Due => held.waiting.wake(guard.clock().now()),
                    Awaken::Held => held.waiting.wake_all(true),
                    Awaken::All => held.waiting.wake_all(false),
                };
                next = next.into_iter().chain(held.waiting.wakes_at()).min();
                let mut intake = self.intake.lock();
                let second = guard.hedging.as_ref().map_or(0, |hedging| {
                    let stopped = intake.stopped.filter(|_| !broken!("hedged_after_the_stop"));
                    let put = |copy| held.waiting.put_first(copy);
                    let count = hedging.overdue(guard.clock().now(), stopped, put);
                    next = next.into_iter().chain(hedging.next()).min();
                    count
                });
                if woken + second > 0 && self.may_take(&mut held, &mut intake, lane) {
                    self.summon(&mut intake, lane, false)
                } else {
                    Summons::None
                }
            };
            self.follow(lane, summons);
        }
        next
    }

    /// Lands as cancelled what was taken out of a lane.
    pub(super) fn land_cancelled(&self, lane: usize, entries: Vec<Entry<T>>) {
        let mut batch = VecDeque::with_capacity(entries.len());
        for entry in entries {
            let (head, item) = entry.split();
            let queued = self.time().saturating_sub(head.sent);
            let (error, attempts) = match &self.guard {
                Some(guard) => {
                    let Some((past, error)) = guard.cancel(head.seq) else {
                        // The copy of an item that somebody runs.
                        panics::drop_each([item]);
                        continue;
                    };
                    let attempts = past.attempts;
                    (self.bury(guard, head.seq, Some(item), past, error), attempts)
                }
                // A value whose `Drop` panics has failed in that way.
                None => match panics::drop_quietly(item) {
                    Ok(()) => (TaskError::Cancelled, 0),
                    Err(payload) => (panicked(payload), 0),
                },
            };
            self.unload(lane, head.mark);
            batch.push_back(Done { seq: head.seq, queued, ran: 0, worker: NO_WORKER, attempts, result: Err(error) });
        }
        self.land(&mut batch);
    }
}
impl<T: Send + 'static, W: Work<T> + 'static> Sleeper for Core<'static, T, W> {
    fn wake(&self) -> Option<Instant> {
        self.guard.as_ref().and_then(|guard| self.wake(guard, Awaken::Due))
    }
}

impl<T: Send + 'static, W: Work<T> + 'static> Waiter for Core<'static, T, W> {
    fn admits_again(&self) {
        if let Some(guard) = &self.guard {
            self.wake(guard, Awaken::Held);
        }
    }
}
