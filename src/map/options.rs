//! What can be chosen before a map runs.

use super::engine::Choices;
use crate::cancel::CancelToken;
use crate::group::{Options, TaskGroup};
use crate::pool::{Pool, Priority};
use crate::sync::{Arc, now};
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

/// Where a map runs.
pub(super) enum Place<'env> {
    Pool(&'env Pool),
    /// The pool of this group, which is that of a scope.
    Beside(Arc<TaskGroup>),
}

/// A map that is still to run: options, then one of the terminal methods.
///
/// Made by [`Pool::map`](crate::Pool::map), [`Pool::map_init`](crate::Pool::map_init), [`Group::map`](crate::Group::map) and [`Scope::map`](crate::Scope::map). The types
/// `W` and `E` follow from how it was made: what is done with each item, and whether the run can be
/// [stopped](Stoppable).
///
/// Items and results pass by value over the stacks of the calling thread and of workers: box what is larger than some 100 KiB.
/// An item must not wait for a later one: items that take next to no time are run by the calling thread, in turn.
///
/// # Examples
///
/// ```
/// let pool = fanpool::Pool::new();
/// let mut longest = "";
/// let words = ["fan", "out", "gather"];
/// pool.map(words, |word| (word.len(), word)).window(100).for_each(|(len, word)| {
///     if len > longest.len() {
///         longest = word;
///     }
/// });
/// assert_eq!(longest, "gather");
/// ```
#[must_use = "a map does nothing until a terminal such as `collect` or `for_each`"]
pub struct Map<'env, I: Iterator, W, E = Whole> {
    pub(super) source: I,
    pub(super) work: W,
    pub(super) place: Place<'env>,
    /// Set if the map needs a group of its own.
    pub(super) group: Option<Options>,
    pub(super) choices: Choices<'env, I::Item>,
    pub(super) ending: PhantomData<E>,
}

impl<'env, I: Iterator, W, E> Map<'env, I, W, E> {
    pub(super) fn new(place: Place<'env>, source: I, work: W) -> Self {
        Map { source, work, place, group: None, choices: Choices::new(), ending: PhantomData }
    }

    pub(super) fn with<W2, E2>(self, change: impl FnOnce(W) -> W2) -> Map<'env, I, W2, E2> {
        let Map { source, work, place, group, choices, ending: _ } = self;
        Map { source, work: change(work), place, group, choices, ending: PhantomData }
    }

    fn options(&mut self) -> &mut Options {
        self.group.get_or_insert_with(|| Options::new(Priority::Normal.lane()))
    }

    /// Delivers results as they come instead of in the order of their items.
    ///
    /// # Default
    ///
    /// In order.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// let mut squares = Vec::new();
    /// pool.map(1..=3, |n| n * n).unordered().for_each(|square| squares.push(square));
    /// squares.sort();
    /// assert_eq!(squares, [1, 4, 9]);
    /// ```
    pub fn unordered(mut self) -> Self {
        self.choices.ordered = false;
        self
    }

    /// How many items may be between the source and the consumer at once: waiting, running, or as results.
    ///
    /// # Default
    ///
    /// What the threads do in about a millisecond, at least 64, at least four for each thread and two fixed batches, and otherwise
    /// at most 4,096.
    ///
    /// # Panics
    ///
    /// If `items` is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// let n = pool.map(0..1000, |n| n).window(16).count();
    /// assert_eq!(n, 1000);
    /// ```
    #[track_caller]
    pub fn window(mut self, items: usize) -> Self {
        self.choices.set_window(items);
        self
    }

    /// Bounds the items in flight by weight as well: `weight` tells that of each (bytes, say), on the calling thread, and
    /// their sum stays at most `max`. An item that is heavier than that runs alone.
    ///
    /// # Default
    ///
    /// No such bound.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// let files = vec![vec![0_u8; 10_000]; 20];
    /// let bytes: usize = pool.map(files, |file| file.len()).weigh(|file| file.len(), 50_000).sum();
    /// assert_eq!(bytes, 200_000);
    /// ```
    pub fn weigh(mut self, weight: impl FnMut(&I::Item) -> usize + 'env, max: usize) -> Self {
        self.choices.weigh = Some((Box::new(weight), max));
        self
    }

    /// Fixes how many items are handed to a thread together.
    ///
    /// In any case, a thread with nothing to do takes over items of a batch that another has not started, so that none waits
    /// behind a slow one. (Only after thousands of items that took next to no time do threads start up to eight of them at
    /// once, those of a quarter of a microsecond.)
    ///
    /// # Default
    ///
    /// As many as take about 50 µs, at least one, at most 512 and 128 KiB.
    ///
    /// # Panics
    ///
    /// If `items` is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// assert_eq!(pool.map(0..100, |n| n).batch(10).count(), 100);
    /// ```
    #[track_caller]
    pub fn batch(mut self, items: usize) -> Self {
        self.choices.set_batch(items);
        self
    }

    /// Which maps and tasks workers turn to first; see [`Priority`].
    ///
    /// # Default
    ///
    /// [`Priority::Normal`], or that of the group.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// let n = pool.map(0..10, |n| n).priority(fanpool::Priority::Low).count();
    /// assert_eq!(n, 10);
    /// ```
    pub fn priority(mut self, priority: Priority) -> Self {
        self.options().lane = priority.lane();
        self
    }

    /// How many threads may run items at once, the calling one included.
    ///
    /// # Default
    ///
    /// All workers and the calling thread, or the limit of the group.
    ///
    /// # Panics
    ///
    /// If `threads` is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// assert_eq!(pool.map(0..10, |n| n).limit(1).count(), 10);
    /// ```
    #[track_caller]
    pub fn limit(mut self, threads: usize) -> Self {
        assert!(threads > 0, "limit is 0; allowed is 1 and more");
        self.options().limit = threads;
        self
    }

    /// Calls `report` with the number of delivered items and, where the source knows it, of all: on the calling thread, at most
    /// ten times a second, and once more when all is delivered or the run is [stopped](Stopped). A run that ends by an error or a panic has no
    /// last report.
    ///
    /// # Default
    ///
    /// None.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// let mut last = (0, None);
    /// pool.map(0..1000, |n| n).progress(|done, total| last = (done, total)).count();
    /// assert_eq!(last, (1000, Some(1000)));
    /// ```
    pub fn progress(mut self, report: impl FnMut(usize, Option<usize>) + 'env) -> Self {
        self.choices.progress = Some(Box::new(report));
        self
    }

    /// A token that, once cancelled, ends the run early. The terminals then return a `Result`.
    ///
    /// # Default
    ///
    /// None, or that of the group, which then counts too.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// let token = fanpool::CancelToken::new();
    /// let mut seen = 0;
    /// let stopped = pool
    ///     .map(0.., |n: u64| n)
    ///     .cancel(&token)
    ///     .for_each(|n| {
    ///         seen = n;
    ///         if n == 1000 {
    ///             token.cancel();
    ///         }
    ///     })
    ///     .unwrap_err();
    /// assert_eq!(stopped.reason, fanpool::StopReason::Cancelled);
    /// assert!(seen >= 1000);
    /// ```
    pub fn cancel(mut self, token: &CancelToken) -> Map<'env, I, W, Stoppable> {
        let cancel = &mut self.options().cancel;
        *cancel = Some(match cancel {
            Some(before) => before.child_with(token),
            None => token.clone(),
        });
        self.with(|work| work)
    }

    /// Ends the run after this time, counted from now. The terminals then return a `Result`. Items that run are not
    /// interrupted.
    ///
    /// # Default
    ///
    /// None.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = fanpool::Pool::new();
    /// let all: Vec<u32> = pool.map(0..3, |n| n).deadline(Duration::from_secs(60)).collect()?;
    /// assert_eq!(all, [0, 1, 2]);
    ///
    /// let stopped = pool.map(0.., |n: u64| n).deadline(Duration::from_millis(1)).count().unwrap_err();
    /// assert_eq!(stopped.reason, fanpool::StopReason::Deadline);
    /// # Ok::<(), fanpool::Stopped<Vec<u32>>>(())
    /// ```
    pub fn deadline(mut self, time: Duration) -> Map<'env, I, W, Stoppable> {
        if let Some(deadline) = now().checked_add(time) {
            let cancel = &mut self.options().cancel;
            *cancel = Some(cancel.take().unwrap_or_default().child_until(deadline));
        }
        self.with(|work| work)
    }
}

impl<T> Choices<'_, T> {
    pub(super) fn new() -> Self {
        Choices { ordered: true, window: None, batch: None, weigh: None, progress: None }
    }

    #[track_caller]
    pub(super) fn set_window(&mut self, items: usize) {
        assert!(items > 0, "window is 0; allowed is 1 and more");
        self.window = Some(items);
    }

    #[track_caller]
    pub(super) fn set_batch(&mut self, items: usize) {
        assert!(items > 0, "batch is 0; allowed is 1 and more");
        self.batch = Some(items);
    }
}

impl<I: Iterator, W, E> fmt::Debug for Map<'_, I, W, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("ordered", &self.choices.ordered)
            .field("window", &self.choices.window)
            .field("batch", &self.choices.batch)
            .finish_non_exhaustive()
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Whole {}
    impl Sealed for super::Stoppable {}
}

/// What the terminals of a [`Map`] return: the bare result, or one that tells whether the run was stopped. Sealed.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let pool = fanpool::Pool::new();
/// let whole: usize = pool.map(0..9, |n| n).count();
/// let stoppable: Result<usize, _> = pool.map(0..9, |n| n).deadline(Duration::from_secs(60)).count();
/// assert_eq!(stoppable, Ok(whole));
/// ```
pub trait Ending: sealed::Sealed {
    /// What a terminal that computes `T` returns.
    type Of<T>;
    /// Makes it of what was computed and of why that is not everything.
    #[doc(hidden)]
    fn end<T>(value: T, reason: Option<StopReason>) -> Self::Of<T>;
}

/// The [`Ending`] of a run that nothing stops.
#[derive(Debug, Clone, Copy)]
pub struct Whole;

/// The [`Ending`] of a run that a token or a deadline may stop.
#[derive(Debug, Clone, Copy)]
pub struct Stoppable;

impl Ending for Whole {
    type Of<T> = T;
    fn end<T>(value: T, _: Option<StopReason>) -> T {
        value
    }
}

impl Ending for Stoppable {
    type Of<T> = Result<T, Stopped<T>>;
    fn end<T>(value: T, reason: Option<StopReason>) -> Result<T, Stopped<T>> {
        match reason {
            Some(reason) => Err(Stopped { reason, partial: value }),
            None => Ok(value),
        }
    }
}

/// Why a run was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// Its token was cancelled.
    Cancelled,
    /// Its time was over.
    Deadline,
}

/// A run that was stopped before everything was delivered.
///
/// # Examples
///
/// ```
/// let pool = fanpool::Pool::new();
/// let token = fanpool::CancelToken::new();
/// token.cancel();
/// let stopped = pool.map(0..9, |n| n).cancel(&token).collect::<Vec<_>>().unwrap_err();
/// assert_eq!((stopped.reason, stopped.partial), (fanpool::StopReason::Cancelled, vec![]));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped<T> {
    /// Why.
    pub reason: StopReason,
    /// What the terminal had computed: in order, what a serial loop would have that ended there.
    pub partial: T,
}

impl<T> fmt::Display for Stopped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.reason {
            StopReason::Cancelled => "the map was cancelled before everything was delivered",
            StopReason::Deadline => "the map's deadline passed before everything was delivered",
        })
    }
}

impl<T: fmt::Debug> std::error::Error for Stopped<T> {}
