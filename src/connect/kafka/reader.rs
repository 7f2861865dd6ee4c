//! The two halves of an open source.

use super::Kafka;
use super::causes::{Cause, cause, code, failed, lost};
use super::member::{Consumer, Context, Member, assign};
use crate::connect::session::session;
use crate::connect::tracker::Tracker;
use crate::connect::{ConnectError, Delivery, Message, Polled, Position, Reader, Settler};
use crate::panics;
use crate::sync::{Arc, now, thread};
use rdkafka::consumer::Consumer as _;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message as _};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a look for a broker takes at most while all are away, and how often a reader that waits calls librdkafka at least.
const LOOK: Duration = Duration::from_secs(1);

pub(super) struct KafkaReader {
    kafka: Kafka,
    topic: String,
    member: Arc<Member>,
    queues: Vec<Queue>,
    /// The queue that is asked first next time.
    turn: usize,
    /// Of which `None` is left once it is closed.
    consumer: Option<Arc<Consumer>>,
    committer: Option<thread::JoinHandle>,
    span: usize,
    /// All brokers are away, as far as is known.
    down: bool,
    /// An error of a partition that came with messages, which are handed out first.
    wrong: Option<KafkaError>,
}

/// A partition that is assigned.
struct Queue {
    number: u32,
    session: u64,
    messages: PartitionQueue<Context>,
    /// What came by the consumer's queue; before all that is in `messages`.
    strays: VecDeque<(u64, Message)>,
    /// Behind the last one that was delivered.
    next: Option<u64>,
}

impl Queue {
    /// The next message with its offset, if one is there; or why there is none any more.
    fn take(&mut self) -> Option<Result<(u64, Message), KafkaError>> {
        if let Some(stray) = self.strays.pop_front() {
            return Some(Ok(stray));
        }
        loop {
            match self.messages.poll(Duration::ZERO)? {
                Ok(message) => {
                    if let Ok(offset) = u64::try_from(message.offset()) {
                        return Some(Ok((offset, convert(&message))));
                    }
                }
                Err(error) if matches!(cause(code(&error)), Cause::Passing) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Tells the tracker of those from `from` on.
    fn deliver(&self, tracker: &Tracker, deliveries: &mut Vec<Delivery>, from: usize) {
        tracker.deliver((self.number, self.session), deliveries, from, |delivery| delivery.position.offset);
    }
}

impl KafkaReader {
    pub(super) fn new(
        kafka: Kafka,
        topic: String,
        member: Arc<Member>,
        consumer: Arc<Consumer>,
        committer: thread::JoinHandle,
        span: usize,
    ) -> KafkaReader {
        let (consumer, committer) = (Some(consumer), Some(committer));
        KafkaReader {
            kafka,
            topic,
            member,
            queues: Vec::new(),
            turn: 0,
            consumer,
            committer,
            span,
            down: false,
            wrong: None,
        }
    }

    /// Serves callbacks: rebalances, errors and statistics.
    fn serve(&mut self) -> Result<(), ConnectError> {
        let Some(consumer) = self.consumer.clone() else { return Err(lost("the source is closed")) };
        loop {
            let calls = self.member.seen.lock().calls;
            let event = consumer.poll(Duration::ZERO);
            self.follow(&consumer);
            match event {
                Some(Ok(message)) => self.stray(&message),
                Some(Err(error)) => self.judge(&error)?,
                None if self.member.seen.lock().calls == calls => return Ok(()),
                None => {}
            }
        }
    }

    /// Does what a rebalance asks for: drops queues of what was taken, splits those off of what is given, and assigns it.
    fn follow(&mut self, consumer: &Arc<Consumer>) {
        let (taken, given) = {
            let mut seen = self.member.seen.lock();
            if seen.taken.is_empty() && seen.given.is_empty() {
                return;
            }
            (std::mem::take(&mut seen.taken), std::mem::take(&mut seen.given))
        };
        self.queues.retain(|queue| !taken.contains(&queue.number));
        for partitions in given {
            for partition in partitions.elements() {
                let (topic, index) = (partition.topic(), partition.partition());
                let number = self.member.table.number(topic, index);
                let session = session();
                let Some(mut messages) = consumer.split_partition_queue(topic, index) else { continue };
                let bell = self.member.bell.clone();
                messages.set_nonempty_callback(move || bell.ring());
                self.member.tracker.assign(number, session, 0);
                self.queues.push(Queue { number, session, messages, strays: VecDeque::new(), next: None });
            }
            // If it fails, it is because librdkafka has decided on otherwise, and tells by another event.
            let _ = assign(consumer, &partitions);
        }
        // What is there already rings no more.
        self.member.bell.ring();
    }

    fn stray(&mut self, message: &BorrowedMessage<'_>) {
        let number = self.member.table.number(message.topic(), message.partition());
        let queue = self.queues.iter_mut().find(|queue| queue.number == number);
        if let (Some(queue), Ok(offset)) = (queue, u64::try_from(message.offset())) {
            queue.strays.push_back((offset, convert(message)));
        }
    }

    fn judge(&mut self, error: &KafkaError) -> Result<(), ConnectError> {
        let Some(code) = error.rdkafka_error_code() else { return Ok(()) };
        match cause(code) {
            Cause::Passing => Ok(()),
            Cause::Lost => {
                self.down = true;
                Err(self.member.seen.lock().said.no_answer(&self.kafka, code))
            }
            Cause::Refused(_) => match self.member.seen.lock().said.about(code) {
                Some(text) => Err(failed(code, self.kafka.redacted(text))),
                None if code == RDKafkaErrorCode::Authentication => Ok(()),
                None => Err(failed(code, code.to_string())),
            },
        }
    }

    /// Whether a broker is there again.
    fn look(&mut self) -> Result<(), ConnectError> {
        let Some(consumer) = &self.consumer else { return Ok(()) };
        let time = self.kafka.connect_timeout.min(LOOK);
        match consumer.fetch_metadata(Some(&self.topic), time) {
            Ok(_) => {
                self.down = false;
                let mut seen = self.member.seen.lock();
                seen.said.clear();
                Ok(())
            }
            Err(error) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::AllBrokersDown);
                Err(self.member.seen.lock().said.no_answer(&self.kafka, code))
            }
        }
    }

    /// Takes at most `room`, from one partition after another as far as its span allows.
    fn take(&mut self, room: usize, into: &mut Vec<Delivery>) -> Result<(), ConnectError> {
        if let Some(error) = self.wrong.take() {
            return self.judge(&error);
        }
        let mut left = room;
        for at in 0..self.queues.len() {
            let at = (self.turn + at) % self.queues.len();
            let queue = &mut self.queues[at];
            let span = self.span.saturating_sub(self.member.tracker.outstanding(queue.number));
            let before = into.len();
            let mut from = before;
            while into.len() - before < span.min(left) {
                let (offset, message) = match queue.take() {
                    Some(Ok(taken)) => taken,
                    Some(Err(error)) => {
                        // What is behind it may be behind something that was left out.
                        self.wrong = Some(error);
                        break;
                    }
                    None => break,
                };
                if queue.next.is_some_and(|next| offset < next) {
                    // The log was cut off, or begins again: what has this offset now is another message.
                    queue.deliver(&self.member.tracker, into, from);
                    from = into.len();
                    queue.session = session();
                    self.member.tracker.assign(queue.number, queue.session, 0);
                }
                let position = Position { partition: queue.number, offset, part: 0, session: queue.session };
                into.push(Delivery { message, position, attempt: 1 });
                queue.next = Some(offset + 1);
            }
            queue.deliver(&self.member.tracker, into, from);
            left -= into.len() - before;
            if self.wrong.is_some() {
                break;
            }
        }
        self.turn = self.turn.wrapping_add(1);
        match self.wrong.take() {
            Some(error) if left == room => self.judge(&error),
            wrong => {
                self.wrong = wrong;
                Ok(())
            }
        }
    }

    fn leave(&mut self) -> Result<(), ConnectError> {
        let Some(consumer) = self.consumer.take() else { return Ok(()) };
        let deadline = now().checked_add(self.member.patience);
        self.member.seen.lock().leaving = true;
        let committed = self.member.commits.settle(&[], deadline);
        self.queues.clear();
        for partition in self.member.tracker.partitions() {
            self.member.tracker.revoke(partition);
        }
        let stopped = self.member.commits.stop(deadline);
        drop(consumer);
        if let Some(committer) = self.committer.take().filter(|_| stopped) {
            committer.join();
        }
        if committed && stopped { Ok(()) } else { Err(lost("what was acknowledged last may not be committed")) }
    }
}

impl Drop for KafkaReader {
    fn drop(&mut self) {
        // Whoever drops it without closing it does not ask.
        let _ = self.leave();
    }
}

impl Reader for KafkaReader {
    fn poll(&mut self, room: usize, wait: Duration, into: &mut Vec<Delivery>) -> Result<Polled, ConnectError> {
        let deadline = now().checked_add(wait);
        let before = into.len();
        if self.down {
            self.serve()?;
            self.look()?;
        }
        loop {
            self.serve()?;
            if room > 0 {
                self.take(room, into)?;
            }
            if let Some(code) = self.member.commits.refused() {
                return Err(failed(code, format!("commit: {code}")));
            }
            if into.len() > before || deadline.is_some_and(|deadline| now() >= deadline) {
                return Ok(Polled::More);
            }
            // Whoever is not heard of for too long is put out of the group.
            let soon = now().checked_add(LOOK);
            self.member.bell.wait(deadline.into_iter().chain(soon).min());
        }
    }

    fn lag(&mut self) -> Option<u64> {
        let seen = self.member.seen.lock();
        let known = self.queues.iter().filter_map(|queue| {
            let mark = seen.marks.get(&queue.number)?;
            Some(mark.end.saturating_sub(queue.next.unwrap_or(mark.from)))
        });
        known.fold(None, |sum, lag| Some(sum.unwrap_or(0) + lag))
    }

    fn close(&mut self) -> Result<(), ConnectError> {
        self.leave()
    }
}

pub(super) struct KafkaSettler {
    member: Arc<Member>,
    /// So many contiguous offsets of a partition are committed at once.
    urgent: usize,
}

impl KafkaSettler {
    pub(super) fn new(member: Arc<Member>, span: usize) -> KafkaSettler {
        KafkaSettler { member, urgent: (span / 4).max(1) }
    }
}

impl Settler for KafkaSettler {
    fn ack(&mut self, positions: &[Position]) -> Result<usize, ConnectError> {
        let (done, ready) = self.member.tracker.finish(positions);
        if done > 0 {
            self.member.commits.acknowledged(ready >= self.urgent);
        }
        Ok(done)
    }

    fn nack(&mut self, positions: &[Position]) -> Result<usize, ConnectError> {
        Ok(self.member.tracker.hand_back(positions))
    }

    fn close(&mut self) -> Result<(), ConnectError> {
        let deadline: Option<Instant> = now().checked_add(self.member.patience);
        if self.member.commits.settle(&[], deadline) {
            Ok(())
        } else {
            Err(lost("what was acknowledged may not be committed"))
        }
    }
}

fn convert(message: &BorrowedMessage<'_>) -> Message {
    let (payload, key) = (message.payload().unwrap_or_default().into(), message.key().map(Into::into));
    // There may be a hundred thousand of them: none is looked for among the others.
    let mut own = Vec::new();
    if let Some(headers) = message.headers() {
        for at in 0..headers.count() {
            // The client panics at a name that is not UTF-8, which other clients may send.
            if let Ok(Some(header)) = panics::catch(|| headers.try_get(at)) {
                own.push((header.key.into(), header.value.unwrap_or_default().into()));
            }
        }
    }
    Message::from_parts(payload, key, own)
}
