use crate::connect::{ConnectError, Kafka, KafkaSource, Sink, Source};

#[test]
fn i6_secrets_are_shown_nowhere() {
    let kafka = Kafka::new(["localhost:1"])
        .set("sasl.username", "ann-the-user")
        .set("sasl.password", "hunter2")
        .set("ssl.key.pem", "-----BEGIN")
        .set("sasl.kerberos.kinit.cmd", "kinit ann-the-user --password hunter2")
        .set("client.id", "shown");
    let text = format!("{kafka:?} {:?} {:?}", kafka.source(["t"], "g"), kafka.sink("t"));
    assert!(text.contains("shown") && text.contains("sasl.password"));
    for secret in ["ann-the-user", "hunter2", "BEGIN"] {
        assert!(!text.contains(secret), "{text}");
    }
    assert_eq!(kafka.redacted("no hunter2 for ann-the-user"), "no *** for ***");
    let wrong =
        Kafka::new(["localhost:1"]).set("sasl.oauthbearer.method", "hunter2").set("ssl.keystore.password.x", "hunter3");
    let error = wrong.sink("t").open().unwrap_err().to_string();
    assert!(!error.contains("hunter"), "{error}");
}

#[test]
fn what_the_engine_owns_is_not_set() {
    // With reports of errors alone, no message would ever be confirmed.
    let reports = "delivery.report.only.error";
    let offsets = "auto.offset.reset";
    for name in ["enable.auto.commit", "acks", "topic.acks", "group.id", "transactional.id", offsets, reports] {
        let kafka = Kafka::new(["localhost:1"]).set(name, "x");
        let error = kafka.source(["t"], "g").open(1).err().unwrap();
        assert!(
            matches!(error, ConnectError::Build(_)) && error.to_string().contains(name.trim_start_matches("topic.")),
            "{error}"
        );
    }
}

#[test]
fn options_are_checked_before_anything_is_connected() {
    let kafka = Kafka::new(["localhost:1"]);
    let build = |source: &mut KafkaSource| matches!(source.open(1), Err(ConnectError::Build(_)));
    assert!(build(&mut kafka.source(["t"], "g").span(0)));
    assert!(build(&mut kafka.source(["t"], "")));
    assert!(build(&mut kafka.source(Vec::<String>::new(), "g")));
    assert!(build(&mut Kafka::new([""]).source(["t"], "g")));
    for (name, value) in [("no.such.option", "1"), ("fetch.min.bytes", "many"), ("client.id", "a\0b")] {
        let error = kafka.clone().set(name, value).sink("t").open().unwrap_err();
        assert!(matches!(error, ConnectError::Refused { .. }), "{error}");
    }
}

#[test]
fn i1_nobody_there_is_told_soon() {
    let kafka = Kafka::new(["127.0.0.1:1"]).connect_timeout(std::time::Duration::from_millis(300));
    let error = kafka.source(["t"], "g").open(1).err().unwrap();
    assert!(error.is_transient(), "{error}");
    assert!(kafka.sink("t").open().unwrap_err().is_transient());
}

#[test]
fn i6_a_secret_that_holds_another_is_not_shown_in_part() {
    let kafka = Kafka::new(["localhost:1"]).set("sasl.username", "ann").set("sasl.password", "annual-3");
    assert_eq!(kafka.redacted("login of ann with annual-3 failed"), "login of *** with *** failed");
    let overlapping = Kafka::new(["localhost:1"]).set("sasl.username", "abab").set("sasl.password", "ba-c");
    assert_eq!(overlapping.redacted("x ababa-c y *"), "x *** y *");
    let star = Kafka::new(["localhost:1"]).set("sasl.username", "u").set("sasl.password", "*");
    assert_eq!(star.redacted("u*"), "***");
}
