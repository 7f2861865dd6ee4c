//! What checks remember of those before: what has not moved since when, and how often a queue has grown. No clock, no lock.

use crate::sync::Keys;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// What has not moved. A key stands for a thing together with a count of its that changes whenever the thing moves.
#[derive(Debug)]
pub(crate) struct Still<K> {
    seen: HashMap<K, Mark, Keys>,
    next: u64,
}

/// Something that stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The same at each check.
    pub(crate) id: u64,
    since: Instant,
}

impl Mark {
    /// For how long, if that is `limit` or longer.
    pub(crate) fn stuck(&self, now: Instant, limit: Duration) -> Option<Duration> {
        Some(now.saturating_duration_since(self.since)).filter(|since| *since >= limit)
    }
}

impl<K: Hash + Eq> Still<K> {
    pub(crate) fn new() -> Still<K> {
        Still { seen: HashMap::default(), next: 0 }
    }

    /// Takes what there is, each with since when it is known to stand still, or else that is from now on. What was there at the check
    /// before has stood still since it was first seen; what is not there any more is forgotten.
    pub(crate) fn look(&mut self, now: Instant, all: impl Iterator<Item = (K, Option<Instant>)>) -> Vec<Mark> {
        let mut seen = HashMap::default();
        let mut marks = Vec::new();
        for (key, since) in all {
            let mark = self.seen.get(&key).copied().unwrap_or_else(|| {
                self.next += 1;
                Mark { id: self.next, since: since.unwrap_or(now) }
            });
            marks.push(mark);
            seen.insert(key, mark);
        }
        self.seen = seen;
        marks
    }
}

/// A queue that only grows: it was longer at each of [`Growth::CHECKS`] checks in a row than at the one before, and
/// is not short now.
#[derive(Debug, Default)]
pub(crate) struct Growth {
    last: Option<(Instant, usize)>,
    grown: u32,
}

impl Growth {
    pub(crate) const CHECKS: u32 = 5;

    /// Takes the queue's length, `None` while it is meant to grow; returns how many checks in a row found it longer, if it only grows. Checks
    /// that come sooner than `apart` after the one before count as that one, so that several who ask do not make a burst of tasks a trend.
    pub(crate) fn look(&mut self, now: Instant, apart: Duration, least: usize, queued: Option<usize>) -> Option<u32> {
        let Some(queued) = queued else {
            *self = Growth::default();
            return None;
        };
        match self.last {
            Some((then, _)) if now.saturating_duration_since(then) < apart => {}
            before => {
                let grows = before.is_some_and(|(_, before)| queued > before);
                self.grown = if grows { self.grown.saturating_add(1) } else { 0 };
                self.last = Some((now, queued));
            }
        }
        (self.grown >= Growth::CHECKS && queued >= least).then_some(self.grown)
    }
}

#[cfg(all(test, not(fanpool_loom)))]
mod tests {
    use super::*;

    /// Checks: the second of each, and what is there, with since when that is known. What is to be stuck at the limit of ten seconds, with the seconds.
    type Check = (u64, &'static [(char, Option<u64>)], &'static [(char, u64)]);

    #[test]
    fn what_stands_still_is_that_of_the_table() {
        let rows: &[(&str, &[Check])] = &[
            (
                "from the first check on",
                &[(3, &[('a', None)], &[]), (12, &[('a', None)], &[]), (13, &[('a', None)], &[('a', 10)])],
            ),
            (
                "known earlier",
                &[
                    (12, &[('a', Some(2)), ('b', Some(3))], &[('a', 10)]),
                    (13, &[('a', Some(2)), ('b', Some(3))], &[('a', 11), ('b', 10)]),
                ],
            ),
            (
                "gone in between",
                &[
                    (0, &[('a', None)], &[]),
                    (5, &[], &[]),
                    (10, &[('a', None)], &[]),
                    (20, &[('a', None)], &[('a', 10)]),
                ],
            ),
            (
                "a clock that goes back",
                &[(9, &[('a', None)], &[]), (3, &[('a', None)], &[]), (19, &[('a', None)], &[('a', 10)])],
            ),
            (
                "known later than now",
                &[(5, &[('a', Some(8))], &[]), (17, &[('a', Some(8))], &[]), (18, &[('a', Some(8))], &[('a', 10)])],
            ),
        ];
        let start = Instant::now();
        let at = |second: u64| start + Duration::from_secs(second);
        for (name, checks) in rows {
            let mut still = Still::new();
            let mut ids = HashMap::new();
            for (second, there, wanted) in *checks {
                let marks = still.look(at(*second), there.iter().map(|(key, since)| (*key, since.map(at))));
                let stuck: Vec<_> = there
                    .iter()
                    .zip(&marks)
                    .filter_map(|((key, _), mark)| {
                        Some((*key, mark.stuck(at(*second), Duration::from_secs(10))?.as_secs()))
                    })
                    .collect();
                assert_eq!(stuck, *wanted, "{name}, second {second}");
                for ((key, _), mark) in there.iter().zip(&marks) {
                    let known = ids.insert(mark.id, *key).is_none_or(|before| before == *key);
                    assert!(known, "{name}: an id is for one");
                }
            }
        }
    }

    /// The second of each check and the queue's length, and in how many it grew.
    type Row = (&'static str, &'static [(u64, Option<usize>)], &'static [Option<u32>]);

    #[test]
    fn a_queue_grows_as_the_table_says() {
        const NONE: Option<usize> = None;
        let rows: &[Row] = &[
            (
                "six checks, five steps",
                &[(0, Some(96)), (1, Some(97)), (2, Some(98)), (3, Some(99)), (4, Some(100)), (5, Some(101))],
                &[None, None, None, None, None, Some(5)],
            ),
            (
                "short",
                &[(0, Some(0)), (1, Some(1)), (2, Some(2)), (3, Some(3)), (4, Some(4)), (5, Some(99)), (6, Some(100))],
                &[None, None, None, None, None, None, Some(6)],
            ),
            (
                "no step once",
                &[
                    (0, Some(200)),
                    (1, Some(201)),
                    (2, Some(202)),
                    (3, Some(202)),
                    (4, Some(203)),
                    (5, Some(204)),
                    (6, Some(205)),
                    (7, Some(206)),
                ],
                &[None; 8],
            ),
            (
                "recovers",
                &[
                    (0, Some(200)),
                    (1, Some(201)),
                    (2, Some(202)),
                    (3, Some(203)),
                    (4, Some(204)),
                    (5, Some(205)),
                    (6, Some(205)),
                ],
                &[None, None, None, None, None, Some(5), None],
            ),
            (
                "by many who ask at once",
                &[
                    (0, Some(200)),
                    (0, Some(201)),
                    (0, Some(202)),
                    (0, Some(203)),
                    (0, Some(204)),
                    (0, Some(205)),
                    (0, Some(206)),
                ],
                &[None; 7],
            ),
            (
                "paused",
                &[
                    (0, Some(200)),
                    (1, Some(201)),
                    (2, Some(202)),
                    (3, Some(203)),
                    (4, Some(204)),
                    (5, NONE),
                    (6, Some(206)),
                    (7, Some(207)),
                ],
                &[None; 8],
            ),
        ];
        let start = Instant::now();
        for (name, checks, wanted) in rows {
            let mut growth = Growth::default();
            let apart = Duration::from_secs(1);
            let looks =
                checks.iter().map(|(at, queued)| growth.look(start + Duration::from_secs(*at), apart, 100, *queued));
            assert_eq!(looks.collect::<Vec<_>>(), *wanted, "{name}");
        }
    }
}
