//! Options for a service.

use super::choices::Choices;
use super::policies::Policies;
use super::settings::{Help, Key, Route};
use super::work::Work;
use crate::error::OnError;
use crate::pool::Priority;
use std::fmt;
use std::hash::Hash;
use std::time::Duration;

/// Options for a service; made by [`FanOut::builder`](crate::FanOut::builder) and its relatives, or by [`Scope::fan_out`](crate::Scope::fan_out).
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
pub struct FanOutBuilder<'a, T, W: Work<T>, P> {
    pub(super) work: W,
    pub(super) place: P,
    pub(super) choices: Choices<'a, T>,
    pub(super) policies: Policies<'a, T, W::Error>,
}

impl<'a, T, W: Work<T>, P> FanOutBuilder<'a, T, W, P> {
    pub(super) fn new(work: W, place: P) -> Self {
        FanOutBuilder { work, place, choices: Choices::new(), policies: Policies::new() }
    }

    /// The service's name, in its threads' names, health, metrics and spans. `start` refuses a NUL byte.
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
    /// exact. `start` refuses 0.
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

    /// From when on an item whose handler runs counts as stuck, and a full window of which nothing is taken as not collected, for
    /// [`Control::health`](crate::Control::health). Nothing else rests on it.
    ///
    /// # Default
    ///
    /// 30 seconds.
    ///
    /// # Errors
    ///
    /// `start` refuses zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let builder = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).stuck_after(Duration::from_secs(5));
    /// assert!(builder.start().is_ok());
    /// ```
    pub fn stuck_after(mut self, time: Duration) -> Self {
        self.choices.stuck_after = time;
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

    /// What failures do to the rest of the service. Panics, expired and rejected items are failures, too; after retries an item counts once.
    ///
    /// When the rule ends it, the service stops as by [`Control::stop`](crate::Control::stop): what was not started is
    /// [`Cancelled`](crate::TaskError::Cancelled), what runs is waited for, senders get their items back. With
    /// [`ordered`](FanOutBuilder::ordered), `FailFast` and `Limit` do not depend on timing: all items that were sent before the failure that is
    /// one too many run to their end, and it is that of the lowest number. Otherwise everything that waits is cancelled.
    ///
    /// # Default
    ///
    /// [`OnError::CollectAll`]: failures are outcomes like others.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{FanOut, OnError};
    ///
    /// let work = |n: u32| if n == 7 { Err("seven") } else { Ok(n) };
    /// let (input, output) = FanOut::builder(work).ordered().on_error(OnError::FailFast).start()?;
    /// // Once the service has stopped it takes no more.
    /// let refused = (0..).find_map(|n| input.send(n).err().map(|refused| refused.into_inner()));
    /// assert!(refused.unwrap() > 7);
    /// let errors = output.try_collect().unwrap_err();
    /// assert_eq!(errors.first().unwrap().0, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.choices.on_error = on_error;
        self
    }

    /// How many items there will be, so that [`progress`](crate::Control::progress) can tell how long the rest takes. Nothing else depends on
    /// it. [`Control::expect_items`](crate::Control::expect_items) changes it.
    ///
    /// # Default
    ///
    /// Not known, until no more are accepted.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).expect_items(50).start()?;
    /// assert_eq!(input.control().progress().total, Some(50));
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn expect_items(mut self, items: usize) -> Self {
        self.choices.expected = Some(items);
        self
    }

    /// Of how many items the times are recorded: waiting, running and in all. [`Metrics::times`](crate::Metrics::times) has them. By their
    /// numbers, so with [`every(10)`](crate::Timings::every) those of the items 0, 10, 20 and so on.
    ///
    /// # Default
    ///
    /// None.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{FanOut, Timings};
    ///
    /// let (input, mut output) = FanOut::builder(|n: u8| Ok::<u8, ()>(n)).timings(Timings::all()).start()?;
    /// input.send(1)?;
    /// output.recv()?;
    /// let times = input.control().metrics().times.unwrap();
    /// assert_eq!((times.wait.count(), times.run.count()), (1, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "timings")]
    pub fn timings(mut self, timings: crate::observe::Timings) -> Self {
        self.choices.timings = timings;
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

impl<T, W: Work<T>, P> fmt::Debug for FanOutBuilder<'_, T, W, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FanOutBuilder")
            .field("name", &self.choices.name)
            .field("window", &self.choices.window)
            .field("ordered", &self.choices.ordered)
            .field("route", &self.choices.route)
            .finish_non_exhaustive()
    }
}
