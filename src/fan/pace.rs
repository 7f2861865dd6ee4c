//! How long an item takes: one estimate for a service, which decides how many are taken from the queue at a time and whether callers
//! help. Nothing but time depends on it.

use crate::sync::MODEL;
use crate::sync::estimate::{AtomicUsize, Ordering};
use std::time::Duration;

/// Nanoseconds up to which an item is cheap: less than it costs to wake a thread for it.
const CHEAP: usize = 5_000;

/// Nanoseconds up to which items share looks at the clock.
const FINE: usize = 1_000;

/// Nanoseconds of work that are taken from the queue at a time, and the most items.
const CHUNK: usize = 10_000;
const MOST: usize = 128;

#[derive(Debug)]
pub(super) struct Pace {
    /// Nanoseconds for an item; 0 if not known.
    nanos: AtomicUsize,
}

impl Pace {
    pub(super) fn new() -> Pace {
        Pace { nanos: AtomicUsize::new(0) }
    }

    #[cfg(any(fanpool_loom, test))]
    pub(super) fn believe_cheap(&self) {
        self.nanos.store(1, Ordering::Relaxed);
    }

    pub(super) fn nanos(&self) -> usize {
        self.nanos.load(Ordering::Relaxed)
    }

    pub(super) fn is_cheap(&self) -> bool {
        (1..=CHEAP).contains(&self.nanos())
    }

    pub(super) fn is_fine(&self) -> bool {
        (1..=FINE).contains(&self.nanos())
    }

    /// How many items to take at a time.
    pub(super) fn chunk(&self) -> usize {
        if self.is_cheap() { (CHUNK / self.nanos().max(1)).clamp(1, MOST) } else { 1 }
    }

    /// Notes that `items` took so long. What takes much longer than expected is believed at once, what takes less by and by.
    pub(super) fn record(&self, items: usize, time: Duration) {
        if MODEL || items == 0 {
            return;
        }
        let new = usize::try_from(time.as_nanos()).unwrap_or(usize::MAX) / items;
        let new = new.clamp(1, usize::MAX / 8);
        let old = self.nanos();
        let next = if old == 0 || new > 4 * old { new } else { (3 * old + new) / 4 };
        self.nanos.store(next.max(1), Ordering::Relaxed);
    }

    /// An item has taken at least so long, and goes on.
    pub(super) fn is_at_least(&self, time: Duration) {
        self.record(1, time.max(Duration::from_nanos(4 * CHEAP as u64)));
    }
}

#[cfg(all(test, not(fanpool_loom)))]
mod tests {
    use super::*;

    #[test]
    fn e7_an_estimate_follows_what_becomes_slow_at_once() {
        let pace = Pace::new();
        assert!(!pace.is_cheap() && pace.chunk() == 1);
        pace.record(32, Duration::from_nanos(320));
        assert!(pace.is_fine() && pace.chunk() == MOST);
        pace.record(1, Duration::from_millis(1));
        assert!(!pace.is_cheap() && pace.chunk() == 1);
        (0..64).for_each(|_| pace.record(1, Duration::from_nanos(100)));
        assert!(pace.is_fine());
    }
}
