//! The snapshot, and what it consists of.

#[cfg(feature = "timings")]
use super::histogram::Histograms;
#[cfg(feature = "serde")]
use super::seconds;
use super::{BrokerCounts, Progress, Rates};
use crate::sync::now;
use std::time::{Duration, Instant};

/// What a snapshot is of.
///
/// # Examples
///
/// ```
/// let (input, output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).start()?;
/// assert_eq!(input.control().metrics().of, fanpool::Observed::Service);
/// # Ok::<(), fanpool::BuildError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Observed {
    /// A pool and its tasks.
    Pool,
    /// A service and its items.
    Service,
}

impl Observed {
    pub(super) fn name(self) -> &'static str {
        match self {
            Observed::Pool => "pool",
            Observed::Service => "service",
        }
    }
}

/// What became of tasks, or of a service's items, since the beginning. None of these ever falls.
///
/// The parts of one snapshot are looked at one after another, while work goes on; whenever no task waits or runs,
/// `accepted` is the [`ended`](TaskCounts::ended) ones.
///
/// # Examples
///
/// ```
/// let (input, output) = fanpool::FanOut::builder(|n: u8| if n == 0 { Err("zero") } else { Ok(n) }).start()?;
/// let control = input.control();
/// (0..3).try_for_each(|n| input.send(n).map(drop))?;
/// drop(input);
/// output.count();
/// let tasks = control.metrics().tasks;
/// assert_eq!((tasks.accepted, tasks.finished, tasks.failed), (3, 2, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TaskCounts {
    /// Taken in.
    pub accepted: u64,
    /// Ran to their end; of a service's items, those whose handler returned `Ok`.
    pub finished: u64,
    /// The handler returned an error. Tasks of a pool do not fail in this way.
    pub failed: u64,
    /// Panicked.
    pub panicked: u64,
    /// Their deadline passed before they were done.
    pub expired: u64,
    /// Not started, or not tried again, because a circuit breaker was open; of a consumer, also messages that could not be decoded or were
    /// delivered too often.
    pub rejected: u64,
    /// Not started, because of a token, of another task's failure, or of a stop.
    pub cancelled: u64,
    /// Not started, because the pool was shut down, or the service's output dropped.
    pub discarded: u64,
    /// Handed back to whoever submitted: closed, full, or out of time. They were never accepted.
    pub refused: u64,
    /// Attempts beyond the first.
    pub retried: u64,
    /// Second attempts that were made because the first took long.
    pub hedged: u64,
    /// Attempts whose answer came when there was one already.
    pub late: u64,
    /// Panics of functions that decide or observe.
    pub contained: u64,
    /// Outcomes that nobody took.
    pub undelivered: u64,
}

/// Applies a function to each count and its counterpart.
macro_rules! each_count {
    ($one:expr, $other:expr, $function:expr) => {
        each_count!($one, $other, $function, accepted, finished, failed, panicked, expired, rejected, cancelled,
            discarded, refused, retried, hedged, late, contained, undelivered)
    };
    ($one:expr, $other:expr, $function:expr, $($name:ident),*) => {
        TaskCounts { $($name: $function($one.$name, $other.$name)),* }
    };
}

fn sum<const N: usize>(counts: [u64; N]) -> u64 {
    counts.into_iter().fold(0, u64::saturating_add)
}

impl TaskCounts {
    /// How those that ended have ended, by name.
    pub(super) fn outcomes(&self) -> [(&'static str, u64); 7] {
        [
            ("finished", self.finished),
            ("failed", self.failed),
            ("panicked", self.panicked),
            ("expired", self.expired),
            ("rejected", self.rejected),
            ("cancelled", self.cancelled),
            ("discarded", self.discarded),
        ]
    }

    /// Those that a thread ran to an end, good or bad: finished, failed or panicked.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut tasks = fanpool::TaskCounts::default();
    /// (tasks.finished, tasks.failed, tasks.expired) = (2, 1, 1);
    /// assert_eq!((tasks.ran(), tasks.unsuccessful(), tasks.ended()), (3, 2, 4));
    /// ```
    #[must_use]
    pub fn ran(&self) -> u64 {
        sum([self.finished, self.failed, self.panicked])
    }

    /// Those that failed, panicked, expired or were rejected.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(fanpool::TaskCounts::default().unsuccessful(), 0);
    /// ```
    #[must_use]
    pub fn unsuccessful(&self) -> u64 {
        sum([self.failed, self.panicked, self.expired, self.rejected])
    }

    /// Those that ended, in whatever way.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(fanpool::TaskCounts::default().ended(), 0);
    /// ```
    #[must_use]
    pub fn ended(&self) -> u64 {
        sum([self.finished, self.unsuccessful(), self.cancelled, self.discarded])
    }

    /// What was added since `earlier`; zero where that has more.
    ///
    /// # Examples
    ///
    /// ```
    /// let (mut before, mut after) = (fanpool::TaskCounts::default(), fanpool::TaskCounts::default());
    /// (before.finished, after.finished) = (2, 5);
    /// assert_eq!(after.since(&before).finished, 3);
    /// assert_eq!(before.since(&after).finished, 0);
    /// ```
    #[must_use]
    pub fn since(&self, earlier: &TaskCounts) -> TaskCounts {
        each_count!(self, earlier, u64::saturating_sub)
    }
}

/// How many workers are in which state.
///
/// # Examples
///
/// ```
/// let (input, output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).workers(2).start()?;
/// let workers = input.control().metrics().workers;
/// assert_eq!((workers.total(), workers.idle, workers.busy), (2, 2, 0));
/// # Ok::<(), fanpool::BuildError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct WorkerCounts {
    /// Run their start hook ([`on_start`](crate::Builder::on_start)).
    pub starting: usize,
    /// Wait for a task. Of a service, the workers that it may use and does not; on a shared pool they may be busy with
    /// others.
    pub idle: usize,
    /// Run a task.
    pub busy: usize,
    /// Run a task that said it would block.
    pub blocked: usize,
    /// Were told to leave, and have not.
    pub leaving: usize,
    /// The least that there are to be.
    pub min: usize,
    /// The most that there may be.
    pub max: usize,
    /// Threads that are no workers and run tasks while they wait for something. They are not part of the total.
    pub callers: usize,
    /// Threads that an elastic pool asked for in vain: the operating system refused them, or their start hook panicked.
    pub refused: usize,
}

impl WorkerCounts {
    /// Workers by the name of their state.
    pub(super) fn states(&self) -> [(&'static str, usize); 5] {
        [
            ("starting", self.starting),
            ("idle", self.idle),
            ("busy", self.busy),
            ("blocked", self.blocked),
            ("leaving", self.leaving),
        ]
    }

    /// All workers, whatever their state.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(fanpool::WorkerCounts::default().total(), 0);
    /// ```
    #[must_use]
    pub fn total(&self) -> usize {
        [self.starting, self.idle, self.busy, self.blocked, self.leaving].into_iter().fold(0, usize::saturating_add)
    }
}

/// What a worker does.
///
/// # Examples
///
/// ```
/// assert_eq!(fanpool::WorkerState::Busy.to_string(), "busy");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum WorkerState {
    /// It runs its start hook.
    Starting,
    /// It waits for a task.
    Idle,
    /// It runs a task.
    Busy,
    /// It runs a task that said it would block.
    Blocked,
    /// It was told to leave, and has not.
    Leaving,
}

impl WorkerState {
    fn name(self) -> &'static str {
        match self {
            WorkerState::Starting => "starting",
            WorkerState::Idle => "idle",
            WorkerState::Busy => "busy",
            WorkerState::Blocked => "blocked",
            WorkerState::Leaving => "leaving",
        }
    }
}

impl std::fmt::Display for WorkerState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// One worker.
///
/// # Examples
///
/// ```
/// let (input, output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).workers(1).start()?;
/// let control = input.control();
/// input.send(1)?;
/// drop(input);
/// output.count();
/// let worker = &control.metrics().per_worker[0];
/// assert_eq!((worker.index, worker.ran), (0, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct WorkerMetrics {
    /// Its index in its pool.
    pub index: usize,
    /// What it does.
    pub state: WorkerState,
    /// The group whose task it runs, or the service, if that has a name.
    pub group: Option<String>,
    /// How long it has been at what it runs: at one task, or at the few cheap ones that it took together.
    #[cfg_attr(feature = "serde", serde(rename = "busy_for_seconds", serialize_with = "seconds::maybe"))]
    pub busy_for: Option<Duration>,
    /// Tasks that it ran to an end.
    pub ran: u64,
    /// The time that it spent on them, and on what it runs.
    #[cfg_attr(feature = "serde", serde(rename = "busy_seconds", serialize_with = "seconds::of"))]
    pub busy: Duration,
}

impl WorkerMetrics {
    pub(crate) fn idle(index: usize) -> WorkerMetrics {
        WorkerMetrics { index, state: WorkerState::Idle, group: None, busy_for: None, ran: 0, busy: Duration::ZERO }
    }
}

/// One lane of a service, or the only queue of one with [`Route::Shared`](crate::Route::Shared).
///
/// # Examples
///
/// ```
/// use fanpool::{FanOut, Route};
///
/// let (input, output) =
///     FanOut::builder(|n: u8| Ok::<u8, ()>(n)).workers(2).route(Route::RoundRobin).start()?;
/// let control = input.control();
/// control.pause();
/// (0..4).try_for_each(|n| input.send(n).map(drop))?;
/// assert!(control.metrics().routes.iter().all(|route| route.queued == 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RouteMetrics {
    /// Items that wait there.
    pub queued: usize,
    /// Threads that serve it.
    pub running: usize,
    /// The weight of what waits and runs there, with [`LeastLoaded`](crate::Route::LeastLoaded).
    pub load: Option<usize>,
}

/// A snapshot of a pool or a service: plain values, which change no more.
///
/// Its `Display` is a table. With the feature `serde` it can be serialised: durations are numbers of seconds, and their
/// names end in `_seconds`; [`at`](Metrics::at) is left out. With the feature `metrics`, `Metrics::publish` hands it to
/// an exporter.
///
/// Counters are always on. They are kept where work is counted in any case, so they cost next to nothing. Taking a
/// snapshot looks at each queue under its lock, for a time that does not depend on how much waits.
///
/// # Examples
///
/// ```
/// let (input, output) = fanpool::FanOut::builder(|n: u32| Ok::<_, ()>(n * n)).name("squares").start()?;
/// let control = input.control();
/// let before = control.metrics();
/// (0..100).try_for_each(|n| input.send(n).map(drop))?;
/// drop(input);
/// output.count();
///
/// let after = control.metrics();
/// assert_eq!((after.name.as_str(), after.tasks.finished, after.queued), ("squares", 100, 0));
/// let rates = after.since(&before);
/// assert!(rates.throughput > 0.0 && rates.error_rate == 0.0);
/// println!("{after}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Metrics {
    /// What this is of.
    pub of: Observed,
    /// The name of the pool or the service.
    pub name: String,
    /// When it was taken.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub at: Instant,
    /// What became of the tasks so far.
    pub tasks: TaskCounts,
    /// Tasks that wait to be started.
    pub queued: usize,
    /// Threads that run tasks. One that looks for the next counts, too.
    pub running: usize,
    /// Items of a service that must not be started yet. They are part of `queued`.
    pub put_off: usize,
    /// Of a service: items that were accepted and whose outcomes were not taken.
    pub in_flight: Option<usize>,
    /// Of a service: the most that `in_flight` may be.
    pub window: Option<usize>,
    /// How long what is to be started next has waited, in the queue where that is longest. What must not be started yet
    /// does not count, nor what waits behind another of its key. Of items that take less than a microsecond, up to 64
    /// share a look at the clock.
    #[cfg_attr(feature = "serde", serde(rename = "oldest_wait_seconds", serialize_with = "seconds::maybe"))]
    pub oldest_wait: Option<Duration>,
    /// Workers by state.
    pub workers: WorkerCounts,
    /// Every worker; of a service, those that ran an item of it or do now.
    pub per_worker: Vec<WorkerMetrics>,
    /// The queues of a service.
    pub routes: Vec<RouteMetrics>,
    /// How far a service has come.
    pub progress: Option<Progress>,
    /// What became of a broker's messages, where the items come from one.
    pub broker: Option<BrokerCounts>,
    /// Times of tasks, where they are recorded.
    #[cfg(feature = "timings")]
    pub times: Option<Histograms>,
}

impl Metrics {
    /// A snapshot of now, to be filled in.
    pub(crate) fn new(of: Observed, name: &str) -> Metrics {
        Metrics {
            of,
            name: name.to_owned(),
            at: now(),
            tasks: TaskCounts::default(),
            queued: 0,
            running: 0,
            put_off: 0,
            in_flight: None,
            window: None,
            oldest_wait: None,
            workers: WorkerCounts::default(),
            per_worker: Vec::new(),
            routes: Vec::new(),
            progress: None,
            broker: None,
            #[cfg(feature = "timings")]
            times: None,
        }
    }

    /// What has happened between the snapshot `earlier`, of the same pool or service, and this one. Of two in the wrong
    /// order, or of the same moment, all rates are zero.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).start()?;
    /// let metrics = input.control().metrics();
    /// assert_eq!(metrics.since(&metrics).throughput, 0.0);
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    #[must_use]
    pub fn since(&self, earlier: &Metrics) -> Rates {
        Rates::between(earlier, self)
    }
}
