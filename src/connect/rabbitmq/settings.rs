//! What a broker is connected with.

use super::address::{Address, Credentials};
use super::fault::refused;
use crate::connect::ConnectError;
use crate::error::BuildError;
use std::time::Duration;

#[derive(Clone)]
pub(super) struct Settings {
    /// Those that could be read, and what is wrong with the others.
    pub(super) addresses: Vec<Result<Address, &'static str>>,
    /// For all addresses.
    pub(super) credentials: Option<Credentials>,
    pub(super) vhost: Option<String>,
    pub(super) name: String,
    pub(super) connect_timeout: Duration,
    pub(super) response_timeout: Duration,
    pub(super) heartbeat: Duration,
    /// In PEM.
    pub(super) certificates: Option<String>,
}

impl Settings {
    pub(super) fn new(address: &str) -> Settings {
        Settings {
            addresses: vec![Address::parse(address)],
            credentials: None,
            vhost: None,
            name: "fanpool".into(),
            connect_timeout: Duration::from_secs(10),
            response_timeout: Duration::from_secs(30),
            heartbeat: Duration::from_secs(10),
            certificates: None,
        }
    }

    pub(super) fn check(&self) -> Result<(), ConnectError> {
        for (index, address) in self.addresses.iter().enumerate() {
            if let Err(wrong) = address {
                let what = format!("address {} cannot be used: {wrong}", index + 1);
                return Err(refused(what, "write it as amqp://user:password@host:port/vhost"));
            }
        }
        let heartbeat = usize::try_from(self.heartbeat.as_secs()).unwrap_or(usize::MAX);
        BuildError::check("heartbeat", heartbeat, 1..=usize::from(u16::MAX))?;
        for (option, time) in [("connect_timeout", self.connect_timeout), ("response_timeout", self.response_timeout)] {
            if time.is_zero() {
                return Err(BuildError::NotInRange { option, value: 0.0, allowed: "more than 0 seconds" }.into());
            }
        }
        Ok(())
    }

    /// For how long a goodbye is waited for, by whoever closes or drops.
    pub(super) fn goodbye(&self) -> Duration {
        self.response_timeout.min(Duration::from_secs(2))
    }
}
