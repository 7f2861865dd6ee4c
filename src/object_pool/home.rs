//! The counts and idle objects of an object pool, and the protocol of waiting; `super` tells it in sentences.

use crate::panics;
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, broken, thread};
use std::collections::VecDeque;
use std::mem;
use std::time::Instant;

pub(super) type Reset<T> = Box<dyn Fn(&mut T) + Send + Sync>;
pub(super) type Check<T> = Box<dyn Fn(&mut T) -> bool + Send + Sync>;

/// What a claim has won.
pub(super) enum Claim<T> {
    /// An object that was idle, in its place.
    Object(T),
    /// A place, for an object that the claimant makes.
    Place,
}

/// Why a claim won nothing.
pub(super) enum Missed {
    Empty,
    TimedOut,
}

/// For how long a claim may wait.
#[derive(Clone, Copy)]
pub(super) enum Patience {
    None,
    /// `None` never runs out.
    Until(Option<Instant>),
}

/// What became of an object that leaves the pool.
#[derive(Clone, Copy)]
pub(super) enum Leave {
    ThrownOut,
    Detached,
    NotMade,
}

/// One who waits and has been promised nothing yet.
struct Waiter {
    /// Greater than those of all before it in the queue.
    ticket: u64,
    /// Nobody else waits on it.
    bell: Arc<Condvar>,
}

/// Everything is read and written under the lock.
pub(super) struct State<T> {
    pub(super) max: usize,
    /// The newest is at the end, and goes first.
    pub(super) idle: Vec<T>,
    /// Objects that exist, idle ones included, and those being made. At most `max`.
    places: usize,
    pub(super) making: usize,
    /// Those without a promise, in the order of their coming.
    queue: VecDeque<Waiter>,
    /// How many have left the queue with a promise and not taken it yet. At most `free`.
    promised: usize,
    pub(super) made: u64,
    pub(super) taken: u64,
    pub(super) refused: u64,
    pub(super) failed: u64,
    pub(super) thrown_out: u64,
    pub(super) detached: u64,
    pub(super) waits: u64,
}

impl<T> State<T> {
    /// How many claims could be served now.
    fn free(&self) -> usize {
        self.idle.len() + (self.max - self.places)
    }

    pub(super) fn lent(&self) -> usize {
        self.places - self.idle.len() - self.making
    }

    fn take(&mut self) -> Option<Claim<T>> {
        if let Some(object) = self.idle.pop() {
            self.taken += 1;
            return Some(Claim::Object(object));
        }
        if self.places == self.max {
            return None;
        }
        self.places += 1;
        self.making += 1;
        Some(Claim::Place)
    }

    pub(super) fn waiting(&self) -> usize {
        self.queue.len() + self.promised
    }

    /// Promises what has just become free to the first in the queue, whose bell must be rung then.
    #[must_use]
    fn promise(&mut self) -> Option<Arc<Condvar>> {
        debug_assert!(self.promised < self.free(), "something has become free");
        let first = self.queue.pop_front()?;
        self.promised += 1;
        Some(first.bell)
    }
}

pub(super) struct Home<T> {
    state: Mutex<State<T>>,
    reset: Option<Reset<T>>,
    check: Option<Check<T>>,
}

impl<T> Home<T> {
    pub(super) fn new(max: usize, reset: Option<Reset<T>>, check: Option<Check<T>>) -> Home<T> {
        let state = State {
            max,
            idle: Vec::new(),
            places: 0,
            making: 0,
            queue: VecDeque::new(),
            promised: 0,
            made: 0,
            taken: 0,
            refused: 0,
            failed: 0,
            thrown_out: 0,
            detached: 0,
            waits: 0,
        };
        Home { state: Mutex::new(state), reset, check }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock()
    }

    /// Takes an idle object, or else a place, as soon as there is one that nobody else has been promised.
    pub(super) fn claim(&self, patience: Patience) -> Result<Claim<T>, Missed> {
        let mut state = self.state.lock();
        if state.free() > state.promised || broken!("object_promise_ignored") {
            if let Some(claim) = state.take() {
                return Ok(claim);
            }
        }
        let Patience::Until(deadline) = patience else { return Err(Missed::Empty) };
        let (ticket, bell) = (state.waits, Arc::new(Condvar::new()));
        state.waits += 1;
        state.queue.push_back(Waiter { ticket, bell: bell.clone() });
        loop {
            let over = bell.wait_until(&mut state, deadline);
            // Whoever has been promised something is no longer in the queue, and takes it even if its time is over too.
            match state.queue.binary_search_by_key(&ticket, |waiter| waiter.ticket) {
                Err(_) => {
                    if let Some(claim) = state.take() {
                        state.promised -= 1;
                        return Ok(claim);
                    }
                    debug_assert!(false, "what is promised is free");
                }
                Ok(place) if over => {
                    // Nothing was promised to it, and from here on nothing can be.
                    state.queue.remove(place);
                    return Err(Missed::TimedOut);
                }
                Ok(_) => {}
            }
        }
    }

    /// Whether an object may be lent again.
    pub(super) fn passes(&self, object: &mut T) -> bool {
        let Some(check) = &self.check else { return true };
        match panics::catch(|| check(object)) {
            Ok(passes) => passes,
            Err(payload) => {
                panics::discard(payload);
                false
            }
        }
    }

    /// Throws out an object that did not pass, and gives its claimant another one, or its place.
    pub(super) fn replace(&self, refused: T) -> Claim<T> {
        // It exists until its `Drop` has ended, and keeps its place for so long.
        panics::drop_each([refused]);
        let mut state = self.state.lock();
        state.refused += 1;
        state.thrown_out += 1;
        // The claimant comes with a place and leaves with one, so no more and no less is free than before.
        match state.idle.pop() {
            Some(object) => {
                state.places -= 1;
                state.taken += 1;
                Claim::Object(object)
            }
            None => {
                state.making += 1;
                Claim::Place
            }
        }
    }

    /// The object for a claimed place is there.
    pub(super) fn note_made(&self) {
        let mut state = self.state.lock();
        state.making -= 1;
        state.made += 1;
    }

    /// Takes back an object that was lent.
    pub(super) fn take_back(&self, mut object: T) {
        if thread::panicking() || !self.is_reset(&mut object) {
            panics::drop_each([object]);
            self.leave(Leave::ThrownOut);
            return;
        }
        let mut state = self.state.lock();
        state.idle.push(object);
        let due = state.promise();
        drop(state);
        if !broken!("object_return_wakes_nobody") {
            ring(due);
        }
    }

    fn is_reset(&self, object: &mut T) -> bool {
        let Some(reset) = &self.reset else { return true };
        panics::catch(|| reset(object)).map_err(panics::discard).is_ok()
    }

    /// Gives a place back whose object is gone, or never came.
    pub(super) fn leave(&self, how: Leave) {
        let mut state = self.state.lock();
        state.places -= 1;
        match how {
            Leave::ThrownOut => state.thrown_out += 1,
            Leave::Detached => state.detached += 1,
            Leave::NotMade => {
                state.making -= 1;
                state.failed += 1;
            }
        }
        let due = state.promise();
        drop(state);
        let silent = match how {
            Leave::ThrownOut => broken!("object_thrown_out_wakes_nobody"),
            Leave::Detached => broken!("object_detached_wakes_nobody"),
            Leave::NotMade => broken!("object_not_made_wakes_nobody"),
        };
        if !silent {
            ring(due);
        }
    }
}

/// Wakes the one who has a promise, outside of the lock, which it is about to take.
fn ring(bell: Option<Arc<Condvar>>) {
    if let Some(bell) = bell {
        bell.notify_all();
    }
}

impl<T> Drop for Home<T> {
    /// Nobody waits, and whoever drops this may be a guard on any thread: what panics here is contained.
    fn drop(&mut self) {
        let idle = mem::take(&mut self.state.lock().idle);
        panics::drop_each(idle);
        panics::drop_each(self.reset.take());
        panics::drop_each(self.check.take());
    }
}
