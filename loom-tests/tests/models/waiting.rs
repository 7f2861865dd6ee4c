//! Scopes, handles, and those who wait for them.

use super::{Flag, Shared, model, pool};
use loom::alloc::Track;
use loom::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

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
fn a_parked_owner_is_needed() {
    // The only worker runs a task that waits for the one it spawned: nobody but the owner can run that.
    model(3, || {
        let pool = pool(1);
        let flag = Flag::new();
        pool.scope(|s| {
            s.spawn(|| {
                s.spawn(|| flag.set());
                flag.wait();
            });
        });
    });
}

#[test]
fn two_tasks_of_a_scope_need_a_worker_and_the_owner() {
    // Task 1 ends only after task 2 ran, whoever of the two threads has which.
    model(3, || {
        let pool = pool(1);
        let flag = Flag::new();
        pool.scope(|s| {
            s.spawn(|| flag.wait());
            s.spawn(|| flag.set());
        });
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
fn a_task_joins_what_it_submitted() {
    model(2, || {
        let pool = Arc::new(pool(1));
        let inner = pool.clone();
        pool.spawn(move || assert_eq!(inner.submit(|| 1).join().unwrap(), 1)).unwrap();
        pool.wait_idle().unwrap();
        assert_eq!(pool.counts().ran, 2);
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
fn two_joins_out_of_turn_against_a_helper() {
    // The first join leaves a husk in the middle of the queue, the second may take it out from the end.
    model(2, || {
        let pool = pool(1);
        let (one, two) = (Track::new(1), Track::new(2));
        let first = pool.submit(move || one.into_inner());
        let second = pool.submit(move || two.into_inner());
        assert_eq!(first.join().unwrap(), 1);
        assert_eq!(second.join().unwrap(), 2);
        assert_eq!(pool.shutdown().tasks.ran, 2);
    });
}

#[test]
fn husks_of_a_scope_against_a_helper() {
    // Each mark of a husk is gone when the scope is: the group asserts it when it is laid aside.
    model(3, || {
        let pool = pool(1);
        pool.scope(|s| {
            let first = s.submit(|| 1);
            let second = s.submit(|| 2);
            assert_eq!(first.join().unwrap() + second.join().unwrap(), 3);
        });
        assert_eq!(pool.shutdown().tasks.ran, 2);
    });
}
