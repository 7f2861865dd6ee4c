//! Where outcomes are received: the collector.

use super::Wait;
use super::collector::Collector;
use super::control::Control;
use super::landing::{Done, Found, Landing};
use super::outcome::{Outcome, Reorder};
use super::service::{Parking, Service};
use crate::error::{Errors, KEPT, OnError, RecvError, Tally, TaskError};
use crate::panics;
use crate::pool::Pool;
use crate::sync::channel::{Receiver, Sender};
use crate::sync::{Arc, now, thread};
use std::collections::VecDeque;
use std::fmt;
use std::iter::FusedIterator;
use std::time::Duration;

/// Where a service's threads are.
pub(super) enum Home {
    Own(Pool),
    Shared(Arc<Pool>),
    Scope,
}

impl Home {
    pub(super) fn pool(&self) -> Option<&Pool> {
        match self {
            Home::Own(pool) => Some(pool),
            Home::Shared(pool) => Some(pool),
            Home::Scope => None,
        }
    }
}

/// The outcomes of a service, to be taken one by one.
///
/// Taking an outcome gives its place in the window free. As an iterator, it ends when the service is closed and all outcomes were
/// taken.
///
/// Dropping it before its end stops the service: what was not started is discarded, and senders get their items back. If the workers are the
/// service's own they are joined, which waits for the handlers that run. (Dropped by one of its own handlers it cannot wait for
/// them; the threads end by themselves.)
///
/// # Examples
///
/// ```
/// let (input, output) = fanpool::FanOut::builder(|n: u64| Ok::<_, ()>(n * n)).ordered().start()?;
/// for n in 0..4 {
///     input.send(n)?;
/// }
/// drop(input);
/// let squares: Vec<u64> = output.filter_map(|outcome| outcome.result.ok()).collect();
/// assert_eq!(squares, [0, 1, 4, 9]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping the output stops the service"]
pub struct Output<'a, R, E> {
    pub(super) landing: Arc<Landing<R, E>>,
    control: Control<'a>,
    pub(super) bell: Receiver<()>,
    /// To be delivered, in this order.
    pub(super) ready: VecDeque<Done<R, E>>,
    pub(super) reorder: Option<Reorder<R, E>>,
    /// How many were taken from the landing.
    pub(super) taken: u64,
    pub(super) ended: bool,
    on_error: OnError,
    home: Option<Home>,
    /// What brings items from the stage before.
    upstream: Option<Collector>,
    pub(super) parking: Parking,
    /// Senders were woken since the last wait.
    pub(super) woke: bool,
}

impl<'a, R, E> Output<'a, R, E> {
    pub(super) fn new(
        landing: Arc<Landing<R, E>>,
        control: Control<'a>,
        bell: Receiver<()>,
        ordered: bool,
        on_error: OnError,
        home: Home,
    ) -> Self {
        Output {
            landing,
            control,
            bell,
            ready: VecDeque::new(),
            reorder: ordered.then(|| Reorder { next: 0, places: VecDeque::new() }),
            taken: 0,
            ended: false,
            on_error,
            home: Some(home),
            upstream: None,
            parking: Parking::Apart,
            woke: false,
        }
    }

    pub(super) fn set_upstream(&mut self, collector: Collector) {
        self.upstream = Some(collector);
    }

    pub(super) fn stages_before(&self) -> Vec<(thread::ThreadId, Control<'static>)> {
        self.upstream.as_ref().map_or_else(Vec::new, Collector::stages)
    }

    pub(super) fn set_bell(&mut self, bell: Sender<()>) {
        self.landing.set_bell(bell);
    }

    /// Drops an outcome that was taken and that nobody wants.
    pub(super) fn undelivered(&self, outcome: Outcome<R, E>) {
        panics::drop_each([outcome]);
        self.lost_one();
    }

    /// Counts such an outcome.
    pub(super) fn lost_one(&self) {
        self.landing.lose(1);
    }

    pub(super) fn service(&self) -> &Arc<dyn Service + 'a> {
        self.control.service()
    }

    /// Takes what has landed. Returns whether something may be delivered.
    pub(super) fn pull(&mut self) -> bool {
        match self.landing.take(&mut self.ready, self.taken) {
            Found::Nothing => return false,
            Found::End => {
                self.ended = true;
                return false;
            }
            Found::Some => self.taken += self.ready.len() as u64,
        }
        if let Some(reorder) = &mut self.reorder {
            self.ready.drain(..).for_each(|done| reorder.insert(done));
            self.ready.extend(std::iter::from_fn(|| reorder.pop()));
        }
        !self.ready.is_empty()
    }

    #[inline]
    fn next_until(&mut self, wait: Wait) -> Result<Outcome<R, E>, RecvError> {
        loop {
            if let Some(done) = self.ready.pop_front() {
                if self.landing.credits.release() {
                    self.woke = true;
                    self.service().wake_senders();
                }
                return Ok(done.into());
            }
            self.advance(wait)?;
        }
    }

    /// Takes the next outcome, waiting for it.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`] once the service is closed and all outcomes were taken.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, mut output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).start()?;
    /// input.send(3)?;
    /// assert_eq!(output.recv()?.result.ok(), Some(3));
    /// drop(input);
    /// assert!(output.recv().is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recv(&mut self) -> Result<Outcome<R, E>, RecvError> {
        self.next_until(Wait::Until(None))
    }

    /// Takes the next outcome, if there is one.
    ///
    /// # Errors
    ///
    /// [`RecvError::Empty`] if there is none now, [`RecvError::Closed`] if there will be none.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::{FanOut, RecvError};
    /// let (input, mut output) = FanOut::builder(|n: u8| Ok::<u8, ()>(n)).start()?;
    /// assert_eq!(output.try_recv().unwrap_err(), RecvError::Empty);
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn try_recv(&mut self) -> Result<Outcome<R, E>, RecvError> {
        self.next_until(Wait::Not)
    }

    /// As [`recv`](Output::recv), for at most `timeout`. One too long for the clock never runs out.
    ///
    /// # Errors
    ///
    /// [`RecvError::TimedOut`] if none came, [`RecvError::Closed`] if none will.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::{FanOut, RecvError};
    /// use std::time::Duration;
    ///
    /// let (input, mut output) = FanOut::builder(|n: u8| Ok::<u8, ()>(n)).start()?;
    /// assert_eq!(output.recv_timeout(Duration::from_millis(1)).unwrap_err(), RecvError::TimedOut);
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Outcome<R, E>, RecvError> {
        self.next_until(Wait::Until(now().checked_add(timeout)))
    }

    /// The results alone, as an iterator.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).start()?;
    /// input.send(3)?;
    /// drop(input);
    /// assert_eq!(output.results().flatten().sum::<u8>(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn results(self) -> impl Iterator<Item = Result<R, TaskError<E>>> + use<'a, R, E> {
        self.map(|outcome| outcome.result)
    }

    /// Waits for all outcomes, and returns the results and, with their numbers, the failures: both in the order of delivery.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{FanOut, TaskError};
    ///
    /// let (input, output) = FanOut::builder(|n: i32| if n < 0 { Err(n) } else { Ok(n) }).ordered().start()?;
    /// for n in [1, -2, 3] {
    ///     input.send(n)?;
    /// }
    /// drop(input);
    /// let (done, failed) = output.partition();
    /// assert_eq!(done, [1, 3]);
    /// assert!(matches!(failed[..], [(1, TaskError::Failed(-2))]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn partition(self) -> (Vec<R>, Vec<(u64, TaskError<E>)>) {
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        for outcome in self {
            match outcome.result {
                Ok(result) => done.push(result),
                Err(error) => failed.push((outcome.seq, error)),
            }
        }
        (done, failed)
    }

    /// Waits for all outcomes, and returns the results in the order of delivery, unless the run has failed by the rule that was chosen with
    /// [`on_error`](crate::FanOutBuilder::on_error). By default any failure fails it.
    ///
    /// # Errors
    ///
    /// [`Errors`] by the number of their items: the failures, of which the 1,000 with the lowest numbers are kept, and how many items were not
    /// started. Results are dropped then; [`partition`](Output::partition) returns both.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{FanOut, OnError};
    ///
    /// let run = |on_error| {
    ///     let work = |n: i32| if n < 0 { Err("negative") } else { Ok(n) };
    ///     let (input, output) = FanOut::builder(work).ordered().on_error(on_error).start().unwrap();
    ///     [1, -2, 3].into_iter().for_each(|n| drop(input.send(n)));
    ///     drop(input);
    ///     output.try_collect()
    /// };
    /// assert_eq!(run(OnError::Limit(1)).unwrap(), [1, 3]);
    /// assert_eq!(run(OnError::FailFast).unwrap_err().first().unwrap().0, 1);
    /// ```
    pub fn try_collect(self) -> Result<Vec<R>, Errors<E>> {
        let on_error = self.on_error;
        let (mut values, mut errors, mut tally) = (Vec::new(), Errors::new(KEPT), Tally::default());
        for outcome in self {
            match outcome.result {
                Ok(value) => {
                    tally.succeeded += 1;
                    values.push(value);
                }
                Err(TaskError::Cancelled) => errors.cancel(1),
                Err(error) => {
                    tally.failed += 1;
                    panics::drop_each(errors.push(outcome.seq as usize, error));
                }
            }
        }
        panics::drop_each(errors.sort());
        if on_error.is_lost(tally, errors.cancelled()) { Err(errors) } else { Ok(values) }
    }

    /// What steers the service.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).start()?;
    /// output.control().drain();
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    #[must_use]
    pub fn control(&self) -> Control<'a> {
        self.control.clone()
    }
}

impl<R, E> Iterator for Output<'_, R, E> {
    type Item = Outcome<R, E>;

    #[inline]
    fn next(&mut self) -> Option<Outcome<R, E>> {
        self.recv().ok()
    }
}

impl<R, E> FusedIterator for Output<'_, R, E> {}

impl<R, E> Drop for Output<'_, R, E> {
    fn drop(&mut self) {
        // First, so that what ends from now on counts as discarded.
        let left = self.landing.leave();
        if !self.ended {
            self.control.service().stop();
        }
        let places = self.reorder.take().map(|reorder| reorder.places);
        let here = self.ready.drain(..).chain(places.into_iter().flatten().flatten());
        let mut lost = 0;
        panics::drop_each(left.into_iter().chain(here).inspect(|_| lost += 1));
        self.landing.lose(lost);
        // Stopped before, so that the collector of the stage before is refused and ends.
        drop(self.upstream.take());
        // Joins the workers, if they are the service's own.
        drop(self.home.take());
    }
}

impl<R, E> fmt::Debug for Output<'_, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("control", &self.control).finish_non_exhaustive()
    }
}
