//! Who waits for a breaker.
//!
//! Whoever is refused, and puts something off, looks at the breaker once more afterwards. A breaker that has room again calls those that
//! wait, after the section that made the room. So what was put off is there when they are called, or the second look finds the room.

use crate::panics;
use crate::sync::{Mutex, Weak};

/// Has something that waits until a breaker admits calls.
pub(crate) trait Waiter: Send + Sync {
    /// Called with no lock held, by the thread that made room.
    fn admits_again(&self);
}

/// All that wait for any breaker of a family.
#[derive(Default)]
pub(super) struct Waiters(Mutex<Vec<Weak<dyn Waiter>>>);

impl Waiters {
    pub(super) fn add(&self, waiter: Weak<dyn Waiter>) {
        let mut waiters = self.0.lock();
        waiters.retain(|other| other.strong_count() > 0);
        waiters.push(waiter);
    }

    pub(super) fn call(&self) {
        let waiters = self.0.lock().clone();
        for waiter in waiters.iter().filter_map(Weak::upgrade) {
            waiter.admits_again();
            // This may have been the last that kept a handler alive.
            panics::drop_each([waiter]);
        }
    }
}
