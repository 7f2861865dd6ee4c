//! Seeded runs, with the feature `seeded`: that a seed is one interleaving, and what a run reports.

#![cfg(feature = "seeded")]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod runs;
mod wide;

use fanpool::{Pool, Workers};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::time::Duration;

fn pool(workers: usize) -> Pool {
    Pool::builder().workers(Workers::Fixed(workers)).build().unwrap()
}

/// Runs a test that would hang if it failed, and fails it after a minute instead.
fn within(body: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let runner = std::thread::spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(body));
        let _ = done.send(());
        if let Err(payload) = result {
            std::panic::resume_unwind(payload);
        }
    });
    assert!(ended.recv_timeout(Duration::from_secs(60)).is_ok(), "hangs");
    if let Err(payload) = runner.join() {
        std::panic::resume_unwind(payload);
    }
}

/// Panics without the hook, which would print for each.
fn quiet_panic(payload: impl Send + 'static) -> ! {
    std::panic::resume_unwind(Box::new(payload))
}
