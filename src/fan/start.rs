//! Starting a service: alone or in a scope.

use super::builder::FanOutBuilder;
use super::choices::Assembled;
use super::core::{Clock, Core};
use super::input::Input;
use super::output::{Home, Output};
use super::settings::Spread;
use super::work::Work;
use crate::error::BuildError;
use crate::group::Options;
use crate::job::Job;
use crate::pool::{Alarm, MAX_WORKERS, NORMAL, Pool, Workers};
use crate::resilience::{Sleeper, Waiter};
use crate::scope::Door;
use crate::sync::{Arc, Weak};
use std::fmt;

/// The two ends of a service.
pub(super) type Ends<'a, T, W> = (Input<'a, T>, Output<'a, <W as Work<T>>::Out, <W as Work<T>>::Error>);

/// The output of a stage, if it was started.
pub(super) type Started<R, E> = Result<Output<'static, R, E>, BuildError>;

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
    pub(super) door: Door<'scope>,
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
        let FanOutBuilder { work, place, choices, policies } = self;
        choices.check(&work)?;
        policies.check(work.batching().is_some(), choices.spread() == Spread::Shared)?;
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
            (_, 0) => choices.limit.unwrap_or(host.size()),
            (_, shards) => choices.limit.unwrap_or(shards).min(shards),
        };
        BuildError::check("limit", lanes, 1..=MAX_WORKERS)?;
        let groups = if shards.is_empty() { vec![group] } else { shards.to_vec() };
        let resizer = matches!(home, Home::Own(_)).then(|| pool.resizer());
        let timer = pool.timer().clone();
        if policies.puts_off().is_some() && policies.clock.is_system() {
            timer.ensure()?;
        }
        let tap = Box::new(move |lane: usize, job: Job<'static>| groups[lane % groups.len()].push(job));
        let clock = move |me: &Weak<Core<'static, T, W>>| {
            let alarm: Weak<dyn Alarm> = me.clone();
            let sleeper: Weak<dyn Sleeper> = me.clone();
            Some(Clock { timer, alarm, sleeper })
        };
        let (core, output) = choices.assemble(work, policies, home, lanes, host, tap, clock, resizer);
        if let Some(breaking) = core.guard.as_ref().and_then(|guard| guard.policies.waits_for()) {
            let waiter: Weak<dyn Waiter> = core.me.clone();
            breaking.watch(waiter);
        }
        Ok((core, output))
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
        let FanOutBuilder { work, place: Within { door }, choices, policies } = self;
        choices.check(&work)?;
        policies.check(work.batching().is_some(), choices.spread() == Spread::Shared)?;
        policies.check_scoped()?;
        let host = door.group().host().clone();
        let lanes = if choices.spread() == Spread::Shared { 1 } else { choices.limit.unwrap_or(host.size()) };
        BuildError::check("limit", lanes, 1..=MAX_WORKERS)?;
        let tap = Box::new(move |_: usize, job: Job<'scope>| door.push(job));
        let (core, output) = choices.assemble(work, policies, Home::Scope, lanes, host, tap, |_| None, None);
        Ok((Input::new(core, output.control()), output))
    }
}

impl fmt::Debug for Within<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Within(..)")
    }
}
