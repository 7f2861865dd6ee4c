//! Messages arrive as they were sent.

use super::support::*;
use crate::Broker;
use fanpool::connect::{ConnectError, Message};
use std::collections::BTreeSet;

/// Headers have no order.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Content {
    payload: Vec<u8>,
    key: Option<Vec<u8>>,
    headers: Vec<(String, Vec<u8>)>,
}

fn content(message: &Message) -> Content {
    let mut headers: Vec<_> = message.headers().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
    headers.sort_unstable();
    Content { payload: message.payload().to_vec(), key: message.key().map(<[u8]>::to_vec), headers }
}

/// Fails with what is not large in both.
fn assert_same<'a>(came: impl IntoIterator<Item = &'a Message>, sent: &[Message]) {
    let sorted = |mut contents: Vec<Content>| {
        contents.sort_unstable();
        contents
    };
    let came = sorted(came.into_iter().map(content).collect());
    let sent = sorted(sent.iter().map(content).collect());
    assert_eq!(came.len(), sent.len(), "how many came");
    for (came, sent) in came.iter().zip(&sent) {
        let same = came == sent;
        assert!(same, "{}\ninstead of\n{}", shown(came), shown(sent));
    }
}

fn shown(content: &Content) -> String {
    format!("{content:?}").chars().take(400).collect()
}

/// What a sink sends comes from a source, and can be read by others; what others put comes from a source.
fn every_way(broker: &dyn Broker, case: &str, messages: &[Message]) {
    let own = queue(broker, &format!("{case}-own"));
    publish(broker, &own, messages);
    assert_same(&broker.dump(&own), messages);
    let came = drain(broker, &own, Member::join(broker, &own, 100));
    assert_same(came.iter().map(|delivery| &delivery.message), messages);
    let others = queue(broker, &format!("{case}-put"));
    broker.put(&others, messages);
    let came = drain(broker, &others, Member::join(broker, &others, 100));
    assert_same(came.iter().map(|delivery| &delivery.message), messages);
}

pub fn payloads_are_kept(broker: &dyn Broker) {
    let every: Vec<u8> = (0..=255).collect();
    let large = vec![b'x'; broker.promises().largest.unwrap_or(usize::MAX).min(1 << 20)];
    let payloads: [&[u8]; 8] = [b"1", b"\0", b"\xff", b"\r\n", &every, "gr\u{fc}\u{df}e".as_bytes(), b" ", &large];
    every_way(broker, "payloads", &payloads.map(Message::new));
}

pub fn i4_an_empty_message_is_one(broker: &dyn Broker) {
    every_way(broker, "empty", &[Message::new(""), Message::new("").with_key("").with_header("empty", "")]);
}

pub fn keys_are_kept(broker: &dyn Broker) {
    let mut keys: Vec<Option<Vec<u8>>> = ["", "a", "key", "payload", "gr\u{fc}n", " ", "a:b/c{d}", &"long".repeat(60)]
        .into_iter()
        .map(|key| Some(key.into()))
        .chain([None])
        .collect();
    if broker.promises().any_bytes {
        keys.extend([Some((0..=255).collect()), Some(vec![0]), Some(vec![0xff, 0xfe])]);
    }
    let keyed = |key: &Option<Vec<u8>>| match key {
        Some(key) => Message::new("1").with_key(key),
        None => Message::new("1"),
    };
    every_way(broker, "key", &keys.iter().map(keyed).collect::<Vec<_>>());
}

pub fn headers_are_kept(broker: &dyn Broker) {
    let names = ["a", "payload", "key", "headers", "k", "h:a", "x-death", "attempts", "gr\u{fc}n", "a b", "\u{4e2d}"];
    let mut messages: Vec<_> = names.iter().map(|name| Message::new(*name).with_header(name, "value")).collect();
    messages.push((0..100).fold(Message::new("100"), |message, n| message.with_header(format!("h{n}"), n.to_string())));
    messages
        .push(names.iter().fold(Message::new("all").with_key("k"), |message, name| message.with_header(name, *name)));
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    messages.push(Message::new("traced").with_header("traceparent", parent));
    messages.push(Message::new("none").with_header("empty", ""));
    if broker.promises().any_bytes {
        messages
            .push(Message::new("bytes").with_header("all", (0..=255).collect::<Vec<u8>>()).with_header("one", [0xff]));
    }
    every_way(broker, "headers", &messages);
}

pub fn i4_large_headers_are_kept(broker: &dyn Broker) {
    let large = Message::new("1").with_header("large", "x".repeat(10 << 10));
    let many = (0..100).fold(Message::new(""), |message, n| message.with_header(format!("h{n}"), "y".repeat(100)));
    every_way(broker, "large", &[large, many]);
}

pub fn i7_messages_of_other_clients_come(broker: &dyn Broker) {
    let queue = queue(broker, "others");
    let mut member = Member::join(broker, &queue, 10);
    let messages: Vec<_> = (0..10).map(numbered).collect();
    broker.put(&queue, &messages[..4]);
    let mut came = member.take(4);
    broker.put(&queue, &messages[4..]);
    came.extend(member.take(6));
    assert_same(came.iter().map(|delivery| &delivery.message), &messages);
    assert_eq!(member.ack(&came), 10);
    all_acknowledged(broker, &queue);
    member.close();
}

pub fn others_can_read_what_a_sink_sent(broker: &dyn Broker) {
    let queue = queue(broker, "dumped");
    let messages: Vec<_> = (0..50).map(|n| numbered(n).with_header("number", n.to_string())).collect();
    publish(broker, &queue, &messages);
    assert_same(&broker.dump(&queue), &messages);
}

pub fn i4_a_message_that_is_too_large_is_named(broker: &dyn Broker) {
    let Some(largest) = broker.promises().largest else { return };
    let queue = queue(broker, "too-large");
    let mut sink = broker.sink(&queue);
    sink.open().unwrap();
    // Sizes count with what goes around the payload; so the limit is passed by far.
    let messages = [numbered(0), numbered(1), Message::new(vec![b'x'; largest * 2 + 1]), numbered(3)];
    for _ in 0..2 {
        match sink.publish(&messages) {
            Err(ConnectError::Message { index, engine, .. }) => assert_eq!((index, engine), (2, broker.engine())),
            other => panic!("{other:?}"),
        }
        // Some perhaps twice, if the broker had to be reached anew.
        let stored: BTreeSet<_> = broker.dump(&queue).iter().map(number).collect();
        assert_eq!(stored, BTreeSet::from([0, 1]));
    }
    sink.publish(&messages[3..]).unwrap();
    sink.close().unwrap();
    let stored: BTreeSet<_> = broker.dump(&queue).iter().map(number).collect();
    assert_eq!(stored, BTreeSet::from([0, 1, 3]));
}

pub fn the_largest_message_is_accepted(broker: &dyn Broker) {
    let Some(largest) = broker.promises().largest else { return };
    let queue = queue(broker, "largest");
    let messages = [Message::new(vec![b'x'; largest])];
    publish(broker, &queue, &messages);
    let came = drain(broker, &queue, Member::join(broker, &queue, 10));
    assert_same(came.iter().map(|delivery| &delivery.message), &messages);
}
