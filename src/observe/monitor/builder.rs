//! Options of a monitor.

use super::Monitor;
use super::core::Core;
use super::notifier::Notifier;
use super::rule::Rule;
use crate::error::BuildError;
use crate::resilience::Clock;
use std::collections::HashSet;
use std::time::Duration;

/// Options for a [`Monitor`].
///
/// # Examples
///
/// ```
/// let builder = fanpool::Monitor::builder().every(std::time::Duration::from_secs(10));
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until `start`"]
pub struct MonitorBuilder {
    every: Duration,
    rules: Vec<Rule>,
    notifiers: Vec<Notifier>,
    clock: Clock,
}

impl MonitorBuilder {
    pub(super) fn new() -> MonitorBuilder {
        MonitorBuilder {
            every: Duration::from_secs(1),
            rules: Vec::new(),
            notifiers: Vec::new(),
            clock: Clock::system(),
        }
    }

    /// The time between two looks at all rules. The first look comes after one such time. What a look takes is not added; looks that were
    /// missed are not made up for.
    ///
    /// # Default
    ///
    /// One second.
    ///
    /// # Examples
    ///
    /// ```
    /// let builder = fanpool::Monitor::builder().every(std::time::Duration::from_millis(100));
    /// ```
    pub fn every(mut self, time: Duration) -> MonitorBuilder {
        self.every = time;
        self
    }

    /// One more rule.
    ///
    /// # Examples
    ///
    /// ```
    /// let builder = fanpool::Monitor::builder().rule(fanpool::Rule::new("load", || 0.3).above(8.0));
    /// ```
    pub fn rule(mut self, rule: Rule) -> MonitorBuilder {
        self.rules.push(rule);
        self
    }

    /// One more to tell. Without any, [`Monitor::alerts`] and [`Monitor::rules`] can still be asked.
    ///
    /// # Examples
    ///
    /// ```
    /// let builder = fanpool::Monitor::builder().notify(fanpool::Notifier::line(std::io::stderr()));
    /// ```
    pub fn notify(mut self, notifier: Notifier) -> MonitorBuilder {
        self.notifiers.push(notifier);
        self
    }

    /// Where the time is read. With a [`ManualClock`](crate::testing::ManualClock) there is no thread for the rules: a look that is due is
    /// made by the thread that advances the clock, before `advance` returns. One jump over several intervals makes one look.
    ///
    /// # Default
    ///
    /// [`Clock::system`].
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{Monitor, Rule, testing::ManualClock};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let rule = Rule::new("load", || 9.0).above(8.0).for_at_least(Duration::from_secs(60));
    /// let monitor = Monitor::builder().rule(rule).clock(&clock).start()?;
    /// clock.advance(Duration::from_secs(1));
    /// assert!(monitor.alerts().is_empty());
    /// clock.advance(Duration::from_secs(60));
    /// assert_eq!(monitor.alerts()[0].to_string(), "firing: load is 9, above 8 for 60.0s");
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn clock(mut self, clock: impl Into<Clock>) -> MonitorBuilder {
        self.clock = clock.into();
        self
    }

    /// Starts the monitor.
    ///
    /// # Errors
    ///
    /// * [`BuildError::NotInRange`] if the interval is zero, and [`BuildError::OutOfRange`] if there is no rule, or a mailbox for no alert.
    /// * [`BuildError::Duplicate`] if two rules have one name.
    /// * [`BuildError::Rule`] if a rule has no name, no threshold or two, a threshold or a `clears_at` that is not finite, or a `clears_at`
    ///   beyond the threshold.
    /// * [`BuildError::Thread`] if the operating system gives no thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{Monitor, Rule};
    ///
    /// let rule = Rule::new("queue", || 0.0).above(500.0).clears_at(1000.0);
    /// let refused = Monitor::builder().rule(rule).start().unwrap_err();
    /// assert_eq!(
    ///     refused.to_string(),
    ///     "rule \"queue\": clears_at is 1000; allowed is a finite number up to that of `above`"
    /// );
    /// ```
    pub fn start(self) -> Result<Monitor, BuildError> {
        let MonitorBuilder { every, rules, notifiers, clock } = self;
        if every.is_zero() {
            return Err(BuildError::NotInRange { option: "every", value: 0.0, allowed: "more than 0 seconds" });
        }
        BuildError::check("rules", rules.len(), 1..=usize::MAX)?;
        let mut names = HashSet::new();
        if let Some(twice) = rules.iter().find(|rule| !names.insert(rule.name())) {
            return Err(BuildError::Duplicate { option: "rule", name: twice.name().to_owned() });
        }
        let watch = |rule: Rule| {
            let name = rule.name().to_owned();
            rule.watch(every).map_err(|why| BuildError::Rule { rule: name, source: Box::new(why) })
        };
        let rules = rules.into_iter().map(watch).collect::<Result<_, _>>()?;
        let outlets = notifiers.into_iter().map(Notifier::open).collect::<Result<_, _>>()?;
        Monitor::start(Core::new(rules, outlets, clock, every))
    }
}
