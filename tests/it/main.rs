//! What the library promises, on real threads. Tests are named after the rows of the table in `../README.md`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]

#[path = "../helpers/mod.rs"]
mod helpers;

mod attacked;
mod attacked_core;
mod attacked_fan;
mod breaker;
mod breaker_property;
mod building;
mod callbacks;
mod consumer;
mod consumer_attacked;
mod consumer_case;
mod consumer_ends;
mod consumer_faults;
mod consumer_property;
mod demands_executor;
mod demands_pipeline;
mod demands_scope;
mod elastic;
mod elastic_attacked;
mod ending;
mod fan;
mod fan_accounting;
mod fan_attacked;
mod fan_batch;
mod fan_breaker;
mod fan_cancel;
mod fan_control;
mod fan_ends;
mod fan_hedge;
mod fan_keys;
mod fan_left;
mod fan_merge;
mod fan_merge_split;
mod fan_on_error;
mod fan_panics;
mod fan_pipes;
mod fan_pipes_ends;
mod fan_policies;
mod fan_property;
mod fan_retry;
mod fan_routes;
mod fan_scope;
mod found;
mod groups;
mod health;
mod health_services;
mod hooked;
mod join;
mod join_attacked;
mod layering;
mod map;
mod map_attacked;
mod map_cancel;
mod map_ends;
mod map_flow;
mod map_nested;
mod map_property;
mod map_values;
mod metrics;
mod monitor;
mod monitor_drop;
mod monitor_faults;
mod monitor_property;
mod named;
mod object_pool;
mod object_pool_attacked;
mod on_error;
mod pool_metrics;
mod rate;
mod rate_property;
mod rates;
mod retry;
mod retry_attacked;
mod retry_budget_property;
mod retry_property;
mod tasks;
mod trace_parent;
mod values;
mod waiting;

pub(crate) use helpers::{pool, quiet_panic, within};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::time::Duration;

/// A number from the environment.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Checks what `make` makes of `cases` seeds from `first` on; says which seed failed, or hangs, and what it stands for.
pub(crate) fn check_seeds<C: std::fmt::Debug + 'static>(
    (first, cases): (u64, u64),
    make: fn(u64) -> C,
    mut check: impl FnMut(&C) -> Result<(), String> + Send + 'static,
) {
    let (begun, begins) = mpsc::channel();
    let runner = std::thread::spawn(move || {
        for seed in first..first + cases {
            begun.send(seed).unwrap();
            let case = make(seed);
            let why = match catch_unwind(AssertUnwindSafe(|| check(&case))) {
                Ok(Ok(())) => continue,
                Ok(Err(why)) => why,
                Err(_) => "a panic that nobody planned".to_owned(),
            };
            panic!("seed {seed}: {why}\n{case:?}");
        }
    });
    let mut last = first;
    loop {
        match begins.recv_timeout(Duration::from_secs(60)) {
            Ok(seed) => last = seed,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("seed {last} hangs\n{:?}", make(last)),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
    }
    if let Err(payload) = runner.join() {
        std::panic::resume_unwind(payload);
    }
}

/// Waits until so many items of a service wait for a time.
pub(crate) fn until_put_off(control: &fanpool::Control<'_>, items: usize) {
    while control.put_off() != items {
        std::thread::yield_now();
    }
}

/// A value whose `Drop` panics, quietly.
pub(crate) struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            quiet_panic("dropped");
        }
    }
}

/// Counts how often it is dropped.
pub(crate) struct Counted(pub(crate) std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}
