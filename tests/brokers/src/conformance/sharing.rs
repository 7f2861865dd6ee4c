//! Several sources of one queue, and orders.

use super::support::*;
use crate::Broker;
use fanpool::connect::{Delivery, Message};
use std::collections::HashMap;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

/// Each of the range came, and none twice.
fn each_once<'a>(came: impl IntoIterator<Item = &'a Delivery>, count: usize) {
    let mut numbers: Vec<_> = came.into_iter().map(|delivery| number(&delivery.message)).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..count).collect::<Vec<_>>());
}

/// Of each key the numbers rise.
fn keys_in_order<'a>(came: impl IntoIterator<Item = &'a Delivery>) {
    let mut last: HashMap<Vec<u8>, usize> = HashMap::new();
    for delivery in came {
        let number = number(&delivery.message);
        let earlier = last.insert(delivery.message.key().unwrap().to_vec(), number);
        assert!(earlier.is_none_or(|earlier| earlier < number), "{number} after {earlier:?}");
    }
}

pub fn two_sources_share_messages(broker: &dyn Broker) {
    let queue = queue(broker, "shared");
    let (mut one, mut two) = (Member::join(broker, &queue, 50), Member::join(broker, &queue, 50));
    // Until both take part.
    let mut sent = 0;
    let mut came: [Vec<Delivery>; 2] = Default::default();
    let start = Instant::now();
    while came.iter().any(Vec::is_empty) || came.iter().map(Vec::len).sum::<usize>() < sent {
        assert!(start.elapsed() < PATIENCE, "{} and {} of {sent}", came[0].len(), came[1].len());
        if came.iter().any(Vec::is_empty) {
            send(broker, &queue, sent..sent + 20);
            sent += 20;
        }
        for (member, came) in [&mut one, &mut two].into_iter().zip(&mut came) {
            // What is taken is settled before anything else happens, so that nobody has what another takes over.
            let more = member.poll(10, TURN);
            member.ack(&more);
            came.extend(more);
        }
    }
    one.close();
    let rest = drain(broker, &queue, two);
    if broker.acknowledges_each() {
        assert!(rest.is_empty());
        each_once(came.iter().flatten(), sent);
    } else {
        let mut seen: Vec<_> = came.iter().flatten().map(|delivery| number(&delivery.message)).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, (0..sent).collect::<Vec<_>>());
    }
}

/// A third source comes while two are at work, one closes with messages in hand, one is dropped with some: none is lost.
pub fn i3_sources_come_and_go(broker: &dyn Broker) {
    if !broker.regroups() {
        return;
    }
    let queue = queue(broker, "coming");
    send(broker, &queue, 0..150);
    let (mut one, mut two) = (Member::join(broker, &queue, 20), Member::join(broker, &queue, 20));
    let mut seen = Vec::new();
    let mut settle = |member: &mut Member, came: &[Delivery]| {
        member.ack(came);
        seen.extend(came.iter().map(|delivery| number(&delivery.message)));
    };
    let taken = gather(&mut [&mut one, &mut two], 30);
    settle(&mut one, &taken[0]);
    settle(&mut two, &taken[1]);
    let mut three = Member::join(broker, &queue, 20);
    let taken = gather(&mut [&mut one, &mut two, &mut three], 20);
    settle(&mut two, &taken[1]);
    settle(&mut three, &taken[2]);
    one.close();
    two.poll(20, TURN);
    drop(two);
    let rest = drain(broker, &queue, three);
    seen.extend(rest.iter().map(|delivery| number(&delivery.message)));
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, (0..150).collect::<Vec<_>>());
}

pub fn one_source_keeps_the_order_of_keys(broker: &dyn Broker) {
    let queue = queue(broker, "keys");
    send(broker, &queue, 0..200);
    let came = drain(broker, &queue, Member::join(broker, &queue, 100));
    each_once(&came, 200);
    keys_in_order(&came);
}

pub fn sources_together_keep_the_order_of_keys(broker: &dyn Broker) {
    if !broker.promises().orders_keys {
        return;
    }
    let queue = queue(broker, "keys-shared");
    let (mut one, mut two) = (Member::join(broker, &queue, 10), Member::join(broker, &queue, 10));
    let mut came: Vec<Delivery> = Vec::new();
    let start = Instant::now();
    for sent in (0..200).step_by(20) {
        send(broker, &queue, sent..sent + 20);
        for member in [&mut one, &mut two] {
            let more = member.poll(7, TURN);
            member.ack(&more);
            came.extend(more);
        }
    }
    while broker.unacknowledged(&queue) > 0 {
        assert!(start.elapsed() < PATIENCE);
        for member in [&mut one, &mut two] {
            let more = member.poll(10, TURN);
            member.ack(&more);
            came.extend(more);
        }
    }
    one.close();
    two.close();
    // What comes again, as sources joined, is not a first delivery.
    let mut seen = std::collections::HashSet::new();
    came.retain(|delivery| seen.insert(number(&delivery.message)));
    each_once(&came, 200);
    keys_in_order(&came);
}

/// What was in hand comes again before what was sent after it.
pub fn what_comes_again_keeps_the_order_of_keys(broker: &dyn Broker) {
    if !broker.promises().orders_keys {
        return;
    }
    let queue = queue(broker, "keys-again");
    send(broker, &queue, 0..60);
    let mut member = Member::join(broker, &queue, 30);
    let came = member.take(30);
    keys_in_order(&came);
    member.close();
    let again = drain(broker, &queue, Member::join(broker, &queue, 100));
    each_once(&again, 60);
    keys_in_order(&again);
}

pub fn a_sink_keeps_its_order(broker: &dyn Broker) {
    // Not one queue for both: what was looked at may be given back in another order.
    let (looked_at, taken) = (queue(broker, "order-dumped"), queue(broker, "order-taken"));
    for queue in [&looked_at, &taken] {
        let mut sink = broker.sink(queue);
        sink.open().unwrap();
        for range in [0..1, 1..3, 3..50, 50..99, 99..200] {
            let message = |number: usize| Message::new(number.to_string()).with_key("one");
            sink.publish(&range.map(message).collect::<Vec<_>>()).unwrap();
        }
        sink.close().unwrap();
    }
    let dumped: Vec<_> = broker.dump(&looked_at).iter().map(number).collect();
    assert_eq!(dumped, (0..200).collect::<Vec<_>>());
    let came = drain(broker, &taken, Member::join(broker, &taken, 30));
    let order: Vec<_> = came.iter().map(|delivery| number(&delivery.message)).collect();
    assert_eq!(order, (0..200).collect::<Vec<_>>());
}

pub fn many_sinks_and_sources_at_once(broker: &dyn Broker) {
    let queue = queue(broker, "crowd");
    let came: Mutex<Vec<usize>> = Mutex::default();
    let distinct = || {
        let mut numbers = came.lock().unwrap().clone();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.len()
    };
    thread::scope(|scope| {
        for sink in 0..4 {
            let queue = &queue;
            scope.spawn(move || {
                let own =
                    |number: usize| Message::new((sink + 4 * number).to_string()).with_key(format!("sink-{sink}"));
                let mut to = broker.sink(queue);
                to.open().unwrap();
                (0..250).step_by(50).for_each(|from| {
                    to.publish(&(from..from + 50).map(own).collect::<Vec<_>>()).unwrap();
                });
                to.close().unwrap();
            });
        }
        for _ in 0..3 {
            scope.spawn(|| {
                let mut member = Member::join(broker, &queue, 30);
                let start = Instant::now();
                while distinct() < 1_000 {
                    assert!(start.elapsed() < PATIENCE, "{} of 1000 came", distinct());
                    let more = member.poll(30, TURN);
                    member.ack(&more);
                    came.lock().unwrap().extend(more.iter().map(|delivery| number(&delivery.message)));
                }
                member.close();
            });
        }
    });
    let rest = drain(broker, &queue, Member::join(broker, &queue, 30));
    let twice = came.lock().unwrap().len() + rest.len() - 1_000;
    assert!(twice == 0 || !broker.acknowledges_each(), "{twice} came again");
}
