//! How many items to do at a time: decisions only, no threads.
//!
//! Everything follows from one estimate, the mean time that an item takes in `f`, which whoever runs items keeps up to date.
//! Threads write it without a lock, and one may overwrite another's: it is an estimate.

use crate::sync::estimate::{AtomicUsize, Ordering};
use std::time::Duration;

/// Work that one batch should hold. Handing one over and back costs about a microsecond.
const BATCH: usize = 50_000;
/// Work that may be taken at once, after this many items.
const CHUNK: usize = 250;
const LARGEST_CHUNK: usize = 8;
const MANY: usize = 4096;
/// Time after which results of a batch are handed over though it has not ended.
pub(super) const PART: Duration = Duration::from_micros(100);
/// What a look at the clock and taking a chunk cost themselves, which is not counted as work.
pub(super) const LOOKING: Duration = Duration::from_nanos(17);
pub(super) const TAKING: Duration = Duration::from_nanos(15);
/// Work between two looks at the clock.
const LOOK: usize = 10_000;
/// Memory that the items and results of one batch may take: what they travel through is the cache of a core.
const BYTES: usize = 128 << 10;
/// Time after which a job makes room for others between two batches.
pub(super) const QUOTA: Duration = Duration::from_millis(1);
/// Work in flight for each thread, where the window may choose.
const WINDOW: usize = 1_000_000;
/// Work for which it does not pay to hand an item over and its result back; and how many bytes of them make it a
/// nanosecond more.
const CHEAP: usize = 25;
const BYTES_A_NANO: usize = 8;

const LARGEST_BATCH: usize = 512;
const SMALLEST_WINDOW: usize = 64;
const LARGEST_WINDOW: usize = 4096;

#[derive(Debug)]
pub(super) struct Pace {
    /// Sixteenths of a nanosecond for an item; 0 while unknown.
    item: AtomicUsize,
    /// Items that were run.
    ran: AtomicUsize,
    batch: Option<usize>,
    /// No batch holds more items than this.
    largest: usize,
    threads: usize,
    cheap: usize,
}

impl Pace {
    /// `bytes` is the size of an item and its result.
    pub(super) fn new(batch: Option<usize>, window: Option<usize>, threads: usize, bytes: usize) -> Pace {
        let threads = threads.max(1);
        let share = window.unwrap_or(usize::MAX) / (threads + 1);
        let largest = LARGEST_BATCH.min(BYTES / bytes.max(1)).min(share).max(1);
        Pace {
            item: AtomicUsize::new(0),
            ran: AtomicUsize::new(0),
            batch,
            largest,
            threads,
            cheap: CHEAP + bytes / BYTES_A_NANO,
        }
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
        if items == 0 {
            return;
        }
        self.ran.fetch_add(items, Ordering::Relaxed);
        let sixteenths = time.as_nanos().saturating_mul(16) / items as u128;
        let sample = usize::try_from(sixteenths).unwrap_or(usize::MAX).clamp(1, usize::MAX / 8);
        let known = self.item.load(Ordering::Relaxed);
        let next = match known {
            0 => sample,
            known if sample > known => known.saturating_mul(2).min((3 * known).saturating_add(sample) / 4),
            // The first item of all pays for cold caches.
            _ if items > 4 => sample,
            known => known.midpoint(sample),
        };
        self.item.store(next.max(1), Ordering::Relaxed);
    }

    /// Begins anew.
    pub(super) fn forget(&self) {
        self.item.store(0, Ordering::Relaxed);
    }

    /// Items for one batch. While nothing is known of them it may be large: others can take part of what is not started.
    pub(super) fn batch(&self) -> usize {
        match (self.batch, self.item()) {
            (Some(batch), _) => batch,
            (None, None) => self.largest,
            (None, Some(item)) => (BATCH / item).clamp(1, self.largest),
        }
    }

    pub(super) fn is_unknown(&self) -> bool {
        self.item().is_none()
    }

    /// Items to run before looking at the clock again.
    pub(super) fn look(&self) -> usize {
        self.item().map_or(1, |item| (LOOK / item).max(1))
    }

    /// Items of a batch to start at a time. Only where thousands took next to no time are they more than one: the lock of a
    /// batch costs about 15 ns, and what was taken with an item that turns out slow waits for it.
    pub(super) fn chunk(&self) -> usize {
        match self.item() {
            Some(item) if self.ran.load(Ordering::Relaxed) >= MANY => (CHUNK / item).clamp(1, LARGEST_CHUNK),
            _ => 1,
        }
    }

    /// The window, where the user named none.
    pub(super) fn window(&self) -> usize {
        let least = SMALLEST_WINDOW.max(4 * (self.threads + 1));
        let least = self.batch.map_or(least, |batch| least.max(batch.saturating_mul(2 * (self.threads + 1))));
        self.item()
            .map_or(least, |item| (self.threads.saturating_mul(WINDOW) / item).clamp(least, LARGEST_WINDOW.max(least)))
    }

    /// Whether the calling thread had better run the items itself.
    pub(super) fn is_cheap(&self) -> bool {
        self.item().is_some_and(|item| item < self.cheap)
    }
}

/// When the calling thread runs cheap items itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inline {
    /// Nanoseconds for an item, source and consumer included, above which it stops.
    tolerance: usize,
    items: usize,
    /// The item before which it does not begin again, and how many it leaves to the workers the next time.
    from: usize,
    pause: usize,
}

impl Inline {
    pub(super) fn new() -> Inline {
        Inline { tolerance: 2 * CHEAP, items: 1, from: 0, pause: MANY }
    }

    pub(super) fn may_begin(&self, item: usize) -> bool {
        item >= self.from
    }

    /// Items until the next look at the clock, of at least `remaining`. If they should turn out slow, workers will have
    /// been without them: at most a 32nd of the rest or, where that is not known, as many again as before.
    pub(super) fn items(&mut self, remaining: usize) -> usize {
        self.items = if remaining == 0 { (2 * self.items).min(256) } else { (remaining / 32).clamp(64, 8192) };
        self.items
    }

    /// After those items took `time`, before `item`: whether to go on. If not, some item took long, and more may; so workers get
    /// the next few thousand, and four times as many after each further surprise. Or it was the source or the consumer:
    /// then more time is tolerated.
    pub(super) fn goes_on(&mut self, time: Duration, item: usize) -> bool {
        let each = usize::try_from(time.as_nanos()).unwrap_or(usize::MAX) / self.items;
        let cheap = each < self.tolerance;
        if !cheap {
            self.tolerance = (2 * self.tolerance).min(10_000);
            self.items = 1;
            self.from = item.saturating_add(self.pause);
            self.pause = self.pause.saturating_mul(4);
        }
        cheap
    }
}
