//! Where workers wait while the pool is paused.

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Condvar, Mutex, broken};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    Open,
    Paused,
    /// Open for good: the pool is being shut down.
    Ended,
}

#[derive(Debug)]
pub(super) struct Gate {
    /// Mirrors `Position::Paused` for a look between two tasks; written under the lock.
    paused: AtomicBool,
    position: Mutex<Position>,
    moved: Condvar,
}

impl Gate {
    pub(super) fn new() -> Gate {
        Gate { paused: AtomicBool::new(false), position: Mutex::new(Position::Open), moved: Condvar::new() }
    }

    fn set(&self, to: Position) {
        let mut position = self.position.lock();
        // A pause that comes after the end changes nothing: workers that are to leave must not wait.
        if *position != Position::Ended || broken!("pause_after_the_end") {
            *position = to;
            self.paused.store(to == Position::Paused, Ordering::Release);
        }
        if !broken!("resume_wakes_nobody") {
            self.moved.notify_all();
        }
    }

    pub(super) fn pause(&self) {
        self.set(Position::Paused);
    }

    pub(super) fn resume(&self) {
        self.set(Position::Open);
    }

    pub(super) fn end(&self) {
        self.set(Position::Ended);
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    /// Blocks while the pool is paused.
    pub(super) fn pass(&self) {
        if self.is_paused() {
            let mut position = self.position.lock();
            while *position == Position::Paused {
                self.moved.wait(&mut position);
            }
        }
    }
}
