//! Where outcomes are received: the collector.

use super::Patience;
use super::Wait;
use super::collector::Collector;
use super::control::Control;
use super::landing::{Done, Found, Landing, NO_WORKER, Wanted};
use super::serve::{PATCH, Pause};
use super::service::{Helping, Parking, Service};
use crate::error::{RecvError, TaskError};
use crate::panics;
use crate::pool::Pool;
use crate::sync::atomic::Ordering;
use crate::sync::channel::{self, Receiver, Sender};
use crate::sync::{Arc, now, thread};
use std::collections::VecDeque;
use std::fmt;
use std::iter::FusedIterator;
use std::time::{Duration, Instant};

/// What came of one item.
///
/// # Examples
///
/// ```
/// let (input, mut output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n + 1)).workers(2).start()?;
/// input.send(1)?;
/// let outcome = output.recv()?;
/// assert_eq!((outcome.seq, outcome.result.ok()), (0, Some(2)));
/// assert!(outcome.worker.unwrap() < 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome<R, E> {
    /// The item's number, as `send` returned it.
    pub seq: u64,
    /// From acceptance to start. Items that take under a microsecond share looks at the clock; there this, too long or
    /// too short, is off by what some dozen such items take.
    pub queued: Duration,
    /// How long the handler took. For items that take under 5 µs, the mean of those that were taken from the queue together; for
    /// a batch, what the batch took.
    pub ran: Duration,
    /// The index of the worker that ran it; `None` if a calling thread did, or nobody.
    pub worker: Option<usize>,
    /// What the handler returned, or why there is nothing.
    pub result: Result<R, TaskError<E>>,
}

impl<R, E> From<Done<R, E>> for Outcome<R, E> {
    #[inline]
    fn from(done: Done<R, E>) -> Self {
        Outcome {
            seq: done.seq,
            queued: Duration::from_nanos(done.queued),
            ran: Duration::from_nanos(done.ran),
            worker: (done.worker != NO_WORKER).then_some(done.worker),
            result: done.result,
        }
    }
}

/// Outcomes that came before their turn.
struct Reorder<R, E> {
    /// The number of the first place.
    next: u64,
    places: VecDeque<Option<Done<R, E>>>,
}

impl<R, E> Reorder<R, E> {
    fn insert(&mut self, done: Done<R, E>) {
        let at = (done.seq - self.next) as usize;
        while self.places.len() <= at {
            self.places.push_back(None);
        }
        self.places[at] = Some(done);
    }

    fn pop(&mut self) -> Option<Done<R, E>> {
        let done = self.places.front_mut()?.take()?;
        self.places.pop_front();
        self.next += 1;
        Some(done)
    }
}

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
    landing: Arc<Landing<R, E>>,
    control: Control<'a>,
    bell: Receiver<()>,
    /// To be delivered, in this order.
    ready: VecDeque<Done<R, E>>,
    reorder: Option<Reorder<R, E>>,
    /// How many were taken from the landing.
    taken: u64,
    ended: bool,
    home: Option<Home>,
    /// What brings items from the stage before.
    upstream: Option<Collector>,
    parking: Parking,
    /// Senders were woken since the last wait.
    woke: bool,
}

impl<'a, R, E> Output<'a, R, E> {
    pub(super) fn new(
        landing: Arc<Landing<R, E>>,
        control: Control<'a>,
        bell: Receiver<()>,
        ordered: bool,
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

    fn service(&self) -> &Arc<dyn Service + 'a> {
        self.control.service()
    }

    /// Takes what has landed. Returns whether something may be delivered.
    fn pull(&mut self) -> bool {
        let Some(reorder) = &mut self.reorder else {
            return self.landing_take() && !self.ready.is_empty();
        };
        // What comes next may have come with what came before.
        if let Some(done) = reorder.pop() {
            self.ready.push_back(done);
            return true;
        }
        let mut landed = std::mem::take(&mut self.ready);
        match self.landing.take(&mut landed, self.taken) {
            Found::End => self.ended = true,
            Found::Nothing => {}
            Found::Some => {
                self.taken += landed.len() as u64;
                for done in landed.drain(..) {
                    reorder.insert(done);
                }
                while let Some(done) = reorder.pop() {
                    landed.push_back(done);
                }
            }
        }
        self.ready = landed;
        !self.ready.is_empty()
    }

    fn landing_take(&mut self) -> bool {
        match self.landing.take(&mut self.ready, self.taken) {
            Found::Some => {
                self.taken += self.ready.len() as u64;
                true
            }
            Found::Nothing => false,
            Found::End => {
                self.ended = true;
                false
            }
        }
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

    /// Brings about that there is something to deliver.
    #[inline(never)]
    fn advance(&mut self, wait: Wait) -> Result<(), RecvError> {
        let patience = Patience::of(self.service().may_help() != Helping::No);
        let mut spins = if std::mem::take(&mut self.woke) { patience.after_waking } else { patience.spins };
        let mut late = false;
        loop {
            if self.ended {
                return Err(RecvError::Closed);
            }
            if self.pull() {
                return Ok(());
            }
            if self.ended {
                continue;
            }
            match wait {
                Wait::Not => return Err(RecvError::Empty),
                Wait::Until(Some(deadline)) if late || now() >= deadline => return Err(RecvError::TimedOut),
                Wait::Until(_) => {}
            }
            let helping = self.service().may_help();
            if spins > 0 && self.watch(&mut spins, patience.yields, helping) {
                continue;
            }
            if (helping != Helping::No || spins == 0) && self.service().help_receiver() {
                spins = patience.spins;
            } else if spins == 0 {
                late = self.park(if let Wait::Until(deadline) = wait { deadline } else { None });
                spins = patience.spins;
            }
        }
    }

    /// Spins until something has landed, which it returns, or it is time to help or to park.
    ///
    /// A sender that is sending is left alone until it pauses, or there is enough for a turn, or the window is full and no sender
    /// waits who would run the items himself.
    fn watch(&self, spins: &mut usize, yields: usize, helping: Helping) -> bool {
        let landing = &self.landing;
        let (mut pause, mut landed) = (Pause::new(), false);
        let mut turns = 0;
        thread::spin_for(*spins, || {
            turns += 1;
            landed = landing.landed_hint.load(Ordering::Relaxed) != self.taken as usize;
            if landed || helping == Helping::No {
                return !landed;
            }
            let accepted = landing.accepted_hint.load(Ordering::Relaxed);
            let waiting = accepted.wrapping_sub(self.taken as usize);
            if waiting == 0 {
                return true;
            }
            let full = waiting >= landing.credits.window();
            let left_alone = helping == Helping::AsSendersDo && landing.blocked_hint.load(Ordering::Relaxed) > 0;
            !(full && !left_alone || !full && waiting >= 2 * PATCH || pause.is_over(accepted))
        });
        *spins -= turns;
        if *spins == 0 && !landed {
            thread::yield_for(yields, || {
                landed = landing.landed_hint.load(Ordering::Relaxed) != self.taken as usize;
                !landed
            });
        }
        landed
    }

    /// Parks until rung; returns whether the time ran out.
    fn park(&mut self, deadline: Option<Instant>) -> bool {
        let waits = self.begin_wait();
        let late = waits && !channel::wait_for(&self.bell, deadline);
        if waits {
            self.end_wait();
        }
        late
    }

    /// Leaves word that the collector waits; false if it had better not. What it might run instead it has run then, since not
    /// everybody who waits goes on to help: [`fan_in`](super::fan_in) polls.
    pub(super) fn begin_wait(&mut self) -> bool {
        let wanted = self.reorder.as_ref().map_or(Wanted::Any, |reorder| Wanted::Seq(reorder.next));
        if !self.ready.is_empty() || !self.landing.want(wanted, self.taken) {
            return false;
        }
        self.parking = self.service().park_receiver();
        if self.parking == Parking::Not {
            self.landing.want_nothing();
            self.service().help_receiver();
            return false;
        }
        true
    }

    pub(super) fn end_wait(&mut self) {
        self.landing.want_nothing();
        if self.parking == Parking::Idle {
            self.service().unpark_receiver();
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
        match self.home.take() {
            Some(Home::Own(pool)) => drop(pool),
            Some(Home::Shared(pool)) => drop(pool),
            Some(Home::Scope) | None => {}
        }
    }
}

impl<R, E> fmt::Debug for Output<'_, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("control", &self.control).finish_non_exhaustive()
    }
}
