//! Beyond one machine: the same handler with its items from a broker.

mod engine;
mod error;
mod memory;
mod message;
#[cfg(feature = "redis")]
mod redis;

pub use engine::{Polled, Reader, Settler, Sink, Source};
pub use error::ConnectError;
pub use memory::{Memory, MemorySink, MemorySource};
pub use message::{Delivery, Message, Position};
#[cfg(feature = "redis")]
pub use redis::{Redis, RedisSink, RedisSource};
