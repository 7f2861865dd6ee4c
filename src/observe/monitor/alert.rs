//! What a monitor tells.

use crate::observe::Reason;
use std::fmt;
use std::time::Instant;

/// What a [`Monitor`](super::Monitor) tells its notifiers about one of its rules.
///
/// `Display` gives one line for a person; control characters in the rule's name are escaped.
///
/// # Examples
///
/// ```
/// use fanpool::{AlertState, Monitor, Notifier, Rule, testing::ManualClock};
/// use std::time::Duration;
///
/// let (sender, alerts) = crossbeam_channel::unbounded();
/// let monitor = Monitor::builder()
///     .clock(&ManualClock::new())
///     .rule(Rule::new("queue", || 1200.0).above(1000.0))
///     .notify(Notifier::sender(sender))
///     .start()?;
/// monitor.check_now();
/// let alert: fanpool::Alert = alerts.try_recv()?;
/// assert_eq!((alert.state, alert.value), (AlertState::Firing, Some(1200.0)));
/// assert_eq!(alert.to_string(), "firing: queue is 1200, above 1000");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Alert {
    /// The rule's name.
    pub rule: String,
    /// What has become of it.
    pub state: AlertState,
    /// The reading that decided; a rate, if the rule is about one. `None` where it could not be read.
    pub value: Option<f64>,
    /// The rule's threshold.
    pub threshold: f64,
    /// Where the rule is resolved again; the threshold unless [`clears_at`](super::Rule::clears_at) was given.
    pub clears_at: f64,
    /// When the trouble began: at the first reading beyond the threshold, or the first panic. The same in both alerts
    /// of a pair.
    pub since: Instant,
    /// When this was decided.
    pub at: Instant,
    /// What the rule's closure panicked with, if that is what this tells.
    pub error: Option<String>,
    /// What a rule about [health](super::Rule::health) found. In an alert that resolves it: as it was seen last.
    pub reason: Option<Reason>,
    /// How the line puts it.
    pub(super) above: bool,
    pub(super) rate: bool,
}

/// What an [`Alert`] tells.
///
/// # Examples
///
/// ```
/// assert_eq!(fanpool::AlertState::Firing.to_string(), "firing");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AlertState {
    /// The value is beyond the threshold, for as long as the rule asks.
    Firing,
    /// It was, and has been clear for as long as the rule asks.
    Resolved,
    /// The rule's closure panics: whether it would fire is not known.
    Broken,
    /// The closure has not panicked for as long as a value must be clear.
    Mended,
}

impl Alert {
    /// Whether both are about the same trouble of one rule.
    pub(super) fn is_about(&self, other: &Alert) -> bool {
        match (&self.reason, &other.reason) {
            (Some(reason), Some(other)) => reason.is_same(other),
            (None, None) => true,
            _ => false,
        }
    }
}

impl fmt::Display for AlertState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            AlertState::Firing => "firing",
            AlertState::Resolved => "resolved",
            AlertState::Broken => "broken",
            AlertState::Mended => "mended",
        })
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.state)?;
        write_escaped(f, &self.rule)?;
        let unit = if self.rate { " per second" } else { "" };
        let lasted = self.at.saturating_duration_since(self.since);
        let (is, was) = if self.above { ("above", "at or below") } else { ("below", "at or above") };
        match (self.state, self.value) {
            (AlertState::Firing | AlertState::Resolved, _) if self.reason.is_some() => {
                self.reason.iter().try_for_each(|reason| write!(f, ": {reason}"))?;
                if self.state == AlertState::Firing {
                    return Ok(());
                }
            }
            (AlertState::Firing, Some(value)) => {
                write!(f, " is {}{unit}, {is} {}{unit}", Short(value), Short(self.threshold))?;
            }
            (AlertState::Resolved, Some(value)) => {
                write!(f, " is {}{unit}, {was} {}{unit}", Short(value), Short(self.clears_at))?;
            }
            (AlertState::Broken, _) => {
                f.write_str(" cannot be read, its closure panicked: ")?;
                return write_escaped(f, self.error.as_deref().unwrap_or_default());
            }
            _ => f.write_str(" can be read again")?,
        }
        match self.state {
            _ if lasted.is_zero() => Ok(()),
            AlertState::Firing => write!(f, " for {lasted:.1?}"),
            _ if self.reason.is_some() => write!(f, "; it is over after {lasted:.1?}"),
            _ => write!(f, " after {lasted:.1?}"),
        }
    }
}

/// With an exponent where there would be many digits, and without a decimal point where nothing follows.
struct Short(f64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:?}", self.0);
        f.write_str(text.strip_suffix(".0").unwrap_or(&text))
    }
}

/// Without what would end the line or change a terminal.
fn write_escaped(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    text.chars().try_for_each(|letter| match letter {
        '\u{2028}' | '\u{2029}' => write!(f, "{}", letter.escape_unicode()),
        letter if letter.is_control() => write!(f, "{}", letter.escape_default()),
        letter => write!(f, "{letter}"),
    })
}

#[cfg(all(test, not(fanpool_loom)))]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn lines_tell_what_it_is_about() {
        let since = Instant::now();
        let mut alert = Alert {
            rule: "größe \"a\"\nfiring: b".into(),
            state: AlertState::Firing,
            value: Some(1.5),
            threshold: 1.0,
            clears_at: 0.5,
            since,
            at: since + Duration::from_millis(2_500),
            error: Some("no\tdisk".into()),
            reason: None,
            above: true,
            rate: true,
        };
        let name = r#"größe "a"\nfiring: b"#;
        let is = |alert: &Alert, wanted: &str| assert_eq!(alert.to_string(), wanted.replace('@', name));
        is(&alert, "firing: @ is 1.5 per second, above 1 per second for 2.5s");
        alert.state = AlertState::Resolved;
        is(&alert, "resolved: @ is 1.5 per second, at or below 0.5 per second after 2.5s");
        (alert.above, alert.rate) = (false, false);
        is(&alert, "resolved: @ is 1.5, at or above 0.5 after 2.5s");
        alert.state = AlertState::Broken;
        is(&alert, "broken: @ cannot be read, its closure panicked: no\\tdisk");
        alert.state = AlertState::Mended;
        is(&alert, "mended: @ can be read again after 2.5s");
        (alert.state, alert.reason) = (AlertState::Firing, Some(Reason::Closed { left: 2 }));
        is(&alert, "firing: @: closed: nothing more is accepted, 2 are left");
        alert.state = AlertState::Resolved;
        is(&alert, "resolved: @: closed: nothing more is accepted, 2 are left; it is over after 2.5s");
        alert.reason = None;
        // A clock that went back.
        (alert.state, alert.at, alert.since) = (AlertState::Firing, since, since + Duration::from_secs(1));
        is(&alert, "firing: @ is 1.5, below 1");
        (alert.value, alert.threshold) = (Some(-2e300), f64::MAX);
        is(&alert, "firing: @ is -2e300, below 1.7976931348623157e308");
    }
}
