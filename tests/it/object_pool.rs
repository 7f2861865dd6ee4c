//! What an object pool lends, to whom, and in which order.

use crate::within;
use fanpool::{BuildError, GetError, ObjectPool, Pool, Pooled};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

/// Objects that are numbered in the order of their making.
pub(crate) fn numbered(max: usize) -> ObjectPool<usize> {
    let next = AtomicUsize::new(0);
    ObjectPool::new(max, move || next.fetch_add(1, Ordering::Relaxed)).unwrap()
}

/// Returns once that many threads wait.
pub(crate) fn until_waiting<T, E>(pool: &ObjectPool<T, E>, threads: usize) {
    while pool.stats().waiting != threads {
        thread::yield_now();
    }
}

#[test]
fn a1_a_pool_of_no_objects_is_refused() {
    let refused = ObjectPool::new(0, || ());
    match refused {
        Err(BuildError::OutOfRange { option: "max", value: 0, allowed }) => assert_eq!(*allowed.start(), 1),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a2_the_largest_max_takes_no_room() {
    let pool = numbered(usize::MAX);
    let two = (pool.get().unwrap(), pool.get().unwrap());
    assert_eq!((*two.0, *two.1, pool.stats().lent), (0, 1, 2));
}

#[test]
fn the_object_that_came_back_last_goes_first() {
    let pool = numbered(3);
    let [a, b, c] = [(); 3].map(|()| pool.get().unwrap());
    drop(b);
    drop(c);
    drop(a);
    let lent = [(); 3].map(|()| pool.get().unwrap());
    assert_eq!(lent.each_ref().map(|guard| **guard), [0, 2, 1]);
    assert!(matches!(pool.try_get(), Err(GetError::Empty)));
    let stats = pool.stats();
    assert_eq!((stats.made, stats.reused, stats.lent, stats.idle, stats.max), (3, 3, 3, 0, 3));
}

#[test]
fn no_object_is_made_while_one_is_idle() {
    let pool = numbered(8);
    for _ in 0..100 {
        assert_eq!(*pool.get().unwrap(), 0);
    }
    assert_eq!((pool.stats().made, pool.stats().reused), (1, 99));
}

#[test]
fn objects_are_reset_before_anybody_else_has_them() {
    let pool = ObjectPool::builder(|| Ok::<_, ()>(vec![0])).max(1).reset(|v| v.fill(0)).build().unwrap();
    within(move || {
        thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for _ in 0..500 {
                        let mut lent = pool.get().unwrap();
                        assert_eq!(lent[0], 0);
                        lent[0] = 7;
                    }
                });
            }
        });
        assert_eq!((pool.stats().made, pool.stats().reused), (1, 1999));
    });
}

#[test]
fn what_is_refused_is_replaced_by_the_next_idle_one_and_then_by_a_new_one() {
    let pool = ObjectPool::builder({
        let next = AtomicUsize::new(0);
        move || Ok::<_, ()>(next.fetch_add(1, Ordering::Relaxed))
    });
    let pool = pool.max(3).check(|n| *n == 1 || *n > 2).build().unwrap();
    drop([(); 3].map(|()| pool.get().unwrap()));
    // Idle are 0, 1 and 2, the last on top.
    let first = pool.get().unwrap();
    assert_eq!((*first, pool.stats().thrown_out, pool.stats().idle), (1, 1, 1));
    let second = pool.get().unwrap();
    assert_eq!((*second, pool.stats().thrown_out), (3, 2));
    let third = pool.get().unwrap();
    assert_eq!(*third, 4);
    assert!(pool.try_get().is_err());
    let stats = pool.stats();
    assert_eq!((stats.made, stats.reused, stats.lent, stats.idle), (5, 1, 3, 0));
}

#[test]
fn who_waits_is_served_before_who_comes_later() {
    within(|| {
        let pool = numbered(1);
        let lent = pool.get().unwrap();
        thread::scope(|s| {
            let (leave, left) = mpsc::channel::<()>();
            let inner = &pool;
            let waiter = s.spawn(move || {
                let lent = inner.get().unwrap();
                left.recv().unwrap();
                drop(lent);
            });
            until_waiting(&pool, 1);
            drop(lent);
            // Whether the waiter has run yet or not, the object is its own.
            assert!(matches!(pool.try_get(), Err(GetError::Empty)));
            assert!(matches!(pool.get_timeout(Duration::ZERO), Err(GetError::TimedOut)));
            leave.send(()).unwrap();
            waiter.join().unwrap();
        });
        assert!(pool.try_get().is_ok());
    });
}

#[test]
fn who_waits_is_served_in_the_order_of_coming() {
    within(|| {
        let pool = numbered(1);
        let lent = pool.get().unwrap();
        let (served, order) = mpsc::channel();
        thread::scope(|s| {
            for n in 0..8 {
                let (pool, served) = (&pool, served.clone());
                s.spawn(move || {
                    let _lent = pool.get().unwrap();
                    served.send(n).unwrap();
                });
                until_waiting(pool, n + 1);
            }
            drop(lent);
        });
        drop(served);
        assert_eq!(order.iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6, 7]);
    });
}

#[test]
fn a_thread_that_returns_and_asks_again_starves_nobody() {
    within(|| {
        let pool = numbered(1);
        let turns = AtomicUsize::new(0);
        thread::scope(|s| {
            for _ in 0..3 {
                s.spawn(|| {
                    for _ in 0..200 {
                        let lent = pool.get().unwrap();
                        turns.fetch_add(1, Ordering::Relaxed);
                        drop(lent);
                    }
                });
            }
            let mut lent = pool.get().unwrap();
            while turns.load(Ordering::Relaxed) < 600 {
                drop(lent);
                lent = pool.get().unwrap();
            }
        });
    });
}

#[test]
fn every_return_serves_one_more_of_many_who_wait() {
    within(|| {
        let pool = numbered(3);
        let lent = [(); 3].map(|()| pool.get().unwrap());
        let all_served = Barrier::new(3);
        thread::scope(|s| {
            for _ in 0..3 {
                s.spawn(|| {
                    let _lent = pool.get().unwrap();
                    all_served.wait();
                });
            }
            until_waiting(&pool, 3);
            drop(lent);
        });
        let stats = pool.stats();
        assert_eq!((stats.idle, stats.lent, stats.waiting, stats.waits, stats.made), (3, 0, 0, 3, 3));
    });
}

#[test]
fn c6_timeouts_of_zero_poll_and_the_longest_never_ends() {
    within(|| {
        let pool = numbered(1);
        let lent = pool.get_timeout(Duration::ZERO).unwrap();
        assert!(matches!(pool.get_timeout(Duration::ZERO), Err(GetError::TimedOut)));
        thread::scope(|s| {
            let waiter = s.spawn(|| pool.get_timeout(Duration::MAX).map(|lent| *lent));
            until_waiting(&pool, 1);
            drop(lent);
            assert_eq!(waiter.join().unwrap().unwrap(), 0);
        });
        assert_eq!(pool.stats().waiting, 0);
    });
}

#[test]
fn a_time_out_in_the_moment_of_a_return_loses_nothing() {
    within(|| {
        let pool = numbered(1);
        let (mut in_time, mut too_late) = (0, 0);
        for round in 0..3_000_u64 {
            let lent = pool.get().unwrap();
            thread::scope(|s| {
                let hasty = s.spawn(|| pool.get_timeout(Duration::from_micros(round % 100)).is_ok());
                // Must be served whether or not the other one is.
                let patient = s.spawn(|| drop(pool.get().unwrap()));
                while pool.stats().waiting == 0 && !hasty.is_finished() {
                    thread::yield_now();
                }
                drop(lent);
                patient.join().unwrap();
                if hasty.join().unwrap() { in_time += 1 } else { too_late += 1 }
            });
        }
        assert_eq!((in_time + too_late, pool.stats().waiting, pool.stats().idle), (3_000, 0, 1));
    });
}

#[test]
fn a_detached_object_leaves_its_place_to_a_waiter() {
    within(|| {
        let pool = numbered(1);
        let lent = pool.get().unwrap();
        thread::scope(|s| {
            let waiter = s.spawn(|| pool.get().map(|lent| *lent));
            until_waiting(&pool, 1);
            assert_eq!(Pooled::detach(lent), 0);
            assert_eq!(waiter.join().unwrap().unwrap(), 1);
        });
        let stats = pool.stats();
        assert_eq!((stats.made, stats.detached, stats.idle, stats.lent), (2, 1, 1, 0));
    });
}

#[test]
fn guards_travel_and_handles_share() {
    let pool = numbered(2);
    let workers = Pool::new();
    let lent = pool.clone().get().unwrap();
    let handle = workers.submit(move || {
        let before = *lent;
        drop(lent);
        before
    });
    assert_eq!(handle.join().unwrap(), 0);
    assert_eq!((*pool.get().unwrap(), pool.stats().reused), (0, 1));
}

/// Counts those alive, and how many that were at most.
struct Alive(Arc<[AtomicUsize; 2]>);

impl Alive {
    fn new(counts: &Arc<[AtomicUsize; 2]>) -> Alive {
        let now = counts[0].fetch_add(1, Ordering::SeqCst) + 1;
        counts[1].fetch_max(now, Ordering::SeqCst);
        Alive(counts.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0[0].fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn f9_many_threads_account_for_every_object() {
    within(|| {
        const MAX: usize = 3;
        let alive = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let (counts, calls) = (alive.clone(), AtomicUsize::new(0));
        let (checks, resets) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let every = |calls: &AtomicUsize, nth| calls.fetch_add(1, Ordering::Relaxed) % nth == nth - 1;
        let pool = ObjectPool::builder(move || match calls.fetch_add(1, Ordering::Relaxed) % 7 {
            5 => Err("fails"),
            6 => crate::quiet_panic("panics"),
            _ => Ok(Alive::new(&counts)),
        });
        let pool = pool
            .max(MAX)
            .check(move |_| !every(&checks, 11))
            .reset(move |_| {
                if every(&resets, 13) {
                    crate::quiet_panic("reset")
                }
            })
            .build()
            .unwrap();
        let detached = AtomicUsize::new(0);
        thread::scope(|s| {
            for seed in 1..=6_u64 {
                let (pool, detached) = (pool.clone(), &detached);
                s.spawn(move || {
                    let mut random = seed;
                    for _ in 0..4_000 {
                        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        let lent = match (random >> 33) % 8 {
                            0 => pool.try_get(),
                            1 => pool.get_timeout(Duration::from_micros((random >> 40) % 50)),
                            _ => pool.get(),
                        };
                        let Ok(lent) = lent else { continue };
                        if (random >> 50) % 16 == 0 {
                            // While it is still in the count of those alive, others may be made: so it is dropped at once.
                            drop(Pooled::detach(lent));
                            detached.fetch_add(1, Ordering::Relaxed);
                        } else if (random >> 50) % 16 == 1 {
                            thread::yield_now();
                        }
                    }
                });
            }
        });
        let stats = pool.stats();
        assert_eq!((stats.lent, stats.making, stats.waiting), (0, 0, 0));
        assert_eq!(stats.detached, detached.into_inner() as u64);
        assert_eq!(stats.made, stats.idle as u64 + stats.thrown_out + stats.detached);
        assert!(stats.thrown_out > 0 && stats.failed > 0 && stats.waits > 0, "{stats:?}");
        assert_eq!(alive[0].load(Ordering::SeqCst), stats.idle);
        // One more for each thread that has detached one and not dropped it yet.
        let most = alive[1].load(Ordering::SeqCst);
        assert!(most <= MAX + 6, "{most}");
        // All places are still there.
        let all: Vec<_> = std::iter::from_fn(|| {
            loop {
                match pool.try_get() {
                    Ok(lent) => return Some(lent),
                    Err(GetError::Empty) => return None,
                    Err(_) => {}
                }
            }
        })
        .collect();
        assert_eq!(all.len(), MAX);
        drop(pool);
        drop(all);
        assert_eq!(alive[0].load(Ordering::SeqCst), 0);
    });
}
