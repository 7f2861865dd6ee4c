//! Programs that once broke maps, and now must not.

use super::{pool, quiet_panic, within};
use fanpool::CancelToken;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

const MOMENT: Duration = Duration::from_millis(20);

/// A payload whose `Drop` panics, whatever the thread is doing.
struct Grenade;

impl Drop for Grenade {
    fn drop(&mut self) {
        quiet_panic("dropped");
    }
}

/// Items so large that running one is cheap beside handing it over, also in unoptimised code.
type Bulky = [u64; 512];

fn wait_for(flag: &AtomicBool) {
    let began = Instant::now();
    while !flag.load(Ordering::SeqCst) {
        assert!(began.elapsed() < Duration::from_secs(120), "waits for ever");
        std::thread::yield_now();
    }
}

/// Whether this thread is none of the pool's.
fn outside() -> bool {
    fanpool::current_worker().is_none()
}

/// Tells when it is dropped.
struct Flagged<'a>(Option<&'a AtomicBool>);

impl Drop for Flagged<'_> {
    fn drop(&mut self) {
        if let Some(flag) = self.0 {
            flag.store(true, Ordering::SeqCst);
        }
    }
}

#[test]
fn a_payload_that_nobody_wants_does_not_replace_the_error() {
    within(|| {
        let pool = pool(1);
        let (begun, closed) = (AtomicBool::new(false), AtomicBool::new(false));
        // The worker panics after the calling thread has met the error and dropped the third item, which is done when nobody
        // wants results any more.
        let run = |_: Flagged<'_>| {
            if outside() {
                wait_for(&begun);
                return Err("the error");
            }
            begun.store(true, Ordering::SeqCst);
            wait_for(&closed);
            quiet_panic(Grenade)
        };
        for _ in 0..4 {
            let items = [Flagged(None), Flagged(None), Flagged(Some(&closed))];
            let ended =
                pool.map(items, run).batch(1).unordered().window(3).try_for_each(|result: Result<(), _>| result);
            assert_eq!(ended, Err("the error"));
            begun.store(false, Ordering::SeqCst);
            closed.store(false, Ordering::SeqCst);
        }
    });
}

#[test]
fn a_payload_behind_what_was_taken_from_a_stream_is_dropped_quietly() {
    within(|| {
        let pool = pool(1);
        pool.pause();
        pool.scope(|s| {
            let run = |n| if n == 1 { quiet_panic(Grenade) } else { n };
            let mut stream = s.stream([0, 1, 2], run).batch(3);
            assert_eq!(stream.next(), Some(0));
            drop(stream);
        });
        let sink = |n: i32| -> Result<(), i32> { Err(n) };
        let run = |n| if n == 1 { quiet_panic(Grenade) } else { n };
        assert_eq!(pool.map([0, 1, 2], run).batch(3).try_for_each(sink), Err(0));
    });
}

#[test]
fn a_cancellation_that_a_worker_sees_first_is_told() {
    within(|| {
        for ordered in [true, false] {
            let pool = pool(1);
            let (token, cancelled) = (CancelToken::new(), AtomicBool::new(false));
            // The worker cancels, and brings back what it has not run, while the calling thread is in the source. The worker runs
            // another task once it has done so.
            pool.pause();
            let source = (0..10).filter(|n| {
                if *n == 9 {
                    pool.resume();
                    wait_for(&cancelled);
                    let (free, was_freed) = std::sync::mpsc::channel();
                    pool.spawn(move || free.send(()).unwrap()).unwrap();
                    was_freed.recv().unwrap();
                }
                true
            });
            let run = |n: i32| {
                if !outside() {
                    token.cancel();
                    cancelled.store(true, Ordering::SeqCst);
                }
                n
            };
            let map = pool.map(source, run).window(16).cancel(&token);
            let map = if ordered { map } else { map.unordered() };
            let ended = map.collect::<Vec<_>>();
            assert!(ended.is_err(), "{ordered} {ended:?}");
        }
    });
}

#[test]
fn a_cancellation_after_everything_was_delivered_is_none() {
    within(|| {
        let pool = pool(1);
        for count in [1, 2, 3, 64, 65, 128] {
            for window in [Some(1), Some(2), Some(64), None] {
                let token = CancelToken::new();
                let mut left = count;
                let map = pool.map(0..count, |n| n).cancel(&token);
                let map = if let Some(window) = window { map.window(window) } else { map };
                let ended = map.for_each(|_| {
                    left -= 1;
                    if left == 0 {
                        token.cancel();
                    }
                });
                assert_eq!((ended, left), (Ok(()), 0), "{count} {window:?}");
            }
        }
    });
}

#[test]
fn progress_counts_items_where_results_are_reduced() {
    within(|| {
        let pool = pool(2);
        let mut told = Vec::new();
        let sum = pool.map(0..1000_u64, |n| n).progress(|done, total| told.push((done, total))).sum::<u64>();
        assert_eq!((sum, told.last()), (499_500, Some(&(1000, Some(1000)))));
    });
}

#[test]
fn weights_beyond_all_measure_do_not_overflow() {
    within(|| {
        let pool = pool(1);
        let n = pool.map(0..20, |n| n).weigh(|n| if n % 2 == 0 { usize::MAX } else { 5 }, usize::MAX).count();
        assert_eq!(n, 20);
    });
}

#[test]
fn items_that_turn_slow_are_shared_again() {
    within(|| {
        let pool = pool(1);
        let once = || {
            let (elsewhere, slow) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let run = |(n, bulk): (usize, Bulky)| {
                if n >= 50_000 {
                    // This is the work: nobody is waited for.
                    sleep(Duration::from_millis(2));
                    slow.fetch_add(1, Ordering::Relaxed);
                    elsewhere.fetch_add(usize::from(!outside()), Ordering::Relaxed);
                }
                bulk
            };
            let n = pool.map((0..51_000).map(|n| (n, [0; 512])).filter(|_| true), run).count();
            assert_eq!((n, slow.into_inner()), (51_000, 1000));
            elsewhere.into_inner()
        };
        // A worker that gets no time from the system runs few; it does not get none each time.
        assert!((0..5).any(|_| once() > 300), "of 1000 a worker runs fewer than 300 each time");
    });
}

#[test]
fn a_batch_ends_with_the_item_at_hand() {
    within(|| {
        let pool = pool(1);
        pool.pause();
        let (token, mut ran) = (CancelToken::new(), AtomicUsize::new(0));
        let run = |n: usize| {
            ran.fetch_add(1, Ordering::SeqCst);
            token.cancel();
            n
        };
        let stopped = pool
            .map((0..100).filter(|_| true), run)
            .batch(100)
            .window(100)
            .cancel(&token)
            .collect::<Vec<_>>()
            .unwrap_err();
        assert_eq!((stopped.partial, *ran.get_mut()), (vec![0], 1));

        let slow = |n: usize| {
            // As above. At most three can begin before the deadline.
            sleep(MOMENT);
            n
        };
        let stopped =
            pool.map((0..100).filter(|_| true), slow).batch(100).window(100).deadline(2 * MOMENT).collect::<Vec<_>>();
        let ran = stopped.unwrap_err().partial.len();
        assert!(ran < 20, "{ran} items of a batch ran after the deadline");
    });
}

#[test]
fn cheap_items_that_turn_slow_are_cancelled_at_once() {
    within(|| {
        let pool = pool(1);
        for (progress, by_worker) in [(false, false), (true, true)] {
            let (token, mut late) = (CancelToken::new(), AtomicUsize::new(0));
            let run = |(n, bulk): (usize, Bulky)| {
                if token.is_cancelled() {
                    late.fetch_add(1, Ordering::Relaxed);
                }
                if n == 100_000 {
                    token.cancel();
                }
                bulk
            };
            let map = pool.map((0..10_000_000).map(|n| (n, [0; 512])), run).cancel(&token);
            let map = if progress { map.progress(|_, _| ()) } else { map };
            assert!(map.count().is_err(), "{by_worker}");
            // Neither thread starts more than the item that it is at.
            let late = *late.get_mut();
            assert!(late <= 8, "{late} items ran after the cancellation");
        }
    });
}

#[test]
fn a_stream_ends_with_its_panic() {
    within(|| {
        let pool = pool(1);
        for at in [0, 3, 40_000] {
            pool.scope(|s| {
                let run = |(n, bulk): (usize, Bulky)| if n == at { quiet_panic(n) } else { (n, bulk) };
                let mut stream = s.stream((0..50_000).map(|n| (n, [0; 512])), run);
                for n in 0..at {
                    assert_eq!(stream.next().map(|(n, _)| n), Some(n));
                }
                let payload = catch_unwind(AssertUnwindSafe(|| stream.next().map(|(n, _)| n))).unwrap_err();
                assert_eq!(payload.downcast_ref(), Some(&at));
                assert_eq!(stream.next().map(|(n, _)| n), None, "after the panic of {at}");
                assert_eq!(stream.size_hint(), (0, Some(0)));
            });
        }
    });
}

#[test]
fn a_sink_that_is_full_ends_the_run_with_progress_too() {
    #[derive(Default)]
    struct Three(Vec<u64>);
    impl Extend<u64> for Three {
        fn extend<I: IntoIterator<Item = u64>>(&mut self, items: I) {
            let room = 3 - self.0.len();
            if room > 0 {
                self.0.extend(items.into_iter().take(room));
            }
        }
    }
    within(|| {
        let pool = pool(1);
        assert_eq!(pool.map(0_u64.., |n| n).collect::<Three>().0, [0, 1, 2]);
        assert_eq!(pool.map(0_u64.., |n| n).progress(|_, _| ()).collect::<Three>().0, [0, 1, 2]);
    });
}
