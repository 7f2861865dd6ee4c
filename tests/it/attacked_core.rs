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

/// Has the workers meet every ticket that was posted before: that of a new group is the last.
fn meet_tickets(pool: &Pool) {
    let (done, is_done) = mpsc::channel();
    let last = pool.group().build().unwrap();
    last.spawn(move || done.send(()).unwrap()).unwrap();
    is_done.recv().unwrap();
}

/// Keeps a worker busy until what this returns is dropped.
fn hold_a_worker(spawn: impl FnOnce(Box<dyn FnOnce() + Send>)) -> mpsc::Sender<()> {
    let (begun, begins) = mpsc::channel();
    let (gate, opened) = mpsc::channel();
    spawn(Box::new(move || {
        begun.send(()).unwrap();
        let _ = opened.recv();
    }));
    begins.recv().unwrap();
    gate
}

#[test]
fn what_comes_while_a_joiner_has_the_last_place_is_served() {
    within(|| {
        let pool = pool(2);
        let group = pool.group().limit(2).build().unwrap();
        let held = hold_a_worker(|task| group.spawn(task).unwrap());
        let other = hold_a_worker(|task| pool.spawn(task).unwrap());
        let (done, is_done) = mpsc::channel();
        std::thread::scope(|threads| {
            let (pool, inner) = (&pool, &group);
            let (hand, handed) = mpsc::sync_channel(0);
            threads.spawn(move || {
                // The other worker meets the joined task's ticket in vain, and then a new task finds no place.
                let () = handed.recv().unwrap();
                drop(other);
                meet_tickets(pool);
                inner.spawn(move || done.send(()).unwrap()).unwrap();
                let () = handed.recv().unwrap();
            });
            let task = group.submit(move || {
                hand.send(()).unwrap();
                hand.send(()).unwrap();
            });
            task.join().unwrap();
        });
        is_done.recv().unwrap();
        drop(held);
    });
}

#[test]
fn items_wait_for_no_caller_who_had_the_only_place_and_consumes() {
    within(|| {
        let pool = pool(1);
        let strand = pool.group().limit(1).build().unwrap();
        let held = std::sync::Mutex::new(Some(hold_a_worker(|task| pool.spawn(task).unwrap())));
        let (run, is_run) = mpsc::channel();
        let results = strand.map(0..2, |n| {
            if n == 0 {
                // The worker meets the map's ticket in vain.
                drop(held.lock().unwrap().take());
                meet_tickets(&pool);
            }
            run.send(n).unwrap();
            n
        });
        let mut consumed = Vec::new();
        results
            .for_each(|n| {
                while n == 0 && is_run.recv().unwrap() == 0 {}
                consumed.push(n);
            })
            .unwrap();
        assert_eq!(consumed, [0, 1]);
    });
}
