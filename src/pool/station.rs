//! What others may know of a worker: what it does, since when, and what became of the tasks that it ran.
//!
//! Counters are written by the worker alone, one plain store a task on a cache line that nobody else writes. A worker that
//! leaves adds them to the pool's totals under the roster's lock, which whoever reads holds too, so none is seen twice or missed. They
//! are stored before the task is settled: whoever learns that a task has ended finds it counted.

use super::BusyWorker;
use crate::group::Tally;
use crate::job::Verdict;
use crate::resilience::Clock;
use crate::sync::atomic::AtomicBool;
use crate::sync::estimate::{AtomicUsize, Ordering};
use crate::sync::{Arc, CachePadded, Mutex, now};
use std::time::{Duration, Instant};

pub(super) struct Station {
    pub(super) index: usize,
    pub(super) retiring: AtomicBool,
    /// Set under the roster's lock when the worker has left its loop.
    pub(super) left: AtomicBool,
    pub(super) duty: Mutex<Duty>,
    /// Whether the lanes count on this worker; changed under their lock.
    pub(super) ready: AtomicBool,
    ended: CachePadded<Ended>,
    /// The pool's.
    clock: Clock,
}

/// What a worker does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Doing {
    Listening,
    Hook,
    Serving(Option<Arc<str>>),
}

#[derive(Debug, Clone)]
pub(super) struct Duty {
    pub(super) doing: Doing,
    /// Calls of `blocking` that its task is in.
    pub(super) blocked: usize,
    pub(super) since: Instant,
    /// `since` by the pool's clock, and how many tasks had ended then.
    pub(super) turn: (Instant, usize),
    /// How long it has served before `since`.
    busy: Duration,
}

/// Tasks that ended on this worker.
#[derive(Debug, Default)]
struct Ended {
    ran: AtomicUsize,
    panicked: AtomicUsize,
    cancelled: AtomicUsize,
    discarded: AtomicUsize,
}

impl Station {
    pub(super) fn new(index: usize, clock: Clock) -> Arc<Station> {
        let (doing, since) = (Doing::Listening, now());
        let duty = Duty { doing, blocked: 0, since, turn: (since, 0), busy: Duration::ZERO };
        Arc::new(Station {
            index,
            retiring: AtomicBool::new(false),
            left: AtomicBool::new(false),
            duty: Mutex::new(duty),
            ready: AtomicBool::new(false),
            ended: CachePadded::new(Ended::default()),
            clock,
        })
    }

    pub(super) fn set_doing(&self, doing: Doing) {
        let now = now();
        let turn = (if self.clock.is_system() { now } else { self.clock.now() }, self.total());
        let mut duty = self.duty.lock();
        duty.busy = duty.busy(now);
        duty.doing = doing;
        duty.since = now;
        duty.turn = turn;
    }

    pub(super) fn is_listening(&self) -> bool {
        self.duty.lock().doing == Doing::Listening
    }

    /// Enters a call of `blocking`, or leaves one; returns how many there are.
    pub(super) fn change_blocked(&self, by: isize) -> usize {
        let mut duty = self.duty.lock();
        duty.blocked = duty.blocked.saturating_add_signed(by);
        duty.blocked
    }

    /// Takes note of a task that ended, for the worker itself.
    pub(super) fn note(&self, verdict: Verdict) {
        let counter = match verdict {
            Verdict::Finished => &self.ended.ran,
            Verdict::Panicked => &self.ended.panicked,
            Verdict::NotStarted => &self.ended.cancelled,
            Verdict::Discarded => &self.ended.discarded,
            Verdict::Elsewhere => return,
        };
        counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    pub(super) fn tally(&self) -> Tally {
        let Ended { ran, panicked, cancelled, discarded } = &*self.ended;
        let load = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        Tally::of(load(ran), load(panicked), load(cancelled), load(discarded))
    }

    /// Tasks that have ended, however.
    pub(super) fn total(&self) -> usize {
        let Tally { ran, panicked, cancelled, discarded, .. } = self.tally();
        ran + panicked + cancelled + discarded
    }

    pub(super) fn report(&self) -> BusyWorker {
        let group = match &self.duty.lock().doing {
            Doing::Serving(name) => name.clone(),
            Doing::Listening | Doing::Hook => None,
        };
        BusyWorker { worker: self.index, group }
    }
}

impl Duty {
    /// How long it has served, until `now`.
    pub(super) fn busy(&self, now: Instant) -> Duration {
        let current = matches!(self.doing, Doing::Serving(_)).then(|| now.saturating_duration_since(self.since));
        self.busy + current.unwrap_or_default()
    }
}
