//! A service whose items come from a broker.
//!
//! Two threads stand around the service: the *feeder* (`feed`) takes messages from the source and sends them as items; the *collector*
//! (`settle`) takes their outcomes, sends results and dead letters, and then acknowledges. What they share, and how they end, is in
//! `shared`.

mod feed;
#[cfg(fanpool_fuzz)]
pub mod fuzzing;
mod handle;
mod letter;
mod settle;
mod shared;

pub use handle::{Consumer, Receipt};

use super::codec::{Decode, Encode};
use super::engine::{Sink, Source};
use super::error::ConnectError;
use crate::error::BuildError;
use crate::fan::{Alone, FanOutBuilder, Fed, Work};
use crate::panics;
use crate::resilience::Retry;
use crate::sync::Arc;
use feed::Feeder;
use settle::{Collector, Outlet, Results};
use shared::{Part, Shared};
use std::fmt::{self, Display};
use std::time::Duration;

/// Options of a consumer; made by [`FanOutBuilder::consume`].
///
/// # Examples
///
/// ```
/// use fanpool::connect::{Memory, Utf8};
/// use fanpool::{BuildError, FanOut};
///
/// let refused = FanOut::builder(|text: String| text.parse::<u64>())
///     .consume(Memory::new().source("numbers"), Utf8)
///     .start()
///     .unwrap_err();
/// assert_eq!(refused.to_string(), "dead_letter is missing");
/// ```
#[must_use = "a builder does nothing until `start`"]
pub struct ConsumerBuilder<T, W: Work<T>> {
    service: FanOutBuilder<'static, T, W, Alone>,
    source: Box<dyn Source>,
    decode: Box<dyn Decode<T>>,
    results: Option<Publish<W::Out>>,
    letters: Option<Box<dyn Sink>>,
    discards: bool,
    deliveries: u32,
    first: Duration,
    longest: Duration,
    unhealthy_after: Duration,
    waits: bool,
}

/// Where results are to go.
struct Publish<R> {
    sink: Box<dyn Sink>,
    encode: Box<dyn Encode<R>>,
}

impl<T, W> FanOutBuilder<'static, T, W, Alone>
where
    T: Send + 'static,
    W: Work<T> + 'static,
    W::Error: Display,
{
    /// Has the items come from a broker instead of an [`Input`](crate::Input), made of its messages by `codec`; [`connect`](crate::connect)
    /// has the whole of it.
    ///
    /// The service's [`window`](FanOutBuilder::window) bounds what is in hand: delivered by the broker, and neither acknowledged nor given
    /// back. All other options mean what they mean without a broker. A breaker needs
    /// [`breaker_waits`](FanOutBuilder::breaker_waits), since a message is not at fault when it is open.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::FanOut;
    /// use fanpool::connect::{Memory, Message, Utf8};
    ///
    /// let broker = Memory::new();
    /// broker.send("names", Message::new("ann"));
    /// broker.end("names");
    /// let consumer = FanOut::builder(|name: String| Ok::<_, String>(println!("hello {name}")))
    ///     .window(100)
    ///     .consume(broker.source("names"), Utf8)
    ///     .dead_letter(broker.sink("failed"))
    ///     .start()?;
    /// assert_eq!(consumer.join().counts.acknowledged, 1);
    /// # Ok::<(), fanpool::connect::ConnectError>(())
    /// ```
    pub fn consume(self, source: impl Source + 'static, codec: impl Decode<T> + 'static) -> ConsumerBuilder<T, W> {
        ConsumerBuilder {
            service: self,
            source: Box::new(source),
            decode: Box::new(codec),
            results: None,
            letters: None,
            discards: false,
            deliveries: u32::MAX,
            first: Duration::from_millis(100),
            longest: Duration::from_secs(10),
            unhealthy_after: Duration::from_secs(60),
            waits: false,
        }
    }
}

impl<T, W> ConsumerBuilder<T, W>
where
    T: Send + 'static,
    W: Work<T> + 'static,
    W::Out: 'static,
    W::Error: Display + 'static,
{
    /// Sends the results to `sink`, as messages that `codec` makes. A message is acknowledged once its results are confirmed.
    ///
    /// A result without the header `traceparent` gets that of its message.
    ///
    /// # Default
    ///
    /// Results are dropped.
    ///
    /// # Examples
    ///
    /// See [`Memory`](super::Memory).
    pub fn publish(mut self, sink: impl Sink + 'static, codec: impl Encode<W::Out> + 'static) -> Self {
        self.results = Some(Publish { sink: Box::new(sink), encode: Box::new(codec) });
        self
    }

    /// Sends messages that failed to `sink`: as they came, with headers that tell why. A message is acknowledged once its letter is confirmed.
    ///
    /// | header | tells |
    /// |---|---|
    /// | `fanpool-reason` | `failed`, `panicked`, `expired` or `wrong-batch`: of the handler, after all attempts; `undecodable`; `too-many-deliveries`; `unencodable` or `result-refused`: of the result |
    /// | `fanpool-error` | the text of the last error, at most 1,024 bytes |
    /// | `fanpool-attempts` | how many attempts were made, this time |
    /// | `fanpool-history` | a line for each of the first 15 attempts and the last: its number and its error; at most 5,120 bytes |
    /// | `fanpool-deliveries` | the how many-th delivery it was, as far as the engine counts |
    /// | `fanpool-position` | the engine, and where the message stood |
    /// | `fanpool-truncated` | how many bytes the payload had, if the sink has refused the letter as it was: then it is sent with the first 4,096 bytes, without a key of more than 1,024, and without the message's own headers but `traceparent` |
    ///
    /// # Default
    ///
    /// None; either this or [`discard_failed`](ConsumerBuilder::discard_failed) must be chosen.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::FanOut;
    /// use fanpool::connect::{Memory, Message, Utf8};
    ///
    /// let broker = Memory::new();
    /// broker.send("numbers", Message::new("seven"));
    /// broker.end("numbers");
    /// let consumer = FanOut::builder(|text: String| text.parse::<u64>())
    ///     .consume(broker.source("numbers"), Utf8)
    ///     .dead_letter(broker.sink("failed"))
    ///     .start()?;
    /// assert_eq!(consumer.join().counts.dead_lettered, 1);
    /// let letter = &broker.messages("failed")[0];
    /// assert_eq!(letter.payload(), b"seven");
    /// assert_eq!(letter.header("fanpool-reason"), Some(&b"failed"[..]));
    /// assert_eq!(letter.header("fanpool-error"), Some(&b"invalid digit found in string"[..]));
    /// # Ok::<(), fanpool::connect::ConnectError>(())
    /// ```
    pub fn dead_letter(mut self, sink: impl Sink + 'static) -> Self {
        self.letters = Some(Box::new(sink));
        self
    }

    /// Acknowledges messages that failed, and counts them; they are lost.
    ///
    /// # Examples
    ///
    /// See [`BrokerCounts`](crate::BrokerCounts).
    pub fn discard_failed(mut self) -> Self {
        self.discards = true;
        self
    }

    /// How often a message may be delivered: one that comes once more is buried without the handler being called. It is for messages
    /// that end the process; those that fail are buried after their first delivery. Engines that do not count never reach it.
    /// Brokers count what they have sent, whether or not a handler saw it: a message that only waited in the window of a process that was
    /// killed was delivered as well. RabbitMQ also counts what waited in the window of a consumer that has ended, up to twice. So allow
    /// for some of these.
    ///
    /// # Default
    ///
    /// No bound. 0 is refused by `start`.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::FanOut;
    /// use fanpool::connect::{Memory, Utf8};
    ///
    /// let builder = FanOut::builder(|text: String| text.parse::<u64>()).consume(Memory::new().source("numbers"), Utf8);
    /// assert!(builder.discard_failed().max_deliveries(0).start().is_err());
    /// ```
    pub fn max_deliveries(mut self, times: u32) -> Self {
        self.deliveries = times;
        self
    }

    /// How long a broker that cannot be reached is left alone between attempts: by chance between `first` and three times the delay
    /// before, at most `longest`, as [`Retry::decorrelated`] has it. It is tried until it is there, or the consumer is ended.
    ///
    /// # Default
    ///
    /// 100 milliseconds and 10 seconds. 0 is refused by `start`.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::FanOut;
    /// use fanpool::connect::{Memory, Utf8};
    /// use std::time::Duration;
    ///
    /// let broker = Memory::new();
    /// let consumer = FanOut::builder(|text: String| text.parse::<u64>())
    ///     .consume(broker.source("numbers"), Utf8)
    ///     .discard_failed()
    ///     .reconnect(Duration::from_millis(10), Duration::from_secs(1))
    ///     .start()?;
    /// # Ok::<(), fanpool::connect::ConnectError>(())
    /// ```
    pub fn reconnect(mut self, first: Duration, longest: Duration) -> Self {
        (self.first, self.longest) = (first, longest);
        self
    }

    /// From when on a broker that cannot be reached is [`Unhealthy`](crate::Status::Unhealthy); before, it is
    /// [`Degraded`](crate::Status::Degraded).
    ///
    /// # Default
    ///
    /// 60 seconds.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::FanOut;
    /// use fanpool::connect::{Memory, Utf8};
    ///
    /// let builder = FanOut::builder(|text: String| text.parse::<u64>()).consume(Memory::new().source("numbers"), Utf8);
    /// let consumer = builder.discard_failed().unhealthy_after(std::time::Duration::from_secs(5)).start()?;
    /// # Ok::<(), fanpool::connect::ConnectError>(())
    /// ```
    pub fn unhealthy_after(mut self, time: Duration) -> Self {
        self.unhealthy_after = time;
        self
    }

    /// Has [`start`](ConsumerBuilder::start) wait for brokers that cannot be reached, trying again as [`reconnect`](ConsumerBuilder::reconnect)
    /// says, instead of returning an error. What they refuse is an error all the same.
    ///
    /// # Default
    ///
    /// It does not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::FanOut;
    /// use fanpool::connect::{Memory, Utf8};
    ///
    /// let broker = Memory::new();
    /// broker.set_down(true);
    /// let builder = FanOut::builder(|text: String| text.parse::<u64>()).consume(broker.source("numbers"), Utf8);
    /// let builder = builder.discard_failed().wait_for_broker();
    /// let starter = std::thread::spawn(move || builder.start());
    /// broker.set_down(false);
    /// assert!(starter.join().unwrap().is_ok());
    /// ```
    pub fn wait_for_broker(mut self) -> Self {
        self.waits = true;
        self
    }

    /// Connects, and starts the service and the threads `<name>-feeder` and `<name>-collector`.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]: an option is not allowed, a thread could not be started, or a broker could not be reached or has refused.
    /// Nothing is left running then.
    ///
    /// # Examples
    ///
    /// See [`ConsumerBuilder`].
    pub fn start(self) -> Result<Consumer, ConnectError> {
        let ConsumerBuilder { service, mut source, decode, results, letters, .. } = self;
        if letters.is_none() && !self.discards {
            return Err(BuildError::Missing { option: "dead_letter" }.into());
        }
        if letters.is_some() && self.discards {
            return Err(BuildError::Conflict { option: "discard_failed", with: "dead_letter" }.into());
        }
        BuildError::check("max_deliveries", self.deliveries as usize, 1..=u32::MAX as usize)?;
        let backoff = Retry::decorrelated(self.first, self.longest).max_attempts(u32::MAX);
        backoff.check()?;
        if self.first.min(self.longest).is_zero() {
            let (option, allowed) = ("reconnect", "more than 0 seconds");
            return Err(BuildError::NotInRange { option, value: 0.0, allowed }.into());
        }
        let shared = Arc::new(Shared::new(service.window_size(), backoff, self.unhealthy_after));
        let memory = Arc::downgrade(&shared);
        let history = Box::new(move |number: u64, errors: &[_]| {
            if let Some(shared) = memory.upgrade() {
                shared.remember(number, letter::history(errors));
            }
        });
        let window = service.window_size();
        // First the service, since its options are checked by that; then the sinks, so that nothing is taken that could not be sent.
        let Fed { feed, output } = service.start_fed(history)?;
        let outlet = |part: Part, mut sink: Box<dyn Sink>| {
            let engine = shared::name_of(|| sink.engine())?;
            opened(&shared, part, engine, self.waits, || sink.open())?;
            Ok::<_, ConnectError>(Outlet { sink, engine })
        };
        let results = match results {
            Some(Publish { sink, encode }) => Some(Results { to: outlet(Part::Results, sink)?, encode }),
            None => None,
        };
        let letters = letters.map(|sink| outlet(Part::Letters, sink)).transpose()?;
        let engine = shared::name_of(|| source.engine())?;
        let (reader, settler) = opened(&shared, Part::Reader, engine, self.waits, || source.open(window))?;
        panics::drop_each([source]);
        let control = output.control();
        let feeder = Feeder { reader, engine, decode, feed, shared: shared.clone(), deliveries: self.deliveries };
        let collector = Collector { output, settler, engine, results, letters, shared: shared.clone() };
        handle::launch(control, shared, feeder, collector)
    }
}

/// Opens a connection, if need be again and again.
fn opened<R>(
    shared: &Shared,
    part: Part,
    engine: &'static str,
    waits: bool,
    mut call: impl FnMut() -> Result<R, ConnectError>,
) -> Result<R, ConnectError> {
    let mut delays = shared.delays();
    loop {
        match shared::guarded(engine, &mut call) {
            Err(error) if waits && error.is_transient() => {
                shared.back_off(delays.next().unwrap_or(shared::POLL), part);
            }
            answer => return answer.inspect(|_| shared.reached(part)),
        }
    }
}

impl<T, W: Work<T>> fmt::Debug for ConsumerBuilder<T, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerBuilder")
            .field("engine", &self.source.engine())
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}
