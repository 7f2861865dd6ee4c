//! A run of items side by side, each of which turns into its result where it stands.
//!
//! All state is behind one lock, which is held to move items and results and never while user code runs:
//!
//! * `claimed`: items before it were taken by some thread; what follows waits.
//! * `done`: how many have their result (or were settled otherwise).
//! * `queued`: whether a job that points here is in the group's queue. **The invariant**, whenever nobody holds the lock: *if an item
//!   is unclaimed then `queued`*, the job being in the queue or about to be put there by whoever set it. So a worker that is free
//!   finds every unclaimed item, also those beside one that takes long.
//! * `wanted`: the slot whose result the collector is parked for. Whoever fills it clears the mark and nudges the collector.
//! * `closed`: nobody wants results any more.

use crate::panics::Payload;
use crate::sync::{CachePadded, Mutex};

/// An item, on its way to being a result.
#[derive(Debug)]
pub(super) enum Slot<T, R> {
    Waiting(T),
    Claimed,
    Done(R),
    /// Its result is part of another's.
    Merged,
    Panicked(Payload),
    /// Was dropped without being started.
    Unrun,
    /// Holds no item; keeps the count of the others.
    Absent,
}

impl<T, R> Slot<T, R> {
    fn is_settled(&self) -> bool {
        matches!(self, Slot::Done(_) | Slot::Merged | Slot::Panicked(_) | Slot::Unrun)
    }
}

/// Marks any slot as wanted.
const ANY: usize = usize::MAX;

#[derive(Debug)]
struct State<T, R> {
    slots: Vec<Slot<T, R>>,
    claimed: usize,
    done: usize,
    /// Slots before it were collected (in order).
    collected: usize,
    queued: bool,
    wanted: Option<usize>,
    closed: bool,
}

#[derive(Debug)]
pub(super) struct Segment<T, R> {
    state: CachePadded<Mutex<State<T, R>>>,
}

/// Results to put back: where they begin, and one slot for each item that was claimed.
pub(super) struct Deposit<T, R> {
    pub(super) at: usize,
    pub(super) slots: Vec<Slot<T, R>>,
}

impl<T, R> Deposit<T, R> {
    pub(super) fn new() -> Deposit<T, R> {
        Deposit { at: 0, slots: Vec::new() }
    }
}

/// What one turn at a segment asks for, once its lock is free again.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// Push a job for this segment.
    pub(super) push: bool,
    /// Nudge the collector.
    pub(super) nudge: bool,
}

impl<T, R> Segment<T, R> {
    pub(super) fn new(capacity: usize) -> Segment<T, R> {
        let state = State {
            slots: Vec::with_capacity(capacity),
            claimed: 0,
            done: 0,
            collected: 0,
            queued: false,
            wanted: None,
            closed: false,
        };
        Segment { state: CachePadded::new(Mutex::new(state)) }
    }

    /// Adds items; returns whether to push a job.
    pub(super) fn append(&self, items: &mut Vec<Slot<T, R>>) -> bool {
        let mut state = self.state.lock();
        state.slots.append(items);
        !std::mem::replace(&mut state.queued, true)
    }

    /// Puts results back and claims up to `claim(unclaimed)` further items into `items`. `arrival` tells that the caller took
    /// the job that was queued. Results that nobody wants stay in the deposit.
    pub(super) fn turn(
        &self,
        deposit: &mut Deposit<T, R>,
        items: &mut Vec<T>,
        arrival: bool,
        claim: impl FnOnce(usize) -> usize,
    ) -> Turn {
        let mut turn = Turn::default();
        let mut state = self.state.lock();
        let state = &mut *state;
        if !deposit.slots.is_empty() && !state.closed {
            let filled = deposit.at..deposit.at + deposit.slots.len();
            state.done += deposit.slots.len();
            if state.wanted.is_some_and(|wanted| wanted == ANY || filled.contains(&wanted)) {
                state.wanted = None;
                turn.nudge = !crate::sync::broken!("deposit_wakes_no_collector");
            }
            for (slot, result) in state.slots[filled].iter_mut().zip(deposit.slots.drain(..)) {
                *slot = result;
            }
        }
        state.queued &= !arrival;
        let left = state.slots.len() - state.claimed;
        let count = claim(left);
        deposit.at = state.claimed;
        for slot in &mut state.slots[state.claimed..state.claimed + count] {
            if let Slot::Waiting(item) = std::mem::replace(slot, Slot::Claimed) {
                items.push(item);
            }
        }
        state.claimed += count;
        if left > count && !state.queued && !crate::sync::broken!("claim_queues_none") {
            state.queued = true;
            turn.push = true;
        }
        turn
    }

    /// Whether an item waits to be claimed.
    pub(super) fn has_unclaimed(&self) -> bool {
        let state = self.state.lock();
        state.claimed < state.slots.len()
    }

    /// If every item is settled, takes all that were not collected, with the position of the first.
    pub(super) fn take_all(&self) -> Option<(usize, Vec<Slot<T, R>>)> {
        let mut state = self.state.lock();
        if state.done < state.slots.len() || state.slots.is_empty() {
            return None;
        }
        let mut slots = std::mem::take(&mut state.slots);
        let collected = state.collected;
        state.claimed = 0;
        state.done = 0;
        drop(state);
        Some((collected, if collected == 0 { slots } else { slots.split_off(collected) }))
    }

    /// Takes what is settled: in order up to the first that is not, or (`ordered` false) every one, with `Absent` in
    /// between. If there is nothing, marks what the caller is going to wait for (`want`).
    pub(super) fn take_some(&self, ordered: bool, want: bool) -> Option<(usize, Vec<Slot<T, R>>)> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let from = state.collected;
        let mut taken = Vec::new();
        for slot in &mut state.slots[from..] {
            if slot.is_settled() {
                taken.push(std::mem::replace(slot, Slot::Absent));
            } else if ordered {
                break;
            } else {
                taken.push(Slot::Absent);
            }
        }
        if ordered {
            state.collected += taken.len();
        }
        if taken.iter().any(|slot| !matches!(slot, Slot::Absent)) {
            return Some((from, taken));
        }
        if want {
            state.wanted = Some(if ordered { from } else { ANY });
        }
        None
    }

    /// Whether what [`Segment::take_some`] would take is still missing; marks it as wanted.
    pub(super) fn lacks(&self, ordered: bool) -> bool {
        let mut state = self.state.lock();
        let state = &mut *state;
        let from = state.collected;
        let settled = if ordered {
            state.slots.get(from).is_some_and(Slot::is_settled)
        } else {
            state.slots[from..].iter().any(Slot::is_settled)
        };
        if !settled {
            state.wanted = Some(if ordered { from } else { ANY });
        }
        !settled
    }

    /// Takes every item that nobody has claimed and puts `Unrun` in its place.
    pub(super) fn give_up(&self) -> Vec<Slot<T, R>> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let from = std::mem::replace(&mut state.claimed, state.slots.len());
        state.done += state.slots.len() - from;
        state.slots[from..].iter_mut().map(|slot| std::mem::replace(slot, Slot::Unrun)).collect()
    }

    /// Nobody collects any more: takes everything, and what runs will be dropped by whoever runs it.
    pub(super) fn close(&self) -> Vec<Slot<T, R>> {
        let mut state = self.state.lock();
        state.closed = true;
        state.claimed = 0;
        state.done = 0;
        state.collected = 0;
        std::mem::take(&mut state.slots)
    }
}
