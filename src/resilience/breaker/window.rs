//! What a closed breaker remembers of the calls that were answered.

use super::machine::Now;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How many parts a window of time is made of.
pub(super) const SLOTS: usize = 10;

/// Calls, and how many of them failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) calls: u64,
    pub(super) failures: u64,
}

/// What a window is to be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Span {
    Calls(usize),
    Time(Duration),
}

pub(super) enum Window {
    /// Whether each of the last calls failed, oldest first. Room is taken as calls come.
    Calls { last: VecDeque<bool>, size: usize, failures: u64 },
    /// Slot `n` covers the time from `n * slot` to `(n + 1) * slot` after `from`; kept are `current` and those before it.
    Time { slots: [Tally; SLOTS], current: u128, slot: u128, from: Instant },
}

impl Window {
    pub(super) fn new(span: Span, now: &mut Now<'_>) -> Window {
        match span {
            Span::Calls(size) => Window::Calls { last: VecDeque::new(), size, failures: 0 },
            Span::Time(time) => {
                let slot = (time.as_nanos() / SLOTS as u128).max(1);
                Window::Time { slots: Default::default(), current: 0, slot, from: now.get() }
            }
        }
    }

    /// Adds calls that succeeded, unless one that failed is in the window; returns whether it did.
    pub(super) fn add_successes(&mut self, calls: u64, now: &mut Now<'_>) -> bool {
        match self {
            Window::Calls { last, size, failures } => {
                if *failures == 0 && last.len() < *size {
                    let len = (last.len() as u64).saturating_add(calls).min(*size as u64);
                    last.resize(len as usize, false);
                }
                *failures == 0
            }
            Window::Time { slots, .. } => {
                let clean = slots.iter().all(|slot| slot.failures == 0);
                if clean && calls > 0 {
                    self.add(false, now);
                    if let Window::Time { slots, current, .. } = self {
                        slots[(*current % SLOTS as u128) as usize].calls += calls - 1;
                    }
                }
                clean
            }
        }
    }

    /// Adds a call; returns what is in the window then, this call included.
    pub(super) fn add(&mut self, failed: bool, now: &mut Now<'_>) -> Tally {
        match self {
            Window::Calls { last, size, failures } => {
                if last.len() == *size && last.pop_front() == Some(true) {
                    *failures -= 1;
                }
                last.push_back(failed);
                *failures += u64::from(failed);
                Tally { calls: last.len() as u64, failures: *failures }
            }
            Window::Time { slots, current, slot, from } => {
                let reached = now.get().saturating_duration_since(*from).as_nanos() / *slot;
                // After a long pause, one round empties all of them.
                while *current < reached {
                    *current = (*current + 1).max(reached.saturating_sub(SLOTS as u128 - 1));
                    slots[(*current % SLOTS as u128) as usize] = Tally::default();
                }
                let own = &mut slots[(*current % SLOTS as u128) as usize];
                own.calls += 1;
                own.failures += u64::from(failed);
                slots.iter().fold(Tally::default(), |sum, slot| Tally {
                    calls: sum.calls + slot.calls,
                    failures: sum.failures + slot.failures,
                })
            }
        }
    }
}

#[cfg(all(test, not(fanpool_loom)))]
mod tests {
    use super::*;
    use crate::resilience::Clock;
    use crate::testing::ManualClock;

    /// Successes added together are the same as one by one, whatever was before.
    #[test]
    fn successes_may_be_added_together() {
        let clock = ManualClock::new();
        let time = Clock::from(&clock);
        for span in [Span::Calls(5), Span::Time(Duration::from_secs(1))] {
            for failed in [None, Some(0), Some(3)] {
                let mut windows = [(); 2].map(|()| Window::new(span, &mut Now::new(&time)));
                let mut last = [Tally::default(); 2];
                for calls in [1, 3, 2, 7, 1] {
                    clock.advance(Duration::from_millis(170));
                    for (one_by_one, (window, last)) in [true, false].into_iter().zip(windows.iter_mut().zip(&mut last))
                    {
                        if failed == Some(calls) {
                            window.add(true, &mut Now::new(&time));
                        }
                        if one_by_one || !window.add_successes(calls, &mut Now::new(&time)) {
                            (0..calls).for_each(|_| _ = window.add(false, &mut Now::new(&time)));
                        }
                        *last = window.add(false, &mut Now::new(&time));
                    }
                    assert_eq!(last[0], last[1], "{span:?} {failed:?}");
                }
            }
        }
    }
}
