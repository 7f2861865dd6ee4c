//! Recording of times: into atomics, from any thread, without a lock.

use super::histogram::{GROUPING, Histogram, Histograms, RANGE};
use crate::sync::estimate::{AtomicUsize, Ordering};
use crate::sync::{Arc, now};
use histogram::{AtomicHistogram, Config};
use std::time::Instant;

/// Of how many tasks the times are recorded.
///
/// A pool's task whose times are recorded costs a box, three looks at the clock and three additions to shared counters
/// more; others cost a decrement. For the items of a service the clock is looked at in any case, and what is added is
/// three additions for each that is recorded.
///
/// # Examples
///
/// ```
/// use fanpool::{Pool, Timings};
///
/// let pool = Pool::builder().timings(Timings::every(100)).build()?;
/// # Ok::<(), fanpool::BuildError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timings {
    /// One of so many; 0 for none.
    every: usize,
}

impl Timings {
    /// Of none. The default.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(fanpool::Timings::default(), fanpool::Timings::off());
    /// ```
    #[must_use]
    pub fn off() -> Timings {
        Timings { every: 0 }
    }

    /// Of all.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(fanpool::Timings::all(), fanpool::Timings::every(1));
    /// ```
    #[must_use]
    pub fn all() -> Timings {
        Timings { every: 1 }
    }

    /// Of one in `n`, counted for each group of a pool; 0 is none. Work that repeats with the same period is seen
    /// one-sidedly: a prime avoids that.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::Timings;
    ///
    /// assert_eq!(Timings::every(0), Timings::off());
    /// ```
    #[must_use]
    pub fn every(n: usize) -> Timings {
        Timings { every: n }
    }

    /// What records, if anything is to be.
    pub(crate) fn recorder(self) -> Option<Arc<Recorder>> {
        (self.every > 0).then(|| Arc::new(Recorder::new(self.every)))
    }
}

/// Three histograms, and how many tasks share a record. 90 KiB.
#[derive(Debug)]
pub(crate) struct Recorder {
    every: usize,
    /// Groups that have asked for their phase.
    groups: AtomicUsize,
    wait: AtomicHistogram,
    run: AtomicHistogram,
    total: AtomicHistogram,
}

impl Recorder {
    fn new(every: usize) -> Recorder {
        let Ok(config) = Config::new(GROUPING, RANGE) else { unreachable!("constants that fit") };
        let empty = || AtomicHistogram::with_config(&config);
        Recorder { every, groups: AtomicUsize::new(0), wait: empty(), run: empty(), total: empty() }
    }

    /// Of how many tasks one is to be recorded: at least 1.
    pub(crate) fn every(&self) -> usize {
        self.every
    }

    /// How many tasks a new group leaves out before its first record. Groups that have few tasks, but are many, are
    /// sampled all the same.
    pub(crate) fn phase(&self) -> usize {
        self.groups.fetch_add(1, Ordering::Relaxed) % self.every
    }

    /// Adds a task, with times in nanoseconds.
    pub(crate) fn record(&self, wait: u64, run: u64) {
        for (histogram, nanos) in [(&self.wait, wait), (&self.run, run), (&self.total, wait.saturating_add(run))] {
            let added = histogram.increment(nanos);
            debug_assert!(added.is_ok(), "every number has a bucket");
        }
    }

    pub(crate) fn load(&self) -> Histograms {
        let load = |histogram: &AtomicHistogram| Histogram(histogram.load());
        Histograms::new(load(&self.wait), load(&self.run), load(&self.total))
    }
}

fn nanos(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.saturating_duration_since(from).as_nanos()).unwrap_or(u64::MAX)
}

/// A task that runs and is to be recorded when it ends, be it by a panic, unless it turns out to be no such task.
pub(crate) struct Run<'a> {
    recorder: &'a Recorder,
    sent: Instant,
    began: Instant,
    counts: bool,
}

impl Run<'_> {
    pub(crate) fn begin(recorder: &Recorder, sent: Instant) -> Run<'_> {
        Run { recorder, sent, began: now(), counts: true }
    }

    /// It was not this thread that ran it.
    pub(crate) fn forget(mut self) {
        self.counts = false;
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        if self.counts {
            self.recorder.record(nanos(self.sent, self.began), nanos(self.began, now()));
        }
    }
}
