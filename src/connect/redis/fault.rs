//! What the server's and the client's errors mean for whoever uses a source or a sink.
//!
//! Of the server's own texts only those are passed on that name no user: it names the user that lacks a permission.

use super::ENGINE;
use crate::connect::ConnectError;
use crate::sync::Arc;
use ::redis::{ErrorKind, RedisError};
use std::error::Error;
use std::io;

/// What the engine itself goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The connection is no good any more, or this server is not for the moment.
    Away,
    /// The stream is not there, or its group is not.
    Gone,
    /// The group that was to be created is there.
    Exists,
    /// A wait was broken off.
    Interrupted,
    /// The user may not do that.
    Denied,
    /// Anything else.
    Other,
}

#[derive(Debug)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    pub(super) error: ConnectError,
}

impl From<Fault> for ConnectError {
    fn from(fault: Fault) -> ConnectError {
        fault.error
    }
}

pub(super) fn lost(what: impl Into<String>) -> Fault {
    Fault { kind: Kind::Away, error: ConnectError::Lost { engine: ENGINE, what: what.into() } }
}

pub(super) fn refused(kind: Kind, what: impl Into<String>, advice: &str) -> Fault {
    Fault { kind, error: ConnectError::Refused { engine: ENGINE, what: what.into(), advice: advice.into() } }
}

/// For what the server at `address` answered, or the connection to it gave. `others` says whether there are more addresses.
pub(super) fn judge(error: &RedisError, address: &str, others: bool) -> Fault {
    let (code, detail) = match error.kind() {
        ErrorKind::Server(_) | ErrorKind::Extension => {
            (error.code().unwrap_or_default(), error.detail().unwrap_or_default())
        }
        ErrorKind::Io if error.is_timeout() => return lost(format!("{address}: no answer in time")),
        ErrorKind::Parse => return lost(format!("{address}: what it answers is not Redis' protocol")),
        ErrorKind::Io if is_tls(error) => {
            let advice = "check that it speaks TLS at this port, who signed its certificate, and for which name";
            return refused(Kind::Other, format!("{address}: {error}"), advice);
        }
        _ => return lost(format!("{address}: {error}")),
    };
    // Behind it stand the command's arguments, of which one may be a payload.
    let answer = format!("{code} {detail}");
    let answer = answer.split(", with args").next().unwrap_or_default();
    let detail = answer.strip_prefix(code).unwrap_or_default();
    let said = format!("{address}: {answer}");
    match code {
        "LOADING" | "READONLY" | "CLUSTERDOWN" | "MASTERDOWN" | "TRYAGAIN" | "BUSY" | "OOM" | "MISCONF"
        | "NOREPLICAS" => lost(said),
        "ERR" if detail.contains("max number of clients") => lost(said),
        // With several addresses another one may be where it is.
        "MOVED" | "ASK" if others => lost(said),
        "MOVED" | "ASK" => {
            refused(Kind::Other, said, "give the addresses of all servers of the cluster that may hold the stream")
        }
        "UNBLOCKED" => Fault { kind: Kind::Interrupted, ..lost(said) },
        "BUSYGROUP" => refused(Kind::Exists, said, "use the group that is there"),
        "NOGROUP" => {
            let advice = "create it with XGROUP CREATE, or have the source do it with `create(true)`";
            refused(Kind::Gone, format!("{address}: the stream or the consumer group is not there"), advice)
        }
        "ERR" if detail.contains("no such key") || detail.contains("requires the key to exist") => {
            let advice = "create it with XGROUP CREATE .. MKSTREAM, or have the source do it with `create(true)`";
            refused(Kind::Gone, format!("{address}: the stream is not there"), advice)
        }
        "WRONGTYPE" => refused(
            Kind::Other,
            format!("{address}: WRONGTYPE the key is not a stream"),
            "choose another name, or delete that key",
        ),
        "NOAUTH" => refused(
            Kind::Other,
            format!("{address}: NOAUTH it asks for a password"),
            "set `password`, and `user` if it has one",
        ),
        "WRONGPASS" => {
            let what = format!("{address}: WRONGPASS the user or the password is wrong, or the user is disabled");
            refused(Kind::Other, what, "check `user` and `password`")
        }
        "NOPERM" => {
            let advice =
                "allow the user the stream's key, and of the commands those that the engine's documentation lists";
            refused(Kind::Denied, format!("{address}: NOPERM the user lacks a permission"), advice)
        }
        "DENIED" => {
            let what = format!("{address}: DENIED it is in protected mode");
            refused(Kind::Other, what, "give it a password, or have it listen where only this program can reach it")
        }
        "ERR" if detail.contains("unknown command") || detail.contains("syntax error") => {
            refused(Kind::Other, said, "it must be Redis 6.2 or later")
        }
        _ => refused(Kind::Other, said, "see what the server's documentation says about this"),
    }
}

fn is_tls(error: &RedisError) -> bool {
    let Some(source) = error.source() else { return false };
    // The client hands out its own pointer to the error as the error.
    let io = match source.downcast_ref::<Arc<dyn Error + Send + Sync>>() {
        Some(pointer) => pointer.downcast_ref::<io::Error>(),
        None => source.downcast_ref::<io::Error>(),
    };
    io.is_some_and(|io| io.kind() == io::ErrorKind::InvalidData)
}
