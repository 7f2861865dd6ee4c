//! A stream as a source.

use super::ENGINE;
use super::config::{Redis, check};
use super::entry::{id_text, info};
use super::fault::{Fault, Kind, refused};
use super::link::Link;
use super::reader::{RedisReader, SLICE, lag};
use super::session::Session;
use super::settler::RedisSettler;
use crate::connect::{ConnectError, Source};
use crate::error::BuildError;
use crate::sync::{Arc, Mutex, atomic::AtomicBool};
use ::redis::{Value, cmd};
use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasher;
use std::time::Duration;

/// A stream, read as a consumer of a group; made by [`Redis::source`].
///
/// All sources of a group share the stream's entries. What one has in hand that is not polled for [`claim_after`](RedisSource::claim_after),
/// others take over. What is handed back the same source takes again at its next poll, or any
/// other that looks for it first: each looks as often as half of `claim_after`, at least every 5 seconds. What was pending for its consumer
/// name when it is opened, of a run that was killed, it takes first.
///
/// When it closes, what it has in hand is handed back, and its consumer is removed from the group unless something is pending for it.
///
/// Reading and acknowledging have a connection each. Each is made anew at the first call after it was lost. A call waits for as long as the
/// server takes, at most the [`response_timeout`](Redis::response_timeout) for each command; connecting is at most
/// [`connect_timeout`](Redis::connect_timeout) and up to three answers for each address.
///
/// The lag is what the server says of the group, at most a second old; unknown before Redis 7, and while the server does not know it since
/// entries were deleted.
///
/// # Examples
///
/// ```no_run
/// use fanpool::connect::{Redis, Source};
/// use std::time::Duration;
///
/// let redis = Redis::new(["localhost"]);
/// let mut source = redis.source("orders", "billing").create(true).claim_after(Duration::from_secs(300));
/// let (mut reader, mut settler) = source.open(1000)?;
/// let mut taken = Vec::new();
/// reader.poll(1000, Duration::from_secs(1), &mut taken)?;
/// for delivery in taken {
///     println!("{} is {:?}", delivery.position, delivery.message.payload());
///     settler.ack(&[delivery.position])?;
/// }
/// settler.close()?;
/// reader.close()?;
/// # Ok::<(), fanpool::connect::ConnectError>(())
/// ```
#[derive(Clone)]
pub struct RedisSource {
    redis: Redis,
    stream: String,
    group: String,
    consumer: Option<String>,
    claim_after: Duration,
    create: bool,
    delete: bool,
}

impl RedisSource {
    pub(super) fn new(redis: Redis, stream: String, group: String) -> RedisSource {
        let claim_after = Duration::from_secs(60);
        RedisSource { redis, stream, group, consumer: None, claim_after, create: false, delete: false }
    }

    /// The consumer's name in the group. No two that run may have the same: they would take what is in the other's hand. One that is the
    /// same after a restart has its own entries back at once, and leaves no names of killed processes in the group.
    ///
    /// # Default
    ///
    /// The names of host and process, and a number by chance; another one each time it is opened.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::connect::Redis;
    /// let source = Redis::new(["localhost"]).source("orders", "billing").consumer("billing-0");
    /// ```
    #[must_use]
    pub fn consumer(mut self, name: impl Into<String>) -> RedisSource {
        self.consumer = Some(name.into());
        self
    }

    /// After what time what a source has in hand is taken over by others, if nothing was heard of it; 0.001 to 3600 seconds. A source that is
    /// polled keeps what it has in hand, each quarter of this time, however long that takes to be handled; a [`Consumer`](crate::connect::Consumer)
    /// polls its source by itself, each quarter of a second at least, so give it a second or more. It must exceed how long a process may stand
    /// still, the server may be away, and decoding what one poll brings may take: else what was in hand is handled twice, and its
    /// acknowledgement is late. All sources of a group should have the same.
    ///
    /// Keeping is a write for each entry that is in hand for a quarter of this time. An entry that is trimmed or deleted from the stream while it is in hand
    /// counts as late from Redis 7 on, if it was kept since.
    ///
    /// # Default
    ///
    /// 60 seconds.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::connect::{Redis, Source};
    /// use std::time::Duration;
    ///
    /// let mut source = Redis::new(["localhost"]).source("orders", "billing").claim_after(Duration::ZERO);
    /// let error = source.open(1).err().unwrap();
    /// assert_eq!(error.to_string(), "claim_after is 0; allowed is 0.001 to 3600 seconds");
    /// ```
    #[must_use]
    pub fn claim_after(mut self, idle: Duration) -> RedisSource {
        self.claim_after = idle;
        self
    }

    /// Whether to create the stream and the group if they are not there, also when they were deleted while it runs. A group that is created
    /// begins with the first entry of the stream.
    ///
    /// # Default
    ///
    /// No: that they are missing is refused.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::connect::Redis;
    /// let source = Redis::new(["localhost"]).source("orders", "billing").create(true);
    /// ```
    #[must_use]
    pub fn create(mut self, create: bool) -> RedisSource {
        self.create = create;
        self
    }

    /// Whether to delete entries from the stream once they are acknowledged. Right only if this is the stream's one group: no other one gets
    /// to see what is deleted. An entry stays if the connection is lost between the two.
    ///
    /// # Default
    ///
    /// No: entries stay until somebody trims the stream, for instance [`RedisSink::max_len`](super::RedisSink::max_len).
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::connect::Redis;
    /// let source = Redis::new(["localhost"]).source("orders", "billing").delete_acknowledged(true);
    /// ```
    #[must_use]
    pub fn delete_acknowledged(mut self, delete: bool) -> RedisSource {
        self.delete = delete;
        self
    }
}

impl fmt::Debug for RedisSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSource")
            .field("redis", &self.redis)
            .field("stream", &self.stream)
            .field("group", &self.group)
            .field("consumer", &self.consumer)
            .field("claim_after", &self.claim_after)
            .field("create", &self.create)
            .field("delete_acknowledged", &self.delete)
            .finish_non_exhaustive()
    }
}

impl Source for RedisSource {
    fn engine(&self) -> &'static str {
        ENGINE
    }

    fn open(&mut self, _: usize) -> Result<crate::connect::Halves, ConnectError> {
        check("claim_after", self.claim_after, Duration::from_millis(1))?;
        if self.consumer.as_ref().is_some_and(String::is_empty) {
            return Err(BuildError::Missing { option: "consumer" }.into());
        }
        let mut link = Link::new(&self.redis, SLICE)?;
        let consumer = self.consumer.clone().unwrap_or_else(unique);
        let lag = self.find_group(&mut link)?;
        let known = cmd("XINFO").arg("CONSUMERS").arg(&self.stream).arg(&self.group).to_owned();
        let own = match link.ask(&known) {
            Ok(consumers) => info(&consumers, &consumer, "pending").is_some_and(|count| *count != Value::Int(0)),
            // Then it takes what there may be.
            Err(fault) if fault.kind == Kind::Denied => true,
            Err(fault) => return Err(fault.into()),
        };
        let session = Arc::new(Session {
            stream: self.stream.clone(),
            group: self.group.clone(),
            consumer,
            claim_after: self.claim_after,
            create: self.create,
            delete: self.delete,
            in_hand: Mutex::new(HashMap::new()),
            handing: Mutex::new(()),
            returned: AtomicBool::new(false),
        });
        // What is not allowed shows now: none is behind the last id but one, and 0-0 is of no entry. The last id itself is what the server
        // takes `>` for.
        let mut read = cmd("XREADGROUP");
        read.arg("GROUP").arg(&session.group).arg(&session.consumer).arg("COUNT").arg(1);
        link.ask(read.arg("STREAMS").arg(&session.stream).arg(id_text((u64::MAX, u64::MAX - 1))))?;
        let mut other = Link::new(&self.redis, Duration::ZERO)?;
        other.ask(session.command("XACK").arg("0-0"))?;
        other.ask(session.command("XPENDING").arg("-").arg("+").arg(1))?;
        other.ask(session.command("XCLAIM").arg(&session.consumer).arg(0).arg("0-0").arg("JUSTID"))?;
        if self.delete {
            other.ask(cmd("XDEL").arg(&self.stream).arg("0-0"))?;
        }
        let reader = RedisReader::new(session.clone(), link, own, lag);
        Ok((Box::new(reader), Box::new(RedisSettler { session, link: other })))
    }
}

impl RedisSource {
    /// Finds the group or makes it; returns its lag.
    fn find_group(&self, link: &mut Link) -> Result<Option<u64>, Fault> {
        let fault = match link.ask(cmd("XINFO").arg("GROUPS").arg(&self.stream)) {
            Ok(groups) if info(&groups, &self.group, "name").is_some() => return Ok(lag(&groups, &self.group)),
            Ok(_) => {
                let advice = "create it with XGROUP CREATE, or have the source do it with `create(true)`";
                refused(Kind::Gone, format!("the consumer group {:?} is not there", self.group), advice)
            }
            // What follows will tell.
            Err(fault) if fault.kind == Kind::Denied => return Ok(None),
            Err(fault) => fault,
        };
        if fault.kind != Kind::Gone || !self.create {
            return Err(fault);
        }
        create_group(link, &self.stream, &self.group).map(|()| None)
    }
}

pub(super) fn create_group(link: &mut Link, stream: &str, group: &str) -> Result<(), Fault> {
    match link.ask(cmd("XGROUP").arg("CREATE").arg(stream).arg(group).arg("0").arg("MKSTREAM")) {
        // Somebody else was quicker.
        Err(fault) if fault.kind == Kind::Exists => Ok(()),
        answer => answer.map(drop),
    }
}

/// A name that no other consumer has.
fn unique() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| std::env::var("HOSTNAME"));
    let host = host.unwrap_or_else(|_| "host".into());
    // Each of these has keys of its own, by chance.
    let chance = std::hash::RandomState::new().hash_one(0_u8);
    format!("{}-{}-{chance:016x}", host.trim(), std::process::id())
}
