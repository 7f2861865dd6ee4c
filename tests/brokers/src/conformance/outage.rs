//! The broker goes and comes back.

use super::support::*;
use crate::Broker;
use fanpool::connect::ConnectError;
use std::collections::BTreeSet;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

/// Fails unless it is lost, and says so soon.
fn lost<T>(broker: &dyn Broker, what: &str, call: impl FnOnce() -> Result<T, ConnectError>) {
    let start = Instant::now();
    match call() {
        Err(ConnectError::Lost { engine, .. }) => assert_eq!(engine, broker.engine()),
        Err(error) => panic!("{what}: {error:?}"),
        Ok(_) => panic!("{what} while the broker was away"),
    }
    assert!(start.elapsed() < PATIENCE / 2, "{what} took {:?}", start.elapsed());
}

/// Polls until the reader has noticed; before, it may have had some still.
fn notices(member: &mut Member) {
    let start = Instant::now();
    loop {
        match member.reader.poll(100, TURN, &mut Vec::new()) {
            Err(error) if error.is_transient() => return,
            Err(error) => panic!("{error}"),
            Ok(_) => assert!(start.elapsed() < PATIENCE, "it did not notice that the broker was away"),
        }
    }
}

/// Polls and acknowledges through errors until nothing is left; returns the numbers that came.
fn drain_anyhow(broker: &dyn Broker, queue: &str, member: &mut Member) -> Vec<usize> {
    let mut came = Vec::new();
    eventually("the rest is taken", || {
        let mut into = Vec::new();
        match member.reader.poll(100, TURN, &mut into) {
            Ok(_) => {}
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
        let idle = into.is_empty();
        insist("acknowledging", || member.settler.ack(&positions(&into)));
        came.extend(into.iter().map(|delivery| number(&delivery.message)));
        idle && broker.unacknowledged(queue) == 0
    });
    came
}

pub fn i1_a_sink_is_lost_and_comes_back(broker: &dyn Broker) {
    let queue = queue(broker, "sink");
    let mut early = broker.sink(&queue);
    early.open().unwrap();
    early.publish(&[numbered(0)]).unwrap();
    let Some(stopped) = Stopped::now(broker) else { return };
    let mut late = broker.sink(&queue);
    lost(broker, "publishing", || early.publish(&[numbered(1)]));
    lost(broker, "publishing again", || early.publish(&[numbered(1)]));
    lost(broker, "opening", || late.open());
    lost(broker, "opening again", || late.open());
    drop(stopped);
    insist("publishing", || early.publish(&[numbered(1)]));
    insist("opening", || late.open());
    insist("publishing", || late.publish(&[numbered(2)]));
    early.close().unwrap();
    late.close().unwrap();
    let came: BTreeSet<_> = broker.dump(&queue).iter().map(number).collect();
    assert_eq!(came, BTreeSet::from([0, 1, 2]));
}

pub fn i1_a_source_cannot_be_opened_until_the_broker_is_back(broker: &dyn Broker) {
    let queue = queue(broker, "opening");
    send(broker, &queue, 0..5);
    let Some(stopped) = Stopped::now(broker) else { return };
    let mut source = broker.source(&queue);
    lost(broker, "opening", || source.open(10));
    lost(broker, "opening again", || source.open(10));
    drop(stopped);
    let (reader, settler) = insist("opening", || source.open(10));
    let mut member = Member { reader, settler };
    let came: BTreeSet<_> = drain_anyhow(broker, &queue, &mut member).into_iter().collect();
    assert_eq!(came, (0..5).collect());
    member.close();
}

pub fn i1_a_source_goes_on_after_the_broker_was_away(broker: &dyn Broker) {
    let queue = queue(broker, "goes-on");
    send(broker, &queue, 0..60);
    let mut member = Member::join(broker, &queue, 100);
    let came = member.take(20);
    assert_eq!(member.ack(&came), 20);
    let acknowledged = numbers(&came);
    eventually("the broker knows", || broker.unacknowledged(&queue) == 40);
    for round in 1..=2 {
        let Some(stopped) = Stopped::now(broker) else { return };
        notices(&mut member);
        notices(&mut member);
        drop(stopped);
        let mut sink = broker.sink(&queue);
        insist("publishing", || sink.publish(&[numbered(59 + round)]));
    }
    let came = drain_anyhow(broker, &queue, &mut member);
    member.close();
    let again: Vec<_> = came.iter().filter(|number| acknowledged.contains(number)).collect();
    assert!(again.is_empty(), "acknowledged, and came again: {again:?}");
    let expected: BTreeSet<_> = (0..62).filter(|number| !acknowledged.contains(number)).collect();
    assert_eq!(came.into_iter().collect::<BTreeSet<_>>(), expected);
}

pub fn i1_a_source_that_waits_learns_that_the_broker_is_gone(broker: &dyn Broker) {
    let queue = queue(broker, "waits");
    let mut member = Member::join(broker, &queue, 10);
    send(broker, &queue, 0..1);
    let came = member.take(1);
    member.ack(&came);
    let (waits, waiting) = mpsc::channel();
    thread::scope(|scope| {
        let reader = &mut member.reader;
        let polls = scope.spawn(move || {
            waits.send(()).unwrap();
            let start = Instant::now();
            // It may return without anything before.
            while start.elapsed() < PATIENCE {
                let mut into = Vec::new();
                if let Err(error) = reader.poll(10, PATIENCE, &mut into) {
                    return Some((error, start.elapsed()));
                }
                if !into.is_empty() {
                    return None;
                }
            }
            None
        });
        waiting.recv().unwrap();
        let_it_wait();
        let stopped = Stopped::now(broker);
        if stopped.is_none() {
            // So that it need not wait to its end.
            return send(broker, &queue, 1..2);
        }
        let (error, after) = polls.join().unwrap().expect("it did not notice");
        assert!(error.is_transient(), "{error}");
        assert!(after < PATIENCE / 2, "it noticed after {after:?}");
    });
}

pub fn i1_a_settler_may_be_closed_again_after_the_broker_was_away(broker: &dyn Broker) {
    let queue = queue(broker, "settler");
    send(broker, &queue, 0..10);
    let mut member = Member::join(broker, &queue, 10);
    let came = member.take(10);
    let Some(stopped) = Stopped::now(broker) else { return };
    // Either it says that it is lost, or it holds them until it is not.
    if let Err(error) = member.settler.ack(&positions(&came)) {
        assert!(error.is_transient(), "{error}");
    }
    if let Err(error) = member.settler.close() {
        assert!(error.is_transient(), "{error}");
    }
    drop(stopped);
    insist("acknowledging", || member.settler.ack(&positions(&came)));
    insist("closing", || member.settler.close());
    let _ = member.reader.close();
    drop(member);
    // All were acknowledged, or those that were not come again; one more, since a broker that has just come back may count nothing yet.
    send(broker, &queue, 10..11);
    let mut heir = Member::join(broker, &queue, 100);
    let mut again = BTreeSet::new();
    eventually("the last one comes", || {
        again.extend(drain_anyhow(broker, &queue, &mut heir));
        again.contains(&10)
    });
    heir.close();
    assert!(again.iter().all(|number| *number <= 10), "{again:?}");
    all_acknowledged(broker, &queue);
}

pub fn i1_in_hand_during_an_outage_nothing_is_lost(broker: &dyn Broker) {
    let queue = queue(broker, "in-hand");
    send(broker, &queue, 0..30);
    let mut member = Member::join(broker, &queue, 100);
    let held = member.take(10);
    let Some(stopped) = Stopped::now(broker) else { return };
    notices(&mut member);
    drop(stopped);
    // They are acknowledged, or it is too late for that and they come again: all of them, either way.
    let on_time = insist("acknowledging", || member.settler.ack(&positions(&held)));
    let came = drain_anyhow(broker, &queue, &mut member);
    member.close();
    assert!(on_time <= 10);
    let mut all: BTreeSet<_> = came.iter().copied().collect();
    if on_time == 10 {
        assert!(numbers(&held).iter().all(|number| !all.contains(number)));
        all.extend(numbers(&held));
    }
    if on_time == 0 || on_time == 10 {
        assert_eq!(all, (0..30).collect());
    }
}

pub fn messages_outlive_the_broker(broker: &dyn Broker) {
    let queue = queue(broker, "outlive");
    send(broker, &queue, 0..100);
    let Some(stopped) = Stopped::now(broker) else { return };
    drop(stopped);
    let mut source = broker.source(&queue);
    let (reader, settler) = insist("opening", || source.open(100));
    let mut member = Member { reader, settler };
    let came: BTreeSet<_> = drain_anyhow(broker, &queue, &mut member).into_iter().collect();
    member.close();
    assert_eq!(came, (0..100).collect());
}
