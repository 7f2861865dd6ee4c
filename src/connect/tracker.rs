//! Which offsets of a partition may be committed: where a log is acknowledged by one number, and items finish in any order.
//!
//! **A partition** is there from [`assign`](Tracker::assign) to [`revoke`](Tracker::revoke), under a *session*: a number that no other
//! assignment has. It holds one entry for each offset that was delivered and lies beyond the last commit, in ascending order; offsets may
//! be missing in between, since logs are compacted and hold marks of transactions. An entry is in hand, handed back or finished, and
//! leaves its state in hand at most once. The first entries that are finished, up to one that is not, are the *contiguous* ones.
//!
//! **Commits.** [`committable`](Tracker::committable) names the offset behind the last contiguous entry; nothing before it is unfinished,
//! and nothing that finishes later can make that untrue. Whoever asks sends it to the broker and says with
//! [`committed`](Tracker::committed) what the broker confirmed: entries before that offset are dropped, and no others, though more may
//! have finished in the meantime. So the entries are what a process that is killed now leaves to be delivered again, and their number
//! ([`outstanding`](Tracker::outstanding)) is what the reader bounds.
//!
//! **The end of an assignment.** `revoke` takes the partition out and reads the offset to commit last in one step under the lock. A
//! `finish` before that step is in the offset; one after it finds no partition and says so. None is counted that the offset leaves out, and
//! the offset covers none that was told to be late. If the partition is assigned again, its entries are of another session: what belongs to
//! the one before, be it late to finish or confirmed late by the broker, changes nothing.
//!
//! All is under one lock, held for a search in a sorted queue for each of a batch.

use super::message::Position;
use crate::sync::{Mutex, broken};
use std::collections::{BTreeMap, VecDeque};

/// The partitions that are assigned to a source. See the module.
pub(crate) struct Tracker {
    partitions: Mutex<BTreeMap<u32, Partition>>,
}

/// An offset that can be committed, and the assignment that it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) partition: u32,
    pub(crate) session: u64,
    /// The offset behind the last one that is done.
    pub(crate) next: u64,
    /// How many entries it covers.
    pub(crate) entries: usize,
}

struct Partition {
    session: u64,
    /// What is committed, as far as is known here.
    next: u64,
    /// Those delivered and not committed, in ascending order.
    entries: VecDeque<Entry>,
    /// How many of the first entries are finished.
    contiguous: usize,
}

struct Entry {
    offset: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    InHand,
    HandedBack,
    Finished,
}

impl Partition {
    fn committable(&self) -> Option<u64> {
        let last = self.entries.get(self.contiguous.checked_sub(1)?)?;
        Some(last.offset + 1)
    }

    fn deliver(&mut self, offset: u64) -> bool {
        if offset < self.next || self.entries.back().is_some_and(|last| last.offset >= offset) {
            return false;
        }
        self.entries.push_back(Entry { offset, state: State::InHand });
        true
    }

    fn leave(&mut self, offset: u64, to: State) -> bool {
        let Ok(at) = self.entries.binary_search_by_key(&offset, |entry| entry.offset) else { return false };
        let entry = &mut self.entries[at];
        if entry.state != State::InHand {
            return false;
        }
        entry.state = to;
        if to == State::Finished && (at == self.contiguous || broken!("commit_passes_unfinished")) {
            let from = self.contiguous.max(at);
            let more = self.entries.range(from..).take_while(|entry| entry.state == State::Finished).count();
            self.contiguous = from + more;
        }
        true
    }

    fn committed(&mut self, next: u64) {
        let covered = self.entries.partition_point(|entry| entry.offset < next);
        let covered = if broken!("commit_covers_what_finished_since") { covered.max(self.contiguous) } else { covered };
        self.entries.drain(..covered);
        self.contiguous = self.contiguous.saturating_sub(covered);
        self.next = self.next.max(next);
    }
}

fn leave<'a>(
    partitions: &mut BTreeMap<u32, Partition>,
    positions: impl IntoIterator<Item = &'a Position>,
    to: State,
) -> usize {
    let mut left = 0;
    for position in positions {
        let own = partitions.get_mut(&position.partition);
        let own = own.filter(|own| own.session == position.session || broken!("session_not_compared"));
        left += usize::from(own.map_or(broken!("late_finish_counts"), |own| own.leave(position.offset, to)));
    }
    left
}

impl Tracker {
    pub(crate) fn new() -> Tracker {
        Tracker { partitions: Mutex::default() }
    }

    /// The partition is assigned, to be read from `next` on; 0 if that is not known. An assignment before it is over.
    pub(crate) fn assign(&self, partition: u32, session: u64, next: u64) {
        let fresh = Partition { session, next, entries: VecDeque::new(), contiguous: 0 };
        self.partitions.lock().insert(partition, fresh);
    }

    /// What is in `list` from `from` on was read from the partition, and is handed out: but for what is taken out here, since the partition is
    /// not assigned under that session, or the offset is not beyond all that was delivered.
    pub(crate) fn deliver<D>(
        &self,
        (partition, session): (u32, u64),
        list: &mut Vec<D>,
        from: usize,
        offset: impl Fn(&D) -> u64,
    ) {
        let mut partitions = self.partitions.lock();
        let mut own = partitions.get_mut(&partition).filter(|own| own.session == session);
        let mut kept = from;
        for at in from..list.len() {
            if own.as_mut().is_some_and(|own| own.deliver(offset(&list[at]))) {
                list.swap(kept, at);
                kept += 1;
            }
        }
        list.truncate(kept);
    }

    /// These are done. Returns how many of them are not late, as those are whose partition was revoked or is of another session, and whose
    /// offset is not in hand; and how many offsets can be committed at most in a partition.
    pub(crate) fn finish<'a>(&self, positions: impl IntoIterator<Item = &'a Position>) -> (usize, usize) {
        let mut partitions = self.partitions.lock();
        let left = leave(&mut partitions, positions, State::Finished);
        (left, partitions.values().map(|own| own.contiguous).max().unwrap_or(0))
    }

    /// These were handed back: they are never done in this session, and nothing from the first of them on is committed. Returns how many
    /// are not late.
    pub(crate) fn hand_back<'a>(&self, positions: impl IntoIterator<Item = &'a Position>) -> usize {
        leave(&mut self.partitions.lock(), positions, State::HandedBack)
    }

    /// The offset that can be committed, if it is beyond the last commit.
    pub(crate) fn committable(&self, partition: u32) -> Option<Commit> {
        let partitions = self.partitions.lock();
        let own = partitions.get(&partition)?;
        let next = own.committable()?;
        Some(Commit { partition, session: own.session, next, entries: own.contiguous })
    }

    /// The broker has confirmed it.
    pub(crate) fn committed(&self, partition: u32, session: u64, next: u64) {
        let mut partitions = self.partitions.lock();
        let own = partitions.get_mut(&partition);
        if let Some(own) = own.filter(|own| own.session == session || broken!("commit_of_another_session")) {
            own.committed(next);
        }
    }

    /// The partition is no longer assigned: whatever comes of it now is late. Returns what is to be committed last, if anything.
    pub(crate) fn revoke(&self, partition: u32) -> Option<Commit> {
        if broken!("revoke_in_two_steps") {
            let last = self.committable(partition);
            self.partitions.lock().remove(&partition);
            return last;
        }
        let own = self.partitions.lock().remove(&partition)?;
        let next = own.committable()?;
        Some(Commit { partition, session: own.session, next, entries: own.contiguous })
    }

    /// The partitions that are assigned.
    pub(crate) fn partitions(&self) -> Vec<u32> {
        self.partitions.lock().keys().copied().collect()
    }

    /// How many offsets were delivered and are not committed.
    pub(crate) fn outstanding(&self, partition: u32) -> usize {
        self.partitions.lock().get(&partition).map_or(0, |own| own.entries.len())
    }
}

#[cfg(all(test, not(fanpool_loom)))]
mod tests;
