//! What can be done with the results.

use super::core::Rules;
use super::engine::Engine;
use super::options::{Ending, Map, Place, StopReason};
use super::results::{Each, Meter, Results};
use super::work::{Reduced, Work};
use crate::cancel::CancelToken;
use crate::error::{Errors, OnError};
use crate::group::{Options, TaskGroup};
use crate::panics;
use crate::pool::Priority;
use crate::scope::{self, Scope};
use std::iter;

impl<'env, I, W, E> Map<'env, I, W, E>
where
    I: Iterator + 'env,
    I::Item: Send + 'env,
    W: Work<I::Item> + 'env,
    W::Out: 'env,
    E: Ending,
{
    /// Runs the map in a scope and hands the results to `body`.
    fn run<T>(self, body: impl for<'run, 'scope> FnOnce(Results<'run, 'scope, 'env, I, W>) -> T) -> E::Of<T> {
        let Map { source, work, place, group, mut choices, ending: _ } = self;
        let cancel = group.as_ref().and_then(|options| options.cancel.clone());
        let total = match source.size_hint() {
            (least, Some(most)) if least == most => Some(most),
            _ => None,
        };
        let meter = choices.progress.take().map(|report| Meter::new(report, total));
        let result = place.scope(group, move |s: &Scope<'_, 'env>| {
            let mut engine = Engine::new(source, work, s.door(), choices, Rules::Own);
            let value = body(Results { engine: &mut engine, meter });
            (value, engine.is_stopped())
        });
        match result {
            Ok((value, stopped)) => E::end(value, stopped.then(|| reason(cancel.as_ref()))),
            Err(payload) => panics::resume(payload),
        }
    }

    /// Collects the results into anything that can start empty and be extended: a vector, a string, a map, a pair of collections.
    ///
    /// It is extended batch by batch, first by the first result alone, with a size hint that counts the others too. For what is
    /// only made of an iterator as a whole, take [`Scope::stream`]; for results that hold errors [`try_collect`](Map::try_collect), where an iterator has
    /// `collect::<Result<_, _>>()`.
    ///
    /// # Panics
    ///
    /// With the panic of the first item that panicked, or of the source.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::collections::HashMap;
    ///
    /// let pool = fanpool::Pool::new();
    /// let lengths: HashMap<&str, usize> = pool.map(["a", "bc"], |word| (word, word.len())).collect();
    /// assert_eq!(lengths["bc"], 2);
    /// ```
    pub fn collect<C: Default + Extend<W::Out>>(self) -> E::Of<C> {
        self.run(|results| {
            let mut collection = C::default();
            results.fill(&mut collection);
            collection
        })
    }

    /// Hands every result to `sink`, on the calling thread.
    ///
    /// # Panics
    ///
    /// As [`collect`](Map::collect), and with the panic of `sink`.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// let mut text = String::new();
    /// pool.map(["a", "b"], str::to_uppercase).for_each(|word| text += &word);
    /// assert_eq!(text, "AB");
    /// ```
    pub fn for_each(self, sink: impl FnMut(W::Out)) -> E::Of<()> {
        self.run(|results| results.hand_to(&mut Each(sink)))
    }

    /// Hands the results to `sink` until it returns an error. What has not started then is dropped.
    ///
    /// # Errors
    ///
    /// That of `sink`.
    ///
    /// # Panics
    ///
    /// As [`for_each`](Map::for_each).
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// let first_large = pool.map(0.., |n: u32| n * n).try_for_each(|n| if n > 50 { Err(n) } else { Ok(()) });
    /// assert_eq!(first_large, Err(64));
    /// ```
    pub fn try_for_each<X>(self, sink: impl FnMut(W::Out) -> Result<(), X>) -> E::Of<Result<(), X>> {
        self.run(|mut results| results.try_for_each(sink))
    }

    /// Folds the results into one value, on the calling thread.
    ///
    /// # Panics
    ///
    /// As [`for_each`](Map::for_each).
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// let digits = pool.map(1..=3, |n| n).fold(0, |number, digit| 10 * number + digit);
    /// assert_eq!(digits, 123);
    /// ```
    pub fn fold<A>(self, start: A, step: impl FnMut(A, W::Out) -> A) -> E::Of<A> {
        self.run(|results| results.fold(start, step))
    }

    /// Counts the results.
    ///
    /// # Panics
    ///
    /// As [`collect`](Map::collect).
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(fanpool::Pool::new().map(0..10, |n| n).count(), 10);
    /// ```
    pub fn count(self) -> E::Of<usize> {
        self.run(|results| {
            let mut count = 0;
            results.hand_to(&mut Each(|_| count += 1));
            count
        })
    }

    /// Reduces the results to one. Neighbours are combined in the workers, in order; so `operator` must be associative, and
    /// `identity` neutral, or the result depends on how the items happened to be divided.
    ///
    /// # Panics
    ///
    /// As [`collect`](Map::collect), and with the panic of `operator`.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// let text = pool.map(["a", "b", "c"], str::to_owned).reduce(String::new, |left, right| left + &right);
    /// assert_eq!(text, "abc");
    /// ```
    pub fn reduce<G, O>(self, identity: G, operator: O) -> E::Of<W::Out>
    where
        G: FnOnce() -> W::Out,
        O: Fn(W::Out, W::Out) -> W::Out + Send + Sync + 'env,
    {
        self.reduce_as(identity, |out| out, operator)
    }

    /// Adds the results up, in the workers; for numbers that round, in no particular grouping.
    ///
    /// # Panics
    ///
    /// As [`collect`](Map::collect), and where `Sum` does.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// assert_eq!(pool.map(1..=100_u64, |n| n).sum::<u64>(), 5050);
    /// ```
    pub fn sum<S>(self) -> E::Of<S>
    where
        S: iter::Sum<W::Out> + iter::Sum<S> + Send + 'env,
    {
        let add = |left, right| [left, right].into_iter().sum();
        self.reduce_as(|| iter::empty::<S>().sum(), |out| iter::once(out).sum(), add)
    }

    fn reduce_as<A, G, N, O>(mut self, identity: G, into: N, operator: O) -> E::Of<A>
    where
        A: Send + 'env,
        G: FnOnce() -> A,
        N: Fn(W::Out) -> A + Send + Sync + 'env,
        O: Fn(A, A) -> A + Send + Sync + 'env,
    {
        self.choices.ordered = true;
        let map: Map<'env, I, Reduced<W, N, O>, E> = self.with(|work| Reduced { work, into, operator });
        map.run(|mut results| {
            let mut reduced = identity();
            while let Some(next) = results.next() {
                reduced = results.engine.merge(reduced, next);
            }
            reduced
        })
    }
}

impl<'env, I, W, E, T, X> Map<'env, I, W, E>
where
    I: Iterator + 'env,
    I::Item: Send + 'env,
    W: Work<I::Item, Out = Result<T, X>> + 'env,
    T: 'env,
    X: 'env,
    E: Ending,
{
    /// Collects the results up to the first error. In order, that is the error of the first item that failed, as in a
    /// serial loop; what has not started then is dropped.
    ///
    /// # Errors
    ///
    /// That of the item.
    ///
    /// # Panics
    ///
    /// As [`collect`](Map::collect).
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// let numbers: Result<Vec<u8>, _> = pool.map(["1", "2"], str::parse::<u8>).try_collect();
    /// assert_eq!(numbers.unwrap(), [1, 2]);
    /// assert!(pool.map(["1", "x"], str::parse::<u8>).try_collect::<Vec<_>>().is_err());
    /// ```
    pub fn try_collect<C: FromIterator<T>>(self) -> E::Of<Result<C, X>> {
        self.run(|results| results.collect())
    }

    /// Collects all results and all errors, each with the index of its item.
    ///
    /// # Panics
    ///
    /// As [`collect`](Map::collect).
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// let (numbers, errors) = pool.map(["1", "x", "3"], |text| text.parse::<u8>().map_err(|_| text)).partition();
    /// assert_eq!(numbers, [(0, 1), (2, 3)]);
    /// assert_eq!(errors, [(1, "x")]);
    /// ```
    #[expect(clippy::type_complexity, reason = "two lists")]
    pub fn partition(self) -> E::Of<(Vec<(usize, T)>, Vec<(usize, X)>)> {
        self.run(|mut results| {
            let (mut values, mut errors) = (Vec::new(), Vec::new());
            while let Some((index, result)) = results.next_indexed() {
                match result {
                    Ok(value) => values.push((index, value)),
                    Err(error) => errors.push((index, error)),
                }
            }
            (values, errors)
        })
    }

    /// Collects the results if the run succeeds by the rule of `on_error`: without those that failed, if some may. What has not started
    /// when the rule ends the run is dropped. In order the outcome is that of a serial loop under the same rule.
    ///
    /// Errors that were tolerated are dropped; [`partition_with`](Map::partition_with) returns them.
    ///
    /// # Errors
    ///
    /// [`Errors`] by the index of their items, if the run has failed. Items that were dropped are not in its
    /// [`cancelled`](Errors::cancelled): how many there would have been is not known.
    ///
    /// # Panics
    ///
    /// As [`collect`](Map::collect): a panic is never tolerated.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{OnError, Pool};
    ///
    /// let pool = Pool::new();
    /// let parse = |rule| pool.map(["1", "x", "3"], str::parse::<u8>).try_collect_with(rule);
    /// assert_eq!(parse(OnError::Limit(1)).unwrap(), [1, 3]);
    /// assert_eq!(parse(OnError::FirstSuccess).unwrap(), [1]);
    /// assert_eq!(parse(OnError::CollectAll).unwrap_err().first().unwrap().0, 1);
    /// ```
    pub fn try_collect_with(self, on_error: OnError) -> E::Of<Result<Vec<T>, Errors<X>>> {
        self.run(|results| {
            let (values, errors, tally) = results.judge(on_error);
            if on_error.is_lost(tally, 0) {
                Err(errors)
            } else {
                Ok(values.into_iter().map(|(_, value)| value).collect())
            }
        })
    }

    /// As [`try_collect_with`](Map::try_collect_with), for both: the results by the index of their items, and every error whether tolerated
    /// or not.
    ///
    /// # Panics
    ///
    /// As [`collect`](Map::collect).
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{OnError, Pool};
    ///
    /// let numbers = Pool::new().map(["1", "x", "3"], str::parse::<u8>).partition_with(OnError::Limit(1));
    /// assert_eq!((numbers.0, numbers.1.count()), (vec![(0, 1), (2, 3)], 1));
    /// ```
    #[expect(clippy::type_complexity, reason = "two lists")]
    pub fn partition_with(self, on_error: OnError) -> E::Of<(Vec<(usize, T)>, Errors<X>)> {
        self.run(|results| {
            let (values, errors, _) = results.judge(on_error);
            (values, errors)
        })
    }
}

fn reason(cancel: Option<&CancelToken>) -> StopReason {
    if cancel.is_some_and(CancelToken::is_expired) { StopReason::Deadline } else { StopReason::Cancelled }
}

impl<'env> Place<'env> {
    /// Runs `body` in a scope; with `options`, over a group of its own.
    fn scope<F, R>(self, options: Option<Options>, body: F) -> Result<R, panics::Payload>
    where
        F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> R,
    {
        match (self, options) {
            (Place::Pool(pool), None) => pool.scope_result(body),
            (Place::Pool(pool), Some(options)) => scope::run_apart(&pool.new_group(options), body),
            (Place::Beside(other), options) => {
                let options = options.unwrap_or_else(|| Options::new(Priority::Normal.lane()));
                let group = TaskGroup::new(other.host().clone(), options);
                group.host().register(&group);
                scope::run_apart(&group, body)
            }
        }
    }
}
