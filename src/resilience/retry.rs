//! Whether to try again, and when.
//!
//! A policy decides and waits for nothing: `decide` is asked after each failed attempt, by whoever will do the waiting. It keeps
//! nothing per item, so that an item that waits for its retry is no more than the item, its number, the attempts made and the
//! delay before.

use super::backoff::{self, Backoff, Kind};
use super::{Clock, RetryBudget};
use crate::error::BuildError;
use crate::panics;
use crate::sync::{Arc, Keys, estimate};
use std::error::Error;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

/// When a failed attempt is made again: after which delays, how often, for which errors, and for how long.
///
/// The options are checked where the policy is put to use, not here.
///
/// Delays are drawn from a seed: the same seed gives the same delays to the same calls. [`jitter`](Retry::jitter) or
/// [`decorrelated`](Retry::decorrelated) keeps those that failed together from coming back together.
///
/// Clones share the [`budget`](Retry::budget) and the numbering of calls.
///
/// # Examples
///
/// ```
/// use fanpool::{Clock, Retry};
/// use std::time::Duration;
///
/// let retry = Retry::exponential(Duration::from_millis(1)).jitter(0.5).max_attempts(4);
/// let mut attempts = 0;
/// let answer = retry.call(&Clock::system(), || {
///     attempts += 1;
///     if attempts < 3 { Err("busy") } else { Ok(attempts) }
/// });
/// assert_eq!(answer.unwrap(), 3);
/// ```
#[must_use = "a policy does nothing by itself"]
pub struct Retry<E> {
    backoff: Backoff,
    seed: u64,
    max_attempts: u32,
    max_elapsed: Option<Duration>,
    wanted: Option<Arc<Wanted<E>>>,
    panics: bool,
    budget: Option<RetryBudget>,
    /// How many calls began; the number of the next.
    calls: Arc<estimate::AtomicUsize>,
}

/// The user's choice of errors; empty only while it is dropped.
struct Wanted<E>(Option<Choice<E>>);

type Choice<E> = Box<dyn Fn(&E) -> bool + Send + Sync>;

impl<E> Drop for Wanted<E> {
    /// The last to hold a policy may be a worker.
    fn drop(&mut self) {
        panics::drop_each(self.0.take());
    }
}

/// What to do after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Try again after so long.
    Again(Duration),
    /// And whether the function that chooses errors panicked.
    Stop(RetryReason, bool),
}

/// An attempt that failed.
pub(crate) struct Failure<'e, E> {
    /// Of the item.
    pub(crate) number: u64,
    /// How many were made, with this one.
    pub(crate) attempts: u32,
    /// `None` if it panicked.
    pub(crate) error: Option<&'e E>,
    /// Since the first attempt began.
    pub(crate) elapsed: Duration,
    /// Before this attempt; zero if it was the first.
    pub(crate) delay: Duration,
    /// How long until the deadline.
    pub(crate) left: Option<Duration>,
}

impl<E> Retry<E> {
    fn new(backoff: Backoff) -> Retry<E> {
        Retry {
            backoff,
            seed: Keys::default().build_hasher().finish(),
            max_attempts: 3,
            max_elapsed: None,
            wanted: None,
            panics: false,
            budget: None,
            calls: Arc::default(),
        }
    }

    /// The same delay before each retry; zero for none.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::Retry;
    /// use std::time::Duration;
    ///
    /// let delay = Duration::from_millis(50);
    /// assert_eq!(Retry::<()>::fixed(delay).delays().collect::<Vec<_>>(), [delay, delay]);
    /// ```
    pub fn fixed(delay: Duration) -> Retry<E> {
        Retry::new(Backoff::new(Kind::Fixed, delay))
    }

    /// `first` before the first retry, and twice the delay before for each that follows, or what
    /// [`factor`](Retry::factor) and [`max_delay`](Retry::max_delay) say.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::Retry;
    /// use std::time::Duration;
    ///
    /// let retry = Retry::<()>::exponential(Duration::from_secs(8)).max_attempts(5);
    /// assert_eq!(retry.delays().collect::<Vec<_>>(), [8, 16, 30, 30].map(Duration::from_secs));
    /// ```
    pub fn exponential(first: Duration) -> Retry<E> {
        Retry::new(Backoff::new(Kind::Exponential, first))
    }

    /// Between `base` and three times the delay before, drawn uniformly, and at most `max`. Before the first retry the
    /// delay before counts as `base`.
    ///
    /// This is the "decorrelated jitter" of the article
    /// [Exponential Backoff And Jitter](https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/) (AWS
    /// Architecture Blog, 2015), which found that it spreads clients out best in the shortest time.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::Retry;
    /// use std::time::Duration;
    ///
    /// let (base, max) = (Duration::from_millis(10), Duration::from_secs(1));
    /// let retry = Retry::<()>::decorrelated(base, max).max_attempts(20);
    /// assert!(retry.delays().all(|delay| base <= delay && delay <= max));
    /// ```
    pub fn decorrelated(base: Duration, max: Duration) -> Retry<E> {
        Retry::new(Backoff { max_delay: Some(max), ..Backoff::new(Kind::Decorrelated, base) })
    }

    /// How much longer each delay is than the one before, for [`exponential`](Retry::exponential); a finite number from 1 on.
    /// A delay that grows beyond every bound stays at [`max_delay`](Retry::max_delay).
    ///
    /// # Default
    ///
    /// 2.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::Retry;
    /// use std::time::Duration;
    ///
    /// let retry = Retry::<()>::exponential(Duration::from_secs(1)).factor(3.0);
    /// assert_eq!(retry.delays().collect::<Vec<_>>(), [1, 3].map(Duration::from_secs));
    /// ```
    pub fn factor(mut self, factor: f64) -> Retry<E> {
        self.backoff.factor = Some(factor);
        self
    }

    /// The longest delay, for [`exponential`](Retry::exponential) and [`decorrelated`](Retry::decorrelated).
    ///
    /// # Default
    ///
    /// 30 seconds; for `decorrelated`, what was said there.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::Retry;
    /// use std::time::Duration;
    ///
    /// let retry = Retry::<()>::exponential(Duration::from_secs(2)).max_delay(Duration::from_secs(3));
    /// assert_eq!(retry.delays().collect::<Vec<_>>(), [2, 3].map(Duration::from_secs));
    /// ```
    pub fn max_delay(mut self, delay: Duration) -> Retry<E> {
        self.backoff.max_delay = Some(delay);
        self
    }

    /// Shortens each delay by a random part, for [`fixed`](Retry::fixed) and [`exponential`](Retry::exponential): it is
    /// multiplied by a number drawn uniformly between `1 - share` and 1. `share` is in 0 to 1.
    ///
    /// # Default
    ///
    /// 0: delays are as they are.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::Retry;
    /// use std::time::Duration;
    ///
    /// let retry = Retry::<()>::fixed(Duration::from_secs(10)).jitter(0.2).max_attempts(20);
    /// assert!(retry.delays().all(|delay| (8..=10).contains(&delay.as_secs())));
    /// ```
    pub fn jitter(mut self, share: f64) -> Retry<E> {
        self.backoff.jitter = Some(share);
        self
    }

    /// What random delays are drawn from.
    ///
    /// # Default
    ///
    /// A new one for each policy.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::Retry;
    /// use std::time::Duration;
    ///
    /// let policy = || Retry::<()>::fixed(Duration::from_secs(1)).jitter(1.0).seed(7);
    /// assert!(policy().delays().eq(policy().delays()));
    /// ```
    pub fn seed(mut self, seed: u64) -> Retry<E> {
        self.seed = seed;
        self
    }

    /// How often it is tried at most, the first attempt counted; at least 1, which means no retry.
    ///
    /// # Default
    ///
    /// 3.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::Retry;
    /// let retry = Retry::<()>::fixed(std::time::Duration::ZERO);
    /// assert_eq!(retry.clone().max_attempts(1).delays().count(), 0);
    /// assert_eq!(retry.max_attempts(7).delays().count(), 6);
    /// ```
    pub fn max_attempts(mut self, attempts: u32) -> Retry<E> {
        self.max_attempts = attempts;
        self
    }

    /// No retry is begun that would start later than so long after the first attempt began. An attempt under way is not cut
    /// short.
    ///
    /// # Default
    ///
    /// No bound.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::Retry;
    /// use std::time::Duration;
    ///
    /// let retry = Retry::<()>::fixed(Duration::from_secs(2)).max_attempts(9).max_elapsed(Duration::from_secs(5));
    /// assert_eq!(retry.delays().count(), 2);
    /// ```
    pub fn max_elapsed(mut self, time: Duration) -> Retry<E> {
        self.max_elapsed = Some(time);
        self
    }

    /// Which errors are worth another attempt. Called once for a failed attempt that is not the last allowed, on the thread
    /// that made it. If it panics, that counts as "no" and goes no further.
    ///
    /// # Default
    ///
    /// All.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::{Clock, Retry, RetryError, RetryReason};
    /// let retry = Retry::fixed(std::time::Duration::ZERO).retry_if(|error: &&str| *error != "no such file");
    /// let failed = retry.call(&Clock::system(), || Err::<(), _>("no such file"));
    /// assert!(matches!(failed, Err(RetryError::GaveUp { attempts: 1, reason: RetryReason::Unwanted, .. })));
    /// ```
    pub fn retry_if(mut self, wanted: impl Fn(&E) -> bool + Send + Sync + 'static) -> Retry<E> {
        self.wanted = Some(Arc::new(Wanted(Some(Box::new(wanted)))));
        self
    }

    /// Tries again after a panic, too.
    ///
    /// # Default
    ///
    /// A panic ends it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::{Clock, Retry};
    /// let mut attempts = 0;
    /// let answer = Retry::<()>::fixed(std::time::Duration::ZERO).retry_panics().call(&Clock::system(), || {
    ///     attempts += 1;
    ///     assert!(attempts > 1, "not yet");
    ///     Ok(attempts)
    /// });
    /// assert_eq!(answer.unwrap(), 2);
    /// ```
    pub fn retry_panics(mut self) -> Retry<E> {
        self.panics = true;
        self
    }

    /// The budget that retries are paid from; see [`RetryBudget`]. It may be that of other policies, too.
    ///
    /// # Default
    ///
    /// None: retries cost nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::{Clock, Retry, RetryBudget};
    /// let budget = RetryBudget::new(0.1, 10)?;
    /// let retry = Retry::fixed(std::time::Duration::ZERO).budget(budget.clone());
    /// assert!(retry.call(&Clock::system(), || Err::<(), _>("down")).is_err());
    /// assert_eq!(budget.balance(), 8);
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn budget(mut self, budget: RetryBudget) -> Retry<E> {
        self.budget = Some(budget);
        self
    }

    /// The delays that the first call waits between its attempts, if attempts take no time and all of them fail. What they fail with
    /// and the budget are not considered.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::Retry;
    /// use std::time::Duration;
    ///
    /// let retry = Retry::<()>::exponential(Duration::from_millis(100));
    /// assert_eq!(retry.delays().collect::<Vec<_>>(), [100, 200].map(Duration::from_millis));
    /// ```
    pub fn delays(&self) -> impl Iterator<Item = Duration> + '_ {
        let (mut elapsed, mut previous) = (Duration::ZERO, Duration::ZERO);
        (1..self.max_attempts).map_while(move |attempts| {
            previous = self.delay(0, attempts, elapsed, previous)?;
            elapsed = elapsed.saturating_add(previous);
            Some(previous)
        })
    }

    /// Calls `attempt` until it succeeds or the policy gives up, on the calling thread.
    ///
    /// # Blocking
    ///
    /// Between attempts it sleeps on `clock`, and holds its thread meanwhile: on a worker of a pool, that worker.
    ///
    /// # Errors
    ///
    /// [`RetryError::GaveUp`] with the last attempt's error, and [`RetryError::Build`] if an option's value is not allowed or
    /// two of them contradict each other; then `attempt` was not called.
    ///
    /// # Panics
    ///
    /// With the panic of the last attempt, if it did.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::{Clock, Retry, RetryError};
    /// let retry = Retry::fixed(std::time::Duration::from_millis(1));
    /// let error = retry.call(&Clock::system(), || Err::<(), _>("busy")).unwrap_err();
    /// assert_eq!(error.to_string(), "all 3 attempts failed: busy");
    /// assert_eq!(error.into_last(), Some("busy"));
    /// ```
    pub fn call<R>(&self, clock: &Clock, mut attempt: impl FnMut() -> Result<R, E>) -> Result<R, RetryError<E>> {
        self.check().map_err(RetryError::Build)?;
        let number = self.calls.fetch_add(1, estimate::Ordering::Relaxed) as u64;
        let begun = clock.now();
        let (mut attempts, mut previous) = (0_u32, Duration::ZERO);
        self.deposit(1);
        loop {
            let failed = match panics::catch(&mut attempt) {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(error)) => Ok(error),
                Err(payload) => Err(payload),
            };
            attempts = attempts.saturating_add(1);
            let elapsed = clock.now().saturating_duration_since(begun);
            let error = failed.as_ref().ok();
            let failure = Failure { number, attempts, error, elapsed, delay: previous, left: None };
            match (self.decide(&failure), failed) {
                (Decision::Again(delay), failed) => {
                    panics::drop_each([failed]);
                    clock.sleep(delay);
                    previous = delay;
                }
                (Decision::Stop(reason, _), Ok(last)) => return Err(RetryError::GaveUp { attempts, last, reason }),
                (Decision::Stop(..), Err(payload)) => panics::resume(payload),
            }
        }
    }

    /// Refuses values that are not allowed, and options that contradict each other.
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        BuildError::check("max_attempts", self.max_attempts as usize, 1..=u32::MAX as usize)?;
        self.backoff.check()
    }

    /// Pays into the budget for so many first attempts, which are about to begin.
    pub(crate) fn deposit(&self, attempts: usize) {
        if let Some(budget) = &self.budget {
            budget.deposit(attempts);
        }
    }

    /// What to do after a failed attempt. A retry that is decided for is paid for.
    pub(crate) fn decide(&self, failure: &Failure<'_, E>) -> Decision {
        let Failure { number, attempts, error, elapsed, delay, left } = *failure;
        if attempts >= self.max_attempts {
            return Decision::Stop(RetryReason::Exhausted, false);
        }
        let (wanted, contained) = error.map_or((self.panics, false), |error| self.wants(error));
        if !wanted {
            return Decision::Stop(RetryReason::Unwanted, contained);
        }
        let next = self.delay(number, attempts, elapsed, delay);
        let Some(delay) = next.filter(|delay| left.is_none_or(|left| *delay < left)) else {
            return Decision::Stop(RetryReason::TooLate, false);
        };
        // Last, so that only retries that are made cost something.
        if self.budget.as_ref().is_some_and(|budget| !budget.withdraw()) {
            return Decision::Stop(RetryReason::OverBudget, false);
        }
        Decision::Again(delay)
    }

    /// Whether the time since the first attempt matters.
    pub(crate) fn has_an_end(&self) -> bool {
        self.max_elapsed.is_some()
    }

    /// The delay before the next attempt, unless that would begin too late.
    fn delay(&self, number: u64, attempts: u32, elapsed: Duration, previous: Duration) -> Option<Duration> {
        let delay = self.backoff.delay(attempts, backoff::random(self.seed, number, attempts), previous);
        let late = self.max_elapsed.is_some_and(|max| elapsed.saturating_add(delay) > max);
        (!late).then_some(delay)
    }

    /// Whether to try this error again, and whether the function that tells panicked.
    fn wants(&self, error: &E) -> (bool, bool) {
        let Some(wanted) = self.wanted.as_ref().and_then(|wanted| wanted.0.as_ref()) else { return (true, false) };
        match panics::catch(|| wanted(error)) {
            Ok(wanted) => (wanted, false),
            Err(payload) => {
                panics::discard(payload);
                (false, true)
            }
        }
    }
}

impl<E> Clone for Retry<E> {
    fn clone(&self) -> Retry<E> {
        Retry { wanted: self.wanted.clone(), budget: self.budget.clone(), calls: self.calls.clone(), ..*self }
    }
}

impl<E> fmt::Debug for Retry<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("backoff", &self.backoff)
            .field("seed", &self.seed)
            .field("max_attempts", &self.max_attempts)
            .field("max_elapsed", &self.max_elapsed)
            .field("retry_panics", &self.panics)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}

/// Why a failed attempt was not made again.
///
/// # Examples
///
/// ```
/// assert_eq!(fanpool::RetryReason::OverBudget.to_string(), "the budget for retries is used up");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RetryReason {
    /// [`max_attempts`](Retry::max_attempts) were made.
    Exhausted,
    /// [`retry_if`](Retry::retry_if) did not want this error tried again, or it was a panic and
    /// [`retry_panics`](Retry::retry_panics) was not said.
    Unwanted,
    /// The [`budget`](Retry::budget) held less than a retry costs.
    OverBudget,
    /// The retry would have begun later than [`max_elapsed`](Retry::max_elapsed) allows.
    TooLate,
}

impl fmt::Display for RetryReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RetryReason::Exhausted => "all attempts were made",
            RetryReason::Unwanted => "the failure is not one to try again",
            RetryReason::OverBudget => "the budget for retries is used up",
            RetryReason::TooLate => "the time for retries is over",
        })
    }
}

/// Why a call that was tried again and again gave no result.
///
/// # Examples
///
/// ```
/// use fanpool::{BuildError, Clock, Retry, RetryError};
///
/// let retry = Retry::<()>::fixed(std::time::Duration::ZERO).max_attempts(0);
/// let error = retry.call(&Clock::system(), || Ok(())).unwrap_err();
/// assert!(matches!(error, RetryError::Build(BuildError::OutOfRange { option: "max_attempts", .. })));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum RetryError<E> {
    /// The policy's options are not allowed; nothing was tried.
    Build(BuildError),
    /// The last attempt failed and was not made again.
    GaveUp {
        /// How many were made.
        attempts: u32,
        /// What the last failed with. The errors of those before were dropped.
        last: E,
        /// Why there was no other.
        reason: RetryReason,
    },
}

impl<E> RetryError<E> {
    /// The last attempt's error, if there was one.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::{Clock, Retry};
    /// let retry = Retry::fixed(std::time::Duration::ZERO);
    /// let error = retry.call(&Clock::system(), || Err::<(), _>(404)).unwrap_err();
    /// assert_eq!(error.into_last(), Some(404));
    /// ```
    #[must_use]
    pub fn into_last(self) -> Option<E> {
        match self {
            RetryError::GaveUp { last, .. } => Some(last),
            RetryError::Build(_) => None,
        }
    }
}

impl<E: fmt::Display> fmt::Display for RetryError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RetryError::Build(error) => error.fmt(f),
            RetryError::GaveUp { attempts, last, reason: RetryReason::Exhausted } => {
                write!(f, "all {attempts} attempts failed: {last}")
            }
            RetryError::GaveUp { attempts, last, reason } => {
                write!(f, "attempt {attempts} was the last, because {reason}: {last}")
            }
        }
    }
}

impl<E: Error + 'static> Error for RetryError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            RetryError::Build(error) => Some(error),
            RetryError::GaveUp { last, .. } => Some(last),
        }
    }
}
