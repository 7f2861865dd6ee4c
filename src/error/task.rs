//! Why a task or an item gave no result.

use super::TaskPanicked;
use std::error::Error;
use std::fmt;
use std::time::Duration;

/// Why an item of a service, or a task of a [`try_scope`](crate::Pool::try_scope), gave no result.
///
/// # Examples
///
/// ```
/// use fanpool::{FanOut, TaskError};
///
/// let (input, output) = FanOut::builder(|text: &str| text.parse::<u8>()).start()?;
/// input.send("x")?;
/// drop(input);
/// let (parsed, failed) = output.partition();
/// assert!(parsed.is_empty());
/// assert!(matches!(failed[0], (0, TaskError::Failed(_))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum TaskError<E> {
    /// The handler returned an error.
    Failed(E),
    /// The handler panicked, or `init`, or a function that tells key, priority or weight of an item.
    Panicked(TaskPanicked),
    /// Its deadline passed before it was done, so it was not started, or not tried again.
    Expired,
    /// The item was not started, or not tried again, because the service or the scope was stopped.
    Cancelled,
    /// The item was not started, or not tried again, because a policy refused it.
    Rejected(Rejection),
    /// The handler of batches did not return one answer per item, so that none can be told to be this item's.
    WrongBatch {
        /// How many items the batch had.
        items: usize,
        /// How many answers there were.
        answers: usize,
    },
}

impl<E> TaskError<E> {
    /// The handler's own error, if that is what it was.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(fanpool::TaskError::Failed("no route").into_failed(), Some("no route"));
    /// ```
    #[must_use]
    pub fn into_failed(self) -> Option<E> {
        match self {
            TaskError::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// Whether the handler returned an error.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(fanpool::TaskError::Failed("no route").is_failed());
    /// ```
    #[must_use]
    pub fn is_failed(&self) -> bool {
        matches!(self, TaskError::Failed(_))
    }

    /// Whether a function of the user's panicked.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(!fanpool::TaskError::Failed("no route").is_panicked());
    /// ```
    #[must_use]
    pub fn is_panicked(&self) -> bool {
        matches!(self, TaskError::Panicked(_))
    }

    /// Whether its deadline passed.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(fanpool::TaskError::<()>::Expired.is_expired());
    /// ```
    #[must_use]
    pub fn is_expired(&self) -> bool {
        matches!(self, TaskError::Expired)
    }

    /// Whether it was not started because everything was stopped.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(fanpool::TaskError::<()>::Cancelled.is_cancelled());
    /// ```
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self, TaskError::Cancelled)
    }

    /// Whether a policy refused it.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(!fanpool::TaskError::<()>::Cancelled.is_rejected());
    /// ```
    #[must_use]
    pub fn is_rejected(&self) -> bool {
        matches!(self, TaskError::Rejected(_))
    }

    /// The same with the handler's error changed by `f`.
    ///
    /// # Examples
    ///
    /// ```
    /// let error = fanpool::TaskError::Failed(7).map(|code| format!("code {code}"));
    /// assert_eq!(error.into_failed().unwrap(), "code 7");
    /// ```
    pub fn map<F>(self, f: impl FnOnce(E) -> F) -> TaskError<F> {
        match self {
            TaskError::Failed(error) => TaskError::Failed(f(error)),
            TaskError::Panicked(panicked) => TaskError::Panicked(panicked),
            TaskError::Expired => TaskError::Expired,
            TaskError::Cancelled => TaskError::Cancelled,
            TaskError::Rejected(reason) => TaskError::Rejected(reason),
            TaskError::WrongBatch { items, answers } => TaskError::WrongBatch { items, answers },
        }
    }
}

impl<E: fmt::Display> fmt::Display for TaskError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskError::Failed(error) => error.fmt(f),
            TaskError::Panicked(panicked) => panicked.fmt(f),
            TaskError::Expired => f.write_str("the deadline passed before it was done"),
            TaskError::Cancelled => f.write_str("it was stopped before it was done"),
            TaskError::Rejected(reason) => write!(f, "it was rejected: {reason}"),
            TaskError::WrongBatch { items, answers } => {
                write!(f, "the handler of batches gave {answers} answers to {items} items")
            }
        }
    }
}

impl<E: Error + 'static> Error for TaskError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            TaskError::Failed(error) => Some(error),
            TaskError::Panicked(panicked) => Some(panicked),
            TaskError::Rejected(reason) => Some(reason),
            _ => None,
        }
    }
}

/// Which policy refused an item.
///
/// # Examples
///
/// ```
/// use fanpool::Rejection;
/// use std::time::Duration;
///
/// let reason = Rejection::BreakerOpen { retry_after: Duration::from_secs(3) };
/// assert_eq!(reason.to_string(), "the circuit breaker is open for another 3s");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rejection {
    /// The circuit breaker in front of the handler was open.
    BreakerOpen {
        /// How long it was going to stay so.
        retry_after: Duration,
    },
    /// The message of a broker that the item was to be made of could not be decoded, or was delivered too often. No handler is called.
    Message,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rejection::BreakerOpen { retry_after } => {
                write!(f, "the circuit breaker is open for another {retry_after:?}")
            }
            Rejection::Message => f.write_str("its message is not for the handler"),
        }
    }
}

impl Error for Rejection {}
