//! Items that must not be started before a time.

use super::queue::Entry;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Instant;

/// The earliest first; of the same time, in the order of acceptance.
pub(super) struct Delayed<T> {
    heap: BinaryHeap<Due<T>>,
}

struct Due<T> {
    at: Instant,
    /// It waits for a breaker, and until then at most.
    held: bool,
    entry: Entry<T>,
}

impl<T> Delayed<T> {
    pub(super) fn new() -> Delayed<T> {
        Delayed { heap: BinaryHeap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    pub(super) fn push(&mut self, entry: Entry<T>, at: Instant, held: bool) {
        self.heap.push(Due { at, held, entry });
    }

    /// When the first is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|due| due.at)
    }

    /// The first, if its time has come.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Entry<T>> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|due| due.entry)
    }

    /// Takes all, or of those that are held all, the earliest first.
    pub(super) fn take_all(&mut self, held: bool) -> Vec<Entry<T>> {
        self.take(|due| due.held || !held)
    }

    /// Takes those with numbers from `first` on.
    pub(super) fn take_from(&mut self, first: u64) -> Vec<Entry<T>> {
        self.take(|due| due.entry.seq >= first)
    }

    fn take(&mut self, which: impl Fn(&Due<T>) -> bool) -> Vec<Entry<T>> {
        if !self.heap.iter().any(&which) {
            return Vec::new();
        }
        let (mut taken, left): (Vec<_>, Vec<_>) = std::mem::take(&mut self.heap).into_iter().partition(which);
        self.heap = left.into();
        // The heap's greatest is the earliest.
        taken.sort_unstable_by(|one, other| other.cmp(one));
        taken.into_iter().map(|due| due.entry).collect()
    }
}

impl<T> Ord for Due<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap gives out its greatest first.
        (other.at, other.entry.seq).cmp(&(self.at, self.entry.seq))
    }
}

impl<T> PartialOrd for Due<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Due<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Due<T> {}
