//! Snapshots of a pool.

use super::Pool;
use super::builder::MAX_WORKERS;
use super::shared::Shared;
use super::station::{Doing, Station};
use crate::observe::{Metrics, Observed, TaskCounts, WorkerCounts, WorkerMetrics, WorkerState};
use crate::sync::Arc;
use crate::sync::atomic::Ordering;
use std::time::{Duration, Instant};

impl Pool {
    /// A snapshot of now: counts, depths, workers and their times; with [`timings`](crate::Builder) also histograms.
    ///
    /// It takes the locks of the roster, of each worker's state and of each group, one after the other and each for a moment, so it costs
    /// about a microsecond and 100 ns for each worker and group. `oldest_wait` is a lower bound: a task is timed from the first
    /// snapshot that finds it queued, so the value grows from one to the next as long as the task waits. No count ever falls from one snapshot to
    /// the next but those of a worker whose index is given to another. `accepted` is never less than what has ended; what came to groups that go at that very
    /// moment may be missing until a later snapshot. When nothing waits or runs it is the sum of what has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// let before = pool.metrics();
    /// pool.scope(|s| (0..100).for_each(|_| s.spawn(|| ())));
    /// let after = pool.metrics();
    /// assert_eq!((after.tasks.finished, after.queued), (100, 0));
    /// assert_eq!(after.since(&before).tasks.ran(), 100);
    /// println!("{after}");
    /// ```
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.shared.metrics()
    }
}

impl Shared {
    pub(super) fn metrics(&self) -> Metrics {
        let mut metrics = Metrics::new(Observed::Pool, &self.config.name);
        let clock = self.config.clock.now();
        let mut waited = Duration::ZERO;
        let mut running = 0;
        // What has ended is read first, so that it is never more than what was accepted. Of that, groups that go meanwhile are missed, and
        // none counts twice; so it is never too high, and the highest that was known does not fall.
        let (counts, workers) = self.look_at_workers(metrics.at);
        let ended = counts.ran + counts.panicked + counts.cancelled + counts.discarded;
        let mut accepted = self.came_to_others();
        for group in self.groups() {
            let (queued, active) = group.depth();
            accepted += group.arrivals();
            metrics.queued += queued;
            running += active;
            waited = waited.max(group.waited(clock));
        }
        metrics.running = running;
        metrics.oldest_wait = (metrics.queued > 0).then_some(waited);
        metrics.per_worker = workers;
        metrics.workers = self.worker_counts(&metrics.per_worker, running);
        metrics.tasks = TaskCounts {
            finished: counts.ran as u64,
            panicked: counts.panicked as u64,
            cancelled: counts.cancelled as u64,
            discarded: counts.discarded as u64,
            refused: self.refused.load(Ordering::Relaxed) as u64,
            ..TaskCounts::default()
        };
        metrics.tasks.accepted = self.most_accepted(accepted.max(ended)) as u64;
        #[cfg(feature = "timings")]
        {
            metrics.times = self.recorder.as_ref().map(|recorder| recorder.load());
        }
        metrics
    }

    fn worker_counts(&self, workers: &[WorkerMetrics], running: usize) -> WorkerCounts {
        let of = |state| workers.iter().filter(|worker| worker.state == state).count();
        let now = self.workers.load(Ordering::Relaxed);
        let (min, max) = match (&self.staff, self.config.sharded) {
            (Some(staff), _) => (staff.options.min, staff.options.max),
            (None, true) => (now, now),
            (None, false) => (now, now.min(MAX_WORKERS)),
        };
        let serving = workers.iter().filter(|worker| worker.busy_for.is_some()).count();
        WorkerCounts {
            starting: of(WorkerState::Starting),
            idle: of(WorkerState::Idle),
            busy: of(WorkerState::Busy),
            blocked: of(WorkerState::Blocked),
            leaving: of(WorkerState::Leaving),
            min,
            max,
            callers: running.saturating_sub(serving),
            refused: self.staff.as_ref().map_or(0, |staff| staff.refusals().count),
        }
    }
}

/// What one worker does.
pub(super) fn of_worker(station: &Arc<Station>, now: Instant) -> WorkerMetrics {
    let duty = station.duty.lock().clone();
    let tally = station.tally();
    let (group, serves) = match &duty.doing {
        Doing::Serving(name) => (name.as_deref().map(str::to_owned), true),
        Doing::Listening | Doing::Hook => (None, false),
    };
    let state = match (station.retiring.load(Ordering::Relaxed), serves, duty.blocked > 0) {
        (true, ..) => WorkerState::Leaving,
        (false, true, true) => WorkerState::Blocked,
        (false, true, false) => WorkerState::Busy,
        (false, false, _) if duty.doing == Doing::Hook => WorkerState::Starting,
        (false, false, _) => WorkerState::Idle,
    };
    WorkerMetrics {
        state,
        group,
        busy_for: serves.then(|| now.saturating_duration_since(duty.since)),
        ran: (tally.ran + tally.panicked) as u64,
        busy: duty.busy(now),
        ..WorkerMetrics::idle(station.index)
    }
}
