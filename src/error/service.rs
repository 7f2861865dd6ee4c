//! Errors of services.

use std::error::Error;
use std::fmt;

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
