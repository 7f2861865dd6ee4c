//! Services: how they end. Section F1 and F2, panics, drops, forgotten ends.

use super::fan::{Gate, HELPS, LONG, assert_settled, routes};
use super::{Bomb, Counted, pool, quiet_panic, within};
use fanpool::{FanOut, Help, Input, RecvError, Route, SendError, SendReason, TaskError};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
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

/// A crawler: the handler sends what it finds, and closes once all is found. The window holds all that may be open at once.
#[test]
fn b7_a_handler_may_send_to_its_own_service() {
    within(|| {
        for (help, workers) in HELPS.into_iter().flat_map(|help| [(help, 1), (help, 2)]) {
            let own: Arc<OnceLock<Input<'static, u64>>> = Arc::default();
            let open = Arc::new(AtomicUsize::new(1));
            let (inside, left) = (own.clone(), open.clone());
            let handler = move |n: u64| {
                let input = inside.get().unwrap();
                for next in [2 * n, 2 * n + 1] {
                    if next < 2000 {
                        left.fetch_add(1, Ordering::SeqCst);
                        input.send(next).unwrap();
                    }
                }
                if left.fetch_sub(1, Ordering::SeqCst) == 1 {
                    input.close();
                }
                Ok::<_, ()>(n)
            };
            let (input, output) = FanOut::builder(handler).workers(workers).window(2000).help(help).start().unwrap();
            let _ = own.set(input.clone());
            input.send(1).unwrap();
            drop(input);
            let mut seen: Vec<_> = output.results().map(Result::unwrap).collect();
            seen.sort_unstable();
            assert!(seen.into_iter().eq(1..2000));
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
        let (gate, entered) = (Gate::new(), Gate::new());
        let (pass, enter) = (gate.clone(), entered.clone());
        let handler = move |n: u64| {
            enter.open();
            pass.pass();
            Ok::<_, ()>(n)
        };
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
fn b7_a_handler_may_drop_the_output() {
    within(|| {
        for own in [true, false] {
            for round in 0..50 {
                let kept: Arc<Mutex<Option<fanpool::Output<'static, u64, ()>>>> = Arc::default();
                let (last, gate) = (kept.clone(), Gate::new());
                let pass = gate.clone();
                let handler = move |n: u64| {
                    pass.pass();
                    if n == 3 {
                        let output = last.lock().unwrap().take();
                        drop(output);
                    }
                    Ok::<_, ()>(n)
                };
                let builder = FanOut::builder(handler).help(HELPS[round % 3]);
                let builder = if own {
                    builder.workers(1 + round % 2)
                } else {
                    // The output holds the last handle of the pool.
                    builder.pool(Arc::new(pool(1 + round % 2)))
                };
                let (input, output) = builder.start().unwrap();
                (0..10).for_each(|n| _ = input.send(n).unwrap());
                *kept.lock().unwrap() = Some(output);
                gate.open();
                let counts = input.control().wait().unwrap();
                assert_settled(counts);
                assert!(counts.accepted == 10 && counts.finished >= 1 && counts.cancelled == 0, "{counts:?}");
                assert_eq!(input.send(1).unwrap_err().reason(), SendReason::Cancelled);
            }
        }
    });
}

#[test]
fn forgotten_ends_hang_nobody() {
    within(|| {
        let shared = Arc::new(pool(1));
        let (input, output) = FanOut::builder(ok).pool(shared.clone()).window(5).start().unwrap();
        std::mem::forget(output);
        (0..5).for_each(|n| _ = input.send(n).unwrap());
        assert_eq!(input.try_send(5).unwrap_err().reason(), SendReason::Full);
        let control = input.control();
        drop(input);
        assert_eq!(control.wait().unwrap().finished, 5);

        let (input, mut output) = FanOut::builder(ok).pool(shared).start().unwrap();
        input.send(1).unwrap();
        std::mem::forget(input);
        assert_eq!(output.recv().unwrap().seq, 0);
        output.control().drain();
        assert_eq!(output.recv().unwrap_err(), RecvError::Closed);

        let (input, mut output) = FanOut::builder(ok).workers(1).start().unwrap();
        input.send(1).unwrap();
        std::mem::forget(input);
        assert_eq!(output.recv().unwrap().seq, 0);
        drop(output);
    });
}

#[test]
fn a_control_outlives_everything() {
    within(|| {
        for own in [true, false] {
            let dropped = Arc::new(AtomicUsize::new(0));
            let captured = Counted(dropped.clone());
            let handler = move |n: u64| {
                let _ = &captured;
                Ok::<_, ()>(n)
            };
            let builder = FanOut::builder(handler).name("outlived");
            let builder = if own { builder.workers(1) } else { builder.pool(Arc::new(pool(1))) };
            let (input, output) = builder.start().unwrap();
            let control = output.control();
            input.send(1).unwrap();
            drop((input, output));
            control.pause();
            control.resume();
            control.drain();
            let _ = control.resize(2);
            let counts = control.stop();
            assert_eq!(control.wait().unwrap(), counts);
            assert_settled(counts);
            assert_eq!((control.depth(), control.in_flight() <= 1, control.name()), (0, true, "outlived"));
            assert!(format!("{control:?}").contains("outlived"));
            drop(control);
            if own {
                assert_eq!(dropped.load(Ordering::SeqCst), 1, "the handler is dropped with the last end");
            }
        }
    });
}

#[test]
fn b1_payloads_of_any_type_arrive_untouched() {
    within(|| {
        for help in HELPS {
            for ordered in [true, false] {
                let handler = |n: u64| -> Result<u64, ()> {
                    match n % 3 {
                        0 => quiet_panic("text"),
                        1 => quiet_panic(format!("item {n}")),
                        _ => quiet_panic(n),
                    }
                };
                let builder = FanOut::builder(handler).workers(2).help(help);
                let builder = if ordered { builder.ordered() } else { builder };
                let (input, output) = builder.start().unwrap();
                (0..300).for_each(|n| _ = input.send(n).unwrap());
                drop(input);
                let control = output.control();
                for outcome in output {
                    let Err(TaskError::Panicked(panicked)) = outcome.result else { panic!("no panic") };
                    let n = outcome.seq;
                    match n % 3 {
                        0 => {
                            assert_eq!(panicked.message(), "text");
                            assert!(panicked.into_payload().is::<&str>());
                        }
                        1 => assert_eq!(panicked.into_payload().downcast_ref(), Some(&format!("item {n}"))),
                        _ => assert_eq!(panicked.into_payload().downcast_ref(), Some(&n)),
                    }
                }
                assert_eq!(control.counts().panicked, 300);
                assert_settled(control.counts());
            }
        }
    });
}

#[test]
fn b2_items_results_and_payloads_whose_drop_panics() {
    within(|| {
        for help in HELPS {
            for end in 0..3 {
                // Items: run, or dropped by a stop, or by the end of the output.
                let (gate, entered) = (Gate::new(), Gate::new());
                let (pass, enter) = (gate.clone(), entered.clone());
                let handler = move |item: (u64, Bomb)| -> Result<Bomb, Bomb> {
                    enter.open();
                    pass.pass();
                    match item.0 % 3 {
                        0 => Ok(item.1),
                        1 => Err(item.1),
                        _ => quiet_panic(item.1),
                    }
                };
                let (input, output) = FanOut::builder(handler).workers(1).help(help).start().unwrap();
                (0..30).for_each(|n| _ = input.send((n, Bomb)).unwrap());
                entered.pass();
                let control = input.control();
                match end {
                    0 => {
                        let counts = control.stop();
                        assert_eq!((counts.cancelled, counts.panicked), (0, 29), "its drop failed");
                        gate.open();
                        let (done, failed) = output.partition();
                        assert_eq!((done.len(), failed.len()), (1, 29));
                        std::mem::forget((done, failed));
                    }
                    1 => {
                        let opens = gate.clone();
                        let opener = std::thread::spawn(move || opens.open());
                        drop(output);
                        opener.join().unwrap();
                    }
                    _ => {
                        gate.open();
                        drop(input);
                        control.wait().unwrap();
                        // All have landed; nobody takes them.
                        drop(output);
                    }
                }
                let counts = control.wait().unwrap();
                assert_eq!(counts.accepted, 30);
                assert_settled(counts);
            }
        }
    });
}

#[test]
fn b3_many_panicking_items_leave_every_worker_alive() {
    within(|| {
        const ITEMS: u64 = 200_000;
        let handler = |n: u64| -> Result<(), ()> { quiet_panic(n) };
        let (input, output) = FanOut::builder(handler).workers(2).window(100).start().unwrap();
        let sender = std::thread::spawn(move || (0..ITEMS).for_each(|n| _ = input.send(n).unwrap()));
        let control = output.control();
        assert_eq!(
            output.filter(|outcome| matches!(outcome.result, Err(TaskError::Panicked(_)))).count() as u64,
            ITEMS
        );
        sender.join().unwrap();
        assert_eq!(control.counts().panicked, ITEMS);
        assert_settled(control.counts());
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

#[test]
fn b10_an_item_is_sent_from_a_drop_while_a_handler_unwinds() {
    struct SendsOnDrop(Arc<OnceLock<Input<'static, u64>>>);
    impl Drop for SendsOnDrop {
        fn drop(&mut self) {
            self.0.get().unwrap().send(1).unwrap();
        }
    }
    within(|| {
        for help in HELPS {
            let own: Arc<OnceLock<Input<'static, u64>>> = Arc::default();
            let inside = own.clone();
            let handler = move |n: u64| {
                if n == 0 {
                    let _sends = SendsOnDrop(inside.clone());
                    quiet_panic(n);
                }
                Ok::<_, ()>(n)
            };
            let (input, output) = FanOut::builder(handler).workers(1).help(help).start().unwrap();
            let _ = own.set(input.clone());
            (0..50).for_each(|_| _ = input.send(0).unwrap());
            let ended: Vec<_> = output.take(100).map(|outcome| outcome.result.is_ok()).collect();
            assert_eq!(ended.iter().filter(|ok| **ok).count(), 50);
        }
    });
}

/// A panicking key, priority, weight or `init` fails its item alone, in its place.
#[test]
fn f3_functions_that_panic_fail_their_item_alone() {
    within(|| {
        for which in 0..4 {
            for help in HELPS {
                let seen = Arc::new(Mutex::new(Vec::new()));
                let log = seen.clone();
                let check = |n: &u64| if n % 5 == 2 { quiet_panic(*n) } else { 1 };
                let builder = FanOut::builder(move |n: u64| {
                    log.lock().unwrap().push(n);
                    Ok::<_, ()>(n)
                })
                .workers(1)
                .ordered()
                .help(help);
                let builder = match which {
                    0 => builder.key(check),
                    1 => builder.priority(move |n| if check(n) == 1 { fanpool::Priority::Low } else { unreachable!() }),
                    2 => builder.route(Route::LeastLoaded).weigh(check),
                    _ => builder.route(Route::by_key(check)),
                };
                let (input, output) = builder.start().unwrap();
                let control = input.control();
                for n in 0..500 {
                    assert_eq!(input.send(n).unwrap(), n);
                }
                drop(input);
                let mut next = 0;
                for outcome in output {
                    assert_eq!(outcome.seq, next);
                    match outcome.result {
                        Ok(n) => assert!(n == next && n % 5 != 2),
                        Err(TaskError::Panicked(panicked)) => {
                            assert_eq!(panicked.into_payload().downcast_ref(), Some(&next));
                            assert!(next % 5 == 2 && outcome.worker.is_none());
                        }
                        other => panic!("{other:?}"),
                    }
                    next += 1;
                }
                assert_eq!(next, 500);
                let mut seen = seen.lock().unwrap();
                if help != Help::Never {
                    // Two threads have run them.
                    seen.sort_unstable();
                }
                assert!(seen.iter().copied().eq((0..500).filter(|n| n % 5 != 2)));
                assert_eq!((control.counts().finished, control.counts().panicked), (400, 100));
            }
        }
    });
}

#[test]
fn f3_an_item_whose_key_and_drop_panic_is_failed_once_and_a_refused_one_comes_back() {
    within(|| {
        let key = |item: &(u64, Bomb)| if item.0 == 1 { quiet_panic("key") } else { item.0 };
        let handler = |item: (u64, Bomb)| {
            std::mem::forget(item.1);
            Ok::<_, ()>(())
        };
        let (input, mut output) = FanOut::builder(handler).workers(1).window(1).key(key).start().unwrap();
        input.send((1, Bomb)).unwrap();
        let refused = input.try_send((1, Bomb)).unwrap_err();
        assert_eq!(refused.reason(), SendReason::Full);
        std::mem::forget(refused.into_inner());
        let Err(TaskError::Panicked(panicked)) = output.recv().unwrap().result else { panic!("no panic") };
        assert_eq!(panicked.message(), "key");
        input.send((2, Bomb)).unwrap();
        assert!(output.recv().unwrap().result.is_ok());
    });
}

#[test]
fn f3_a_panic_of_init_fails_the_item_for_which_the_state_was_to_be_made() {
    within(|| {
        for help in HELPS {
            let calls = AtomicUsize::new(0);
            let init = move || if calls.fetch_add(1, Ordering::SeqCst) < 10 { quiet_panic("init") } else { 0_u64 };
            let handler = |state: &mut u64, n: u64| {
                *state += 1;
                if n == 150 { quiet_panic("handler") } else { Ok::<_, ()>(*state) }
            };
            let (input, output) = FanOut::builder_init(init, handler).workers(1).help(help).ordered().start().unwrap();
            (0..200).for_each(|n| _ = input.send(n).unwrap());
            drop(input);
            let (done, failed) = output.partition();
            assert_eq!((done.len(), failed.len()), (189, 11));
            assert!(failed.iter().all(|(_, error)| matches!(error, TaskError::Panicked(_))));
            assert!(help != Help::Never || failed.iter().map(|(seq, _)| *seq).eq((0..10).chain([150])));
        }
    });
}

/// States whose `Drop` panics, several of them, spoil neither the program nor each other.
#[test]
fn b2_states_whose_drop_panics() {
    struct State(Arc<AtomicUsize>);
    impl Drop for State {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
            quiet_panic("state");
        }
    }
    within(|| {
        let (made, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (makes, drops) = (made.clone(), dropped.clone());
        let init = move || {
            makes.fetch_add(1, Ordering::SeqCst);
            State(drops.clone())
        };
        let all = Arc::new(super::map::Latch::new(3));
        let handler = move |_: &mut State, n: u64| {
            if n < 3 {
                all.meet();
            }
            if n == 10 { quiet_panic("handler") } else { Ok::<_, ()>(n) }
        };
        let (input, output) = FanOut::builder_init(init, handler).workers(3).start().unwrap();
        (0..100).for_each(|n| _ = input.send(n).unwrap());
        drop(input);
        let (done, failed) = output.partition();
        assert_eq!((done.len(), failed.len()), (99, 1));
        let made = made.load(Ordering::SeqCst);
        assert!(made >= 3);
        assert_eq!(dropped.load(Ordering::SeqCst), made);
    });
}

/// The pool of a service is closed under it: items are finished or reported.
#[test]
fn the_shared_pool_is_closed_under_a_service() {
    within(|| {
        for help in HELPS {
            let pool = Arc::new(pool(1));
            let (input, mut output) = FanOut::builder(ok).pool(pool.clone()).help(help).start().unwrap();
            input.send(0).unwrap();
            assert_eq!(output.recv().unwrap().seq, 0);
            pool.close();
            let mut accepted = 1;
            for n in 1..50 {
                accepted += u64::from(input.send(n).is_ok());
            }
            drop(input);
            let mut taken = 1;
            loop {
                match output.recv_timeout(LONG / 4) {
                    Ok(outcome) => {
                        assert!(matches!(outcome.result, Ok(_) | Err(TaskError::Cancelled)));
                        taken += 1;
                    }
                    Err(RecvError::Closed) => break,
                    Err(error) => panic!("{error}: {taken} of {accepted}"),
                }
            }
            assert_eq!(taken, accepted);
            assert_settled(output.control().counts());
        }
    });
}
