//! Scopes of tasks that may fail, in pools and groups.

use super::{Group, Pool};
use crate::error::{Errors, OnError};
use crate::try_scope::{Run, TryScope};

impl Pool {
    /// A scope of tasks that may fail. See [`OnError`] for what a failure does to the others.
    ///
    /// Failures that were tolerated, and those of a race that was won, are dropped; [`try_scope_with`](Pool::try_scope_with) returns them.
    ///
    /// # Errors
    ///
    /// [`Errors`], if the run has failed, or a task was not started because the scope was cancelled. Panics of tasks are in it and are not
    /// re-thrown. The value of `body` is dropped then.
    ///
    /// # Panics
    ///
    /// With the panic of `body`.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{OnError, Pool};
    ///
    /// let parsed = Pool::new().try_scope(OnError::FailFast, |s| {
    ///     s.spawn(|| "7".parse::<u8>().map(drop));
    ///     s.spawn(|| "x".parse::<u8>().map(drop));
    /// });
    /// assert_eq!(parsed.unwrap_err().first().unwrap().0, 1);
    /// ```
    pub fn try_scope<'env, E, F, R>(&self, on_error: OnError, body: F) -> Result<R, Errors<E>>
    where
        E: Send + 'env,
        F: for<'scope> FnOnce(&TryScope<'scope, 'env, E>) -> R,
    {
        let run = Run::new(on_error);
        let result = self.scope_result(|s| body(&run.view(s)));
        run.result(result)
    }

    /// As [`try_scope`](Pool::try_scope), for both: the value of `body`, and every error whether tolerated or not.
    ///
    /// # Panics
    ///
    /// With the panic of `body`.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{OnError, Pool};
    ///
    /// let (spawned, errors) = Pool::new().try_scope_with(OnError::Limit(3), |s| {
    ///     (0..10).map(|n| s.spawn(move || if n == 4 { Err("four") } else { Ok(()) })).count()
    /// });
    /// assert_eq!((spawned, errors.into_failed()), (10, vec![(4, "four")]));
    /// ```
    pub fn try_scope_with<'env, E, F, R>(&self, on_error: OnError, body: F) -> (R, Errors<E>)
    where
        E: Send + 'env,
        F: for<'scope> FnOnce(&TryScope<'scope, 'env, E>) -> R,
    {
        let run = Run::new(on_error);
        let result = self.scope_result(|s| body(&run.view(s)));
        let (value, errors, _) = run.end(result);
        (value, errors)
    }
}

impl Group<'_> {
    /// As [`Pool::try_scope`], with this group's options.
    ///
    /// # Errors
    ///
    /// As [`Pool::try_scope`].
    ///
    /// # Panics
    ///
    /// As [`Pool::try_scope`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::OnError;
    /// # let pool = fanpool::Pool::new();
    /// let group = pool.group().limit(1).build()?;
    /// let errors = group
    ///     .try_scope(OnError::FailFast, |s| {
    ///         s.spawn(|| Err("first"));
    ///         s.spawn(|| Ok(()));
    ///     })
    ///     .unwrap_err();
    /// assert_eq!(errors.cancelled(), 1);
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn try_scope<'env, E, F, R>(&self, on_error: OnError, body: F) -> Result<R, Errors<E>>
    where
        E: Send + 'env,
        F: for<'scope> FnOnce(&TryScope<'scope, 'env, E>) -> R,
    {
        let run = Run::new(on_error);
        let result = self.scope_result(|s| body(&run.view(s)));
        run.result(result)
    }

    /// As [`Pool::try_scope_with`], with this group's options.
    ///
    /// # Panics
    ///
    /// As [`Pool::try_scope`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::OnError;
    /// # let pool = fanpool::Pool::new();
    /// let group = pool.group().limit(1).build()?;
    /// let ((), errors) = group.try_scope_with(OnError::FirstSuccess, |s| {
    ///     s.spawn(|| Err("the first mirror is down"));
    ///     s.spawn(|| Ok(()));
    ///     s.spawn(|| unreachable!("the race is won"));
    /// });
    /// assert_eq!((errors.count(), errors.cancelled()), (1, 1));
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn try_scope_with<'env, E, F, R>(&self, on_error: OnError, body: F) -> (R, Errors<E>)
    where
        E: Send + 'env,
        F: for<'scope> FnOnce(&TryScope<'scope, 'env, E>) -> R,
    {
        let run = Run::new(on_error);
        let result = self.scope_result(|s| body(&run.view(s)));
        let (value, errors, _) = run.end(result);
        (value, errors)
    }
}
