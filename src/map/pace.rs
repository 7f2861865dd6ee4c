//! How many items to do at a time: decisions only, no threads.
//!
//! Everything follows from one estimate, the mean time that an item takes in `f`, which whoever runs items keeps up to date.
//! Threads write it without a lock, and one may overwrite another's: it is an estimate.

use crate::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Work for which the lock of a claim may be taken once; a claim costs about 15 ns.
const CLAIM: usize = 250;
/// Work between two looks at the clock.
const LOOK: usize = 4_000;
/// Work that one segment should hold.
const SEGMENT: usize = 25_000;
/// Time after which a job makes room for others between two claims.
pub(super) const QUOTA: Duration = Duration::from_micros(100);
/// Work in flight for each thread, where the window may choose.
const WINDOW: usize = 1_000_000;
/// Below this, handing an item over and back costs more than running it.
const CHEAP: usize = 20;

const SMALLEST_SEGMENT: usize = 64;
const LARGEST_SEGMENT: usize = 1024;
const SMALLEST_WINDOW: usize = 64;
const LARGEST_WINDOW: usize = 4096;

/// Sixteenths of a nanosecond for an item; 0 while unknown.
#[derive(Debug)]
pub(super) struct Pace {
    item: AtomicUsize,
    batch: Option<usize>,
    threads: usize,
}

impl Pace {
    pub(super) fn new(batch: Option<usize>, threads: usize) -> Pace {
        Pace { item: AtomicUsize::new(0), batch, threads: threads.max(1) }
    }

    /// Nanoseconds for an item, at least 1; `None` while unknown.
    fn item(&self) -> Option<usize> {
        match self.item.load(Ordering::Relaxed) {
            0 => None,
            sixteenths => Some((sixteenths / 16).max(1)),
        }
    }

    /// Takes note of `items` that took `time`. A thread that was interrupted for long measures nonsense, so an estimate at most
    /// doubles at a time.
    pub(super) fn record(&self, items: usize, time: Duration) {
        let sixteenths = time.as_nanos().saturating_mul(16) / items.max(1) as u128;
        let sample = usize::try_from(sixteenths).unwrap_or(usize::MAX).clamp(1, usize::MAX / 8);
        let known = self.item.load(Ordering::Relaxed);
        let next = match known {
            0 => sample,
            known if sample > known => known.saturating_mul(2).min((3 * known).saturating_add(sample) / 4),
            known => known.midpoint(sample),
        };
        self.item.store(next.max(1), Ordering::Relaxed);
    }

    /// Items to claim of `left` that nobody has claimed: one by one near the end of what there is, so that none waits
    /// behind another while a thread has nothing to do.
    pub(super) fn claim(&self, left: usize) -> usize {
        match (self.batch, self.item()) {
            (Some(batch), _) => batch.min(left),
            (None, None) => 1.min(left),
            (None, Some(item)) => (CLAIM / item).clamp(1, left.div_ceil(self.threads + 1).max(1)).min(left),
        }
    }

    /// Items to run before looking at the clock again.
    pub(super) fn look(&self) -> usize {
        self.item().map_or(1, |item| (LOOK / item).max(1))
    }

    /// Items that a segment holds.
    pub(super) fn segment(&self) -> usize {
        match self.batch {
            Some(batch) => batch.saturating_mul((SMALLEST_SEGMENT / batch).max(1)),
            None => {
                self.item().map_or(SMALLEST_SEGMENT, |item| (SEGMENT / item).clamp(SMALLEST_SEGMENT, LARGEST_SEGMENT))
            }
        }
    }

    /// Items that may be kept from the workers while the source is asked for the next: few enough that they would take no
    /// longer than one claim, unless the source never makes anybody wait.
    pub(super) fn publish(&self, source: usize, exact: bool, before: usize) -> usize {
        match (self.batch, self.item()) {
            (Some(batch), _) => batch,
            (None, None) => (2 * before).max(1),
            (None, Some(item)) => (if exact { SEGMENT } else { CLAIM } / item.max(source)).max(1),
        }
    }

    /// The window, where the user named none.
    pub(super) fn window(&self) -> usize {
        let least = SMALLEST_WINDOW.max(4 * (self.threads + 1));
        let least = self.batch.map_or(least, |batch| least.max(batch.saturating_mul(2 * (self.threads + 1))));
        self.item().map_or(least, |item| ((self.threads * WINDOW) / item).clamp(least, LARGEST_WINDOW.max(least)))
    }

    /// Whether the calling thread had better run the items itself.
    pub(super) fn is_cheap(&self) -> bool {
        self.item().is_some_and(|item| item < CHEAP)
    }

    /// Whether an item takes so long that its result should not wait for those of its neighbours.
    pub(super) fn is_slow(&self) -> bool {
        self.item().is_none_or(|item| item >= 2_000)
    }
}

/// When the calling thread goes on running cheap items itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inline {
    /// Nanoseconds for an item, source and consumer included, above which it stops.
    tolerance: usize,
    items: usize,
}

impl Inline {
    pub(super) fn new() -> Inline {
        Inline { tolerance: 2 * CHEAP, items: 1 }
    }

    /// Items until the next look at the clock, of at least `remaining`. If they should turn out slow, workers will have
    /// been without them: at most a 64th of the rest.
    pub(super) fn items(&mut self, remaining: usize) -> usize {
        self.items = if remaining == 0 { 16 } else { (remaining / 64).clamp(1, 256) };
        self.items
    }

    /// After those items took `time`: whether to go on. If it is the source or the consumer that takes long, the next
    /// measurement of `f` alone leads back here, and then more is tolerated.
    pub(super) fn goes_on(&mut self, time: Duration) -> bool {
        let each = usize::try_from(time.as_nanos()).unwrap_or(usize::MAX) / self.items;
        let cheap = each < self.tolerance;
        if !cheap {
            self.tolerance = (2 * self.tolerance).min(10_000);
        }
        cheap
    }
}
