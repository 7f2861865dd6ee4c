//! Beyond one machine: the same handler with its items from a broker.

mod engine;
mod error;
mod memory;
mod message;
#[cfg(feature = "rabbitmq")]
mod rabbitmq;

pub use engine::{Polled, Reader, Settler, Sink, Source};
pub use error::ConnectError;
pub use memory::{Memory, MemorySink, MemorySource};
pub use message::{Delivery, Message, Position};
#[cfg(feature = "rabbitmq")]
pub use rabbitmq::{RabbitMq, RabbitSink, RabbitSource};
