//! A sink: a producer that is idempotent and waits for every message's confirmation.

use super::causes::{Cause, Said, cause, code, failed, lost};
use super::source::check;
use super::{ENGINE, Kafka};
use crate::connect::{ConnectError, Message, Sink};
use crate::sync::{Arc, Condvar, Mutex, now};
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer};
use std::fmt;
use std::time::{Duration, Instant};

type Producer = ThreadedProducer<Context>;

/// How long reports may still come after the time in which librdkafka gives a message up.
const GRACE: Duration = Duration::from_secs(2);

/// A sink that sends to a topic; made by [`Kafka::sink`].
///
/// Messages are confirmed by all replicas that are in sync, and stored once and in order however often the connection breaks meanwhile
/// (`enable.idempotence`). The partition is chosen by the key's hash. A batch may be stored in part when it fails. Of one with a message
/// that only the broker finds too large (`message.max.bytes` of the topic is below librdkafka's), what comes behind that may be stored too.
///
/// # Examples
///
/// ```no_run
/// use fanpool::connect::{Kafka, Message, Sink};
///
/// let mut sink = Kafka::new(["localhost:9092"]).sink("sums");
/// sink.open()?;
/// sink.publish(&[Message::new("42").with_key("ann")])?;
/// sink.close()?;
/// # Ok::<(), fanpool::connect::ConnectError>(())
/// ```
pub struct KafkaSink {
    kafka: Kafka,
    topic: String,
    producer: Option<Producer>,
    reports: Arc<Reports>,
}

/// What became of messages.
#[derive(Default)]
struct Reports {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Tells one call of `publish` from another.
    round: usize,
    /// Messages that were handed over and not reported.
    pending: usize,
    failed: Vec<(usize, Code)>,
    said: Said,
}

struct Context(Arc<Reports>);

impl ClientContext for Context {
    fn error(&self, error: KafkaError, reason: &str) {
        self.0.state.lock().said.note(&error, reason);
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<(usize, usize)>;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: Self::DeliveryOpaque) {
        let (round, index) = *opaque;
        let mut state = self.0.state.lock();
        if state.round != round {
            return;
        }
        state.pending -= 1;
        if let Err((error, _)) = result {
            state.failed.push((index, code(error)));
        }
        if state.pending == 0 {
            drop(state);
            self.0.changed.notify_all();
        }
    }
}

impl KafkaSink {
    pub(super) fn new(kafka: Kafka, topic: String) -> KafkaSink {
        KafkaSink { kafka, topic, producer: None, reports: Arc::default() }
    }

    fn connect(&mut self) -> Result<(), ConnectError> {
        if self.producer.is_some() {
            return Ok(());
        }
        let own = [
            ("enable.idempotence", "true".to_owned()),
            ("acks", "all".to_owned()),
            ("message.timeout.ms", self.kafka.delivery_timeout()),
            ("linger.ms", "0".to_owned()),
        ];
        let config = self.kafka.config(&own)?;
        let context = Context(self.reports.clone());
        let producer: Producer = config.create_with_context(context).map_err(|error| self.kafka.unusable(&error))?;
        check(&self.kafka, producer.client(), &self.topic, || self.reports.state.lock().said.clone())?;
        self.producer = Some(producer);
        Ok(())
    }

    /// Hands these over and waits for all reports. Returns those that failed in the order of their indexes.
    fn send(&mut self, messages: &[Message], from: usize) -> Result<Vec<(usize, Code)>, ConnectError> {
        let Some(producer) = &self.producer else { return Err(lost("it is closed")) };
        let deadline = now().checked_add(self.kafka.response_timeout.saturating_add(GRACE));
        let round = {
            let mut state = self.reports.state.lock();
            state.round += 1;
            (state.pending, state.failed) = (messages.len(), Vec::new());
            state.round
        };
        for (index, message) in messages.iter().enumerate() {
            if let Err(code) = hand_over(producer, &self.topic, message, (round, from + index), deadline) {
                // Those behind it are not sent, and do not count.
                let mut state = self.reports.state.lock();
                state.pending -= messages.len() - index;
                state.failed.push((from + index, code));
                break;
            }
        }
        if !self.wait(deadline) {
            producer.purge(PurgeConfig::default().queue().inflight());
            let grace = now().checked_add(GRACE);
            if !self.wait(grace) {
                self.producer = None;
                return Err(lost("messages were not confirmed in time"));
            }
        }
        let mut failed = std::mem::take(&mut self.reports.state.lock().failed);
        failed.sort_unstable_by_key(|(index, _)| *index);
        Ok(failed)
    }

    /// Whether all are reported.
    fn wait(&self, deadline: Option<Instant>) -> bool {
        let mut state = self.reports.state.lock();
        while state.pending > 0 {
            if self.reports.changed.wait_until(&mut state, deadline) {
                return state.pending == 0;
            }
        }
        true
    }

    fn error(&mut self, code: Code) -> ConnectError {
        if code == Code::Fatal {
            self.producer = None;
        }
        match cause(code) {
            Cause::Refused(_) if code != Code::Fatal => failed(code, format!("topic {:?}: {code}", self.topic)),
            _ => {
                let state = self.reports.state.lock();
                match state.said.no_answer(&self.kafka, code) {
                    ConnectError::Refused { what, .. } if code == Code::Fatal => lost(what),
                    other => other,
                }
            }
        }
    }
}

/// Why a message will never be stored, whatever the broker.
fn hopeless(code: Code) -> Option<&'static str> {
    match code {
        Code::MessageSizeTooLarge => Some("it is larger than message.max.bytes"),
        Code::InvalidRecord => Some("the broker takes it for invalid"),
        Code::InvalidMessage => Some("the broker takes it for damaged"),
        Code::InvalidTimestamp => Some("its time is not accepted"),
        _ => None,
    }
}

fn hand_over(
    producer: &Producer,
    topic: &str,
    message: &Message,
    opaque: (usize, usize),
    deadline: Option<Instant>,
) -> Result<(), Code> {
    let mut headers = OwnedHeaders::new_with_capacity(message.headers().count());
    for (name, value) in message.headers() {
        headers = headers.insert(Header { key: name, value: Some(value) });
    }
    let mut record = BaseRecord::<[u8], [u8], _>::with_opaque_to(topic, Box::new(opaque)).payload(message.payload());
    if message.headers().next().is_some() {
        record = record.headers(headers);
    }
    if let Some(key) = message.key() {
        record = record.key(key);
    }
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((error, again)) if code(&error) == Code::QueueFull => {
                if deadline.is_some_and(|deadline| now() >= deadline) {
                    return Err(Code::QueueFull);
                }
                // Its thread makes room.
                crate::sync::thread::sleep(Duration::from_millis(1));
                record = again;
            }
            Err((error, _)) => return Err(code(&error)),
        }
    }
}

impl fmt::Debug for KafkaSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSink").field("kafka", &self.kafka).field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl Sink for KafkaSink {
    fn engine(&self) -> &'static str {
        ENGINE
    }

    fn open(&mut self) -> Result<(), ConnectError> {
        self.connect()
    }

    fn publish(&mut self, messages: &[Message]) -> Result<(), ConnectError> {
        self.connect()?;
        let failed = self.send(messages, 0)?;
        for (index, code) in failed {
            if hopeless(code).is_none() {
                return Err(self.error(code));
            }
            // A broker refuses what it was sent in one request as a whole: whose fault it is shows alone. What is refused here, alone, is.
            let again = self.send(std::slice::from_ref(&messages[index]), index)?;
            match again.first() {
                None => {}
                Some((_, code)) => match hopeless(*code) {
                    Some(what) => return Err(ConnectError::Message { engine: ENGINE, index, what: what.to_owned() }),
                    None => return Err(self.error(*code)),
                },
            }
        }
        self.reports.state.lock().said.clear();
        Ok(())
    }

    fn close(&mut self) -> Result<(), ConnectError> {
        self.producer = None;
        Ok(())
    }
}
