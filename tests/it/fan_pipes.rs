//! Services: pipelines. Order, accounts and backpressure across stages, and how they end (F7).

use super::fan::{HELPS, assert_settled};
use super::{Bomb, Counted, quiet_panic, within};
use fanpool::{Control, FanOut, Help, Input, Output, Pool, SendReason, ServiceCounts, TaskError, Workers};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

fn ok(n: u64) -> Result<u64, u64> {
    Ok(n)
}

/// Waits until no thread of this process has a name that begins so; one that stays makes the test hang. (The system may list a
/// thread that was joined for a moment more.)
pub(crate) fn assert_gone(name: &str) {
    assert!(name.len() <= 15, "the system keeps no more");
    let names = || {
        let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok())
    };
    while cfg!(target_os = "linux") && names().any(|comm| comm.starts_with(name)) {
        std::thread::yield_now();
    }
}

/// What a stage accepted came to the next one or is in its accounts; nothing waits or runs.
fn assert_passed_on(from: ServiceCounts, to: u64) {
    assert_settled(from);
    assert_eq!(from.accepted, to + from.undelivered + from.discarded, "{from:?} {to}");
}

/// Three stages with one worker each and windows of 2, 3 and 4 items, and what steers them. The last begins with a pause.
fn three<T: Send + 'static>(
    name: &str,
    help: Help,
    middle: impl Fn(T) -> Result<T, u64> + Send + Sync + 'static,
) -> (Input<'static, T>, Output<'static, T, u64>, [Control<'static>; 3]) {
    let first = FanOut::builder(Ok::<T, u64>).name(format!("{name}1")).workers(1).window(2).ordered().help(help);
    let (input, first) = first.start().unwrap();
    let one = first.control();
    let second = first.then(middle).name(format!("{name}2")).workers(1).window(3).ordered().help(help).start().unwrap();
    let two = second.control();
    let third = second.then(Ok::<T, u64>).name(format!("{name}3")).workers(1).window(4).ordered().help(help);
    let third = third.start().unwrap();
    let three = third.control();
    three.pause();
    (input, third, [one, two, three])
}

/// What [`three`] stages hold: their windows, and one in the hand of each collector.
const HELD: usize = 2 + 1 + 3 + 1 + 4;

fn hash(n: u64, stage: u64) -> u64 {
    (n * 3 + stage + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40
}

/// What a stage of the random pipeline does with an item.
fn fate(n: u64, stage: u64) -> Result<u64, Fate> {
    match hash(n, stage) % 1000 {
        1 => Err(Fate::Fails),
        2 => Err(Fate::Panics),
        _ => Ok(n),
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Fails,
    Panics,
}

fn work(n: u64, stage: u64) -> Result<u64, (u64, u64)> {
    let dice = hash(n, stage + 7);
    if dice % 2000 == 0 {
        std::thread::yield_now();
    }
    (0..dice % 64).for_each(|_| std::hint::spin_loop());
    match fate(n, stage) {
        Ok(n) => Ok(n),
        Err(Fate::Fails) => Err((stage, n)),
        Err(Fate::Panics) => quiet_panic((stage, n)),
    }
}

#[test]
fn f7_a_pipeline_loses_nothing_and_keeps_the_order() {
    const TICKS: u64 = 100;
    let total: u64 = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
    within(move || {
        let stage = |stage| move |n| work(n, stage);
        let first = FanOut::builder(stage(0)).name("pipe-a1").workers(2).ordered();
        let (input, first) = first.start().unwrap();
        let one = first.control();
        let second = first.then(stage(1)).name("pipe-a2").workers(2).window(64).ordered().start().unwrap();
        let two = second.control();
        let third = second.then(stage(2)).name("pipe-a3").workers(1).ordered().help(Help::Receiver).start().unwrap();
        let controls = [one, two, third.control()];
        let (ticks, ticked) = mpsc::channel();
        let resized = controls.clone();
        let resizer = std::thread::spawn(move || {
            for tick in ticked {
                for (at, control) in resized.iter().enumerate() {
                    let _ = control.resize(1 + (tick as usize + at) % 3);
                }
            }
        });
        let sender = std::thread::spawn(move || {
            for n in 0..total {
                if n % (total / TICKS) == 0 {
                    ticks.send(n * TICKS / total).unwrap();
                }
                assert_eq!(input.send(n).unwrap(), n);
            }
        });
        // By stage: finished, failed, panicked.
        let mut expected = [[0; 3]; 3];
        let mut next = 0;
        for outcome in third {
            let n = outcome.seq;
            assert_eq!(n, next);
            next += 1;
            let failing = (0..3).find_map(|stage| Some((stage, fate(n, stage).err()?)));
            match (outcome.result, failing) {
                (Ok(m), None) => assert_eq!(m, n),
                (Err(TaskError::Failed(from)), Some((stage, Fate::Fails))) => assert_eq!(from, (stage, n)),
                (Err(TaskError::Panicked(panic)), Some((stage, Fate::Panics))) => {
                    assert_eq!(*panic.into_payload().downcast::<(u64, u64)>().unwrap(), (stage, n));
                }
                (result, failing) => panic!("{n}: {result:?}, {failing:?}"),
            }
            for (stage, counts) in (0..).zip(&mut expected) {
                let end = failing.filter(|failing| failing.0 <= stage).map(|failing| failing.1);
                counts[end.map_or(0, |end| 1 + usize::from(end == Fate::Panics))] += 1;
            }
        }
        assert_eq!(next, total);
        sender.join().unwrap();
        resizer.join().unwrap();
        for (control, [finished, failed, panicked]) in controls.iter().zip(expected) {
            let counts = control.wait().unwrap();
            assert_eq!((counts.accepted, counts.cancelled, counts.discarded, counts.undelivered), (total, 0, 0, 0));
            assert_eq!([counts.finished, counts.failed, counts.panicked], [finished, failed, panicked]);
        }
        assert_gone("pipe-a");
    });
}

#[test]
fn e4_a_stopped_consumer_holds_up_all_stages_with_exactly_their_windows() {
    within(|| {
        for help in HELPS {
            let (input, mut output, controls) = three("pipe-b", help, ok);
            (0..HELD as u64).for_each(|n| _ = input.send(n).unwrap());
            assert_eq!(input.try_send(99).unwrap_err().reason(), SendReason::Full);
            controls[2].resume();
            // Each one taken makes room for exactly one.
            for n in 0..20 {
                assert_eq!(output.recv().unwrap().result.unwrap(), n);
                input.send(n + HELD as u64).unwrap();
                assert_eq!(input.try_send(99).unwrap_err().reason(), SendReason::Full);
            }
            drop(input);
            assert!(output.results().flatten().eq(20..20 + HELD as u64));
            controls.iter().for_each(|control| assert_settled(control.counts()));
        }
        assert_gone("pipe-b");
    });
}

#[test]
fn f7_the_last_output_is_dropped_while_items_are_in_every_stage() {
    within(|| {
        for help in HELPS {
            let dropped = Arc::new(AtomicUsize::new(0));
            let (input, output, controls) = three("pipe-c", help, Ok::<(usize, Counted), u64>);
            (0..HELD).for_each(|n| _ = input.send((n, Counted(dropped.clone()))).unwrap());
            let senders: Vec<_> = (0..3)
                .map(|n| {
                    let (input, item) = (input.clone(), (n, Counted(dropped.clone())));
                    std::thread::spawn(move || input.send(item).unwrap_err())
                })
                .collect();
            drop(output);
            let mut kept = Vec::new();
            for (n, sender) in senders.into_iter().enumerate() {
                let refused = sender.join().unwrap();
                assert_eq!(refused.reason(), SendReason::Cancelled);
                kept.push(refused.into_inner());
                assert_eq!(kept[n].0, n);
            }
            let counts = controls.each_ref().map(|control| control.wait().unwrap());
            assert_eq!(counts.map(|counts| counts.accepted), [HELD as u64, 8, 4]);
            assert_passed_on(counts[0], counts[1].accepted);
            assert_passed_on(counts[1], counts[2].accepted);
            assert_passed_on(counts[2], 0);
            assert_eq!(dropped.load(Ordering::SeqCst), HELD);
            assert_eq!(input.try_send((0, kept.pop().unwrap().1)).unwrap_err().reason(), SendReason::Cancelled);
        }
        assert_gone("pipe-c");
    });
}

/// At any moment: everything is in the accounts, and is dropped once.
#[test]
fn f7_the_last_output_is_dropped_at_random() {
    within(|| {
        for round in 0..200 {
            let dropped = Arc::new(AtomicUsize::new(0));
            let middle = |item: Counted| if round_robin(&item) { Err(3) } else { Ok(item) };
            let (input, mut output, controls) = three("pipe-d", HELPS[round % 3], middle);
            controls[2].resume();
            let sender = std::thread::spawn({
                let dropped = dropped.clone();
                move || {
                    let mut sent = 0;
                    loop {
                        match input.send(Counted(dropped.clone())) {
                            Ok(_) => sent += 1,
                            Err(refused) => {
                                assert_eq!(refused.reason(), SendReason::Cancelled);
                                std::mem::forget(refused.into_inner());
                                return sent;
                            }
                        }
                    }
                }
            });
            (0..round).for_each(|_| drop(output.recv().unwrap()));
            drop(output);
            let sent: usize = sender.join().unwrap();
            let counts = controls.each_ref().map(|control| control.wait().unwrap());
            assert_eq!(counts[0].accepted as usize, sent);
            assert_passed_on(counts[0], counts[1].accepted);
            assert_passed_on(counts[1], counts[2].accepted);
            assert_passed_on(counts[2], round as u64);
            assert_eq!(dropped.load(Ordering::SeqCst), sent);
        }
        assert_gone("pipe-d");
    });
}

/// Now this, now that.
fn round_robin(item: &Counted) -> bool {
    Arc::strong_count(&item.0) % 5 == 0
}

#[test]
fn f7_a_middle_stage_is_stopped() {
    within(|| {
        for help in HELPS {
            let (input, output, [one, two, last]) = three("pipe-e", help, ok);
            two.pause();
            last.resume();
            // Two windows, and one in a hand.
            (0..6).for_each(|n| _ = input.send(n).unwrap());
            assert_eq!(two.stop().cancelled, 3);
            assert_eq!(input.send(6).unwrap_err().reason(), SendReason::Cancelled);
            let (done, failed) = output.partition();
            assert!(done.is_empty());
            assert!(matches!(
                failed[..],
                [(0, TaskError::Cancelled), (1, TaskError::Cancelled), (2, TaskError::Cancelled)]
            ));
            let one = one.wait().unwrap();
            assert_eq!(one.accepted, 6);
            assert_passed_on(one, 3);
            assert_eq!((two.counts().accepted, last.counts().accepted, last.counts().cancelled), (3, 3, 3));
        }
        assert_gone("pipe-e");
    });
}

/// What the first stage cancels is an outcome of the last one, behind what had passed, and what had passed is finished.
#[test]
fn f7_the_first_stage_is_stopped_or_drained() {
    within(|| {
        for stops in [true, false] {
            let (input, output, [one, two, last]) =
                three("pipe-f", Help::Never, |n| if n == 1 { Err(n) } else { Ok(n) });
            (0..4).for_each(|n| _ = input.send(n).unwrap());
            while one.in_flight() > 0 {
                std::thread::yield_now();
            }
            one.pause();
            (4..6).for_each(|n| _ = input.send(n).unwrap());
            if stops {
                assert_eq!(one.stop().cancelled, 2);
                assert_eq!(input.send(6).unwrap_err().reason(), SendReason::Cancelled);
            } else {
                one.drain();
                assert_eq!(input.send(6).unwrap_err().reason(), SendReason::Closed);
            }
            last.resume();
            for (n, outcome) in (0..).zip(output) {
                assert_eq!(outcome.seq, n);
                match outcome.result {
                    Ok(m) => assert!(m == n && (n < 4 || !stops)),
                    Err(TaskError::Failed(m)) => assert!(m == n && n == 1),
                    Err(error) => assert!(matches!(error, TaskError::Cancelled) && n >= 4 && stops),
                }
            }
            for control in [one, two, last] {
                let counts = control.wait().unwrap();
                assert_settled(counts);
                assert_eq!((counts.accepted, counts.cancelled), (6, if stops { 2 } else { 0 }));
            }
        }
        assert_gone("pipe-f");
    });
}

#[test]
fn f7_a_stage_that_cannot_start_stops_those_before() {
    within(|| {
        for last in ["too small", "nul", "not started"] {
            let (input, first) = FanOut::builder(ok).name("pipe-g1").workers(1).start().unwrap();
            let second = first.then(ok).name("pipe-g2").workers(1).start().unwrap();
            input.send(1).unwrap();
            let third = second.then(ok).workers(1);
            match last {
                "too small" => assert!(third.window(0).start().is_err()),
                "nul" => assert!(third.name("\0").start().is_err()),
                _ => drop(third),
            }
            assert_eq!(input.send(2).unwrap_err().reason(), SendReason::Cancelled);
            assert_gone("pipe-g");
        }
    });
}

#[test]
fn stages_may_share_a_pool_of_one_worker() {
    within(|| {
        for help in HELPS {
            let pool = Arc::new(Pool::builder().workers(Workers::Fixed(1)).name("pipe-h").build().unwrap());
            let (input, first) = FanOut::builder(ok).pool(pool.clone()).window(3).ordered().help(help).start().unwrap();
            let second = first.then(ok).pool(pool.clone()).window(2).ordered().help(help).start().unwrap();
            let output = second.then(ok).pool(pool.clone()).window(1).ordered().help(help).start().unwrap();
            let sender = std::thread::spawn(move || (0..500).for_each(|n| _ = input.send(n).unwrap()));
            assert!(output.results().flatten().eq(0..500));
            sender.join().unwrap();
        }
        assert_gone("pipe-h");
    });
}

/// An error whose conversion panics for some.
struct Converted(u64);

impl From<u64> for Converted {
    fn from(n: u64) -> Converted {
        if n % 3 == 0 { quiet_panic(n) } else { Converted(n) }
    }
}

#[test]
fn f3_a_conversion_that_panics_fails_that_item_alone() {
    within(|| {
        let (input, first) =
            FanOut::builder(|n: u64| if n % 2 == 0 { Ok(n) } else { Err(n) }).ordered().start().unwrap();
        let one = first.control();
        let output = first.then(Ok::<u64, Converted>).ordered().start().unwrap();
        let two = output.control();
        (0..12).for_each(|n| _ = input.send(n).unwrap());
        drop(input);
        let mut next = 0;
        for outcome in output {
            assert_eq!(outcome.seq, next);
            match outcome.result {
                Ok(n) => assert!(n == next && n % 2 == 0),
                Err(TaskError::Failed(Converted(n))) => assert!(n == next && n % 3 != 0),
                Err(TaskError::Panicked(panic)) => {
                    assert_eq!(*panic.into_payload().downcast::<u64>().unwrap(), next);
                    assert!(next == 3 || next == 9);
                }
                Err(error) => panic!("{:?}", error.map(|_| ())),
            }
            next += 1;
        }
        assert_eq!(next, 12);
        let (one, two) = (one.counts(), two.counts());
        assert_eq!((one.finished, one.failed, one.undelivered), (6, 6, 0));
        assert_eq!((two.finished, two.failed, two.panicked), (6, 4, 2));
    });
}

/// Results and errors whose `Drop` panics, refused by the next stage.
#[test]
fn b2_results_between_stages_may_panic_when_dropped() {
    within(|| {
        for fails in [true, false] {
            let handler = move |_: u64| if fails { Err(Bomb) } else { Ok(Bomb) };
            let (input, first) = FanOut::builder(handler).name("pipe-i1").workers(1).window(3).start().unwrap();
            let one = first.control();
            let output = first.then(Ok::<Bomb, Bomb>).name("pipe-i2").workers(1).window(1).start().unwrap();
            let two = output.control();
            two.pause();
            // The last of them finds room when the collector holds one in its hand.
            (0..5).for_each(|n| _ = input.send(n).unwrap());
            drop(output);
            assert_eq!(input.send(5).unwrap_err().reason(), SendReason::Cancelled);
            let one = one.wait().unwrap();
            assert_eq!((one.accepted, two.wait().unwrap().accepted), (5, 1));
            assert_passed_on(one, 1);
        }
        assert_gone("pipe-i");
    });
}
