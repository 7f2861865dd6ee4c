//! When a call is tried again, and what it ends with.

use crate::{quiet_panic, within};
use fanpool::testing::ManualClock;
use fanpool::{BuildError, Clock, FanOut, Retry, RetryBudget, RetryError, RetryReason};
use std::error::Error;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
const NANO: Duration = Duration::from_nanos(1);
const ZERO: Duration = Duration::ZERO;

pub(crate) fn still() -> Clock {
    Clock::from(ManualClock::new())
}

/// An error that moves the clock when the next attempt is decided for, since it is dropped then.
#[derive(Debug, Clone)]
pub(crate) struct Moves(pub(crate) ManualClock, pub(crate) Duration);

impl Drop for Moves {
    fn drop(&mut self) {
        self.0.advance(self.1);
    }
}

/// What a policy is refused with: by a call, which makes no attempt and pays no budget, and by a service that does not
/// start.
fn refused(retry: Retry<u64>) -> [BuildError; 2] {
    let budget = RetryBudget::new(1.0, 0).unwrap();
    let retry = retry.budget(budget.clone());
    let call = retry.call(&still(), || -> Result<(), u64> { panic!("an attempt is made") });
    assert_eq!(budget.balance(), 0);
    let Err(RetryError::Build(call)) = call else { panic!("{call:?}") };
    let service = FanOut::builder(|n: u64| Err::<(), _>(n)).workers(1).retry(retry).start();
    [call, service.err().unwrap()]
}

#[test]
fn a1_options_out_of_range_are_refused_with_their_value() {
    for error in refused(Retry::fixed(SECOND).max_attempts(0)) {
        assert_eq!(error.to_string(), "max_attempts is 0; allowed is 1 and more");
        assert!(matches!(error, BuildError::OutOfRange { option: "max_attempts", value: 0, .. }));
    }
    let none = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0];
    let factors = none.into_iter().chain([0.0, 0.5, 1.0 - f64::EPSILON]);
    let factors = factors.map(|x| ("factor", x, "1 and more, but finite", Retry::exponential(SECOND).factor(x)));
    let shares: Vec<f64> = none.into_iter().chain([-f64::MIN_POSITIVE, 1.0 + f64::EPSILON]).collect();
    let jitter = |x| [Retry::fixed(SECOND).jitter(x), Retry::exponential(SECOND).jitter(x)];
    let jitters = shares.iter().flat_map(|x| jitter(*x).map(|retry| ("jitter", *x, "0 to 1", retry)));
    for (name, given, range, retry) in factors.chain(jitters) {
        for error in refused(retry) {
            match error {
                BuildError::NotInRange { option, value, allowed } => {
                    assert_eq!((option, value.to_bits(), allowed), (name, given.to_bits(), range));
                }
                other => panic!("{name} {given}: {other}"),
            }
        }
    }
    for ratio in none.into_iter().chain([-f64::MIN_POSITIVE, 10.0 + 1e-9]) {
        match RetryBudget::new(ratio, 1).unwrap_err() {
            BuildError::NotInRange { option: "ratio", value, allowed: "0 to 10" } => {
                assert_eq!(value.to_bits(), ratio.to_bits());
            }
            other => panic!("{ratio}: {other}"),
        }
    }
}

#[test]
fn a1_options_that_contradict_each_other_are_refused() {
    let drawn = || Retry::decorrelated(SECOND, 2 * SECOND);
    let rows = [
        ("factor", "fixed delay", Retry::fixed(SECOND).factor(2.0)),
        ("max_delay", "fixed delay", Retry::fixed(SECOND).max_delay(SECOND)),
        ("factor", "decorrelated jitter", drawn().factor(2.0)),
        ("jitter", "decorrelated jitter", drawn().jitter(0.5)),
    ];
    for (name, other, retry) in rows {
        for error in refused(retry) {
            assert_eq!(error.to_string(), format!("{name} cannot be combined with this {other}"));
            assert!(matches!(error, BuildError::Conflict { option, with } if (option, with) == (name, other)));
        }
    }
}

#[test]
fn a2_values_at_the_edge_are_allowed() {
    let most = Duration::MAX;
    let policies = [
        Retry::fixed(most).max_attempts(u32::MAX).jitter(0.0),
        Retry::fixed(ZERO).max_attempts(1).jitter(1.0).max_elapsed(ZERO),
        Retry::exponential(most).factor(f64::MAX).max_delay(most).max_elapsed(most),
        Retry::exponential(ZERO).factor(1.0).max_delay(ZERO).jitter(1.0),
        Retry::decorrelated(most, most).max_delay(ZERO),
        Retry::decorrelated(ZERO, ZERO),
    ];
    for retry in policies {
        assert_eq!(retry.call(&still(), || Ok::<_, u64>(7)).unwrap(), 7, "{retry:?}");
    }
    for (ratio, reserve) in [(0.0, 0), (-0.0, 0), (10.0, u32::MAX), (f64::MIN_POSITIVE, u32::MAX)] {
        let budget = RetryBudget::new(ratio, reserve).unwrap();
        assert_eq!(budget.balance(), (reserve as usize).saturating_mul(1000) / 1000);
    }
}

#[test]
fn a_panic_ends_it_unless_it_was_to_be_tried_again() {
    for (retry_panics, attempts) in [(false, 2), (true, 4)] {
        let budget = RetryBudget::new(0.0, 10).unwrap();
        let mut retry = Retry::fixed(ZERO).max_attempts(4).budget(budget.clone());
        // Only errors are asked for.
        retry = retry.retry_if(|error: &usize| *error == 1);
        if retry_panics {
            retry = retry.retry_panics();
        }
        let mut made = 0;
        let call = || {
            retry.call(&still(), || {
                made += 1;
                if made == 1 { Err::<(), _>(made) } else { quiet_panic(made) }
            })
        };
        let payload = catch_unwind(AssertUnwindSafe(call)).unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&attempts));
        assert_eq!((made, budget.balance()), (attempts, 11 - attempts));
    }
}

#[test]
fn errors_are_asked_about_once_and_not_the_last() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let list = asked.clone();
    let retry = Retry::fixed(ZERO).max_attempts(4).retry_if(move |error| {
        list.lock().unwrap().push(*error);
        true
    });
    let mut attempts = 0;
    let failed = retry.call(&still(), || {
        attempts += 1;
        Err::<(), _>(attempts)
    });
    assert_eq!(failed.unwrap_err().into_last(), Some(4));
    assert_eq!(*asked.lock().unwrap(), [1, 2, 3]);
}

/// The first delay of a call, found by halving: a retry is made if it comes no later than `max_elapsed`.
fn first_delay(seed: u64, calls_before: usize) -> Duration {
    let (mut too_short, mut enough) = (ZERO, SECOND);
    while enough - too_short > NANO {
        let middle = too_short + (enough - too_short) / 2;
        let clock = ManualClock::new();
        let retry = Retry::fixed(SECOND).jitter(1.0).seed(seed).max_attempts(2).max_elapsed(middle);
        for _ in 0..calls_before {
            assert!(retry.clone().call(&still(), || Ok(())).is_ok());
        }
        let failed = retry.call(&Clock::from(&clock), || Err::<(), _>(Moves(clock.clone(), SECOND)));
        match failed {
            Err(RetryError::GaveUp { attempts: 2, reason: RetryReason::Exhausted, .. }) => enough = middle,
            Err(RetryError::GaveUp { attempts: 1, reason: RetryReason::TooLate, .. }) => too_short = middle,
            other => panic!("{other:?}"),
        }
    }
    enough
}

#[test]
fn calls_of_one_policy_do_not_come_back_together() {
    within(|| {
        for seed in 0..10 {
            let delays: Vec<Duration> = (0..5).map(|calls_before| first_delay(seed, calls_before)).collect();
            let policy = Retry::<()>::fixed(SECOND).jitter(1.0).seed(seed);
            assert_eq!(policy.delays().next(), Some(delays[0]));
            let mut distinct = delays.clone();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), 5, "{delays:?}");
        }
    });
}

#[test]
fn a_slow_choice_of_errors_is_part_of_the_delay() {
    within(|| {
        let manual = ManualClock::new();
        let (begun, inside) = (manual.now(), manual.clone());
        let retry = Retry::fixed(SECOND).max_attempts(4).max_elapsed(3 * SECOND).retry_if(move |()| {
            inside.advance(SECOND);
            true
        });
        let mut begins = Vec::new();
        let failed = retry.call(&Clock::from(&manual), || {
            begins.push(manual.now() - begun);
            Err::<(), _>(())
        });
        assert!(matches!(failed, Err(RetryError::GaveUp { attempts: 4, .. })));
        assert_eq!(begins, [0, 1, 2, 3].map(|n| n * SECOND));
    });
}

#[test]
fn on_the_system_s_clock_a_call_waits_at_least_its_delays() {
    let retry = Retry::exponential(Duration::from_millis(2)).max_attempts(4);
    let begun = Instant::now();
    assert!(retry.call(&Clock::system(), || Err::<(), _>(())).is_err());
    assert!(begun.elapsed() >= Duration::from_millis(2 + 4 + 8));
}

#[test]
fn errors_say_how_often_it_was_tried_and_why_no_more() {
    let retry = Retry::fixed(ZERO).max_attempts(2);
    let fail =
        |retry: Retry<io::Error>| retry.call(&still(), || Err::<(), _>(io::Error::other("no route"))).unwrap_err();
    let no_budget = RetryBudget::new(0.5, 0).unwrap();
    let rows = [
        (retry.clone(), "all 2 attempts failed: no route"),
        (
            retry.clone().retry_if(|_| false),
            "attempt 1 was the last, because the failure is not one to try again: no route",
        ),
        (
            retry.clone().budget(no_budget),
            "attempt 1 was the last, because the budget for retries is used up: no route",
        ),
        (
            Retry::fixed(SECOND).max_elapsed(ZERO),
            "attempt 1 was the last, because the time for retries is over: no route",
        ),
    ];
    for (retry, text) in rows {
        let error = fail(retry);
        assert_eq!(error.to_string(), text);
        assert_eq!(error.source().unwrap().to_string(), "no route");
        assert_eq!(error.into_last().unwrap().to_string(), "no route");
    }
    let error = fail(retry.max_attempts(0));
    assert!(error.source().is_some_and(|source| source.is::<BuildError>()));
    assert!(error.into_last().is_none());
}
