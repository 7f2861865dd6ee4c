//! What a reader, its settler, its committer and librdkafka's callbacks share.

use super::causes::Said;
use super::commits::Commits;
use crate::connect::tracker::{Commit, Tracker};
use crate::sync::{Arc, Condvar, Mutex, now};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, DefaultConsumerContext, RebalanceProtocol};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Statistics, TopicPartitionList};
use std::collections::HashMap;
use std::time::{Duration, Instant};

pub(super) type Consumer = BaseConsumer<Context>;

/// Partitions by number, as positions name them; the numbers stay as long as the source.
#[derive(Default)]
pub(super) struct Table(Mutex<Names>);

#[derive(Default)]
struct Names {
    numbers: HashMap<(Arc<str>, i32), u32>,
    names: Vec<(Arc<str>, i32)>,
}

impl Table {
    pub(super) fn number(&self, topic: &str, partition: i32) -> u32 {
        let mut table = self.0.lock();
        let name: (Arc<str>, i32) = (topic.into(), partition);
        if let Some(number) = table.numbers.get(&name) {
            return *number;
        }
        let number = u32::try_from(table.names.len()).unwrap_or(u32::MAX);
        table.names.push(name.clone());
        table.numbers.insert(name, number);
        number
    }

    pub(super) fn name(&self, number: u32) -> Option<(Arc<str>, i32)> {
        self.0.lock().names.get(number as usize).cloned()
    }
}

/// Rung by whoever has something for the reader. A ring that nobody waits for is kept.
#[derive(Default)]
pub(super) struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
}

impl Bell {
    pub(super) fn ring(&self) {
        *self.rung.lock() = true;
        self.heard.notify_all();
    }

    /// Returns once it was rung since the last time, or when the time is over.
    pub(super) fn wait(&self, deadline: Option<Instant>) {
        let mut rung = self.rung.lock();
        while !*rung {
            if self.heard.wait_until(&mut rung, deadline) {
                break;
            }
        }
        *rung = false;
    }
}

/// See the module.
pub(super) struct Member {
    pub(super) tracker: Tracker,
    pub(super) table: Arc<Table>,
    pub(super) commits: Commits,
    pub(super) bell: Arc<Bell>,
    pub(super) patience: Duration,
    /// What the callbacks have seen since the reader last looked.
    pub(super) seen: Mutex<Seen>,
}

#[derive(Default)]
pub(super) struct Seen {
    /// Counts callbacks: with one the queue may hold more.
    pub(super) calls: u64,
    /// Partitions that were given, to be assigned by the reader; and those taken away, whose queues it drops.
    pub(super) given: Vec<TopicPartitionList>,
    pub(super) taken: Vec<u32>,
    pub(super) said: Said,
    /// How far each partition reaches, and where this group is.
    pub(super) marks: HashMap<u32, Mark>,
    /// The reader is leaving: nothing new is taken.
    pub(super) leaving: bool,
}

#[derive(Clone, Copy)]
pub(super) struct Mark {
    pub(super) end: u64,
    pub(super) from: u64,
}

impl Member {
    /// These partitions are another's from here on. Commits what is contiguous, waits for it, and tells the reader.
    fn let_go(&self, partitions: &TopicPartitionList, lost: bool) {
        let numbers: Vec<u32> = partitions
            .elements()
            .iter()
            .map(|partition| self.table.number(partition.topic(), partition.partition()))
            .collect();
        let last: Vec<Commit> = numbers.iter().filter_map(|number| self.tracker.revoke(*number)).collect();
        if !last.is_empty() && !lost {
            self.commits.settle(&last, now().checked_add(self.patience));
        }
        let mut seen = self.seen.lock();
        for number in &numbers {
            seen.marks.remove(number);
        }
        seen.taken.extend(numbers);
    }
}

/// What librdkafka calls, on the thread that polls.
pub(super) struct Context(pub(super) Arc<Member>);

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.0.seen.lock().calls += 1;
        DefaultConsumerContext.log(level, facility, text);
    }

    fn stats(&self, statistics: Statistics) {
        let mut seen = self.0.seen.lock();
        seen.calls += 1;
        for (topic, known) in &statistics.topics {
            for partition in known.partitions.values().filter(|partition| partition.partition >= 0) {
                let end = if partition.ls_offset >= 0 { partition.ls_offset } else { partition.hi_offset };
                let from = partition.committed_offset.max(partition.app_offset).max(partition.lo_offset).max(0);
                if let (Ok(end), Ok(from)) = (u64::try_from(end), u64::try_from(from)) {
                    seen.marks.insert(self.0.table.number(topic, partition.partition), Mark { end, from });
                }
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let mut seen = self.0.seen.lock();
        seen.calls += 1;
        seen.said.note(&error, reason);
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &Consumer, event: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        let mut seen = self.0.seen.lock();
        seen.calls += 1;
        if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            if seen.leaving {
                // They are taken away again by another event, which librdkafka waits for before it is closed.
                let _ = assign(consumer, partitions);
            } else {
                seen.given.push(partitions.clone());
            }
            return;
        }
        drop(seen);
        self.0.let_go(partitions, consumer.assignment_lost());
        // What fails here librdkafka has decided on otherwise, and tells by another event.
        let _ = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(partitions),
            _ => consumer.unassign(),
        };
    }
}

pub(super) fn assign(consumer: &Consumer, partitions: &TopicPartitionList) -> Result<(), KafkaError> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(partitions),
        _ => consumer.assign(partitions),
    }
}
