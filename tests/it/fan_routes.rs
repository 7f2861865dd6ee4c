//! Services: which worker gets an item, and which item comes first.

use super::fan::{Gate, HELPS};
use super::within;
use fanpool::{FanOut, Priority, Route};
use std::sync::{Arc, Mutex};

fn ok(n: u64) -> Result<u64, ()> {
    Ok(n)
}

#[test]
fn round_robin_gives_each_worker_the_same_number() {
    within(|| {
        let (input, output) = FanOut::builder(ok).workers(3).route(Route::RoundRobin).start().unwrap();
        let sender = std::thread::spawn(move || (0..3000).for_each(|n| _ = input.send(n).unwrap()));
        let mut shares = [0; 3];
        for outcome in output {
            shares[outcome.worker.unwrap()] += 1;
        }
        assert_eq!(shares, [1000; 3]);
        sender.join().unwrap();
    });
}

#[test]
fn the_least_loaded_worker_gets_the_next_item() {
    within(|| {
        let (input, output) = FanOut::builder(|n: usize| Ok::<_, ()>(n))
            .workers(2)
            .route(Route::LeastLoaded)
            .weigh(|weight: &usize| *weight)
            .ordered()
            .start()
            .unwrap();
        let control = input.control();
        // Paused, so that nothing ends while items are spread.
        control.pause();
        for weight in [10].into_iter().chain([1; 9]) {
            input.send(weight).unwrap();
        }
        // Each counts as `u32::MAX`: it goes where less is, and the small ones to the other side.
        for weight in [usize::MAX, 5, 5, 5] {
            input.send(weight).unwrap();
        }
        control.resume();
        drop(input);
        let workers: Vec<_> = output.map(|outcome| outcome.worker.unwrap()).collect();
        let (heavy, light) = (workers[0], 1 - workers[0]);
        assert_eq!(workers[1..10], [light; 9]);
        assert_eq!(workers[10..], [light, heavy, heavy, heavy]);
    });
}

#[test]
fn the_least_loaded_worker_is_one_that_has_ended_its_items() {
    within(|| {
        let gate = Gate::new();
        let passed = gate.clone();
        let (input, mut output) = FanOut::builder(move |wait: bool| {
            if wait {
                passed.pass();
            }
            Ok::<_, ()>(())
        })
        .workers(2)
        .route(Route::LeastLoaded)
        .start()
        .unwrap();
        input.send(true).unwrap();
        // One at a time: the worker that is stuck weighs 1, the other nothing when the next item comes or just ended.
        let mut others = Vec::new();
        for _ in 0..100 {
            input.send(false).unwrap();
            others.push(output.recv().unwrap().worker.unwrap());
        }
        gate.open();
        drop(input);
        let stuck = output.recv().unwrap().worker.unwrap();
        assert!(others.iter().all(|worker| *worker == 1 - stuck), "{stuck} {others:?}");
    });
}

/// One worker, and a queue that is full before it starts: positions are exact.
#[test]
fn f8_low_priority_is_served_within_sixteen_picks() {
    within(|| {
        for keyed in [false, true] {
            let started = Arc::new(Mutex::new(Vec::new()));
            let log = started.clone();
            let builder = FanOut::builder(move |(class, n): (Priority, usize)| {
                log.lock().unwrap().push((class, n));
                Ok::<_, ()>(())
            })
            .workers(1)
            .window(2000)
            .priority(|item: &(Priority, usize)| item.0);
            let builder = if keyed { builder.key(|item| item.1) } else { builder };
            let (input, output) = builder.start().unwrap();
            input.control().pause();
            let classes = [(Priority::Low, 50), (Priority::Normal, 200), (Priority::High, 800)];
            let mut n = 0;
            for (class, count) in classes {
                for _ in 0..count {
                    input.send((class, n)).unwrap();
                    n += 1;
                }
            }
            input.control().resume();
            drop(input);
            assert_eq!(output.count(), 1050);
            let started = started.lock().unwrap();
            // While all kinds wait: of every sixteen picks one is Low and four are Normal.
            for (at, picks) in started[..800].chunks(16).take(40).enumerate() {
                let count = |class| picks.iter().filter(|pick| pick.0 == class).count();
                assert_eq!((count(Priority::Low), count(Priority::Normal)), (1, 4), "picks {at}: {picks:?}");
            }
            let lows: Vec<_> = (0..started.len()).filter(|at| started[*at].0 == Priority::Low).collect();
            assert!(lows[0] < 16 && lows.windows(2).all(|two| two[1] - two[0] <= 16), "{lows:?}");
            for (class, count) in classes {
                let of: Vec<_> = started.iter().filter(|pick| pick.0 == class).map(|pick| pick.1).collect();
                assert!(of.len() == count && of.is_sorted(), "the order of a priority is kept");
            }
        }
    });
}

#[test]
fn f8_low_priority_moves_under_endless_high_traffic_of_a_service() {
    within(|| {
        for help in HELPS {
            let (input, mut output) = FanOut::builder(|low: bool| Ok::<_, ()>(low))
                .workers(1)
                .window(64)
                .help(help)
                .priority(|low: &bool| if *low { Priority::Low } else { Priority::High })
                .start()
                .unwrap();
            let sender = std::thread::spawn(move || {
                for n in 0.. {
                    if input.send(n == 100).is_err() {
                        break;
                    }
                }
            });
            while !output.recv().unwrap().result.unwrap() {}
            drop(output);
            sender.join().unwrap();
        }
    });
}
