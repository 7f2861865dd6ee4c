//! Services: pause, resume, resize, drain, stop and wait, from everywhere.

use super::fan::{HELPS, LONG, assert_settled, gated, routes};
use super::map_property::SplitMix64;
use super::{pool, within};
use fanpool::{Control, FanOut, Help, RecvError, ResizeError, SendReason, TaskError};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, OnceLock, mpsc};

fn ok(n: u64) -> Result<u64, ()> {
    Ok(n)
}

#[test]
fn a_paused_service_accepts_and_starts_nothing() {
    within(|| {
        for help in HELPS {
            for route in routes(|n: &u64| *n) {
                let (input, mut output) =
                    FanOut::builder(ok).workers(2).window(10).help(help).route(route).start().unwrap();
                let control = output.control();
                for _ in 0..20 {
                    control.pause();
                    control.pause();
                    assert!(control.is_paused());
                    (0..10).for_each(|n| _ = input.send(n).unwrap());
                    assert_eq!(input.try_send(0).unwrap_err().reason(), SendReason::Full);
                    assert_eq!((control.depth(), control.in_flight()), (10, 10));
                    assert_eq!(output.try_recv().unwrap_err(), RecvError::Empty);
                    control.resume();
                    control.resume();
                    (0..10).for_each(|_| _ = output.recv().unwrap());
                }
            }
        }
    });
}

/// One thread serves, with many cheap items in its hand, and a handler pauses: no other item is started.
#[test]
fn a_pause_from_a_handler_holds_from_the_next_item_on() {
    within(|| {
        for keyed in [false, true] {
            let own: Arc<OnceLock<Control<'static>>> = Arc::default();
            let (inside, started) = (own.clone(), Arc::new(AtomicUsize::new(0)));
            let starts = started.clone();
            let handler = move |pauses: bool| {
                starts.fetch_add(1, Ordering::SeqCst);
                if pauses {
                    inside.get().unwrap().pause();
                }
                Ok::<_, ()>(())
            };
            let builder = FanOut::builder(handler).workers(1).window(20_000);
            let count = AtomicUsize::new(0);
            let builder = if keyed { builder.key(move |_| count.fetch_add(1, Ordering::Relaxed)) } else { builder };
            let (input, mut output) = builder.start().unwrap();
            let control = output.control();
            let _ = own.set(control.clone());
            for round in 0..30 {
                // Cheap, so that many are taken at a time.
                (0..5000).for_each(|_| _ = input.send(false).unwrap());
                (0..5000).for_each(|_| _ = output.recv().unwrap());
                let before = started.load(Ordering::SeqCst);
                for n in 0..5000 {
                    input.send(n == 2000 + round).unwrap();
                }
                (0..=2000 + round).for_each(|_| _ = output.recv_timeout(LONG).unwrap());
                assert_eq!(output.try_recv().unwrap_err(), RecvError::Empty);
                assert_eq!(started.load(Ordering::SeqCst) - before, 2001 + round, "started in spite of the pause");
                assert_eq!(control.depth(), 2999 - round);
                control.resume();
                (0..2999 - round).for_each(|_| _ = output.recv_timeout(LONG).unwrap());
            }
        }
    });
}

#[test]
fn stopping_and_draining_a_paused_service() {
    within(|| {
        for help in HELPS {
            for route in routes(|n: &u64| *n) {
                let (input, output) = FanOut::builder(ok).workers(2).help(help).route(route).ordered().start().unwrap();
                let control = output.control();
                control.pause();
                (0..50).for_each(|n| _ = input.send(n).unwrap());
                assert_eq!(control.stop().cancelled, 50);
                assert_eq!(control.wait().unwrap().cancelled, 50);
                let (done, failed) = output.partition();
                assert!(done.is_empty() && failed.into_iter().map(|(seq, _)| seq).eq(0..50));
            }
            let (input, output) = FanOut::builder(ok).workers(2).help(help).start().unwrap();
            let control = output.control();
            control.pause();
            (0..50).for_each(|n| _ = input.send(n).unwrap());
            control.drain();
            assert!(!control.is_paused());
            assert_eq!(input.send(1).unwrap_err().reason(), SendReason::Closed);
            assert_eq!(output.partition().0.len(), 50);
            assert_eq!(control.wait().unwrap().finished, 50);
        }
    });
}

#[test]
fn d4_ends_and_pauses_of_a_service_may_be_repeated() {
    within(|| {
        let (input, mut output) = FanOut::builder(ok).workers(1).start().unwrap();
        let control = output.control();
        control.resume();
        (0..10).for_each(|n| _ = input.send(n).unwrap());
        control.drain();
        control.drain();
        input.close();
        assert_eq!(input.closed(), Some(SendReason::Closed));
        assert_eq!(control.wait().unwrap().finished, 10);
        control.resize(3).unwrap();
        control.pause();
        control.drain();
        assert!(matches!(control.resize(0), Err(ResizeError::Build(_))));
        let counts = control.stop();
        assert_eq!(control.stop(), counts);
        assert_eq!(input.closed(), Some(SendReason::Cancelled));
        control.drain();
        assert_eq!(input.closed(), Some(SendReason::Cancelled));
        assert_eq!((counts.finished, counts.cancelled), (10, 0));
        assert_eq!(output.by_ref().count(), 10);
        drop(output);
        assert!(matches!(control.resize(2), Err(ResizeError::Closed)));
        assert_eq!(control.stop(), counts);
    });
}

#[test]
fn f5_waiting_inside_a_handler_is_a_typed_error() {
    within(|| {
        for own in [true, false] {
            for help in HELPS {
                let control: Arc<OnceLock<Control<'static>>> = Arc::default();
                let inside = control.clone();
                let handler = move |_: u64| {
                    let control = inside.get().unwrap();
                    let waited = control.wait().is_err() && control.wait_timeout(LONG).is_err();
                    Ok::<_, ()>(waited)
                };
                let builder = FanOut::builder(handler).help(help).window(5);
                let builder = if own { builder.workers(1) } else { builder.pool(Arc::new(pool(1))) };
                let (input, mut output) = builder.start().unwrap();
                let _ = control.set(output.control());
                for n in 0..100 {
                    input.send(n).unwrap();
                    assert!(output.recv().unwrap().result.unwrap());
                }
            }
        }
    });
}

#[test]
fn waiting_ends_when_all_has_ended_whether_or_not_it_was_taken() {
    within(|| {
        let (input, output) = FanOut::builder(ok).workers(2).window(100).start().unwrap();
        let control = input.control();
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let control = control.clone();
                std::thread::spawn(move || control.wait().unwrap())
            })
            .collect();
        (0..100).for_each(|n| _ = input.send(n).unwrap());
        drop(input);
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap().finished, 100);
        }
        assert_eq!(control.in_flight(), 100);
        assert_eq!(output.count(), 100);
    });
}

#[test]
fn a_smaller_limit_holds_and_a_larger_one_is_used() {
    within(|| {
        for own in [true, false] {
            let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let (now, peak) = (running.clone(), most.clone());
            let handler = move |meet: Option<Arc<super::map::Latch>>| {
                peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                if let Some(latch) = meet {
                    latch.meet();
                }
                now.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, ()>(())
            };
            let builder = FanOut::builder(handler);
            let builder = if own { builder.workers(2) } else { builder.pool(Arc::new(pool(4))).limit(2) };
            let (input, mut output) = builder.start().unwrap();
            let control = output.control();
            for (round, size) in [4, 1, 3, 2, 1, 4].into_iter().enumerate() {
                control.resize(size).unwrap();
                // So many can meet.
                let latch = Arc::new(super::map::Latch::new(size));
                (0..size).for_each(|_| _ = input.send(Some(latch.clone())).unwrap());
                (0..size).for_each(|_| output.recv().unwrap().result.unwrap());
                most.store(0, Ordering::SeqCst);
                (0..500).for_each(|_| _ = input.send(None).unwrap());
                (0..500).for_each(|_| output.recv().unwrap().result.unwrap());
                assert!(most.load(Ordering::SeqCst) <= size || own, "round {round}");
            }
        }
    });
}

fn command(control: &Control<'static>, random: &mut SplitMix64, ends: bool) {
    match random.below(if ends { 14 } else { 12 }) {
        0..4 => control.resume(),
        4..6 => control.pause(),
        6..8 => _ = control.resize(1 + random.below(4)),
        8 => _ = control.depth() + control.in_flight(),
        9 => _ = control.counts(),
        10 => _ = control.wait_timeout(std::time::Duration::from_micros(random.below(100) as u64)),
        11 => _ = format!("{control:?}"),
        12 => control.drain(),
        _ => _ = control.stop(),
    }
}

/// From many threads at once and from inside handlers.
#[test]
fn f5_a_storm_of_commands() {
    within(|| {
        for seed in 0..120_u64 {
            let random = &mut SplitMix64(seed);
            let own: Arc<OnceLock<Control<'static>>> = Arc::default();
            let inside = own.clone();
            let ends = seed % 3 == 0;
            let handler = move |n: u64| {
                if n % 10 == 3 {
                    command(inside.get().unwrap(), &mut SplitMix64(seed << 32 | n), ends && n > 500);
                }
                if n % 7 == 1 { Err(()) } else { Ok(n) }
            };
            let help = HELPS[random.below(3)];
            let builder = FanOut::builder(handler).window(1 + random.below(40)).help(help);
            let builder = if random.below(2) == 0 { builder.ordered() } else { builder };
            let keyed = random.below(3) == 0;
            let builder = if keyed {
                builder.key(|n: &u64| n % 7)
            } else {
                builder.route(routes(|n: &u64| n % 7).into_iter().nth(random.below(4)).unwrap())
            };
            let shared = random.below(2) == 0;
            let builder = if shared {
                builder.pool(Arc::new(pool(1 + random.below(3))))
            } else {
                builder.workers(1 + random.below(3))
            };
            let (input, mut output) = builder.start().unwrap();
            let _ = own.set(output.control());
            let control = output.control();
            let start = Arc::new(Barrier::new(5));
            let senders: Vec<_> = (0..2_u64)
                .map(|who| {
                    let (input, start) = (input.clone(), start.clone());
                    std::thread::spawn(move || {
                        start.wait();
                        (0..600).take_while(|n| input.send(2 * n + who).is_ok()).count() as u64
                    })
                })
                .collect();
            drop(input);
            let stormers: Vec<_> = (0..2)
                .map(|who| {
                    let (control, start) = (control.clone(), start.clone());
                    std::thread::spawn(move || {
                        let random = &mut SplitMix64(seed << 8 | who);
                        start.wait();
                        (0..200).for_each(|n| command(&control, random, ends && n > 150));
                    })
                })
                .collect();
            let finisher = {
                let (control, start) = (control.clone(), start.clone());
                std::thread::spawn(move || {
                    start.wait();
                    stormers.into_iter().for_each(|stormer| stormer.join().unwrap());
                    // A handler may pause at any time; the last command is a resumption.
                    while control.wait_timeout(std::time::Duration::from_millis(1)).unwrap().is_none() {
                        control.resume();
                    }
                })
            };
            let mut seqs = Vec::new();
            while let Ok(outcome) = output.recv() {
                assert!(!matches!(outcome.result, Err(TaskError::Panicked(_))), "seed {seed}");
                seqs.push(outcome.seq);
            }
            let sent: u64 = senders.into_iter().map(|sender| sender.join().unwrap()).sum();
            finisher.join().unwrap();
            let counts = control.wait().unwrap();
            assert_settled(counts);
            assert_eq!(counts.accepted, sent, "seed {seed}");
            assert_eq!(counts.discarded, 0);
            seqs.sort_unstable();
            assert!(seqs.into_iter().eq(0..sent), "seed {seed}");
        }
    });
}

#[test]
fn f5_a_handler_may_stop_or_drain_its_service() {
    within(|| {
        for help in [Help::Never, Help::Receiver] {
            for stops in [true, false] {
                let own: Arc<OnceLock<Control<'static>>> = Arc::default();
                let (inside, (ended, ends)) = (own.clone(), mpsc::channel());
                let handler = move |n: u64| {
                    if n == 100 {
                        let control = inside.get().unwrap();
                        if stops {
                            control.stop();
                        } else {
                            control.drain();
                        }
                        ended.send(()).unwrap();
                    }
                    Ok::<_, ()>(n)
                };
                // One at a time, helpers included: what follows a stop has not been started.
                let builder = FanOut::builder(handler).workers(1).limit(1).ordered().help(help);
                let (input, output) = builder.start().unwrap();
                let control = output.control();
                let _ = own.set(output.control());
                control.pause();
                (0..200).for_each(|n| _ = input.send(n).unwrap());
                control.resume();
                let (done, failed) = output.partition();
                ends.recv_timeout(LONG).unwrap();
                assert!(done.len() + failed.len() == 200 && input.send(1).is_err());
                assert_eq!(failed.len(), if stops { 99 } else { 0 });
                assert_settled(control.wait().unwrap());
            }
        }
    });
}

#[test]
fn the_gate_of_a_running_item_is_not_waited_for_by_commands() {
    within(|| {
        let (gate, entered, handler) = gated();
        let (input, output) = FanOut::builder(handler).workers(1).start().unwrap();
        let control = output.control();
        (0..3).for_each(|n| _ = input.send(n).unwrap());
        entered.pass();
        control.pause();
        control.resume();
        control.resize(2).unwrap();
        control.resize(1).unwrap();
        control.drain();
        control.stop();
        assert!(control.counts().finished == 0);
        gate.open();
        drop(input);
        output.count();
        assert_settled(control.wait().unwrap());
    });
}

#[test]
fn a_limit_that_grows_lets_what_waits_begin() {
    within(|| {
        let (begun, begins) = mpsc::channel();
        let (gate, opened) = mpsc::channel::<()>();
        let opened = std::sync::Mutex::new(opened);
        let handler = move |n: u64| {
            begun.send(n).unwrap();
            if n == 0 {
                let _ = opened.lock().unwrap().recv();
            }
            Ok::<_, ()>(n)
        };
        let (input, output) = FanOut::builder(handler).pool(Arc::new(pool(2))).limit(1).start().unwrap();
        (0..2).for_each(|n| _ = input.send(n).unwrap());
        assert_eq!(begins.recv().unwrap(), 0);
        input.control().resize(2).unwrap();
        assert_eq!(begins.recv().unwrap(), 1);
        drop((gate, input));
        assert_eq!(output.count(), 2);
    });
}
