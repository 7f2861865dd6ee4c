//! How a monitor and its rules are.

/// How a rule of a [`Monitor`](super::Monitor) is.
///
/// # Examples
///
/// ```
/// use fanpool::{Monitor, Rule, RuleState, testing::ManualClock};
///
/// let mut readings = [Some(9.0), None].into_iter();
/// let rule = Rule::new("load", move || readings.next().flatten()).above(8.0);
/// let monitor = Monitor::builder().rule(rule).clock(&ManualClock::new()).start()?;
/// assert_eq!((monitor.rules()[0].state, monitor.rules()[0].value), (RuleState::Quiet, None));
/// (0..3).for_each(|_| monitor.check_now());
/// // No reading changes nothing.
/// assert_eq!((monitor.rules()[0].state, monitor.rules()[0].value), (RuleState::Firing, Some(9.0)));
/// # Ok::<(), fanpool::BuildError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RuleStatus {
    /// Its name.
    pub name: String,
    /// What was decided last.
    pub state: RuleState,
    /// The last reading, or rate; `None` if there was none yet.
    pub value: Option<f64>,
    /// What its closure panicked with, if it did so at the last look.
    pub error: Option<String>,
    /// Whether its closure runs right now. One that stays so holds up all rules.
    pub sampling: bool,
}

/// What a rule of a monitor has decided.
///
/// # Examples
///
/// ```
/// assert_ne!(fanpool::RuleState::Quiet, fanpool::RuleState::Pending);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RuleState {
    /// All is well.
    Quiet,
    /// The value is beyond the threshold, but not for long enough.
    Pending,
    /// It has fired, and is not resolved.
    Firing,
}

/// What a [`Monitor`](super::Monitor) has done.
///
/// # Examples
///
/// ```
/// use fanpool::{Monitor, Notifier, Rule, testing::ManualClock};
/// use std::time::Duration;
///
/// let monitor = Monitor::builder()
///     .rule(Rule::new("load", || 9.0).above(8.0))
///     .notify(Notifier::new(|alert| println!("{alert}")))
///     .clock(&ManualClock::new())
///     .start()?;
/// monitor.check_now();
/// assert!(monitor.flush(Duration::from_secs(60)));
/// let counts = monitor.counts();
/// assert_eq!((counts.looks, counts.fired, counts.notifiers[0].delivered), (1, 1, 1));
/// # Ok::<(), fanpool::BuildError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MonitorCounts {
    /// Looks at all rules that are over.
    pub looks: u64,
    /// Alerts that a rule fires.
    pub fired: u64,
    /// Alerts that a rule is resolved.
    pub resolved: u64,
    /// Panics of the rules' closures.
    pub sample_panics: u64,
    /// For each notifier, in the order in which they were added.
    pub notifiers: Vec<NotifierCounts>,
}

impl MonitorCounts {
    /// Alerts that did not get to a notifier, of all of them.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{Monitor, Notifier, Rule};
    ///
    /// let (sender, receiver) = crossbeam_channel::unbounded();
    /// drop(receiver);
    /// let rule = Rule::new("load", || 9.0).above(8.0);
    /// let monitor = Monitor::builder().rule(rule).notify(Notifier::sender(sender)).start()?;
    /// monitor.check_now();
    /// assert_eq!(monitor.counts().undelivered(), 1);
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    #[must_use]
    pub fn undelivered(&self) -> u64 {
        self.notifiers.iter().map(|notifier| notifier.undelivered).sum()
    }

    /// Panics of the rules' closures and of the notifiers.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(fanpool::MonitorCounts::default().panics(), 0);
    /// ```
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.sample_panics + self.notifiers.iter().map(|notifier| notifier.panics).sum::<u64>()
    }
}

/// What has become of the alerts for a [`Notifier`](super::Notifier). The four together are all that there were.
///
/// # Examples
///
/// ```
/// assert_eq!(fanpool::NotifierCounts::default().delivered, 0);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotifierCounts {
    /// Delivered: the closure returned, the line was written, the channel had room.
    pub delivered: u64,
    /// Not delivered: displaced by newer ones, not written, or refused by a channel that was full or disconnected.
    pub undelivered: u64,
    /// The closure panicked over them.
    pub panics: u64,
    /// In the mailbox, and in the hands of the closure. More than 0 for long, and no more delivered: it is stuck.
    pub waiting: u64,
}
