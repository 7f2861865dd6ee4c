//! Answers of a Redis server, as they come over the wire, and entries of streams.

use crate::input::Input;
use fanpool::connect::fuzzing::redis;
use fanpool::connect::{ConnectError, Message};

/// Names and values in turn, as RESP.
fn array(fields: &[Vec<u8>]) -> Vec<u8> {
    let mut wire = format!("*{}\r\n", fields.len()).into_bytes();
    for field in fields {
        wire.extend(format!("${}\r\n", field.len()).into_bytes());
        wire.extend(field);
        wire.extend(b"\r\n");
    }
    wire
}

/// A message comes back as it was, in the one entry of an answer.
fn there_and_back(message: &Message) {
    let mut wire = b"*1\r\n*2\r\n$6\r\n17-255\r\n".to_vec();
    wire.extend(array(&redis::fields(message)));
    let read = redis::entries(&wire).unwrap().unwrap();
    let (id, back) = &read[0];
    let back = back.as_ref().unwrap();
    assert_eq!((read.len(), *id), (1, (17, 255)));
    assert_eq!((back.payload(), back.key()), (message.payload(), message.key()));
    assert!(back.headers().eq(message.headers()), "{back:?} was {message:?}");
}

fn check(read: Vec<((u64, u64), Option<Message>)>) {
    for (id, message) in read {
        let wire = array(&[redis::id_text(id).into_bytes()]);
        assert_eq!(redis::ids(&wire).unwrap().unwrap(), [id]);
        let Some(message) = message else { continue };
        there_and_back(&message);
        // A header that is set is that, though a foreign message may hold several of one name.
        for (name, _) in message.headers() {
            let set = message.clone().with_header(name, "new");
            assert_eq!(set.header(name), Some(&b"new"[..]));
            assert_eq!(set.headers().filter(|(known, _)| *known == name).count(), 1);
        }
    }
}

pub(crate) fn answers(data: &[u8]) {
    let strange = |error: &ConnectError| assert!(error.is_transient(), "{error}");
    [redis::streams(data), redis::entries(data)].into_iter().flatten().for_each(|read| match read {
        Ok(read) => check(read),
        Err(error) => strange(&error),
    });
    if let Some(Ok(ids)) = redis::ids(data) {
        let texts: Vec<Vec<u8>> = ids.iter().map(|id| redis::id_text(*id).into_bytes()).collect();
        assert_eq!(redis::ids(&array(&texts)).unwrap().unwrap(), ids);
    }
    if let Some(Ok(rows)) = redis::pending(data) {
        rows.into_iter().for_each(|(id, _)| check(vec![(id, None)]));
    }
    if let Some(Ok(number)) = redis::number(data) {
        assert!(i64::try_from(number).is_ok());
    }
    let lag = redis::lag(data, "group").flatten();
    assert!(lag.is_none() || redis::info(data, "group", "lag") == Some(true));
    // Of what a server says those parts are not told that name a user, or quote a command.
    for others in [false, true] {
        let Some(error) = redis::refusal(data, others) else { continue };
        let (text, said) = (error.to_string(), String::from_utf8_lossy(data));
        if let Some((_, quoted)) = said.trim_end().split_once(", with args") {
            assert!(quoted.len() < 8 || !text.contains(quoted), "{text:?} quotes a command");
        }
        let mut words = said.strip_prefix('-').unwrap_or(&said).splitn(2, ' ');
        let (code, detail) = (words.next().unwrap_or_default(), words.next().unwrap_or_default().trim_end());
        let silent = ["NOPERM", "WRONGPASS", "NOAUTH", "NOGROUP", "WRONGTYPE", "DENIED"].contains(&code);
        assert!(!silent || detail.len() < 8 || !text.contains(detail), "{text:?} passes on what names a user");
    }
}

pub(crate) fn fields(data: &[u8]) {
    let message = Input::new(data).message();
    there_and_back(&message);
    let fields = redis::fields(&message);
    assert!(fields.len() >= 2 && fields.len().is_multiple_of(2));
    let (longest, size) = redis::sizes(&message);
    let prefix = "header:".len();
    let largest = fields
        .iter()
        .enumerate()
        .map(|(at, field)| field.len() - if at % 2 == 0 { prefix.min(field.len()) } else { 0 });
    assert!(largest.max().unwrap() <= longest);
    assert!(fields.iter().map(Vec::len).sum::<usize>() <= size);
    // Any fields of others are read, and then come back.
    let mut input = Input::new(data);
    let foreign: Vec<Vec<u8>> = (0..2 * input.below(8)).map(|_| input.bytes().to_vec()).collect();
    let mut wire = b"*1\r\n*2\r\n$3\r\n1-2\r\n".to_vec();
    wire.extend(array(&foreign));
    check(redis::entries(&wire).unwrap().unwrap());
}
