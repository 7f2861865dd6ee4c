//! A map as an iterator, inside a scope.

use super::core::Rules;
use super::engine::{Choices, Engine};
use super::work::Work;
use crate::scope::Door;
use std::fmt;
use std::iter::FusedIterator;

/// The results of a map, one by one; made by [`Scope::stream`](crate::Scope::stream).
///
/// The options may be set before the first result is asked for; later they change nothing.
///
/// # Examples
///
/// ```
/// let pool = fanpool::Pool::new();
/// pool.scope(|s| {
///     let mut halves = s.stream([2, 4, 6], |n| n / 2).window(2);
///     assert_eq!(halves.size_hint(), (3, Some(3)));
///     assert_eq!(halves.next(), Some(1));
///     assert_eq!(halves.collect::<Vec<_>>(), [2, 3]);
/// });
/// ```
#[must_use = "a stream does nothing until it is asked for results"]
pub struct Stream<'scope, I: Iterator, W: Work<I::Item>> {
    start: Option<(I, W, Door<'scope>, Choices<'scope, I::Item>)>,
    engine: Option<Engine<'scope, I, W>>,
}

impl<'scope, I, W> Stream<'scope, I, W>
where
    I: Iterator + 'scope,
    I::Item: Send + 'scope,
    W: Work<I::Item> + 'scope,
    W::Out: 'scope,
{
    pub(super) fn new(door: Door<'scope>, source: I, work: W) -> Self {
        Stream { start: Some((source, work, door, Choices::new())), engine: None }
    }

    fn choose(mut self, choice: impl FnOnce(&mut Choices<'scope, I::Item>)) -> Self {
        if let Some((.., choices)) = &mut self.start {
            choice(choices);
        }
        self
    }

    /// As [`Map::unordered`](crate::Map::unordered).
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// let sum: u32 = pool.scope(|s| s.stream(1..=4, |n| n).unordered().sum());
    /// assert_eq!(sum, 10);
    /// ```
    pub fn unordered(self) -> Self {
        self.choose(|choices| choices.ordered = false)
    }

    /// As [`Map::window`](crate::Map::window).
    ///
    /// # Panics
    ///
    /// If `items` is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// let n = pool.scope(|s| s.stream(1..=40, |n| n).window(4).count());
    /// assert_eq!(n, 40);
    /// ```
    #[track_caller]
    pub fn window(mut self, items: usize) -> Self {
        if let Some((.., choices)) = &mut self.start {
            choices.set_window(items);
        }
        self
    }

    /// As [`Map::batch`](crate::Map::batch).
    ///
    /// # Panics
    ///
    /// If `items` is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// let n = pool.scope(|s| s.stream(1..=40, |n| n).batch(8).count());
    /// assert_eq!(n, 40);
    /// ```
    #[track_caller]
    pub fn batch(mut self, items: usize) -> Self {
        if let Some((.., choices)) = &mut self.start {
            choices.set_batch(items);
        }
        self
    }

    /// As [`Map::weigh`](crate::Map::weigh).
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// let texts = ["a", "long one", "b"];
    /// let n = pool.scope(|s| s.stream(texts, str::len).weigh(|text| text.len(), 4).sum::<usize>());
    /// assert_eq!(n, 10);
    /// ```
    pub fn weigh(self, weight: impl FnMut(&I::Item) -> usize + 'scope, max: usize) -> Self {
        self.choose(|choices| choices.weigh = Some((Box::new(weight), max)))
    }
}

/// Drops the engine unless it is forgotten: after a panic there is nothing more to come.
struct EndedByPanic<'a, E>(&'a mut Option<E>);

impl<E> Drop for EndedByPanic<'_, E> {
    fn drop(&mut self) {
        *self.0 = None;
    }
}

impl<'scope, I, W> Iterator for Stream<'scope, I, W>
where
    I: Iterator + 'scope,
    I::Item: Send + 'scope,
    W: Work<I::Item> + 'scope,
    W::Out: 'scope,
{
    type Item = W::Out;

    fn next(&mut self) -> Option<W::Out> {
        if let Some((source, work, door, choices)) = self.start.take() {
            self.engine = Some(Engine::new(source, work, door, choices, Rules::None));
        }
        let engine = EndedByPanic(&mut self.engine);
        let next = engine.0.as_mut()?.next();
        std::mem::forget(engine);
        next.map(|(_, out)| out)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match (&self.start, &self.engine) {
            (Some((source, ..)), _) => source.size_hint(),
            (None, Some(engine)) => engine.size_hint(),
            (None, None) => (0, Some(0)),
        }
    }
}

impl<'scope, I, W> FusedIterator for Stream<'scope, I, W>
where
    I: Iterator + 'scope,
    I::Item: Send + 'scope,
    W: Work<I::Item> + 'scope,
    W::Out: 'scope,
{
}

impl<I: Iterator, W: Work<I::Item>> fmt::Debug for Stream<'_, I, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("started", &self.start.is_none()).finish_non_exhaustive()
    }
}
