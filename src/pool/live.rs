//! How many groups have detached tasks pending, and who wants to know when there are none.
//!
//! One word holds the count and two flags, so that every change is one read-modify-write and all changes have one order:
//!
//! * bits 2 and up: groups of detached tasks with at least one pending;
//! * bit 1, `WATCHED`: somebody waits for the count to be zero;
//! * bit 0, `ENDING`: the pool is being shut down, and its workers are to be retired once the count is zero.
//!
//! Setting a flag returns the count, lowering the count returns the flags. Of "the flag is set" and "the count is zero"
//! one comes second, and whoever does the second sees the first, acts on it, and is the only one to do so. A task that
//! makes another group busy raises the count before its own group lowers it, so zero means that nothing is queued or
//! running anywhere.

use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex, broken};

const ENDING: usize = 1;
const WATCHED: usize = 2;
const ONE: usize = 4;

#[derive(Debug)]
pub(super) struct Live {
    word: AtomicUsize,
    watch: Mutex<()>,
    idle: Condvar,
}

impl Live {
    pub(super) fn new() -> Live {
        Live { word: AtomicUsize::new(0), watch: Mutex::new(()), idle: Condvar::new() }
    }

    pub(super) fn enter(&self) {
        self.word.fetch_add(ONE, Ordering::Relaxed);
    }

    /// Returns whether this brought the count to zero while a flag is set; then [`Live::quiet`] is due.
    ///
    /// Releases what the group's tasks did to whoever reads a zero.
    pub(super) fn leave(&self) -> bool {
        let order = if broken!("leave_relaxed") { Ordering::Relaxed } else { Ordering::AcqRel };
        let before = self.word.fetch_sub(ONE, order);
        before < 2 * ONE && before & (ENDING | WATCHED) != 0
    }

    /// Whether anything is pending.
    pub(super) fn is_busy(&self) -> bool {
        self.word.fetch_add(0, Ordering::AcqRel) >= ONE
    }

    /// Wakes those who wait, and returns whether the workers are to be retired.
    pub(super) fn quiet(&self) -> bool {
        let watch = self.watch.lock();
        let flags = self.word.fetch_and(!WATCHED, Ordering::AcqRel);
        if flags & WATCHED != 0 && !broken!("idle_wakes_nobody") {
            self.idle.notify_all();
        }
        drop(watch);
        flags & ENDING != 0 && !broken!("end_not_told")
    }

    /// Begins the end. Returns whether nothing is pending, so that the caller retires the workers.
    pub(super) fn end(&self) -> bool {
        self.word.fetch_or(ENDING, Ordering::AcqRel) < ONE
    }

    /// Blocks until nothing is pending at some moment.
    ///
    /// The flag is set under the lock that `quiet` takes before it notifies, so the notice cannot come before the wait.
    pub(super) fn wait(&self) {
        let mut watch = self.watch.lock();
        while self.word.fetch_or(if broken!("watch_leaves_no_mark") { 0 } else { WATCHED }, Ordering::AcqRel) >= ONE {
            self.idle.wait(&mut watch);
        }
    }
}
