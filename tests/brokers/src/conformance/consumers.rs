//! What cases with consumers have in common.

use super::support::*;
use crate::Broker;
use fanpool::connect::{ConnectError, Consumer, Message, Sink};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How soon consumers of these cases try again.
pub(super) const FIRST: Duration = Duration::from_millis(20);
pub(super) const LONGEST: Duration = Duration::from_millis(200);

/// Where a consumer's messages come from, and where what becomes of them goes.
pub(super) struct Queues {
    pub(super) from: String,
    pub(super) results: String,
    pub(super) letters: String,
}

impl Queues {
    pub(super) fn new(broker: &dyn Broker, case: &str) -> Queues {
        let make = |what| queue(broker, &format!("{case}-{what}"));
        Queues { from: make("from"), results: make("results"), letters: make("letters") }
    }
}

/// How often a handler was called with each number.
#[derive(Clone, Default)]
pub(super) struct Calls(Arc<Mutex<BTreeMap<usize, u32>>>);

impl Calls {
    /// The how many-th call of this one it is.
    pub(super) fn of(&self, number: usize) -> u32 {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = calls.entry(number).or_default();
        *calls += 1;
        *calls
    }

    pub(super) fn all(&self) -> BTreeMap<usize, u32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn numbers(&self) -> Vec<usize> {
        self.all().into_keys().collect()
    }

    pub(super) fn sum(&self) -> usize {
        self.all().into_values().map(|calls| calls as usize).sum()
    }
}

/// What handlers wait at; each passes with a permit. Whoever made it must let all pass in the end, a test that fails too: [`Opener`].
#[derive(Clone, Default)]
pub(super) struct Gate(Arc<(Mutex<(usize, usize)>, Condvar)>);

/// Opens the gate for good when it is dropped. It is made after the consumer, so that it is dropped before.
pub(super) struct Opener(Gate);

impl Gate {
    pub(super) fn pass(&self) {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        state.1 += 1;
        changed.notify_all();
        while state.0 == 0 {
            state = changed.wait(state).unwrap();
        }
        state.0 -= 1;
        state.1 -= 1;
    }

    pub(super) fn permit(&self, count: usize) {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        state.0 = state.0.saturating_add(count);
        changed.notify_all();
    }

    pub(super) fn open(&self) {
        self.permit(usize::MAX / 2);
    }

    /// Waits until so many wait.
    pub(super) fn until_waiting(&self, count: usize) {
        let (state, changed) = &*self.0;
        let state = state.lock().unwrap();
        let (state, _) = changed.wait_timeout_while(state, PATIENCE, |state| state.1 < count).unwrap();
        assert!(state.1 >= count, "{} of {count} came to the gate", state.1);
    }

    pub(super) fn opener(&self) -> Opener {
        Opener(self.clone())
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// A sink that can be taken away from whoever uses it.
#[derive(Clone, Default)]
pub(super) struct Tap {
    shut: Arc<AtomicBool>,
    refused: Arc<AtomicUsize>,
}

struct Tapped {
    sink: Box<dyn Sink>,
    tap: Tap,
}

impl Tap {
    pub(super) fn on(&self, sink: Box<dyn Sink>) -> impl Sink + use<> {
        Tapped { sink, tap: self.clone() }
    }

    pub(super) fn shut(&self, shut: bool) {
        self.shut.store(shut, SeqCst);
    }

    /// How many calls came while it was shut.
    pub(super) fn refused(&self) -> usize {
        self.refused.load(SeqCst)
    }

    fn check(&self) -> Result<(), ConnectError> {
        if self.shut.load(SeqCst) {
            self.refused.fetch_add(1, SeqCst);
            return Err(ConnectError::Lost { engine: "tap", what: "it is shut".into() });
        }
        Ok(())
    }
}

impl Sink for Tapped {
    fn engine(&self) -> &'static str {
        "tap"
    }

    fn open(&mut self) -> Result<(), ConnectError> {
        self.tap.check()?;
        self.sink.open()
    }

    fn publish(&mut self, messages: &[Message]) -> Result<(), ConnectError> {
        self.tap.check()?;
        self.sink.publish(messages)
    }

    fn close(&mut self) -> Result<(), ConnectError> {
        self.sink.close()
    }
}

pub(super) fn text(message: &Message, header: &str) -> String {
    let value = message.header(header).unwrap_or_else(|| panic!("no header {header} in {message:?}"));
    String::from_utf8(value.to_vec()).unwrap()
}

/// The numbers of a queue, in their order by size.
pub(super) fn dumped(broker: &dyn Broker, queue: &str) -> Vec<usize> {
    let mut numbers: Vec<_> = broker.dump(queue).iter().map(number).collect();
    numbers.sort_unstable();
    numbers
}

/// Ends it, and checks that everything that was delivered is accounted for.
pub(super) fn end(consumer: Consumer) -> fanpool::BrokerCounts {
    let receipt = consumer.shutdown(PATIENCE);
    assert!(receipt.error.is_none(), "{receipt}");
    let counts = receipt.counts;
    assert_eq!(counts.in_hand, 0);
    let settled = counts.acknowledged + counts.handed_back + counts.late + counts.unsettled;
    assert_eq!(counts.delivered, settled, "{receipt}");
    counts
}

pub(super) fn until_acknowledged(consumer: &Consumer, count: u64) {
    let start = Instant::now();
    while consumer.counts().acknowledged < count {
        let (counts, health) = (consumer.counts(), consumer.health());
        assert!(start.elapsed() < PATIENCE, "{count} are not acknowledged: {counts:?}, {health:?}");
        thread::sleep(Duration::from_millis(10));
    }
}
