//! Consumers of messages: how feeder, collector and owner end. No time passes, so whoever waits for a time looks again at once.

use super::model;
use fanpool::FanOut;
use fanpool::connect::{
    CodecError, ConnectError, Consumer, Delivery, Message, Polled, Position, Reader, Receipt, Settler, Source,
};
use loom::alloc::Track;
use std::sync::Arc;
use std::time::Duration;

/// So many messages, and then the end, if there is one.
struct Few {
    messages: u64,
    ends: bool,
}

struct FewReader {
    next: u64,
    few: Few,
}

struct FewSettler(Track<()>);

impl Source for Few {
    fn engine(&self) -> &'static str {
        "few"
    }

    fn open(&mut self, _: usize) -> Result<(Box<dyn Reader>, Box<dyn Settler>), ConnectError> {
        let reader = FewReader { next: 0, few: Few { ..*self } };
        Ok((Box::new(reader), Box::new(FewSettler(Track::new(())))))
    }
}

impl Reader for FewReader {
    fn poll(&mut self, room: usize, _: Duration, into: &mut Vec<Delivery>) -> Result<Polled, ConnectError> {
        if room > 0 && self.next < self.few.messages {
            let position = Position { partition: 0, offset: self.next, part: 0, session: 0 };
            into.push(Delivery { message: Message::new("m"), position, attempt: 1 });
            self.next += 1;
            return Ok(Polled::More);
        }
        if room > 0 && self.few.ends {
            return Ok(Polled::End);
        }
        loom::thread::yield_now();
        Ok(Polled::More)
    }

    fn close(&mut self) -> Result<(), ConnectError> {
        Ok(())
    }
}

impl Settler for FewSettler {
    fn ack(&mut self, positions: &[Position]) -> Result<usize, ConnectError> {
        self.0.get_ref();
        Ok(positions.len())
    }

    fn nack(&mut self, positions: &[Position]) -> Result<usize, ConnectError> {
        self.0.get_ref();
        Ok(positions.len())
    }

    fn close(&mut self) -> Result<(), ConnectError> {
        Ok(())
    }
}

fn start(source: Few) -> Consumer {
    let decode = |_: &Delivery| Ok::<_, CodecError>(Arc::new(Track::new(())));
    let service = FanOut::builder(|item: Arc<Track<()>>| {
        item.get_ref();
        Ok::<_, String>(())
    });
    service.workers(1).window(1).consume(source, decode).discard_failed().start().unwrap()
}

fn adds_up(receipt: &Receipt) {
    let counts = receipt.counts;
    assert_eq!((counts.delivered, counts.in_hand), (counts.acknowledged + counts.handed_back, 0), "{receipt}");
    assert!(receipt.error.is_none(), "{receipt}");
}

#[test]
fn the_end_of_the_source_against_the_last_outcome() {
    model(1, || {
        let receipt = start(Few { messages: 1, ends: true }).join();
        adds_up(&receipt);
        assert_eq!(receipt.counts.acknowledged, 1);
    });
}

#[test]
fn a_stop_of_the_service_against_feeding() {
    model(1, || {
        let consumer = start(Few { messages: 1, ends: true });
        consumer.control().stop();
        adds_up(&consumer.join());
    });
}

#[test]
fn a_close_against_feeding() {
    model(1, || {
        let consumer = start(Few { messages: 1, ends: false });
        consumer.close();
        adds_up(&consumer.join());
    });
}

#[test]
fn a_drop_against_feeding() {
    model(1, || drop(start(Few { messages: 1, ends: false })));
}
