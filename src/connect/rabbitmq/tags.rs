//! Which deliveries of a channel are open: delivered, and neither acknowledged nor handed back.

use std::collections::BTreeSet;

/// The open delivery tags of one connection. No more than the window, however far they lie apart.
#[derive(Default)]
pub(super) struct Tags {
    open: BTreeSet<u64>,
}

/// How to tell the broker.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Settled {
    /// This one and all before it that are open: there is none among those that is not meant.
    pub(super) up_to: Option<u64>,
    /// Each of these alone.
    pub(super) single: Vec<u64>,
    /// How many that are.
    pub(super) count: usize,
}

impl Tags {
    pub(super) fn deliver(&mut self, tag: u64) {
        self.open.insert(tag);
    }

    /// Closes those that are open. One below the lowest that stays open can be told together with all before it; it must itself have
    /// been open until now, since a broker takes a tag that it does not know for an error.
    pub(super) fn settle(&mut self, tags: impl Iterator<Item = u64>) -> Settled {
        let mut single: Vec<u64> = tags.filter(|tag| self.open.remove(tag)).collect();
        let count = single.len();
        let lowest = self.open.first().copied().unwrap_or(u64::MAX);
        let up_to = single.iter().copied().filter(|tag| *tag < lowest).max();
        if let Some(up_to) = up_to {
            single.retain(|tag| *tag > up_to);
        }
        Settled { up_to, single, count }
    }

    /// Closes those that are open, and tells each alone.
    pub(super) fn settle_each(&mut self, tags: impl Iterator<Item = u64>) -> Settled {
        let single: Vec<u64> = tags.filter(|tag| self.open.remove(tag)).collect();
        Settled { up_to: None, count: single.len(), single }
    }

    pub(super) fn clear(&mut self) {
        self.open.clear();
    }
}

#[cfg(all(test, not(fanpool_loom)))]
mod tests {
    use super::*;

    fn tags(up_to: u64) -> Tags {
        Tags { open: (1..=up_to).collect() }
    }

    #[test]
    fn those_behind_the_watermark_are_told_at_once() {
        let mut tags = tags(6);
        let settled = tags.settle([2, 4].into_iter());
        assert_eq!(settled, Settled { up_to: None, single: vec![2, 4], count: 2 });
        let settled = tags.settle([3, 1].into_iter());
        assert_eq!(settled, Settled { up_to: Some(3), single: vec![], count: 2 });
        let settled = tags.settle([6, 5, 5, 1, 77].into_iter());
        assert_eq!(settled, Settled { up_to: Some(6), single: vec![], count: 2 });
        assert!(tags.open.is_empty());
    }

    #[test]
    fn the_last_told_was_open_until_now() {
        let mut tags = tags(3);
        assert_eq!(tags.settle([2].into_iter()).single, [2]);
        // All up to 2 are closed by this; but 2 is not known to the broker any more.
        assert_eq!(tags.settle([1].into_iter()), Settled { up_to: Some(1), single: vec![], count: 1 });
    }

    #[test]
    fn what_is_handed_back_is_told_one_by_one() {
        let mut tags = tags(3);
        assert_eq!(tags.settle_each([3, 1, 1].into_iter()), Settled { up_to: None, single: vec![3, 1], count: 2 });
        assert_eq!(tags.settle([2].into_iter()).up_to, Some(2));
    }

    /// A broker that knows of each delivery whether it is open: whatever the order, it ends up with what was meant.
    #[test]
    fn a_broker_that_is_told_knows_the_same() {
        let mut chance = 7_u64;
        for _ in 0..200 {
            let (mut own, mut broker) = (tags(40), tags(40));
            while !own.open.is_empty() {
                chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let batch: Vec<u64> = (0..chance >> 61).map(|n| (chance >> (8 + 6 * n)) % 41).collect();
                let settled = match chance % 16 < 3 {
                    true => own.settle_each(batch.into_iter()),
                    false => own.settle(batch.into_iter()),
                };
                if let Some(up_to) = settled.up_to {
                    assert!(broker.open.contains(&up_to));
                    broker.open = broker.open.split_off(&(up_to + 1));
                }
                for tag in settled.single {
                    assert!(broker.open.remove(&tag));
                }
                assert_eq!(own.open, broker.open);
            }
        }
    }
}
