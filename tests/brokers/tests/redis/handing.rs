//! Entries change hands.

use crate::*;
use fanpool::connect::Utf8;

#[test]
fn what_is_handed_back_comes_at_the_next_poll() {
    let server = server_with("q", 10);
    let (mut reader, mut settler) = open(&mut source(&server, "q", PATIENCE));
    let first = take(&mut *reader, 3);
    assert_eq!(settler.nack(&positions(&first[..2])).unwrap(), 2);
    assert_eq!(settler.ack(&positions(&first[..2])).unwrap(), 0, "they are in nobody's hand");
    let again = poll(&mut *reader);
    assert_eq!(payloads(&again), ["0", "1", "3", "4", "5", "6", "7", "8", "9"]);
    let attempts: Vec<_> = again.iter().map(|delivery| delivery.attempt).collect();
    assert_eq!(attempts, [2, 2, 1, 1, 1, 1, 1, 1, 1]);
    assert_eq!(settler.nack(&positions(&again[..1])).unwrap(), 1);
    let again = poll(&mut *reader);
    assert_eq!((again.len(), again[0].attempt), (1, 3));
    assert!(poll(&mut *reader).is_empty());
    assert_eq!(settler.ack(&positions(&again)).unwrap(), 1);
    assert_eq!(server.unacknowledged("q"), 9);
}

#[test]
fn what_is_handed_back_others_take() {
    let server = server_with("q", 5);
    let (mut reader, mut settler) = open(&mut source(&server, "q", PATIENCE));
    let (mut other, mut others) = open(&mut source(&server, "q", PATIENCE));
    let first = take(&mut *reader, 5);
    assert_eq!(settler.nack(&positions(&first)).unwrap(), 5);
    let again = take(&mut *other, 5);
    assert!(again.iter().all(|delivery| delivery.attempt == 2));
    assert!(poll(&mut *reader).is_empty());
    assert_eq!(others.ack(&positions(&again)).unwrap(), 5);
}

#[test]
fn a_wait_ends_soon_after_something_was_handed_back() {
    let server = server_with("q", 1);
    let (mut reader, mut settler) = open(&mut source(&server, "q", PATIENCE));
    let first = take(&mut *reader, 1);
    let waiting = std::thread::spawn(move || {
        let mut taken = Vec::new();
        reader.poll(1, PATIENCE, &mut taken).unwrap();
        taken
    });
    let end = Instant::now() + PATIENCE;
    while !blocked(&server) {
        assert!(Instant::now() < end);
    }
    let time = Instant::now();
    assert_eq!(settler.nack(&positions(&first)).unwrap(), 1);
    let again = waiting.join().unwrap();
    assert_eq!((again.len(), again[0].attempt), (1, 2));
    assert!(time.elapsed() < PATIENCE / 4, "{:?}", time.elapsed());
}

fn blocked(server: &Server) -> bool {
    let Value::BulkString(text) = server.ask(&["INFO", "clients"]) else { panic!() };
    String::from_utf8(text).unwrap().contains("blocked_clients:1")
}

#[test]
fn i2_what_a_lost_source_held_others_take_over() {
    let server = server_with("q", 30);
    let idle = Duration::from_millis(300);
    let (mut reader, mut late) = open(&mut source(&server, "q", idle));
    let first = take(&mut *reader, 20);
    drop(reader);
    let (mut reader, mut settler) = open(&mut source(&server, "q", idle));
    let (mut seen, mut again, end) = (0, Vec::new(), Instant::now() + PATIENCE);
    while again.len() < 20 {
        assert!(Instant::now() < end);
        let mut taken = Vec::new();
        reader.poll(7, SECOND, &mut taken).unwrap();
        assert!(taken.len() <= 7, "there was room for 7, not for {}", taken.len());
        seen += taken.len();
        let (new, old): (Vec<_>, Vec<_>) = taken.into_iter().partition(|delivery| delivery.attempt == 1);
        assert_eq!(settler.ack(&positions(&new)).unwrap(), new.len());
        again.extend(old);
    }
    assert_eq!(seen, 30);
    again.sort_by_key(|delivery| delivery.position);
    assert_eq!(payloads(&again), payloads(&first));
    assert!(again.iter().all(|delivery| delivery.attempt == 2 && delivery.is_redelivered()));
    // I3: late acknowledgements are not counted, and take nothing away.
    assert_eq!(late.ack(&positions(&first[..10])).unwrap(), 0);
    assert_eq!(late.nack(&positions(&first[10..])).unwrap(), 0);
    assert!(poll(&mut *reader).is_empty());
    assert_eq!(settler.ack(&positions(&again)).unwrap(), 20);
    assert_eq!(server.unacknowledged("q"), 0);
}

#[test]
fn a_source_does_not_take_over_what_it_has_in_hand() {
    let server = server_with("q", 3);
    let idle = Duration::from_millis(20);
    let (mut reader, mut settler) = open(&mut source(&server, "q", idle));
    let taken = take(&mut *reader, 3);
    let looked = calls(&server, "xpending");
    let end = Instant::now() + PATIENCE;
    while calls(&server, "xpending") < looked + 5 {
        assert!(Instant::now() < end);
        let mut more = Vec::new();
        reader.poll(10, idle, &mut more).unwrap();
        assert!(more.is_empty(), "{more:?}");
    }
    assert_eq!(settler.nack(&positions(&taken)).unwrap(), 3, "nobody else was there");
    let again = take(&mut *reader, 3);
    assert!(
        again.iter().all(|delivery| delivery.attempt == 2),
        "it was delivered twice, whatever was looked at meanwhile"
    );
}

#[test]
fn i2_a_consumer_of_the_same_name_has_its_own_back_at_once() {
    let server = server_with("q", 2500);
    let mut own = source(&server, "q", PATIENCE).consumer("me");
    let (mut reader, settler) = open(&mut own);
    assert_eq!(take(&mut *reader, 2400).len(), 2400);
    drop((reader, settler));
    let (mut other, _others) = open(&mut source(&server, "q", PATIENCE));
    assert_eq!(poll(&mut *other).len(), 100, "what is left is not idle");
    let (mut reader, mut settler) = open(&mut source(&server, "q", PATIENCE).consumer("me"));
    let again = take(&mut *reader, 2400);
    assert!(again.iter().all(|delivery| delivery.attempt == 2));
    assert_eq!(payloads(&again), (0..2400).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(settler.ack(&positions(&again)).unwrap(), 2400);
    assert!(poll(&mut *reader).is_empty());
    assert_eq!(server.unacknowledged("q"), 100);
}

#[test]
fn closing_hands_back_and_leaves() {
    let server = server_with("q", 4);
    let mut names = Vec::new();
    for attempt in 1..=2 {
        let (mut reader, mut settler) = open(&mut source(&server, "q", PATIENCE));
        names = consumers(&server, "q");
        let taken = take(&mut *reader, 4);
        assert!(taken.iter().all(|delivery| delivery.attempt == attempt));
        settler.close().unwrap();
        reader.close().unwrap();
        // What is pending is not forgotten.
        assert_eq!(consumers(&server, "q"), names);
    }
    assert_eq!(names.len(), 2);
    let (mut reader, mut settler) = open(&mut source(&server, "q", PATIENCE));
    let taken = take(&mut *reader, 4);
    assert_eq!(settler.ack(&positions(&taken)).unwrap(), 4);
    settler.close().unwrap();
    reader.close().unwrap();
    assert_eq!(consumers(&server, "q"), names, "the third has left");
}

#[test]
fn deleted_entries_are_passed_over() {
    let server = server_with("q", 6);
    let idle = Duration::from_millis(50);
    let mut own = source(&server, "q", idle).consumer("me");
    let (mut reader, settler) = open(&mut own);
    let taken = take(&mut *reader, 6);
    let delete = |delivery: &Delivery| {
        let Position { offset, part, .. } = delivery.position;
        server.ask(&["XDEL", "q", &format!("{offset}-{part}")]);
    };
    taken[..2].iter().for_each(delete);
    drop((reader, settler));
    // Its own, and then what another one left.
    let (mut reader, settler) = open(&mut own);
    assert_eq!(payloads(&take(&mut *reader, 4)), ["2", "3", "4", "5"]);
    taken[2..4].iter().for_each(delete);
    drop((reader, settler));
    let (mut reader, mut settler) = open(&mut source(&server, "q", idle));
    let again = take(&mut *reader, 2);
    assert_eq!(payloads(&again), ["4", "5"]);
    assert_eq!(settler.ack(&positions(&again)).unwrap(), 2);
    assert!(poll(&mut *reader).is_empty());
    assert_eq!(server.unacknowledged("q"), 0);
}

#[test]
fn a_paused_source_takes_nothing_and_is_alive() {
    let server = server_with("q", 3);
    let (mut reader, _settler) = open(&mut source(&server, "q", PATIENCE));
    let sent = |server: &Server| calls(server, "ping") + calls(server, "xinfo|groups");
    let (before, mut none) = (sent(&server), Vec::new());
    let time = Instant::now();
    while time.elapsed() < SECOND * 2 + SECOND / 2 {
        reader.poll(0, Duration::from_millis(2), &mut none).unwrap();
    }
    let sent = sent(&server) - before;
    let most = time.elapsed().as_secs() + 1;
    assert!(sent >= 1 && sent <= most, "{sent} in {most} s");
    assert!(none.is_empty());
    assert_eq!(take(&mut *reader, 3).len(), 3);
}

#[test]
fn a_source_that_is_opened_twice_does_not_take_what_it_has_in_the_other_hand() {
    let server = server_with("q", 4);
    let mut twice = source(&server, "q", PATIENCE);
    let (mut reader, mut settler) = open(&mut twice);
    let taken = take(&mut *reader, 3);
    let (mut other, _others) = open(&mut twice);
    assert_eq!(payloads(&poll(&mut *other)), ["3"]);
    let (mut third, _thirds) = open(&mut twice.clone());
    assert!(poll(&mut *third).is_empty());
    assert_eq!(consumers(&server, "q").len(), 3);
    assert_eq!(settler.ack(&positions(&taken)).unwrap(), 3);
}

#[test]
fn i3_an_entry_of_a_stream_that_is_gone_is_told_from_one_of_the_same_id_in_the_next() {
    let server = Server::start();
    let (mut reader, mut settler) = open(&mut source(&server, "q", PATIENCE).create(true));
    server.ask(&["XADD", "q", "1-1", "payload", "old"]);
    server.ask(&["XADD", "q", "1-2", "payload", "old"]);
    let old = take(&mut *reader, 2);
    server.ask(&["DEL", "q"]);
    assert!(poll(&mut *reader).is_empty());
    server.ask(&["XADD", "q", "1-1", "payload", "new"]);
    server.ask(&["XADD", "q", "1-2", "payload", "new"]);
    let new = take(&mut *reader, 1);
    // The second is in another one's hand, under the id that is in hand here of old.
    let (mut other, mut others) = open(&mut source(&server, "q", PATIENCE));
    let theirs = take(&mut *other, 1);
    assert_eq!((settler.ack(&positions(&old)).unwrap(), settler.nack(&positions(&old)).unwrap()), (0, 0));
    assert_eq!(server.unacknowledged("q"), 2);
    assert_eq!((settler.ack(&positions(&new)).unwrap(), others.ack(&positions(&theirs)).unwrap()), (1, 1));
    assert_eq!(server.unacknowledged("q"), 0);
}

#[test]
fn i3_what_a_source_that_is_polled_holds_nobody_takes_over() {
    let server = server_with("q", 5);
    let idle = Duration::from_millis(400);
    let (mut reader, mut settler) = open(&mut source(&server, "q", idle));
    let taken = take(&mut *reader, 5);
    let (mut other, _settler) = open(&mut source(&server, "q", idle));
    let end = Instant::now() + idle * 5;
    while Instant::now() < end {
        let (mut none, mut wait) = (Vec::new(), Duration::from_millis(10));
        // With room and without; one is handed back in the midst, and comes at once.
        reader.poll(usize::from(end - Instant::now() > idle), wait, &mut none).unwrap();
        wait /= 2;
        other.poll(10, wait, &mut none).unwrap();
        assert!(none.is_empty(), "{none:?}");
    }
    assert_eq!(settler.nack(&positions(&taken[..1])).unwrap(), 1);
    let again = take(&mut *reader, 1);
    assert_eq!((payloads(&again), again[0].attempt), (payloads(&taken[..1]), 2), "keeping is no delivery");
    assert_eq!(settler.ack(&positions(&again)).unwrap(), 1);
    // And after it was held up for so long, another has the rest.
    let start = Instant::now();
    assert_eq!(take(&mut *other, 4).len(), 4);
    assert!(start.elapsed() >= idle / 2, "{:?}", start.elapsed());
    let mut none = Vec::new();
    reader.poll(10, Duration::from_millis(10), &mut none).unwrap();
    assert!(none.is_empty(), "{none:?}");
    assert_eq!(settler.ack(&positions(&taken[1..])).unwrap(), 0, "it is late");
}

/// Longer than others wait to take over: each is handled once all the same, and published once.
#[test]
fn i3_consumers_with_slow_handlers_handle_each_once() {
    let server = server_with("q", 60);
    server.create("results");
    let start = || {
        let slow = |text: String| {
            // The work.
            std::thread::sleep(Duration::from_millis(50));
            Ok::<_, String>(text)
        };
        fanpool::FanOut::builder(slow)
            .workers(1)
            .window(30)
            .consume(source(&server, "q", Duration::from_millis(600)), Utf8)
            .publish(server.sink("results"), Utf8)
            .dead_letter(server.sink("letters"))
            .start()
            .unwrap()
    };
    let consumers = [start(), start()];
    let end = Instant::now() + PATIENCE;
    while server.unacknowledged("q") > 0 {
        assert!(Instant::now() < end);
        std::thread::sleep(Duration::from_millis(20));
    }
    let counts = consumers.map(|consumer| consumer.shutdown(PATIENCE).counts);
    assert_eq!(counts.iter().map(|counts| counts.redelivered + counts.late).sum::<u64>(), 0, "{counts:?}");
    assert_eq!(server.dump("results").len(), 60);
}

/// What another has by now is not taken back, though its first owner still has it in hand and thinks that it is young.
#[test]
fn i3_keeping_takes_nothing_from_others() {
    let server = server_with("q", 4);
    let idle = Duration::from_millis(800);
    let (mut reader, mut settler) = open(&mut source(&server, "q", idle));
    let taken = take(&mut *reader, 4);
    // Another gets two of them, as after an acknowledgement or a hand-back of which the answer was lost.
    let at: Vec<_> =
        taken[..2].iter().map(|delivery| format!("{}-{}", delivery.position.offset, delivery.position.part)).collect();
    let owner = |id: &str| -> String {
        let rows = server.ask(&["XPENDING", "q", GROUP, id, id, "1"]);
        let Value::Array(rows) = rows else { panic!("{rows:?}") };
        let Some(Value::Array(row)) = rows.first() else { panic!("{rows:?}") };
        redis::from_redis_value_ref(&row[1]).unwrap()
    };
    for id in &at {
        server.ask(&["XCLAIM", "q", GROUP, "other", "0", id]);
    }
    let end = Instant::now() + idle * 2;
    while Instant::now() < end {
        let mut none = Vec::new();
        reader.poll(0, Duration::from_millis(20), &mut none).unwrap();
        at.iter().for_each(|id| assert_eq!(owner(id), "other"));
    }
    assert_eq!(settler.ack(&positions(&taken)).unwrap(), 2, "those of the other are late");
    assert_eq!(server.unacknowledged("q"), 2);
}
