//! The thread of a source: the only one that the client is used from.
//!
//! ```text
//!          Connect             attached
//!   IDLE ----------> CONNECTING ------> UP
//!     ^                  | failed        | lost, refused, cancelled
//!     +------------------+---------------+        Close, or nobody is left: the end, from wherever it is
//! ```
//!
//! It waits for whatever comes first of a command, a delivery and an answer, and awaits nothing else while it is up. Acknowledgements are
//! handed to the client and not waited for: they are sent in their order, and what becomes of them shows at the next answer or when the
//! connection is lost.

use super::fault::{Fault, lost, refused, within};
use super::line::{self, Connected};
use super::link::Inbox;
use super::settings::Settings;
use super::source::Declare;
use super::state::{Command, Shared};
use super::tags::Settled;
use crate::connect::ConnectError;
use crate::connect::session::session;
use crate::sync::Arc;
use crate::sync::channel::{self, Sender};
use futures_lite::future::poll_once;
use futures_lite::stream::Stream;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Consumer, ErrorKind, Queue};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

/// Deliveries that are taken from the client before anything else is looked at.
const BATCH: usize = 256;

#[derive(Clone)]
pub(super) struct Connector {
    pub(super) settings: Settings,
    pub(super) queue: String,
    pub(super) declare: Declare,
    pub(super) window: u16,
    pub(super) shared: Arc<Shared>,
}

type Later<T> = Pin<Box<dyn Future<Output = T>>>;

enum Stage {
    Idle,
    Connecting(Later<Result<Box<Live>, ConnectError>>),
    Up(Box<Live>),
}

/// A queue that is consumed.
struct Live {
    connected: Connected,
    channel: Channel,
    consumer: Consumer,
    session: u64,
    answers: VecDeque<Answer>,
    count: u64,
}

/// What is to come for a question. They come in the order of the questions.
struct Answer {
    /// Who waits for it; nobody, if only the count is wanted.
    to: Option<Sender<Result<(), ConnectError>>>,
    queue: Later<Result<Queue, Fault>>,
}

enum Step {
    Command(Option<Command>),
    Attached(Result<Box<Live>, ConnectError>),
    Delivered,
    Answered(Option<Sender<Result<(), ConnectError>>>, Result<Queue, Fault>),
    /// No deliveries come any more.
    Ended(Option<lapin::Error>),
}

/// Nobody waits for a thread that is gone.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Connector {
    pub(super) fn run(self, inbox: &Inbox<Command>) {
        let _ending = Ending(self.shared.clone());
        async_io::block_on(self.serve(inbox));
    }

    async fn serve(&self, inbox: &Inbox<Command>) {
        let mut stage = Stage::Idle;
        let mut deliveries = Vec::new();
        let asked = loop {
            match poll_fn(|cx| poll(inbox, &mut stage, &mut deliveries, cx)).await {
                Step::Command(None) => break None,
                Step::Command(Some(Command::Close(to))) => break Some(to),
                Step::Command(Some(command)) => self.obey(command, &mut stage).await,
                Step::Attached(Ok(live)) => {
                    self.shared.up(live.session, live.count);
                    stage = Stage::Up(live);
                }
                Step::Attached(Err(error)) => {
                    stage = Stage::Idle;
                    self.shared.down(error);
                }
                Step::Delivered => self.shared.deliver(&mut deliveries),
                Step::Answered(to, Ok(queue)) => {
                    self.shared.counted(queue.message_count().into());
                    if let Some(to) = to {
                        self.shared.is_sure();
                        let _ = channel::send(&to, Ok(()));
                    }
                }
                Step::Answered(to, Err(fault)) => {
                    if let Stage::Up(live) = std::mem::replace(&mut stage, Stage::Idle) {
                        let error = live.connected.error(&self.at(), fault);
                        self.give_up(live, error, to).await;
                    }
                }
                Step::Ended(why) => {
                    if let Stage::Up(live) = std::mem::replace(&mut stage, Stage::Idle) {
                        let error = self.why_ended(&live, why).await;
                        self.give_up(live, error, None).await;
                    }
                }
            }
        };
        if let Stage::Up(live) = stage {
            live.connected.close(self.settings.goodbye()).await;
        }
        if let Some(to) = asked {
            let _ = channel::send(&to, Ok(()));
        }
    }

    fn at(&self) -> String {
        format!("queue {:?}", self.queue)
    }

    async fn obey(&self, command: Command, stage: &mut Stage) {
        match (command, stage) {
            (Command::Connect, stage @ Stage::Idle) => {
                let own = self.clone();
                *stage = Stage::Connecting(Box::pin(async move { own.attach().await }));
            }
            (Command::Settle { session, settled, again }, Stage::Up(live)) if session == live.session => {
                live.settle(settled, again).await;
            }
            (Command::Sync(to), Stage::Up(live)) => self.ask(live, Some(to)),
            (Command::Count, Stage::Up(live)) if live.answers.is_empty() => self.ask(live, None),
            (Command::Sync(to), _) => {
                let _ = channel::send(&to, Err(lost("there is no connection")));
            }
            _ => {}
        }
    }

    /// Asks for the queue, which answers after what it was told before.
    fn ask(&self, live: &mut Live, to: Option<Sender<Result<(), ConnectError>>>) {
        let (channel, queue, timeout) = (live.channel.clone(), self.queue.clone(), self.settings.response_timeout);
        let asked = async move {
            let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
            within(timeout, channel.queue_declare(queue.into(), passive, FieldTable::default())).await
        };
        live.answers.push_back(Answer { to, queue: Box::pin(asked) });
    }

    /// Connects and consumes.
    async fn attach(&self) -> Result<Box<Live>, ConnectError> {
        let connected = line::connect(&self.settings).await?;
        match self.consume(&connected).await {
            Ok((channel, consumer, count)) => {
                let (session, answers) = (session(), VecDeque::new());
                Ok(Box::new(Live { connected, channel, consumer, session, answers, count }))
            }
            Err(fault) => {
                let error = connected.error(&self.at(), fault);
                connected.close(self.settings.goodbye()).await;
                Err(error)
            }
        }
    }

    async fn consume(&self, connected: &Connected) -> Result<(Channel, Consumer, u64), Fault> {
        let time = self.settings.response_timeout;
        let channel = within(time, connected.connection.create_channel()).await?;
        within(time, channel.basic_qos(self.window, BasicQosOptions { global: false })).await?;
        let mut options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let mut arguments = FieldTable::default();
        match self.declare {
            Declare::Not => options.passive = true,
            Declare::Classic => {}
            Declare::Quorum => {
                arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
            }
        }
        let queue = || self.queue.as_str().into();
        let declared = within(time, channel.queue_declare(queue(), options, arguments)).await?;
        let consumed = channel.basic_consume(queue(), "".into(), BasicConsumeOptions::default(), FieldTable::default());
        Ok((channel.clone(), within(time, consumed).await?, declared.message_count().into()))
    }

    async fn why_ended(&self, live: &Live, why: Option<lapin::Error>) -> ConnectError {
        let Some(error) = why else {
            if !live.channel.status().connected() {
                return lost(format!("{}: the connection was closed", live.connected.place));
            }
            // The broker has cancelled: the queue was deleted, or has moved.
            let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
            let asked = live.channel.queue_declare(self.queue.as_str().into(), passive, FieldTable::default());
            return match within(self.settings.response_timeout, asked).await {
                Ok(_) => lost(format!("{}: {}: the broker has cancelled", live.connected.place, self.at())),
                Err(fault) if fault.code() == Some(404) => {
                    refused(format!("{} was deleted", self.at()), "create it, and start this consumer again")
                }
                Err(fault) => live.connected.error(&self.at(), fault),
            };
        };
        if matches!(error.kind(), ErrorKind::ParsingError(_)) {
            let what = format!("{}: the client cannot read one of the next messages", self.at());
            return refused(what, "take it out of the queue with another client: a header's name may not be UTF-8");
        }
        let fault = Fault::from(error);
        match fault.code() {
            // Of something that was allowed when it began: an acknowledgement that came too late for the broker.
            Some(406) => lost(format!("{}: {}", self.at(), fault.text(&live.connected.user))),
            _ => live.connected.error(&self.at(), fault),
        }
    }

    async fn give_up(&self, live: Box<Live>, error: ConnectError, to: Option<Sender<Result<(), ConnectError>>>) {
        for to in to.into_iter().chain(live.answers.into_iter().filter_map(|answer| answer.to)) {
            let _ = channel::send(&to, Err(lost(error.to_string())));
        }
        self.shared.down(error);
        live.connected.close(self.settings.goodbye()).await;
    }
}

impl Live {
    async fn settle(&self, settled: Settled, again: bool) {
        if let Some(tag) = settled.up_to {
            send(self.channel.basic_ack(tag, BasicAckOptions { multiple: true })).await;
        }
        for tag in settled.single {
            if again {
                send(self.channel.basic_nack(tag, BasicNackOptions { requeue: true, multiple: false })).await;
            } else {
                send(self.channel.basic_ack(tag, BasicAckOptions { multiple: false })).await;
            }
        }
    }
}

/// Hands a frame to the client, which the first poll does, and does not wait until it is written.
async fn send(frame: impl Future<Output = lapin::Result<()>>) {
    // If it could not be sent the consumer says why.
    let _ = poll_once(pin!(frame)).await;
}

fn poll(
    inbox: &Inbox<Command>,
    stage: &mut Stage,
    deliveries: &mut Vec<lapin::message::Delivery>,
    cx: &mut Context<'_>,
) -> Poll<Step> {
    if let Poll::Ready(command) = inbox.poll_next(cx) {
        return Poll::Ready(Step::Command(command));
    }
    let live = match stage {
        Stage::Idle => return Poll::Pending,
        Stage::Connecting(attached) => return attached.as_mut().poll(cx).map(Step::Attached),
        Stage::Up(live) => live,
    };
    // The first poll asks: so all are polled, though only the first can have come.
    let mut answered = None;
    for (index, answer) in live.answers.iter_mut().enumerate() {
        if let Poll::Ready(queue) = answer.queue.as_mut().poll(cx) {
            answered = Some((index, queue));
            break;
        }
    }
    if let Some((index, queue)) = answered {
        let to = live.answers.remove(index).and_then(|answer| answer.to);
        return Poll::Ready(Step::Answered(to, queue));
    }
    while deliveries.len() < BATCH {
        match Pin::new(&mut live.consumer).poll_next(cx) {
            Poll::Ready(Some(Ok(delivery))) => deliveries.push(delivery),
            Poll::Ready(end) => {
                // What came just before is the broker's again.
                deliveries.clear();
                return Poll::Ready(Step::Ended(end.and_then(Result::err)));
            }
            Poll::Pending if deliveries.is_empty() => return Poll::Pending,
            Poll::Pending => break,
        }
    }
    Poll::Ready(Step::Delivered)
}
