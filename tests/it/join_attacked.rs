//! What a hostile reader of fork-join tried. As in `join.rs`, halves that must be on two threads meet at a barrier.

use crate::{Counted, pool, quiet_panic, within};
use fanpool::{Pool, RefusedReason, Workers};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn b9_a_half_that_the_waiting_owner_runs_is_told_that_it_would_wait_for_itself() {
    within(|| {
        let pool = pool(1);
        let (outer, inner) = (Barrier::new(2), Barrier::new(2));
        let mut told = None;
        let mut waited = None;
        // Only this thread can come, and the one worker waits for it.
        let helped = || {
            inner.wait();
            told = pool.broadcast(|_| ()).err().map(|refused| refused.reason());
            waited = Some(pool.wait_idle().is_err());
        };
        let right = || {
            outer.wait();
            pool.join(|| inner.wait(), helped);
        };
        pool.join(|| outer.wait(), right);
        assert_eq!((told, waited), (Some(RefusedReason::WouldDeadlock), Some(true)));
        assert_eq!(pool.broadcast(|worker| worker).unwrap(), [0], "it is no more inside");
    });
}

#[test]
fn b7_a_thread_local_destructor_may_join() {
    struct Last(Arc<Pool>, Arc<AtomicUsize>);
    impl Drop for Last {
        fn drop(&mut self) {
            let (outer, inner) = (Barrier::new(2), Barrier::new(2));
            let right = || {
                outer.wait();
                self.0.join(|| inner.wait(), || inner.wait());
                self.1.fetch_add(1, Ordering::Relaxed);
            };
            self.0.join(|| outer.wait(), right);
            let caught = catch_unwind(AssertUnwindSafe(|| self.0.join(|| quiet_panic("left"), || ())));
            assert!(caught.is_err());
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }
    thread_local!(static LAST: RefCell<Option<Last>> = const { RefCell::new(None) });
    within(|| {
        let ran = Arc::new(AtomicUsize::new(0));
        let shared = Arc::new(pool(2));
        let last = Last(shared.clone(), ran.clone());
        thread::spawn(move || {
            last.0.join(|| (), || ());
            LAST.set(Some(last));
        })
        .join()
        .unwrap();
        assert_eq!(ran.load(Ordering::Relaxed), 2);
        // And in that of a worker of another pool, which is waited for.
        let other = pool(1);
        let last = Last(shared.clone(), ran.clone());
        other.spawn(move || LAST.set(Some(last))).unwrap();
        other.shutdown();
        assert_eq!(ran.load(Ordering::Relaxed), 4);
        assert!(Arc::into_inner(shared).is_some());
    });
}

#[test]
fn d3_the_last_handle_may_go_on_a_worker_right_after_its_join() {
    within(|| {
        for _ in 0..200 {
            let pool = Arc::new(pool(2));
            let (inner, barrier) = (pool.clone(), Barrier::new(2));
            let (done, ended) = std::sync::mpsc::channel();
            let task = move || {
                inner.join(|| barrier.wait(), || barrier.wait());
                drop(inner);
                done.send(()).unwrap();
            };
            pool.spawn(task).unwrap();
            drop(pool);
            ended.recv().unwrap();
        }
    });
}

/// Works without forking, so that ticks find what is exposed.
fn work(time: Duration) {
    let began = Instant::now();
    while began.elapsed() < time {
        std::hint::spin_loop();
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
    fn split(&mut self) -> Random {
        Random(self.0.rotate_left(17) ^ self.below(u64::MAX))
    }
}

/// A random tree of forks, with panics, drops that fork, other pools and scopes in between; returns its leaves.
fn tree(pools: &[Pool; 2], mut random: Random, depth: u64, counted: &Arc<AtomicUsize>, made: &AtomicUsize) -> u64 {
    struct Forking<'a>(&'a Pool, #[expect(dead_code, reason = "dropped")] Counted);
    impl Drop for Forking<'_> {
        fn drop(&mut self) {
            self.0.join(|| (), || ());
        }
    }
    if random.below(64) == 0 {
        work(Duration::from_micros(random.below(400)));
    }
    if depth == 0 || random.below(24) == 0 {
        return 1;
    }
    let pool = &pools[usize::from(random.below(16) == 0)];
    let (left, right) = (random.split(), random.split());
    made.fetch_add(1, Ordering::Relaxed);
    let captured = Forking(pool, Counted(counted.clone()));
    let half = |random| move || tree(pools, random, depth - 1, counted, made);
    let right = half(right);
    let right = move || {
        let _captured = captured;
        right()
    };
    match random.below(32) {
        0 => pool.scope(|s| {
            let left = s.submit(half(left));
            right() + left.join().unwrap_or(0)
        }),
        1 => catch_unwind(AssertUnwindSafe(|| {
            let (left, right): (u64, u64) = pool.join(
                || {
                    let leaves = half(left)();
                    if leaves % 2 == 0 { quiet_panic("left") } else { leaves }
                },
                right,
            );
            left + right
        }))
        .unwrap_or(0),
        2 => catch_unwind(AssertUnwindSafe(|| pool.join(half(left), move || -> u64 { quiet_panic(right()) })))
            .map_or(0, |(left, right)| left + right),
        _ => {
            let (left, right) = pool.join(half(left), right);
            left + right
        }
    }
}

#[test]
fn b1_random_trees_of_forks_drop_everything_once() {
    within(|| {
        let pools = [pool(2), pool(1)];
        let end = Instant::now() + Duration::from_secs(1);
        let seeds = AtomicUsize::new(1);
        thread::scope(|s| {
            for _ in 0..3 {
                s.spawn(|| {
                    while Instant::now() < end {
                        let seed = seeds.fetch_add(1, Ordering::Relaxed) as u64;
                        let (dropped, made) = (Arc::default(), AtomicUsize::new(0));
                        tree(&pools, Random(seed), 13, &dropped, &made);
                        assert_eq!(dropped.load(Ordering::Relaxed), made.into_inner(), "seed {seed}");
                    }
                });
            }
        });
        println!("{} trees", seeds.into_inner());
    });
}

#[test]
fn b8_a_spine_of_promoted_halves_unwinds_from_its_end() {
    // Every right half goes to another thread, and the last one panics.
    fn down(pool: &Pool, level: usize, drops: &Arc<AtomicUsize>) -> Counted {
        if level == 0 {
            quiet_panic("end");
        }
        let meet = Barrier::new(2);
        let left = || {
            meet.wait();
            Counted(drops.clone())
        };
        let right = || {
            meet.wait();
            down(pool, level - 1, drops)
        };
        let (left, right) = pool.join(left, right);
        drop(left);
        right
    }
    within(|| {
        let pool = Pool::builder().workers(Workers::Fixed(8)).build().unwrap();
        let drops = Arc::new(AtomicUsize::new(0));
        let caught = catch_unwind(AssertUnwindSafe(|| down(&pool, 20, &drops)));
        assert_eq!(caught.map(|_| ()).unwrap_err().downcast_ref(), Some(&"end"));
        assert_eq!(drops.load(Ordering::Relaxed), 20);
    });
}
