//! The answer to whoever wants to call.

use super::CircuitBreaker;
use super::machine::{Answers, Ticket};
use crate::sync::thread;
use std::error::Error;
use std::fmt;
use std::time::{Duration, Instant};

/// The right to make one call that a [`CircuitBreaker`] watches, and to say how it ended. Borrows nothing, and may be answered on
/// another thread.
///
/// # Dropping it
///
/// A permit that is dropped without an answer counts as nothing, and if it was one of the probes, another call may be admitted in its
/// place. Only if it is dropped by a thread that unwinds, it counts as a failure. A permit that is leaked is as a call that
/// never ends.
///
/// # Examples
///
/// ```
/// use fanpool::CircuitBreaker;
///
/// let breaker = CircuitBreaker::builder().build()?;
/// let permit = breaker.admit()?;
/// match "7".parse::<u8>() {
///     Ok(_) => permit.success(),
///     Err(_) => permit.failure(),
/// }
/// assert_eq!((breaker.counts().calls, breaker.counts().failures), (1, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a permit that is dropped counts as nothing"]
pub struct Permit {
    breaker: CircuitBreaker,
    /// Empty once it is answered.
    ticket: Option<Ticket>,
    /// Known only if slow calls count.
    began: Option<Instant>,
}

impl Permit {
    pub(super) fn new(breaker: CircuitBreaker, ticket: Ticket) -> Permit {
        let options = &breaker.inner.options;
        let began = options.slow_call.map(|_| options.clock.now());
        Permit { breaker, ticket: Some(ticket), began }
    }

    /// The call went well; a failure all the same if it took too long for
    /// [`slow_call`](super::CircuitBreakerBuilder::slow_call).
    ///
    /// # Examples
    ///
    /// ```
    /// # let breaker = fanpool::CircuitBreaker::builder().build()?;
    /// breaker.admit()?.success();
    /// assert_eq!(breaker.counts().calls, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn success(self) {
        let options = &self.breaker.inner.options;
        let took = self.began.map(|began| options.clock.now().saturating_duration_since(began));
        match took.zip(options.slow_call) {
            Some((took, limit)) if took >= limit => self.answer(Answers { slow: 1, ..Answers::default() }),
            _ => self.answer(Answers { successes: 1, ..Answers::default() }),
        }
    }

    /// The call failed.
    ///
    /// # Examples
    ///
    /// ```
    /// # let breaker = fanpool::CircuitBreaker::builder().build()?;
    /// breaker.admit()?.failure();
    /// assert_eq!(breaker.counts().failures, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn failure(self) {
        self.answer(Answers { failures: 1, ..Answers::default() });
    }

    fn answer(mut self, answers: Answers) {
        if let Some(ticket) = self.ticket.take() {
            self.breaker.record(ticket, answers);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else { return };
        if thread::panicking() {
            self.breaker.record(ticket, Answers { failures: 1, ..Answers::default() });
        } else {
            self.breaker.give_back(ticket);
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("probe", &self.ticket.is_some_and(Ticket::is_probe)).finish_non_exhaustive()
    }
}

/// A [`CircuitBreaker`] admits no call now.
///
/// # Examples
///
/// ```
/// use fanpool::{BreakerOpen, CircuitBreaker};
/// use std::time::Duration;
///
/// let breaker = CircuitBreaker::builder().minimum_calls(1).open_for(Duration::from_secs(5)).build()?;
/// breaker.admit()?.failure();
/// let refused: BreakerOpen = breaker.admit().unwrap_err();
/// assert!(refused.retry_after <= Duration::from_secs(5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BreakerOpen {
    /// How long it is of no use to ask again: until calls are admitted to probe, or, if as many as may be are out, until the
    /// first of them is given up. It may be earlier, if those answer.
    pub retry_after: Duration,
}

impl fmt::Display for BreakerOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "too many calls failed and none is made now; try again in {:.1?}", self.retry_after)
    }
}

impl Error for BreakerOpen {}

/// Why [`CircuitBreaker::call`] has no result.
///
/// # Examples
///
/// ```
/// use fanpool::{CallError, CircuitBreaker};
///
/// let breaker = CircuitBreaker::builder().minimum_calls(1).build()?;
/// let failed = breaker.call(|| "x".parse::<u8>());
/// assert!(matches!(failed, Err(CallError::Failed(_))));
/// let refused = breaker.call(|| "7".parse::<u8>());
/// assert!(matches!(refused, Err(CallError::Open(_))));
/// # Ok::<(), fanpool::BuildError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError<E> {
    /// The breaker is open, and the call was not made.
    Open(BreakerOpen),
    /// The call returned this error.
    Failed(E),
}

impl<E: fmt::Display> fmt::Display for CallError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Open(open) => open.fmt(f),
            CallError::Failed(error) => error.fmt(f),
        }
    }
}

impl<E: Error + 'static> Error for CallError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            CallError::Open(_) => None,
            CallError::Failed(error) => Some(error),
        }
    }
}
