//! The tests of what decides without threads, in a binary that is quickly built: `.ci/mutants` builds one for each mutant. They are in `main.rs`
//! as well; this target runs when it is named.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]
#![allow(dead_code, unused_imports, reason = "shared with main.rs")]

#[path = "../helpers/mod.rs"]
mod helpers;

mod breaker;
mod breaker_property;
mod codec;
mod map_property;
mod monitor;
mod monitor_property;
mod rate;
mod rate_property;
mod rates;
mod retry;
mod retry_attacked;
mod retry_budget_property;
mod retry_property;
mod shared;
mod trace_parent;

pub(crate) use shared::*;
