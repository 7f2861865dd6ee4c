//! What a broker's errors mean.

use super::ENGINE;
use crate::connect::ConnectError;
use async_io::Timer;
use lapin::ErrorKind;
use std::io;
use std::time::Duration;

/// Why something that was asked of the client did not come about.
pub(super) enum Fault {
    Client(lapin::Error),
    Late(Duration),
}

impl From<lapin::Error> for Fault {
    fn from(error: lapin::Error) -> Fault {
        Fault::Client(error)
    }
}

/// Waits for so long at most.
pub(super) async fn within<T>(time: Duration, asked: impl Future<Output = lapin::Result<T>>) -> Result<T, Fault> {
    let late = async {
        Timer::after(time).await;
        Err(Fault::Late(time))
    };
    futures_lite::future::or(async { Ok(asked.await?) }, late).await
}

pub(super) fn lost(what: impl Into<String>) -> ConnectError {
    ConnectError::Lost { engine: ENGINE, what: what.into() }
}

pub(super) fn refused(what: impl Into<String>, advice: impl Into<String>) -> ConnectError {
    ConnectError::Refused { engine: ENGINE, what: what.into(), advice: advice.into() }
}

impl Fault {
    /// The code of the protocol, if the broker sent one.
    pub(super) fn code(&self) -> Option<u16> {
        match self {
            Fault::Client(error) => match error.kind() {
                ErrorKind::ProtocolError(error) => Some(error.get_id()),
                _ => None,
            },
            Fault::Late(_) => None,
        }
    }

    /// The broker's words. It quotes the user's name in some.
    pub(super) fn text(&self, user: &str) -> String {
        let text = match self {
            Fault::Late(time) => return format!("no answer within {time:?}"),
            Fault::Client(error) => match error.kind() {
                ErrorKind::ProtocolError(error) => error.get_message().to_string(),
                ErrorKind::IOError(error) => error.to_string(),
                _ => error.to_string(),
            },
        };
        text.replace(&format!("user '{user}'"), "this user")
    }

    /// What to do, if trying again would not help. `at` says what it is about.
    fn advice(&self) -> Option<&'static str> {
        let text = match self {
            Fault::Client(error) => match error.kind() {
                ErrorKind::ProtocolError(error) => error.get_message().as_str(),
                ErrorKind::IOError(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    return Some("check the certificates of both sides and the host's name in them");
                }
                ErrorKind::InvalidProtocolVersion(_) => return Some("connect to a port on which it speaks AMQP 0-9-1"),
                _ => return None,
            },
            Fault::Late(_) => return None,
        };
        match self.code()? {
            403 if text.contains("exclusive") => Some("end the consumer that has the queue for itself"),
            403 => Some("check the user's name and password, and what it may do in this virtual host"),
            // Of a cluster's node that is down, and will be back.
            404 if text.contains("down or inaccessible") => None,
            404 => Some("create it, or check its name and the virtual host's"),
            405 => Some("end the connection that has it for itself"),
            406 => Some("it is there with other properties: ask for the same, or delete it"),
            // As many connections as are allowed.
            530 if text.contains("limit") => None,
            402 | 530 => Some("check the virtual host's name, and that the user may connect to it"),
            540 => Some("use a broker that can do this"),
            _ => None,
        }
    }

    pub(super) fn into_error(self, at: &str, user: &str) -> ConnectError {
        let what = format!("{at}: {}", self.text(user));
        match self.advice() {
            Some(advice) => refused(what, advice),
            None => lost(what),
        }
    }
}

#[cfg(all(test, not(fanpool_loom)))]
#[allow(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use lapin::protocol::AMQPError;

    fn error(code: u16, text: &str) -> ConnectError {
        let error = AMQPError::from_id(code, text.into()).unwrap();
        Fault::from(lapin::Error::from(ErrorKind::ProtocolError(error))).into_error("queue \"q\"", "zoe")
    }

    #[test]
    fn what_somebody_must_act_on_is_told_from_what_passes() {
        for (code, text, passes) in [
            (320, "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'", true),
            (403, "ACCESS_REFUSED - access to queue 'q' in vhost '/' refused for user 'zoe'", false),
            (404, "NOT_FOUND - no queue 'q' in vhost '/'", false),
            (404, "NOT_FOUND - home node 'a@b' of durable queue 'q' in vhost '/' is down or inaccessible", true),
            (405, "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'", false),
            (406, "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q'", false),
            (506, "RESOURCE_ERROR - ", true),
            (530, "NOT_ALLOWED - vhost jobs not found", false),
            (530, "NOT_ALLOWED - access to vhost '/' refused for user 'zoe': connection limit (1) is reached", true),
            (541, "INTERNAL_ERROR - access to vhost '/' refused for user 'zoe': vhost '/' is down", true),
        ] {
            let error = error(code, text);
            assert_eq!(error.is_transient(), passes, "{error}");
            assert!(!error.to_string().contains("zoe"), "{error}");
        }
    }
}
