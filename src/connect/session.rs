//! Numbers of sessions.

use crate::sync::estimate::{AtomicUsize, Ordering};

/// A number that no other session in this process has, of whatever engine; the first is 1. So a [`Position`](super::Position) of one source
/// settles nothing of another.
pub(super) fn session() -> u64 {
    static LAST: AtomicUsize = AtomicUsize::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) as u64 + 1
}
