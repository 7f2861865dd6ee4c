//! What failures do to a run: scopes, maps and services alike.

use super::{pool, quiet_panic, within};
use fanpool::{Errors, OnError, Pool, TaskError};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Ten tasks, one after the other, of which `fails` tell which fail; how many were started, and what came of it.
fn strand(
    pool: &Pool,
    on_error: OnError,
    fails: impl Fn(usize) -> bool + Copy + Send,
) -> (usize, Result<(), Errors<usize>>) {
    let started = AtomicUsize::new(0);
    let group = pool.group().limit(1).build().unwrap();
    let result = group.try_scope(on_error, |s| {
        for n in 0..10 {
            let started = &started;
            s.spawn(move || {
                started.fetch_add(1, Ordering::Relaxed);
                if fails(n) { Err(n) } else { Ok(()) }
            });
        }
    });
    (started.into_inner(), result)
}

#[test]
fn a_limit_tolerates_as_many_failures_as_it_says() {
    within(|| {
        let pool = pool(1);
        let (started, result) = strand(&pool, OnError::Limit(2), |n| n == 3 || n == 5);
        assert!(started == 10 && result.is_ok());
        let (started, result) = strand(&pool, OnError::Limit(2), |n| n >= 3);
        let errors = result.unwrap_err();
        assert_eq!((started, errors.count(), errors.cancelled()), (6, 3, 4));
        let (started, result) = strand(&pool, OnError::Limit(0), |n| n == 0);
        assert_eq!((started, result.unwrap_err().cancelled()), (1, 9));
        let (started, result) = strand(&pool, OnError::Limit(usize::MAX), |_| true);
        assert!(started == 10 && result.is_ok());
    });
}

#[test]
fn a_share_is_looked_at_once_enough_have_ended_and_at_the_end() {
    within(|| {
        let pool = pool(1);
        let share = |percent, after| OnError::Share { percent, after };
        // Two of four are half, which is not more.
        let (started, result) = strand(&pool, share(50, 4), |n| n < 2);
        assert!(started == 10 && result.is_ok());
        let (started, result) = strand(&pool, share(50, 4), |n| n < 3);
        assert_eq!((started, result.unwrap_err().count()), (4, 3));
        // Too few have ended before the end.
        let (started, result) = strand(&pool, share(20, 100), |n| n < 3);
        assert_eq!((started, result.unwrap_err().count()), (10, 3));
        let (started, result) = strand(&pool, share(100, 0), |_| true);
        assert!(started == 10 && result.is_ok());
        let (started, result) = strand(&pool, share(0, 0), |n| n == 0);
        assert_eq!((started, result.unwrap_err().count()), (1, 1));
    });
}

#[test]
fn the_first_success_cancels_the_losers() {
    within(|| {
        let pool = pool(1);
        let (started, result) = strand(&pool, OnError::FirstSuccess, |n| n < 4);
        assert!(started == 5 && result.is_ok());
        let (started, result) = strand(&pool, OnError::FirstSuccess, |_| true);
        let errors = result.unwrap_err();
        assert_eq!((started, errors.count(), errors.cancelled()), (10, 10, 0));
        // A race without runners has no winner.
        assert!(pool.try_scope(OnError::FirstSuccess, |_: &fanpool::TryScope<'_, '_, ()>| ()).unwrap_err().is_empty());
    });
}

#[test]
fn the_value_and_every_error_can_be_had_together() {
    within(|| {
        let pool = pool(2);
        let (value, errors) = pool.try_scope_with(OnError::CollectAll, |s| {
            s.spawn(|| Err("failed"));
            s.spawn(|| quiet_panic("panicked"));
            s.spawn(|| Ok(()));
            "value"
        });
        assert_eq!((value, errors.count()), ("value", 2));
        assert_eq!(errors.to_string(), "2 failed; the first, number 0: failed");
        let kinds: Vec<_> = errors.into_iter().map(|(number, error)| (number, error.is_panicked())).collect();
        assert_eq!(kinds, [(0, false), (1, true)]);
    });
}

#[test]
fn of_very_many_errors_those_with_the_lowest_numbers_are_kept() {
    within(|| {
        let pool = pool(2);
        let errors = pool
            .try_scope(OnError::CollectAll, |s| (0..10_000_usize).for_each(|n| s.spawn(move || Err(n))))
            .unwrap_err();
        assert_eq!(errors.count(), 10_000);
        assert!(errors.into_failed().into_iter().eq((0..1_000).map(|n| (n, n))));
    });
}

#[test]
fn kinds_of_errors_tell_what_they_are() {
    let rejected: TaskError<&str> =
        TaskError::Rejected(fanpool::Rejection::BreakerOpen { retry_after: std::time::Duration::from_millis(1500) });
    let texts = [
        (TaskError::Failed("no route"), "no route"),
        (TaskError::Expired, "the deadline passed before it was done"),
        (TaskError::Cancelled, "it was stopped before it was done"),
        (rejected, "it was rejected: the circuit breaker is open for another 1.5s"),
    ];
    for (at, (error, text)) in texts.into_iter().enumerate() {
        assert_eq!(error.to_string(), text);
        let is =
            [error.is_failed(), error.is_expired(), error.is_cancelled(), error.is_rejected(), error.is_panicked()];
        assert!(is.iter().enumerate().all(|(kind, is)| *is == (kind == at)), "{error:?}");
    }
}
