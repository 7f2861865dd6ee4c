//! Services: credits, places, the collector, strands, and the ends.

use super::{Flag, Shared, model, pool};
use fanpool::{FanOut, Help, Pool, Route, SendReason, TaskError};
use loom::alloc::Track;
use std::sync::Arc;
use std::time::Duration;

pub fn shared_pool(workers: usize) -> Arc<Pool> {
    Arc::new(pool(workers))
}

pub fn same(n: u64) -> Result<u64, ()> {
    Ok(n)
}

/// A handler in which item 0 waits for item `other`.
pub fn waits_for(other: u64) -> impl Fn(u64) -> Result<(), ()> + Send + Sync {
    let flag = Flag::new();
    move |n| {
        if n == 0 {
            flag.wait();
        } else if n == other {
            flag.set();
        }
        Ok(())
    }
}

#[test]
fn two_producers_against_the_last_credit() {
    // One place: of two producers one must wait until the outcome of the other was taken.
    model(2, || {
        let (input, mut output) = FanOut::builder(same).pool(shared_pool(1)).window(1).start().unwrap();
        let other = input.clone();
        let producers = [
            loom::thread::spawn(move || _ = input.send(1).unwrap()),
            loom::thread::spawn(move || _ = other.send(2).unwrap()),
        ];
        assert_eq!(output.by_ref().map(|outcome| outcome.result.unwrap()).sum::<u64>(), 3);
        producers.into_iter().for_each(|producer| producer.join().unwrap());
    });
}

#[test]
fn a_waiting_sender_against_a_receive() {
    model(2, || {
        let (input, mut output) = FanOut::builder(same).pool(shared_pool(1)).window(1).start().unwrap();
        let producer = loom::thread::spawn(move || {
            for n in 0..2 {
                input.send(n).unwrap();
            }
        });
        assert_eq!(output.recv().unwrap().seq, 0);
        assert_eq!(output.recv().unwrap().seq, 1);
        assert!(output.recv().is_err());
        producer.join().unwrap();
    });
}

#[test]
fn a_consumer_dropped_against_a_worker_and_a_sender() {
    model(3, || {
        let value = Shared::new();
        let pool = shared_pool(1);
        let (input, output) = FanOut::builder(|value: Track<Arc<Shared>>| Ok::<_, ()>(value))
            .pool(pool.clone())
            .window(1)
            .start()
            .unwrap();
        let item = value.clone();
        let producer = loom::thread::spawn(move || {
            let _ = input.send(Track::new(item.clone()));
            if let Err(refused) = input.send(Track::new(item)) {
                assert_eq!(refused.reason(), SendReason::Cancelled);
            }
        });
        drop(output);
        producer.join().unwrap();
        drop(pool);
        // Every item was dropped, by whoever had it.
        assert_eq!(Arc::strong_count(&value), 1);
    });
}

#[test]
fn stop_against_pause_and_a_worker() {
    model(2, || {
        let (input, output) = FanOut::builder(same).pool(shared_pool(1)).window(2).ordered().start().unwrap();
        let (one, two) = (input.control(), input.control());
        input.send(0).unwrap();
        input.send(1).unwrap();
        let stopper = loom::thread::spawn(move || one.stop());
        two.pause();
        stopper.join().unwrap();
        let mut seen = 0;
        for outcome in output {
            assert_eq!(outcome.seq, seen);
            assert!(matches!(outcome.result, Ok(_) | Err(TaskError::Cancelled)));
            seen += 1;
        }
        assert_eq!(seen, 2);
        let counts = two.counts();
        assert_eq!(counts.accepted, counts.finished + counts.cancelled);
    });
}

#[test]
fn resume_against_a_worker_that_leaves_for_the_pause() {
    model(3, || {
        let (input, mut output) = FanOut::builder(same).pool(shared_pool(1)).start().unwrap();
        let control = input.control();
        input.send(0).unwrap();
        control.pause();
        control.resume();
        assert_eq!(output.recv().unwrap().seq, 0);
    });
}

#[test]
fn a_parked_sender_is_called_when_a_pause_ends() {
    // The only worker sends and parks at the full window; the item before it can be started by nobody else.
    model(2, || {
        let pool = shared_pool(1);
        let (input, output) = FanOut::builder(same).pool(pool.clone()).window(1).start().unwrap();
        let control = input.control();
        control.pause();
        let collector = loom::thread::spawn(move || output.count());
        pool.spawn(move || (0..2).for_each(|n| _ = input.send(n).unwrap())).unwrap();
        control.resume();
        assert_eq!(collector.join().unwrap(), 2);
    });
}

#[test]
fn the_owner_of_a_scope_waits_for_the_last_item() {
    // The owner runs items while it waits, and parks while the worker runs the last.
    model(3, || {
        let pool = pool(1);
        pool.scope(|s| {
            let (input, output) = s.fan_out(same).start().unwrap();
            input.send(1).unwrap();
            let control = input.control();
            drop(input);
            assert_eq!(control.wait().unwrap().finished, 1);
            drop(output);
        });
    });
}

#[test]
fn the_owner_of_a_scope_waits_for_what_the_worker_runs() {
    // One of the two has item 0 and waits for the other to run item 1; either may end last.
    model(2, || {
        let pool = pool(1);
        pool.scope(|s| {
            let (input, output) = s.fan_out(waits_for(1)).limit(2).start().unwrap();
            input.send(0).unwrap();
            input.send(1).unwrap();
            let control = input.control();
            drop(input);
            assert_eq!(control.wait().unwrap().finished, 2);
            drop(output);
        });
    });
}

#[test]
fn wait_against_the_last_input_dropped() {
    model(3, || {
        let (input, output) = FanOut::builder(same).pool(shared_pool(1)).start().unwrap();
        let control = input.control();
        let waiter = loom::thread::spawn(move || control.wait().unwrap().accepted);
        drop(input);
        assert_eq!(waiter.join().unwrap(), 0);
        drop(output);
    });
}

#[test]
fn a_strand_handed_over_against_a_push() {
    // Both items are of one key, so they touch the value one after the other, whichever threads run them.
    model(2, || {
        let value = Shared::new();
        let inner = value.clone();
        let (input, output) = FanOut::builder(move |n: usize| {
            assert_eq!(inner.get(), n);
            inner.add();
            Ok::<_, ()>(())
        })
        .pool(shared_pool(2))
        .key(|_: &usize| 7)
        .start()
        .unwrap();
        input.send(0).unwrap();
        input.send(1).unwrap();
        drop(input);
        assert_eq!(output.partition().0.len(), 2);
        assert_eq!(value.get(), 2);
    });
}

#[test]
fn a_key_that_hangs_holds_up_no_other() {
    model(2, || {
        let (input, output) = FanOut::builder(waits_for(1)).pool(shared_pool(2)).key(|n: &u64| *n).start().unwrap();
        input.send(0).unwrap();
        input.send(1).unwrap();
        drop(input);
        assert_eq!(output.partition().0.len(), 2);
    });
}

#[test]
fn drain_against_send() {
    model(3, || {
        let (input, output) = FanOut::builder(same).pool(shared_pool(1)).start().unwrap();
        let control = input.control();
        let producer = loom::thread::spawn(move || input.send(5).is_ok());
        control.drain();
        let outcomes = output.count();
        let accepted = producer.join().unwrap();
        assert_eq!(outcomes, usize::from(accepted));
        assert_eq!(control.wait().unwrap().finished, u64::from(accepted));
    });
}

#[test]
fn the_last_input_dropped_against_a_parked_collector() {
    model(3, || {
        let (input, mut output) = FanOut::builder(same).pool(shared_pool(1)).start().unwrap();
        let producer = loom::thread::spawn(move || drop(input));
        assert!(output.recv().is_err());
        producer.join().unwrap();
    });
}

#[test]
fn the_order_of_items_that_panic() {
    model(2, || {
        let work = |n: u64| if n == 0 { std::panic::resume_unwind(Box::new(n)) } else { Ok::<_, ()>(Track::new(n)) };
        let (input, output) = FanOut::builder(work).pool(shared_pool(2)).ordered().start().unwrap();
        input.send(0).unwrap();
        input.send(1).unwrap();
        drop(input);
        let kinds: Vec<_> = output.map(|outcome| (outcome.seq, outcome.result.is_ok())).collect();
        assert_eq!(kinds, [(0, false), (1, true)]);
    });
}

#[test]
fn a_collector_that_helps_against_a_push() {
    // The only worker collects, so it must run the item itself, whenever that comes.
    model(3, || {
        let pool = shared_pool(1);
        let (input, mut output) = FanOut::builder(same).pool(pool.clone()).start().unwrap();
        let received = pool.submit(move || output.recv().unwrap().result.unwrap());
        input.send(3).unwrap();
        assert_eq!(received.join().unwrap(), 3);
    });
}

#[test]
fn a_collector_that_leaves_against_the_ring_for_it() {
    // The only worker waits for an outcome, as one who would run an item, and then no longer does: if it was rung for, it must
    // pass that on.
    model(3, || {
        let pool = shared_pool(1);
        let (input, mut output) = FanOut::builder(same).pool(pool.clone()).start().unwrap();
        let received = pool.submit(move || {
            let early = output.recv_timeout(Duration::from_secs(1)).is_ok();
            (early, output)
        });
        input.send(3).unwrap();
        drop(input);
        let (early, output) = received.join().unwrap();
        assert_eq!(output.count(), usize::from(!early));
    });
}

#[test]
fn a_collector_rung_for_before_it_parks_that_finds_something_else() {
    // The only worker says that it is idle, is rung for because of lane 1, sees that there is something to run, and runs what is in
    // lane 0, for which there is a job. It leaves with that outcome, so it must pass on that there is lane 1.
    model(2, || {
        let pool = shared_pool(1);
        let (input, mut output) =
            FanOut::builder(same).pool(pool.clone()).route(Route::RoundRobin).limit(2).start().unwrap();
        let received = pool.submit(move || {
            output.recv().unwrap();
            output
        });
        (0..2).for_each(|n| assert!(input.send(n).is_ok()));
        drop(input);
        assert_eq!(received.join().unwrap().count(), 1);
    });
}

#[test]
fn a_sender_that_helps_where_nobody_else_can() {
    model(2, || {
        let pool = shared_pool(1);
        let (input, output) = FanOut::builder(same).pool(pool.clone()).window(1).start().unwrap();
        let collector = loom::thread::spawn(move || output.count());
        pool.spawn(move || (0..2).for_each(|n| _ = input.send(n).unwrap())).unwrap();
        assert_eq!(collector.join().unwrap(), 2);
    });
}

#[test]
fn two_workers_are_summoned_for_two_items() {
    model(2, || {
        let (input, output) = FanOut::builder(waits_for(1)).pool(shared_pool(2)).start().unwrap();
        input.send(0).unwrap();
        input.send(1).unwrap();
        drop(input);
        assert_eq!(output.count(), 2);
    });
}

#[test]
fn push_against_a_thread_that_leaves_the_only_place() {
    // With one place a push summons nobody while it is taken: whoever has it must look again, or summon the next.
    model(2, || {
        let (input, output) = FanOut::builder(same).pool(shared_pool(1)).limit(1).start().unwrap();
        (0..3).for_each(|n| _ = input.send(n).unwrap());
        drop(input);
        assert_eq!(output.count(), 3);
    });
}

#[test]
fn wait_against_the_last_item() {
    model(3, || {
        let value = Shared::new();
        let inner = value.clone();
        let work = move |()| {
            inner.add();
            Ok::<_, ()>(())
        };
        let (input, output) = FanOut::builder(work).pool(shared_pool(1)).start().unwrap();
        input.send(()).unwrap();
        let control = input.control();
        drop(input);
        assert_eq!(control.wait().unwrap().finished, 1);
        assert_eq!(value.get(), 1);
        drop(output);
    });
}

#[test]
fn helping_both_ends_with_a_window_of_one() {
    model(2, || {
        let (input, mut output) =
            FanOut::builder(same).pool(shared_pool(1)).window(1).help(Help::Both).start().unwrap();
        let producer = loom::thread::spawn(move || (0..2).for_each(|n| _ = input.send(n).unwrap()));
        assert_eq!(output.by_ref().count(), 2);
        producer.join().unwrap();
    });
}

#[test]
fn a_smaller_limit_against_threads_that_stay() {
    // Two threads have places when the limit is lowered. What is sent afterwards is run by one at a time, whichever they are: loom fails the
    // model if two touch the value at once.
    model(1, || {
        let (value, go) = (Shared::new(), Flag::new());
        let begun = [Flag::new(), Flag::new()];
        let (touched, gate, begins) = (value.clone(), go.clone(), begun.clone());
        let work = move |n: u64| {
            match begins.get(n as usize) {
                Some(flag) => {
                    flag.set();
                    gate.wait();
                }
                None => touched.add(),
            }
            Ok::<_, ()>(n)
        };
        let (input, output) = FanOut::builder(work).pool(shared_pool(2)).limit(2).start().unwrap();
        (0..2).for_each(|n| _ = input.send(n).unwrap());
        begun.iter().for_each(Flag::wait);
        input.control().resize(1).unwrap();
        (2..4).for_each(|n| _ = input.send(n).unwrap());
        go.set();
        drop(input);
        assert_eq!(output.count(), 4);
        assert_eq!(value.get(), 2);
    });
}
