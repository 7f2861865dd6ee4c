//! What is watched, and when it is trouble.

use super::alert::{Alert, AlertState};
use super::change::Change;
use super::machine::{Event, Limits, Machine};
use super::status::RuleState;
use super::troubles::Troubles;
use crate::error::{BuildError, TaskPanicked};
use crate::observe::{Health, Reason};
use crate::panics;
use std::fmt;
use std::time::{Duration, Instant};

type Sample = Box<dyn FnMut() -> Option<Reading> + Send>;

/// What a rule's closure says.
enum Reading {
    Number(f64),
    Health(Health),
}

/// Something that a [`Monitor`](super::Monitor) looks at, and from which value on it is trouble.
///
/// A rule needs one threshold, [`above`](Rule::above) or [`below`](Rule::below). It *fires* once the value is beyond
/// it, and for [`for_at_least`](Rule::for_at_least); it is *resolved* once the value is back at
/// [`clears_at`](Rule::clears_at), and for [`clear_for_at_least`](Rule::clear_for_at_least). In between it says
/// nothing, so that each trouble makes two alerts. How the value was between two looks is not known; it counts as
/// unchanged.
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
    /// It is about health.
    health: bool,
}

impl Rule {
    /// A rule about what `sample` returns: an `f64`, or an `Option<f64>`. `None` and NaN are *no reading* and change
    /// nothing; infinities are readings, but have no [`rate`](Rule::rate).
    ///
    /// The monitor's thread calls `sample` at every look, one rule after the other, and holds none of its locks. So it
    /// must be quick: one that blocks holds up all rules, and [`RuleStatus::sampling`](super::RuleStatus::sampling)
    /// shows which it is. If it panics, that is no reading; the others go on,
    /// [`RuleStatus::error`](super::RuleStatus::error) shows it, and an alert says that the rule is
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
        Rule::about(name, move || sample().into().map(Reading::Number))
    }

    /// A rule about a [`Health`], as [`Pool::health`](crate::Pool::health) and [`Control::health`](crate::Control::health) make it: a watchdog. It
    /// has no threshold.
    ///
    /// It fires once for each of the [reasons](Health::reasons) that comes up, and is resolved once for each that is gone:
    /// [`Alert::reason`] has it, with its figures. So there are two alerts for each stuck task.
    /// A stuck task is resolved at the first look that does not find it any more; the other reasons have to stay away for
    /// [`clear_for_at_least`](Rule::clear_for_at_least). The value is 0 for healthy, 1 for degraded, 2 for unhealthy.
    ///
    /// The closure is like that of any rule. To watch a pool, give it a [`HealthCheck`](crate::HealthCheck), or a
    /// [`Control`](crate::Control): they keep nothing running. If it owns an `Arc` of the pool instead, that may be the last; then the pool ends in
    /// the thread that drops the monitor, as any value of a rule's closure. What a closure must not do is to make an `Arc` of
    /// a `Weak` for the time of a look: if that turns out to be the last, the pool ends in the monitor's thread, which then waits for the
    /// very task that is stuck.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{AlertState, Monitor, Notifier, Pool, Reason, Rule};
    ///
    /// let pool = Pool::new();
    /// let check = pool.health_check();
    /// let watchdog = Notifier::new(|alert| {
    ///     if let (AlertState::Firing, Some(Reason::Stuck { task, .. })) = (alert.state, &alert.reason) {
    ///         eprintln!("{task:?} is stuck: {alert}");
    ///     }
    /// });
    /// let monitor = Monitor::builder().rule(Rule::health("pool", move || check.health())).notify(watchdog).start()?;
    /// pool.pause();
    /// monitor.check_now();
    /// assert_eq!(monitor.alerts()[0].to_string(), "firing: pool: paused: no task is started until it is resumed");
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn health<R>(name: impl Into<String>, mut check: impl FnMut() -> R + Send + 'static) -> Rule
    where
        R: Into<Option<Health>>,
    {
        Rule { health: true, ..Rule::about(name, move || check().into().map(Reading::Health)) }
    }

    fn about(name: impl Into<String>, sample: impl FnMut() -> Option<Reading> + Send + 'static) -> Rule {
        Rule {
            name: name.into(),
            sample: Box::new(sample),
            above: None,
            below: None,
            clears_at: None,
            fire_after: Duration::ZERO,
            clear_after: None,
            change: None,
            health: false,
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
    /// Three intervals of the monitor, so that a value that crosses its threshold at every look or every other fires
    /// once.
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

    /// Judges how fast the value changes, per second: the difference to the reading before, over the time between. It
    /// is below zero while the value falls. There is no reading at the first look, nor while the clock stands still.
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
    /// let read = move || f64::from(errors.load(Ordering::Relaxed));
    /// let rule = fanpool::Rule::new("errors", read).counter_rate().above(3.0);
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
        let Rule { name, sample, above, below, clears_at, fire_after, clear_after, change, health } = self;
        if health {
            return watch_health(
                name,
                sample,
                above.or(below).or(clears_at).is_some() || change.is_some(),
                fire_after,
                clear_after.unwrap_or(every.saturating_mul(3)),
            );
        }
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
        Ok(Watched { name, sample, change, machine, faults, troubles: None })
    }
}

/// The same for a rule about health, which takes no options about a value.
fn watch_health(
    name: String,
    sample: Sample,
    numeric: bool,
    fire_after: Duration,
    clear_after: Duration,
) -> Result<Watched, BuildError> {
    if name.is_empty() {
        return Err(BuildError::Missing { option: "name" });
    }
    if numeric {
        return Err(BuildError::Conflict { option: "a threshold or rate", with: "rule, which is about health" });
    }
    let limits = Limits { above: true, threshold: 0.5, clears_at: 0.5, fire_after: Duration::ZERO, clear_after };
    let (machine, faults) = (Machine::new(limits.clone()), Machine::new(limits));
    let troubles = Some(Troubles::new(fire_after, clear_after));
    Ok(Watched { name, sample, change: None, machine, faults, troubles })
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
    /// Those of a rule about health, instead of what `machine` would say.
    troubles: Option<Troubles>,
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
        let (sampled, health, error) = match panics::catch(&mut self.sample) {
            Ok(Some(Reading::Number(value))) => (Some(value), None, None),
            Ok(Some(Reading::Health(health))) => (Some(f64::from(health.status() as u8)), Some(health), None),
            Ok(None) => (None, None, None),
            Err(payload) => (None, None, Some(describe(payload))),
        };
        let now = clock();
        let reasons = match (&mut self.troubles, &health) {
            (Some(troubles), Some(health)) => troubles.step(now, health),
            _ => Vec::new(),
        };
        let value = match &mut self.change {
            Some(change) => sampled.and_then(|value| change.rate(now, value)),
            None => sampled.filter(|value| !value.is_nan()),
        };
        let broken = self.faults.step(now, if error.is_some() { 1.0 } else { 0.0 });
        let judged = value.filter(|_| self.troubles.is_none()).and_then(|value| self.machine.step(now, value));
        let broken = broken.map(|event| match event {
            Event::Fired(since) => (AlertState::Broken, since),
            Event::Resolved(since) => (AlertState::Mended, since),
        });
        let judged = judged.map(|event| match event {
            Event::Fired(since) => (AlertState::Firing, since),
            Event::Resolved(since) => (AlertState::Resolved, since),
        });
        let limits = self.machine.limits();
        let plain = broken.into_iter().chain(judged).map(|(state, since)| (state, since, None));
        let reasons = reasons.into_iter().map(|(state, since, reason)| (state, since, Some(reason)));
        let alert = |(state, since, reason): (AlertState, Instant, Option<Reason>)| Alert {
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
            reason,
        };
        Seen { state: self.state(), value, alerts: plain.chain(reasons).map(alert).collect(), error }
    }

    fn state(&self) -> RuleState {
        if let Some(troubles) = &self.troubles {
            return match troubles {
                troubles if troubles.is_firing() => RuleState::Firing,
                troubles if troubles.is_pending() => RuleState::Pending,
                _ => RuleState::Quiet,
            };
        }
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
