//! An engine around another, whose calls fail as a test says.

use fanpool::connect::{ConnectError, Delivery, Message, Polled, Position, Reader, Settler, Sink, Source};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A call of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are the calls")]
pub enum Call {
    Open,
    Poll { room: usize },
    Lag,
    Ack { count: usize },
    Nack { count: usize },
    CloseSettler,
    DropSettler,
    CloseReader,
    DropReader,
    OpenSink,
    Publish { count: usize },
    CloseSink,
    DropSink,
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The broker was not reached.
    Lost,
    /// The broker did it, and was lost before it could say so.
    LostAfter,
    /// The broker refuses.
    Refused,
    /// The message at this index is refused; those before it are sent.
    Message(usize),
    /// It is done, and this is what is said of how many.
    Count(usize),
    /// The engine panics.
    Panic,
}

type Plan = Box<dyn FnMut(Call) -> Option<Fault> + Send>;

/// Decides what happens, and remembers the calls. Clones are the same.
#[derive(Clone)]
pub struct Faults(Arc<Mutex<(Plan, Vec<Call>)>>);

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").field("calls", &self.state().1.len()).finish()
    }
}

impl Faults {
    /// Asks `plan` at each call.
    pub fn new(plan: impl FnMut(Call) -> Option<Fault> + Send + 'static) -> Faults {
        Faults(Arc::new(Mutex::new((Box::new(plan), Vec::new()))))
    }

    /// What was called so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.state().1.clone()
    }

    /// That source, with faults.
    pub fn source(&self, source: impl Source + 'static) -> Box<dyn Source> {
        Box::new(FaultySource { source: Box::new(source), faults: self.clone() })
    }

    /// That sink, with faults.
    pub fn sink(&self, sink: impl Sink + 'static) -> Box<dyn Sink> {
        Box::new(FaultySink { sink: Box::new(sink), faults: self.clone() })
    }

    fn state(&self) -> MutexGuard<'_, (Plan, Vec<Call>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, call: Call) -> Option<Fault> {
        let mut state = self.state();
        state.1.push(call);
        let fault = (state.0)(call);
        drop(state);
        if fault == Some(Fault::Panic) {
            // Without a message on standard error.
            std::panic::resume_unwind(Box::new("planted"));
        }
        fault
    }

    /// `inner` does it, unless the broker is not reached.
    fn call<R>(&self, call: Call, inner: impl FnOnce() -> Result<R, ConnectError>) -> Result<R, ConnectError> {
        Faults::answer(self.ask(call), inner)
    }

    fn count(&self, call: Call, inner: impl FnOnce() -> Result<usize, ConnectError>) -> Result<usize, ConnectError> {
        let fault = self.ask(call);
        let count = Faults::answer(fault, inner)?;
        Ok(if let Some(Fault::Count(told)) = fault { told } else { count })
    }

    fn answer<R>(fault: Option<Fault>, inner: impl FnOnce() -> Result<R, ConnectError>) -> Result<R, ConnectError> {
        let (engine, what) = ("faulty", "planted".to_owned());
        match fault {
            Some(Fault::Lost) => Err(ConnectError::Lost { engine, what }),
            Some(Fault::Refused) => Err(ConnectError::Refused { engine, what, advice: "expect it".into() }),
            Some(Fault::LostAfter) => inner().and(Err(ConnectError::Lost { engine, what })),
            _ => inner(),
        }
    }
}

struct FaultySource {
    source: Box<dyn Source>,
    faults: Faults,
}

struct FaultyReader {
    reader: Box<dyn Reader>,
    faults: Faults,
}

struct FaultySettler {
    settler: Box<dyn Settler>,
    faults: Faults,
}

struct FaultySink {
    sink: Box<dyn Sink>,
    faults: Faults,
}

impl Source for FaultySource {
    fn engine(&self) -> &'static str {
        "faulty"
    }

    fn open(&mut self, window: usize) -> Result<(Box<dyn Reader>, Box<dyn Settler>), ConnectError> {
        let (reader, settler) = self.faults.call(Call::Open, || self.source.open(window))?;
        let faults = self.faults.clone();
        Ok((Box::new(FaultyReader { reader, faults: faults.clone() }), Box::new(FaultySettler { settler, faults })))
    }
}

impl Reader for FaultyReader {
    /// Lost after it was done: what was taken is there beside the error.
    fn poll(&mut self, room: usize, wait: Duration, into: &mut Vec<Delivery>) -> Result<Polled, ConnectError> {
        self.faults.call(Call::Poll { room }, || self.reader.poll(room, wait, into))
    }

    fn lag(&mut self) -> Option<u64> {
        self.faults.ask(Call::Lag);
        self.reader.lag()
    }

    fn close(&mut self) -> Result<(), ConnectError> {
        self.faults.call(Call::CloseReader, || self.reader.close())
    }
}

impl Settler for FaultySettler {
    fn ack(&mut self, positions: &[Position]) -> Result<usize, ConnectError> {
        self.faults.count(Call::Ack { count: positions.len() }, || self.settler.ack(positions))
    }

    fn nack(&mut self, positions: &[Position]) -> Result<usize, ConnectError> {
        self.faults.count(Call::Nack { count: positions.len() }, || self.settler.nack(positions))
    }

    fn close(&mut self) -> Result<(), ConnectError> {
        self.faults.call(Call::CloseSettler, || self.settler.close())
    }
}

impl Sink for FaultySink {
    fn engine(&self) -> &'static str {
        "faulty"
    }

    fn open(&mut self) -> Result<(), ConnectError> {
        self.faults.call(Call::OpenSink, || self.sink.open())
    }

    fn publish(&mut self, messages: &[Message]) -> Result<(), ConnectError> {
        let fault = self.faults.ask(Call::Publish { count: messages.len() });
        if let Some(Fault::Message(index)) = fault {
            self.sink.publish(&messages[..index.min(messages.len())])?;
            return Err(ConnectError::Message { engine: "faulty", index, what: "planted".into() });
        }
        Faults::answer(fault, || self.sink.publish(messages))
    }

    fn close(&mut self) -> Result<(), ConnectError> {
        self.faults.call(Call::CloseSink, || self.sink.close())
    }
}

macro_rules! dropped {
    ($($half:ident, $call:ident;)*) => {
        $(impl Drop for $half {
            fn drop(&mut self) {
                self.faults.ask(Call::$call);
            }
        })*
    };
}

dropped! {
    FaultyReader, DropReader;
    FaultySettler, DropSettler;
    FaultySink, DropSink;
}
