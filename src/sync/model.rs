//! The model side: the names of `real` on loom.

mod queue;

use loom::sync::{Condvar as LoomCondvar, Mutex as LoomMutex, MutexGuard as LoomGuard};
use std::ops::{Deref, DerefMut};

/// A mutex with parking_lot's surface: no poison, and a guard that a condition variable can borrow.
#[derive(Debug)]
pub(crate) struct Mutex<T>(LoomMutex<T>);

pub(crate) struct MutexGuard<'a, T> {
    // Empty only inside `Condvar::wait`.
    guard: Option<LoomGuard<'a, T>>,
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Mutex<T> {
        Mutex(LoomMutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard { guard: Some(unpoisoned(self.0.lock())) }
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock().ok().map(|guard| MutexGuard { guard: Some(guard) })
    }

    pub(crate) fn into_inner(self) -> T {
        unpoisoned(self.0.into_inner())
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Mutex<T> {
        Mutex::new(T::default())
    }
}

fn unpoisoned<G>(result: Result<G, std::sync::PoisonError<G>>) -> G {
    result.unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        match &self.guard {
            Some(guard) => guard,
            None => unreachable!("a guard is empty only inside wait"),
        }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        match &mut self.guard {
            Some(guard) => guard,
            None => unreachable!("a guard is empty only inside wait"),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Condvar(LoomCondvar);

impl Default for Condvar {
    fn default() -> Condvar {
        Condvar::new()
    }
}

impl Condvar {
    pub(crate) fn new() -> Condvar {
        Condvar(LoomCondvar::new())
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        if let Some(inner) = guard.guard.take() {
            guard.guard = Some(unpoisoned(self.0.wait(inner)));
        }
    }

    /// loom has no time: with a deadline, every other thread gets a turn and then the time is over.
    pub(crate) fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, deadline: Option<std::time::Instant>) -> bool {
        if deadline.is_some() {
            return true;
        }
        self.wait(guard);
        false
    }

    /// In models nobody ticks.
    pub(crate) fn wait_ticking<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        tick: Option<std::time::Instant>,
        deadline: Option<std::time::Instant>,
    ) {
        self.wait_until(guard, deadline.or(tick));
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

pub(crate) mod atomic {
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
}

pub(crate) mod channel {
    pub(crate) use super::queue::{
        Either, RecvError, SendError, TrySendError, bounded, recv, recv_either, recv_unless, send, send_unless,
        try_next, try_send, unbounded, wait_any, wait_for,
    };
    pub(crate) use super::queue::{Receiver, Sender, Watched};
}

pub(crate) mod thread {
    use std::io;

    #[derive(Debug)]
    pub(crate) struct JoinHandle(loom::thread::JoinHandle<()>);

    pub(crate) type ThreadId = loom::thread::ThreadId;

    pub(crate) fn start(
        _name: String,
        _stack: Option<usize>,
        body: impl FnOnce() + Send + 'static,
    ) -> io::Result<JoinHandle> {
        Ok(JoinHandle(loom::thread::spawn(body)))
    }

    pub(crate) fn id() -> ThreadId {
        loom::thread::current().id()
    }

    pub(crate) fn sleep(time: std::time::Duration) {
        // No time passes, so others may as well have a turn.
        let _ = time;
        loom::thread::yield_now();
    }

    pub(crate) fn panicking() -> bool {
        std::thread::panicking()
    }

    impl JoinHandle {
        pub(crate) fn id(&self) -> ThreadId {
            self.0.thread().id()
        }

        pub(crate) fn join(self) {
            let _ = self.0.join();
        }

        /// loom cannot tell; `false` makes callers keep the handle and join it later.
        pub(crate) fn is_finished(&self) -> bool {
            false
        }
    }

    /// Spinning adds states and proves nothing.
    pub(crate) fn spin_while(_condition: impl Fn() -> bool) {}

    pub(crate) fn yield_for(_times: usize, _condition: impl FnMut() -> bool) {}

    pub(crate) fn spin_for(_turns: usize, _condition: impl FnMut() -> bool) {}
}

macro_rules! local {
    ($(#[$meta:meta])* $vis:vis static $name:ident: $ty:ty = $value:expr) => {
        ::loom::thread_local! { $(#[$meta])* $vis static $name: $ty = $value }
    };
}
pub(crate) use local;
