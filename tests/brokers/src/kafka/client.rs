//! Another client: rdkafka, without the engine.

use super::group;
use fanpool::connect::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::collections::HashSet;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

fn consumer(servers: &str, topic: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", group(topic))
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "earliest")
        .set("fetch.wait.max.ms", "10")
        .set("allow.auto.create.topics", "false")
        .create()
        .expect("a client")
}

/// Calls it until it succeeds: a broker that has just started may not know everything yet.
fn patiently<T, E: std::fmt::Debug>(mut call: impl FnMut() -> Result<T, E>) -> T {
    let began = Instant::now();
    loop {
        match call() {
            Ok(value) => return value,
            Err(error) => assert!(began.elapsed() < PATIENCE, "{error:?}"),
        }
    }
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> i32 {
    let metadata = patiently(|| consumer.fetch_metadata(Some(topic), PATIENCE));
    i32::try_from(metadata.topics()[0].partitions().len()).expect("few")
}

/// What is behind these offsets, one for each partition. Read to the end that fetching tells: Tansu 0.6.0 answers a question for the last offset
/// with the first one of the last batch.
fn read(servers: &str, topic: &str, from: &[u64]) -> Vec<Message> {
    let consumer = consumer(servers, topic);
    let mut list = TopicPartitionList::new();
    for (partition, from) in (0..).zip(from) {
        let from = Offset::Offset((*from).try_into().expect("an offset"));
        list.add_partition_offset(topic, partition, from).expect("an offset");
    }
    consumer.assign(&list).expect("an assignment");
    let mut found = vec![Vec::new(); from.len()];
    let mut open: HashSet<i32> = (0..).zip(from).map(|(partition, _)| partition).collect();
    let began = Instant::now();
    while !open.is_empty() {
        assert!(began.elapsed() < PATIENCE, "{found:?} of {topic}, and no end");
        let message = match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => message,
            Some(Err(KafkaError::PartitionEOF(at))) => {
                open.remove(&at);
                continue;
            }
            _ => continue,
        };
        let mut own = Message::new(message.payload().unwrap_or_default());
        if let Some(key) = message.key() {
            own = own.with_key(key);
        }
        for header in message.headers().into_iter().flat_map(Headers::iter) {
            own = own.with_header(header.key, header.value.unwrap_or_default());
        }
        if open.contains(&message.partition()) {
            found[usize::try_from(message.partition()).expect("of those asked for")].push(own);
        }
    }
    found.concat()
}

pub(super) fn committed(servers: &str, topic: &str) -> Vec<u64> {
    let consumer = consumer(servers, topic);
    let mut list = TopicPartitionList::new();
    (0..partitions(&consumer, topic)).for_each(|partition| {
        list.add_partition(topic, partition);
    });
    let known = patiently(|| consumer.committed_offsets(list.clone(), PATIENCE));
    let offset = |offset| match offset {
        Offset::Offset(offset) => offset.try_into().expect("an offset"),
        _ => 0,
    };
    known.elements().iter().map(|partition| offset(partition.offset())).collect()
}

pub(super) fn dump(servers: &str, topic: &str) -> Vec<Message> {
    let partitions = partitions(&consumer(servers, topic), topic);
    read(servers, topic, &vec![0; partitions as usize])
}

pub(super) fn unacknowledged(servers: &str, topic: &str) -> u64 {
    read(servers, topic, &committed(servers, topic)).len() as u64
}

fn producer(servers: &str) -> ThreadedProducer<DefaultProducerContext> {
    ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("enable.idempotence", "true")
        .set("linger.ms", "1")
        .set("message.max.bytes", "4000000")
        .set("allow.auto.create.topics", "false")
        .create()
        .expect("a client")
}

pub(super) fn put(servers: &str, topic: &str, messages: &[Message]) {
    let producer = producer(servers);
    for message in messages {
        let headers = message.headers().fold(OwnedHeaders::new(), |headers, (name, value)| {
            headers.insert(Header { key: name, value: Some(value) })
        });
        let mut record = BaseRecord::<[u8], [u8], _>::to(topic).payload(message.payload()).headers(headers);
        if let Some(key) = message.key() {
            record = record.key(key);
        }
        while let Err((error, again)) = producer.send(record) {
            assert_eq!(error.rdkafka_error_code(), Some(rdkafka::types::RDKafkaErrorCode::QueueFull), "{error}");
            producer.flush(PATIENCE).expect("room");
            record = again;
        }
    }
    producer.flush(PATIENCE).expect("they are stored");
}

pub(super) fn put_null(servers: &str, topic: &str, key: &str) {
    let producer = producer(servers);
    producer.send(BaseRecord::<str, [u8], _>::to(topic).key(key)).map_err(|(error, _)| error).expect("it is taken");
    producer.flush(PATIENCE).expect("it is stored");
}

pub(super) fn put_odd_header(servers: &str, topic: &str) {
    let producer = producer(servers);
    let bytes = vec![b'n', 0xE4, b'h'];
    // SAFETY: rdkafka takes the name's pointer and length, and hands them on as bytes.
    let name = unsafe { String::from_utf8_unchecked(bytes) };
    let value = Some("x");
    let headers = OwnedHeaders::new().insert(Header { key: &name, value }).insert(Header { key: "good", value });
    let record = BaseRecord::<[u8], str, _>::to(topic).payload("odd").headers(headers);
    producer.send(record).map_err(|(error, _)| error).expect("it is taken");
    producer.flush(PATIENCE).expect("it is stored");
}
