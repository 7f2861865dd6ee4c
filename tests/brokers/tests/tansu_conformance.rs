//! The Kafka engine against Tansu, held to what every engine is.
#![cfg(feature = "kafka")]

use brokers::kafka::Tansu;
use std::sync::OnceLock;

fn cluster() -> &'static Tansu {
    static CLUSTER: OnceLock<Tansu> = OnceLock::new();
    CLUSTER.get_or_init(Tansu::start)
}

brokers::conformance!(cluster());
