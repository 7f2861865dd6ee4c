//! Beyond one machine: the same handler with its items from a broker.

mod engine;
mod error;
#[cfg(feature = "kafka")]
mod kafka;
mod memory;
mod message;
#[cfg_attr(not(feature = "kafka"), allow(dead_code, reason = "only Kafka acknowledges by offsets"))]
mod tracker;

pub use engine::{Polled, Reader, Settler, Sink, Source};
pub use error::ConnectError;
#[cfg(feature = "kafka")]
pub use kafka::{Kafka, KafkaSink, KafkaSource};
pub use memory::{Memory, MemorySink, MemorySource};
pub use message::{Delivery, Message, Position};
#[cfg(fanpool_loom)]
pub(crate) use tracker::Tracker;
