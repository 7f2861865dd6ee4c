//! The Kafka engine against the mock cluster and against Tansu, trait by trait.
#![cfg(feature = "kafka")]
#![allow(clippy::unwrap_used, reason = "these are tests, helpers too")]

mod consuming;
mod faults;
mod groups;
mod odds;
mod producing;

use brokers::kafka::{Cluster, Mock};
use fanpool::connect::{ConnectError, Delivery, Message, Position, Reader, Settler, Source};
use std::time::{Duration, Instant};

/// Nothing here takes so long unless it is lost.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a test against both.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod mock {
            $(#[test]
            fn $name() {
                super::$name(&brokers::kafka::Mock::start());
            })*
        }
        mod tansu {
            $(#[test]
            fn $name() {
                super::$name(&brokers::kafka::Tansu::start());
            })*
        }
    };
}
pub(crate) use on_both;

/// An open source.
struct Open {
    reader: Box<dyn Reader>,
    settler: Box<dyn Settler>,
}

impl Open {
    fn new(mut source: impl Source, window: usize) -> Open {
        let (reader, settler) = source.open(window).unwrap();
        Open { reader, settler }
    }

    /// One poll that may find the broker away for a moment.
    fn poll(&mut self, room: usize, wait: Duration) -> Vec<Delivery> {
        let mut taken = Vec::new();
        match self.reader.poll(room, wait, &mut taken) {
            Ok(_) => assert!(taken.len() <= room),
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
        taken
    }

    /// Polls until there are so many.
    fn take(&mut self, wanted: usize) -> Vec<Delivery> {
        let (mut taken, began) = (Vec::new(), Instant::now());
        while taken.len() < wanted {
            taken.extend(self.poll(wanted - taken.len(), Duration::from_millis(200)));
            assert!(began.elapsed() < PATIENCE, "{} of {wanted}", taken.len());
        }
        taken
    }

    /// Nothing comes, though something would if it were not held back.
    fn takes_none(&mut self) {
        let taken = self.poll(100, Duration::from_millis(500));
        assert!(taken.is_empty(), "{taken:?}");
    }

    fn ack(&mut self, deliveries: &[Delivery]) -> usize {
        let positions: Vec<Position> = deliveries.iter().map(|delivery| delivery.position).collect();
        self.settler.ack(&positions).unwrap()
    }

    /// Polls until it is told that something is wrong; does `before` before each.
    fn error(&mut self, before: impl Fn()) -> ConnectError {
        let began = Instant::now();
        loop {
            before();
            if let Err(error) = self.reader.poll(1, Duration::from_millis(100), &mut Vec::new()) {
                return error;
            }
            assert!(began.elapsed() < PATIENCE);
        }
    }

    fn close(mut self) {
        self.settler.close().unwrap();
        self.reader.close().unwrap();
    }
}

/// A cluster whose topic "t" has one partition, with so many messages.
fn partition(messages: usize) -> Mock {
    let mock = Mock::start();
    mock.create_with("t", 1);
    mock.send("t", &numbers(0..messages));
    mock
}

/// `from..to` as messages.
fn numbers(range: std::ops::Range<usize>) -> Vec<Message> {
    range.map(|number| Message::new(number.to_string()).with_key((number % 7).to_string())).collect()
}

fn number(message: &Message) -> usize {
    std::str::from_utf8(message.payload()).unwrap().parse().unwrap()
}

/// The numbers of deliveries, sorted.
fn sorted(deliveries: &[Delivery]) -> Vec<usize> {
    let mut numbers: Vec<usize> = deliveries.iter().map(|delivery| number(&delivery.message)).collect();
    numbers.sort_unstable();
    numbers
}

/// Waits until the group has committed so many messages.
fn wait_for_commits(cluster: &dyn Cluster, topic: &str, wanted: u64) {
    let began = Instant::now();
    while cluster.committed(topic).iter().sum::<u64>() != wanted {
        assert!(began.elapsed() < PATIENCE, "{:?}, wanted {wanted}", cluster.committed(topic));
    }
}
