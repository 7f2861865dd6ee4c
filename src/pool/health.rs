//! Checks of a pool's health: what is looked at. What it means is decided in `watch`.

use super::Pool;
use super::control::Resizer;
use super::shared::Shared;
use super::station::{Doing, Station};
use super::watch::{Seat, Sight, Watch};
use crate::error::BuildError;
use crate::group::Host;
use crate::observe::{Health, Reason};
use crate::sync::estimate::{AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex};
use std::fmt;

pub(super) struct Checks {
    /// The size that was asked for last. Only reported.
    wanted: AtomicUsize,
    /// Why it was not reached.
    why: Mutex<Option<Arc<str>>>,
    watch: Mutex<Watch>,
}

impl Checks {
    pub(super) fn new() -> Checks {
        Checks { wanted: AtomicUsize::new(0), why: Mutex::new(None), watch: Mutex::new(Watch::new()) }
    }

    /// That size was asked for.
    pub(super) fn sized(&self, size: usize, error: Option<&BuildError>) {
        self.wanted.store(size, Ordering::Relaxed);
        let why = error.map(|error| error.to_string().into());
        *self.why.lock() = why;
    }
}

impl Station {
    /// What it serves, if it does.
    fn seat(&self) -> Option<Seat> {
        let duty = self.duty.lock();
        let Doing::Serving(group) = &duty.doing else { return None };
        Some(Seat {
            worker: self.index,
            retiring: self.retiring.load(crate::sync::atomic::Ordering::Relaxed),
            group: group.clone(),
            blocking: duty.blocked > 0,
            turn: duty.turn,
            ended: self.total(),
        })
    }
}

impl Shared {
    /// Makes a check.
    pub(super) fn health(&self) -> Health {
        // Before the lock: this may turn out to have the last handle of a group, with tasks that nobody will run.
        let queued = self.groups().iter().map(|group| group.depth().0).sum();
        // Held from the look on, so that what checks remember is never older than what they see.
        let mut watch = self.checks.watch.lock();
        let now = self.config.clock.now();
        let (seats, workers, ending) = {
            let roster = self.roster.lock();
            let seats: Vec<_> = roster.stations().filter_map(|station| station.seat()).collect();
            (seats, roster.len(), roster.ending)
        };
        let (wanted, max, refusals, refused) = match &self.staff {
            Some(staff) => {
                let refusals = staff.refusals();
                (staff.options.min, Some(staff.options.max), refusals.count, refusals.last)
            }
            None => (self.checks.wanted.load(Ordering::Relaxed), None, 0, None),
        };
        let why = refused.clone().or_else(|| self.checks.why.lock().clone());
        let refused = if workers < wanted { why } else { refused };
        watch.check(&Sight {
            now,
            limit: self.config.stuck_after,
            seats,
            workers,
            wanted,
            max,
            ending,
            refusals,
            refused,
            waits: self.lanes.has_tickets(),
            queued,
            paused: self.gate.is_paused(),
            closed: Host::is_closed(self),
        })
    }
}

impl Resizer {
    /// Workers that are missing.
    pub(crate) fn missing(&self) -> Option<Reason> {
        let health = self.shared().health();
        health.reasons().iter().find(|reason| matches!(reason, Reason::ThreadsMissing { .. })).cloned()
    }
}

impl Pool {
    /// Makes a check: how the pool is, and why. It takes the pool's locks for a moment, waits for no task and calls no code of the user's.
    ///
    /// What follows from the checks before is remembered in the pool, so make one every few seconds; who makes it does not matter.
    ///
    /// * A task is **stuck** once it has run for [`stuck_after`](super::Builder::stuck_after), whatever it does, and a call of
    ///   [`blocking`](crate::blocking) counts like anything else. If its worker had run other tasks of the same group right before, the time
    ///   counts from the first check that saw it; so the second check after the limit names it at the latest. It is named by its
    ///   group, so give groups names. Only workers are watched: a task of a scope that the scope's own thread runs is not.
    /// * **Threads are missing** if there are fewer workers than the size that was asked for last, or than an elastic pool's minimum; and after a
    ///   thread was refused to an elastic pool, until one is started, or until nobody waits for it and `stuck_after` is over.
    /// * **The queue only grows** if five checks in a row found more tasks waiting than the one before, and at least 100. Checks that
    ///   come sooner than a thirtieth of `stuck_after` after another count as that one, and while the pool is paused none does.
    /// * It is **not live** if all of its workers are stuck, and it is not an elastic pool that may start another.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{Pool, Status, Workers, testing::ManualClock};
    /// use std::{sync::mpsc, time::Duration};
    ///
    /// let clock = ManualClock::new();
    /// let pool = Pool::builder().workers(Workers::Fixed(2)).clock(&clock).build()?;
    /// let (answer, answers) = mpsc::channel::<()>();
    /// let (begun, begins) = mpsc::channel();
    /// pool.group().name("backup").build()?.spawn(move || {
    ///     begun.send(()).unwrap();
    ///     let _ = answers.recv();
    /// })?;
    /// begins.recv()?;
    /// clock.advance(Duration::from_secs(42));
    /// let health = pool.health();
    /// assert_eq!(health.status(), Status::Degraded);
    /// assert!(health.to_string().contains("has run a task of \"backup\" for 42.0s"));
    /// drop(answer);
    /// pool.wait_idle()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn health(&self) -> Health {
        self.shared.health()
    }

    /// Makes checks of this pool without keeping it: for a [`Monitor`](crate::Monitor), or the thread of an endpoint.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// let check = pool.health_check();
    /// assert!(check.health().is_ready());
    /// drop(pool);
    /// assert!(!check.health().is_ready());
    /// ```
    #[must_use]
    pub fn health_check(&self) -> HealthCheck {
        HealthCheck { shared: self.shared.clone() }
    }
}

/// Makes checks of a pool's [`health`](Pool::health), and keeps nothing running: the pool ends when its owner says so, and is closed from then on.
/// It keeps some of the pool's memory, though, and its hooks.
///
/// # Examples
///
/// ```
/// use fanpool::{Monitor, Notifier, Pool, Rule};
///
/// let pool = Pool::new();
/// let check = pool.health_check();
/// let monitor = Monitor::builder()
///     .rule(Rule::health("pool", move || check.health()))
///     .notify(Notifier::line(std::io::stderr()))
///     .start()?;
/// # Ok::<(), fanpool::BuildError>(())
/// ```
#[derive(Clone)]
pub struct HealthCheck {
    shared: Arc<Shared>,
}

impl HealthCheck {
    /// As [`Pool::health`].
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// assert!(pool.health_check().health().is_live());
    /// ```
    #[must_use]
    pub fn health(&self) -> Health {
        self.shared.health()
    }
}

impl fmt::Debug for HealthCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthCheck").field("pool", &self.shared.config.name).finish_non_exhaustive()
    }
}
