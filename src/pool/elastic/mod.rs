//! Pools that size themselves.
//!
//! # The protocol
//!
//! A pool of fixed size has workers that never leave before its end, so a ticket that was posted is always taken. Here workers
//! come and go, and the lanes keep, under their own lock, who is **ready**: will come back for a ticket without waiting for anything but its
//! present task. A worker is ready from its start until it is told to leave, except while it is in [`blocking`](crate::blocking).
//!
//! **No ticket is left without a worker.** Whenever no thread holds the lanes' lock: *if a ticket waits and nobody is ready, then
//! somebody is about to start a worker, or the pool has `max` threads, or starting one was refused and the alarm is set*. Each step keeps it:
//!
//! * *posting* a ticket sees, in the section that queues it, whether anybody is ready. If not, the poster starts a worker itself.
//! * *retiring* a worker that is not needed takes it from those who are ready in a section that has seen that no ticket waits. So of a
//!   push and the last worker's leaving one comes second: the push finds nobody ready, or the retirement finds the ticket and
//!   does not happen. Any other retirement (a smaller size was asked for, a start hook failed) looks afterwards whether a worker is needed.
//! * *entering `blocking`* is no longer being ready; it looks afterwards, too.
//! * *leaving* of a thread while all others are not ready looks again, since there is room for one more then.
//!
//! Starting goes through the roster's lock (which comes before the lanes'), where the need is looked at once more: of several who saw
//! it, one starts a worker. Groups post a ticket as long as they have fewer helpers than `max`, so what waits shows in the
//! lanes even when all workers are busy with one group.
//!
//! **Refused threads.** The alarm asks again, after a pause. If it cannot be set, because its own thread was refused, the pool is *deaf*: whoever
//! comes next, with a task or to wait until the pool is idle, does what the alarm would have.
//!
//! **Who joins those that left?** An ended thread keeps its stack until it is joined. Each worker that leaves joins those that have ended before
//! it, as its very last step: it holds nothing and nobody counts on it, so a thread-local destructor that blocks there holds up nobody else.
//!
//! **Ending.** From the seal on nobody is retired until nothing is pending; a thread that leaves, having been told to earlier, is
//! replaced in the section in which it leaves if it was the last and tasks are pending. So whoever waits for the number of threads to be zero
//! does not find it before the tasks have ended. One whose start hook failed is not replaced, nor is anybody if the thread is refused: then the
//! last one that leaves, or whoever ends the pool, discards what is pending. Once all have been told to leave, nobody is started.
//!
//! **More than one at a time, and fewer**, is a matter of speed alone. The alarm looks at the queue and the workers, at most once in
//! `target_wait`, and asks the policy, which is a pure function of what was seen. What it is shown comes from estimates without
//! a lock, on which nothing else rests.

mod climb;
mod policy;
mod staff;

pub(super) use staff::Staff;

use crate::error::BuildError;
use crate::pool::{MAX_WORKERS, Workers};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Sizes and times of a pool that sizes itself: [`Workers::Elastic`].
///
/// It **grows** by one worker when a task has waited for [`target_wait`](Elastic::target_wait) and no worker was free in that time; the
/// next step comes a `target_wait` later at the earliest. It **shrinks** by as many workers as were idle during all of
/// [`keep_alive`](Elastic::keep_alive). With a `min` of 0 an unused pool has no thread; the first task then starts one.
///
/// A thread that the operating system refuses, or whose start hook panics, is asked for again after 100 ms, twice as long after each
/// refusal, at most 10 s. Meanwhile the workers that are there go on. If the thread that keeps these times is refused as well, the next task
/// that comes asks again.
///
/// While the pool is paused it does not grow by itself.
///
/// # Examples
///
/// ```
/// use fanpool::{Elastic, Pool};
/// use std::time::Duration;
///
/// let pool = Pool::builder().workers(Elastic::new(0, 64).keep_alive(Duration::from_secs(1))).build()?;
/// assert_eq!(pool.workers(), 0);
/// assert_eq!(pool.submit(|| 6 * 7).join().unwrap(), 42);
/// # Ok::<(), fanpool::BuildError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elastic {
    pub(super) min: usize,
    pub(super) max: usize,
    pub(super) keep_alive: Duration,
    pub(super) target_wait: Duration,
    pub(super) climbs: bool,
}

const TARGET_WAIT: RangeInclusive<Duration> = Duration::from_micros(100)..=Duration::from_secs(3600);

impl Elastic {
    /// At least `min` and at most `max` threads.
    ///
    /// # Errors
    ///
    /// [`Builder::build`](crate::Builder::build) refuses a `max` of 0 or above [`MAX_WORKERS`], and a `min` above `max`.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{Elastic, Pool};
    ///
    /// assert_eq!(Pool::builder().workers(Elastic::new(2, 8)).build()?.workers(), 2);
    /// let refused = Pool::builder().workers(Elastic::new(9, 8)).build().unwrap_err();
    /// assert_eq!(refused.to_string(), "min is 9; allowed is 0 to 8");
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    #[must_use]
    pub const fn new(min: usize, max: usize) -> Elastic {
        let (keep_alive, target_wait) = (Duration::from_secs(10), Duration::from_millis(5));
        Elastic { min, max, keep_alive, target_wait, climbs: false }
    }

    /// For how long workers must have been idle before they leave.
    ///
    /// # Default
    ///
    /// 10 s.
    ///
    /// # Errors
    ///
    /// Less than `target_wait` is refused.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{Elastic, Pool};
    /// use std::time::Duration;
    ///
    /// assert!(Pool::builder().workers(Elastic::new(1, 8).keep_alive(Duration::ZERO)).build().is_err());
    /// ```
    #[must_use]
    pub const fn keep_alive(self, time: Duration) -> Elastic {
        Elastic { keep_alive: time, ..self }
    }

    /// For how long a task may wait, in a group that waits for a worker while none is free, before one more worker is started; and so the shortest
    /// time between two starts. It should be below the time that a task takes: tasks that wait shorter than this are taken for well served.
    ///
    /// # Default
    ///
    /// 5 ms.
    ///
    /// # Errors
    ///
    /// Less than 100 µs or more than an hour is refused.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{Elastic, Pool};
    /// use std::time::Duration;
    ///
    /// let eager = Elastic::new(1, 8).target_wait(Duration::from_millis(1));
    /// assert!(Pool::builder().workers(eager).build().is_ok());
    /// ```
    #[must_use]
    pub const fn target_wait(self, time: Duration) -> Elastic {
        Elastic { target_wait: time, ..self }
    }

    /// Searches the number of workers with the best throughput, for tasks that wait for something whose capacity is unknown: growing
    /// goes on only while it pays.
    ///
    /// While tasks wait and nobody is free, the pool counts how many end within ten `target_wait`s (100 ms at least), or in up to ten times as long if
    /// these are fewer than 30, then tries half as many workers again; as long as that gives at least 10 % more, it goes on. If the first step
    /// up gave nothing it tries a third fewer, as long as that costs at most 5 %. It ends at the size that gives what was measured
    /// if each worker gives as much as before the last step. There it stays, until the throughput has changed by a fifth in two such
    /// intervals, of 200 tasks now, and searches anew from there. This is
    /// hill climbing on the measured throughput, as the .NET thread pool does it (Hellerstein, Morrison and Eilebrecht,
    /// "Applying control theory in the real world", FeBID 2009), without its constant small waves: a pool in steady load keeps its size.
    ///
    /// # Default
    ///
    /// Off: the pool grows to `max` if tasks go on to wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{Elastic, Pool};
    ///
    /// let pool = Pool::builder().workers(Elastic::new(1, 64).search_throughput()).build()?;
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    #[must_use]
    pub const fn search_throughput(self) -> Elastic {
        Elastic { climbs: true, ..self }
    }

    pub(super) fn check(&self) -> Result<(), BuildError> {
        BuildError::check("max", self.max, 1..=MAX_WORKERS)?;
        BuildError::check("min", self.min, 0..=self.max)?;
        let seconds = |option, value: Duration, allowed| {
            Err(BuildError::NotInRange { option, value: value.as_secs_f64(), allowed })
        };
        if !TARGET_WAIT.contains(&self.target_wait) {
            return seconds("target_wait", self.target_wait, "0.0001 to 3600");
        }
        if self.keep_alive < self.target_wait {
            return seconds("keep_alive", self.keep_alive, "target_wait or more");
        }
        Ok(())
    }
}

impl From<Elastic> for Workers {
    fn from(elastic: Elastic) -> Workers {
        Workers::Elastic(elastic)
    }
}
