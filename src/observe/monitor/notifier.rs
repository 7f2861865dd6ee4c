//! Who is told.

use super::alert::Alert;
use super::mailbox::{Channel, Deliver, Delivery, Mailbox, Outlet};
use crate::error::BuildError;
use crate::sync::Arc;
use crate::sync::channel::Sender;
use std::{fmt, io};

/// Alerts that wait for a notifier, unless `mailbox` says otherwise.
const ROOM: usize = 1024;

/// Somebody to whom a [`Monitor`](super::Monitor) tells alerts: a closure, a channel or a log.
///
/// Each gets all alerts in their order, by itself. What it does, and how long it takes, holds up neither the rules nor another
/// notifier.
///
/// # Examples
///
/// ```
/// use fanpool::{Alert, Monitor, Notifier, Rule};
///
/// let (sender, alerts) = crossbeam_channel::bounded(100);
/// let monitor = Monitor::builder()
///     .rule(Rule::new("load", || 0.3).above(8.0))
///     .notify(Notifier::new(|alert: &Alert| println!("page somebody: {alert}")))
///     .notify(Notifier::sender(sender))
///     .notify(Notifier::line(std::io::stderr()))
///     .start()?;
/// # Ok::<(), fanpool::BuildError>(())
/// ```
#[must_use = "a notifier does nothing without a monitor"]
pub struct Notifier {
    to: To,
    room: usize,
}

enum To {
    Closure(Deliver),
    Channel(Sender<Alert>),
}

impl Notifier {
    /// Calls `tell` for each alert, on a thread that is started when there is an alert and ends when there is none left. One at a time; while
    /// it takes its time, further ones wait in a [`mailbox`](Notifier::mailbox). An alert over which it panics is counted and not told
    /// again.
    ///
    /// It may use the monitor, and drop it.
    ///
    /// # Examples
    ///
    /// ```
    /// let notifier = fanpool::Notifier::new(|alert| eprintln!("{alert}"));
    /// ```
    pub fn new(mut tell: impl FnMut(&Alert) + Send + 'static) -> Notifier {
        Notifier::delivering(move |alert| {
            tell(alert);
            Delivery::Done
        })
    }

    /// Sends each alert into a crossbeam channel, without waiting: one that is full, or has no receiver, does not get it, and that is
    /// counted. There is no mailbox and no thread. The channel is disconnected when the monitor is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, alerts) = crossbeam_channel::unbounded();
    /// let notifier = fanpool::Notifier::sender(sender);
    /// ```
    pub fn sender(sender: Sender<Alert>) -> Notifier {
        Notifier { to: To::Channel(sender), room: ROOM }
    }

    /// Writes each alert as one line, in one piece, and flushes. As with [`new`](Notifier::new), on a thread of its own. A line that
    /// cannot be written is counted as undelivered.
    ///
    /// # Examples
    ///
    /// ```
    /// let notifier = fanpool::Notifier::line(std::io::stderr());
    /// ```
    pub fn line(mut log: impl io::Write + Send + 'static) -> Notifier {
        Notifier::delivering(move |alert| {
            let line = format!("{alert}\n");
            match log.write_all(line.as_bytes()).and_then(|()| log.flush()) {
                Ok(()) => Delivery::Done,
                Err(_) => Delivery::Failed,
            }
        })
    }

    /// How many alerts may wait. One more displaces the oldest, since the newest tell how things are.
    ///
    /// # Default
    ///
    /// 1024. [`sender`](Notifier::sender) has none.
    ///
    /// # Errors
    ///
    /// 0 is refused by [`MonitorBuilder::start`](super::MonitorBuilder::start).
    ///
    /// # Examples
    ///
    /// ```
    /// let notifier = fanpool::Notifier::new(|alert| eprintln!("{alert}")).mailbox(10);
    /// ```
    pub fn mailbox(mut self, alerts: usize) -> Notifier {
        self.room = alerts;
        self
    }

    fn delivering(deliver: impl FnMut(&Alert) -> Delivery + Send + 'static) -> Notifier {
        Notifier { to: To::Closure(Box::new(deliver)), room: ROOM }
    }

    pub(super) fn open(self) -> Result<Outlet, BuildError> {
        BuildError::check("mailbox", self.room, 1..=usize::MAX)?;
        Ok(match self.to {
            To::Closure(deliver) => Outlet::Mailbox(Arc::new(Mailbox::new(deliver, self.room))),
            To::Channel(sender) => Outlet::Channel(Channel::new(sender)),
        })
    }
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.to {
            To::Closure(_) => "Notifier(closure)",
            To::Channel(_) => "Notifier(channel)",
        })
    }
}
