//! Services whose handler takes batches.

use super::fan::{Gate, HELPS, LONG, assert_settled};
use super::{Bomb, Counted, quiet_panic, within};
use fanpool::{FanOut, Help, SendReason, TaskError};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

const NEVER: Duration = Duration::from_secs(3600);

/// The sizes of the batches that a handler was called with.
type Sizes = Arc<Mutex<Vec<usize>>>;

fn sizes() -> (Sizes, impl Fn(Vec<u64>) -> Vec<Result<u64, ()>> + Send + Sync + 'static) {
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let log = sizes.clone();
    let handler = move |items: Vec<u64>| {
        log.lock().unwrap().push(items.len());
        items.into_iter().map(Ok).collect()
    };
    (sizes, handler)
}

#[test]
fn a_batch_is_handled_when_it_is_full_and_not_before() {
    within(|| {
        for max_wait in [NEVER, Duration::MAX] {
            for help in HELPS {
                let (sizes, handler) = sizes();
                let (input, mut output) =
                    FanOut::builder_batch(10, max_wait, handler).workers(2).ordered().help(help).start().unwrap();
                for round in 0..50 {
                    for n in 0..9 {
                        input.send(10 * round + n).unwrap();
                    }
                    assert!(output.try_recv().is_err());
                    input.send(10 * round + 9).unwrap();
                    for n in 0..10 {
                        assert_eq!(output.recv_timeout(LONG).unwrap().result.unwrap(), 10 * round + n);
                    }
                }
                assert_eq!(*sizes.lock().unwrap(), [10; 50]);
            }
        }
    });
}

#[test]
fn a_batch_is_handled_when_its_first_item_has_waited_long_enough() {
    within(|| {
        for max_wait in [Duration::ZERO, Duration::from_micros(50), Duration::from_millis(5)] {
            for help in HELPS {
                let (sizes, handler) = sizes();
                let (input, mut output) =
                    FanOut::builder_batch(100, max_wait, handler).workers(2).help(help).start().unwrap();
                for round in 0..30 {
                    for n in 0..3 {
                        input.send(3 * round + n).unwrap();
                    }
                    for _ in 0..3 {
                        output.recv_timeout(LONG).expect("due").result.unwrap();
                    }
                }
                let sizes = sizes.lock().unwrap();
                assert_eq!(sizes.iter().sum::<usize>(), 90);
                assert!(sizes.iter().all(|size| (1..=3).contains(size)), "{sizes:?}");
            }
        }
    });
}

#[test]
fn closing_and_draining_flush_a_batch() {
    within(|| {
        for how in 0..3 {
            for help in HELPS {
                let (sizes, handler) = sizes();
                let (input, output) = FanOut::builder_batch(10, NEVER, handler).workers(1).help(help).start().unwrap();
                let control = input.control();
                if how == 2 {
                    control.pause();
                }
                (0..25).for_each(|n| _ = input.send(n).unwrap());
                match how {
                    0 => drop(input),
                    1 => input.close(),
                    _ => control.drain(),
                }
                assert_eq!(output.partition().0.len(), 25);
                let mut sizes = sizes.lock().unwrap().clone();
                sizes.sort_unstable();
                assert_eq!(sizes, [5, 10, 10]);
            }
        }
    });
}

#[test]
fn a_batch_that_came_due_in_a_pause_is_handled_after_it() {
    within(|| {
        for how in 0..3 {
            let (_, handler) = sizes();
            let wait = [Duration::from_millis(1), Duration::from_millis(30), Duration::ZERO][how];
            let (input, mut output) =
                FanOut::builder_batch(10, wait, handler).workers(1).name(format!("due-{how}")).start().unwrap();
            let control = input.control();
            for _ in 0..10 {
                control.pause();
                (0..3).for_each(|n| _ = input.send(n).unwrap());
                // Time for the batch to come due, or not.
                assert!(output.recv_timeout(Duration::from_millis(5)).is_err());
                control.resume();
                (0..3).for_each(|_| _ = output.recv_timeout(LONG).expect("due"));
            }
        }
    });
}

/// A pause costs no CPU time, also with a batch that is due.
#[test]
#[cfg(target_os = "linux")]
fn a_paused_service_does_not_spin() {
    fn ticks_of(thread: &str) -> u64 {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let stats = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
        let of = |stat: String| {
            let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
            let times: Vec<u64> = rest.split_whitespace().skip(11).take(2).filter_map(|n| n.parse().ok()).collect();
            (name == thread).then(|| times.iter().sum::<u64>())
        };
        stats.filter_map(of).sum()
    }
    within(|| {
        let (_, handler) = sizes();
        let (input, mut output) =
            FanOut::builder_batch(10, Duration::from_millis(1), handler).workers(1).name("spins").start().unwrap();
        input.control().pause();
        input.send(1).unwrap();
        assert!(output.recv_timeout(Duration::from_secs(1)).is_err());
        let ticks = ticks_of("spins-timer");
        assert!(ticks < 20, "{ticks} hundredths of a second of CPU time in one second of pause");
        input.control().resume();
        output.recv_timeout(LONG).unwrap();
    });
}

#[test]
fn f6_too_few_and_too_many_answers_fail_all_items_of_the_batch() {
    within(|| {
        for answers in [0, 1, 9, 11, 1000] {
            for help in HELPS {
                let (made, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
                let (makes, drops) = (made.clone(), dropped.clone());
                let handler = move |items: Vec<u64>| -> Vec<Result<Counted, ()>> {
                    let wrong = items[0] == 10;
                    let count = if wrong { answers } else { items.len() };
                    makes.fetch_add(count, Ordering::SeqCst);
                    (0..count).map(|_| Ok(Counted(drops.clone()))).collect()
                };
                let (input, output) =
                    FanOut::builder_batch(10, NEVER, handler).workers(1).ordered().help(help).start().unwrap();
                (0..30).for_each(|n| _ = input.send(n).unwrap());
                drop(input);
                let control = output.control();
                for (n, outcome) in output.enumerate() {
                    match outcome.result {
                        Ok(_) => assert!(!(10..20).contains(&n)),
                        Err(TaskError::WrongBatch { items: 10, answers: got }) => {
                            assert!((10..20).contains(&n) && got == answers);
                        }
                        other => panic!("{:?}", other.err()),
                    }
                }
                let counts = control.counts();
                assert_eq!((counts.finished, counts.failed), (20, 10));
                assert_settled(counts);
                assert_eq!(dropped.load(Ordering::SeqCst), made.load(Ordering::SeqCst));
            }
        }
    });
}

#[test]
fn f6_a_panic_in_the_middle_fails_all_items_of_the_batch() {
    within(|| {
        let dropped = Arc::new(AtomicUsize::new(0));
        let handler = |items: Vec<(u64, Counted)>| -> Vec<Result<u64, ()>> {
            let run = |(n, _): (u64, Counted)| if n == 15 { quiet_panic(n) } else { Ok(n) };
            items.into_iter().map(run).collect()
        };
        let (input, output) = FanOut::builder_batch(10, NEVER, handler).workers(2).ordered().start().unwrap();
        (0..30).for_each(|n| _ = input.send((n, Counted(dropped.clone()))).unwrap());
        drop(input);
        let control = output.control();
        for (n, outcome) in output.enumerate() {
            match outcome.result {
                Ok(m) => assert!(m == n as u64 && !(10..20).contains(&n)),
                Err(TaskError::Panicked(panicked)) if n == 10 => {
                    assert_eq!(panicked.into_payload().downcast_ref(), Some(&15_u64));
                }
                Err(TaskError::Panicked(panicked)) => {
                    assert!((11..20).contains(&n));
                    assert_eq!(panicked.message(), "a payload that is not text");
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((control.counts().finished, control.counts().panicked), (20, 10));
        assert_eq!(dropped.load(Ordering::SeqCst), 30);
    });
}

#[test]
fn f6_answers_whose_drop_panics() {
    within(|| {
        let handler = |items: Vec<Bomb>| -> Vec<Result<Bomb, Bomb>> {
            let mut answers: Vec<_> = items.into_iter().map(Ok).collect();
            answers.push(Err(Bomb));
            answers
        };
        let (input, output) = FanOut::builder_batch(3, NEVER, handler).workers(1).start().unwrap();
        (0..9).for_each(|_| _ = input.send(Bomb).unwrap());
        drop(input);
        let (done, failed) = output.partition();
        assert!(done.is_empty() && failed.len() == 9);
        assert!(failed.iter().all(|(_, error)| matches!(error, TaskError::WrongBatch { items: 3, answers: 4 })));
    });
}

/// A handler of batches is never called without items, also where the service is stopped at the moment of a start.
#[test]
fn no_batch_is_empty() {
    within(|| {
        let empty = Arc::new(AtomicUsize::new(0));
        for round in 0..2000 {
            let noticed = empty.clone();
            let handler = move |items: Vec<u64>| -> Vec<Result<u64, ()>> {
                noticed.fetch_add(usize::from(items.is_empty()), Ordering::SeqCst);
                items.into_iter().map(Ok).collect()
            };
            let (input, output) = FanOut::builder_batch(2, Duration::ZERO, handler).workers(1).start().unwrap();
            let control = input.control();
            (0..round % 40).for_each(|n| _ = input.send(n).unwrap());
            control.stop();
            output.count();
            assert_settled(control.wait().unwrap());
        }
        assert_eq!(empty.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn strands_keep_their_order_in_batches() {
    within(|| {
        for help in [Help::Never, Help::Both] {
            let last = Arc::new(Mutex::new([None; 10]));
            let handler = move |items: Vec<u64>| -> Vec<Result<u64, ()>> {
                let mut last = last.lock().unwrap();
                for n in &items {
                    let before = last[(n % 10) as usize].replace(*n);
                    assert!(before < Some(*n) && before.is_none_or(|before| before + 10 == *n), "out of order");
                }
                items.into_iter().map(Ok).collect()
            };
            let (input, output) = FanOut::builder_batch(8, Duration::from_millis(1), handler)
                .workers(3)
                .window(64)
                .key(|n: &u64| n % 10)
                .help(help)
                .start()
                .unwrap();
            let sender = std::thread::spawn(move || (0..5000).for_each(|n| _ = input.send(n).unwrap()));
            let (done, failed) = output.partition();
            assert_eq!((done.len(), failed.len()), (5000, 0));
            sender.join().unwrap();
        }
    });
}

#[test]
fn no_worker_is_held_while_a_batch_is_waited_for() {
    within(|| {
        let pool = Arc::new(super::pool(1));
        let (_, handler) = sizes();
        let (input, output) = FanOut::builder_batch(2, NEVER, handler).pool(pool.clone()).start().unwrap();
        input.send(1).unwrap();
        for _ in 0..10 {
            pool.submit(|| ()).join().unwrap();
        }
        input.send(2).unwrap();
        drop(input);
        assert_eq!(output.count(), 2);
    });
}

#[test]
fn a_stopped_batch_comes_back_cancelled() {
    within(|| {
        let gate = Gate::new();
        let pass = gate.clone();
        let (entered, enters) = mpsc::channel();
        let handler = move |items: Vec<u64>| -> Vec<Result<u64, ()>> {
            entered.send(()).unwrap();
            pass.pass();
            items.into_iter().map(Ok).collect()
        };
        let (input, output) = FanOut::builder_batch(5, NEVER, handler).workers(1).window(23).start().unwrap();
        (0..23).for_each(|n| _ = input.send(n).unwrap());
        enters.recv_timeout(LONG).unwrap();
        assert_eq!(input.try_send(0).unwrap_err().reason(), SendReason::Full);
        assert_eq!(output.control().stop().cancelled, 18);
        gate.open();
        let (done, failed) = output.partition();
        assert_eq!((done, failed.len()), ((0..5).collect(), 18));
    });
}
