//! The window: how many items there may be between sending and receiving.
//!
//! An item needs a credit to be accepted, and gives it back when its outcome is taken. `accepted` counts under the intake's lock;
//! `released` counts in one word that only the collector adds to. An item is accepted while `accepted - released` is below the
//! window, so the bound is exact at every moment.
//!
//! The word is `released << 1 | WAITED`. A sender that finds no room says at which count it wants to be woken (`wake_at`, written
//! under the intake's lock) and then sets the bit. **No wake-up is lost**: setting the bit and adding to the count are
//! read-modify-writes of one word, so one comes first. If the bit comes first, the collector's addition reads it, and with it
//! (it is a release sequence) `wake_at`, and the collector wakes the senders once the count is there. If the addition comes
//! first, the sender sees the new count, and does not wait. A sender that lowers `wake_at` sets the bit anew.
//!
//! **Half the window.** Senders are woken when half of the window is free: waking costs microseconds, and a woken sender is to have
//! something to do. A collector that stops before that would leave them waiting beside free places, so a sender waits for half
//! the window only for [`PATIENCE`], and then for one place.

use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{CachePadded, broken};
use std::time::Duration;

/// How long a sender waits for half the window before it is content with one place.
pub(super) const PATIENCE: Duration = Duration::from_micros(100);

const WAITED: usize = 1;
const ONE: usize = 2;

/// Counts are compared modulo this, which drops the bit that the word has no room for.
const COUNTS: usize = usize::MAX >> 1;

#[derive(Debug)]
pub(super) struct Credits {
    word: CachePadded<AtomicUsize>,
    wake_at: AtomicUsize,
    window: usize,
}

/// Whether the count has come to `target`.
fn reached(count: usize, target: usize) -> bool {
    count.wrapping_sub(target) & COUNTS <= COUNTS / 2
}

impl Credits {
    pub(super) fn new(window: usize) -> Credits {
        Credits { word: CachePadded::new(AtomicUsize::new(0)), wake_at: AtomicUsize::new(0), window }
    }

    pub(super) fn window(&self) -> usize {
        self.window
    }

    pub(super) fn released(&self) -> usize {
        self.word.load(Ordering::Acquire) / ONE
    }

    /// Items between sending and receiving, of those `accepted` so far.
    pub(super) fn in_flight(&self, accepted: usize, released: usize) -> usize {
        accepted.wrapping_sub(released) & COUNTS
    }

    /// Gives a credit back; returns whether senders are to be woken.
    pub(super) fn release(&self) -> bool {
        let before = self.word.fetch_add(if broken!("credit_lost") { 0 } else { ONE }, Ordering::AcqRel);
        let waited = before & WAITED != 0 && !broken!("release_wakes_nobody");
        waited && reached((before / ONE).wrapping_add(1), self.wake_at.load(Ordering::Relaxed))
    }

    /// Registers a sender, under the intake's lock, to be woken once `free` places of the window are. Returns false if they
    /// are already, and then it is not registered.
    pub(super) fn wait_for(&self, accepted: usize, free: usize) -> bool {
        let target = accepted.wrapping_add(free).wrapping_sub(self.window) & COUNTS;
        let waited = self.word.load(Ordering::Relaxed) & WAITED != 0;
        let earliest = self.wake_at.load(Ordering::Relaxed);
        // Others who wait for less must not be made to wait for more.
        if !waited || reached(earliest, target) {
            self.wake_at.store(target, Ordering::Relaxed);
        }
        let before = if broken!("wait_without_a_look") {
            self.word.fetch_or(WAITED, Ordering::AcqRel);
            return true;
        } else {
            self.word.fetch_or(WAITED, Ordering::AcqRel)
        };
        !reached(before / ONE, target)
    }

    /// Nobody is registered any more; under the intake's lock, by whoever wakes all senders.
    pub(super) fn woken(&self) {
        self.word.fetch_and(!WAITED, Ordering::AcqRel);
    }
}

#[cfg(all(test, not(fanpool_loom)))]
mod tests {
    use super::*;

    #[test]
    fn counts_are_exact_where_they_wrap() {
        let credits = Credits::new(4);
        let start = COUNTS - 1;
        credits.word.store(start * ONE, Ordering::Relaxed);
        let accepted = start.wrapping_add(4);
        assert_eq!(credits.in_flight(accepted, credits.released()), 4);
        assert!(credits.wait_for(accepted, 2));
        assert!(!credits.release(), "half the window is not free yet");
        assert!(credits.release());
        assert_eq!(credits.in_flight(accepted, credits.released()), 2);
    }

    #[test]
    fn a_sender_that_wants_less_is_not_made_to_wait_for_more() {
        let credits = Credits::new(8);
        assert!(credits.wait_for(8, 1));
        assert!(credits.wait_for(8, 4));
        assert!(credits.release());
    }
}
