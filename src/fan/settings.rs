//! What a user chooses of a service.

use super::landing::Done;
#[cfg(feature = "timings")]
use crate::error::TaskError;
#[cfg(feature = "timings")]
use crate::observe::Recorder;
use crate::pool::{NORMAL, Priority};
#[cfg(feature = "timings")]
use crate::sync::Arc;
use crate::sync::Keys;
use crate::trace::Name;
use std::collections::VecDeque;
use std::fmt;
use std::hash::{BuildHasher, Hash};

/// Whether a thread that would block runs an item itself.
///
/// A sender would block on a full window, a receiver on an empty output. Running a queued item instead saves putting the thread to
/// sleep and waking it, which takes microseconds, so with cheap handlers and small windows it is several times faster
/// (`cargo bench -p benches --bench service`). It switches itself off while handlers take more than 5 µs.
///
/// Handlers then run on the caller's thread, with its thread-locals and below the locks that it holds.
///
/// A task of the pool that the service runs on helps in any case, since its worker may be the only one. Handlers that send to their own
/// service may thus run within each other, as deep as the window is full of such items; a [`limit`](crate::FanOutBuilder::limit) bounds that.
///
/// # Examples
///
/// ```
/// use fanpool::{FanOut, Help};
///
/// let (input, mut output) = FanOut::builder(|n: u32| Ok::<u32, ()>(n + 1)).window(16).help(Help::Both).start()?;
/// input.send(1)?;
/// assert_eq!(output.recv()?.result.ok(), Some(2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Help {
    /// Handlers run on the pool's workers only.
    #[default]
    Never,
    /// `recv` and iteration may run items.
    Receiver,
    /// `send` may, too.
    Both,
}

/// How items are spread over the workers.
///
/// | | items go to | promise |
/// |---|---|---|
/// | `Shared` | any free worker | no item waits while a worker is free |
/// | `RoundRobin` | the workers in turn | each gets the same number of items |
/// | `LeastLoaded` | the worker with the least queued and running | close to `Shared`, with the worker's own state |
/// | [`by_key`](Route::by_key) | the worker of the key: *static shards* | all items of a key on one worker, in order; the others of its shard wait behind a slow one; the number of shards is fixed |
///
/// All but `Shared` give each worker a *lane*: a queue and, with [`builder_init`](crate::FanOut::builder_init), a state of its own. On a shared pool there are as
/// many lanes as workers (or as the limit says), and any worker may serve a lane, one at a time.
///
/// The other flavour of keys, *strands*, is the option [`key`](crate::FanOutBuilder::key): items of a key in order, one at a time, on
/// any free worker. A slow key then holds up nobody else, and the pool may be resized; but a worker has no state for the key.
///
/// # Examples
///
/// ```
/// use fanpool::{FanOut, Route};
///
/// let (input, output) = FanOut::builder(|(account, amount): (u32, i64)| Ok::<_, ()>((account, amount)))
///     .workers(2)
///     .route(Route::by_key(|item: &(u32, i64)| item.0))
///     .start()?;
/// for amount in 0..4 {
///     input.send((7, amount))?;
/// }
/// drop(input);
/// let (done, _) = output.partition();
/// assert_eq!(done, [(7, 0), (7, 1), (7, 2), (7, 3)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub enum Route<'a, T> {
    /// Any free worker takes the next item.
    Shared,
    /// The workers in turn.
    RoundRobin,
    /// The worker with the least weight queued and running.
    LeastLoaded,
    /// Made by [`by_key`](Route::by_key).
    ByKey(Key<'a, T>),
}

/// Tells the key of an item, as a number.
pub struct Key<'a, T>(pub(super) Mark<'a, T>);

pub(super) type Mark<'a, T> = Box<dyn Fn(&T) -> u64 + Send + Sync + 'a>;
pub(super) type Class<'a, T> = Box<dyn Fn(&T) -> Priority + Send + Sync + 'a>;

impl<'a, T> Key<'a, T> {
    pub(super) fn new<K: Hash>(key: impl Fn(&T) -> K + Send + Sync + 'a) -> Key<'a, T> {
        // Seeded anew for each service, so that nobody can choose keys that meet.
        let hasher = Keys::default();
        Key(Box::new(move |item| hasher.hash_one(key(item))))
    }
}

impl<'a, T> Route<'a, T> {
    /// Items of a key to one worker: *static shards*, by the hash of the key modulo their number.
    ///
    /// A panic of `key` fails the item, with its payload.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::Route;
    ///
    /// let route: Route<'_, String> = Route::by_key(|name: &String| name.len());
    /// assert!(matches!(route, Route::ByKey(_)));
    /// ```
    pub fn by_key<K: Hash>(key: impl Fn(&T) -> K + Send + Sync + 'a) -> Route<'a, T> {
        Route::ByKey(Key::new(key))
    }
}

impl<T> fmt::Debug for Route<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Route::Shared => "Shared",
            Route::RoundRobin => "RoundRobin",
            Route::LeastLoaded => "LeastLoaded",
            Route::ByKey(_) => "ByKey(..)",
        })
    }
}

impl<T> fmt::Debug for Key<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// [`Route`] without its functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spread {
    Shared,
    RoundRobin,
    Least,
    Hash,
}

/// A service's options, checked.
pub(super) struct Settings<'a, T> {
    pub(super) name: Name,
    pub(super) route: Spread,
    pub(super) lanes: usize,
    pub(super) limit: usize,
    pub(super) help: Help,
    pub(super) scoped: bool,
    /// The key of strands, or of shards, or the weight.
    pub(super) mark: Option<Mark<'a, T>>,
    pub(super) keyed: bool,
    pub(super) class: Option<Class<'a, T>>,
    /// How many items there will be.
    pub(super) expected: Option<usize>,
    #[cfg(feature = "timings")]
    pub(super) recorder: Option<Arc<Recorder>>,
}

/// Where an item belongs.
pub(super) struct Address {
    pub(super) mark: u64,
    pub(super) class: usize,
}

impl<T> Settings<'_, T> {
    #[cfg(not(feature = "timings"))]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(super) fn record<R, E>(&self, _: &VecDeque<Done<R, E>>) {}

    /// Records the times of what has ended, where the handler ended it.
    #[cfg(feature = "timings")]
    pub(super) fn record<R, E>(&self, batch: &VecDeque<Done<R, E>>) {
        let Some(recorder) = &self.recorder else { return };
        let every = recorder.every() as u64;
        for done in batch.iter().filter(|done| every == 1 || done.seq % every == 0) {
            let ended = match done.result {
                Ok(_) | Err(TaskError::Failed(_) | TaskError::WrongBatch { .. } | TaskError::Panicked(_)) => true,
                Err(TaskError::Expired | TaskError::Rejected(_) | TaskError::Cancelled) => false,
            };
            if ended && done.attempts > 0 {
                recorder.record(done.queued, done.ran);
            }
        }
    }

    /// Where every item belongs, if nothing of it matters.
    #[inline]
    pub(super) fn plain_address(&self) -> Option<Address> {
        (self.mark.is_none() && self.class.is_none()).then_some(Address { mark: 1, class: NORMAL })
    }

    /// Calls the functions of the user's.
    #[inline]
    pub(super) fn address(&self, item: &T) -> Address {
        let mark = match (&self.mark, self.route) {
            // Loads are sums of weights, which must not overflow.
            (Some(weight), Spread::Least) => weight(item).min(u64::from(u32::MAX)),
            (Some(key), _) => key(item),
            (None, _) => 1,
        };
        Address { mark, class: self.class.as_ref().map_or(NORMAL, |class| class(item).lane()) }
    }
}
