//! What a thread that runs items has in hand.
//!
//! Several items are taken from the queue at a time if they are cheap. None may be stuck behind one that turns out to take long,
//! neither an item that was not started nor an outcome that was not landed, so both are kept where others can get at them: behind a
//! small lock of their own, which the thread takes once for each item. The alarm looks at every slot, and where the thread is
//! still at the same item as at the look before, takes away what it holds.

use super::landing::{Done, NO_WORKER};
use super::queue::{Entry, Queue};
use crate::sync::estimate::{AtomicUsize, Ordering};
use crate::sync::{CachePadded, Mutex, broken, thread};
use std::collections::VecDeque;
use std::time::Duration;

pub(super) struct Slot<T, R, E> {
    hand: CachePadded<Mutex<Hand<T, R, E>>>,
    /// Which worker has it, and when its turn began: in microseconds since the service's start, and one more; 0 between turns. Only looked at.
    worker: AtomicUsize,
    turn: AtomicUsize,
}

/// Who has a slot, as far as one can see from outside.
pub(super) struct Seated {
    /// The worker's index; `None` for a caller.
    pub(super) worker: Option<usize>,
    /// How long its turn has lasted.
    pub(super) at_it: Option<Duration>,
}

struct Hand<T, R, E> {
    owner: Option<thread::ThreadId>,
    waiting: VecDeque<Entry<T>>,
    done: VecDeque<Done<R, E>>,
    /// Keys of items that have ended.
    finished: Vec<u64>,
    /// Counts the items that were started, and what the alarm saw of that count.
    turn: usize,
    /// The item that runs; of a batch, the first. Only looked at.
    item: Option<u64>,
    seen: usize,
}

/// What was taken from a hand: outcomes to land, keys to give on.
pub(super) struct Finished<R, E> {
    pub(super) done: VecDeque<Done<R, E>>,
    pub(super) keys: Vec<u64>,
}

/// What the alarm took from a hand: items to put back, and what is finished.
type Rescued<T, R, E> = (VecDeque<Entry<T>>, Finished<R, E>);

impl<R, E> Finished<R, E> {
    pub(super) fn none() -> Self {
        Finished { done: VecDeque::new(), keys: Vec::new() }
    }
}

impl<T, R, E> Hand<T, R, E> {
    /// A second attempt that comes late leaves a key and no outcome.
    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.done.is_empty() && self.finished.is_empty()
    }
}

impl<T, R, E> Slot<T, R, E> {
    pub(super) fn new() -> Self {
        let hand = Hand {
            owner: None,
            waiting: VecDeque::new(),
            done: VecDeque::new(),
            finished: Vec::new(),
            turn: 0,
            item: None,
            seen: 0,
        };
        Slot {
            hand: CachePadded::new(Mutex::new(hand)),
            worker: AtomicUsize::new(NO_WORKER as usize),
            turn: AtomicUsize::new(0),
        }
    }

    /// A turn begins, at that time since the service's start.
    pub(super) fn begin_turn(&self, since: Duration) {
        self.turn.store((since.as_micros() as usize).wrapping_add(1), Ordering::Relaxed);
    }

    pub(super) fn end_turn(&self) {
        self.turn.store(0, Ordering::Relaxed);
    }

    fn worker(&self) -> Option<usize> {
        let worker = self.worker.load(Ordering::Relaxed);
        (worker != NO_WORKER as usize).then_some(worker)
    }

    /// Who has it, at that time since the service's start.
    pub(super) fn seated(&self, time: Duration) -> Seated {
        let at_it = match self.turn.load(Ordering::Relaxed) {
            0 => None,
            // A turn that began after the caller's look at the clock has lasted no time.
            turn => Some((time.as_micros() as usize).wrapping_add(1).saturating_sub(turn)),
        };
        Seated { worker: self.worker(), at_it: at_it.map(|micros| Duration::from_micros(micros as u64)) }
    }

    pub(super) fn own(&self, owner: Option<thread::ThreadId>) {
        let mut hand = self.hand.lock();
        (hand.owner, hand.item) = (owner, None);
        hand.turn = hand.turn.wrapping_add(1);
    }

    /// A worker, or somebody else, begins to serve with it.
    pub(super) fn seat(&self, worker: u32) {
        self.worker.store(worker as usize, Ordering::Relaxed);
    }

    /// A batch begins with that item, or has ended.
    pub(super) fn set_item(&self, item: Option<u64>) {
        let mut hand = self.hand.lock();
        hand.item = item;
        hand.turn = hand.turn.wrapping_add(1);
    }

    /// Which item runs, how many had been started then, and the worker.
    pub(super) fn at_work(&self) -> Option<(u64, usize, Option<usize>)> {
        let hand = self.hand.lock();
        hand.item.map(|item| (item, hand.turn, self.worker()))
    }

    pub(super) fn is_owner(&self, thread: thread::ThreadId) -> bool {
        self.hand.lock().owner == Some(thread)
    }

    /// Takes up to `most` items from the queue, whose lock is held.
    pub(super) fn fill(&self, queue: &mut Queue<T>, most: usize) {
        queue.pop_into(most, &mut self.hand.lock().waiting);
    }

    /// Gives back buffers, which are empty.
    pub(super) fn keep(&self, buffers: Finished<R, E>) {
        let mut hand = self.hand.lock();
        if hand.done.is_empty() {
            hand.done = buffers.done;
        }
        if hand.finished.is_empty() {
            hand.finished = buffers.keys;
        }
    }

    /// Lays down what is done, and takes the next item unless there is a pause.
    pub(super) fn next(&self, done: Option<Done<R, E>>, key: Option<u64>, halted: bool) -> Option<Entry<T>> {
        let mut hand = self.hand.lock();
        hand.done.extend(done);
        hand.finished.extend(key);
        hand.turn = hand.turn.wrapping_add(1);
        let next = if halted { None } else { hand.waiting.pop_front() };
        hand.item = next.as_ref().map(|entry| entry.seq);
        next
    }

    /// Takes what is done; `into` has no more than buffers.
    pub(super) fn finish(&self, into: &mut Finished<R, E>) {
        let mut hand = self.hand.lock();
        std::mem::swap(&mut hand.done, &mut into.done);
        std::mem::swap(&mut hand.finished, &mut into.keys);
    }

    pub(super) fn waiting(&self) -> usize {
        self.hand.lock().waiting.len()
    }

    /// When the first of those that were not started was accepted.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.hand.lock().waiting.front().map(|entry| entry.sent)
    }

    pub(super) fn is_empty(&self) -> bool {
        let hand = self.hand.lock();
        hand.is_empty()
    }

    pub(super) fn take_waiting(&self) -> VecDeque<Entry<T>> {
        std::mem::take(&mut self.hand.lock().waiting)
    }

    /// Takes of the items that were not started those with numbers from `first` on.
    pub(super) fn take_from(&self, first: u64) -> VecDeque<Entry<T>> {
        let mut hand = self.hand.lock();
        let (taken, left) = std::mem::take(&mut hand.waiting).into_iter().partition(|entry| entry.seq >= first);
        hand.waiting = left;
        taken
    }

    /// The alarm's look: what a thread holds that is still at the item of the look before, or with `all` whatever it holds. `None` if
    /// it holds nothing. What is done is landed by `land` while the thread can finish nothing more, so that outcomes of one
    /// thread, and of one key, land in the order in which they came about; what `land` leaves is returned.
    pub(super) fn rescue(&self, all: bool, land: impl FnOnce(&mut VecDeque<Done<R, E>>)) -> Option<Rescued<T, R, E>> {
        let mut hand = self.hand.lock();
        let hand = &mut *hand;
        if hand.is_empty() {
            return None;
        }
        let stuck = std::mem::replace(&mut hand.seen, hand.turn) == hand.turn;
        if !stuck && !all {
            return Some((VecDeque::new(), Finished::none()));
        }
        let waiting = std::mem::take(&mut hand.waiting);
        let (mut done, keys) = (std::mem::take(&mut hand.done), std::mem::take(&mut hand.finished));
        if !broken!("rescued_land_late") {
            land(&mut done);
        }
        Some((waiting, Finished { done, keys }))
    }
}
