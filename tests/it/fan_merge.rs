//! Several streams to one consumer.

use super::fan::{HELPS, assert_settled};
use super::fan_pipes::assert_gone;
use super::{pool, within};
use fanpool::{Branch, FanIn, FanOut, Outcome, Output, SendReason, fan_in, fan_in_by};
use std::cell::Cell;
use std::sync::mpsc;

fn ok(n: u64) -> Result<u64, u64> {
    Ok(n)
}

#[test]
fn e6_no_sources_and_empty_ones() {
    within(|| {
        let mut none: FanIn<crossbeam_channel::Receiver<u8>> = fan_in([]);
        assert_eq!((none.next(), none.next()), (None, None));
        let mut empty = fan_in([crossbeam_channel::bounded::<u8>(0).1, crossbeam_channel::unbounded().1]);
        assert_eq!((empty.next(), empty.next()), (None, None));
        let outputs = (0..3).map(|_| FanOut::builder(ok).name("in-a").workers(1).start().unwrap().1);
        assert_eq!(fan_in(outputs).count(), 0);
        assert_eq!(fan_in(Vec::<Branch<u8>>::new()).count(), 0);
        assert_gone("in-a");
    });
}

/// As long as all have something they take turns exactly; then those that are left do.
#[test]
fn no_source_is_left_out_while_others_are_busy() {
    let lengths = [1000, 10, 300, 10];
    let sources = lengths.map(|length| {
        let (sender, receiver) = crossbeam_channel::unbounded();
        (0..length).for_each(|n| sender.send(n).unwrap());
        receiver
    });
    let sources = (0..).zip(sources).map(|(at, source): (usize, _)| (at, source));
    let (names, sources): (Vec<usize>, Vec<_>) = sources.unzip();
    let merged: Vec<usize> = fan_in(sources).collect();
    assert_eq!(merged.len(), lengths.iter().sum::<usize>());
    for (turn, items) in merged[..40].chunks(4).enumerate() {
        assert_eq!(items, [turn; 4], "{names:?}");
    }
    // Two sources are left, then one.
    for pair in merged[44..600].chunks(2) {
        assert!(pair[0].abs_diff(pair[1]) <= 1, "{pair:?}");
    }
    assert!(merged[620..].is_sorted());
}

#[test]
fn sources_may_end_at_different_times() {
    within(|| {
        for _ in 0..20 {
            let (senders, receivers): (Vec<_>, Vec<_>) = (0..5)
                .map(|at| if at % 2 == 0 { crossbeam_channel::bounded(2) } else { crossbeam_channel::unbounded() })
                .unzip();
            let threads: Vec<_> = (0_u64..)
                .zip(senders)
                .map(|(at, sender)| {
                    std::thread::spawn(move || (0..at * 50).for_each(|n| sender.send((at, n)).unwrap()))
                })
                .collect();
            let mut next = [0; 5];
            for (at, n) in fan_in(receivers) {
                assert_eq!(n, next[at as usize]);
                next[at as usize] += 1;
            }
            assert_eq!(next, [0, 50, 100, 150, 200]);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        }
    });
}

/// Takes everything of several services, and checks that each one's order was kept.
fn drain<'a>(outputs: Vec<Output<'a, u64, u64>>, each: u64) {
    let mut next = vec![0; outputs.len()];
    for Outcome { seq, result, .. } in fan_in(outputs) {
        let at = result.unwrap() as usize;
        assert_eq!(seq, next[at]);
        next[at] += 1;
    }
    assert!(next.into_iter().all(|next| next == each));
}

#[test]
fn many_outputs_are_merged_whoever_helps() {
    within(|| {
        for help in HELPS {
            for windows in [1, 16] {
                let build = || FanOut::builder(ok).name("in-b").workers(1).window(windows).ordered().help(help);
                let (inputs, outputs): (Vec<_>, Vec<_>) = (0..8).map(|_| build().start().unwrap()).unzip();
                let sender = std::thread::spawn(move || {
                    for n in 0..200 {
                        let order = |at: usize| (at * 3 + n) % 8;
                        (0..8).map(order).for_each(|at| _ = inputs[at].send(at as u64).unwrap());
                    }
                });
                drain(outputs, 200);
                sender.join().unwrap();
            }
        }
        assert_gone("in-b");
    });
}

/// Nobody runs the items but the one who merges.
#[test]
fn c5_outputs_are_merged_in_a_scope_of_any_pool() {
    within(|| {
        for state in ["open", "paused", "closed"] {
            let pool = pool(1);
            match state {
                "paused" => pool.pause(),
                "closed" => pool.close(),
                _ => {}
            }
            pool.scope(|s| {
                let (inputs, outputs): (Vec<_>, Vec<_>) =
                    (0..4).map(|_| s.fan_out(ok).ordered().start().unwrap()).unzip();
                for (at, input) in (0..).zip(inputs) {
                    (0..100).for_each(|_| _ = input.send(at).unwrap());
                }
                drain(outputs, 100);
            });
            pool.resume();
        }
    });
}

#[test]
fn b7_the_only_worker_of_a_pool_may_merge_what_runs_there() {
    within(|| {
        let pool = std::sync::Arc::new(pool(1));
        for help in HELPS {
            let build = || FanOut::builder(ok).pool(pool.clone()).window(4).ordered().help(help);
            let (inputs, outputs): (Vec<_>, Vec<_>) = (0..4).map(|_| build().start().unwrap()).unzip();
            let sender = std::thread::spawn(move || {
                (0..100).for_each(|_| (0..4).for_each(|at| _ = inputs[at as usize].send(at).unwrap()));
            });
            pool.submit(move || drain(outputs, 100)).join().unwrap();
            sender.join().unwrap();
        }
    });
}

#[test]
fn branches_of_several_services_are_merged() {
    within(|| {
        let (mut inputs, mut branches) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let (input, output) = FanOut::builder(ok).name("in-c").workers(1).ordered().start().unwrap();
            let [even, odd] = output.split_by(2, |outcome| (outcome.seq % 2) as usize).unwrap();
            inputs.push(input);
            branches.extend([even, odd]);
        }
        let sender =
            std::thread::spawn(move || (0..100).for_each(|n| inputs.iter().for_each(|i| _ = i.send(n).unwrap())));
        let mut times = [0; 100];
        fan_in(branches).for_each(|outcome| times[outcome.seq as usize] += 1);
        assert_eq!(times, [3; 100]);
        sender.join().unwrap();
        assert_gone("in-c");
    });
}

#[test]
fn f1_dropping_a_merge_stops_the_services() {
    within(|| {
        for started in [true, false] {
            let build = || FanOut::builder(ok).name("in-d").workers(1).window(3);
            let (inputs, outputs): (Vec<_>, Vec<_>) = (0..3).map(|_| build().start().unwrap()).unzip();
            let mut merged = fan_in(outputs);
            for input in &inputs {
                (0..3).for_each(|n| _ = input.send(n).unwrap());
            }
            if started {
                assert!(merged.next().is_some());
            }
            let (told, about) = mpsc::channel();
            let dropper = std::thread::spawn(move || {
                about.recv().unwrap();
                drop(merged);
            });
            told.send(()).unwrap();
            for input in &inputs {
                let refused = (0..).find_map(|n| input.send(n).err()).unwrap();
                assert_eq!(refused.reason(), SendReason::Cancelled);
                assert_settled(input.control().wait().unwrap());
            }
            dropper.join().unwrap();
            assert_gone("in-d");
        }
    });
}

#[test]
fn a_sorted_merge_is_stable_and_takes_empty_sources() {
    let sources = [vec![(1, 'a'), (2, 'a'), (2, 'b')], vec![], vec![(0, 'c'), (2, 'c')], vec![(2, 'd')], vec![]];
    let mut expected = sources.concat();
    expected.sort_by_key(|item| item.0);
    assert_eq!(fan_in_by(sources, |a, b| a.0.cmp(&b.0)).collect::<Vec<_>>(), expected);
    let mut none = fan_in_by(Vec::<Vec<u8>>::new(), |a, b| a.cmp(b));
    assert_eq!((none.next(), none.next()), (None, None));
    // No source is asked again once it has ended.
    let asked = Cell::new(0);
    let once = std::iter::from_fn(|| {
        asked.set(asked.get() + 1);
        (asked.get() == 1).then_some(5)
    });
    let mut merged = fan_in_by([once], |a, b| a.cmp(b));
    assert_eq!((merged.next(), merged.next(), merged.next(), asked.get()), (Some(5), None, None, 2));
}

#[test]
fn ordered_outputs_are_merged_in_order() {
    within(|| {
        let (inputs, outputs): (Vec<_>, Vec<_>) =
            (0..3).map(|_| FanOut::builder(ok).name("in-e").workers(2).window(4).ordered().start().unwrap()).unzip();
        let threads: Vec<_> = (0..3)
            .zip(inputs)
            .map(|(at, input)| std::thread::spawn(move || (0..300).for_each(|n| _ = input.send(3 * n + at).unwrap())))
            .collect();
        let numbers = outputs.into_iter().map(|output| output.results().flatten());
        assert!(fan_in_by(numbers, |a, b| a.cmp(b)).eq(0..900));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_gone("in-e");
    });
}
