//! What users do to a running pool, and ask of it.

use super::shared::Shared;
use super::{Counts, Pool};
use crate::error::{BuildError, ResizeError, WouldDeadlock};
use crate::group::Host;
use crate::sync::Arc;
use crate::sync::atomic::Ordering;

impl Pool {
    /// Stops workers from starting tasks, until [`resume`](Pool::resume). Does not wait for those that run; a worker that
    /// is about to start a task may still do so. Scopes go on in the threads that wait for them. Idempotent.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// pool.pause();
    /// pool.spawn(|| ())?;
    /// pool.resume();
    /// pool.wait_idle()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pause(&self) {
        self.shared.gate.set(true);
    }

    /// Ends a [`pause`](Pool::pause). Without one it does nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// fanpool::Pool::new().resume();
    /// ```
    pub fn resume(&self) {
        self.shared.gate.set(false);
    }

    /// Changes the number of workers while tasks run; none is lost.
    ///
    /// Growing starts threads, and waits for their start hooks, before it returns. Shrinking returns at once: a worker that leaves finishes the task it
    /// runs first, and in a paused pool it leaves after the pause. May be called from a task. An elastic pool goes on from there by itself;
    /// in one, threads that were told to leave and have not count towards its `max`, so fewer may be started than were asked for.
    ///
    /// # Errors
    ///
    /// [`ResizeError`] if the number is not in `1..=MAX_WORKERS` or, in an elastic pool, between its `min` (at least 1) and its `max`, the pool is sharded or closed, or a thread or its
    /// start hook failed. After a failed hook the workers' indices may have a gap, which the next growth fills.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// pool.resize(3)?;
    /// assert_eq!(pool.workers(), 3);
    /// # Ok::<(), fanpool::ResizeError>(())
    /// ```
    pub fn resize(&self, workers: usize) -> Result<(), ResizeError> {
        if self.is_closed() { Err(ResizeError::Closed) } else { self.resizer().resize(workers) }
    }

    /// A way to resize the pool that does not keep it.
    pub(crate) fn resizer(&self) -> Resizer {
        Resizer(self.shared.clone())
    }

    /// Refuses new detached tasks from now on; those accepted still run. Scopes work as before. Idempotent.
    ///
    /// When this returns, every task that was accepted is queued: nothing is accepted afterwards.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// pool.close();
    /// assert!(pool.spawn(|| ()).is_err());
    /// ```
    pub fn close(&self) {
        self.shared.close();
    }

    /// Whether [`close`](Pool::close) was called.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(!fanpool::Pool::new().is_closed());
    /// ```
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// Blocks until no detached task is queued or running. Tasks of scopes do not count: their scopes wait for them.
    /// While the pool is paused with tasks queued, this waits.
    ///
    /// # Errors
    ///
    /// [`WouldDeadlock`] if the caller is a task of this pool.
    ///
    /// # Memory ordering
    ///
    /// What those tasks did happens before this returns.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// pool.spawn(|| ())?;
    /// pool.wait_idle()?;
    /// assert_eq!(pool.counts().ran, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_idle(&self) -> Result<(), WouldDeadlock> {
        if self.shared.is_inside() {
            return Err(WouldDeadlock);
        }
        Host::nudge(&*self.shared);
        self.shared.live.wait();
        Ok(())
    }

    /// How many workers the pool is to have: the last size that was asked for and reached.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(fanpool::Pool::new().workers() > 0);
    /// ```
    #[must_use]
    pub fn workers(&self) -> usize {
        self.shared.workers.load(Ordering::Relaxed)
    }

    /// How many accepted tasks wait to be started, in all groups and scopes, at about this moment.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// pool.pause();
    /// pool.spawn(|| ())?;
    /// assert_eq!(pool.queued(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn queued(&self) -> usize {
        self.shared.groups().iter().map(|group| group.depth().0).sum()
    }

    /// How many threads run tasks, at about this moment. A thread between two tasks of a group counts.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(fanpool::Pool::new().running(), 0);
    /// ```
    #[must_use]
    pub fn running(&self) -> usize {
        self.shared.groups().iter().map(|group| group.depth().1).sum()
    }

    /// What became of the tasks so far: every task that anybody was told has ended, and perhaps some more. A thread that is no worker
    /// counts what it ran for a scope when it has run out of tasks.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// pool.scope(|s| s.spawn(|| ()));
    /// assert_eq!(pool.counts().ran, 1);
    /// ```
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.counts()
    }

    /// The index of the worker that the calling thread is, if it is one of this pool's.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(fanpool::Pool::new().current_worker(), None);
    /// ```
    #[must_use]
    pub fn current_worker(&self) -> Option<usize> {
        Host::worker(&*self.shared)
    }
}

/// Resizes a pool that somebody else keeps.
pub(crate) struct Resizer(Arc<Shared>);

impl Resizer {
    pub(super) fn shared(&self) -> &Shared {
        &self.0
    }

    pub(crate) fn resize(&self, workers: usize) -> Result<(), ResizeError> {
        if self.0.config.sharded {
            return Err(ResizeError::Sharded);
        }
        if let Some(staff) = &self.0.staff {
            BuildError::check("workers", workers, staff.options.min.max(1)..=staff.options.max)?;
        }
        self.0.resize(workers)
    }
}
