//! Section C: waiting and scopes.

use super::{Counted, pool, quiet_panic, within};
use fanpool::{JoinError, OnError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::time::Duration;

#[test]
fn c1_a_panic_of_the_body_waits_for_the_tasks() {
    within(|| {
        let (pool, ran) = (pool(2), AtomicUsize::new(0));
        let caught = catch_unwind(AssertUnwindSafe(|| {
            pool.scope(|s| {
                for _ in 0..1000 {
                    s.spawn(|| {
                        ran.fetch_add(1, Ordering::SeqCst);
                    });
                }
                s.spawn(|| quiet_panic("of a task"));
                quiet_panic("of the body")
            })
        }));
        assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"of the body"));
        assert_eq!(ran.into_inner(), 1000);
    });
}

#[test]
fn c2_one_panic_is_thrown_and_the_others_are_counted() {
    within(|| {
        let pool = pool(2);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            pool.scope(|s| (0..100).for_each(|i| s.spawn(move || quiet_panic(i))));
        }));
        assert!(caught.unwrap_err().is::<i32>());
        assert_eq!(pool.counts().panicked, 100);
    });
}

#[test]
fn c2_a_try_scope_tells_every_error_and_panic_by_index() {
    within(|| {
        let pool = pool(2);
        let failures = pool
            .try_scope(OnError::CollectAll, |s| {
                for i in 0..30 {
                    s.spawn(move || match i % 3 {
                        0 => Ok(()),
                        1 => Err(i),
                        _ => quiet_panic(i),
                    });
                }
            })
            .unwrap_err();
        assert_eq!((failures.count(), failures.cancelled()), (20, 0));
        let panics = failures.iter().filter(|(_, error)| error.is_panicked());
        assert!(panics.map(|(index, _)| *index).eq((2..30).step_by(3)));
        assert!(failures.into_failed().into_iter().eq((1..30).step_by(3).map(|index| (index, index))));
        let counts = pool.counts();
        assert_eq!((counts.ran, counts.panicked, counts.cancelled), (20, 10, 0));
    });
}

#[test]
fn c2_fail_fast_drops_what_has_not_started() {
    within(|| {
        let pool = pool(1);
        let drops = Arc::new(AtomicUsize::new(0));
        // In a strand the order is known.
        let strand = pool.group().limit(1).build().unwrap();
        let failures = strand
            .try_scope(OnError::FailFast, |s| {
                s.spawn(|| Ok(()));
                s.spawn(|| Err("first"));
                for _ in 0..10 {
                    let captured = Counted(drops.clone());
                    s.spawn(move || unreachable!("{:p}", &captured));
                }
            })
            .unwrap_err();
        assert_eq!((failures.count(), failures.cancelled()), (1, 10));
        assert_eq!(failures.into_failed(), [(1, "first")]);
        assert_eq!(drops.load(Ordering::SeqCst), 10);
        assert_eq!((pool.counts().ran, pool.counts().cancelled), (2, 10));
        assert_eq!(pool.try_scope(OnError::FailFast, |s| s.spawn(|| Ok::<(), ()>(()))).unwrap(), ());
    });
}

#[test]
fn c3_a_forgotten_handle_changes_nothing() {
    within(|| {
        let (pool, mut value) = (pool(2), 0);
        pool.scope(|s| std::mem::forget(s.submit(|| value += 1)));
        assert_eq!(value, 1);
    });
}

#[test]
fn c4_a_task_that_joins_itself_is_told() {
    within(|| {
        let pool = pool(1);
        let (send, receive) = mpsc::channel::<fanpool::Handle<bool>>();
        let handle = pool.submit(move || matches!(receive.recv().unwrap().join(), Err(JoinError::WouldDeadlock)));
        let (told, tell) = mpsc::channel();
        // The handle is in the task's own hands, so another task reports.
        let watch = pool.submit(move || told.send(()).unwrap());
        send.send(handle).unwrap();
        tell.recv().unwrap();
        watch.join().unwrap();
        assert_eq!(pool.shutdown().tasks.ran, 2);
    });
}

#[test]
fn c4_a_strand_that_waits_for_its_own_successor_is_told() {
    within(|| {
        let pool = Arc::new(pool(2));
        let strand = pool.group().limit(1).build().unwrap();
        let (send, receive) = mpsc::channel::<fanpool::Handle<()>>();
        let first = strand.submit(move || matches!(receive.recv().unwrap().join(), Err(JoinError::WouldDeadlock)));
        send.send(strand.submit(|| ())).unwrap();
        assert!(first.join().unwrap());
    });
}

#[test]
fn c4_handles_are_joined_late_from_elsewhere_or_dropped() {
    within(|| {
        let pool = pool(1);
        let late = pool.submit(|| 1);
        drop(pool.submit(|| 2));
        let elsewhere = pool.submit(|| 3);
        let joiner = std::thread::spawn(move || elsewhere.join().unwrap());
        assert_eq!(pool.shutdown().tasks.ran, 3);
        assert_eq!((late.join().unwrap(), joiner.join().unwrap()), (1, 3));
    });
}

#[test]
fn c5_a_scope_ends_on_a_paused_a_closed_and_a_stuck_pool() {
    within(|| {
        let pool = pool(1);
        let (release, stuck) = mpsc::channel::<()>();
        let (started, wait) = mpsc::channel();
        pool.spawn(move || {
            started.send(()).unwrap();
            assert!(stuck.recv().is_err());
        })
        .unwrap();
        wait.recv().unwrap();
        let ran = AtomicUsize::new(0);
        let scope = || {
            pool.scope(|s| {
                for _ in 0..100 {
                    s.spawn(|| {
                        ran.fetch_add(1, Ordering::SeqCst);
                    });
                }
            });
        };
        scope();
        pool.pause();
        scope();
        pool.close();
        scope();
        assert_eq!(ran.load(Ordering::SeqCst), 300);
        drop(release);
        assert_eq!(pool.shutdown().tasks.ran, 301);
    });
}

#[test]
fn c6_timeouts_of_zero_poll_and_the_longest_never_ends() {
    within(|| {
        let pool = pool(1);
        let (release, stuck) = mpsc::channel::<()>();
        let handle = pool.submit(move || stuck.recv().is_err());
        let handle = handle.join_timeout(Duration::ZERO).unwrap_err();
        let handle = handle.try_join().unwrap_err();
        assert!(!handle.is_finished());
        drop(release);
        assert!(handle.join_timeout(Duration::MAX).unwrap().unwrap());
        assert!(pool.shutdown_timeout(Duration::MAX).threads_busy.is_empty());
    });
}

#[test]
fn c7_a_thousand_scopes_at_once_from_a_thousand_threads() {
    within(|| {
        let (pool, all, ran) = (Arc::new(pool(2)), Arc::new(Barrier::new(1000)), Arc::new(AtomicUsize::new(0)));
        let threads: Vec<_> = (0..1000)
            .map(|_| {
                let (pool, all, ran) = (pool.clone(), all.clone(), ran.clone());
                let body = move || {
                    all.wait();
                    pool.scope(|s| {
                        for _ in 0..10 {
                            s.spawn(|| {
                                ran.fetch_add(1, Ordering::SeqCst);
                            });
                        }
                    });
                };
                std::thread::Builder::new().stack_size(256 * 1024).spawn(body).unwrap()
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!((ran.load(Ordering::SeqCst), pool.counts().ran), (10_000, 10_000));
    });
}

#[test]
fn a_large_scope_does_not_starve_small_ones() {
    within(|| {
        let pool = Arc::new(pool(2));
        let start = Arc::new(Barrier::new(8));
        let threads: Vec<_> = (0..8_usize)
            .map(|thread| {
                let (pool, start) = (pool.clone(), start.clone());
                std::thread::spawn(move || {
                    let (tasks, ran) = (if thread == 0 { 1_000_000 } else { 10 }, AtomicUsize::new(0));
                    start.wait();
                    pool.scope(|s| {
                        for _ in 0..tasks {
                            s.spawn(|| {
                                ran.fetch_add(1, Ordering::Relaxed);
                            });
                        }
                    });
                    assert_eq!(ran.into_inner(), tasks);
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(pool.counts().ran, 1_000_070);
    });
}

#[test]
fn a_worker_leaves_a_large_group_when_another_waits() {
    // One worker and endless work in one group: the other group's task is what ends it.
    within(|| {
        fn again(pool: Arc<fanpool::Pool>, stop: Arc<std::sync::atomic::AtomicBool>) {
            if !stop.load(Ordering::SeqCst) {
                let next = pool.clone();
                let _ = next.spawn(move || again(pool, stop));
            }
        }
        let pool = Arc::new(pool(1));
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        again(pool.clone(), stop.clone());
        let other = pool.group().build().unwrap();
        other.spawn(move || stop.store(true, Ordering::SeqCst)).unwrap();
        pool.wait_idle().unwrap();
    });
}
