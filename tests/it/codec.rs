//! Between bytes and values: there and back, and what is refused.

use fanpool::connect::{
    Bytes, CodecError, Decode, Delivery, Encode, Many, Message, Position, Raw, Utf8, Whole, WithKey,
};

fn encoded<R>(codec: impl Encode<R>, value: R) -> Vec<Message> {
    let mut messages = vec![Message::new("before")];
    codec.encode(value, &mut messages).unwrap();
    assert_eq!(messages.remove(0), Message::new("before"));
    messages
}

#[test]
fn what_is_encoded_is_decoded_as_it_was() {
    let bytes: Vec<u8> = (0..=255).collect();
    let message = Message::new(&bytes).with_key("k").with_header("h", [0, 255]);
    let delivery = Delivery { message: message.clone(), ..Delivery::new(Message::new("")) };
    assert_eq!(encoded(Raw, message.clone()), std::slice::from_ref(&message));
    assert_eq!(Raw.decode(&delivery).unwrap(), message);
    assert_eq!(encoded(Bytes, &bytes), [Message::new(&bytes)]);
    assert_eq!(Bytes.decode(&delivery).unwrap(), bytes);
    for text in ["", "\u{e4}\0\u{1f600}"] {
        assert_eq!(encoded(Utf8, text), [Message::new(text)]);
        assert_eq!(Utf8.decode(&Delivery::new(Message::new(text))).unwrap(), text);
    }
    assert_eq!(
        encoded(WithKey(Many(Utf8)), ("k", ["a", "b"])),
        ["a", "b"].map(|text| Message::new(text).with_key("k"))
    );
    assert_eq!(WithKey(Bytes).decode(&delivery).unwrap(), (b"k".to_vec(), bytes));
    assert_eq!(WithKey(Utf8).decode(&Delivery::new(Message::new("a"))).unwrap(), (Vec::new(), "a".to_owned()));
    assert!(encoded(Many(Utf8), Vec::<String>::new()).is_empty());
}

#[test]
fn the_whole_delivery_is_handed_on() {
    let position = Position { partition: 1, offset: 2, part: 3, session: 4 };
    let delivery = Delivery { message: Message::new("a"), position, attempt: 5 };
    assert_eq!(Whole.decode(&delivery).unwrap(), delivery);
}

#[test]
fn i4_what_is_no_text_is_refused() {
    let wrong: Result<String, CodecError> = Utf8.decode(&Delivery::new(Message::new(b"a\xff")));
    assert_eq!(wrong.unwrap_err().to_string(), "not UTF-8: invalid utf-8 sequence of 1 bytes from index 1");
    let inner: Result<(Vec<u8>, String), CodecError> = WithKey(Utf8).decode(&Delivery::new(Message::new([0xc3])));
    assert!(inner.unwrap_err().to_string().starts_with("not UTF-8: incomplete"));
}

#[test]
fn functions_are_codecs() {
    let number = |delivery: &Delivery| {
        std::str::from_utf8(delivery.message.payload()).unwrap().parse::<u8>().map_err(CodecError::new)
    };
    assert_eq!(number.decode(&Delivery::new(Message::new("7"))).unwrap(), 7);
    assert_eq!(
        number.decode(&Delivery::new(Message::new("x"))).unwrap_err(),
        CodecError::new("invalid digit found in string")
    );
    let text =
        |number: u8| if number < 10 { Ok(Message::new(number.to_string())) } else { Err(CodecError::new("too much")) };
    assert_eq!(encoded(text, 7), [Message::new("7")]);
    // Of those before the one that cannot be written the caller takes none.
    let mut messages = Vec::new();
    assert_eq!(Many(text).encode([1, 20, 3], &mut messages), Err(CodecError::new("too much")));
    assert_eq!(messages.len(), 1);
}
