//! Section E: a map over every kind of source is a serial loop.

use super::{pool, within};
use fanpool::Pool;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::Duration;

/// Opens once it was counted down. A thread that waits in vain panics, so that a test which fails also ends.
pub(crate) struct Latch {
    left: Mutex<usize>,
    opened: Condvar,
}

impl Latch {
    pub(crate) fn new(count: usize) -> Latch {
        Latch { left: Mutex::new(count), opened: Condvar::new() }
    }

    pub(crate) fn count_down(&self) {
        let mut left = self.left.lock().unwrap();
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.opened.notify_all();
        }
    }

    pub(crate) fn wait(&self) {
        let left = self.left.lock().unwrap();
        let (left, _) = self.opened.wait_timeout_while(left, Duration::from_secs(60), |left| *left > 0).unwrap();
        let missing = *left;
        drop(left);
        assert_eq!(missing, 0, "nobody came");
    }

    /// Counts down and waits for the others.
    pub(crate) fn meet(&self) {
        self.count_down();
        self.wait();
    }
}

/// What `body` panicked with.
pub(crate) fn caught<T: 'static, R>(body: impl FnOnce() -> R) -> T {
    let payload = catch_unwind(AssertUnwindSafe(body)).err().expect("panics");
    *payload.downcast().expect("this type of payload")
}

/// An iterator with a hint that may be wrong.
struct Lies<I>(I, (usize, Option<usize>));

impl<I: Iterator> Iterator for Lies<I> {
    type Item = I::Item;
    fn next(&mut self) -> Option<I::Item> {
        self.0.next()
    }
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.1
    }
}

pub(crate) fn collatz(n: u64) -> (u64, u32) {
    let (mut at, mut steps) = (n, 0);
    while at > 1 {
        at = if at % 2 == 0 { at / 2 } else { 3 * at + 1 };
        steps += 1;
    }
    (n, steps)
}

/// Holds a map over `source()` to the serial loop, in order and not, with several windows and batches.
fn as_serial<I, R>(pools: &[Pool], source: impl Fn() -> I, f: impl Fn(I::Item) -> R + Send + Sync)
where
    I: Iterator,
    I::Item: Send,
    R: Ord + Send + std::fmt::Debug,
{
    // One by one: where the hint is a lie, `collect` would believe it.
    let listed = |results: &mut dyn Iterator<Item = R>| {
        let mut list = Vec::new();
        results.for_each(|result| list.push(result));
        list
    };
    let mut serial = listed(&mut source().map(&f));
    for pool in pools {
        assert_eq!(pool.map(source(), &f).collect::<Vec<_>>(), serial);
        assert_eq!(pool.map(source(), &f).window(1).collect::<Vec<_>>(), serial);
        assert_eq!(pool.map(source(), &f).window(10).batch(3).collect::<Vec<_>>(), serial);
        let streamed = pool.scope(|s| listed(&mut s.stream(source(), &f)));
        assert_eq!(streamed, serial);
    }
    serial.sort();
    for pool in pools {
        let mut results = pool.map(source(), &f).unordered().collect::<Vec<_>>();
        results.sort();
        assert_eq!(results, serial);
        let mut results = pool.scope(|s| listed(&mut s.stream(source(), &f).unordered().window(5)));
        results.sort();
        assert_eq!(results, serial);
    }
}

#[test]
fn results_are_those_of_a_serial_loop() {
    within(|| {
        let pools = [pool(1), pool(2), pool(4)];
        let numbers: Vec<u64> = (0..3000).collect();
        let text = numbers.iter().map(|n| format!("line {n}\n")).collect::<String>();
        as_serial(&pools, || numbers.iter(), |n| collatz(*n));
        as_serial(&pools, || numbers.clone().into_iter(), collatz);
        as_serial(&pools, || 0..3000, collatz);
        as_serial(&pools, || text.lines(), str::len);
        as_serial(&pools, || (0..3000).filter(|n| n % 3 != 1), collatz);
        as_serial(
            &pools,
            || {
                let mut n = 0;
                std::iter::from_fn(move || {
                    n += 1;
                    (n < 2000).then_some(n)
                })
            },
            collatz,
        );
    });
}

#[test]
fn a_channel_may_be_the_source() {
    within(|| {
        let pool = pool(2);
        for _ in 0..20 {
            let (send, receive) = mpsc::channel();
            let feeder = std::thread::spawn(move || (0..500).for_each(|n| send.send(n).unwrap()));
            assert!(pool.map(receive, |n| 2 * n).collect::<Vec<_>>().into_iter().eq((0..1000).step_by(2)));
            feeder.join().unwrap();
        }
    });
}

#[test]
fn what_was_taken_runs_while_the_source_waits_for_the_next_item() {
    within(|| {
        for workers in [1, 4] {
            let pool = pool(workers);
            for (limit, batch) in [(None, None), (None, Some(50)), (Some(2), None), (Some(2), Some(50))] {
                let (send, receive) = mpsc::channel();
                (0..3).for_each(|_| send.send(600).unwrap());
                let send = Mutex::new(Some(send));
                let left = AtomicUsize::new(1800);
                // Each item makes the next one, until all of them are used up.
                let map = pool.map(receive, |n: u32| {
                    if n > 1 {
                        send.lock().unwrap().as_ref().unwrap().send(n - 1).unwrap();
                    }
                    if left.fetch_sub(1, Ordering::SeqCst) == 1 {
                        send.lock().unwrap().take();
                    }
                    n
                });
                let map = if let Some(batch) = batch { map.batch(batch) } else { map };
                let sum: u32 = match limit {
                    None => map.fold(0, |sum, n| sum + n),
                    Some(limit) => map.limit(limit).unordered().fold(0, |sum, n| sum + n),
                };
                assert_eq!(sum, 3 * 600 * 601 / 2);
            }
        }
    });
}

#[test]
fn a_window_of_one_runs_each_item_before_it_asks_for_the_next() {
    within(|| {
        let pool = pool(1);
        pool.pause();
        let next = AtomicUsize::new(0);
        let source = std::iter::from_fn(|| Some(next.load(Ordering::SeqCst)).filter(|n| *n < 100));
        let seen: Vec<_> = pool.map(source, |n| next.fetch_add(1, Ordering::SeqCst) == n).window(1).collect();
        assert_eq!(seen, [true; 100]);
    });
}

#[test]
fn e1_a_source_may_lie_about_its_length() {
    within(|| {
        let pools = [pool(1), pool(4)];
        let most = usize::MAX;
        let hints = [
            (0, Some(0)),
            (0, None),
            (5, Some(5)),
            (2000, Some(1)),
            (9000, Some(9000)),
            (most, Some(most)),
            (most, None),
        ];
        for hint in hints {
            for len in [0, 1, 10, 1000] {
                let source = || Lies(0..len, hint);
                as_serial(&pools, source, collatz);
                for pool in &pools {
                    let ok: Result<Vec<_>, ()> = pool.map(source(), Ok).try_collect();
                    assert!(ok.unwrap().into_iter().eq(0..len));
                    assert_eq!(pool.map(source(), |n| n).count() as u64, len);
                    assert_eq!(pool.map(source(), |n| n).sum::<u64>(), (0..len).sum::<u64>());
                    let mut last = None;
                    pool.map(source(), |n| n).progress(|done, _| last = Some(done)).for_each(drop);
                    assert_eq!(last, Some(len as usize));
                }
            }
        }
    });
}

#[test]
fn e1_a_source_that_has_ended_is_not_asked_again() {
    within(|| {
        let pools = [pool(1), pool(4)];
        for hint in [(0, None), (300, Some(300)), (1000, Some(1000))] {
            let source = || {
                let (mut at, mut ended) = (0, false);
                let next = std::iter::from_fn(move || {
                    assert!(!ended, "asked again");
                    ended = at == 300;
                    at += 1;
                    (!ended).then_some(at)
                });
                Lies(next, hint)
            };
            as_serial(&pools, source, collatz);
            for pool in &pools {
                assert_eq!(pool.map(source(), |n| n).weigh(|_| 1, 7).count(), 300);
                // So cheap that the calling thread may run all of it.
                for _ in 0..20 {
                    assert_eq!(pool.map(source(), |n| n).count(), 300);
                    assert_eq!(pool.map(source(), |n| n).fold(0, |count, _| count + 1), 300);
                    assert_eq!(pool.map(source(), |n| n).unordered().count(), 300);
                }
                pool.scope(|s| {
                    let mut stream = s.stream(source(), |n| n);
                    assert_eq!(stream.by_ref().count(), 300);
                    assert_eq!((stream.next(), stream.next()), (None, None));
                });
            }
        }
    });
}

#[test]
fn e1_a_stream_on_the_same_pool_may_be_the_source() {
    within(|| {
        for workers in [1, 2, 4] {
            let pool = Arc::new(pool(workers));
            let inner = pool.clone();
            let run = move || {
                inner.scope(|s| {
                    let first = s.stream(0..1000_u64, collatz).window(10);
                    let second = s.stream(first, |(n, steps)| (n, u64::from(steps)));
                    s.map(second, |(n, steps)| n + steps).sum::<u64>()
                })
            };
            let expected = (0..1000).map(|n| n + u64::from(collatz(n).1)).sum::<u64>();
            assert_eq!(run(), expected);
            assert_eq!(pool.submit(run).join().unwrap(), expected);
        }
    });
}

#[test]
fn e6_few_items_and_none() {
    within(|| {
        let pools = [pool(1), pool(8)];
        for len in [0, 1, 3, 8, 9] {
            as_serial(&pools, || 0..len, collatz);
            as_serial(&pools, || (0..len).filter(|_| true), collatz);
        }
        for pool in &pools {
            assert_eq!(pool.map(0..0, |n: u32| Ok::<_, ()>(n)).try_collect::<Vec<_>>(), Ok(vec![]));
            assert_eq!(pool.map(0..0, |n: u32| Err::<(), _>(n)).try_for_each(|_| Err(1)), Ok(()));
        }
    });
}
