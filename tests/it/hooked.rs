//! The in-memory broker with faults: sources and sinks that ask a function of the test's before each call.

use fanpool::BrokerCounts;
use fanpool::connect::{
    ConnectError, Delivery, Memory, MemorySink, MemorySource, Message, Polled, Position, Reader, Settler, Sink, Source,
};
use std::sync::Arc;
use std::time::Duration;

/// What an engine is asked to do.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Call<'c> {
    Name,
    OpenSource,
    Poll(usize),
    /// What a poll has added. Nothing becomes of the answer.
    Took(&'c [Delivery]),
    Lag,
    CloseReader,
    Ack(&'c [Position]),
    Nack,
    CloseSettler,
    OpenSink,
    Publish(&'c [Message]),
    CloseSink,
}

/// What it does.
#[derive(Debug)]
pub(crate) enum Step {
    Go,
    /// Nothing, and says that.
    Fail(ConnectError),
    /// What it was asked to, and says that it failed.
    After(ConnectError),
    /// What it was asked to, and says that number. Of a poll: takes so many.
    Says(usize),
}

pub(crate) type Hook = Arc<dyn Fn(Call<'_>) -> Step + Send + Sync>;

pub(crate) fn hook(hook: impl Fn(Call<'_>) -> Step + Send + Sync + 'static) -> Hook {
    Arc::new(hook)
}

pub(crate) fn lost() -> ConnectError {
    ConnectError::Lost { engine: "hooked", what: "planned".into() }
}

pub(crate) fn refused() -> ConnectError {
    ConnectError::Refused { engine: "hooked", what: "planned".into(), advice: "none".into() }
}

pub(crate) fn refused_message(index: usize) -> ConnectError {
    ConnectError::Message { engine: "hooked", index, what: "too odd".into() }
}

/// Numbers in a queue, as text, and no more to come.
pub(crate) fn numbers(broker: &Memory, queue: &str, numbers: std::ops::Range<usize>) {
    numbers.for_each(|n| broker.send(queue, Message::new(n.to_string())));
    broker.end(queue);
}

/// The payloads of a queue, as text.
pub(crate) fn texts(broker: &Memory, queue: &str) -> Vec<String> {
    let text = |message: &Message| String::from_utf8(message.payload().to_vec()).unwrap();
    broker.messages(queue).iter().map(text).collect()
}

/// A header, as text.
pub(crate) fn header(message: &Message, name: &str) -> String {
    String::from_utf8(message.header(name).unwrap_or_else(|| panic!("no {name}")).to_vec()).unwrap()
}

/// Each delivered message is one of these, once a consumer has ended.
#[track_caller]
pub(crate) fn adds_up(counts: &BrokerCounts) {
    let settled = counts.acknowledged + counts.handed_back + counts.late + counts.unsettled;
    assert_eq!((counts.delivered, counts.in_hand), (settled, 0), "{counts:?}");
}

pub(crate) struct HookedSource(pub(crate) MemorySource, pub(crate) Hook);

pub(crate) struct HookedSink(pub(crate) MemorySink, pub(crate) Hook);

struct HookedReader(Box<dyn Reader>, Hook);

struct HookedSettler(Box<dyn Settler>, Hook);

fn call<R>(step: Step, call: impl FnOnce() -> Result<R, ConnectError>) -> Result<R, ConnectError> {
    match step {
        Step::Fail(error) => Err(error),
        Step::After(error) => {
            let _ = call();
            Err(error)
        }
        Step::Go | Step::Says(_) => call(),
    }
}

impl Source for HookedSource {
    fn engine(&self) -> &'static str {
        let _ = (self.1)(Call::Name);
        "hooked"
    }

    fn open(&mut self, window: usize) -> Result<(Box<dyn Reader>, Box<dyn Settler>), ConnectError> {
        let hook = &self.1;
        let (reader, settler) = call(hook(Call::OpenSource), || self.0.open(window))?;
        Ok((Box::new(HookedReader(reader, hook.clone())), Box::new(HookedSettler(settler, hook.clone()))))
    }
}

impl Reader for HookedReader {
    fn poll(&mut self, room: usize, wait: Duration, into: &mut Vec<Delivery>) -> Result<Polled, ConnectError> {
        let before = into.len();
        let polled = match (self.1)(Call::Poll(room)) {
            Step::Says(room) => self.0.poll(room, wait, into),
            step => call(step, || self.0.poll(room, wait, into)),
        };
        let _ = (self.1)(Call::Took(&into[before..]));
        polled
    }

    fn lag(&mut self) -> Option<u64> {
        let _ = (self.1)(Call::Lag);
        self.0.lag()
    }

    fn close(&mut self) -> Result<(), ConnectError> {
        call((self.1)(Call::CloseReader), || self.0.close())
    }
}

impl Settler for HookedSettler {
    fn ack(&mut self, positions: &[Position]) -> Result<usize, ConnectError> {
        match (self.1)(Call::Ack(positions)) {
            Step::Says(number) => self.0.ack(positions).map(|_| number),
            step => call(step, || self.0.ack(positions)),
        }
    }

    fn nack(&mut self, positions: &[Position]) -> Result<usize, ConnectError> {
        match (self.1)(Call::Nack) {
            Step::Says(number) => self.0.nack(positions).map(|_| number),
            step => call(step, || self.0.nack(positions)),
        }
    }

    fn close(&mut self) -> Result<(), ConnectError> {
        call((self.1)(Call::CloseSettler), || self.0.close())
    }
}

impl Sink for HookedSink {
    fn engine(&self) -> &'static str {
        let _ = (self.1)(Call::Name);
        "hooked"
    }

    fn open(&mut self) -> Result<(), ConnectError> {
        call((self.1)(Call::OpenSink), || self.0.open())
    }

    fn publish(&mut self, messages: &[Message]) -> Result<(), ConnectError> {
        match (self.1)(Call::Publish(messages)) {
            // Those before it are stored.
            Step::Fail(ConnectError::Message { engine, index, what }) => {
                self.0.publish(&messages[..index.min(messages.len())])?;
                Err(ConnectError::Message { engine, index, what })
            }
            step => call(step, || self.0.publish(messages)),
        }
    }

    fn close(&mut self) -> Result<(), ConnectError> {
        call((self.1)(Call::CloseSink), || self.0.close())
    }
}
