//! What comes, how much of it, and when.

use super::support::*;
use crate::Broker;
use fanpool::connect::{Delivery, Message, Position};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

pub fn engines_say_their_name(broker: &dyn Broker) {
    let queue = queue(broker, "name");
    assert_eq!(broker.source(&queue).engine(), broker.engine());
    assert_eq!(broker.sink(&queue).engine(), broker.engine());
}

pub fn every_message_arrives_once(broker: &dyn Broker) {
    let queue = queue(broker, "once");
    let mut member = Member::join(broker, &queue, 64);
    let mut sink = broker.sink(&queue);
    sink.open().unwrap();
    let mut sent = 0;
    for size in [1, 2, 30, 1, 100, 166, 200] {
        sink.publish(&(sent..sent + size).map(numbered).collect::<Vec<_>>()).unwrap();
        sent += size;
    }
    let (mut came, start) = (Vec::new(), Instant::now());
    while came.len() < sent {
        assert!(start.elapsed() < PATIENCE, "{} of {sent} came", came.len());
        let more = member.poll(64, TURN);
        assert_eq!(member.ack(&more), more.len());
        came.extend(more);
    }
    sink.close().unwrap();
    all_acknowledged(broker, &queue);
    came.extend(member.poll(64, TURN));
    member.close();
    assert_eq!(numbers(&came), (0..sent).collect::<Vec<_>>());
    assert!(came.iter().all(|delivery| !delivery.is_redelivered() && delivery.attempt == 1));
}

pub fn many_messages_may_be_sent_in_one_call(broker: &dyn Broker) {
    let queue = queue(broker, "many");
    send(broker, &queue, 0..5_000);
    let came = drain(broker, &queue, Member::join(broker, &queue, 100));
    assert_eq!(numbers(&came), (0..5_000).collect::<Vec<_>>());
}

pub fn a_sink_that_is_given_nothing_sends_nothing(broker: &dyn Broker) {
    let queue = queue(broker, "nothing");
    let mut sink = broker.sink(&queue);
    sink.open().unwrap();
    sink.publish(&[]).unwrap();
    sink.publish(&[numbered(7)]).unwrap();
    sink.publish(&[]).unwrap();
    sink.close().unwrap();
    assert_eq!(broker.dump(&queue).len(), 1);
}

pub fn messages_sent_before_a_source_opens_come(broker: &dyn Broker) {
    let queue = queue(broker, "before");
    send(broker, &queue, 0..10);
    let mut member = Member::join(broker, &queue, 10);
    let came = member.take(10);
    assert_eq!(numbers(&came), (0..10).collect::<Vec<_>>());
    assert_eq!(member.ack(&came), 10);
    member.close();
}

pub fn what_was_in_the_vector_stays(broker: &dyn Broker) {
    let queue = queue(broker, "appended");
    send(broker, &queue, 0..3);
    let mut member = Member::join(broker, &queue, 10);
    let position = Position { partition: 9, offset: 9, part: 9, session: 9 };
    let earlier = Delivery { message: Message::new("earlier"), position, attempt: 1 };
    let mut into = vec![earlier.clone()];
    let start = Instant::now();
    while into.len() < 4 {
        assert!(start.elapsed() < PATIENCE);
        member.reader.poll(4 - into.len(), TURN, &mut into).unwrap();
        assert_eq!(into[0], earlier);
    }
    assert_eq!(numbers(&into[1..]), [0, 1, 2]);
    assert_eq!(member.ack(&into[1..]), 3);
    member.close();
}

pub fn room_is_never_exceeded(broker: &dyn Broker) {
    let queue = queue(broker, "room");
    send(broker, &queue, 0..120);
    let mut member = Member::join(broker, &queue, 40);
    let (mut came, start) = (Vec::new(), Instant::now());
    for room in [1, 2, 7, 40, 3].into_iter().cycle() {
        if came.len() == 120 {
            break;
        }
        assert!(start.elapsed() < PATIENCE);
        let more = member.poll(room, TURN);
        assert_eq!(member.ack(&more), more.len());
        came.extend(more);
    }
    member.close();
    assert_eq!(numbers(&came), (0..120).collect::<Vec<_>>());
}

pub fn no_room_takes_nothing_and_loses_nothing(broker: &dyn Broker) {
    let queue = queue(broker, "paused");
    let mut member = Member::join(broker, &queue, 10);
    send(broker, &queue, 0..1);
    let first = member.take(1);
    send(broker, &queue, 1..10);
    for _ in 0..20 {
        assert!(member.poll(0, Duration::ZERO).is_empty());
        assert!(member.poll(0, Duration::from_millis(5)).is_empty());
    }
    let rest = member.take(9);
    assert_eq!(numbers(&rest), (1..10).collect::<Vec<_>>());
    assert_eq!(member.ack(&first) + member.ack(&rest), 10);
    all_acknowledged(broker, &queue);
    member.close();
}

pub fn a_source_that_waits_is_woken(broker: &dyn Broker) {
    let queue = queue(broker, "woken");
    let mut member = Member::join(broker, &queue, 10);
    // Afterwards it is connected, and has what it reads from.
    send(broker, &queue, 0..1);
    let first = member.take(1);
    assert_eq!(member.ack(&first), 1);
    let (waits, waiting) = mpsc::channel();
    thread::scope(|scope| {
        let member = &mut member;
        let reader = scope.spawn(move || {
            waits.send(()).unwrap();
            let start = Instant::now();
            while start.elapsed() < PATIENCE {
                let came = member.poll(10, PATIENCE);
                if !came.is_empty() {
                    return (came, start.elapsed());
                }
            }
            panic!("it did not come");
        });
        waiting.recv().unwrap();
        let_it_wait();
        send(broker, &queue, 1..2);
        let (came, after) = reader.join().unwrap();
        assert_eq!(numbers(&came), [1]);
        assert!(after < PATIENCE / 2, "it waited for {after:?}");
    });
}

pub fn an_idle_source_waits_and_returns_by_its_deadline(broker: &dyn Broker) {
    let queue = queue(broker, "idle");
    let mut member = Member::join(broker, &queue, 10);
    send(broker, &queue, 0..1);
    let first = member.take(1);
    assert_eq!(member.ack(&first), 1);
    let start = Instant::now();
    (0..10).for_each(|_| assert!(member.poll(10, Duration::ZERO).is_empty()));
    assert!(start.elapsed() < PATIENCE / 2);
    let start = Instant::now();
    (0..5).for_each(|_| assert!(member.poll(10, Duration::from_millis(200)).is_empty()));
    // One poll or another may have had something else to do; a source that does not wait at all makes its caller spin.
    assert!(start.elapsed() >= Duration::from_millis(500), "{:?}", start.elapsed());
    assert!(start.elapsed() < PATIENCE / 2);
    member.close();
}

pub fn halves_work_on_two_threads(broker: &dyn Broker) {
    let queue = queue(broker, "halves");
    let Member { mut reader, mut settler } = Member::join(broker, &queue, 50);
    let (taken, to_settle) = mpsc::sync_channel::<Delivery>(20);
    let came = thread::scope(|scope| {
        scope.spawn(|| {
            // Of one sink: to open one for each ten takes as long as all else may.
            let mut sink = broker.sink(&queue);
            sink.open().unwrap();
            for from in (0..1_000).step_by(10) {
                sink.publish(&(from..from + 10).map(numbered).collect::<Vec<_>>()).unwrap();
            }
            sink.close().unwrap();
        });
        let settler = scope.spawn(move || {
            let mut came = Vec::new();
            for delivery in to_settle {
                assert_eq!(settler.ack(&[delivery.position]).unwrap(), 1);
                came.push(delivery);
            }
            settler.close().unwrap();
            came
        });
        let (mut sum, start) = (0, Instant::now());
        while sum < 1_000 {
            assert!(start.elapsed() < PATIENCE, "{sum} of 1000 came");
            let mut into = Vec::new();
            reader.poll(20, TURN, &mut into).unwrap();
            sum += into.len();
            into.into_iter().for_each(|delivery| taken.send(delivery).unwrap());
        }
        drop(taken);
        let came = settler.join().unwrap();
        reader.close().unwrap();
        came
    });
    assert_eq!(numbers(&came), (0..1_000).collect::<Vec<_>>());
    all_acknowledged(broker, &queue);
}

pub fn lag_is_what_waits(broker: &dyn Broker) {
    let queue = queue(broker, "lag");
    send(broker, &queue, 0..10);
    let mut member = Member::join(broker, &queue, 20);
    let first = member.take(1);
    // What a source has fetched, and its reader has not handed out, may count as delivered.
    let known = |member: &mut Member, lags: std::ops::RangeInclusive<u64>| {
        let start = Instant::now();
        loop {
            assert!(member.poll(0, Duration::from_millis(1)).is_empty());
            match member.reader.lag() {
                Some(lag) if !lags.contains(&lag) => assert!(start.elapsed() < PATIENCE, "{lag}, not in {lags:?}"),
                _ => break,
            }
        }
    };
    known(&mut member, 0..=9);
    let rest = member.take(9);
    known(&mut member, 0..=0);
    assert_eq!(member.ack(&first) + member.ack(&rest), 10);
    known(&mut member, 0..=0);
    member.close();
}
