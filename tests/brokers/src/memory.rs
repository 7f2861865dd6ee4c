//! The engine without a broker.

use crate::{Broker, Promises};
use fanpool::connect::{Memory, Message, Sink, Source};
use std::time::Duration;

/// Queues in this process; what stops it is [`Memory::set_down`].
#[derive(Debug, Default)]
pub struct MemoryBroker(Memory);

impl MemoryBroker {
    /// A broker that is there already.
    #[must_use]
    pub fn of(broker: Memory) -> MemoryBroker {
        MemoryBroker(broker)
    }

    /// One without queues.
    #[must_use]
    pub fn new() -> MemoryBroker {
        MemoryBroker::default()
    }
}

/// That of this process.
pub fn shared() -> Memory {
    static BROKER: std::sync::OnceLock<Memory> = std::sync::OnceLock::new();
    BROKER.get_or_init(Memory::new).clone()
}

impl Broker for MemoryBroker {
    fn engine(&self) -> &'static str {
        "memory"
    }

    fn promises(&self) -> Promises {
        Promises {
            takeover: Duration::ZERO,
            counts_attempts: true,
            returns_at_once: true,
            orders_keys: true,
            any_bytes: true,
            largest: None,
        }
    }

    fn create(&self, queue: &str) {
        assert!(self.0.messages(queue).is_empty());
    }

    /// No other process reaches it.
    fn spec(&self) -> String {
        "memory=".into()
    }

    fn source(&self, queue: &str) -> Box<dyn Source> {
        Box::new(self.0.source(queue))
    }

    fn sink(&self, queue: &str) -> Box<dyn Sink> {
        Box::new(self.0.sink(queue))
    }

    fn dump(&self, queue: &str) -> Vec<Message> {
        self.0.messages(queue)
    }

    fn put(&self, queue: &str, messages: &[Message]) {
        messages.iter().for_each(|message| self.0.send(queue, message.clone()));
    }

    fn unacknowledged(&self, queue: &str) -> u64 {
        let before = self.0.in_hand(queue);
        let waiting = self.0.messages(queue).len();
        // What went from one to the other meanwhile counts in one of them.
        (waiting + self.0.in_hand(queue).max(before)) as u64
    }

    fn stops(&self) -> bool {
        true
    }

    fn stop(&self) -> bool {
        self.0.set_down(true);
        true
    }

    fn start(&self) {
        self.0.set_down(false);
    }
}
