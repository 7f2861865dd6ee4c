//! A source: its options, and how it is opened.

use super::causes::{Said, code, failed, lost};
use super::commits::{self, Commits};
use super::member::{Bell, Consumer, Context, Member, Seen, Table};
use super::reader::{KafkaReader, KafkaSettler};
use super::{ENGINE, Kafka};
use crate::connect::tracker::Tracker;
use crate::connect::{ConnectError, Source};
use crate::error::BuildError;
use crate::sync::{Arc, Mutex};
use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::fmt;
use std::time::Duration;

/// A source of the messages of topics, as a member of a group; made by [`Kafka::source`].
///
/// Kafka acknowledges by one number a partition: the offset before which all is done. So the source commits the *contiguous* offsets, and
/// what was acknowledged beyond one that is not comes again to whoever has the partition next. What a killed process leaves to be
/// delivered again is at most its [`span`](KafkaSource::span) a partition.
///
/// - `Position`: `partition` counts topic and partition in the order in which the source has seen them, `offset` is Kafka's, `session` the
///   assignment. Acknowledging is late once the partition was taken away. A source that is out of its group and has not polled since has not
///   heard of that: it counts what it acknowledges then, and the cluster refuses the commit.
/// - `nack`: Kafka has no way to hand one message back. It is not committed, nor what comes behind it, and is delivered again once
///   this source has closed or lost the partition.
/// - `attempt` is always 1, since Kafka does not count.
/// - A log that was cut off below what was read, or whose topic was made anew, is read on from its first offset, in a new session. With
///   [`from_beginning(false)`](KafkaSource::from_beginning) it is read on from its end, and what lies before that is never delivered.
/// - A message without a payload (a tombstone) comes with an empty one; a header whose name is not UTF-8 is left out. Of
///   headers of one name all are kept.
/// - Batches that are compressed with gzip or zstd take the feature `kafka-compression`; without it they are refused, and end a consumer. So are
///   damaged ones, if `check.crcs` is set.
/// - `lag` is what the assigned partitions hold beyond what was delivered here, as of the last second.
///
/// # Examples
///
/// ```no_run
/// use fanpool::connect::{Kafka, Source};
/// use std::time::Duration;
///
/// let mut source = Kafka::new(["localhost:9092"]).source(["numbers"], "squarers").span(10_000);
/// let (mut reader, mut settler) = source.open(1_000)?;
/// let mut taken = Vec::new();
/// reader.poll(1_000, Duration::from_secs(1), &mut taken)?;
/// let positions: Vec<_> = taken.iter().map(|delivery| delivery.position).collect();
/// settler.ack(&positions)?;
/// settler.close()?;
/// reader.close()?;
/// # Ok::<(), fanpool::connect::ConnectError>(())
/// ```
pub struct KafkaSource {
    kafka: Kafka,
    topics: Vec<String>,
    group: String,
    span: Option<usize>,
    from_beginning: bool,
    commit_interval: Duration,
    table: Arc<Table>,
}

impl KafkaSource {
    pub(super) fn new(kafka: Kafka, topics: Vec<String>, group: String) -> KafkaSource {
        KafkaSource {
            kafka,
            topics,
            group,
            span: None,
            from_beginning: true,
            commit_interval: Duration::from_millis(100),
            table: Arc::default(),
        }
    }

    /// The most messages of a partition that are delivered and not committed: what is in hand, and what is done behind the first that is
    /// not. A process that is killed leaves at most these to be delivered again. If one message takes long, its partition goes on for so
    /// many others: raise the span so that a slow key holds up others later. A commit is made at the latest when a quarter of the span is
    /// done, so a small one costs throughput.
    ///
    /// # Default
    ///
    /// The window that [`open`](Source::open) is given.
    ///
    /// # Errors
    ///
    /// `open` returns [`ConnectError::Build`] unless it is 1 to 1,000,000,000.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::connect::Kafka;
    /// let source = Kafka::new(["localhost:9092"]).source(["numbers"], "squarers").span(100_000);
    /// ```
    #[must_use]
    pub fn span(mut self, messages: usize) -> KafkaSource {
        self.span = Some(messages);
        self
    }

    /// Whether a group that has committed nothing yet reads what is in the topics, or only what comes from now on.
    ///
    /// # Default
    ///
    /// True.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::connect::Kafka;
    /// let source = Kafka::new(["localhost:9092"]).source(["numbers"], "squarers").from_beginning(false);
    /// ```
    #[must_use]
    pub fn from_beginning(mut self, yes: bool) -> KafkaSource {
        self.from_beginning = yes;
        self
    }

    /// How long what was acknowledged may wait to be committed.
    ///
    /// # Default
    ///
    /// 100 milliseconds.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::connect::Kafka;
    /// # use std::time::Duration;
    /// let source = Kafka::new(["localhost:9092"]).source(["numbers"], "squarers").commit_interval(Duration::from_secs(1));
    /// ```
    #[must_use]
    pub fn commit_interval(mut self, time: Duration) -> KafkaSource {
        self.commit_interval = time;
        self
    }

    fn consumer(&self, member: &Arc<Member>) -> Result<Consumer, ConnectError> {
        let own = [
            ("group.id", self.group.clone()),
            ("enable.auto.commit", "false".to_owned()),
            ("enable.auto.offset.store", "false".to_owned()),
            ("auto.offset.reset", if self.from_beginning { "earliest" } else { "latest" }.to_owned()),
            ("partition.assignment.strategy", "cooperative-sticky".to_owned()),
            ("queued.max.messages.kbytes", "16384".to_owned()),
            ("statistics.interval.ms", "1000".to_owned()),
        ];
        let config = self.kafka.config(&own)?;
        let mut consumer: Consumer = config
            .create_with_context::<_, BaseConsumer<_>>(Context(member.clone()))
            .map_err(|error| self.kafka.unusable(&error))?;
        let bell = member.bell.clone();
        consumer.set_nonempty_callback(move || bell.ring());
        Ok(consumer)
    }
}

impl fmt::Debug for KafkaSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSource")
            .field("kafka", &self.kafka)
            .field("topics", &self.topics)
            .field("group", &self.group)
            .field("span", &self.span)
            .field("from_beginning", &self.from_beginning)
            .field("commit_interval", &self.commit_interval)
            .finish()
    }
}

impl Source for KafkaSource {
    fn engine(&self) -> &'static str {
        ENGINE
    }

    fn open(&mut self, window: usize) -> Result<crate::connect::Halves, ConnectError> {
        let span = self.span.unwrap_or(window.max(1));
        BuildError::check("span", span, 1..=1_000_000_000)?;
        if self.group.is_empty() {
            return Err(BuildError::Missing { option: "group" }.into());
        }
        if self.topics.is_empty() {
            return Err(BuildError::Missing { option: "topics" }.into());
        }
        let member = Arc::new(Member {
            tracker: Tracker::new(),
            table: self.table.clone(),
            commits: Commits::new(self.commit_interval),
            bell: Arc::new(Bell::default()),
            patience: self.kafka.response_timeout,
            seen: Mutex::new(Seen::default()),
        });
        let consumer = Arc::new(self.consumer(&member)?);
        let said = || loop {
            let calls = member.seen.lock().calls;
            let _ = consumer.poll(Duration::ZERO);
            let seen = member.seen.lock();
            if seen.calls == calls {
                break seen.said.clone();
            }
        };
        for topic in &self.topics {
            check(&self.kafka, consumer.client(), topic, said)?;
        }
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(|error| self.kafka.unusable(&error))?;
        let committer = commits::start(&member, &consumer).map_err(|error| lost(error.to_string()))?;
        let settler = KafkaSettler::new(member.clone(), span);
        let reader = KafkaReader::new(self.kafka.clone(), self.topics[0].clone(), member, consumer, committer, span);
        Ok((Box::new(reader), Box::new(settler)))
    }
}

/// librdkafka counts milliseconds in 32 bits.
const LONGEST_CHECK: Duration = Duration::from_secs(24 * 3_600);

/// Asks for a topic: that there is a broker, that it lets this user in, and that the topic is there.
pub(super) fn check<C: ClientContext>(
    kafka: &Kafka,
    client: &Client<C>,
    topic: &str,
    said: impl Fn() -> Said,
) -> Result<(), ConnectError> {
    // The client panics at what librdkafka does not accept as a name.
    if topic.is_empty() || topic.len() > 249 {
        return Err(failed(RDKafkaErrorCode::InvalidTopic, format!("topic {topic:?}: names have 1 to 249 bytes")));
    }
    let time = kafka.connect_timeout.min(LONGEST_CHECK);
    let metadata = client.fetch_metadata(Some(topic), time).map_err(|error| match &error {
        KafkaError::Nul(_) => kafka.unusable(&error),
        error => said().no_answer(kafka, code(error)),
    })?;
    let known = metadata.topics().iter().find(|known| known.name() == topic);
    let error = match known {
        Some(known) => known.error().map(RDKafkaErrorCode::from),
        None => Some(RDKafkaErrorCode::UnknownTopic),
    };
    match error {
        None if known.is_some_and(|known| known.partitions().is_empty()) => {
            Err(failed(RDKafkaErrorCode::UnknownTopic, format!("topic {topic:?}: it has no partitions")))
        }
        None => Ok(()),
        Some(code) => Err(failed(code, format!("topic {topic:?}: {code}"))),
    }
}
