//! Queues as sources.

use super::connector::Connector;
use super::link::Link;
use super::settings::Settings;
use super::state::{Command, Shared};
use super::{ENGINE, fault};
use crate::connect::{ConnectError, Delivery, Polled, Position, Reader, Settler, Source};
use crate::error::BuildError;
use crate::sync::{Arc, now};
use std::fmt;
use std::time::Duration;

/// How often the broker is asked how many messages wait, at most.
const COUNTED: Duration = Duration::from_secs(1);

/// What is done about a queue that may not be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Declare {
    Not,
    Classic,
    Quorum,
}

/// A source of the messages of a queue; made by [`RabbitMq::source`](super::RabbitMq::source).
///
/// Each [`open`](Source::open) makes a connection of its own, with a thread of its own. Sources of one queue share its messages. The window
/// is the consumer's prefetch, so it may be 65,535 at most.
///
/// A queue of the type *stream* is not one of these: it gives each consumer all messages, keeps no account of what is acknowledged, and so
/// delivers nothing again.
///
/// # Examples
///
/// ```no_run
/// use fanpool::connect::{RabbitMq, Source};
/// use std::time::Duration;
///
/// let mut source = RabbitMq::new("amqp://localhost").source("numbers").quorum();
/// let (mut reader, mut settler) = source.open(100)?;
/// let mut taken = Vec::new();
/// reader.poll(100, Duration::from_secs(1), &mut taken)?;
/// let positions: Vec<_> = taken.iter().map(|delivery| delivery.position).collect();
/// settler.ack(&positions)?;
/// settler.close()?;
/// reader.close()?;
/// # Ok::<(), fanpool::connect::ConnectError>(())
/// ```
#[derive(Clone)]
pub struct RabbitSource {
    settings: Settings,
    queue: String,
    declare: Declare,
}

impl RabbitSource {
    pub(super) fn new(settings: Settings, queue: String) -> RabbitSource {
        RabbitSource { settings, queue, declare: Declare::Not }
    }

    /// Creates the queue if it is not there: a quorum queue, which is replicated where the broker is a cluster, and counts
    /// [attempts](Delivery::attempt).
    ///
    /// RabbitMQ 4 takes a message away that has come back 20 times, unless the queue has another `x-delivery-limit`.
    ///
    /// # Default
    ///
    /// The queue must be there: [`ConnectError::Refused`] otherwise.
    ///
    /// # Examples
    ///
    /// See [`RabbitSource`].
    #[must_use]
    pub fn quorum(mut self) -> RabbitSource {
        self.declare = Declare::Quorum;
        self
    }

    /// Creates the queue if it is not there: a durable one of the virtual host's default type, which is classic unless the broker was told
    /// otherwise. A classic queue knows only whether a message was delivered before.
    ///
    /// # Default
    ///
    /// As for [`quorum`](RabbitSource::quorum).
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::connect::RabbitMq;
    /// let source = RabbitMq::new("amqp://localhost").source("numbers").classic();
    /// # drop(source);
    /// ```
    #[must_use]
    pub fn classic(mut self) -> RabbitSource {
        self.declare = Declare::Classic;
        self
    }
}

impl fmt::Debug for RabbitSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RabbitSource { queue, declare, .. } = self;
        f.debug_struct("RabbitSource").field("queue", queue).field("declare", declare).finish_non_exhaustive()
    }
}

/// What both halves hold; the connector ends with the second of them.
struct Open {
    link: Link<Command>,
    shared: Arc<Shared>,
}

struct RabbitReader(Arc<Open>);
struct RabbitSettler(Arc<Open>);

impl Open {
    fn connect(&self) -> Result<(), ConnectError> {
        self.shared.connect(|| self.link.send(Command::Connect))
    }
}

impl Source for RabbitSource {
    fn engine(&self) -> &'static str {
        ENGINE
    }

    fn open(&mut self, window: usize) -> Result<crate::connect::Halves, ConnectError> {
        BuildError::check("window", window, 1..=usize::from(u16::MAX))?;
        self.settings.check()?;
        if self.queue.is_empty() || self.queue.len() > 255 {
            return Err(fault::refused("a queue's name has 1 to 255 bytes", "give the queue's name"));
        }
        let shared = Arc::new(Shared::new());
        let connector = Connector {
            settings: self.settings.clone(),
            queue: self.queue.clone(),
            declare: self.declare,
            window: u16::try_from(window).unwrap_or(u16::MAX),
            shared: shared.clone(),
        };
        let link = Link::start(move |inbox| connector.run(&inbox))?;
        let open = Arc::new(Open { link, shared });
        open.connect()?;
        Ok((Box::new(RabbitReader(open.clone())), Box::new(RabbitSettler(open))))
    }
}

impl Reader for RabbitReader {
    fn poll(&mut self, room: usize, wait: Duration, into: &mut Vec<Delivery>) -> Result<Polled, ConnectError> {
        self.0.connect()?;
        self.0.shared.take(room, now().checked_add(wait), into)?;
        Ok(Polled::More)
    }

    fn lag(&mut self) -> Option<u64> {
        let (count, ask) = self.0.shared.count(now(), COUNTED);
        if ask {
            self.0.link.send(Command::Count);
        }
        count
    }

    fn close(&mut self) -> Result<(), ConnectError> {
        let closed = self.0.link.ask(Command::Close);
        self.0.link.join();
        closed
    }
}

impl RabbitSettler {
    fn settle(&self, positions: &[Position], again: bool) -> usize {
        self.0.shared.settle(positions, again, |command| self.0.link.send(command))
    }
}

impl Settler for RabbitSettler {
    fn ack(&mut self, positions: &[Position]) -> Result<usize, ConnectError> {
        Ok(self.settle(positions, false))
    }

    fn nack(&mut self, positions: &[Position]) -> Result<usize, ConnectError> {
        Ok(self.settle(positions, true))
    }

    fn close(&mut self) -> Result<(), ConnectError> {
        if self.0.shared.must_sync()? { self.0.link.ask(Command::Sync) } else { Ok(()) }
    }
}
