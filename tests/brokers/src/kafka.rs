//! What speaks Kafka's protocol on loopback: the mock cluster inside of librdkafka, and Tansu.

#![allow(clippy::expect_used, clippy::missing_panics_doc, reason = "a fixture that fails fails its test")]

mod client;
mod mock;
mod tansu;

pub use mock::Mock;
pub use tansu::Tansu;

use crate::{Broker, Promises};
use fanpool::connect::{Kafka, KafkaSource, Message, Sink, Source};
use std::time::Duration;

/// A cluster that runs. What is asked of it here goes by rdkafka directly, as another program would do it.
pub trait Cluster: Sync {
    /// Where it is found.
    fn servers(&self) -> String;

    /// Makes a topic with so many partitions.
    fn create_with(&self, topic: &str, partitions: i32);

    /// See [`Broker::regroups`].
    fn regroups(&self) -> bool {
        true
    }

    /// The engine's view of it, with sessions that end soon.
    fn kafka(&self) -> Kafka {
        reach(&self.servers())
    }

    /// A member of the topic's only group.
    fn member(&self, topic: &str) -> KafkaSource {
        self.kafka().source([topic], group(topic))
    }

    /// What the group has committed, partition by partition; 0 where there is nothing.
    fn committed(&self, topic: &str) -> Vec<u64> {
        client::committed(&self.servers(), topic)
    }

    /// All that is in the topic.
    fn all(&self, topic: &str) -> Vec<Message> {
        client::dump(&self.servers(), topic)
    }

    /// Stores messages.
    fn send(&self, topic: &str, messages: &[Message]) {
        client::put(&self.servers(), topic, messages);
    }

    /// A message with a header whose name is not UTF-8, and one that is.
    fn send_odd_header(&self, topic: &str) {
        client::put_odd_header(&self.servers(), topic);
    }

    /// A message without a payload, as a tombstone is.
    fn send_tombstone(&self, topic: &str, key: &str) {
        client::put_null(&self.servers(), topic, key);
    }
}

/// The most that a payload may have, key included.
pub const LARGEST: usize = 100_000;

/// The engine's view of a cluster, with sessions that end soon.
pub fn reach(servers: &str) -> Kafka {
    Kafka::new([servers])
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "200")
        .set("message.max.bytes", LARGEST.to_string())
        .connect_timeout(Duration::from_secs(10))
}

/// The group that all members for a topic are in.
pub fn group(topic: &str) -> String {
    format!("{topic}-group")
}

/// Both are the same to the conformance suite.
macro_rules! broker {
    ($cluster:ty) => {
        impl Broker for $cluster {
            fn engine(&self) -> &'static str {
                "kafka"
            }

            fn promises(&self) -> Promises {
                Promises {
                    // A session ends after 6 s, and the group is put together anew within 3 s.
                    takeover: Duration::from_secs(20),
                    counts_attempts: false,
                    returns_at_once: false,
                    orders_keys: true,
                    any_bytes: true,
                    // The limit counts what goes around the payload.
                    largest: Some(LARGEST - 1_000),
                }
            }

            fn create(&self, queue: &str) {
                self.create_with(queue, 3);
            }

            fn spec(&self) -> String {
                format!("kafka={}", self.servers())
            }

            fn source(&self, queue: &str) -> Box<dyn Source> {
                Box::new(self.member(queue))
            }

            fn sink(&self, queue: &str) -> Box<dyn Sink> {
                Box::new(self.kafka().sink(queue))
            }

            fn dump(&self, queue: &str) -> Vec<Message> {
                self.all(queue)
            }

            fn put(&self, queue: &str, messages: &[Message]) {
                self.send(queue, messages);
            }

            // What is committed is an offset.
            fn acknowledges_each(&self) -> bool {
                false
            }

            fn regroups(&self) -> bool {
                Cluster::regroups(self)
            }

            fn unacknowledged(&self, queue: &str) -> u64 {
                client::unacknowledged(&self.servers(), queue)
            }
        }
    };
}

broker!(Mock);
broker!(Tansu);
