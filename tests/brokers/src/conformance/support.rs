//! What cases have in common.

use crate::Broker;
use fanpool::connect::{ConnectError, Delivery, Message, Polled, Position, Reader, Settler, Source};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// How long is waited for what must come.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// How long one poll of several in turn waits.
pub(super) const TURN: Duration = Duration::from_millis(20);

/// A new queue, of which nobody else knows.
pub(super) fn queue(broker: &dyn Broker, case: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let queue = format!("{case}-{}-{}", process::id(), NEXT.fetch_add(1, Relaxed));
    broker.create(&queue);
    queue
}

/// Waits until it is so; looks again and again, as brokers tell nobody.
pub(super) fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Gives another thread time to come to where it waits. If it has not by then, a case proves less, and holds all the same.
pub(super) fn let_it_wait() {
    thread::sleep(Duration::from_millis(100));
}

/// Calls again while the broker is lost.
pub(super) fn insist<T>(what: &str, mut call: impl FnMut() -> Result<T, ConnectError>) -> T {
    let start = Instant::now();
    loop {
        match call() {
            Ok(value) => return value,
            Err(error) if error.is_transient() && start.elapsed() < PATIENCE => {
                thread::sleep(Duration::from_millis(20))
            }
            Err(error) => panic!("{what}: {error}"),
        }
    }
}

pub(super) fn all_acknowledged(broker: &dyn Broker, queue: &str) {
    eventually("all are acknowledged", || broker.unacknowledged(queue) == 0);
}

/// A message that is a number; its key is one of eight, which keep every one of three partitions busy.
pub(super) fn numbered(number: usize) -> Message {
    Message::new(number.to_string()).with_key(format!("key-{}", number % 8))
}

pub(super) fn number(message: &Message) -> usize {
    std::str::from_utf8(message.payload()).unwrap().parse().unwrap()
}

pub(super) fn numbers(deliveries: &[Delivery]) -> Vec<usize> {
    let mut numbers: Vec<_> = deliveries.iter().map(|delivery| number(&delivery.message)).collect();
    numbers.sort_unstable();
    numbers
}

pub(super) fn positions(deliveries: &[Delivery]) -> Vec<Position> {
    deliveries.iter().map(|delivery| delivery.position).collect()
}

pub(super) fn publish(broker: &dyn Broker, queue: &str, messages: &[Message]) {
    let mut sink = broker.sink(queue);
    sink.open().unwrap();
    sink.publish(messages).unwrap();
    sink.close().unwrap();
}

/// Sends messages with these numbers.
pub(super) fn send(broker: &dyn Broker, queue: &str, numbers: impl IntoIterator<Item = usize>) {
    publish(broker, queue, &numbers.into_iter().map(numbered).collect::<Vec<_>>());
}

/// An open source.
pub(super) struct Member {
    pub(super) reader: Box<dyn Reader>,
    pub(super) settler: Box<dyn Settler>,
}

impl Member {
    pub(super) fn join(broker: &dyn Broker, queue: &str, window: usize) -> Member {
        Member::open(&mut *broker.source(queue), window)
    }

    pub(super) fn open(source: &mut dyn Source, window: usize) -> Member {
        let (reader, settler) = source.open(window).unwrap();
        Member { reader, settler }
    }

    /// One poll.
    pub(super) fn poll(&mut self, room: usize, wait: Duration) -> Vec<Delivery> {
        let mut into = Vec::new();
        assert_eq!(self.reader.poll(room, wait, &mut into).unwrap(), Polled::More);
        assert!(into.len() <= room, "{} deliveries where there was room for {room}", into.len());
        into
    }

    /// Polls until there are so many.
    pub(super) fn take(&mut self, count: usize) -> Vec<Delivery> {
        gather(&mut [self], count).remove(0)
    }

    pub(super) fn ack(&mut self, deliveries: &[Delivery]) -> usize {
        self.settler.ack(&positions(deliveries)).unwrap()
    }

    pub(super) fn nack(&mut self, deliveries: &[Delivery]) -> usize {
        self.settler.nack(&positions(deliveries)).unwrap()
    }

    pub(super) fn close(mut self) {
        self.settler.close().unwrap();
        self.reader.close().unwrap();
    }
}

/// Polls them in turn until together they have so many deliveries; returns those of each.
pub(super) fn gather(members: &mut [&mut Member], count: usize) -> Vec<Vec<Delivery>> {
    let start = Instant::now();
    let mut taken: Vec<_> = members.iter().map(|_| Vec::new()).collect();
    let mut sum = 0;
    while sum < count {
        assert!(start.elapsed() < PATIENCE, "{sum} of {count} deliveries within {PATIENCE:?}");
        for (member, taken) in members.iter_mut().zip(&mut taken) {
            let more = member.poll(count - sum, TURN);
            sum += more.len();
            taken.extend(more);
        }
    }
    taken
}

/// Takes and acknowledges until all numbers of the range were seen and the queue is empty; returns what came, in its order.
pub(super) fn drain(broker: &dyn Broker, queue: &str, mut member: Member) -> Vec<Delivery> {
    let mut taken = Vec::new();
    eventually("the rest is taken", || {
        let more = member.poll(100, TURN);
        member.ack(&more);
        let idle = more.is_empty();
        taken.extend(more);
        idle && broker.unacknowledged(queue) == 0
    });
    member.close();
    taken
}

/// A broker that is stopped; it runs again when this is gone.
pub(super) struct Stopped<'a>(&'a dyn Broker);

impl<'a> Stopped<'a> {
    /// `None` if this one cannot be stopped.
    pub(super) fn now(broker: &'a dyn Broker) -> Option<Stopped<'a>> {
        broker.stop().then(|| Stopped(broker))
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.0.start();
    }
}

/// Numbers that repeat from a seed.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }
}
