//! The Redis engine, held to what every engine is.
#![cfg(feature = "redis")]

use brokers::redis::Server;

// One for each case: it ends with the thread that has started it.
brokers::conformance!(Server::start());
