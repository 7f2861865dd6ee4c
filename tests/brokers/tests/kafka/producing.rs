//! Sinks.

use super::*;
use brokers::kafka::LARGEST;
use fanpool::connect::Sink;

on_both! {
    messages_are_stored_once_and_in_order
    i4_a_message_that_is_too_large_is_named
    i6_a_topic_that_is_not_there
}

fn messages_are_stored_once_and_in_order(cluster: &dyn Cluster) {
    cluster.create_with("t", 1);
    let mut sink = cluster.kafka().sink("t");
    sink.open().unwrap();
    sink.publish(&[]).unwrap();
    let all = numbers(0..3_000);
    all.chunks(700).for_each(|batch| sink.publish(batch).unwrap());
    sink.close().unwrap();
    assert!(cluster.all("t") == all, "{:?}", cluster.all("t").iter().map(number).collect::<Vec<_>>());
    // It connects anew.
    sink.publish(&all[..1]).unwrap();
    assert_eq!(cluster.all("t").len(), 3_001);
}

fn i4_a_message_that_is_too_large_is_named(cluster: &dyn Cluster) {
    cluster.create_with("t", 1);
    let mut sink = cluster.kafka().sink("t");
    let batch = [Message::new("a"), Message::new("b"), Message::new(vec![1; LARGEST + 1]), Message::new("c")];
    let error = sink.publish(&batch).unwrap_err();
    assert!(matches!(error, ConnectError::Message { index: 2, .. }), "{error}");
    assert_eq!(cluster.all("t"), batch[..2]);
    sink.publish(&batch[3..]).unwrap();
    assert_eq!(cluster.all("t").len(), 3);
}

fn i6_a_topic_that_is_not_there(cluster: &dyn Cluster) {
    for _ in 0..2 {
        // Asking has not made it.
        let error = cluster.member("nothing").open(1).err().unwrap();
        assert!(matches!(&error, ConnectError::Refused { advice, .. } if advice.contains("create")), "{error}");
        let error = cluster.kafka().sink("nothing").open().unwrap_err();
        assert!(matches!(&error, ConnectError::Refused { advice, .. } if advice.contains("create")), "{error}");
    }
}
