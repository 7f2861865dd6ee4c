use super::{Position, Tracker};
use std::collections::{BTreeMap, BTreeSet};

fn at(partition: u32, session: u64, offset: u64) -> [Position; 1] {
    [Position { partition, offset, part: 0, session }]
}

fn finish(tracker: &Tracker, partition: u32, session: u64, offset: u64) -> bool {
    tracker.finish(&at(partition, session, offset)).0 == 1
}

fn hand_back(tracker: &Tracker, partition: u32, session: u64, offset: u64) -> bool {
    tracker.hand_back(&at(partition, session, offset)) == 1
}

fn delivered(tracker: &Tracker, partition: u32, session: u64, offset: u64) -> bool {
    let mut list = vec![offset];
    tracker.deliver((partition, session), &mut list, 0, |offset| *offset);
    !list.is_empty()
}

fn next(tracker: &Tracker) -> Option<u64> {
    tracker.committable(0).map(|commit| commit.next)
}

/// Partition 0 in session 1, with these offsets delivered.
fn with(offsets: &[u64]) -> Tracker {
    let tracker = Tracker::new();
    tracker.assign(0, 1, 0);
    assert!(offsets.iter().all(|offset| delivered(&tracker, 0, 1, *offset)));
    tracker
}

#[test]
fn i3_no_commit_passes_an_unfinished_offset() {
    let tracker = with(&[3, 4, 7, 9]);
    assert!(finish(&tracker, 0, 1, 4) && finish(&tracker, 0, 1, 9));
    assert_eq!(next(&tracker), None);
    assert!(finish(&tracker, 0, 1, 3));
    assert_eq!(tracker.committable(0).map(|commit| (commit.next, commit.entries)), Some((5, 2)));
    assert!(finish(&tracker, 0, 1, 7));
    assert_eq!(next(&tracker), Some(10));
}

#[test]
fn a_commit_frees_what_it_covers() {
    let tracker = with(&[0, 1, 5, 6]);
    [0, 1, 5].iter().for_each(|offset| assert!(finish(&tracker, 0, 1, *offset)));
    assert_eq!(tracker.outstanding(0), 4);
    tracker.committed(0, 1, 2);
    assert_eq!((tracker.outstanding(0), next(&tracker)), (2, Some(6)));
    tracker.committed(0, 1, 6);
    assert_eq!((tracker.outstanding(0), next(&tracker)), (1, None));
    tracker.committed(0, 1, 2);
    assert!(finish(&tracker, 0, 1, 6));
    assert_eq!(tracker.revoke(0).map(|commit| commit.next), Some(7));
    assert_eq!((tracker.outstanding(0), next(&tracker)), (0, None));
}

#[test]
fn i3_what_is_late_changes_nothing() {
    let tracker = with(&[0, 1]);
    assert!(finish(&tracker, 0, 1, 0) && !finish(&tracker, 0, 1, 0), "it finishes once");
    assert!(!finish(&tracker, 0, 1, 2) && !finish(&tracker, 1, 1, 0) && !finish(&tracker, 0, 2, 1));
    assert_eq!(tracker.revoke(0).map(|commit| commit.next), Some(1));
    assert!(!finish(&tracker, 0, 1, 1) && !delivered(&tracker, 0, 1, 2));
    assert_eq!(tracker.revoke(0), None);
    tracker.assign(0, 2, 1);
    assert!(delivered(&tracker, 0, 2, 1) && !finish(&tracker, 0, 1, 1) && !hand_back(&tracker, 0, 1, 1));
    tracker.committed(0, 1, 2);
    assert_eq!((tracker.outstanding(0), next(&tracker)), (1, None));
    assert!(finish(&tracker, 0, 2, 1));
}

#[test]
fn what_is_handed_back_stops_commits_and_is_never_done() {
    let tracker = with(&[0, 1, 2]);
    assert!(hand_back(&tracker, 0, 1, 1) && !hand_back(&tracker, 0, 1, 1) && !finish(&tracker, 0, 1, 1));
    assert!(finish(&tracker, 0, 1, 0) && finish(&tracker, 0, 1, 2) && !hand_back(&tracker, 0, 1, 2));
    assert_eq!(tracker.revoke(0).map(|commit| commit.next), Some(1));
}

#[test]
fn an_offset_is_delivered_once_in_a_session_and_in_order() {
    let tracker = with(&[5]);
    assert!(!delivered(&tracker, 0, 1, 5) && !delivered(&tracker, 0, 1, 4));
    finish(&tracker, 0, 1, 5);
    tracker.committed(0, 1, 6);
    assert!(!delivered(&tracker, 0, 1, 5), "it is committed");
    tracker.assign(0, 2, 10);
    assert!(!delivered(&tracker, 0, 2, 9) && delivered(&tracker, 0, 2, 10));
}

/// A generator that needs nothing else: xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// What a partition is, said as plainly as possible.
#[derive(Default)]
struct Plain {
    session: u64,
    committed: u64,
    delivered: BTreeSet<u64>,
    settled: BTreeMap<u64, bool>,
}

impl Plain {
    fn first_open(&self) -> Option<&u64> {
        self.delivered.iter().find(|offset| self.settled.get(offset) != Some(&true))
    }

    fn committable(&self) -> Option<u64> {
        let open = self.first_open();
        let done = self.delivered.iter().take_while(|offset| Some(*offset) != open).last()?;
        (*done >= self.committed).then_some(done + 1)
    }

    fn outstanding(&self) -> usize {
        self.delivered.range(self.committed..).count()
    }

    /// Whether it still is in hand under that session.
    fn settle(&mut self, session: u64, offset: u64, done: bool) -> bool {
        let own = self.session == session && self.delivered.contains(&offset) && !self.settled.contains_key(&offset);
        if own {
            self.settled.insert(offset, done);
        }
        own
    }
}

#[test]
fn a_plain_model_agrees() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut commits = 0;
    for _ in 0..1_000 {
        let tracker = Tracker::new();
        let mut plain: BTreeMap<u32, Plain> = BTreeMap::new();
        let (mut sessions, mut sent) = (0, Vec::new());
        for _ in 0..200 {
            let partition = random.below(2) as u32;
            let known = plain.get(&partition).map_or(0, |own| own.session);
            let session = if random.below(5) == 0 { random.below(sessions + 1) } else { known };
            let last = plain.get(&partition).and_then(|own| own.delivered.last().copied()).unwrap_or(0);
            let offset = (last + 3).saturating_sub(random.below(8));
            match random.below(60) {
                0 | 1 => {
                    sessions += 1;
                    let next = random.below(10);
                    tracker.assign(partition, sessions, next);
                    plain.insert(partition, Plain { session: sessions, committed: next, ..Plain::default() });
                }
                2 => {
                    let last = plain.remove(&partition).and_then(|plain| plain.committable());
                    assert_eq!(tracker.revoke(partition).map(|commit| commit.next), last);
                }
                3..24 => {
                    let own = plain.get_mut(&partition).filter(|plain| {
                        let beyond = plain.delivered.last().is_none_or(|last| *last < offset);
                        plain.session == session && offset >= plain.committed && beyond
                    });
                    assert_eq!(delivered(&tracker, partition, session, offset), own.is_some());
                    own.into_iter().for_each(|plain| assert!(plain.delivered.insert(offset)));
                }
                24..48 => {
                    let first = plain.get(&partition).and_then(Plain::first_open);
                    let offset = first.copied().filter(|_| random.below(2) == 0).unwrap_or(offset);
                    let own = plain.get_mut(&partition).is_some_and(|plain| plain.settle(session, offset, true));
                    assert_eq!(finish(&tracker, partition, session, offset), own);
                }
                48 => {
                    let own = plain.get_mut(&partition).is_some_and(|plain| plain.settle(session, offset, false));
                    assert_eq!(hand_back(&tracker, partition, session, offset), own);
                }
                49..54 => sent.extend(tracker.committable(partition)),
                // Confirmed in any order, and late: as far as this session is concerned, only what is its own.
                _ if !sent.is_empty() => {
                    let commit = sent.swap_remove(random.below(sent.len() as u64) as usize);
                    tracker.committed(commit.partition, commit.session, commit.next);
                    if let Some(plain) = plain.get_mut(&commit.partition).filter(|own| own.session == commit.session) {
                        plain.committed = plain.committed.max(commit.next);
                        commits += 1;
                    }
                }
                _ => {}
            }
            for partition in 0..2 {
                let own = plain.get(&partition);
                let committable = tracker.committable(partition).map(|commit| commit.next);
                assert_eq!(committable, own.and_then(Plain::committable));
                assert_eq!(tracker.outstanding(partition), own.map_or(0, Plain::outstanding));
            }
        }
    }
    assert!(commits > 100, "only {commits} commits were confirmed in time");
}

#[test]
fn a_batch_is_what_its_members_are_one_by_one() {
    let tracker = with(&[0, 1, 2]);
    let mut list = vec![77, 2, 3, 3, 1, 5, 4];
    tracker.deliver((0, 1), &mut list, 1, |offset| *offset);
    assert_eq!(list, [77, 3, 5], "those that rise, behind what is not looked at");
    tracker.deliver((0, 2), &mut list, 1, |offset| *offset + 10);
    assert_eq!(list, [77], "of another session none");
    let positions: Vec<Position> = [0, 1, 1, 4, 5].into_iter().flat_map(|offset| at(0, 1, offset)).collect();
    assert_eq!(tracker.finish(&positions), (3, 2), "two of the three can be committed");
    assert_eq!(next(&tracker), Some(2));
}
