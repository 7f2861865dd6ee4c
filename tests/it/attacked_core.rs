//! Attacks on the core.

use super::{pool, within};
use fanpool::{Pool, RefusedReason, ScopedHandle};
use std::sync::mpsc;

/// What a task must not do because a worker may wait for it; returns whether it was refused.
fn is_refused(pool: &Pool) -> bool {
    let broadcast = pool.broadcast(|_| ()).map_err(|refused| refused.reason());
    broadcast == Err(RefusedReason::WouldDeadlock) && pool.wait_idle().is_err()
}

#[test]
fn b7_a_task_that_the_owner_of_a_scope_runs_must_not_wait_for_the_workers() {
    within(|| {
        let pool = pool(1);
        let inner = &pool;
        let refused = pool.scope(|s| {
            let (begun, begins) = mpsc::channel();
            let (hand, handed) = mpsc::channel::<ScopedHandle<'_, ()>>();
            let (running, runs) = mpsc::channel();
            let (tell, told) = mpsc::channel();
            s.spawn(move || {
                begun.send(()).unwrap();
                let task = handed.recv().unwrap();
                // From now on this worker cannot run the task itself.
                runs.recv().unwrap();
                task.join().unwrap();
            });
            begins.recv().unwrap();
            // The only worker is busy: this thread will run the task while it waits for the scope.
            let task = s.submit(move || {
                running.send(()).unwrap();
                tell.send(is_refused(inner)).unwrap();
            });
            hand.send(task).unwrap();
            told
        });
        assert!(refused.recv().unwrap());
    });
}

#[test]
fn b7_a_task_that_is_run_before_a_joined_one_must_not_wait_for_the_workers() {
    within(|| {
        let pool = pool(1);
        let strand = pool.group().limit(1).build().unwrap();
        strand.scope(|strand| {
            pool.scope(|s| {
                let (begun, begins) = mpsc::channel();
                let (hand, handed) = mpsc::channel::<ScopedHandle<'_, bool>>();
                let (running, runs) = mpsc::channel();
                s.spawn(move || {
                    begun.send(()).unwrap();
                    let first = handed.recv().unwrap();
                    runs.recv().unwrap();
                    assert!(first.join().unwrap());
                });
                begins.recv().unwrap();
                let pool = &pool;
                let first = strand.submit(move || {
                    running.send(()).unwrap();
                    is_refused(pool)
                });
                let second = strand.submit(|| ());
                hand.send(first).unwrap();
                second.join().unwrap();
            });
        });
    });
}
