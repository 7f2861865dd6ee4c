//! Locks and condition variables.

use super::member::{self, Member};
use super::scheduler::{What, Woken};
use crate::sync::real;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

#[derive(Default)]
pub(crate) struct Mutex<T> {
    /// The run of the member that holds the lock. Zero if none does; after the run is over it may be wrong, and is not looked at.
    holder: AtomicUsize,
    inner: real::Mutex<T>,
}

pub(crate) struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    // Empty only inside `Condvar::wait_until`.
    guard: Option<real::MutexGuard<'a, T>>,
}

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Mutex<T> {
        Mutex { holder: AtomicUsize::new(0), inner: real::Mutex::new(value) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        let guard = match member::current() {
            None => self.inner.lock(),
            Some(member) => {
                member.switch();
                self.lock_as(&member)
            }
        };
        MutexGuard { mutex: self, guard: Some(guard) }
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let member = member::current();
        member.iter().for_each(Member::switch);
        let guard = self.inner.try_lock()?;
        if let Some(member) = member {
            self.holder.store(member.scheduler.id, Ordering::Relaxed);
        }
        Some(MutexGuard { mutex: self, guard: Some(guard) })
    }

    pub(crate) fn into_inner(self) -> T {
        self.inner.into_inner()
    }

    fn key(&self) -> usize {
        ptr::from_ref(&self.holder).addr()
    }

    /// Takes the lock, without a step before. Nobody else of the run is between the attempt and the waiting.
    fn lock_as(&self, member: &Member) -> real::MutexGuard<'_, T> {
        let guard = loop {
            if let Some(guard) = self.inner.try_lock() {
                break guard;
            }
            if self.holder.load(Ordering::Relaxed) != member.scheduler.id {
                // A stranger gives it back without our help.
                break self.inner.lock();
            }
            if member.wait(What::Lock, self.key(), None) == Woken::Over {
                return self.inner.lock();
            }
        };
        self.holder.store(member.scheduler.id, Ordering::Relaxed);
        guard
    }
}

impl<T> MutexGuard<'_, T> {
    /// Gives the lock back; returns the member that others of its run may have waited for.
    fn release(&mut self) -> Option<Member> {
        // Before it is unlocked: a stranger leaves the mark as it is.
        let marked = self.mutex.holder.load(Ordering::Relaxed) != 0;
        if marked {
            self.mutex.holder.store(0, Ordering::Relaxed);
        }
        self.guard = None;
        if marked { member::current() } else { None }
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        if let Some(member) = self.release() {
            member.give(What::Lock, self.mutex.key());
        }
    }
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

impl<T: fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Condvar {
    /// Not empty, so that the address is nobody else's.
    inner: real::Condvar,
}

impl Condvar {
    pub(crate) const fn new() -> Condvar {
        Condvar { inner: real::Condvar::new() }
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        match (member::current(), &mut guard.guard) {
            (None, Some(guard)) => self.inner.wait(guard),
            _ => {
                self.wait_until(guard, None);
            }
        }
    }

    /// Waits until notified or until `deadline`; `None` never runs out. Returns whether the time ran out.
    pub(crate) fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, deadline: Option<Instant>) -> bool {
        let Some(member) = member::current() else {
            return guard.guard.as_mut().is_some_and(|guard| self.inner.wait_until(guard, deadline));
        };
        self.wait_as(&member, guard, None, deadline) == Woken::Late
    }

    /// Waits until notified, until `tick` or until `deadline`. In a run, ticks end by themselves if nobody else makes a step between.
    pub(crate) fn wait_ticking<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        tick: Option<Instant>,
        deadline: Option<Instant>,
    ) {
        match (member::current(), &mut guard.guard) {
            (None, Some(guard)) => self.inner.wait_ticking(guard, tick, deadline),
            (None, None) => unreachable!("a guard is empty only inside wait"),
            (Some(member), _) => {
                self.wait_as(&member, guard, tick, deadline);
            }
        }
    }

    fn wait_as<T>(
        &self,
        member: &Member,
        guard: &mut MutexGuard<'_, T>,
        tick: Option<Instant>,
        deadline: Option<Instant>,
    ) -> Woken {
        // No step between: nobody of the run can notify before the waiting is noted.
        if guard.release().is_some() {
            member.wake(What::Lock, guard.mutex.key());
        }
        let woken = member.wait_ticking(self.key(), tick, deadline);
        let mutex = guard.mutex;
        guard.guard = Some(if woken == Woken::Over { mutex.inner.lock() } else { mutex.lock_as(member) });
        woken
    }

    pub(crate) fn notify_all(&self) {
        // For strangers.
        self.inner.notify_all();
        if let Some(member) = member::current() {
            member.give(What::Notice, self.key());
        }
    }

    fn key(&self) -> usize {
        ptr::from_ref(&self.inner).addr()
    }
}
