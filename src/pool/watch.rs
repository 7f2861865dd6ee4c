//! How a pool is: a pure function of what a check saw and what those before it had seen.

use crate::observe::{Growth, Health, Reason, Still};
use crate::sync::Arc;
use std::time::{Duration, Instant};

/// A queue shorter than this is never one that only grows.
const LEAST: usize = 100;

/// A worker that serves, as a check sees it.
#[derive(Debug, Clone)]
pub(super) struct Seat {
    pub(super) worker: usize,
    /// It was told to leave.
    pub(super) retiring: bool,
    pub(super) group: Option<Arc<str>>,
    /// It is in `blocking`.
    pub(super) blocking: bool,
    /// When it began to serve, and how many tasks had ended on it until then, and have by now.
    pub(super) turn: (Instant, usize),
    pub(super) ended: usize,
}

/// What a check sees.
#[derive(Debug, Clone)]
pub(super) struct Sight {
    pub(super) now: Instant,
    /// From when on a task is stuck.
    pub(super) limit: Duration,
    pub(super) seats: Vec<Seat>,
    /// Workers that were not told to leave, and how many there should be at least.
    pub(super) workers: usize,
    pub(super) wanted: usize,
    /// The most threads that an elastic pool may have.
    pub(super) max: Option<usize>,
    /// The size is not changed any more.
    pub(super) ending: bool,
    /// Threads that were refused, ever, and what the last failed with, if none was started since.
    pub(super) refusals: usize,
    pub(super) refused: Option<Arc<str>>,
    /// Groups wait for a worker.
    pub(super) waits: bool,
    pub(super) queued: usize,
    pub(super) paused: bool,
    pub(super) closed: bool,
}

/// What checks remember.
#[derive(Debug)]
pub(super) struct Watch {
    /// A worker with its turn and its count.
    still: Still<(usize, Instant, usize)>,
    growth: Growth,
    /// When so many refusals were seen first.
    refusals: Option<(usize, Instant)>,
}

impl Watch {
    pub(super) fn new() -> Watch {
        Watch { still: Still::new(), growth: Growth::default(), refusals: None }
    }

    /// * A task is *stuck* if its worker's count of ended tasks has stood still for `limit`: since the turn began, if none had ended in it,
    ///   or else since the check that saw this count first.
    /// * The pool is not *live* if that is so of all of its workers, and there cannot be another. One that was told to leave keeps another
    ///   from being started only if it is stuck, too.
    /// * A queue *only grows* as [`Growth`] says, with checks a thirtieth of `limit` apart.
    /// * *Threads are missing* if there are fewer than wanted, and after a refusal that no start has followed, as long as somebody waits for
    ///   a worker, and in any case for `limit` from the check that saw it first, so that no refusal goes unseen.
    pub(super) fn check(&mut self, sight: &Sight) -> Health {
        let Sight { now, limit, .. } = *sight;
        let keys = sight.seats.iter().map(|seat| {
            let (began, before) = seat.turn;
            ((seat.worker, began, seat.ended), (before == seat.ended).then_some(began))
        });
        let marks = self.still.look(now, keys);
        let mut reasons = Vec::new();
        let (mut serving, mut leaving) = (0, 0);
        for (seat, mark) in sight.seats.iter().zip(marks) {
            let Some(since) = mark.stuck(now, limit) else { continue };
            *if seat.retiring { &mut leaving } else { &mut serving } += 1;
            reasons.push(Reason::Stuck {
                id: mark.id,
                worker: Some(seat.worker),
                task: seat.group.as_deref().map(String::from),
                item: None,
                lane: None,
                since,
                blocking: seat.blocking,
            });
        }
        let room = sight.max.map_or(sight.workers == 0, |max| sight.workers + leaving < max);
        let live = serving < sight.workers || room;
        let queued = (!sight.paused).then_some(sight.queued);
        if let Some(checks) = self.growth.look(now, limit / 30, LEAST, queued) {
            reasons.push(Reason::QueueGrows { queued: sight.queued, checks });
        }
        reasons.extend(self.missing(sight));
        if sight.paused {
            reasons.push(Reason::Paused);
        }
        if sight.closed {
            reasons.push(Reason::Closed { left: sight.queued });
        }
        Health::new(reasons, live)
    }

    fn missing(&mut self, sight: &Sight) -> Option<Reason> {
        let Sight { now, workers, wanted, .. } = *sight;
        let known = self.refusals.filter(|(count, _)| *count == sight.refusals);
        let (_, first) = *self.refusals.insert(known.unwrap_or((sight.refusals, now)));
        let why = sight.refused.as_deref().map(String::from);
        let lacks = why.is_some() && (sight.waits || now.saturating_duration_since(first) < sight.limit);
        if sight.ending {
            None
        } else if workers < wanted {
            Some(Reason::ThreadsMissing { workers, wanted, why })
        } else {
            lacks.then_some(Reason::ThreadsMissing { workers, wanted: workers + 1, why })
        }
    }
}

#[cfg(all(test, not(fanpool_loom)))]
mod tests {
    use super::*;
    use crate::observe::Status;

    fn at(start: Instant, second: u64) -> Instant {
        start + Duration::from_secs(second)
    }

    fn sight(now: Instant) -> Sight {
        Sight {
            now,
            limit: Duration::from_secs(30),
            seats: Vec::new(),
            workers: 2,
            wanted: 2,
            max: None,
            ending: false,
            refusals: 0,
            refused: None,
            waits: false,
            queued: 0,
            paused: false,
            closed: false,
        }
    }

    fn seat(worker: usize, began: Instant, before: usize, ended: usize) -> Seat {
        let group = Some(format!("group {worker}").into());
        Seat { worker, retiring: false, group, blocking: false, turn: (began, before), ended }
    }

    fn stuck(health: &Health) -> Vec<(usize, u64)> {
        let stuck = |reason: &Reason| match reason {
            Reason::Stuck { worker, task, since, .. } => {
                let worker = worker.unwrap_or(usize::MAX);
                assert_eq!(task.as_deref(), Some(&*format!("group {worker}")));
                Some((worker, since.as_secs()))
            }
            _ => None,
        };
        health.reasons().iter().filter_map(stuck).collect()
    }

    #[test]
    fn b6_stuck_tasks_are_those_of_the_table() {
        // For each check: its second; for each worker when its turn began, how many tasks had ended then and have now. What is stuck, and live.
        type Check<'a> = (u64, &'a [(usize, u64, usize, usize)], &'a [(usize, u64)], bool);
        let rows: &[(&str, &[Check<'_>])] = &[
            ("a turn's first task", &[(29, &[(0, 0, 5, 5)], &[], true), (30, &[(0, 0, 5, 5)], &[(0, 30)], true)]),
            (
                "a later one, from the first check on",
                &[
                    (40, &[(0, 0, 5, 9)], &[], true),
                    (69, &[(0, 0, 5, 9)], &[], true),
                    (70, &[(0, 0, 5, 9)], &[(0, 30)], true),
                ],
            ),
            (
                "one that ends",
                &[(30, &[(0, 0, 0, 0)], &[(0, 30)], true), (31, &[(0, 0, 0, 1)], &[], true), (32, &[], &[], true)],
            ),
            (
                "a new turn",
                &[
                    (30, &[(0, 0, 0, 0)], &[(0, 30)], true),
                    (31, &[(0, 31, 0, 0)], &[], true),
                    (60, &[(0, 31, 0, 0)], &[], true),
                ],
            ),
            (
                "many short ones",
                &[(0, &[(0, 0, 0, 0)], &[], true), (50, &[(0, 0, 0, 1)], &[], true), (79, &[(0, 0, 0, 2)], &[], true)],
            ),
            (
                "all workers",
                &[
                    (35, &[(0, 0, 0, 0), (1, 5, 0, 0)], &[(0, 35), (1, 30)], false),
                    (36, &[(0, 0, 0, 0)], &[(0, 36)], true),
                ],
            ),
        ];
        let start = Instant::now();
        for (name, checks) in rows {
            let mut watch = Watch::new();
            for (second, seats, wanted, live) in *checks {
                let seats = seats
                    .iter()
                    .map(|(worker, began, before, ended)| seat(*worker, at(start, *began), *before, *ended));
                let health = watch.check(&Sight { seats: seats.collect(), ..sight(at(start, *second)) });
                assert_eq!((stuck(&health), health.is_live()), (wanted.to_vec(), *live), "{name}, second {second}");
                let status = if !live {
                    Status::Unhealthy
                } else if wanted.is_empty() {
                    Status::Healthy
                } else {
                    Status::Degraded
                };
                assert_eq!(health.status(), status, "{name}, second {second}");
            }
        }
    }

    #[test]
    fn a_pool_with_all_workers_stuck_is_live_if_others_may_come() {
        let start = Instant::now();
        let seats = vec![seat(0, start, 0, 0), seat(1, start, 0, 0)];
        let all = Sight { seats, ..sight(at(start, 60)) };
        assert!(!Watch::new().check(&all).is_live());
        assert!(Watch::new().check(&Sight { max: Some(3), ..all.clone() }).is_live());
        assert!(!Watch::new().check(&Sight { max: Some(2), ..all.clone() }).is_live());
        // One that was told to leave is named, and is none of the workers any more.
        let mut left = Sight { workers: 1, wanted: 1, ..all };
        left.seats[1].retiring = true;
        left.seats[0].ended = 7;
        let health = Watch::new().check(&left);
        assert_eq!((stuck(&health), health.is_live()), (vec![(1, 60)], true));
        // With the other one stuck, too, it takes the room that an elastic pool has; if it is not stuck, it is about to leave.
        left.seats[0].ended = 0;
        left.max = Some(2);
        assert!(!Watch::new().check(&left).is_live());
        left.seats.truncate(1);
        assert!(Watch::new().check(&left).is_live());
    }

    #[test]
    fn h1_missing_threads_are_those_of_the_table() {
        // For each check: its second, workers, wanted, refusals and whether no start followed, whether somebody waits. What is missing.
        type Check = (u64, usize, usize, (usize, bool), bool, Option<(usize, usize)>);
        let rows: &[(&str, &[Check])] = &[
            ("fewer than wanted", &[(0, 1, 2, (0, false), false, Some((1, 2))), (1, 2, 2, (0, false), false, None)]),
            (
                "refused, and somebody waits",
                &[
                    (0, 2, 1, (1, true), true, Some((2, 3))),
                    (99, 2, 1, (1, true), true, Some((2, 3))),
                    (100, 3, 1, (1, false), false, None),
                ],
            ),
            (
                "refused, and nobody waits by now",
                &[
                    (0, 2, 1, (0, false), false, None),
                    (5, 2, 1, (1, true), false, Some((2, 3))),
                    (34, 2, 1, (1, true), false, Some((2, 3))),
                    (35, 2, 1, (1, true), false, None),
                ],
            ),
            (
                "refused anew",
                &[
                    (0, 2, 1, (1, true), false, Some((2, 3))),
                    (31, 2, 1, (2, true), false, Some((2, 3))),
                    (60, 2, 1, (2, true), false, Some((2, 3))),
                    (61, 2, 1, (2, true), false, None),
                ],
            ),
            ("none at all", &[(0, 0, 0, (1, true), true, Some((0, 1)))]),
        ];
        let start = Instant::now();
        for (name, checks) in rows {
            let mut watch = Watch::new();
            for (second, workers, wanted, (refusals, open), waits, missing) in checks.iter().copied() {
                let refused = open.then(|| "no threads".into());
                let health =
                    watch.check(&Sight { workers, wanted, refusals, refused, waits, ..sight(at(start, second)) });
                let expected = missing.map(|(workers, wanted)| Reason::ThreadsMissing {
                    workers,
                    wanted,
                    why: open.then(|| "no threads".to_owned()),
                });
                assert_eq!(health.reasons(), expected.as_slice(), "{name}, second {second}");
                assert_eq!(health.status() == Status::Unhealthy, missing.is_some_and(|(workers, _)| workers == 0));
                assert!(health.is_live());
            }
        }
        let ending = Sight { workers: 0, ending: true, closed: true, ..sight(start) };
        assert_eq!(Watch::new().check(&ending).reasons(), [Reason::Closed { left: 0 }]);
    }

    #[test]
    fn a_queue_grows_unless_the_pool_is_paused() {
        let start = Instant::now();
        for paused in [false, true] {
            let mut watch = Watch::new();
            let grown = |second: u64| Sight { queued: 200 + second as usize, paused, ..sight(at(start, second)) };
            let last = (0..6).map(|second| watch.check(&grown(second))).last().unwrap();
            let wanted = if paused { Reason::Paused } else { Reason::QueueGrows { queued: 205, checks: 5 } };
            assert_eq!(last.reasons(), [wanted]);
            assert!(!last.is_ready());
        }
    }
}
