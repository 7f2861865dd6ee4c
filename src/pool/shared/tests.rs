//! Times of tasks.

#![cfg(feature = "timings")]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use crate::cancel::CancelToken;
use crate::group::Options;
use crate::observe::{Histograms, Timings};
use crate::panics;
use crate::pool::{NORMAL, Pool, Workers};
use std::time::{Duration, Instant};

fn pool(timings: Timings) -> Pool {
    Pool::builder().workers(Workers::Fixed(2)).timings(timings).build().unwrap()
}

fn times(pool: &Pool) -> Option<Histograms> {
    pool.new_group(Options::new(NORMAL)).host().recorder().map(|recorder| recorder.load())
}

fn counts(pool: &Pool) -> (u64, u64, u64) {
    let times = times(pool).unwrap();
    (times.wait.count(), times.run.count(), times.total.count())
}

#[test]
fn all_or_one_of_some_or_none_are_recorded() {
    for (every, recorded) in [(1, 1000), (10, 100), (7, 143), (5000, 1)] {
        let pool = pool(Timings::every(every));
        (0..1000).for_each(|_| pool.spawn(|| ()).unwrap());
        pool.wait_idle().unwrap();
        assert_eq!(counts(&pool), (recorded, recorded, recorded), "one of {every}");
    }
    assert_eq!(times(&pool(Timings::off())), None);
    assert_eq!(times(&Pool::builder().build().unwrap()), None);
}

#[test]
fn short_lived_groups_share_the_records() {
    let pool = pool(Timings::every(10));
    for _ in 0..100 {
        let group = pool.group().name("short").build().unwrap();
        group.spawn(|| ()).unwrap();
    }
    pool.wait_idle().unwrap();
    let (waits, ..) = counts(&pool);
    assert!((9..=11).contains(&waits), "{waits} of 100");
}

#[test]
fn waiting_and_running_are_told_apart() {
    let pool = pool(Timings::all());
    pool.pause();
    let sent = Instant::now();
    pool.spawn(|| {
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(20) {
            std::hint::spin_loop();
        }
    })
    .unwrap();
    let accepted = Instant::now();
    while accepted.elapsed() < Duration::from_millis(50) {
        std::thread::yield_now();
    }
    let waited = accepted.elapsed();
    pool.resume();
    pool.wait_idle().unwrap();
    let all = sent.elapsed();
    let times = times(&pool).unwrap();
    let (wait, run, total) = (times.wait.max().unwrap(), times.run.max().unwrap(), times.total.max().unwrap());
    assert!(wait >= waited && run >= Duration::from_millis(20), "{wait:?} {run:?}");
    assert!(total >= wait.mul_f64(0.98) + run.mul_f64(0.98) && total <= all.mul_f64(1.02), "{total:?} of {all:?}");
}

#[test]
fn panics_are_recorded_and_what_never_ran_is_not() {
    let pool = pool(Timings::all());
    pool.spawn(|| panics::resume(Box::new("on purpose"))).unwrap();
    let handle = pool.submit(|| panics::resume(Box::new("on purpose")));
    let _: Result<(), _> = handle.join();
    pool.wait_idle().unwrap();
    let ran = counts(&pool).0;
    assert!((1..=2).contains(&ran), "the handle's owner may have run it: {ran}");
    let token = CancelToken::new();
    let group = pool.group().cancel(&token).build().unwrap();
    pool.pause();
    (0..10).for_each(|_| group.spawn(|| unreachable!()).unwrap());
    token.cancel();
    pool.resume();
    pool.wait_idle().unwrap();
    assert_eq!((counts(&pool).0, pool.counts().cancelled), (ran, 10));
}

#[test]
fn tasks_that_are_recorded_give_what_they_always_give() {
    let pool = pool(Timings::all());
    for round in 0..200 {
        let handles: Vec<_> = (0..20).map(|n| pool.submit(move || n * round)).collect();
        let sum: u64 = handles.into_iter().map(|handle| handle.join().unwrap()).sum();
        assert_eq!(sum, 190 * round);
        let mut numbers = vec![0_u64; 50];
        pool.scope(|s| numbers.iter_mut().enumerate().for_each(|(at, n)| s.spawn(move || *n = at as u64)));
        assert!(numbers.iter().copied().eq(0..50));
        let (one, other) = pool.join(|| 1, || 2);
        assert_eq!(one + other, 3);
    }
    // Each task of a scope once; of those with a handle, and of halves, what was not run by whoever waited.
    let recorded = counts(&pool).0;
    assert!((10_000..=14_200).contains(&recorded), "{recorded}");
    assert!(pool.shutdown().tasks.panicked == 0);
}

#[test]
fn jobs_that_are_discarded_with_the_pool_are_not_recorded() {
    let pool = pool(Timings::all());
    let recorder = pool.new_group(Options::new(NORMAL)).host().recorder().unwrap();
    pool.pause();
    (0..10).for_each(|_| pool.spawn(|| unreachable!()).unwrap());
    assert_eq!(pool.shutdown_now().tasks.discarded, 10);
    assert_eq!(recorder.load().run.count(), 0);
}
