//! Random use of a breaker, held against a model that keeps every call and works out everything anew after each event.
//! `FANPOOL_BREAKER_SEED` is the seed of the first case, `FANPOOL_BREAKER_CASES` their number.

use super::map_property::SplitMix64;
use super::{check_seeds, setting};
use fanpool::testing::ManualClock;
use fanpool::{BreakerState, CircuitBreaker, Permit};
use std::time::Duration;

#[derive(Debug, Clone, Copy)]
enum Event {
    Admit,
    Success(usize),
    Failure(usize),
    Drop(usize),
    Reset,
    /// Milliseconds.
    Advance(u64),
}

#[derive(Debug)]
struct Case {
    window_calls: usize,
    /// Milliseconds, as all times here.
    window_time: Option<u64>,
    minimum: usize,
    rate: (usize, usize),
    slow: Option<u64>,
    open_for: u64,
    probes: usize,
    probe_timeout: u64,
    events: Vec<Event>,
}

impl Case {
    fn random(seed: u64) -> Case {
        let r = &mut SplitMix64(seed);
        let window_time = r.maybe(2, |r| 10 * (1 + r.below(20) as u64));
        let window_calls = 1 + r.below(12);
        let minimum = 1 + r.below(if window_time.is_some() { 8 } else { window_calls });
        let parts = 1 + r.below(10);
        let worse = r.below(3);
        let event = |r: &mut SplitMix64| match r.below(20) {
            0..7 => Event::Admit,
            7..10 => Event::Success(r.below(64)),
            10..13 => [Event::Success, Event::Failure, Event::Failure][worse](r.below(64)),
            13..15 => Event::Failure(r.below(64)),
            15 => Event::Drop(r.below(64)),
            16..19 => Event::Advance(r.below_one_of(&[3, 30, 300]) as u64),
            _ => match r.below(4) {
                0 => Event::Reset,
                1 => Event::Advance(365 * 24 * 3600 * 1000),
                _ => Event::Advance(100),
            },
        };
        Case {
            window_calls,
            window_time,
            minimum,
            rate: (1 + r.below(parts), parts),
            slow: r.maybe(3, |r| 1 + r.below(100) as u64),
            open_for: 1 + r.below(100) as u64,
            probes: 1 + r.below(4),
            probe_timeout: 1 + r.below(100) as u64,
            events: (0..20 + r.below(100)).map(|_| event(r)).collect(),
        }
    }
}

/// What became of a call.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Pending,
    Dropped,
    Answered { at: u64, failed: bool, slow: bool },
}

/// A call that was admitted.
struct Call {
    at: u64,
    era: usize,
    end: End,
}

/// All that ever happened.
struct Model<'a> {
    case: &'a Case,
    now: u64,
    calls: Vec<Call>,
    /// The answered calls, in the order of their answers.
    answers: Vec<usize>,
    /// What each era was, and when it began.
    eras: Vec<(BreakerState, u64)>,
    rejected: u64,
    resets_of_closed: u64,
}

impl Model<'_> {
    fn era(&self) -> (usize, BreakerState, u64) {
        let (state, began) = self.eras[self.eras.len() - 1];
        (self.eras.len() - 1, state, began)
    }

    /// Whether an answer counted: it came in the era of its call, and within the time of a probe.
    fn counts(&self, n: usize) -> Option<bool> {
        let Call { at: admitted, era, end: End::Answered { at, failed, .. } } = self.calls[n] else { return None };
        let ends = self.eras.get(era + 1).map(|next| next.1);
        // An era ends with an answer, or between answers; which of those at the same moment were first is told by `late` below.
        let in_time = self.eras[era].0 != BreakerState::HalfOpen || at < admitted + self.case.probe_timeout;
        (in_time && ends.is_none_or(|ends| at <= ends)).then_some(failed)
    }

    /// The answers that count in the era that goes on, oldest first.
    fn counted(&self) -> Vec<(u64, bool)> {
        let (era, ..) = self.era();
        let own = self.answers.iter().filter(|n| self.calls[**n].era == era);
        own.filter_map(|n| match self.calls[*n].end {
            End::Answered { at, .. } => self.counts(*n).map(|failed| (at, failed)),
            _ => None,
        })
        .collect()
    }

    /// Whether the era is over, after an answer that counts.
    fn next(&self) -> Option<BreakerState> {
        let case = self.case;
        let (_, state, began) = self.era();
        let counted = self.counted();
        let failures = |calls: &[(u64, bool)]| calls.iter().filter(|call| call.1).count();
        if state == BreakerState::HalfOpen {
            if failures(&counted) > 0 {
                return Some(BreakerState::Open);
            }
            return (counted.len() == case.probes).then_some(BreakerState::Closed);
        }
        let window: Vec<(u64, bool)> = match case.window_time {
            // A slot is a tenth, in microseconds.
            Some(time) => {
                let slot = |at: u64| (at - began) * 1000 / (time * 100);
                counted.into_iter().filter(|call| slot(call.0) + 10 > slot(self.now)).collect()
            }
            None => counted[counted.len().saturating_sub(case.window_calls)..].to_vec(),
        };
        let reached = failures(&window) * case.rate.1 >= case.rate.0 * window.len();
        (window.len() >= case.minimum && reached).then_some(BreakerState::Open)
    }

    fn admit(&mut self) -> Result<usize, u64> {
        if let (_, BreakerState::Open, began) = self.era() {
            if self.now < began + self.case.open_for {
                self.rejected += 1;
                return Err(began + self.case.open_for - self.now);
            }
            self.eras.push((BreakerState::HalfOpen, self.now));
        }
        let (era, state, _) = self.era();
        if state == BreakerState::HalfOpen {
            let limit = |call: &Call| call.at + self.case.probe_timeout;
            let own = self.calls.iter().filter(|call| call.era == era);
            let out: Vec<u64> = own.filter(|c| c.end == End::Pending && limit(c) > self.now).map(limit).collect();
            if out.len() + self.counted().len() >= self.case.probes {
                self.rejected += 1;
                return Err(out.into_iter().min().unwrap() - self.now);
            }
        }
        self.calls.push(Call { at: self.now, era, end: End::Pending });
        Ok(self.calls.len() - 1)
    }

    /// Returns whether the answer counted.
    fn answer(&mut self, n: usize, success: bool) -> bool {
        let slow = success && self.case.slow.is_some_and(|slow| self.now - self.calls[n].at >= slow);
        self.calls[n].end = End::Answered { at: self.now, failed: !success || slow, slow };
        let counts = self.calls[n].era == self.era().0 && self.counts(n).is_some();
        if counts {
            self.answers.push(n);
            if let Some(state) = self.next() {
                self.eras.push((state, self.now));
            }
        }
        counts
    }

    fn reset(&mut self) {
        self.resets_of_closed += u64::from(self.era().1 == BreakerState::Closed);
        self.eras.push((BreakerState::Closed, self.now));
    }
}

fn check(case: &Case) -> Result<(), String> {
    let clock = ManualClock::new();
    let ms = Duration::from_millis;
    let mut builder = CircuitBreaker::builder()
        .minimum_calls(case.minimum)
        .failure_rate(case.rate.0 as f64 / case.rate.1 as f64)
        .open_for(ms(case.open_for))
        .probes(case.probes)
        .probe_timeout(ms(case.probe_timeout))
        .clock(&clock);
    builder = match case.window_time {
        Some(time) => builder.window_time(ms(time)),
        None => builder.window_calls(case.window_calls),
    };
    if let Some(slow) = case.slow {
        builder = builder.slow_call(ms(slow));
    }
    let breaker = builder.build().unwrap();
    let eras = vec![(BreakerState::Closed, 0)];
    let (calls, answers) = (Vec::new(), Vec::new());
    let mut model = Model { case, now: 0, calls, answers, eras, rejected: 0, resets_of_closed: 0 };
    let mut permits: Vec<(usize, Permit)> = Vec::new();
    let mut late = 0;
    for (step, event) in case.events.iter().enumerate() {
        let mut take = |n: usize| (!permits.is_empty()).then(|| permits.swap_remove(n % permits.len()));
        match *event {
            Event::Admit => match (breaker.admit(), model.admit()) {
                (Ok(permit), Ok(n)) => permits.push((n, permit)),
                (Err(open), Err(wait)) if open.retry_after == ms(wait) => {}
                (real, wanted) => return Err(format!("step {step}: {real:?} instead of {wanted:?}")),
            },
            Event::Success(n) | Event::Failure(n) => {
                let Some((n, permit)) = take(n) else { continue };
                let success = matches!(event, Event::Success(_));
                if success {
                    permit.success()
                } else {
                    permit.failure()
                }
                late += u64::from(!model.answer(n, success));
            }
            Event::Drop(n) => {
                let Some((n, permit)) = take(n) else { continue };
                drop(permit);
                model.calls[n].end = End::Dropped;
            }
            Event::Reset => {
                breaker.reset();
                model.reset();
            }
            Event::Advance(time) => {
                clock.advance(ms(time));
                model.now += time;
            }
        }
        let ended = |n: &&usize| matches!(model.calls[**n].end, End::Answered { failed: true, .. });
        let slow = |n: &&usize| matches!(model.calls[**n].end, End::Answered { slow: true, .. });
        let wanted = (
            model.era().1,
            model.answers.len() as u64,
            model.answers.iter().filter(ended).count() as u64,
            model.answers.iter().filter(slow).count() as u64,
            (late, model.rejected),
            model.eras.len() as u64 - 1 - model.resets_of_closed,
        );
        let c = breaker.counts();
        let real = (breaker.state(), c.calls, c.failures, c.slow, (c.late, c.rejected), c.changes);
        if real != wanted {
            return Err(format!("step {step}, {event:?}: {real:?} instead of {wanted:?}"));
        }
    }
    Ok(())
}

#[test]
fn random_calls_are_judged_as_by_the_list_of_all_of_them() {
    let seeds = (setting("FANPOOL_BREAKER_SEED", 1), setting("FANPOOL_BREAKER_CASES", 10_000));
    check_seeds(seeds, Case::random, check);
}
