//! Sections B to D of a map: inside of other things, beside others, and on pools that do not help.

use super::map::{Latch, collatz};
use super::{pool, within};
use fanpool::{CancelToken, Pool, Priority};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

fn triangle(pool: &Pool, depth: usize) -> usize {
    match depth {
        0 => 1,
        _ => pool.map(0..3, |_| triangle(pool, depth - 1)).sum(),
    }
}

#[test]
fn b7_maps_nest_to_any_depth_on_any_pool() {
    within(|| {
        for workers in [1, 2] {
            let pool = Arc::new(pool(workers));
            assert_eq!(triangle(&pool, 5), 243);
            let inner = pool.clone();
            assert_eq!(pool.submit(move || triangle(&inner, 5)).join().unwrap(), 243);
            // One inside the other, many deep.
            fn deep(pool: &Pool, depth: usize) -> usize {
                if depth == 0 { 0 } else { 1 + pool.map([depth], |depth| deep(pool, depth - 1)).sum::<usize>() }
            }
            let inner = pool.clone();
            assert_eq!(pool.submit(move || deep(&inner, 64)).join().unwrap(), 64);
        }
    });
}

#[test]
fn b7_an_item_may_call_into_the_pool() {
    within(|| {
        for workers in [1, 4] {
            let (pool, spawned) = (pool(workers), Arc::new(AtomicUsize::new(0)));
            let results = pool.map(0..300, |n| {
                let spawned = spawned.clone();
                pool.spawn(move || _ = spawned.fetch_add(1, Ordering::SeqCst)).unwrap();
                match n % 6 {
                    0 => pool.pause(),
                    1 => pool.resize(1 + n % 3).unwrap(),
                    2 => pool.scope(|s| s.spawn(|| ())),
                    3 => assert_eq!(pool.submit(|| 7).join().unwrap(), 7),
                    4 => assert!(pool.group().limit(1).build().unwrap().map(0..9, |n| n).count() == Ok(9)),
                    _ => pool.resume(),
                }
                n
            });
            assert!(results.collect::<Vec<_>>().into_iter().eq(0..300));
            pool.resume();
            pool.shutdown();
            assert_eq!(spawned.load(Ordering::SeqCst), 300);
        }
    });
}

#[test]
fn d2_a_task_that_maps_may_hold_the_last_handle_of_its_pool() {
    within(|| {
        for workers in [1, 4] {
            let (pool, go) = (Arc::new(pool(workers)), Arc::new(Latch::new(1)));
            let (last, gone) = (pool.clone(), go.clone());
            let handle = pool.submit(move || {
                gone.wait();
                let sum = last.map(0..1000_u64, |n| collatz(n).0).sum::<u64>();
                drop(last);
                sum
            });
            drop(pool);
            go.count_down();
            assert_eq!(handle.join().unwrap(), 499_500);
        }
    });
}

#[test]
fn options_of_a_scope_do_not_reach_its_maps() {
    within(|| {
        let (pool, token, all) = (pool(2), CancelToken::new(), Latch::new(2));
        let group = pool.group().limit(1).cancel(&token).build().unwrap();
        token.cancel();
        group.scope(|s| {
            assert_eq!(s.map(0..2, |_| all.meet()).count(), 2);
            // Its own options do.
            let stopped = s.map(0..100, |n| n).cancel(&token).count().unwrap_err();
            assert_eq!(stopped.partial, 0);
        });
    });
}

#[test]
fn a_token_of_a_scope_does_not_reach_its_streams() {
    within(|| {
        let (pool, token) = (pool(2), CancelToken::new());
        let group = pool.group().cancel(&token).build().unwrap();
        token.cancel();
        assert_eq!(group.scope(|s| s.stream(0..100, |n| n).count()), 100);
    });
}

#[test]
fn a_limit_of_a_scope_does_not_reach_its_streams() {
    within(|| {
        let (pool, started, streamed) = (pool(2), Latch::new(1), Latch::new(1));
        let group = pool.group().limit(1).build().unwrap();
        group.scope(|s| {
            s.spawn(|| {
                started.count_down();
                streamed.wait();
            });
            started.wait();
            assert_eq!(s.stream(0..100, |n| n).count(), 100);
            streamed.count_down();
        });
    });
}

#[test]
fn b9_a_lock_may_be_held_while_a_stream_is_consumed() {
    within(|| {
        for workers in [1, 4] {
            let (pool, lock) = (pool(workers), Mutex::new(0));
            pool.scope(|s| {
                let mut held = lock.lock().unwrap();
                for _ in 0..20 {
                    s.spawn(|| *lock.lock().unwrap() += 1);
                }
                *held += s.stream(0..1000, |n| n).window(10).count();
                *held += s.map((0..1000).filter(|_| true), |n| n).batch(3).count();
                drop(held);
            });
            assert_eq!(lock.into_inner().unwrap(), 2020);
        }
    });
}

#[test]
fn b9_a_lock_may_be_held_across_a_map() {
    within(|| {
        for workers in [1, 2, 4] {
            let (pool, lock) = (pool(workers), Mutex::new(0));
            let sum: u64 = pool
                .map(0..20, |_| {
                    let mut held = lock.lock().unwrap();
                    *held += 1;
                    let sum = pool.map(0..50_u64, |n| u64::from(collatz(n).1)).batch(1).sum::<u64>();
                    let listed = pool.map((0..50_u64).filter(|_| true), |n| u64::from(collatz(n).1));
                    assert_eq!(listed.collect::<Vec<_>>().iter().sum::<u64>(), sum);
                    pool.scope(|s| (0..10).for_each(|_| s.spawn(|| ())));
                    drop(held);
                    sum
                })
                .sum();
            assert_eq!(sum, 20 * (0..50).map(|n| u64::from(collatz(n).1)).sum::<u64>());
            assert_eq!(lock.into_inner().unwrap(), 20);
        }
    });
}

#[test]
fn c5_a_map_ends_on_a_paused_a_closed_and_a_stuck_pool() {
    within(|| {
        for workers in [1, 4] {
            let pool = pool(workers);
            let maps = || {
                assert_eq!(pool.map(0..1000, |n| n).sum::<u64>(), 499_500);
                assert!(pool.map((0..1000).filter(|_| true), |n| n).collect::<Vec<_>>().into_iter().eq(0..1000));
                assert_eq!(pool.map(0..1000_u64, |n| n).unordered().limit(1).count(), 1000);
                assert_eq!(triangle(&pool, 3), 27);
            };
            pool.pause();
            maps();
            pool.resume();
            let (release, stuck) = mpsc::channel::<()>();
            let (stuck, in_task) = (Arc::new(Mutex::new(stuck)), Arc::new(Latch::new(workers)));
            for _ in 0..workers {
                let (stuck, in_task) = (stuck.clone(), in_task.clone());
                pool.spawn(move || {
                    in_task.count_down();
                    assert!(stuck.lock().unwrap().recv().is_err());
                })
                .unwrap();
            }
            in_task.wait();
            maps();
            drop(release);
            // Closed in the middle, and from the start.
            let close = |n: u64| {
                if n == 500 {
                    pool.close();
                }
                n
            };
            assert_eq!(pool.map(0..1000, close).sum::<u64>(), 499_500);
            maps();
            assert_eq!(pool.shutdown().tasks.discarded, 0);
        }
    });
}

#[test]
fn c7_many_threads_map_on_one_pool() {
    within(|| {
        for workers in [1, 4] {
            let pool = pool(workers);
            std::thread::scope(|threads| {
                for thread in 0..16 {
                    let pool = &pool;
                    threads.spawn(move || {
                        for round in 0..10 {
                            let len = 100 * round + thread;
                            let results = pool.map(0..len, |n| collatz(n as u64).1).collect::<Vec<_>>();
                            assert!(results.into_iter().eq((0..len).map(|n| collatz(n as u64).1)));
                            let sum = pool.map((0..len).filter(|n| n % 2 == 0), |n| n).window(9).sum::<usize>();
                            assert_eq!(sum, (0..len).step_by(2).sum::<usize>());
                        }
                    });
                }
            });
        }
    });
}

#[test]
fn no_more_threads_run_items_than_the_limit_says() {
    within(|| {
        for (workers, limit) in [(1, 1), (4, 1), (1, 2), (4, 2), (4, 3)] {
            let pool = pool(workers);
            let group = pool.group().limit(limit).build().unwrap();
            for (in_group, exact) in [(true, true), (true, false), (false, true), (false, false)] {
                let (running, most, together) = (AtomicUsize::new(0), AtomicUsize::new(0), Latch::new(limit));
                let f = |n: usize| {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    if n < limit {
                        together.meet();
                    } else if n % 10 == 0 {
                        std::hint::black_box(collatz(837_799));
                        // The inner map has the same limit, and places of its own.
                        if n % 100 == 0 {
                            assert_eq!(group.map(0..20, |n| n).count(), Ok(20));
                        }
                    }
                    running.fetch_sub(1, Ordering::SeqCst);
                    n
                };
                let source: Box<dyn Iterator<Item = usize>> =
                    if exact { Box::new(0..1000) } else { Box::new((0..1000).filter(|_| true)) };
                let results = match in_group {
                    true => group.map(source, f).collect::<Vec<_>>().unwrap(),
                    false => pool.map(source, f).limit(limit).collect::<Vec<_>>(),
                };
                assert!(results.into_iter().eq(0..1000));
                assert_eq!(most.into_inner(), limit);
            }
        }
    });
}

#[test]
fn maps_of_every_priority_end() {
    within(|| {
        let pool = pool(2);
        std::thread::scope(|threads| {
            for priority in [Priority::High, Priority::Normal, Priority::Low] {
                let pool = &pool;
                threads.spawn(move || {
                    for _ in 0..10 {
                        let map = pool.map(0..1000, |n| collatz(n).0).priority(priority);
                        assert!(map.collect::<Vec<_>>().into_iter().eq(0..1000));
                    }
                });
            }
        });
    });
}
