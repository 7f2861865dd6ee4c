//! What a pool says of itself.

use crate::helpers::{pool, quiet_panic, within};
use fanpool::testing::ManualClock;
use fanpool::{CancelToken, Elastic, Observed, Pool, WorkerState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

#[test]
fn workers_are_shown_by_state_with_what_they_run() {
    within(|| {
        let pool = pool(3);
        let group = pool.group().name("import").build().unwrap();
        let (started, begins) = mpsc::channel();
        let (release, waits) = mpsc::channel::<()>();
        let (open, held) = mpsc::channel::<()>();
        let blocks = started.clone();
        group
            .spawn(move || {
                fanpool::blocking(|| {
                    blocks.send(()).unwrap();
                    waits.recv().unwrap();
                });
            })
            .unwrap();
        pool.spawn(move || {
            started.send(()).unwrap();
            held.recv().unwrap();
        })
        .unwrap();
        begins.recv().unwrap();
        begins.recv().unwrap();
        let metrics = pool.metrics();
        assert_eq!((metrics.of, metrics.name.as_str()), (Observed::Pool, "fanpool"));
        let workers = metrics.workers;
        assert_eq!((workers.total(), workers.busy, workers.blocked), (3, 1, 1));
        assert_eq!((metrics.running, metrics.tasks.accepted, metrics.tasks.ended()), (2, 2, 0));
        let blocked = metrics.per_worker.iter().find(|worker| worker.state == WorkerState::Blocked).unwrap();
        assert_eq!(blocked.group.as_deref(), Some("import"));
        assert!(blocked.busy_for.is_some());
        release.send(()).unwrap();
        open.send(()).unwrap();
        pool.wait_idle().unwrap();
        let after = pool.metrics();
        assert_eq!((after.tasks.finished, after.running, after.queued), (2, 0, 0));
        assert_eq!(after.per_worker.iter().map(|worker| worker.ran).sum::<u64>(), 2);
        assert!(after.per_worker.iter().any(|worker| worker.busy > Duration::ZERO));
    });
}

#[test]
fn the_oldest_wait_grows_while_a_task_waits() {
    let clock = ManualClock::new();
    let pool = Pool::builder().workers(1).clock(&clock).build().unwrap();
    pool.pause();
    assert_eq!(pool.metrics().oldest_wait, None);
    pool.spawn(|| ()).unwrap();
    assert_eq!(pool.metrics().oldest_wait, Some(Duration::ZERO));
    clock.advance(Duration::from_secs(3));
    pool.spawn(|| ()).unwrap();
    let metrics = pool.metrics();
    assert_eq!((metrics.queued, metrics.oldest_wait), (2, Some(Duration::from_secs(3))));
    pool.resume();
    pool.wait_idle().unwrap();
    assert_eq!(pool.metrics().oldest_wait, None);
}

#[test]
fn what_is_handed_back_is_counted() {
    let pool = pool(1);
    pool.close();
    assert!(pool.spawn(|| ()).is_err());
    assert!(pool.try_submit(|| ()).is_err());
    let tasks = pool.metrics().tasks;
    assert_eq!((tasks.refused, tasks.accepted), (2, 0));
}

#[test]
fn all_counters_add_up_after_a_million_tasks_on_a_pool_that_changes_its_size() {
    const ROUNDS: usize = 1000;
    const EACH: usize = 250;
    within(|| {
        let clock = ManualClock::new();
        let pool = Pool::builder().workers(Elastic::new(0, 4)).clock(&clock).build().unwrap();
        let over = AtomicBool::new(false);
        let token = CancelToken::new();
        let cancelled = pool.group().cancel(&token).build().unwrap();
        token.cancel();
        std::thread::scope(|s| {
            s.spawn(|| {
                for step in 0.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    clock.advance(Duration::from_millis(if step % 8 == 0 { 11_000 } else { 5 }));
                    let _ = pool.resize(1 + step % 4);
                }
            });
            s.spawn(|| {
                let mut last = pool.metrics();
                while !over.load(Ordering::Relaxed) {
                    let now = pool.metrics();
                    assert!(now.tasks.finished >= last.tasks.finished, "counters never fall");
                    assert!(now.tasks.panicked >= last.tasks.panicked);
                    assert!(now.tasks.accepted >= last.tasks.accepted, "{now:?} after {last:?}");
                    assert!(now.tasks.accepted >= now.tasks.ended());
                    assert!(now.workers.total() - now.workers.leaving <= 4);
                    last = now;
                }
            });
            for _ in 0..ROUNDS {
                (0..EACH).for_each(|_| pool.spawn(|| ()).unwrap());
                (0..EACH).for_each(|_| cancelled.spawn(|| unreachable!()).unwrap());
                pool.scope(|s| (0..EACH).for_each(|_| s.spawn(|| ())));
                (0..EACH - 1).for_each(|n| assert_eq!(pool.submit(move || n).join().unwrap(), n));
                pool.spawn(|| quiet_panic("one")).unwrap();
            }
            pool.wait_idle().unwrap();
            over.store(true, Ordering::Relaxed);
        });
        let tasks = pool.metrics().tasks;
        let expected = [ROUNDS * (3 * EACH - 1), ROUNDS, ROUNDS * EACH, 0].map(|count| count as u64);
        assert_eq!([tasks.finished, tasks.panicked, tasks.cancelled, tasks.discarded], expected);
        assert_eq!(tasks.accepted, 1_000_000);
        let receipt = pool.shutdown().tasks;
        assert_eq!([receipt.ran, receipt.panicked, receipt.cancelled].map(|count| count as u64), expected[..3]);
    });
}

#[test]
fn what_came_to_a_group_that_is_gone_counts() {
    within(|| {
        let pool = pool(1);
        let group = pool.group().build().unwrap();
        (0..10).for_each(|_| group.spawn(|| ()).unwrap());
        pool.wait_idle().unwrap();
        drop(group);
        pool.pause();
        (0..5).for_each(|_| pool.spawn(|| ()).unwrap());
        // A snapshot in the moment in which it goes may miss it.
        while pool.metrics().tasks.accepted < 15 {
            std::thread::yield_now();
        }
        let tasks = pool.metrics().tasks;
        assert_eq!((tasks.accepted, tasks.ended()), (15, 10));
        pool.resume();
    });
}

#[test]
fn a_snapshot_may_be_taken_from_anywhere() {
    within(|| {
        let pool = Arc::new(pool(2));
        let inner = pool.clone();
        assert_eq!(pool.submit(move || inner.metrics().workers.total()).join().unwrap(), 2);
        pool.pause();
        assert_eq!(pool.metrics().workers.total(), 2);
        pool.resume();
        pool.scope(|s| s.spawn(|| assert!(pool.metrics().running > 0)));
    });
}
