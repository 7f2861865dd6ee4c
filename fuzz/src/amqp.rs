//! Headers as AMQP carries them.

use crate::input::Input;
use amq_protocol::frame::{AMQPContentHeader, AMQPFrame, gen_frame};
use amq_protocol::types::parsing::parse_field_table;
use fanpool::connect::fuzzing::rabbitmq;
use fanpool::connect::{Delivery, Message};
use lapin::BasicProperties;
use lapin::types::FieldTable;
use std::collections::BTreeMap;

/// What a broker may add on the way.
const MARGIN: usize = 4_096;

/// The frame with the header of a message that is sent so.
fn frame(properties: &BasicProperties) -> Vec<u8> {
    let header = AMQPContentHeader { class_id: 60, body_size: 0, properties: properties.clone() };
    let frame = AMQPFrame::Header(1, header);
    cookie_factory::r#gen(gen_frame(&frame), Vec::new()).unwrap().0
}

fn headers(message: &Message) -> BTreeMap<&str, &[u8]> {
    message.headers().collect()
}

fn there_and_back(message: &Message, frame_max: usize) -> Option<Delivery> {
    let too_long = message.headers().any(|(name, _)| name.len() > 200);
    let least: usize = message.headers().map(|(name, value)| name.len() + value.len()).sum();
    let least = least + message.key().map_or(0, <[u8]>::len);
    match rabbitmq::properties(message, frame_max) {
        Ok(properties) => {
            let bytes = frame(&properties).len();
            assert!(bytes + MARGIN <= frame_max, "{bytes} bytes in a frame of {frame_max}");
            let back = rabbitmq::delivery(properties, false, message.payload());
            assert_eq!((back.message.payload(), back.message.key()), (message.payload(), message.key()));
            assert_eq!(headers(&back.message), headers(message));
            assert_eq!((back.attempt, back.position.offset), (1, 7));
            Some(back)
        }
        Err(why) => {
            let room = frame_max.saturating_sub(MARGIN);
            assert!(too_long || least + 27 + 30 * (message.headers().count() + 1) > room, "{why}");
            None
        }
    }
}

/// A table of fields as bytes: names and values in turn until the input ends.
fn parsed(data: &[u8]) -> Option<FieldTable> {
    let mut wire = u32::try_from(data.len()).ok()?.to_be_bytes().to_vec();
    wire.extend(data);
    parse_field_table(&wire[..]).ok().map(|(_, table)| table)
}

fn headers_of(table: FieldTable, redelivered: bool) {
    let count = table.inner().len();
    let properties = BasicProperties::default().with_headers(table);
    let read = rabbitmq::delivery(properties, redelivered, b"p");
    assert!(read.message.headers().count() <= count);
    assert!(read.attempt >= 1 && (redelivered || read.attempt == 1));
    let mut names: Vec<&str> = read.message.headers().map(|(name, _)| name).collect();
    names.dedup();
    // A foreign message may hold two headers that are told under one name.
    if names.len() == read.message.headers().count() && headers(&read.message).len() == names.len() {
        there_and_back(&read.message, 131_072);
    }
}

pub(crate) fn headers_and_back(data: &[u8]) {
    let mut input = Input::new(data);
    let (redelivered, frame_max) = (input.flag(), [4_096, 8_192, 131_072][input.below(3)]);
    let mut rest = input.rest();
    if let Some(table) = parsed(rest) {
        headers_of(table, redelivered);
    }
    let mut input = Input::new(std::mem::take(&mut rest));
    there_and_back(&input.message(), frame_max);
}
