//! What reads answers and addresses, for the fuzz targets in `fuzz/` alone. Answers are given as they come over the wire; `None` is what the
//! client itself does not read.

#![allow(missing_docs, unreachable_pub, clippy::missing_errors_doc, reason = "for tests")]

use super::config::Redis;
use super::entry::{self, Id};
use super::fault::{Fault, judge};
use super::reader;
use crate::connect::{ConnectError, Message};
use ::redis::{Arg, RedisError, Value, cmd, parse_redis_value};

type Read<T> = Option<Result<T, ConnectError>>;

fn value(wire: &[u8]) -> Option<Value> {
    parse_redis_value(wire).ok()
}

fn read<T>(wire: &[u8], parse: impl FnOnce(Value) -> Result<T, Fault>) -> Read<T> {
    Some(parse(value(wire)?).map_err(ConnectError::from))
}

pub fn streams(wire: &[u8]) -> Read<Vec<(Id, Option<Message>)>> {
    read(wire, entry::streams)
}

pub fn entries(wire: &[u8]) -> Read<Vec<(Id, Option<Message>)>> {
    read(wire, entry::entries)
}

pub fn ids(wire: &[u8]) -> Read<Vec<Id>> {
    read(wire, |answer| entry::ids(&answer))
}

pub fn pending(wire: &[u8]) -> Read<Vec<(Id, u64)>> {
    let rows = |answer| Ok(entry::pending(&answer)?.into_iter().map(|row| (row.id, row.delivered)).collect());
    read(wire, rows)
}

pub fn number(wire: &[u8]) -> Read<u64> {
    read(wire, |answer| entry::number(&answer))
}

/// Whether the row of that name has that field.
pub fn info(wire: &[u8], name: &str, field: &str) -> Option<bool> {
    Some(entry::info(&value(wire)?, name, field).is_some())
}

pub fn lag(wire: &[u8], group: &str) -> Option<Option<u64>> {
    Some(reader::lag(&value(wire)?, group))
}

/// What is told of an error that the server answers.
pub fn refusal(wire: &[u8], others: bool) -> Option<ConnectError> {
    let Value::ServerError(error) = value(wire)? else { return None };
    Some(judge(&RedisError::from(error), "server:1", others).error)
}

pub fn id_text(id: Id) -> String {
    entry::id_text(id)
}

/// The names and values that a message is stored as.
pub fn fields(message: &Message) -> Vec<Vec<u8>> {
    let mut command = cmd("");
    entry::write(&mut command, message);
    let bytes = |arg: Arg<&[u8]>| if let Arg::Simple(bytes) = arg { bytes.to_vec() } else { Vec::new() };
    command.args_iter().skip(1).map(bytes).collect()
}

/// The largest of the fields, and about how many bytes all have.
pub fn sizes(message: &Message) -> (usize, usize) {
    (entry::longest(message), entry::size(message))
}

/// Host and port, user, password and database of an address.
#[allow(clippy::type_complexity, reason = "for tests")]
pub fn address(redis: &Redis) -> Result<Vec<(String, Option<String>, Option<String>, i64)>, ConnectError> {
    let targets = redis.targets()?.into_iter();
    Ok(targets.map(|target| (target.name, target.user, target.password, target.database)).collect())
}
