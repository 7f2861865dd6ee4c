//! A stream as a sink.

use super::ENGINE;
use super::config::Redis;
use super::entry::{longest, size, write};
use super::fault::{Fault, Kind, refused};
use super::link::Link;
use crate::connect::{ConnectError, Message, Sink};
use crate::error::BuildError;
use ::redis::{Pipeline, Value, cmd};
use std::fmt;
use std::time::Duration;

/// The most that is sent before answers are read.
const MESSAGES: usize = 1000;
const BYTES: usize = 4 << 20;

/// The server's limit of one argument, unless it tells another.
const LARGEST: usize = 512 << 20;

/// A stream that is appended to; made by [`Redis::sink`]. The first message creates it.
///
/// All messages of a call are sent at once, up to 1,000 or 4 MiB at a time, and each one's answer is waited for. After
/// [`ConnectError::Lost`] some of them may be in the stream: sending again stores these twice. How safe a message is once the server has
/// confirmed it is up to the server's `appendonly` and `appendfsync`, and to its replicas.
///
/// A payload, a key or a header's value that is larger than the server's `proto-max-bulk-len`, 512 MiB unless configured, is an error of
/// that message.
///
/// # Examples
///
/// ```no_run
/// use fanpool::connect::{Message, Redis, Sink};
///
/// let mut sink = Redis::new(["localhost"]).sink("sums").max_len(1_000_000);
/// sink.open()?;
/// sink.publish(&[Message::new("42").with_key("ann")])?;
/// # Ok::<(), fanpool::connect::ConnectError>(())
/// ```
pub struct RedisSink {
    redis: Redis,
    stream: String,
    max_len: Option<u64>,
    link: Option<Link>,
    largest: usize,
    /// Of which connection the last is.
    of: u64,
}

impl RedisSink {
    pub(super) fn new(redis: Redis, stream: String) -> RedisSink {
        RedisSink { redis, stream, max_len: None, link: None, largest: LARGEST, of: 0 }
    }

    /// Has the server drop the oldest entries when there are more, 1 at least; approximately: some more may stay. Entries that were not read
    /// yet are dropped as well, and are lost.
    ///
    /// # Default
    ///
    /// Nothing is dropped.
    ///
    /// # Examples
    ///
    /// See [`RedisSink`].
    #[must_use]
    pub fn max_len(mut self, entries: u64) -> RedisSink {
        self.max_len = Some(entries);
        self
    }

    fn link(&mut self) -> Result<&mut Link, ConnectError> {
        match &mut self.link {
            Some(link) => Ok(link),
            none => {
                if self.max_len == Some(0) {
                    let (option, value, allowed) = ("max_len", 0, 1..=usize::MAX);
                    return Err(BuildError::OutOfRange { option, value, allowed }.into());
                }
                Ok(none.insert(Link::new(&self.redis, Duration::ZERO)?))
            }
        }
    }

    /// Connects if need be, and asks what this server takes.
    fn ready(&mut self) -> Result<(), ConnectError> {
        let of = self.of;
        let link = self.link()?;
        if !link.is_open() {
            link.connect()?;
        }
        if link.made == of {
            return Ok(());
        }
        let answer = link.ask(cmd("CONFIG").arg("GET").arg("proto-max-bulk-len"));
        let made = link.made;
        self.largest = match answer {
            Ok(Value::Array(pair)) => match pair.get(1) {
                Some(Value::BulkString(text)) => std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()),
                _ => None,
            },
            Err(fault) if fault.kind == Kind::Away => return Err(fault.into()),
            // Many servers do not tell.
            _ => None,
        }
        .unwrap_or(LARGEST);
        self.of = made;
        Ok(())
    }

    fn send(&mut self, messages: &[Message]) -> Result<(), ConnectError> {
        if messages.is_empty() {
            return Ok(());
        }
        let mut adds = Pipeline::with_capacity(messages.len());
        for message in messages {
            let mut add = cmd("XADD");
            add.arg(&self.stream);
            if let Some(max_len) = self.max_len {
                add.arg("MAXLEN").arg("~").arg(max_len);
            }
            add.arg("*");
            write(&mut add, message);
            adds.add_command(add);
        }
        self.link()?.ask_all(&adds)?;
        Ok(())
    }
}

impl fmt::Debug for RedisSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSink")
            .field("redis", &self.redis)
            .field("stream", &self.stream)
            .field("max_len", &self.max_len)
            .finish_non_exhaustive()
    }
}

impl Sink for RedisSink {
    fn engine(&self) -> &'static str {
        ENGINE
    }

    fn open(&mut self) -> Result<(), ConnectError> {
        self.ready()?;
        let mut questions = Pipeline::with_capacity(2);
        questions.cmd("TYPE").arg(&self.stream);
        // No entry can have this id; whoever may not add is told that first.
        questions.cmd("XADD").arg(&self.stream).arg("NOMKSTREAM").arg("0-0").arg("payload").arg("");
        let mut answers = self.link()?.try_all(&questions)?.into_iter();
        match answers.next() {
            Some(Ok(Value::SimpleString(kind))) if kind != "stream" && kind != "none" => {
                let what = format!("WRONGTYPE the key {:?} is not a stream, but a {kind}", self.stream);
                return Err(refused(Kind::Other, what, "choose another name, or delete that key").into());
            }
            Some(Err(fault)) if fault.kind == Kind::Away => return Err(fault.into()),
            _ => {}
        }
        match answers.next() {
            Some(Err(fault)) if !is_about_id(&fault) => Err(fault.into()),
            _ => Ok(()),
        }
    }

    fn publish(&mut self, messages: &[Message]) -> Result<(), ConnectError> {
        self.ready()?;
        let (mut from, mut bytes) = (0, 0);
        for (index, message) in messages.iter().enumerate() {
            let large = longest(message);
            if large > self.largest {
                self.send(&messages[from..index])?;
                let what = format!("{large} bytes at once; the server takes {}", self.largest);
                return Err(ConnectError::Message { engine: ENGINE, index, what });
            }
            bytes += size(message);
            if index + 1 - from == MESSAGES || bytes >= BYTES {
                self.send(&messages[from..=index])?;
                (from, bytes) = (index + 1, 0);
            }
        }
        self.send(&messages[from..])
    }

    fn close(&mut self) -> Result<(), ConnectError> {
        self.link = None;
        Ok(())
    }
}

fn is_about_id(fault: &Fault) -> bool {
    matches!(&fault.error, ConnectError::Refused { what, .. } if what.contains("greater than 0-0"))
}
