//! Seeded runs, with the feature `seeded`: that a seed is one interleaving, and what a run reports.

#![cfg(feature = "seeded")]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

#[path = "../it/consumer_case.rs"]
mod consumer_case;
mod consumers;
mod elastic;
#[path = "../helpers/mod.rs"]
mod helpers;
#[path = "../it/hooked.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod hooked;
mod runs;
mod wide;

pub(crate) use helpers::{pool, quiet_panic, within};
