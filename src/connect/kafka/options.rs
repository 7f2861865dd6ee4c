//! Options of librdkafka: those the engine owns, those that are secret, and what both clients get.

use super::{ENGINE, Kafka};
use crate::connect::ConnectError;
use crate::error::BuildError;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use std::time::Duration;

/// What at-least-once rests on here, or what has a method of its own.
const OWNED: [&str; 22] = [
    "acks",
    "allow.auto.create.topics",
    "auto.commit.enable",
    "auto.commit.interval.ms",
    "auto.offset.reset",
    "bootstrap.servers",
    "delivery.report.only.error",
    "delivery.timeout.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "enable.partition.eof",
    "enabled_events",
    "group.id",
    "message.timeout.ms",
    "metadata.broker.list",
    "offset.store.method",
    "request.required.acks",
    "socket.timeout.ms",
    "test.mock.num.brokers",
    "transactional.id",
];

/// Parts of names of options whose values are shown nowhere.
const SECRET: [&str; 9] = ["password", "secret", "username", "key", "pem", "token", "jaas", "oauthbearer", "kerberos"];

pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET.iter().any(|part| name.contains(part))
}

/// The name among those that the engine owns.
pub(super) fn owned(name: &str) -> Option<&'static str> {
    // librdkafka takes options of topics with this in front of them too.
    let name = name.strip_prefix("topic.").unwrap_or(name);
    OWNED.iter().copied().find(|owned| *owned == name)
}

/// A text without the values of secret options. One may be a part of another, or overlap with it: whatever belongs to any is left out.
pub(super) fn redacted(text: &str, options: &[(String, String)]) -> String {
    let secrets = options.iter().filter(|(name, value)| is_secret(name) && !value.is_empty());
    let places = |(_, value): &(String, String)| -> Vec<_> {
        let begins = |at: &usize| text.is_char_boundary(*at) && text[*at..].starts_with(value.as_str());
        (0..text.len()).filter(begins).map(|at| (at, at + value.len())).collect()
    };
    let mut hidden: Vec<(usize, usize)> = secrets.flat_map(places).collect();
    hidden.sort_unstable();
    let (mut shown, mut end, mut open) = (String::with_capacity(text.len()), 0, false);
    for (from, until) in hidden {
        if from > end || !open {
            shown.push_str(&text[end..from]);
            shown.push_str("***");
        }
        (end, open) = (end.max(until), true);
    }
    shown.push_str(&text[end..]);
    shown
}

/// What librdkafka allows as the time for a request; a fetch takes up to half a second, and it wants a second more.
const SHORTEST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(300);

fn millis(time: Duration) -> String {
    time.as_millis().clamp(1, 3_600_000).to_string()
}

impl Kafka {
    /// What a consumer and a producer have in common. The user's options come last; the engine's own are refused before.
    pub(super) fn config(&self, own: &[(&str, String)]) -> Result<ClientConfig, ConnectError> {
        if let Some(name) = self.refused {
            return Err(BuildError::Conflict { option: name, with: "engine" }.into());
        }
        if self.servers.iter().all(|server| server.trim().is_empty()) {
            return Err(BuildError::Missing { option: "servers" }.into());
        }
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", self.servers.join(","))
            .set("client.id", "fanpool")
            .set("allow.auto.create.topics", "false")
            .set("socket.timeout.ms", millis(self.response_timeout.clamp(SHORTEST, LONGEST)))
            .set("socket.connection.setup.timeout.ms", millis(self.connect_timeout.max(Duration::from_secs(1))))
            .set("reconnect.backoff.max.ms", "1000");
        own.iter().for_each(|(name, value)| {
            config.set(*name, value);
        });
        self.options.iter().for_each(|(name, value)| {
            config.set(name, value);
        });
        Ok(config)
    }

    pub(super) fn delivery_timeout(&self) -> String {
        millis(self.response_timeout)
    }

    pub(super) fn redacted(&self, text: &str) -> String {
        redacted(text, &self.options)
    }

    /// A client could not be made: an option is wrong.
    pub(super) fn unusable(&self, error: &KafkaError) -> ConnectError {
        let what = match error {
            KafkaError::ClientConfig(_, _, name, _) if is_secret(name) => {
                format!("the value of {name} is not accepted")
            }
            KafkaError::ClientConfig(_, text, ..) | KafkaError::ClientCreation(text) => self.redacted(text),
            KafkaError::Nul(_) => "an option or a name holds a NUL byte".to_owned(),
            other => self.redacted(&other.to_string()),
        };
        ConnectError::Refused { engine: ENGINE, what, advice: "check the options that were set".to_owned() }
    }
}

#[cfg(all(test, not(fanpool_loom)))]
mod tests;
