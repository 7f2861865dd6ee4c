//! Services: panics, of handlers and of everything else that is the user's.

use super::fan::{Gate, HELPS, assert_settled};
use super::{Bomb, quiet_panic, within};
use fanpool::{FanOut, Help, Input, Route, SendReason, TaskError};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

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
