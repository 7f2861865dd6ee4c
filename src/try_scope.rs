//! A scope of tasks that may fail.

use crate::error::{Errors, KEPT, OnError, Tally, TaskError, TaskPanicked};
use crate::job::{Call, Job, Verdict};
use crate::panics;
use crate::scope::Scope;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Mutex};
use crate::trace;
use std::fmt;

struct Progress<E> {
    spawned: usize,
    tally: Tally,
    errors: Errors<E>,
}

struct State<E> {
    on_error: OnError,
    failed: AtomicBool,
    /// Nothing more is started. Set once, and only ever a reason not to start a task, so a late look is harmless.
    over: AtomicBool,
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
/// let errors = Pool::new()
///     .try_scope(OnError::CollectAll, |s| {
///         let inner = s.clone();
///         s.spawn(move || {
///             inner.spawn(|| Err("from the inner task"));
///             Ok(())
///         });
///     })
///     .unwrap_err();
/// assert_eq!(errors.into_failed(), [(1, "from the inner task")]);
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
        let task = trace::carry(self.scope.group().options().name.as_ref(), task);
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
        if call == Call::Abandon || self.over.load(Ordering::Relaxed) {
            return match panics::drop_quietly(task) {
                Ok(()) => {
                    self.progress.lock().errors.cancel(1);
                    Verdict::NotStarted
                }
                Err(payload) => self.panicked(index, payload),
            };
        }
        match panics::catch(task) {
            Ok(result) => {
                self.record(index, result.map_err(TaskError::Failed));
                Verdict::Finished
            }
            Err(payload) => self.panicked(index, payload),
        }
    }

    fn panicked(&self, index: usize, payload: panics::Payload) -> Verdict {
        self.record(index, Err(TaskError::Panicked(TaskPanicked::new(payload))));
        Verdict::Panicked
    }

    fn record(&self, index: usize, result: Result<(), TaskError<E>>) {
        let surplus = {
            let mut progress = self.progress.lock();
            let surplus = match result {
                Ok(()) => {
                    progress.tally.succeeded += 1;
                    Vec::new()
                }
                Err(error) => {
                    progress.tally.failed += 1;
                    self.failed.store(true, Ordering::Relaxed);
                    progress.errors.push(index, error)
                }
            };
            if self.on_error.is_over(progress.tally) {
                self.over.store(true, Ordering::Relaxed);
            }
            surplus
        };
        panics::drop_each(surplus);
    }
}

/// What one run of a `try_scope` knows.
pub(crate) struct Run<E>(Arc<State<E>>);

impl<E: Send> Run<E> {
    pub(crate) fn new(on_error: OnError) -> Run<E> {
        Run(Arc::new(State {
            on_error,
            failed: AtomicBool::new(false),
            over: AtomicBool::new(false),
            progress: Mutex::new(Progress { spawned: 0, tally: Tally::default(), errors: Errors::new(KEPT) }),
        }))
    }

    /// The view of `scope` that belongs to this run.
    pub(crate) fn view<'scope, 'env>(&self, scope: &'scope Scope<'scope, 'env>) -> TryScope<'scope, 'env, E> {
        TryScope { scope, state: self.0.clone() }
    }

    /// What came of it, after the scope has ended, and whether it has failed. The panic of its body goes on.
    pub(crate) fn end<R>(self, result: Result<R, panics::Payload>) -> (R, Errors<E>, bool) {
        let (errors, surplus, tally) = {
            let mut progress = self.0.progress.lock();
            let mut errors = std::mem::replace(&mut progress.errors, Errors::new(KEPT));
            let surplus = errors.sort();
            (errors, surplus, progress.tally)
        };
        panics::drop_each(surplus);
        match result {
            Ok(value) => {
                let lost = self.0.on_error.is_lost(tally, errors.cancelled());
                (value, errors, lost)
            }
            Err(payload) => {
                panics::drop_each(errors);
                panics::resume(payload)
            }
        }
    }

    /// The same as one of two.
    pub(crate) fn result<R>(self, result: Result<R, panics::Payload>) -> Result<R, Errors<E>> {
        let (value, errors, lost) = self.end(result);
        if lost {
            panics::drop_each([value]);
            Err(errors)
        } else {
            panics::drop_each(errors);
            Ok(value)
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
