//! Pipelines: a service whose items are the results of another.
//!
//! A collector thread takes the outcomes of the first stage and sends them to the second, where `send` waits while that has no
//! room; so a slow stage holds up those before it, each with at most its window of items. A failure of an earlier
//! stage passes through the later ones without a handler, and takes a place in the window and the order like any item.
//! The last output owns what is before it: dropped, it stops its own service first, so that the collector is refused, ends and
//! drops the output of the stage before.

use super::Wait;
use super::builder::FanOutBuilder;
use super::collector::Collector;
use super::core::panicked;
use super::input::Input;
use super::output::Output;
use super::service::Pass;
use super::start::{Alone, Started};
use super::work::{Batched, Plain, Stateful, Work};
#[allow(unused_imports, reason = "documentation")]
use crate::error::BuildError;
use crate::panics;
use crate::pool::{Pool, Workers};
use crate::sync::Arc;
use std::fmt;
use std::time::Duration;

/// A service whose items are the results of another.
pub struct After<R, E> {
    alone: Alone,
    before: Output<'static, R, E>,
}

impl<R, E> fmt::Debug for After<R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("After").field("alone", &self.alone).field("before", &self.before).finish()
    }
}

impl<R, E> Output<'static, R, E>
where
    R: Send + 'static,
    E: Send + 'static,
{
    /// Adds a stage: a service of its own, with its own workers, limit, window and order, which gets the results of this one.
    ///
    /// A failure of this stage passes through the next, its error converted. Numbers of outcomes are those of the last
    /// stage; if all stages are ordered, they are also those of the first.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::FanOut;
    ///
    /// let (input, parsed) = FanOut::builder(|text: &str| text.parse::<u32>().map_err(|_| "no number")).ordered().start()?;
    /// let halves = parsed
    ///     .then(|n| if n % 2 == 0 { Ok::<_, &str>(n / 2) } else { Err("odd") })
    ///     .name("halve")
    ///     .ordered()
    ///     .start()?;
    /// for text in ["4", "x", "5"] {
    ///     input.send(text)?;
    /// }
    /// drop(input);
    /// let (done, failed) = halves.partition();
    /// assert_eq!(done, [2]);
    /// let failed: Vec<_> = failed.into_iter().map(|(seq, error)| (seq, error.into_failed().unwrap())).collect();
    /// assert_eq!(failed, [(1, "no number"), (2, "odd")]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn then<R2, E2, F>(self, handler: F) -> FanOutBuilder<'static, R, Plain<F>, After<R, E>>
    where
        F: Fn(R) -> Result<R2, E2> + Send + Sync + 'static,
        R2: Send,
        E2: Send + From<E>,
    {
        FanOutBuilder::new(Plain(handler), After { alone: Alone::new(), before: self })
    }

    /// As [`then`](Output::then), with a state for each thread that works; see [`FanOut::builder_init`](crate::FanOut::builder_init).
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, first) = fanpool::FanOut::builder(|n: u32| Ok::<_, ()>(n)).start()?;
    /// let second = first.then_init(String::new, |text, n| {
    ///     text.push('x');
    ///     Ok::<_, ()>(n + 1)
    /// });
    /// let output = second.start()?;
    /// input.send(1)?;
    /// drop(input);
    /// assert_eq!(output.partition().0, [2]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn then_init<S, R2, E2, G, F>(
        self,
        init: G,
        handler: F,
    ) -> FanOutBuilder<'static, R, Stateful<G, F>, After<R, E>>
    where
        G: Fn() -> S + Send + Sync + 'static,
        F: Fn(&mut S, R) -> Result<R2, E2> + Send + Sync + 'static,
        S: Send,
        R2: Send,
        E2: Send + From<E>,
    {
        FanOutBuilder::new(Stateful { init, function: handler }, After { alone: Alone::new(), before: self })
    }

    /// As [`then`](Output::then), with a handler of batches; see [`FanOut::builder_batch`](crate::FanOut::builder_batch).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let (input, first) = fanpool::FanOut::builder(|n: u32| Ok::<_, ()>(n)).start()?;
    /// let insert = |rows: Vec<u32>| rows.into_iter().map(Ok::<_, ()>).collect();
    /// let output = first.then_batch(8, Duration::from_millis(1), insert).start()?;
    /// input.send(1)?;
    /// drop(input);
    /// assert_eq!(output.partition().0, [1]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn then_batch<R2, E2, F>(
        self,
        max: usize,
        max_wait: Duration,
        handler: F,
    ) -> FanOutBuilder<'static, R, Batched<F>, After<R, E>>
    where
        F: Fn(Vec<R>) -> Vec<Result<R2, E2>> + Send + Sync + 'static,
        R2: Send,
        E2: Send + From<E>,
    {
        let work = Batched { max, max_wait, function: handler };
        FanOutBuilder::new(work, After { alone: Alone::new(), before: self })
    }
}

impl<R, E, W> FanOutBuilder<'static, R, W, After<R, E>>
where
    R: Send + 'static,
    E: Send + 'static,
    W: Work<R> + 'static,
    W::Error: From<E>,
{
    /// How many workers of its own the stage has.
    ///
    /// # Default
    ///
    /// [`Workers::CpuBound`].
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, first) = fanpool::FanOut::builder(|n: u32| Ok::<_, ()>(n)).start()?;
    /// let output = first.then(|n| Ok::<_, ()>(n)).workers(1).start()?;
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn workers(mut self, workers: impl Into<Workers>) -> Self {
        self.place.alone.workers = workers.into();
        self
    }

    /// Runs the stage on a pool that is shared with others. Stages may share one. Then a task of that pool that takes from the last
    /// output runs items of the last stage while it waits, not of those before: the pool needs another worker for these.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = std::sync::Arc::new(fanpool::Pool::new());
    /// let (input, first) = fanpool::FanOut::builder(|n: u32| Ok::<_, ()>(n)).pool(pool.clone()).start()?;
    /// let output = first.then(|n| Ok::<_, ()>(n)).pool(pool).start()?;
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn pool(mut self, pool: Arc<Pool>) -> Self {
        self.place.alone.pool = Some(pool);
        self
    }

    /// Starts the stage, and the thread that brings it the results of the one before, which has that one's name and `-collector`.
    ///
    /// # Errors
    ///
    /// [`BuildError`] as for any service. The stages before are stopped then.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, first) = fanpool::FanOut::builder(|n: u32| Ok::<_, ()>(n)).start()?;
    /// assert!(first.then(|n| Ok::<_, ()>(n)).window(0).start().is_err());
    /// assert!(input.send(1).is_err());
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn start(self) -> Started<W::Out, W::Error> {
        let FanOutBuilder { work, place: After { alone, before }, choices, policies } = self;
        let (core, mut output) = FanOutBuilder { work, place: alone, choices, policies }.launch()?;
        let failures: Arc<dyn Pass<W::Error>> = core.clone();
        let input = Input::new(core, output.control());
        let collector = Collector::start(before, move |before, _| {
            while let Some(outcome) = before.next() {
                let refused = match outcome.result {
                    Ok(result) => input.send(result).err().map(|refused| Ok(refused.into_inner())),
                    Err(error) => {
                        // The conversion is the user's.
                        let error = panics::catch(|| error.map(W::Error::from)).unwrap_or_else(panicked);
                        failures.pass(error, Wait::Until(None)).err().map(|(error, _)| Err(error))
                    }
                };
                if let Some(refused) = refused {
                    before.lost_one();
                    return panics::drop_each([refused]);
                }
            }
        })?;
        output.set_upstream(collector);
        Ok(output)
    }
}
