//! Options of librdkafka, of which some are secret.

use crate::input::Input;
use fanpool::connect::Kafka;
use fanpool::connect::fuzzing::kafka;

const NAMES: [&str; 8] = [
    "sasl.username",
    "sasl.password",
    "ssl.key.pem",
    "SASL.OAUTHBEARER.CONFIG",
    "client.id",
    "acks",
    "topic.acks",
    "fetch.min.bytes",
];

/// Without every byte that belongs to any occurrence of a secret; what is left out at one place is three stars.
fn second_opinion(text: &str, secrets: &[String]) -> String {
    let mut hidden = vec![false; text.len()];
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        for at in 0..text.len() {
            if text.as_bytes()[at..].starts_with(secret.as_bytes()) {
                hidden[at..at + secret.len()].fill(true);
            }
        }
    }
    let mut shown = Vec::new();
    for (at, byte) in text.bytes().enumerate() {
        match (hidden[at], at > 0 && hidden[at - 1]) {
            (false, _) => shown.push(byte),
            (true, false) => shown.extend(b"***"),
            (true, true) => {}
        }
    }
    String::from_utf8(shown).unwrap()
}

pub(crate) fn options(data: &[u8]) {
    let mut input = Input::new(data);
    let (mut kafka, mut options) = (Kafka::new(["localhost:1"]), Vec::new());
    for _ in 0..input.below(5) {
        let name = if input.below(4) == 0 { input.text() } else { NAMES[input.below(NAMES.len())].to_owned() };
        let value = input.text();
        kafka = kafka.set(&name, &value);
        options.push((name, value));
    }
    let secrets: Vec<String> =
        options.iter().filter(|(name, _)| kafka::is_secret(name)).map(|(_, value)| value.clone()).collect();
    // What librdkafka says may quote them, one beside the other.
    let mut text = input.text();
    for _ in 0..input.below(5) {
        if !secrets.is_empty() {
            text.push_str(&secrets[input.below(secrets.len())]);
        }
        text.push_str(&input.text());
    }
    assert_eq!(kafka::redacted(&kafka, &text), second_opinion(&text, &secrets));
    // Debug shows each option that is not secret, and no other.
    let shown: Vec<(String, String)> = options
        .iter()
        .map(|(name, value)| (name.clone(), if kafka::is_secret(name) { "***".to_owned() } else { value.clone() }))
        .collect();
    assert!(format!("{kafka:?}").contains(&format!("options: {shown:?}")));
    for name in ["acks", "topic.acks", "enable.auto.commit", "group.id"] {
        assert!(kafka::is_owned(name));
    }
}
