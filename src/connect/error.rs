//! What brokers cause.

use crate::error::BuildError;
use std::error::Error;
use std::fmt;

/// What went wrong with a broker.
///
/// Texts name neither passwords nor user names.
///
/// # Examples
///
/// ```
/// use fanpool::connect::ConnectError;
///
/// let error = ConnectError::Lost { engine: "redis", what: "connection refused".into() };
/// assert!(error.is_transient());
/// assert_eq!(error.to_string(), "redis: connection refused");
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// An option is not allowed, or a thread could not be started. Nothing is left running.
    Build(BuildError),
    /// The broker cannot be reached, or does not answer. Trying again later may help.
    Lost {
        /// Which engine.
        engine: &'static str,
        /// What happened.
        what: String,
    },
    /// The broker refuses, and will until somebody acts: credentials, a queue that is not there, a key of another type.
    Refused {
        /// Which engine.
        engine: &'static str,
        /// What it refuses.
        what: String,
        /// What to do.
        advice: String,
    },
    /// A message that the broker will never accept.
    Message {
        /// Which engine.
        engine: &'static str,
        /// Its index among those that were to be sent.
        index: usize,
        /// Why not.
        what: String,
    },
}

impl ConnectError {
    /// Whether trying again may help.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::connect::ConnectError;
    ///
    /// let refused = ConnectError::Refused { engine: "redis", what: "no such key".into(), advice: "create it".into() };
    /// assert!(!refused.is_transient());
    /// ```
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, ConnectError::Lost { .. })
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Build(error) => error.fmt(f),
            ConnectError::Lost { engine, what } => write!(f, "{engine}: {what}"),
            ConnectError::Refused { engine, what, advice } => write!(f, "{engine}: {what}: {advice}"),
            ConnectError::Message { engine, index, what } => write!(f, "{engine}: message {index}: {what}"),
        }
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            ConnectError::Build(error) => error.source(),
            _ => None,
        }
    }
}

impl From<BuildError> for ConnectError {
    fn from(error: BuildError) -> ConnectError {
        ConnectError::Build(error)
    }
}
