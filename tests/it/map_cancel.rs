//! Maps that a token or a deadline ends.

use super::map::Latch;
use super::map_ends::Ledger;
use super::{pool, within};
use fanpool::{CancelToken, StopReason, Stopped};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What a stopped run over `0..` has delivered must be the start of it.
fn is_prefix(stopped: Result<Vec<usize>, Stopped<Vec<usize>>>, reason: StopReason) -> usize {
    let stopped = stopped.unwrap_err();
    assert_eq!(stopped.reason, reason);
    assert!(stopped.partial.iter().copied().eq(0..stopped.partial.len()));
    stopped.partial.len()
}

#[test]
fn a_map_is_cancelled_from_anywhere() {
    within(|| {
        for workers in [1, 4] {
            let pool = pool(workers);
            for window in [1, 10, 5000] {
                // From another thread.
                let (token, reached) = (CancelToken::new(), Latch::new(1));
                std::thread::scope(|threads| {
                    threads.spawn(|| {
                        reached.wait();
                        token.cancel();
                    });
                    let f = |n| {
                        if n == 100 {
                            reached.count_down();
                        }
                        n
                    };
                    is_prefix(pool.map(0.., f).window(window).cancel(&token).collect(), StopReason::Cancelled);
                });
                // From an item.
                let token = CancelToken::new();
                let f = |n| {
                    if n == 100 {
                        token.cancel();
                    }
                    n
                };
                is_prefix(pool.map(0.., f).window(window).cancel(&token).collect(), StopReason::Cancelled);
                // What is reduced in the workers is the start of all, too.
                let token = CancelToken::new();
                let f = |n| {
                    if n == 100 {
                        token.cancel();
                    }
                    vec![n]
                };
                let joined = pool.map(0.., f).window(window).cancel(&token);
                is_prefix(joined.reduce(Vec::new, |left, right| [left, right].concat()), StopReason::Cancelled);
                let late = Duration::from_millis(1);
                is_prefix(pool.map(0.., |n| n).window(window).deadline(late).collect(), StopReason::Deadline);
                let limited = pool.map(0.., |n| n).window(window).limit(1).deadline(late);
                is_prefix(limited.collect(), StopReason::Deadline);
                // From the consumer, in order and not.
                for ordered in [true, false] {
                    let (token, mut seen) = (CancelToken::new(), Vec::new());
                    let map = pool.map(0.., |n: usize| n).window(window).cancel(&token);
                    let map = if ordered { map } else { map.unordered() };
                    let stopped = map.for_each(|n| {
                        seen.push(n);
                        if seen.len() == 100 {
                            token.cancel();
                        }
                    });
                    assert_eq!(stopped, Err(Stopped { reason: StopReason::Cancelled, partial: () }));
                    assert!(seen.len() >= 100);
                    assert!(!ordered || seen.iter().copied().eq(0..seen.len()));
                    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), seen.len());
                }
            }
        }
    });
}

#[test]
fn a_map_that_is_cancelled_before_it_runs_runs_nothing() {
    within(|| {
        let (pool, token) = (pool(2), CancelToken::new());
        token.cancel();
        let never = |_: usize| -> usize { unreachable!("cancelled") };
        assert_eq!(is_prefix(pool.map(0.., never).cancel(&token).collect(), StopReason::Cancelled), 0);
        assert_eq!(is_prefix(pool.map(0.., never).deadline(Duration::ZERO).collect(), StopReason::Deadline), 0);
        let group = pool.group().cancel(&token).limit(1).build().unwrap();
        assert_eq!(is_prefix(group.map(0.., never).collect(), StopReason::Cancelled), 0);
        // The first of two tokens, or the second.
        let other = CancelToken::new();
        assert_eq!(is_prefix(pool.map(0.., never).cancel(&token).cancel(&other).collect(), StopReason::Cancelled), 0);
        assert_eq!(is_prefix(pool.map(0.., never).cancel(&other).cancel(&token).collect(), StopReason::Cancelled), 0);
        let long = pool.map(0..9, |n| n).cancel(&other).deadline(Duration::MAX).collect::<Vec<_>>();
        assert!(long.unwrap().into_iter().eq(0..9));
    });
}

#[test]
fn what_a_cancelled_map_had_taken_is_dropped_once() {
    within(|| {
        for (workers, ordered) in [(1, true), (4, true), (1, false), (4, false)] {
            for at in [0, 1, 70, 1000] {
                let (pool, ledger, token) = (pool(workers), Ledger::default(), CancelToken::new());
                let map = pool.map(ledger.source(usize::MAX), |item| {
                    if item.0 == at {
                        token.cancel();
                    }
                    ledger.run(item)
                });
                let map = if ordered { map } else { map.unordered() };
                let stopped = map.cancel(&token).fold(0, |count, _| count + 1).unwrap_err();
                assert_eq!(stopped.reason, StopReason::Cancelled);
                assert!(stopped.partial <= ledger.made.load(Ordering::SeqCst));
                ledger.settled(pool);
            }
        }
    });
}

// spins for ever on what waits.
#[test]
fn a_map_out_of_order_that_a_worker_finds_cancelled_ends() {
    within(|| {
        let pool = pool(1);
        for _ in 0..200 {
            let (token, cancelled) = (CancelToken::new(), Latch::new(1));
            // The worker comes when whole batches wait, and cancels within the first of them.
            pool.pause();
            let source = (0..1000).filter(|n| {
                if *n == 25 {
                    pool.resume();
                    cancelled.wait();
                }
                true
            });
            let f = |n: usize| {
                if n == 0 {
                    token.cancel();
                    cancelled.count_down();
                }
            };
            let stopped = pool.map(source, f).batch(10).unordered().cancel(&token).count();
            assert_eq!(stopped.unwrap_err().reason, StopReason::Cancelled);
        }
    });
}

#[test]
fn a_limited_map_is_cancelled_while_items_wait() {
    within(|| {
        let (pool, token, held) = (pool(2), CancelToken::new(), Latch::new(1));
        let f = |n: usize| {
            if n == 3 {
                token.cancel();
                held.count_down();
            } else if n > 3 {
                held.wait();
            }
            n
        };
        let stopped = pool.map(0..100, f).limit(2).cancel(&token).reduce(|| 0, |left, right| left.max(right));
        assert_eq!(stopped.unwrap_err().reason, StopReason::Cancelled);
    });
}
