//! The engine without a broker, held to what every engine is.

use brokers::memory::MemoryBroker;

brokers::conformance!(MemoryBroker::new());
