//! A snapshot of a service. Each lane is looked at under its locks, in their order, for a time that does not depend on
//! how much waits; what others count is read before what it is part of, so that no more has ended than was accepted.

use super::core::{Core, LaneOf};
use super::landing::{ServiceCounts, Share};
use super::settings::Spread;
use super::slot::Seated;
use super::work::Work;
use crate::observe::{Metrics, Observed, Progress, RouteMetrics, TaskCounts, WorkerMetrics, WorkerState};
use crate::sync::atomic::Ordering;
use crate::sync::now;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What one lane looks like.
struct LaneView {
    route: RouteMetrics,
    put_off: usize,
    /// When what is next there was accepted.
    oldest: Option<u64>,
    seated: Vec<Seated>,
}

impl<'a, T: Send + 'a, W: Work<T> + 'a> Core<'a, T, W> {
    pub(super) fn metrics(&self, name: &str) -> Metrics {
        let (counts, shares) = self.landing.shares();
        let mut metrics = Metrics::new(Observed::Service, name);
        let progress = self.progress_of(&counts);
        metrics.tasks = TaskCounts { accepted: self.intake.lock().accepted, ..self.task_counts(&counts) };
        let views: Vec<_> = self.lanes.iter().enumerate().map(|(at, lane)| self.view(at, lane, metrics.at)).collect();
        metrics.queued = views.iter().map(|view| view.route.queued).sum();
        metrics.running = views.iter().map(|view| view.route.running).sum();
        metrics.put_off = views.iter().map(|view| view.put_off).sum();
        let oldest = views.iter().filter_map(|view| view.oldest).min();
        metrics.oldest_wait = oldest.map(|sent| Duration::from_nanos(self.time().saturating_sub(sent)));
        metrics.routes = views.iter().map(|view| view.route).collect();
        let seated = views.into_iter().flat_map(|view| view.seated);
        self.add_workers(&mut metrics, &shares, seated);
        let credits = &self.landing.credits;
        metrics.window = Some(credits.window());
        metrics.in_flight = Some({
            let intake = self.intake.lock();
            credits.in_flight(intake.accepted as usize, credits.released())
        });
        metrics.progress = Some(progress);
        #[cfg(feature = "timings")]
        {
            metrics.times = self.settings.recorder.as_ref().map(|recorder| recorder.load());
        }
        metrics
    }

    fn view(&self, at: usize, lane: &LaneOf<T, W>, now: Instant) -> LaneView {
        let time = now.saturating_duration_since(self.began);
        let held = lane.queue.lock();
        let intake = self.intake.lock();
        let places = &intake.lanes[at];
        let in_hands: usize = held.slots.iter().map(|slot| slot.waiting()).sum();
        let oldest = held.slots.iter().filter_map(|slot| slot.oldest());
        let oldest = oldest.chain(held.waiting.oldest()).chain(places.arrived.front().map(|entry| entry.sent));
        let least = self.settings.route == Spread::Least;
        LaneView {
            route: RouteMetrics {
                queued: held.waiting.waiting() + places.arrived.len() + in_hands,
                running: places.running,
                load: least.then(|| lane.load.load(Ordering::Relaxed)),
            },
            put_off: held.waiting.put_off_now(),
            oldest: oldest.min(),
            seated: held.slots.iter().map(|slot| slot.seated(time)).collect(),
        }
    }

    /// Those that have a place, and those that have had one.
    fn add_workers(&self, metrics: &mut Metrics, shares: &[Share], seated: impl Iterator<Item = Seated>) {
        let mut workers = BTreeMap::new();
        for (index, share) in shares.iter().enumerate().filter(|(_, share)| share.ran > 0 || share.busy > 0) {
            let busy = Duration::from_nanos(share.busy);
            workers.insert(index, WorkerMetrics { ran: share.ran, busy, ..WorkerMetrics::idle(index) });
        }
        for Seated { worker, at_it } in seated {
            let Some(index) = worker else {
                metrics.workers.callers += 1;
                continue;
            };
            let worker = workers.entry(index).or_insert_with(|| WorkerMetrics::idle(index));
            // A handler that helps its own service has several places; the first turn holds the others.
            if let Some(time) = at_it.filter(|time| worker.busy_for.is_none_or(|before| before < *time)) {
                worker.busy += time - worker.busy_for.unwrap_or_default();
                worker.busy_for = Some(time);
                worker.state = WorkerState::Busy;
                worker.group = Some(metrics.name.clone());
            }
        }
        metrics.per_worker = workers.into_values().collect();
        let busy = metrics.per_worker.iter().filter(|worker| worker.state == WorkerState::Busy).count();
        let limit = {
            let intake = self.intake.lock();
            intake.limit.saturating_mul(self.lanes.len())
        };
        let total = limit.min(self.host.size()).max(busy);
        metrics.workers.busy = busy;
        metrics.workers.idle = total - busy;
        (metrics.workers.min, metrics.workers.max) = (total, total);
    }

    fn task_counts(&self, counts: &ServiceCounts) -> TaskCounts {
        TaskCounts {
            finished: counts.finished,
            failed: counts.failed,
            panicked: counts.panicked,
            expired: counts.expired,
            rejected: counts.rejected,
            cancelled: counts.cancelled,
            discarded: counts.discarded,
            refused: self.refused.load(Ordering::Relaxed) as u64,
            retried: counts.retried,
            hedged: counts.hedged,
            late: counts.late,
            contained: counts.contained,
            undelivered: counts.undelivered,
            ..TaskCounts::default()
        }
    }

    /// How far it has come, with those accounts.
    pub(super) fn progress_of(&self, counts: &ServiceCounts) -> Progress {
        let (accepted, closed) = {
            let intake = self.intake.lock();
            (intake.accepted, intake.closed.is_some())
        };
        let ended = self.task_counts(counts);
        let expected = self.expected.load(Ordering::Relaxed);
        let total = match closed {
            true => Some(accepted),
            false => (expected != usize::MAX).then_some(expected as u64),
        };
        let done = ended.ended();
        Progress::of(done, done - ended.finished, accepted - done, total, now() - self.began)
    }
}
