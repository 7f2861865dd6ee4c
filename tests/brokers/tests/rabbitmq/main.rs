//! RabbitMQ, beyond what every engine is held to: one server for all of this file, which some tests have for themselves.
#![cfg(feature = "rabbitmq")]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod losing;
mod refusing;
mod settling;
mod wire;

use brokers::rabbitmq::Server;
use fanpool::connect::{ConnectError, Delivery, Message, Position, RabbitMq, Reader, Sink};
use std::sync::{OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

/// Longer than anything takes that is waited for.
const LONG: Duration = Duration::from_secs(60);

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Server::start)
}

static USERS: RwLock<()> = RwLock::new(());

/// For a test that leaves the server in peace.
fn shared() -> (&'static Server, RwLockReadGuard<'static, ()>) {
    let guard = USERS.read().unwrap_or_else(|poisoned| poisoned.into_inner());
    (server(), guard)
}

/// For a test that does something to the server, or counts threads.
fn alone() -> (&'static Server, RwLockWriteGuard<'static, ()>) {
    let guard = USERS.write().unwrap_or_else(|poisoned| poisoned.into_inner());
    (server(), guard)
}

/// One that notices soon.
fn impatient(server: &Server) -> RabbitMq {
    let seconds = Duration::from_secs;
    server.client().heartbeat(seconds(1)).connect_timeout(seconds(2)).response_timeout(seconds(3))
}

fn numbers(range: std::ops::Range<usize>) -> Vec<Message> {
    range.map(|n| Message::new(n.to_string())).collect()
}

fn send(server: &Server, queue: &str, messages: &[Message]) {
    let mut sink = server.client().sink_to_queue(queue);
    sink.publish(messages).unwrap();
    sink.close().unwrap();
}

/// Takes so many, whatever is lost meanwhile.
fn take(reader: &mut dyn Reader, count: usize) -> Vec<Delivery> {
    let (begun, mut taken) = (Instant::now(), Vec::new());
    while taken.len() < count {
        let before = taken.len();
        match reader.poll(count - before, Duration::from_secs(1), &mut taken) {
            Ok(_) => {}
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
        assert!(begun.elapsed() < LONG, "{} of {count}", taken.len());
    }
    taken
}

/// Polls until there is an error.
fn error(reader: &mut dyn Reader) -> ConnectError {
    let begun = Instant::now();
    loop {
        if let Err(error) = reader.poll(0, Duration::from_millis(100), &mut Vec::new()) {
            return error;
        }
        assert!(begun.elapsed() < LONG, "no error");
    }
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < LONG, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn positions(deliveries: &[Delivery]) -> Vec<Position> {
    deliveries.iter().map(|delivery| delivery.position).collect()
}

fn texts(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries.iter().map(|delivery| std::str::from_utf8(delivery.message.payload()).unwrap()).collect()
}

/// How many threads of this process are called so.
fn threads(name: &str) -> usize {
    let all = std::fs::read_dir("/proc/self/task").unwrap();
    let names = all.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|found| found.trim() == name).count()
}

/// Those of the engine and of its client, that end with what they are for.
fn own_threads() -> (usize, usize) {
    (threads("fanpool-rabbit"), threads("lapin-io-loop"))
}

#[track_caller]
fn refused(result: Result<(), ConnectError>, words: &[&str]) {
    let error = result.unwrap_err();
    assert!(matches!(error, ConnectError::Refused { .. }), "{error:?}");
    let texts = [error.to_string(), format!("{error:?}")];
    for text in &texts {
        words.iter().for_each(|word| assert!(text.contains(word), "{text}"));
        for secret in [brokers::rabbitmq::USER, brokers::rabbitmq::PASSWORD, "wr0ng"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}
