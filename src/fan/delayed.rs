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
    entry: Entry<T>,
}

impl<T> Delayed<T> {
    pub(super) fn new() -> Delayed<T> {
        Delayed { heap: BinaryHeap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    pub(super) fn push(&mut self, entry: Entry<T>, at: Instant) {
        self.heap.push(Due { at, entry });
    }

    /// When the first is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|due| due.at)
    }

    /// When the last is due.
    pub(super) fn last(&self) -> Option<Instant> {
        self.heap.iter().map(|due| due.at).max()
    }

    /// The first, if its time has come.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Entry<T>> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|due| due.entry)
    }

    /// Takes those with numbers from `first` on.
    pub(super) fn take_from(&mut self, first: u64) -> Vec<Entry<T>> {
        let (taken, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.heap).into_iter().partition(|due| due.entry.seq >= first);
        self.heap = left.into();
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
