//! Sections A and E of a map: its bounds, and who runs what.

use super::map::{Latch, caught, collatz};
use super::{pool, within};
use fanpool::Pool;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn a1_options_of_zero_are_refused_with_their_name_and_range() {
    within(|| {
        let pool = pool(1);
        let refused = |option: &str, choose: &dyn Fn()| {
            assert_eq!(caught::<&str, _>(choose), format!("{option} is 0; allowed is 1 and more"));
        };
        refused("window", &|| drop(pool.map(0..9, |n| n).window(0)));
        refused("batch", &|| drop(pool.map(0..9, |n| n).batch(0)));
        refused("limit", &|| drop(pool.map(0..9, |n| n).limit(0)));
        refused("window", &|| pool.scope(|s| drop(s.stream(0..9, |n| n).window(0))));
        refused("batch", &|| pool.scope(|s| drop(s.stream(0..9, |n| n).batch(0))));
    });
}

#[test]
fn a2_absurd_options_are_as_good_as_none() {
    within(|| {
        let most = usize::MAX;
        for workers in [1, 4] {
            let pool = pool(workers);
            let ends = |map: fanpool::Map<'_, Box<dyn Iterator<Item = u64>>, _>| {
                assert!(map.collect::<Vec<_>>().into_iter().eq((0..5000).map(collatz)));
            };
            for exact in [true, false] {
                let map = || {
                    let source: Box<dyn Iterator<Item = u64>> =
                        if exact { Box::new(0..5000) } else { Box::new((0..5000).filter(|_| true)) };
                    pool.map(source, collatz)
                };
                ends(map().window(most));
                ends(map().batch(most));
                ends(map().limit(most));
                ends(map().window(most).batch(most).limit(most));
                ends(map().window(1).batch(most));
                ends(map().weigh(|_| most / 5000, most).window(most));
                ends(map().weigh(|_| 1, most).batch(most));
                ends(map().weigh(|_| most, 1));
                ends(map().weigh(|_| 0, 0));
            }
            assert_eq!(pool.map(0..10_u8, |n| n).window(most).batch(most).count(), 10);
            assert_eq!(pool.map([[0_u8; 1000]; 10], |array| array).window(most).batch(most).count(), 10);
            assert_eq!(pool.scope(|s| s.stream(0..1000, |n| n).window(most).batch(most).count()), 1000);
        }
    });
}

#[test]
fn a2_weights_whose_sum_overflows_run_one_by_one() {
    within(|| {
        let (pool, started, delivered) = (pool(2), AtomicUsize::new(0), AtomicUsize::new(0));
        let map = pool.map(0..100, |n| {
            let with = started.fetch_add(1, Ordering::SeqCst) + 1;
            assert_eq!((with, delivered.load(Ordering::SeqCst)), (n + 1, n), "{n} is not alone");
        });
        map.weigh(|_| usize::MAX, usize::MAX).for_each(|()| _ = delivered.fetch_add(1, Ordering::SeqCst));
        assert_eq!(delivered.into_inner(), 100);
    });
}

/// Counts items from the source to the consumer, and fails once there are more than `most`.
struct Flow {
    most: usize,
    pulled: AtomicUsize,
    delivered: AtomicUsize,
}

impl Flow {
    fn new(most: usize) -> Flow {
        Flow { most, pulled: AtomicUsize::new(0), delivered: AtomicUsize::new(0) }
    }

    fn source(&self, len: usize) -> impl Iterator<Item = usize> + '_ {
        (0..len).inspect(|_| {
            let pulled = self.pulled.fetch_add(1, Ordering::SeqCst) + 1;
            let in_flight = pulled - self.delivered.load(Ordering::SeqCst);
            assert!(in_flight <= self.most, "{in_flight} in flight, allowed {}", self.most);
        })
    }

    fn sink(&self) -> impl FnMut(usize) + '_ {
        |_| _ = self.delivered.fetch_add(1, Ordering::SeqCst)
    }
}

#[test]
fn e4_never_more_items_are_in_flight_than_the_window_has() {
    within(|| {
        for workers in [1, 4] {
            let pool = pool(workers);
            for window in [1, 2, 3, 7, 64, 1000] {
                for (ordered, exact, batch) in [(true, true, 0), (true, false, 0), (false, true, 0), (true, true, 5)] {
                    // The head waits until others have run, as many as surely fit.
                    let (flow, others) = (Flow::new(window), Latch::new(window / 2));
                    let f = |n: usize| {
                        if n == 0 && window > 1 {
                            others.wait();
                        } else {
                            others.count_down();
                        }
                        n
                    };
                    let source: Box<dyn Iterator<Item = usize>> = match exact {
                        true => Box::new(flow.source(5000)),
                        false => Box::new(flow.source(5000).filter(|_| true)),
                    };
                    let map = pool.map(source, f).window(window);
                    let map = if ordered { map } else { map.unordered() };
                    let map = if batch > 0 { map.batch(1) } else { map };
                    map.for_each(flow.sink());
                    assert_eq!(flow.delivered.into_inner(), 5000);
                }
            }
        }
    });
}

#[test]
fn e4_a_consumer_that_stops_stops_the_source() {
    within(|| {
        for (workers, window) in [(1, 1), (1, 10), (4, 3), (4, 100)] {
            let (pool, flow) = (pool(workers), Flow::new(window));
            pool.scope(|s| {
                let mut stream = s.stream(flow.source(100_000), |n| n).window(window);
                for taken in 1..=3000 {
                    // It is on its way to the consumer while the stream looks for it.
                    assert_eq!(stream.next(), Some(taken - 1));
                    flow.delivered.fetch_add(1, Ordering::SeqCst);
                    let pulled = flow.pulled.load(Ordering::SeqCst);
                    assert!(pulled <= taken + window);
                }
            });
        }
    });
}

#[test]
fn e4_the_weight_in_flight_never_exceeds_its_bound() {
    within(|| {
        for (workers, ordered, max) in [(1, true, 10), (4, true, 10), (4, false, 10), (4, true, 1), (4, true, 300)] {
            let (pool, weighed, delivered) = (pool(workers), AtomicUsize::new(0), AtomicUsize::new(0));
            let (most, items) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let weight = |n: &usize| n % 11;
            // An item that does not fit waits outside. So each that is taken finds those before it within the bound, or only one.
            let weigh = |n: &usize| {
                let before = weighed.fetch_add(weight(n), Ordering::SeqCst) - delivered.load(Ordering::SeqCst);
                assert!(before <= max || items.load(Ordering::SeqCst) == 1, "{before} in flight");
                items.fetch_add(1, Ordering::SeqCst);
                weight(n)
            };
            let started = AtomicUsize::new(0);
            let map = pool.map(0..3000, |n| {
                let with = started.fetch_add(weight(&n), Ordering::SeqCst) + weight(&n);
                most.fetch_max(with - delivered.load(Ordering::SeqCst).min(with), Ordering::SeqCst);
                n
            });
            let map = map.weigh(weigh, max);
            let map = if ordered { map } else { map.unordered() };
            map.for_each(|n| {
                items.fetch_sub(1, Ordering::SeqCst);
                delivered.fetch_add(weight(&n), Ordering::SeqCst);
            });
            assert!(most.into_inner() <= max.max(10));
            assert_eq!(delivered.into_inner(), (0..3000).map(|n| weight(&n)).sum::<usize>());
        }
    });
}

#[test]
fn e5_an_item_heavier_than_the_budget_runs_alone() {
    within(|| {
        for (workers, batch) in [(1, 1), (4, 1), (4, 50)] {
            let pool = pool(workers);
            let (started, delivered) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let heavy = |n: usize| n % 70 == 0 || n % 70 == 1;
            let map = pool.map(0..1000, |n| {
                let before = started.fetch_add(1, Ordering::SeqCst);
                if heavy(n) {
                    assert_eq!((before, delivered.load(Ordering::SeqCst)), (n, n), "{n} is not alone");
                    std::hint::black_box(collatz(837_799));
                    assert_eq!(started.load(Ordering::SeqCst), n + 1, "{n} is not alone");
                }
            });
            let map = map.weigh(|n| if heavy(*n) { usize::MAX } else { 1 }, 20).batch(batch);
            map.for_each(|()| _ = delivered.fetch_add(1, Ordering::SeqCst));
            assert_eq!(started.into_inner(), 1000);
        }
    });
}

/// Takes long enough not to be run by the calling thread alone.
fn some_work(n: usize) -> usize {
    (0..1000).fold(n, |sum, m| std::hint::black_box(sum ^ m))
}

/// One item, `quick + at`, waits until the 63 others of the last 64 have run.
fn blocked(pool: &Pool, quick: usize, at: usize, exact: bool, ordered: bool) {
    let others = Latch::new(63);
    let f = |n: usize| {
        if n == quick + at {
            others.wait();
        } else if n >= quick {
            others.count_down();
        }
        some_work(n)
    };
    let source: Box<dyn Iterator<Item = usize>> =
        if exact { Box::new(0..quick + 64) } else { Box::new((0..quick + 64).filter(|_| true)) };
    let map = pool.map(source, f).window(2000);
    let map = if ordered { map } else { map.unordered() };
    assert_eq!(map.count(), quick + 64);
}

#[test]
fn e7_no_item_waits_behind_one_that_blocks() {
    within(|| {
        let pool = pool(4);
        for at in [0, 10, 63] {
            for (exact, ordered) in [(true, true), (true, false), (false, true), (false, false)] {
                blocked(&pool, 0, at, exact, ordered);
            }
        }
    });
}

#[test]
fn e7_no_item_of_a_known_number_waits_behind_one_that_blocks_after_quick_ones() {
    within(|| {
        let pool = pool(4);
        for at in [0, 10, 63] {
            blocked(&pool, 1000, at, true, true);
            blocked(&pool, 1000, at, true, false);
        }
    });
}

#[test]
fn e7_no_item_of_an_unknown_number_waits_behind_one_that_blocks_after_quick_ones() {
    within(|| {
        let pool = pool(4);
        for at in [0, 10, 63] {
            blocked(&pool, 1000, at, false, true);
            blocked(&pool, 1000, at, false, false);
        }
    });
}

#[test]
fn e7_the_last_items_run_on_all_threads_at_once() {
    within(|| {
        for workers in [1, 2, 4] {
            let pool = pool(workers);
            for quick in [0, 10, 1000] {
                for exact in [true, false] {
                    let all = Latch::new(workers);
                    let f = |n: usize| {
                        some_work(n);
                        if n >= quick {
                            all.meet();
                        }
                    };
                    let len = quick + workers;
                    if exact {
                        assert_eq!(pool.map(0..len, f).window(2000).count(), len);
                    } else {
                        assert_eq!(pool.map((0..len).filter(|_| true), f).window(2000).count(), len);
                    }
                }
            }
        }
    });
}

#[test]
fn the_calling_thread_runs_items_along_with_all_workers() {
    within(|| {
        for workers in [1, 4] {
            let (pool, all) = (pool(workers), Latch::new(workers + 1));
            assert_eq!(pool.map(0..=workers, |_| all.meet()).count(), workers + 1);
        }
    });
}
