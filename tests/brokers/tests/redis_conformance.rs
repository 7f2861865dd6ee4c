//! The Redis engine, held to what every engine is.
#![cfg(feature = "redis")]

use brokers::redis::Server;
use std::sync::OnceLock;

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Server::start)
}

brokers::conformance!(server());
