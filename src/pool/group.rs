//! Tasks with options of their own: priority, limit, cancellation, a name.

use super::{Pool, lanes, spawn_in, submit_in};
use crate::cancel::CancelToken;
use crate::error::{BuildError, Refused};
use crate::group::{Options, TaskGroup};
use crate::handle::Handle;
use crate::panics;
use crate::scope::{self, Scope};
use crate::sync::Arc;
use std::panic::{RefUnwindSafe, UnwindSafe};

/// Which tasks workers turn to first.
///
/// Priorities decide which group a free worker serves next; a task that runs is not interrupted. They age: of every
/// sixteen turns one belongs to `Low` first and four to `Normal` first, so every task moves.
///
/// # Examples
///
/// ```
/// use fanpool::{Pool, Priority};
///
/// let pool = Pool::new();
/// let urgent = pool.group().priority(Priority::High).build()?;
/// assert_eq!(urgent.submit(|| 1).join().unwrap(), 1);
/// # Ok::<(), fanpool::BuildError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Priority {
    /// When there is nothing else to do, and now and then.
    Low,
    /// The default.
    #[default]
    Normal,
    /// Before the others, most of the time.
    High,
}

impl Priority {
    pub(crate) fn lane(self) -> usize {
        match self {
            Priority::High => lanes::HIGH,
            Priority::Normal => lanes::NORMAL,
            Priority::Low => lanes::LOW,
        }
    }
}

/// Options for a [`Group`]; made by [`Pool::group`].
///
/// # Examples
///
/// ```
/// use fanpool::{BuildError, Pool};
///
/// let pool = Pool::new();
/// assert!(matches!(pool.group().limit(0).build(), Err(BuildError::OutOfRange { option: "limit", .. })));
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct GroupBuilder<'pool> {
    pool: &'pool Pool,
    priority: Priority,
    limit: usize,
    cancel: Option<CancelToken>,
    name: Option<Arc<str>>,
}

impl<'pool> GroupBuilder<'pool> {
    pub(super) fn new(pool: &'pool Pool) -> Self {
        GroupBuilder { pool, priority: Priority::Normal, limit: usize::MAX, cancel: None, name: None }
    }

    /// The priority of the group's tasks.
    ///
    /// # Default
    ///
    /// [`Priority::Normal`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::{Pool, Priority};
    /// # let pool = Pool::new();
    /// let low = pool.group().priority(Priority::Low).build()?;
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// How many of the group's tasks may run at once, at least 1. With a limit of 1 they run one after the other in the
    /// order in which they were spawned. Each scope of the group has a limit of its own.
    ///
    /// # Default
    ///
    /// No limit.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::Pool;
    /// # let pool = Pool::new();
    /// let database = pool.group().limit(4).build()?;
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn limit(mut self, tasks: usize) -> Self {
        self.limit = tasks;
        self
    }

    /// A token that, once cancelled, keeps the group's waiting tasks from being started.
    ///
    /// # Default
    ///
    /// None.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::{CancelToken, JoinError, Pool};
    /// # let pool = Pool::new();
    /// let token = CancelToken::new();
    /// let group = pool.group().cancel(&token).build()?;
    /// token.cancel();
    /// assert!(matches!(group.submit(|| 1).join(), Err(JoinError::Cancelled)));
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn cancel(mut self, token: &CancelToken) -> Self {
        self.cancel = Some(token.clone());
        self
    }

    /// The group's name, in receipts, health, metrics and spans.
    ///
    /// # Default
    ///
    /// None.
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = fanpool::Pool::new();
    /// let uploads = pool.group().name("upload").build()?;
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn name(mut self, name: impl AsRef<str>) -> Self {
        self.name = Some(name.as_ref().into());
        self
    }

    /// Makes the group.
    ///
    /// # Errors
    ///
    /// [`BuildError::OutOfRange`] if the limit is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = fanpool::Pool::new();
    /// let group = pool.group().limit(2).build()?;
    /// group.scope(|s| s.spawn(|| ()));
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn build(self) -> Result<Group<'pool>, BuildError> {
        BuildError::check("limit", self.limit, 1..=usize::MAX)?;
        let options = Options {
            limit: self.limit,
            cancel: self.cancel,
            name: self.name,
            detached: true,
            ..Options::new(self.priority.lane())
        };
        Ok(Group { pool: self.pool, tasks: self.pool.shared.group(options) })
    }
}

/// A group of tasks with options of their own. It spawns, submits, scopes and maps as its [`Pool`] does. Dropping it changes nothing for its tasks.
///
/// # Examples
///
/// ```
/// use std::sync::{Arc, Mutex};
///
/// let pool = fanpool::Pool::new();
/// let strand = pool.group().limit(1).build()?;
/// let log = Arc::new(Mutex::new(Vec::new()));
/// for i in 0..100 {
///     let log = log.clone();
///     strand.spawn(move || log.lock().unwrap().push(i))?;
/// }
/// pool.wait_idle()?;
/// assert!(log.lock().unwrap().iter().copied().eq(0..100));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Group<'pool> {
    pool: &'pool Pool,
    tasks: Arc<TaskGroup>,
}

// As for `Pool`.
impl UnwindSafe for Group<'_> {}
impl RefUnwindSafe for Group<'_> {}

impl Group<'_> {
    /// As [`Pool::spawn`].
    ///
    /// # Errors
    ///
    /// The task comes back if the pool is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = fanpool::Pool::new();
    /// let group = pool.group().limit(1).build()?;
    /// group.spawn(|| println!("alone"))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn spawn<F>(&self, task: F) -> Result<(), Refused<F>>
    where
        F: FnOnce() + Send + 'static,
    {
        spawn_in(&self.tasks, task)
    }

    /// As [`Pool::submit`].
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = fanpool::Pool::new();
    /// let group = pool.group().limit(2).build()?;
    /// assert_eq!(group.submit(|| 5).join().unwrap(), 5);
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn submit<F, T>(&self, task: F) -> Handle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.try_submit(task).unwrap_or_else(|refused| Handle::refused(refused.reason()))
    }

    /// As [`Pool::try_submit`].
    ///
    /// # Errors
    ///
    /// The task comes back if the pool is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = fanpool::Pool::new();
    /// let group = pool.group().build()?;
    /// pool.close();
    /// assert!(group.try_submit(|| 5).is_err());
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn try_submit<F, T>(&self, task: F) -> Result<Handle<T>, Refused<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        submit_in(&self.tasks, task)
    }

    /// As [`Pool::scope`], with the group's options.
    ///
    /// # Panics
    ///
    /// As [`Pool::scope`].
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = fanpool::Pool::new();
    /// let group = pool.group().limit(1).build()?;
    /// let mut order = Vec::new();
    /// let seen = std::sync::Mutex::new(&mut order);
    /// group.scope(|s| {
    ///     for i in 0..3 {
    ///         let seen = &seen;
    ///         s.spawn(move || seen.lock().unwrap().push(i));
    ///     }
    /// });
    /// assert_eq!(order, [0, 1, 2]);
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn scope<'env, F, R>(&self, body: F) -> R
    where
        F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> R,
    {
        self.scope_result(body).unwrap_or_else(|payload| panics::resume(payload))
    }

    pub(super) fn scope_result<'env, F, R>(&self, body: F) -> Result<R, panics::Payload>
    where
        F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> R,
    {
        let (pool, options) = self.parts();
        scope::run_apart(&pool.new_group(options), body)
    }

    /// The group's options, for groups to come, and whom to ask for them.
    pub(crate) fn parts(&self) -> (&Pool, Options) {
        (self.pool, Options { detached: false, ..self.tasks.options().clone() })
    }
}
