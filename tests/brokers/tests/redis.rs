//! The Redis engine against a server.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "all of it is tests")]

#[path = "redis/faults.rs"]
mod faults;
#[path = "redis/handing.rs"]
mod handing;
#[path = "redis/messages.rs"]
mod messages;
#[path = "redis/refusals.rs"]
mod refusals;
#[cfg(feature = "redis-tls")]
#[path = "redis/tls.rs"]
mod tls;

use brokers::Broker;
use brokers::redis::{GROUP, Server};
use fanpool::connect::{ConnectError, Delivery, Message, Polled, Position, Reader, RedisSource, Settler, Source};
use redis::Value;
use std::time::{Duration, Instant};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
/// So long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) type Halves = (Box<dyn Reader>, Box<dyn Settler>);

/// A server with a stream of these payloads.
pub(crate) fn server_with(queue: &str, payloads: usize) -> Server {
    let server = Server::start();
    server.create(queue);
    server.put(queue, &numbered(payloads));
    server
}

pub(crate) fn numbered(count: usize) -> Vec<Message> {
    (0..count).map(|number| Message::new(number.to_string())).collect()
}

pub(crate) fn source(server: &Server, queue: &str, claim_after: Duration) -> RedisSource {
    server.redis().source(queue, GROUP).claim_after(claim_after)
}

pub(crate) fn open(source: &mut RedisSource) -> Halves {
    source.open(1000).unwrap()
}

/// Polls until there are so many.
pub(crate) fn take(reader: &mut dyn Reader, count: usize) -> Vec<Delivery> {
    let (mut taken, end) = (Vec::new(), Instant::now() + PATIENCE);
    while taken.len() < count {
        assert!(Instant::now() < end, "{} of {count} came", taken.len());
        let room = count - taken.len();
        assert_eq!(reader.poll(room, SECOND, &mut taken).unwrap(), Polled::More);
    }
    assert_eq!(taken.len(), count);
    taken
}

/// What comes at once.
pub(crate) fn poll(reader: &mut dyn Reader) -> Vec<Delivery> {
    let mut taken = Vec::new();
    reader.poll(1000, Duration::ZERO, &mut taken).unwrap();
    taken
}

pub(crate) fn positions(deliveries: &[Delivery]) -> Vec<Position> {
    deliveries.iter().map(|delivery| delivery.position).collect()
}

pub(crate) fn payloads(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|delivery| String::from_utf8(delivery.message.payload().to_vec()).unwrap()).collect()
}

/// Asserts that it is refused, and returns the text.
pub(crate) fn refused<T>(result: Result<T, ConnectError>) -> String {
    match result.err() {
        Some(error @ ConnectError::Refused { .. }) => {
            let ConnectError::Refused { advice, .. } = &error else { unreachable!() };
            assert!(!advice.is_empty());
            error.to_string()
        }
        other => panic!("{other:?}"),
    }
}

/// Asserts that it is lost, and returns the text.
pub(crate) fn lost<T>(result: Result<T, ConnectError>) -> String {
    match result.err() {
        Some(ConnectError::Lost { what, .. }) => what,
        other => panic!("{other:?}"),
    }
}

/// How often the server was sent this command.
pub(crate) fn calls(server: &Server, command: &str) -> u64 {
    let stats = match server.ask(&["INFO", "commandstats"]) {
        Value::BulkString(text) => String::from_utf8(text).unwrap(),
        other => panic!("{other:?}"),
    };
    let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.map_or(0, |rest| rest.split(',').next().unwrap().parse().unwrap())
}

/// The names of the group's consumers.
pub(crate) fn consumers(server: &Server, queue: &str) -> Vec<String> {
    let Value::Array(rows) = server.ask(&["XINFO", "CONSUMERS", queue, GROUP]) else { panic!() };
    let name = |row: &Value| match row {
        Value::Array(row) => match &row[1] {
            Value::BulkString(name) => String::from_utf8(name.clone()).unwrap(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    rows.iter().map(name).collect()
}

pub(crate) fn int(value: &Value) -> i64 {
    if let Value::Int(number) = value { *number } else { panic!("{value:?}") }
}
