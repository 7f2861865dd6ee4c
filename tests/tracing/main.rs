//! Spans, events and the `traceparent` of tasks, with the feature `tracing`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]

#[path = "../helpers/mod.rs"]
mod helpers;

mod events;
mod faults;
mod parents;
mod recorder;
mod spans;

pub(crate) use helpers::{pool, quiet_panic, within};
