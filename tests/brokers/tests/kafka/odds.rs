//! What seldom happens: logs that begin again, and options at their bounds.

use super::*;
use fanpool::connect::Sink;
use rdkafka::types::RDKafkaApiKey as Api;
use rdkafka::types::RDKafkaRespErr as Error;

/// As if the topic had been made anew, or its log been cut off: the reader is told that there is no such offset, and begins again.
#[test]
fn i3_a_log_that_begins_again_is_a_new_session() {
    let mock = partition(20);
    let mut open = Open::new(mock.member("t"), 100);
    let taken = open.take(20);
    assert_eq!(open.ack(&taken[..19]), 19);
    // Now and then librdkafka lets one of these answers pass, and goes on where it was.
    let (mut again, began) = (Vec::new(), Instant::now());
    while again.is_empty() {
        assert!(began.elapsed() < PATIENCE);
        mock.ask(|cluster| cluster.request_errors(Api::Fetch, &[Error::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE]));
        again = open.poll(20, Duration::from_secs(3));
    }
    again.extend(open.take(20 - again.len()));
    assert_eq!(again.iter().map(|it| it.position.offset).collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
    assert_eq!(open.ack(&taken[19..]), 0, "whether it is the same message is not known");
    assert_eq!(open.ack(&again), 20);
    open.close();
    assert_eq!(mock.committed("t"), [20]);
}

#[test]
fn a_batch_that_cannot_be_read_is_told() {
    let mock = partition(1);
    let mut open = Open::new(mock.member("t"), 100);
    open.take(1);
    let error = open.error(|| {
        // As a broker does that has such a batch, each time.
        mock.ask(|cluster| cluster.request_errors(Api::Fetch, &[Error::RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED]));
    });
    assert!(matches!(&error, ConnectError::Refused { advice, .. } if advice.contains("compress")), "{error}");
}

#[test]
fn i7_compressed_batches_are_read() {
    let mock = Mock::start();
    let codecs: &[&str] =
        if cfg!(feature = "kafka-compression") { &["lz4", "snappy", "gzip", "zstd"] } else { &["lz4", "snappy"] };
    for codec in codecs {
        mock.create_with(codec, 1);
        let sent: Vec<Message> = (0..100).map(|n| Message::new(format!("{n:0500}"))).collect();
        let mut sink = mock.kafka().set("compression.codec", *codec).sink(*codec);
        sink.open().unwrap();
        sink.publish(&sent).unwrap();
        let mut open = Open::new(mock.member(codec), 100);
        let taken: Vec<Message> = open.take(100).into_iter().map(|delivery| delivery.message).collect();
        assert_eq!(taken, sent, "{codec}");
    }
}

#[test]
fn a_commit_that_failed_is_made_again_soon() {
    let mock = partition(60);
    let mut open = Open::new(mock.member("t").commit_interval(Duration::from_secs(3_600)).span(20), 20);
    let taken = open.take(20);
    assert_eq!(open.ack(&taken), 20);
    let taken = open.take(20);
    mock.ask(|cluster| {
        cluster.request_errors(Api::OffsetCommit, &[Error::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS]);
    });
    assert_eq!(open.ack(&taken), 20);
    // The span is full, and nothing more is acknowledged that could hurry.
    assert_eq!(sorted(&open.take(20)), (40..60).collect::<Vec<_>>());
}

#[test]
fn any_time_may_be_given() {
    let mock = partition(20);
    let mut open = Open::new(mock.member("t").commit_interval(Duration::MAX), 20);
    let taken = open.take(20);
    assert_eq!(open.ack(&taken[..1]), 1);
    wait_for_commits(&mock, "t", 1);
    assert_eq!(open.ack(&taken[1..]), 19);
    open.close();
    assert_eq!(mock.committed("t"), [20]);
    for time in [Duration::from_secs(400), Duration::from_secs(30 * 24 * 3_600), Duration::MAX] {
        let kafka = mock.kafka().response_timeout(time).connect_timeout(time);
        kafka.sink("t").publish(&numbers(0..1)).unwrap();
        let mut open = Open::new(kafka.source(["t"], format!("g-{}", time.as_secs())), 1);
        open.take(1);
        open.close();
    }
    let kafka = mock.kafka().response_timeout(Duration::ZERO);
    kafka.sink("t").open().unwrap();
    kafka.source(["t"], "g").open(1).unwrap();
}

#[test]
fn i6_names_that_no_topic_has() {
    let mock = Mock::start();
    for name in ["x".repeat(600), "a\0b".to_owned(), String::new()] {
        let errors = [mock.kafka().sink(&*name).open().unwrap_err(), mock.member(&name).open(1).err().unwrap()];
        assert!(errors.iter().all(|error| !error.is_transient()), "{errors:?}");
    }
}

#[test]
fn i1_what_was_refused_once_is_not_why_a_broker_is_away() {
    let mock = partition(0);
    mock.ask(|cluster| {
        cluster.request_errors(Api::InitProducerId, &[Error::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED]);
    });
    let mut sink = mock.kafka().response_timeout(Duration::from_secs(1)).sink("t");
    let began = Instant::now();
    sink.publish(&numbers(0..1)).unwrap_err();
    while let Err(error) = sink.publish(&numbers(0..1)) {
        assert!(began.elapsed() < PATIENCE, "{error}");
    }
    mock.down(true);
    let error = sink.publish(&numbers(1..2)).unwrap_err();
    assert!(error.is_transient(), "{error}");
}

/// Whoever calls waits longer than a member may keep silent.
#[test]
fn a_reader_that_waits_long_stays_in_its_group() {
    let mock = partition(10);
    let kafka = mock.kafka().set("max.poll.interval.ms", "6000").set("statistics.interval.ms", "0");
    let mut open = Open::new(kafka.source(["t"], "t-group"), 100);
    let taken = open.take(10);
    assert!(open.poll(90, Duration::from_secs(9)).is_empty());
    assert_eq!(open.ack(&taken), 10, "they are still its own");
}
