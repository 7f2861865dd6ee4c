//! How a message stands in an entry of a stream, and how entries are read from answers.

use super::fault::{Fault, lost};
use crate::connect::{Message, Position};
use ::redis::{Cmd, Value};

/// The milliseconds and the number in them.
pub(super) type Id = (u64, u64);

/// Before the name of a header that would be taken for something else.
const PREFIX: &[u8] = b"header:";

pub(super) fn id_text(id: Id) -> String {
    format!("{}-{}", id.0, id.1)
}

pub(super) fn id_of(position: &Position) -> Id {
    (position.offset, position.part)
}

fn parse_id(value: &Value) -> Option<Id> {
    let Value::BulkString(text) = value else { return None };
    let (ms, seq) = std::str::from_utf8(text).ok()?.split_once('-')?;
    Some((ms.parse().ok()?, seq.parse().ok()?))
}

/// Adds the fields of a message to XADD. The payload is always there, so that no entry is without fields.
pub(super) fn write(command: &mut Cmd, message: &Message) {
    command.arg(b"payload").arg(message.payload());
    if let Some(key) = message.key() {
        command.arg(b"key").arg(key);
    }
    for (name, value) in message.headers() {
        let name = name.as_bytes();
        if matches!(name, b"payload" | b"key") || name.starts_with(PREFIX) {
            command.arg([PREFIX, name].concat());
        } else {
            command.arg(name);
        }
        command.arg(value);
    }
}

/// The longest single argument that [`write()`] makes of it, but for a prefix.
pub(super) fn longest(message: &Message) -> usize {
    let headers = message.headers().map(|(name, value)| name.len().max(value.len()));
    headers.max().unwrap_or(0).max(message.payload().len()).max(message.key().map_or(0, <[u8]>::len))
}

/// How many bytes it is about.
pub(super) fn size(message: &Message) -> usize {
    let headers: usize = message.headers().map(|(name, value)| name.len() + value.len() + 32).sum();
    headers + message.payload().len() + message.key().map_or(0, <[u8]>::len) + 64
}

fn read(fields: Vec<Value>) -> Option<Message> {
    let (mut payload, mut key, mut headers) = (None, None, Vec::new());
    let mut fields = fields.into_iter();
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        let (Value::BulkString(name), Value::BulkString(value)) = (name, value) else { return None };
        match &*name {
            b"payload" => payload = Some(value),
            b"key" => key = Some(value),
            name => {
                let name = name.strip_prefix(PREFIX).unwrap_or(name);
                headers.push((String::from_utf8_lossy(name).into(), value.into()));
            }
        }
    }
    Some(Message::from_parts(payload.unwrap_or_default().into(), key.map(Into::into), headers))
}

/// An entry of an answer: `None` for one that was deleted from the stream, though it is still pending.
pub(super) type Entry = (Id, Option<Message>);

/// The list of entries that XREADGROUP, of one stream, answers.
pub(super) fn streams(answer: Value) -> Result<Vec<Entry>, Fault> {
    let Value::Array(mut of_streams) = answer else {
        return if answer == Value::Nil { Ok(Vec::new()) } else { Err(strange()) };
    };
    match of_streams.pop() {
        Some(Value::Array(mut name_and_entries)) => entries(name_and_entries.pop().unwrap_or_default()),
        None => Ok(Vec::new()),
        Some(_) => Err(strange()),
    }
}

/// The list of entries that XCLAIM answers.
pub(super) fn entries(answer: Value) -> Result<Vec<Entry>, Fault> {
    let Value::Array(list) = answer else { return Err(strange()) };
    let mut entries = Vec::with_capacity(list.len());
    for entry in list {
        let Value::Array(parts) = entry else {
            // Before version 7, XCLAIM answers this for what was deleted.
            continue;
        };
        let mut parts = parts.into_iter();
        let id = parts.next().as_ref().and_then(parse_id).ok_or_else(strange)?;
        let message = match parts.next() {
            Some(Value::Array(fields)) => Some(read(fields).ok_or_else(strange)?),
            _ => None,
        };
        entries.push((id, message));
    }
    Ok(entries)
}

/// A list of ids.
pub(super) fn ids(answer: &Value) -> Result<Vec<Id>, Fault> {
    let Value::Array(list) = answer else { return Err(strange()) };
    list.iter().map(|id| parse_id(id).ok_or_else(strange)).collect()
}

pub(super) fn number(answer: &Value) -> Result<u64, Fault> {
    match answer {
        Value::Int(number) => u64::try_from(*number).map_err(|_| strange()),
        _ => Err(strange()),
    }
}

/// One that is delivered and not acknowledged.
pub(super) struct Pending {
    pub(super) id: Id,
    /// How often it was delivered.
    pub(super) delivered: u64,
}

/// What XPENDING with a range answers.
pub(super) fn pending(answer: &Value) -> Result<Vec<Pending>, Fault> {
    let Value::Array(rows) = answer else { return Err(strange()) };
    let row = |row: &Value| match row {
        Value::Array(row) => match &row[..] {
            [id, _consumer, _idle, delivered] => {
                Some(Pending { id: parse_id(id)?, delivered: number(delivered).ok()? })
            }
            _ => None,
        },
        _ => None,
    };
    rows.iter().map(|one| row(one).ok_or_else(strange)).collect()
}

/// The value of a field in the row of that name, of what XINFO answers. `None` if there is no such row.
pub(super) fn info<'a>(answer: &'a Value, name: &str, field: &str) -> Option<&'a Value> {
    let Value::Array(rows) = answer else { return None };
    let get = |row: &'a Value, field: &str| match row {
        Value::Array(row) => row.chunks_exact(2).find(|pair| is(&pair[0], field)).map(|pair| &pair[1]),
        _ => None,
    };
    let row = rows.iter().find(|row| get(row, "name").is_some_and(|value| is(value, name)))?;
    get(row, field)
}

fn is(value: &Value, text: &str) -> bool {
    matches!(value, Value::BulkString(bytes) if bytes == text.as_bytes())
}

pub(super) fn strange() -> Fault {
    lost("it answered something else than was asked for")
}

#[cfg(all(test, not(fanpool_loom)))]
mod tests {
    use super::{read, write};
    use crate::connect::Message;
    use ::redis::{Arg, Value, cmd};

    /// What a stream would hold of it.
    fn fields(message: &Message) -> Vec<Value> {
        let mut command = cmd("");
        write(&mut command, message);
        let bulk = |arg: Arg<&[u8]>| {
            if let Arg::Simple(bytes) = arg { Value::BulkString(bytes.to_vec()) } else { unreachable!() }
        };
        command.args_iter().skip(1).map(bulk).collect()
    }

    #[test]
    fn i4_messages_come_back_as_they_were() {
        let bytes: Vec<u8> = (0..=255).collect();
        let names = ["", "payload", "key", "header:", "header:header:key", "\r\n\0", "ä"];
        let full = names.iter().fold(Message::new(&bytes).with_key(&bytes), |m, name| m.with_header(name, &bytes));
        for message in [Message::new(""), Message::new("").with_key(""), full] {
            let back = read(fields(&message)).unwrap();
            assert_eq!(back, message);
            assert!(back.headers().eq(message.headers()));
        }
    }

    #[test]
    fn i7_fields_of_others_are_headers() {
        let bulk = |text: &[u8]| Value::BulkString(text.to_vec());
        let message = read(vec![bulk(b"kind"), bulk(b"\xff"), bulk(b"\xff"), bulk(b"")]).unwrap();
        assert_eq!((message.payload(), message.key()), (&b""[..], None));
        assert!(message.headers().eq([("kind", &b"\xff"[..]), ("\u{fffd}", b"")]));
        let twice = read(["a", "1", "b", "x", "a", "2"].map(|text| bulk(text.as_bytes())).into()).unwrap();
        assert_eq!((twice.headers().count(), twice.header("a")), (3, Some(&b"2"[..])));
        assert!(twice.with_header("a", "3").headers().eq([("a", &b"3"[..]), ("b", b"x")]));
    }
}
