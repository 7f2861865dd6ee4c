//! Queues of a server as every engine's tests see them.

use super::{LARGEST, PASSWORD, Server, USER};
use crate::{Broker, Promises};
use fanpool::connect::{Message, Sink, Source};
use lapin::BasicProperties;
use lapin::options::BasicGetOptions;
use lapin::types::{AMQPValue, FieldTable};
use std::sync::OnceLock;
use std::time::Duration;

/// Queues of one kind of a server, for the tests that every engine passes.
#[derive(Debug, Clone, Copy)]
pub struct Queues {
    /// Where.
    pub server: &'static Server,
    /// Quorum queues, or classic ones.
    pub quorum: bool,
}

/// Quorum queues of a server of this process.
pub fn queues() -> Queues {
    static SERVER: OnceLock<Server> = OnceLock::new();
    Queues { server: SERVER.get_or_init(Server::start), quorum: true }
}

impl Broker for Queues {
    fn engine(&self) -> &'static str {
        "rabbitmq"
    }

    fn promises(&self) -> Promises {
        Promises {
            takeover: Duration::from_secs(5),
            counts_attempts: self.quorum,
            returns_at_once: true,
            orders_keys: false,
            any_bytes: true,
            largest: Some(LARGEST),
        }
    }

    fn create(&self, queue: &str) {
        self.server.create(queue, self.quorum);
    }

    fn spec(&self) -> String {
        format!("rabbitmq=amqp://{USER}:{PASSWORD}@127.0.0.1:{}", self.server.port())
    }

    fn source(&self, queue: &str) -> Box<dyn Source> {
        Box::new(self.server.client().source(queue))
    }

    fn sink(&self, queue: &str) -> Box<dyn Sink> {
        Box::new(self.server.client().sink_to_queue(queue))
    }

    fn dump(&self, queue: &str) -> Vec<Message> {
        self.server.with(async |channel| {
            let mut found = Vec::new();
            // They go back when the connection is closed.
            while let Some(got) = channel.basic_get(queue.into(), BasicGetOptions::default()).await? {
                let mut message = Message::new(&got.data);
                for (name, value) in got.properties.headers().iter().flat_map(FieldTable::inner) {
                    let AMQPValue::LongString(value) = value else { continue };
                    message = match name.as_str() {
                        "fanpool-key" => message.with_key(value.as_bytes()),
                        name => message.with_header(name, value.as_bytes()),
                    };
                }
                found.push(message);
            }
            Ok(found)
        })
    }

    fn put(&self, queue: &str, messages: &[Message]) {
        let properties = |message: &Message| {
            let mut table = FieldTable::default();
            let key = message.key().map(|key| ("fanpool-key", key));
            for (name, value) in message.headers().chain(key) {
                table.insert(name.into(), AMQPValue::LongString(value.to_vec().into()));
            }
            BasicProperties::default().with_delivery_mode(2).with_headers(table)
        };
        self.server.put(queue, messages.iter().map(|message| (message.payload().to_vec(), properties(message))));
    }

    fn unacknowledged(&self, queue: &str) -> u64 {
        self.server.counts(queue).1
    }

    fn stops(&self) -> bool {
        true
    }

    fn stop(&self) -> bool {
        self.server.kill();
        true
    }

    fn start(&self) {
        self.server.restart();
    }
}
