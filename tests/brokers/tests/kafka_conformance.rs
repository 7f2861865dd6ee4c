//! The Kafka engine against the mock cluster, held to what every engine is.
#![cfg(feature = "kafka")]

use brokers::kafka::Mock;
use std::sync::OnceLock;

fn cluster() -> &'static Mock {
    static CLUSTER: OnceLock<Mock> = OnceLock::new();
    CLUSTER.get_or_init(Mock::start)
}

brokers::conformance!(cluster());
