//! What reads addresses and headers, for the fuzz targets in `fuzz/` alone.

#![allow(missing_docs, unreachable_pub, clippy::missing_errors_doc, reason = "for tests")]

use super::address;
use super::wire;
use crate::connect::{Delivery, Message};
use lapin::BasicProperties;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub tls: bool,
    pub host: String,
    pub port: u16,
    pub credentials: Option<(String, String)>,
    pub vhost: Option<String>,
    pub place: String,
}

pub fn address(text: &str) -> Result<Address, &'static str> {
    let read = address::Address::parse(text)?;
    let place = read.place();
    let credentials = read.credentials.map(|it| (it.user, it.password));
    Ok(Address { tls: read.tls, host: read.host, port: read.port, credentials, vhost: read.vhost, place })
}

pub fn properties(message: &Message, frame_max: usize) -> Result<BasicProperties, String> {
    wire::properties(message, frame_max)
}

pub fn delivery(properties: BasicProperties, redelivered: bool, payload: &[u8]) -> Delivery {
    let mut from = lapin::message::Delivery::mock(7, "".into(), "".into(), redelivered, payload.to_vec());
    from.properties = properties;
    wire::delivery(from, 3)
}
