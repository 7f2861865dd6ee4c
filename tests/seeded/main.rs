//! Seeded runs, with the feature `seeded`: that a seed is one interleaving, and what a run reports.

#![cfg(feature = "seeded")]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod elastic;
#[path = "../helpers/mod.rs"]
mod helpers;
mod runs;
mod wide;

pub(crate) use helpers::{pool, quiet_panic, within};
