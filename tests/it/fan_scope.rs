//! Services in scopes, and services whose ends are used by workers of their own pool.

use super::fan::{Gate, LONG, assert_settled};
use super::{pool, within};
use fanpool::{FanOut, Help, Pool, Route, SendReason};
use std::sync::{Arc, Barrier, mpsc};

/// A pool none of whose workers is free until the gate opens.
pub(crate) fn stuck(workers: usize) -> (Arc<Pool>, Arc<Gate>) {
    let (pool, gate) = (Arc::new(pool(workers)), Gate::new());
    let inside = Arc::new(Barrier::new(workers + 1));
    for _ in 0..workers {
        let (gate, inside) = (gate.clone(), inside.clone());
        pool.spawn(move || {
            inside.wait();
            gate.pass();
        })
        .unwrap();
    }
    inside.wait();
    (pool, gate)
}

fn borrowed(pool: &Pool, ordered: bool, help: Option<Help>) {
    let words: Vec<String> = (0..3000).map(|n| n.to_string()).collect();
    let suffix = String::from("!");
    let mut joined = Vec::new();
    pool.scope(|s| {
        let builder = s.fan_out(|word: &str| Ok::<_, ()>(format!("{word}{suffix}"))).window(64);
        let builder = if ordered { builder.ordered() } else { builder };
        let builder = if let Some(help) = help { builder.help(help) } else { builder };
        let (input, mut output) = builder.start().unwrap();
        let control = output.control();
        // One thread sends and receives.
        for word in &words {
            if let Err(refused) = input.try_send(word) {
                assert_eq!(refused.reason(), SendReason::Full);
                joined.push(output.recv().unwrap().result.unwrap());
                input.try_send(refused.into_inner()).unwrap();
            }
        }
        drop(input);
        joined.extend(output.results().map(Result::unwrap));
        let counts = control.counts();
        assert_eq!(counts.finished, 3000);
        assert_settled(counts);
    });
    let mut expected: Vec<_> = words.iter().map(|word| format!("{word}!")).collect();
    if !ordered {
        joined.sort();
        expected.sort();
    }
    assert_eq!(joined, expected);
}

#[test]
fn c5_a_service_in_a_scope_works_on_any_pool() {
    within(|| {
        for ordered in [true, false] {
            for help in [None, Some(Help::Receiver), Some(Help::Both)] {
                for workers in [1, 2] {
                    let open = pool(workers);
                    borrowed(&open, ordered, help);
                    open.pause();
                    borrowed(&open, ordered, help);
                    open.resume();
                    open.close();
                    borrowed(&open, ordered, help);
                }
                let (stuck, gate) = stuck(2);
                borrowed(&stuck, ordered, help);
                gate.open();
            }
            borrowed(&pool(1), ordered, Some(Help::Never));
        }
    });
}

/// The owner only receives; all items come from another thread, and no worker is free.
#[test]
fn c5_the_owner_runs_what_other_threads_send_while_all_workers_are_stuck() {
    within(|| {
        for (round, route) in [Route::Shared, Route::RoundRobin].into_iter().enumerate() {
            let (pool, gate) = stuck(1 + round);
            pool.scope(|s| {
                let (input, mut output) = s.fan_out(|n: u64| Ok::<_, ()>(n)).route(route).start().unwrap();
                std::thread::scope(|threads| {
                    let (next, wanted) = mpsc::channel();
                    threads.spawn(move || {
                        for n in wanted {
                            input.send(n).unwrap();
                        }
                    });
                    for n in 0..2000 {
                        next.send(n).unwrap();
                        assert_eq!(output.recv().unwrap().result.unwrap(), n);
                    }
                });
            });
            gate.open();
        }
    });
}

#[test]
fn b7_a_worker_receives_from_a_service_of_its_own_one_worker_pool() {
    within(|| {
        for help in super::fan::HELPS {
            let pool = Arc::new(pool(1));
            let (input, mut output) =
                FanOut::builder(|n: u64| Ok::<_, ()>(n)).pool(pool.clone()).help(help).start().unwrap();
            let (next, wanted) = mpsc::channel();
            let received = pool.submit(move || {
                for n in 0..2000 {
                    next.send(n).unwrap();
                    assert_eq!(output.recv().unwrap().result.unwrap(), n);
                }
                drop(next);
                output.count()
            });
            for n in wanted {
                input.send(n).unwrap();
            }
            drop(input);
            assert_eq!(received.join().unwrap(), 0);
        }
    });
}

#[test]
fn b7_a_worker_sends_beyond_the_window_of_a_service_of_its_own_one_worker_pool() {
    within(|| {
        for help in super::fan::HELPS {
            for window in [1, 2, 16] {
                let pool = Arc::new(pool(1));
                let (input, output) = FanOut::builder(|n: u64| Ok::<_, ()>(n))
                    .pool(pool.clone())
                    .window(window)
                    .help(help)
                    .start()
                    .unwrap();
                let sent = pool.submit(move || (0..2000).for_each(|n| _ = input.send(n).unwrap()));
                assert_eq!(output.partition().0.len(), 2000);
                sent.join().unwrap();
            }
        }
    });
}

/// The only worker waits in `send` for room while the service is paused and resumed again and again.
#[test]
fn f5_a_worker_that_sends_to_its_own_pool_goes_on_after_each_pause() {
    within(|| {
        let pool = Arc::new(pool(1));
        let (input, mut output) =
            FanOut::builder(|n: u64| Ok::<_, ()>(n)).pool(pool.clone()).window(1).start().unwrap();
        let control = output.control();
        let sent = pool.submit(move || (0..2000).for_each(|n| _ = input.send(n).unwrap()));
        for n in 0..2000 {
            control.pause();
            while control.in_flight() == 0 {
                std::thread::yield_now();
            }
            // Half of the time the sender has parked by now.
            if n % 2 == 0 {
                if let Ok(outcome) = output.recv_timeout(std::time::Duration::from_micros(300)) {
                    assert_eq!(outcome.seq, n);
                    continue;
                }
            }
            control.resume();
            assert_eq!(output.recv().unwrap().seq, n);
        }
        sent.join().unwrap();
    });
}

#[test]
fn b7_a_worker_sends_and_receives_on_its_own_one_worker_pool() {
    within(|| {
        for route in super::fan::routes(|n: &u64| *n) {
            let pool = Arc::new(pool(1));
            let (input, mut output) =
                FanOut::builder(|n: u64| Ok::<_, ()>(n)).pool(pool.clone()).window(8).route(route).start().unwrap();
            let total = pool.submit(move || {
                let mut total = 0;
                for n in 0..2000 {
                    if input.try_send(n).is_err() {
                        total += output.recv().unwrap().result.unwrap();
                        input.try_send(n).unwrap();
                    }
                }
                drop(input);
                total + output.results().map(Result::unwrap).sum::<u64>()
            });
            assert_eq!(total.join().unwrap(), 1999 * 1000);
        }
    });
}

/// Every handler opens a scope with a service of its own on the same pool.
#[test]
fn b8_services_nest_on_one_pool() {
    fn sum(pool: &Pool, depth: usize, width: u64) -> u64 {
        if depth == 0 {
            return width;
        }
        pool.scope(|s| {
            let (input, output) =
                s.fan_out(|n: u64| Ok::<_, ()>(sum(pool, depth - 1, n))).window(4).ordered().start().unwrap();
            // The owner may be the only thread, so it sends and receives.
            let (mut output, mut total) = (output, 0);
            for n in 0..width {
                if input.try_send(n).is_err() {
                    total += output.recv().unwrap().result.unwrap();
                    input.try_send(n).unwrap();
                }
            }
            drop(input);
            total + output.results().map(Result::unwrap).sum::<u64>()
        })
    }
    fn expected(depth: usize, width: u64) -> u64 {
        if depth == 0 { width } else { (0..width).map(|n| expected(depth - 1, n)).sum() }
    }
    within(|| {
        for workers in [1, 2, 3] {
            let pool = pool(workers);
            for (depth, width) in [(1, 100), (2, 30), (3, 14), (5, 8)] {
                assert_eq!(sum(&pool, depth, width), expected(depth, width));
            }
            pool.pause();
            assert_eq!(sum(&pool, 2, 12), expected(2, 12));
        }
    });
}

#[test]
fn b8_services_alone_nest_with_scopes_on_a_shared_pool() {
    within(|| {
        for workers in [1, 2] {
            let pool = Arc::new(pool(workers));
            let inner = pool.clone();
            let handler = move |n: u64| {
                inner.scope(|s| {
                    let (input, output) = s.fan_out(|m: u64| Ok::<_, ()>(m + n)).window(3).start().unwrap();
                    let mut output = output;
                    (0..3).for_each(|m| _ = input.send(m).unwrap());
                    let first = (3..10).map(|m| {
                        let result = output.recv().unwrap().result.unwrap();
                        input.send(m).unwrap();
                        result
                    });
                    let first: u64 = first.sum();
                    drop(input);
                    Ok::<_, ()>(first + output.results().map(Result::unwrap).sum::<u64>())
                })
            };
            let (input, output) = FanOut::builder(handler).pool(pool).window(4).ordered().start().unwrap();
            let sender = std::thread::spawn(move || (0..300).for_each(|n| _ = input.send(n).unwrap()));
            assert!(output.results().map(Result::unwrap).eq((0..300).map(|n| 45 + 10 * n)));
            sender.join().unwrap();
        }
    });
}

#[test]
fn the_end_of_a_scope_waits_for_its_handlers_and_nothing_else() {
    within(|| {
        let pool = pool(2);
        let (gate, (reached, wait)) = (Gate::new(), mpsc::channel());
        let text = String::from("borrowed");
        let mut length = None;
        let counts = pool.scope(|s| {
            let (input, output) = s
                .fan_out(|n: usize| {
                    reached.send(()).unwrap();
                    gate.pass();
                    Ok::<_, ()>(n + text.len())
                })
                .limit(1)
                .help(Help::Never)
                .start()
                .unwrap();
            (0..5).for_each(|n| _ = input.send(n).unwrap());
            wait.recv_timeout(LONG).unwrap();
            let control = output.control();
            drop(output);
            assert_eq!(input.send(1).unwrap_err().reason(), SendReason::Cancelled);
            let gate = gate.clone();
            std::thread::spawn(move || gate.open());
            length = Some(text.len());
            control.counts()
        });
        assert_eq!((counts.accepted, counts.discarded), (5, 4));
    });
}

/// Ends that are forgotten keep nothing running and leave no reference behind that is used.
#[test]
fn c3_forgotten_ends_of_a_service_in_a_scope() {
    within(|| {
        for paused in [false, true] {
            let pool = pool(1);
            let text = String::from("borrowed");
            pool.scope(|s| {
                let (input, output) = s.fan_out(|n: usize| Ok::<_, ()>(n + text.len())).start().unwrap();
                let control = output.control();
                if paused {
                    control.pause();
                }
                (0..5).for_each(|n| _ = input.send(n).unwrap());
                std::mem::forget((input, output));
            });
        }
    });
}

/// A call for one lane must not be used up by an item of another lane, nor be lost where the collector does not park after all.
#[test]
fn a_collector_that_is_called_leaves_no_item_without_a_thread() {
    within(|| {
        let pool = pool(2);
        for round in 0..3000 {
            pool.scope(|s| {
                let (ran, runs) = mpsc::channel();
                let handler = move |n: u64| {
                    ran.send(n).unwrap();
                    Ok::<_, ()>(n)
                };
                let builder = s.fan_out(handler);
                let route = if round % 2 == 0 { Route::Shared } else { Route::RoundRobin };
                let (input, mut output) = builder.route(route).start().unwrap();
                std::thread::scope(|threads| {
                    threads.spawn(|| (0..2).for_each(|n| _ = input.send(n).unwrap()));
                    output.recv().unwrap();
                    // Both are run, although the owner does not look again.
                    runs.recv_timeout(LONG).unwrap();
                    runs.recv_timeout(LONG).expect("the other item is run, too");
                });
            });
        }
    });
}

/// Whoever waits for the end of a service in a scope on a pool without a free worker is not left alone.
#[test]
fn c5_waiting_for_a_service_in_a_scope_while_all_workers_are_stuck() {
    within(|| {
        let (pool, gate) = stuck(1);
        pool.scope(|s| {
            let (input, output) = s.fan_out(|n: u64| Ok::<_, ()>(n)).start().unwrap();
            (0..5).for_each(|n| _ = input.send(n).unwrap());
            drop(input);
            let counts = output.control().wait_timeout(LONG);
            assert!(matches!(counts, Ok(Some(counts)) if counts.finished == 5), "{counts:?}");
        });
        gate.open();
    });
}
