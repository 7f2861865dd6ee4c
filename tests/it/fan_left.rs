//! Services whose ends are forgotten, outlived, or dropped from inside; whose pool is closed under them.

use super::fan::{Gate, HELPS, LONG, assert_settled};
use super::{Counted, pool, within};
use fanpool::{FanOut, Input, RecvError, SendReason, TaskError};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

fn ok(n: u64) -> Result<u64, ()> {
    Ok(n)
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
                match output.recv_timeout(LONG) {
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
