//! Bounded, thread-safe reuse of buffers and connections.
//!
//! `home` holds what is shared: idle objects, counts and the queue of those who wait, all under one lock. `pooled` is the
//! guard. User code (`make`, `reset`, `check`, an object's `Drop`) is only ever called without the lock, inside of
//! `panics`.
//!
//! **Places.** At most `max` objects exist. Each has a place from before it is made until after it is dropped or
//! detached. Whoever asks makes a *claim* and wins either an idle object in its place, the newest first since its
//! memory is warm, or an empty place. From there on the claimant owns that place and every way out gives it on: to the
//! guard with the object; to the next idle object, if `check` refuses this one; back to the pool, if `make` fails or
//! panics. The guard owns it until the object becomes idle, is thrown out or is detached. A leaked guard keeps it.
//!
//! **Free, promised, waiting.** What is *free* is what a claim could win: idle objects and empty places. A claim that
//! finds nothing free goes to the end of a queue and sleeps on a bell of its own. Whatever becomes free from then on
//! (an object that came back, a place whose object was thrown out or detached, or never made) is *promised* to the
//! first of the queue: that one leaves the queue and its bell is rung. A newcomer may only take what is free beyond
//! what is promised. So those who wait are served in the order of their coming and before those who come later, and a
//! thread that returns an object and at once asks for one again cannot starve the others.
//!
//! **No waiter is left asleep beside something free.** Under the lock, always:
//!
//! 1. *promised ≤ free.* Promises are made for what has just become free. Newcomers leave what is promised. Whoever has
//!    a promise takes one of the free for it. A claimant whose object was thrown out takes an idle one *for* the place
//!    that it brings, which leaves as much free as there was.
//! 2. *Somebody is in the queue only if free = promised.* It came because there was no more than that, and whatever
//!    became free since was promised to somebody. So nobody sleeps whom nobody is bound to wake.
//! 3. *Whoever has a promise wakes and takes it.* A waiter enters the queue and goes to sleep in one step under the
//!    lock, so a promise that finds it in the queue is made after it slept, and the bell that is rung then, after the
//!    lock is released, is heard: no other thread waits on that bell, so none can swallow the notice.
//!
//! A waiter whose time runs out looks, under the lock, whether it is still in the queue. If not, it has been promised
//! something, perhaps in this very moment, and takes it; the bell then rings for nobody. If so, it removes itself, and
//! a promise made later goes to the next. Either way no promise is lost with it.
//!
//! **The end.** Guards hold the pool weakly. When its last handle is dropped nobody waits, since whoever waits borrows
//! a handle; idle objects are dropped then, lent ones when they come back. A guard that is coming back in that moment
//! may be the one that drops all.
//!
//! # Why not one of those that exist
//!
//! As of November 2026: object-pool 0.6, lockfree-object-pool 0.1.6 and opool 0.2 bound what is idle, if anything, make
//! further objects when none is, and cannot wait; their `make` cannot fail, and where user code runs as an object comes
//! back, its panic comes out of `Drop`. sharded-slab 0.1.7 does not wait either, and asks for `Default` and a `Clear`
//! of its own. r2d2 0.8 is bounded and waits, but connects on threads of its own, retries a failed `connect` until the
//! caller's time is over and then gives its text alone, and loses a place for good when `connect`, `is_valid` or
//! `has_broken` panics.

mod builder;
mod home;
mod pooled;

pub use builder::ObjectPoolBuilder;
pub use pooled::Pooled;

use crate::error::{BuildError, GetError, TaskPanicked};
use crate::panics;
use crate::sync::{Arc, now};
use builder::Make;
use home::{Claim, Home, Leave, Missed, Patience};
use std::convert::Infallible;
use std::fmt;
use std::mem;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Duration;

/// Lends objects that are costly to make, such as buffers and connections, and takes them back: at most
/// [`max`](ObjectPoolBuilder::max) exist at once.
///
/// A clone is another handle to the same pool. Objects are made when they are first needed and lent newest first;
/// [`Pooled`], the guard, borrows nothing and brings its object back when it is dropped. Whoever waits is served before
/// whoever comes later. When the last handle is dropped, idle objects are dropped too, and lent ones when they come
/// back.
///
/// `E` is the error of making an object; a pool built with [`new`](ObjectPool::new) has none. All closures run on the
/// thread that asks for or returns the object, several at a time, without a lock. They may use the pool, but not wait
/// for it: a thread that waits for an object while it holds all of them, in a closure or in guards, waits for ever.
///
/// Getting and returning an object takes about twice as long as with a bare `Mutex<Vec<T>>` on one thread, and a little longer than that
/// on two (`cargo bench -p benches --bench object_pool`). With fewer objects than
/// threads that ask all the time, every turn may be handed from thread to thread, which costs microseconds.
///
/// # Examples
///
/// ```
/// use fanpool::{GetError, ObjectPool, Pool};
/// use std::io::{self, Cursor, Read};
///
/// // Stands for a `TcpStream` or a database connection.
/// fn connect() -> io::Result<Cursor<Vec<u8>>> {
///     Ok(Cursor::new(vec![7]))
/// }
///
/// let connections = ObjectPool::builder(connect)
///     .max(2)
///     .reset(|connection| connection.set_position(0))
///     .check(|connection| !connection.get_ref().is_empty())
///     .build()?;
///
/// let answers: Vec<u8> = Pool::new()
///     .map(0..100, |_| -> Result<u8, GetError<io::Error>> {
///         let mut answer = [0];
///         connections.get()?.read_exact(&mut answer).map_err(GetError::Make)?;
///         Ok(answer[0])
///     })
///     .try_collect()?;
/// assert_eq!(answers, [7; 100]);
/// assert!(connections.stats().made <= 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ObjectPool<T, E = Infallible> {
    inner: Arc<Inner<T, E>>,
}

struct Inner<T, E> {
    home: Arc<Home<T>>,
    make: Make<T, E>,
}

impl<T> ObjectPool<T> {
    /// A pool of at most `max` objects that are always made, neither reset nor checked.
    ///
    /// # Errors
    ///
    /// [`BuildError::OutOfRange`] if `max` is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::ObjectPool;
    ///
    /// let buffers = ObjectPool::new(8, || Vec::<u8>::with_capacity(64 * 1024))?;
    /// assert_eq!(buffers.get()?.capacity(), 64 * 1024);
    /// assert!(ObjectPool::new(0, String::new).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(max: usize, make: impl Fn() -> T + Send + Sync + 'static) -> Result<ObjectPool<T>, BuildError> {
        ObjectPool::builder(move || Ok(make())).max(max).build()
    }
}

impl<T, E> ObjectPool<T, E> {
    /// Options for a pool whose objects are made by `make`, which may fail.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::ObjectPool;
    /// use std::fs::File;
    ///
    /// let files = ObjectPool::builder(|| File::open("/dev/null")).max(3).build()?;
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn builder(make: impl Fn() -> Result<T, E> + Send + Sync + 'static) -> ObjectPoolBuilder<T, E> {
        ObjectPoolBuilder::new(Box::new(make))
    }

    fn start(home: Home<T>, make: Make<T, E>) -> ObjectPool<T, E> {
        ObjectPool { inner: Arc::new(Inner { home: Arc::new(home), make }) }
    }

    /// Lends an object: the one that came back last and passes [`check`](ObjectPoolBuilder::check), or else a new one.
    ///
    /// # Blocking
    ///
    /// Until an object comes back or may be made, without limit; and for as long as `check`, `make` and the `Drop` of
    /// objects that are thrown out take. A guard that is leaked never comes back.
    ///
    /// # Errors
    ///
    /// [`GetError::Make`] and [`GetError::MakePanicked`]; the place is free again, and the next who waits tries to make
    /// an object.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::ObjectPool;
    ///
    /// let pool = ObjectPool::new(1, Vec::<u8>::new)?;
    /// pool.get()?.push(1);
    /// assert_eq!(*pool.get()?, [1], "the same one, and nobody has reset it");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get(&self) -> Result<Pooled<T>, GetError<E>> {
        self.lend(Patience::Until(None))
    }

    /// As [`get`](ObjectPool::get), but never waits for an object: only `check`, `make` and `Drop` may take their time.
    ///
    /// # Errors
    ///
    /// Those of [`get`](ObjectPool::get), and [`GetError::Empty`] if all objects are lent or promised to threads that
    /// wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{GetError, ObjectPool};
    ///
    /// let pool = ObjectPool::new(1, String::new)?;
    /// let only = pool.try_get()?;
    /// assert!(matches!(pool.try_get(), Err(GetError::Empty)));
    /// drop(only);
    /// assert!(pool.try_get().is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_get(&self) -> Result<Pooled<T>, GetError<E>> {
        self.lend(Patience::None)
    }

    /// As [`get`](ObjectPool::get), but waits for at most `timeout`; what `check`, `make` and `Drop` take comes on top.
    /// A timeout too long for the clock never runs out.
    ///
    /// # Errors
    ///
    /// Those of [`get`](ObjectPool::get), and [`GetError::TimedOut`].
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{GetError, ObjectPool};
    /// use std::time::Duration;
    ///
    /// let pool = ObjectPool::new(1, String::new)?;
    /// let _only = pool.get()?;
    /// assert!(matches!(pool.get_timeout(Duration::from_millis(1)), Err(GetError::TimedOut)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_timeout(&self, timeout: Duration) -> Result<Pooled<T>, GetError<E>> {
        self.lend(Patience::Until(now().checked_add(timeout)))
    }

    /// What has happened so far, and what there is now.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::ObjectPool;
    ///
    /// let pool = ObjectPool::new(2, String::new)?;
    /// drop(pool.get()?);
    /// let again = pool.get()?;
    /// let stats = pool.stats();
    /// assert_eq!((stats.made, stats.reused, stats.lent, stats.idle), (1, 1, 1, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn stats(&self) -> ObjectStats {
        let state = self.inner.home.lock();
        ObjectStats {
            max: state.max,
            idle: state.idle.len(),
            lent: state.lent(),
            making: state.making,
            waiting: state.waiting(),
            made: state.made,
            failed: state.failed,
            reused: state.taken - state.refused,
            thrown_out: state.thrown_out,
            detached: state.detached,
            waits: state.waits,
        }
    }

    fn lend(&self, patience: Patience) -> Result<Pooled<T>, GetError<E>> {
        let home = &self.inner.home;
        let mut claim = home.claim(patience).map_err(|missed| match missed {
            Missed::Empty => GetError::Empty,
            Missed::TimedOut => GetError::TimedOut,
        })?;
        // This thread owns a place now, and nothing below unwinds past it.
        loop {
            match claim {
                Claim::Object(mut object) => {
                    if home.passes(&mut object) {
                        return Ok(Pooled::new(object, home));
                    }
                    claim = home.replace(object);
                }
                Claim::Place => return self.make(),
            }
        }
    }

    /// Makes an object for a place that this thread owns.
    fn make(&self) -> Result<Pooled<T>, GetError<E>> {
        let home = &self.inner.home;
        let error = match panics::catch(&self.inner.make) {
            Ok(Ok(object)) => {
                home.note_made();
                return Ok(Pooled::new(object, home));
            }
            Ok(Err(error)) => GetError::Make(error),
            Err(payload) => GetError::MakePanicked(TaskPanicked::new(payload)),
        };
        home.leave(Leave::NotMade);
        Err(error)
    }
}

impl<T, E> Clone for ObjectPool<T, E> {
    fn clone(&self) -> ObjectPool<T, E> {
        ObjectPool { inner: self.inner.clone() }
    }
}

// No user code runs under the lock, so a panic leaves nothing half-changed.
impl<T, E> UnwindSafe for ObjectPool<T, E> {}
impl<T, E> RefUnwindSafe for ObjectPool<T, E> {}

impl<T, E> fmt::Debug for ObjectPool<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectPool").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl<T, E> Drop for Inner<T, E> {
    /// What `make` captured may panic in its `Drop`; the other hooks and the objects are dropped with `home`, in the
    /// same way.
    fn drop(&mut self) {
        let make = mem::replace(&mut self.make, Box::new(|| unreachable!("the last handle is gone")));
        panics::drop_each([make]);
    }
}

/// What an [`ObjectPool`] has done, and what it has now; a snapshot of one moment.
///
/// Every object is somewhere: *made = idle + lent + thrown out + detached*, and *idle + lent + making ≤ max*.
///
/// # Examples
///
/// ```
/// use fanpool::{ObjectPool, ObjectStats};
///
/// let pool = ObjectPool::new(2, String::new)?;
/// let lent = pool.get()?;
/// let ObjectStats { max: 2, made: 1, lent: 1, .. } = pool.stats() else { panic!() };
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectStats {
    /// How many objects may exist at once.
    pub max: usize,
    /// Objects that are ready to be lent.
    pub idle: usize,
    /// Objects that are in somebody's hands, in `check`, in `reset` or in their `Drop`, or leaked.
    pub lent: usize,
    /// Calls of `make` under way.
    pub making: usize,
    /// Threads that wait for an object.
    pub waiting: usize,
    /// Objects ever made.
    pub made: u64,
    /// Calls of `make` that failed or panicked.
    pub failed: u64,
    /// How often an object was lent again. One that is in `check` counts, until it is refused.
    pub reused: u64,
    /// Objects that were thrown out: refused by `check`, spoiled by a `check` or `reset` that panicked, or returned by
    /// a thread that was unwinding.
    pub thrown_out: u64,
    /// Objects that were taken out with [`Pooled::detach`].
    pub detached: u64,
    /// How often somebody had to wait.
    pub waits: u64,
}
