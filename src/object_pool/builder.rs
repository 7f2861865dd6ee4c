//! Options for an object pool.

use super::ObjectPool;
use super::home::{Check, Home, Reset};
use crate::error::BuildError;
use std::fmt;

pub(super) type Make<T, E> = Box<dyn Fn() -> Result<T, E> + Send + Sync>;

/// Options for an [`ObjectPool`].
///
/// # Examples
///
/// ```
/// use fanpool::ObjectPool;
///
/// let pool = ObjectPool::builder(|| Ok::<_, std::io::Error>(Vec::<u8>::with_capacity(4096)))
///     .max(32)
///     .reset(|buffer| buffer.clear())
///     .check(|buffer| buffer.capacity() <= 1 << 20)
///     .build()?;
/// # Ok::<(), fanpool::BuildError>(())
/// ```
#[must_use = "a builder does nothing until `build`"]
pub struct ObjectPoolBuilder<T, E> {
    max: usize,
    make: Make<T, E>,
    reset: Option<Reset<T>>,
    check: Option<Check<T>>,
}

impl<T, E> ObjectPoolBuilder<T, E> {
    pub(super) fn new(make: Make<T, E>) -> ObjectPoolBuilder<T, E> {
        ObjectPoolBuilder { max: 16, make, reset: None, check: None }
    }

    /// How many objects may exist at once, idle and lent together; at least 1. Room is taken as objects are made.
    ///
    /// # Default
    ///
    /// 16.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::{BuildError, ObjectPool};
    /// let make = || Ok::<_, String>(String::new());
    /// assert_eq!(ObjectPool::builder(make).max(3).build()?.stats().max, 3);
    /// let refused = ObjectPool::builder(make).max(0).build();
    /// assert!(matches!(refused, Err(BuildError::OutOfRange { option: "max", value: 0, .. })));
    /// # Ok::<(), BuildError>(())
    /// ```
    pub fn max(mut self, objects: usize) -> ObjectPoolBuilder<T, E> {
        self.max = objects;
        self
    }

    /// Called with an object that comes back, on the thread that returns it, before anybody else can have it.
    ///
    /// If it panics, the object is thrown out and the panic goes no further.
    ///
    /// # Default
    ///
    /// Objects stay as they are.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::ObjectPool;
    /// let pool = ObjectPool::builder(|| Ok::<_, String>(vec![0_u8])).max(1).reset(|buffer| buffer.fill(0)).build()?;
    /// pool.get()?[0] = 7;
    /// assert_eq!(*pool.get()?, [0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reset(mut self, reset: impl Fn(&mut T) + Send + Sync + 'static) -> ObjectPoolBuilder<T, E> {
        self.reset = Some(Box::new(reset));
        self
    }

    /// Called with an idle object that is about to be lent again, on the thread that asks for it; not with one just
    /// made.
    ///
    /// If it says `false` or panics, the object is thrown out, and the next idle one is checked, or a new one made. A
    /// panic goes no further.
    ///
    /// # Default
    ///
    /// Every object passes.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::ObjectPool;
    /// let pool = ObjectPool::builder(|| Ok::<_, String>(Some("connected"))).check(|peer| peer.is_some()).build()?;
    /// *pool.get()? = None;
    /// assert_eq!(*pool.get()?, Some("connected"));
    /// assert_eq!(pool.stats().thrown_out, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn check(mut self, check: impl Fn(&mut T) -> bool + Send + Sync + 'static) -> ObjectPoolBuilder<T, E> {
        self.check = Some(Box::new(check));
        self
    }

    /// Builds the pool. No object is made yet.
    ///
    /// # Errors
    ///
    /// [`BuildError::OutOfRange`] if `max` is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::ObjectPool;
    /// let pool = ObjectPool::builder(|| Err::<String, _>("down")).build()?;
    /// assert_eq!(pool.stats().made, 0);
    /// assert!(pool.get().is_err());
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn build(self) -> Result<ObjectPool<T, E>, BuildError> {
        BuildError::check("max", self.max, 1..=usize::MAX)?;
        Ok(ObjectPool::start(Home::new(self.max, self.reset, self.check), self.make))
    }
}

impl<T, E> fmt::Debug for ObjectPoolBuilder<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectPoolBuilder")
            .field("max", &self.max)
            .field("reset", &self.reset.is_some())
            .field("check", &self.check.is_some())
            .finish_non_exhaustive()
    }
}
