//! Between bytes and values.

use super::message::{Delivery, Message};
use std::error::Error;
use std::fmt;

/// Makes values of messages.
///
/// A function from `&Delivery` is one, too. It is called by the thread that feeds the service, one message after another: what takes long is better
/// done by the handler.
///
/// # Examples
///
/// ```
/// use fanpool::connect::{CodecError, Decode, Delivery, Message, Utf8};
///
/// let seven = Delivery::new(Message::new("seven"));
/// let text: String = Utf8.decode(&seven)?;
/// assert_eq!(text, "seven");
/// let number = |delivery: &Delivery| {
///     let text: String = Utf8.decode(delivery)?;
///     text.parse::<u8>().map_err(CodecError::new)
/// };
/// assert!(number.decode(&seven).is_err());
/// # Ok::<(), CodecError>(())
/// ```
pub trait Decode<T>: Send {
    /// The value of a message.
    ///
    /// # Errors
    ///
    /// If it has none. Its text becomes part of the dead letter.
    fn decode(&self, delivery: &Delivery) -> Result<T, CodecError>;
}

/// Makes messages of values: none, one or several of each.
///
/// A function that returns a message is one, too. It is called by the thread that collects the outcomes.
///
/// # Examples
///
/// ```
/// use fanpool::connect::{CodecError, Encode, Many, Message, Utf8};
///
/// let mut messages = Vec::new();
/// Many(Utf8).encode(vec!["a".to_owned(), "b".to_owned()], &mut messages)?;
/// assert_eq!(messages, [Message::new("a"), Message::new("b")]);
/// # Ok::<(), CodecError>(())
/// ```
pub trait Encode<R>: Send {
    /// Adds the messages of a value to `into`.
    ///
    /// # Errors
    ///
    /// If the value cannot be written. Then none of its messages is sent, and its item goes to the dead letters.
    fn encode(&self, value: R, into: &mut Vec<Message>) -> Result<(), CodecError>;
}

/// Why a message has no value, or a value no message.
///
/// # Examples
///
/// ```
/// assert_eq!(fanpool::connect::CodecError::new("no number").to_string(), "no number");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodecError {
    what: String,
}

impl CodecError {
    /// An error of that text.
    ///
    /// # Examples
    ///
    /// See [`Decode`].
    #[must_use]
    pub fn new(what: impl fmt::Display) -> CodecError {
        CodecError { what: what.to_string() }
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for CodecError {}

impl<T, F: Fn(&Delivery) -> Result<T, CodecError> + Send> Decode<T> for F {
    fn decode(&self, delivery: &Delivery) -> Result<T, CodecError> {
        self(delivery)
    }
}

impl<R, F: Fn(R) -> Result<Message, CodecError> + Send> Encode<R> for F {
    fn encode(&self, value: R, into: &mut Vec<Message>) -> Result<(), CodecError> {
        into.push(self(value)?);
        Ok(())
    }
}

/// The message itself, with its key and headers.
///
/// # Examples
///
/// ```
/// use fanpool::connect::{Decode, Delivery, Message, Raw};
///
/// let message = Message::new("17").with_key("ann");
/// assert_eq!(Raw.decode(&Delivery::new(message.clone()))?, message);
/// # Ok::<(), fanpool::connect::CodecError>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Raw;

/// The delivery itself: the message, where it stands, and the how many-th time it comes.
///
/// # Examples
///
/// ```
/// use fanpool::connect::{Decode, Delivery, Message, Whole};
///
/// let delivery = Whole.decode(&Delivery::new(Message::new("17")))?;
/// assert!(!delivery.is_redelivered());
/// # Ok::<(), fanpool::connect::CodecError>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Whole;

/// The payload's bytes: a `Vec<u8>`.
///
/// # Examples
///
/// ```
/// use fanpool::connect::{Bytes, Decode, Delivery, Message};
///
/// assert_eq!(Bytes.decode(&Delivery::new(Message::new("17")))?, b"17");
/// # Ok::<(), fanpool::connect::CodecError>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Bytes;

/// The payload as text: a `String`.
///
/// # Examples
///
/// ```
/// use fanpool::connect::{Decode, Delivery, Message, Utf8};
///
/// let refused = Utf8.decode(&Delivery::new(Message::new([0xff]))).unwrap_err();
/// assert_eq!(refused.to_string(), "not UTF-8: invalid utf-8 sequence of 1 bytes from index 0");
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Utf8;

/// The payload in JSON: any type that serde reads or writes. With the feature `json`.
///
/// # Examples
///
/// ```
/// use fanpool::connect::{Decode, Delivery, Json, Message};
///
/// let numbers: Vec<u8> = Json.decode(&Delivery::new(Message::new("[1, 2]")))?;
/// assert_eq!(numbers, [1, 2]);
/// # Ok::<(), fanpool::connect::CodecError>(())
/// ```
#[cfg(feature = "json")]
#[cfg_attr(docsrs, doc(cfg(feature = "json")))]
#[derive(Debug, Clone, Copy, Default)]
pub struct Json;

/// With the key: a pair of it, as bytes, and of what the other codec makes. Read, a message without a key has an empty one.
///
/// # Examples
///
/// ```
/// use fanpool::connect::{Decode, Delivery, Message, Utf8, WithKey};
///
/// let (key, text) = WithKey(Utf8).decode(&Delivery::new(Message::new("17").with_key("ann")))?;
/// assert_eq!((key, text), (b"ann".to_vec(), "17".to_owned()));
/// # Ok::<(), fanpool::connect::CodecError>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct WithKey<C>(pub C);

/// Each value of several in a message of its own: of a `Vec`, or of an `Option`.
///
/// # Examples
///
/// See [`Encode`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Many<C>(pub C);

impl Decode<Message> for Raw {
    fn decode(&self, delivery: &Delivery) -> Result<Message, CodecError> {
        Ok(delivery.message.clone())
    }
}

impl Decode<Delivery> for Whole {
    fn decode(&self, delivery: &Delivery) -> Result<Delivery, CodecError> {
        Ok(delivery.clone())
    }
}

impl Encode<Message> for Raw {
    fn encode(&self, message: Message, into: &mut Vec<Message>) -> Result<(), CodecError> {
        into.push(message);
        Ok(())
    }
}

impl Decode<Vec<u8>> for Bytes {
    fn decode(&self, delivery: &Delivery) -> Result<Vec<u8>, CodecError> {
        Ok(delivery.message.payload().to_vec())
    }
}

impl<R: AsRef<[u8]>> Encode<R> for Bytes {
    fn encode(&self, bytes: R, into: &mut Vec<Message>) -> Result<(), CodecError> {
        into.push(Message::new(bytes));
        Ok(())
    }
}

impl Decode<String> for Utf8 {
    fn decode(&self, delivery: &Delivery) -> Result<String, CodecError> {
        let text = std::str::from_utf8(delivery.message.payload());
        text.map(str::to_owned).map_err(|error| CodecError::new(format!("not UTF-8: {error}")))
    }
}

impl<R: AsRef<str>> Encode<R> for Utf8 {
    fn encode(&self, text: R, into: &mut Vec<Message>) -> Result<(), CodecError> {
        into.push(Message::new(text.as_ref()));
        Ok(())
    }
}

#[cfg(feature = "json")]
impl<T: serde::de::DeserializeOwned> Decode<T> for Json {
    fn decode(&self, delivery: &Delivery) -> Result<T, CodecError> {
        serde_json::from_slice(delivery.message.payload())
            .map_err(|error| CodecError::new(format!("not what was asked for: {error}")))
    }
}

#[cfg(feature = "json")]
impl<R: serde::Serialize> Encode<R> for Json {
    fn encode(&self, value: R, into: &mut Vec<Message>) -> Result<(), CodecError> {
        into.push(Message::new(serde_json::to_vec(&value).map_err(CodecError::new)?));
        Ok(())
    }
}

impl<T, C: Decode<T>> Decode<(Vec<u8>, T)> for WithKey<C> {
    fn decode(&self, delivery: &Delivery) -> Result<(Vec<u8>, T), CodecError> {
        Ok((delivery.message.key().unwrap_or_default().to_vec(), self.0.decode(delivery)?))
    }
}

impl<K: AsRef<[u8]>, R, C: Encode<R>> Encode<(K, R)> for WithKey<C> {
    fn encode(&self, (key, value): (K, R), into: &mut Vec<Message>) -> Result<(), CodecError> {
        let first = into.len();
        self.0.encode(value, into)?;
        for message in &mut into[first..] {
            *message = message.clone().with_key(&key);
        }
        Ok(())
    }
}

impl<R: IntoIterator, C: Encode<R::Item>> Encode<R> for Many<C> {
    fn encode(&self, values: R, into: &mut Vec<Message>) -> Result<(), CodecError> {
        values.into_iter().try_for_each(|value| self.0.encode(value, into))
    }
}
