//! What the terminals of a map compute, and the states of `map_init`.

use super::map::{Latch, caught, collatz};
use super::{Bomb, Counted, pool, quiet_panic, within};
use fanpool::Pool;
use std::cell::Cell;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

#[test]
fn results_are_collected_into_any_collection() {
    within(|| {
        let pool = pool(2);
        let numbers = 0..2000_u32;
        assert!(pool.map(numbers.clone(), |n| n).collect::<VecDeque<_>>().into_iter().eq(0..2000));
        assert!(pool.map(numbers.clone(), |n| n).collect::<BTreeSet<_>>().into_iter().eq(0..2000));
        let text: String = pool.map(numbers.clone(), |n| n.to_string()).collect();
        assert_eq!(text, numbers.clone().map(|n| n.to_string()).collect::<String>());
        let squares: HashMap<u32, u32> = pool.map(numbers.clone(), |n| (n, n * n)).collect();
        assert!(squares.len() == 2000 && squares.iter().all(|(n, square)| n * n == *square));
        let (halves, doubles): (Vec<u32>, VecDeque<u32>) = pool.map(numbers.clone(), |n| (n / 2, n * 2)).collect();
        assert!(halves.into_iter().eq(numbers.clone().map(|n| n / 2)));
        assert!(doubles.into_iter().eq(numbers.map(|n| n * 2)));
    });
}

/// Takes only the first few items of each call.
struct Picky<const K: usize>(Vec<usize>);

impl<const K: usize> Default for Picky<K> {
    fn default() -> Self {
        Picky(Vec::new())
    }
}

impl<const K: usize> Extend<usize> for Picky<K> {
    fn extend<I: IntoIterator<Item = usize>>(&mut self, items: I) {
        self.0.extend(items.into_iter().take(K));
    }
}

#[test]
fn e2_a_collection_that_leaves_results_ends_the_run() {
    fn collects<const K: usize>(pool: &Pool) {
        let (ran, slow) = (AtomicUsize::new(0), AtomicBool::new(false));
        let f = |n| {
            ran.fetch_add(1, Ordering::SeqCst);
            if slow.load(Ordering::SeqCst) {
                std::hint::black_box(collatz(837_799));
            }
            n
        };
        for work in [false, true] {
            slow.store(work, Ordering::SeqCst);
            let exact: Picky<K> = pool.map(0..5000, f).collect();
            let inexact: Picky<K> = pool.map((0..5000).filter(|_| true), f).collect();
            let unordered: Picky<K> = pool.map(0..5000, f).unordered().collect();
            for held in [exact.0, inexact.0] {
                assert!(held.iter().copied().eq(0..held.len()), "a part is missing");
                assert!(K == 0 || !held.is_empty());
            }
            assert!(unordered.0.iter().collect::<BTreeSet<_>>().len() == unordered.0.len());
            assert!(ran.load(Ordering::SeqCst) <= 15_000 * (1 + usize::from(work)), "an item ran twice");
        }
    }
    within(|| {
        for workers in [1, 4] {
            let pool = pool(workers);
            collects::<0>(&pool);
            collects::<1>(&pool);
            collects::<7>(&pool);
            collects::<100_000>(&pool);
        }
    });
}

#[test]
fn reduce_keeps_the_order_of_an_operator_that_needs_it() {
    within(|| {
        for workers in [1, 4] {
            let pool = pool(workers);
            for len in [0, 1, 2, 100, 3000] {
                let serial: String = (0..len).map(|n| format!("{n},")).collect();
                let join = |left: String, right: String| left + &right;
                let write = |n: usize| format!("{n},");
                assert_eq!(pool.map(0..len, write).reduce(String::new, join), serial);
                assert_eq!(pool.map(0..len, write).batch(7).window(30).reduce(String::new, join), serial);
                assert_eq!(pool.map(0..len, write).window(1).reduce(String::new, join), serial);
                assert_eq!(pool.map((0..len).filter(|_| true), write).reduce(String::new, join), serial);
                assert_eq!(pool.map(0..len, write).unordered().reduce(String::new, join), serial);
                let folded = pool.map(0..len, write).fold(String::new(), |text, next| text + &next);
                assert_eq!(folded, serial);
            }
            assert_eq!(pool.map(0..0, |n: u8| n).reduce(|| 77, |left, _| left), 77);
            assert_eq!(pool.map(1..=20_u64, |n| n).reduce(|| 1, |left, right| left * right), (1..=20).product::<u64>());
        }
    });
}

#[test]
fn a_panic_of_the_operator_goes_on() {
    within(|| {
        for workers in [1, 4] {
            let pool = pool(workers);
            for at in [0, 1, 500, 999] {
                let reduce = || {
                    pool.map(0..1000, |n| vec![n]).reduce(Vec::new, |mut left, right| {
                        if right.contains(&at) {
                            quiet_panic("of the operator");
                        }
                        left.extend(right);
                        left
                    })
                };
                assert_eq!(caught::<&str, _>(reduce), "of the operator");
            }
            assert_eq!(caught::<u8, _>(|| pool.map(0..9, |n| n).reduce(|| quiet_panic(7_u8), |a, _: i32| a)), 7);
            assert_eq!(pool.map(0..10, |n| n).count(), 10);
        }
    });
}

#[test]
fn sums_counts_and_parts() {
    within(|| {
        for workers in [1, 4] {
            let pool = pool(workers);
            assert_eq!(pool.map(0..5000_u64, |n| n).sum::<u64>(), (0..5000).sum::<u64>());
            assert_eq!(pool.map(0..5000_u64, |n| n).unordered().sum::<u64>(), (0..5000).sum::<u64>());
            assert_eq!(pool.map((0..5000).filter(|n| n % 2 == 0), |n| n).count(), 2500);
            assert_eq!(pool.map([0.5_f64; 64], |n| n).sum::<f64>(), 32.0);
            let parity = |n: usize| if n % 3 == 0 { Err(n) } else { Ok(n * 2) };
            let (values, errors) = pool.map(0..3000, parity).partition();
            assert!(values.into_iter().eq((0..3000).filter(|n| n % 3 != 0).map(|n| (n, n * 2))));
            assert!(errors.into_iter().eq((0..3000).step_by(3).map(|n| (n, n))));
            let (mut values, errors) = pool.map(0..3000, parity).unordered().partition();
            values.sort();
            assert!(values.into_iter().eq((0..3000).filter(|n| n % 3 != 0).map(|n| (n, n * 2))));
            assert!(errors.len() == 1000 && errors.iter().all(|(index, n)| index == n));
        }
    });
}

#[test]
fn progress_is_told_on_the_calling_thread_and_ends_with_the_total() {
    within(|| {
        let (pool, here) = (pool(2), std::thread::current().id());
        let calls = Cell::new(0);
        for (len, known) in [(0, true), (1, true), (3000, true), (3000, false)] {
            let last = Cell::new((usize::MAX, None));
            calls.set(0);
            let report = |done, total| {
                assert_eq!(std::thread::current().id(), here);
                assert!(calls.get() == 0 || done >= last.get().0);
                calls.set(calls.get() + 1);
                last.set((done, total));
            };
            let keep = move |_: &usize| true;
            if known {
                assert_eq!(pool.map(0..len, |n| n).progress(report).collect::<Vec<_>>().len(), len);
            } else {
                assert_eq!(pool.map((0..len).filter(keep), |n| n).progress(report).count(), len);
            }
            assert_eq!(last.get(), (len, known.then_some(len)));
            assert!(calls.get() >= 1);
        }
        let report = |_, _| quiet_panic("of the report");
        assert_eq!(caught::<&str, _>(|| pool.map(0..10, |n| n).progress(report).count()), "of the report");
    });
}

struct State {
    alive: Arc<AtomicUsize>,
    used: Cell<bool>,
    spoiled: bool,
    _dropped: Counted,
}

impl Drop for State {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Default)]
struct States {
    alive: Arc<AtomicUsize>,
    most: AtomicUsize,
    made: AtomicUsize,
    dropped: Arc<AtomicUsize>,
}

impl States {
    fn make(&self) -> State {
        self.made.fetch_add(1, Ordering::SeqCst);
        self.most.fetch_max(self.alive.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let (alive, used) = (self.alive.clone(), Cell::new(false));
        State { alive, used, spoiled: false, _dropped: Counted(self.dropped.clone()) }
    }

    fn all_gone(&self) {
        assert_eq!(self.alive.load(Ordering::SeqCst), 0);
        assert_eq!(self.made.load(Ordering::SeqCst), self.dropped.load(Ordering::SeqCst));
    }
}

#[test]
fn a_map_makes_no_more_states_than_threads_run_items() {
    within(|| {
        for workers in [1, 4] {
            let (pool, states) = (pool(workers), States::default());
            for round in 0..20 {
                let results = pool.map_init(
                    0..500,
                    || states.make(),
                    |state, n| {
                        assert!(!state.used.replace(true), "two threads have it");
                        if n % 50 == round {
                            std::hint::black_box(collatz(837_799));
                        }
                        state.used.set(false);
                        n
                    },
                );
                assert!(results.collect::<Vec<_>>().into_iter().eq(0..500));
                states.all_gone();
            }
            assert!(states.most.load(Ordering::SeqCst) <= workers + 1);
            assert!(states.made.load(Ordering::SeqCst) <= 20 * (workers + 1));
            // All threads at once.
            let all = Latch::new(workers + 1);
            pool.map_init(0..=workers, || states.make(), |_, _| all.meet()).count();
            assert_eq!(states.most.load(Ordering::SeqCst), workers + 1);
            states.all_gone();
        }
    });
}

#[test]
fn f3_a_panic_of_init_goes_on() {
    within(|| {
        for workers in [1, 4] {
            let pool = pool(workers);
            let init = || -> u8 { quiet_panic("of init") };
            assert_eq!(caught::<&str, _>(|| pool.map_init(0..100, init, |_, n| n).count()), "of init");
            let (made, two, mut delivered) = (AtomicUsize::new(0), Latch::new(2), 0);
            let init = || {
                two.count_down();
                if made.fetch_add(1, Ordering::SeqCst) == 1 {
                    quiet_panic("of the second");
                }
            };
            let run = || {
                pool.map_init(0..100, init, |(), n| {
                    two.wait();
                    n
                })
                .for_each(|n| {
                    assert_eq!(n, delivered);
                    delivered += 1;
                });
            };
            assert_eq!(caught::<&str, _>(run), "of the second");
            assert!(delivered < 100);
        }
    });
}

#[test]
fn b2_a_state_that_a_panic_has_passed_is_not_used_again() {
    within(|| {
        for workers in [1, 4] {
            let (pool, states, reused) = (pool(workers), States::default(), AtomicUsize::new(0));
            for round in 0..300 {
                let at = round % 10;
                let run = || {
                    let f = |state: &mut State, n: usize| {
                        reused.fetch_add(usize::from(state.spoiled), Ordering::SeqCst);
                        if n % 10 == at {
                            state.spoiled = true;
                            quiet_panic(n);
                        }
                    };
                    pool.map_init(0..100, || states.make(), f).batch(1 + round % 3).count()
                };
                assert_eq!(caught::<usize, _>(run), at);
                states.all_gone();
            }
            assert_eq!(reused.into_inner(), 0);
        }
    });
}

#[test]
fn b2_states_functions_and_sources_whose_drop_panics_leave_the_pool_whole() {
    struct Source(std::ops::Range<usize>, Bomb);
    impl Iterator for Source {
        type Item = usize;
        fn next(&mut self) -> Option<usize> {
            self.0.next()
        }
    }
    within(|| {
        for workers in [1, 4] {
            let (pool, mut delivered) = (pool(workers), 0);
            for round in 0..100 {
                let mut check = |n: usize| {
                    assert_eq!(n % 100, delivered % 100);
                    delivered += 1;
                };
                let all = Latch::new(workers + 1);
                let run = || {
                    let f = |_: &mut Bomb, n| {
                        if n <= workers {
                            all.meet();
                        }
                        n
                    };
                    pool.map_init(0..100, || Bomb, f).for_each(&mut check);
                };
                let _ = catch_unwind(AssertUnwindSafe(run));
                let bomb = Bomb;
                let run = || pool.map(0..100, move |n| (n, &bomb).0).for_each(&mut check);
                let _ = catch_unwind(AssertUnwindSafe(run));
                let run = || pool.map(Source(0..100, Bomb), |n| n).for_each(&mut check);
                let _ = catch_unwind(AssertUnwindSafe(run));
                assert_eq!(delivered, 300 * (round + 1));
            }
            assert_eq!(pool.broadcast(|worker| worker).unwrap().len(), workers);
            assert_eq!(pool.shutdown().tasks.discarded, 0);
        }
    });
}

#[test]
fn a_stream_tells_how_many_results_are_left() {
    within(|| {
        for (workers, window) in [(1, 10), (4, 3), (4, 2000)] {
            let pool = pool(workers);
            for (exact, ordered) in [(true, true), (false, true), (true, false)] {
                let source: Box<dyn Iterator<Item = u64>> =
                    if exact { Box::new(0..1000) } else { Box::new((0..1000).filter(|_| true)) };
                pool.scope(|s| {
                    let stream = s.stream(source, collatz).window(window);
                    let mut stream = if ordered { stream } else { stream.unordered() };
                    for left in (0..1000).rev() {
                        assert!(stream.next().is_some());
                        let (least, most) = stream.size_hint();
                        assert!(least <= left && most.is_none_or(|most| left <= most), "{least} {left} {most:?}");
                        assert!(!exact || (least, most) == (left, Some(left)));
                    }
                    assert_eq!(stream.next(), None);
                    assert_eq!(stream.size_hint(), (0, Some(0)));
                });
            }
        }
    });
}
