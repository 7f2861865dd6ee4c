//! Options of a service about circuit breakers.

use super::breaking::{Breaking, Which};
use super::builder::FanOutBuilder;
use super::work::Work;
use crate::resilience::{Breakers, CircuitBreaker, hash_of};
use std::hash::Hash;

impl<'a, T, W: Work<T>, P> FanOutBuilder<'a, T, W, P> {
    /// Asks `breaker` before every attempt, and tells it how the attempt ended. What it does not admit ends as
    /// [`Rejected`](crate::TaskError::Rejected), without an attempt; or waits, with [`breaker_waits`](FanOutBuilder::breaker_waits).
    ///
    /// A handler that panics has failed; so has one that returns an error, unless [`breaker_counts`](FanOutBuilder::breaker_counts) says
    /// otherwise. Failures are told at once, successes when the items are done that were taken together (for at most 100 us, unless
    /// one of them takes longer). Services that are given clones of one breaker share it. Build it with the service's clock.
    ///
    /// # Errors
    ///
    /// `start` refuses it for a handler of batches.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{CircuitBreaker, FanOut};
    ///
    /// let breaker = CircuitBreaker::builder().window_calls(10).minimum_calls(5).build()?;
    /// let (input, output) = FanOut::builder(|n: u32| Err::<u32, _>("no route")).workers(1).breaker(breaker.clone()).start()?;
    /// (0..100).try_for_each(|n| input.send(n).map(drop))?;
    /// drop(input);
    /// let (_, errors) = output.partition();
    /// assert_eq!(errors.iter().filter(|(_, error)| error.is_failed()).count(), 5);
    /// assert_eq!(errors.iter().filter(|(_, error)| error.is_rejected()).count(), 95);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn breaker(mut self, breaker: CircuitBreaker) -> Self {
        self.policies.breaker = Some(Breaking::new(Which::One(breaker)));
        self.policies.any = true;
        self
    }

    /// As [`breaker`](FanOutBuilder::breaker), with one breaker for each key: a host, a tenant, a shard. [`Breakers::of`] finds it. A panic
    /// of `key` fails the item. Every attempt takes the family's lock and the breaker's for a moment.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{CircuitBreaker, FanOut};
    ///
    /// let hosts = CircuitBreaker::builder().minimum_calls(1).build_keyed(100)?;
    /// let (input, output) = FanOut::builder(|host: &str| if host == "down" { Err("no route") } else { Ok(()) })
    ///     .workers(1)
    ///     .breaker_by(hosts.clone(), |host| *host)
    ///     .start()?;
    /// ["down", "down", "up"].into_iter().try_for_each(|host| input.send(host).map(drop))?;
    /// drop(input);
    /// assert_eq!(output.filter(|outcome| outcome.result.is_ok()).count(), 1);
    /// assert!(hosts.of("down").admit().is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn breaker_by<K: Hash>(mut self, breakers: Breakers, key: impl Fn(&T) -> K + Send + Sync + 'a) -> Self {
        let which = Which::ByKey(breakers, Box::new(move |item| hash_of(&key(item))));
        self.policies.breaker = Some(Breaking::new(which));
        self.policies.any = true;
        self
    }

    /// Which errors count as failures for the breaker; the others count as successes, since the answer came. A panic of `counts` is counted as
    /// [`contained`](crate::ServiceCounts::contained), and the error counts.
    ///
    /// # Default
    ///
    /// All do.
    ///
    /// # Errors
    ///
    /// `start` refuses it without a breaker.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{CircuitBreaker, FanOut};
    ///
    /// let breaker = CircuitBreaker::builder().minimum_calls(1).build()?;
    /// let (input, output) = FanOut::builder(|path: &str| Err::<(), u16>(404))
    ///     .breaker(breaker.clone())
    ///     .breaker_counts(|status| *status >= 500)
    ///     .start()?;
    /// input.send("/nothing")?;
    /// drop(input);
    /// assert_eq!(output.count(), 1);
    /// assert_eq!(breaker.counts().failures, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn breaker_counts(mut self, counts: impl Fn(&W::Error) -> bool + Send + Sync + 'a) -> Self {
        self.policies.counts = Some(Box::new(counts));
        self.policies.any = true;
        self
    }

    /// Items that the breaker does not admit wait for it, instead of being rejected: in the pool's timer, with their places in the window and
    /// in the order. They ask again when the breaker would let somebody try, and when it has closed. One whose
    /// [`deadline`](FanOutBuilder::deadline) passes meanwhile ends as [`Expired`](crate::TaskError::Expired).
    ///
    /// # Default
    ///
    /// They are rejected.
    ///
    /// # Errors
    ///
    /// `start` refuses it without a breaker, in a scope, and where the operating system refuses the timer's thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{CircuitBreaker, FanOut, testing::ManualClock};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let breaker = CircuitBreaker::builder().minimum_calls(1).open_for(Duration::from_secs(5)).clock(&clock).build()?;
    /// breaker.admit()?.failure();
    /// let (input, output) = FanOut::builder(|n: u32| Ok::<_, ()>(n)).breaker(breaker).breaker_waits().clock(&clock).start()?;
    /// (0..10).try_for_each(|n| input.send(n).map(drop))?;
    /// drop(input);
    /// let collected = std::thread::spawn(|| output.partition().0.len());
    /// clock.advance(Duration::from_secs(5));
    /// assert_eq!(collected.join().unwrap(), 10);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn breaker_waits(mut self) -> Self {
        self.policies.waits = true;
        self.policies.any = true;
        self
    }
}
