//! What is watched, and when it is trouble.

use super::alert::{Alert, AlertState};
use super::change::Change;
use super::machine::{Event, Limits, Machine};
use super::status::RuleState;
use crate::error::{BuildError, TaskPanicked};
use crate::panics;
use std::fmt;
use std::time::{Duration, Instant};

type Sample = Box<dyn FnMut() -> Option<f64> + Send>;

/// Something that a [`Monitor`](super::Monitor) looks at, and from which value on it is trouble.
///
/// A rule needs one threshold, [`above`](Rule::above) or [`below`](Rule::below). It *fires* once the value is beyond it, and for
/// [`for_at_least`](Rule::for_at_least); it is *resolved* once the value is back at [`clears_at`](Rule::clears_at), and for
/// [`clear_for_at_least`](Rule::clear_for_at_least). In between it says nothing, so that each trouble makes two alerts. How the
/// value was between two looks is not known; it counts as unchanged.
///
/// # Examples
///
/// ```
/// use fanpool::{Monitor, Pool, Rule};
/// use std::{sync::Arc, time::Duration};
///
/// let pool = Arc::new(Pool::new());
/// let watched = pool.clone();
/// let queue = Rule::new("tasks that wait", move || watched.queued() as f64)
///     .above(1000.0)
///     .clears_at(500.0)
///     .for_at_least(Duration::from_secs(5));
/// let monitor = Monitor::builder().rule(queue).start()?;
/// # Ok::<(), fanpool::BuildError>(())
/// ```
#[must_use = "a rule does nothing without a monitor"]
pub struct Rule {
    name: String,
    sample: Sample,
    above: Option<f64>,
    below: Option<f64>,
    clears_at: Option<f64>,
    fire_after: Duration,
    clear_after: Option<Duration>,
    change: Option<Change>,
}

impl Rule {
    /// A rule about what `sample` returns: an `f64`, or an `Option<f64>`. `None` and NaN are *no reading* and change nothing; infinities
    /// are readings, but have no [`rate`](Rule::rate).
    ///
    /// The monitor's thread calls `sample` at every look, one rule after the other, and holds none of its locks. So it must be quick: one
    /// that blocks holds up all rules, and [`RuleStatus::sampling`](super::RuleStatus::sampling) shows which it is. If it panics, that is
    /// no reading; the others go on, [`RuleStatus::error`](super::RuleStatus::error) shows it, and an alert says that the rule is
    /// [`Broken`](AlertState::Broken).
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::Rule;
    /// use std::fs;
    ///
    /// let always = Rule::new("load", || 0.3).above(8.0);
    /// let at_times = Rule::new("temperature", || {
    ///     let text = fs::read_to_string("/sys/class/thermal/thermal_zone0/temp").ok()?;
    ///     Some(text.trim().parse::<f64>().ok()? / 1000.0)
    /// })
    /// .above(90.0);
    /// ```
    pub fn new<R: Into<Option<f64>>>(name: impl Into<String>, mut sample: impl FnMut() -> R + Send + 'static) -> Rule {
        Rule {
            name: name.into(),
            sample: Box::new(move || sample().into()),
            above: None,
            below: None,
            clears_at: None,
            fire_after: Duration::ZERO,
            clear_after: None,
            change: None,
        }
    }

    /// Values above `threshold` are trouble.
    ///
    /// # Examples
    ///
    /// ```
    /// let rule = fanpool::Rule::new("load", || 0.3).above(8.0);
    /// ```
    pub fn above(mut self, threshold: f64) -> Rule {
        self.above = Some(threshold);
        self
    }

    /// Values below `threshold` are trouble. With 1 as the threshold this is for what is 0 or 1.
    ///
    /// # Examples
    ///
    /// ```
    /// let ready = || true;
    /// let rule = fanpool::Rule::new("ready", move || f64::from(ready())).below(1.0);
    /// ```
    pub fn below(mut self, threshold: f64) -> Rule {
        self.below = Some(threshold);
        self
    }

    /// How far the value must come back: to `value` or further. Between this and the threshold nothing changes.
    ///
    /// # Default
    ///
    /// The threshold.
    ///
    /// # Examples
    ///
    /// ```
    /// let rule = fanpool::Rule::new("free bytes", || 1e9).below(1e6).clears_at(1e8);
    /// ```
    pub fn clears_at(mut self, value: f64) -> Rule {
        self.clears_at = Some(value);
        self
    }

    /// For how long the value must be beyond the threshold, at every look, before the rule fires.
    ///
    /// # Default
    ///
    /// Zero: the first such reading fires.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let rule = fanpool::Rule::new("load", || 9.0).above(8.0).for_at_least(Duration::from_secs(60));
    /// ```
    pub fn for_at_least(mut self, time: Duration) -> Rule {
        self.fire_after = time;
        self
    }

    /// For how long the value must be clear, at every look, before the rule is resolved.
    ///
    /// # Default
    ///
    /// Three intervals of the monitor, so that a value that crosses its threshold at every look or every other fires once.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let rule = fanpool::Rule::new("load", || 9.0).above(8.0).clear_for_at_least(Duration::from_secs(60));
    /// ```
    pub fn clear_for_at_least(mut self, time: Duration) -> Rule {
        self.clear_after = Some(time);
        self
    }

    /// Judges how fast the value changes, per second: the difference to the reading before, over the time between. It is below zero while
    /// the value falls. There is no reading at the first look, nor while the clock stands still.
    ///
    /// # Examples
    ///
    /// ```
    /// // Three degrees a second, up or down.
    /// let temperature = || 40.0;
    /// let heating = fanpool::Rule::new("heating", temperature).rate().above(3.0);
    /// let cooling = fanpool::Rule::new("cooling", temperature).rate().below(-3.0);
    /// ```
    pub fn rate(mut self) -> Rule {
        self.change = Some(Change::new(false));
        self
    }

    /// The [`rate`](Rule::rate) of a counter, which only grows. Where it has fallen it began anew; that is no reading.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::{Arc, atomic::{AtomicU32, Ordering}};
    ///
    /// let errors = Arc::new(AtomicU32::new(0));
    /// let rule = fanpool::Rule::new("errors", move || f64::from(errors.load(Ordering::Relaxed))).counter_rate().above(3.0);
    /// ```
    pub fn counter_rate(mut self) -> Rule {
        self.change = Some(Change::new(true));
        self
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Checks the rule, for a monitor that looks every so often.
    pub(super) fn watch(self, every: Duration) -> Result<Watched, BuildError> {
        let Rule { name, sample, above, below, clears_at, fire_after, clear_after, change } = self;
        let (option, threshold) = match (above, below) {
            _ if name.is_empty() => return Err(BuildError::Missing { option: "name" }),
            (None, None) => return Err(BuildError::Missing { option: "above or below" }),
            (Some(_), Some(_)) => return Err(BuildError::Conflict { option: "above", with: "below" }),
            (Some(threshold), None) => ("above", threshold),
            (None, Some(threshold)) => ("below", threshold),
        };
        if !threshold.is_finite() {
            return Err(BuildError::NotInRange { option, value: threshold, allowed: "a finite number" });
        }
        let (above, clears_at) = (above.is_some(), clears_at.unwrap_or(threshold));
        let allowed =
            if above { "a finite number up to that of `above`" } else { "a finite number from that of `below`" };
        let right_side = if above { clears_at <= threshold } else { clears_at >= threshold };
        if !clears_at.is_finite() || !right_side {
            return Err(BuildError::NotInRange { option: "clears_at", value: clears_at, allowed });
        }
        let clear_after = clear_after.unwrap_or(every.saturating_mul(3));
        let limits = Limits { above, threshold, clears_at, fire_after, clear_after };
        // 1 where the closure panicked.
        let faults = Limits { above: true, threshold: 0.5, clears_at: 0.5, fire_after: Duration::ZERO, clear_after };
        let (machine, faults) = (Machine::new(limits), Machine::new(faults));
        Ok(Watched { name, sample, change, machine, faults })
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A rule of a monitor.
pub(super) struct Watched {
    name: String,
    sample: Sample,
    change: Option<Change>,
    machine: Machine,
    /// Fires while the closure panics.
    faults: Machine,
}

/// What came of a look.
pub(super) struct Seen {
    pub(super) state: RuleState,
    /// What was held against the threshold.
    pub(super) value: Option<f64>,
    /// What the closure panicked with.
    pub(super) error: Option<String>,
    pub(super) alerts: Vec<Alert>,
}

impl Watched {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Calls the closure, and judges what it says at the time that `clock` shows afterwards.
    pub(super) fn look(&mut self, clock: impl FnOnce() -> Instant) -> Seen {
        let (sampled, error) = match panics::catch(&mut self.sample) {
            Ok(sampled) => (sampled, None),
            Err(payload) => (None, Some(describe(payload))),
        };
        let now = clock();
        let value = match &mut self.change {
            Some(change) => sampled.and_then(|value| change.rate(now, value)),
            None => sampled.filter(|value| !value.is_nan()),
        };
        let broken = self.faults.step(now, if error.is_some() { 1.0 } else { 0.0 });
        let judged = value.and_then(|value| self.machine.step(now, value));
        let broken = broken.map(|event| match event {
            Event::Fired(since) => (AlertState::Broken, since),
            Event::Resolved(since) => (AlertState::Mended, since),
        });
        let judged = judged.map(|event| match event {
            Event::Fired(since) => (AlertState::Firing, since),
            Event::Resolved(since) => (AlertState::Resolved, since),
        });
        let limits = self.machine.limits();
        let alerts = broken.into_iter().chain(judged).map(|(state, since)| Alert {
            rule: self.name.clone(),
            state,
            value,
            threshold: limits.threshold,
            clears_at: limits.clears_at,
            since,
            at: now,
            error: error.clone().filter(|_| state == AlertState::Broken),
            above: limits.above,
            rate: self.change.is_some(),
        });
        Seen { state: self.state(), value, alerts: alerts.collect(), error }
    }

    fn state(&self) -> RuleState {
        match &self.machine {
            machine if machine.is_firing() => RuleState::Firing,
            machine if machine.is_pending() => RuleState::Pending,
            _ => RuleState::Quiet,
        }
    }
}

fn describe(payload: panics::Payload) -> String {
    let panicked = TaskPanicked::new(payload);
    let text = match panicked.location() {
        Some(location) => format!("{} ({location})", panicked.message()),
        None => panicked.message().to_owned(),
    };
    panics::drop_each([panicked]);
    text
}
