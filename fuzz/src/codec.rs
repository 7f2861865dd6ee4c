//! Codecs: what is read and written again is what it was.

use crate::input::Input;
use fanpool::connect::{Bytes, Decode, Delivery, Encode, Json, Many, Message, Raw, Utf8, Whole, WithKey};
use serde_json::Value;
use std::collections::BTreeMap;

fn encode<R>(codec: &impl Encode<R>, value: R) -> Vec<Message> {
    // What was there stays.
    let first = Message::new("before");
    let mut messages = vec![first.clone()];
    codec.encode(value, &mut messages).unwrap();
    assert_eq!(messages.remove(0), first);
    messages
}

fn there_and_back<T: PartialEq + Clone + std::fmt::Debug>(codec: impl Encode<T> + Decode<T>, value: T) -> Message {
    let messages = encode(&codec, value.clone());
    assert_eq!(messages.len(), 1);
    assert_eq!(codec.decode(&Delivery::new(messages[0].clone())).unwrap(), value);
    messages[0].clone()
}

/// Numbers with a point are read to within a unit of their last place.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() && b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= a.abs() * 1e-15
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((name, a), (known, b))| name == known && same(a, b))
        }
        (a, b) => a == b,
    }
}

pub(crate) fn codec(data: &[u8]) {
    let mut input = Input::new(data);
    let message = input.message();
    let payload = input.rest();
    let delivery = Delivery { message: message.clone(), ..Delivery::new(Message::new("")) };
    assert_eq!(Raw.decode(&delivery).unwrap(), message);
    assert_eq!(encode(&Raw, message.clone()), std::slice::from_ref(&message));
    assert_eq!(Whole.decode(&delivery).unwrap(), delivery);

    let delivery = Delivery::new(Message::new(payload));
    assert_eq!(Bytes.decode(&delivery).unwrap(), payload);
    assert_eq!(encode(&Bytes, payload), std::slice::from_ref(&delivery.message));
    let text: Result<String, _> = Utf8.decode(&delivery);
    match (&text, std::str::from_utf8(payload)) {
        (Ok(text), Ok(known)) => {
            assert_eq!(text, known);
            assert_eq!(there_and_back(Utf8, text.clone()).payload(), payload);
        }
        (Err(error), Err(_)) => assert!(error.to_string().starts_with("not UTF-8")),
        (text, known) => panic!("{text:?} and {known:?}"),
    }

    let keyed = Delivery::new(Message::new(payload).with_key(message.payload()));
    let (key, bytes) = WithKey(Bytes).decode(&keyed).unwrap();
    assert_eq!((&key[..], &bytes[..]), (message.payload(), payload));
    assert_eq!(encode(&WithKey(Many(Bytes)), (key, [bytes, Vec::new()]))[0], keyed.message);

    if let Ok(value) = Decode::<Value>::decode(&Json, &delivery) {
        let written = encode(&Json, value.clone()).remove(0);
        let again: Value = Json.decode(&Delivery::new(written)).unwrap();
        assert!(same(&value, &again), "{value} became {again}");
    }
    type Typed = Vec<(String, i64, Option<bool>, BTreeMap<String, Vec<u64>>)>;
    match Decode::<Typed>::decode(&Json, &delivery) {
        Ok(value) => _ = there_and_back(Json, value),
        Err(error) => assert!(error.to_string().starts_with("not what was asked for: ")),
    }
}
