//! What waits in a lane, in the order in which it is to be started.

use super::delayed::Delayed;
use crate::pool::{LANES, NORMAL, turn_order};
use crate::sync::broken;
use crate::trace::Carried;
use std::collections::hash_map::Entry as Listed;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Instant;

/// An accepted item.
pub(super) struct Entry<T> {
    pub(super) seq: u64,
    /// Nanoseconds from the service's start to the acceptance.
    pub(super) sent: u64,
    /// The hash of its key, or its weight.
    pub(super) mark: u64,
    /// Which of the priorities' queues it goes to.
    pub(super) class: usize,
    /// From where it was sent.
    pub(super) trace: Carried,
    pub(super) item: T,
}

/// Items that may be started.
struct Ready<T> {
    classes: [VecDeque<Entry<T>>; LANES],
    len: usize,
    turn: usize,
}

impl<T> Ready<T> {
    fn new() -> Ready<T> {
        Ready { classes: Default::default(), len: 0, turn: 0 }
    }

    fn push_back(&mut self, entry: Entry<T>) {
        self.len += 1;
        self.classes[entry.class].push_back(entry);
    }

    fn push_front(&mut self, entry: Entry<T>) {
        self.len += 1;
        self.classes[entry.class].push_front(entry);
    }

    fn pop(&mut self) -> Option<Entry<T>> {
        let entry = if self.classes[NORMAL].len() == self.len {
            // The common case: there are no others.
            self.classes[NORMAL].pop_front()?
        } else {
            turn_order(self.turn).into_iter().find_map(|class| self.classes[class].pop_front())?
        };
        self.turn = self.turn.wrapping_add(1);
        self.len -= 1;
        Some(entry)
    }

    /// Undoes a `pop`, the last first, so that the same is popped again.
    fn undo_pop(&mut self, entry: Entry<T>) {
        self.turn = self.turn.wrapping_sub(1);
        self.push_front(entry);
    }
}

/// The keys are hashes already.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// What waits behind an item of the same key. A key is listed from when an item of it becomes ready until none is left, so the
/// list is never longer than there are items.
struct Strands<T> {
    behind: HashMap<u64, VecDeque<Entry<T>>, BuildHasherDefault<Hashed>>,
    len: usize,
}

/// Everything that waits in one lane.
pub(super) struct Queue<T> {
    /// Not sorted in yet; empty whenever nobody holds the lock.
    received: VecDeque<Entry<T>>,
    ready: Ready<T>,
    strands: Option<Strands<T>>,
    /// Each is still the first of its key.
    delayed: Delayed<T>,
    /// Items come with priorities, so that one which has just arrived may have to go first.
    classes: bool,
}

impl<T> Entry<T> {
    pub(super) fn split(self) -> (Entry<()>, T) {
        let Entry { seq, sent, mark, class, trace, item } = self;
        (Entry { seq, sent, mark, class, trace, item: () }, item)
    }
}

impl Entry<()> {
    pub(super) fn with<T>(&self, item: T) -> Entry<T> {
        let Entry { seq, sent, mark, class, ref trace, item: () } = *self;
        Entry { seq, sent, mark, class, trace: trace.clone(), item }
    }
}

impl<T> Queue<T> {
    pub(super) fn new(keyed: bool, classes: bool) -> Queue<T> {
        let strands = keyed.then(|| Strands { behind: HashMap::default(), len: 0 });
        Queue { received: VecDeque::new(), ready: Ready::new(), strands, delayed: Delayed::new(), classes }
    }

    /// Whether the queue can tell what is next without looking at what has arrived.
    pub(super) fn knows_next(&self) -> bool {
        self.ready.len > 0 && !self.classes
    }

    /// Takes over what has arrived, in its order, in constant time where nothing waits. [`Queue::sort_in`] does the rest, for which
    /// the senders need not wait.
    pub(super) fn receive(&mut self, arrived: &mut VecDeque<Entry<T>>) {
        let plain = self.strands.is_none() && !self.classes;
        let queue = if plain { &mut self.ready.classes[NORMAL] } else { &mut self.received };
        if queue.is_empty() {
            std::mem::swap(queue, arrived);
        } else {
            queue.append(arrived);
        }
        if plain {
            self.ready.len = queue.len();
        }
    }

    /// Puts what was received where its key and its priority belong.
    pub(super) fn sort_in(&mut self) {
        for entry in self.received.drain(..) {
            if let Some(strands) = &mut self.strands {
                match strands.behind.entry(entry.mark) {
                    Listed::Vacant(free) => _ = free.insert(VecDeque::new()),
                    Listed::Occupied(busy) if !broken!("busy_key_started") => {
                        busy.into_mut().push_back(entry);
                        strands.len += 1;
                        continue;
                    }
                    Listed::Occupied(_) => {}
                }
            }
            self.ready.push_back(entry);
        }
    }

    /// How many could be started now.
    pub(super) fn ready(&self) -> usize {
        self.ready.len
    }

    /// How many wait, those behind others of their key and those before their time included.
    pub(super) fn waiting(&self) -> usize {
        self.ready.len + self.delayed.len() + self.strands.as_ref().map_or(0, |strands| strands.len)
    }

    /// When the oldest that could be started was accepted, where there are no priorities and keys.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.ready.classes.iter().filter_map(|class| class.front().map(|entry| entry.sent)).min()
    }

    /// The number of the oldest that could be started, of those that are first of their priority.
    pub(super) fn first(&self) -> Option<u64> {
        self.ready.classes.iter().filter_map(|class| class.front().map(|entry| entry.seq)).min()
    }

    /// Moves up to `most` of those that are next into `hand`.
    pub(super) fn pop_into(&mut self, most: usize, hand: &mut VecDeque<Entry<T>>) {
        let ready = &mut self.ready;
        if ready.len <= most && ready.classes[NORMAL].len() == ready.len && hand.is_empty() {
            std::mem::swap(&mut ready.classes[NORMAL], hand);
            ready.turn = ready.turn.wrapping_add(ready.len);
            ready.len = 0;
            return;
        }
        hand.extend((0..most).map_while(|_| ready.pop()));
    }

    /// Puts back what was taken and not started, the newest first. Its turn comes back with it, so that priorities keep their shares.
    pub(super) fn put_back(&mut self, entry: Entry<T>) {
        self.ready.undo_pop(entry);
    }

    /// Puts in what is to be the next of its priority: the copy of an item that somebody runs.
    pub(super) fn put_first(&mut self, entry: Entry<T>) {
        self.ready.push_front(entry);
    }

    /// How many were put off.
    pub(super) fn put_off_now(&self) -> usize {
        self.delayed.len()
    }

    /// Puts back what was taken, not to be started before `at`, or if it is held for a breaker, before that has room. Its key stays busy.
    pub(super) fn put_off(&mut self, entry: Entry<T>, at: Instant, held: bool) {
        self.delayed.push(entry, at, held);
    }

    /// Makes those ready whose time has come; returns how many.
    pub(super) fn wake(&mut self, now: Instant) -> usize {
        let before = self.ready.len;
        while let Some(entry) = self.delayed.pop(now) {
            self.ready.push_back(entry);
        }
        self.ready.len - before
    }

    /// When the next one's time comes.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        self.delayed.next()
    }

    /// Makes those ready that are held for a breaker, or all that were put off; returns how many.
    pub(super) fn wake_all(&mut self, held: bool) -> usize {
        let woken = self.delayed.take_all(held);
        let count = woken.len();
        woken.into_iter().for_each(|entry| self.ready.push_back(entry));
        count
    }

    /// An item of that key has ended: the next may be started.
    pub(super) fn finish(&mut self, key: u64) {
        let Some(strands) = self.strands.as_mut().filter(|_| !broken!("key_not_given_on")) else { return };
        let Listed::Occupied(mut behind) = strands.behind.entry(key) else { return };
        match behind.get_mut().pop_front() {
            Some(entry) => {
                strands.len -= 1;
                if behind.get().is_empty() {
                    // Its buffer would stay as long as the key is busy.
                    behind.insert(VecDeque::new());
                }
                self.ready.push_back(entry);
            }
            None => _ = behind.remove(),
        }
    }

    /// Takes everything with numbers from `first` on, in the order of acceptance. Keys stay listed as busy, so nothing of them may come
    /// afterwards.
    pub(super) fn take_from(&mut self, first: u64) -> Vec<Entry<T>> {
        let mut all = self.delayed.take_from(first);
        let ready = self.ready.classes.iter_mut();
        let behind = self.strands.iter_mut().flat_map(|strands| strands.behind.values_mut());
        for queue in ready.chain(behind) {
            let (taken, left) = std::mem::take(queue).into_iter().partition(|entry| entry.seq >= first);
            *queue = left;
            let taken: VecDeque<_> = taken;
            all.extend(taken);
        }
        self.ready.len = self.ready.classes.iter().map(VecDeque::len).sum();
        if let Some(strands) = &mut self.strands {
            strands.len = strands.behind.values().map(VecDeque::len).sum();
        }
        all.sort_unstable_by_key(|entry| entry.seq);
        all
    }
}

#[cfg(all(test, not(fanpool_loom)))]
mod tests {
    use super::*;

    /// A queue with a hundred items of each priority; their numbers tell which: 0 to 99 are the first's.
    fn full() -> Queue<()> {
        let mut queue = Queue::new(false, true);
        let entry =
            |seq: u64| Entry { seq, sent: 0, mark: 0, class: seq as usize / 100, trace: Carried::none(), item: () };
        queue.receive(&mut (0..100 * LANES as u64).map(entry).collect());
        queue.sort_in();
        queue
    }

    fn take(queue: &mut Queue<()>, count: usize) -> VecDeque<Entry<()>> {
        let mut hand = VecDeque::new();
        queue.pop_into(count, &mut hand);
        hand
    }

    #[test]
    fn f8_what_is_put_back_is_taken_again_in_the_same_order() {
        let numbers = |hand: &VecDeque<Entry<()>>| hand.iter().map(|entry| entry.seq).collect::<Vec<_>>();
        let all = numbers(&take(&mut full(), 300));
        for (taken, back) in [(1, 1), (5, 5), (16, 3), (31, 30), (300, 290)] {
            let mut queue = full();
            let mut hand = take(&mut queue, taken);
            let started = numbers(&hand.drain(..taken - back).collect());
            hand.into_iter().rev().for_each(|entry| queue.put_back(entry));
            let again = numbers(&take(&mut queue, 300));
            assert_eq!([started, again].concat(), all, "{back} of {taken}");
        }
    }
}
