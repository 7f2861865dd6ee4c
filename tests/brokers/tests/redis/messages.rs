//! What goes in comes out.

use crate::*;
use fanpool::connect::Sink;
use std::collections::HashSet;
use std::process::Command;

#[test]
fn messages_go_round() {
    let server = Server::start();
    server.create("q");
    let bytes: Vec<u8> = (0..=255).collect();
    let sent = [
        Message::new("plain"),
        Message::new(""),
        Message::new(&bytes)
            .with_key(&bytes)
            .with_header("kind", &bytes)
            .with_header("payload", "a")
            .with_header("key", "b"),
        Message::new("").with_key("").with_header("header:x", "").with_header("", "c"),
    ];
    let mut sink = server.redis().sink("q");
    sink.open().unwrap();
    sink.publish(&sent).unwrap();
    sink.publish(&[]).unwrap();
    assert_eq!(server.dump("q").len(), sent.len());
    let (mut reader, mut settler) = open(&mut source(&server, "q", PATIENCE));
    let taken = take(&mut *reader, sent.len());
    for (delivery, sent) in taken.iter().zip(&sent) {
        assert_eq!(delivery.message, *sent);
        assert_eq!(delivery.attempt, 1);
    }
    assert!(taken.windows(2).all(|pair| pair[0].position < pair[1].position));
    // Twice in one call is once.
    let twice = [positions(&taken), positions(&taken)].concat();
    assert_eq!(settler.ack(&twice).unwrap(), sent.len());
    assert_eq!(settler.ack(&positions(&taken)).unwrap(), 0);
    assert_eq!(settler.nack(&positions(&taken)).unwrap(), 0);
    assert_eq!(server.unacknowledged("q"), 0);
    settler.close().unwrap();
    reader.close().unwrap();
    sink.close().unwrap();
}

#[test]
fn i7_entries_of_other_clients_are_messages() {
    let server = server_with("q", 0);
    let port = server.address().split_once(':').unwrap().1.to_owned();
    for fields in [&["payload", "17"][..], &["kind", "order", "key", "ann", "payload", "a b"], &["temperature", "21"]] {
        let add = Command::new("redis-cli").args(["-p", &port, "XADD", "q", "*"]).args(fields).output().unwrap();
        assert!(add.status.success() && !add.stdout.starts_with(b"ERR"), "{add:?}");
    }
    redis::cmd("XADD").arg(&["q", "*"]).arg(b"\xff").arg(b"\xfe").exec(&mut server.client()).unwrap();
    let (mut reader, mut settler) = open(&mut source(&server, "q", PATIENCE));
    let taken = take(&mut *reader, 4);
    assert_eq!(taken[0].message, Message::new("17"));
    assert_eq!(taken[1].message, Message::new("a b").with_key("ann").with_header("kind", "order"));
    assert_eq!(taken[2].message, Message::new("").with_header("temperature", "21"));
    assert_eq!(taken[3].message, Message::new("").with_header("\u{fffd}", b"\xfe"));
    assert_eq!(settler.ack(&positions(&taken)).unwrap(), 4);
}

#[test]
fn i4_huge_headers_go_round() {
    let server = server_with("q", 0);
    let many = (0..5000).fold(Message::new("many"), |message, n| message.with_header(format!("h{n}"), n.to_string()));
    let long = Message::new("long").with_header("n".repeat(100_000), vec![7; 3_000_000]);
    server.redis().sink("q").publish(&[many.clone(), long.clone(), Message::new("after")]).unwrap();
    let (mut reader, _settler) = open(&mut source(&server, "q", PATIENCE));
    let taken = take(&mut *reader, 3);
    assert!(taken[0].message == many && taken[1].message == long);
    assert_eq!(taken[2].message.payload(), b"after");
}

#[test]
fn i4_a_message_too_large_is_named() {
    let server = Server::with(&["--proto-max-bulk-len", "1mb"]);
    let mut sink = server.redis().sink("q");
    sink.open().unwrap();
    let large = vec![0; (1 << 20) + 1];
    for message in [Message::new(&large), Message::new("").with_key(&large), Message::new("").with_header("a", &large)]
    {
        let before = server.dump("q").len();
        match sink.publish(&[Message::new("a"), Message::new("b"), message, Message::new("c")]) {
            Err(ConnectError::Message { index: 2, what, .. }) => assert!(what.contains("1048576"), "{what}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(server.dump("q").len(), before + 2);
    }
    sink.publish(&[Message::new(&large[1..])]).unwrap();
    assert_eq!(server.dump("q").last().unwrap().payload().len(), 1 << 20);
}

#[test]
fn a_hundred_thousand_messages_come_once_each() {
    const COUNT: usize = 100_000;
    let server = server_with("q", 0);
    let mut sink = server.redis().sink("q");
    let sending = std::thread::spawn(move || numbered(COUNT).chunks(2500).try_for_each(|some| sink.publish(some)));
    let mut sources: Vec<_> = (0..2).map(|_| open(&mut source(&server, "q", PATIENCE))).collect();
    let (mut seen, end) = (HashSet::new(), Instant::now() + PATIENCE * 3);
    let mut last = [None; 2];
    while seen.len() < COUNT {
        assert!(Instant::now() < end, "{} came", seen.len());
        for (last, (reader, settler)) in last.iter_mut().zip(&mut sources) {
            let mut taken = Vec::new();
            reader.poll(700, Duration::from_millis(10), &mut taken).unwrap();
            assert!(taken.len() <= 700);
            for delivery in &taken {
                let number: usize = std::str::from_utf8(delivery.message.payload()).unwrap().parse().unwrap();
                assert!(seen.insert(number) && *last < Some(number), "{number} after {last:?}");
                *last = Some(number);
            }
            assert_eq!(settler.ack(&positions(&taken)).unwrap(), taken.len());
        }
    }
    sending.join().unwrap().unwrap();
    assert_eq!(server.unacknowledged("q"), 0);
}

#[test]
fn acknowledged_entries_are_deleted_if_told_so() {
    let server = server_with("q", 10);
    let mut own = source(&server, "q", PATIENCE).delete_acknowledged(true);
    let (mut reader, mut settler) = open(&mut own);
    let taken = take(&mut *reader, 6);
    assert_eq!(settler.ack(&positions(&taken[..5])).unwrap(), 5);
    assert_eq!(settler.nack(&positions(&taken[5..])).unwrap(), 1);
    assert_eq!(payloads_of(&server), ["5", "6", "7", "8", "9"]);
    // Others had it acknowledged before: then it is not this one's to delete.
    let taken = take(&mut *reader, 1);
    let Position { offset, part, .. } = taken[0].position;
    assert_eq!(int(&server.ask(&["XACK", "q", GROUP, &format!("{offset}-{part}")])), 1);
    assert_eq!(settler.ack(&positions(&taken)).unwrap(), 0);
    assert_eq!(server.dump("q").len(), 5);
}

fn payloads_of(server: &Server) -> Vec<String> {
    server.dump("q").iter().map(|message| String::from_utf8(message.payload().to_vec()).unwrap()).collect()
}

#[test]
fn a_sink_trims_if_told_so() {
    let server = Server::with(&["--stream-node-max-entries", "10"]);
    server.redis().sink("q").max_len(100).publish(&numbered(1000)).unwrap();
    let left = server.dump("q");
    assert!((100..=110).contains(&left.len()), "{}", left.len());
    assert_eq!(left.last().unwrap().payload(), b"999");
    server.redis().sink("all").publish(&numbered(1000)).unwrap();
    assert_eq!(server.dump("all").len(), 1000);
}

#[test]
fn the_lag_is_known() {
    let server = server_with("q", 10);
    let (mut reader, _settler) = open(&mut source(&server, "q", PATIENCE));
    assert_eq!(reader.lag(), Some(10));
    take(&mut *reader, 4);
    // Also one that is paused gets to know.
    let end = Instant::now() + PATIENCE;
    while reader.lag() != Some(6) {
        assert!(Instant::now() < end, "{:?}", reader.lag());
        reader.poll(0, Duration::from_millis(50), &mut Vec::new()).unwrap();
    }
    // Before it is known again.
    assert!(server.redis().source("q", GROUP).open(1).unwrap().0.lag() == Some(6));
}

#[test]
fn there_may_be_room_for_any_number() {
    let server = server_with("q", 1500);
    let (mut reader, mut settler) = open(&mut source(&server, "q", PATIENCE));
    let (mut taken, end) = (Vec::new(), Instant::now() + PATIENCE);
    while taken.len() < 1500 {
        assert!(Instant::now() < end);
        reader.poll(usize::MAX, SECOND, &mut taken).unwrap();
    }
    assert_eq!(payloads(&taken), (0..1500).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(settler.nack(&positions(&taken)).unwrap(), 1500);
    let mut again = Vec::new();
    while again.len() < 1500 {
        assert!(Instant::now() < end);
        reader.poll(usize::MAX, SECOND, &mut again).unwrap();
    }
    assert_eq!(settler.ack(&positions(&again)).unwrap(), 1500);
}
