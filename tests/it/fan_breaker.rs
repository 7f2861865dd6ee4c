//! Services behind circuit breakers.

use super::{quiet_panic, until_put_off, within};
use fanpool::testing::ManualClock;
use fanpool::{BreakerState, BuildError, CircuitBreaker, CircuitBreakerBuilder, FanOut, Rejection, Retry, TaskError};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// One that opens at the first failure, for a second.
fn touchy(clock: &ManualClock) -> CircuitBreakerBuilder {
    CircuitBreaker::builder().minimum_calls(1).failure_rate(1.0).open_for(SECOND).clock(clock)
}

#[test]
fn an_open_breaker_rejects_and_says_for_how_long() {
    within(|| {
        let clock = ManualClock::new();
        let breaker = touchy(&clock).build().unwrap();
        let builder = FanOut::builder(|n: u64| if n == 0 { Err(n) } else { Ok(n) }).workers(1);
        let (input, mut output) = builder.breaker(breaker.clone()).clock(&clock).start().unwrap();
        input.send(0).unwrap();
        assert!(output.recv().unwrap().result.unwrap_err().is_failed());
        clock.advance(SECOND / 4);
        input.send(1).unwrap();
        let outcome = output.recv().unwrap();
        assert_eq!(outcome.attempts, 0);
        let retry_after = SECOND - SECOND / 4;
        let error = outcome.result.unwrap_err();
        let TaskError::Rejected(reason) = error else { panic!("{error}") };
        assert_eq!(reason, Rejection::BreakerOpen { retry_after });
        clock.advance(retry_after);
        input.send(2).unwrap();
        assert_eq!(output.recv().unwrap().result.unwrap(), 2);
        assert_eq!(breaker.state(), BreakerState::Closed);
        let counts = input.control().counts();
        assert_eq!((counts.accepted, counts.failed, counts.rejected, counts.finished), (3, 1, 1, 1));
    });
}

#[test]
fn a_dependency_that_is_dead_for_ten_seconds_is_called_by_probes_alone() {
    within(|| {
        let clock = ManualClock::new();
        let breaker = CircuitBreaker::builder().window_calls(100).minimum_calls(20).open_for(SECOND).probes(2);
        let breaker = breaker.clock(&clock).build().unwrap();
        let (calls, dead) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (seen, down) = (calls.clone(), dead.clone());
        let handler = move |n: u64| {
            if down.load(Ordering::Relaxed) {
                seen.fetch_add(1, Ordering::Relaxed);
                return Err(n);
            }
            Ok(n)
        };
        let builder = FanOut::builder(handler).workers(2).window(20_000).breaker(breaker.clone());
        let (input, output) = builder.retry(Retry::fixed(SECOND / 2)).clock(&clock).start().unwrap();
        let control = input.control();
        let mut sent = 0;
        let mut seconds = |seconds: u64| {
            for _ in 0..10 * seconds {
                (0..100).for_each(|_| {
                    input.send(sent).unwrap();
                    sent += 1;
                });
                let landed = |counts: fanpool::ServiceCounts| counts.finished + counts.failed + counts.rejected;
                while landed(control.counts()) + control.put_off() as u64 != sent {
                    std::thread::yield_now();
                }
                clock.advance(SECOND / 10);
            }
        };
        seconds(1);
        assert_eq!(breaker.counts().failures, 0);
        dead.store(true, Ordering::Relaxed);
        seconds(10);
        let reached = calls.load(Ordering::Relaxed);
        // Half of the window fails until it opens, and what ran then; after each of ten seconds, two at most.
        let opening = 100 + 2;
        assert!(reached <= opening + 2 * 10, "{reached} calls reached what is dead");
        assert!(reached > 20, "{reached}");
        dead.store(false, Ordering::Relaxed);
        seconds(2);
        assert_eq!(breaker.state(), BreakerState::Closed);
        drop(input);
        let (finished, failed) = output.partition();
        assert_eq!(finished.len() + failed.len(), sent as usize);
        let counts = control.counts();
        assert_eq!(counts.accepted, counts.finished + counts.failed + counts.rejected);
        assert!(counts.rejected > 9_000 && counts.finished > 1_900, "{counts:?}");
    });
}

#[test]
fn items_wait_for_the_breaker_and_go_on_when_a_probe_has_closed_it() {
    within(|| {
        let clock = ManualClock::new();
        let breaker = touchy(&clock).probe_timeout(60 * SECOND).build().unwrap();
        breaker.admit().unwrap().failure();
        let (begun, begins) = mpsc::channel();
        let (open, gate) = mpsc::channel();
        let gate = std::sync::Mutex::new(gate);
        // Of two that are ready at once either may be the probe.
        let first = std::sync::atomic::AtomicBool::new(true);
        let handler = move |n: u64| {
            begun.send(n).unwrap();
            if first.swap(false, std::sync::atomic::Ordering::Relaxed) {
                gate.lock().unwrap().recv().unwrap();
            }
            Ok::<_, ()>(n)
        };
        let builder = FanOut::builder(handler).workers(2).ordered().breaker(breaker.clone()).breaker_waits();
        let (input, output) = builder.clock(&clock).start().unwrap();
        let control = input.control();
        (0..100).for_each(|n| _ = input.send(n).unwrap());
        until_put_off(&control, 100);
        assert!(begins.try_recv().is_err());
        clock.advance(SECOND);
        // The probe runs, and the others wait for what comes of it.
        begins.recv().unwrap();
        until_put_off(&control, 99);
        assert_eq!((breaker.state(), begins.try_recv().is_err()), (BreakerState::HalfOpen, true));
        open.send(()).unwrap();
        drop(input);
        assert!(output.map(|outcome| outcome.result.unwrap()).eq(0..100));
        assert_eq!((control.counts().rejected, breaker.state()), (0, BreakerState::Closed));
    });
}

#[test]
fn items_wait_for_a_breaker_that_somebody_else_closes() {
    within(|| {
        let clock = ManualClock::new();
        let breaker = touchy(&clock).probe_timeout(60 * SECOND).build().unwrap();
        breaker.admit().unwrap().failure();
        let build = || FanOut::builder(|n: u64| Ok::<_, ()>(n)).workers(1).breaker(breaker.clone()).breaker_waits();
        let services = [(); 2].map(|()| build().clock(&clock).start().unwrap());
        clock.advance(SECOND);
        let probe = breaker.admit().unwrap();
        for (input, _) in &services {
            (0..10).for_each(|n| _ = input.send(n).unwrap());
            until_put_off(&input.control(), 10);
        }
        probe.success();
        for (input, output) in services {
            drop(input);
            assert_eq!(output.filter(|outcome| outcome.result.is_ok()).count(), 10);
        }
        // The same with a place that comes back, and with a reset.
        for turn in 0..2 {
            breaker.reset();
            breaker.admit().unwrap().failure();
            clock.advance(SECOND);
            let probe = breaker.admit().unwrap();
            let (input, mut output) = build().clock(&clock).start().unwrap();
            input.send(turn).unwrap();
            until_put_off(&input.control(), 1);
            match turn {
                0 => drop(probe),
                _ => breaker.reset(),
            }
            assert_eq!(output.recv().unwrap().result.unwrap(), turn);
        }
    });
}

#[test]
fn g6_an_item_that_waits_for_a_breaker_until_its_deadline_expires() {
    within(|| {
        let clock = ManualClock::new();
        let breaker = touchy(&clock).build().unwrap();
        breaker.admit().unwrap().failure();
        let builder = FanOut::builder(|n: u64| Ok::<_, ()>(n)).workers(1).breaker(breaker).breaker_waits();
        let (input, mut output) = builder.deadline(SECOND / 2).clock(&clock).start().unwrap();
        input.send(0).unwrap();
        until_put_off(&input.control(), 1);
        clock.advance(SECOND / 2);
        let outcome = output.recv().unwrap();
        assert_eq!((outcome.attempts, outcome.result.unwrap_err().is_expired()), (0, true));
    });
}

#[test]
fn one_breaker_for_each_key() {
    within(|| {
        let clock = ManualClock::new();
        let hosts = touchy(&clock).build_keyed(100).unwrap();
        let builder = FanOut::builder(|(host, n): (&str, u64)| if host == "down" { Err(n) } else { Ok(n) }).workers(1);
        let builder = builder.breaker_by(hosts.clone(), |(host, n)| if *n == 9 { quiet_panic("key") } else { *host });
        let (input, output) = builder.ordered().clock(&clock).start().unwrap();
        for item in [("down", 0), ("up", 1), ("down", 2), ("up", 3), ("up", 9)] {
            input.send(item).unwrap();
        }
        drop(input);
        let ends: Vec<_> = output.map(|outcome| outcome.result).collect();
        assert!(matches!(
            ends[..],
            [Err(TaskError::Failed(0)), Ok(1), Err(TaskError::Rejected(_)), Ok(3), Err(TaskError::Panicked(_))]
        ));
        assert_eq!((hosts.of("down").state(), hosts.of("up").state()), (BreakerState::Open, BreakerState::Closed));
        assert_eq!(hosts.of("up").counts().calls, 2);
    });
}

#[test]
fn which_errors_count_and_what_is_slow() {
    within(|| {
        let clock = ManualClock::new();
        let breaker = touchy(&clock).window_calls(100).slow_call(SECOND).failure_rate(1.0).build().unwrap();
        let inside = clock.clone();
        let handler = move |n: u64| match n {
            0 => Ok(n),
            1 => {
                inside.advance(SECOND);
                Ok(n)
            }
            _ => Err(n),
        };
        let builder = FanOut::builder(handler).workers(1).ordered().breaker(breaker.clone()).clock(&clock);
        let builder = builder.breaker_counts(|n| match n {
            2 => false,
            3 => quiet_panic("undecided"),
            _ => true,
        });
        let (input, output) = builder.start().unwrap();
        let control = input.control();
        [0, 2, 1, 3].into_iter().for_each(|n| _ = input.send(n).unwrap());
        drop(input);
        assert_eq!(output.count(), 4);
        let counts = breaker.counts();
        assert_eq!((counts.calls, counts.failures, counts.slow, control.counts().contained), (4, 2, 1, 1));
    });
}

#[test]
fn every_answer_is_told_once_whatever_becomes_of_the_item() {
    within(|| {
        #[derive(Debug)]
        struct Item(u64);
        impl Clone for Item {
            fn clone(&self) -> Self {
                if self.0 % 5 == 4 { quiet_panic("clone") } else { Item(self.0) }
            }
        }
        let breaker = CircuitBreaker::builder().window_calls(1 << 20).minimum_calls(1 << 20).build().unwrap();
        let handler = |Item(n): Item| match n % 5 {
            0 | 1 => Ok(n),
            2 => Err(n),
            _ => quiet_panic("odd"),
        };
        let builder = FanOut::builder(handler).workers(4).window(64).breaker(breaker.clone());
        let (input, output) = builder.dead_letter(|_, _| {}).start().unwrap();
        let sender = std::thread::spawn(move || (0..10_000).for_each(|n| _ = input.send(Item(n)).unwrap()));
        assert_eq!(output.count(), 10_000);
        sender.join().unwrap();
        let counts = breaker.counts();
        assert_eq!((counts.calls, counts.failures, counts.late, counts.rejected), (8_000, 4_000, 0, 0));
    });
}

#[test]
fn a1_options_of_a_breaker_without_one_are_refused() {
    let builder = || FanOut::builder(|n: u64| Err::<(), _>(n));
    for refused in [builder().breaker_waits().start(), builder().breaker_counts(|_| true).start()] {
        let error = refused.unwrap_err();
        assert!(matches!(error, BuildError::Conflict { with: "lack of a breaker", .. }), "{error}");
    }
}
