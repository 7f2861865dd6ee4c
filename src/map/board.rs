//! What the calling thread and the workers of one map share: batches that wait or run, and results.
//!
//! It is behind one lock, which is held to move batches and never while user code runs:
//!
//! * `fresh`: batches that wait for a thread, by the index of their first item; `open` is the last of them, while it is being
//!   filled item by item.
//! * `running`: batches that some thread has begun. The items that it has not started stay where others can get at them, behind
//!   a small lock for each batch.
//! * `done`: results that are not collected yet.
//! * `queued`: whether a job of this map is in the group's queue. **The invariant**, whenever nobody holds the lock: *if an
//!   item waits, in whatever batch, then `queued`*, the job being in the queue or about to be put there by whoever set it.
//!   So every worker that is free comes as long as there is something to start, also what stands behind an item that takes
//!   long. The number of items that wait grows only here, under the lock, so the invariant is kept by looking at each
//!   such place and where `queued` is cleared.
//! * `wanted`: what the calling thread is parked for. Whoever brings it clears the mark and nudges the calling thread.
//! * `closed`: nobody wants results any more.
//!
//! The lock order is board, then batch.

use crate::panics::{self, Payload};
use crate::sync::{Arc, CachePadded, Mutex, broken};
use std::collections::VecDeque;
use std::mem;

/// Items in a row, from index `at` on.
#[derive(Debug)]
pub(super) struct Batch<T> {
    pub(super) at: usize,
    pub(super) items: VecDeque<T>,
}

/// A batch that a thread has begun: what it has not started.
#[derive(Debug)]
pub(super) struct Running<T> {
    waiting: CachePadded<Mutex<Batch<T>>>,
}

/// What became of the items from index `at` on.
#[derive(Debug)]
pub(super) struct Done<R> {
    pub(super) at: usize,
    /// How many items this settles.
    pub(super) count: usize,
    /// How many of them have run to their end.
    pub(super) ran: usize,
    /// One for each item up to the end; where results are merged, one for all.
    pub(super) results: Vec<R>,
    pub(super) end: End,
}

/// What comes after the results.
#[derive(Debug)]
pub(super) enum End {
    /// Nothing: every item has run.
    Whole,
    /// The next item panicked, and those after it were dropped.
    Panicked(Payload),
    /// The remaining items were dropped without being started.
    Unrun,
}

impl End {
    pub(super) fn discard(self) {
        if let End::Panicked(payload) = self {
            panics::discard(payload);
        }
    }
}

impl<R> Done<R> {
    /// Drops what nobody wants.
    pub(super) fn discard(self) {
        panics::drop_each(self.results);
        self.end.discard();
    }
}

/// What the calling thread is parked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// What begins with this item.
    At(usize),
    Any,
}

#[derive(Debug)]
struct State<T, R> {
    fresh: VecDeque<Batch<T>>,
    open: Batch<T>,
    running: Vec<Arc<Running<T>>>,
    done: Vec<Done<R>>,
    queued: bool,
    wanted: Option<Wanted>,
    closed: bool,
}

#[derive(Debug)]
pub(super) struct Board<T, R> {
    state: CachePadded<Mutex<State<T, R>>>,
}

/// What a thread that runs items brings to the board.
#[derive(Debug)]
pub(super) struct Bring<T, R> {
    pub(super) done: Option<Done<R>>,
    /// The batch that it has run to its end.
    pub(super) ran: Option<Arc<Running<T>>>,
    /// It took the job that was queued.
    pub(super) arrival: bool,
}

/// What a thread takes from the board, and what it has to do once the lock is free.
#[derive(Debug)]
pub(super) struct Turn<T, R> {
    pub(super) batch: Option<Arc<Running<T>>>,
    /// Queue a job for this map.
    pub(super) push: bool,
    /// Nudge the calling thread.
    pub(super) nudge: bool,
    /// What was brought and nobody wants; to be dropped.
    pub(super) refused: Option<Done<R>>,
}

impl<T> Batch<T> {
    /// Takes the last of the items, all but `keep`.
    fn split(&mut self, keep: usize) -> Batch<T> {
        Batch { at: self.at + keep, items: self.items.split_off(keep) }
    }
}

impl<T> Running<T> {
    fn new(batch: Batch<T>) -> Arc<Running<T>> {
        Arc::new(Running { waiting: CachePadded::new(Mutex::new(batch)) })
    }

    /// Takes up to `count` items to run them now; returns the index of the first.
    pub(super) fn take(&self, count: usize, into: &mut VecDeque<T>) -> usize {
        let mut waiting = self.waiting.lock();
        let at = waiting.at;
        let count = count.min(waiting.items.len());
        waiting.at += count;
        if count == 1 {
            into.extend(waiting.items.pop_front());
        } else {
            into.extend(waiting.items.drain(..count));
        }
        at
    }

    /// How many items wait.
    pub(super) fn left(&self) -> usize {
        self.waiting.lock().items.len()
    }

    /// Takes all that wait.
    pub(super) fn take_all(&self) -> Batch<T> {
        self.waiting.lock().split(0)
    }

    /// Takes the second half of what waits.
    fn steal(&self) -> Option<Batch<T>> {
        let mut waiting = self.waiting.lock();
        let keep = waiting.items.len() / 2;
        if waiting.items.is_empty() { None } else { Some(waiting.split(keep)) }
    }
}

impl<T, R> State<T, R> {
    fn waits(&self) -> bool {
        !self.fresh.is_empty() || !self.open.items.is_empty() || self.running.iter().any(|running| running.left() > 0)
    }

    /// Keeps up the invariant; returns whether to push a job.
    fn queue(&mut self) -> bool {
        !self.queued && self.waits() && !mem::replace(&mut self.queued, true)
    }

    /// Ends the open batch.
    fn shut(&mut self) {
        if !self.open.items.is_empty() {
            let batch = self.open.split(0);
            self.fresh.push_back(batch);
        }
    }

    fn is_wanted(&self, at: usize) -> bool {
        match self.wanted {
            Some(Wanted::Any) => true,
            Some(Wanted::At(wanted)) => wanted == at,
            None => false,
        }
    }

    /// The oldest items that wait: of a fresh batch about `size`, or else half of what waits in one that runs.
    fn take(&mut self, size: usize) -> Option<Batch<T>> {
        if self.fresh.is_empty() {
            self.shut();
        }
        let Some(mut oldest) = self.fresh.pop_front() else {
            return self
                .running
                .iter()
                .find_map(|running| if broken!("map_takes_over_none") { None } else { running.steal() });
        };
        // What would be left must be worth it.
        if oldest.items.len() > size.saturating_add(size / 2) {
            let rest = oldest.split(size);
            self.fresh.push_front(rest);
        }
        Some(oldest)
    }

    /// Takes all that waits.
    fn take_all(&mut self) -> Vec<Batch<T>> {
        self.shut();
        let running = self.running.iter().map(|running| running.take_all());
        self.fresh.drain(..).chain(running).filter(|batch| !batch.items.is_empty()).collect()
    }
}

impl<T, R> Board<T, R> {
    pub(super) fn new() -> Board<T, R> {
        let state = State {
            fresh: VecDeque::new(),
            open: Batch { at: 0, items: VecDeque::new() },
            running: Vec::new(),
            done: Vec::new(),
            queued: false,
            wanted: None,
            closed: false,
        };
        Board { state: CachePadded::new(Mutex::new(state)) }
    }

    /// Adds a batch behind all others; returns whether to push a job.
    pub(super) fn append(&self, batch: Batch<T>) -> bool {
        let mut state = self.state.lock();
        state.shut();
        state.fresh.push_back(batch);
        state.queue() && !broken!("map_feed_queues_none")
    }

    /// Adds one item, with the index `at`, behind all batches; of such items `full` make a batch. Returns whether to push
    /// a job.
    pub(super) fn add(&self, at: usize, item: T, full: usize) -> bool {
        let mut state = self.state.lock();
        if state.open.items.is_empty() {
            state.open.at = at;
        }
        state.open.items.push_back(item);
        if state.open.items.len() >= full {
            state.shut();
        }
        state.queue()
    }

    /// Leaves what the caller brings and, unless it is `leaving`, takes the oldest items that wait: about `size()` of them.
    pub(super) fn turn(&self, bring: Bring<T, R>, leaving: bool, size: impl FnOnce() -> usize) -> Turn<T, R> {
        let mut turn = Turn { batch: None, push: false, nudge: false, refused: None };
        let mut state = self.state.lock();
        let state = &mut *state;
        state.queued &= !bring.arrival || broken!("map_arrival_stays_queued");
        if state.closed {
            turn.refused = bring.done;
            return turn;
        }
        if let Some(done) = bring.done {
            turn.nudge = state.is_wanted(done.at) && !broken!("map_done_wakes_nobody");
            state.done.push(done);
            if turn.nudge {
                state.wanted = None;
            }
        }
        if let Some(ran) = bring.ran {
            state.running.retain(|running| !Arc::ptr_eq(running, &ran));
        }
        if !leaving {
            turn.batch = state.take(size().max(1)).map(Running::new);
            state.running.extend(turn.batch.clone());
        }
        turn.push = state.queue() && !broken!("map_turn_queues_none");
        turn
    }

    /// Whether a thread that comes finds no batch that nobody has begun.
    pub(super) fn is_dry(&self) -> bool {
        let state = self.state.lock();
        state.fresh.is_empty() && state.open.items.is_empty()
    }

    /// Moves what is done into `into`.
    pub(super) fn collect(&self, into: &mut Vec<Done<R>>) {
        into.append(&mut self.state.lock().done);
    }

    /// Whether there is nothing to collect of what is `wanted` and, if the caller is `free` to run items, none to run either;
    /// then marks it as wanted.
    pub(super) fn lacks(&self, wanted: Wanted, free: bool) -> bool {
        let mut state = self.state.lock();
        let there = match wanted {
            Wanted::Any => !state.done.is_empty(),
            Wanted::At(at) => state.done.iter().any(|done| done.at == at),
        };
        let lacks = !(there || free && state.waits());
        if lacks && !broken!("map_parks_unmarked") {
            state.wanted = Some(wanted);
        }
        lacks
    }

    /// Takes everything that waits; the caller settles the items.
    pub(super) fn give_up(&self) -> Vec<Batch<T>> {
        self.state.lock().take_all()
    }

    /// Nobody collects any more: takes everything, and what runs will be dropped by whoever runs it.
    pub(super) fn close(&self) -> (Vec<Batch<T>>, Vec<Done<R>>) {
        let mut state = self.state.lock();
        state.closed = !broken!("map_close_unmarked");
        (state.take_all(), mem::take(&mut state.done))
    }
}
