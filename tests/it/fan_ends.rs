//! Services: how they end. Section F1 and F2, panics, drops, forgotten ends.

use super::fan::{HELPS, assert_settled, gated, routes};
use super::{Counted, quiet_panic, within};
use fanpool::{FanOut, Help, Input, RecvError, SendError, SendReason, TaskError};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

fn ok(n: u64) -> Result<u64, ()> {
    Ok(n)
}

#[test]
fn f1_the_last_input_dropped_closes_and_what_was_accepted_is_finished() {
    within(|| {
        for help in HELPS {
            let (input, mut output) = FanOut::builder(ok).workers(2).help(help).start().unwrap();
            let others: Vec<_> = (0..3).map(|_| input.clone()).collect();
            (0..100).for_each(|n| _ = input.send(n).unwrap());
            drop(input);
            assert_eq!(others[0].closed(), None);
            drop(others);
            assert_eq!(output.by_ref().count(), 100);
            assert_eq!(output.recv().unwrap_err(), RecvError::Closed);
            assert_eq!(output.try_recv().unwrap_err(), RecvError::Closed);
            assert_eq!(output.recv_timeout(Duration::ZERO).unwrap_err(), RecvError::Closed);
            assert!(output.next().is_none());
        }
    });
}

#[test]
fn f1_a_waiting_receiver_is_told_that_the_last_input_is_gone() {
    within(|| {
        for (ordered, help) in [(false, Help::Never), (true, Help::Receiver), (true, Help::Never), (false, Help::Both)]
        {
            for _ in 0..200 {
                let builder = FanOut::builder(ok).workers(1).help(help);
                let builder = if ordered { builder.ordered() } else { builder };
                let (input, mut output) = builder.start().unwrap();
                let closer = std::thread::spawn(move || drop(input));
                assert_eq!(output.recv().unwrap_err(), RecvError::Closed);
                closer.join().unwrap();
            }
        }
    });
}

#[test]
fn f1_a_handler_may_drop_the_last_input() {
    within(|| {
        for help in HELPS {
            let kept: Arc<Mutex<Option<Input<'static, u64>>>> = Arc::default();
            let last = kept.clone();
            let handler = move |n: u64| {
                if n == 50 {
                    drop(last.lock().unwrap().take());
                }
                Ok::<_, ()>(n)
            };
            let (input, output) = FanOut::builder(handler).workers(2).help(help).start().unwrap();
            input.control().pause();
            (0..100).for_each(|n| _ = input.send(n).unwrap());
            let control = input.control();
            *kept.lock().unwrap() = Some(input);
            control.resume();
            assert_eq!(output.count(), 100);
        }
    });
}

enum Ender {
    Stop,
    Drain,
    Close,
    OutputGone,
    OutputGoneElsewhere,
}

/// Many senders are blocked on a full window; each gets its item back, with the reason.
#[test]
fn f2_blocked_senders_get_their_items_back() {
    within(|| {
        for help in HELPS {
            for route in 0..4 {
                for ender in [Ender::Stop, Ender::Drain, Ender::Close, Ender::OutputGone, Ender::OutputGoneElsewhere] {
                    let route = routes(|n| *n).into_iter().nth(route).unwrap();
                    let (input, output) =
                        FanOut::builder(ok).workers(2).window(3).help(help).route(route).start().unwrap();
                    let control = input.control();
                    (0..3).for_each(|n| _ = input.send(n).unwrap());
                    let (about, ready) = mpsc::channel();
                    let senders: Vec<_> = (0..6)
                        .map(|n| {
                            let (input, about) = (input.clone(), about.clone());
                            std::thread::spawn(move || {
                                about.send(()).unwrap();
                                if n % 2 == 0 { input.send(n) } else { input.send_timeout(n, Duration::MAX) }
                            })
                        })
                        .collect();
                    (0..6).for_each(|_| ready.recv().unwrap());
                    let mut output = Some(output);
                    let reason = match ender {
                        Ender::Stop => {
                            control.stop();
                            SendReason::Cancelled
                        }
                        Ender::Drain => {
                            control.drain();
                            SendReason::Closed
                        }
                        Ender::Close => {
                            input.close();
                            SendReason::Closed
                        }
                        Ender::OutputGone => {
                            output = None;
                            SendReason::Cancelled
                        }
                        Ender::OutputGoneElsewhere => {
                            let gone = output.take();
                            std::thread::spawn(move || drop(gone)).join().unwrap();
                            SendReason::Cancelled
                        }
                    };
                    for (n, sender) in senders.into_iter().enumerate() {
                        let refused: SendError<u64> = sender.join().unwrap().unwrap_err();
                        assert_eq!((refused.reason(), refused.into_inner()), (reason, n as u64));
                    }
                    assert_eq!(input.try_send(9).unwrap_err().reason(), reason);
                    assert_eq!(input.send_timeout(9, Duration::ZERO).unwrap_err().reason(), reason);
                    if let Some(output) = output {
                        assert_eq!(output.count(), 3);
                    }
                    let counts = control.wait().unwrap();
                    assert_eq!(counts.accepted, 3);
                    assert_settled(counts);
                }
            }
        }
    });
}

/// Sends race the end: each item is in the accounts or comes back.
#[test]
fn f2_each_item_is_accepted_or_comes_back_when_the_service_ends() {
    within(|| {
        for round in 0..400 {
            let dropped = Arc::new(AtomicUsize::new(0));
            let handler = |item: Counted| {
                drop(item);
                Ok::<_, ()>(())
            };
            let builder = FanOut::builder(handler).workers(2).window(1 + round % 5).help(HELPS[round % 3]);
            let builder = if round % 2 == 0 { builder.ordered() } else { builder };
            let (input, mut output) = builder.start().unwrap();
            let control = input.control();
            let senders: Vec<_> = (0..2)
                .map(|_| {
                    let (input, dropped) = (input.clone(), dropped.clone());
                    std::thread::spawn(move || {
                        let mut sent = 0;
                        loop {
                            match input.send(Counted(dropped.clone())) {
                                Ok(_) => sent += 1,
                                Err(refused) => {
                                    std::mem::forget(refused.into_inner());
                                    return sent;
                                }
                            }
                        }
                    })
                })
                .collect();
            drop(input);
            for _ in 0..round % 50 {
                output.recv().unwrap();
            }
            let taken = (round % 50) as u64;
            let left = match round % 3 {
                0 => {
                    control.stop();
                    output.count() as u64
                }
                1 => {
                    control.drain();
                    output.count() as u64
                }
                _ => {
                    drop(output);
                    0
                }
            };
            let sent: u64 = senders.into_iter().map(|sender| sender.join().unwrap()).sum();
            let counts = control.wait().unwrap();
            assert_settled(counts);
            assert_eq!(counts.accepted, sent);
            assert_eq!(dropped.load(Ordering::SeqCst) as u64, sent);
            if round % 3 < 2 {
                assert_eq!(taken + left, sent);
                assert_eq!(counts.discarded, 0);
            }
        }
    });
}

#[test]
fn f2_timeouts_of_zero_poll_and_the_longest_never_ends() {
    within(|| {
        let (gate, entered, handler) = gated();
        let (input, mut output) = FanOut::builder(handler).workers(1).window(1).start().unwrap();
        input.send_timeout(1, Duration::MAX).unwrap();
        entered.pass();
        assert_eq!(input.send_timeout(2, Duration::ZERO).unwrap_err().reason(), SendReason::TimedOut);
        assert_eq!(output.recv_timeout(Duration::ZERO).unwrap_err(), RecvError::TimedOut);
        assert_eq!(output.try_recv().unwrap_err(), RecvError::Empty);
        assert_eq!(output.control().wait_timeout(Duration::ZERO).unwrap(), None);
        let waiter = std::thread::spawn({
            let control = output.control();
            move || control.wait_timeout(Duration::MAX).unwrap().unwrap()
        });
        let sender = std::thread::spawn(move || input.send_timeout(2, Duration::MAX).unwrap());
        gate.open();
        assert_eq!(output.recv_timeout(Duration::MAX).unwrap().seq, 0);
        assert_eq!(output.recv_timeout(Duration::MAX).unwrap().seq, 1);
        assert_eq!(output.recv_timeout(Duration::MAX).unwrap_err(), RecvError::Closed);
        assert_eq!(sender.join().unwrap(), 1);
        assert_eq!(waiter.join().unwrap().finished, 2);
    });
}

#[test]
fn f1_the_output_is_dropped_while_workers_run_and_all_is_dropped_once() {
    within(|| {
        for round in 0..200 {
            let (items, results, made) = (Arc::default(), Arc::default(), Arc::new(AtomicUsize::new(0)));
            let (makes, drops): (_, Arc<AtomicUsize>) = (made.clone(), Arc::clone(&results));
            let handler = move |item: (usize, Counted)| {
                if item.0 % 7 == 3 {
                    quiet_panic(item);
                }
                makes.fetch_add(1, Ordering::SeqCst);
                Ok::<_, ()>(Counted(drops.clone()))
            };
            let builder = FanOut::builder(handler).workers(2).window(200).help(HELPS[round % 3]);
            let builder = if round % 2 == 0 { builder.ordered() } else { builder };
            let builder = match round % 4 {
                0 => builder.key(|item: &(usize, Counted)| item.0 % 5),
                at => builder.route(routes(|item: &(usize, Counted)| item.0 as u64).into_iter().nth(at).unwrap()),
            };
            let (input, mut output) = builder.start().unwrap();
            let control = output.control();
            for n in 0..200 {
                input.send((n, Counted(Arc::clone(&items)))).unwrap();
            }
            for _ in 0..round {
                drop(output.recv().unwrap());
            }
            if round % 8 < 4 {
                drop(output);
            } else {
                std::thread::spawn(move || drop(output)).join().unwrap();
            }
            // Its own workers have been joined.
            let counts = control.wait_timeout(Duration::ZERO).unwrap().expect("all have ended");
            assert_settled(counts);
            assert_eq!((counts.accepted, counts.cancelled), (200, 0));
            assert_eq!(items.load(Ordering::SeqCst), 200);
            assert_eq!(results.load(Ordering::SeqCst), made.load(Ordering::SeqCst));
            assert_eq!(counts.finished, made.load(Ordering::SeqCst) as u64);
            assert_eq!(input.try_send((0, Counted(items))).unwrap_err().reason(), SendReason::Cancelled);
        }
    });
}

#[test]
fn f1_both_ends_are_dropped_at_once() {
    within(|| {
        for round in 0..300 {
            let dropped = Arc::new(AtomicUsize::new(0));
            let (input, output) =
                FanOut::builder(|_: Counted| Ok::<_, ()>(())).workers(1).help(HELPS[round % 3]).start().unwrap();
            let control = input.control();
            (0..round % 20).for_each(|_| _ = input.send(Counted(dropped.clone())).unwrap());
            let other = std::thread::spawn(move || drop(input));
            drop(output);
            other.join().unwrap();
            assert_eq!(dropped.load(Ordering::SeqCst), round % 20);
            assert_settled(control.counts());
        }
    });
}

#[test]
fn b4_what_was_never_started_is_dropped_once_and_before_the_receipt() {
    within(|| {
        for keyed in [false, true] {
            let dropped = Arc::new(AtomicUsize::new(0));
            let builder = FanOut::builder(|_: (u64, Counted)| -> Result<(), ()> { unreachable!("paused") }).workers(2);
            let builder = if keyed { builder.key(|item: &(u64, Counted)| item.0 % 10) } else { builder };
            let (input, output) = builder.ordered().start().unwrap();
            let control = output.control();
            control.pause();
            (0..100).for_each(|n| _ = input.send((n, Counted(dropped.clone()))).unwrap());
            assert_eq!(control.depth(), 100);
            let counts = control.stop();
            assert_eq!((dropped.load(Ordering::SeqCst), counts.cancelled, control.depth()), (100, 100, 0));
            assert_eq!(control.stop(), counts);
            let mut seqs = 0..;
            for outcome in output {
                assert_eq!(Some(outcome.seq), seqs.next());
                assert!(matches!(outcome.result, Err(TaskError::Cancelled)) && outcome.worker.is_none());
            }
            assert_eq!(seqs.start, 100);
        }
    });
}
