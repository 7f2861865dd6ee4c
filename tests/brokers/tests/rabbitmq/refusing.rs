//! What a broker refuses.

use super::*;
use brokers::rabbitmq::{LARGEST, PASSWORD, USER};
use fanpool::BuildError;
use fanpool::connect::Source;
use lapin::ExchangeKind;
use lapin::options::{ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};

fn open(broker: &RabbitMq, queue: &str) -> Result<(), ConnectError> {
    broker.source(queue).open(10).map(drop)
}

/// A queue that refuses whatever would be its second message.
fn create_for_one(server: &Server, queue: &str) {
    server.with(async |channel| {
        let mut arguments = FieldTable::default();
        arguments.insert("x-max-length".into(), AMQPValue::LongInt(1));
        arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
        channel.queue_declare(queue.into(), QueueDeclareOptions::durable(), arguments).await
    });
}

#[test]
fn i6_credentials_that_are_wrong_are_refused_and_not_told() {
    let (server, _guard) = shared();
    server.create("known", true);
    for broker in [
        server.client().credentials(USER, "wr0ng"),
        server.client().credentials("wr0ng", PASSWORD),
        RabbitMq::new(format!("amqp://{USER}:wr0ng@127.0.0.1:{}/%2f", server.port())),
    ] {
        refused(open(&broker, "known"), &["ACCESS_REFUSED", "password"]);
        refused(broker.sink_to_queue("known").open(), &["ACCESS_REFUSED", "password"]);
        for text in [format!("{broker:?}"), format!("{:?} {:?}", broker.source("q"), broker.sink("", "q"))] {
            assert!(!text.contains("wr0ng") && !text.contains(PASSWORD) && !text.contains(USER), "{text}");
        }
    }
    let as_given = RabbitMq::new(format!("amqp://{USER}:{PASSWORD}@127.0.0.1:{}/%2F", server.port()));
    open(&as_given, "known").unwrap();
}

#[test]
fn i6_what_may_not_be_done_is_refused_without_the_users_name() {
    let (server, _guard) = shared();
    server.create("not-theirs", true);
    server.eval("rabbit_auth_backend_internal:add_user(<<\"wr0ng\">>, <<\"pw\">>, <<\"test\">>).");
    let broker = server.client().credentials("wr0ng", "pw");
    refused(open(&broker, "not-theirs"), &["NOT_ALLOWED", "virtual host"]);
    server.eval(
        "rabbit_auth_backend_internal:set_permissions(<<\"wr0ng\">>, <<\"/\">>, <<>>, <<>>, <<>>, <<\"test\">>).",
    );
    refused(open(&broker, "not-theirs"), &["ACCESS_REFUSED", "not-theirs", "this user"]);
    let mut sink = broker.sink_to_queue("not-theirs");
    refused(sink.publish(&numbers(0..2)), &["ACCESS_REFUSED", "this user"]);
    server.eval("rabbit_auth_backend_internal:delete_user(<<\"wr0ng\">>, <<\"test\">>).");
}

#[test]
fn i6_what_is_not_there_is_refused_with_advice() {
    let (server, _guard) = shared();
    server.create("of-classic", false);
    let broker = server.client();
    refused(open(&broker, "nowhere"), &["NOT_FOUND", "nowhere", "create it"]);
    refused(broker.sink_to_queue("nowhere").open(), &["NOT_FOUND", "nowhere", "create it"]);
    refused(broker.sink("nowhere", "key").open(), &["NOT_FOUND", "nowhere", "create it"]);
    refused(open(&broker.clone().vhost("nowhere"), "of-classic"), &["NOT_ALLOWED", "nowhere", "virtual host"]);
    let quorum = broker.source("of-classic").quorum().open(10).map(drop);
    refused(quorum, &["PRECONDITION_FAILED", "x-queue-type", "delete it"]);
    broker.source("of-classic").classic().open(10).unwrap();
    refused(open(&broker, ""), &["name"]);
    refused(open(&broker, &"q".repeat(256)), &["name"]);
    refused(broker.sink_to_queue("").open(), &["name"]);
}

#[test]
fn a_queue_that_is_not_there_is_created_if_that_is_asked_for() {
    let (server, _guard) = shared();
    let broker = server.client();
    for (queue, kind) in [("made-quorum", "rabbit_quorum_queue"), ("made-classic", "rabbit_classic_queue")] {
        let source = broker.source(queue);
        let mut source = if kind.contains("quorum") { source.quorum() } else { source.classic() };
        for _ in 0..2 {
            source.open(1).unwrap();
        }
        let found = server.eval(&format!(
            "{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, <<\"{queue}\">>)), \
             {{amqqueue:get_type(Q), amqqueue:is_durable(Q)}}."
        ));
        assert_eq!(found, format!("{{{kind}, true}}"));
    }
}

#[test]
fn options_that_are_not_allowed_are_refused_before_anything_is_connected() {
    // Nobody listens there.
    let broker = RabbitMq::new("127.0.0.1:1");
    let option = |result: Result<(), ConnectError>| match result.unwrap_err() {
        ConnectError::Build(BuildError::OutOfRange { option, .. } | BuildError::NotInRange { option, .. }) => option,
        other => panic!("{other:?}"),
    };
    for window in [0, 65_536] {
        assert_eq!(option(broker.source("q").open(window).map(drop)), "window");
    }
    assert_eq!(option(open(&broker.clone().heartbeat(Duration::from_millis(900)), "q")), "heartbeat");
    assert_eq!(option(broker.clone().response_timeout(Duration::ZERO).sink_to_queue("q").open()), "response_timeout");
    assert_eq!(option(open(&broker.clone().connect_timeout(Duration::ZERO), "q")), "connect_timeout");
    assert!(broker.source("q").open(65_535).map(drop).unwrap_err().is_transient());
    refused(open(&RabbitMq::new("amqp://ann:wr0ng@"), "q"), &["address 1", "no host", "amqp://"]);
    refused(open(&RabbitMq::new("h").address("h?wr0ng").connect_timeout(LONG), "q"), &["address 2", "parameters"]);
    if !cfg!(feature = "rabbitmq-tls") {
        refused(open(&RabbitMq::new("amqps://ann:wr0ng@localhost"), "q"), &["TLS", "rabbitmq-tls"]);
    }
}

#[test]
fn a_queue_that_is_deleted_ends_its_sources_and_sinks() {
    let (server, _guard) = shared();
    for quorum in [true, false] {
        server.create("deleted", quorum);
        let (mut reader, mut settler) = server.client().source("deleted").open(10).unwrap();
        let mut sink = server.client().sink_to_queue("deleted");
        sink.publish(&numbers(0..1)).unwrap();
        let taken = take(&mut *reader, 1);
        server.delete("deleted");
        refused(Err(error(&mut *reader)), &["deleted", "create it"]);
        assert_eq!(settler.ack(&positions(&taken)).unwrap(), 0);
        refused(Err(error(&mut *reader)), &["NOT_FOUND", "deleted"]);
        refused(sink.publish(&numbers(0..3)), &["no queue takes", "deleted", "create the queue"]);
        // Made again, both go on.
        server.create("deleted", quorum);
        sink.publish(&numbers(7..8)).unwrap();
        assert_eq!(texts(&take(&mut *reader, 1)), ["7"]);
        settler.close().unwrap();
        reader.close().unwrap();
    }
}

#[test]
fn a_message_that_no_queue_takes_is_not_lost_silently() {
    let (server, _guard) = shared();
    server.create("bound", true);
    server.with(async |channel| {
        let options = ExchangeDeclareOptions::default();
        channel.exchange_declare("sums".into(), ExchangeKind::Topic, options, FieldTable::default()).await
    });
    let mut sink = server.client().sink("sums", "even.2");
    sink.open().unwrap();
    refused(sink.publish(&numbers(0..100)), &["sums", "even.2", "bind"]);
    server.with(async |channel| {
        let (queue, exchange, none) = ("bound".into(), "sums".into(), FieldTable::default());
        channel.queue_bind(queue, exchange, "even.*".into(), QueueBindOptions::default(), none).await
    });
    sink.publish(&numbers(0..100)).unwrap();
    assert_eq!(server.counts("bound"), (100, 100));
    server.with(async |channel| channel.exchange_delete("sums".into(), ExchangeDeleteOptions::default()).await);
    refused(sink.publish(&numbers(0..100)), &["NOT_FOUND", "sums"]);
}

#[test]
fn i4_a_message_that_is_never_accepted_is_told_from_the_others() {
    let (server, _guard) = shared();
    server.create("large", true);
    let mut sink = server.client().sink_to_queue("large");
    let good = |text: &str| Message::new(text);
    let bad = [
        Message::new(vec![b'x'; LARGEST + 1]),
        good("h").with_header("h", vec![0; 131_072]),
        good("k").with_key(vec![0; 131_072]),
        good("n").with_header("n".repeat(256), ""),
    ];
    for (round, bad) in bad.iter().enumerate() {
        let last = Message::new(vec![b'x'; LARGEST]);
        let failed = sink.publish(&[good("a"), last, bad.clone(), good("c")]).unwrap_err();
        assert!(matches!(failed, ConnectError::Message { index: 2, engine: "rabbitmq", .. }), "{failed:?}");
        // Those before it are stored; the one after it is not.
        let (mut reader, mut settler) = server.client().source("large").open(10).unwrap();
        until("they wait", || server.counts("large").1 >= 2);
        let taken = take(&mut *reader, server.counts("large").1 as usize);
        let found: std::collections::BTreeSet<_> = taken.iter().map(|it| it.message.payload().len()).collect();
        assert_eq!(found, [1, LARGEST].into(), "round {round}");
        assert!(taken.iter().all(|it| it.message.payload() != b"c"));
        assert_eq!(settler.ack(&positions(&taken)).unwrap(), taken.len());
        settler.close().unwrap();
        reader.close().unwrap();
        sink.publish(&[good("d")]).unwrap();
        server.create("large", true);
    }
}

#[test]
fn what_the_broker_does_not_store_is_lost_and_told() {
    let (server, _guard) = shared();
    create_for_one(server, "full");
    let mut sink = server.client().sink_to_queue("full");
    let lost = sink.publish(&numbers(0..50)).unwrap_err();
    assert!(lost.is_transient() && lost.to_string().contains("did not store"), "{lost}");
    let (mut reader, mut settler) = server.client().source("full").open(50).unwrap();
    let taken = take(&mut *reader, 1);
    assert_eq!(texts(&taken), ["0"]);
    assert_eq!(settler.ack(&positions(&taken)).unwrap(), 1);
    settler.close().unwrap();
    sink.publish(&numbers(1..2)).unwrap();
}

#[test]
fn i4_what_is_before_a_refused_message_is_stored_once_and_what_is_after_it_is_not() {
    let (server, _guard) = shared();
    server.create("once", true);
    let mut sink = server.client().sink_to_queue("once");
    for _ in 0..3 {
        let mut batch = numbers(0..200);
        batch[150] = Message::new(vec![b'x'; LARGEST + 1]);
        let failed = sink.publish(&batch).unwrap_err();
        assert!(matches!(failed, ConnectError::Message { index: 150, .. }), "{failed:?}");
        until("they are counted", || server.counts("once").1 >= 150);
        let (mut reader, mut settler) = server.client().source("once").open(1000).unwrap();
        let taken = take(&mut *reader, server.counts("once").1 as usize);
        let wanted: Vec<_> = (0..150).map(|n| n.to_string()).collect();
        assert_eq!(texts(&taken), wanted);
        assert_eq!(settler.ack(&positions(&taken)).unwrap(), 150);
        settler.close().unwrap();
        reader.close().unwrap();
    }
}

#[test]
fn i5_what_was_not_stored_before_a_refused_message_is_not_passed_over() {
    let (server, _guard) = shared();
    create_for_one(server, "full-and-refusing");
    let mut sink = server.client().sink_to_queue("full-and-refusing");
    sink.publish(&numbers(0..1)).unwrap();
    let large = Message::new(vec![b'x'; LARGEST + 1]);
    for _ in 0..5 {
        // To say that it is the large one would be to say that those before it are stored.
        let failed = sink.publish(&[&numbers(1..100)[..], std::slice::from_ref(&large)].concat()).unwrap_err();
        assert!(failed.is_transient(), "{failed}");
    }
    assert_eq!(server.counts("full-and-refusing"), (1, 1));
}
