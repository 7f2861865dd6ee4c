//! Brokers on loopback, and what every engine is held to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc, reason = "all of it is tests")]

pub mod conformance;
pub mod faulty;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod kill;
pub mod memory;
#[cfg(feature = "rabbitmq")]
pub mod rabbitmq;
#[cfg(feature = "redis")]
pub mod redis;

use fanpool::connect::{Message, Sink, Source};
use std::time::Duration;

/// A broker that runs, as the tests see it.
pub trait Broker: Sync {
    /// The engine's name, as its sources and sinks say it.
    fn engine(&self) -> &'static str;

    /// What it promises beyond what all do.
    fn promises(&self) -> Promises;

    /// Makes a queue, a stream or a topic; it is empty. Names are letters, digits and `-`.
    fn create(&self, queue: &str);

    /// What another process needs to know to reach it; [`open`] reads that.
    fn spec(&self) -> String;

    /// A source of one member of the group of consumers that all sources of this queue are in.
    fn source(&self, queue: &str) -> Box<dyn Source>;

    /// A sink to that queue.
    fn sink(&self, queue: &str) -> Box<dyn Sink>;

    /// Everything that is in the queue, by means of another client or of the client directly, not of the engine. Of a queue that nobody
    /// consumes.
    fn dump(&self, queue: &str) -> Vec<Message>;

    /// Puts messages into the queue with a client of its own, as another program would.
    fn put(&self, queue: &str, messages: &[Message]);

    /// Whether a message that was acknowledged stays so if its source goes while an earlier one is in hand. If not, all after the first that
    /// is not acknowledged may come again then.
    fn acknowledges_each(&self) -> bool {
        true
    }

    /// How many messages are not acknowledged: those that wait and those in hand.
    fn unacknowledged(&self, queue: &str) -> u64;

    /// Whether a group goes on when the source that leads it leaves while another joins.
    fn regroups(&self) -> bool {
        true
    }

    /// Whether its process can be ended, and what it was told survives.
    fn stops(&self) -> bool {
        false
    }

    /// Ends the broker's process at once, if it [`stops`](Broker::stops); false if not.
    fn stop(&self) -> bool {
        false
    }

    /// Starts it again after [`stop`](Broker::stop), at the same address.
    fn start(&self) {}
}

/// What a broker promises.
#[derive(Debug, Clone, Copy)]
pub struct Promises {
    /// After how long what a source that is gone without a word had in hand is delivered again, at most.
    pub takeover: Duration,
    /// [`Delivery::attempt`](fanpool::connect::Delivery::attempt) is exact; else it is 1 or more.
    pub counts_attempts: bool,
    /// What is handed back is delivered again to whoever polls, the same source too; else only once that source has closed.
    pub returns_at_once: bool,
    /// Messages of one key come in the order of sending, whoever takes them.
    pub orders_keys: bool,
    /// Headers and keys survive as bytes of any kind.
    pub any_bytes: bool,
    /// The largest payload that is accepted, if there is a limit that a test can reach.
    pub largest: Option<usize>,
}

impl<B: Broker + ?Sized> Broker for &B {
    fn engine(&self) -> &'static str {
        (**self).engine()
    }

    fn promises(&self) -> Promises {
        (**self).promises()
    }

    fn create(&self, queue: &str) {
        (**self).create(queue);
    }

    fn spec(&self) -> String {
        (**self).spec()
    }

    fn source(&self, queue: &str) -> Box<dyn Source> {
        (**self).source(queue)
    }

    fn sink(&self, queue: &str) -> Box<dyn Sink> {
        (**self).sink(queue)
    }

    fn dump(&self, queue: &str) -> Vec<Message> {
        (**self).dump(queue)
    }

    fn put(&self, queue: &str, messages: &[Message]) {
        (**self).put(queue, messages);
    }

    fn acknowledges_each(&self) -> bool {
        (**self).acknowledges_each()
    }

    fn unacknowledged(&self, queue: &str) -> u64 {
        (**self).unacknowledged(queue)
    }

    fn regroups(&self) -> bool {
        (**self).regroups()
    }

    fn stops(&self) -> bool {
        (**self).stops()
    }

    fn stop(&self) -> bool {
        (**self).stop()
    }

    fn start(&self) {
        (**self).start();
    }
}

/// The source of a queue and the sink for its dead letters, of the broker that a [`Broker::spec`] tells of.
///
/// # Panics
///
/// If there is no such engine.
#[must_use]
pub fn open(spec: &str, queue: &str) -> (Box<dyn Source>, Box<dyn Sink>) {
    let (engine, address) = spec.split_once('=').expect("ENGINE=ADDRESS");
    let dead = format!("{queue}-dead");
    match engine {
        "memory" => {
            let broker = memory::shared();
            (Box::new(broker.source(queue)), Box::new(broker.sink(dead)))
        }
        #[cfg(feature = "redis")]
        "redis" => {
            let broker = fanpool::connect::Redis::new([address]);
            let source = broker.source(queue, redis::GROUP).claim_after(redis::CLAIM_AFTER);
            (Box::new(source), Box::new(broker.sink(dead)))
        }
        #[cfg(feature = "rabbitmq")]
        "rabbitmq" => {
            let broker = fanpool::connect::RabbitMq::new(address);
            (Box::new(broker.source(queue)), Box::new(broker.sink_to_queue(dead)))
        }
        #[cfg(feature = "kafka")]
        "kafka" => {
            let broker = kafka::reach(address);
            (Box::new(broker.source([queue], kafka::group(queue))), Box::new(broker.sink(dead)))
        }
        other => panic!("no engine {other:?} in this build, for {address} and {dead}"),
    }
}

/// Starts a broker on loopback; it ends with this process at the latest.
///
/// # Panics
///
/// If there is no such engine.
#[must_use]
pub fn start(engine: &str) -> Box<dyn Broker> {
    match engine {
        "memory" => Box::new(memory::MemoryBroker::of(memory::shared())),
        #[cfg(feature = "redis")]
        "redis" => Box::new(redis::Server::start()),
        #[cfg(feature = "rabbitmq")]
        "rabbitmq" => Box::new(rabbitmq::queues()),
        #[cfg(feature = "kafka")]
        "kafka" => Box::new(kafka::Mock::start()),
        other => panic!("no engine {other:?} in this build"),
    }
}
