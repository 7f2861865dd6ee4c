//! Fork-join. Where a test needs the right half on another thread, both halves meet at a barrier: nobody gets past it alone.

use crate::{Bomb, Counted, pool, quiet_panic, within};
use fanpool::{Branches, Pool, Workers};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;

fn sum(pool: &Pool, numbers: &[u64]) -> u64 {
    if let [number] = numbers {
        return *number;
    }
    let (left, right) = numbers.split_at(numbers.len() / 2);
    let (left, right) = pool.join(|| sum(pool, left), || sum(pool, right));
    left + right
}

#[test]
fn both_halves_run_and_their_results_come_in_order() {
    within(|| {
        let pool = pool(2);
        let numbers: Vec<u64> = (1..=200_000).collect();
        assert_eq!(sum(&pool, &numbers), 20_000_100_000);
        let (mut left, mut right) = (vec![3, 1, 2], String::from("a"));
        pool.join(|| left.sort_unstable(), || right.push('b'));
        assert_eq!((left, right), (vec![1, 2, 3], "ab".to_owned()));
        assert_eq!(pool.shutdown().tasks.ran, 0, "halves are no tasks");
    });
}

#[test]
fn tuples_of_up_to_eight_are_joined() {
    fn all<T: Branches>(pool: &Pool, branches: T) -> T::Output {
        pool.join_all(branches)
    }
    let pool = pool(2);
    assert_eq!(all(&pool, (|| 1,)), (1,));
    assert_eq!(all(&pool, (|| 1, || "2", || 3.0)), (1, "2", 3.0));
    assert_eq!(all(&pool, (|| 1, || 2, || 3, || 4, || 5)), (1, 2, 3, 4, 5));
    assert_eq!(all(&pool, (|| 1, || 2, || 3, || 4, || 5, || 6, || 7, || 8)), (1, 2, 3, 4, 5, 6, 7, 8));
}

#[test]
fn halves_that_do_not_fork_again_run_at_the_same_time() {
    within(|| {
        let pool = pool(3);
        let barrier = Barrier::new(2);
        pool.join(|| barrier.wait(), || barrier.wait());
        let barrier = Barrier::new(4);
        let meet = || barrier.wait();
        pool.join_all((meet, meet, meet, meet));
    });
}

#[test]
fn deep_forks_are_promoted_too() {
    // Eight levels down nothing is exposed; the left half there goes on forking until somebody has come.
    fn down(pool: &Pool, level: usize, met: &Barrier, here: &AtomicUsize) {
        if level > 0 {
            pool.join(|| down(pool, level - 1, met, here), || ());
            return;
        }
        let left = || {
            while here.load(Ordering::Acquire) == 0 {
                pool.join(|| (), || ());
            }
            met.wait();
        };
        let right = || {
            here.store(1, Ordering::Release);
            met.wait();
        };
        pool.join(left, right);
    }
    within(|| down(&pool(1), 8, &Barrier::new(2), &AtomicUsize::new(0)));
}

#[test]
fn b8_a_recursion_of_ten_thousand_forks_ends() {
    fn left(pool: &Pool, depth: u64) -> u64 {
        if depth == 0 {
            return 0;
        }
        let (below, one) = pool.join(|| left(pool, depth - 1), || 1);
        below + one
    }
    fn right(pool: &Pool, depth: u64) -> u64 {
        if depth == 0 {
            return 0;
        }
        let (one, below) = pool.join(|| 1, || right(pool, depth - 1));
        below + one
    }
    within(|| {
        // Unoptimised frames are large, and a worker may take any part of the recursion.
        let pool = Pool::builder().workers(Workers::Fixed(2)).stack_size(256 << 20).build().unwrap();
        let run = || (left(&pool, 10_000), right(&pool, 10_000));
        let large =
            thread::scope(|s| thread::Builder::new().stack_size(256 << 20).spawn_scoped(s, run).unwrap().join());
        assert_eq!(large.unwrap(), (10_000, 10_000));
    });
}

/// Runs a join whose halves may panic, with the right half started by another thread or not started before the left
/// one ends; checks that everything captured and returned was dropped once.
fn with_counts(promoted: bool, left: Option<&'static str>, right: Option<&'static str>) -> Option<&'static str> {
    let pool = pool(1);
    let drops = Arc::new(AtomicUsize::new(0));
    let counted = || Counted(drops.clone());
    let barrier = Barrier::new(2);
    let half = |end: Option<&'static str>, captured: Counted, returned: Counted| {
        let barrier = &barrier;
        move || {
            let _captured = captured;
            if promoted {
                barrier.wait();
            }
            match end {
                Some(text) => quiet_panic(text),
                None => returned,
            }
        }
    };
    let (a, b) = (half(left, counted(), counted()), half(right, counted(), counted()));
    let result = catch_unwind(AssertUnwindSafe(|| drop(pool.join(a, b))));
    assert_eq!(drops.load(Ordering::Relaxed), 4);
    result.err().map(|payload| *payload.downcast::<&str>().unwrap())
}

#[test]
fn c1_panics_come_out_after_both_halves_have_ended_and_everything_is_dropped_once() {
    within(|| {
        for promoted in [false, true] {
            assert_eq!(with_counts(promoted, None, None), None);
            assert_eq!(with_counts(promoted, Some("left"), None), Some("left"));
            assert_eq!(with_counts(promoted, None, Some("right")), Some("right"));
            assert_eq!(with_counts(promoted, Some("left"), Some("right")), Some("left"));
        }
    });
}

#[test]
fn b1_a_right_half_that_was_not_started_is_dropped_unrun() {
    let pool = pool(1);
    let ran = AtomicUsize::new(0);
    pool.pause();
    for depth in 0..8 {
        fn down(pool: &Pool, depth: usize, ran: &AtomicUsize) {
            let right = || _ = ran.fetch_add(1, Ordering::Relaxed);
            match depth {
                0 => quiet_panic("deep"),
                _ => pool.join(|| down(pool, depth - 1, ran), right),
            };
        }
        let caught = catch_unwind(AssertUnwindSafe(|| down(&pool, depth, &ran)));
        assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"deep"));
    }
    assert_eq!(ran.into_inner(), 0);
    assert_eq!(pool.join(|| 1, || 2), (1, 2), "and the pool goes on");
}

#[test]
fn b2_payloads_results_and_captures_that_panic_when_dropped_are_contained() {
    within(|| {
        for promoted in [false, true] {
            let pool = pool(1);
            let barrier = Barrier::new(2);
            let meet = || _ = promoted.then(|| barrier.wait());
            let caught = catch_unwind(AssertUnwindSafe(|| {
                pool.join(
                    || {
                        meet();
                        Bomb
                    },
                    || {
                        meet();
                        quiet_panic("right")
                    },
                )
            }));
            assert_eq!(caught.map(|_| ()).unwrap_err().downcast_ref(), Some(&"right"));
            let bomb = Bomb;
            let caught = catch_unwind(AssertUnwindSafe(|| {
                pool.join(
                    || {
                        meet();
                        quiet_panic("left")
                    },
                    || {
                        let _bomb = &bomb;
                        meet();
                        quiet_panic(Bomb)
                    },
                )
            }));
            std::mem::forget(bomb);
            assert_eq!(caught.map(|_: ((), ())| ()).unwrap_err().downcast_ref(), Some(&"left"));
            let caught = catch_unwind(AssertUnwindSafe(|| {
                let captured = Bomb;
                pool.join(|| quiet_panic("left"), move || std::mem::forget(captured))
            }));
            assert_eq!(caught.map(|_: ((), ())| ()).unwrap_err().downcast_ref(), Some(&"left"));
            assert_eq!(pool.join(|| 1, || 2), (1, 2));
        }
    });
}

#[test]
fn b9_a_waiting_owner_runs_no_strangers_task_and_helps_its_own_half() {
    within(|| {
        let pool = Arc::new(pool(2));
        let (lock, strangers) = (Arc::new(Mutex::new(())), Arc::new(AtomicUsize::new(0)));
        let (done, ended) = mpsc::channel();
        let (inside, lock_inside, counter) = (pool.clone(), lock.clone(), strangers.clone());
        let task = move || {
            let (outer, inner) = (Barrier::new(2), Barrier::new(2));
            let held = lock_inside.lock().unwrap();
            let right = || {
                for _ in 0..10 {
                    let (lock, strangers) = (lock_inside.clone(), counter.clone());
                    let stranger = move || {
                        drop(lock.lock().unwrap());
                        strangers.fetch_add(1, Ordering::Relaxed);
                    };
                    inside.spawn(stranger).unwrap();
                }
                outer.wait();
                // One of the two workers is in this half and the other waits for it: only that one can come.
                inside.join(|| inner.wait(), || inner.wait());
            };
            inside.join(|| outer.wait(), right);
            assert_eq!(counter.load(Ordering::Relaxed), 0);
            drop(held);
            done.send(()).unwrap();
        };
        pool.spawn(task).unwrap();
        ended.recv().unwrap();
        pool.wait_idle().unwrap();
        assert_eq!(strangers.load(Ordering::Relaxed), 10);
    });
}

#[test]
fn a_pool_of_one_worker_joins_on_its_worker_and_its_caller() {
    within(|| {
        let pool = Arc::new(pool(1));
        let inner = pool.clone();
        let numbers: Vec<u64> = (1..=50_000).collect();
        let total = numbers.iter().sum::<u64>();
        assert_eq!(sum(&pool, &numbers), total);
        assert_eq!(pool.submit(move || sum(&inner, &numbers)).join().unwrap(), total);
    });
}

#[test]
fn many_threads_and_scope_tasks_join_on_one_pool() {
    within(|| {
        let pool = pool(2);
        let numbers: Vec<u64> = (1..=20_000).collect();
        let total = numbers.iter().sum::<u64>();
        thread::scope(|s| {
            for _ in 0..8 {
                s.spawn(|| assert_eq!(sum(&pool, &numbers), total));
            }
        });
        pool.scope(|s| {
            for _ in 0..8 {
                s.spawn(|| assert_eq!(sum(&pool, &numbers), total));
            }
        });
        let scopes = || pool.scope(|s| s.submit(|| sum(&pool, &numbers)).join().unwrap());
        assert_eq!(pool.join(scopes, scopes), (total, total));
    });
}

#[test]
fn pools_may_join_within_each_other() {
    within(|| {
        let (one, two) = (pool(1), pool(1));
        let numbers: Vec<u64> = (1..=1000).collect();
        let inner = || one.join(|| sum(&two, &numbers), || sum(&one, &numbers));
        assert_eq!(two.join(inner, inner), ((500_500, 500_500), (500_500, 500_500)));
        let barrier = Barrier::new(2);
        let meet = || _ = barrier.wait();
        one.join(|| two.join(|| one.join(meet, meet), || ()), || ());
    });
}

#[test]
fn c5_a_closed_and_a_paused_pool_join_on_the_caller() {
    within(|| {
        let numbers: Vec<u64> = (1..=100_000).collect();
        let closed = pool(2);
        closed.close();
        let me = thread::current().id();
        let id = || thread::current().id();
        assert_eq!(closed.join(id, id), (me, me));
        assert_eq!(sum(&closed, &numbers), 5_000_050_000);
        let caught = catch_unwind(AssertUnwindSafe(|| closed.join(|| Bomb, || quiet_panic("right"))));
        assert_eq!(caught.map(|_: (Bomb, ())| ()).unwrap_err().downcast_ref(), Some(&"right"));
        let paused = pool(2);
        paused.pause();
        assert_eq!(sum(&paused, &numbers), 5_000_050_000);
    });
}

/// How many threads of this process have that name.
fn threads(name: &str) -> usize {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return 0 };
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|comm| comm.trim_end() == name).count()
}

#[test]
#[cfg(target_os = "linux")]
fn d7_the_timer_is_started_by_the_first_join_and_ends_with_the_pool() {
    within(|| {
        let pool = Pool::builder().workers(Workers::Fixed(1)).name("forks").build().unwrap();
        pool.scope(|s| s.spawn(|| ()));
        assert_eq!(threads("forks-timer"), 0);
        let barrier = Barrier::new(2);
        pool.join(|| barrier.wait(), || barrier.wait());
        pool.join(|| (), || ());
        // The system's list is not exact while other threads come and go.
        while threads("forks-timer") != 1 {
            thread::yield_now();
        }
        assert_eq!(pool.shutdown().threads_joined, 1, "the timer is no worker");
        // The system may list a thread that was joined for a moment more; one that was not stays for ever.
        while threads("forks-timer") > 0 {
            thread::yield_now();
        }
    });
}
