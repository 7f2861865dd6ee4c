//! Where maps begin: on a pool, in a group, in a scope.

use super::options::{Map, Place, Stoppable, Whole};
use super::stream::Stream;
use super::work::{Kept, Plain, Stateful};
use crate::pool::{Group, Pool};
use crate::scope::Scope;

impl Pool {
    /// Applies `f` to every item, on the workers and the calling thread, and hands the results back to the calling thread: in
    /// the order of the items unless said otherwise, while the source is still being read, with a bounded number of items in
    /// flight.
    ///
    /// Nothing runs before a terminal method of [`Map`] is called. The source and the consumer run on the calling
    /// thread, so neither needs to be `Send`; items, results and `f` do, and may borrow. While the calling thread has
    /// nothing to feed or to collect it runs items itself, so a map inside `f` ends on a pool of any size, paused or closed.
    ///
    /// In order, this means what the serial loop means: the same results in the same order, and of all panics and errors that of the
    /// first item surfaces, after everything before it was delivered and nothing after it. (Later items may have been
    /// *started*, at most a window of them.)
    ///
    /// A source may block. One that does not know its length (its [`size_hint`](Iterator::size_hint) is not exact) is asked for the next
    /// item only when every one before is within reach of the workers; one that does is asked for up to 512 at a time.
    ///
    /// # Cost
    ///
    /// About 20 ns an item, shared by the threads; items cheaper than that are run by the calling thread alone, at about the cost
    /// of a loop.
    ///
    /// # Panics
    ///
    /// The terminals go on with a panic of `f`, of the source or of the consumer.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// let squares: Vec<u64> = pool.map(1..=5, |n| n * n).collect();
    /// assert_eq!(squares, [1, 4, 9, 16, 25]);
    /// ```
    pub fn map<'env, I, F, R>(&'env self, items: I, f: F) -> Map<'env, I::IntoIter, Plain<F>>
    where
        I: IntoIterator,
        F: Fn(I::Item) -> R + Send + Sync,
        R: Send,
    {
        Map::new(Place::Pool(self), items.into_iter(), Plain(f))
    }

    /// As [`map`](Pool::map), with a state that `init` makes for each thread that runs items and `f` gets along with each.
    ///
    /// States are reused, so there are never more than threads that run items at once. A state that a panic has passed is
    /// dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// let lines = pool
    ///     .map_init(1..=3, String::new, |buffer, n| {
    ///         buffer.clear();
    ///         buffer.push_str("line ");
    ///         buffer.push_str(&n.to_string());
    ///         buffer.len()
    ///     })
    ///     .sum::<usize>();
    /// assert_eq!(lines, 18);
    /// ```
    pub fn map_init<'env, I, S, G, F, R>(
        &'env self,
        items: I,
        init: G,
        f: F,
    ) -> Map<'env, I::IntoIter, Stateful<S, G, F>>
    where
        I: IntoIterator,
        S: Send,
        G: Fn() -> S + Send + Sync,
        F: Fn(&mut S, I::Item) -> R + Send + Sync,
        R: Send,
    {
        let work = Stateful { init, function: f, states: Kept::none() };
        Map::new(Place::Pool(self), items.into_iter(), work)
    }
}

impl Group<'_> {
    /// As [`Pool::map`], with the group's options. Its token may stop the run, so the terminals return a `Result`.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// let group = pool.group().limit(2).build()?;
    /// let doubled: Vec<u32> = group.map(1..=3, |n| 2 * n).collect()?;
    /// assert_eq!(doubled, [2, 4, 6]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn map<'env, I, F, R>(&'env self, items: I, f: F) -> Map<'env, I::IntoIter, Plain<F>, Stoppable>
    where
        I: IntoIterator,
        F: Fn(I::Item) -> R + Send + Sync,
        R: Send,
    {
        let (pool, options) = self.parts();
        let mut map = Map::new(Place::Pool(pool), items.into_iter(), Plain(f));
        map.group = Some(options);
        map
    }
}

impl<'scope> Scope<'scope, '_> {
    /// As [`Pool::map`], on the pool of this scope. It is a group of its own: options of the scope's group, its
    /// token among them, do not reach it, and the calling thread runs items of this map and nothing else.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// let words = ["fan", "out"];
    /// let letters = pool.scope(|s| s.map(&words, |word| word.len()).sum::<usize>());
    /// assert_eq!(letters, 6);
    /// ```
    pub fn map<I, F, R>(&'scope self, items: I, f: F) -> Map<'scope, I::IntoIter, Plain<F>, Whole>
    where
        I: IntoIterator,
        F: Fn(I::Item) -> R + Send + Sync,
        R: Send,
    {
        Map::new(Place::Beside(self.group().clone()), items.into_iter(), Plain(f))
    }

    /// As [`map`](Scope::map), as an iterator over the results that is run by asking it for the next.
    ///
    /// Items are fed and run while results are asked for, a window ahead. Dropping it early drops what has not started;
    /// what runs ends before the scope does. A limit or a token of the scope's group holds for the workers that help, not for the
    /// calling thread, which always goes on; so a stream ends early only where it is dropped.
    ///
    /// # Panics
    ///
    /// `next` goes on with a panic of `f` or of the source, in the place of that item.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// pool.scope(|s| {
    ///     for (n, square) in s.stream(0_u64.., |n| (n, n * n)) {
    ///         if square > 1000 {
    ///             assert_eq!(n, 32);
    ///             break;
    ///         }
    ///     }
    /// });
    /// ```
    pub fn stream<I, F, R>(&'scope self, items: I, f: F) -> Stream<'scope, I::IntoIter, Plain<F>>
    where
        I: IntoIterator,
        I::IntoIter: 'scope,
        I::Item: Send + 'scope,
        F: Fn(I::Item) -> R + Send + Sync + 'scope,
        R: Send + 'scope,
    {
        Stream::new(self.door(), items.into_iter(), Plain(f))
    }
}
