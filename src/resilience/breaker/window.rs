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
