//! What travels over a broker.

use crate::sync::Arc;
use crate::trace::TraceParent;
use std::fmt;

/// A message: bytes, with a key and headers. Its clones share them.
///
/// # Examples
///
/// ```
/// use fanpool::connect::Message;
///
/// let message = Message::new("17").with_key("ann").with_header("kind", "order");
/// assert_eq!(message.payload(), b"17");
/// assert_eq!(message.key(), Some(&b"ann"[..]));
/// assert_eq!(message.header("kind"), Some(&b"order"[..]));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    payload: Arc<[u8]>,
    key: Option<Arc<[u8]>>,
    headers: Option<Arc<Vec<Header>>>,
}

/// A name and a value.
type Header = (Box<str>, Box<[u8]>);

impl Message {
    /// A message without key and headers.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(fanpool::connect::Message::new("").payload().is_empty());
    /// ```
    #[must_use]
    pub fn new(payload: impl AsRef<[u8]>) -> Message {
        Message { payload: payload.as_ref().into(), key: None, headers: None }
    }

    /// The same with that key. What a key means is up to the engine; messages of one key keep their order where the engine
    /// has one.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(fanpool::connect::Message::new("").with_key("a").key(), Some(&b"a"[..]));
    /// ```
    #[must_use]
    pub fn with_key(mut self, key: impl AsRef<[u8]>) -> Message {
        self.key = Some(key.as_ref().into());
        self
    }

    /// The same with a header more. Another one of that name is replaced.
    ///
    /// # Examples
    ///
    /// ```
    /// let message = fanpool::connect::Message::new("").with_header("a", "1").with_header("a", "2");
    /// assert!(message.headers().eq([("a", &b"2"[..])]));
    /// ```
    #[must_use]
    pub fn with_header(mut self, name: impl AsRef<str>, value: impl AsRef<[u8]>) -> Message {
        let headers = Arc::make_mut(self.headers.get_or_insert_default());
        let (name, value) = (name.as_ref(), value.as_ref().into());
        let Some(first) = headers.iter().position(|(known, _)| **known == *name) else {
            headers.push((name.into(), value));
            return self;
        };
        headers[first].1 = value;
        // What an engine read may hold several.
        let mut behind = headers.split_off(first + 1);
        behind.retain(|(known, _)| **known != *name);
        headers.append(&mut behind);
        self
    }

    /// Of what an engine read. Several headers of one name are kept.
    #[cfg(any(feature = "redis", feature = "rabbitmq", feature = "kafka"))]
    pub(crate) fn from_parts(
        payload: Arc<[u8]>,
        key: Option<Arc<[u8]>>,
        headers: Vec<(Box<str>, Box<[u8]>)>,
    ) -> Message {
        Message { payload, key, headers: (!headers.is_empty()).then(|| Arc::new(headers)) }
    }

    /// The same without headers.
    pub(crate) fn without_headers(mut self) -> Message {
        self.headers = None;
        self
    }

    /// The same without its key, if that has more bytes.
    pub(crate) fn without_key_over(mut self, bytes: usize) -> Message {
        self.key = self.key.filter(|key| key.len() <= bytes);
        self
    }

    /// The same with at most so many bytes of payload.
    pub(crate) fn cut(mut self, bytes: usize) -> Message {
        if self.payload.len() > bytes {
            self.payload = self.payload[..bytes].into();
        }
        self
    }

    /// The bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(fanpool::connect::Message::new([1, 2]).payload(), [1, 2]);
    /// ```
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The key, if it has one.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(fanpool::connect::Message::new("").key(), None);
    /// ```
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    /// The value of a header, the last if there are several of that name.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(fanpool::connect::Message::new("").header("kind"), None);
    /// ```
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers().filter(|(known, _)| *known == name).last().map(|(_, value)| value)
    }

    /// All headers, in their order.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(fanpool::connect::Message::new("").headers().count(), 0);
    /// ```
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers.iter().flat_map(|headers| headers.iter()).map(|(name, value)| (&**name, &**value))
    }

    /// The trace that the header `traceparent` tells of, if it is well formed.
    ///
    /// # Examples
    ///
    /// ```
    /// let trace = fanpool::trace::TraceParent::root(true);
    /// let message = fanpool::connect::Message::new("").with_header("traceparent", trace.to_string());
    /// assert_eq!(message.trace(), Some(trace));
    /// ```
    #[must_use]
    pub fn trace(&self) -> Option<TraceParent> {
        self.header("traceparent")?.try_into().ok()
    }
}

/// Lengths and names, no contents: those may be secret.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers().map(|(name, _)| name).collect();
        f.debug_struct("Message")
            .field("bytes", &self.payload.len())
            .field("key_bytes", &self.key().map(<[u8]>::len))
            .field("headers", &headers)
            .finish()
    }
}

/// Where a message stands: what a source wants back when the message is acknowledged.
///
/// What the numbers mean is up to the engine; the table at [`connect`](crate::connect) tells. `Display` writes
/// `partition/offset`, and `-part` behind it unless that is 0.
///
/// # Examples
///
/// ```
/// use fanpool::connect::Position;
///
/// let position = Position { partition: 3, offset: 17, part: 0, session: 1 };
/// assert_eq!(position.to_string(), "3/17");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// A part of the source that has an order of its own.
    pub partition: u32,
    /// The place in there.
    pub offset: u64,
    /// Tells those of the same offset apart.
    pub part: u64,
    /// Of which connection or assignment it is: acknowledged in another one it counts as late.
    pub session: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.partition, self.offset)?;
        if self.part == 0 { Ok(()) } else { write!(f, "-{}", self.part) }
    }
}

/// A message that was handed out, and is to be acknowledged.
///
/// # Examples
///
/// ```
/// use fanpool::connect::{Delivery, Message, Position};
///
/// let position = Position { partition: 0, offset: 1, part: 0, session: 0 };
/// let delivery = Delivery { message: Message::new("17"), position, attempt: 2 };
/// assert!(delivery.is_redelivered());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// What came.
    pub message: Message,
    /// Where it stands.
    pub position: Position,
    /// The how many-th delivery this is, from 1, as far as the engine counts them.
    pub attempt: u32,
}

impl Delivery {
    /// The first delivery of a message that stands at the beginning; for tests.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::connect::{Delivery, Message};
    ///
    /// assert_eq!(Delivery::new(Message::new("17")).attempt, 1);
    /// ```
    #[must_use]
    pub fn new(message: Message) -> Delivery {
        Delivery { message, position: Position { partition: 0, offset: 0, part: 0, session: 0 }, attempt: 1 }
    }

    /// Whether it was handed out before.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::connect::{Delivery, Message, Position};
    /// # let position = Position { partition: 0, offset: 1, part: 0, session: 0 };
    /// assert!(!Delivery { message: Message::new("17"), position, attempt: 1 }.is_redelivered());
    /// ```
    #[must_use]
    pub fn is_redelivered(&self) -> bool {
        self.attempt > 1
    }
}
