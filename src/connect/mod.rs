//! Beyond one machine: the same handler with its items from a broker.
//!
//! When one machine is not enough, a program changes where its items come from, and not how they are handled. A [`FanOut`](crate::FanOut) is
//! built as ever, with its keys, retries, deadlines and limits, and then [`consume`](crate::FanOutBuilder::consume)s a [`Source`] instead of being
//! sent items. Its results may be [`publish`](ConsumerBuilder::publish)ed to a [`Sink`]; what fails for good goes to a sink for
//! [`dead_letter`](ConsumerBuilder::dead_letter)s.
//!
//! ```
//! use fanpool::connect::{Memory, Message, Utf8};
//! use fanpool::{FanOut, Retry};
//! use std::time::Duration;
//!
//! let broker = Memory::new();
//! ["4", "x", "6"].into_iter().for_each(|text| broker.send("numbers", Message::new(text).with_key("k")));
//! broker.end("numbers");
//!
//! let consumer = FanOut::builder(|text: String| text.parse::<u32>().map(|n| (n * n).to_string()))
//!     .window(100)
//!     .retry(Retry::fixed(Duration::from_millis(1)).max_attempts(3))
//!     .consume(broker.source("numbers"), Utf8)
//!     .publish(broker.sink("squares"), Utf8)
//!     .dead_letter(broker.sink("failed"))
//!     .start()?;
//! let receipt = consumer.join();
//! assert_eq!((receipt.counts.published, receipt.counts.dead_lettered), (2, 1));
//! assert_eq!(broker.messages("failed")[0].header("fanpool-attempts"), Some(&b"3"[..]));
//! # Ok::<(), fanpool::connect::ConnectError>(())
//! ```
//!
//! # What is promised
//!
//! Every message is handled **at least once**, whatever is killed: it is acknowledged after all that follows from it is confirmed, and not before.
//! What a consumer had in hand when it was killed is delivered again: at most a window of messages is handled twice; with Kafka, which
//! acknowledges by partition, at most a `span` of each partition.
//!
//! | What happens | What becomes of the message |
//! |---|---|
//! | the handler returns `Ok` | its results are sent and confirmed, then it is acknowledged |
//! | it fails, panics or expires, after all its attempts | its dead letter is sent and confirmed, then it is acknowledged; with [`discard_failed`](ConsumerBuilder::discard_failed) it is acknowledged |
//! | it cannot be decoded, or its result not be encoded, or the sink refuses its result for good | the same |
//! | it was delivered more than [`max_deliveries`](ConsumerBuilder::max_deliveries) times | the same, and the handler is not called |
//! | a sink cannot be reached | nothing is acknowledged; it is tried until it is there, the window fills, and no more is taken |
//! | a sink refuses everything, or a dead letter even when cut short | the consumer ends; what was not confirmed is handed back |
//! | the source cannot be reached | what is in hand goes on; it is tried with back-off until it is there |
//! | the broker gives the message to somebody else meanwhile | what this consumer says of it counts as late |
//! | the consumer is ended | what it had started is finished and acknowledged, the rest is handed back |
//! | the process is killed | it is delivered again |
//!
//! # Engines
//!
//! | | [`Memory`] | Redis Streams | RabbitMQ | Kafka |
//! |---|---|---|---|---|
//! | feature | none | `redis` | `rabbitmq` | `kafka` |
//! | needs | | Rust 1.85 | Rust 1.88 | Rust 1.85, a C compiler, `make` |
//! | client | | `redis`, synchronous | `lapin`, on a thread of its own | `rdkafka`: librdkafka |
//! | acknowledges | each | each (`XACK`) | each (`basic.ack`) | up to the first that is not finished, by partition |
//! | hands back | at once | at once | at once | when the source closes, or loses the partition |
//! | of a killed consumer, delivered again | when it is dropped | after `claim_after` | when its connection is gone | when its session is over |
//! | counts deliveries | yes | yes | quorum queues; else 1 or 2 | no: always 1 |
//! | order of a key | in one consumer | in one consumer | in one consumer | everywhere |
//! | [`Position`]: partition, offset, part, session | 0, number, 0, source and how often the broker was down | 0, milliseconds, sequence, source | 0, delivery tag, 0, connection | partition, offset, 0, assignment |
//!
//! The order of a key needs [`key`](crate::FanOutBuilder::key), as in any service: without it, messages are handled side by side. [`WithKey`] hands on
//! the key that the message came with; [`Whole`] all there is.
//!
//! # Shutdown
//!
//! [`Consumer::shutdown`] stops taking, finishes what is in hand, acknowledges it and tells in its [`Receipt`] how many were what.
//!
//! # Traces
//!
//! With the feature `tracing`, the header `traceparent` of a message is the parent of its item's spans; with or without, results
//! and dead letters carry it on.
//!
//! # An engine of one's own
//!
//! Implement [`Source`], [`Reader`] and [`Settler`], or [`Sink`]. An engine connects, says [`ConnectError::Lost`] soon when it cannot, and connects anew
//! when it is called again; all waiting and trying again is the consumer's.

/// What is private and reads foreign bytes, for the fuzz targets in `fuzz/` alone.
#[cfg(fanpool_fuzz)]
#[doc(hidden)]
#[allow(missing_docs, unreachable_pub, reason = "for tests")]
pub mod fuzzing {
    pub use super::consumer::fuzzing as letters;
    #[cfg(feature = "kafka")]
    pub use super::kafka::fuzzing as kafka;
    #[cfg(feature = "rabbitmq")]
    pub use super::rabbitmq::fuzzing as rabbitmq;
    #[cfg(feature = "redis")]
    pub use super::redis::fuzzing as redis;
}

mod codec;
mod consumer;
mod engine;
mod error;
#[cfg(feature = "kafka")]
mod kafka;
mod memory;
mod message;
#[cfg(feature = "rabbitmq")]
mod rabbitmq;
#[cfg(feature = "redis")]
mod redis;
mod session;
#[cfg_attr(not(feature = "kafka"), allow(dead_code, reason = "only Kafka acknowledges by offsets"))]
mod tracker;

#[cfg(feature = "json")]
pub use codec::Json;
pub use codec::{Bytes, CodecError, Decode, Encode, Many, Raw, Utf8, Whole, WithKey};
pub use consumer::{Consumer, ConsumerBuilder, Receipt};
pub use engine::{Halves, Polled, Reader, Settler, Sink, Source};
pub use error::ConnectError;
#[cfg(feature = "kafka")]
pub use kafka::{Kafka, KafkaSink, KafkaSource};
pub use memory::{Memory, MemorySink, MemorySource};
pub use message::{Delivery, Message, Position};
#[cfg(feature = "rabbitmq")]
pub use rabbitmq::{RabbitMq, RabbitSink, RabbitSource};
#[cfg(feature = "redis")]
pub use redis::{Redis, RedisSink, RedisSource};
#[cfg(fanpool_loom)]
pub(crate) use tracker::Tracker;
