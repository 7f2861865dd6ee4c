//! Pausing, resizing, closing, ending.

use super::{Flag, Shared, model, pool};
use loom::alloc::Track;
use loom::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

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
        let flag = Flag::new();
        let wait = flag.clone();
        pool.spawn(move || wait.wait()).unwrap();
        pool.spawn(move || flag.set()).unwrap();
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
fn a_stop_hook_against_a_shutdown_that_ran_out() {
    // The hook ends only after the shutdown returned, so the shutdown must see that the worker is in its hook.
    model(3, || {
        let returned = Flag::new();
        let hook = returned.clone();
        let built = fanpool::Pool::builder().workers(fanpool::Workers::Fixed(1)).on_stop(move |_| hook.wait()).build();
        let receipt = built.unwrap().shutdown_timeout(std::time::Duration::ZERO);
        assert_eq!(receipt.threads_busy.len(), 1);
        returned.set();
    });
}

#[test]
fn a_retired_worker_that_is_stuck_hides_no_other() {
    model(2, || {
        let pool = pool(2);
        let flag = Flag::new();
        let stuck = flag.clone();
        pool.spawn(move || {
            if fanpool::current_worker() == Some(1) {
                stuck.wait();
            }
        })
        .unwrap();
        pool.resize(1).unwrap();
        pool.spawn(move || flag.set()).unwrap();
        assert_eq!(pool.shutdown().tasks.ran, 2);
    });
}

#[test]
fn a_withdrawn_ticket_against_the_worker_that_picks_it() {
    model(2, || {
        let pool = pool(1);
        let group = pool.group().build().unwrap();
        group.scope(|s| s.spawn(|| ()));
        // Its bell may have gone with it or not; this one's must not.
        pool.spawn(|| ()).unwrap();
        pool.wait_idle().unwrap();
        assert_eq!(pool.shutdown().tasks.ran, 2);
    });
}
