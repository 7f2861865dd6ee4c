//! Section B: tasks.

use super::{Bomb, Counted, pool, quiet_panic, within};
use fanpool::{JoinError, RefusedReason, ResizeError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};

#[test]
fn b1_panics_of_any_payload_leave_the_worker_and_exact_counts() {
    within(|| {
        let pool = pool(1);
        pool.spawn(|| quiet_panic("text")).unwrap();
        pool.spawn(|| quiet_panic(String::from("owned"))).unwrap();
        pool.spawn(|| ()).unwrap();
        pool.spawn(|| quiet_panic(42_u64)).unwrap();
        pool.wait_idle().unwrap();
        assert_eq!((pool.counts().ran, pool.counts().panicked), (1, 3));

        match pool.submit(|| quiet_panic(vec![1, 2, 3])).join() {
            Err(JoinError::Panicked(panicked)) => {
                assert_eq!(panicked.into_payload().downcast_ref(), Some(&vec![1, 2, 3]));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(pool.broadcast(|worker| worker).unwrap(), [0]);
    });
}

#[test]
fn b2_drops_that_panic_are_contained() {
    within(|| {
        let pool = pool(2);
        // A payload, a capture, and a result, each of which panics when it is dropped.
        pool.spawn(|| quiet_panic(Bomb)).unwrap();
        let captured = Bomb;
        pool.spawn(move || drop(captured)).unwrap();
        // Of the handle and the task the last has the result: its panic may be that of who drops the handle.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(pool.submit(|| Bomb))));
        pool.wait_idle().unwrap();
        assert_eq!(pool.counts().ran + pool.counts().panicked, 3);
        assert!(pool.counts().panicked >= 2);

        // In a scope several: one is thrown, the others are dropped by the library.
        let caught = catch_unwind(AssertUnwindSafe(|| {
            pool.scope(|s| (0..10).for_each(|_| s.spawn(|| quiet_panic(Bomb))));
        }));
        assert!(catch_unwind(AssertUnwindSafe(|| drop(caught))).is_err(), "the payload arrived whole");
        assert_eq!(pool.broadcast(|_| ()).unwrap().len(), 2);
    });
}

#[test]
fn b3_a_million_panicking_tasks_leave_every_worker_alive() {
    within(|| {
        let pool = pool(2);
        let before = pool.broadcast(|_| std::thread::current().id()).unwrap();
        let caught = catch_unwind(AssertUnwindSafe(|| {
            pool.scope(|s| (0..1_000_000).for_each(|i| s.spawn(move || quiet_panic(i))));
        }));
        assert!(caught.unwrap_err().is::<i32>());
        assert_eq!(pool.counts().panicked, 1_000_000);
        assert_eq!(pool.broadcast(|_| std::thread::current().id()).unwrap(), before, "the same threads");
        // A broadcast ends with the last call; its workers may still be on their way back.
        pool.wait_idle().unwrap();
        assert_eq!((pool.queued(), pool.running()), (0, 0));
    });
}

#[test]
fn b4_captures_of_tasks_that_never_ran_are_dropped_before_the_receipt() {
    within(|| {
        let pool = pool(2);
        let drops = Arc::new(AtomicUsize::new(0));
        pool.pause();
        for _ in 0..100 {
            let captured = Counted(drops.clone());
            pool.spawn(move || unreachable!("{:p}", &captured)).unwrap();
        }
        let captured = Counted(drops.clone());
        let handle = pool.submit(move || drop(captured));
        let receipt = pool.shutdown_now();
        assert_eq!((receipt.tasks.discarded, receipt.tasks.ran), (101, 0));
        assert_eq!(drops.load(Ordering::SeqCst), 101);
        assert!(matches!(handle.join(), Err(JoinError::Discarded)));
    });
}

#[test]
fn b6_a_stuck_task_holds_up_nobody_else() {
    within(|| {
        let pool = pool(2);
        let (release, stuck) = mpsc::channel::<()>();
        pool.spawn(move || assert!(stuck.recv().is_err())).unwrap();
        assert_eq!((0..1000).map(|i| pool.submit(move || i)).map(|h| h.join().unwrap()).sum::<i32>(), 499_500);
        let all: usize = pool.scope(|s| {
            let handles: Vec<_> = (0..100).map(|i| s.submit(move || i)).collect();
            handles.into_iter().map(|handle| handle.join().unwrap()).sum()
        });
        assert_eq!(all, 4950);
        drop(release);
        assert_eq!(pool.shutdown().tasks.ran, 1101);
    });
}

#[test]
fn b7_a_task_may_call_back_into_its_pool() {
    within(|| {
        let pool = Arc::new(pool(2));
        let inner = pool.clone();
        pool.submit(move || {
            inner.spawn(|| ()).unwrap();
            assert_eq!(inner.submit(|| 3).join().unwrap(), 3);
            inner.scope(|s| s.spawn(|| ()));
            inner.resize(3).unwrap();
            inner.resize(1).unwrap();
            inner.pause();
            inner.scope(|s| s.spawn(|| ()));
            inner.resume();
            assert!(inner.wait_idle().is_err());
            assert_eq!(inner.broadcast(|_| ()).unwrap_err().reason(), RefusedReason::WouldDeadlock);
            inner.close();
            assert!(inner.spawn(|| ()).is_err());
            assert!(matches!(inner.resize(2), Err(ResizeError::Closed)));
        })
        .join()
        .unwrap();
    });
}

#[test]
fn b7_the_last_handle_of_a_pool_may_go_on_its_worker_or_in_a_joined_task() {
    within(|| {
        for _ in 0..200 {
            let pool = Arc::new(pool(1));
            let (inner, (done, ended)) = (pool.clone(), mpsc::channel());
            let more = pool.clone();
            pool.spawn(move || {
                more.spawn(move || done.send(()).unwrap()).unwrap();
                drop((inner, more));
            })
            .unwrap();
            drop(pool);
            ended.recv().expect("accepted tasks run even so");

            let pool = Arc::new(super::pool(1));
            let inner = pool.clone();
            let handle = pool.submit(move || drop(inner));
            drop(pool);
            handle.join().unwrap();

            let pool = super::pool(1);
            let owner = Arc::new(Mutex::new(None));
            let inner = owner.clone();
            let handle = pool.submit(move || {
                let mut pool: Option<fanpool::Pool> = None;
                while pool.is_none() {
                    pool = inner.lock().unwrap().take();
                }
                pool.unwrap().shutdown()
            });
            *owner.lock().unwrap() = Some(pool);
            let receipt = handle.join().unwrap();
            assert_eq!(receipt.threads_joined, 0, "it cannot wait for itself");
        }
    });
}

#[test]
fn b8_scopes_nest_64_deep_on_one_worker() {
    fn nest(pool: &fanpool::Pool, depth: usize) -> usize {
        if depth == 0 {
            return 0;
        }
        pool.scope(|s| {
            let inner = s.submit(|| nest(pool, depth - 1));
            s.spawn(|| ());
            inner.join().unwrap() + 1
        })
    }
    within(|| {
        let pool = Arc::new(pool(1));
        let inner = pool.clone();
        assert_eq!(pool.submit(move || nest(&inner, 64)).join().unwrap(), 64);
        assert_eq!(nest(&pool, 64), 64);
    });
}

#[test]
fn b8_a_chain_of_a_million_spawns_ends() {
    fn link<'scope>(s: &'scope fanpool::Scope<'scope, '_>, left: usize, count: &'scope AtomicUsize) {
        count.fetch_add(1, Ordering::Relaxed);
        if left > 1 {
            s.spawn(move || link(s, left - 1, count));
        }
    }
    within(|| {
        for workers in [1, 2] {
            let (pool, count) = (pool(workers), AtomicUsize::new(0));
            pool.scope(|s| link(s, 1_000_000, &count));
            assert_eq!(count.into_inner(), 1_000_000);
        }
    });
}

#[test]
fn b9_no_unrelated_task_runs_on_the_stack_of_a_task_that_holds_a_lock() {
    within(|| {
        for _ in 0..50 {
            let pool = pool(2);
            let (lock, both) = (Mutex::new(0), Barrier::new(2));
            pool.scope(|outer| {
                outer.spawn(|| {
                    let mut held = lock.lock().unwrap();
                    pool.scope(|inner| {
                        inner.spawn(|| {
                            both.wait();
                        });
                        inner.spawn(|| {
                            both.wait();
                            outer.spawn(|| *lock.lock().unwrap() += 1);
                        });
                    });
                    *held += 1;
                });
            });
            assert_eq!(lock.into_inner().unwrap(), 2);
        }
    });
}

#[test]
fn b10_a_drop_during_unwinding_may_submit() {
    struct Submits(Arc<fanpool::Pool>, mpsc::Sender<()>);
    impl Drop for Submits {
        fn drop(&mut self) {
            let done = self.1.clone();
            self.0.spawn(move || done.send(()).unwrap()).unwrap();
        }
    }
    within(|| {
        let (done, ended) = mpsc::channel();
        let pool = Arc::new(pool(1));
        let captured = Submits(pool.clone(), done);
        pool.spawn(move || {
            let _captured = &captured;
            quiet_panic("unwinds through the capture")
        })
        .unwrap();
        ended.recv().unwrap();
        pool.wait_idle().unwrap();
        let tasks = Arc::into_inner(pool).unwrap().shutdown().tasks;
        assert_eq!((tasks.ran, tasks.panicked), (1, 1));
    });
}

#[test]
fn b10_a_thread_local_destructor_may_submit_to_a_closed_pool() {
    thread_local!(static LOCAL: std::cell::RefCell<Option<Submits>> = const { std::cell::RefCell::new(None) });
    struct Submits(std::sync::Weak<fanpool::Pool>, mpsc::Sender<()>);
    impl Drop for Submits {
        fn drop(&mut self) {
            if let Some(pool) = self.0.upgrade() {
                let _ = pool.spawn(|| ());
            }
            let _ = self.1.send(());
        }
    }
    within(|| {
        let (done, ended) = mpsc::channel();
        let pool = Arc::new(pool(1));
        let weak = Arc::downgrade(&pool);
        pool.spawn(move || LOCAL.with(|local| *local.borrow_mut() = Some(Submits(weak, done)))).unwrap();
        pool.wait_idle().unwrap();
        drop(pool);
        ended.try_recv().expect("dropping the pool waits for the thread's locals");
    });
}
