//! Kafka, by librdkafka.
//!
//! **Who calls librdkafka.** A source has one consumer in one group, used by two threads. The *reader* polls: the consumer's own queue for
//! rebalances and errors, and a queue of its own for each assigned partition (`split_partition_queue`) for messages. So a partition whose
//! span is full is left alone, and a source without room leaves all alone, while rebalances are served all the time: nothing is paused,
//! and nothing that was fetched is thrown away. librdkafka stops fetching by itself once its queues are full. The *committer*
//! (`commits`) is a thread that commits and waits for the answer, since of a commit that is not waited for this version of `rdkafka` tells
//! nothing; everybody else waits for the committer, and with a limit.
//!
//! **Who knows what is done.** The [`Tracker`](super::tracker::Tracker), which the settler tells. A partition's session is a number that
//! the reader counts up at every assignment, and when offsets of a log begin again.
//!
//! **Rebalances** happen inside of the reader's poll. Partitions that are taken away: the tracker forgets them, what was contiguous is
//! committed and waited for, and only then are they let go; whatever is acknowledged from then on is late. New ones: their queues are
//! split off before they are assigned, so that all of their messages come by them.
//!
//! **Waiting.** The reader sleeps on a bell. Whoever makes a queue nonempty rings, and so does the committer when a commit has made room.
//! The reader looks at everything after it was rung and before it sleeps, under no lock; a ring in between is kept in the bell.

mod causes;
mod commits;
#[cfg(fanpool_fuzz)]
pub mod fuzzing;
mod member;
mod options;
mod reader;
mod sink;
mod source;

pub use sink::KafkaSink;
pub use source::KafkaSource;

use std::fmt;
use std::time::Duration;

const ENGINE: &str = "kafka";

/// A Kafka cluster, or what speaks its protocol.
///
/// Every option of [librdkafka](https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md) can be
/// [`set`](Kafka::set), credentials among them, but for those that the engine owns. Names of servers are resolved again at each
/// reconnect. librdkafka reconnects by itself, within a second here. TLS and SCRAM take the feature
/// `kafka-tls`, gzip and zstd `kafka-compression`.
///
/// # Examples
///
/// ```no_run
/// use fanpool::FanOut;
/// use fanpool::connect::{Kafka, Utf8};
///
/// let kafka = Kafka::new(["one:9092", "two:9092"])
///     .set("security.protocol", "SASL_SSL")
///     .set("sasl.mechanism", "SCRAM-SHA-256")
///     .set("sasl.username", "ann")
///     .set("sasl.password", std::env::var("PASSWORD").unwrap_or_default());
/// let consumer = FanOut::builder(|text: String| text.parse::<u64>().map(|n| (n * n).to_string()))
///     .consume(kafka.source(["numbers"], "squarers"), Utf8)
///     .publish(kafka.sink("squares"), Utf8)
///     .dead_letter(kafka.sink("failed"))
///     .start()?;
/// consumer.join();
/// # Ok::<(), fanpool::connect::ConnectError>(())
/// ```
#[derive(Clone)]
pub struct Kafka {
    servers: Vec<String>,
    options: Vec<(String, String)>,
    /// An option that was set though the engine owns it.
    refused: Option<&'static str>,
    connect_timeout: Duration,
    response_timeout: Duration,
}

impl Kafka {
    /// A cluster that is found by any of these servers, `host:port` each.
    ///
    /// # Examples
    ///
    /// ```
    /// fanpool::connect::Kafka::new(["localhost:9092"]);
    /// ```
    #[must_use]
    pub fn new(servers: impl IntoIterator<Item = impl Into<String>>) -> Kafka {
        Kafka {
            servers: servers.into_iter().map(Into::into).collect(),
            options: Vec::new(),
            refused: None,
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(10),
        }
    }

    /// Sets an option of librdkafka, for sources and sinks of this cluster.
    ///
    /// # Default
    ///
    /// librdkafka's, but for `client.id` fanpool, `reconnect.backoff.max.ms` 1000, and of sources `partition.assignment.strategy`
    /// cooperative-sticky (a rebalance takes only what moves), `queued.max.messages.kbytes` 16384 a partition and
    /// `statistics.interval.ms` 1000 (the lag is known from these).
    ///
    /// # Errors
    ///
    /// `open` returns [`ConnectError::Build`](super::ConnectError::Build) if the engine owns the option: what at-least-once rests on
    /// (`enable.auto.commit`, `enable.idempotence`, `acks`, ..), and what has a method here. It returns
    /// [`ConnectError::Refused`](super::ConnectError::Refused) if librdkafka does not know it, or not that value.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::connect::{ConnectError, Kafka, Sink};
    ///
    /// let kafka = Kafka::new(["localhost:9092"]).set("acks", "0");
    /// assert!(matches!(kafka.sink("sums").open(), Err(ConnectError::Build(_))));
    /// ```
    #[must_use]
    pub fn set(mut self, name: impl Into<String>, value: impl Into<String>) -> Kafka {
        let (name, value) = (name.into(), value.into());
        self.refused = self.refused.or(options::owned(&name));
        self.options.push((name, value));
        self
    }

    /// How long `open` waits for a broker.
    ///
    /// # Default
    ///
    /// 5 seconds.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::connect::Kafka;
    /// # use std::time::Duration;
    /// let kafka = Kafka::new(["localhost:9092"]).connect_timeout(Duration::from_secs(1));
    /// ```
    #[must_use]
    pub fn connect_timeout(mut self, time: Duration) -> Kafka {
        self.connect_timeout = time;
        self
    }

    /// How long a broker may take to answer: a message that is not confirmed in that time is not sent, and a commit that takes longer is
    /// no longer waited for when the source closes or a partition is taken away.
    ///
    /// # Default
    ///
    /// 10 seconds.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::connect::Kafka;
    /// # use std::time::Duration;
    /// let kafka = Kafka::new(["localhost:9092"]).response_timeout(Duration::from_secs(30));
    /// ```
    #[must_use]
    pub fn response_timeout(mut self, time: Duration) -> Kafka {
        self.response_timeout = time;
        self
    }

    /// A source of the messages of these topics, as a member of that group.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::connect::Kafka;
    /// let source = Kafka::new(["localhost:9092"]).source(["orders", "returns"], "billing");
    /// ```
    #[must_use]
    pub fn source(&self, topics: impl IntoIterator<Item = impl Into<String>>, group: impl Into<String>) -> KafkaSource {
        KafkaSource::new(self.clone(), topics.into_iter().map(Into::into).collect(), group.into())
    }

    /// A sink that sends to a topic.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::connect::Kafka;
    /// let sink = Kafka::new(["localhost:9092"]).sink("sums");
    /// ```
    #[must_use]
    pub fn sink(&self, topic: impl Into<String>) -> KafkaSink {
        KafkaSink::new(self.clone(), topic.into())
    }
}

/// Without the values of options that may be secret, names of users among them.
impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |(name, value): &(String, String)| {
            (name.clone(), if options::is_secret(name) { "***".to_owned() } else { value.clone() })
        };
        f.debug_struct("Kafka")
            .field("servers", &self.servers)
            .field("options", &self.options.iter().map(shown).collect::<Vec<_>>())
            .field("connect_timeout", &self.connect_timeout)
            .field("response_timeout", &self.response_timeout)
            .finish()
    }
}
