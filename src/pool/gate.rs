//! Where workers wait while the pool is paused.

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Condvar, Mutex, broken};

#[derive(Debug)]
pub(super) struct Gate {
    /// Mirrors what is under the lock for a look between two tasks; written under the lock.
    paused: AtomicBool,
    is_paused: Mutex<bool>,
    moved: Condvar,
}

impl Gate {
    pub(super) fn new() -> Gate {
        Gate { paused: AtomicBool::new(false), is_paused: Mutex::new(false), moved: Condvar::new() }
    }

    pub(super) fn set(&self, paused: bool) {
        let mut is_paused = self.is_paused.lock();
        *is_paused = paused;
        self.paused.store(paused, Ordering::Release);
        if !broken!("resume_wakes_nobody") {
            self.moved.notify_all();
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    /// Blocks while the pool is paused.
    pub(super) fn pass(&self) {
        if self.is_paused() {
            let mut is_paused = self.is_paused.lock();
            while *is_paused {
                self.moved.wait(&mut is_paused);
            }
        }
    }
}
