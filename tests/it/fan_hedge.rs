//! Services: second attempts at items whose first takes long.

use super::{quiet_panic, within};
use fanpool::testing::ManualClock;
use fanpool::{BuildError, Control, FanOut, RateLimit, Retry, Route, ServiceCounts, TaskError};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Calls of a handler, each of which ends as the test says.
struct Calls<R> {
    begun: Receiver<(u64, Sender<R>)>,
}

/// What a call is told to do.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Do {
    Succeed(u64),
    Fail(&'static str),
    Panic,
}

impl Calls<Do> {
    fn new() -> (Self, impl Fn(u64) -> Result<u64, &'static str> + Send + Sync + 'static) {
        let (begins, begun) = mpsc::channel();
        let begins = Mutex::new(begins);
        let handler = move |n: u64| {
            let (tell, told) = mpsc::channel();
            begins.lock().unwrap().send((n, tell)).unwrap();
            match told.recv().unwrap() {
                Do::Succeed(value) => Ok(value),
                Do::Fail(error) => Err(error),
                Do::Panic => quiet_panic("told to"),
            }
        };
        (Calls { begun }, handler)
    }

    /// The next call that begins, of that item.
    fn next(&self, item: u64) -> Sender<Do> {
        let (n, tell) = self.begun.recv().unwrap();
        assert_eq!(n, item);
        tell
    }

    fn none(&self) {
        assert!(self.begun.try_recv().is_err());
    }
}

fn until(control: &Control<'_>, holds: impl Fn(ServiceCounts) -> bool) {
    while !holds(control.counts()) {
        std::thread::yield_now();
    }
}

#[test]
fn g7_the_loser_of_a_hedge_finishes_last_or_panics() {
    within(|| {
        for loser in [Do::Succeed(1), Do::Fail("late"), Do::Panic] {
            for second_wins in [true, false] {
                let clock = ManualClock::new();
                let (calls, handler) = Calls::new();
                let builder = FanOut::builder(handler).workers(2).hedge_after(SECOND).clock(&clock);
                let (input, mut output) = builder.start().unwrap();
                let control = input.control();
                input.send(7).unwrap();
                let first = calls.next(7);
                clock.advance(SECOND - Duration::from_nanos(1));
                assert_eq!(control.depth(), 0);
                clock.advance(Duration::from_nanos(1));
                let second = calls.next(7);
                let (winner, late) = if second_wins { (second, first) } else { (first, second) };
                winner.send(Do::Succeed(70)).unwrap();
                let outcome = output.recv().unwrap();
                assert_eq!((outcome.seq, outcome.attempts, outcome.result.ok()), (0, 1, Some(70)));
                late.send(loser).unwrap();
                until(&control, |counts| counts.late == 1);
                let counts = control.counts();
                assert_eq!((counts.accepted, counts.finished, counts.hedged), (1, 1, 1));
                assert_eq!((counts.failed, counts.panicked, counts.contained), (0, 0, 0));
                // Both workers are there for what comes.
                input.send(8).unwrap();
                input.send(9).unwrap();
                for _ in 0..2 {
                    let (n, tell) = calls.begun.recv().unwrap();
                    tell.send(Do::Succeed(n)).unwrap();
                }
                drop(input);
                let mut left: Vec<_> = output.map(|outcome| outcome.result.unwrap()).collect();
                left.sort_unstable();
                assert_eq!(left, [8, 9]);
            }
        }
    });
}

#[test]
fn a_failure_waits_for_the_other_attempt() {
    within(|| {
        for (error, second_fails) in [(Do::Fail("reset"), true), (Do::Panic, true), (Do::Fail("reset"), false)] {
            let clock = ManualClock::new();
            let (calls, handler) = Calls::new();
            let builder = FanOut::builder(handler).workers(2).hedge_after(SECOND).clock(&clock);
            let (input, mut output) = builder.start().unwrap();
            input.send(7).unwrap();
            let first = calls.next(7);
            clock.advance(SECOND);
            let second = calls.next(7);
            let (loser, other) = if second_fails { (second, first) } else { (first, second) };
            loser.send(error).unwrap();
            other.send(Do::Succeed(70)).unwrap();
            assert_eq!(output.recv().unwrap().result.ok(), Some(70));
            let counts = input.control().counts();
            assert_eq!((counts.finished, counts.failed, counts.panicked), (1, 0, 0));
        }
    });
}

#[test]
fn two_failures_are_one_attempt_and_both_are_in_its_letter() {
    within(|| {
        let clock = ManualClock::new();
        let (calls, handler) = Calls::new();
        let (dead, letters) = mpsc::channel();
        let builder = FanOut::builder(handler)
            .workers(2)
            .hedge_after(SECOND)
            .retry(Retry::fixed(SECOND).max_attempts(2))
            .dead_letter(move |n, errors| {
                let all: Vec<_> = errors.iter().map(|(attempt, error)| format!("{attempt} {error}")).collect();
                dead.send((n, all)).unwrap();
            })
            .clock(&clock);
        let (input, mut output) = builder.start().unwrap();
        let control = input.control();
        input.send(7).unwrap();
        let first = calls.next(7);
        clock.advance(SECOND);
        let second = calls.next(7);
        second.send(Do::Fail("second")).unwrap();
        first.send(Do::Fail("first")).unwrap();
        super::until_put_off(&control, 1);
        clock.advance(SECOND);
        calls.next(7).send(Do::Fail("third")).unwrap();
        let outcome = output.recv().unwrap();
        assert_eq!((outcome.attempts, outcome.result.unwrap_err().into_failed()), (2, Some("third")));
        let (item, mut letter) = letters.recv().unwrap();
        // Which of the two failed first is not known.
        letter.sort();
        assert_eq!((item, letter), (7, ["1 first", "1 second", "2 third"].map(String::from).to_vec()));
        let counts = control.counts();
        assert_eq!((counts.failed, counts.retried, counts.hedged, counts.late), (1, 1, 1, 0));
    });
}

/// A hedge of a retried attempt tells which attempt it was.
#[test]
fn a_second_attempt_knows_how_often_the_item_was_tried() {
    within(|| {
        let clock = ManualClock::new();
        let (calls, handler) = Calls::new();
        let builder = FanOut::builder(handler).workers(2).hedge_after(SECOND).retry(Retry::fixed(SECOND)).clock(&clock);
        let (input, mut output) = builder.start().unwrap();
        input.send(7).unwrap();
        calls.next(7).send(Do::Fail("reset")).unwrap();
        super::until_put_off(&input.control(), 1);
        clock.advance(SECOND);
        let first = calls.next(7);
        clock.advance(SECOND);
        calls.next(7).send(Do::Succeed(70)).unwrap();
        let outcome = output.recv().unwrap();
        assert_eq!((outcome.attempts, outcome.result.ok()), (2, Some(70)));
        first.send(Do::Panic).unwrap();
    });
}

#[test]
fn an_answer_in_time_is_not_hedged() {
    within(|| {
        let clock = ManualClock::new();
        let (calls, handler) = Calls::new();
        let builder = FanOut::builder(handler).workers(2).hedge_after(SECOND).clock(&clock);
        let (input, mut output) = builder.start().unwrap();
        for n in 0..3 {
            input.send(n).unwrap();
            let call = calls.next(n);
            clock.advance(SECOND / 2);
            call.send(Do::Succeed(n)).unwrap();
            assert_eq!(output.recv().unwrap().result.ok(), Some(n));
        }
        clock.advance(10 * SECOND);
        calls.none();
        assert_eq!(input.control().counts().hedged, 0);
    });
}

/// The copy is in the queue, where nobody may take it, when the service is stopped.
#[test]
fn a_stop_takes_the_copy_and_the_item_has_one_outcome() {
    within(|| {
        for (first_ends_before, answer) in
            [(true, Do::Fail("reset")), (false, Do::Fail("reset")), (true, Do::Succeed(1)), (false, Do::Succeed(1))]
        {
            let clock = ManualClock::new();
            let (calls, handler) = Calls::new();
            let builder = FanOut::builder(handler).workers(2).hedge_after(SECOND).clock(&clock);
            let (input, mut output) = builder.start().unwrap();
            let control = input.control();
            input.send(7).unwrap();
            let first = calls.next(7);
            control.pause();
            clock.advance(SECOND);
            while control.depth() != 1 {
                std::thread::yield_now();
            }
            if first_ends_before {
                first.send(answer).unwrap();
                if matches!(answer, Do::Succeed(_)) {
                    until(&control, |counts| counts.finished == 1);
                }
                control.stop();
            } else {
                control.stop();
                first.send(answer).unwrap();
            }
            let outcome = output.recv().unwrap();
            assert_eq!(outcome.seq, 0);
            match answer {
                Do::Succeed(value) => assert_eq!(outcome.result.ok(), Some(value)),
                _ => assert_eq!(outcome.result.unwrap_err().into_failed(), Some("reset")),
            }
            assert!(output.recv().is_err());
            let counts = control.counts();
            assert_eq!((counts.accepted, counts.cancelled, counts.hedged), (1, 0, 0));
            calls.none();
        }
    });
}

#[test]
fn the_next_of_a_key_begins_when_both_attempts_have_ended() {
    within(|| {
        let clock = ManualClock::new();
        let (calls, handler) = Calls::new();
        let builder = FanOut::builder(handler).workers(3).key(|n: &u64| n % 10).hedge_after(SECOND).clock(&clock);
        let (input, mut output) = builder.start().unwrap();
        input.send(7).unwrap();
        input.send(17).unwrap();
        let first = calls.next(7);
        clock.advance(SECOND);
        calls.next(7).send(Do::Succeed(70)).unwrap();
        assert_eq!(output.recv().unwrap().result.ok(), Some(70));
        // Another key goes on, on whatever worker; the one that has answered would have begun 17 before.
        input.send(8).unwrap();
        let other = calls.next(8);
        other.send(Do::Succeed(80)).unwrap();
        assert_eq!(output.recv().unwrap().seq, 2);
        calls.none();
        first.send(Do::Fail("late")).unwrap();
        calls.next(17).send(Do::Succeed(170)).unwrap();
        assert_eq!(output.recv().unwrap().result.ok(), Some(170));
    });
}

#[test]
fn a_rate_admits_second_attempts_or_there_are_none() {
    within(|| {
        for burst in [1, 2] {
            let clock = ManualClock::new();
            let (calls, handler) = Calls::new();
            let limit = RateLimit::builder(1, 3600 * SECOND).burst(burst).clock(&clock).build().unwrap();
            let builder = FanOut::builder(handler).workers(2).rate(limit).hedge_after(SECOND).clock(&clock);
            let (input, mut output) = builder.start().unwrap();
            input.send(7).unwrap();
            let first = calls.next(7);
            clock.advance(SECOND);
            if burst == 2 {
                calls.next(7).send(Do::Fail("second")).unwrap();
            }
            first.send(Do::Fail("first")).unwrap();
            assert!(output.recv().unwrap().result.is_err());
            assert_eq!(input.control().counts().hedged, u64::from(burst) - 1);
        }
    });
}

#[test]
fn a1_what_cannot_be_hedged_is_refused() {
    let refused = FanOut::builder(|n: u64| Ok::<_, ()>(n)).hedge_after(Duration::ZERO).start().unwrap_err();
    assert!(matches!(refused, BuildError::NotInRange { option: "hedge_after", value: 0.0, .. }), "{refused:?}");
    for route in [Route::RoundRobin, Route::LeastLoaded, Route::by_key(|n: &u64| *n)] {
        let builder = FanOut::builder(|n: u64| Ok::<_, ()>(n)).route(route).hedge_after(SECOND);
        let refused = builder.start().unwrap_err();
        assert!(matches!(refused, BuildError::Conflict { option: "hedge_after", with: "route" }), "{refused:?}");
    }
    super::pool(1).scope(|s| {
        let refused = s.fan_out(|n: u64| Ok::<_, ()>(n)).hedge_after(SECOND).start().unwrap_err();
        assert!(matches!(refused, BuildError::Conflict { option: "hedge_after", with: "scope" }), "{refused:?}");
    });
    // A time that the clock cannot tell is never over.
    let (input, output) = FanOut::builder(|n: u64| Ok::<_, ()>(n)).hedge_after(Duration::MAX).start().unwrap();
    input.send(1).unwrap();
    drop(input);
    assert_eq!(output.partition().0, [1]);
}

/// A clone that panics, of either copy.
#[test]
fn a_clone_that_panics_fails_its_item_or_leaves_the_first_attempt_alone() {
    within(|| {
        #[derive(Debug)]
        struct Fragile(Arc<Mutex<u32>>);
        impl Clone for Fragile {
            fn clone(&self) -> Fragile {
                let mut left = self.0.lock().unwrap();
                if *left == 0 {
                    drop(left);
                    quiet_panic("clone");
                }
                *left -= 1;
                Fragile(self.0.clone())
            }
        }
        for clones in 0..3 {
            let clock = ManualClock::new();
            let (begun, begins) = mpsc::channel();
            let (open, gate) = mpsc::channel::<()>();
            let gate = Mutex::new(gate);
            let work = move |_: Fragile| {
                begun.send(()).unwrap();
                let _ = gate.lock().unwrap().recv();
                Ok::<_, ()>(())
            };
            let builder = FanOut::builder(work).workers(2).hedge_after(SECOND).clock(&clock);
            let (input, mut output) = builder.start().unwrap();
            input.send(Fragile(Arc::new(Mutex::new(clones)))).unwrap();
            if clones == 2 {
                begins.recv().unwrap();
                clock.advance(SECOND);
                // Nobody has the copy any more once its clone has panicked.
                while input.control().depth() > 0 {
                    std::thread::yield_now();
                }
            }
            drop(open);
            let result = output.recv().unwrap().result;
            match clones {
                2 => assert!(result.is_ok()),
                _ => assert!(matches!(result, Err(TaskError::Panicked(_)))),
            }
            assert_eq!(input.control().counts().hedged, 0);
        }
    });
}
