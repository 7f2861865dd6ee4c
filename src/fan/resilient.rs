//! Options of a service about failures.

use super::builder::FanOutBuilder;
use super::rating::Rating;
use super::work::Work;
use crate::error::Errors;
use crate::resilience::{Clock, RateLimit, RateLimits, Retry, hash_of};
use std::hash::Hash;
use std::time::Duration;

impl<'a, T, W: Work<T>, P> FanOutBuilder<'a, T, W, P> {
    /// How long an item may take, from its acceptance to its outcome. One whose time is over when its turn comes is not started and ends as
    /// [`Expired`](crate::TaskError::Expired). A handler that runs is not stopped; it can ask for [`time_left`](crate::time_left), and
    /// what it returns counts.
    ///
    /// # Default
    ///
    /// None.
    ///
    /// # Errors
    ///
    /// `start` refuses it for a handler of batches, and zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{FanOut, testing::ManualClock};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let (input, mut output) = FanOut::builder(|n: u8| Ok::<_, ()>(n))
    ///     .deadline(Duration::from_secs(1))
    ///     .clock(&clock)
    ///     .start()?;
    /// input.control().pause();
    /// input.send(1)?;
    /// clock.advance(Duration::from_secs(1));
    /// input.control().resume();
    /// assert!(output.recv()?.result.unwrap_err().is_expired());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn deadline(mut self, time: Duration) -> Self {
        self.policies.deadline = Some(time);
        self.policies.any = true;
        self
    }

    /// How long one attempt may take. The handler is not stopped; it is told by [`time_left`](crate::time_left).
    ///
    /// # Default
    ///
    /// None.
    ///
    /// # Errors
    ///
    /// `start` refuses it for a handler of batches, and zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::FanOut;
    /// use std::time::Duration;
    ///
    /// let (input, output) = FanOut::builder(|address: std::net::SocketAddr| {
    ///     let time = fanpool::time_left().unwrap_or(Duration::MAX);
    ///     std::net::TcpStream::connect_timeout(&address, time)
    /// })
    /// .attempt_timeout(Duration::from_secs(2))
    /// .start()?;
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn attempt_timeout(mut self, time: Duration) -> Self {
        self.policies.attempt = Some(time);
        self.policies.any = true;
        self
    }

    /// Where the time is read by the policies of this service, by [`health`](crate::Control::health), and for [`Outcome::queued`](crate::Outcome::queued).
    /// [`Outcome::ran`](crate::Outcome::ran) goes by the system's clock.
    ///
    /// # Default
    ///
    /// [`Clock::system`].
    ///
    /// # Errors
    ///
    /// `start` refuses it for a handler of batches.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{FanOut, testing::ManualClock};
    ///
    /// let clock = ManualClock::new();
    /// let (input, output) = FanOut::builder(|n: u8| Ok::<_, ()>(n)).clock(&clock).start()?;
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.policies.clock = clock.into();
        self.policies.any = true;
        self
    }

    /// Hands every item that ends without a result to `sink`, before its outcome is delivered: with its errors by attempt, those of the first 15
    /// and the last, which is that of the outcome. Attempts are counted from 1; an item that ends before its first has one error, with the
    /// number 0. Each item is cloned before its handler is called.
    ///
    /// An item that was cancelled comes, too: there are as many calls as outcomes that are errors, but for those that a stage
    /// before has passed on, of which there is no item, and those whose clone panicked.
    ///
    /// `sink` runs on whichever thread has the item, several at a time. A panic of it is counted as
    /// [`contained`](crate::ServiceCounts::contained) and changes nothing.
    ///
    /// # Errors
    ///
    /// `start` refuses it for a handler of batches.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::FanOut;
    /// use std::sync::{Arc, Mutex};
    ///
    /// let dead = Arc::new(Mutex::new(Vec::new()));
    /// let letters = dead.clone();
    /// let (input, output) = FanOut::builder(|text: &str| text.parse::<u8>())
    ///     .dead_letter(move |text, errors| letters.lock().unwrap().push(format!("{text}: {errors}")))
    ///     .start()?;
    /// input.send("seven")?;
    /// drop(input);
    /// output.partition();
    /// assert_eq!(*dead.lock().unwrap(), ["seven: number 1 failed: invalid digit found in string"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn dead_letter(mut self, sink: impl Fn(T, &Errors<W::Error>) + Send + Sync + 'a) -> Self
    where
        T: Clone,
    {
        self.policies.dead = Some(Box::new(sink));
        self.policies.copy = Some(T::clone);
        self.policies.any = true;
        self
    }

    /// Tries an item again whose handler returned an error, as `retry` says. Each item is cloned before its handler is called.
    ///
    /// An item that waits for its next attempt sits in the pool's timer and holds no worker; it keeps its place in the window, in the order
    /// of an [`ordered`](FanOutBuilder::ordered) service, and before the others of its [`key`](FanOutBuilder::key); with a [`Route::by_key`](crate::Route::by_key) others of its worker go on meanwhile. An attempt that
    /// could not begin before the item's [`deadline`](FanOutBuilder::deadline) is not waited for. The error of the last attempt is
    /// that of the outcome. What a [`breaker`](FanOutBuilder::breaker) rejects is not tried again.
    ///
    /// A panic in the function of [`retry_if`](Retry::retry_if) is counted as [`contained`](crate::ServiceCounts::contained), and the item
    /// is not tried again.
    ///
    /// # Default
    ///
    /// Every item has one attempt.
    ///
    /// # Errors
    ///
    /// `start` refuses what [`Retry`] does not allow, a service in a scope, a handler of batches, and a pool whose timer's thread the
    /// operating system refuses.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{FanOut, Retry};
    /// use std::sync::atomic::{AtomicU32, Ordering};
    /// use std::time::Duration;
    ///
    /// let calls = AtomicU32::new(0);
    /// let (input, mut output) = FanOut::builder(move |n: u32| match calls.fetch_add(1, Ordering::Relaxed) {
    ///     0 | 1 => Err("connection reset"),
    ///     _ => Ok(n),
    /// })
    /// .retry(Retry::exponential(Duration::from_millis(1)).max_attempts(5))
    /// .start()?;
    /// input.send(7)?;
    /// let outcome = output.recv()?;
    /// assert_eq!((outcome.attempts, outcome.result.ok()), (3, Some(7)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn retry(mut self, retry: Retry<W::Error>) -> Self
    where
        T: Clone,
    {
        self.policies.retry = Some(retry);
        self.policies.copy = Some(T::clone);
        self.policies.any = true;
        self
    }

    /// Hedges: where an attempt has not answered after `time` of the service's clock, a second begins on another worker, with a clone of the
    /// item. The first `Ok` is the outcome; an error or a panic waits for the other attempt, and if both fail the later error is that of both.
    /// For handlers that do no harm when they run twice: the other attempt is not interrupted, and what it returns is dropped and
    /// counted as [`late`](crate::ServiceCounts::late).
    ///
    /// A second attempt goes to the front of the queue. Rate and breaker count it like any other, and it is not made if they would have it
    /// wait. For [`retry`](FanOutBuilder::retry) and in [`Outcome::attempts`](crate::Outcome::attempts) both are one. The next item of
    /// a [`key`](FanOutBuilder::key) begins when both have ended.
    ///
    /// A handler that hangs still holds its worker. `time` is best a little more than what most calls take: at the 95th percentile one item of
    /// twenty is handled twice (Dean and Barroso, "The Tail at Scale", 2013).
    ///
    /// # Default
    ///
    /// No second attempts.
    ///
    /// # Errors
    ///
    /// `start` refuses a time of zero, a service in a scope, a handler of batches, and a [`Route`](crate::Route) other than `Shared`.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::FanOut;
    /// use std::sync::atomic::{AtomicBool, Ordering};
    /// use std::sync::{Barrier, Arc};
    /// use std::time::Duration;
    ///
    /// // The first call hangs until the second has answered.
    /// let first = AtomicBool::new(true);
    /// let answered = Arc::new(Barrier::new(2));
    /// let stuck = answered.clone();
    /// let work = move |n: u32| {
    ///     if first.swap(false, Ordering::Relaxed) {
    ///         stuck.wait();
    ///     }
    ///     Ok::<_, ()>(n)
    /// };
    /// let (input, mut output) = FanOut::builder(work).workers(2).hedge_after(Duration::from_millis(1)).start()?;
    /// input.send(7)?;
    /// assert_eq!(output.recv()?.result.ok(), Some(7));
    /// answered.wait();
    /// assert_eq!(output.control().counts().hedged, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn hedge_after(mut self, time: Duration) -> Self
    where
        T: Clone,
    {
        self.policies.hedge = Some(time);
        self.policies.copy = Some(T::clone);
        self.policies.any = true;
        self
    }

    /// Begins attempts no faster than `limit` allows. Items whose turn by the rate is later sit in the pool's timer and hold no worker;
    /// one whose [`deadline`](FanOutBuilder::deadline) is before its turn ends as [`Expired`](crate::TaskError::Expired) at once. A turn that was
    /// given to an item that is then stopped, or rejected by a breaker, is not given to another.
    ///
    /// Services that are given clones of one limit share it. Build it with the service's clock.
    ///
    /// # Errors
    ///
    /// `start` refuses it for a service in a scope and for a handler of batches.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{FanOut, RateLimit};
    /// use std::time::Duration;
    ///
    /// let limit = RateLimit::builder(1000, Duration::from_secs(1)).burst(10).build()?;
    /// let (input, output) = FanOut::builder(|n: u32| Ok::<_, ()>(n)).rate(limit).start()?;
    /// (0..20).try_for_each(|n| input.send(n).map(drop))?;
    /// drop(input);
    /// assert_eq!(output.count(), 20);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rate(mut self, limit: RateLimit) -> Self {
        self.policies.rate = Some(Rating::All(limit));
        self.policies.any = true;
        self
    }

    /// As [`rate`](FanOutBuilder::rate), with one limit for each key: a host, a tenant, a file. A panic of `key` fails the item.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{FanOut, RateLimit};
    /// use std::time::Duration;
    ///
    /// let limits = RateLimit::builder(100, Duration::from_secs(1)).build_keyed(1000)?;
    /// let (input, output) = FanOut::builder(|(host, page): (&str, u32)| Ok::<_, ()>(page))
    ///     .rate_by(limits, |(host, _)| *host)
    ///     .start()?;
    /// input.send(("example.org", 1))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rate_by<K: Hash>(mut self, limits: RateLimits, key: impl Fn(&T) -> K + Send + Sync + 'a) -> Self {
        self.policies.rate = Some(Rating::ByKey(limits, Box::new(move |item| hash_of(&key(item)))));
        self.policies.any = true;
        self
    }
}
