//! Consumers while the broker goes and comes back.

use super::consumers::*;
use super::support::*;
use crate::Broker;
use fanpool::connect::{ConnectError, Consumer, ConsumerBuilder, Utf8};
use fanpool::{FanOut, Reason, Status};
use std::thread;
use std::time::{Duration, Instant};

macro_rules! builder {
    ($broker:expr, $queues:expr, $handler:expr) => {
        FanOut::builder($handler)
            .workers(2)
            .window(30)
            .consume($broker.source(&$queues.from), Utf8)
            .publish($broker.sink(&$queues.results), Utf8)
            .dead_letter($broker.sink(&$queues.letters))
            .reconnect(FIRST, LONGEST)
    };
}

fn echo(text: String) -> Result<String, String> {
    Ok(text)
}

/// All numbers are among the results; those that came again may be there twice.
fn all_results(broker: &dyn Broker, queues: &Queues, count: usize) {
    let mut results = dumped(broker, &queues.results);
    results.dedup();
    assert_eq!(results, (0..count).collect::<Vec<_>>());
    assert!(broker.dump(&queues.letters).is_empty());
}

/// A broker that has just come back may count nothing yet; so it is the results that tell.
fn until_results(broker: &dyn Broker, queues: &Queues, count: usize) {
    eventually("all results are there", || {
        let mut results = dumped(broker, &queues.results);
        results.dedup();
        results.len() == count
    });
    all_acknowledged(broker, &queues.from);
}

fn lost(consumer: &Consumer) -> bool {
    let lost = |reason: &Reason| matches!(reason, Reason::BrokerLost { .. });
    consumer.health().reasons().iter().any(lost)
}

pub fn i1_a_broker_that_is_away_at_the_start_is_an_error(broker: &dyn Broker) {
    let queues = Queues::new(broker, "away");
    let Some(_stopped) = Stopped::now(broker) else { return };
    let start = Instant::now();
    let error = builder!(broker, queues, echo).start().unwrap_err();
    assert!(matches!(&error, ConnectError::Lost { engine, .. } if *engine == broker.engine()), "{error:?}");
    assert!(start.elapsed() < PATIENCE / 2, "{:?}", start.elapsed());
}

pub fn i1_a_consumer_may_wait_for_its_broker(broker: &dyn Broker) {
    let queues = Queues::new(broker, "waits");
    send(broker, &queues.from, 0..10);
    let Some(stopped) = Stopped::now(broker) else { return };
    let consumer = thread::scope(|scope| {
        let starts = scope.spawn(|| builder!(broker, queues, echo).wait_for_broker().start().unwrap());
        // It has tried, whenever that is; what it must not do is return.
        thread::sleep(LONGEST * 2);
        assert!(!starts.is_finished());
        drop(stopped);
        starts.join().unwrap()
    });
    until_acknowledged(&consumer, 10);
    end(consumer);
    all_results(broker, &queues, 10);
}

pub fn i1_a_consumer_goes_on_after_the_broker_was_away(broker: &dyn Broker) {
    let queues = Queues::new(broker, "goes-on");
    send(broker, &queues.from, 0..300);
    let gate = Gate::default();
    let passes = gate.clone();
    let consumer = builder!(broker, queues, move |text: String| {
        passes.pass();
        Ok::<_, String>(text)
    })
    .start()
    .unwrap();
    let opener = gate.opener();
    gate.permit(100);
    until_acknowledged(&consumer, 80);
    let Some(stopped) = Stopped::now(broker) else { return };
    gate.permit(10);
    eventually("it is noticed", || lost(&consumer));
    drop(stopped);
    drop(opener);
    until_results(broker, &queues, 300);
    eventually("all is well", || consumer.health().status() == Status::Healthy);
    assert!(consumer.counts().reconnects >= 1);
    let counts = end(consumer);
    assert_eq!((counts.dead_lettered, broker.unacknowledged(&queues.from)), (0, 0), "{counts:?}");
    all_results(broker, &queues, 300);
}

pub fn i1_what_is_in_hand_is_handled_while_the_broker_is_away(broker: &dyn Broker) {
    let queues = Queues::new(broker, "in-hand");
    send(broker, &queues.from, 0..30);
    let (calls, gate) = (Calls::default(), Gate::default());
    let (count, passes) = (calls.clone(), gate.clone());
    let consumer = builder!(broker, queues, move |text: String| {
        passes.pass();
        count.of(text.parse().map_err(|_| "no number")?);
        Ok::<_, &str>(text)
    })
    .start()
    .unwrap();
    let opener = gate.opener();
    eventually("all are in hand", || consumer.counts().in_hand == 30);
    let Some(stopped) = Stopped::now(broker) else { return };
    drop(opener);
    eventually("all are handled", || calls.numbers().len() == 30);
    assert!(consumer.counts().in_hand <= 30);
    assert!(consumer.counts().published == 0, "published to a broker that is away");
    drop(stopped);
    until_results(broker, &queues, 30);
    end(consumer);
    all_results(broker, &queues, 30);
}

pub fn i1_a_lost_broker_is_seen_in_health(broker: &dyn Broker) {
    let queues = Queues::new(broker, "health");
    let start = |limit| builder!(broker, queues, echo).unhealthy_after(limit).start().unwrap();
    let (patient, strict) = (start(PATIENCE * 10), start(Duration::ZERO));
    send(broker, &queues.from, 0..1);
    all_acknowledged(broker, &queues.from);
    assert_eq!((patient.health().status(), strict.health().status()), (Status::Healthy, Status::Healthy));
    let Some(stopped) = Stopped::now(broker) else { return };
    eventually("it is noticed", || lost(&patient) && lost(&strict));
    assert_eq!((patient.health().status(), strict.health().status()), (Status::Degraded, Status::Unhealthy));
    // Tried again at intervals: not in a loop, and not given up.
    drop(stopped);
    for consumer in [patient, strict] {
        eventually("all is well", || consumer.health().status() == Status::Healthy);
        assert!(consumer.counts().reconnects >= 1);
        end(consumer);
    }
}

pub fn i1_a_consumer_ends_while_the_broker_is_away(broker: &dyn Broker) {
    let queues = Queues::new(broker, "ends-away");
    send(broker, &queues.from, 0..60);
    let gate = Gate::default();
    let passes = gate.clone();
    let consumer = builder!(broker, queues, move |text: String| {
        passes.pass();
        Ok::<_, String>(text)
    })
    .start()
    .unwrap();
    let opener = gate.opener();
    eventually("the window is full", || consumer.counts().in_hand == 30);
    let Some(stopped) = Stopped::now(broker) else { return };
    drop(opener);
    let start = Instant::now();
    let receipt = consumer.shutdown(Duration::from_millis(200));
    assert!(start.elapsed() < PATIENCE / 2, "{:?}", start.elapsed());
    let counts = receipt.counts;
    // Nothing was published, so nothing was acknowledged.
    assert_eq!((counts.in_hand, counts.published, counts.acknowledged), (0, 0, 0), "{receipt}");
    assert_eq!(counts.delivered, counts.handed_back + counts.late + counts.unsettled, "{receipt}");
    drop(stopped);
    let heir = ConsumerBuilder::wait_for_broker(builder!(broker, queues, echo)).start().unwrap();
    until_results(broker, &queues, 60);
    end(heir);
    all_results(broker, &queues, 60);
}
