//! The guard of an object that is lent.

use super::home::{Home, Leave};
use crate::panics;
use crate::sync::{Arc, Weak};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};

/// An object lent by an [`ObjectPool`](crate::ObjectPool). Dropping it brings the object back.
///
/// It borrows nothing, so it may travel into tasks and threads and outlive the pool. On the way back, in this order:
///
/// 1. If the pool is gone, the object is dropped.
/// 2. If this thread is unwinding, nobody knows in what state the object is, and it is thrown out.
/// 3. `reset` runs on this thread. If it panics, the object is thrown out.
/// 4. The object goes to whoever waits, or becomes idle.
///
/// Dropping it never panics, not even if `reset` or the object's `Drop` does, and blocks only for as long as those
/// take. A guard that is leaked costs its place: the pool has one less to give, and is otherwise well.
///
/// # Examples
///
/// ```
/// use fanpool::{ObjectPool, Pool};
///
/// let buffers = ObjectPool::new(4, Vec::<u8>::new)?;
/// let workers = Pool::new();
/// let mut buffer = buffers.get()?;
/// buffer.extend_from_slice(b"hello");
/// let length = workers.submit(move || buffer.len()).join()?;
/// assert_eq!((length, buffers.stats().idle), (5, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "the object goes back at once if this is dropped"]
pub struct Pooled<T> {
    /// Empty only while the guard is taken apart.
    object: Option<T>,
    /// Not an `Arc`: a leaked guard must not keep the idle objects and what the hooks captured.
    home: Weak<Home<T>>,
}

impl<T> Pooled<T> {
    pub(super) fn new(object: T, home: &Arc<Home<T>>) -> Pooled<T> {
        Pooled { object: Some(object), home: Arc::downgrade(home) }
    }

    /// Takes the object out of the pool for good. Its place is free for another. `reset` is not called.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{ObjectPool, Pooled};
    ///
    /// let pool = ObjectPool::new(1, || String::from("mine"))?;
    /// let mine: String = Pooled::detach(pool.get()?);
    /// let another = pool.get()?;
    /// assert_eq!((mine.as_str(), pool.stats().detached), ("mine", 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use = "the object is dropped otherwise"]
    pub fn detach(mut guard: Pooled<T>) -> T {
        let Some(object) = guard.object.take() else { unreachable!("a guard is empty only while it is taken apart") };
        if let Some(home) = guard.home.upgrade() {
            home.leave(Leave::Detached);
        }
        object
    }
}

impl<T> Drop for Pooled<T> {
    fn drop(&mut self) {
        let Some(object) = self.object.take() else { return };
        match self.home.upgrade() {
            Some(home) => home.take_back(object),
            None => panics::drop_each([object]),
        }
    }
}

impl<T> Deref for Pooled<T> {
    type Target = T;
    fn deref(&self) -> &T {
        match &self.object {
            Some(object) => object,
            None => unreachable!("a guard is empty only while it is taken apart"),
        }
    }
}

impl<T> DerefMut for Pooled<T> {
    fn deref_mut(&mut self) -> &mut T {
        match &mut self.object {
            Some(object) => object,
            None => unreachable!("a guard is empty only while it is taken apart"),
        }
    }
}

// What the guard adds to the object is never half-changed when a panic is seen.
impl<T: UnwindSafe> UnwindSafe for Pooled<T> {}
impl<T: RefUnwindSafe> RefUnwindSafe for Pooled<T> {}

impl<T: fmt::Debug> fmt::Debug for Pooled<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pooled").field(&**self).finish()
    }
}
