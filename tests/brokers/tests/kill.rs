//! Processes that are killed while they work (I2), with each engine.

#![cfg(any(feature = "redis", feature = "rabbitmq", feature = "kafka"))]

use brokers::kill::{Plan, run};
use std::path::Path;
use std::time::Duration;

/// A hundred thousand messages; a handler that takes long enough for some kills.
const PLAN: Plan = Plan {
    messages: 100_000,
    window: 100,
    work: Duration::from_micros(800),
    every: Duration::from_secs(2),
    disturbed: 0,
};

fn worker() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_worker"))
}

#[cfg(feature = "redis")]
#[test]
fn i2_redis_loses_nothing() {
    let report = run(&brokers::redis::Server::start(), worker(), PLAN);
    assert!(report.kills > 1 && report.restarts == 1, "{report:?}");
}

#[cfg(feature = "rabbitmq")]
#[test]
fn i2_rabbitmq_loses_nothing() {
    let report = run(&brokers::rabbitmq::queues(), worker(), PLAN);
    assert!(report.kills > 1 && report.restarts == 1, "{report:?}");
}

/// The cluster keeps nothing over its end, so it is not ended. Its groups take up to 3 s to be put together anew, and 6 s to miss a member: were
/// one killed every two seconds, nobody would get to anything. A kill makes the members share the partitions anew, so that each has to give up
/// what it has in hand of those that it loses.
#[cfg(feature = "kafka")]
#[test]
fn i2_kafka_loses_nothing() {
    let report = run(
        &brokers::kafka::Mock::start(),
        worker(),
        Plan { disturbed: 4, every: Duration::from_secs(12), work: Duration::from_millis(2), ..PLAN },
    );
    assert!(report.kills > 1, "{report:?}");
}
