//! Services whose items are taken for cheap: what is put off, and the alarm that looks after it. A thread of the model rings.

use super::fan::{same, shared_pool, waits_for};
use super::model;
use fanpool::model::{believe_cheap, ring, ring_by_hand};
use fanpool::{FanOut, Help, Pool};

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
        (0..3).for_each(|n| drop(input.send(n).unwrap()));
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
