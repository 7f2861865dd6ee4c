//! What failures do to a service, and to a map that is told how to take them.

use super::fan::assert_settled;
use super::{check_seeds, pool, quiet_panic, setting, within};
use fanpool::{FanOut, Help, OnError, Outcome, SendReason, TaskError};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

/// A service, ordered, with items `0..items` of which some fail.
#[derive(Debug, Clone, PartialEq)]
struct Run {
    workers: usize,
    items: u64,
    tolerated: usize,
    fails: BTreeSet<u64>,
    window: usize,
    help: bool,
}

fn run(seed: u64) -> Run {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let items = 1 + next(400);
    let fails = (0..next(6)).map(|_| next(items)).collect();
    Run {
        workers: 1 + next(3) as usize,
        items,
        tolerated: next(4) as usize,
        fails,
        window: 1 + next(500) as usize,
        help: next(2) == 0,
    }
}

/// All items up to the failure that is one too many have run; that one is the same whatever the timing.
fn holds(case: &Run) {
    let fails = case.fails.clone();
    let work = move |n: u64| {
        // Fast and slow ones, so that failures land out of order.
        (0..n * 7919 % 64).for_each(|_| std::hint::spin_loop());
        if fails.contains(&n) { Err(n) } else { Ok(n) }
    };
    let rule = if case.tolerated == 0 { OnError::FailFast } else { OnError::Limit(case.tolerated) };
    let (input, output) = FanOut::builder(work)
        .workers(case.workers)
        .window(case.window)
        .help(if case.help { Help::Receiver } else { Help::Never })
        .ordered()
        .on_error(rule)
        .start()
        .unwrap();
    let control = output.control();
    let items = case.items;
    let feeder = std::thread::spawn(move || {
        for n in 0..items {
            if let Err(refused) = input.send(n) {
                assert_eq!((refused.reason(), refused.into_inner()), (SendReason::Cancelled, n));
                return n;
            }
        }
        items
    });
    let outcomes: Vec<Outcome<u64, u64>> = output.collect();
    let sent = feeder.join().unwrap();
    assert_eq!(outcomes.len() as u64, sent);
    let decisive = case.fails.iter().nth(case.tolerated).copied();
    for (n, outcome) in (0..).zip(&outcomes) {
        assert_eq!(outcome.seq, n);
        match &outcome.result {
            Ok(value) => assert!(*value == n && !case.fails.contains(&n)),
            Err(TaskError::Failed(value)) => assert!(*value == n && case.fails.contains(&n)),
            Err(TaskError::Cancelled) => assert!(decisive.is_some_and(|decisive| n > decisive), "{n} did not run"),
            Err(error) => panic!("{n}: {error:?}"),
        }
    }
    match decisive {
        Some(decisive) => assert!(sent > decisive),
        None => assert_eq!(sent, items),
    }
    assert_settled(control.counts());
}

#[test]
fn in_order_the_failure_that_is_one_too_many_is_the_same_whatever_the_timing() {
    check_seeds((setting("FANPOOL_ON_ERROR_SEED", 1), setting("FANPOOL_ON_ERROR_CASES", 300)), run, |case| {
        holds(case);
        Ok(())
    });
}

/// Item 5 fails first, and only then item 2: the collection names item 2.
#[test]
fn a_later_failure_of_an_earlier_item_decides() {
    within(|| {
        let both = Arc::new(Barrier::new(2));
        let (landed, lands) = std::sync::mpsc::channel();
        let lands = std::sync::Mutex::new(lands);
        let work = move |n: u64| match n {
            2 => {
                both.wait();
                // Item 5 has landed.
                lands.lock().unwrap().recv().unwrap();
                Err(n)
            }
            5 => {
                both.wait();
                Err(n)
            }
            n => Ok(n),
        };
        let (input, output) = FanOut::builder(work).workers(2).ordered().on_error(OnError::FailFast).start().unwrap();
        let control = output.control();
        (0..6).for_each(|n| _ = input.send(n).unwrap());
        while control.counts().failed == 0 || control.counts().finished < 4 {
            std::thread::yield_now();
        }
        landed.send(()).unwrap();
        let errors = output.try_collect().unwrap_err();
        assert!(matches!(errors.first(), Some((2, TaskError::Failed(2)))));
        assert_eq!(control.counts().finished, 4);
    });
}

#[test]
fn a_failure_out_of_order_cancels_all_that_waits() {
    within(|| {
        for panics in [false, true] {
            let started = Arc::new(AtomicUsize::new(0));
            let seen = started.clone();
            let work = move |n: u64| {
                seen.fetch_add(1, Ordering::Relaxed);
                match n {
                    0 if panics => quiet_panic("zero"),
                    0 => Err("zero"),
                    n => Ok(n),
                }
            };
            let (input, output) =
                FanOut::builder(work).workers(1).window(20_000).on_error(OnError::FailFast).start().unwrap();
            let control = output.control();
            control.pause();
            (0..20_000).for_each(|n| _ = input.send(n).unwrap());
            control.resume();
            let errors = output.try_collect().unwrap_err();
            assert_eq!(errors.count(), 1);
            assert_eq!(errors.cancelled() + started.load(Ordering::Relaxed), 20_000);
            assert!(errors.cancelled() > 10_000, "{errors:?}");
            let refused = input.send(1).unwrap_err();
            assert_eq!(refused.reason(), SendReason::Cancelled);
            assert_settled(control.counts());
        }
    });
}

#[test]
fn the_first_success_ends_a_race() {
    within(|| {
        let work = |n: u64| if n < 3 { Err(n) } else { Ok(n) };
        let race = |items: u64| {
            let (input, output) = FanOut::builder(work)
                .workers(1)
                .window(20_000)
                .ordered()
                .on_error(OnError::FirstSuccess)
                .start()
                .unwrap();
            let control = output.control();
            control.pause();
            (0..items).for_each(|n| _ = input.send(n).unwrap());
            control.resume();
            drop(input);
            (output.try_collect(), control.counts())
        };
        let (won, counts) = race(20_000);
        assert_eq!(won.unwrap()[0], 3);
        assert!(counts.cancelled > 10_000 && counts.failed == 3, "{counts:?}");
        assert_settled(counts);
        let (lost, counts) = race(3);
        assert_eq!((lost.unwrap_err().count(), counts.cancelled), (3, 0));
    });
}

#[test]
fn a_share_of_failures_ends_a_service_or_fails_it_at_the_end() {
    within(|| {
        let run = |percent, after, failing: u64| {
            let work = move |n: u64| if n < failing { Err(n) } else { Ok(n) };
            let rule = OnError::Share { percent, after };
            let (input, output) = FanOut::builder(work).workers(1).ordered().on_error(rule).start().unwrap();
            // One by one, so that it is known what had landed at each failure.
            let mut outcomes = output;
            for n in 0..10 {
                if input.send(n).is_err() {
                    break;
                }
                let _ = outcomes.recv();
                while outcomes.control().in_flight() > 0 {
                    std::thread::yield_now();
                }
            }
            let counts = outcomes.control().counts();
            (counts.finished, counts.failed)
        };
        assert_eq!(run(50, 4, 2), (8, 2));
        assert_eq!(run(50, 4, 3), (1, 3));
        assert_eq!(run(100, 0, 10), (0, 10));
        let (input, output) = FanOut::builder(|n: u64| if n == 0 { Err(n) } else { Ok(n) })
            .on_error(OnError::Share { percent: 5, after: 100 })
            .start()
            .unwrap();
        (0..10).for_each(|n| _ = input.send(n).unwrap());
        drop(input);
        assert_eq!(output.try_collect().unwrap_err().count(), 1);
    });
}

#[test]
fn by_default_failures_end_nothing() {
    within(|| {
        let (input, output) = FanOut::builder(|n: u64| if n % 2 == 0 { Err(n) } else { Ok(n) }).start().unwrap();
        (0..100).for_each(|n| _ = input.send(n).unwrap());
        drop(input);
        let errors = output.try_collect().unwrap_err();
        assert_eq!((errors.count(), errors.cancelled()), (50, 0));
    });
}

/// Stages: the second fails, and the first ends with it.
#[test]
fn f7_a_stage_that_fails_fast_ends_the_stage_before() {
    within(|| {
        let second = |n: u64| if n == 9 { Err(n) } else { Ok(n) };
        let (input, first) = FanOut::builder(|n: u64| Ok::<_, u64>(n)).workers(1).window(64).ordered().start().unwrap();
        let output = first.then(second).workers(1).window(64).ordered().on_error(OnError::FailFast).start().unwrap();
        let sent = (0..).find(|n| input.send(*n).is_err()).unwrap();
        assert!(sent >= 9);
        let errors = output.try_collect().unwrap_err();
        assert_eq!(errors.first().unwrap().0, 9);
    });
}

#[test]
fn a_map_is_judged_in_the_order_of_its_items() {
    within(|| {
        let pool = pool(3);
        for fails in [vec![], vec![7], vec![3, 900], vec![0, 1, 2]] {
            let map = || {
                let fails = &fails;
                pool.map(0..1000usize, move |n| if fails.contains(&n) { Err(n) } else { Ok(n) })
            };
            let fast = map().try_collect_with(OnError::FailFast);
            assert_eq!(fast.as_ref().err().map(|errors| errors.first().unwrap().0), fails.first().copied());
            let all = map().try_collect_with(OnError::CollectAll);
            assert_eq!(all.as_ref().err().map_or(0, |errors| errors.count()), fails.len());
            let one = map().try_collect_with(OnError::Limit(1));
            match fails.get(1) {
                None => assert_eq!(one.unwrap().len(), 1000 - fails.len()),
                Some(second) => {
                    let errors = one.unwrap_err();
                    assert!(errors.iter().map(|(at, _)| *at).eq([fails[0], *second]));
                }
            }
            let race = map().try_collect_with(OnError::FirstSuccess).unwrap();
            assert_eq!(race, [(0..).find(|n| !fails.contains(n)).unwrap()]);
            let (done, errors) = map().partition_with(OnError::Limit(2));
            assert!(errors.iter().map(|(at, _)| *at).eq(fails.iter().take(3).copied()));
            let end = fails.get(2).copied().unwrap_or(1000);
            assert!(done.iter().map(|(at, _)| *at).eq((0..end).filter(|n| !fails.contains(n))));
        }
        let lost = pool.map(0..3, Err::<(), _>).try_collect_with(OnError::FirstSuccess).unwrap_err();
        assert_eq!(lost.count(), 3);
    });
}
