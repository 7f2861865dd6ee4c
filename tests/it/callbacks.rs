//! Section B, further: tasks that turn on the pool that runs them, on a worker and on a thread that joins.

use super::{pool, quiet_panic, within};
use fanpool::{Pool, RefusedReason};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak, mpsc};

fn add(count: &AtomicUsize) {
    count.fetch_add(1, Ordering::SeqCst);
}

/// Every verb of the pool, in a task of it. Returns how many detached tasks it got accepted.
fn call_everything(pool: &Pool) -> usize {
    let ran = AtomicUsize::new(0);
    pool.spawn(|| ()).unwrap();
    assert_eq!(pool.submit(|| 3).join().unwrap(), 3);
    pool.scope(|s| (0..10).for_each(|_| s.spawn(|| add(&ran))));
    pool.resize(3).unwrap();
    pool.resize(1).unwrap();
    pool.pause();
    pool.scope(|s| (0..10).for_each(|_| s.spawn(|| add(&ran))));
    pool.resume();
    assert_eq!(pool.group().limit(1).build().unwrap().submit(|| 4).join().unwrap(), 4);
    assert!(pool.wait_idle().is_err());
    let refused = pool.broadcast(|_| ()).unwrap_err();
    assert_eq!(refused.reason(), RefusedReason::WouldDeadlock);
    pool.close();
    assert_eq!(pool.spawn(|| ()).unwrap_err().reason(), RefusedReason::Closed);
    pool.scope(|s| (0..10).for_each(|_| s.spawn(|| add(&ran))));
    assert_eq!(ran.into_inner(), 30);
    3
}

#[test]
fn b7_a_task_on_a_worker_may_call_every_verb() {
    within(|| {
        let pool = Arc::new(pool(2));
        let (inner, (done, ended)) = (pool.clone(), mpsc::channel());
        pool.spawn(move || {
            let accepted = call_everything(&inner);
            drop(inner);
            done.send(accepted).unwrap();
        })
        .unwrap();
        let accepted = ended.recv().expect("no verb panics");
        let tasks = Arc::into_inner(pool).unwrap().shutdown().tasks;
        assert_eq!((tasks.ran, tasks.panicked), (1 + accepted + 30, 0));
    });
}

#[test]
fn b7_a_task_that_a_foreign_thread_joins_may_call_every_verb() {
    within(|| {
        let pool = Arc::new(pool(2));
        // No worker starts anything, so this thread runs the task when it joins.
        pool.pause();
        let inner = pool.clone();
        let handle = pool.submit(move || {
            let accepted = call_everything(&inner);
            (accepted, inner.current_worker())
        });
        let (accepted, worker) = handle.join().unwrap();
        assert_eq!(worker, None, "it ran here");
        let tasks = Arc::into_inner(pool).unwrap().shutdown().tasks;
        assert_eq!((tasks.ran, tasks.panicked), (1 + accepted + 30, 0));
    });
}

#[test]
fn b7_the_last_handle_may_go_in_a_task_that_a_foreign_thread_joins() {
    within(|| {
        for with_shutdown in [false, true] {
            let pool = Arc::new(pool(2));
            pool.pause();
            let (ran, wait) = mpsc::channel();
            let inner = pool.clone();
            let handle = pool.submit(move || {
                let pool = Arc::into_inner(inner).expect("this is the last");
                if with_shutdown {
                    assert_eq!(pool.shutdown().threads_busy.len(), 2, "they are left to end by themselves");
                }
            });
            pool.spawn(move || ran.send(fanpool::current_worker()).unwrap()).unwrap();
            drop(pool);
            handle.join().unwrap();
            assert!(wait.recv().expect("accepted tasks run even so").is_some());
        }
    });
}

#[test]
fn b7_threads_end_by_themselves_after_their_task_has_shut_the_pool_down() {
    within(|| {
        let (stopped, stops) = mpsc::channel();
        let stopped = std::sync::Mutex::new(stopped);
        let builder = Pool::builder().workers(fanpool::Workers::Fixed(3));
        let pool = builder.on_stop(move |worker| stopped.lock().unwrap().send(worker).unwrap()).build().unwrap();
        let pool = Arc::new(pool);
        let (inner, (go, wait)) = (pool.clone(), mpsc::channel::<()>());
        pool.spawn(move || {
            wait.recv().unwrap();
            let receipt = Arc::into_inner(inner).expect("this is the last").shutdown();
            assert_eq!(receipt.threads_joined + receipt.threads_busy.len(), 3);
        })
        .unwrap();
        drop(pool);
        go.send(()).unwrap();
        let mut left: Vec<_> = stops.iter().take(3).collect();
        left.sort_unstable();
        assert_eq!(left, [0, 1, 2]);
    });
}

#[test]
fn b7_tasks_of_two_pools_may_wait_for_each_other_through_scopes() {
    fn bounce(here: &Pool, there: &Pool, depth: usize) -> usize {
        if depth == 0 { 0 } else { 1 + here.scope(|s| s.submit(|| bounce(there, here, depth - 1)).join().unwrap()) }
    }
    within(|| assert_eq!(bounce(&pool(1), &pool(1), 32), 32));
}

#[test]
fn b8_a_chain_of_a_million_detached_spawns_ends() {
    fn link(pool: Arc<Pool>, left: usize, done: mpsc::Sender<()>) {
        if left == 0 {
            return done.send(()).unwrap();
        }
        let next = pool.clone();
        pool.spawn(move || link(next, left - 1, done)).unwrap();
    }
    within(|| {
        let pool = Arc::new(pool(1));
        let (done, ended) = mpsc::channel();
        link(pool.clone(), 1_000_000, done);
        ended.recv().unwrap();
        pool.wait_idle().unwrap();
        assert_eq!(pool.counts().ran, 1_000_000);
    });
}

#[test]
fn b8_scopes_nest_64_deep_inside_tasks_that_fan_out() {
    fn nest(pool: &Pool, depth: usize, leaves: &AtomicUsize) {
        leaves.fetch_add(1, Ordering::Relaxed);
        if depth > 0 {
            pool.scope(|s| {
                s.spawn(|| nest(pool, depth - 1, leaves));
                (0..4).for_each(|_| s.spawn(|| nest(pool, 0, leaves)));
            });
        }
    }
    within(|| {
        for workers in [1, 2] {
            let (pool, leaves) = (pool(workers), AtomicUsize::new(0));
            pool.scope(|s| s.spawn(|| nest(&pool, 64, &leaves)));
            assert_eq!((leaves.into_inner(), pool.counts().ran), (64 * 5 + 1, 64 * 5 + 1));
        }
    });
}

#[test]
fn b10_a_drop_may_open_a_scope_while_its_task_unwinds() {
    struct Scopes<'a>(&'a Pool, &'a AtomicUsize);
    impl Drop for Scopes<'_> {
        fn drop(&mut self) {
            self.0.scope(|s| (0..100).for_each(|_| s.spawn(|| add(self.1))));
        }
    }
    within(|| {
        let (pool, ran) = (pool(2), AtomicUsize::new(0));
        let caught = catch_unwind(AssertUnwindSafe(|| {
            pool.scope(|s| {
                s.spawn(|| {
                    let _scopes = Scopes(&pool, &ran);
                    quiet_panic("through the scope in `drop`")
                });
            });
        }));
        assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"through the scope in `drop`"));
        assert_eq!(ran.into_inner(), 100);
        assert_eq!((pool.counts().ran, pool.counts().panicked), (100, 1));
    });
}

#[test]
fn b10_a_thread_local_destructor_of_a_retired_worker_may_use_the_live_pool() {
    struct Uses(Weak<Pool>, mpsc::Sender<usize>);
    impl Drop for Uses {
        fn drop(&mut self) {
            let Some(pool) = self.0.upgrade() else { return };
            pool.spawn(|| ()).unwrap();
            let scoped = pool.scope(|s| s.submit(|| 20).join().unwrap());
            let joined = pool.submit(|| 1).join().unwrap();
            let told = usize::from(pool.wait_idle().is_err());
            drop(pool);
            let _ = self.1.send(scoped + joined + told);
        }
    }
    thread_local!(static LOCAL: RefCell<Option<Uses>> = const { RefCell::new(None) });
    within(|| {
        let pool = Arc::new(pool(2));
        let (done, ended) = mpsc::channel();
        let weak = Arc::downgrade(&pool);
        let keep = std::sync::Mutex::new(done);
        pool.broadcast(|worker| {
            if worker == 1 {
                let uses = Uses(weak.clone(), keep.lock().unwrap().clone());
                LOCAL.with(|local| *local.borrow_mut() = Some(uses));
            }
        })
        .unwrap();
        pool.resize(1).unwrap();
        assert_eq!(ended.recv().unwrap(), 22, "everything worked, and waiting was refused");
        pool.wait_idle().unwrap();
    });
}
