//! Random readings on a random clock, held against a plain model that reads the whole history anew at each look.
//! `FANPOOL_MONITOR_SEED` is the seed of the first case, `FANPOOL_MONITOR_CASES` their number.

use super::map_property::SplitMix64;
use super::monitor::Dial;
use super::{check_seeds, setting};
use fanpool::testing::ManualClock;
use fanpool::{AlertState, Monitor, Notifier};
use std::time::Duration;

/// Times are in milliseconds.
#[derive(Debug)]
struct Case {
    above: bool,
    /// The value at which it clears, and the threshold.
    limits: (i64, i64),
    fire_after: u64,
    clear_after: Option<u64>,
    every: u64,
    rate: Option<bool>,
    /// Time to pass, what there is to read then, and whether somebody asks for a look besides.
    steps: Vec<(u64, Option<i64>, bool)>,
}

impl Case {
    fn random(seed: u64) -> Case {
        let r = &mut SplitMix64(seed);
        let every = 1 + r.below_one_of(&[3, 100, 2_000]) as u64;
        let time = |r: &mut SplitMix64| [0, every, every * r.below(6) as u64, r.below(5_000) as u64][r.below(4)];
        let above = r.below(2) == 0;
        let (threshold, band) = (r.below(7) as i64 - 3, r.below(4) as i64);
        let clears_at = if above { threshold - band } else { threshold + band };
        let (fire_after, clear_after) = (time(r), r.maybe(2, time));
        let rate = r.maybe(3, |r| r.below(2) == 0);
        let step = |r: &mut SplitMix64| {
            let wide = if rate.is_some() { 1 + r.below(5_000) as i64 } else { 6 };
            let value = r.below(2 * wide as usize + 1) as i64 - wide;
            let none = r.below(8) == 0;
            (time(r), Some(value).filter(|_| !none), r.below(4) == 0)
        };
        let steps = (0..5 + r.below(80)).map(|_| step(r)).collect();
        Case { above, limits: (clears_at, threshold), fire_after, clear_after, every, rate, steps }
    }
}

/// All readings that were to be judged, with their times; the oldest first.
struct Model<'a> {
    case: &'a Case,
    raw: Option<(u64, i64)>,
    judged: Vec<(u64, f64)>,
    /// When the trouble began that fires.
    firing: Option<u64>,
    /// Readings before this one count for nothing any more.
    from: usize,
}

impl Model<'_> {
    fn look(&mut self, now: u64, value: Option<i64>) -> Option<(AlertState, u64)> {
        let value = value?;
        let judged = match (self.case.rate, self.raw) {
            (None, _) => value as f64,
            (Some(_), None) => {
                self.raw = Some((now, value));
                return None;
            }
            (Some(counter), Some((then, old))) => {
                let back = counter && value < old;
                if back || now > then {
                    self.raw = Some((now, value));
                }
                if back || now == then {
                    return None;
                }
                (value - old) as f64 / Duration::from_millis(now - then).as_secs_f64()
            }
        };
        self.judged.push((now, judged));
        let (clears_at, threshold) = (self.case.limits.0 as f64, self.case.limits.1 as f64);
        let clear_after = self.case.clear_after.unwrap_or(3 * self.case.every);
        // The readings up to now that are all of that kind, without a break.
        let run = |is: &dyn Fn(f64) -> bool| {
            self.judged[self.from..].iter().rev().take_while(|(_, value)| is(*value)).last().map(|(at, _)| *at)
        };
        if let Some(since) = self.firing {
            let clear = run(&|value| if self.case.above { value <= clears_at } else { value >= clears_at })?;
            if now - clear < clear_after {
                return None;
            }
            (self.firing, self.from) = (None, self.judged.len());
            return Some((AlertState::Resolved, since));
        }
        let since = run(&|value| if self.case.above { value > threshold } else { value < threshold })?;
        if now - since < self.case.fire_after {
            return None;
        }
        (self.firing, self.from) = (Some(since), self.judged.len());
        Some((AlertState::Firing, since))
    }
}

fn check(case: &Case) -> Result<(), String> {
    let (clock, dial) = (ManualClock::new(), Dial::default());
    let start = clock.now();
    let (sender, alerts) = crossbeam_channel::unbounded();
    let ms = Duration::from_millis;
    let (clears_at, threshold) = (case.limits.0 as f64, case.limits.1 as f64);
    let rule = dial.rule("r").clears_at(clears_at).for_at_least(ms(case.fire_after));
    let rule = if case.above { rule.above(threshold) } else { rule.below(threshold) };
    let rule = match case.clear_after {
        Some(time) => rule.clear_for_at_least(ms(time)),
        None => rule,
    };
    let rule = match case.rate {
        Some(true) => rule.counter_rate(),
        Some(false) => rule.rate(),
        None => rule,
    };
    let builder = Monitor::builder().rule(rule).every(ms(case.every)).notify(Notifier::sender(sender)).clock(&clock);
    let monitor = builder.start().map_err(|error| error.to_string())?;
    let mut model = Model { case, raw: None, judged: Vec::new(), firing: None, from: 0 };
    let (mut now, mut due, mut looks) = (0, case.every, 0);
    for (step, (time, value, asked)) in case.steps.iter().enumerate() {
        dial.set(value.map(|value| value as f64));
        clock.advance(ms(*time));
        now += time;
        let is_due = now >= due;
        if is_due {
            due = if due + case.every > now { due + case.every } else { now + case.every };
        }
        if *asked {
            monitor.check_now();
        }
        let times = usize::from(is_due) + usize::from(*asked);
        looks += times as u64;
        let wanted: Vec<_> = (0..times).filter_map(|_| model.look(now, *value)).collect();
        let told: Vec<_> = alerts.try_iter().collect();
        let real: Vec<_> = told.iter().map(|alert| (alert.state, (alert.since - start).as_millis() as u64)).collect();
        if real != wanted {
            return Err(format!("step {step}, at {now}: {real:?} instead of {wanted:?}"));
        }
        if told.iter().any(|alert| alert.at - start != ms(now)) {
            return Err(format!("step {step}: decided at another time"));
        }
        if (monitor.counts().looks, monitor.alerts().len()) != (looks, usize::from(model.firing.is_some())) {
            return Err(format!("step {step}: {:?}, {looks} looks", monitor.counts()));
        }
    }
    Ok(())
}

#[test]
fn random_signals_are_judged_as_by_a_reader_of_the_history() {
    let seeds = (setting("FANPOOL_MONITOR_SEED", 1), setting("FANPOOL_MONITOR_CASES", 10_000));
    check_seeds(seeds, Case::random, check);
}
