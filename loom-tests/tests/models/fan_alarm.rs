//! Services whose items are taken for cheap: what is put off, and the alarm that looks after it. A thread of the model rings.

use super::fan::{same, shared_pool, waits_for};
use super::{Flag, model};
use fanpool::model::{believe_cheap, ring, ring_by_hand};
use fanpool::{FanOut, Help, Pool, Route};

fn ring_until_it_rests(pool: &Pool) {
    while ring(pool) {
        loom::thread::yield_now();
    }
}

#[test]
fn what_is_put_off_against_the_alarm_resting() {
    // Nobody receives, so nobody helps, and the items are put off. Either the alarm sees an item before it rests, or the sender finds
    // it at rest and sets it.
    model(2, || {
        let pool = shared_pool(1);
        ring_by_hand(&pool);
        let (input, output) = FanOut::builder(same).pool(pool.clone()).help(Help::Receiver).start().unwrap();
        let control = input.control();
        believe_cheap(&control);
        let rung = pool.clone();
        let ringer = loom::thread::spawn(move || ring_until_it_rests(&rung));
        input.send(0).unwrap();
        input.send(1).unwrap();
        ringer.join().unwrap();
        ring_until_it_rests(&pool);
        drop(input);
        assert_eq!(control.wait().unwrap().finished, 2);
        drop(output);
    });
}

#[test]
fn what_a_thread_is_stuck_with_is_taken_away() {
    // Once the alarm is set a thread takes several items. The first waits for what comes last.
    model(2, || {
        let pool = shared_pool(2);
        ring_by_hand(&pool);
        let (input, output) = FanOut::builder(waits_for(2)).pool(pool.clone()).start().unwrap();
        let control = input.control();
        believe_cheap(&control);
        (0..3).for_each(|n| _ = input.send(n).unwrap());
        drop(input);
        // A thread may set the alarm as the last thing it does.
        while control.counts().finished < 3 {
            ring(&pool);
            loom::thread::yield_now();
        }
        assert_eq!(control.wait().unwrap().finished, 3);
        drop(output);
    });
}

#[test]
fn no_thread_for_the_alarm_found_out_while_items_are_taken() {
    // Between setting the alarm and finding that nobody rings it, the worker may take items 1 and 2. The first waits for the second.
    model(1, || {
        let pool = shared_pool(2);
        let flags = [Flag::new(), Flag::new(), Flag::new()];
        let [begun, go, flag] = flags.clone();
        let work = move |n: u64| {
            match n {
                0 => {
                    begun.set();
                    go.wait();
                }
                1 => flag.wait(),
                _ => flag.set(),
            }
            Ok::<_, ()>(n)
        };
        let (input, output) = FanOut::builder(work).pool(pool.clone()).start().unwrap();
        let control = input.control();
        believe_cheap(&control);
        let other = input.clone();
        let [begun, go, _] = flags;
        input.send(0).unwrap();
        begun.wait();
        let sender = loom::thread::spawn(move || {
            other.send(2).unwrap();
            go.set();
        });
        input.send(1).unwrap();
        drop(input);
        sender.join().unwrap();
        assert_eq!(control.wait().unwrap().finished, 3);
        drop(output);
    });
}

#[test]
fn the_alarm_takes_outcomes_away_while_their_thread_goes_on() {
    // The worker may land the second while the alarm holds the first.
    model(2, || {
        let pool = shared_pool(1);
        ring_by_hand(&pool);
        let builder = FanOut::builder(same).pool(pool.clone()).route(Route::by_key(|_: &u64| 0)).limit(1);
        let (input, output) = builder.help(Help::Receiver).start().unwrap();
        let control = input.control();
        believe_cheap(&control);
        input.send(0).unwrap();
        input.send(1).unwrap();
        drop(input);
        while control.counts().finished < 2 {
            // Only the second look takes something away.
            ring(&pool);
            ring(&pool);
            loom::thread::yield_now();
        }
        assert!(output.map(|outcome| outcome.seq).eq(0..2));
    });
}
