//! What suites of other libraries demand of channels and pipelines; `../DEMANDS.md` has the table.

use super::fan::{Gate, HELPS, LONG, assert_settled};
use super::map_property::SplitMix64;
use super::{Counted, quiet_panic, within};
use fanpool::{FanOut, Help, Output, RecvError, SendReason, TaskError};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

fn ok(n: u64) -> Result<u64, ()> {
    Ok(n)
}

/// As a channel of that capacity: nothing is taken before something was sent, the order is that of sending, a full one refuses and
/// makes wait, what was sent before the end arrives, and after it nothing.
#[test]
fn a_service_is_a_channel_of_each_capacity() {
    within(|| {
        for (capacity, help) in (1..=10).flat_map(|capacity| HELPS.map(|help| (capacity, help))) {
            let builder = FanOut::builder(ok).workers(2).window(capacity).ordered().help(help);
            let (input, mut output) = builder.start().unwrap();
            assert_eq!(output.try_recv().unwrap_err(), RecvError::Empty);
            assert_eq!(output.recv_timeout(Duration::from_nanos(1)).unwrap_err(), RecvError::TimedOut);
            (0..capacity as u64).for_each(|n| assert_eq!(input.try_send(n).unwrap(), n));
            let full = input.try_send(99).unwrap_err();
            assert_eq!((full.reason(), full.into_inner()), (SendReason::Full, 99));
            let late = input.send_timeout(98, Duration::from_nanos(1)).unwrap_err();
            assert_eq!((late.reason(), late.into_inner()), (SendReason::TimedOut, 98));
            assert_eq!(output.control().in_flight(), capacity);

            // A thread sends on; each item that is taken makes room for one.
            let sent = Arc::new(AtomicU64::new(capacity as u64));
            let (more, count) = (input, sent.clone());
            let sender = std::thread::spawn(move || {
                for n in capacity as u64..200 {
                    assert_eq!(more.send(n).unwrap(), n);
                    count.fetch_add(1, Ordering::SeqCst);
                }
                more
            });
            for n in 0..200 - capacity as u64 {
                assert_eq!(output.recv_timeout(LONG).unwrap().result.unwrap(), n);
                assert!(sent.load(Ordering::SeqCst) <= n + 1 + capacity as u64, "beyond the window");
            }
            let input = sender.join().unwrap();
            input.close();
            assert_eq!(input.send(7).unwrap_err().reason(), SendReason::Closed);
            assert!(output.by_ref().map(|outcome| outcome.seq).eq(200 - capacity as u64..200));
            assert_eq!(output.try_recv().unwrap_err(), RecvError::Closed);
            assert_eq!(output.recv_timeout(Duration::MAX).unwrap_err(), RecvError::Closed);
        }
    });
}

/// Items and results that take no room are counted like others, also those that are nothing.
#[test]
fn items_without_a_size_and_items_that_are_none_pass() {
    within(|| {
        for help in HELPS {
            let none = |item: Option<()>| Ok::<Option<()>, ()>(item.map_or(Some(()), |()| None));
            let (input, first) = FanOut::builder(|()| Ok::<_, ()>(Some(()))).window(2).help(help).start().unwrap();
            let output = first.then(none).window(3).help(help).start().unwrap();
            let sender = std::thread::spawn(move || (0..500).for_each(|n| assert_eq!(input.send(()).unwrap(), n)));
            let control = output.control();
            assert_eq!(output.filter(|outcome| outcome.result.as_ref().is_ok_and(Option::is_none)).count(), 500);
            sender.join().unwrap();
            assert_eq!(control.wait().unwrap().finished, 500);
        }
    });
}

/// A stage for each prime, and each fails the multiples of its own: what comes out knows its least factor.
#[test]
fn a_sieve_of_stages_finds_primes_and_least_factors() {
    within(|| {
        let (input, mut output) = FanOut::builder(Ok::<u64, u64>).workers(1).window(4).ordered().start().unwrap();
        let primes = [2, 3, 5, 7, 11, 13, 17];
        for prime in primes {
            let sieve = move |n| if n > prime && n % prime == 0 { Err(prime) } else { Ok(n) };
            output = output.then(sieve).workers(1).window(4).ordered().start().unwrap();
        }
        let sender = std::thread::spawn(move || (2..350).for_each(|n| _ = input.send(n).unwrap()));
        let mut found = Vec::new();
        for (n, outcome) in (2..350).zip(output.by_ref()) {
            let least = (2..=n).find(|factor| n % factor == 0).unwrap();
            match outcome.result {
                Ok(prime) => {
                    assert_eq!((prime, least), (n, n));
                    found.push(n);
                }
                Err(TaskError::Failed(factor)) => assert_eq!(factor, least, "{n}"),
                Err(other) => panic!("{other:?}"),
            }
        }
        assert!(output.next().is_none());
        assert_eq!((found[..7].to_vec(), found.len()), (primes.to_vec(), 70));
        sender.join().unwrap();
    });
}

/// The first stage ends its items in any order; the second is to see them in theirs, one at a time; so is the third, which many
/// workers serve under a limit of one.
#[test]
fn a_serial_stage_behind_a_parallel_one_sees_items_one_at_a_time_and_in_order() {
    const ITEMS: u64 = 5000;
    within(|| {
        for help in HELPS {
            let uneven = |n: u64| {
                (0..n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 55).for_each(|_| std::hint::spin_loop());
                if n % 64 == 0 {
                    std::thread::yield_now();
                }
                Ok::<_, ()>(n)
            };
            let serial = || {
                let next = Mutex::new(0);
                move |n: u64| {
                    let mut next = next.try_lock().expect("one at a time");
                    assert_eq!(n, *next);
                    *next += 1;
                    Ok::<_, ()>(n)
                }
            };
            let (input, first) = FanOut::builder(uneven).workers(3).window(32).ordered().help(help).start().unwrap();
            let second = first.then(serial()).workers(1).limit(1).window(8).ordered().help(help).start().unwrap();
            let third = second.then(serial()).workers(3).limit(1).window(8).ordered().help(help).start().unwrap();
            let sender = std::thread::spawn(move || (0..ITEMS).for_each(|n| _ = input.send(n).unwrap()));
            assert!(third.results().map(Result::unwrap).eq(0..ITEMS));
            sender.join().unwrap();
        }
    });
}

/// Workers that serve a stage out of order still serve it one at a time, if that is its limit, and lose nothing.
#[test]
fn a_stage_out_of_order_with_a_limit_of_one_runs_one_at_a_time() {
    within(|| {
        let (input, first) = FanOut::builder(ok).workers(3).start().unwrap();
        let alone = Mutex::new(0);
        let sum = move |n| {
            *alone.try_lock().expect("one at a time") += n;
            Ok::<_, ()>(n)
        };
        let output = first.then(sum).workers(3).limit(1).start().unwrap();
        let sender = std::thread::spawn(move || (0..5000).for_each(|n| _ = input.send(n).unwrap()));
        let (mut done, failed) = output.partition();
        assert!(failed.is_empty(), "{failed:?}");
        done.sort_unstable();
        assert!(done.into_iter().eq(0..5000));
        sender.join().unwrap();
    });
}

#[test]
fn outcomes_out_of_order_come_in_the_order_of_completion() {
    within(|| {
        let gates: Arc<[Arc<Gate>; 4]> = Arc::new(std::array::from_fn(|_| Gate::new()));
        let inner = gates.clone();
        let handler = move |n: usize| {
            inner[n].pass();
            Ok::<_, ()>(n)
        };
        let (input, mut output) = FanOut::builder(handler).workers(4).window(4).start().unwrap();
        (0..4).for_each(|n| _ = input.send(n).unwrap());
        for next in [2, 0, 3, 1] {
            assert_eq!(output.try_recv().unwrap_err(), RecvError::Empty);
            gates[next].open();
            let outcome = output.recv_timeout(LONG).unwrap();
            assert_eq!((outcome.seq, outcome.result.unwrap()), (next as u64, next));
        }
    });
}

#[test]
fn a_pipeline_without_items_ends_and_calls_nobody() {
    within(|| {
        for help in HELPS {
            let never = |n: u64| -> Result<u64, ()> { unreachable!("{n}") };
            let stages = |first: Output<'static, u64, ()>| {
                let second = first.then(never).ordered().help(help).start().unwrap();
                let batch = |items: Vec<u64>| -> Vec<Result<u64, ()>> { unreachable!("{items:?}") };
                second.then_batch(4, Duration::ZERO, batch).help(help).start().unwrap()
            };
            let (input, first) = FanOut::builder(never).help(help).start().unwrap();
            let output = stages(first);
            drop(input);
            let (done, failed) = output.partition();
            assert!(done.is_empty() && failed.is_empty());

            let (sender, items) = crossbeam_channel::unbounded();
            drop(sender);
            let (feeder, first) = FanOut::builder(never).help(help).start_from(items).unwrap();
            let collector = stages(first).for_each(|outcome| unreachable!("{outcome:?}")).unwrap();
            assert_eq!(collector.join().unwrap().accepted, 0);
            feeder.join().unwrap();
        }
    });
}

/// Each stage takes one type and makes another; values are moved on, none is lost or dropped twice.
#[test]
fn values_of_every_type_move_from_stage_to_stage() {
    struct Large(Box<dyn Fn() -> u64 + Send>, [u64; 64], Counted);
    within(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let counted = drops.clone();
        let make = move |n: u64| Ok::<_, String>(Large(Box::new(move || n * 2), [n; 64], Counted(counted.clone())));
        let (input, first) = FanOut::builder(make).workers(2).window(8).ordered().start().unwrap();
        let text = |large: Large| {
            let n = large.0();
            match n % 14 {
                2 => Err(format!("{n}")),
                4 => quiet_panic(large),
                _ => Ok((n.to_string(), large)),
            }
        };
        let second = first.then(text).workers(2).window(8).ordered().start().unwrap();
        let last = |(text, large): (String, Large)| Ok::<_, String>((text, large.1.iter().sum::<u64>(), large.2));
        let output = second.then(last).workers(2).window(8).ordered().start().unwrap();
        let sender = std::thread::spawn(move || (0..700).for_each(|n| _ = input.send(n).unwrap()));
        let (mut results, mut failures) = (Vec::new(), 0);
        for (n, outcome) in (0..).zip(output) {
            match outcome.result {
                Ok((text, sum, kept)) => {
                    assert_eq!((text, sum), ((n * 2).to_string(), n * 64));
                    results.push(kept);
                }
                Err(TaskError::Failed(text)) => {
                    assert_eq!((n % 7, text), (1, (n * 2).to_string()));
                    failures += 1;
                }
                Err(TaskError::Panicked(panic)) => {
                    assert_eq!(n % 7, 2);
                    results.push(panic.into_payload().downcast::<Large>().unwrap().2);
                }
                Err(other) => panic!("{other:?}"),
            }
        }
        sender.join().unwrap();
        assert_eq!((results.len(), failures, drops.load(Ordering::SeqCst)), (600, 100, 100));
        drop(results);
        assert_eq!(drops.load(Ordering::SeqCst), 700);
    });
}

/// A handler has a pipeline of its own, and its handler another: threads come and go, and the sums are right.
#[test]
fn a_handler_runs_a_pipeline_of_its_own() {
    fn sum(depth: u64, n: u64) -> Result<u64, ()> {
        if depth == 0 {
            return Ok(n);
        }
        let inner = move |n| sum(depth - 1, n);
        let (input, first) = FanOut::builder(inner).workers(1).window(2).start().unwrap();
        let output = first.then(|n| Ok::<_, ()>(n + 1)).workers(1).window(2).start().unwrap();
        let collector = std::thread::spawn(move || output.partition());
        (0..4).for_each(|add| _ = input.send(n + add).unwrap());
        drop(input);
        let (done, failed) = collector.join().unwrap();
        assert!(failed.is_empty());
        Ok(done.into_iter().sum())
    }
    fn expected(depth: u64, n: u64) -> u64 {
        if depth == 0 { n } else { (0..4).map(|add| expected(depth - 1, n + add) + 1).sum() }
    }
    within(|| assert_eq!(sum(3, 10), Ok(expected(3, 10))));
}

/// A service takes from and sends to two others in turns, as a node of a net does, and neither side waits for the other for ever.
#[test]
fn one_thread_passes_items_between_services_in_both_directions() {
    within(|| {
        for help in [Help::Never, Help::Both] {
            let start = |window| FanOut::builder(ok).workers(1).window(window).ordered().help(help).start().unwrap();
            let ((there, mut arrived), (back, mut returned)) = (start(1), start(3));
            for n in 0..2000 {
                assert_eq!(there.send(n).unwrap(), n);
                back.send(arrived.recv().unwrap().result.unwrap()).unwrap();
                assert_eq!(returned.recv().unwrap().result.unwrap(), n);
            }
            drop((there, back));
            assert!(arrived.next().is_none() && returned.next().is_none());
        }
    });
}

/// The first item that fails stops the service from within its sink; what was accepted is told or counted, and senders end.
#[test]
fn the_first_failure_may_stop_a_whole_pipeline() {
    within(|| {
        for seed in 0..20 {
            let bad = SplitMix64(seed).next() % 300;
            let fail = move |n| if n == bad { Err(n) } else { Ok(n) };
            let (input, first) = FanOut::builder(fail).workers(2).window(4).ordered().start().unwrap();
            let head = first.control();
            let output = first.then(Ok::<u64, u64>).workers(2).window(4).ordered().start().unwrap();
            let (told, tell) = mpsc::channel();
            let stop = head.clone();
            let collector = output.for_each(move |outcome| match outcome.result {
                Ok(n) => told.send(Ok(n)).unwrap(),
                Err(TaskError::Failed(n)) => {
                    stop.stop();
                    told.send(Err(n)).unwrap();
                }
                Err(TaskError::Cancelled) => (),
                Err(other) => panic!("{other:?}"),
            });
            let collector = collector.unwrap();
            // Sends until it is stopped: nothing else ends it.
            let refused = (0..).find_map(|n| input.send(n).err()).unwrap();
            assert_eq!(refused.reason(), SendReason::Cancelled);
            drop(input);
            let counts = collector.join().unwrap();
            assert_settled(counts);
            assert_settled(head.wait().unwrap());
            let told: Vec<_> = tell.iter().collect();
            assert!(told.iter().flatten().copied().take(bad as usize).eq(0..bad), "all before it was told");
            assert_eq!(told[bad as usize], Err(bad));
        }
    });
}
