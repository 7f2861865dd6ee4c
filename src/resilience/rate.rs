//! How often something may happen.
//!
//! A token bucket by the *generic cell rate algorithm* (ITU-T I.371): instead of tokens it keeps one time, from which on the bucket
//! is full. A permit moves that time on by one interval, and may be used from the moment on in which it is no more than `burst`
//! intervals away. All in whole nanoseconds, under a small lock, so that permits are given one after the other. Times are counted from
//! the limit's start in 128 bits, which hold any number of any intervals: an `Instant` that stopped at the clock's end would be no
//! more than a burst away, and give permits for nothing. (The crate `governor` does this too, with a clock of its own and for waiting
//! with futures; what is needed here beside the waiting is some twenty lines.)

use super::backoff::nanos;
use super::rates::RateLimits;
use super::{Clock, later};
use crate::error::BuildError;
use crate::sync::{Arc, Mutex};
use std::error::Error;
use std::fmt;
use std::time::{Duration, Instant};

/// A rate limit, by a token bucket: so many permits in a time, evenly spaced, and up to a burst of them at once.
///
/// Permits are given in the order in which they are asked for. Clones are the same limit. Whoever has waited for a permit and does not
/// use it within the time of a burst and one second, because the clock has jumped or there was no thread, asks for another.
///
/// # Examples
///
/// ```
/// use fanpool::{RateLimit, testing::ManualClock};
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// let limit = RateLimit::builder(10, Duration::from_secs(1)).burst(2).clock(&clock).build()?;
/// assert!(limit.try_acquire().is_ok() && limit.try_acquire().is_ok());
/// assert_eq!(limit.try_acquire().unwrap_err().retry_after, Duration::from_millis(100));
/// clock.advance(Duration::from_millis(100));
/// assert!(limit.try_acquire().is_ok());
/// # Ok::<(), fanpool::BuildError>(())
/// ```
#[derive(Clone)]
pub struct RateLimit {
    inner: Arc<Inner>,
}

struct Inner {
    options: Options,
    /// What times are counted from.
    began: Instant,
    /// When all permits are there again, in nanoseconds: those that were given are paid off then.
    full: Mutex<u128>,
}

#[derive(Clone)]
pub(super) struct Options {
    /// In nanoseconds.
    interval: u128,
    /// How far from full a permit may be used: the time of all of a burst but one.
    ahead: u128,
    pub(super) clock: Clock,
}

/// Options for a [`RateLimit`], or for one per key.
///
/// # Examples
///
/// ```
/// use fanpool::RateLimit;
/// use std::time::Duration;
///
/// let limit = RateLimit::builder(100, Duration::from_secs(60)).burst(20).build()?;
/// # Ok::<(), fanpool::BuildError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build`"]
pub struct RateLimitBuilder {
    permits: u32,
    per: Duration,
    burst: u32,
    clock: Clock,
}

impl RateLimitBuilder {
    /// How many permits may be used at once after a pause that was long enough.
    ///
    /// # Default
    ///
    /// 1: permits are evenly spaced.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::RateLimit;
    /// use std::time::Duration;
    ///
    /// let limit = RateLimit::builder(1, Duration::from_secs(60)).burst(3).build()?;
    /// assert_eq!((0..9).filter(|_| limit.try_acquire().is_ok()).count(), 3);
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn burst(mut self, permits: u32) -> RateLimitBuilder {
        self.burst = permits;
        self
    }

    /// Where the time is read.
    ///
    /// # Default
    ///
    /// [`Clock::system`].
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{RateLimit, testing::ManualClock};
    ///
    /// let limit = RateLimit::builder(1, std::time::Duration::from_secs(1)).clock(ManualClock::new()).build()?;
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn clock(mut self, clock: impl Into<Clock>) -> RateLimitBuilder {
        self.clock = clock.into();
        self
    }

    /// Builds a limit of which no permit is used.
    ///
    /// # Errors
    ///
    /// [`BuildError::OutOfRange`] if `permits` or `burst` is 0, or there would be more than a permit in a nanosecond, and
    /// [`BuildError::NotInRange`] if the time is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{BuildError, RateLimit};
    /// use std::time::Duration;
    ///
    /// let refused = RateLimit::builder(0, Duration::from_secs(1)).build().unwrap_err();
    /// assert!(matches!(refused, BuildError::OutOfRange { option: "permits", value: 0, .. }));
    /// ```
    pub fn build(self) -> Result<RateLimit, BuildError> {
        Ok(RateLimit::start(self.check()?))
    }

    /// Builds a family of limits, one for each key that is asked for. At most `max` are kept; see [`RateLimits`].
    ///
    /// # Errors
    ///
    /// Those of [`build`](RateLimitBuilder::build), and [`BuildError::OutOfRange`] if `max` is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::RateLimit;
    /// use std::time::Duration;
    ///
    /// let tenants = RateLimit::builder(1, Duration::from_secs(60)).build_keyed(100)?;
    /// assert!(tenants.of("a").try_acquire().is_ok());
    /// assert!(tenants.of("b").try_acquire().is_ok());
    /// assert!(tenants.of("a").try_acquire().is_err());
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn build_keyed(self, max: usize) -> Result<RateLimits, BuildError> {
        BuildError::check("max", max, 1..=usize::MAX)?;
        Ok(RateLimits::new(self.check()?, max))
    }

    fn check(self) -> Result<Options, BuildError> {
        let RateLimitBuilder { permits, per, burst, clock } = self;
        if per.is_zero() {
            return Err(BuildError::NotInRange { option: "per", value: 0.0, allowed: "more than 0 seconds" });
        }
        let per = per.as_nanos();
        let most = usize::try_from(per).unwrap_or(usize::MAX).min(u32::MAX as usize);
        BuildError::check("permits", permits as usize, 1..=most)?;
        BuildError::check("burst", burst as usize, 1..=u32::MAX as usize)?;
        // Rounded up: rather a little slower than asked than a little faster.
        let interval = per.div_ceil(u128::from(permits));
        Ok(Options { interval, ahead: interval * u128::from(burst - 1), clock })
    }
}

impl RateLimit {
    /// Options for `permits` in the time `per`: so many, one after the other, in equal intervals. An interval that is no whole number of
    /// nanoseconds is rounded up.
    ///
    /// # Examples
    ///
    /// ```
    /// let limit = fanpool::RateLimit::builder(50, std::time::Duration::from_secs(1)).build()?;
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn builder(permits: u32, per: Duration) -> RateLimitBuilder {
        RateLimitBuilder { permits, per, burst: 1, clock: Clock::system() }
    }

    pub(super) fn start(options: Options) -> RateLimit {
        let began = options.clock.now();
        RateLimit { inner: Arc::new(Inner { options, began, full: Mutex::new(0) }) }
    }

    /// Takes a permit if there is one now.
    ///
    /// # Errors
    ///
    /// [`RateLimited`] with the time until there is one, if nobody else takes it.
    ///
    /// # Examples
    ///
    /// ```
    /// let limit = fanpool::RateLimit::builder(1, std::time::Duration::from_secs(60)).build()?;
    /// assert!(limit.try_acquire().is_ok());
    /// assert!(limit.try_acquire().is_err());
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn try_acquire(&self) -> Result<(), RateLimited> {
        self.take(Some).map(drop).map_err(|retry_after| RateLimited { retry_after })
    }

    /// Takes the next permit, and holds the calling thread until it may be used.
    ///
    /// # Examples
    ///
    /// ```
    /// let limit = fanpool::RateLimit::builder(1000, std::time::Duration::from_secs(1)).build()?;
    /// let start = std::time::Instant::now();
    /// (0..3).for_each(|_| limit.acquire());
    /// assert!(start.elapsed() >= std::time::Duration::from_millis(2));
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn acquire(&self) {
        let clock = &self.inner.options.clock;
        while let Some(at) = self.reserve(None) {
            clock.sleep_until(at);
            if !self.is_stale(at, clock.now()) {
                return;
            }
        }
    }

    /// Whether a permit for that time has not been used for so long that it is void: for the time of a burst and a second more. If the
    /// clock has jumped, all who waited would otherwise begin at once.
    pub(crate) fn is_stale(&self, at: Instant, now: Instant) -> bool {
        let Options { interval, ahead, .. } = &self.inner.options;
        now.saturating_duration_since(at).as_nanos() > ahead.saturating_add(*interval).saturating_add(1_000_000_000)
    }

    /// Takes the next permit, and tells from when on it may be used. `None`, and none is taken, if that is after `not_after`.
    pub(crate) fn reserve(&self, not_after: Option<Instant>) -> Option<Instant> {
        self.take(|_| not_after).ok()
    }

    /// Whether nothing is known of it that a new one would not know.
    pub(super) fn is_full(&self) -> bool {
        let full = self.inner.full.lock();
        *full <= self.inner.passed(self.inner.options.clock.now())
    }

    /// Takes the next permit unless it may only be used after `limit` of now. Returns when, or else in what time it would be.
    fn take(&self, limit: impl FnOnce(Instant) -> Option<Instant>) -> Result<Instant, Duration> {
        let Options { interval, ahead, clock } = &self.inner.options;
        let began = self.inner.began;
        let mut full = self.inner.full.lock();
        // Under the lock, so that permits see times in their order.
        let now = clock.now();
        let passed = self.inner.passed(now);
        let from = passed.max(*full);
        let at = from.saturating_sub(*ahead).max(passed);
        let too_late = |limit: Instant| limit.checked_duration_since(began).is_none_or(|limit| at > limit.as_nanos());
        if limit(now).is_some_and(too_late) {
            return Err(nanos(at - passed));
        }
        *full = from.saturating_add(*interval);
        Ok(later(began, nanos(at)))
    }
}

impl Inner {
    /// How long it was since the beginning, in nanoseconds.
    fn passed(&self, now: Instant) -> u128 {
        now.saturating_duration_since(self.began).as_nanos()
    }
}

impl fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit").field("interval", &nanos(self.inner.options.interval)).finish_non_exhaustive()
    }
}

/// A [`RateLimit`] has no permit now.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let limit = fanpool::RateLimit::builder(1, Duration::from_secs(60)).build()?;
/// limit.acquire();
/// let refused: fanpool::RateLimited = limit.try_acquire().unwrap_err();
/// assert!(refused.retry_after <= Duration::from_secs(60));
/// # Ok::<(), fanpool::BuildError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimited {
    /// How long until there is one, if nobody else takes it.
    pub retry_after: Duration,
}

impl fmt::Display for RateLimited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "more than the rate allows; try again in {:.1?}", self.retry_after)
    }
}

impl Error for RateLimited {}
