//! Services: what hostile reviewers found.

use super::fan::{Gate, LONG};
use super::fan_scope::stuck;
use super::{quiet_panic, within};
use fanpool::{Collector, FanOut, TaskError, fan_in};
use std::sync::{Arc, Mutex, mpsc};

/// A panic of the conversion fails the item, and those after it come.
#[test]
fn a_conversion_of_an_error_that_panics() {
    #[derive(Debug)]
    struct Picky(u64);
    impl From<u64> for Picky {
        fn from(n: u64) -> Picky {
            if n == 1 { quiet_panic("not this one") } else { Picky(n) }
        }
    }
    within(|| {
        let (input, output) = FanOut::builder(|n: u64| Err::<(), u64>(n)).ordered().start().unwrap();
        let output = output.then(|()| Ok::<(), Picky>(())).ordered().start().unwrap();
        (0..3).for_each(|n| assert!(input.send(n).is_ok()));
        drop(input);
        let (_, failed) = output.partition();
        assert!(
            matches!(
                failed[..],
                [(0, TaskError::Failed(Picky(0))), (1, TaskError::Panicked(_)), (2, TaskError::Failed(Picky(2)))]
            ),
            "{failed:?}"
        );
    });
}

/// It waits for room, which nobody will make.
#[test]
fn a_feeder_dropped_while_the_window_is_full() {
    within(|| {
        let (sender, receiver) = crossbeam_channel::unbounded();
        (0..9).for_each(|n: u64| sender.send(n).unwrap());
        let (feeder, output) = FanOut::builder(Ok::<_, ()>).window(1).start_from(receiver).unwrap();
        // One was accepted, and one is in its hands.
        while sender.len() > 7 {
            std::thread::yield_now();
        }
        drop(feeder);
        assert_eq!(output.count(), 1);
    });
}

/// Who merges outputs in a scope runs the items like one who receives from one of them.
#[test]
fn the_owner_of_a_scope_runs_what_it_merges() {
    within(|| {
        let (pool, gate) = stuck(2);
        pool.scope(|s| {
            let outputs: Vec<_> = (0..2)
                .map(|_| {
                    let (input, output) = s.fan_out(|n: u64| Ok::<_, ()>(n)).start().unwrap();
                    (0..3).for_each(|n| assert!(input.send(n).is_ok()));
                    output
                })
                .collect();
            let merged: Vec<_> = fan_in(outputs).collect();
            assert_eq!(merged.len(), 6);
            assert!(merged.iter().all(|outcome| outcome.worker.is_none()), "a worker became free");
        });
        gate.open();
    });
}

/// The collector's thread ends with the first stage's workers, of which one drops it.
#[test]
fn a_collector_dropped_by_a_handler_of_an_earlier_stage() {
    let (gate, kept) = (Gate::new(), Arc::new(Mutex::new(None::<Collector>)));
    let (done, dropped) = mpsc::channel();
    let (opened, theirs) = (gate.clone(), kept.clone());
    let work = move |n: u64| {
        opened.pass();
        let collector = theirs.lock().unwrap().take();
        drop(collector);
        let _ = done.send(());
        Ok::<_, ()>(n)
    };
    let (input, output) = FanOut::builder(work).workers(1).start().unwrap();
    let second = output.then(Ok::<_, ()>).workers(1).start().unwrap();
    let third = second.then(Ok::<_, ()>).workers(1).start().unwrap();
    *kept.lock().unwrap() = Some(third.for_each(drop).unwrap());
    input.send(1).unwrap();
    gate.open();
    assert!(dropped.recv_timeout(LONG).is_ok(), "waits for itself");
}
