//! Retries: clocks that stand still or jump, times that no clock can count, and functions that panic or block.

use crate::retry::{Moves, still};
use crate::{Bomb, quiet_panic, until_put_off, within};
use fanpool::testing::ManualClock;
use fanpool::{Clock, FanOut, RateLimit, Retry, RetryError, RetryReason};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const NANO: Duration = Duration::from_nanos(1);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
const ZERO: Duration = Duration::ZERO;

#[test]
fn g1_delays_that_no_duration_can_hold_stay_at_the_greatest() {
    let most = Duration::MAX;
    let last = |retry: Retry<()>| {
        let delays: Vec<Duration> = retry.max_attempts(u32::MAX).delays().take(3000).collect();
        assert_eq!(delays.len(), 3000);
        delays[2999]
    };
    assert_eq!(last(Retry::fixed(most)), most);
    assert_eq!(last(Retry::exponential(NANO).max_delay(most)), most);
    assert_eq!(last(Retry::exponential(NANO).max_delay(most - NANO)), most - NANO);
    assert_eq!(last(Retry::exponential(most).factor(f64::MAX).max_delay(most)), most);
    assert_eq!(last(Retry::exponential(most).factor(1.0).max_delay(most)), most);
    assert_eq!(last(Retry::exponential(ZERO).factor(f64::MAX).max_delay(most)), ZERO);
    assert_eq!(last(Retry::decorrelated(most, most)), most);
    assert_eq!(last(Retry::decorrelated(ZERO, most)), ZERO);
    assert_eq!(last(Retry::fixed(most).max_elapsed(most)), most);
    // Nor do any other values at the edge make it panic, or a delay longer than the longest.
    let times = [ZERO, NANO, SECOND, most - NANO, most];
    for first in times {
        for max in times {
            for factor in [1.0, 1.0 + f64::EPSILON, 2.0, f64::MAX] {
                for jitter in [0.0, f64::MIN_POSITIVE, 0.5, 1.0] {
                    let retry = Retry::exponential(first).factor(factor).max_delay(max).jitter(jitter);
                    assert!(last(retry) <= max);
                }
            }
            let longest = Retry::<()>::decorrelated(first, max).max_attempts(3000).delays().max();
            assert!(longest.unwrap() <= max);
            assert!(Retry::<()>::fixed(first).max_elapsed(max).max_attempts(3000).delays().all(|delay| delay <= max));
        }
    }
}

#[test]
fn g1_sleeps_that_no_clock_can_count_end_with_all_time() {
    within(|| {
        let manual = ManualClock::new();
        let retry = Retry::fixed(Duration::MAX).max_attempts(4).max_elapsed(Duration::MAX);
        let mut attempts = 0;
        let failed = retry.call(&Clock::from(&manual), || {
            attempts += 1;
            // From the end on, the clock stands still.
            Err::<(), _>(Moves(manual.clone(), if attempts == 1 { Duration::MAX } else { ZERO }))
        });
        assert!(matches!(failed, Err(RetryError::GaveUp { attempts: 4, reason: RetryReason::Exhausted, .. })));
    });
}

#[test]
fn g1_a_clock_that_stands_still_does_not_make_attempts_endless() {
    let retry = Retry::fixed(ZERO).max_attempts(10_000).max_elapsed(ZERO);
    let mut attempts = 0;
    let failed = retry.call(&still(), || {
        attempts += 1;
        Err::<(), _>(attempts)
    });
    assert_eq!(failed.unwrap_err().into_last(), Some(10_000));
    let failed = Retry::fixed(NANO).max_elapsed(ZERO).call(&still(), || Err::<(), _>(()));
    assert!(matches!(failed, Err(RetryError::GaveUp { attempts: 1, reason: RetryReason::TooLate, .. })));
}

#[test]
fn g1_a_clock_that_jumps_by_a_year_makes_one_retry_due() {
    within(|| {
        let manual = ManualClock::new();
        let begun = manual.now();
        let mut begins = Vec::new();
        let failed = Retry::exponential(SECOND).max_attempts(5).call(&Clock::from(&manual), || {
            begins.push(manual.now() - begun);
            Err::<(), _>(Moves(manual.clone(), YEAR))
        });
        assert!(failed.is_err());
        assert_eq!(begins, [0, 1, 2, 3, 4].map(|n| n * YEAR));
        // A year in the middle of an attempt is too long, and the delay after it begins when it ends.
        for (max_elapsed, attempts) in [(YEAR - NANO, 1), (YEAR + SECOND - NANO, 1), (YEAR + SECOND, 2)] {
            let retry = Retry::fixed(SECOND).max_elapsed(max_elapsed);
            let failed = retry.call(&Clock::from(&manual), || {
                manual.advance(YEAR);
                Err::<(), _>(Moves(manual.clone(), SECOND))
            });
            let Err(RetryError::GaveUp { attempts: made, reason, .. }) = failed else { panic!("{failed:?}") };
            assert_eq!((made, reason), (attempts, RetryReason::TooLate));
        }
    });
}

#[test]
fn g1_a_year_at_once_makes_each_item_of_a_service_due_once() {
    within(|| {
        let clock = ManualClock::new();
        let builder = FanOut::builder(|n: u64| Err::<(), _>(n)).workers(2);
        let (input, output) = builder.retry(Retry::fixed(SECOND).max_attempts(4)).clock(&clock).start().unwrap();
        let control = input.control();
        (0..100).for_each(|n| _ = input.send(n).unwrap());
        for turn in 0..3 {
            while control.counts().retried < 100 * turn {
                std::thread::yield_now();
            }
            until_put_off(&control, 100);
            assert_eq!(control.counts().retried, 100 * turn);
            clock.advance(YEAR);
        }
        drop(input);
        assert!(output.map(|outcome| outcome.attempts).eq([4; 100]));
    });
}

#[test]
fn g1_items_that_wait_for_all_time_end_with_a_stop() {
    within(|| {
        let clock = ManualClock::new();
        let builder = FanOut::builder(|n: u64| Err::<(), _>(n)).workers(1).clock(&clock);
        let (input, output) = builder.retry(Retry::fixed(Duration::MAX)).start().unwrap();
        let control = input.control();
        (0..10).for_each(|n| _ = input.send(n).unwrap());
        until_put_off(&control, 10);
        clock.advance(YEAR);
        assert_eq!((control.put_off(), control.counts().retried), (10, 0));
        control.stop();
        assert!(output.map(|outcome| outcome.result.unwrap_err().is_cancelled()).eq([true; 10]));
    });
}

#[test]
fn g4_a_choice_of_errors_that_panics_is_a_no_and_the_error_is_kept() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let retry = Retry::fixed(ZERO).max_attempts(5).retry_if(move |error| {
        if counter.fetch_add(1, Ordering::Relaxed) == 1 {
            quiet_panic(Bomb);
        }
        *error < 10
    });
    let mut attempts = 0;
    let failed = retry.call(&still(), || {
        attempts += 1;
        Err::<(), _>(attempts)
    });
    assert!(matches!(failed, Err(RetryError::GaveUp { attempts: 2, last: 2, reason: RetryReason::Unwanted })));
    // It is asked again by the next call.
    attempts = 0;
    let failed = retry.call(&still(), || {
        attempts += 1;
        Err::<(), _>(attempts)
    });
    assert!(matches!(failed, Err(RetryError::GaveUp { attempts: 5, reason: RetryReason::Exhausted, .. })));
    assert_eq!(asked.load(Ordering::Relaxed), 6);
}

#[test]
fn g4_a_choice_of_errors_or_a_key_that_blocks_stops_only_its_own_item() {
    within(|| {
        for in_key in [false, true] {
            let (inside, blocked) = mpsc::channel();
            let (go, gate) = mpsc::channel::<()>();
            let (inside, gate) = (Mutex::new(inside), Mutex::new(gate));
            let hold = move |n: u64| {
                if n == 0 {
                    inside.lock().unwrap().send(()).unwrap();
                    gate.lock().unwrap().recv().unwrap();
                }
            };
            let builder = FanOut::builder(|n: u64| if n == 0 { Err(n) } else { Ok(n) }).workers(2);
            let builder = if in_key {
                let limits = RateLimit::builder(1000, SECOND).burst(1000).build_keyed(1).unwrap();
                builder.rate_by(limits, move |n| {
                    hold(*n);
                    7
                })
            } else {
                builder.retry(Retry::fixed(ZERO).max_attempts(2).retry_if(move |n| {
                    hold(*n);
                    true
                }))
            };
            let (input, mut output) = builder.start().unwrap();
            input.send(0).unwrap();
            blocked.recv().unwrap();
            (1..100).for_each(|n| _ = input.send(n).unwrap());
            let mut others: Vec<u64> = (1..100).map(|_| output.recv().unwrap().result.unwrap()).collect();
            others.sort_unstable();
            assert!(others.into_iter().eq(1..100));
            go.send(()).unwrap();
            let outcome = output.recv().unwrap();
            assert_eq!((outcome.seq, outcome.attempts), (0, if in_key { 1 } else { 2 }));
        }
    });
}

#[test]
fn b2_errors_panics_and_choices_whose_drop_panics_harm_nobody() {
    let bomb = Bomb;
    let retry = Retry::fixed(ZERO).retry_panics().max_attempts(4).retry_if(move |_: &Bomb| {
        let _ = &bomb;
        true
    });
    let mut attempts = 0;
    let done = retry.call(&still(), || {
        attempts += 1;
        match attempts {
            1 => Err(Bomb),
            2 => quiet_panic(Bomb),
            3 => Err(Bomb),
            _ => Ok(attempts),
        }
    });
    assert!(matches!(done, Ok(4)));
    drop(retry.clone());
    drop(retry);
}
