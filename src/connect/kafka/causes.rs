//! What an error of librdkafka means to a source or a sink.

use super::{ENGINE, Kafka};
use crate::connect::ConnectError;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// What follows from an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// librdkafka tries again by itself, and says so if all brokers are gone.
    Passing,
    /// No broker can be reached.
    Lost,
    /// Nobody but the user can help, and how.
    Refused(&'static str),
}

pub(super) fn cause(code: Code) -> Cause {
    match code {
        Code::AllBrokersDown => Cause::Lost,
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState => Cause::Refused("check sasl.mechanism, sasl.username and sasl.password"),
        Code::SSL => Cause::Refused("check security.protocol and the options that begin with ssl"),
        Code::TopicAuthorizationFailed => Cause::Refused("allow this user to read or to write the topic"),
        Code::GroupAuthorizationFailed => Cause::Refused("allow this user to read with that group"),
        Code::ClusterAuthorizationFailed => Cause::Refused("allow this user to write with idempotence"),
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::InvalidTopic => {
            Cause::Refused("create the topic; it is never made by reading or writing")
        }
        Code::InconsistentGroupProtocol => {
            Cause::Refused("set partition.assignment.strategy to what the other members of the group have")
        }
        Code::InvalidGroupId | Code::InvalidSessionTimeout => Cause::Refused("check group and session.timeout.ms"),
        // What comes behind such a batch is delivered though the batch is not.
        Code::NotImplemented | Code::BadCompression | Code::BadMessage => Cause::Refused(
            "a batch is compressed with gzip or zstd, for which add the feature kafka-compression; if it is there, a batch is damaged",
        ),
        Code::Fatal | Code::FencedInstanceId => Cause::Refused("another consumer has the same group.instance.id"),
        _ => Cause::Passing,
    }
}

/// The error that somebody is told whose call failed with that code.
pub(super) fn failed(code: Code, what: String) -> ConnectError {
    match cause(code) {
        Cause::Refused(advice) => ConnectError::Refused { engine: ENGINE, what, advice: advice.to_owned() },
        Cause::Passing | Cause::Lost => ConnectError::Lost { engine: ENGINE, what },
    }
}

pub(super) fn code(error: &KafkaError) -> Code {
    error.rdkafka_error_code().unwrap_or(Code::Unknown)
}

pub(super) fn lost(what: impl Into<String>) -> ConnectError {
    ConnectError::Lost { engine: ENGINE, what: what.into() }
}

/// What librdkafka said last about each kind of error.
#[derive(Default, Clone)]
pub(super) struct Said(Vec<(Code, String)>);

impl Said {
    pub(super) fn note(&mut self, error: &KafkaError, text: &str) {
        let code = match code(error) {
            // A connection that breaks while it is being made is told as if the broker had refused the user.
            Code::Authentication if text.contains("Local: ") => Code::BrokerTransportFailure,
            code => code,
        };
        self.0.retain(|(known, _)| *known != code);
        self.0.push((code, text.to_owned()));
    }

    pub(super) fn about(&self, code: Code) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == code).map(|(_, text)| text.as_str())
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// No broker has answered: if one refuses this user, this is why.
    pub(super) fn no_answer(&self, kafka: &Kafka, code: Code) -> ConnectError {
        let refused = self.0.iter().find(|(code, _)| matches!(cause(*code), Cause::Refused(_)));
        let (code, text) = match refused {
            Some((code, text)) => (*code, text.clone()),
            None => {
                let transport = self.about(Code::BrokerTransportFailure).or(self.about(Code::Resolve));
                (code, transport.map_or_else(|| code.to_string(), str::to_owned))
            }
        };
        failed(code, kafka.redacted(&text))
    }
}
