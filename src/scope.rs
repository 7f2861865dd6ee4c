//! A group that borrows and is always waited for.
//!
//! # Safety
//!
//! The jobs of a scope borrow from the stack of whoever opened it, and their group does not know. One invariant makes
//! that sound, cited as **\[waited\]**: *every job that a scope erased is one pending unit of its group until it has
//! been called or dropped, and [`run`] neither returns nor unwinds while a unit is pending.* A scope handle that is
//! forgotten changes nothing, because `run` itself holds the wait. If waiting should ever unwind, the process aborts.
#![allow(unsafe_code)]

use crate::group::TaskGroup;
use crate::handle::{self, ScopedHandle};
use crate::job::{Call, Job, Verdict};
use crate::panics::{self, Payload};
use crate::sync::Arc;
use crate::trace;
use std::fmt;
use std::marker::PhantomData;

/// Spawns tasks that may borrow; made by [`Pool::scope`](crate::Pool::scope).
///
/// The lifetimes are those of [`std::thread::Scope`]: `'scope` is the time in which tasks may run, `'env` that of what
/// they borrow from outside.
///
/// # Examples
///
/// ```
/// let pool = fanpool::Pool::new();
/// let mut left = [3, 1, 2];
/// let mut right = [6, 4, 5];
/// pool.scope(|s| {
///     s.spawn(|| left.sort());
///     s.spawn(|| right.sort());
/// });
/// assert_eq!((left, right), ([1, 2, 3], [4, 5, 6]));
/// ```
///
/// The compiler refuses what would not be sound. A task cannot borrow what ends before the scope:
///
/// ```compile_fail,E0373
/// let pool = fanpool::Pool::new();
/// pool.scope(|s| {
///     let inside = 1;
///     s.spawn(|| println!("{}", inside));
/// });
/// ```
///
/// cannot take what must stay on its thread:
///
/// ```compile_fail,E0277
/// let pool = fanpool::Pool::new();
/// let shared = std::rc::Rc::new(1);
/// pool.scope(|s| s.spawn(move || println!("{shared}")));
/// ```
///
/// and a handle cannot leave the scope (an error of lifetimes, which has no code):
///
/// ```compile_fail
/// let pool = fanpool::Pool::new();
/// let handle = pool.scope(|s| s.submit(|| 1));
/// ```
pub struct Scope<'scope, 'env: 'scope> {
    group: Arc<TaskGroup>,
    // Invariant in both, as in std.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

impl<'scope> Scope<'scope, '_> {
    /// Runs `task` on a worker, or on the thread that waits for the scope. Never blocks and never refuses.
    ///
    /// Tasks start in no particular order: workers take the oldest, the thread that waits takes the newest. (In a
    /// [group](crate::Pool::group) with a limit they start in the order in which they were spawned.)
    ///
    /// Tasks may spawn more tasks into the same scope. A panic is re-thrown by the scope once all its tasks have ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU32, Ordering};
    ///
    /// let pool = fanpool::Pool::new();
    /// let count = AtomicU32::new(0);
    /// pool.scope(|s| {
    ///     s.spawn(|| {
    ///         s.spawn(|| { count.fetch_add(1, Ordering::Relaxed); });
    ///         count.fetch_add(1, Ordering::Relaxed);
    ///     });
    /// });
    /// assert_eq!(count.into_inner(), 2);
    /// ```
    pub fn spawn<F>(&'scope self, task: F)
    where
        F: FnOnce() + Send + 'scope,
    {
        self.push(Job::plain(trace::carry(self.group.options().name.as_ref(), task)));
    }

    /// As [`spawn`](Scope::spawn), with a handle to the result. A panic goes to the handle, not to the scope.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// let text = String::from("fan out");
    /// let len = pool.scope(|s| s.submit(|| text.len()).join().unwrap());
    /// assert_eq!(len, 7);
    /// ```
    pub fn submit<F, T>(&'scope self, task: F) -> ScopedHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let task = trace::carry(self.group.options().name.as_ref(), task);
        let (job, handle) = handle::task(&self.group, task);
        self.push(job);
        handle
    }

    pub(crate) fn push(&'scope self, job: Job<'scope>) {
        // SAFETY: [waited]: pushing makes the job a pending unit of the group, which settles it after it was called.
        let job = unsafe { job.erase() };
        self.group.push(job);
    }

    /// A way to push for what is kept in an `Arc`.
    pub(crate) fn door(&'scope self) -> Door<'scope> {
        Door { group: self.group.clone(), scope: PhantomData }
    }

    pub(crate) fn group(&self) -> &Arc<TaskGroup> {
        &self.group
    }

    /// Makes a job for another group's queue which this scope waits for all the same.
    pub(crate) fn lend<F>(&'scope self, task: F) -> Job<'static>
    where
        F: FnOnce() + Send + 'scope,
    {
        self.group.add_one();
        let lent = Lent { task: Some(task), unit: Unit(self.group.clone()) };
        let job = Job::new(move |call| lent.call(call));
        // SAFETY: [waited]: the unit added above is given back by `Unit`, which `Lent` drops after the task.
        unsafe { job.erase() }
    }
}

/// Pushes into a scope's group. Like the scope itself it lives for `'scope`, so it is held only by the scope's body and by jobs
/// that the scope waits for.
pub(crate) struct Door<'scope> {
    group: Arc<TaskGroup>,
    scope: PhantomData<&'scope mut &'scope ()>,
}

impl<'scope> Door<'scope> {
    pub(crate) fn group(&self) -> &Arc<TaskGroup> {
        &self.group
    }

    pub(crate) fn push(&self, job: Job<'scope>) {
        // SAFETY: [waited]: as in `Scope::push`.
        let job = unsafe { job.erase() };
        self.group.push(job);
    }
}

struct Lent<F> {
    // Fields drop in this order: the unit must outlive the task.
    task: Option<F>,
    unit: Unit,
}

struct Unit(Arc<TaskGroup>);

impl Drop for Unit {
    fn drop(&mut self) {
        self.0.settle_one();
    }
}

impl<F: FnOnce()> Lent<F> {
    fn call(mut self, call: Call) -> Verdict {
        let Some(task) = self.task.take() else { return Verdict::Elsewhere };
        if call == Call::Abandon {
            drop(task);
            return Verdict::NotStarted;
        }
        match panics::catch(task) {
            Ok(()) => Verdict::Finished,
            Err(payload) => {
                self.unit.0.keep_first(payload);
                Verdict::Panicked
            }
        }
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("group", &self.group).finish()
    }
}

/// Calls `body` with a scope over `group`, waits for every task, and only then returns: what `body` returned, or else its
/// panic, or else the first task's.
pub(crate) fn run<'env, F, R>(group: &Arc<TaskGroup>, body: F) -> Result<R, Payload>
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> R,
{
    let scope = Scope { group: group.clone(), scope: PhantomData, env: PhantomData };
    let result = panics::catch(|| body(&scope));

    let abort = panics::AbortOnUnwind;
    group.wait_all();
    std::mem::forget(abort);

    match (result, group.take_panic()) {
        (Ok(value), Some(payload)) => {
            panics::drop_each([value]);
            Err(payload)
        }
        (Err(payload), Some(of_a_task)) => {
            panics::discard(of_a_task);
            Err(payload)
        }
        (result, None) => result,
    }
}

/// As [`run`], over a group of its own that is done with afterwards.
pub(crate) fn run_apart<'env, F, R>(group: &Arc<TaskGroup>, body: F) -> Result<R, Payload>
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> R,
{
    let result = run(group, body);
    if group.is_posted() {
        // Nobody will use this group again, and while no worker is free its tickets would pile up.
        group.host().withdraw(group);
    }
    result
}
