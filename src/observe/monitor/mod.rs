//! Alerts: rules about numbers, and who is told when one is broken.
//!
//! **One look at a time.** The rules are a vector, which whoever looks at them takes out of the state, under its lock,
//! and puts back after the last one. Who finds them out waits until they are back, for a notice, which is given under
//! the same lock; unless it is called by the closure of a rule, that is, the calling thread is the one that has them,
//! and then it does nothing. So closures run one after the other, with no lock held, and alerts are handed out in the
//! order in which they were decided. What may be asked meanwhile ([`Monitor::rules`], [`Monitor::alerts`],
//! [`Monitor::counts`]) is kept beside the rules and written after each.
//!
//! **Who looks.** With the system's clock, one thread for all rules, which sleeps until the next look is due or the
//! monitor is stopped; it sees both under the lock, so no notice is lost. With a clock that is set by hand, whoever
//! advances it: the monitor is a `Sleeper`. And whoever calls `check_now`. The time of the next look is moved on before
//! the look, under the lock, so that of several who find it due one looks.
//!
//! **Nobody waits for a notifier.** A closure has a mailbox: a queue with a bound, whose oldest alert makes room for
//! one too many, and is counted. Whoever puts an alert there when no delivery thread is noted notes one and starts it.
//! That thread takes the closure out of the mailbox, and the alerts one by one; it calls the closure with no lock held.
//! It leaves in the critical section in which it found the queue empty, where it puts the closure back and takes the
//! note away. So an alert is put there before, and the thread delivers it; or after, and another one is started. There
//! is at most one per closure, none if there is nothing to deliver, and a closure that blocks keeps its own alerts
//! waiting and nothing else. If the operating system refuses a thread, the alerts wait for the next look. A channel
//! gets `try_send` from the one who looks.
//!
//! **The end.** Dropping a monitor marks it as stopped, waits until the rules are back, takes them for good, and joins
//! the thread. So when that returns no closure of a rule runs, and the thread that drops the monitor is the one that
//! drops the closures, and what they own: if that is the last handle of a pool, and this is one of its workers, the
//! pool sees it; the monitor's own thread would wait for that worker, and the worker for it. If a rule's closure drops
//! the monitor, the thread that runs it has the rules out. It neither waits nor joins; it drops the rules when the
//! closure has returned, and ends.
//!
//! Delivery threads are not waited for: a closure may block for ever. What is in a mailbox is still delivered. The
//! thread then drops the closure and ends; it holds the mailbox, and nothing of the monitor.

mod alert;
mod builder;
mod change;
mod core;
mod machine;
mod mailbox;
mod notifier;
mod rule;
mod status;
mod troubles;

pub use alert::{Alert, AlertState};
pub use builder::MonitorBuilder;
pub use notifier::Notifier;
pub use rule::Rule;
pub use status::{MonitorCounts, NotifierCounts, RuleState, RuleStatus};

use crate::error::BuildError;
use crate::panics;
use crate::resilience::Sleeper;
use crate::sync::{Arc, Weak, now, thread};
use core::Core;
use std::fmt;
use std::time::Duration;

/// Looks at [`Rule`]s at regular intervals, and tells [`Notifier`]s when one fires and when it is resolved.
///
/// A rule is about a number that a closure returns, so it may be about anything: metrics, health, the size of a file.
///
/// One thread looks at all rules; there is none without a monitor, and none with a
/// [`ManualClock`](crate::testing::ManualClock). What a closure of a rule or of a notifier does is contained: if it
/// panics, that is counted and the others go on, and a notifier that blocks holds up nobody but itself.
///
/// **Dropping it** stops the looks and waits for one that is being made, and so for the closure of the rule that is
/// being called. It does not wait for notifiers; what was told is still delivered, by threads that end by themselves,
/// as long as the process lives. To wait for that, call [`flush`](Monitor::flush) before. Any closure of the monitor
/// may drop it. A closure that owns the monitor, by an `Arc`, keeps it alive for ever.
///
/// # Examples
///
/// ```
/// use fanpool::{Monitor, Notifier, Pool, Rule};
/// use std::{sync::Arc, time::Duration};
///
/// let pool = Arc::new(Pool::new());
/// let watched = pool.clone();
/// let monitor = Monitor::builder()
///     .every(Duration::from_secs(1))
///     .rule(
///         Rule::new("queue", move || watched.queued() as f64)
///             .above(1000.0)
///             .clears_at(500.0)
///             .for_at_least(Duration::from_secs(5)),
///     )
///     .notify(Notifier::line(std::io::stderr()))
///     .start()?;
/// assert!(monitor.alerts().is_empty());
/// # Ok::<(), fanpool::BuildError>(())
/// ```
pub struct Monitor {
    core: Arc<Core>,
    thread: Option<(thread::ThreadId, thread::JoinHandle)>,
}

impl Monitor {
    /// Options for a monitor. The default: a look every second.
    ///
    /// # Examples
    ///
    /// ```
    /// let rule = fanpool::Rule::new("load", || 0.3).above(8.0);
    /// let monitor = fanpool::Monitor::builder().rule(rule).start()?;
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn builder() -> MonitorBuilder {
        MonitorBuilder::new()
    }

    fn start(core: Arc<Core>) -> Result<Monitor, BuildError> {
        let mut monitor = Monitor { core: core.clone(), thread: None };
        if core.clock.is_system() {
            let thread = thread::start("fanpool-monitor".into(), None, move || core.run())
                .map_err(|source| BuildError::Thread { wanted: 1, started: 0, source })?;
            monitor.thread = Some((thread.id(), thread));
            return Ok(monitor);
        }
        let weak = Arc::downgrade(&core);
        let sleeper: Weak<dyn Sleeper> = weak;
        let mut due = core.due();
        // Somebody may be advancing the clock already.
        while let Some(false) = due.and_then(|at| core.clock.call_at(at, &sleeper)) {
            due = core.wake();
        }
        Ok(monitor)
    }

    /// Looks at all rules now, on the calling thread, and returns when it has; the regular looks come as ever. Whoever
    /// looks at the same time is waited for. Called by the closure of a rule, it does nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{Monitor, Rule};
    ///
    /// let monitor = Monitor::builder().rule(Rule::new("load", || 9.0).above(8.0)).start()?;
    /// monitor.check_now();
    /// assert_eq!(monitor.alerts().len(), 1);
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn check_now(&self) {
        self.core.check();
    }

    /// The alerts of rules that are firing or broken now, in the order of the rules, as they were told.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::{Monitor, Rule};
    /// # let monitor = Monitor::builder().rule(Rule::new("load", || 0.3).above(8.0)).start()?;
    /// for alert in monitor.alerts() {
    ///     println!("{alert}");
    /// }
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    #[must_use]
    pub fn alerts(&self) -> Vec<Alert> {
        self.core.alerts()
    }

    /// How each rule is, in the order in which they were added.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{Monitor, Rule};
    ///
    /// let rule = Rule::new("load", || -> f64 { panic!("no such file") }).above(8.0);
    /// let monitor = Monitor::builder().rule(rule).start()?;
    /// monitor.check_now();
    /// assert_eq!(monitor.rules()[0].error.as_deref(), Some("no such file"));
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    #[must_use]
    pub fn rules(&self) -> Vec<RuleStatus> {
        self.core.rules()
    }

    /// What it has done, and what has become of the alerts.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::{Monitor, Rule};
    /// # let monitor = Monitor::builder().rule(Rule::new("load", || 0.3).above(8.0)).start()?;
    /// let counts = monitor.counts();
    /// assert_eq!((counts.undelivered(), counts.panics()), (0, 0));
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    #[must_use]
    pub fn counts(&self) -> MonitorCounts {
        self.core.counts()
    }

    /// Waits until every alert that was told is delivered, by the system's clock, but no longer than `timeout`; returns
    /// whether they are. Called by a notifier of this monitor, it returns false at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{Monitor, Notifier, Rule};
    /// use std::{sync::mpsc, time::Duration};
    ///
    /// let (tell, told) = mpsc::channel();
    /// let monitor = Monitor::builder()
    ///     .rule(Rule::new("load", || 9.0).above(8.0))
    ///     .notify(Notifier::new(move |alert| tell.send(alert.to_string()).unwrap()))
    ///     .start()?;
    /// monitor.check_now();
    /// assert!(monitor.flush(Duration::from_secs(60)));
    /// assert_eq!(told.try_recv().unwrap(), "firing: load is 9, above 8");
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn flush(&self, timeout: Duration) -> bool {
        self.core.flush(now().checked_add(timeout))
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let rules = self.core.stop();
        if let Some((id, thread)) = self.thread.take() {
            if id != thread::id() {
                thread.join();
            }
        }
        panics::drop_each(rules);
        self.core.close();
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor").field("rules", &self.rules()).field("counts", &self.counts()).finish()
    }
}
