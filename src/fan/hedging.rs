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

impl<T, E> Hedging<T, E> {
    pub(super) fn new(after: Duration) -> Hedging<T, E> {
        Hedging { after, flights: Mutex::new(Flights { aloft: HashMap::default(), due: VecDeque::new() }) }
    }

    /// A first attempt begins. Returns for when the clock is to be set, if it is.
    pub(super) fn begin(&self, copy: Entry<T>, attempts: u32, now: Instant) -> Option<Instant> {
        let at = now.checked_add(self.after);
        let mut flights = self.flights.lock();
        let flights = &mut *flights;
        while flights.due.front().is_some_and(|(_, seq)| !flights.aloft.contains_key(seq)) {
            flights.due.pop_front();
        }
        // One that stays aloft for long keeps the times of those behind it.
        if flights.due.len() > 2 * flights.aloft.len() + 64 {
            flights.due.retain(|(_, seq)| flights.aloft.contains_key(seq));
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

    /// Whether there is an answer already, so that the copy need not be handled.
    fn is_answered(&self, seq: u64) -> bool {
        self.flights.lock().aloft.get(&seq).is_some_and(|flight| flight.answered)
    }

    /// Hands out the copies that are due, but of items from `stopped` on none. Returns how many.
    pub(super) fn overdue(&self, now: Instant, stopped: Option<u64>, mut put: impl FnMut(Entry<T>)) -> usize {
        let mut flights = self.flights.lock();
        let flights = &mut *flights;
        let mut count = 0;
        while flights.due.front().is_some_and(|(at, _)| *at <= now) {
            let Some((at, seq)) = flights.due.pop_front() else { break };
            let Some(flight) = flights.aloft.get_mut(&seq) else { continue };
            if flight.at != Some(at) || flight.answered || stopped.is_some_and(|first| seq >= first) {
                continue;
            }
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
        let lands = first && flight.runners > 1;
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
        match (before, error) {
            (Some(before), Some(error)) => {
                past.failed(before);
                (Lost::Decides(past, error), Rest(copy, None))
            }
            (Some(error), None) | (None, Some(error)) => (Lost::Decides(past, error), Rest(copy, None)),
            // Both gave up, which the first does not.
            (None, None) => (Lost::Decides(past, TaskError::Cancelled), Rest(copy, None)),
        }
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
        if guard.hedging.as_ref().is_some_and(|hedging| hedging.is_answered(head.seq)) {
            return self.lose(guard, turn, head, None, None, Some(item));
        }
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
        match self.call(guard, turn, head, item, pass, began) {
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
mod tests {
    use super::*;
    use crate::fan::FanOut;
    use crate::fan::service::Service;
    use crate::testing::ManualClock;

    /// The first is due before the clock could be set for it, and another was noted meanwhile, which relies on that.
    #[test]
    fn what_is_noted_while_the_clock_is_being_set_is_not_forgotten() {
        let (second, clock) = (Duration::from_secs(1), ManualClock::new());
        let builder = FanOut::builder(|n: u64| Ok::<_, ()>(n)).workers(1).hedge_after(second).clock(&clock);
        let (core, output) = builder.launch().unwrap();
        core.pause();
        let guard = core.guard.as_deref().unwrap();
        let hedging = guard.hedging.as_ref().unwrap();
        let entry = |seq| Entry { seq, sent: 0, mark: 0, class: crate::pool::NORMAL, item: seq };
        let began = clock.now();
        clock.advance(second);
        let at = hedging.begin(entry(0), 1, began).unwrap();
        assert_eq!(hedging.begin(entry(1), 1, clock.now()), None);
        core.call_at(guard, at);
        assert_eq!(core.depth(), 1);
        clock.advance(second);
        assert_eq!(core.depth(), 2);
        drop(output);
    }

    /// The rate looks at the clock later than its caller.
    #[test]
    fn a_rate_with_room_admits_a_second_attempt_on_the_system_clock() {
        use std::sync::atomic::{AtomicBool, Ordering};
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let gate = std::sync::Mutex::new(gate);
        let first = AtomicBool::new(true);
        let work = move |n: u64| {
            if first.swap(false, Ordering::Relaxed) {
                let _ = gate.lock().unwrap().recv();
            }
            Ok::<_, ()>(n)
        };
        let rate = crate::RateLimit::builder(1_000_000, Duration::from_secs(1)).burst(1000).build().unwrap();
        let builder = FanOut::builder(work).workers(2).hedge_after(Duration::from_millis(1)).rate(rate);
        let (input, mut output) = builder.start().unwrap();
        input.send(7).unwrap();
        let got = output.recv_timeout(Duration::from_secs(3)).is_ok();
        drop(open);
        drop((input, output));
        assert!(got, "no second attempt was made");
    }

    /// The copy leaves its key and no outcome in the hand of a thread that is stuck with the next item.
    #[test]
    fn the_key_of_a_late_copy_is_not_stuck_behind_another_item() {
        use crate::fan::Wait;
        use crate::sync::atomic::Ordering;
        use std::sync::atomic::AtomicU64;
        use std::sync::mpsc;
        let (begun, begins) = mpsc::channel();
        let (open, gate) = mpsc::channel::<()>();
        let (late, lates) = mpsc::channel::<()>();
        let (second, seconds) = mpsc::channel();
        let (go, goes) = mpsc::channel::<()>();
        let (stuck, sticks) = mpsc::channel::<()>();
        let gates = std::sync::Mutex::new(gate);
        let lates = std::sync::Mutex::new(lates);
        let goes = std::sync::Mutex::new(goes);
        let calls = AtomicU64::new(0);
        let work = move |n: u64| {
            match n {
                0 if calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0 => {
                    begun.send(()).unwrap();
                    let _ = gates.lock().unwrap().recv();
                }
                0 => {
                    second.send(()).unwrap();
                    let _ = lates.lock().unwrap().recv();
                }
                // Waits for item 10, which has the key of item 0.
                1 => {
                    stuck.send(()).unwrap();
                    let _ = goes.lock().unwrap().recv_timeout(Duration::from_secs(5));
                }
                _ => go.send(()).unwrap(),
            }
            Ok::<_, ()>(n)
        };
        let clock = ManualClock::new();
        let builder =
            FanOut::builder(work).workers(2).key(|n: &u64| n % 10).hedge_after(Duration::from_secs(1)).clock(&clock);
        let (core, output) = builder.launch().unwrap();
        core.accept(0, Wait::Not).unwrap();
        begins.recv().unwrap();
        core.pause();
        core.accept(10, Wait::Not).unwrap();
        core.accept(1, Wait::Not).unwrap();
        clock.advance(Duration::from_secs(1));
        core.armed.store(true, Ordering::Relaxed);
        core.pace.believe_cheap();
        core.resume();
        seconds.recv().unwrap();
        // The first answers, and its thread leaves; the copy is late.
        drop(open);
        while core.counts().finished < 1 {
            std::thread::yield_now();
        }
        // Item 1 is in the hand with the copy; had the alarm looked twice it would be free.
        drop(late);
        sticks.recv().unwrap();
        let began = Instant::now();
        while core.counts().finished < 3 && began.elapsed() < Duration::from_secs(3) {
            crate::pool::Alarm::due(&*core);
        }
        let finished = core.counts().finished;
        core.close(crate::SendReason::Closed);
        drop(output);
        assert_eq!(finished, 3);
    }

    /// The time noted for the first attempt says nothing about the retry.
    #[test]
    fn a_retry_is_not_hedged_by_the_time_of_the_attempt_before() {
        let hedging = Hedging::<u64, ()>::new(Duration::from_secs(10));
        let entry = |seq| Entry { seq, sent: 0, mark: 0, class: crate::pool::NORMAL, item: seq };
        let start = Instant::now();
        hedging.begin(entry(0), 1, start);
        let _ = hedging.fail(0, Some(Past::none()), Some(TaskError::Failed(())));
        hedging.begin(entry(1), 1, start);
        // Something else is first.
        let hedging = Hedging::<u64, ()>::new(Duration::from_secs(10));
        hedging.begin(entry(1), 1, start);
        hedging.begin(entry(0), 1, start);
        let _ = hedging.fail(0, Some(Past::none()), Some(TaskError::Failed(())));
        hedging.begin(entry(0), 2, start + Duration::from_secs(9));
        let mut out = Vec::new();
        hedging.overdue(start + Duration::from_secs(10), None, |entry| out.push(entry.seq));
        assert_eq!(out, [1]);
    }

    /// One that is not kept, because there are too many, is dropped too.
    #[test]
    fn no_error_is_dropped_under_the_lock() {
        use std::sync::{Arc, Weak, mpsc};
        struct Bad(Weak<Hedging<u64, Bad>>);
        impl Drop for Bad {
            fn drop(&mut self) {
                // What `control.stop()` does, too.
                if let Some(hedging) = self.0.upgrade() {
                    hedging.is_copy(0);
                }
            }
        }
        let (done, ended) = mpsc::channel();
        std::thread::spawn(move || {
            let hedging = Arc::new(Hedging::<u64, Bad>::new(Duration::ZERO));
            let bad = || TaskError::Failed(Bad(Arc::downgrade(&hedging)));
            let entry = Entry { seq: 0, sent: 0, mark: 0, class: crate::pool::NORMAL, item: 0 };
            let start = Instant::now();
            let mut past = Past::none();
            (0..15).for_each(|_| past.failed(bad()));
            hedging.begin(entry, 16, start);
            hedging.overdue(start, None, drop);
            let _ = hedging.fail(0, Some(past), Some(bad()));
            let _ = hedging.fail(0, None, Some(bad()));
            done.send(()).unwrap();
        });
        assert!(ended.recv_timeout(Duration::from_secs(3)).is_ok(), "deadlock");
    }

    #[test]
    fn b2_the_second_clone_panics_and_so_does_the_drop_of_the_first() {
        struct Bomb(std::sync::Arc<std::sync::atomic::AtomicUsize>);
        impl Clone for Bomb {
            fn clone(&self) -> Bomb {
                assert!(self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0, "second clone");
                Bomb(self.0.clone())
            }
        }
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("drop");
            }
        }
        let builder = FanOut::builder(|_: Bomb| Ok::<_, ()>(())).workers(2).hedge_after(Duration::from_secs(1));
        let (input, mut output) = builder.start().unwrap();
        input.send(Bomb(Default::default())).unwrap();
        assert!(output.recv().unwrap().result.is_err());
    }

    /// The copy waits for the only worker, which has answered.
    #[test]
    fn a_copy_is_not_run_after_the_answer() {
        use crate::fan::Wait;
        use std::sync::atomic::{AtomicU64, Ordering};
        let clock = ManualClock::new();
        let calls = std::sync::Arc::new(AtomicU64::new(0));
        let (inner, moves) = (calls.clone(), clock.clone());
        let work = move |n: u64| {
            if inner.fetch_add(1, Ordering::SeqCst) == 0 {
                moves.advance(Duration::from_secs(1));
            }
            Ok::<_, ()>(n)
        };
        let (core, output) =
            FanOut::builder(work).workers(1).hedge_after(Duration::from_secs(1)).clock(&clock).launch().unwrap();
        core.accept(0, Wait::Not).unwrap();
        core.close(crate::SendReason::Closed);
        assert_eq!(output.count(), 1);
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn b2_an_init_that_panics_and_an_item_whose_drop_does_abort_nothing() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("drop");
            }
        }
        let init = || -> u8 { panic!("init") };
        let builder = FanOut::builder_init(init, |_: &mut u8, _: Bomb| Ok::<_, ()>(()));
        let (input, mut output) = builder.workers(1).start().unwrap();
        input.send(Bomb).unwrap();
        assert!(output.recv().unwrap().result.is_err());
    }

    #[test]
    fn the_key_is_free_when_the_first_answer_has_landed_and_the_other_attempt_has_ended() {
        for other_ends_before in [true, false] {
            let hedging = Hedging::<u64, ()>::new(Duration::ZERO);
            let start = Instant::now();
            hedging.begin(Entry { seq: 0, sent: 0, mark: 0, class: crate::pool::NORMAL, item: 0 }, 1, start);
            assert_eq!(hedging.overdue(start, None, drop), 1);
            let (won, _) = hedging.succeed(0);
            assert!(won.first && won.lands && !won.last);
            if other_ends_before {
                assert!(matches!(hedging.fail(0, None, None).0, Lost::Late(false)));
                assert!(hedging.land(0));
            } else {
                assert!(!hedging.land(0));
                assert!(matches!(hedging.fail(0, None, None).0, Lost::Late(true)));
            }
            assert!(!hedging.is_copy(0));
        }
    }
}
