//! What travels, and what others send.

use super::*;
use fanpool::connect::Source;
use lapin::BasicProperties;
use lapin::options::QueuePurgeOptions;
use lapin::types::{AMQPValue, DecimalValue, FieldTable};

#[test]
fn i4_empty_and_binary_messages_come_as_they_were_sent() {
    let (server, _guard) = shared();
    server.create("bytes", true);
    let all: Vec<u8> = (0..=255).collect();
    let messages = [
        Message::new(""),
        Message::new("").with_key(""),
        Message::new(&all).with_key(&all).with_header("a", &all).with_header("b", "").with_header("ä ö", "c"),
        Message::new(vec![7; 300_000]).with_key("larger than a frame"),
    ];
    send(server, "bytes", &messages);
    let (mut reader, _settler) = server.client().source("bytes").open(10).unwrap();
    let taken = take(&mut *reader, messages.len());
    for (delivery, message) in taken.iter().zip(&messages) {
        assert_eq!(delivery.message, *message);
    }
}

/// A broker adds headers of its own when a message comes again; with them it must still fit into a frame.
#[test]
fn i4_the_largest_headers_that_are_accepted_come_back_more_than_once() {
    let (server, _guard) = shared();
    server.create("headers", true);
    let mut sink = server.client().sink_to_queue("headers");
    let (mut fits, mut not) = (100_000, 131_072);
    while not - fits > 1 {
        let middle = (fits + not) / 2;
        match sink.publish(&[Message::new("").with_header("h", vec![1; middle])]) {
            Ok(()) => fits = middle,
            Err(ConnectError::Message { .. }) => not = middle,
            Err(other) => panic!("{other}"),
        }
    }
    server.create("headers", true);
    sink.publish(&[Message::new("").with_header("h", vec![1; fits])]).unwrap();
    let (mut reader, mut settler) = server.client().source("headers").open(10).unwrap();
    for attempt in 1..=3 {
        let mut taken = Vec::new();
        reader.poll(1, LONG, &mut taken).unwrap();
        assert_eq!((taken[0].attempt, taken[0].message.header("h").unwrap().len()), (attempt, fits));
        assert_eq!(settler.nack(&positions(&taken)).unwrap(), 1);
    }
}

#[test]
fn i7_messages_of_other_clients_are_taken() {
    let (server, _guard) = shared();
    server.create("others", false);
    let mut inner = FieldTable::default();
    inner.insert("x".into(), AMQPValue::LongLongInt(-1));
    let mut table = FieldTable::default();
    for (name, value) in [
        ("array", AMQPValue::FieldArray(vec![AMQPValue::Boolean(true), AMQPValue::FieldTable(inner)].into())),
        ("bool", AMQPValue::Boolean(false)),
        ("bytes", AMQPValue::ByteArray(vec![0, 255].into())),
        ("decimal", AMQPValue::DecimalValue(DecimalValue { scale: 1, value: 25 })),
        ("double", AMQPValue::Double(2.5)),
        ("float", AMQPValue::Float(0.5)),
        ("i16", AMQPValue::ShortInt(-16)),
        ("i32", AMQPValue::LongInt(-32)),
        ("i64", AMQPValue::LongLongInt(i64::MIN)),
        ("i8", AMQPValue::ShortShortInt(-8)),
        ("none", AMQPValue::Void),
        ("text", AMQPValue::LongString("text".into())),
        ("time", AMQPValue::Timestamp(1)),
        ("u16", AMQPValue::ShortUInt(16)),
        ("u32", AMQPValue::LongUInt(32)),
        ("u8", AMQPValue::ShortShortUInt(8)),
    ] {
        table.insert(name.into(), value);
    }
    let with_all = BasicProperties::default()
        .with_content_type("text/plain".into())
        .with_correlation_id("c".into())
        .with_reply_to("r".into())
        .with_priority(3)
        .with_expiration("60000".into())
        .with_timestamp(1)
        .with_headers(table);
    let mut key = FieldTable::default();
    key.insert("fanpool-key".into(), AMQPValue::LongInt(7));
    let with_key = BasicProperties::default().with_headers(key);
    let others = [BasicProperties::default(), with_all, with_key, BasicProperties::default().with_delivery_mode(1)];
    server.put("others", others.into_iter().map(|properties| (b"p".to_vec(), properties)));
    let (mut reader, _settler) = server.client().source("others").open(10).unwrap();
    let taken = take(&mut *reader, 4);
    assert!(taken.iter().all(|delivery| delivery.message.payload() == b"p" && delivery.attempt == 1));
    let headers = |n: usize| taken[n].message.headers().map(|(name, value)| (name, value.to_vec())).collect::<Vec<_>>();
    assert!(headers(0).is_empty() && headers(2).is_empty() && headers(3).is_empty());
    assert_eq!(taken[2].message.key(), Some(&b"7"[..]));
    let texts = [
        ("array", "[true, {x: -1}]"),
        ("bool", "false"),
        ("bytes", ""),
        ("decimal", "25e-1"),
        ("double", "2.5"),
        ("float", "0.5"),
        ("i16", "-16"),
        ("i32", "-32"),
        ("i64", "-9223372036854775808"),
        ("i8", "-8"),
        ("none", ""),
        ("text", "text"),
        ("time", "1"),
        ("u16", "16"),
        ("u32", "32"),
        ("u8", "8"),
    ];
    let expected = texts.map(|(name, text)| match name {
        "bytes" => (name, vec![0, 255]),
        name => (name, text.as_bytes().to_vec()),
    });
    assert_eq!(headers(1), expected);
}

/// A name that is not UTF-8: the client cannot read the frame, and gives up the connection each time that it comes.
#[test]
fn i4_a_message_that_the_client_cannot_read_is_reported_and_not_tried_for_ever() {
    let (server, _guard) = shared();
    server.create("unreadable", false);
    server.eval(
        "rabbit_basic:publish(rabbit_misc:r(<<\"/\">>, exchange, <<>>), <<\"unreadable\">>, \
         [{headers, [{<<255>>, longstr, <<\"x\">>}]}], <<\"body\">>).",
    );
    until("it waits", || server.counts("unreadable") == (1, 1));
    let (mut reader, _settler) = server.client().source("unreadable").open(10).unwrap();
    refused(Err(error(&mut *reader)), &["unreadable", "cannot read", "UTF-8"]);
    until("it is the broker's again", || server.counts("unreadable") == (1, 1));
    server.with(async |channel| channel.queue_purge("unreadable".into(), QueuePurgeOptions::default()).await);
    send(server, "unreadable", &numbers(0..1));
    assert_eq!(texts(&take(&mut *reader, 1)), ["0"]);
}

#[cfg(feature = "rabbitmq-tls")]
#[test]
fn over_tls_too_if_the_certificate_is_trusted() {
    let (server, _guard) = shared();
    server.create("tls", true);
    let (port, authority) = server.tls();
    let at = |host: &str, port: u16| {
        let (user, password) = (brokers::rabbitmq::USER, brokers::rabbitmq::PASSWORD);
        RabbitMq::new(format!("amqps://{host}:{port}")).credentials(user, password).certificates(&authority)
    };
    let broker = at("localhost", port);
    broker.sink_to_queue("tls").publish(&numbers(0..3)).unwrap();
    let (mut reader, mut settler) = broker.source("tls").open(10).unwrap();
    let taken = take(&mut *reader, 3);
    assert_eq!(settler.ack(&positions(&taken)).unwrap(), 3);
    settler.close().unwrap();
    until("none is left", || server.counts("tls") == (0, 0));
    reader.close().unwrap();
    let open = |broker: RabbitMq| broker.source("tls").open(10).map(drop);
    let stranger = RabbitMq::new(format!("amqps://localhost:{port}")).connect_timeout(Duration::from_secs(5));
    refused(open(stranger), &["TLS", "certificate"]);
    refused(open(at("127.0.0.1", port)), &["TLS", "certificate"]);
    // One side speaks TLS alone.
    open(at("localhost", server.port()).connect_timeout(Duration::from_secs(2))).unwrap_err();
    let plain = RabbitMq::new(format!("amqp://localhost:{port}")).connect_timeout(Duration::from_secs(2));
    assert!(open(plain).unwrap_err().is_transient());
}

/// A broker routes by the first two.
#[test]
fn i4_headers_that_mean_something_to_the_broker_are_headers_like_others() {
    let (server, _guard) = shared();
    server.create("named", true);
    server.create("elsewhere", true);
    let names = ["CC", "BCC", "x-delivery-count", "fanpool-key", "header:CC", "x-death", "x-match"];
    let message = names.iter().fold(Message::new("p"), |message, name| message.with_header(name, "elsewhere"));
    send(server, "named", &[message]);
    let (mut reader, mut settler) = server.client().source("named").open(1).unwrap();
    for attempt in 1..=3 {
        let taken = take(&mut *reader, 1);
        assert_eq!((taken[0].attempt, taken[0].message.key()), (attempt, None));
        names.iter().for_each(|name| assert_eq!(taken[0].message.header(name), Some(&b"elsewhere"[..]), "{name}"));
        assert_eq!(settler.nack(&positions(&taken)).unwrap(), 1);
    }
    assert_eq!(server.counts("elsewhere"), (0, 0));
}
