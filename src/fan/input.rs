//! Where items are sent.

use super::Wait;
use super::control::Control;
use super::service::Accept;
use crate::error::{SendError, SendReason};
use crate::sync::{Arc, now};
use std::fmt;
use std::time::Duration;

/// Sends items to a service. Clone it for as many producers as you like; dropping the last one closes the service, which then
/// finishes what it has accepted.
///
/// # Blocking
///
/// [`send`](Input::send) blocks while the window is full, that is while as many items as the window says were accepted and
/// their outcomes not taken. A program whose one thread sends and receives must not send more than the window without receiving, and
/// handlers that send to their own service must not fill its window: they would wait for each other.
///
/// # Examples
///
/// ```
/// let (input, output) = fanpool::FanOut::builder(|n: u64| Ok::<_, ()>(n * n)).start()?;
/// std::thread::scope(|s| {
///     for from in [0, 10] {
///         let input = input.clone();
///         s.spawn(move || (from..from + 3).for_each(|n| drop(input.send(n))));
///     }
/// });
/// drop(input);
/// assert_eq!(output.filter_map(|outcome| outcome.result.ok()).sum::<u64>(), 0 + 1 + 4 + 100 + 121 + 144);
/// # Ok::<(), fanpool::BuildError>(())
/// ```
pub struct Input<'a, T> {
    end: Arc<End<'a, T>>,
}

struct End<'a, T> {
    service: Arc<dyn Accept<T> + 'a>,
    control: Control<'a>,
}

impl<T> Drop for End<'_, T> {
    fn drop(&mut self) {
        self.control.close();
    }
}

impl<'a, T> Input<'a, T> {
    pub(super) fn new(service: Arc<dyn Accept<T> + 'a>, control: Control<'a>) -> Input<'a, T> {
        Input { end: Arc::new(End { service, control }) }
    }

    fn send_until(&self, item: T, wait: Wait) -> Result<u64, SendError<T>> {
        self.end.service.accept(item, wait).map_err(|(item, reason)| SendError::new(item, reason))
    }

    /// Sends an item, once there is room in the window. Returns its number: 0, 1, 2, .. in the order of acceptance.
    ///
    /// A thread that sends more than a window and only then receives waits for itself, for ever: let another thread send, or use
    /// [`try_send`](Input::try_send).
    ///
    /// # Errors
    ///
    /// The item comes back if the service is closed or stopped, also while this waits.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, mut output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).start()?;
    /// assert_eq!((input.send(5)?, input.send(6)?), (0, 1));
    /// assert!(output.recv()?.seq < 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send(&self, item: T) -> Result<u64, SendError<T>> {
        self.send_until(item, Wait::Until(None))
    }

    /// As [`send`](Input::send), without waiting.
    ///
    /// # Errors
    ///
    /// The item comes back if the window is full, or the service closed or stopped.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).window(2).start()?;
    /// assert_eq!((1..=10).filter(|n| input.try_send(*n).is_ok()).count(), 2);
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn try_send(&self, item: T) -> Result<u64, SendError<T>> {
        self.send_until(item, Wait::Not)
    }

    /// As [`send`](Input::send), for at most `timeout`. One too long for the clock never runs out.
    ///
    /// # Errors
    ///
    /// The item comes back if the time is over, or the service closed or stopped.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{FanOut, SendReason};
    /// use std::time::Duration;
    ///
    /// let (input, output) = FanOut::builder(|n: u8| Ok::<u8, ()>(n)).window(1).start()?;
    /// input.send(1)?;
    /// let late = input.send_timeout(2, Duration::from_millis(1)).unwrap_err();
    /// assert_eq!(late.reason(), SendReason::TimedOut);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send_timeout(&self, item: T, timeout: Duration) -> Result<u64, SendError<T>> {
        self.send_until(item, Wait::Until(now().checked_add(timeout)))
    }

    /// Closes the service for all producers: what was accepted is finished. Never blocks. Idempotent.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).start()?;
    /// input.clone().close();
    /// assert!(input.send(1).is_err());
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn close(&self) {
        self.end.control.close();
    }

    /// Whether items are refused, and why.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::{FanOut, SendReason};
    /// let (input, output) = FanOut::builder(|n: u8| Ok::<u8, ()>(n)).start()?;
    /// assert_eq!(input.closed(), None);
    /// drop(output);
    /// assert_eq!(input.closed(), Some(SendReason::Cancelled));
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    #[must_use]
    pub fn closed(&self) -> Option<SendReason> {
        self.end.control.closed()
    }

    /// What steers the service.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).start()?;
    /// assert_eq!(input.control().in_flight(), 0);
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    #[must_use]
    pub fn control(&self) -> Control<'a> {
        self.end.control.clone()
    }
}

impl<T> Clone for Input<'_, T> {
    fn clone(&self) -> Self {
        Input { end: self.end.clone() }
    }
}

impl<T> fmt::Debug for Input<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input").field("closed", &self.closed()).finish_non_exhaustive()
    }
}
