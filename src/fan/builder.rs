//! Options for a service.

use super::choices::Assembled;
use super::choices::Choices;
use super::core::{Clock, Core};
use super::input::Input;
use super::output::{Home, Output};
use super::settings::{Help, Key, Route, Spread};
use super::work::{Batched, Plain, Stateful, Work};
use crate::error::BuildError;
use crate::group::Options;
use crate::job::Job;
use crate::pool::{Alarm, MAX_WORKERS, NORMAL, Pool, Priority, Workers};
use crate::scope::{Door, Scope};
use crate::sync::{Arc, Weak};
use std::fmt;
use std::hash::Hash;
use std::time::Duration;

/// The two ends of a service.
pub(super) type Ends<'a, T, W> = (Input<'a, T>, Output<'a, <W as Work<T>>::Out, <W as Work<T>>::Error>);

/// The output of a stage, if it was started.
pub(super) type Started<R, E> = Result<Output<'static, R, E>, BuildError>;

/// Where services begin.
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
    /// worker has a queue of its own ([`Route`]), one for each worker.
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
    /// `start` refuses a `max` of 0 and one above the window, which would never be full.
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

/// A service that stands alone.
#[derive(Debug)]
pub struct Alone {
    pub(super) workers: Workers,
    pub(super) pool: Option<Arc<Pool>>,
}

impl Alone {
    pub(super) fn new() -> Alone {
        Alone { workers: Workers::default(), pool: None }
    }
}

/// A service in a scope.
pub struct Within<'scope> {
    door: Door<'scope>,
}

/// Options for a service; made by [`FanOut::builder`] and its relatives, or by [`Scope::fan_out`](crate::Scope::fan_out).
///
/// # Examples
///
/// ```
/// use fanpool::{BuildError, FanOut};
///
/// let refused = FanOut::builder(|n: u8| Ok::<u8, ()>(n)).window(0).start().unwrap_err();
/// assert!(matches!(refused, BuildError::OutOfRange { option: "window", value: 0, .. }));
/// ```
#[must_use = "a builder does nothing until `start`"]
pub struct FanOutBuilder<'a, T, W, P> {
    pub(super) work: W,
    pub(super) place: P,
    pub(super) choices: Choices<'a, T>,
}

impl<'a, T, W, P> FanOutBuilder<'a, T, W, P> {
    pub(super) fn new(work: W, place: P) -> Self {
        FanOutBuilder { work, place, choices: Choices::new() }
    }

    /// The service's name: of its threads, in debug output and in receipts.
    ///
    /// # Default
    ///
    /// `fanout`.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).name("resize").start()?;
    /// assert_eq!(input.control().name(), "resize");
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.choices.name = name.into();
        self
    }

    /// How many handlers may run at once. With a [`Route`] other than `Shared`, how many lanes there are.
    ///
    /// # Default
    ///
    /// As many as there are workers.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = std::sync::Arc::new(fanpool::Pool::new());
    /// let (input, output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).pool(pool).limit(2).start()?;
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn limit(mut self, handlers: usize) -> Self {
        self.choices.limit = Some(handlers);
        self
    }

    /// How many items there may be between sending and receiving: queued, running, or done and not received. The bound is
    /// exact.
    ///
    /// # Default
    ///
    /// 1,024.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).window(1).start()?;
    /// assert!(input.try_send(1).is_ok());
    /// assert!(input.try_send(2).is_err());
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn window(mut self, items: usize) -> Self {
        self.choices.window = items;
        self
    }

    /// Outcomes are received in the order in which their items were sent. Failed, panicked and cancelled items have their places.
    ///
    /// # Default
    ///
    /// As they end.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).ordered().start()?;
    /// (0..9).for_each(|n| drop(input.send(n)));
    /// drop(input);
    /// assert!(output.map(|outcome| outcome.seq).eq(0..9));
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn ordered(mut self) -> Self {
        self.choices.ordered = true;
        self
    }

    /// How items are spread over the workers.
    ///
    /// # Default
    ///
    /// [`Route::Shared`].
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{FanOut, Route};
    ///
    /// let (input, output) = FanOut::builder(|n: u8| Ok::<u8, ()>(n)).workers(2).route(Route::RoundRobin).start()?;
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn route(mut self, route: Route<'a, T>) -> Self {
        self.choices.route = route;
        self
    }

    /// *Strands*: items of a key are handled in the order of sending, one at a time, on any free worker. Other keys go on
    /// meanwhile. A key costs memory only while it has items.
    ///
    /// Keys are told apart by a 64-bit hash, seeded anew for each service. A panic of `key` fails the item, with its payload.
    /// [`Route`] has the table that compares this with static shards, with which it cannot be combined.
    ///
    /// # Default
    ///
    /// No keys.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Mutex;
    ///
    /// let log = std::sync::Arc::new(Mutex::new(Vec::new()));
    /// let seen = log.clone();
    /// let (input, output) = fanpool::FanOut::builder(move |(who, n): (&'static str, u32)| {
    ///     seen.lock().unwrap().push((who, n));
    ///     Ok::<_, ()>(())
    /// })
    /// .key(|item: &(&'static str, u32)| item.0)
    /// .start()?;
    /// for n in 0..50 {
    ///     input.send(("ann", n))?;
    ///     input.send(("bob", n))?;
    /// }
    /// drop(input);
    /// output.partition();
    /// let log = log.lock().unwrap();
    /// assert!(log.iter().filter(|(who, _)| *who == "ann").map(|(_, n)| *n).eq(0..50));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn key<K: Hash>(mut self, key: impl Fn(&T) -> K + Send + Sync + 'a) -> Self {
        self.choices.key = Some(Key::new(key).0);
        self
    }

    /// Which items are started first. Priorities age: of every sixteen items that a queue gives out while all kinds wait, one is `Low` and
    /// four are `Normal`. With keys, an item goes by its own priority once it is the first of its key; the order of a key is
    /// kept.
    ///
    /// A panic of `priority` fails the item, with its payload.
    ///
    /// # Default
    ///
    /// All are [`Normal`](Priority::Normal).
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{FanOut, Priority};
    ///
    /// let (input, output) = FanOut::builder(|n: u8| Ok::<u8, ()>(n))
    ///     .priority(|n: &u8| if *n > 100 { Priority::High } else { Priority::Low })
    ///     .start()?;
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn priority(mut self, priority: impl Fn(&T) -> Priority + Send + Sync + 'a) -> Self {
        self.choices.class = Some(Box::new(priority));
        self
    }

    /// What an item weighs for [`Route::LeastLoaded`]: its expected cost, in any unit. More than `u32::MAX` counts as that.
    ///
    /// A panic of `weight` fails the item, with its payload.
    ///
    /// # Default
    ///
    /// Each weighs 1.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{FanOut, Route};
    ///
    /// let (input, output) = FanOut::builder(|file: Vec<u8>| Ok::<_, ()>(file.len()))
    ///     .route(Route::LeastLoaded)
    ///     .weigh(|file: &Vec<u8>| file.len())
    ///     .start()?;
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn weigh(mut self, weight: impl Fn(&T) -> usize + Send + Sync + 'a) -> Self {
        self.choices.weigh = Some(Box::new(move |item| weight(item) as u64));
        self
    }

    /// Whether threads that would block run items.
    ///
    /// # Default
    ///
    /// [`Help::Never`]; in a scope, [`Help::Both`].
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{FanOut, Help};
    ///
    /// let (input, output) = FanOut::builder(|n: u8| Ok::<u8, ()>(n)).window(16).help(Help::Receiver).start()?;
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn help(mut self, help: Help) -> Self {
        self.choices.help = Some(help);
        self
    }
}

impl<T, W> FanOutBuilder<'static, T, W, Alone>
where
    T: Send + 'static,
    W: Work<T> + 'static,
{
    /// How many workers of its own the service has: a number, or [`Workers`]. They are joined when the output is dropped.
    ///
    /// # Default
    ///
    /// [`Workers::CpuBound`].
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{FanOut, Workers};
    ///
    /// let (input, output) = FanOut::builder(|n: u8| Ok::<u8, ()>(n)).workers(Workers::IoBound).start()?;
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn workers(mut self, workers: impl Into<Workers>) -> Self {
        self.place.workers = workers.into();
        self
    }

    /// Runs on a pool that is shared with others, instead of workers of its own. The output keeps the pool alive.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{FanOut, Pool};
    /// use std::sync::Arc;
    ///
    /// let pool = Arc::new(Pool::new());
    /// let (input, output) = FanOut::builder(|n: u8| Ok::<u8, ()>(n)).pool(pool.clone()).start()?;
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn pool(mut self, pool: Arc<Pool>) -> Self {
        self.place.pool = Some(pool);
        self
    }

    /// Starts the service.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if an option is out of range or contradicts another, or a thread cannot be started. Nothing is left running.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{BuildError, FanOut};
    ///
    /// let refused = FanOut::builder(|n: u8| Ok::<u8, ()>(n)).workers(0).start().unwrap_err();
    /// assert_eq!(refused.to_string(), "workers is 0; allowed is 1 to 65536");
    /// ```
    pub fn start(self) -> Result<Ends<'static, T, W>, BuildError> {
        let (core, output) = self.launch()?;
        Ok((Input::new(core, output.control()), output))
    }

    pub(super) fn launch(self) -> Result<Assembled<'static, T, W>, BuildError> {
        let FanOutBuilder { work, place, choices } = self;
        choices.check(&work)?;
        let spread = choices.spread();
        let home = match place.pool {
            Some(pool) => Home::Shared(pool),
            None => {
                let pool = Pool::builder().workers(place.workers).name(choices.name.clone());
                Home::Own(if spread == Spread::Shared { pool } else { pool.sharded() }.build()?)
            }
        };
        let Some(pool) = home.pool() else { unreachable!("a service that stands alone has a pool") };
        let options = Options { detached: true, name: Some(choices.name.as_str().into()), ..Options::new(NORMAL) };
        let group = pool.new_group(options);
        let host = group.host().clone();
        let shards = if spread == Spread::Shared { &[] } else { pool.shards() };
        let lanes = match (spread, shards.len()) {
            (Spread::Shared, _) => 1,
            (_, 0) => choices.limit.unwrap_or(pool.workers()),
            (_, shards) => choices.limit.unwrap_or(shards).min(shards),
        };
        BuildError::check("limit", lanes, 1..=MAX_WORKERS)?;
        let groups = if shards.is_empty() { vec![group] } else { shards.to_vec() };
        let resizer = matches!(home, Home::Own(_)).then(|| pool.resizer());
        let timer = pool.timer().clone();
        let tap = Box::new(move |lane: usize, job: Job<'static>| groups[lane % groups.len()].push(job));
        let clock = move |me: &Weak<Core<'static, T, W>>| {
            let alarm: Weak<dyn Alarm> = me.clone();
            Some(Clock { timer, alarm })
        };
        Ok(choices.assemble(work, home, lanes, host, tap, clock, resizer))
    }
}

impl<'scope, T, W> FanOutBuilder<'scope, T, W, Within<'scope>>
where
    T: Send + 'scope,
    W: Work<T> + 'scope,
{
    /// Starts the service.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if an option is out of range or contradicts another.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// pool.scope(|s| assert!(s.fan_out(|n: u8| Ok::<u8, ()>(n)).limit(0).start().is_err()));
    /// ```
    pub fn start(self) -> Result<Ends<'scope, T, W>, BuildError> {
        let FanOutBuilder { work, place: Within { door }, choices } = self;
        choices.check(&work)?;
        let host = door.group().host().clone();
        let lanes = if choices.spread() == Spread::Shared { 1 } else { choices.limit.unwrap_or(host.size()) };
        BuildError::check("limit", lanes, 1..=MAX_WORKERS)?;
        let tap = Box::new(move |_: usize, job: Job<'scope>| door.push(job));
        let (core, output) = choices.assemble(work, Home::Scope, lanes, host, tap, |_| None, None);
        Ok((Input::new(core, output.control()), output))
    }
}

impl fmt::Debug for Within<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Within(..)")
    }
}

impl<T, W, P> fmt::Debug for FanOutBuilder<'_, T, W, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FanOutBuilder")
            .field("name", &self.choices.name)
            .field("window", &self.choices.window)
            .field("ordered", &self.choices.ordered)
            .field("route", &self.choices.route)
            .finish_non_exhaustive()
    }
}
