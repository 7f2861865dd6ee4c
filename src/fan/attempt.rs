//! Attempts at items of a service that has policies.

use super::breaking::{Pass, Tab};
use super::core::{Core, SlotOf, panicked};
use super::guard::{After, Gate, Guard, Hold, Past};
use super::landing::Done;
use super::queue::Entry;
use super::slot::Finished;
use super::work::Work;
use crate::error::TaskError;
use crate::panics;
use crate::resilience::{Retry, Within};
use crate::sync::now;
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
        while let Some(entry) = slot.next(done.take(), key.take(), self.is_interrupted(lane)) {
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
        let (copy, second) = match guard.copies(&item) {
            Ok(copies) => copies,
            Err(payload) => {
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
        if let Some((hedging, second)) = guard.hedging.as_ref().zip(second) {
            if let Some(at) = hedging.begin(head.with(second), past.attempts, began) {
                self.call_at(guard, at);
            }
        }
        match self.call(guard, turn, head, item, pass, began, past.attempts) {
            Ok(result) => {
                panics::drop_each(copy);
                let attempts = past.attempts;
                guard.forget(head.seq, past);
                self.win(guard, turn, head, attempts, result)
            }
            Err(error) if guard.hedging.is_some() => self.lose(guard, turn, head, Some(past), Some(error), copy),
            Err(error) => self.decide(guard, turn, head, past, error, copy),
        }
    }

    /// Calls the handler, and tells the breaker how it went.
    #[expect(clippy::too_many_arguments, reason = "what an attempt is made of")]
    pub(super) fn call(
        &self,
        guard: &GuardOf<'a, T, W>,
        turn: &mut Turn<'_, W::State>,
        head: &Entry<()>,
        item: T,
        pass: Option<Pass>,
        began: Instant,
        attempt: u32,
    ) -> Result<W::Out, TaskError<W::Error>> {
        let limit = guard.limit(head.sent, began);
        let answer = {
            let _within = limit.map(|at| Within::new(Some((at, guard.clock().clone()))));
            self.run_item(turn.lane, turn.state, item, &head.trace, head.seq, attempt)
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
            After::Again(hold) => {
                head.trace.retried(&self.settings.name, head.seq, past.attempts, past.delay);
                self.postpone(guard, turn, head, item, past, hold)
            }
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
        let error = self.bury(guard, head.seq, item, past, error);
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

    /// An item is given up: there may be somebody who wants it.
    pub(super) fn bury(
        &self,
        guard: &GuardOf<'a, T, W>,
        seq: u64,
        item: Option<T>,
        past: PastOf<T, W>,
        error: TaskError<W::Error>,
    ) -> TaskError<W::Error> {
        let (error, contained) = guard.bury(seq, item, past, error);
        self.note_contained(contained);
        error
    }
}
