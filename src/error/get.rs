//! The error of asking an object pool.

use super::TaskPanicked;
use std::error::Error;
use std::fmt;

/// Why an [`ObjectPool`](crate::ObjectPool) lent no object. Nothing is held by the caller: a place that was taken for
/// the object has been given back.
///
/// # Examples
///
/// ```
/// use fanpool::{GetError, ObjectPool};
///
/// let pool: ObjectPool<String, _> = ObjectPool::builder(|| Err("no route")).build()?;
/// let error = pool.get().unwrap_err();
/// assert!(matches!(error, GetError::Make("no route")));
/// assert_eq!(error.to_string(), "no object could be made: no route");
/// # Ok::<(), fanpool::BuildError>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum GetError<E> {
    /// `make` returned this error.
    Make(E),
    /// `make` panicked.
    MakePanicked(TaskPanicked),
    /// Every object is lent or promised to somebody who waits, and [`try_get`](crate::ObjectPool::try_get) does not
    /// wait.
    Empty,
    /// The time given to [`get_timeout`](crate::ObjectPool::get_timeout) ran out.
    TimedOut,
}

impl<E: fmt::Display> fmt::Display for GetError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GetError::Make(error) => write!(f, "no object could be made: {error}"),
            GetError::MakePanicked(panicked) => write!(f, "making an object panicked: {}", panicked.message()),
            GetError::Empty => f.write_str("every object is lent"),
            GetError::TimedOut => f.write_str("no object came back in time"),
        }
    }
}

/// Asks for no more than text of `E`, so that a `String` or a `Box<dyn Error>` will do; the text of `E` is part of this
/// one's, and `E` itself is in [`GetError::Make`].
impl<E: fmt::Debug + fmt::Display> Error for GetError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            GetError::MakePanicked(panicked) => Some(panicked),
            _ => None,
        }
    }
}
