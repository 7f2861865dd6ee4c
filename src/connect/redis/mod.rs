//! Redis Streams.
//!
//! What travels, what it is worth, and what the server's user needs is told at [`Redis`].
//!
//! Module by module: `config` is where the servers are, `link` a connection to one of them, `fault` what errors mean, `entry` what goes over
//! it; `source` opens, `reader` takes, `keep` keeps what was taken and `takeover` takes from others; `settler` acknowledges; `session` is what these two share.

mod config;
mod entry;
mod fault;
#[cfg(fanpool_fuzz)]
pub mod fuzzing;
mod keep;
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
