//! What a program takes from outside, which in a run follows from the seed.

use super::member;
use crate::sync::outside as real;
use std::hash::{BuildHasher, DefaultHasher, Hasher};
use std::time::Instant;

/// Processors that a run has, wherever it runs.
const CPUS: usize = 4;

/// The keys of hashes.
#[derive(Clone)]
pub(crate) enum Keys {
    Chance(real::Keys),
    /// Of a run.
    Drawn(u64),
}

impl Default for Keys {
    fn default() -> Keys {
        match member::current() {
            Some(member) => Keys::Drawn(member.scheduler.random()),
            None => Keys::Chance(real::Keys::default()),
        }
    }
}

impl BuildHasher for Keys {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        match self {
            Keys::Chance(keys) => keys.build_hasher(),
            Keys::Drawn(number) => {
                let mut hasher = DefaultHasher::new();
                hasher.write_u64(*number);
                hasher
            }
        }
    }
}

/// The time; in a run its own.
pub(crate) fn now() -> Instant {
    member::current().map_or_else(real::now, |member| member.scheduler.now())
}

/// Keys that are the same in all of the process, or in all of the run.
pub(crate) fn shared_keys() -> Keys {
    match member::current() {
        Some(member) => Keys::Drawn(member.scheduler.seed),
        None => Keys::Chance(real::shared_keys()),
    }
}

/// Processors that this process may use; in a run always the same number.
pub(crate) fn cpus() -> usize {
    if member::current().is_some() { CPUS } else { real::cpus() }
}

/// The same, read anew each time.
pub(crate) fn available() -> usize {
    if member::current().is_some() { CPUS } else { real::available() }
}

/// Whether forks are promoted at once and not by the clock: with some seeds, since short halves would never run at the same time.
pub(crate) fn is_eager() -> bool {
    member::current().map_or_else(real::is_eager, |member| member.scheduler.random() & 1 == 0)
}
