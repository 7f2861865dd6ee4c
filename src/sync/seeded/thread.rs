//! Threads: those that a member starts are members.

use super::member::{self, Member};
use super::scheduler::{Scheduler, What, Woken};
use crate::sync::Arc;
use crate::sync::real::thread as real;
use std::io;
use std::time::Duration;

pub(crate) use real::{ThreadId, id, panicking};

/// Turns of spinning in which others may be picked. What is spun for cannot change in the others.
const TURNS: usize = 2;

pub(crate) struct JoinHandle {
    thread: real::JoinHandle,
    /// Its number in its run.
    member: Option<(Arc<Scheduler>, usize)>,
}

/// Starts a thread. The name must hold no NUL byte.
pub(crate) fn start(
    name: String,
    stack: Option<usize>,
    body: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle> {
    let Some(member) = member::current() else {
        return real::start(name, stack, body).map(|thread| JoinHandle { thread, member: None });
    };
    let scheduler = member.scheduler.clone();
    let (index, own) = (scheduler.add(name.clone()), scheduler.clone());
    let started = real::start(name, stack, move || {
        Member::enter(own, index);
        body();
    });
    match started {
        Ok(thread) => {
            member.switch();
            Ok(JoinHandle { thread, member: Some((scheduler, index)) })
        }
        Err(refused) => {
            scheduler.forget(index);
            Err(refused)
        }
    }
}

pub(crate) fn sleep(time: Duration) {
    let Some(member) = member::current() else { return real::sleep(time) };
    let until = member.scheduler.now().checked_add(time);
    if member.wait(What::Time, 0, until) == Woken::Over {
        let left = until.map(|until| until.saturating_duration_since(member.scheduler.now()));
        real::sleep(left.unwrap_or(time));
    }
}

impl JoinHandle {
    pub(crate) fn id(&self) -> ThreadId {
        self.thread.id()
    }

    /// Waits until the thread has ended, thread-local destructors included.
    pub(crate) fn join(self) {
        if let (Some(member), Some((scheduler, index))) = (member::current(), &self.member) {
            member.switch();
            if Arc::ptr_eq(scheduler, &member.scheduler) {
                while !scheduler.has_ended(*index) && member.wait(What::End, *index, None) != Woken::Over {}
            }
        }
        self.thread.join();
    }

    pub(crate) fn is_finished(&self) -> bool {
        match &self.member {
            Some((scheduler, index)) if !scheduler.is_over() => scheduler.has_ended(*index),
            _ => self.thread.is_finished(),
        }
    }
}

/// A condition that is asked so often, with others picked in the first turns.
fn spin(turns: usize, mut condition: impl FnMut() -> bool) -> bool {
    let Some(member) = member::current() else { return false };
    for turn in 0..turns {
        if !condition() {
            break;
        }
        if turn < TURNS {
            member.switch();
        }
    }
    true
}

/// Spins while `condition` holds, for a bounded few microseconds.
pub(crate) fn spin_while(condition: impl Fn() -> bool) {
    if !spin(TURNS, &condition) {
        real::spin_while(condition);
    }
}

/// Lets other threads run while `condition` holds, so many times at most.
pub(crate) fn yield_for(times: usize, mut condition: impl FnMut() -> bool) {
    if !spin(times, &mut condition) {
        real::yield_for(times, condition);
    }
}

/// Spins while `condition` holds, for so many turns at most.
pub(crate) fn spin_for(turns: usize, mut condition: impl FnMut() -> bool) {
    if !spin(turns, &mut condition) {
        real::spin_for(turns, condition);
    }
}

impl std::fmt::Debug for JoinHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.thread.fmt(f)
    }
}
