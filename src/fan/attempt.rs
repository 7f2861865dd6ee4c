//! Attempts at items of a service that has policies.
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

use super::breaking::{Pass, Tab};
use super::core::{Core, SlotOf, panicked};
use super::guard::{After, Gate, Guard, Hold, Past};
use super::landing::{Done, NO_WORKER};
use super::queue::Entry;
use super::slot::Finished;
use super::summon::Summons;
use super::work::Work;
use crate::error::TaskError;
use crate::panics;
use crate::resilience::{Sleeper, Waiter, Within};
use crate::sync::atomic::Ordering;
use crate::sync::{broken, now};
use std::collections::VecDeque;
use std::time::Instant;

/// What is to become of an item.
enum Fate<T, R, E> {
    /// It ends so. The item is there unless the handler has it and nobody else wants it.
    Ends(Result<R, TaskError<E>>, Option<T>),
    /// It is not to be started before that time.
    Later(T, Hold),
}

type FateOf<T, W> = Fate<T, <W as Work<T>>::Out, <W as Work<T>>::Error>;
type GuardOf<'a, T, W> = Guard<'a, T, <W as Work<T>>::Error>;
type PastOf<T, W> = Past<<W as Work<T>>::Error>;
type DoneOf<T, W> = Done<<W as Work<T>>::Out, <W as Work<T>>::Error>;

/// Which of the items that were put off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaken {
    /// Those whose time has come.
    Due,
    /// Those that are held for a breaker.
    Held,
    All,
}

/// What a thread needs for a turn.
pub(super) struct Turn<'t, S> {
    lane: usize,
    worker: u32,
    state: &'t mut Option<S>,
    tab: Tab,
    /// When it began.
    began: Instant,
}

impl<'a, T: Send + 'a, W: Work<T> + 'a> Core<'a, T, W> {
    /// Sees to what is in the hand, item by item, for a service with policies.
    #[expect(clippy::too_many_arguments, reason = "what a turn is made of")]
    pub(super) fn run_guarded(
        &self,
        guard: &GuardOf<'a, T, W>,
        lane: usize,
        slot: &SlotOf<T, W>,
        state: &mut Option<W::State>,
        finished: &mut Finished<W::Out, W::Error>,
        worker: u32,
        last: &mut Instant,
    ) {
        let began = *last;
        let mut turn = Turn { lane, worker, state, tab: Tab::new(), began: guard.clock().now() };
        let mut done = None;
        let mut seen = 0;
        while let Some(entry) = slot.next(done.take(), self.halted.load(Ordering::Relaxed)) {
            let key = self.settings.keyed.then_some(entry.mark);
            done = self.attempt(guard, &mut turn, entry).map(|done| (done, key));
            seen += 1;
        }
        if let Some(breaking) = &guard.policies.breaker {
            breaking.settle(&mut turn.tab);
        }
        *last = now();
        let time = *last - began;
        self.pace.record(seen, time);
        slot.finish(finished);
        let each = time.as_nanos() as u64 / seen.max(1) as u64;
        finished.done.iter_mut().for_each(|done| done.ran = each);
    }

    /// Sees to one item; `None` if it was put off.
    fn attempt(
        &self,
        guard: &GuardOf<'a, T, W>,
        turn: &mut Turn<'_, W::State>,
        entry: Entry<T>,
    ) -> Option<DoneOf<T, W>> {
        let began = if guard.timed { guard.clock().now() } else { turn.began };
        let (head, item) = entry.split();
        let mut past = guard.recall(head.seq);
        let fate = match guard.gate(&item, head.sent, &mut past, began) {
            Gate::Open(pass) => self.handle(guard, turn, &head, item, &mut past, pass, began),
            Gate::Later(hold) => Fate::Later(item, hold),
            Gate::Shut(error) => Fate::Ends(Err(error), Some(item)),
        };
        let (result, item, past) = match fate {
            Fate::Ends(result, item) => (result, item, past),
            Fate::Later(item, hold) => match self.put_off(guard, turn.lane, head.with(item), past, hold) {
                None => return None,
                Some((item, past)) => (Err(TaskError::Cancelled), Some(item), past),
            },
        };
        self.unload(turn.lane, head.mark);
        let attempts = past.attempts;
        let result = match result {
            Ok(result) => {
                panics::drop_each(item);
                Ok(result)
            }
            Err(error) => Err(self.bury(guard, item, past, error)),
        };
        let queued = guard.time(began).saturating_sub(head.sent);
        Some(Done { seq: head.seq, queued, ran: 0, worker: turn.worker, attempts, result })
    }

    /// Calls the handler, and decides what follows.
    #[expect(clippy::too_many_arguments, reason = "what an attempt is made of")]
    fn handle(
        &self,
        guard: &GuardOf<'a, T, W>,
        turn: &mut Turn<'_, W::State>,
        head: &Entry<()>,
        item: T,
        past: &mut PastOf<T, W>,
        pass: Option<Pass>,
        began: Instant,
    ) -> FateOf<T, W> {
        let policies = &guard.policies;
        let admitted = policies.breaker.as_ref().zip(pass);
        let copy = match policies.copy.map(|copy| panics::catch(|| copy(&item))) {
            None => None,
            Some(Ok(copy)) => Some(copy),
            Some(Err(payload)) => {
                if let Some((breaking, pass)) = admitted {
                    breaking.give_back(&pass);
                }
                return Fate::Ends(Err(panicked(payload)), Some(item));
            }
        };
        past.begin(began);
        match &policies.retry {
            Some(retry) if past.attempts == 1 => retry.deposit(1),
            Some(_) => self.landing.note(|counts| counts.retried += 1),
            None => {}
        }
        let limit = guard.limit(head.sent, began);
        let answer = panics::catch(|| {
            let _within = limit.map(|at| Within::new(Some((at, guard.clock().clone()))));
            let state = turn.state.get_or_insert_with(|| self.kept_state(turn.lane));
            self.work.run(state, item)
        });
        let error = match answer {
            Ok(Ok(result)) => {
                if let Some((breaking, pass)) = admitted {
                    breaking.succeeded(&mut turn.tab, pass, guard.clock());
                }
                return Fate::Ends(Ok(result), copy);
            }
            Ok(Err(error)) => error,
            Err(payload) => {
                // A state that a panic has passed may be half-changed.
                panics::drop_each(turn.state.take());
                panicked(payload)
            }
        };
        if let Some((breaking, pass)) = admitted {
            let (counts, contained) = guard.counts(&error);
            self.note_contained(contained);
            match counts {
                true => breaking.failed(&mut turn.tab, &pass),
                false => breaking.succeeded(&mut turn.tab, pass, guard.clock()),
            }
        }
        let Some(copy) = copy else { return Fate::Ends(Err(error), None) };
        match guard.after(head.seq, head.sent, past, error) {
            After::Again(hold) => Fate::Later(copy, hold),
            After::Ends(error, contained) => {
                self.note_contained(contained);
                Fate::Ends(Err(error), Some(copy))
            }
        }
    }

    fn note_contained(&self, contained: bool) {
        if contained {
            self.landing.note(|counts| counts.contained += 1);
        }
    }

    /// Puts an item back for later. It comes back itself if the service was stopped, and nothing is to be started any more.
    fn put_off(
        &self,
        guard: &GuardOf<'a, T, W>,
        lane: usize,
        entry: Entry<T>,
        past: PastOf<T, W>,
        Hold { until, breaker }: Hold,
    ) -> Option<(T, PastOf<T, W>)> {
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

    /// Has the clock call when the time has come.
    fn call_at(&self, guard: &GuardOf<'a, T, W>, at: Instant) {
        let Some(clock) = &self.clock else { return };
        match guard.clock().call_at(at, &clock.sleeper) {
            Some(true) => {}
            Some(false) => _ = self.wake(guard, Awaken::Due),
            None if clock.timer.set(at, &clock.alarm) => {}
            // There is nobody to wait any more: what was put off is tried at once.
            None => _ = self.wake(guard, Awaken::All),
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
                if woken > 0 && self.may_take(&mut held, &mut intake, lane) {
                    self.summon(&mut intake, lane, false)
                } else {
                    Summons::None
                }
            };
            self.follow(lane, summons);
        }
        next
    }

    /// The end of an item without a result.
    pub(super) fn bury(
        &self,
        guard: &GuardOf<'a, T, W>,
        item: Option<T>,
        past: PastOf<T, W>,
        error: TaskError<W::Error>,
    ) -> TaskError<W::Error> {
        let (error, contained) = guard.bury(item, past, error);
        self.note_contained(contained);
        error
    }

    /// Lands as cancelled what was taken out of a lane.
    pub(super) fn land_cancelled(&self, lane: usize, entries: Vec<Entry<T>>) {
        let mut batch = VecDeque::with_capacity(entries.len());
        for entry in entries {
            self.unload(lane, entry.mark);
            let (head, item) = entry.split();
            let queued = self.time().saturating_sub(head.sent);
            let (error, attempts) = match &self.guard {
                Some(guard) => {
                    let past = guard.recall(head.seq);
                    let attempts = past.attempts;
                    (self.bury(guard, Some(item), past, TaskError::Cancelled), attempts)
                }
                // A value whose `Drop` panics has failed in that way.
                None => match panics::drop_quietly(item) {
                    Ok(()) => (TaskError::Cancelled, 0),
                    Err(payload) => (panicked(payload), 0),
                },
            };
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
