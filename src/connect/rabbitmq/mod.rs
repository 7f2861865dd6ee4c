//! AMQP 0-9-1, as RabbitMQ speaks it.
//!
//! The client is asynchronous. It is used from one thread for each open source and sink, the *connector*, and nothing of that shows:
//! `link` is that thread and its commands, `line` the connection and its end, `state` what a source's halves share with the connector.
//! `connector` serves a source, `publisher` a sink; `wire` is how messages travel, `fault` what errors mean.
//!
//! The client has a thread of its own for each connection, which ends with it, and two for the whole process, which stay.

mod address;
mod connector;
mod fault;
#[cfg(fanpool_fuzz)]
pub mod fuzzing;
mod line;
mod link;
mod publisher;
mod settings;
mod sink;
mod source;
mod state;
mod tags;
mod wire;

pub use sink::RabbitSink;
pub use source::RabbitSource;

use address::{Address, Credentials};
use settings::Settings;
use std::fmt;
use std::time::Duration;

const ENGINE: &str = "rabbitmq";

/// A broker that speaks AMQP 0-9-1, as RabbitMQ does: where it is, and how to connect. It connects to nothing itself. With the feature
/// `rabbitmq`; Rust 1.88.
///
/// # Addresses
///
/// `amqp://user:password@host:port/vhost`, or `amqps` with the feature `rabbitmq-tls`. All but the host may be missing: the port is 5672, of
/// `amqps` 5671; user and password are `guest`, the virtual host is `/`. Special characters are written as in URLs: `%2F` is `/`. Several
/// addresses are tried in turn, from the first, whenever a connection is made; names are resolved anew each time. If one of them is away and
/// another one refuses, that counts as away. An address that cannot be read is refused when a source or sink is opened.
///
/// # Threads
///
/// The client has one thread for each connection, which ends with it, and two for the whole process, which stay.
///
/// # Messages
///
/// | Message | AMQP |
/// |---|---|
/// | payload | body |
/// | key | header `fanpool-key`, of any bytes; it does not route |
/// | headers | headers, as long strings of any bytes; they come back in the order of their names |
/// | a header `CC`, `BCC`, `fanpool-key`, `x-delivery-count`, or whose name begins with `header:` | one with `header:` before its name: none of it routes or counts |
/// | position | the delivery tag, in the session of one connection |
/// | attempt | `x-delivery-count` of a quorum queue and 1; else 2 if delivered before |
///
/// Messages of other clients are taken as they are: strings and byte arrays become headers as bytes, other values as text, and properties
/// such as the content type are left out. Names and values of headers fill 124 KiB at most, with the broker's default frames.
///
/// What the client, lapin 4.12, cannot read: a header whose name is not UTF-8, which is [`ConnectError::Refused`](super::ConnectError) for
/// whoever polls; and header tables that are nested thousands deep, which overflow the stack of its thread and so **end the process**. Let
/// only those send to a queue whom you would let stop its consumers.
///
/// # Promises
///
/// What is in hand when a connection ends is delivered again at once, to anybody; acknowledged afterwards it counts as late. A message
/// that is [handed back](super::Settler::nack) returns to its place in the queue.
///
/// An acknowledgement is sent and not waited for, since AMQP has no answer to one. [`Settler::close`](super::Settler::close) waits until the
/// broker knows of all.
///
/// # Examples
///
/// ```no_run
/// use fanpool::connect::{Message, RabbitMq, Reader, Settler, Sink, Source};
/// use std::time::Duration;
///
/// let broker = RabbitMq::new("amqp://ann:secret@a.example/jobs").address("b.example");
/// let (mut reader, mut settler) = broker.source("numbers").quorum().open(100)?;
/// broker.sink_to_queue("numbers").publish(&[Message::new("17")])?;
/// let mut taken = Vec::new();
/// reader.poll(100, Duration::from_secs(1), &mut taken)?;
/// settler.ack(&[taken[0].position])?;
/// # Ok::<(), fanpool::connect::ConnectError>(())
/// ```
#[derive(Clone)]
pub struct RabbitMq {
    settings: Settings,
}

impl RabbitMq {
    /// The broker at that address.
    ///
    /// # Examples
    ///
    /// See [`RabbitMq`].
    #[must_use]
    pub fn new(address: impl AsRef<str>) -> RabbitMq {
        RabbitMq { settings: Settings::new(address.as_ref()) }
    }

    /// Another address of the same broker or cluster, tried after those before it.
    ///
    /// # Examples
    ///
    /// See [`RabbitMq`].
    #[must_use]
    pub fn address(mut self, address: impl AsRef<str>) -> RabbitMq {
        self.settings.addresses.push(Address::parse(address.as_ref()));
        self
    }

    /// As whom to connect, whatever the addresses say.
    ///
    /// # Default
    ///
    /// What the address says; else `guest`, whom brokers let in from their own host only.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::connect::RabbitMq;
    ///
    /// let broker = RabbitMq::new("localhost").credentials("ann", "secret");
    /// assert!(!format!("{broker:?}").contains("secret"));
    /// ```
    #[must_use]
    pub fn credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> RabbitMq {
        self.settings.credentials = Some(Credentials { user: user.into(), password: password.into() });
        self
    }

    /// The virtual host, whatever the addresses say.
    ///
    /// # Default
    ///
    /// What the address says; else `/`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::connect::RabbitMq;
    /// let broker = RabbitMq::new("localhost").vhost("jobs");
    /// # drop(broker);
    /// ```
    #[must_use]
    pub fn vhost(mut self, vhost: impl Into<String>) -> RabbitMq {
        self.settings.vhost = Some(vhost.into());
        self
    }

    /// Under which name the broker lists its connections.
    ///
    /// # Default
    ///
    /// `fanpool`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::connect::RabbitMq;
    /// let broker = RabbitMq::new("localhost").name("resizer");
    /// # drop(broker);
    /// ```
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> RabbitMq {
        self.settings.name = name.into();
        self
    }

    /// How long it may take to connect to one address: to resolve its name, to reach it and to be let in. Whoever opens, or polls or publishes
    /// after a connection was lost, waits so long for each address at most.
    ///
    /// # Default
    ///
    /// 10 seconds.
    ///
    /// # Errors
    ///
    /// Opening fails with [`ConnectError::Build`](super::ConnectError::Build) if it is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::connect::RabbitMq;
    /// # use std::time::Duration;
    /// let broker = RabbitMq::new("localhost").connect_timeout(Duration::from_secs(2));
    /// # drop(broker);
    /// ```
    #[must_use]
    pub fn connect_timeout(mut self, time: Duration) -> RabbitMq {
        self.settings.connect_timeout = time;
        self
    }

    /// How long the broker may take for an answer: to a confirm, too, so a broker that is out of memory and blocks those who send is
    /// waited for so long. A message that takes longer to get there, large and over a slow line, never does: it is tried again and again.
    ///
    /// # Default
    ///
    /// 30 seconds.
    ///
    /// # Errors
    ///
    /// As for [`connect_timeout`](RabbitMq::connect_timeout).
    ///
    /// # Examples
    ///
    /// As for [`connect_timeout`](RabbitMq::connect_timeout).
    #[must_use]
    pub fn response_timeout(mut self, time: Duration) -> RabbitMq {
        self.settings.response_timeout = time;
        self
    }

    /// How often either side shows that it is alive, in whole seconds; the broker may ask for less. A connection over which nothing came for
    /// twice that time is lost.
    ///
    /// # Default
    ///
    /// 10 seconds.
    ///
    /// # Errors
    ///
    /// Opening fails with [`ConnectError::Build`](super::ConnectError::Build) unless it is 1 to 65,535 seconds.
    ///
    /// # Examples
    ///
    /// As for [`connect_timeout`](RabbitMq::connect_timeout).
    #[must_use]
    pub fn heartbeat(mut self, time: Duration) -> RabbitMq {
        self.settings.heartbeat = time;
        self
    }

    /// Certificates, in PEM, of authorities that are trusted besides the system's.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use fanpool::connect::RabbitMq;
    /// let authority = std::fs::read_to_string("authority.pem")?;
    /// let broker = RabbitMq::new("amqps://broker.example").certificates(authority);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[cfg(feature = "rabbitmq-tls")]
    #[must_use]
    pub fn certificates(mut self, pem: impl Into<String>) -> RabbitMq {
        self.settings.certificates = Some(pem.into());
        self
    }

    /// A source of the messages of a queue.
    ///
    /// # Examples
    ///
    /// See [`RabbitSource`].
    #[must_use]
    pub fn source(&self, queue: impl Into<String>) -> RabbitSource {
        RabbitSource::new(self.settings.clone(), queue.into())
    }

    /// A sink that sends to an exchange, which must be there, with that routing key.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::connect::RabbitMq;
    /// let sink = RabbitMq::new("localhost").sink("amq.topic", "sums.even");
    /// # drop(sink);
    /// ```
    #[must_use]
    pub fn sink(&self, exchange: impl Into<String>, routing_key: impl Into<String>) -> RabbitSink {
        RabbitSink::new(self.settings.clone(), exchange.into(), routing_key.into())
    }

    /// A sink that sends to a queue, which must be there.
    ///
    /// # Examples
    ///
    /// See [`RabbitSink`].
    #[must_use]
    pub fn sink_to_queue(&self, queue: impl Into<String>) -> RabbitSink {
        RabbitSink::new(self.settings.clone(), String::new(), queue.into())
    }
}

/// Places, no credentials.
impl fmt::Debug for RabbitMq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { addresses, vhost, name, connect_timeout, response_timeout, heartbeat, .. } = &self.settings;
        let places: Vec<_> = addresses.iter().map(|address| address.as_ref().map(Address::place)).collect();
        f.debug_struct("RabbitMq")
            .field("addresses", &places)
            .field("vhost", vhost)
            .field("name", name)
            .field("connect_timeout", connect_timeout)
            .field("response_timeout", response_timeout)
            .field("heartbeat", heartbeat)
            .finish_non_exhaustive()
    }
}
