//! Targets for fuzzing: whatever reads bytes that a broker, another program or a user gives.
//!
//! A target is a function of bytes that panics if something is not as it should be: mostly if a way there and back changes something, or
//! if what is read is not what a second, slower reader reads. libFuzzer calls it from `fuzz_targets/`, and `tests/replay.rs` on
//! any compiler with what is in `corpus/` and with that, changed at random.

mod address;
mod amqp;
mod codec;
mod input;
mod kafka;
mod letters;
mod message;
mod redis;
mod trace;

/// A target.
pub type Target = fn(&[u8]);

/// All targets by name: of a binary in `fuzz_targets/`, and of a folder in `corpus/`.
pub const TARGETS: [(&str, Target); 10] = [
    ("traceparent", trace::traceparent),
    ("codec", codec::codec),
    ("message", message::message),
    ("letters", letters::letters),
    ("redis_answers", redis::answers),
    ("redis_fields", redis::fields),
    ("redis_address", address::redis),
    ("amqp_address", address::amqp),
    ("amqp_headers", amqp::headers_and_back),
    ("kafka_options", kafka::options),
];

/// Calls a target.
///
/// # Panics
///
/// If there is none of that name, and if the target finds something.
pub fn run(name: &str, data: &[u8]) {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("there is no target {name}")).1(data);
}

/// The whole of a binary in `fuzz_targets/`.
#[macro_export]
macro_rules! target {
    ($name:literal) => {
        libfuzzer_sys::fuzz_target!(|data: &[u8]| $crate::run($name, data));
    };
}
