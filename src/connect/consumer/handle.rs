//! A consumer that runs, as its owner sees it.

use super::super::error::ConnectError;
use super::feed::Feeder;
use super::settle::Collector;
use super::shared::{GRACE, Shared};
use crate::error::BuildError;
use crate::fan::{Control, ServiceCounts};
use crate::observe::{BrokerCounts, Health, Metrics};
use crate::sync::{Arc, now, thread};
use std::fmt::{self, Display};
use std::time::Duration;

/// A service that handles the messages of a broker; made by [`ConsumerBuilder::start`](super::ConsumerBuilder::start).
///
/// Dropping it ends it: nothing more is taken, what was not started is given back, the handlers that run are waited for, and brokers that
/// cannot be reached are given 10 seconds.
///
/// # Examples
///
/// ```
/// use fanpool::FanOut;
/// use fanpool::connect::{Memory, Message, Utf8};
/// use std::time::Duration;
///
/// let broker = Memory::new();
/// let consumer = FanOut::builder(|text: String| text.parse::<u64>())
///     .consume(broker.source("numbers"), Utf8)
///     .dead_letter(broker.sink("failed"))
///     .start()?;
/// broker.send("numbers", Message::new("17"));
/// while consumer.counts().acknowledged < 1 {
///     std::thread::yield_now();
/// }
/// let receipt = consumer.shutdown(Duration::from_secs(10));
/// assert_eq!((receipt.counts.acknowledged, receipt.counts.handed_back), (1, 0));
/// # Ok::<(), fanpool::connect::ConnectError>(())
/// ```
#[must_use = "dropping the consumer ends it"]
pub struct Consumer {
    control: Control<'static>,
    shared: Arc<Shared>,
    threads: Vec<thread::JoinHandle>,
}

/// What a consumer did, once it has ended.
///
/// # Examples
///
/// See [`Consumer`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Receipt {
    /// What became of the messages. `acknowledged`, `handed_back`, `late` and `unsettled` are all that were delivered.
    pub counts: BrokerCounts,
    /// What became of the items.
    pub service: ServiceCounts,
    /// Why it ended by itself, if a broker or an engine was the reason.
    pub error: Option<ConnectError>,
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BrokerCounts { delivered, acknowledged, dead_lettered, handed_back, late, unsettled, .. } = self.counts;
        write!(f, "{delivered} delivered, {acknowledged} acknowledged ({dead_lettered} dead letters), ")?;
        write!(f, "{handed_back} handed back, {late} late, {unsettled} unsettled")?;
        self.error.iter().try_for_each(|error| write!(f, "; {error}"))
    }
}

pub(super) fn launch<T, R, E>(
    control: Control<'static>,
    shared: Arc<Shared>,
    feeder: Feeder<T, E>,
    collector: Collector<R, E>,
) -> Result<Consumer, ConnectError>
where
    T: Send + 'static,
    R: Send + 'static,
    E: Display + Send + 'static,
{
    let refused = |source| ConnectError::Build(BuildError::Thread { wanted: 1, started: 0, source });
    let mut consumer = Consumer { control, shared, threads: Vec::new() };
    let name = consumer.control.name().to_owned();
    let collector = thread::start(format!("{name}-collector"), None, move || collector.run());
    match collector {
        Ok(thread) => consumer.threads.push(thread),
        // The feeder is dropped here, and with it both halves of the source.
        Err(source) => return Err(refused(source)),
    }
    match thread::start(format!("{name}-feeder"), None, move || feeder.run()) {
        Ok(thread) => consumer.threads.push(thread),
        Err(source) => {
            // The collector waits for a feeder.
            consumer.shared.end();
            consumer.shared.set_fed();
            return Err(refused(source));
        }
    }
    Ok(consumer)
}

impl Consumer {
    /// Waits until it ends: because its source is at its end, or somebody has ended it through its [`control`](Consumer::control), or it
    /// has failed.
    ///
    /// # Blocking
    ///
    /// It waits for brokers that cannot be reached, and for a paused service. A handler, codec or engine of this consumer, or a task
    /// of the pool that it shares, cannot wait for it: then it is dropped, and the receipt tells what was so far.
    ///
    /// # Examples
    ///
    /// See [`Memory`](crate::connect::Memory).
    #[must_use]
    pub fn join(mut self) -> Receipt {
        if !self.is_inside() {
            self.shared.wait_settled(None);
        }
        self.finish()
    }

    /// Takes no more messages, and returns at once: those in hand are handled, and then the consumer ends.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::FanOut;
    /// use fanpool::connect::{Memory, Utf8};
    ///
    /// let consumer = FanOut::builder(|text: String| text.parse::<u64>())
    ///     .consume(Memory::new().source("numbers"), Utf8)
    ///     .discard_failed()
    ///     .start()?;
    /// consumer.close();
    /// assert_eq!(consumer.join().counts.delivered, 0);
    /// # Ok::<(), fanpool::connect::ConnectError>(())
    /// ```
    pub fn close(&self) {
        self.shared.end();
    }

    /// Takes no more messages, finishes what is in hand, acknowledges it and returns. After `timeout` what was not started is given back
    /// to the broker, and a broker that cannot be reached is given up; what could not be said to it counts as `unsettled`, and comes again.
    ///
    /// # Blocking
    ///
    /// Handlers are not interrupted: those that run after `timeout` are waited for. Whoever cannot [`join`](Consumer::join) drops it.
    ///
    /// # Examples
    ///
    /// See [`Consumer`].
    #[must_use]
    pub fn shutdown(mut self, timeout: Duration) -> Receipt {
        if !self.is_inside() {
            self.end(timeout);
        }
        self.finish()
    }

    fn end(&self, timeout: Duration) {
        self.shared.end();
        let until = now().checked_add(timeout);
        if !self.shared.wait_settled(until) {
            self.control.stop();
            self.shared.give_up_at(until);
        }
    }

    /// Whether this thread is one that the end waits for.
    fn is_inside(&self) -> bool {
        let me = thread::id();
        self.control.is_inside() || self.threads.iter().any(|thread| thread.id() == me)
    }

    fn finish(&mut self) -> Receipt {
        if !self.is_inside() {
            self.threads.drain(..).for_each(thread::JoinHandle::join);
        }
        let mut state = self.shared.lock();
        Receipt { counts: state.counts, service: self.control.counts(), error: state.failure.take() }
    }

    /// Whether it has ended, for whatever reason; [`join`](Consumer::join) returns at once then.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::FanOut;
    /// # use fanpool::connect::{Memory, Utf8};
    /// # let builder = FanOut::builder(|text: String| text.parse::<u64>());
    /// let consumer = builder.consume(Memory::new().source("numbers"), Utf8).discard_failed().start()?;
    /// assert!(!consumer.is_ended());
    /// # Ok::<(), fanpool::connect::ConnectError>(())
    /// ```
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.threads.iter().all(thread::JoinHandle::is_finished)
    }

    /// What became of the messages so far.
    ///
    /// # Examples
    ///
    /// See [`Consumer`].
    #[must_use]
    pub fn counts(&self) -> BrokerCounts {
        self.shared.lock().counts
    }

    /// What steers the service: pause, resume, its size, its counts. A paused one takes messages until the window is full. Draining or
    /// stopping it ends the consumer.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::FanOut;
    /// use fanpool::connect::{Memory, Utf8};
    ///
    /// let consumer = FanOut::builder(|text: String| text.parse::<u64>())
    ///     .consume(Memory::new().source("numbers"), Utf8)
    ///     .discard_failed()
    ///     .start()?;
    /// consumer.control().stop();
    /// assert!(consumer.join().error.is_none());
    /// # Ok::<(), fanpool::connect::ConnectError>(())
    /// ```
    #[must_use]
    pub fn control(&self) -> Control<'static> {
        self.control.clone()
    }

    /// A snapshot of the service, with [`broker`](Metrics::broker).
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::FanOut;
    /// # use fanpool::connect::{Memory, Utf8};
    /// # let builder = FanOut::builder(|text: String| text.parse::<u64>());
    /// let consumer = builder.consume(Memory::new().source("numbers"), Utf8).discard_failed().start()?;
    /// assert_eq!(consumer.metrics().broker.unwrap().delivered, 0);
    /// # Ok::<(), fanpool::connect::ConnectError>(())
    /// ```
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        Metrics { broker: Some(self.counts()), ..self.control.metrics() }
    }

    /// How the service and its brokers are: one that is lost is a [`BrokerLost`](crate::Reason::BrokerLost).
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::FanOut;
    /// # use fanpool::connect::{Memory, Utf8};
    /// # let builder = FanOut::builder(|text: String| text.parse::<u64>());
    /// let broker = Memory::new();
    /// let consumer = builder.consume(broker.source("numbers"), Utf8).discard_failed().start()?;
    /// broker.set_down(true);
    /// while consumer.health().is_ready() {
    ///     std::thread::yield_now();
    /// }
    /// assert_eq!(consumer.health().status(), fanpool::Status::Degraded);
    /// # Ok::<(), fanpool::connect::ConnectError>(())
    /// ```
    #[must_use]
    pub fn health(&self) -> Health {
        let health = self.control.health();
        let mut reasons = self.shared.reasons();
        if reasons.is_empty() {
            return health;
        }
        reasons.extend(health.reasons().iter().cloned());
        Health::new(reasons, health.is_live())
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if self.threads.is_empty() {
            return;
        }
        self.shared.end();
        self.control.stop();
        self.shared.give_up_at(now().checked_add(GRACE));
        // A handler that drops it cannot wait for itself; the threads end by themselves.
        if !self.is_inside() {
            self.threads.drain(..).for_each(thread::JoinHandle::join);
        }
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("control", &self.control)
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}
