//! Errors of services.

use super::TaskPanicked;
use std::error::Error;
use std::fmt;

/// Why an item of a service gave no result.
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
    /// The item was not started, because the service was stopped.
    Cancelled,
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
            TaskError::Cancelled => TaskError::Cancelled,
            TaskError::WrongBatch { items, answers } => TaskError::WrongBatch { items, answers },
        }
    }
}

impl<E: fmt::Display> fmt::Display for TaskError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskError::Failed(error) => error.fmt(f),
            TaskError::Panicked(panicked) => panicked.fmt(f),
            TaskError::Cancelled => f.write_str("the service was stopped before the item was started"),
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
            _ => None,
        }
    }
}

/// Why a service did not take an item.
///
/// # Examples
///
/// ```
/// use fanpool::{FanOut, SendReason};
///
/// let (input, output) = FanOut::builder(|n: u8| Ok::<u8, ()>(n)).start()?;
/// drop(output);
/// assert_eq!(input.send(1).unwrap_err().reason(), SendReason::Cancelled);
/// # Ok::<(), fanpool::BuildError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SendReason {
    /// The window is full.
    Full,
    /// The window was full until the time was over.
    TimedOut,
    /// The input was closed, or the service drained.
    Closed,
    /// The service was stopped, or its output is gone.
    Cancelled,
}

impl fmt::Display for SendReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendReason::Full => "the window is full",
            SendReason::TimedOut => "the window was full for the whole time",
            SendReason::Closed => "the input is closed",
            SendReason::Cancelled => "the service was stopped",
        })
    }
}

/// An item that was not accepted, and why. The item comes back.
///
/// # Examples
///
/// ```
/// let (input, output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).start()?;
/// input.close();
/// let refused = input.send(7).unwrap_err();
/// assert_eq!(refused.into_inner(), 7);
/// # Ok::<(), fanpool::BuildError>(())
/// ```
pub struct SendError<T> {
    item: T,
    reason: SendReason,
}

impl<T> SendError<T> {
    pub(crate) fn new(item: T, reason: SendReason) -> SendError<T> {
        SendError { item, reason }
    }

    /// Why it was not accepted.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::{FanOut, SendReason};
    /// let (input, output) = FanOut::builder(|n: u8| Ok::<u8, ()>(n)).window(1).start()?;
    /// input.send(1)?;
    /// assert_eq!(input.try_send(2).unwrap_err().reason(), SendReason::Full);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn reason(&self) -> SendReason {
        self.reason
    }

    /// The item.
    ///
    /// # Examples
    ///
    /// ```
    /// # let (input, output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).start()?;
    /// drop(output);
    /// assert_eq!(input.try_send(3).unwrap_err().into_inner(), 3);
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    #[must_use]
    pub fn into_inner(self) -> T {
        self.item
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError").field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the item was not accepted: {}", self.reason)
    }
}

impl<T> Error for SendError<T> {}

/// Why there is no outcome.
///
/// # Examples
///
/// ```
/// use fanpool::{FanOut, RecvError};
///
/// let (input, mut output) = FanOut::builder(|n: u8| Ok::<u8, ()>(n)).start()?;
/// assert_eq!(output.try_recv().unwrap_err(), RecvError::Empty);
/// drop(input);
/// assert_eq!(output.recv().unwrap_err(), RecvError::Closed);
/// # Ok::<(), fanpool::BuildError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecvError {
    /// None can be taken now.
    Empty,
    /// None came until the time was over.
    TimedOut,
    /// The service has ended and all outcomes were taken.
    Closed,
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RecvError::Empty => "no outcome is there",
            RecvError::TimedOut => "no outcome came within the time",
            RecvError::Closed => "the service has ended and all its outcomes were taken",
        })
    }
}

impl Error for RecvError {}
