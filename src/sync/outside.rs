//! What a program takes from outside: the time, keys for hashes, the number of processors.

use super::{MODEL, OnceLock};
use std::hash::RandomState;
use std::time::Instant;

/// The keys of hashes, chosen by chance, so that nobody can choose values that meet.
pub(crate) type Keys = RandomState;

/// The time; under loom, always the same.
pub(crate) fn now() -> Instant {
    static MODEL_TIME: OnceLock<Instant> = OnceLock::new();
    if MODEL { *MODEL_TIME.get_or_init(Instant::now) } else { Instant::now() }
}

/// Keys that are the same in all of the process.
pub(crate) fn shared_keys() -> Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(Keys::default).clone()
}

/// Processors that this process may use.
pub(crate) fn cpus() -> usize {
    num_cpus::get().max(1)
}

/// Whether forks are promoted at once and not by the clock: in models, which have none.
pub(crate) fn is_eager() -> bool {
    MODEL
}

/// The same, read anew each time, and rounded down where it is a share. In models, which ask in each execution, it never changes.
pub(crate) fn available() -> usize {
    if MODEL { cpus() } else { std::thread::available_parallelism().map_or(1, usize::from) }
}
