//! Object pools: those who wait for an object against whatever sets one or its place free.

use super::model;
use fanpool::{GetError, ObjectPool, Pooled};
use loom::alloc::Track;
use loom::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

/// A pool of one object, and how many were made.
fn one() -> (ObjectPool<Track<usize>>, Arc<AtomicUsize>) {
    let made = Arc::new(AtomicUsize::new(0));
    let counter = made.clone();
    (ObjectPool::new(1, move || Track::new(counter.fetch_add(1, Ordering::Relaxed))).unwrap(), made)
}

#[test]
fn a_return_against_a_get() {
    model(4, || {
        let (pool, made) = one();
        let other = pool.clone();
        let thread = loom::thread::spawn(move || *other.get().unwrap().get_mut() += 10);
        *pool.get().unwrap().get_mut() += 10;
        thread.join().unwrap();
        // Both had the same object, one after the other.
        assert_eq!((*pool.try_get().unwrap().get_ref(), made.load(Ordering::Relaxed)), (20, 1));
    });
}

#[test]
fn a_newcomer_against_a_promise() {
    // Two threads ask twice each: one that returns its object and at once asks again is a newcomer, who may not take what has been
    // promised.
    model(4, || {
        let (pool, made) = one();
        let other = pool.clone();
        let thread = loom::thread::spawn(move || {
            for _ in 0..2 {
                *other.get().unwrap().get_mut() += 10;
            }
        });
        for _ in 0..2 {
            *pool.get().unwrap().get_mut() += 10;
        }
        thread.join().unwrap();
        assert_eq!((*pool.try_get().unwrap().get_ref(), made.load(Ordering::Relaxed)), (40, 1));
    });
}

#[test]
fn two_waiters_against_two_returns() {
    model(4, || {
        let (pool, made) = one();
        let threads = [(); 2].map(|()| {
            let pool = pool.clone();
            loom::thread::spawn(move || *pool.get().unwrap().get_mut() += 10)
        });
        *pool.get().unwrap().get_mut() += 10;
        for thread in threads {
            thread.join().unwrap();
        }
        let stats = pool.stats();
        assert_eq!((*pool.try_get().unwrap().get_ref(), made.load(Ordering::Relaxed)), (30, 1));
        assert_eq!((stats.idle, stats.lent, stats.waiting), (1, 0, 0));
    });
}

#[test]
fn a_failed_make_against_a_waiter() {
    model(4, || {
        let calls = AtomicUsize::new(0);
        let pool = ObjectPool::builder(move || match calls.fetch_add(1, Ordering::Relaxed) {
            0 => Err(()),
            n => Ok(Track::new(n)),
        });
        let pool = pool.max(1).build().unwrap();
        let other = pool.clone();
        let thread = loom::thread::spawn(move || other.get().is_ok());
        let here = pool.get().is_ok();
        assert!(here ^ thread.join().unwrap(), "one has the error, the other an object");
        let stats = pool.stats();
        assert_eq!((stats.failed, stats.made, stats.idle, stats.lent), (1, 1, 1, 0));
    });
}

#[test]
fn a_detached_object_against_a_waiter() {
    model(4, || {
        let (pool, made) = one();
        let other = pool.clone();
        let thread = loom::thread::spawn(move || drop(Pooled::detach(other.get().unwrap())));
        drop(Pooled::detach(pool.get().unwrap()));
        thread.join().unwrap();
        assert_eq!((pool.stats().detached, made.load(Ordering::Relaxed)), (2, 2));
        assert!(pool.try_get().is_ok());
    });
}

#[test]
fn an_object_thrown_out_against_a_waiter() {
    // Whoever returns one spoils it; whoever gets one idle refuses it.
    model(4, || {
        let pool = ObjectPool::builder(|| Ok::<_, ()>(Track::new(0)))
            .max(1)
            .reset(|object| {
                if *object.get_ref() > 0 {
                    std::panic::resume_unwind(Box::new(()))
                }
            })
            .check(|_| false)
            .build()
            .unwrap();
        let other = pool.clone();
        let thread = loom::thread::spawn(move || *other.get().unwrap().get_mut() = 1);
        drop(pool.get().unwrap());
        thread.join().unwrap();
        let stats = pool.stats();
        assert_eq!((stats.made, stats.lent), (stats.thrown_out + stats.idle as u64, 0));
        assert_eq!((stats.made, stats.reused), (2, 0));
    });
}

#[test]
fn a_look_against_a_return_to_a_waiter() {
    // Whoever only looks takes nothing that a waiter has been promised.
    model(4, || {
        let (pool, _) = one();
        let (other, third) = (pool.clone(), pool.clone());
        let waiter = loom::thread::spawn(move || drop(other.get().unwrap()));
        let looker = loom::thread::spawn(move || match third.try_get() {
            Ok(lent) => drop(lent),
            Err(error) => assert!(matches!(error, GetError::Empty)),
        });
        drop(pool.get().unwrap());
        waiter.join().unwrap();
        looker.join().unwrap();
        assert_eq!((pool.stats().idle, pool.stats().waiting), (1, 0));
    });
}
