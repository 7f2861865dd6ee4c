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
use crate::resilience::{Retry, Sleeper, Waiter, Within};
use crate::sync::atomic::Ordering;
use crate::sync::{broken, now};
use std::collections::VecDeque;
use std::time::Instant;

/// What a thread knows of an item when it is through with it.
pub(super) struct Ended<R, E> {
    /// The outcome, unless the item was put off or somebody else has it.
    pub(super) done: Option<Done<R, E>>,
    /// Its key may be given on.
    pub(super) free: bool,
}

pub(super) type GuardOf<'a, T, W> = Guard<'a, T, <W as Work<T>>::Error>;
type EndedOf<T, W> = Ended<<W as Work<T>>::Out, <W as Work<T>>::Error>;
type PastOf<T, W> = Past<<W as Work<T>>::Error>;

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
    pub(super) lane: usize,
    worker: u32,
    pub(super) state: &'t mut Option<S>,
    pub(super) tab: Tab,
    /// When the attempt began, or where that is not looked at, the turn.
    pub(super) at: Instant,
    /// The same, in nanoseconds since the service's start.
    pub(super) nanos: u64,
    /// First attempts that the budget for retries was not told of yet.
    pub(super) firsts: usize,
}

impl<S> Turn<'_, S> {
    /// Pays for retries what is due.
    pub(super) fn deposit<E>(&mut self, retry: Option<&Retry<E>>) {
        let firsts = std::mem::take(&mut self.firsts);
        if let Some(retry) = retry {
            retry.deposit(firsts);
        }
    }
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
        let at = if guard.clock().is_system() { began } else { guard.clock().now() };
        let mut turn = Turn { lane, worker, state, tab: Tab::new(), at, nanos: guard.time(at), firsts: 0 };
        let (mut done, mut key) = (None, None);
        let mut seen = 0;
        while let Some(entry) = slot.next(done.take(), key.take(), self.halted.load(Ordering::Relaxed)) {
            let mark = entry.mark;
            let ended = match guard.remembers_nothing() {
                true => self.quick_attempt(guard, &mut turn, entry),
                false => self.attempt(guard, &mut turn, entry),
            };
            key = (self.settings.keyed && ended.free).then_some(mark);
            done = ended.done;
            seen += 1;
        }
        if let Some(breaking) = &guard.policies.breaker {
            breaking.settle(&mut turn.tab);
        }
        turn.deposit(guard.policies.retry.as_ref());
        *last = now();
        let time = *last - began;
        self.pace.record(seen, time);
        slot.finish(finished);
        let each = time.as_nanos() as u64 / seen.max(1) as u64;
        finished.done.iter_mut().for_each(|done| done.ran = each);
    }

    /// Sees to one item.
    pub(super) fn attempt(
        &self,
        guard: &GuardOf<'a, T, W>,
        turn: &mut Turn<'_, W::State>,
        entry: Entry<T>,
    ) -> EndedOf<T, W> {
        if guard.timed {
            turn.at = guard.clock().now();
            turn.nanos = guard.time(turn.at);
        }
        let began = turn.at;
        let (head, item) = entry.split();
        if guard.hedging.as_ref().is_some_and(|hedging| hedging.is_copy(head.seq)) {
            return self.second_attempt(guard, turn, &head, item, began);
        }
        let mut past = guard.recall(head.seq);
        match guard.gate(&item, head.sent, &mut past, began) {
            Gate::Open(pass) => self.handle(guard, turn, &head, item, past, pass, began),
            Gate::Later(hold) => self.postpone(guard, turn, &head, item, past, hold),
            Gate::Shut(error) => self.fail(guard, turn, &head, past, error, Some(item)),
        }
    }

    /// Calls the handler, and decides what follows.
    #[expect(clippy::too_many_arguments, reason = "what an attempt is made of")]
    fn handle(
        &self,
        guard: &GuardOf<'a, T, W>,
        turn: &mut Turn<'_, W::State>,
        head: &Entry<()>,
        item: T,
        mut past: PastOf<T, W>,
        pass: Option<Pass>,
        began: Instant,
    ) -> EndedOf<T, W> {
        let policies = &guard.policies;
        // One by one: where the second copy panics, the first must not be dropped by that panic's unwinding.
        let copied = policies.copy.map(|copy| panics::catch(|| copy(&item))).transpose();
        let second = guard.hedging.as_ref().zip(policies.copy).filter(|_| copied.is_ok());
        let second =
            second.map(|(hedging, copy)| panics::catch(|| copy(&item)).map(|copy| (hedging, copy))).transpose();
        let (copy, second) = match (copied, second) {
            (Ok(copy), Ok(second)) => (copy, second),
            (copied, second) => {
                let (copy, payload) = match (copied, second) {
                    (Err(payload), _) => (None, payload),
                    (Ok(copy), Err(payload)) => (copy, payload),
                    (Ok(_), Ok(_)) => unreachable!("seen above"),
                };
                panics::drop_each(copy);
                if let Some((breaking, pass)) = policies.breaker.as_ref().zip(pass) {
                    breaking.give_back(&pass);
                }
                return self.fail(guard, turn, head, past, panicked(payload), Some(item));
            }
        };
        past.begin(began);
        match &policies.retry {
            Some(retry) if past.attempts == 1 => {
                turn.firsts += 1;
                turn.deposit(Some(retry));
            }
            Some(_) => self.landing.note(|counts| counts.retried += 1),
            None => {}
        }
        if let Some((hedging, second)) = second {
            if let Some(at) = hedging.begin(head.with(second), past.attempts, began) {
                self.call_at(guard, at);
            }
        }
        match self.call(guard, turn, head, item, pass, began) {
            Ok(result) => {
                panics::drop_each(copy);
                let attempts = past.attempts;
                past.drop_quietly();
                self.win(guard, turn, head, attempts, result)
            }
            Err(error) if guard.hedging.is_some() => self.lose(guard, turn, head, Some(past), Some(error), copy),
            Err(error) => self.decide(guard, turn, head, past, error, copy),
        }
    }

    /// Calls the handler, and tells the breaker how it went.
    pub(super) fn call(
        &self,
        guard: &GuardOf<'a, T, W>,
        turn: &mut Turn<'_, W::State>,
        head: &Entry<()>,
        item: T,
        pass: Option<Pass>,
        began: Instant,
    ) -> Result<W::Out, TaskError<W::Error>> {
        let limit = guard.limit(head.sent, began);
        let answer = {
            let _within = limit.map(|at| Within::new(Some((at, guard.clock().clone()))));
            self.run_item(turn.lane, turn.state, item)
        };
        self.tell(guard, turn, pass, answer.as_ref().err());
        answer
    }

    /// Tells the breaker, if there is one, how an attempt has ended.
    pub(super) fn tell(
        &self,
        guard: &GuardOf<'a, T, W>,
        turn: &mut Turn<'_, W::State>,
        pass: Option<Pass>,
        error: Option<&TaskError<W::Error>>,
    ) {
        let Some((breaking, pass)) = guard.policies.breaker.as_ref().zip(pass) else { return };
        let (counts, contained) = error.map_or((false, false), |error| guard.counts(error));
        self.note_contained(contained);
        match counts {
            true => breaking.failed(&mut turn.tab, &pass),
            false => breaking.succeeded(&mut turn.tab, pass, guard.clock()),
        }
    }

    /// An item has failed, as far as its attempts go that have been made.
    pub(super) fn decide(
        &self,
        guard: &GuardOf<'a, T, W>,
        turn: &Turn<'_, W::State>,
        head: &Entry<()>,
        mut past: PastOf<T, W>,
        error: TaskError<W::Error>,
        item: Option<T>,
    ) -> EndedOf<T, W> {
        let Some(item) = item else { return self.fail(guard, turn, head, past, error, None) };
        match guard.after(head.seq, head.sent, &mut past, error) {
            After::Again(hold) => self.postpone(guard, turn, head, item, past, hold),
            After::Ends(error, contained) => {
                self.note_contained(contained);
                self.fail(guard, turn, head, past, error, Some(item))
            }
        }
    }

    pub(super) fn postpone(
        &self,
        guard: &GuardOf<'a, T, W>,
        turn: &Turn<'_, W::State>,
        head: &Entry<()>,
        item: T,
        past: PastOf<T, W>,
        hold: Hold,
    ) -> EndedOf<T, W> {
        match self.put_off(guard, turn.lane, head.with(item), past, hold) {
            None => Ended { done: None, free: false },
            Some((item, past)) => self.fail(guard, turn, head, past, TaskError::Cancelled, Some(item)),
        }
    }

    /// The end of an item without a result.
    pub(super) fn fail(
        &self,
        guard: &GuardOf<'a, T, W>,
        turn: &Turn<'_, W::State>,
        head: &Entry<()>,
        past: PastOf<T, W>,
        error: TaskError<W::Error>,
        item: Option<T>,
    ) -> EndedOf<T, W> {
        let attempts = past.attempts;
        let error = self.bury(guard, item, past, error);
        self.ended(turn, head, attempts, Err(error))
    }

    /// What an item's outcome is.
    #[inline(always)]
    pub(super) fn ended(
        &self,
        turn: &Turn<'_, W::State>,
        head: &Entry<()>,
        attempts: u32,
        result: Result<W::Out, TaskError<W::Error>>,
    ) -> EndedOf<T, W> {
        self.unload(turn.lane, head.mark);
        let queued = turn.nanos.saturating_sub(head.sent);
        let done = Done { seq: head.seq, queued, ran: 0, worker: turn.worker, attempts, result };
        Ended { done: Some(done), free: true }
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
                    let put = |copy| held.waiting.put_back(copy);
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

    /// An item is given up: there may be somebody who wants it.
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
                    (self.bury(guard, Some(item), past, error), attempts)
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
