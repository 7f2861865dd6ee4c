//! Second attempts at items whose first takes long.
//!
//! While the handler has an item, a *flight* tells of it: how many threads run it or will, and what they have found. Everything about a
//! flight changes under one lock, so that of two answers exactly one is the first, and of two ends exactly one is the last.
//!
//! * A first attempt begins a flight, with a copy of the item, and notes when a second one is due. The clock is set by whoever notes the first
//!   time; else it is, or will be, set for an earlier one, and is set anew when that has come.
//! * When the clock rings, copies that are due go back into the queue, under the queue's lock and only if the service was not
//!   stopped. From then on two run the item. Whoever takes an item out of the queue for which there is a flight has the copy: the item itself
//!   is in the hand of a thread for as long as nobody has ended, and in none afterwards.
//! * The first success is the outcome. A failure waits for the other attempt; the last failure decides, for both, whether the item is tried
//!   again or has failed.
//! * Whoever ends last ends the flight, and only then gives the key on. So items of a key are never handled at once; and since a first answer
//!   lands before its attempt ends where there is another, outcomes of a key land in its order.
//! * A copy that is taken back, by a stop or because nobody admits it, ends like an attempt that has failed without an answer.

use super::attempt::{Ended, GuardOf, Turn};
use super::core::Core;
use super::guard::Past;
use super::landing::Done;
use super::queue::Entry;
use super::work::Work;
use crate::error::TaskError;
use crate::panics;
use crate::sync::{Keys, Mutex, broken};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

pub(super) struct Hedging<T, E> {
    after: Duration,
    flights: Mutex<Flights<T, E>>,
}

struct Flights<T, E> {
    aloft: HashMap<u64, Flight<T, E>, Keys>,
    /// When second attempts are due: in order, since all have the same delay.
    due: VecDeque<(Instant, u64)>,
}

struct Flight<T, E> {
    /// For the second attempt, until it is due.
    copy: Option<Entry<T>>,
    /// When that is; the list may hold times of the item's attempts before.
    at: Option<Instant>,
    /// Which attempt of the item it is.
    attempts: u32,
    /// Those who run it, and the copy in the queue.
    runners: usize,
    answered: bool,
    /// What the one that ended first has left for the other, with what was known of the item before.
    left: Option<(Option<Past<E>>, TaskError<E>)>,
}

/// What a success means.
pub(super) struct Won {
    /// It is the outcome.
    pub(super) first: bool,
    /// Somebody else runs the item, so it is to be landed before this attempt ends: else the other may give the key on, and an
    /// outcome of the next item may land before.
    pub(super) lands: bool,
    /// Nobody runs the item any more.
    pub(super) last: bool,
    pub(super) attempts: u32,
}

/// What a failure means.
pub(super) enum Lost<E> {
    /// There is an answer already. Whether nobody runs the item any more.
    Late(bool),
    /// The other attempt decides.
    Waits,
    /// It was the last.
    Decides(Past<E>, TaskError<E>),
}

/// Whether a second attempt will be made at that time, and not another attempt has taken its place, or an answer.
fn is_awaited<T, E>(aloft: &HashMap<u64, Flight<T, E>, Keys>, (at, seq): &(Instant, u64)) -> bool {
    aloft.get(seq).is_some_and(|flight| flight.at == Some(*at) && flight.copy.is_some())
}

impl<T, E> Hedging<T, E> {
    pub(super) fn new(after: Duration) -> Hedging<T, E> {
        Hedging { after, flights: Mutex::new(Flights { aloft: HashMap::default(), due: VecDeque::new() }) }
    }

    /// A first attempt begins. Returns for when the clock is to be set, if it is.
    pub(super) fn begin(&self, copy: Entry<T>, attempts: u32, now: Instant) -> Option<Instant> {
        let at = now.checked_add(self.after);
        let mut flights = self.flights.lock();
        let flights = &mut *flights;
        while flights.due.front().is_some_and(|noted| !is_awaited(&flights.aloft, noted)) {
            flights.due.pop_front();
        }
        // One that stays aloft for long keeps the times of those behind it.
        if flights.due.len() > 2 * flights.aloft.len() + 64 {
            flights.due.retain(|noted| is_awaited(&flights.aloft, noted));
        }
        let first = flights.due.is_empty();
        let seq = copy.seq;
        // Threads look at the clock before they come here.
        let at = at.map(|at| flights.due.back().map_or(at, |(last, _)| at.max(*last)));
        flights.aloft.insert(seq, Flight { copy: Some(copy), at, attempts, runners: 1, answered: false, left: None });
        flights.due.extend(at.map(|at| (at, seq)));
        at.filter(|_| first)
    }

    /// Whether what was taken from the queue is a copy.
    pub(super) fn is_copy(&self, seq: u64) -> bool {
        self.flights.lock().aloft.contains_key(&seq)
    }

    /// Which attempt is aloft, unless there is an answer already, so that the copy need not be handled.
    fn unanswered(&self, seq: u64) -> Option<u32> {
        self.flights.lock().aloft.get(&seq).filter(|flight| !flight.answered).map(|flight| flight.attempts)
    }

    /// Hands out the copies that are due, but of items from `stopped` on none. Returns how many.
    pub(super) fn overdue(&self, now: Instant, stopped: Option<u64>, mut put: impl FnMut(Entry<T>)) -> usize {
        let mut flights = self.flights.lock();
        let flights = &mut *flights;
        let mut count = 0;
        while let Some(noted) = flights.due.front().copied().filter(|(at, _)| *at <= now) {
            flights.due.pop_front();
            let seq = noted.1;
            if !is_awaited(&flights.aloft, &noted) || stopped.is_some_and(|first| seq >= first) {
                continue;
            }
            let Some(flight) = flights.aloft.get_mut(&seq) else { continue };
            let Some(copy) = flight.copy.take() else { continue };
            flight.runners += 1;
            count += 1;
            put(copy);
        }
        count
    }

    /// When the next may be due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.flights.lock().due.front().map(|(at, _)| *at)
    }

    /// One has succeeded.
    pub(super) fn succeed(&self, seq: u64) -> (Won, Rest<T, E>) {
        let mut flights = self.flights.lock();
        let Some(flight) = flights.aloft.get_mut(&seq) else { unreachable!("its last runner ends a flight") };
        let first = !std::mem::replace(&mut flight.answered, true) || broken!("two_answers_of_a_hedge");
        let lands = first && flight.runners > 1 && !broken!("hedge_lands_late");
        flight.runners -= usize::from(!lands);
        let won = Won { first, lands, last: flight.runners == 0, attempts: flight.attempts };
        let rest = Rest(flight.copy.take(), flight.left.take());
        if won.last {
            flights.aloft.remove(&seq);
        }
        (won, rest)
    }

    /// The first answer has landed. Whether nobody runs the item any more.
    fn land(&self, seq: u64) -> bool {
        let mut flights = self.flights.lock();
        let Some(flight) = flights.aloft.get_mut(&seq) else { unreachable!("its last runner ends a flight") };
        flight.runners -= 1;
        let last = flight.runners == 0;
        if last {
            // Whoever was first has taken what there was to drop.
            flights.aloft.remove(&seq);
        }
        last
    }

    /// One has failed, or with no error, has given up; `past` is known to the first attempt.
    pub(super) fn fail(&self, seq: u64, past: Option<Past<E>>, error: Option<TaskError<E>>) -> (Lost<E>, Rest<T, E>) {
        let mut flights = self.flights.lock();
        let Some(flight) = flights.aloft.get_mut(&seq) else { unreachable!("its last runner ends a flight") };
        flight.runners -= 1;
        if flight.runners > 0 && !broken!("first_failure_decides") {
            if flight.answered {
                return (Lost::Late(false), Rest(None, error.map(|error| (past, error))));
            }
            flight.left = error.map(|error| (past, error));
            return (Lost::Waits, Rest::none());
        }
        let Some(Flight { copy, answered, left, .. }) = flights.aloft.remove(&seq) else {
            unreachable!("it was found")
        };
        // An error that is one too many is dropped below.
        drop(flights);
        if answered {
            return (Lost::Late(true), Rest(copy, error.map(|error| (past, error))));
        }
        let (other, before) = left.map_or((None, None), |(past, error)| (past, Some(error)));
        let mut past = past.or(other).unwrap_or_else(Past::none);
        let decisive = match (before, error) {
            (Some(before), Some(error)) => {
                past.failed(before);
                error
            }
            // One gave up; the first attempt does not.
            (before, error) => before.or(error).unwrap_or(TaskError::Cancelled),
        };
        (Lost::Decides(past, decisive), Rest(copy, None))
    }
}

/// Values of the user's, which are dropped with no lock held.
pub(super) struct Rest<T, E>(Option<Entry<T>>, Option<(Option<Past<E>>, TaskError<E>)>);

impl<T, E> Rest<T, E> {
    fn none() -> Rest<T, E> {
        Rest(None, None)
    }

    pub(super) fn drop_quietly(self) {
        panics::drop_each(self.0);
        if let Some((past, error)) = self.1 {
            panics::drop_each([error]);
            past.into_iter().for_each(Past::drop_quietly);
        }
    }
}

impl<T, E> Drop for Hedging<T, E> {
    fn drop(&mut self) {
        let aloft = std::mem::take(&mut self.flights.lock().aloft);
        aloft.into_values().for_each(|flight| Rest(flight.copy, flight.left).drop_quietly());
    }
}

impl<'a, T: Send + 'a, W: Work<T> + 'a> Core<'a, T, W> {
    /// Sees to the copy of an item that is in the hand of somebody else.
    pub(super) fn second_attempt(
        &self,
        guard: &GuardOf<'a, T, W>,
        turn: &mut Turn<'_, W::State>,
        head: &Entry<()>,
        item: T,
        began: Instant,
    ) -> Ended<W::Out, W::Error> {
        let Some(attempt) = guard.hedging.as_ref().and_then(|hedging| hedging.unanswered(head.seq)) else {
            return self.lose(guard, turn, head, None, None, Some(item));
        };
        let Some(pass) = guard.admits_now(&item, head.sent, began) else {
            return self.lose(guard, turn, head, None, None, Some(item));
        };
        let copy = match guard.policies.copy.map(|copy| panics::catch(|| copy(&item))) {
            Some(Ok(copy)) => Some(copy),
            failed => {
                if let Some((breaking, pass)) = guard.policies.breaker.as_ref().zip(pass) {
                    breaking.give_back(&pass);
                }
                if let Some(Err(payload)) = failed {
                    panics::discard(payload);
                }
                return self.lose(guard, turn, head, None, None, Some(item));
            }
        };
        self.landing.note(|counts| counts.hedged += 1);
        match self.call(guard, turn, head, item, pass, began, attempt) {
            Ok(result) => {
                panics::drop_each(copy);
                self.win(guard, turn, head, 1, result)
            }
            Err(error) => self.lose(guard, turn, head, None, Some(error), copy),
        }
    }

    /// An attempt has succeeded.
    pub(super) fn win(
        &self,
        guard: &GuardOf<'a, T, W>,
        turn: &Turn<'_, W::State>,
        head: &Entry<()>,
        attempts: u32,
        result: W::Out,
    ) -> Ended<W::Out, W::Error> {
        let Some(hedging) = &guard.hedging else { return self.ended(turn, head, attempts, Ok(result)) };
        let (Won { first, lands, last, attempts }, rest) = hedging.succeed(head.seq);
        rest.drop_quietly();
        if first {
            let Ended { done, .. } = self.ended(turn, head, attempts, Ok(result));
            if !lands {
                return Ended { done, free: last };
            }
            let ran = guard.time(guard.clock().now()).saturating_sub(turn.nanos);
            self.land(&mut done.into_iter().map(|done| Done { ran, ..done }).collect());
            return Ended { done: None, free: hedging.land(head.seq) };
        }
        panics::drop_each([result]);
        self.landing.note(|counts| counts.late += 1);
        Ended { done: None, free: last }
    }

    /// An attempt of a hedged item has failed, or was not made.
    pub(super) fn lose(
        &self,
        guard: &GuardOf<'a, T, W>,
        turn: &Turn<'_, W::State>,
        head: &Entry<()>,
        past: Option<Past<W::Error>>,
        error: Option<TaskError<W::Error>>,
        item: Option<T>,
    ) -> Ended<W::Out, W::Error> {
        let Some(hedging) = &guard.hedging else { unreachable!("hedged") };
        let made = error.is_some();
        let (lost, rest) = hedging.fail(head.seq, past, error);
        rest.drop_quietly();
        match lost {
            Lost::Decides(past, error) => self.decide(guard, turn, head, past, error, item),
            Lost::Waits => {
                panics::drop_each(item);
                Ended { done: None, free: false }
            }
            Lost::Late(last) => {
                panics::drop_each(item);
                if made {
                    self.landing.note(|counts| counts.late += 1);
                }
                Ended { done: None, free: last }
            }
        }
    }
}

#[cfg(all(test, not(fanpool_loom)))]
mod tests;
