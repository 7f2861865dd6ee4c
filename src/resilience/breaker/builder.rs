//! Options for circuit breakers.

use super::waiters::Waiters;
use super::window::Span;
use super::{BreakerChange, Breakers, CircuitBreaker};
use crate::error::BuildError;
use crate::panics;
use crate::resilience::Clock;
use crate::sync::Arc;
use std::fmt;
use std::time::Duration;

/// What a breaker may be asked to remember: a byte for each.
const MAX_WINDOW: usize = 1 << 20;

/// Many more than one that would be probed with.
const MAX_PROBES: usize = 1 << 16;

type Hook = dyn Fn(BreakerChange) + Send + Sync;

/// A function of the user's, which may panic in its `Drop`.
#[derive(Clone, Default)]
pub(super) struct OnChange(Option<Arc<Hook>>);

pub(super) struct Options {
    pub(super) span: Span,
    pub(super) minimum_calls: usize,
    pub(super) failure_rate: f64,
    pub(super) slow_call: Option<Duration>,
    pub(super) open_for: Duration,
    pub(super) probes: usize,
    pub(super) probe_timeout: Duration,
    pub(super) on_change: OnChange,
    pub(super) clock: Clock,
    /// Who has items that wait for an admission.
    pub(super) waiters: Waiters,
}

/// Options for a [`CircuitBreaker`], or for one per key.
///
/// # Examples
///
/// ```
/// use fanpool::CircuitBreaker;
/// use std::time::Duration;
///
/// let breaker = CircuitBreaker::builder()
///     .window_time(Duration::from_secs(60))
///     .minimum_calls(10)
///     .failure_rate(0.2)
///     .slow_call(Duration::from_secs(2))
///     .open_for(Duration::from_secs(5))
///     .probes(3)
///     .on_change(|change| eprintln!("{:?}: {} of {} failed", change.to, change.failures, change.calls))
///     .build()?;
/// # Ok::<(), fanpool::BuildError>(())
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until `build`"]
pub struct CircuitBreakerBuilder {
    window_calls: Option<usize>,
    window_time: Option<Duration>,
    minimum_calls: Option<usize>,
    failure_rate: f64,
    slow_call: Option<Duration>,
    open_for: Duration,
    probes: usize,
    probe_timeout: Option<Duration>,
    on_change: OnChange,
    clock: Clock,
}

impl CircuitBreakerBuilder {
    pub(super) fn new() -> CircuitBreakerBuilder {
        CircuitBreakerBuilder {
            window_calls: None,
            window_time: None,
            minimum_calls: None,
            failure_rate: 0.5,
            slow_call: None,
            open_for: Duration::from_secs(30),
            probes: 1,
            probe_timeout: None,
            on_change: OnChange::default(),
            clock: Clock::system(),
        }
    }

    /// Judges by the last `calls` that were answered, however long ago; 1 to 1,048,576. Each takes a byte, once it has come.
    ///
    /// # Default
    ///
    /// 100.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::{BreakerState, CircuitBreaker};
    /// let breaker = CircuitBreaker::builder().window_calls(3).minimum_calls(2).failure_rate(0.6).build()?;
    /// breaker.admit()?.failure();
    /// breaker.admit()?.success();
    /// breaker.admit()?.success();
    /// breaker.admit()?.failure();
    /// assert_eq!(breaker.state(), BreakerState::Closed, "the first failure is out of the window");
    /// breaker.admit()?.failure();
    /// assert_eq!(breaker.state(), BreakerState::Open);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn window_calls(mut self, calls: usize) -> CircuitBreakerBuilder {
        self.window_calls = Some(calls);
        self
    }

    /// Judges by the calls that were answered within the last `time`, however many. The window is made of ten slots, of which the oldest
    /// is dropped when a new one begins: a call counts for at least nine tenths of `time` and for less than all of it.
    ///
    /// # Default
    ///
    /// A window of calls. Both together are a [`BuildError::Conflict`].
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::testing::ManualClock;
    /// use fanpool::{BreakerState, CircuitBreaker};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let breaker = CircuitBreaker::builder().window_time(Duration::from_secs(10)).minimum_calls(2).clock(&clock).build()?;
    /// breaker.admit()?.failure();
    /// clock.advance(Duration::from_secs(10));
    /// breaker.admit()?.failure();
    /// assert_eq!(breaker.state(), BreakerState::Closed, "the first failure is out of the window");
    /// breaker.admit()?.failure();
    /// assert_eq!(breaker.state(), BreakerState::Open);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn window_time(mut self, time: Duration) -> CircuitBreakerBuilder {
        self.window_time = Some(time);
        self
    }

    /// How many calls must be in the window before it says anything; at least 1, and at most
    /// [`window_calls`](CircuitBreakerBuilder::window_calls).
    ///
    /// # Default
    ///
    /// 20, or `window_calls` if that is less.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::{BuildError, CircuitBreaker};
    /// let refused = CircuitBreaker::builder().window_calls(10).minimum_calls(11).build();
    /// assert!(matches!(refused, Err(BuildError::OutOfRange { option: "minimum_calls", value: 11, .. })));
    /// ```
    pub fn minimum_calls(mut self, calls: usize) -> CircuitBreakerBuilder {
        self.minimum_calls = Some(calls);
        self
    }

    /// The breaker opens when failures are this share of the calls in the window, or more of them; more than 0 and at most 1.
    ///
    /// # Default
    ///
    /// 0.5.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::CircuitBreaker;
    /// let error = CircuitBreaker::builder().failure_rate(f64::NAN).build().unwrap_err();
    /// assert_eq!(error.to_string(), "failure_rate is NaN; allowed is more than 0 and at most 1");
    /// ```
    pub fn failure_rate(mut self, share: f64) -> CircuitBreakerBuilder {
        self.failure_rate = share;
        self
    }

    /// A success that comes `time` after its admission, or later, counts as a failure; more than no time. A call that never
    /// ends is not noticed by this.
    ///
    /// # Default
    ///
    /// Successes may take as long as they like, and the time is not measured.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::CircuitBreaker;
    /// use fanpool::testing::ManualClock;
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let breaker = CircuitBreaker::builder().slow_call(Duration::from_secs(1)).clock(&clock).build()?;
    /// let permit = breaker.admit()?;
    /// clock.advance(Duration::from_secs(1));
    /// permit.success();
    /// assert_eq!((breaker.counts().slow, breaker.counts().failures), (1, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn slow_call(mut self, time: Duration) -> CircuitBreakerBuilder {
        self.slow_call = Some(time);
        self
    }

    /// How long no call is admitted once the breaker has opened; more than no time.
    ///
    /// # Default
    ///
    /// 30 seconds.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::CircuitBreaker;
    /// use fanpool::testing::ManualClock;
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let breaker = CircuitBreaker::builder().minimum_calls(1).open_for(Duration::from_secs(5)).clock(&clock).build()?;
    /// breaker.admit()?.failure();
    /// clock.advance(Duration::from_secs(2));
    /// assert_eq!(breaker.admit().unwrap_err().retry_after, Duration::from_secs(3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open_for(mut self, time: Duration) -> CircuitBreakerBuilder {
        self.open_for = time;
        self
    }

    /// How many calls are admitted after that time, whoever asks; 1 to 65,536. The breaker closes when all of them have succeeded, and is
    /// open for another time when one fails.
    ///
    /// # Default
    ///
    /// 1.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::testing::ManualClock;
    /// use fanpool::{BreakerState, CircuitBreaker};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let breaker = CircuitBreaker::builder().minimum_calls(1).probes(2).clock(&clock).build()?;
    /// breaker.admit()?.failure();
    /// clock.advance(Duration::from_secs(30));
    /// let probes = (breaker.admit()?, breaker.admit()?);
    /// assert!(breaker.admit().is_err());
    /// probes.0.success();
    /// probes.1.success();
    /// assert_eq!(breaker.state(), BreakerState::Closed);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn probes(mut self, calls: usize) -> CircuitBreakerBuilder {
        self.probes = calls;
        self
    }

    /// A probe that has not answered after `time` is given up: another call is admitted in its place, and its own answer no longer
    /// counts. More than no time.
    ///
    /// # Default
    ///
    /// That of [`open_for`](CircuitBreakerBuilder::open_for).
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::testing::ManualClock;
    /// use fanpool::{BreakerState, CircuitBreaker};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let breaker = CircuitBreaker::builder().minimum_calls(1).probe_timeout(Duration::from_secs(1)).clock(&clock).build()?;
    /// breaker.admit()?.failure();
    /// clock.advance(Duration::from_secs(30));
    /// let stuck = breaker.admit()?;
    /// clock.advance(Duration::from_secs(1));
    /// let another = breaker.admit()?;
    /// stuck.failure();
    /// another.success();
    /// assert_eq!(breaker.state(), BreakerState::Closed);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn probe_timeout(mut self, time: Duration) -> CircuitBreakerBuilder {
        self.probe_timeout = Some(time);
        self
    }

    /// Called after each change of the state, in the order of the changes and one at a time, by a thread that used the breaker: mostly the
    /// one whose call made the change. No lock is held, so it may use the breaker. While it runs, later changes wait for the thread that
    /// runs it, and no other thread does; if it never returns, they pile up.
    ///
    /// A panic of it goes no further, and is counted in [`BreakerCounts::callback_panics`](super::BreakerCounts::callback_panics).
    ///
    /// # Default
    ///
    /// Nobody is told.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::CircuitBreaker;
    /// use std::sync::mpsc;
    ///
    /// let (sender, changes) = mpsc::channel();
    /// let breaker = CircuitBreaker::builder()
    ///     .minimum_calls(1)
    ///     .on_change(move |change| drop(sender.send((change.calls, change.failures))))
    ///     .build()?;
    /// breaker.admit()?.failure();
    /// assert_eq!(changes.recv()?, (1, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_change(mut self, call: impl Fn(BreakerChange) + Send + Sync + 'static) -> CircuitBreakerBuilder {
        self.on_change = OnChange(Some(Arc::new(call)));
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
    /// use fanpool::{CircuitBreaker, testing::ManualClock};
    ///
    /// let clock = ManualClock::new();
    /// let breaker = CircuitBreaker::builder().clock(&clock).build()?;
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn clock(mut self, clock: impl Into<Clock>) -> CircuitBreakerBuilder {
        self.clock = clock.into();
        self
    }

    /// Builds a breaker, which is closed.
    ///
    /// # Errors
    ///
    /// [`BuildError::OutOfRange`] and [`BuildError::NotInRange`] for an option whose value is not allowed, [`BuildError::Conflict`]
    /// for windows of both kinds.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::{BuildError, CircuitBreaker};
    /// assert!(CircuitBreaker::builder().build().is_ok());
    /// let refused = CircuitBreaker::builder().probes(0).build();
    /// assert!(matches!(refused, Err(BuildError::OutOfRange { option: "probes", value: 0, .. })));
    /// ```
    pub fn build(self) -> Result<CircuitBreaker, BuildError> {
        Ok(CircuitBreaker::start(Arc::new(self.check()?), None))
    }

    /// Builds a family of breakers, one for each key that is asked for. At most `max` are kept; see [`Breakers`].
    ///
    /// # Errors
    ///
    /// Those of [`build`](CircuitBreakerBuilder::build), and [`BuildError::OutOfRange`] if `max` is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// let hosts = fanpool::CircuitBreaker::builder().build_keyed(1000)?;
    /// assert!(hosts.is_empty());
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn build_keyed(self, max: usize) -> Result<Breakers, BuildError> {
        BuildError::check("max", max, 1..=usize::MAX)?;
        Ok(Breakers::new(Arc::new(self.check()?), max))
    }

    fn check(self) -> Result<Options, BuildError> {
        if self.window_calls.is_some() && self.window_time.is_some() {
            return Err(BuildError::Conflict { option: "window_time", with: "window_calls" });
        }
        let calls = self.window_calls.unwrap_or(100);
        BuildError::check("window_calls", calls, 1..=MAX_WINDOW)?;
        let (span, most) = match self.window_time {
            Some(time) => (Span::Time(time), usize::MAX),
            None => (Span::Calls(calls), calls),
        };
        let minimum_calls = self.minimum_calls.unwrap_or(most.min(20));
        BuildError::check("minimum_calls", minimum_calls, 1..=most)?;
        BuildError::check("probes", self.probes, 1..=MAX_PROBES)?;
        if !(self.failure_rate > 0.0 && self.failure_rate <= 1.0) {
            let (value, allowed) = (self.failure_rate, "more than 0 and at most 1");
            return Err(BuildError::NotInRange { option: "failure_rate", value, allowed });
        }
        for (option, time) in [
            ("window_time", self.window_time),
            ("slow_call", self.slow_call),
            ("open_for", Some(self.open_for)),
            ("probe_timeout", self.probe_timeout),
        ] {
            if time == Some(Duration::ZERO) {
                return Err(BuildError::NotInRange { option, value: 0.0, allowed: "more than 0 seconds" });
            }
        }
        Ok(Options {
            span,
            minimum_calls,
            failure_rate: self.failure_rate,
            slow_call: self.slow_call,
            open_for: self.open_for,
            probes: self.probes,
            probe_timeout: self.probe_timeout.unwrap_or(self.open_for),
            on_change: self.on_change,
            clock: self.clock,
            waiters: Waiters::default(),
        })
    }
}

impl OnChange {
    pub(super) fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// Calls it; tells whether it panicked.
    pub(super) fn call(&self, change: BreakerChange) -> bool {
        let Some(call) = &self.0 else { return false };
        match panics::catch(|| call(change)) {
            Ok(()) => false,
            Err(payload) => {
                panics::discard(payload);
                true
            }
        }
    }
}

impl Drop for OnChange {
    fn drop(&mut self) {
        panics::drop_each(self.0.take());
    }
}

impl fmt::Debug for CircuitBreakerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreakerBuilder")
            .field("window_calls", &self.window_calls)
            .field("window_time", &self.window_time)
            .field("minimum_calls", &self.minimum_calls)
            .field("failure_rate", &self.failure_rate)
            .field("slow_call", &self.slow_call)
            .field("open_for", &self.open_for)
            .field("probes", &self.probes)
            .field("probe_timeout", &self.probe_timeout)
            .field("on_change", &self.on_change.is_some())
            .field("clock", &self.clock)
            .finish()
    }
}
