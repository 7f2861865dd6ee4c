//! What the calling thread and the workers of one map share: batches that wait, and batches that are done.
//!
//! All of it is behind one lock, which is held to move batches and never while user code runs:
//!
//! * `fresh`: batches that wait for a thread, by the index of their first item.
//! * `done`: batches that were run, and are not collected yet.
//! * `queued`: whether a job of this map is in the group's queue. **The invariant**, whenever nobody holds the lock: *if a
//!   batch waits then `queued`*, the job being in the queue or about to be put there by whoever set it. So every worker that
//!   is free comes as long as there is something to do.
//! * `wanted`: what the calling thread is parked for. Whoever brings it, or gives back a batch that the calling thread could run
//!   itself, clears the mark and nudges the calling thread.
//! * `closed`: nobody wants results any more.

use crate::panics::Payload;
use crate::sync::{CachePadded, Mutex, broken};
use std::collections::VecDeque;
use std::mem;
use std::vec;

/// Items in a row, some of which may have been taken already.
#[derive(Debug)]
pub(super) struct Batch<T> {
    /// The index of the first that is left.
    pub(super) at: usize,
    pub(super) items: vec::IntoIter<T>,
}

/// What became of the items from index `at` on.
#[derive(Debug)]
pub(super) struct Done<R> {
    pub(super) at: usize,
    /// How many items this settles.
    pub(super) count: usize,
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

/// What the calling thread is parked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The batch that begins with this item.
    At(usize),
    Any,
}

#[derive(Debug)]
struct State<T, R> {
    fresh: VecDeque<Batch<T>>,
    /// The last of these batches, while it is being filled item by item.
    open: Vec<T>,
    open_at: usize,
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
    /// What is left of the batch that it had.
    pub(super) rest: Option<Batch<T>>,
    /// It took the job that was queued.
    pub(super) arrival: bool,
}

/// What a thread takes from the board, and what it has to do once the lock is free.
#[derive(Debug)]
pub(super) struct Turn<T, R> {
    pub(super) batch: Option<Batch<T>>,
    /// Queue a job for this map.
    pub(super) push: bool,
    /// Nudge the calling thread.
    pub(super) nudge: bool,
    /// What was brought and nobody wants; to be dropped.
    pub(super) refused: Option<Bring<T, R>>,
}

impl<T> Batch<T> {
    /// Takes the first `size` items; or all, if what would be left is not worth it.
    fn split(&mut self, size: usize) -> Option<Batch<T>> {
        if self.items.len() <= size.saturating_add(size / 2) {
            return None;
        }
        let items: Vec<T> = self.items.by_ref().take(size).collect();
        let at = self.at;
        self.at += items.len();
        Some(Batch { at, items: items.into_iter() })
    }
}

impl<T, R> State<T, R> {
    /// Keeps up the invariant; returns whether to push a job.
    fn queue(&mut self) -> bool {
        self.waits() && !mem::replace(&mut self.queued, true)
    }

    fn waits(&self) -> bool {
        !self.fresh.is_empty() || !self.open.is_empty()
    }

    /// Ends the open batch.
    fn shut(&mut self) {
        if !self.open.is_empty() {
            let items = mem::take(&mut self.open).into_iter();
            self.fresh.push_back(Batch { at: self.open_at, items });
        }
    }

    fn is_wanted(&self, at: usize) -> bool {
        match self.wanted {
            Some(Wanted::Any) => true,
            Some(Wanted::At(wanted)) => wanted == at,
            None => false,
        }
    }

    /// The oldest batch, cut to size.
    fn take(&mut self, size: usize) -> Option<Batch<T>> {
        if self.fresh.is_empty() {
            self.shut();
        }
        let oldest = self.fresh.front_mut()?;
        oldest.split(size).or_else(|| self.fresh.pop_front())
    }
}

impl<T, R> Board<T, R> {
    pub(super) fn new() -> Board<T, R> {
        let state = State {
            fresh: VecDeque::new(),
            open: Vec::new(),
            open_at: 0,
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
        state.queue()
    }

    /// Adds one item, with the index `at`, behind all batches; of such items `full` make a batch. Returns whether to push
    /// a job.
    pub(super) fn add(&self, at: usize, item: T, full: usize) -> bool {
        let mut state = self.state.lock();
        if state.open.is_empty() {
            state.open_at = at;
        }
        state.open.push(item);
        if state.open.len() >= full {
            state.shut();
        }
        state.queue()
    }

    /// Leaves what the caller brings and, unless it is `leaving`, takes the oldest items that wait: about `size()` of them.
    pub(super) fn turn(&self, bring: Bring<T, R>, leaving: bool, size: impl FnOnce() -> usize) -> Turn<T, R> {
        let mut turn = Turn { batch: None, push: false, nudge: false, refused: None };
        let mut state = self.state.lock();
        let state = &mut *state;
        state.queued &= !bring.arrival;
        if state.closed {
            turn.refused = Some(bring);
            return turn;
        }
        if let Some(done) = bring.done {
            turn.nudge = state.is_wanted(done.at) && !broken!("done_wakes_nobody");
            state.done.push(done);
        }
        if let Some(rest) = bring.rest {
            turn.nudge |= state.wanted.is_some() && !broken!("rest_wakes_nobody");
            let place = state.fresh.partition_point(|batch| batch.at < rest.at);
            state.fresh.insert(place, rest);
        }
        if turn.nudge {
            state.wanted = None;
        }
        if !leaving {
            turn.batch = state.take(size().max(1));
        }
        turn.push = state.queue() && !broken!("turn_queues_none");
        turn
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
        if lacks {
            state.wanted = Some(wanted);
        }
        lacks
    }

    /// Takes the batches that wait; the caller settles their items.
    pub(super) fn give_up(&self) -> VecDeque<Batch<T>> {
        let mut state = self.state.lock();
        state.shut();
        mem::take(&mut state.fresh)
    }

    /// Nobody collects any more: takes everything, and what runs will be dropped by whoever runs it.
    pub(super) fn close(&self) -> (VecDeque<Batch<T>>, Vec<Done<R>>) {
        let mut state = self.state.lock();
        state.closed = true;
        state.shut();
        (mem::take(&mut state.fresh), mem::take(&mut state.done))
    }
}
