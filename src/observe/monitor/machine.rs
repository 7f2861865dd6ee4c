//! When a rule fires and when it is resolved: readings and their times go in, events come out. No clock, no thread.

use std::time::{Duration, Instant};

/// What a value is held against.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// Whether the trouble is above the threshold, or else below.
    pub(super) above: bool,
    pub(super) threshold: f64,
    /// Not beyond the threshold.
    pub(super) clears_at: f64,
    pub(super) fire_after: Duration,
    pub(super) clear_after: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    Quiet,
    /// Beyond the threshold at each reading since then.
    Pending {
        since: Instant,
    },
    Firing {
        since: Instant,
        /// Cleared at each reading since then.
        clear: Option<Instant>,
    },
}

/// Both carry since when the value had been beyond the threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Event {
    Fired(Instant),
    Resolved(Instant),
}

/// A rule *fires* when every reading for `fire_after` was beyond the threshold, and is *resolved* when every reading for
/// `clear_after` was clear. What is neither beyond nor clear ends both waits: it lies between the two limits.
///
/// Between two readings the value is taken to have been what the earlier one said. A reading that is not a number is none, and changes
/// nothing. A time before the one seen last counts as no time gone by.
#[derive(Debug)]
pub(super) struct Machine {
    limits: Limits,
    phase: Phase,
}

impl Limits {
    fn is_beyond(&self, value: f64) -> bool {
        if self.above { value > self.threshold } else { value < self.threshold }
    }

    fn is_clear(&self, value: f64) -> bool {
        if self.above { value <= self.clears_at } else { value >= self.clears_at }
    }
}

impl Machine {
    pub(super) fn new(limits: Limits) -> Machine {
        Machine { limits, phase: Phase::Quiet }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn is_firing(&self) -> bool {
        matches!(self.phase, Phase::Firing { .. })
    }

    pub(super) fn is_pending(&self) -> bool {
        matches!(self.phase, Phase::Pending { .. })
    }

    /// Takes a reading.
    pub(super) fn step(&mut self, now: Instant, value: f64) -> Option<Event> {
        if value.is_nan() {
            return None;
        }
        let limits = &self.limits;
        let (phase, event) = match self.phase {
            Phase::Firing { since, .. } if !limits.is_clear(value) => (Phase::Firing { since, clear: None }, None),
            Phase::Firing { since, clear } => {
                let clear = clear.unwrap_or(now);
                if now.saturating_duration_since(clear) >= limits.clear_after {
                    (Phase::Quiet, Some(Event::Resolved(since)))
                } else {
                    (Phase::Firing { since, clear: Some(clear) }, None)
                }
            }
            _ if !limits.is_beyond(value) => (Phase::Quiet, None),
            before => {
                let since = if let Phase::Pending { since } = before { since } else { now };
                if now.saturating_duration_since(since) >= limits.fire_after {
                    (Phase::Firing { since, clear: None }, Some(Event::Fired(since)))
                } else {
                    (Phase::Pending { since }, None)
                }
            }
        };
        self.phase = phase;
        event
    }
}

#[cfg(all(test, not(fanpool_loom)))]
mod tests {
    use super::*;

    const fn limits(above: bool, threshold: f64, clears_at: f64, fire_after: u64, clear_after: u64) -> Limits {
        let (fire_after, clear_after) = (Duration::from_secs(fire_after), Duration::from_secs(clear_after));
        Limits { above, threshold, clears_at, fire_after, clear_after }
    }

    /// Readings with the second of each; what is to come of them: the second, F or R, and since when.
    type Row = (&'static str, Limits, &'static [(u64, f64)], &'static [(u64, char, u64)]);

    const ROWS: &[Row] = &[
        ("nothing", limits(true, 10.0, 10.0, 0, 0), &[], &[]),
        ("the threshold itself is not beyond it", limits(true, 10.0, 10.0, 0, 0), &[(0, 10.0), (1, -3.0)], &[]),
        ("nor is it below", limits(false, 10.0, 10.0, 0, 0), &[(0, 10.0), (1, 11.0)], &[]),
        (
            "at once, and back",
            limits(true, 10.0, 10.0, 0, 0),
            &[(0, 1.0), (1, 10.5), (2, 11.0), (3, 10.0), (4, 9.0)],
            &[(1, 'F', 1), (3, 'R', 1)],
        ),
        ("below", limits(false, 1.0, 1.0, 0, 0), &[(0, 1.0), (1, 0.0), (2, 1.0)], &[(1, 'F', 1), (2, 'R', 1)]),
        (
            "below, cleared only higher up",
            limits(false, 1.0, 3.0, 0, 0),
            &[(0, 0.0), (1, 2.9), (2, 3.0), (3, 1.0), (4, 0.9)],
            &[(0, 'F', 0), (2, 'R', 0), (4, 'F', 4)],
        ),
        (
            "between the limits nothing changes",
            limits(true, 10.0, 5.0, 0, 0),
            &[(0, 7.0), (1, 11.0), (2, 7.0), (3, 11.0), (4, 5.1), (5, 5.0), (6, 7.0)],
            &[(1, 'F', 1), (5, 'R', 1)],
        ),
        (
            "for at least five seconds",
            limits(true, 10.0, 10.0, 5, 0),
            &[(0, 11.0), (4, 11.0), (5, 12.0), (6, 12.0)],
            &[(5, 'F', 0)],
        ),
        (
            "a dip begins it anew",
            limits(true, 10.0, 5.0, 5, 0),
            &[(0, 11.0), (4, 7.0), (5, 11.0), (9, 11.0), (10, 11.0)],
            &[(10, 'F', 5)],
        ),
        (
            "clear for at least five seconds, and a relapse begins it anew",
            limits(true, 10.0, 5.0, 0, 5),
            &[(0, 11.0), (1, 4.0), (5, 4.0), (6, 7.0), (7, 4.0), (11, 4.0), (12, 4.0)],
            &[(0, 'F', 0), (12, 'R', 0)],
        ),
        (
            "no reading changes nothing, and time goes on",
            limits(true, 10.0, 10.0, 5, 5),
            &[(0, f64::NAN), (1, 11.0), (3, f64::NAN), (6, 11.0), (7, f64::NAN), (8, 1.0), (9, f64::NAN), (13, 1.0)],
            &[(6, 'F', 1), (13, 'R', 1)],
        ),
        (
            "infinities are readings",
            limits(true, 10.0, 5.0, 0, 0),
            &[(0, f64::NEG_INFINITY), (1, f64::INFINITY), (2, f64::NEG_INFINITY)],
            &[(1, 'F', 1), (2, 'R', 1)],
        ),
        (
            "a clock that stands still",
            limits(true, 10.0, 10.0, 1, 0),
            &[(3, 11.0), (3, 11.0), (3, 11.0), (4, 11.0)],
            &[(4, 'F', 3)],
        ),
        (
            "a clock that goes back",
            limits(true, 10.0, 10.0, 1, 0),
            &[(9, 11.0), (3, 11.0), (10, 11.0)],
            &[(10, 'F', 9)],
        ),
        (
            "a clock that jumps by a year",
            limits(true, 10.0, 10.0, 5, 5),
            &[(0, 11.0), (31_536_000, 11.0)],
            &[(31_536_000, 'F', 0)],
        ),
    ];

    #[test]
    fn events_are_those_of_the_table() {
        let start = Instant::now();
        let at = |second: u64| start + Duration::from_secs(second);
        for (name, limits, readings, wanted) in ROWS {
            let mut machine = Machine::new(limits.clone());
            let mut events = Vec::new();
            for (second, value) in *readings {
                match machine.step(at(*second), *value) {
                    Some(Event::Fired(since)) => events.push((*second, 'F', since)),
                    Some(Event::Resolved(since)) => events.push((*second, 'R', since)),
                    None => {}
                }
            }
            let wanted: Vec<_> = wanted.iter().map(|(second, kind, since)| (*second, *kind, at(*since))).collect();
            assert_eq!(events, wanted, "{name}");
        }
    }

    /// A signal that is beyond its threshold at every other reading, a thousand times, and good afterwards.
    fn noisy(limits: Limits, good: f64, bad: f64) -> Vec<(u64, Event)> {
        let start = Instant::now();
        let mut machine = Machine::new(limits);
        let mut events = Vec::new();
        for second in 0..2_100 {
            let value = if second < 2_000 && second % 2 == 1 { bad } else { good };
            let value = if second > 2_000 { -1e9 } else { value };
            events.extend(machine.step(start + Duration::from_secs(second), value).map(|event| (second, event)));
        }
        events
    }

    #[test]
    fn h7_a_thousand_crossings_fire_once() {
        let by_limit = noisy(limits(true, 10.0, 5.0, 0, 0), 9.0, 11.0);
        assert!(matches!(by_limit[..], [(1, Event::Fired(_)), (2_001, Event::Resolved(_))]), "{by_limit:?}");
        // Clear at 2,000 for the first time of those that last.
        let by_time = noisy(limits(true, 10.0, 10.0, 0, 3), 9.0, 11.0);
        assert!(matches!(by_time[..], [(1, Event::Fired(_)), (2_003, Event::Resolved(_))]), "{by_time:?}");
        assert_eq!(noisy(limits(true, 10.0, 10.0, 2, 0), 9.0, 11.0), [], "never for two seconds");
        // Without either, it would flap.
        assert_eq!(noisy(limits(true, 10.0, 10.0, 0, 0), 9.0, 11.0).len(), 2_000);
    }
}
