//! The thread of a sink.
//!
//! A batch is sent without waiting; then its confirms are awaited one after the other, in which order does not matter. If the broker
//! refuses one of them it closes the channel, which says why but not for which, and confirms no others. So a message that it may refuse is
//! sent alone, when all before it are confirmed: one that is larger than all that it took over this connection, which are few of many. If it
//! refuses another one all the same, those that were not confirmed are sent again, each awaited, until it refuses again. Those may have been
//! stored before; at least once is what is promised.

use super::fault::{Fault, lost, refused, within};
use super::line::{self, Connected};
use super::link::Inbox;
use super::settings::Settings;
use super::{ENGINE, wire};
use crate::connect::{ConnectError, Message};
use crate::sync::channel::{self, Sender};
use futures_lite::future::poll_once;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, ExchangeKind, PublisherConfirm};

#[derive(Clone)]
pub(super) struct Route {
    /// Empty for the one that delivers to the queue that the key names.
    pub(super) exchange: String,
    pub(super) key: String,
}

impl Route {
    pub(super) fn check(&self) -> Result<(), ConnectError> {
        if self.exchange.len() > 255 || self.key.len() > 255 || (self.exchange.is_empty() && self.key.is_empty()) {
            let what = "names and keys have at most 255 bytes, and a queue's has at least 1";
            return Err(refused(what, "give the queue's name, or the exchange's and a routing key"));
        }
        Ok(())
    }

    fn at(&self) -> String {
        match self.exchange.as_str() {
            "" => format!("queue {:?}", self.key),
            exchange => format!("exchange {exchange:?}"),
        }
    }
}

type Reply = Sender<Result<(), ConnectError>>;

pub(super) enum Command {
    Open(Reply),
    Publish(Vec<Message>, Reply),
}

pub(super) struct Publisher {
    settings: Settings,
    route: Route,
    live: Option<Live>,
}

struct Live {
    connected: Connected,
    channel: Channel,
    frame_max: usize,
    /// The largest payload that the broker has confirmed.
    largest: usize,
}

impl Live {
    /// Whether the broker may refuse it.
    fn may_refuse(&self, message: &Message) -> bool {
        message.payload().len() > self.largest
    }
}

/// Which of a batch are confirmed, and why the broker refuses one of the others.
struct Unsent {
    confirmed: Vec<bool>,
    what: String,
}

impl Publisher {
    pub(super) fn new(settings: Settings, route: Route) -> Publisher {
        Publisher { settings, route, live: None }
    }

    pub(super) fn run(mut self, inbox: &Inbox<Command>) {
        async_io::block_on(async {
            while let Some(command) = inbox.next().await {
                let (answer, to) = match command {
                    Command::Open(to) => (self.open().await, to),
                    Command::Publish(messages, to) => (self.publish(&messages).await, to),
                };
                let _ = channel::send(&to, answer);
            }
            if let Some(live) = self.live.take() {
                live.connected.close(self.settings.goodbye()).await;
            }
        });
    }

    /// Connects, if it is not.
    async fn open(&mut self) -> Result<(), ConnectError> {
        if let Some(live) = &self.live {
            if live.connected.connection.status().connected() && live.channel.status().connected() {
                return Ok(());
            }
            self.leave().await;
        }
        let connected = line::connect(&self.settings).await?;
        match self.prepare(&connected).await {
            Ok(channel) => {
                let frame_max = connected.connection.configuration().frame_max() as usize;
                self.live = Some(Live { connected, channel, frame_max, largest: 0 });
                Ok(())
            }
            Err(fault) => {
                let error = connected.error(&self.route.at(), fault);
                connected.close(self.settings.goodbye()).await;
                Err(error)
            }
        }
    }

    async fn prepare(&self, connected: &Connected) -> Result<Channel, Fault> {
        let (time, none) = (self.settings.response_timeout, FieldTable::default());
        let channel = within(time, connected.connection.create_channel()).await?;
        match self.route.exchange.as_str() {
            "" => {
                let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
                within(time, channel.queue_declare(self.route.key.as_str().into(), passive, none)).await?;
            }
            exchange => {
                let passive = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
                within(time, channel.exchange_declare(exchange.into(), ExchangeKind::Direct, passive, none)).await?;
            }
        }
        within(time, channel.confirm_select(ConfirmSelectOptions::default())).await?;
        Ok(channel)
    }

    async fn leave(&mut self) {
        if let Some(live) = self.live.take() {
            live.connected.close(self.settings.goodbye()).await;
        }
    }

    async fn publish(&mut self, messages: &[Message]) -> Result<(), ConnectError> {
        self.open().await?;
        let frame_max = self.live.as_ref().map_or(0, |live| live.frame_max);
        let mut batch = Vec::with_capacity(messages.len());
        let mut unfit = None;
        for (index, message) in messages.iter().enumerate() {
            match wire::properties(message, frame_max) {
                Ok(properties) => batch.push((message, properties)),
                Err(what) => {
                    unfit = Some(ConnectError::Message { engine: ENGINE, index, what });
                    break;
                }
            }
        }
        let mut sent = 0;
        while sent < batch.len() {
            let may_refuse = |message| self.live.as_ref().is_none_or(|live| live.may_refuse(message));
            let sure = batch[sent..].iter().take_while(|(message, _)| !may_refuse(message)).count();
            let part = &batch[sent..sent + sure.max(1)];
            if let Err(unsent) = self.send(part).await? {
                self.send_each(part, sent, unsent).await?;
            }
            sent += part.len();
        }
        unfit.map_or(Ok(()), Err)
    }

    /// Sends those that were not confirmed once more, one by one, to find which of them is refused. `first` is the
    /// index of the first of the part.
    async fn send_each(
        &mut self,
        part: &[(&Message, BasicProperties)],
        first: usize,
        Unsent { confirmed, what }: Unsent,
    ) -> Result<(), ConnectError> {
        if part.len() == 1 {
            return Err(ConnectError::Message { engine: ENGINE, index: first, what });
        }
        for ((index, one), _) in (first..).zip(part).zip(confirmed).filter(|(_, confirmed)| !confirmed) {
            self.open().await?;
            if let Err(Unsent { what, .. }) = self.send(std::slice::from_ref(one)).await? {
                return Err(ConnectError::Message { engine: ENGINE, index, what });
            }
        }
        Ok(())
    }

    /// Sends them all, and waits until each is confirmed or will not be.
    async fn send(&mut self, batch: &[(&Message, BasicProperties)]) -> Result<Result<(), Unsent>, ConnectError> {
        let Some(live) = &mut self.live else { return Err(lost("there is no connection")) };
        let options = BasicPublishOptions { mandatory: true, immediate: false };
        let mut sent = Vec::with_capacity(batch.len());
        for (message, properties) in batch {
            let (exchange, key) = (self.route.exchange.as_str().into(), self.route.key.as_str().into());
            let frames = live.channel.basic_publish(exchange, key, options, message.payload(), properties.clone());
            // The first poll hands it to the client, in its order.
            let mut frames = Box::pin(frames);
            sent.push(match poll_once(&mut frames).await {
                Some(written) => Sent::Written(written),
                None => Sent::Waiting(frames),
            });
        }
        let mut outcome = Outcome { confirmed: Vec::with_capacity(batch.len()), returned: 0, rejected: 0, fault: None };
        for sent in sent {
            let confirm = async {
                match sent {
                    Sent::Written(written) => written?,
                    Sent::Waiting(frames) => frames.await?,
                }
                .await
            };
            outcome.add(within(self.settings.response_timeout, confirm).await);
            if matches!(outcome.fault, Some(Fault::Late(_))) {
                break;
            }
        }
        let Outcome { confirmed, returned, rejected, fault } = outcome;
        let at = self.route.at();
        match fault {
            Some(fault @ Fault::Late(_)) => {
                let error = match live.connected.connection.status().blocked() {
                    true => lost(format!("{at}: the broker is short of memory or disk, and takes no messages")),
                    false => live.connected.error(&at, fault),
                };
                if let Some(live) = self.live.take() {
                    live.connected.cut().await;
                }
                Err(error)
            }
            // What a message has that the broker does not take.
            Some(fault) if matches!(fault.code(), Some(311 | 406)) => {
                Ok(Err(Unsent { confirmed, what: fault.text(&live.connected.user) }))
            }
            Some(fault) => {
                let error = live.connected.error(&at, fault);
                self.leave().await;
                Err(error)
            }
            None if returned > 0 => Err(refused(
                format!("{at}: no queue takes messages with the key {:?}", self.route.key),
                "create the queue, or bind one to the exchange with that key",
            )),
            None if rejected > 0 => {
                Err(lost(format!("{at}: the broker did not store {rejected} of {} messages", batch.len())))
            }
            None => {
                let largest = batch.iter().map(|(message, _)| message.payload().len()).max();
                live.largest = live.largest.max(largest.unwrap_or(0));
                Ok(Ok(()))
            }
        }
    }
}

/// A message on its way to the socket, or there.
enum Sent<F> {
    Written(lapin::Result<PublisherConfirm>),
    Waiting(F),
}

struct Outcome {
    confirmed: Vec<bool>,
    returned: usize,
    rejected: usize,
    /// The broker's own words, if there are any.
    fault: Option<Fault>,
}

impl Outcome {
    fn add(&mut self, confirmation: Result<Confirmation, Fault>) {
        self.confirmed.push(matches!(confirmation, Ok(Confirmation::Ack(None))));
        match confirmation {
            Ok(Confirmation::Ack(None)) => {}
            Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_))) => self.returned += 1,
            Ok(Confirmation::Nack(None) | Confirmation::NotRequested) => self.rejected += 1,
            Err(fault) => {
                if self.fault.as_ref().is_none_or(|known| known.code().is_none()) {
                    self.fault = Some(fault);
                }
            }
        }
    }
}

#[cfg(all(test, not(fanpool_loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_stored_is_not_confirmed() {
        let mut outcome = Outcome { confirmed: Vec::new(), returned: 0, rejected: 0, fault: None };
        outcome.add(Ok(Confirmation::Ack(None)));
        outcome.add(Ok(Confirmation::Nack(None)));
        outcome.add(Ok(Confirmation::NotRequested));
        outcome.add(Err(Fault::Late(std::time::Duration::ZERO)));
        assert_eq!(outcome.confirmed, [true, false, false, false]);
        assert_eq!((outcome.returned, outcome.rejected), (0, 2));
    }
}
