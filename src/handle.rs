//! The result of one task.
//!
//! A task's closure, who runs it and its result share one small state machine behind one lock:
//!
//! `Queued(closure)` → `Running(thread)` → `Done(result)` → `Taken`, or `Queued` → `Done(Err)` if it is never run.
//!
//! Whoever moves it out of `Queued` owns the closure: the helper that took the job from the queue, the thread that joins
//! (and so runs it on the spot), or whoever drops the job unrun. The others find it gone and do nothing.
//!
//! **No join is left asleep.** A joiner looks at the state and parks on `ended` under the state's lock; whoever ends the
//! task stores `Done` under the same lock and then notifies. In a group with a limit a joiner may have to run what
//! is queued before the task, so it parks in the group instead and the end of the task nudges the group.

use crate::error::{JoinError, RefusedReason, TaskPanicked};
use crate::group::{Awaited, Progress, TaskGroup};
use crate::job::{Call, Job, Verdict};
use crate::panics;
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, broken, now, thread};
use std::fmt;
use std::mem;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

enum State<T, F> {
    Queued(F),
    /// The closure is still there until the thread that claimed it begins.
    Running(thread::ThreadId, Option<F>),
    Done(Result<T, JoinError>),
    Taken,
}

struct Task<T, F> {
    state: Mutex<State<T, F>>,
    ended: Condvar,
    group: Arc<TaskGroup>,
    tag: usize,
}

/// What a handle needs of its task, without the closure's type.
trait Joinable<T>: Awaited + Send + Sync {
    fn group(&self) -> &Arc<TaskGroup>;
    /// Waits until the task has ended, or runs here already, or the time is over.
    fn wait(&self, deadline: Option<Instant>) -> Waited;
    fn take(&self) -> Option<Result<T, JoinError>>;
}

enum Waited {
    Ended,
    OnThisThread,
    TimedOut,
}

impl<T: Send, F: FnOnce() -> T + Send> Task<T, F> {
    /// Runs or drops what this thread has claimed.
    fn finish(&self, call: Call) -> Verdict {
        let closure = match &mut *self.state.lock() {
            State::Running(_, closure) => closure.take(),
            State::Queued(_) | State::Done(_) | State::Taken => None,
        };
        let Some(closure) = closure else { return Verdict::Elsewhere };
        let (result, verdict) = match call {
            Call::Start => (panics::catch(closure), Verdict::Finished),
            Call::Abandon => match panics::drop_quietly(closure) {
                Ok(()) => {
                    // Asked once, so that the handle and the counts agree.
                    let (error, verdict) = if self.group.is_cancelled() {
                        (JoinError::Cancelled, Verdict::NotStarted)
                    } else {
                        (JoinError::Discarded, Verdict::Discarded)
                    };
                    self.end(Err(error));
                    return verdict;
                }
                Err(payload) => (Err(payload), Verdict::Panicked),
            },
        };
        match result {
            Ok(value) => {
                self.end(Ok(value));
                verdict
            }
            Err(payload) => {
                self.end(Err(JoinError::Panicked(TaskPanicked::new(payload))));
                Verdict::Panicked
            }
        }
    }

    /// What the job in the queue does: runs or drops the closure, unless somebody has it.
    fn call(&self, call: Call) -> Verdict {
        if self.claim() { self.finish(call) } else { Verdict::Elsewhere }
    }

    fn end(&self, result: Result<T, JoinError>) {
        let mut state = self.state.lock();
        *state = State::Done(result);
        if !broken!("end_wakes_no_joiner") {
            self.ended.notify_all();
        }
        drop(state);
        if self.group.is_limited() && !broken!("end_nudges_nobody") {
            self.group.nudge();
        }
    }
}

impl<T: Send, F: FnOnce() -> T + Send> Awaited for Task<T, F> {
    fn tag(&self) -> usize {
        self.tag
    }

    fn progress(&self) -> Progress {
        match *self.state.lock() {
            State::Queued(_) => Progress::Queued,
            State::Running(thread, _) if thread == thread::id() => Progress::Here,
            State::Running(..) => Progress::Running,
            State::Done(_) | State::Taken => Progress::Done,
        }
    }

    fn claim(&self) -> bool {
        let mut state = self.state.lock();
        match mem::replace(&mut *state, State::Taken) {
            State::Queued(closure) => {
                *state = State::Running(thread::id(), Some(closure));
                true
            }
            other => {
                *state = other;
                false
            }
        }
    }

    fn run_claimed(&self) -> Verdict {
        self.finish(if self.group.is_cancelled() { Call::Abandon } else { Call::Start })
    }
}

impl<T: Send, F: FnOnce() -> T + Send> Joinable<T> for Task<T, F> {
    fn group(&self) -> &Arc<TaskGroup> {
        &self.group
    }

    fn wait(&self, deadline: Option<Instant>) -> Waited {
        let mut state: MutexGuard<'_, State<T, F>> = self.state.lock();
        loop {
            match *state {
                State::Done(_) | State::Taken => return Waited::Ended,
                State::Running(thread, _) if thread == thread::id() => return Waited::OnThisThread,
                State::Running(..) | State::Queued(_) => {}
            }
            if self.ended.wait_until(&mut state, deadline) {
                let ended = matches!(*state, State::Done(_) | State::Taken);
                return if ended { Waited::Ended } else { Waited::TimedOut };
            }
        }
    }

    fn take(&self) -> Option<Result<T, JoinError>> {
        let mut state = self.state.lock();
        match mem::replace(&mut *state, State::Taken) {
            State::Done(result) => Some(result),
            other => {
                *state = other;
                None
            }
        }
    }
}

/// Makes a task: the job to queue, and the handle to its result. The job is to be called: dropped, it would leave the handle
/// waiting.
pub(crate) fn task<'a, T, F>(group: &Arc<TaskGroup>, closure: F) -> (Job<'a>, ScopedHandle<'a, T>)
where
    T: Send + 'a,
    F: FnOnce() -> T + Send + 'a,
{
    let state = Mutex::new(State::Queued(closure));
    let tag = group.next_tag();
    let task = Arc::new(Task { state, ended: Condvar::new(), group: group.clone(), tag });
    let queued = task.clone();
    (Job::new(move |call| queued.call(call)).tagged(tag), ScopedHandle { task: Ok(task) })
}

/// A handle to a task of a [`Pool`](crate::Pool); see [`ScopedHandle`] for what it can do.
///
/// # Examples
///
/// ```
/// let pool = fanpool::Pool::new();
/// let handle: fanpool::Handle<usize> = pool.submit(|| "four".len());
/// assert_eq!(handle.join().unwrap(), 4);
/// ```
pub type Handle<T> = ScopedHandle<'static, T>;

/// A handle to one task, which may borrow for `'scope`. Dropping it detaches the task, which runs all the same; if it has ended, its result is
/// dropped with the handle.
///
/// # Memory ordering
///
/// Everything that the task did happens before [`join`](ScopedHandle::join) returns.
///
/// # Examples
///
/// ```
/// let pool = fanpool::Pool::new();
/// let words = ["fan", "out"];
/// let letters = pool.scope(|s| {
///     let first = s.submit(|| words[0].len());
///     let second = s.submit(|| words[1].len());
///     first.join().unwrap() + second.join().unwrap()
/// });
/// assert_eq!(letters, 6);
/// ```
#[must_use = "dropping the handle detaches the task; use `spawn` if its result is not wanted"]
pub struct ScopedHandle<'scope, T> {
    task: Result<Arc<dyn Joinable<T> + 'scope>, RefusedReason>,
}

impl<T> Handle<T> {
    /// The handle to a task that was not accepted.
    pub(crate) fn refused(reason: RefusedReason) -> Handle<T> {
        ScopedHandle { task: Err(reason) }
    }
}

impl<T> ScopedHandle<'_, T> {
    /// Waits for the task and returns its result.
    ///
    /// A task that has not started is run here and now, on the calling thread, so a task can join what it submitted on a
    /// pool of any size. Otherwise this blocks until the task has ended.
    ///
    /// A group's limit is kept: without a free place this waits for one, except that a task which joins another of its own
    /// group lends it its place. With a limit of 1 the order is kept too: what is queued before the task runs first, and a
    /// task that joins a later one gets [`JoinError::WouldDeadlock`]. (If it waits for another thread to join that one,
    /// nobody can tell, and both wait for ever.)
    ///
    /// # Errors
    ///
    /// [`JoinError`] if the task panicked (the payload is kept), was cancelled, discarded or refused, or can only end
    /// after this call returns.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// assert_eq!(pool.submit(|| 6 * 7).join().unwrap(), 42);
    /// ```
    pub fn join(self) -> Result<T, JoinError> {
        let task = self.task.map_err(JoinError::Refused)?;
        let group = task.group();
        if group.is_limited() {
            group.wait_for_one(&*task).map_err(|_| JoinError::WouldDeadlock)?;
        } else if task.progress() == Progress::Queued && !broken!("join_never_runs") {
            group.run_out_of_turn(&*task, true);
        }
        match task.wait(None) {
            Waited::OnThisThread => Err(JoinError::WouldDeadlock),
            Waited::Ended | Waited::TimedOut => task.take().unwrap_or(Err(JoinError::WouldDeadlock)),
        }
    }

    /// Returns the result if the task has ended, and otherwise the handle. Never blocks and never runs the task.
    ///
    /// # Errors
    ///
    /// The outer error is the handle of a task that has not ended; the inner one is that of
    /// [`join`](ScopedHandle::join).
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// let mut handle = pool.submit(|| 1);
    /// let result = loop {
    ///     match handle.try_join() {
    ///         Ok(result) => break result,
    ///         Err(unfinished) => handle = unfinished,
    ///     }
    /// };
    /// assert_eq!(result.unwrap(), 1);
    /// ```
    pub fn try_join(self) -> Result<Result<T, JoinError>, Self> {
        self.join_until(Some(now()))
    }

    /// As [`try_join`](ScopedHandle::try_join), after waiting for at most `timeout`. It does not run the task, which
    /// might take longer, so on the pool's only worker it waits for the whole time. A timeout too long for the clock never
    /// runs out.
    ///
    /// # Errors
    ///
    /// As [`try_join`](ScopedHandle::try_join).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = fanpool::Pool::new();
    /// let result = pool.submit(|| 1).join_timeout(Duration::from_secs(60));
    /// assert_eq!(result.expect("a minute is enough").unwrap(), 1);
    /// ```
    pub fn join_timeout(self, timeout: Duration) -> Result<Result<T, JoinError>, Self> {
        self.join_until(now().checked_add(timeout))
    }

    fn join_until(self, deadline: Option<Instant>) -> Result<Result<T, JoinError>, Self> {
        let task = match &self.task {
            Ok(task) => task,
            Err(reason) => return Ok(Err(JoinError::Refused(*reason))),
        };
        match task.wait(deadline) {
            Waited::Ended => match task.take() {
                Some(result) => Ok(result),
                None => Err(self),
            },
            Waited::OnThisThread if deadline.is_none() => Ok(Err(JoinError::WouldDeadlock)),
            Waited::OnThisThread | Waited::TimedOut => Err(self),
        }
    }

    /// Whether the task has ended, so that [`join`](ScopedHandle::join) would not block.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// let handle = pool.submit(|| ());
    /// pool.wait_idle().unwrap();
    /// assert!(handle.is_finished());
    /// ```
    #[must_use]
    pub fn is_finished(&self) -> bool {
        match &self.task {
            Ok(task) => task.progress() == Progress::Done,
            Err(_) => true,
        }
    }
}

// A panic of the task is a value here, and the task's state is never half-changed.
impl<T> UnwindSafe for ScopedHandle<'_, T> {}
impl<T> RefUnwindSafe for ScopedHandle<'_, T> {}

impl<T> fmt::Debug for ScopedHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("finished", &self.is_finished()).finish_non_exhaustive()
    }
}
