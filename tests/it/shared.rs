//! What several of the tests need.

pub(crate) use super::helpers::{pool, quiet_panic, within};
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
        match begins.recv_timeout(Duration::from_secs(120)) {
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
