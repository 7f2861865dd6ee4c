//! The pool: threads that serve tickets, and the verbs that users see.

mod blocking;
mod builder;
mod control;
mod cpus;
mod elastic;
mod fallible;
mod gate;
mod group;
mod health;
mod join;
mod lanes;
mod live;
mod metrics;
mod roster;
mod shared;
mod shutdown;
mod station;
mod timer;
mod watch;
mod worker;

pub use blocking::blocking;
pub use builder::{Builder, MAX_WORKERS, Workers};
pub(crate) use builder::{STUCK_AFTER, check_stuck_after};
pub(crate) use control::Resizer;
pub use elastic::Elastic;
pub use group::{Group, GroupBuilder, Priority};
pub use health::HealthCheck;
pub use join::Branches;
pub(crate) use lanes::{LANES, NORMAL, order as turn_order};
pub use shutdown::{BusyWorker, Counts, Shutdown};
pub(crate) use timer::{Alarm, TICK, Timer};

use crate::error::{BuildError, Refused, RefusedReason, ResizeError};
use crate::group::{Options, TaskGroup};
use crate::handle::{self, Handle};
use crate::job::Job;
use crate::join::Forks;
use crate::panics;
use crate::scope::{self, Scope};
use crate::sync::{Arc, Mutex};
use crate::trace::Carried;
use builder::Config;
use cpus::Follower;
use shared::Shared;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};

/// The index of the worker that the calling thread is, within its pool; `None` on any other thread.
///
/// # Examples
///
/// ```
/// let pool = fanpool::Pool::new();
/// assert_eq!(fanpool::current_worker(), None);
/// let indices = pool.broadcast(|_| fanpool::current_worker()).unwrap();
/// assert_eq!(indices[0], Some(0));
/// ```
#[must_use]
pub fn current_worker() -> Option<usize> {
    worker::current().map(|(_, index)| index)
}

/// Owns worker threads and hands them tasks.
///
/// Dropping a pool shuts it down as [`shutdown`](Pool::shutdown) does: accepted tasks run, then every thread is joined.
/// An idle pool uses no CPU time: its workers block.
///
/// # Blocking
///
/// `spawn`, `submit` and everything that only queues never blocks on other tasks. `scope`, `try_scope`, the terminals of a map, `join`,
/// `join_all`, `broadcast`, `wait_idle`, the shutdowns and dropping wait. `resize` waits for start hooks.
///
/// # Examples
///
/// ```
/// let pool = fanpool::Pool::new();
/// let total: u64 = pool.scope(|s| {
///     let low = s.submit(|| (1..=50).sum::<u64>());
///     let high = s.submit(|| (51..=100).sum::<u64>());
///     low.join().unwrap() + high.join().unwrap()
/// });
/// assert_eq!(total, 5050);
/// ```
pub struct Pool {
    shared: Arc<Shared>,
    root: Arc<TaskGroup>,
    /// One bound group per worker if the pool is sharded, else none.
    shards: Vec<Arc<TaskGroup>>,
    /// Groups of scopes that have ended, for the next ones.
    spares: Mutex<Vec<Arc<TaskGroup>>>,
    /// The contexts of `join`, and the thread that ticks for them.
    forks: Arc<Forks>,
    timer: Arc<Timer>,
    follower: Option<Arc<Follower>>,
    finished: bool,
}

impl Pool {
    /// A pool with one worker per CPU that this process may use, as [`Builder`]'s defaults say.
    ///
    /// If the operating system grants fewer threads, the pool has those that it grants.
    ///
    /// # Panics
    ///
    /// If the operating system refuses every thread. [`Builder::build`] returns an error instead.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(fanpool::Pool::new().workers() >= 1);
    /// ```
    #[must_use]
    #[expect(clippy::new_without_default, reason = "starting threads is not a default value")]
    pub fn new() -> Pool {
        let fewer = match Pool::builder().build() {
            Ok(pool) => return pool,
            Err(BuildError::Thread { started, .. }) if started > 0 => Pool::builder().workers(Workers::Fixed(started)),
            Err(_) => Pool::builder().workers(Workers::Fixed(1)),
        };
        match fewer.build() {
            Ok(pool) => pool,
            Err(error) => panic!("{error}"),
        }
    }

    /// Options for a pool.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{Pool, Workers};
    ///
    /// let pool = Pool::builder().workers(Workers::Fixed(3)).name("fetch").build()?;
    /// assert_eq!(pool.workers(), 3);
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn builder() -> Builder {
        Builder::new()
    }

    fn start(config: Config) -> Result<Pool, BuildError> {
        let sharded = config.sharded;
        let shared = Shared::new(config);
        let workers = shared.config.workers.count(shared.cpus.lock().count);
        let root = shared.group(Options { detached: true, ..Options::new(lanes::NORMAL) });
        let timer = Timer::new(&shared);
        if let Some(staff) = &shared.staff {
            staff.set_timer(&timer);
        }
        let forks = Forks::new(shared.clone(), timer.clone());
        let (shards, spares) = (Vec::new(), Mutex::new(Vec::new()));
        let mut pool = Pool { shared, root, shards, spares, forks, timer, follower: None, finished: false };
        let started = match (workers, sharded) {
            (0, _) if pool.shared.staff.is_some() => Ok(()),
            _ => pool.shared.resize(workers),
        };
        match started {
            Ok(()) => {
                if sharded {
                    pool.shards = pool.shared.roster.lock().bound().map(|(_, group)| group.clone()).collect();
                }
                pool.follower = Follower::start(&pool.shared, &pool.timer);
                Ok(pool)
            }
            // Dropping the pool joins what had started.
            Err(ResizeError::Build(error)) => Err(error),
            Err(ResizeError::Sharded | ResizeError::Closed) => unreachable!("a new roster takes workers"),
        }
    }

    /// Queues a task that nobody waits for. A panic is counted and goes no further.
    ///
    /// # Errors
    ///
    /// The task comes back if the pool is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// pool.spawn(|| println!("on a worker"))?;
    /// assert_eq!(pool.shutdown().tasks.ran, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn spawn<F>(&self, task: F) -> Result<(), Refused<F>>
    where
        F: FnOnce() + Send + 'static,
    {
        spawn_in(&self.root, task)
    }

    /// As [`spawn`](Pool::spawn), on the worker with that index and no other; tasks of a shard run in order, one at
    /// a time.
    ///
    /// # Errors
    ///
    /// The task comes back if the pool is closed or has no such shard. Only a [`sharded`](Builder::sharded) pool has any.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{Pool, Workers};
    ///
    /// let pool = Pool::builder().workers(Workers::Fixed(2)).sharded().build()?;
    /// pool.spawn_on(1, || assert_eq!(fanpool::current_worker(), Some(1)))?;
    /// assert_eq!(pool.shutdown().tasks.ran, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn spawn_on<F>(&self, shard: usize, task: F) -> Result<(), Refused<F>>
    where
        F: FnOnce() + Send + 'static,
    {
        match self.shards.get(shard) {
            Some(group) => spawn_in(group, task),
            None => {
                let reason = RefusedReason::NoSuchShard { shard, shards: self.shards.len() };
                Err(Refused::new(task, reason))
            }
        }
    }

    /// Queues a task and returns a handle to its result.
    ///
    /// On a closed pool the task is dropped and the handle says so; [`try_submit`](Pool::try_submit) gives it back.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// let n = pool.submit(|| 40 + 2).join()?;
    /// assert_eq!(n, 42);
    /// # Ok::<(), fanpool::JoinError>(())
    /// ```
    pub fn submit<F, T>(&self, task: F) -> Handle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.try_submit(task).unwrap_or_else(|refused| Handle::refused(refused.reason()))
    }

    /// As [`submit`](Pool::submit).
    ///
    /// # Errors
    ///
    /// The task comes back if the pool is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// assert_eq!(pool.try_submit(|| 1)?.join()?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_submit<F, T>(&self, task: F) -> Result<Handle<T>, Refused<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        submit_in(&self.root, task)
    }

    /// Calls `body` with a [`Scope`] whose tasks may borrow, and waits for all of them.
    ///
    /// The calling thread runs tasks of this scope, and of no other, while it waits. So a task may open a scope on its
    /// own pool at any depth, on a pool of any size, paused or closed, and a lock that a task holds across an inner scope
    /// is never asked for by an unrelated task on its stack.
    ///
    /// # Panics
    ///
    /// With the panic of `body`, or else with the first panic of a task, after all tasks have ended.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// let mut parts = [0; 4];
    /// pool.scope(|s| {
    ///     for (i, part) in parts.iter_mut().enumerate() {
    ///         s.spawn(move || *part = i * i);
    ///     }
    /// });
    /// assert_eq!(parts, [0, 1, 4, 9]);
    /// ```
    pub fn scope<'env, F, R>(&self, body: F) -> R
    where
        F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> R,
    {
        self.scope_result(body).unwrap_or_else(|payload| panics::resume(payload))
    }

    /// A group of this pool.
    pub(crate) fn new_group(&self, options: Options) -> Arc<TaskGroup> {
        self.shared.group(options)
    }

    /// The groups that are bound to the workers, if the pool is sharded.
    pub(crate) fn shards(&self) -> &[Arc<TaskGroup>] {
        &self.shards
    }

    pub(crate) fn timer(&self) -> &Arc<Timer> {
        &self.timer
    }

    /// A scope whose panic is still to be re-thrown, for callers with something to clear away first.
    pub(crate) fn scope_result<'env, F, R>(&self, body: F) -> Result<R, panics::Payload>
    where
        F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> R,
    {
        let spare = self.spares.lock().pop();
        let group = spare.unwrap_or_else(|| self.shared.group(Options::new(lanes::NORMAL)));
        let result = scope::run(&group, body);
        group.reset();
        self.spares.lock().push(group);
        result
    }

    /// Calls `task` once on every worker, with the worker's index, and returns the results in the workers' order.
    ///
    /// Blocks until every worker has come to it: one that is stuck, or a paused pool, holds this up. Tasks of two pools that
    /// broadcast to each other's wait for ever.
    ///
    /// # Errors
    ///
    /// `task` comes back if the pool is closed, or if the caller is a task of this pool and would wait for itself.
    ///
    /// # Panics
    ///
    /// With the first panic of `task`, after it was called on every worker.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{Pool, Workers};
    ///
    /// let pool = Pool::builder().workers(Workers::Fixed(3)).build()?;
    /// assert_eq!(pool.broadcast(|worker| worker * 10)?, [0, 10, 20]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn broadcast<F, R>(&self, task: F) -> Result<Vec<R>, Refused<F>>
    where
        F: Fn(usize) -> R + Sync,
        R: Send,
    {
        if self.shared.is_inside() {
            return Err(Refused::new(task, RefusedReason::WouldDeadlock));
        }
        if self.is_closed() {
            return Err(Refused::new(task, RefusedReason::Closed));
        }
        let results = Mutex::new(Vec::new());
        let carried = Carried::capture(None);
        let ended = self.scope_result(|s| {
            // The roster's lock keeps a retirement behind these jobs on each worker's channel.
            let roster = self.shared.roster.lock();
            results.lock().resize_with(roster.len(), || None);
            for (at, (index, bound)) in roster.bound().enumerate() {
                let (task, results) = (&task, &results);
                bound.push(s.lend(carried.clone().wrap(move || {
                    let result = task(index);
                    results.lock()[at] = Some(result);
                })));
            }
        });
        let results = results.into_inner().into_iter().flatten();
        match ended {
            Ok(()) => Ok(results.collect()),
            Err(payload) => {
                panics::drop_each(results);
                panics::resume(payload)
            }
        }
    }

    /// Options for a group of tasks on this pool.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{Pool, Priority};
    ///
    /// let pool = Pool::new();
    /// let backups = pool.group().priority(Priority::Low).limit(1).name("backup").build()?;
    /// backups.spawn(|| println!("when there is time"))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn group(&self) -> GroupBuilder<'_> {
        GroupBuilder::new(self)
    }
}

pub(crate) fn spawn_in<F>(group: &Arc<TaskGroup>, task: F) -> Result<(), Refused<F>>
where
    F: FnOnce() + Send + 'static,
{
    let carried = Carried::capture(group.options().name.as_ref());
    let wrap = |task| Job::plain(carried.wrap(task));
    group.push_if_open(task, wrap).map_err(|task| Refused::new(task, RefusedReason::Closed))
}

pub(crate) fn submit_in<F, T>(group: &Arc<TaskGroup>, task: F) -> Result<Handle<T>, Refused<F>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let carried = Carried::capture(group.options().name.as_ref());
    let mut handle = None;
    let pushed = group.push_if_open(task, |task| {
        let (job, joinable) = handle::task(group, carried.wrap(task));
        handle = Some(joinable);
        job
    });
    match (pushed, handle) {
        (Ok(()), Some(handle)) => Ok(handle),
        (Ok(()), None) => unreachable!("an accepted task has a handle"),
        (Err(task), _) => Err(Refused::new(task, RefusedReason::Closed)),
    }
}

// No lock is held while user code runs, so a panic finds nothing half-done, and leaves nothing so.
impl UnwindSafe for Pool {}
impl RefUnwindSafe for Pool {}

impl Drop for Pool {
    fn drop(&mut self) {
        if !self.finished {
            self.finish(shutdown::How::RunAll);
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("name", &self.shared.config.name)
            .field("workers", &self.workers())
            .field("queued", &self.queued())
            .field("running", &self.running())
            .finish_non_exhaustive()
    }
}
