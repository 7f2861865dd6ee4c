//! What is acknowledged, handed back, or neither.

use super::*;
use fanpool::connect::{Polled, Source};
use std::collections::BTreeSet;

#[test]
fn what_is_acknowledged_is_gone_and_what_is_handed_back_comes_again_in_its_place() {
    let (server, _guard) = shared();
    for (queue, quorum) in [("settle-quorum", true), ("settle-classic", false)] {
        server.create(queue, quorum);
        send(server, queue, &numbers(0..4));
        let (mut reader, mut settler) = server.client().source(queue).open(10).unwrap();
        let taken = take(&mut *reader, 4);
        assert_eq!(texts(&taken), ["0", "1", "2", "3"]);
        assert!(taken.iter().all(|delivery| delivery.attempt == 1));
        let at = positions(&taken);
        assert_eq!(settler.ack(&[at[1]]).unwrap(), 1);
        assert_eq!(settler.nack(&[at[2]]).unwrap(), 1);
        let again = take(&mut *reader, 1);
        assert_eq!((texts(&again), again[0].attempt), (vec!["2"], 2));
        // Twice, and of what was handed back.
        assert_eq!(settler.ack(&[at[1], at[2], at[0]]).unwrap(), 1);
        assert_eq!(settler.nack(&[again[0].position]).unwrap(), 1);
        let third = take(&mut *reader, 1);
        assert_eq!(third[0].attempt, if quorum { 3 } else { 2 });
        assert_eq!(settler.ack(&positions(&third)).unwrap(), 1);
        settler.close().unwrap();
        // The channel knows; a queue is a process of its own, which its channel tells.
        until("one is left", || server.counts(queue) == (0, 1));
        reader.close().unwrap();
        until("3 is handed back", || server.counts(queue) == (1, 1));
    }
}

/// Acknowledged in any order, many at once or alone, with some handed back between: the broker knows exactly what was meant.
#[test]
fn the_broker_knows_once_the_settler_is_closed() {
    let (server, _guard) = shared();
    server.create("orders", true);
    send(server, "orders", &numbers(0..1000));
    let (mut reader, mut settler) = server.client().source("orders").open(1000).unwrap();
    let taken = take(&mut *reader, 1000);
    let (mut open, mut chance) = (taken.iter().collect::<Vec<_>>(), 1_u64);
    let mut kept = BTreeSet::new();
    while !open.is_empty() {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let from = (chance >> 33) as usize % open.len();
        let batch: Vec<_> = open.drain(from..open.len().min(from + (chance >> 60) as usize + 1)).collect();
        let at: Vec<_> = batch.iter().map(|delivery| delivery.position).collect();
        match chance >> 20 & 7 {
            // These stay open until the end, so others are acknowledged behind and before them.
            0 => kept.extend(batch.iter().map(|delivery| delivery.message.payload().to_vec())),
            _ => assert_eq!(settler.ack(&at).unwrap(), at.len()),
        }
    }
    assert!(kept.len() > 20 && kept.len() < 500, "{}", kept.len());
    settler.close().unwrap();
    until("what was kept is left", || server.counts("orders") == (0, kept.len() as u64));
    reader.close().unwrap();
    let (mut reader, _settler) = server.client().source("orders").open(1000).unwrap();
    let again = take(&mut *reader, kept.len());
    assert_eq!(again.iter().map(|delivery| delivery.message.payload().to_vec()).collect::<BTreeSet<_>>(), kept);
}

#[test]
fn what_a_source_had_is_delivered_again_when_it_is_dropped() {
    let (server, _guard) = shared();
    server.create("dropped", true);
    send(server, "dropped", &numbers(0..5));
    let broker = server.client();
    let (mut reader, settler) = broker.source("dropped").open(5).unwrap();
    let first = take(&mut *reader, 3);
    drop((reader, settler));
    let (mut reader, mut settler) = broker.source("dropped").open(5).unwrap();
    let mut again = take(&mut *reader, 5);
    again.sort_by_key(|delivery| delivery.message.payload().to_vec());
    assert_eq!(texts(&again), ["0", "1", "2", "3", "4"]);
    assert!(again.iter().all(|delivery| delivery.attempt == 2), "all five were delivered to it");
    // The others are of the first source's session, though their tags are the same.
    assert_eq!(settler.ack(&positions(&first)).unwrap(), 0);
    assert_eq!(settler.nack(&positions(&first)).unwrap(), 0);
    settler.close().unwrap();
    assert_eq!(server.counts("dropped"), (0, 5));
    assert_eq!(settler.ack(&positions(&again)).unwrap(), 5);
    settler.close().unwrap();
    until("none is left", || server.counts("dropped") == (0, 0));
    reader.close().unwrap();
}

#[test]
fn i3_after_its_connection_is_closed_a_source_connects_anew_and_acknowledgements_of_before_are_late() {
    let (server, _guard) = shared();
    server.create("severed", true);
    send(server, "severed", &numbers(0..20));
    let (mut reader, mut settler) = server.client().name("severed").source("severed").open(10).unwrap();
    let first = take(&mut *reader, 4);
    assert_eq!(settler.ack(&[first[0].position]).unwrap(), 1);
    settler.close().unwrap();
    assert_eq!(server.close_connections("severed"), 1);
    let lost = error(&mut *reader);
    assert!(lost.is_transient() && lost.to_string().contains("CONNECTION_FORCED"), "{lost}");
    // They are the broker's again, before the next connection and after.
    assert_eq!(settler.ack(&positions(&first)).unwrap(), 0);
    // Room for ten: what had come with the first connection and was not taken is not delivered twice.
    let again = take(&mut *reader, 10);
    let mut seen: Vec<_> = texts(&again);
    seen.sort_by_key(|text| text.parse::<u32>().unwrap());
    seen.dedup();
    assert_eq!(seen, ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]);
    assert!(again[0].position.session > first[0].position.session);
    assert_eq!(settler.ack(&positions(&first)).unwrap(), 0);
    assert_eq!(settler.ack(&positions(&again)).unwrap(), 10);
    settler.close().unwrap();
    until("nine are left", || server.counts("severed").1 == 9);
    reader.close().unwrap();
}

#[test]
fn acknowledgements_that_may_not_have_arrived_are_reported_once() {
    let (server, _guard) = shared();
    server.create("unsure", true);
    send(server, "unsure", &numbers(0..1));
    let (mut reader, mut settler) = server.client().name("unsure").source("unsure").open(10).unwrap();
    let taken = take(&mut *reader, 1);
    assert_eq!(settler.ack(&positions(&taken)).unwrap(), 1);
    server.close_connections("unsure");
    assert!(error(&mut *reader).is_transient());
    assert!(settler.close().unwrap_err().is_transient());
    settler.close().unwrap();
}

#[test]
fn the_window_bounds_what_is_in_hand_and_room_what_is_taken() {
    let (server, _guard) = shared();
    server.create("window", true);
    send(server, "window", &numbers(0..100));
    let (mut reader, mut settler) = server.client().source("window").open(10).unwrap();
    let first = take(&mut *reader, 1);
    let mut taken = Vec::new();
    until("ten are delivered", || server.counts("window") == (90, 100));
    for (room, all) in [(3, 3), (0, 3), (100, 9)] {
        assert_eq!(reader.poll(room, Duration::ZERO, &mut taken).unwrap(), Polled::More);
        assert_eq!(taken.len(), all);
    }
    reader.poll(100, Duration::from_millis(200), &mut taken).unwrap();
    assert_eq!((taken.len(), server.counts("window")), (9, (90, 100)));
    assert_eq!(settler.ack(&positions(&first)).unwrap(), 1);
    assert_eq!(texts(&take(&mut *reader, 1)), ["10"]);
    until("it is asked again", || reader.lag() == Some(89));
}

#[test]
fn a_reader_that_takes_nothing_stays_connected() {
    let (server, _guard) = shared();
    server.create("paused", true);
    send(server, "paused", &numbers(0..1));
    let (mut reader, _settler) = impatient(server).source("paused").open(10).unwrap();
    let mut taken = Vec::new();
    let begun = Instant::now();
    // Longer than a connection without heartbeats lives.
    while begun.elapsed() < Duration::from_secs(4) {
        reader.poll(0, Duration::from_millis(500), &mut taken).unwrap();
    }
    assert!(taken.is_empty());
    reader.poll(1, Duration::ZERO, &mut taken).unwrap();
    assert_eq!(taken[0].attempt, 1);
}

#[test]
fn fifty_thousand_messages_go_through() {
    const COUNT: usize = 50_000;
    let (server, _guard) = shared();
    server.create("many", false);
    let (mut reader, mut settler) = server.client().source("many").open(1000).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut sink = server.client().sink_to_queue("many");
            numbers(0..COUNT).chunks(1000).for_each(|batch| sink.publish(batch).unwrap());
            sink.close().unwrap();
        });
        let (begun, mut next) = (Instant::now(), 0);
        while next < COUNT {
            let mut taken = Vec::new();
            reader.poll(1000, Duration::from_secs(1), &mut taken).unwrap();
            for delivery in &taken {
                assert_eq!(delivery.message.payload(), next.to_string().as_bytes());
                next += 1;
            }
            assert_eq!(settler.ack(&positions(&taken)).unwrap(), taken.len());
            assert!(begun.elapsed() < LONG, "{next}");
        }
    });
    settler.close().unwrap();
    until("none is left", || server.counts("many") == (0, 0));
    reader.close().unwrap();
}

#[test]
fn threads_end_with_what_they_are_for() {
    let (server, _guard) = alone();
    server.create("threads", true);
    until("those of other tests have ended", || own_threads() == (0, 0));
    let (mut reader, mut settler) = server.client().source("threads").open(1).unwrap();
    let mut sink = server.client().sink_to_queue("threads");
    sink.open().unwrap();
    assert_eq!(own_threads(), (2, 2));
    sink.close().unwrap();
    settler.close().unwrap();
    reader.close().unwrap();
    // Joined, so this is no waiting.
    assert_eq!(threads("fanpool-rabbit"), 0);
    until("the client's have ended", || own_threads() == (0, 0));
    // Closed, a sink connects anew if it is to.
    sink.publish(&numbers(0..1)).unwrap();
    let (reader, settler) = server.client().source("threads").open(1).unwrap();
    assert_eq!(own_threads(), (2, 2));
    drop(reader);
    assert_eq!(threads("fanpool-rabbit"), 2, "the settler has it still");
    drop((settler, sink));
    assert_eq!(threads("fanpool-rabbit"), 0);
    until("the client's have ended", || own_threads() == (0, 0));
    until("the message is the broker's again", || server.counts("threads") == (1, 1));
}
