//! Sections E and F of a map: how runs end. Panics, errors, consumers that leave.

use super::map::{Latch, caught, collatz};
use super::{Bomb, Counted, pool, quiet_panic, within};
use fanpool::Pool;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Counts what a map does with its items and results.
#[derive(Default)]
pub(crate) struct Ledger {
    pulled: AtomicUsize,
    items_dropped: Arc<AtomicUsize>,
    started: AtomicUsize,
    running: AtomicUsize,
    pub(crate) made: AtomicUsize,
    results_dropped: Arc<AtomicUsize>,
}

pub(crate) type Numbered = (usize, Counted);

impl Ledger {
    /// The items `0..len`.
    pub(crate) fn source(&self, len: usize) -> impl Iterator<Item = Numbered> + '_ {
        (0..len).map(|n| {
            self.pulled.fetch_add(1, Ordering::SeqCst);
            (n, Counted(self.items_dropped.clone()))
        })
    }

    pub(crate) fn run(&self, item: Numbered) -> Numbered {
        self.started.fetch_add(1, Ordering::SeqCst);
        self.running.fetch_add(1, Ordering::SeqCst);
        let n = item.0;
        if n % 100 == 3 {
            std::hint::black_box(collatz(837_799));
        }
        drop(item);
        self.made.fetch_add(1, Ordering::SeqCst);
        self.running.fetch_sub(1, Ordering::SeqCst);
        (n, Counted(self.results_dropped.clone()))
    }

    fn counts(&self) -> [usize; 6] {
        [
            self.pulled.load(Ordering::SeqCst),
            self.items_dropped.load(Ordering::SeqCst),
            self.started.load(Ordering::SeqCst),
            self.running.load(Ordering::SeqCst),
            self.made.load(Ordering::SeqCst),
            self.results_dropped.load(Ordering::SeqCst),
        ]
    }

    /// All that was taken and made is gone, and nothing runs any more, also not until the pool has ended.
    pub(crate) fn settled(&self, pool: Pool) {
        let counts = self.counts();
        let [pulled, items_dropped, _, running, made, results_dropped] = counts;
        assert_eq!((items_dropped, running, results_dropped), (pulled, 0, made));
        pool.shutdown();
        assert_eq!(self.counts(), counts, "something ran after the map had returned");
    }
}

const POINTS: [usize; 8] = [0, 1, 2, 63, 64, 65, 700, 1999];

#[test]
fn e1_what_comes_before_a_panic_of_the_source_is_delivered_and_nothing_after() {
    within(|| {
        for (round, at) in POINTS.iter().copied().enumerate() {
            for (workers, ordered, exact) in [(1, true, true), (4, true, false), (2, false, true), (4, false, false)] {
                let (pool, ledger, mut seen) = (pool(workers), Ledger::default(), Vec::new());
                let asked = AtomicBool::new(false);
                let source = ledger.source(2000).inspect(|item| {
                    assert!(!asked.load(Ordering::SeqCst), "asked after its panic");
                    if item.0 == at {
                        asked.store(true, Ordering::SeqCst);
                        quiet_panic(at);
                    }
                });
                let source: Box<dyn Iterator<Item = Numbered>> =
                    if exact { Box::new(source) } else { Box::new(source.filter(|_| true)) };
                let map = pool.map(source, |item| ledger.run(item));
                let map = if ordered { map } else { map.unordered() };
                let map = if round % 2 == 0 { map } else { map.window(10) };
                assert_eq!(caught::<usize, _>(|| map.for_each(|result| seen.push(result.0))), at);
                if !ordered {
                    seen.sort();
                }
                assert!(seen.into_iter().eq(0..at));
                ledger.settled(pool);
            }
        }
    });
}

#[test]
fn e1_a_panic_of_the_weight_is_one_of_the_source() {
    within(|| {
        for at in [0, 1, 70] {
            let (pool, ledger, mut seen) = (pool(2), Ledger::default(), 0);
            let weigh = |item: &Numbered| if item.0 == at { quiet_panic(at) } else { 1 };
            let map = pool.map(ledger.source(1000), |item| ledger.run(item)).weigh(weigh, 5);
            assert_eq!(caught::<usize, _>(|| map.for_each(|_| seen += 1)), at);
            assert_eq!(seen, at);
            ledger.settled(pool);
        }
    });
}

#[test]
fn e2_a_sink_that_panics_or_stops_ends_the_run() {
    within(|| {
        for (round, at) in POINTS.iter().copied().enumerate() {
            for (workers, ordered) in [(1, true), (4, true), (2, false), (4, false)] {
                for panics in [true, false] {
                    let (pool, ledger, mut seen) = (pool(workers), Ledger::default(), Vec::new());
                    let map = pool.map(ledger.source(2000), |item| ledger.run(item));
                    let map = if ordered { map } else { map.unordered() };
                    let map = if round % 2 == 0 { map } else { map.window(10) };
                    let sink = |(n, _): Numbered| {
                        seen.push(n);
                        match (seen.len() > at, panics) {
                            (true, true) => quiet_panic(at),
                            (true, false) => Err(at),
                            (false, _) => Ok(()),
                        }
                    };
                    if panics {
                        assert_eq!(caught::<usize, _>(|| map.try_for_each(sink)), at);
                    } else {
                        assert_eq!(map.try_for_each(sink), Err(at));
                    }
                    assert_eq!(seen.len(), at + 1);
                    assert!(!ordered || seen.iter().copied().eq(0..=at));
                    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), at + 1);
                    ledger.settled(pool);
                }
            }
        }
    });
}

#[test]
fn e2_a_panic_of_each_kind_of_consumer_ends_the_run() {
    within(|| {
        let run = |consume: fn(&Pool, &Ledger)| {
            let (pool, ledger) = (pool(2), Ledger::default());
            assert_eq!(caught::<&str, _>(|| consume(&pool, &ledger)), "of the consumer");
            ledger.settled(pool);
        };
        run(|pool, ledger| {
            let step = |sum, (n, _): Numbered| if n == 300 { quiet_panic("of the consumer") } else { sum + n };
            pool.map(ledger.source(1000), |item| ledger.run(item)).fold(0, step);
        });
        run(|pool, ledger| {
            let sink = |(n, _): Numbered| {
                if n == 300 {
                    quiet_panic("of the consumer")
                }
            };
            pool.map(ledger.source(1000), |item| ledger.run(item)).for_each(sink);
        });
        run(|pool, ledger| {
            pool.scope(|s| {
                for (n, _) in s.stream(ledger.source(1000), |item| ledger.run(item)) {
                    if n == 300 {
                        quiet_panic("of the consumer");
                    }
                }
            });
        });
    });
}

#[test]
fn e2_a_stream_dropped_early_leaves_nothing() {
    within(|| {
        for taken in [0, 1, 5, 64, 500] {
            for (workers, window) in [(1, 1), (1, 100), (4, 10), (4, 1000)] {
                let (pool, ledger) = (pool(workers), Ledger::default());
                pool.scope(|s| {
                    let stream = s.stream(ledger.source(2000), |item| ledger.run(item)).window(window);
                    assert!(stream.take(taken).map(|(n, _)| n).eq(0..taken));
                    let pulled = ledger.pulled.load(Ordering::SeqCst);
                    assert!(pulled <= taken + window, "{pulled} were taken");
                });
                assert!(taken > 0 || ledger.pulled.load(Ordering::SeqCst) == 0);
                ledger.settled(pool);
            }
        }
    });
}

#[test]
fn e2_a_forgotten_stream_is_waited_for() {
    within(|| {
        for (taken, workers) in [(0, 2), (1, 1), (5, 4), (100, 1), (100, 4)] {
            let (pool, ledger) = (pool(workers), Ledger::default());
            pool.scope(|s| {
                let mut stream = s.stream(ledger.source(2000), |item| ledger.run(item)).window(50);
                assert!(stream.by_ref().take(taken).map(|(n, _)| n).eq(0..taken));
                std::mem::forget(stream);
            });
            let counts = ledger.counts();
            let [pulled, items_dropped, started, running, made, results_dropped] = counts;
            assert_eq!((running, started, items_dropped), (0, made, made));
            assert!(made <= pulled && pulled <= taken + 50);
            assert!(taken <= results_dropped && results_dropped <= made);
            pool.shutdown();
            assert_eq!(ledger.counts(), counts, "something ran after the scope");
        }
    });
}

#[test]
fn b2_items_and_results_whose_drop_panics_are_dropped_once() {
    struct Sharp {
        _counted: Counted,
    }
    impl Drop for Sharp {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                quiet_panic("dropped");
            }
        }
    }
    within(|| {
        for workers in [1, 4] {
            let (pool, items, results) = (pool(workers), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let (pulled, made) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let source = (0..1000).map(|n| {
                pulled.fetch_add(1, Ordering::SeqCst);
                (n, Sharp { _counted: Counted(items.clone()) })
            });
            let f = |(n, item): (usize, Sharp)| {
                let caught = catch_unwind(AssertUnwindSafe(|| drop(item)));
                assert!(caught.is_err());
                made.fetch_add(1, Ordering::SeqCst);
                (n, Sharp { _counted: Counted(results.clone()) })
            };
            let mut seen = 0;
            let sink = |(n, result): (usize, Sharp)| {
                let caught = catch_unwind(AssertUnwindSafe(|| drop(result)));
                assert!(caught.is_err());
                seen += 1;
                if n == 100 { Err(n) } else { Ok(()) }
            };
            assert_eq!(pool.map(source, f).window(60).try_for_each(sink), Err(100));
            assert_eq!(seen, 101);
            assert_eq!(items.load(Ordering::SeqCst), pulled.into_inner());
            assert_eq!(results.load(Ordering::SeqCst), made.into_inner());
            assert_eq!(pool.map(0..10, |n| n).count(), 10);
        }
    });
}

#[test]
fn e3_the_error_with_the_lowest_index_surfaces() {
    within(|| {
        for workers in [1, 2, 4] {
            for failing in [vec![0], vec![1, 0], vec![999], vec![5, 9, 6], vec![64, 65, 63, 900], vec![500, 700]] {
                let lowest = *failing.iter().min().unwrap();
                let f = |n| if failing.contains(&n) { Err(n) } else { Ok(n) };
                for batch in [None, Some(1), Some(16)] {
                    let (pool, mut seen) = (pool(workers), Vec::new());
                    let map = || match batch {
                        None => pool.map(0..1000, f),
                        Some(batch) => pool.map(0..1000, f).batch(batch),
                    };
                    assert_eq!(map().try_collect::<Vec<_>>(), Err(lowest));
                    assert_eq!(map().try_for_each(|result| result.map(|n| seen.push(n))), Err(lowest));
                    assert!(seen.into_iter().eq(0..lowest));
                    let unordered = map().unordered().try_collect::<Vec<_>>().unwrap_err();
                    assert!(failing.contains(&unordered));
                }
            }
        }
    });
}

#[test]
fn e3_the_panic_with_the_lowest_index_surfaces() {
    within(|| {
        for workers in [1, 2, 4] {
            for failing in [vec![0], vec![1, 0], vec![999], vec![5, 9, 6], vec![64, 65, 63, 900], vec![500, 700]] {
                let lowest = *failing.iter().min().unwrap();
                for (batch, window) in [(None, 64), (Some(1), 7), (Some(16), 500)] {
                    let (pool, ledger, mut seen) = (pool(workers), Ledger::default(), Vec::new());
                    let map = pool.map(ledger.source(1000), |item| {
                        let n = item.0;
                        let result = ledger.run(item);
                        if failing.contains(&n) { quiet_panic(n) } else { result }
                    });
                    let map = if let Some(batch) = batch { map.batch(batch) } else { map };
                    assert_eq!(caught::<usize, _>(|| map.window(window).for_each(|(n, _)| seen.push(n))), lowest);
                    assert!(seen.into_iter().eq(0..lowest));
                    ledger.settled(pool);
                }
            }
        }
    });
}

#[test]
fn e3_a_later_failure_that_comes_first_waits_for_its_turn() {
    within(|| {
        for (early_panics, late_panics) in [(false, false), (false, true), (true, false), (true, true)] {
            for workers in [1, 4] {
                let (pool, late, mut seen) = (pool(workers), Latch::new(1), Vec::new());
                let f = |n: usize| {
                    let panics = match n {
                        5 => {
                            late.wait();
                            early_panics
                        }
                        9 => {
                            late.count_down();
                            late_panics
                        }
                        _ => return Ok(n),
                    };
                    if panics { quiet_panic(n) } else { Err(n) }
                };
                let mut run = || pool.map(0..100, f).batch(1).try_for_each(|result| result.map(|n| seen.push(n)));
                if early_panics {
                    assert_eq!(caught::<usize, _>(&mut run), 5);
                } else {
                    assert_eq!(run(), Err(5));
                }
                assert!(seen.into_iter().eq(0..5));
            }
        }
    });
}

#[test]
fn b2_payloads_that_nobody_sees_may_panic_when_they_are_dropped() {
    within(|| {
        for workers in [1, 4] {
            let (pool, late) = (pool(workers), Latch::new(1));
            let f = |n: usize| match n {
                0 => {
                    late.wait();
                    quiet_panic(n)
                }
                _ => {
                    // After the unwinding has begun, so that the first item sees a failure that is complete or nearly so.
                    let _after = Opens(&late);
                    quiet_panic(Bomb)
                }
            };
            assert_eq!(caught::<usize, _>(|| pool.map(0..100, f).count()), 0);
            assert_eq!(pool.map(0..10, |n| n).count(), 10);
            assert_eq!(pool.workers(), workers);
        }
    });
}

struct Opens<'a>(&'a Latch);

impl Drop for Opens<'_> {
    fn drop(&mut self) {
        self.0.count_down();
    }
}
