//! The thread that takes messages from the broker and feeds the service.

use super::super::codec::Decode;
use super::super::engine::{Polled, Reader};
use super::super::error::ConnectError;
use super::super::message::Delivery;
use super::letter::text;
use super::shared::{Entry, POLL, Part, Room, Shared, Told, Unfit, guarded};
use crate::fan::Feed;
use crate::panics;
use crate::sync::Arc;
use crate::trace;
use std::time::Duration;

pub(super) struct Feeder<T, E> {
    pub(super) reader: Box<dyn Reader>,
    pub(super) engine: &'static str,
    pub(super) decode: Box<dyn Decode<T>>,
    pub(super) feed: Feed<T, E>,
    pub(super) shared: Arc<Shared>,
    /// The most deliveries of a message that the handler sees.
    pub(super) deliveries: u32,
}

impl<T, E> Feeder<T, E> {
    /// Feeds until the end, and keeps the source alive until all is settled.
    pub(super) fn run(mut self) {
        // Whatever happens, the others hear of it.
        if let Err(payload) = panics::catch(|| self.work()) {
            let what = format!("the feeder panicked: {}", panics::message(&payload));
            panics::discard(payload);
            let advice = "this is a fault of the library".into();
            self.shared.fail(ConnectError::Refused { engine: self.engine, what, advice });
        }
        let Feeder { mut reader, engine, decode, feed, shared, .. } = self;
        // Closes the service. With its last owner goes the handler, whose `Drop` is the user's.
        panics::drop_each([feed]);
        panics::drop_each([decode]);
        shared.end();
        shared.set_fed();
        while !shared.wait_settled(Some(crate::sync::now() + POLL)) {
            // What this says will be said to the others, or changes nothing any more.
            let _ = guarded(engine, || reader.poll(0, Duration::ZERO, &mut Vec::new()));
        }
        let _ = guarded(engine, || reader.close());
        panics::drop_each([reader]);
    }

    fn work(&mut self) {
        let mut next = 0;
        let mut taken = Vec::new();
        let shared = self.shared.clone();
        let mut delays = None;
        loop {
            let room = match shared.room() {
                Room::For(room) => room,
                Room::None => 0,
                Room::Ending => return,
            };
            let wait = if room == 0 { Duration::ZERO } else { POLL };
            let polled = guarded(self.engine, || self.reader.poll(room, wait, &mut taken));
            let lag = panics::catch(|| self.reader.lag()).unwrap_or_else(|payload| {
                panics::discard(payload);
                None
            });
            shared.count(|counts| counts.lag = lag.or(counts.lag));
            // Also beside an error there may be messages.
            if !self.hand_on(&mut next, &mut taken) {
                return;
            }
            match polled {
                Ok(Polled::More) => {
                    shared.reached(Part::Reader);
                    delays = None;
                }
                Ok(Polled::End) => return,
                Err(error) if error.is_transient() => {
                    shared.lost(Part::Reader, self.engine, &error);
                    let delays = delays.get_or_insert_with(|| shared.delays());
                    if !shared.back_off(delays.next().unwrap_or(POLL), Part::Reader) {
                        return;
                    }
                }
                Err(error) => return shared.fail(error),
            }
        }
    }

    /// Sends what was taken; returns whether the service accepted it.
    fn hand_on(&self, next: &mut u64, taken: &mut Vec<Delivery>) -> bool {
        if taken.is_empty() {
            return true;
        }
        let (mut items, mut entries) = (Vec::with_capacity(taken.len()), Vec::with_capacity(taken.len()));
        for delivery in taken.drain(..) {
            let (item, told) = match self.item(&delivery) {
                Ok(item) => (Some(item), None),
                Err(unfit) => (None, Some(Box::new(Told { unfit: Some(unfit), history: String::new() }))),
            };
            let Delivery { message, position, attempt } = delivery;
            items.push((message.trace(), item));
            entries.push(Entry { message, position, attempt, told });
        }
        self.shared.take_in(*next, entries.into_iter());
        let mut items = items.into_iter();
        for (trace, item) in &mut items {
            if let Err(item) = trace::within(trace, || self.feed.send(item)) {
                panics::drop_each(item.into_iter().chain(items.filter_map(|(_, item)| item)));
                return false;
            }
            *next += 1;
        }
        true
    }

    /// The item of a message, if it is for the handler.
    fn item(&self, delivery: &Delivery) -> Result<T, Unfit> {
        if delivery.attempt > self.deliveries {
            let text = format!("delivered {} times; allowed are {}", delivery.attempt, self.deliveries);
            return Err(Unfit { reason: "too-many-deliveries", text });
        }
        match panics::catch(|| self.decode.decode(delivery)) {
            Ok(Ok(item)) => Ok(item),
            Ok(Err(error)) => Err(Unfit { reason: "undecodable", text: text(&error) }),
            Err(payload) => {
                let text = format!("the decoder panicked: {}", panics::message(&payload));
                panics::discard(payload);
                Err(Unfit { reason: "undecodable", text })
            }
        }
    }
}
