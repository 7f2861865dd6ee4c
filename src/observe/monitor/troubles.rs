//! The reasons of a health check, one alert for each.

use super::alert::AlertState;
use super::machine::{Event, Limits, Machine};
use crate::observe::{Health, Reason};
use std::time::{Duration, Instant};

/// What a rule about health knows of the reasons that it has seen.
#[derive(Debug)]
pub(super) struct Troubles {
    fire_after: Duration,
    clear_after: Duration,
    known: Vec<Trouble>,
}

#[derive(Debug)]
struct Trouble {
    machine: Machine,
    /// As it was seen last.
    reason: Reason,
}

impl Troubles {
    pub(super) fn new(fire_after: Duration, clear_after: Duration) -> Troubles {
        Troubles { fire_after, clear_after, known: Vec::new() }
    }

    /// Takes a check. Of a stuck task that is gone nothing more is to come, so that needs no time to be clear.
    pub(super) fn step(&mut self, now: Instant, health: &Health) -> Vec<(AlertState, Instant, Reason)> {
        for reason in health.reasons() {
            match self.known.iter_mut().find(|trouble| trouble.reason.is_same(reason)) {
                Some(trouble) => trouble.reason = reason.clone(),
                None => {
                    let lasting = matches!(reason, Reason::Stuck { .. });
                    let clear_after = if lasting { Duration::ZERO } else { self.clear_after };
                    let fire_after = self.fire_after;
                    let limits = Limits { above: true, threshold: 0.5, clears_at: 0.5, fire_after, clear_after };
                    self.known.push(Trouble { machine: Machine::new(limits), reason: reason.clone() });
                }
            }
        }
        let mut told = Vec::new();
        for Trouble { machine, reason } in &mut self.known {
            let there = health.reasons().iter().any(|seen| seen.is_same(reason));
            match machine.step(now, if there { 1.0 } else { 0.0 }) {
                Some(Event::Fired(since)) => told.push((AlertState::Firing, since, reason.clone())),
                Some(Event::Resolved(since)) => told.push((AlertState::Resolved, since, reason.clone())),
                None => {}
            }
        }
        self.known.retain(|trouble| trouble.machine.is_firing() || trouble.machine.is_pending());
        told
    }

    pub(super) fn is_firing(&self) -> bool {
        self.known.iter().any(|trouble| trouble.machine.is_firing())
    }

    pub(super) fn is_pending(&self) -> bool {
        self.known.iter().any(|trouble| trouble.machine.is_pending())
    }
}

#[cfg(all(test, not(fanpool_loom)))]
mod tests {
    use super::*;

    /// The second, what the check finds, and what is told: since which second.
    type Look = (u64, Vec<Reason>, Vec<(AlertState, u64, Reason)>);

    #[test]
    fn each_reason_fires_once_and_is_resolved_once() {
        let stuck = |id: u64, since: u64| Reason::Stuck {
            id,
            worker: Some(0),
            task: None,
            item: None,
            lane: None,
            since: Duration::from_secs(since),
            blocking: false,
        };
        let mut troubles = Troubles::new(Duration::ZERO, Duration::from_secs(3));
        let start = Instant::now();
        let at = |second: u64| start + Duration::from_secs(second);
        let paused = || Reason::Paused;
        #[rustfmt::skip]
        let looks: [Look; 8] = [
            (0, vec![], vec![]),
            (1, vec![stuck(1, 30)], vec![(AlertState::Firing, 1, stuck(1, 30))]),
            (2, vec![stuck(1, 31), stuck(2, 30)], vec![(AlertState::Firing, 2, stuck(2, 30))]),
            // The first has ended, and its worker is stuck again.
            (3, vec![stuck(2, 31), stuck(3, 30)], vec![(AlertState::Resolved, 1, stuck(1, 31)), (AlertState::Firing, 3, stuck(3, 30))]),
            (4, vec![paused()], vec![(AlertState::Resolved, 2, stuck(2, 31)), (AlertState::Resolved, 3, stuck(3, 30)), (AlertState::Firing, 4, paused())]),
            // On and off is one trouble.
            (5, vec![], vec![]),
            (6, vec![paused()], vec![]),
            (7, vec![], vec![]),
        ];
        for (second, reasons, wanted) in looks {
            let wanted: Vec<_> = wanted.into_iter().map(|(state, since, reason)| (state, at(since), reason)).collect();
            assert_eq!(troubles.step(at(second), &Health::new(reasons, true)), wanted, "second {second}");
        }
        assert!(troubles.is_firing());
        let last = troubles.step(at(10), &Health::new(vec![], true));
        assert_eq!(last, [(AlertState::Resolved, at(4), Reason::Paused)]);
        assert!(!troubles.is_firing() && !troubles.is_pending() && troubles.known.is_empty());
    }
}
