//! The one door to threads, locks, atomics, parking and channels.
//!
//! Every other module takes its primitives from here and from nowhere else, so that one `cfg` decides what they are:
//!
//! * `real`: crossbeam channels, parking_lot locks and std threads, re-exported with as little on top as possible.
//! * `model`: the same names on [loom](https://docs.rs/loom), under `--cfg fanpool_loom`. loom cannot see inside
//!   crossbeam-channel or parking_lot, so the channel there is a `Mutex` and a `Condvar`.
//!
//! * `seeded`: `real`, and inside of [`testing::seeded`](crate::testing) one thread at a time, chosen by a seed; with the feature of
//!   that name.
//!
//! `conformance` holds all sides to the same behaviour. `Arc` and `Weak` are std's on all sides: loom's `Arc` has no
//! `Weak`, and std's reference counts are not what the models are about.
//!
//! What differs under the model, and why it may: time stands still ([`Condvar::wait_until`] gives every other thread
//! a turn and then reports a time-out), thread names and stack sizes are ignored, and nothing spins.

mod outside;
#[cfg(not(all(feature = "seeded", not(fanpool_loom))))]
pub(crate) use outside::{Keys, available, cpus, is_eager, now, shared_keys};

#[cfg(not(fanpool_loom))]
mod real;
#[cfg(not(any(feature = "seeded", fanpool_loom)))]
pub(crate) use real::{Condvar, Mutex, MutexGuard, atomic, channel, local, thread};

#[cfg(all(feature = "seeded", not(fanpool_loom)))]
pub(crate) mod seeded;
#[cfg(all(feature = "seeded", not(fanpool_loom)))]
pub(crate) use seeded::{
    Condvar, Mutex, MutexGuard, atomic, channel, local,
    outside::{Keys, available, cpus, is_eager, now, shared_keys},
    thread,
};

#[cfg(fanpool_loom)]
mod model;
#[cfg(fanpool_loom)]
pub(crate) use model::{Condvar, Mutex, MutexGuard, atomic, channel, local, thread};

#[cfg(any(test, fanpool_loom))]
pub(crate) mod conformance;

pub(crate) use crossbeam_utils::CachePadded;
pub(crate) use std::sync::{Arc, OnceLock, Weak};

/// Atomics for estimates that no protocol rests on; loom does not look at these.
pub(crate) mod estimate {
    pub(crate) use std::sync::atomic::{AtomicUsize, Ordering};
}

/// Whether this build runs under loom. Decisions that rest on time are made in the simplest way there.
pub(crate) const MODEL: bool = cfg!(fanpool_loom);

/// Whether the named step of a protocol is to be broken: in models and under `--cfg fanpool_breaks`, if the variable `FANPOOL_BREAK`
/// names it.
///
/// `loom-tests/breaks.sh` requires a model or a test to fail for each. Other builds see `false`, a constant.
macro_rules! broken {
    ($name:literal) => {
        cfg!(any(fanpool_loom, fanpool_breaks)) && $crate::sync::is_broken($name)
    };
}
pub(crate) use broken;

pub(crate) fn is_broken(name: &str) -> bool {
    static BROKEN: OnceLock<Option<String>> = OnceLock::new();
    BROKEN.get_or_init(|| std::env::var("FANPOOL_BREAK").ok()).as_deref() == Some(name)
}
