//! How a pool or a service is, as a plain value.

use std::fmt;
use std::time::Duration;

/// How a pool or a service is, with reasons that a person can act on; made by [`Pool::health`](crate::Pool::health) and
/// [`Control::health`](crate::Control::health).
///
/// `Display` gives the status on the first line, and one line for each reason.
///
/// # Examples
///
/// What a probe's endpoint answers, as a status code and a text:
///
/// ```
/// use fanpool::{Health, Pool};
///
/// fn live(health: &Health) -> (u16, String) {
///     (if health.is_live() { 200 } else { 503 }, health.to_string())
/// }
///
/// fn ready(health: &Health) -> (u16, String) {
///     (if health.is_ready() { 200 } else { 503 }, health.to_string())
/// }
///
/// let pool = Pool::new();
/// assert_eq!(ready(&pool.health()), (200, "healthy".into()));
/// pool.pause();
/// assert_eq!(live(&pool.health()).0, 200);
/// assert_eq!(ready(&pool.health()), (503, "degraded\npaused: no task is started until it is resumed".into()));
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Health {
    status: Status,
    live: bool,
    ready: bool,
    reasons: Vec<Reason>,
}

/// How bad it is. The worse is the greater.
///
/// # Examples
///
/// ```
/// use fanpool::Status;
///
/// assert!(Status::Healthy < Status::Degraded && Status::Degraded < Status::Unhealthy);
/// assert_eq!(Status::Degraded.to_string(), "degraded");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Status {
    /// There is no reason to do anything.
    Healthy,
    /// Work goes on, but less than it could, or none because somebody said so.
    Degraded,
    /// No work is done, or its outcomes are lost, and it stays so until somebody acts.
    Unhealthy,
}

/// Why something is not healthy.
///
/// `Display` gives one line that says what to do.
///
/// # Examples
///
/// ```
/// let pool = fanpool::Pool::new();
/// pool.close();
/// assert_eq!(pool.health().reasons(), [fanpool::Reason::Closed { left: 0 }]);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Reason {
    /// A task, or an item's handler, has run for as long as `stuck_after` says, or longer.
    Stuck {
        /// Tells it apart from others of the same pool or service: at each check the same number.
        id: u64,
        /// The index of the worker that runs it; `None` for another thread that helps.
        worker: Option<usize>,
        /// The name of the task's group, or of the service.
        task: Option<String>,
        /// The item's number, in a service; of a batch, the number of its first.
        item: Option<u64>,
        /// The lane, in a service that has several.
        lane: Option<usize>,
        /// For how long it is known to run. If its worker ran something else right before, this counts from the first check that saw it.
        since: Duration,
        /// The task is inside of [`blocking`](crate::blocking). A check of a service does not tell.
        blocking: bool,
    },
    /// More tasks waited at each of the last checks than at the one before.
    QueueGrows {
        /// How many wait.
        queued: usize,
        /// How many checks in a row found more.
        checks: u32,
    },
    /// Circuit breakers of the service refuse calls.
    BreakerOpen {
        /// How many are open.
        open: usize,
        /// The number of one of their keys, if there is one for each key.
        key: Option<u64>,
        /// How long until the first of them admits a call again.
        retry_after: Duration,
    },
    /// There are fewer workers than there should be.
    ThreadsMissing {
        /// How many there are.
        workers: usize,
        /// How many were asked for.
        wanted: usize,
        /// What the last attempt to start one failed with.
        why: Option<String>,
    },
    /// The output was dropped while there were items to come, or outcomes to take.
    CollectorStopped {
        /// Outcomes that nobody took.
        lost: u64,
    },
    /// The window is full with what is done, and nobody has taken an outcome for as long as `stuck_after` says.
    NotCollected {
        /// Items between sending and receiving.
        in_flight: usize,
        /// For how long nothing is known to have been taken.
        since: Duration,
    },
    /// The broker that items come from, or that results or dead letters go to, cannot be reached.
    BrokerLost {
        /// Which engine, and for what.
        broker: String,
        /// What it said last.
        why: String,
        /// For how long.
        since: Duration,
        /// From when on that is [`Status::Unhealthy`].
        limit: Duration,
    },
    /// It was paused.
    Paused,
    /// Nothing more is accepted: it was closed, drained or stopped, or all inputs are gone.
    Closed {
        /// Tasks that wait to be started, or items without an outcome that was taken.
        left: usize,
    },
}

impl Health {
    /// Reasons in any order; `live` if not everything is stuck.
    pub(crate) fn new(mut reasons: Vec<Reason>, live: bool) -> Health {
        let worst = reasons.iter().map(Reason::status).max().unwrap_or(Status::Healthy);
        let status = if live { worst } else { Status::Unhealthy };
        let ready = status != Status::Unhealthy && reasons.iter().all(Reason::leaves_ready);
        reasons.sort_by_key(|reason| std::cmp::Reverse(reason.status()));
        Health { status, live, ready, reasons }
    }

    /// How bad it is: the worst of the reasons, and [`Status::Unhealthy`] if it is not [live](Health::is_live).
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(fanpool::Pool::new().health().status(), fanpool::Status::Healthy);
    /// ```
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    /// Why. The worst come first; none if it is healthy.
    ///
    /// # Examples
    ///
    /// ```
    /// for reason in fanpool::Pool::new().health().reasons() {
    ///     eprintln!("{reason}");
    /// }
    /// ```
    #[must_use]
    pub fn reasons(&self) -> &[Reason] {
        &self.reasons
    }

    /// Whether to leave the process alone. False only where a restart is what helps: every worker (of a service: every handler that may
    /// run at once) is stuck, and no other may be started.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(fanpool::Pool::new().health().is_live());
    /// ```
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// Whether to send more work. False while that would not be started soon: while it is closed, paused or
    /// [`Status::Unhealthy`], its queue only grows, its window is full and nobody collects, or its broker is lost. An open breaker, single stuck tasks and
    /// missing threads leave it ready.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).start()?;
    /// let control = input.control();
    /// assert!(control.health().is_ready());
    /// control.drain();
    /// assert!(!control.health().is_ready() && control.health().is_live());
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready
    }
}

impl Reason {
    fn status(&self) -> Status {
        match self {
            Reason::CollectorStopped { .. } | Reason::ThreadsMissing { workers: 0, .. } => Status::Unhealthy,
            Reason::BrokerLost { since, limit, .. } if since >= limit => Status::Unhealthy,
            _ => Status::Degraded,
        }
    }

    fn leaves_ready(&self) -> bool {
        matches!(self, Reason::Stuck { .. } | Reason::BreakerOpen { .. } | Reason::ThreadsMissing { .. })
    }

    /// Whether both tell of the same trouble, whatever its figures are by now.
    pub(crate) fn is_same(&self, other: &Reason) -> bool {
        match (self, other) {
            (Reason::Stuck { id, .. }, Reason::Stuck { id: other, .. }) => id == other,
            (Reason::BrokerLost { broker, .. }, Reason::BrokerLost { broker: other, .. }) => broker == other,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        self.reasons.iter().try_for_each(|reason| write!(f, "\n{reason}"))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Status::Healthy => "healthy",
            Status::Degraded => "degraded",
            Status::Unhealthy => "unhealthy",
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Stuck { worker, task, item, lane, since, blocking, .. } => {
                match worker {
                    Some(worker) => write!(f, "worker {worker}")?,
                    None => f.write_str("a thread that helps")?,
                }
                write!(f, " has run ")?;
                match item {
                    Some(item) => write!(f, "item {item}")?,
                    None => f.write_str("a task")?,
                }
                // Names are quoted, so that none ends the line.
                task.iter().try_for_each(|task| write!(f, " of {task:?}"))?;
                lane.iter().try_for_each(|lane| write!(f, " in lane {lane}"))?;
                let inside = if *blocking { ", inside of `blocking`" } else { "" };
                write!(f, " for {since:.1?}{inside}: see what it waits for, and give that a timeout")
            }
            Reason::QueueGrows { queued, checks } => {
                write!(f, "{queued} tasks wait, more at each of {checks} checks: add workers, or send less")
            }
            Reason::BreakerOpen { open, key, retry_after } => {
                match (open, key) {
                    (_, None) => f.write_str("the circuit breaker is open")?,
                    (1, Some(key)) => write!(f, "the circuit breaker of key {key} is open")?,
                    (_, Some(key)) => write!(f, "{open} circuit breakers are open, one of them of key {key}")?,
                }
                write!(f, ", for {retry_after:.1?} more: see whether what it protects works")
            }
            Reason::ThreadsMissing { workers, wanted, why } => {
                write!(f, "{workers} workers of {wanted}")?;
                why.iter().try_for_each(|why| write!(f, " ({why:?})"))?;
                f.write_str(": let the process have more threads, or ask for fewer")
            }
            Reason::CollectorStopped { lost } => {
                write!(
                    f,
                    "the output was dropped, {lost} outcomes are lost: see what ended the collector, and start anew"
                )
            }
            Reason::NotCollected { in_flight, since } => {
                write!(
                    f,
                    "{in_flight} outcomes fill the window, none was taken for {since:.1?}: see what the collector does"
                )
            }
            Reason::BrokerLost { broker, why, since, .. } => {
                write!(f, "{broker} is lost for {since:.1?} ({why:?}): see whether the broker runs and can be reached")
            }
            Reason::Paused => f.write_str("paused: no task is started until it is resumed"),
            Reason::Closed { left } => write!(f, "closed: nothing more is accepted, {left} are left"),
        }
    }
}

#[cfg(all(test, not(fanpool_loom)))]
mod tests {
    use super::*;

    fn stuck(id: u64, task: &str) -> Reason {
        let since = Duration::from_secs(42);
        Reason::Stuck { id, worker: Some(3), task: Some(task.into()), item: None, lane: None, since, blocking: false }
    }

    fn lost(since: u64) -> Reason {
        let (since, limit) = (Duration::from_secs(since), Duration::from_secs(30));
        Reason::BrokerLost { broker: "redis, for items".into(), why: "connection\nreset".into(), since, limit }
    }

    #[test]
    fn every_reason_is_one_line_and_has_a_status() {
        let since = Duration::from_millis(1_500);
        let item =
            Reason::Stuck { id: 1, worker: None, task: None, item: Some(7), lane: Some(2), since, blocking: true };
        let breakers = |open, key| Reason::BreakerOpen { open, key, retry_after: since };
        let threads =
            |workers, why: Option<&str>| Reason::ThreadsMissing { workers, wanted: 4, why: why.map(String::from) };
        #[rustfmt::skip]
        let rows = [
            (stuck(0, "a\nb"), "worker 3 has run a task of \"a\\nb\" for 42.0s: see what it waits for, and give that a timeout", Status::Degraded, true),
            (item, "a thread that helps has run item 7 in lane 2 for 1.5s, inside of `blocking`: see what it waits for, and give that a timeout", Status::Degraded, true),
            (Reason::QueueGrows { queued: 900, checks: 6 }, "900 tasks wait, more at each of 6 checks: add workers, or send less", Status::Degraded, false),
            (breakers(1, None), "the circuit breaker is open, for 1.5s more: see whether what it protects works", Status::Degraded, true),
            (breakers(1, Some(9)), "the circuit breaker of key 9 is open, for 1.5s more: see whether what it protects works", Status::Degraded, true),
            (breakers(2, Some(9)), "2 circuit breakers are open, one of them of key 9, for 1.5s more: see whether what it protects works", Status::Degraded, true),
            (threads(2, None), "2 workers of 4: let the process have more threads, or ask for fewer", Status::Degraded, true),
            (threads(0, Some("no\nmemory")), "0 workers of 4 (\"no\\nmemory\"): let the process have more threads, or ask for fewer", Status::Unhealthy, false),
            (Reason::CollectorStopped { lost: 2 }, "the output was dropped, 2 outcomes are lost: see what ended the collector, and start anew", Status::Unhealthy, false),
            (Reason::NotCollected { in_flight: 8, since }, "8 outcomes fill the window, none was taken for 1.5s: see what the collector does", Status::Degraded, false),
            (lost(29), "redis, for items is lost for 29.0s (\"connection\\nreset\"): see whether the broker runs and can be reached", Status::Degraded, false),
            (lost(30), "redis, for items is lost for 30.0s (\"connection\\nreset\"): see whether the broker runs and can be reached", Status::Unhealthy, false),
            (Reason::Paused, "paused: no task is started until it is resumed", Status::Degraded, false),
            (Reason::Closed { left: 3 }, "closed: nothing more is accepted, 3 are left", Status::Degraded, false),
        ];
        for (reason, line, status, ready) in rows {
            assert_eq!(reason.to_string(), line);
            let health = Health::new(vec![reason], true);
            assert_eq!((health.status(), health.is_ready(), health.is_live()), (status, ready, true), "{line}");
            assert_eq!(health.to_string(), format!("{status}\n{line}"));
        }
    }

    #[test]
    fn the_worst_decides_and_comes_first() {
        let health = Health::new(vec![Reason::Paused, stuck(0, "a"), Reason::CollectorStopped { lost: 0 }], true);
        assert_eq!(health.status(), Status::Unhealthy);
        assert!(matches!(health.reasons(), [Reason::CollectorStopped { .. }, Reason::Paused, Reason::Stuck { .. }]));
        let all_stuck = Health::new(vec![stuck(0, "a")], false);
        assert_eq!(all_stuck.status(), Status::Unhealthy);
        assert!(!all_stuck.is_live() && !all_stuck.is_ready());
        let well = Health::new(Vec::new(), true);
        assert_eq!((well.status(), well.is_ready(), well.to_string()), (Status::Healthy, true, "healthy".to_owned()));
    }

    #[test]
    fn stuck_tasks_are_told_apart_and_other_reasons_are_one_each() {
        assert!(stuck(1, "a").is_same(&stuck(1, "a")) && !stuck(1, "a").is_same(&stuck(2, "a")));
        assert!(Reason::Closed { left: 1 }.is_same(&Reason::Closed { left: 2 }));
        assert!(!Reason::Closed { left: 1 }.is_same(&Reason::Paused));
    }
}
