//! Helpers, posts, strands, cancellation.

use super::{Flag, Shared, model, pool};
use fanpool::{CancelToken, JoinError};
use loom::alloc::Track;
use std::sync::Arc;

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
fn a_joiner_in_a_strand_goes_on_while_its_helper_does() {
    // What stands behind the joined task ends only after the join has returned.
    model(3, || {
        let pool = pool(1);
        let strand = pool.group().limit(1).build().unwrap();
        let joined = Flag::new();
        let handle = strand.submit(|| 1);
        let behind = joined.clone();
        strand.spawn(move || behind.wait()).unwrap();
        assert_eq!(handle.join().unwrap(), 1);
        joined.set();
    });
}

#[test]
fn what_stands_behind_a_joined_task_of_a_strand_is_served() {
    // While the joiner has the only place, a push posts no ticket.
    model(3, || {
        let pool = pool(1);
        let strand = pool.group().limit(1).build().unwrap();
        let handle = strand.submit(|| 1);
        strand.spawn(|| ()).unwrap();
        assert_eq!(handle.join().unwrap(), 1);
        pool.wait_idle().unwrap();
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
