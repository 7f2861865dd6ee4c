//! Services: attempts after the first, and how often attempts begin.

use super::{quiet_panic, until_put_off, within};
use fanpool::testing::ManualClock;
use fanpool::{BuildError, Control, FanOut, Pool, RateLimit, Retry, RetryBudget, TaskError, Workers};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Counts the calls for each item.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<HashMap<u64, u32>>>);

impl Calls {
    fn of(&self, item: u64) -> u32 {
        let mut calls = self.0.lock().unwrap();
        let calls = calls.entry(item).or_default();
        *calls += 1;
        *calls
    }
}

#[test]
fn an_item_is_tried_again_when_its_time_has_come_and_not_before() {
    within(|| {
        let (clock, calls) = (ManualClock::new(), Calls::default());
        let builder = FanOut::builder(move |n: u64| if calls.of(n) < 3 { Err("busy") } else { Ok(n) }).workers(1);
        let retry = Retry::exponential(SECOND).max_attempts(3);
        let (input, mut output) = builder.retry(retry).clock(&clock).start().unwrap();
        let control = input.control();
        input.send(7).unwrap();
        until_put_off(&control, 1);
        clock.advance(SECOND - Duration::from_nanos(1));
        assert_eq!((control.put_off(), control.depth(), control.in_flight()), (1, 1, 1));
        assert_eq!(control.counts().retried, 0);
        clock.advance(Duration::from_nanos(1));
        // The second delay is twice the first.
        while control.counts().retried < 1 {
            std::thread::yield_now();
        }
        until_put_off(&control, 1);
        clock.advance(SECOND);
        assert_eq!((control.put_off(), control.counts().retried), (1, 1));
        clock.advance(SECOND);
        let outcome = output.recv().unwrap();
        assert_eq!((outcome.attempts, outcome.result.ok()), (3, Some(7)));
        let counts = control.counts();
        assert_eq!((counts.accepted, counts.finished, counts.failed, counts.retried), (1, 1, 0, 2));
    });
}

#[test]
fn what_fails_for_good_has_its_last_error_and_a_letter_with_all() {
    within(|| {
        let calls = Calls::default();
        let (dead, letters) = mpsc::channel();
        let handler = move |n: u64| match calls.of(n) {
            1 => Err("first".to_owned()),
            2 => quiet_panic("second"),
            call => Err::<u64, _>(format!("call {call}")),
        };
        let retry = Retry::fixed(Duration::ZERO).max_attempts(3).retry_panics();
        let builder = FanOut::builder(handler).workers(2).retry(retry).dead_letter(move |n, errors| {
            let all: Vec<_> = errors.iter().map(|(attempt, error)| format!("{attempt} {error}")).collect();
            dead.send((n, errors.count(), all)).unwrap();
        });
        let (input, mut output) = builder.start().unwrap();
        input.send(5).unwrap();
        let outcome = output.recv().unwrap();
        assert_eq!(outcome.attempts, 3);
        assert_eq!(outcome.result.unwrap_err().into_failed().unwrap(), "call 3");
        let (n, count, all) = letters.recv().unwrap();
        assert_eq!((n, count), (5, 3));
        assert_eq!(all, ["1 first", "2 the task panicked: second", "3 call 3"]);
        let counts = input.control().counts();
        assert_eq!((counts.failed, counts.panicked, counts.retried, counts.contained), (1, 0, 2, 0));
    });
}

#[test]
fn errors_that_need_no_retry_and_a_panic_of_the_function_that_decides() {
    within(|| {
        let retry = Retry::fixed(Duration::ZERO).retry_if(|error: &u64| match error {
            0 => false,
            1 => quiet_panic("undecided"),
            _ => true,
        });
        let builder = FanOut::builder(|n: u64| Err::<(), _>(n)).workers(1).retry(retry);
        let (input, output) = builder.start().unwrap();
        let control = input.control();
        (0..3).for_each(|n| _ = input.send(n).unwrap());
        drop(input);
        let mut attempts: Vec<_> =
            output.map(|outcome| (outcome.result.unwrap_err().into_failed(), outcome.attempts)).collect();
        attempts.sort_unstable();
        assert_eq!(attempts, [(Some(0), 1), (Some(1), 1), (Some(2), 3)]);
        assert_eq!(control.counts().contained, 1);
    });
}

#[test]
fn order_keys_and_window_hold_while_items_wait_for_their_retry() {
    within(|| {
        let clock = ManualClock::new();
        let (calls, log) = (Calls::default(), Arc::new(Mutex::new(Vec::new())));
        let ends = log.clone();
        // Of each key the first item fails twice.
        let handler = move |n: u64| {
            if n < 3 && calls.of(n) < 3 {
                return Err(n);
            }
            ends.lock().unwrap().push(n);
            Ok(n)
        };
        let builder = FanOut::builder(handler).workers(3).window(9).ordered().key(|n: &u64| n % 3);
        let retry = Retry::fixed(SECOND).max_attempts(3);
        let (input, mut output) = builder.retry(retry).clock(&clock).start().unwrap();
        let control = input.control();
        (0..9).for_each(|n| _ = input.try_send(n).unwrap());
        assert_eq!(input.try_send(9).unwrap_err().into_inner(), 9);
        for turn in 1..=2 {
            until_put_off(&control, 3);
            assert!(output.try_recv().is_err());
            assert!(log.lock().unwrap().is_empty());
            clock.advance(SECOND);
            while control.counts().retried < 3 * turn {
                std::thread::yield_now();
            }
        }
        drop(input);
        let order: Vec<_> = output.map(|outcome| outcome.result.unwrap()).collect();
        assert!(order.into_iter().eq(0..9));
        let log = log.lock().unwrap();
        for key in 0..3 {
            let of_key: Vec<_> = log.iter().copied().filter(|n| n % 3 == key).collect();
            assert_eq!(of_key, [key, key + 3, key + 6]);
        }
    });
}

#[test]
fn ten_thousand_that_wait_hold_no_worker() {
    within(|| {
        let clock = ManualClock::new();
        let pool = Arc::new(Pool::builder().workers(Workers::Fixed(2)).build().unwrap());
        let handler = |n: u64| if n < 10_000 { Err(n) } else { Ok(std::thread::current().id()) };
        let builder = FanOut::builder(handler).pool(pool.clone()).window(10_010);
        let (input, mut output) = builder.retry(Retry::fixed(SECOND)).clock(&clock).start().unwrap();
        let control = input.control();
        (0..10_000).for_each(|n| _ = input.send(n).unwrap());
        until_put_off(&control, 10_000);
        // Both workers meet, which they could not if one was held.
        let both = Arc::new(Barrier::new(2));
        let handles = [both.clone(), both].map(|both| pool.submit(move || both.wait().is_leader()));
        let [one, other] = handles.map(|handle| handle.join().unwrap());
        assert!(one ^ other);
        input.send(10_000).unwrap();
        let fresh = output.recv().unwrap();
        assert_eq!((fresh.seq, fresh.attempts), (10_000, 1));
        assert!(fresh.result.is_ok());
        assert_eq!(control.put_off(), 10_000);
        clock.advance(SECOND);
        while control.counts().retried < 10_000 {
            std::thread::yield_now();
        }
        until_put_off(&control, 10_000);
        clock.advance(SECOND);
        drop(input);
        assert_eq!(output.filter(|outcome| outcome.attempts == 3 && outcome.result.is_err()).count(), 10_000);
    });
}

#[test]
fn g5_a_stop_ends_ten_thousand_that_wait_for_their_retry() {
    within(|| {
        let clock = ManualClock::new();
        let (dead, letters) = mpsc::channel();
        let builder = FanOut::builder(|n: u64| Err::<(), _>(n)).workers(2).window(10_000).retry(Retry::fixed(SECOND));
        let builder = builder.dead_letter(move |n, errors| {
            let all: Vec<_> = errors.iter().map(|(attempt, error)| (*attempt, error.is_cancelled())).collect();
            dead.send((n, all)).unwrap();
        });
        let (input, output) = builder.clock(&clock).start().unwrap();
        let control = input.control();
        (0..10_000).for_each(|n| _ = input.send(n).unwrap());
        until_put_off(&control, 10_000);
        control.stop();
        let ends: Vec<_> =
            output.map(|outcome| (outcome.attempts, outcome.result.unwrap_err().is_cancelled())).collect();
        assert_eq!(ends, [(1, true); 10_000]);
        let mut letters: Vec<_> = letters.try_iter().collect();
        letters.sort_unstable();
        assert!(letters.into_iter().eq((0..10_000).map(|n| (n, vec![(1, false), (1, true)]))));
        assert_eq!(control.counts().cancelled, 10_000);
    });
}

#[test]
fn g5_a_dropped_output_ends_ten_thousand_that_wait_for_their_retry() {
    within(|| {
        let clock = ManualClock::new();
        let builder = FanOut::builder(|n: u64| Err::<(), _>(n))
            .workers(2)
            .window(10_000)
            .retry(Retry::fixed(SECOND))
            .clock(&clock);
        let (input, output) = builder.start().unwrap();
        let control = input.control();
        (0..10_000).for_each(|n| _ = input.send(n).unwrap());
        until_put_off(&control, 10_000);
        drop(output);
        assert_eq!(control.counts().discarded, 10_000);
        assert!(input.send(11).is_err());
    });
}

#[test]
fn g6_no_retry_is_waited_for_that_would_come_too_late() {
    within(|| {
        let clock = ManualClock::new();
        let builder = FanOut::builder(|n: u64| Err::<(), _>(n)).workers(1).deadline(3 * SECOND).clock(&clock);
        let (input, mut output) = builder.retry(Retry::fixed(2 * SECOND).max_attempts(9)).start().unwrap();
        input.send(0).unwrap();
        until_put_off(&input.control(), 1);
        clock.advance(2 * SECOND);
        // Its third attempt would begin after four seconds.
        let outcome = output.recv().unwrap();
        assert_eq!(outcome.attempts, 2);
        assert!(outcome.result.unwrap_err().is_failed());
    });
}

#[test]
fn on_the_system_s_clock_retries_come_by_themselves() {
    within(|| {
        let calls = Calls::default();
        let builder = FanOut::builder(move |n: u64| if calls.of(n) < 4 { Err(n) } else { Ok(n) }).workers(2);
        let retry = Retry::exponential(Duration::from_micros(50)).max_attempts(4);
        let (input, output) = builder.retry(retry).start().unwrap();
        let control = input.control();
        (0..500).for_each(|n| _ = input.send(n).unwrap());
        drop(input);
        let (finished, failed) = output.partition();
        assert_eq!((finished.len(), failed.len()), (500, 0));
        assert_eq!(control.counts().retried, 1500);
    });
}

#[test]
fn a_budget_bounds_the_load_that_retries_add() {
    within(|| {
        let (clock, attempts) = (ManualClock::new(), Arc::new(AtomicU64::new(0)));
        let budget = RetryBudget::new(0.1, 0).unwrap();
        let calls = attempts.clone();
        let handler = move |n: u64| {
            calls.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(n)
        };
        let retry = Retry::fixed(SECOND / 10).max_attempts(5).budget(budget);
        let builder = FanOut::builder(handler).workers(2).window(20_000).retry(retry).clock(&clock);
        let (input, output) = builder.start().unwrap();
        let control = input.control();
        // Dead for ten seconds, under a thousand items a second.
        let mut sent = 0;
        for _ in 0..100 {
            (0..100).for_each(|_| {
                input.send(sent).unwrap();
                sent += 1;
            });
            while control.depth() > control.put_off() || control.in_flight() as u64 != in_hand(&control) {
                std::thread::yield_now();
            }
            clock.advance(SECOND / 10);
        }
        drop(input);
        clock.advance(SECOND);
        let finisher = std::thread::spawn({
            let (clock, control) = (clock.clone(), control.clone());
            move || {
                while control.wait_timeout(Duration::ZERO).ok().flatten().is_none() {
                    clock.advance(SECOND / 10);
                    std::thread::yield_now();
                }
            }
        });
        let (finished, failed) = output.partition();
        finisher.join().unwrap();
        assert_eq!((finished.len(), failed.len()), (0, 10_000));
        let attempts = attempts.load(Ordering::Relaxed);
        assert!(attempts <= 11_000, "{attempts} attempts at 10,000 items");
        assert!(attempts >= 10_900, "{attempts} attempts at 10,000 items: the budget was not used");
        assert_eq!(control.counts().retried, attempts - 10_000);
    });
}

/// Outcomes that were not taken, and items that wait for a time.
fn in_hand(control: &Control<'_>) -> u64 {
    let counts = control.counts();
    counts.finished + counts.failed + counts.rejected + counts.expired + control.put_off() as u64
}

#[test]
fn attempts_begin_as_the_rate_allows() {
    within(|| {
        let (clock, begun) = (ManualClock::new(), Arc::new(AtomicUsize::new(0)));
        let limit = RateLimit::builder(10, SECOND).burst(3).clock(&clock).build().unwrap();
        let counter = begun.clone();
        let handler = move |n: u64| {
            counter.fetch_add(1, Ordering::Relaxed);
            Ok::<_, ()>(n)
        };
        let builder = FanOut::builder(handler).workers(2).rate(limit).clock(&clock);
        let (input, output) = builder.start().unwrap();
        let control = input.control();
        (0..23).for_each(|n| _ = input.send(n).unwrap());
        until_put_off(&control, 20);
        for left in (0..20).rev() {
            clock.advance(SECOND / 10 - Duration::from_nanos(1));
            assert_eq!(control.put_off(), left + 1);
            clock.advance(Duration::from_nanos(1));
            until_put_off(&control, left);
            // A turn that is not used for long is void.
            while begun.load(Ordering::Relaxed) < 23 - left {
                std::thread::yield_now();
            }
        }
        drop(input);
        assert_eq!((output.count(), begun.load(Ordering::Relaxed)), (23, 23));
    });
}

#[test]
fn g6_an_item_whose_turn_comes_too_late_expires_at_once() {
    within(|| {
        let clock = ManualClock::new();
        let limits = RateLimit::builder(1, SECOND).clock(&clock).build_keyed(10).unwrap();
        let builder = FanOut::builder(|n: u64| Ok::<_, ()>(n)).workers(1).deadline(SECOND + SECOND / 2).clock(&clock);
        let builder = builder.rate_by(limits, |n| if *n == 9 { quiet_panic("no key") } else { n % 2 });
        let (input, output) = builder.start().unwrap();
        let control = input.control();
        (0..6).chain([9]).for_each(|n| _ = input.send(n).unwrap());
        // Of each key one goes, one waits, and one would be too late.
        until_put_off(&control, 2);
        while control.counts().panicked < 1 {
            std::thread::yield_now();
        }
        assert_eq!(control.counts().expired, 2);
        clock.advance(SECOND);
        drop(input);
        assert_eq!(output.filter(|outcome| outcome.result.is_ok()).count(), 4);
    });
}

#[test]
fn a1_what_cannot_wait_is_refused() {
    within(|| {
        let retry = || Retry::<u64>::fixed(SECOND);
        let zero = FanOut::builder(|n: u64| Err::<(), _>(n)).retry(retry().max_attempts(0)).start().unwrap_err();
        assert!(matches!(zero, BuildError::OutOfRange { option: "max_attempts", value: 0, .. }), "{zero}");
        let pool = Pool::new();
        pool.scope(|s| {
            let refused = s.fan_out(|n: u64| Err::<(), _>(n)).retry(retry()).start().unwrap_err();
            assert!(matches!(refused, BuildError::Conflict { option: "retry", with: "scope" }));
            let limit = RateLimit::builder(1, SECOND).build().unwrap();
            let refused = s.fan_out(|n: u64| Err::<(), _>(n)).rate(limit).start().unwrap_err();
            assert!(matches!(refused, BuildError::Conflict { option: "rate", with: "scope" }));
        });
    });
}

#[test]
fn g4_retries_of_items_that_cannot_be_cloned_twice_end_with_the_panic() {
    #[derive(Debug)]
    struct Once(bool);
    impl Clone for Once {
        fn clone(&self) -> Self {
            if self.0 { quiet_panic("clone") } else { Once(true) }
        }
    }
    within(|| {
        let builder = FanOut::builder(|_: Once| Err::<(), _>("busy")).workers(1);
        let (input, mut output) = builder.retry(Retry::fixed(Duration::ZERO)).start().unwrap();
        input.send(Once(false)).unwrap();
        let outcome = output.recv().unwrap();
        assert_eq!(outcome.attempts, 1);
        assert!(matches!(outcome.result, Err(TaskError::Panicked(_))));
    });
}
