//! The engine without a broker: queues in this process. The default for one machine, and what the others are held against.
//!
//! All is under one lock. A message is in one place: in the queue's `ready`, in order of arrival, or `held` by the session that it was
//! delivered to. A session ends when its reader closes or its halves are gone, or when the broker is set down; what it holds goes back to its
//! place in `ready`. Whoever makes a message ready notifies; so a reader that waits misses none.

use super::engine::{Polled, Reader, Settler, Sink, Source};
use super::error::ConnectError;
use super::message::{Delivery, Message, Position};
use super::session::session;
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, now};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::time::Duration;

const ENGINE: &str = "memory";

/// Queues in this process, by name. A queue is there once it is named. Clones are the same broker.
///
/// Nothing outlives the process. Sources of one queue share its messages; a message that is handed back, or whose source is gone, comes
/// again in its old place.
///
/// # Examples
///
/// ```
/// use fanpool::connect::{Memory, Message, Utf8};
/// use fanpool::FanOut;
///
/// let broker = Memory::new();
/// (1..=3).for_each(|n| broker.send("numbers", Message::new(n.to_string())));
/// broker.end("numbers");
/// let consumer = FanOut::builder(|text: String| text.parse::<u64>().map(|n| (n * n).to_string()))
///     .consume(broker.source("numbers"), Utf8)
///     .publish(broker.sink("squares"), Utf8)
///     .dead_letter(broker.sink("failed"))
///     .start()?;
/// let receipt = consumer.join();
/// assert_eq!(receipt.counts.acknowledged, 3);
/// assert_eq!(broker.messages("squares").len(), 3);
/// # Ok::<(), fanpool::connect::ConnectError>(())
/// ```
#[derive(Clone, Default)]
pub struct Memory {
    hub: Arc<Hub>,
}

#[derive(Default)]
struct Hub {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    queues: HashMap<String, Queue>,
    down: bool,
    /// How often it was set down.
    downs: u64,
}

#[derive(Default)]
struct Queue {
    /// By number, which grows from the first on.
    ready: VecDeque<Waiting>,
    held: BTreeMap<u64, Held>,
    next: u64,
    ended: bool,
}

struct Waiting {
    number: u64,
    message: Message,
    /// How often it was delivered.
    delivered: u32,
}

struct Held {
    source: u64,
    /// The source's session: another one since the broker was down.
    session: u64,
    waiting: Waiting,
}

impl Queue {
    fn push(&mut self, message: Message) {
        self.ready.push_back(Waiting { number: self.next, message, delivered: 0 });
        self.next += 1;
    }

    fn put_back(&mut self, waiting: Waiting) {
        let at = self.ready.partition_point(|other| other.number < waiting.number);
        self.ready.insert(at, waiting);
    }

    /// Puts back what these sources hold.
    fn release(&mut self, ended: impl Fn(u64) -> bool) {
        let held = std::mem::take(&mut self.held);
        for (number, held) in held {
            if ended(held.source) {
                self.put_back(held.waiting);
            } else {
                self.held.insert(number, held);
            }
        }
    }
}

impl State {
    fn queue(&mut self, name: &str) -> &mut Queue {
        if !self.queues.contains_key(name) {
            self.queues.insert(name.to_owned(), Queue::default());
        }
        match self.queues.get_mut(name) {
            Some(queue) => queue,
            None => unreachable!("it was put there above"),
        }
    }

    fn check(&self) -> Result<(), ConnectError> {
        if self.down { Err(ConnectError::Lost { engine: ENGINE, what: "it was set down".into() }) } else { Ok(()) }
    }
}

impl Hub {
    fn up(&self) -> Result<MutexGuard<'_, State>, ConnectError> {
        let state = self.state.lock();
        state.check()?;
        Ok(state)
    }
}

impl Memory {
    /// A broker without queues.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(fanpool::connect::Memory::new().messages("any").is_empty());
    /// ```
    #[must_use]
    pub fn new() -> Memory {
        Memory::default()
    }

    /// Puts a message into a queue.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::connect::{Memory, Message};
    /// let broker = Memory::new();
    /// broker.send("numbers", Message::new("17"));
    /// assert_eq!(broker.messages("numbers").len(), 1);
    /// ```
    pub fn send(&self, queue: &str, message: Message) {
        self.hub.state.lock().queue(queue).push(message);
        self.hub.changed.notify_all();
    }

    /// Says that no more messages come: once all of the queue are acknowledged its sources are at their end, and so are their consumers.
    ///
    /// # Examples
    ///
    /// See [`Memory`].
    pub fn end(&self, queue: &str) {
        self.hub.state.lock().queue(queue).ended = true;
        self.hub.changed.notify_all();
    }

    /// Sets the broker down, or up again, as if its process were ended: meanwhile every source and sink gets
    /// [`ConnectError::Lost`]. Messages stay; what was in hand is delivered again.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::connect::{Memory, Message, Sink};
    /// let broker = Memory::new();
    /// broker.set_down(true);
    /// let mut sink = broker.sink("sums");
    /// assert!(sink.open().unwrap_err().is_transient());
    /// broker.set_down(false);
    /// assert!(sink.open().is_ok());
    /// ```
    pub fn set_down(&self, down: bool) {
        let mut state = self.hub.state.lock();
        state.downs += u64::from(down && !state.down);
        state.down = down;
        if down {
            state.queues.values_mut().for_each(|queue| queue.release(|_| true));
        }
        self.hub.changed.notify_all();
    }

    /// The messages of a queue that wait to be delivered, in their order.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(fanpool::connect::Memory::new().messages("numbers").is_empty());
    /// ```
    #[must_use]
    pub fn messages(&self, queue: &str) -> Vec<Message> {
        self.hub.state.lock().queue(queue).ready.iter().map(|waiting| waiting.message.clone()).collect()
    }

    /// How many messages of a queue are in hand: delivered, and neither acknowledged nor handed back.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(fanpool::connect::Memory::new().in_hand("numbers"), 0);
    /// ```
    #[must_use]
    pub fn in_hand(&self, queue: &str) -> usize {
        self.hub.state.lock().queue(queue).held.len()
    }

    /// A source of the messages of a queue.
    ///
    /// # Examples
    ///
    /// See [`Source`].
    #[must_use]
    pub fn source(&self, queue: impl Into<String>) -> MemorySource {
        MemorySource { hub: self.hub.clone(), queue: queue.into() }
    }

    /// A sink that sends to a queue.
    ///
    /// # Examples
    ///
    /// See [`Sink`].
    #[must_use]
    pub fn sink(&self, queue: impl Into<String>) -> MemorySink {
        MemorySink { hub: self.hub.clone(), queue: queue.into() }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("queues", &self.hub.state.lock().queues.len()).finish()
    }
}

/// A source of the messages of a queue; made by [`Memory::source`].
///
/// # Examples
///
/// See [`Source`].
pub struct MemorySource {
    hub: Arc<Hub>,
    queue: String,
}

/// A sink that sends to a queue; made by [`Memory::sink`].
///
/// # Examples
///
/// See [`Sink`].
pub struct MemorySink {
    hub: Arc<Hub>,
    queue: String,
}

impl fmt::Debug for MemorySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySource").field("queue", &self.queue).finish_non_exhaustive()
    }
}

impl fmt::Debug for MemorySink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySink").field("queue", &self.queue).finish_non_exhaustive()
    }
}

/// What both halves of an open source hold; gone with the second of them.
struct Opened {
    hub: Arc<Hub>,
    queue: String,
    number: u64,
}

impl Opened {
    fn leave(&self) {
        self.hub.state.lock().queue(&self.queue).release(|source| source == self.number);
        self.hub.changed.notify_all();
    }

    /// Takes what is held; returns how many were. Those for which `again` go back into the queue.
    fn settle(&self, positions: &[Position], again: bool) -> Result<usize, ConnectError> {
        let mut state = self.hub.up()?;
        let queue = state.queue(&self.queue);
        let mut settled = 0;
        for position in positions {
            let own = |held: &Held| held.source == self.number && held.session == position.session;
            if !queue.held.get(&position.offset).is_some_and(own) {
                continue;
            }
            if let Some(held) = queue.held.remove(&position.offset) {
                settled += 1;
                if again {
                    queue.put_back(held.waiting);
                }
            }
        }
        drop(state);
        self.hub.changed.notify_all();
        Ok(settled)
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.leave();
    }
}

struct MemoryReader(Arc<Opened>);
struct MemorySettler(Arc<Opened>);

impl Source for MemorySource {
    fn engine(&self) -> &'static str {
        ENGINE
    }

    fn open(&mut self, _: usize) -> Result<super::Halves, ConnectError> {
        self.hub.up().map(drop)?;
        let opened = Arc::new(Opened { hub: self.hub.clone(), queue: self.queue.clone(), number: session() });
        Ok((Box::new(MemoryReader(opened.clone())), Box::new(MemorySettler(opened))))
    }
}

impl Reader for MemoryReader {
    fn poll(&mut self, room: usize, wait: Duration, into: &mut Vec<Delivery>) -> Result<Polled, ConnectError> {
        let opened = &self.0;
        let deadline = now().checked_add(wait);
        let mut state = opened.hub.up()?;
        loop {
            let session = state.downs << 32 | opened.number;
            let queue = state.queue(&opened.queue);
            if queue.ended && queue.ready.is_empty() && queue.held.is_empty() {
                return Ok(Polled::End);
            }
            let taken = room.min(queue.ready.len());
            for mut waiting in queue.ready.drain(..taken) {
                waiting.delivered = waiting.delivered.saturating_add(1);
                into.push(Delivery {
                    message: waiting.message.clone(),
                    position: Position { partition: 0, offset: waiting.number, part: 0, session },
                    attempt: waiting.delivered,
                });
                queue.held.insert(waiting.number, Held { source: opened.number, session, waiting });
            }
            if taken > 0 || wait.is_zero() || opened.hub.changed.wait_until(&mut state, deadline) {
                return Ok(Polled::More);
            }
            state.check()?;
        }
    }

    fn lag(&mut self) -> Option<u64> {
        Some(self.0.hub.state.lock().queue(&self.0.queue).ready.len() as u64)
    }

    fn close(&mut self) -> Result<(), ConnectError> {
        self.0.leave();
        Ok(())
    }
}

impl Settler for MemorySettler {
    fn ack(&mut self, positions: &[Position]) -> Result<usize, ConnectError> {
        self.0.settle(positions, false)
    }

    fn nack(&mut self, positions: &[Position]) -> Result<usize, ConnectError> {
        self.0.settle(positions, true)
    }

    fn close(&mut self) -> Result<(), ConnectError> {
        self.0.hub.up().map(drop)
    }
}

impl Sink for MemorySink {
    fn engine(&self) -> &'static str {
        ENGINE
    }

    fn open(&mut self) -> Result<(), ConnectError> {
        self.hub.up().map(drop)
    }

    fn publish(&mut self, messages: &[Message]) -> Result<(), ConnectError> {
        let mut state = self.hub.up()?;
        let queue = state.queue(&self.queue);
        messages.iter().for_each(|message| queue.push(message.clone()));
        drop(state);
        self.hub.changed.notify_all();
        Ok(())
    }

    fn close(&mut self) -> Result<(), ConnectError> {
        Ok(())
    }
}
