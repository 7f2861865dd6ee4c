//! Exchanges and queues as sinks.

use super::ENGINE;
use super::link::Link;
use super::publisher::{Command, Publisher, Route};
use super::settings::Settings;
use crate::connect::{ConnectError, Message, Sink};
use std::fmt;

/// A sink that sends to an exchange; made by [`RabbitMq::sink`](super::RabbitMq::sink) and
/// [`RabbitMq::sink_to_queue`](super::RabbitMq::sink_to_queue).
///
/// It has a connection of its own, with a thread of its own, from the first [`open`](Sink::open) or [`publish`](Sink::publish) until it is
/// closed or dropped. Messages are persistent. Those of one call are sent back to back, and confirmed by the broker before it returns; one
/// that is larger than all before it on the same connection is sent when those are confirmed.
///
/// * A message that no queue takes is returned by the broker, and [`ConnectError::Refused`] is the answer: all of this sink have the same
///   route, so it will not be otherwise for the next.
/// * One that is larger than the broker allows, or whose key and headers fill more than a frame, is [`ConnectError::Message`].
/// * One that the broker could not store, as when the queue is full and rejects, is [`ConnectError::Lost`].
///
/// # Examples
///
/// ```no_run
/// use fanpool::connect::{Message, RabbitMq, Sink};
///
/// let mut sink = RabbitMq::new("amqp://localhost").sink_to_queue("sums");
/// sink.open()?;
/// sink.publish(&[Message::new("42"), Message::new("43")])?;
/// sink.close()?;
/// # Ok::<(), fanpool::connect::ConnectError>(())
/// ```
pub struct RabbitSink {
    settings: Settings,
    route: Route,
    link: Option<Link<Command>>,
}

impl RabbitSink {
    pub(super) fn new(settings: Settings, exchange: String, key: String) -> RabbitSink {
        RabbitSink { settings, route: Route { exchange, key }, link: None }
    }

    fn link(&mut self) -> Result<&Link<Command>, ConnectError> {
        if self.link.is_none() {
            self.settings.check()?;
            self.route.check()?;
            let publisher = Publisher::new(self.settings.clone(), self.route.clone());
            self.link = Some(Link::start(move |inbox| publisher.run(&inbox))?);
        }
        match &self.link {
            Some(link) => Ok(link),
            None => unreachable!("it was put there above"),
        }
    }
}

impl fmt::Debug for RabbitSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Route { exchange, key } = &self.route;
        f.debug_struct("RabbitSink").field("exchange", exchange).field("routing_key", key).finish_non_exhaustive()
    }
}

impl Sink for RabbitSink {
    fn engine(&self) -> &'static str {
        ENGINE
    }

    fn open(&mut self) -> Result<(), ConnectError> {
        self.link()?.ask(Command::Open)
    }

    fn publish(&mut self, messages: &[Message]) -> Result<(), ConnectError> {
        if messages.is_empty() {
            return Ok(());
        }
        let messages = messages.to_vec();
        self.link()?.ask(|to| Command::Publish(messages, to))
    }

    fn close(&mut self) -> Result<(), ConnectError> {
        // Its thread says goodbye and ends.
        self.link = None;
        Ok(())
    }
}
