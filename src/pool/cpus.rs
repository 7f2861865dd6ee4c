//! Following the number of CPUs that the process may use.

use super::Pool;
use super::builder::Workers;
use super::shared::Shared;
use super::timer::{Alarm, Timer};
use crate::error::ResizeError;
use crate::resilience::{Sleeper, later};
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, Weak, available, cpus};
use std::time::Duration;

/// CPUs as they were last read.
#[derive(Debug)]
pub(super) struct Cpus {
    /// What sizes are computed from.
    pub(super) count: usize,
    /// What the standard library says, which reads anew each time.
    seen: usize,
}

impl Cpus {
    pub(super) fn new() -> Cpus {
        Cpus { count: cpus(), seen: available() }
    }

    fn read(&mut self) -> usize {
        let seen = available();
        if seen != self.seen {
            *self = Cpus { count: seen, seen };
        }
        self.count
    }
}

impl Pool {
    /// Reads again how many CPUs this process may use, and brings a pool whose size follows from that ([`Workers::CpuBound`],
    /// [`Workers::IoBound`], [`Workers::Mixed`]) to the size for it. Returns how many workers the pool has now. Pools of
    /// other sizes stay as they are.
    ///
    /// As long as the number has not changed since the pool was built, that of the beginning counts. A new one is that of
    /// [`std::thread::available_parallelism`]: the affinity mask of the calling thread and, on Linux, the cgroup's quota, rounded down, at least
    /// one.
    ///
    /// # Errors
    ///
    /// As [`resize`](Pool::resize).
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// assert_eq!(pool.fit_cpus()?, pool.workers());
    /// # Ok::<(), fanpool::ResizeError>(())
    /// ```
    pub fn fit_cpus(&self) -> Result<usize, ResizeError> {
        if self.is_closed() {
            return Err(ResizeError::Closed);
        }
        self.shared.fit_cpus(true)
    }
}

impl Shared {
    /// Waits for start hooks if it may.
    fn fit_cpus(self: &Arc<Self>, may_wait: bool) -> Result<usize, ResizeError> {
        let size = match self.config.workers {
            Workers::Fixed(_) | Workers::Elastic(_) => None,
            workers => Some(workers.count(self.cpus.lock().read())),
        };
        match size {
            Some(_) if self.config.sharded => return Err(ResizeError::Sharded),
            Some(size) if size != self.workers.load(Ordering::Relaxed) => self.set_size(size, may_wait)?,
            _ => {}
        }
        Ok(self.workers.load(Ordering::Relaxed))
    }
}

/// Has the number of CPUs read now and then.
pub(super) struct Follower {
    pool: Weak<Shared>,
    every: Duration,
}

impl Follower {
    /// Begins, if the pool's options say so.
    pub(super) fn start(pool: &Arc<Shared>, timer: &Arc<Timer>) -> Option<Arc<Follower>> {
        let follower = Arc::new(Follower { pool: Arc::downgrade(pool), every: pool.config.follow_cpus? });
        let clock = &pool.config.clock;
        let first = later(clock.now(), follower.every);
        let sleeper: Weak<dyn Sleeper> = Arc::downgrade(&follower) as Weak<_>;
        if clock.call_at(first, &sleeper).is_none() {
            let alarm: Weak<dyn Alarm> = Arc::downgrade(&follower) as Weak<_>;
            // Without a thread for it nothing follows, and `fit_cpus` still does.
            let _ = timer.set(first, &alarm);
        }
        Some(follower)
    }

    fn look(&self) -> Option<std::time::Instant> {
        let pool = self.pool.upgrade()?;
        // A thread that is refused now may be had next time.
        let _ = pool.fit_cpus(false);
        Some(later(pool.config.clock.now(), self.every))
    }
}

impl Alarm for Follower {
    fn due(&self) -> Option<std::time::Instant> {
        self.look()
    }
}

impl Sleeper for Follower {
    fn wake(&self) -> Option<std::time::Instant> {
        self.look()
    }
}
