//! What is seen of services, with the features `timings`, `metrics` and `serde`.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

#[path = "../helpers/mod.rs"]
#[allow(dead_code, reason = "others need more of it")]
mod helpers;

mod facade;
mod serialised;
mod times;
