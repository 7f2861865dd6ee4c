//! Where services begin.

use super::builder::FanOutBuilder;
use super::start::{Alone, Within};
use super::work::{Batched, Plain, Stateful};
use crate::scope::Scope;
use std::time::Duration;

/// Starts services: handlers with a queue before them and an output behind.
///
/// A service is a handler with a queue before it and an output behind: items are sent from any number of threads, for as long as the
/// program likes, handled by a pool's workers, and their outcomes received by one collector. For items that are all there, or come from an
/// iterator, [`Pool::map`](crate::Pool::map) is simpler and faster.
///
/// # Examples
///
/// ```
/// use fanpool::FanOut;
///
/// let (input, output) = FanOut::builder(|path: &str| std::fs::metadata(path).map(|file| file.len()))
///     .workers(8)
///     .window(256)
///     .ordered()
///     .start()?;
/// std::thread::scope(|s| {
///     s.spawn(move || {
///         for path in ["Cargo.toml", "no such file", "src/lib.rs"] {
///             input.send(path).unwrap();
///         }
///     });
///     for outcome in output {
///         match outcome.result {
///             Ok(bytes) => println!("{}: {bytes} bytes", outcome.seq),
///             Err(error) => println!("{}: {error}", outcome.seq),
///         }
///     }
/// });
/// # Ok::<(), fanpool::BuildError>(())
/// ```
///
/// # Failures
///
/// A handler returns a `Result`, and an outcome holds it, or the panic, or why the handler was not called: a [`TaskError`](crate::TaskError). What
/// a service does about failures is chosen with the builder. Every attempt at an item, the first and each that follows, passes these layers in
/// this order, and its answer comes back the other way:
///
/// ```text
///  send ──> deadline ──> rate ──> breaker ──> handler (and a second one beside it: hedge)
///              ^                                 │ Err, or a panic
///              └── waits in the timer ── retry <─┘──> no more attempts: dead letter, outcome ──> on_error
/// ```
///
/// | Layer | counts | from | and says |
/// |---|---|---|---|
/// | [`deadline`](FanOutBuilder::deadline) | the item | sending | too late: `Expired`, without an attempt |
/// | [`rate`](FanOutBuilder::rate) | attempts | | not yet: the item waits, and no worker with it |
/// | [`breaker`](FanOutBuilder::breaker) | attempts | | open: `Rejected`, or with [`breaker_waits`](FanOutBuilder::breaker_waits) the item waits |
/// | handler | attempts | | `Ok`: the outcome |
/// | [`attempt_timeout`](FanOutBuilder::attempt_timeout) | the attempt | its start | [`time_left`](crate::time_left) tells the handler, which is not interrupted |
/// | [`hedge_after`](FanOutBuilder::hedge_after) | the attempt | its start | once more, at the same time; the first `Ok` is the answer |
/// | [`retry`](FanOutBuilder::retry) | attempts of the item | the first attempt | again, after a delay; or no more: the last error is the outcome |
/// | [`dead_letter`](FanOutBuilder::dead_letter) | items | | gets what ends without a result, with its history |
/// | [`on_error`](FanOutBuilder::on_error) | items | the service's start | so many failures end the service |
///
/// A service without any of these has none of their code in its way. With a retry and a breaker that never have anything to do an item costs
/// some tens of nanoseconds more at most (`cargo bench -p benches --bench service -- policies`).
#[derive(Debug)]
pub struct FanOut(());

impl FanOut {
    /// A service that calls `handler` for each item.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, output) = fanpool::FanOut::builder(|text: String| text.parse::<i32>()).start()?;
    /// input.send("17".into())?;
    /// drop(input);
    /// assert_eq!(output.partition().0, [17]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder<T, R, E, F>(handler: F) -> FanOutBuilder<'static, T, Plain<F>, Alone>
    where
        F: Fn(T) -> Result<R, E> + Send + Sync + 'static,
        R: Send,
        E: Send,
    {
        FanOutBuilder::new(Plain(handler), Alone::new())
    }

    /// A service whose handler also gets a state that `init` made: one for each thread that works at the same time, reused; where each
    /// worker has a queue of its own ([`Route`](crate::Route)), one for each worker.
    ///
    /// A state that a panic of the handler has passed is dropped. A panic of `init` fails the item for which the state was to be made.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, output) = fanpool::FanOut::builder_init(
    ///     || Vec::with_capacity(4096),
    ///     |buffer: &mut Vec<u8>, text: &str| {
    ///         buffer.clear();
    ///         buffer.extend(text.bytes().rev());
    ///         String::from_utf8(buffer.clone())
    ///     },
    /// )
    /// .start()?;
    /// input.send("abc")?;
    /// drop(input);
    /// assert_eq!(output.partition().0, ["cba"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder_init<T, S, R, E, G, F>(init: G, handler: F) -> FanOutBuilder<'static, T, Stateful<G, F>, Alone>
    where
        G: Fn() -> S + Send + Sync + 'static,
        F: Fn(&mut S, T) -> Result<R, E> + Send + Sync + 'static,
        S: Send,
        R: Send,
        E: Send,
    {
        let work = Stateful { init, function: handler };
        FanOutBuilder::new(work, Alone::new())
    }

    /// A service whose handler gets several items at once and returns one answer for each, in their order: for bulk inserts, or models
    /// that infer many at the price of one.
    ///
    /// A batch is handled when it has `max` items, or when its first has waited for `max_wait`, or when the service is closed. No worker
    /// is held while a batch is waited for. With [`key`](FanOutBuilder::key), items behind another of their key do not count: a batch
    /// has one item of each key. If there are more or fewer answers than items, all items of the batch fail with
    /// [`TaskError::WrongBatch`](crate::TaskError::WrongBatch); if the handler panics, all are panicked (the first has the payload,
    /// the others its text).
    ///
    /// # Errors
    ///
    /// `start` refuses a `max` of 0 and one above the window, which would never be full; and every option about failures, and `clock`, but not
    /// [`on_error`](FanOutBuilder::on_error).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let insert = |rows: Vec<u32>| rows.iter().map(|row| Ok::<_, ()>(row + 1)).collect();
    /// let (input, output) = fanpool::FanOut::builder_batch(100, Duration::from_millis(5), insert).start()?;
    /// for row in 0..250 {
    ///     input.send(row)?;
    /// }
    /// drop(input);
    /// assert_eq!(output.partition().0.len(), 250);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder_batch<T, R, E, F>(
        max: usize,
        max_wait: Duration,
        handler: F,
    ) -> FanOutBuilder<'static, T, Batched<F>, Alone>
    where
        F: Fn(Vec<T>) -> Vec<Result<R, E>> + Send + Sync + 'static,
        R: Send,
        E: Send,
    {
        let work = Batched { max, max_wait, function: handler };
        FanOutBuilder::new(work, Alone::new())
    }
}

impl<'scope> Scope<'scope, '_> {
    /// A service in this scope: its handler and items may borrow, and it runs on the scope's pool.
    ///
    /// The scope's owner runs items itself when it would block, as in any scope, unless [`help`](FanOutBuilder::help) says
    /// `Never`; so the service works on a pool of any size, paused or with all workers busy. It runs items of the service, not other
    /// tasks of the scope: where every worker is busy, what is to be received must not depend on a task that has not started.
    /// Batches are offered to services that stand alone only.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// let prefix = String::from("item ");
    /// let mut seen = Vec::new();
    /// pool.scope(|s| {
    ///     let (input, output) = s.fan_out(|n: u32| Ok::<_, ()>(format!("{prefix}{n}"))).ordered().start().unwrap();
    ///     input.send(1).unwrap();
    ///     input.send(2).unwrap();
    ///     drop(input);
    ///     seen = output.partition().0;
    /// });
    /// assert_eq!(seen, ["item 1", "item 2"]);
    /// ```
    pub fn fan_out<T, R, E, F>(&'scope self, handler: F) -> FanOutBuilder<'scope, T, Plain<F>, Within<'scope>>
    where
        F: Fn(T) -> Result<R, E> + Send + Sync + 'scope,
        R: Send,
        E: Send,
    {
        FanOutBuilder::new(Plain(handler), Within { door: self.door() })
    }

    /// As [`fan_out`](Scope::fan_out), with a state for each thread that works; see [`FanOut::builder_init`].
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// let total = pool.scope(|s| {
    ///     let (input, output) = s.fan_out_init(|| 0, |n: &mut u32, m: u32| { *n += 1; Ok::<_, ()>(m) }).start().unwrap();
    ///     input.send(4).unwrap();
    ///     drop(input);
    ///     output.results().flatten().sum::<u32>()
    /// });
    /// assert_eq!(total, 4);
    /// ```
    pub fn fan_out_init<T, S, R, E, G, F>(
        &'scope self,
        init: G,
        handler: F,
    ) -> FanOutBuilder<'scope, T, Stateful<G, F>, Within<'scope>>
    where
        G: Fn() -> S + Send + Sync + 'scope,
        F: Fn(&mut S, T) -> Result<R, E> + Send + Sync + 'scope,
        S: Send,
        R: Send,
        E: Send,
    {
        FanOutBuilder::new(Stateful { init, function: handler }, Within { door: self.door() })
    }
}
