//! Messages against a list of pairs.

use crate::input::Input;
use fanpool::connect::Message;

pub(crate) fn message(data: &[u8]) {
    let mut input = Input::new(data);
    let payload = input.bytes();
    let (mut message, mut key, mut headers) = (Message::new(payload), None, Vec::<(String, &[u8])>::new());
    let mut before = message.clone();
    while !input.is_empty() {
        if input.below(8) == 0 {
            before = message.clone();
        }
        if input.below(4) == 0 {
            key = Some(input.bytes());
            message = message.with_key(key.unwrap_or_default());
            continue;
        }
        let (name, value) = (input.text(), input.bytes());
        match headers.iter_mut().find(|(known, _)| *known == name) {
            Some(header) => header.1 = value,
            None => headers.push((name.clone(), value)),
        }
        let shared = before.clone();
        message = message.with_header(&name, value);
        // A message that shares headers with this one is not changed by it.
        assert_eq!(shared, before);
        assert_eq!(message.header(&name), Some(value));
    }
    assert_eq!((message.payload(), message.key()), (payload, key));
    assert!(message.headers().eq(headers.iter().map(|(name, value)| (name.as_str(), *value))));
    assert_eq!(message, message.clone());
    // Lengths and names are shown, contents are not.
    let keys = key.map(<[u8]>::len);
    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    let shown = format!("Message {{ bytes: {}, key_bytes: {keys:?}, headers: {names:?} }}", payload.len());
    assert_eq!(format!("{message:?}"), shown);
}
