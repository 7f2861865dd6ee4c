//! Every item that was sent ends in one way, and what ended without a result is a dead letter: whatever handlers do, on a pool that changes
//! its size.

use super::{pool, quiet_panic, setting, within};
use fanpool::testing::ManualClock;
use fanpool::{CircuitBreaker, FanOut, RateLimit, Retry, RetryBudget, SendReason, TaskError};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

const MILLI: Duration = Duration::from_millis(1);

/// A number that looks random and depends on these alone.
fn mix(seed: u64, n: u64) -> u64 {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ n.wrapping_mul(0xd6e8_feb8_6659_fd93);
    for _ in 0..2 {
        x ^= x >> 32;
        x = x.wrapping_mul(0xd6e8_feb8_6659_fd93);
    }
    x ^ x >> 32
}

#[derive(Debug, Default, PartialEq)]
struct Ends {
    finished: u64,
    failed: u64,
    panicked: u64,
    rejected: u64,
    expired: u64,
    cancelled: u64,
}

/// One service of `items` items; with `stops` a handler stops it before the last tenth.
fn round(seed: u64, items: u64, stops: bool) {
    let clock = ManualClock::new();
    let shared = Arc::new(pool(3));
    let resized = shared.clone();
    let letters: Arc<Vec<AtomicU8>> = Arc::new((0..items).map(|_| AtomicU8::new(0)).collect());
    let control: Arc<OnceLock<fanpool::Control<'static>>> = Arc::new(OnceLock::new());
    let calls = Arc::new(AtomicU64::new(0));
    let handler = {
        let (control, calls, clock) = (control.clone(), calls.clone(), clock.clone());
        move |n: u64| {
            let call = calls.fetch_add(1, Ordering::Relaxed);
            if stops && n >= items - items / 10 {
                control.get().unwrap().stop();
            }
            // Now and then the dependency fails for everybody, so that the breaker opens.
            let outage = n / 500 % 20 == 7;
            match mix(seed, call) % 100 {
                0..=4 => Err(n),
                5 => quiet_panic(n),
                // It overruns: time passes while it runs.
                6 => {
                    clock.advance(20 * MILLI);
                    Ok(n)
                }
                _ if outage => Err(n),
                _ => Ok(n),
            }
        }
    };
    let breaker = CircuitBreaker::builder()
        .minimum_calls(50)
        .failure_rate(0.6)
        .open_for(10 * MILLI)
        .probes(2)
        .clock(&clock)
        .build()
        .unwrap();
    let retry = Retry::decorrelated(MILLI, 8 * MILLI)
        .seed(seed)
        .max_attempts(3)
        .retry_panics()
        .budget(RetryBudget::new(0.2, 100).unwrap());
    let rate = RateLimit::builder(100_000, Duration::from_secs(1)).burst(5_000).clock(&clock).build().unwrap();
    let builder = FanOut::builder(handler)
        .pool(shared)
        .window(2_000)
        .key(|n: &u64| n % 97)
        .deadline(50 * MILLI)
        .attempt_timeout(10 * MILLI)
        .rate(rate)
        .breaker(breaker)
        .retry(retry)
        .hedge_after(5 * MILLI)
        .dead_letter({
            let letters = letters.clone();
            move |n, errors| {
                assert!(errors.count() > 0);
                letters[n as usize].fetch_add(1, Ordering::Relaxed);
            }
        })
        .clock(&clock);
    let (input, output) = builder.start().unwrap();
    let control = control.get_or_init(|| output.control());
    let over = AtomicBool::new(false);
    let (sent, outcomes) = std::thread::scope(|threads| {
        threads.spawn(|| {
            let mut turn = 0;
            while !over.load(Ordering::Relaxed) {
                clock.advance(MILLI / 4);
                if turn % 64 == 0 {
                    resized.resize(1 + (mix(seed, turn) % 5) as usize).unwrap();
                }
                turn += 1;
                std::thread::yield_now();
            }
        });
        let feeder = threads.spawn(|| {
            let input = input;
            for n in 0..items {
                if let Err(refused) = input.send(n) {
                    assert_eq!((refused.reason(), refused.into_inner()), (SendReason::Cancelled, n));
                    return n;
                }
            }
            items
        });
        let mut seen = vec![false; items as usize];
        let mut ends = Ends::default();
        let mut dead = Vec::new();
        for outcome in output {
            assert!(!std::mem::replace(&mut seen[outcome.seq as usize], true), "{} ends twice", outcome.seq);
            let end = match outcome.result {
                Ok(n) => {
                    assert_eq!(n, outcome.seq);
                    ends.finished += 1;
                    continue;
                }
                Err(TaskError::Failed(_)) => &mut ends.failed,
                Err(TaskError::Panicked(_)) => &mut ends.panicked,
                Err(TaskError::Rejected(_)) => &mut ends.rejected,
                Err(TaskError::Expired) => &mut ends.expired,
                Err(TaskError::Cancelled) => &mut ends.cancelled,
                Err(error) => panic!("{error:?}"),
            };
            *end += 1;
            dead.push(outcome.seq);
        }
        over.store(true, Ordering::Relaxed);
        let sent = feeder.join().unwrap();
        assert!(seen.iter().take(sent as usize).all(|seen| *seen));
        // Dead letters match: one for each item that ended without a result, and none for the others.
        let mut letter = letters.iter().map(|letters| letters.load(Ordering::Relaxed));
        dead.sort_unstable();
        let mut wanted = dead.iter().copied().peekable();
        for n in 0..items {
            assert_eq!(letter.next(), Some(u8::from(wanted.next_if_eq(&n).is_some())), "letters of {n}");
        }
        (sent, ends)
    });
    let counts = control.wait().unwrap();
    assert_eq!(counts.accepted, sent);
    let told = Ends {
        finished: counts.finished,
        failed: counts.failed,
        panicked: counts.panicked,
        rejected: counts.rejected,
        expired: counts.expired,
        cancelled: counts.cancelled,
    };
    assert_eq!(outcomes, told);
    let Ends { finished, failed, panicked, rejected, expired, cancelled } = outcomes;
    assert_eq!(sent, finished + failed + panicked + rejected + expired + cancelled);
    assert_eq!((counts.discarded, counts.contained, counts.undelivered), (0, 0, 0));
    // A handler that would stop it may not be called at all, if everything expires.
    assert!(stops || cancelled == 0 && sent == items);
}

/// A million items in release builds.
#[test]
fn every_item_ends_once_while_handlers_fail_panic_overrun_and_stop() {
    let items = setting("FANPOOL_ACCOUNTING_ITEMS", if cfg!(debug_assertions) { 100_000 } else { 1_000_000 });
    for (seed, stops) in [(1, false), (2, true), (3, false), (4, true)] {
        within(move || round(seed, items / 4, stops));
    }
}
