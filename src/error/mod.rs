//! Every error of the crate. A refused value always comes back.

mod build;
mod errors;
mod get;
mod on_error;
mod service;
mod task;

pub use build::{BuildError, ResizeError};
pub use errors::Errors;
pub(crate) use errors::KEPT;
pub use get::GetError;
pub use on_error::OnError;
pub(crate) use on_error::Tally;
pub use service::{RecvError, SendError, SendReason};
pub use task::{Rejection, TaskError};

use crate::panics::{self, Payload};
use crate::sync::Mutex;
use std::error::Error;
use std::fmt;

/// A task panicked; the payload is kept as it was thrown.
///
/// # Examples
///
/// ```
/// use fanpool::{JoinError, Pool};
///
/// let pool = Pool::new();
/// let error = pool.submit(|| -> u8 { std::panic::panic_any(7_i32) }).join().unwrap_err();
/// let JoinError::Panicked(panicked) = error else { unreachable!() };
/// assert_eq!(panicked.into_payload().downcast_ref(), Some(&7_i32));
/// ```
pub struct TaskPanicked(Box<Panicked>);

/// Boxed, so that results which hold a panic in the rarest case are small.
struct Panicked {
    message: String,
    location: Option<String>,
    // The mutex only makes a payload, which is `Send`, `Sync` as well.
    payload: Mutex<Payload>,
}

impl TaskPanicked {
    /// To be called on the thread that has just caught the panic.
    pub(crate) fn new(payload: Payload) -> TaskPanicked {
        let (message, location) = (panics::message(&payload), panics::place_of(&*payload));
        TaskPanicked(Box::new(Panicked { message, location, payload: Mutex::new(payload) }))
    }

    /// The text given to `panic!`, or a stand-in for a payload of another type.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::{JoinError, Pool};
    /// match Pool::new().submit(|| panic!("no route")).join() {
    ///     Err(JoinError::Panicked(panicked)) => assert_eq!(panicked.message(), "no route"),
    ///     other => panic!("{other:?}"),
    /// }
    /// ```
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where it was raised, as `path:line:column`, with the last 200 bytes of a path that is longer. `None` unless
    /// [`capture_panic_locations`](crate::capture_panic_locations) was called before; nor is it known where a payload was made that was
    /// thrown by [`resume_unwind`](std::panic::resume_unwind).
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::{JoinError, Pool};
    /// fanpool::capture_panic_locations();
    /// match Pool::new().submit(|| panic!("no route")).join() {
    ///     Err(JoinError::Panicked(panicked)) => println!("{panicked}"), // the task panicked at src/main.rs:5:32: no route
    ///     other => panic!("{other:?}"),
    /// }
    /// ```
    #[must_use]
    pub fn location(&self) -> Option<&str> {
        self.0.location.as_deref()
    }

    /// What was thrown, for [`std::panic::resume_unwind`] or a downcast.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::{JoinError, Pool};
    /// match Pool::new().submit(|| panic!("text")).join() {
    ///     Err(JoinError::Panicked(panicked)) => assert!(panicked.into_payload().is::<&str>()),
    ///     other => panic!("{other:?}"),
    /// }
    /// ```
    #[must_use]
    pub fn into_payload(self) -> Box<dyn std::any::Any + Send> {
        self.0.payload.into_inner()
    }
}

impl fmt::Debug for TaskPanicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TaskPanicked").field(&self.0.message).finish()
    }
}

impl fmt::Display for TaskPanicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.location {
            Some(location) => write!(f, "the task panicked at {location}: {}", self.0.message),
            None => write!(f, "the task panicked: {}", self.0.message),
        }
    }
}

impl Error for TaskPanicked {}

/// Why a task gave no result to whoever joined it.
///
/// # Examples
///
/// ```
/// use fanpool::{JoinError, Pool};
///
/// let pool = Pool::new();
/// pool.close();
/// assert!(matches!(pool.submit(|| 1).join(), Err(JoinError::Refused(_))));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum JoinError {
    /// The task panicked.
    Panicked(TaskPanicked),
    /// The task was not started, because its group's [`CancelToken`](crate::CancelToken) was cancelled before.
    Cancelled,
    /// The task was not started, because its pool was shut down.
    Discarded,
    /// The task was never accepted.
    Refused(RefusedReason),
    /// The task can only end after the caller returns: it is the caller itself, or waits for a place that the caller
    /// holds.
    WouldDeadlock,
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Panicked(panicked) => panicked.fmt(f),
            JoinError::Cancelled => f.write_str("the task was cancelled before it started"),
            JoinError::Discarded => f.write_str("the task was discarded when its pool was shut down"),
            JoinError::Refused(reason) => write!(f, "the task was not accepted: {reason}"),
            JoinError::WouldDeadlock => f.write_str("the task can only end after this call returns"),
        }
    }
}

impl Error for JoinError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            JoinError::Panicked(panicked) => Some(panicked),
            _ => None,
        }
    }
}

/// Waiting would never end: the caller runs inside what it wants to wait for, or in a forked process, which has no workers.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// let pool = Arc::new(fanpool::Pool::new());
/// let inner = pool.clone();
/// let waited = pool.submit(move || inner.wait_idle());
/// assert!(waited.join().unwrap().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WouldDeadlock;

impl fmt::Display for WouldDeadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the caller runs inside what it would wait for, or in a forked process")
    }
}

impl Error for WouldDeadlock {}

/// Why a pool did not take a task.
///
/// # Examples
///
/// ```
/// use fanpool::{Pool, RefusedReason};
///
/// let pool = Pool::new();
/// let refused = pool.spawn_on(0, || ()).unwrap_err();
/// assert_eq!(refused.reason(), RefusedReason::NoSuchShard { shard: 0, shards: 0 });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusedReason {
    /// [`Pool::close`](crate::Pool::close) was called.
    Closed,
    /// There is no shard of that number; a pool that is not `sharded` has none.
    NoSuchShard {
        /// The shard asked for.
        shard: usize,
        /// How many there are; valid numbers are below.
        shards: usize,
    },
    /// The caller is one of the workers that it would wait for, or in a forked process, which has none.
    WouldDeadlock,
}

impl fmt::Display for RefusedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RefusedReason::Closed => f.write_str("the pool is closed"),
            RefusedReason::NoSuchShard { shards: 0, .. } => f.write_str("the pool was not built sharded"),
            RefusedReason::NoSuchShard { shard, shards } => {
                write!(f, "there is no shard {shard}, only 0..{shards}")
            }
            RefusedReason::WouldDeadlock => WouldDeadlock.fmt(f),
        }
    }
}

/// A closure that was not accepted, and why. The closure comes back.
///
/// # Examples
///
/// ```
/// let pool = fanpool::Pool::new();
/// pool.close();
/// let refused = pool.spawn(|| println!("later")).unwrap_err();
/// refused.into_inner()(); // do it here, then
/// ```
pub struct Refused<F> {
    value: F,
    reason: RefusedReason,
}

impl<F> Refused<F> {
    pub(crate) fn new(value: F, reason: RefusedReason) -> Refused<F> {
        Refused { value, reason }
    }

    /// Why it was refused.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::{Pool, RefusedReason};
    /// let pool = Pool::new();
    /// pool.close();
    /// assert_eq!(pool.spawn(|| ()).unwrap_err().reason(), RefusedReason::Closed);
    /// ```
    #[must_use]
    pub fn reason(&self) -> RefusedReason {
        self.reason
    }

    /// What was refused.
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = fanpool::Pool::new();
    /// pool.close();
    /// let task = pool.try_submit(|| 2 + 2).unwrap_err().into_inner();
    /// assert_eq!(task(), 4);
    /// ```
    #[must_use]
    pub fn into_inner(self) -> F {
        self.value
    }
}

impl<F> fmt::Debug for Refused<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl<F> fmt::Display for Refused<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the task was not accepted: {}", self.reason)
    }
}

impl<F> Error for Refused<F> {}
