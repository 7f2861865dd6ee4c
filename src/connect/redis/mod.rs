//! Redis Streams.
//!
//! What travels is an entry of a stream. Its field `payload` is the payload, `key` the key; each other field is a header of that name. A
//! field whose name begins with `header:` is a header whose name is what follows: so are those headers written whose name is one of these
//! three. An entry without `payload` has an empty one. So `XADD orders * payload 17` is a message, and so is any entry of any client. Names
//! that are not UTF-8 are read with U+FFFD in place of what is wrong in them; values are bytes.
//!
//! A [`Position`](super::Position) is the entry's id: `offset` its milliseconds, `part` the number behind them; `partition` is 0, and
//! `session` counts how often this source was opened. [`Delivery::attempt`](super::Delivery::attempt) is the server's count of deliveries.
//!
//! A stream is kept by as many copies and as safely as the server is told to: an entry that was confirmed, or an acknowledgement, can be
//! lost with the server's last moments unless it has `appendonly yes` and `appendfsync always`; with `everysec`, the default of the
//! append-only file, what is lost is the last second; and with a replica that takes over, what had not reached it.
//!
//! The user of the server needs these commands: a source XREADGROUP, XACK, XCLAIM, XPENDING, XINFO, with `create` XGROUP, with
//! `delete_acknowledged` XDEL; a sink XADD. If it may EVAL and XGROUP a source removes its consumer from the group when it leaves; if a sink
//! may TYPE and CONFIG it finds out before it sends that the key is not a stream, or a message too large.
//!
//! Module by module: `config` is where the servers are, `link` a connection to one of them, `fault` what errors mean, `entry` what goes over
//! it; `source` opens, `reader` takes and `takeover` takes from others; `settler` acknowledges; `session` is what these two share.

mod config;
mod entry;
mod fault;
mod link;
mod reader;
mod session;
mod settler;
mod sink;
mod source;
mod takeover;

pub use config::Redis;
pub use sink::RedisSink;
pub use source::RedisSource;

const ENGINE: &str = "redis";
