//! Consumers: how they end, and that what they leave comes again.

use super::consumers::*;
use super::support::*;
use crate::Broker;
use fanpool::FanOut;
use fanpool::connect::{Consumer, Utf8};
use std::thread;
use std::time::Duration;

/// A consumer with two workers, whose handlers wait at the gate.
fn gated(broker: &dyn Broker, queues: &Queues, window: usize, calls: &Calls, gate: &Gate) -> Consumer {
    let (calls, gate) = (calls.clone(), gate.clone());
    let handler = move |text: String| {
        calls.of(text.parse().map_err(|_| "no number")?);
        gate.pass();
        Ok::<_, &str>(text)
    };
    FanOut::builder(handler)
        .workers(2)
        .window(window)
        .consume(broker.source(&queues.from), Utf8)
        .publish(broker.sink(&queues.results), Utf8)
        .dead_letter(broker.sink(&queues.letters))
        .start()
        .unwrap()
}

/// A consumer after the one that ended handles the rest; results of both are all, and none is there twice.
fn the_rest_is_handled(broker: &dyn Broker, queues: &Queues, count: usize) {
    let gate = Gate::default();
    gate.open();
    let heir = gated(broker, queues, 100, &Calls::default(), &gate);
    all_acknowledged(broker, &queues.from);
    let counts = end(heir);
    assert_eq!(counts.late, 0);
    let mut results = dumped(broker, &queues.results);
    if !broker.acknowledges_each() {
        results.dedup();
    }
    assert_eq!(results, (0..count).collect::<Vec<_>>());
    assert!(broker.dump(&queues.letters).is_empty());
}

pub fn shutdown_finishes_what_is_in_hand(broker: &dyn Broker) {
    let queues = Queues::new(broker, "finishes");
    send(broker, &queues.from, 0..60);
    let (calls, gate) = (Calls::default(), Gate::default());
    let consumer = gated(broker, &queues, 20, &calls, &gate);
    let opener = gate.opener();
    eventually("the window is full", || consumer.counts().in_hand == 20);
    gate.until_waiting(2);
    consumer.close();
    drop(opener);
    let counts = end(consumer);
    assert_eq!((counts.delivered, counts.acknowledged, counts.handed_back), (20, 20, 0));
    assert_eq!(calls.sum(), 20);
    the_rest_is_handled(broker, &queues, 60);
}

pub fn shutdown_hands_back_what_was_not_started(broker: &dyn Broker) {
    let queues = Queues::new(broker, "hands-back");
    send(broker, &queues.from, 0..60);
    let (calls, gate) = (Calls::default(), Gate::default());
    let consumer = gated(broker, &queues, 20, &calls, &gate);
    let opener = gate.opener();
    eventually("the window is full", || consumer.counts().in_hand == 20);
    gate.until_waiting(2);
    let control = consumer.control();
    let receipt = thread::scope(|scope| {
        let ends = scope.spawn(|| consumer.shutdown(Duration::ZERO));
        // The two that run are waited for; when the others were given up they may end.
        eventually("what was not started is given up", || control.depth() == 0);
        drop(opener);
        ends.join().unwrap()
    });
    assert!(receipt.error.is_none(), "{receipt}");
    let counts = receipt.counts;
    assert_eq!((counts.delivered, counts.acknowledged, counts.in_hand), (20, 2, 0), "{receipt}");
    // Some may not have been told, since the time was over; they come again as well.
    assert_eq!(counts.handed_back + counts.unsettled, 18, "{receipt}");
    assert_eq!(calls.sum(), 2);
    the_rest_is_handled(broker, &queues, 60);
}

pub fn a_dropped_consumer_hands_back_what_was_not_started(broker: &dyn Broker) {
    let queues = Queues::new(broker, "dropped");
    send(broker, &queues.from, 0..60);
    let (calls, gate) = (Calls::default(), Gate::default());
    let consumer = gated(broker, &queues, 20, &calls, &gate);
    let opener = gate.opener();
    eventually("the window is full", || consumer.counts().in_hand == 20);
    gate.until_waiting(2);
    let control = consumer.control();
    thread::scope(|scope| {
        let dropped = scope.spawn(|| drop(consumer));
        eventually("what was not started is given up", || control.depth() == 0);
        drop(opener);
        dropped.join().unwrap();
    });
    assert_eq!(calls.sum(), 2);
    assert_eq!(dumped(broker, &queues.results).len(), 2);
    the_rest_is_handled(broker, &queues, 60);
}

pub fn a_consumer_that_is_closed_ends(broker: &dyn Broker) {
    let queues = Queues::new(broker, "closed");
    let (calls, gate) = (Calls::default(), Gate::default());
    gate.open();
    let consumer = gated(broker, &queues, 20, &calls, &gate);
    send(broker, &queues.from, 0..40);
    until_acknowledged(&consumer, 5);
    consumer.close();
    consumer.close();
    let receipt = consumer.join();
    assert!(receipt.error.is_none(), "{receipt}");
    let counts = receipt.counts;
    assert_eq!((counts.acknowledged, counts.in_hand), (counts.delivered, 0), "{receipt}");
    the_rest_is_handled(broker, &queues, 40);
}

pub fn a_service_that_is_stopped_ends_its_consumer(broker: &dyn Broker) {
    let queues = Queues::new(broker, "stopped");
    send(broker, &queues.from, 0..60);
    let (calls, gate) = (Calls::default(), Gate::default());
    let consumer = gated(broker, &queues, 20, &calls, &gate);
    let opener = gate.opener();
    eventually("the window is full", || consumer.counts().in_hand == 20);
    gate.until_waiting(2);
    consumer.control().stop();
    drop(opener);
    let receipt = consumer.join();
    assert!(receipt.error.is_none(), "{receipt}");
    let counts = receipt.counts;
    assert_eq!(counts.acknowledged + counts.handed_back, counts.delivered, "{receipt}");
    assert!(counts.handed_back >= 16, "{receipt}");
    the_rest_is_handled(broker, &queues, 60);
}

/// The source is kept alive meanwhile, for longer than it takes to be taken for dead.
pub fn a_paused_consumer_goes_on(broker: &dyn Broker) {
    let queues = Queues::new(broker, "paused");
    let (calls, gate) = (Calls::default(), Gate::default());
    gate.open();
    let consumer = gated(broker, &queues, 10, &calls, &gate);
    consumer.control().pause();
    send(broker, &queues.from, 0..40);
    eventually("the window is full", || consumer.counts().in_hand == 10);
    thread::sleep(broker.promises().takeover.min(PATIENCE / 6));
    consumer.control().resume();
    all_acknowledged(broker, &queues.from);
    end(consumer);
    assert_eq!(calls.numbers(), (0..40).collect::<Vec<_>>());
}
