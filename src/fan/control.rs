//! What steers a service, from any thread.

use super::health::Checks;
use super::landing::ServiceCounts;
use super::service::Service;
use crate::error::{ResizeError, SendReason, WouldDeadlock};
use crate::observe::{Metrics, Progress};
use crate::pool::Resizer;
use crate::sync::{Arc, now};
use std::fmt;
use std::time::{Duration, Instant};

/// Steers a service: from any thread, from a handler too, and from several at once. Of commands that contradict each other the
/// last one holds. A control keeps nothing running. It keeps the service's memory, though: a handler that holds a control or an input of
/// its own service is a cycle, as with any `Arc`, and is never dropped.
///
/// # Examples
///
/// ```
/// let (input, output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).start()?;
/// let control = output.control();
/// control.pause();
/// input.send(1)?;
/// assert_eq!((control.depth(), control.in_flight()), (1, 1));
/// control.drain();
/// assert_eq!(control.wait()?.finished, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Control<'a> {
    service: Arc<dyn Service + 'a>,
    /// Resizes the service's own workers, if it has any.
    resizer: Option<Arc<Resizer>>,
    name: Arc<str>,
    checks: Arc<Checks>,
}

impl<'a> Control<'a> {
    pub(super) fn new(
        service: Arc<dyn Service + 'a>,
        resizer: Option<Resizer>,
        name: Arc<str>,
        checks: Arc<Checks>,
    ) -> Control<'a> {
        Control { service, resizer: resizer.map(Arc::new), name, checks }
    }

    pub(super) fn checks(&self) -> &Checks {
        &self.checks
    }

    pub(super) fn resizer(&self) -> Option<&Resizer> {
        self.resizer.as_deref()
    }

    pub(super) fn service(&self) -> &Arc<dyn Service + 'a> {
        &self.service
    }

    #[cfg(fanpool_loom)]
    pub(crate) fn believe_cheap(&self) {
        self.service.believe_cheap();
    }

    pub(crate) fn is_inside(&self) -> bool {
        self.service.is_inside()
    }

    pub(super) fn close(&self) {
        self.service.close(SendReason::Closed);
    }

    pub(super) fn closed(&self) -> Option<SendReason> {
        self.service.closed()
    }

    /// The service's name.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).name("thumbs").start()?;
    /// assert_eq!(output.control().name(), "thumbs");
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// No item is started until [`resume`](Control::resume); those that run are not waited for. Items are accepted until the window is
    /// full. Idempotent.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, mut output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).start()?;
    /// let control = output.control();
    /// control.pause();
    /// input.send(1)?;
    /// assert!(output.try_recv().is_err());
    /// control.resume();
    /// assert_eq!(output.recv()?.result.ok(), Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pause(&self) {
        self.service.pause();
    }

    /// Ends a [`pause`](Control::pause). Without one it does nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).start()?;
    /// input.control().resume();
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn resume(&self) {
        self.service.resume();
    }

    /// Whether the service is paused.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).start()?;
    /// assert!(!input.control().is_paused());
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.service.is_paused()
    }

    /// Changes the number of the service's own workers; on a shared pool or in a scope, the limit.
    ///
    /// # Errors
    ///
    /// [`ResizeError`]: the number is out of range, a thread could not be started, the service has ended, or it has one queue
    /// for each worker (every [`Route`](crate::Route) but `Shared`).
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).workers(1).start()?;
    /// input.control().resize(3)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn resize(&self, workers: usize) -> Result<(), ResizeError> {
        match &self.resizer {
            Some(resizer) => resizer.resize(workers),
            None => self.service.set_limit(workers),
        }
    }

    /// Refuses new items, and lets all that were accepted be finished; a pause ends. Does not wait. Idempotent.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).start()?;
    /// input.send(1)?;
    /// input.control().drain();
    /// assert!(input.send(2).is_err());
    /// assert_eq!(output.count(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn drain(&self) {
        self.close();
        self.service.resume();
    }

    /// Refuses new items, and cancels those that were not started: their outcomes are
    /// [`TaskError::Cancelled`](crate::TaskError::Cancelled), each in its place. Those that run are finished. Does not wait;
    /// returns the accounts so far. Idempotent.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).start()?;
    /// let control = output.control();
    /// control.pause();
    /// input.send(1)?;
    /// assert_eq!(control.stop().cancelled, 1);
    /// let (done, failed) = output.partition();
    /// assert!(done.is_empty() && matches!(failed[0], (0, fanpool::TaskError::Cancelled)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stop(&self) -> ServiceCounts {
        self.service.stop()
    }

    /// Blocks until no more items are accepted and all that were have ended, whether or not their outcomes were taken.
    ///
    /// # Errors
    ///
    /// [`WouldDeadlock`] if the caller runs an item of this service or is a worker of its pool.
    ///
    /// # Memory ordering
    ///
    /// What the handlers did happens before this returns.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).start()?;
    /// let control = input.control();
    /// input.send(1)?;
    /// drop(input);
    /// assert_eq!(control.wait()?.finished, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait(&self) -> Result<ServiceCounts, WouldDeadlock> {
        self.wait_until(None).map(Option::unwrap_or_default)
    }

    /// As [`wait`](Control::wait), for at most `timeout`; `None` if it was over first.
    ///
    /// # Errors
    ///
    /// As [`wait`](Control::wait).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let (input, output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).start()?;
    /// assert_eq!(input.control().wait_timeout(Duration::from_millis(1))?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Option<ServiceCounts>, WouldDeadlock> {
        match now().checked_add(timeout) {
            Some(deadline) => self.wait_until(Some(deadline)),
            None => self.wait().map(Some),
        }
    }

    fn wait_until(&self, deadline: Option<Instant>) -> Result<Option<ServiceCounts>, WouldDeadlock> {
        if self.service.is_inside() { Err(WouldDeadlock) } else { Ok(self.service.wait(deadline)) }
    }

    /// How many accepted items wait to be started or to be tried again, at about this moment.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).start()?;
    /// assert_eq!(input.control().depth(), 0);
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    #[must_use]
    pub fn depth(&self) -> usize {
        self.service.depth()
    }

    /// How many items must not be started yet: they wait for the time of their retry, for the rate, or for a breaker. They are
    /// part of the [`depth`](Control::depth).
    ///
    /// # Examples
    ///
    /// A test that knows when to move the clock:
    ///
    /// ```
    /// use fanpool::{FanOut, RateLimit, testing::ManualClock};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let limit = RateLimit::builder(1, Duration::from_secs(60)).clock(&clock).build()?;
    /// let (input, mut output) = FanOut::builder(|n: u8| Ok::<u8, ()>(n)).rate(limit).clock(&clock).start()?;
    /// input.send(1)?;
    /// input.send(2)?;
    /// while input.control().put_off() < 1 {
    ///     std::thread::yield_now();
    /// }
    /// clock.advance(Duration::from_secs(60));
    /// assert!(output.recv().is_ok() && output.recv().is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn put_off(&self) -> usize {
        self.service.put_off()
    }

    /// How many items were accepted and their outcomes not taken: never more than the window.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, mut output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).start()?;
    /// input.send(1)?;
    /// assert_eq!(input.control().in_flight(), 1);
    /// output.recv()?;
    /// assert_eq!(input.control().in_flight(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.service.in_flight()
    }

    /// What became of the items so far. Exact whenever none waits or runs.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).start()?;
    /// assert_eq!(input.control().counts().accepted, 0);
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    #[must_use]
    pub fn counts(&self) -> ServiceCounts {
        self.service.counts()
    }

    /// A snapshot of the service: what became of its items, what waits and runs, and who runs it.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).window(8).start()?;
    /// let control = input.control();
    /// control.pause();
    /// (0..3).try_for_each(|n| input.send(n).map(drop))?;
    /// let metrics = control.metrics();
    /// assert_eq!((metrics.tasks.accepted, metrics.queued, metrics.running), (3, 3, 0));
    /// assert_eq!((metrics.in_flight, metrics.window), (Some(3), Some(8)));
    /// assert!(metrics.oldest_wait.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.service.metrics(&self.name)
    }

    /// How far the service has come, at which rate, and how long the rest takes: where it is known how many items there will be, because
    /// somebody said so or no more are accepted.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).start()?;
    /// let control = input.control();
    /// (0..3).try_for_each(|n| input.send(n).map(drop))?;
    /// assert_eq!(control.progress().total, None);
    /// drop(input);
    /// output.count();
    /// let progress = control.progress();
    /// assert_eq!((progress.done, progress.total), (3, Some(3)));
    /// println!("{progress}"); // 3 of 3, 5211/s, 0 s to go
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.service.progress()
    }

    /// Says how many items there will be in all, for [`progress`](Control::progress). The last one who says so counts, until no more are
    /// accepted: then it is the number of those that were.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).start()?;
    /// let control = input.control();
    /// control.expect_items(200);
    /// assert_eq!(control.progress().fraction(), Some(0.0));
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn expect_items(&self, items: usize) {
        self.service.expect_items(items);
    }
}

impl fmt::Debug for Control<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control")
            .field("name", &self.name)
            .field("closed", &self.closed())
            .field("depth", &self.depth())
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}
