//! Models of fanpool's protocols, each named after the race that it explores; see `README.md` beside this package.
//!
//! A deadlock is an assertion here: loom reports one whenever no thread can go on. Values are watched with
//! `loom::alloc::Track`, so a captured value that is leaked fails its model too.

use fanpool::{CancelToken, JoinError, Pool, Workers};
use loom::alloc::Track;
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

/// Runs a model within a bound on preemptions, and says how much it explored.
fn model(bound: usize, body: impl Fn() + Sync + Send + 'static) {
    let executions = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let (counter, began) = (executions.clone(), std::time::Instant::now());
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(bound);
    builder.max_branches = 20_000;
    builder.check(move || {
        counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        body();
    });
    let executions = executions.load(std::sync::atomic::Ordering::Relaxed);
    println!("{executions} executions within {bound} preemptions, {:.1?}", began.elapsed());
}

fn pool(workers: usize) -> Pool {
    Pool::builder().workers(Workers::Fixed(workers)).build().unwrap()
}

/// A value that two threads may only touch one after the other: loom fails the model otherwise.
struct Shared(UnsafeCell<usize>);

// SAFETY: what the models check is exactly that accesses are ordered; loom stops at the first that is not.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

impl Shared {
    fn new() -> Arc<Shared> {
        Arc::new(Shared(UnsafeCell::new(0)))
    }
    fn add(&self) {
        self.0.with_mut(|value| {
            // SAFETY: loom checks that no other access is concurrent.
            unsafe { *value += 1 }
        });
    }
    fn get(&self) -> usize {
        self.0.with(|value| {
            // SAFETY: loom checks that no write is concurrent.
            unsafe { *value }
        })
    }
}

#[test]
fn the_primitives_conform() {
    for (name, case) in fanpool::model::conformance() {
        println!("{name}");
        model(3, case);
    }
}

#[test]
fn push_against_a_helper_giving_up_its_place() {
    model(3, || {
        let pool = pool(1);
        let first = Track::new(());
        pool.spawn(move || drop(first)).unwrap();
        // The helper may be running, leaving, or gone.
        let second = Track::new(());
        pool.spawn(move || drop(second)).unwrap();
        assert_eq!(pool.shutdown().tasks.ran, 2);
    });
}

#[test]
fn two_pushers_and_one_post() {
    model(3, || {
        let pool = Arc::new(pool(1));
        let other = pool.clone();
        let pusher = loom::thread::spawn(move || other.spawn(|| ()).unwrap());
        pool.spawn(|| ()).unwrap();
        pusher.join().unwrap();
        assert_eq!(Arc::into_inner(pool).unwrap().shutdown().tasks.ran, 2);
    });
}

#[test]
fn a_waiting_owner_against_the_last_task() {
    model(3, || {
        let pool = pool(1);
        let value = Shared::new();
        pool.scope(|s| {
            let task = value.clone();
            s.spawn(move || task.add());
        });
        assert_eq!(value.get(), 1);
    });
}

#[test]
fn a_task_spawns_while_the_owner_parks() {
    model(3, || {
        let pool = pool(1);
        let ran = AtomicUsize::new(0);
        pool.scope(|s| {
            s.spawn(|| {
                s.spawn(|| {
                    ran.fetch_add(1, Ordering::Relaxed);
                });
                ran.fetch_add(1, Ordering::Relaxed);
            });
        });
        assert_eq!(ran.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn two_tasks_of_a_scope_need_a_worker_and_the_owner() {
    // Task 1 ends only after task 2 ran, whoever of the two threads has which.
    model(3, || {
        let pool = pool(1);
        let (tell, told) = (loom::sync::Mutex::new(false), loom::sync::Condvar::new());
        pool.scope(|s| {
            s.spawn(|| {
                let mut done = tell.lock().unwrap();
                while !*done {
                    done = told.wait(done).unwrap();
                }
            });
            s.spawn(|| {
                *tell.lock().unwrap() = true;
                told.notify_all();
            });
        });
    });
}

#[test]
fn helpers_summon_each_other() {
    // The body holds no place; two workers must come for two tasks that wait for each other.
    model(2, || {
        let pool = pool(2);
        let arrived = Arc::new((loom::sync::Mutex::new(0), loom::sync::Condvar::new()));
        for _ in 0..2 {
            let arrived = arrived.clone();
            pool.spawn(move || {
                let mut count = arrived.0.lock().unwrap();
                *count += 1;
                arrived.1.notify_all();
                while *count < 2 {
                    count = arrived.1.wait(count).unwrap();
                }
            })
            .unwrap();
        }
        assert_eq!(pool.shutdown().tasks.ran, 2);
    });
}

#[test]
fn nested_scopes_on_one_worker() {
    model(3, || {
        let pool = Arc::new(pool(1));
        let inner = pool.clone();
        let handle = pool.submit(move || {
            let mut value = 0;
            inner.scope(|s| s.spawn(|| value += 1));
            value
        });
        drop(pool);
        assert_eq!(handle.join().unwrap(), 1);
    });
}

#[test]
fn join_stealing_its_task_against_a_helper_taking_it() {
    model(3, || {
        let pool = pool(1);
        let captured = Track::new(7);
        let handle = pool.submit(move || captured.into_inner());
        assert_eq!(handle.join().unwrap(), 7);
        assert_eq!(pool.shutdown().tasks.ran, 1);
    });
}

#[test]
fn join_waits_for_a_task_that_runs() {
    model(3, || {
        let pool = pool(1);
        let value = Shared::new();
        let task = value.clone();
        let handle = pool.submit(move || task.add());
        let joiner = loom::thread::spawn(move || handle.join().unwrap());
        joiner.join().unwrap();
        assert_eq!(value.get(), 1);
    });
}

#[test]
fn close_against_submit() {
    model(3, || {
        let pool = Arc::new(pool(1));
        let other = pool.clone();
        let submitter = loom::thread::spawn(move || {
            let value = Track::new(());
            other.spawn(move || drop(value)).is_ok()
        });
        pool.close();
        pool.wait_idle().unwrap();
        // What was accepted was queued before `close` returned, so it has run by now.
        let ran = pool.counts().ran;
        let accepted = submitter.join().unwrap();
        assert_eq!(ran, usize::from(accepted));
        assert_eq!(Arc::into_inner(pool).unwrap().shutdown().tasks.ran, ran);
    });
}

#[test]
fn wait_idle_against_the_last_task() {
    model(3, || {
        let pool = pool(1);
        let value = Shared::new();
        let task = value.clone();
        pool.spawn(move || task.add()).unwrap();
        pool.wait_idle().unwrap();
        assert_eq!(value.get(), 1);
    });
}

#[test]
fn drop_of_the_pool_against_queued_tasks() {
    model(3, || {
        let pool = pool(1);
        let value = Shared::new();
        for _ in 0..2 {
            let (task, captured) = (value.clone(), Track::new(()));
            pool.spawn(move || {
                task.add();
                drop(captured);
            })
            .unwrap();
        }
        drop(pool);
        assert_eq!(value.get(), 2);
    });
}

#[test]
fn shutdown_now_against_a_helper() {
    model(3, || {
        let pool = pool(1);
        for _ in 0..2 {
            let captured = Track::new(());
            pool.spawn(move || drop(captured)).unwrap();
        }
        let tasks = pool.shutdown_now().tasks;
        assert_eq!(tasks.ran + tasks.discarded, 2);
    });
}

#[test]
fn resize_down_against_push() {
    model(2, || {
        let pool = Arc::new(pool(2));
        let other = pool.clone();
        let pusher = loom::thread::spawn(move || {
            other.spawn(|| ()).unwrap();
            other.spawn(|| ()).unwrap();
        });
        pool.resize(1).unwrap();
        pusher.join().unwrap();
        assert_eq!(Arc::into_inner(pool).unwrap().shutdown().tasks.ran, 2);
    });
}

#[test]
fn resize_up_brings_help_to_a_stuck_group() {
    model(2, || {
        let pool = pool(1);
        let flag = Arc::new((loom::sync::Mutex::new(false), loom::sync::Condvar::new()));
        let (wait, set) = (flag.clone(), flag.clone());
        pool.spawn(move || {
            let mut done = wait.0.lock().unwrap();
            while !*done {
                done = wait.1.wait(done).unwrap();
            }
        })
        .unwrap();
        pool.spawn(move || {
            *set.0.lock().unwrap() = true;
            set.1.notify_all();
        })
        .unwrap();
        pool.resize(2).unwrap();
        assert_eq!(pool.shutdown().tasks.ran, 2);
    });
}

#[test]
fn pause_against_shutdown() {
    model(3, || {
        let pool = pool(1);
        pool.pause();
        let captured = Track::new(());
        pool.spawn(move || drop(captured)).unwrap();
        assert_eq!(pool.shutdown().tasks.ran, 1);
    });
}

#[test]
fn pause_against_a_helper() {
    model(3, || {
        let pool = pool(1);
        pool.spawn(|| ()).unwrap();
        pool.spawn(|| ()).unwrap();
        pool.pause();
        pool.resume();
        pool.wait_idle().unwrap();
        assert_eq!(pool.shutdown().tasks.ran, 2);
    });
}

#[test]
fn a_panic_in_the_last_task() {
    model(3, || {
        let pool = pool(1);
        let captured = Track::new(());
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.scope(|s| {
                s.spawn(move || {
                    let _captured = captured;
                    // Without the panic hook: it would print for every execution.
                    std::panic::resume_unwind(Box::new("on purpose"));
                });
            });
        }));
        assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"on purpose"));
        assert_eq!(pool.shutdown().tasks.panicked, 1);
    });
}

#[test]
fn a_pool_dropped_on_its_own_worker() {
    model(3, || {
        let pool = Arc::new(pool(1));
        let order = Arc::new(AtomicUsize::new(0));
        let (inner, step, captured) = (pool.clone(), order.clone(), Track::new(()));
        pool.spawn(move || {
            // loom does not switch threads in std's `Arc`; this is where it may.
            step.fetch_add(1, Ordering::Relaxed);
            drop((inner, captured));
        })
        .unwrap();
        order.fetch_add(1, Ordering::Relaxed);
        drop(pool);
    });
}

#[test]
fn a_strand_hands_over() {
    model(2, || {
        let pool = pool(2);
        let value = Shared::new();
        let strand = pool.group().limit(1).build().unwrap();
        for expected in 0..2 {
            let task = value.clone();
            strand
                .spawn(move || {
                    assert_eq!(task.get(), expected, "first in, first out");
                    task.add();
                })
                .unwrap();
        }
        pool.wait_idle().unwrap();
        assert_eq!(value.get(), 2);
        assert_eq!(pool.shutdown().tasks.ran, 2);
    });
}

#[test]
fn a_strand_joined_in_order() {
    model(3, || {
        let pool = pool(1);
        let value = Shared::new();
        let strand = pool.group().limit(1).build().unwrap();
        let (first, second) = (value.clone(), value.clone());
        strand.spawn(move || first.add()).unwrap();
        let handle = strand.submit(move || second.get());
        assert_eq!(handle.join().unwrap(), 1);
    });
}

#[test]
fn two_groups_take_turns() {
    // With another ticket waiting a helper yields after every task (time stands still here, slices are empty).
    model(3, || {
        let pool = pool(1);
        let other = pool.group().build().unwrap();
        for _ in 0..2 {
            pool.spawn(|| ()).unwrap();
            other.spawn(|| ()).unwrap();
        }
        pool.wait_idle().unwrap();
        assert_eq!(pool.counts().ran, 4);
    });
}

#[test]
fn cancel_against_start() {
    model(3, || {
        let pool = pool(1);
        let token = CancelToken::new();
        let value = Shared::new();
        let group = pool.group().cancel(&token).build().unwrap();
        let captured = Track::new(());
        let (task, seen) = (value.clone(), token.clone());
        let handle = group.submit(move || {
            drop(captured);
            if seen.is_cancelled() { Some(task.get()) } else { None }
        });
        value.add();
        token.cancel();
        match handle.join() {
            // Started before: it may have seen the token only with what was written before cancelling.
            Ok(seen) => assert!(seen.is_none_or(|value| value == 1)),
            Err(JoinError::Cancelled) => {}
            Err(other) => panic!("{other:?}"),
        }
        let tasks = pool.shutdown().tasks;
        assert_eq!(tasks.ran + tasks.cancelled, 1);
    });
}

#[test]
fn a_cancelled_group_starts_nothing() {
    model(3, || {
        let pool = pool(1);
        let token = CancelToken::new();
        let group = pool.group().cancel(&token).build().unwrap();
        token.cancel();
        let captured = Track::new(());
        group.spawn(move || unreachable!("{}", captured.get_ref() == &())).unwrap();
        assert_eq!(pool.shutdown().tasks.cancelled, 1);
    });
}

#[test]
fn broadcast_against_resize_down() {
    model(2, || {
        let pool = Arc::new(pool(2));
        let other = pool.clone();
        let resizer = loom::thread::spawn(move || other.resize(1).unwrap());
        let ran = pool.broadcast(|worker| worker).unwrap();
        assert!(ran == [0, 1] || ran == [0]);
        resizer.join().unwrap();
    });
}

#[test]
fn a_parked_owner_is_needed() {
    // The only worker runs a task that waits for the one it spawned: nobody but the owner can run that.
    model(2, || {
        let pool = pool(1);
        let (done, told) = (loom::sync::Mutex::new(false), loom::sync::Condvar::new());
        pool.scope(|s| {
            s.spawn(|| {
                s.spawn(|| {
                    *done.lock().unwrap() = true;
                    told.notify_all();
                });
                let mut done = done.lock().unwrap();
                while !*done {
                    done = told.wait(done).unwrap();
                }
            });
        });
    });
}

#[test]
fn a_task_joins_what_it_submitted() {
    model(2, || {
        let pool = Arc::new(pool(1));
        let inner = pool.clone();
        pool.spawn(move || assert_eq!(inner.submit(|| 1).join().unwrap(), 1)).unwrap();
        pool.wait_idle().unwrap();
        assert_eq!(pool.counts().ran, 2);
    });
}
