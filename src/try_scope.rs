//! A scope of tasks that may fail.

use crate::error::{Failures, TaskPanicked};
use crate::job::{Call, Job, Verdict};
use crate::panics;
use crate::scope::Scope;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Mutex};
use std::fmt;

/// What the first failure of a run does to the rest. A panic is a failure too.
///
/// # Examples
///
/// ```
/// use fanpool::{OnError, Pool};
///
/// let pool = Pool::new();
/// let run = |on_error| {
///     pool.try_scope(on_error, |s| {
///         for i in 0..100 {
///             s.spawn(move || if i % 2 == 0 { Ok(()) } else { Err(i) });
///         }
///     })
///     .unwrap_err()
/// };
/// assert_eq!(run(OnError::CollectAll).errors.len(), 50);
/// assert!(run(OnError::FailFast).errors.len() <= 50);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnError {
    /// Tasks that have not started are dropped; those that run are waited for.
    FailFast,
    /// All tasks run.
    CollectAll,
}

struct Progress<E> {
    spawned: usize,
    failures: Failures<E>,
}

struct State<E> {
    on_error: OnError,
    /// Set with the first failure. Only ever a reason not to start a task, so a late look is harmless.
    failed: AtomicBool,
    progress: Mutex<Progress<E>>,
}

/// Spawns tasks that may fail; made by [`Pool::try_scope`](crate::Pool::try_scope). A task that spawns more takes a
/// clone with it.
///
/// # Examples
///
/// ```
/// use fanpool::{OnError, Pool};
///
/// let failures = Pool::new()
///     .try_scope(OnError::CollectAll, |s| {
///         let inner = s.clone();
///         s.spawn(move || {
///             inner.spawn(|| Err("from the inner task"));
///             Ok(())
///         });
///     })
///     .unwrap_err();
/// assert_eq!(failures.errors, [(1, "from the inner task")]);
/// ```
pub struct TryScope<'scope, 'env: 'scope, E> {
    scope: &'scope Scope<'scope, 'env>,
    state: Arc<State<E>>,
}

impl<'scope, E: Send + 'scope> TryScope<'scope, '_, E> {
    /// As [`Scope::spawn`], for a task that may fail. Tasks are numbered from 0 in the order of these calls.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{OnError, Pool};
    ///
    /// let done = Pool::new().try_scope(OnError::FailFast, |s| {
    ///     s.spawn(|| Ok::<(), std::io::Error>(()));
    /// });
    /// assert!(done.is_ok());
    /// ```
    pub fn spawn<F>(&self, task: F)
    where
        F: FnOnce() -> Result<(), E> + Send + 'scope,
    {
        let index = {
            let mut progress = self.state.progress.lock();
            progress.spawned += 1;
            progress.spawned - 1
        };
        let state = self.state.clone();
        self.scope.push(Job::new(move |call| state.call(index, task, call)));
    }

    /// Whether a task has failed or panicked, for tasks and bodies that want to stop early.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{OnError, Pool};
    ///
    /// let _ = Pool::new().try_scope(OnError::FailFast, |s| {
    ///     for path in ["a", "b"] {
    ///         if s.has_failed() {
    ///             break;
    ///         }
    ///         s.spawn(move || std::fs::read(path).map(drop));
    ///     }
    /// });
    /// ```
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.state.failed.load(Ordering::Relaxed)
    }
}

impl<E> State<E> {
    fn call(&self, index: usize, task: impl FnOnce() -> Result<(), E>, call: Call) -> Verdict {
        let skip = self.on_error == OnError::FailFast && self.failed.load(Ordering::Relaxed);
        if skip || call == Call::Abandon {
            let dropped = panics::drop_quietly(task);
            let mut progress = self.progress.lock();
            progress.failures.cancelled += usize::from(dropped.is_ok());
            drop(progress);
            return match dropped {
                Ok(()) => Verdict::NotStarted,
                Err(payload) => self.panicked(index, payload),
            };
        }
        match panics::catch(task) {
            Ok(Ok(())) => Verdict::Finished,
            Ok(Err(error)) => {
                self.failed.store(true, Ordering::Relaxed);
                self.progress.lock().failures.errors.push((index, error));
                Verdict::Finished
            }
            Err(payload) => self.panicked(index, payload),
        }
    }

    fn panicked(&self, index: usize, payload: panics::Payload) -> Verdict {
        self.failed.store(true, Ordering::Relaxed);
        self.progress.lock().failures.panics.push((index, TaskPanicked::new(payload)));
        Verdict::Panicked
    }
}

/// What one run of a `try_scope` knows.
pub(crate) struct Run<E>(Arc<State<E>>);

impl<E: Send> Run<E> {
    pub(crate) fn new(on_error: OnError) -> Run<E> {
        let failures = Failures { errors: Vec::new(), panics: Vec::new(), cancelled: 0 };
        Run(Arc::new(State {
            on_error,
            failed: AtomicBool::new(false),
            progress: Mutex::new(Progress { spawned: 0, failures }),
        }))
    }

    /// The view of `scope` that belongs to this run.
    pub(crate) fn view<'scope, 'env>(&self, scope: &'scope Scope<'scope, 'env>) -> TryScope<'scope, 'env, E> {
        TryScope { scope, state: self.0.clone() }
    }

    /// What came of it, after the scope has ended: the panic of its body goes on.
    pub(crate) fn end<R>(self, result: Result<R, panics::Payload>) -> Result<R, Failures<E>> {
        let empty = Failures { errors: Vec::new(), panics: Vec::new(), cancelled: 0 };
        let mut failures = std::mem::replace(&mut self.0.progress.lock().failures, empty);
        let failed = !failures.errors.is_empty() || !failures.panics.is_empty() || failures.cancelled > 0;
        match result {
            Ok(value) if !failed => Ok(value),
            Ok(value) => {
                panics::drop_each([value]);
                failures.errors.sort_by_key(|(index, _)| *index);
                failures.panics.sort_by_key(|(index, _)| *index);
                Err(failures)
            }
            Err(payload) => {
                panics::drop_each(failures.errors);
                panics::drop_each(failures.panics);
                panics::resume(payload)
            }
        }
    }
}

impl<E> Clone for TryScope<'_, '_, E> {
    fn clone(&self) -> Self {
        TryScope { scope: self.scope, state: self.state.clone() }
    }
}

impl<E> fmt::Debug for TryScope<'_, '_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryScope").field("scope", &self.scope).finish_non_exhaustive()
    }
}
