//! What an engine implements: where messages come from, and where they go.

use super::error::ConnectError;
use super::message::{Delivery, Message, Position};
use std::time::Duration;

/// The halves of an open source: what takes messages, and what is told of what became of them.
///
/// # Examples
///
/// See [`Source`].
pub type Halves = (Box<dyn Reader>, Box<dyn Settler>);

/// A source of messages that are acknowledged one by one.
///
/// [`open`](Source::open) gives its two halves, each of which is used by one thread at a time: the reader by the thread that feeds
/// the service, the settler by the one that collects its outcomes.
///
/// # Examples
///
/// ```
/// use fanpool::connect::{Memory, Message, Source};
/// use std::time::Duration;
///
/// let broker = Memory::new();
/// broker.send("numbers", Message::new("17"));
/// let mut source = broker.source("numbers");
/// let (mut reader, mut settler) = source.open(100)?;
/// let mut taken = Vec::new();
/// reader.poll(100, Duration::ZERO, &mut taken)?;
/// assert_eq!(taken[0].message.payload(), b"17");
/// assert_eq!(settler.ack(&[taken[0].position])?, 1);
/// # Ok::<(), fanpool::connect::ConnectError>(())
/// ```
pub trait Source: Send {
    /// The engine's name, for errors and metrics.
    fn engine(&self) -> &'static str;

    /// Connects, and checks that there is something to read and that it may be read. `window` is the most that will be in hand:
    /// delivered, and neither acknowledged nor handed back.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Lost`] if the broker cannot be reached, after which it may be called again; [`ConnectError::Refused`] if
    /// calling again would not help.
    fn open(&mut self, window: usize) -> Result<Halves, ConnectError>;
}

/// Whether a source goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polled {
    /// There may be more.
    More,
    /// There will be none, and nothing that is in hand will come again.
    End,
}

/// The half of a source that takes messages.
pub trait Reader: Send {
    /// Adds at most `room` deliveries to `into`; waits for the first one for at most `wait`. With `room` 0 it takes none, and does
    /// what must be done from time to time to be taken for alive: so it is paused. What was in `into` stays.
    ///
    /// After an error the next call connects anew. What is in hand is not lost by that, but acknowledging it may come too late.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Lost`] if the connection is lost or could not be made, [`ConnectError::Refused`] if the source is not to be
    /// had any more. It returns soon; whoever calls waits before calling again.
    fn poll(&mut self, room: usize, wait: Duration, into: &mut Vec<Delivery>) -> Result<Polled, ConnectError>;

    /// How many messages of this source wait to be delivered to anybody, as far as is known without waiting for an answer.
    fn lag(&mut self) -> Option<u64> {
        None
    }

    /// Leaves: what is still in hand goes to others. After the settler was closed; nothing is called then.
    ///
    /// # Errors
    ///
    /// If the broker could not be told. It finds out by itself.
    fn close(&mut self) -> Result<(), ConnectError>;
}

/// The half of a source that is told what became of deliveries.
pub trait Settler: Send {
    /// Acknowledges: these are not delivered again. Returns how many of them still were this source's to acknowledge, as far as it has heard;
    /// the others were late, and somebody else has them or had them.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Lost`] if some may not have been acknowledged. Calling again with all of them is right.
    fn ack(&mut self, positions: &[Position]) -> Result<usize, ConnectError>;

    /// Hands back: these are delivered again, to anybody. Returns how many still were this source's.
    ///
    /// # Errors
    ///
    /// As [`ack`](Settler::ack).
    fn nack(&mut self, positions: &[Position]) -> Result<usize, ConnectError>;

    /// Returns once the broker knows of all that was acknowledged or handed back. Nothing more will be.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Lost`] if it may not. It may be called again.
    fn close(&mut self) -> Result<(), ConnectError>;
}

/// Where messages are sent to.
///
/// # Examples
///
/// ```
/// use fanpool::connect::{Memory, Message, Sink};
///
/// let broker = Memory::new();
/// let mut sink = broker.sink("sums");
/// sink.open()?;
/// sink.publish(&[Message::new("42")])?;
/// assert_eq!(broker.messages("sums")[0].payload(), b"42");
/// # Ok::<(), fanpool::connect::ConnectError>(())
/// ```
pub trait Sink: Send {
    /// The engine's name, for errors and metrics.
    fn engine(&self) -> &'static str;

    /// Connects, and checks that there is somewhere to send to.
    ///
    /// # Errors
    ///
    /// As [`Source::open`].
    fn open(&mut self) -> Result<(), ConnectError>;

    /// Sends them, in this order, and returns once the broker has confirmed each. Connects anew if need be.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Lost`] if any may not have been stored, though some may have been. [`ConnectError::Message`] if one will
    /// never be accepted: those before it are stored, those after it are not. [`ConnectError::Refused`] if nothing will.
    fn publish(&mut self, messages: &[Message]) -> Result<(), ConnectError>;

    /// Closes the connection.
    ///
    /// # Errors
    ///
    /// If the broker could not be told. Nothing is lost by that.
    fn close(&mut self) -> Result<(), ConnectError>;
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn engine(&self) -> &'static str {
        (**self).engine()
    }

    fn open(&mut self, window: usize) -> Result<Halves, ConnectError> {
        (**self).open(window)
    }
}

impl<S: Sink + ?Sized> Sink for Box<S> {
    fn engine(&self) -> &'static str {
        (**self).engine()
    }

    fn open(&mut self) -> Result<(), ConnectError> {
        (**self).open()
    }

    fn publish(&mut self, messages: &[Message]) -> Result<(), ConnectError> {
        (**self).publish(messages)
    }

    fn close(&mut self) -> Result<(), ConnectError> {
        (**self).close()
    }
}
