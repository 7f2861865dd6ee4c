//! Options for a pool.

use super::Pool;
use super::elastic::Elastic;
use crate::error::BuildError;
#[cfg(feature = "timings")]
use crate::observe::Timings;
use crate::resilience::Clock;
use crate::sync::Arc;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The most workers that a pool may have.
///
/// # Examples
///
/// ```
/// use fanpool::{MAX_WORKERS, Pool, Workers};
///
/// assert!(Pool::builder().workers(Workers::Fixed(MAX_WORKERS + 1)).build().is_err());
/// ```
pub const MAX_WORKERS: usize = 65_536;

/// Stack sizes that a pool takes, in bytes.
const STACK_SIZES: RangeInclusive<usize> = 16 * 1024..=(usize::MAX >> 24).saturating_add(1);

/// The least time between two looks at the number of CPUs.
const SHORTEST_FOLLOW: Duration = Duration::from_millis(1);

/// How many workers a pool starts.
///
/// CPUs are those that this process may use: its affinity mask and, on Linux, its cgroup's quota, rounded up, at least
/// one. They are counted when the pool is built; [`Pool::fit_cpus`] and [`Builder::follow_cpus`] count them again.
///
/// # Examples
///
/// ```
/// use fanpool::{Pool, Workers};
///
/// let cpus = Pool::builder().workers(Workers::CpuBound).build()?.workers();
/// assert_eq!(Pool::builder().workers(Workers::IoBound).build()?.workers(), 2 * cpus);
/// assert_eq!(Pool::builder().workers(Workers::Mixed).build()?.workers(), (3 * cpus).div_ceil(2));
/// # Ok::<(), fanpool::BuildError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Workers {
    /// Exactly that many.
    Fixed(usize),
    /// One per CPU: for tasks that compute.
    #[default]
    CpuBound,
    /// Two per CPU: for tasks that wait for about half of their time.
    IoBound,
    /// One and a half per CPU, rounded up: for tasks that wait for about a third of their time.
    Mixed,
    /// As many as the tasks need, within bounds.
    Elastic(Elastic),
}

impl From<usize> for Workers {
    fn from(workers: usize) -> Workers {
        Workers::Fixed(workers)
    }
}

impl Workers {
    /// How many to start with, on so many CPUs.
    pub(super) fn count(self, cpus: usize) -> usize {
        match self {
            Workers::Fixed(workers) => workers,
            Workers::CpuBound => cpus,
            Workers::IoBound => 2 * cpus,
            Workers::Mixed => (3 * cpus).div_ceil(2),
            Workers::Elastic(elastic) => elastic.min,
        }
    }
}

/// The default of `stuck_after`.
pub(crate) const STUCK_AFTER: Duration = Duration::from_secs(30);

pub(crate) fn check_stuck_after(time: Duration) -> Result<(), BuildError> {
    let wrong = BuildError::NotInRange { option: "stuck_after", value: 0.0, allowed: "more than 0 seconds" };
    if time.is_zero() { Err(wrong) } else { Ok(()) }
}

pub(super) type Hook = Arc<dyn Fn(usize) + Send + Sync>;

#[derive(Clone)]
pub(super) struct Config {
    pub(super) name: String,
    pub(super) stack_size: Option<usize>,
    pub(super) sharded: bool,
    pub(super) workers: Workers,
    pub(super) follow_cpus: Option<Duration>,
    pub(super) elastic: Option<Elastic>,
    pub(super) clock: Clock,
    pub(super) stuck_after: Duration,
    pub(super) on_start: Option<Hook>,
    pub(super) on_stop: Option<Hook>,
    #[cfg(feature = "timings")]
    pub(super) timings: Timings,
}

/// Options for a [`Pool`].
///
/// # Examples
///
/// ```
/// use fanpool::{Pool, Workers};
///
/// let pool = Pool::builder()
///     .workers(Workers::IoBound)
///     .name("fetch")
///     .stack_size(256 * 1024)
///     .on_start(|worker| println!("worker {worker} is up"))
///     .build()?;
/// # Ok::<(), fanpool::BuildError>(())
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until `build`"]
pub struct Builder {
    config: Config,
}

impl Builder {
    pub(super) fn new() -> Builder {
        let config = Config {
            name: "fanpool".into(),
            stack_size: None,
            sharded: false,
            workers: Workers::default(),
            follow_cpus: None,
            elastic: None,
            clock: Clock::system(),
            stuck_after: STUCK_AFTER,
            on_start: None,
            on_stop: None,
            #[cfg(feature = "timings")]
            timings: Timings::off(),
        };
        Builder { config }
    }

    /// How many workers to start: a number, [`Workers`], or [`Elastic`] bounds.
    ///
    /// # Default
    ///
    /// [`Workers::CpuBound`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::{Pool, Workers};
    /// assert_eq!(Pool::builder().workers(Workers::Fixed(5)).build()?.workers(), 5);
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn workers(mut self, workers: impl Into<Workers>) -> Builder {
        self.config.workers = workers.into();
        self
    }

    /// Gives every worker a channel of its own that [`Pool::spawn_on`] addresses. Such a pool keeps its size.
    ///
    /// # Default
    ///
    /// Not sharded.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::{Pool, ResizeError};
    /// let pool = Pool::builder().sharded().build()?;
    /// pool.spawn_on(0, || ())?;
    /// assert!(matches!(pool.resize(2), Err(ResizeError::Sharded)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn sharded(mut self) -> Builder {
        self.config.sharded = true;
        self
    }

    /// The pool's name, in health and metrics, and what its threads' names begin with; a dash and the worker's index follow.
    ///
    /// # Default
    ///
    /// `fanpool`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::Pool;
    /// let pool = Pool::builder().name("resize").build()?;
    /// let names = pool.broadcast(|_| std::thread::current().name().map(str::to_owned))?;
    /// assert_eq!(names[0].as_deref(), Some("resize-0"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn name(mut self, prefix: impl Into<String>) -> Builder {
        self.config.name = prefix.into();
        self
    }

    /// The workers' stack size in bytes, at least 16 KiB.
    ///
    /// # Default
    ///
    /// That of [`std::thread`]: 2 MiB, or `RUST_MIN_STACK`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::Pool;
    /// assert!(Pool::builder().stack_size(8 << 20).build().is_ok());
    /// assert!(Pool::builder().stack_size(100).build().is_err());
    /// ```
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.config.stack_size = Some(bytes);
        self
    }

    /// Has the pool do what [`fit_cpus`](Pool::fit_cpus) does now and then, so that it follows a quota that somebody changes. The pool's timer
    /// thread looks.
    ///
    /// # Default
    ///
    /// It is not done.
    ///
    /// # Errors
    ///
    /// Less than a millisecond is refused.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::Pool;
    /// # use std::time::Duration;
    /// let pool = Pool::builder().follow_cpus(Duration::from_secs(30)).build()?;
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn follow_cpus(mut self, every: Duration) -> Builder {
        self.config.follow_cpus = Some(every);
        self
    }

    /// Where the time is read by an elastic pool, [`follow_cpus`](Builder::follow_cpus), [`health`](Pool::health) and
    /// [`Metrics::oldest_wait`](crate::Metrics::oldest_wait); a test gives it a [`ManualClock`](crate::testing::ManualClock).
    ///
    /// # Default
    ///
    /// The system's clock.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{Elastic, Pool, testing::ManualClock};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let pool = Pool::builder().workers(Elastic::new(0, 4)).clock(&clock).build()?;
    /// pool.submit(|| ()).join().unwrap();
    /// clock.advance(Duration::from_secs(60));
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn clock(mut self, clock: impl Into<Clock>) -> Builder {
        self.config.clock = clock.into();
        self
    }

    /// From when on a task that runs counts as stuck, for [`health`](Pool::health). Nothing else rests on it: the task goes on. Choose more than
    /// the longest that a task may take, with its [`blocking`](crate::blocking) calls.
    ///
    /// # Default
    ///
    /// 30 seconds.
    ///
    /// # Errors
    ///
    /// [`build`](Builder::build) refuses zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = fanpool::Pool::builder().stuck_after(Duration::from_secs(5)).build()?;
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn stuck_after(mut self, time: Duration) -> Builder {
        self.config.stuck_after = time;
        self
    }

    /// Called on each worker, with its index, before its first task.
    ///
    /// A panic makes [`build`](Builder::build), or the [`resize`](Pool::resize) that started the worker, fail with it.
    /// Both wait for the hook. A worker that an elastic pool starts by itself counts as refused, and is asked for again later.
    ///
    /// # Default
    ///
    /// None.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::{BuildError, Pool};
    /// let built = Pool::builder().on_start(|_| panic!("no licence")).build();
    /// assert!(matches!(built, Err(BuildError::StartHook { .. })));
    /// ```
    pub fn on_start(mut self, hook: impl Fn(usize) + Send + Sync + 'static) -> Builder {
        self.config.on_start = Some(Arc::new(hook));
        self
    }

    /// Called on each worker, with its index, after its last task. A panic goes no further.
    ///
    /// # Default
    ///
    /// None.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::Pool;
    /// let pool = Pool::builder().on_stop(|worker| println!("worker {worker} leaves")).build()?;
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn on_stop(mut self, hook: impl Fn(usize) + Send + Sync + 'static) -> Builder {
        self.config.on_stop = Some(Arc::new(hook));
        self
    }

    /// Of how many tasks the times are recorded: waiting, running and in all. What a service, a map or a `join` runs on the pool counts by the
    /// tasks that they push, which do many items; a service has an option of its own for those.
    ///
    /// # Default
    ///
    /// None.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{Pool, Timings};
    ///
    /// let pool = Pool::builder().timings(Timings::every(100)).build()?;
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    #[cfg(feature = "timings")]
    pub fn timings(mut self, timings: Timings) -> Builder {
        self.config.timings = timings;
        self
    }

    /// Starts the pool.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if an option is out of range, the name holds a NUL byte, the operating system refuses a thread, or
    /// the start hook panics. Workers that had started are joined.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::{BuildError, Pool};
    /// assert!(matches!(Pool::builder().name("a\0b").build(), Err(BuildError::Name { nul: 1 })));
    /// ```
    pub fn build(self) -> Result<Pool, BuildError> {
        if let Some(nul) = self.config.name.find('\0') {
            return Err(BuildError::Name { nul });
        }
        if let Some(bytes) = self.config.stack_size {
            BuildError::check("stack_size", bytes, STACK_SIZES)?;
        }
        check_stuck_after(self.config.stuck_after)?;
        let mut config = self.config;
        if let Workers::Elastic(elastic) = config.workers {
            elastic.check()?;
            if config.sharded {
                return Err(BuildError::Conflict { option: "sharded", with: "number of workers, which is elastic" });
            }
            config.elastic = Some(elastic);
        }
        if let Some(every) = config.follow_cpus {
            if every < SHORTEST_FOLLOW {
                let (value, allowed) = (every.as_secs_f64(), "0.001 or more");
                return Err(BuildError::NotInRange { option: "follow_cpus", value, allowed });
            }
        }
        Pool::start(config)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("workers", &self.config.workers)
            .field("name", &self.config.name)
            .field("stack_size", &self.config.stack_size)
            .field("sharded", &self.config.sharded)
            .finish_non_exhaustive()
    }
}
