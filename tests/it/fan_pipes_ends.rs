//! Services: collectors and feeders, and how they end.

use super::fan::{Gate, HELPS, LONG, assert_settled};
use super::fan_pipes::assert_gone;
use super::{quiet_panic, within};
use fanpool::{Collector, FanOut, Help, SendReason};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};

fn ok(n: u64) -> Result<u64, u64> {
    Ok(n)
}

#[test]
fn f7_a_sink_that_panics_stops_the_service() {
    within(|| {
        for help in HELPS {
            let (input, output) = FanOut::builder(ok).name("coll-a").workers(1).window(2).help(help).start().unwrap();
            let taken = Arc::new(AtomicU64::new(0));
            let seen = taken.clone();
            let sink = move |outcome: fanpool::Outcome<u64, u64>| {
                seen.fetch_add(1, Ordering::Relaxed);
                if outcome.seq == 5 {
                    quiet_panic("full")
                }
            };
            let collector = output.for_each(sink).unwrap();
            let control = collector.control();
            let refused = (0..).find_map(|n| input.send(n).err()).unwrap();
            assert_eq!(refused.reason(), SendReason::Cancelled);
            assert_eq!(collector.join().unwrap_err().message(), "full");
            let counts = control.wait().unwrap();
            assert_settled(counts);
            assert_eq!(counts.accepted, refused.into_inner());
            let taken = taken.load(Ordering::Relaxed);
            assert!(help != Help::Never || taken == 6, "{taken}");
            assert_eq!(counts.accepted, taken + counts.undelivered + counts.discarded);
        }
        assert_gone("coll-a");
    });
}

#[test]
fn f7_a_receiver_that_is_gone_stops_the_service() {
    within(|| {
        for (room, help) in [0, 1, 100].into_iter().zip(HELPS) {
            let (input, output) = FanOut::builder(ok).name("coll-b").workers(1).window(8).help(help).start().unwrap();
            let (sender, receiver) = crossbeam_channel::bounded(room);
            input.control().pause();
            (0..5).for_each(|n| _ = input.send(n).unwrap());
            let collector = output.forward(sender).unwrap();
            drop(receiver);
            input.control().resume();
            let counts = collector.join().unwrap();
            assert_settled(counts);
            assert_eq!((counts.accepted, counts.cancelled, counts.undelivered), (5, 0, counts.finished));
            assert_eq!(input.send(5).unwrap_err().reason(), SendReason::Cancelled);
        }
        assert_gone("coll-b");
    });
}

#[test]
fn f7_a_collector_that_waits_for_room_may_be_dropped() {
    within(|| {
        for room in [0, 2] {
            let (input, output) = FanOut::builder(ok).name("coll-c").workers(1).window(16).ordered().start().unwrap();
            let control = output.control();
            let (sender, receiver) = crossbeam_channel::bounded(room);
            let collector = output.forward(sender).unwrap();
            (0..10).for_each(|n| _ = input.send(n).unwrap());
            drop(collector);
            let counts = control.wait().unwrap();
            assert_settled(counts);
            assert_eq!(counts.accepted, 10);
            assert_eq!(receiver.len() as u64 + counts.undelivered + counts.discarded, 10);
            assert!(receiver.iter().map(|outcome| outcome.seq).eq(0..room as u64));
            assert_eq!(input.send(10).unwrap_err().reason(), SendReason::Cancelled);
        }
        assert_gone("coll-c");
    });
}

#[test]
fn b7_a_collector_may_be_dropped_by_its_sink_or_a_handler() {
    within(|| {
        for by_sink in [true, false] {
            let kept: Arc<Mutex<Option<Collector>>> = Arc::default();
            let act = || {
                let kept = kept.clone();
                move || drop(kept.lock().unwrap().take())
            };
            let (sink, handler) = (act(), act());
            let handler = move |n: u64| {
                if !by_sink {
                    handler();
                }
                Ok::<_, u64>(n)
            };
            let (input, output) = FanOut::builder(handler).name("coll-d").workers(1).start().unwrap();
            let control = output.control();
            let sink = move |_| {
                if by_sink {
                    sink();
                }
            };
            *kept.lock().unwrap() = Some(output.for_each(sink).unwrap());
            input.send(1).unwrap();
            assert_eq!(control.wait_timeout(LONG).unwrap().unwrap().finished, 1);
            assert_eq!(input.send(2).unwrap_err().reason(), SendReason::Cancelled);
            assert_gone("coll-d");
        }
    });
}

#[test]
fn a_channel_feeds_a_service_until_it_is_disconnected() {
    within(|| {
        for help in HELPS {
            for bounded in [true, false] {
                let (sender, receiver) =
                    if bounded { crossbeam_channel::bounded(3) } else { crossbeam_channel::unbounded() };
                let builder = FanOut::builder(ok).name("feed-a").workers(2).window(5).ordered().help(help);
                let (feeder, output) = builder.start_from(receiver).unwrap();
                let source = std::thread::spawn(move || (0..1000).for_each(|n| sender.send(n).unwrap()));
                assert!(output.results().flatten().eq(0..1000));
                source.join().unwrap();
                assert!(feeder.join().is_ok());
            }
        }
        assert_gone("feed-a");
    });
}

/// What was accepted is finished, what was refused comes back, and the rest is where it was.
#[test]
fn d1_a_service_that_is_drained_or_stopped_leaves_the_rest_in_the_channel() {
    within(|| {
        for stops in [true, false] {
            let (sender, receiver) = crossbeam_channel::unbounded();
            (0..100).for_each(|n| sender.send(n).unwrap());
            let builder = FanOut::builder(ok).name("feed-b").workers(1).window(7).ordered();
            let (feeder, mut output) = builder.start_from(receiver.clone()).unwrap();
            let control = output.control();
            (0..30).for_each(|n| assert_eq!(output.recv().unwrap().seq, n));
            let reason = if stops {
                control.stop();
                SendReason::Cancelled
            } else {
                control.drain();
                SendReason::Closed
            };
            let refused = feeder.join().unwrap_err();
            assert_eq!(refused.reason(), reason);
            let accepted = control.wait().unwrap().accepted;
            assert_eq!(refused.into_inner(), accepted);
            assert!(output.map(|outcome| outcome.seq).eq(30..accepted));
            assert!(receiver.try_iter().eq(accepted + 1..100));
        }
        assert_gone("feed-b");
    });
}

#[test]
fn f1_a_feeder_that_waits_for_an_item_may_be_dropped() {
    within(|| {
        let (sender, receiver) = crossbeam_channel::unbounded();
        let (feeder, mut output) = FanOut::builder(ok).name("feed-c").workers(1).start_from(receiver).unwrap();
        sender.send(1).unwrap();
        assert_eq!(output.recv().unwrap().result.unwrap(), 1);
        drop(feeder);
        assert!(sender.send(2).is_err(), "nobody receives");
        assert!(output.recv().is_err());
        drop(output);
        assert_gone("feed-c");
    });
}

/// Nobody takes outcomes while the feeder is dropped: by their taker, or by the handler that they wait for.
#[test]
fn f1_a_feeder_that_waits_for_room_may_be_dropped() {
    within(|| {
        for help in HELPS {
            let (sender, receiver) = crossbeam_channel::unbounded();
            let (gate, entered) = (Gate::new(), Gate::new());
            let (pass, enter) = (gate.clone(), entered.clone());
            let handler = move |n: u64| {
                enter.open();
                pass.pass();
                Ok::<_, u64>(n)
            };
            let builder = FanOut::builder(handler).name("feed-d").workers(1).window(2).ordered().help(help);
            let (feeder, output) = builder.start_from(receiver.clone()).unwrap();
            (0..10).for_each(|n| sender.send(n).unwrap());
            entered.pass();
            gate.open();
            while receiver.len() > 7 {
                std::thread::yield_now();
            }
            drop(feeder);
            // Two were accepted, and one was in the feeder's hand.
            assert!(output.results().flatten().eq(0..2));
            assert!(receiver.try_iter().eq(3..10));
        }
        let kept = Arc::new(Mutex::new(None));
        let (told, dropped) = mpsc::channel();
        let (take, gate) = (kept.clone(), Gate::new());
        let pass = gate.clone();
        let handler = move |n: u64| {
            pass.pass();
            drop(take.lock().unwrap().take());
            told.send(()).unwrap();
            Ok::<_, u64>(n)
        };
        let (sender, receiver) = crossbeam_channel::unbounded();
        (0..10).for_each(|n| sender.send(n).unwrap());
        let builder = FanOut::builder(handler).name("feed-d").workers(1).window(1);
        let (feeder, output) = builder.start_from(receiver).unwrap();
        *kept.lock().unwrap() = Some(feeder);
        gate.open();
        assert!(dropped.recv_timeout(LONG).is_ok());
        assert_eq!(output.results().flatten().count(), 1);
        assert_gone("feed-d");
    });
}

#[test]
fn f1_the_output_of_a_service_that_is_fed_may_be_dropped() {
    within(|| {
        for waits_for_room in [true, false] {
            let (sender, receiver) = crossbeam_channel::unbounded();
            let builder = FanOut::builder(ok).name("feed-e").workers(1).window(2);
            let (feeder, output) = builder.start_from(receiver.clone()).unwrap();
            if waits_for_room {
                (0..5).for_each(|n| sender.send(n).unwrap());
                while receiver.len() > 2 {
                    std::thread::yield_now();
                }
            }
            drop(output);
            if !waits_for_room {
                (2..5).for_each(|n| sender.send(n).unwrap());
            }
            let refused = feeder.join().unwrap_err();
            assert_eq!((refused.reason(), refused.into_inner()), (SendReason::Cancelled, 2));
            assert!(receiver.try_iter().eq(3..5));
        }
        assert_gone("feed-e");
    });
}

type Kept<T> = Arc<Mutex<Option<T>>>;

/// Where the last end of a pipeline is dropped from.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Where {
    Handler(usize),
    Conversion,
    Sink,
}

/// Drops what is kept when it is converted to.
struct Dropping;

impl From<Box<dyn FnOnce() + Send>> for Dropping {
    fn from(action: Box<dyn FnOnce() + Send>) -> Dropping {
        action();
        Dropping
    }
}

/// The end is an output or a collector; nothing may wait for the thread that drops it.
#[test]
fn b7_any_part_of_a_pipeline_may_drop_its_end() {
    within(|| {
        for collected in [false, true] {
            let places = [Where::Handler(0), Where::Handler(1), Where::Handler(2), Where::Conversion, Where::Sink];
            for place in places.into_iter().filter(|place| collected || *place != Where::Sink) {
                for help in HELPS {
                    drop_from(place, collected, help);
                }
            }
        }
        assert_gone("pipe-j");
    });
}

fn drop_from(place: Where, collected: bool, help: Help) {
    let kept: Kept<Box<dyn Send>> = Arc::default();
    let (told, dropped) = mpsc::channel();
    let act = {
        let kept = kept.clone();
        move || {
            let end = kept.lock().unwrap().take();
            if end.is_some() {
                drop(end);
                told.send(()).unwrap();
            }
        }
    };
    let acts = |at| {
        let act = act.clone();
        move || {
            if place == at {
                act()
            }
        }
    };
    let (a, b, c, sink) =
        (acts(Where::Handler(0)), acts(Where::Handler(1)), acts(Where::Handler(2)), acts(Where::Sink));
    let first = FanOut::builder(move |n: u64| {
        a();
        let act = act.clone();
        if place == Where::Conversion { Err(Box::new(act) as Box<dyn FnOnce() + Send>) } else { Ok(n) }
    });
    let (input, first) = first.name("pipe-j1").workers(1).help(help).start().unwrap();
    let second = first.then(move |n| {
        b();
        Ok::<_, Dropping>(n)
    });
    let second = second.name("pipe-j2").workers(1).help(help).start().unwrap();
    let third = second.then(move |n| {
        c();
        Ok::<_, Dropping>(n)
    });
    let output = third.name("pipe-j3").workers(1).help(help).start().unwrap();
    *kept.lock().unwrap() = Some(if collected {
        let collector: Collector = output.for_each(move |_| sink()).unwrap();
        Box::new(collector)
    } else {
        Box::new(output)
    });
    input.send(1).unwrap();
    assert!(dropped.recv_timeout(LONG).is_ok(), "{place:?} {collected} {help:?}");
    while input.closed().is_none() {
        std::thread::yield_now();
    }
    assert_eq!(input.send(2).unwrap_err().reason(), SendReason::Cancelled);
}
