//! Ending a pool.
//!
//! 1. The pool is closed: nothing more is accepted. Only the owner of the [`Pool`] gets here, so nobody can be in the
//!    middle of a scope or hold a reference through which to submit; what runs may still make its own groups busy.
//! 2. The gate opens for good, since nobody is left who could pause the pool; the roster is sealed, and `ENDING` is set.
//!    Whoever settles the last pending task, or this thread if none is pending, retires all workers.
//! 3. This thread waits until they have left, joins them, and writes the receipt.
//!
//! A thread that itself runs a task of the pool cannot wait for it. There the end is handed over: step 2 is done, the
//! receipt says who is still busy, and the threads end by themselves once the last task has.

use super::Pool;
use crate::sync::{Arc, now};
use std::time::{Duration, Instant};

/// What became of a pool's tasks. Accepted tasks are the sum of the four and of those that still wait or run.
///
/// # Examples
///
/// ```
/// let pool = fanpool::Pool::new();
/// pool.spawn(|| ())?;
/// let counts = pool.shutdown().tasks;
/// assert_eq!((counts.ran, counts.panicked, counts.cancelled, counts.discarded), (1, 0, 0, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Ran to their end without a panic, as [`TaskCounts::finished`](crate::TaskCounts::finished).
    pub ran: usize,
    /// Panicked, also while being dropped unrun.
    pub panicked: usize,
    /// Not started because their token was cancelled or, in a `try_scope`, because another task had failed.
    pub cancelled: usize,
    /// Not started because the pool was shut down.
    pub discarded: usize,
}

impl Counts {
    pub(super) fn total(&self) -> usize {
        self.ran + self.panicked + self.cancelled + self.discarded
    }
}

/// A worker that had not left when a shutdown ended.
///
/// # Examples
///
/// ```
/// use fanpool::{Pool, Workers};
/// use std::time::Duration;
///
/// let (release, stuck) = std::sync::mpsc::channel::<()>();
/// let (started, wait) = std::sync::mpsc::channel();
/// let pool = Pool::builder().workers(Workers::Fixed(1)).build()?;
/// let uploads = pool.group().name("upload").build()?;
/// uploads.spawn(move || {
///     started.send(()).unwrap();
///     let _ = stuck.recv();
/// })?;
/// wait.recv()?;
/// let receipt = pool.shutdown_timeout(Duration::ZERO);
/// assert_eq!(receipt.threads_busy[0].group(), Some("upload"));
/// drop(release); // now the thread ends
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BusyWorker {
    /// The worker's index.
    pub worker: usize,
    pub(super) group: Option<Arc<str>>,
}

impl BusyWorker {
    /// The name of the group whose task it runs, if that has one.
    ///
    /// # Examples
    ///
    /// ```
    /// # let receipt = fanpool::Pool::new().shutdown();
    /// let names: Vec<_> = receipt.threads_busy.iter().filter_map(|busy| busy.group()).collect();
    /// assert!(names.is_empty());
    /// ```
    #[must_use]
    pub fn group(&self) -> Option<&str> {
        self.group.as_deref()
    }
}

/// The receipt of a pool's end.
///
/// # Examples
///
/// ```
/// use fanpool::{Pool, Workers};
///
/// let receipt = Pool::builder().workers(Workers::Fixed(2)).build()?.shutdown();
/// assert_eq!(receipt.threads_joined, 2);
/// assert!(receipt.threads_busy.is_empty());
/// # Ok::<(), fanpool::BuildError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shutdown {
    /// The tasks of the pool's whole life.
    pub tasks: Counts,
    /// Threads that were joined by this call.
    pub threads_joined: usize,
    /// Workers that still run user code, or were left to end by themselves. Empty after a shutdown that could wait.
    pub threads_busy: Vec<BusyWorker>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum How {
    /// Run what was accepted.
    RunAll,
    /// Discard what has not started.
    Now,
    /// Run what was accepted until the deadline, then discard. `None` never comes.
    Until(Option<Instant>),
}

impl Pool {
    /// Closes the pool, lets every accepted task run, joins every thread, and says what became of them. A paused pool
    /// is resumed.
    ///
    /// Called from a task of this pool it cannot wait, and returns at once with the workers listed as busy; accepted tasks
    /// still run, and the threads end after the last.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// for _ in 0..10 {
    ///     pool.spawn(|| ())?;
    /// }
    /// assert_eq!(pool.shutdown().tasks.ran, 10);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shutdown(mut self) -> Shutdown {
        self.finish(How::RunAll)
    }

    /// As [`shutdown`](Pool::shutdown), but tasks that have not started are dropped and counted as discarded. Waits for
    /// those that run.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// pool.pause();
    /// pool.spawn(|| unreachable!())?;
    /// assert_eq!(pool.shutdown_now().tasks.discarded, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shutdown_now(mut self) -> Shutdown {
        self.finish(How::Now)
    }

    /// As [`shutdown`](Pool::shutdown) for at most `timeout`; then discards what has not started and returns, with the
    /// workers that still run a task named in the receipt. Their threads end when those tasks do.
    ///
    /// A timeout too long for the clock never runs out. Thread-local destructors of workers that have left are waited
    /// for, whatever the timeout.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let receipt = fanpool::Pool::new().shutdown_timeout(Duration::from_secs(60));
    /// assert!(receipt.threads_busy.is_empty());
    /// ```
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Shutdown {
        self.finish(How::Until(now().checked_add(timeout)))
    }

    pub(super) fn finish(&mut self, how: How) -> Shutdown {
        self.finished = true;
        let shared = &self.shared;
        shared.close();
        if matches!(how, How::Now) || shared.is_forked() {
            shared.discard_all();
        }
        shared.gate.set(false);
        shared.seal();
        if shared.live.end() {
            shared.retire_all();
        }
        let inside = shared.is_inside();
        if !inside {
            let deadline = if let How::Until(deadline) = how { deadline } else { None };
            loop {
                if !shared.wait_left(deadline) {
                    shared.discard_all();
                    shared.retire_all();
                    shared.wait_idle_left();
                    break;
                }
                // The alarm of an elastic pool may have started a worker since.
                if shared.staff.is_none() || shared.give_up() {
                    break;
                }
            }
        }
        if shared.staff.is_some() && !shared.is_forked() && shared.give_up() {
            // If the operating system gave no thread for what was pending, it is reported; and tickets that nobody came for
            // hold the pool.
            shared.discard_all();
            shared.lanes.close();
        }
        if !shared.is_forked() {
            self.timer.end();
        }
        let (threads_joined, threads_busy) = shared.join_left(inside);
        Shutdown { tasks: shared.counts(), threads_joined, threads_busy }
    }
}
