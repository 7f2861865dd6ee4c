//! What reads options and tells of them, for the fuzz targets in `fuzz/` alone.

#![allow(missing_docs, unreachable_pub, clippy::missing_errors_doc, reason = "for tests")]

use super::{Kafka, options};

/// Whether the value of an option is shown nowhere.
pub fn is_secret(name: &str) -> bool {
    options::is_secret(name)
}

/// Whether an option is the engine's own.
pub fn is_owned(name: &str) -> bool {
    options::owned(name).is_some()
}

/// A text of librdkafka's as it is passed on.
pub fn redacted(kafka: &Kafka, text: &str) -> String {
    kafka.redacted(text)
}
