//! What stands under the breaker's lock. Nothing here calls code of the user's, and nothing waits.

use super::builder::Options;
use super::window::{Tally, Window};
use super::{BreakerChange, BreakerCounts, BreakerOpen, BreakerState};
use crate::resilience::{Clock, later};
use crate::sync::broken;
use crate::trace;
use std::collections::VecDeque;
use std::time::Instant;

/// The right to make calls, and to answer them. Of a closed breaker: any number of them. Of a probe: one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    era: usize,
    /// 0 if it is none.
    probe: u64,
}

/// How calls ended, in the order in which they are counted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Answers {
    pub(crate) successes: u64,
    /// Successes that took too long; they count as failures.
    pub(crate) slow: u64,
    pub(crate) failures: u64,
}

/// The time of one step: read under the lock, so that steps see times in their order, and only if it matters.
pub(super) struct Now<'a> {
    clock: &'a Clock,
    read: Option<Instant>,
}

enum Phase {
    Closed(Window),
    Open { until: Instant },
    HalfOpen { probes: Vec<Probe>, succeeded: usize },
}

/// A call that is out to probe.
struct Probe {
    id: u64,
    until: Instant,
}

pub(super) struct Machine {
    /// Whose breaker of a family this is.
    key: Option<u64>,
    /// Counts the changes, and resets. An answer belongs to the era of its admission.
    era: usize,
    phase: Phase,
    next_probe: u64,
    pub(super) counts: BreakerCounts,
    /// Changes that nobody has been told of.
    pub(super) untold: VecDeque<BreakerChange>,
    /// A thread is telling them.
    pub(super) telling: bool,
    /// There is room for calls where there was none.
    pub(super) made_room: bool,
}

impl Machine {
    pub(super) fn new(options: &Options, key: Option<u64>) -> Machine {
        let phase = Phase::Closed(Window::new(options.span, &mut Now::new(&options.clock)));
        let (counts, untold) = (BreakerCounts::default(), VecDeque::new());
        Machine { key, era: 0, phase, next_probe: 1, counts, untold, telling: false, made_room: false }
    }

    /// What is told outside of the lock: the era, and in the lowest bit whether the breaker is closed.
    pub(super) fn word(&self) -> usize {
        self.era << 1 | usize::from(matches!(self.phase, Phase::Closed(_)))
    }

    /// The ticket that such a word stands for, if the breaker is closed.
    pub(super) fn ticket_of(word: usize) -> Option<Ticket> {
        (word & 1 == 1).then_some(Ticket { era: word >> 1, probe: 0 })
    }

    pub(super) fn state(&self) -> BreakerState {
        match self.phase {
            Phase::Closed(_) => BreakerState::Closed,
            Phase::Open { .. } => BreakerState::Open,
            Phase::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Until when it is open.
    pub(super) fn open_until(&self) -> Option<Instant> {
        if let Phase::Open { until } = self.phase { Some(until) } else { None }
    }

    /// Room for one more probe of a breaker that is open for long enough, or half-open; else a refusal.
    pub(super) fn admit(&mut self, options: &Options, now: &mut Now<'_>) -> Result<Ticket, BreakerOpen> {
        let free_at = self.free_at(options, now);
        let now = now.get();
        if free_at > now {
            self.counts.rejected += 1;
            return Err(BreakerOpen { retry_after: free_at - now });
        }
        if let Phase::Open { .. } = self.phase {
            self.change(options, Phase::HalfOpen { probes: Vec::new(), succeeded: 0 }, now, Tally::default());
        }
        let Phase::HalfOpen { probes, .. } = &mut self.phase else { return Ok(Ticket { era: self.era, probe: 0 }) };
        let id = self.next_probe;
        self.next_probe += 1;
        if !broken!("breaker_probe_not_counted") {
            probes.push(Probe { id, until: later(now, options.probe_timeout) });
        }
        Ok(Ticket { era: self.era, probe: id })
    }

    /// When there is room for a call, if nothing else happens: now or earlier if there is.
    pub(super) fn free_at(&mut self, options: &Options, now: &mut Now<'_>) -> Instant {
        let now = now.get();
        match &mut self.phase {
            Phase::Closed(_) => now,
            Phase::Open { until } => *until,
            Phase::HalfOpen { probes, succeeded } => {
                probes.retain(|probe| probe.until > now);
                let full = probes.len() + *succeeded >= options.probes;
                probes.iter().map(|probe| probe.until).min().filter(|_| full).unwrap_or(now)
            }
        }
    }

    /// Counts answers, one after the other.
    pub(super) fn record(&mut self, options: &Options, now: &mut Now<'_>, ticket: Ticket, answers: Answers) {
        if !self.all_succeed(now, ticket, answers.successes) {
            for _ in 0..answers.successes {
                self.answer(options, now, ticket, false);
            }
        }
        for _ in 0..answers.slow {
            let counted = self.answer(options, now, ticket, true);
            self.counts.slow += u64::from(counted);
        }
        for _ in 0..answers.failures {
            self.answer(options, now, ticket, true);
        }
    }

    /// Counts successes all at once where that makes no difference: nothing in the window has failed, so that none of them opens the
    /// breaker.
    fn all_succeed(&mut self, now: &mut Now<'_>, ticket: Ticket, successes: u64) -> bool {
        if !matches!(self.phase, Phase::Closed(_)) || ticket.is_probe() || !self.is_awaited(now, ticket) {
            return false;
        }
        let Phase::Closed(window) = &mut self.phase else { return false };
        let added = window.add_successes(successes, now);
        if added {
            self.counts.calls += successes;
        }
        added
    }

    /// Counts one answer, unless it is of another era, or of a probe that was given back.
    fn answer(&mut self, options: &Options, now: &mut Now<'_>, ticket: Ticket, failed: bool) -> bool {
        if !self.is_awaited(now, ticket) {
            self.counts.late += 1;
            return false;
        }
        self.counts.calls += 1;
        self.counts.failures += u64::from(failed);
        match &mut self.phase {
            Phase::Closed(window) => {
                let tally = window.add(failed, now);
                // Divided, not multiplied: 3 of 30 are the same number as the literal 0.1.
                let share = tally.failures as f64 / tally.calls as f64;
                if tally.calls >= options.minimum_calls as u64 && share >= options.failure_rate {
                    self.open(options, now, tally);
                }
            }
            Phase::HalfOpen { succeeded, .. } => {
                *succeeded += usize::from(!failed);
                let calls = *succeeded as u64;
                if failed {
                    self.open(options, now, Tally { calls: calls + 1, failures: 1 });
                } else if *succeeded >= options.probes {
                    let window = Window::new(options.span, now);
                    self.change(options, Phase::Closed(window), now.get(), Tally { calls, failures: 0 });
                }
            }
            // No ticket is of such an era.
            Phase::Open { .. } => {}
        }
        true
    }

    /// Whether an answer to this ticket counts. A probe is no longer out then.
    fn is_awaited(&mut self, now: &mut Now<'_>, ticket: Ticket) -> bool {
        if ticket.era != self.era && !broken!("breaker_late_answer_counts") {
            return false;
        }
        match &mut self.phase {
            Phase::HalfOpen { probes, .. } => {
                let Some(at) = probes.iter().position(|probe| probe.id == ticket.probe) else {
                    return broken!("breaker_lost_probe_counts");
                };
                probes.swap_remove(at).until > now.get()
            }
            _ => true,
        }
    }

    /// Takes a ticket back as if it had never been given.
    pub(super) fn give_back(&mut self, ticket: Ticket) {
        if let Phase::HalfOpen { probes, .. } = &mut self.phase {
            let before = probes.len();
            probes.retain(|probe| probe.id != ticket.probe || broken!("breaker_probe_kept"));
            self.made_room |= probes.len() < before;
        }
    }

    /// Closes the breaker and forgets what it has seen.
    pub(super) fn reset(&mut self, options: &Options, now: &mut Now<'_>) {
        let window = Window::new(options.span, now);
        if let Phase::Closed(old) = &mut self.phase {
            *old = window;
            self.next_era();
        } else {
            self.change(options, Phase::Closed(window), now.get(), Tally::default());
        }
    }

    fn open(&mut self, options: &Options, now: &mut Now<'_>, tally: Tally) {
        let until = later(now.get(), options.open_for);
        self.change(options, Phase::Open { until }, now.get(), tally);
    }

    fn change(&mut self, options: &Options, phase: Phase, at: Instant, Tally { calls, failures }: Tally) {
        let from = self.state();
        self.phase = phase;
        self.next_era();
        self.counts.changes += 1;
        self.made_room |= matches!(self.phase, Phase::Closed(_));
        if options.on_change.is_some() || trace::is_on() {
            self.untold.push_back(BreakerChange { key: self.key, from, to: self.state(), at, calls, failures });
        }
    }

    /// One bit of a word is for the state. On 32-bit targets a ticket is at home again after two thousand million changes.
    fn next_era(&mut self) {
        self.era = self.era.wrapping_add(1) & (usize::MAX >> 1);
    }
}

impl Ticket {
    /// Whether it is of a probe, and so for one call only.
    pub(crate) fn is_probe(self) -> bool {
        self.probe != 0
    }
}

impl<'a> Now<'a> {
    pub(super) fn new(clock: &'a Clock) -> Now<'a> {
        Now { clock, read: None }
    }

    pub(super) fn get(&mut self) -> Instant {
        *self.read.get_or_insert_with(|| self.clock.now())
    }
}
