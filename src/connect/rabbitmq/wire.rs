//! Messages as AMQP carries them.

use crate::connect::{Delivery, Message, Position};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use std::borrow::Cow;

/// The header that carries the key.
pub(super) const KEY: &str = "fanpool-key";
/// The header in which a quorum queue counts deliveries that came back.
const COUNT: &str = "x-delivery-count";
/// Before the name of a header that would be taken for something else, by the broker or here.
const PREFIX: &str = "header:";
/// By the values of the last two the broker routes; it refuses what is not a list of keys.
const TAKEN: [&str; 4] = [KEY, COUNT, "CC", "BCC"];
/// What else a broker may add to the headers on the way; a frame that is too long would end every connection that it is delivered to.
const MARGIN: usize = 4096;
/// The bytes of a content header besides headers: frame, class, size, flags, delivery mode, the table's length.
const HEADER_FRAME: usize = 8 + 14 + 1 + 4;

/// How the message is sent; or why it cannot be, with frames of at most that length.
pub(super) fn properties(message: &Message, frame_max: usize) -> Result<BasicProperties, String> {
    let mut table = FieldTable::default();
    let mut length = HEADER_FRAME;
    let key = message.key().map(|key| (Cow::Borrowed(KEY), key));
    for (name, value) in message.headers().map(|(name, value)| (written(name), value)).chain(key) {
        length += 1 + name.len() + 1 + 4 + value.len();
        let name = ShortString::try_new(&*name)
            .map_err(|_| format!("a header's name has {} bytes; at most 255 are possible", name.len()))?;
        table.insert(name, AMQPValue::LongString(value.to_vec().into()));
    }
    let most = frame_max.saturating_sub(MARGIN);
    if length > most {
        return Err(format!("its key and headers take {length} bytes; the broker's frames leave {most}"));
    }
    let properties = BasicProperties::default().with_delivery_mode(2);
    Ok(if table.inner().is_empty() { properties } else { properties.with_headers(table) })
}

fn written(name: &str) -> Cow<'_, str> {
    if TAKEN.contains(&name) || name.starts_with(PREFIX) { format!("{PREFIX}{name}").into() } else { name.into() }
}

/// What was delivered, from whomever it comes.
pub(super) fn delivery(from: lapin::message::Delivery, session: u64) -> Delivery {
    let (mut key, mut headers, mut count) = (None, Vec::new(), None);
    for (name, value) in from.properties.headers().iter().flat_map(FieldTable::inner) {
        match name.as_str() {
            KEY => key = Some(bytes(value).into()),
            COUNT => count = integer(value),
            name => headers.push((name.strip_prefix(PREFIX).unwrap_or(name).into(), bytes(value).into())),
        }
    }
    // The first delivery has no count but one that somebody else wrote there; a classic queue never counts.
    let before = if from.redelivered { count.unwrap_or(1) } else { 0 };
    Delivery {
        message: Message::from_parts(from.data.into(), key, headers),
        position: Position { partition: 0, offset: from.delivery_tag, part: 0, session },
        attempt: u32::try_from(before.saturating_add(1)).unwrap_or(u32::MAX),
    }
}

fn integer(value: &AMQPValue) -> Option<u64> {
    match value {
        AMQPValue::ShortShortInt(it) => u64::try_from(*it).ok(),
        AMQPValue::ShortShortUInt(it) => Some((*it).into()),
        AMQPValue::ShortInt(it) => u64::try_from(*it).ok(),
        AMQPValue::ShortUInt(it) => Some((*it).into()),
        AMQPValue::LongInt(it) => u64::try_from(*it).ok(),
        AMQPValue::LongUInt(it) => Some((*it).into()),
        AMQPValue::LongLongInt(it) => u64::try_from(*it).ok(),
        _ => None,
    }
}

/// Strings as they are, all else as text.
fn bytes(value: &AMQPValue) -> Vec<u8> {
    match value {
        AMQPValue::LongString(it) => it.as_bytes().to_vec(),
        AMQPValue::ByteArray(it) => it.as_slice().to_vec(),
        AMQPValue::ShortString(it) => it.as_str().as_bytes().to_vec(),
        AMQPValue::Boolean(it) => it.to_string().into(),
        AMQPValue::ShortShortInt(it) => it.to_string().into(),
        AMQPValue::ShortShortUInt(it) => it.to_string().into(),
        AMQPValue::ShortInt(it) => it.to_string().into(),
        AMQPValue::ShortUInt(it) => it.to_string().into(),
        AMQPValue::LongInt(it) => it.to_string().into(),
        AMQPValue::LongUInt(it) => it.to_string().into(),
        AMQPValue::LongLongInt(it) => it.to_string().into(),
        AMQPValue::Float(it) => it.to_string().into(),
        AMQPValue::Double(it) => it.to_string().into(),
        AMQPValue::Timestamp(it) => it.to_string().into(),
        AMQPValue::DecimalValue(it) => format!("{}e-{}", it.value, it.scale).into(),
        AMQPValue::FieldArray(it) => list(it.as_slice().iter().map(bytes), b"[", b"]"),
        AMQPValue::FieldTable(it) => {
            let pairs =
                it.inner().iter().map(|(name, value)| [name.as_str().as_bytes(), b": ", &bytes(value)].concat());
            list(pairs, b"{", b"}")
        }
        AMQPValue::Void => Vec::new(),
    }
}

fn list(parts: impl Iterator<Item = Vec<u8>>, open: &[u8], close: &[u8]) -> Vec<u8> {
    [open, &parts.collect::<Vec<_>>().join(&b", "[..]), close].concat()
}

#[cfg(all(test, not(fanpool_loom)))]
mod tests {
    use super::*;

    fn delivered(properties: BasicProperties, redelivered: bool) -> Delivery {
        let mut from = lapin::message::Delivery::mock(7, "".into(), "".into(), redelivered, b"p".to_vec());
        from.properties = properties;
        delivery(from, 3)
    }

    #[test]
    fn keys_and_headers_of_any_bytes_come_back() {
        let message = Message::new("p").with_key([0, 255]).with_header("a", [1, 0, 254]).with_header("b", "");
        let back = delivered(properties(&message, 131_072).unwrap(), false);
        assert_eq!(back.message, message);
        assert_eq!(back.position, Position { partition: 0, offset: 7, part: 0, session: 3 });
        assert_eq!(back.attempt, 1);
        let names = [KEY, COUNT, "CC", "BCC", "header:", "header:CC", "header:header:a"];
        let taken = names.iter().fold(Message::new("p"), |message, name| message.with_header(name, name));
        let back = delivered(properties(&taken, 131_072).unwrap(), true);
        assert_eq!((back.message.key(), back.attempt), (None, 2));
        assert_eq!(back.message.headers().count(), names.len());
        names.iter().for_each(|name| assert_eq!(back.message.header(name), Some(name.as_bytes())));
        let plain = properties(&Message::new("p"), 131_072).unwrap();
        assert!(plain.headers().is_none());
        assert_eq!(*plain.delivery_mode(), Some(2));
    }

    #[test]
    fn attempts_are_counted_as_the_queue_does() {
        let counted = |count: AMQPValue| {
            let mut table = FieldTable::default();
            table.insert(COUNT.into(), count);
            delivered(BasicProperties::default().with_headers(table), true)
        };
        assert_eq!(delivered(BasicProperties::default(), true).attempt, 2);
        assert_eq!(counted(AMQPValue::LongLongInt(4)).attempt, 5);
        assert_eq!(counted(AMQPValue::LongLongInt(4)).message.headers().count(), 0);
        assert_eq!(counted(AMQPValue::LongLongInt(i64::MAX)).attempt, u32::MAX);
        // Forged, by whoever has sent it: it was never delivered before.
        let mut table = FieldTable::default();
        table.insert(COUNT.into(), AMQPValue::LongLongInt(9));
        assert_eq!(delivered(BasicProperties::default().with_headers(table), false).attempt, 1);
        // Forged, or of a type that is not counted with.
        assert_eq!(counted(AMQPValue::LongLongInt(-1)).attempt, 2);
        assert_eq!(counted(AMQPValue::Void).attempt, 2);
    }

    #[test]
    fn values_of_other_types_are_text() {
        let mut inner = FieldTable::default();
        inner.insert("x".into(), AMQPValue::Boolean(true));
        let array = vec![AMQPValue::LongInt(-2), AMQPValue::FieldTable(inner), AMQPValue::Void];
        for (value, text) in [
            (AMQPValue::FieldArray(array.into()), "[-2, {x: true}, ]"),
            (AMQPValue::Double(0.5), "0.5"),
            (AMQPValue::Timestamp(9), "9"),
            (AMQPValue::DecimalValue(lapin::types::DecimalValue { scale: 2, value: 314 }), "314e-2"),
        ] {
            assert_eq!(bytes(&value), text.as_bytes());
        }
    }

    #[test]
    fn what_fits_no_frame_is_refused() {
        let fits = |message: &Message| properties(message, 8192).is_ok();
        assert!(fits(&Message::new("").with_header("a", vec![0; 4000])));
        assert!(!fits(&Message::new("").with_header("a", vec![0; 4096])));
        assert!(!fits(&Message::new("").with_key(vec![0; 4096])));
        assert!(fits(&Message::new("").with_header("a".repeat(255), "")));
        assert!(!fits(&Message::new("").with_header("a".repeat(256), "")));
    }
}
