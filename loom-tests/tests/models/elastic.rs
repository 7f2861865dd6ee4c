//! Pools that size themselves: growing, shrinking and ending against tasks that come.
//!
//! The clock is set by a thread of the model, which so looks at the pool and lets workers go.

use super::{Flag, Shared, model};
use fanpool::testing::ManualClock;
use fanpool::{Elastic, Pool};
use std::sync::Arc;
use std::time::Duration;

/// Long enough for idle workers to leave.
const LONG: Duration = Duration::from_secs(20);

fn pool(min: usize, max: usize, clock: &ManualClock) -> Pool {
    Pool::builder().workers(Elastic::new(min, max)).clock(clock).build().unwrap()
}

/// Runs a task, and has the alarm look for the first time.
fn run_one(pool: &Pool, clock: &ManualClock, value: &Arc<Shared>) {
    let task = value.clone();
    pool.spawn(move || task.add()).unwrap();
    pool.wait_idle().unwrap();
    clock.advance(Duration::from_millis(10));
}

#[test]
fn a_push_against_the_last_worker_leaving() {
    model(2, || {
        let (clock, value) = (ManualClock::new(), Shared::new());
        let pool = pool(0, 1, &clock);
        run_one(&pool, &clock, &value);
        let later = loom::thread::spawn(move || clock.advance(LONG));
        let (task, done) = (value.clone(), Flag::new());
        let end = done.clone();
        pool.spawn(move || {
            task.add();
            end.set();
        })
        .unwrap();
        done.wait();
        later.join().unwrap();
        assert_eq!(pool.shutdown().tasks.ran, 2);
        assert_eq!(value.get(), 2);
    });
}

#[test]
fn shutdown_against_the_last_worker_leaving() {
    model(2, || {
        let (clock, value) = (ManualClock::new(), Shared::new());
        let pool = pool(0, 1, &clock);
        run_one(&pool, &clock, &value);
        let later = loom::thread::spawn(move || clock.advance(LONG));
        let task = value.clone();
        pool.spawn(move || task.add()).unwrap();
        let receipt = pool.shutdown();
        assert_eq!((receipt.tasks.ran, receipt.threads_busy.len()), (2, 0));
        assert_eq!(value.get(), 2);
        later.join().unwrap();
    });
}

#[test]
fn growing_against_shutdown() {
    model(2, || {
        let (clock, values) = (ManualClock::new(), [Shared::new(), Shared::new()]);
        let pool = pool(1, 2, &clock);
        for value in &values {
            let task = value.clone();
            pool.spawn(move || task.add()).unwrap();
        }
        let later = loom::thread::spawn(move || {
            clock.advance(Duration::from_millis(10));
            clock.advance(Duration::from_millis(10));
        });
        let receipt = pool.shutdown();
        assert_eq!((receipt.tasks.ran, receipt.threads_busy.len()), (2, 0));
        assert_eq!(values.map(|value| value.get()), [1, 1]);
        later.join().unwrap();
    });
}

#[test]
fn shrinking_against_a_push_and_shutdown() {
    model(1, || {
        let (clock, value) = (ManualClock::new(), Shared::new());
        let pool = pool(1, 2, &clock);
        pool.resize(2).unwrap();
        clock.advance(Duration::from_millis(10));
        let later = loom::thread::spawn(move || clock.advance(LONG));
        let task = value.clone();
        pool.spawn(move || task.add()).unwrap();
        let receipt = pool.shutdown();
        assert_eq!((receipt.tasks.ran, receipt.threads_busy.len()), (1, 0));
        assert_eq!(value.get(), 1);
        later.join().unwrap();
    });
}

#[test]
fn a_task_that_blocks_is_replaced() {
    model(2, || {
        let clock = ManualClock::new();
        let pool = pool(1, 2, &clock);
        let flag = Flag::new();
        let (waits, sets) = (flag.clone(), flag);
        pool.spawn(move || fanpool::blocking(|| waits.wait())).unwrap();
        pool.spawn(move || sets.set()).unwrap();
        assert_eq!(pool.shutdown().tasks.ran, 2);
    });
}

#[test]
fn blocking_against_a_smaller_size() {
    model(1, || {
        let clock = ManualClock::new();
        let pool = pool(1, 2, &clock);
        pool.resize(2).unwrap();
        let flag = Flag::new();
        let (waits, sets) = (flag.clone(), flag);
        pool.spawn(move || fanpool::blocking(|| waits.wait())).unwrap();
        pool.resize(1).unwrap();
        pool.spawn(move || sets.set()).unwrap();
        assert_eq!(pool.shutdown().tasks.ran, 2);
    });
}

#[test]
fn a_smaller_size_against_idle_workers_leaving() {
    model(1, || {
        let clock = ManualClock::new();
        let pool = Arc::new(pool(1, 2, &clock));
        pool.resize(2).unwrap();
        // Both workers come to rest, for most executions.
        loom::thread::yield_now();
        loom::thread::yield_now();
        clock.advance(Duration::from_millis(10));
        let other = pool.clone();
        let smaller = loom::thread::spawn(move || other.resize(1).unwrap());
        clock.advance(LONG);
        smaller.join().unwrap();
        assert_eq!(pool.workers(), 1);
        assert_eq!(Arc::into_inner(pool).unwrap().shutdown().threads_busy.len(), 0);
    });
}
