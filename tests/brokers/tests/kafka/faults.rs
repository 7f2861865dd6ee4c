//! Brokers that go away, refuse, or fail now and then.

use super::*;
use brokers::kafka::Tansu;
use fanpool::connect::Kafka;
use fanpool::connect::Sink;
use rdkafka::types::RDKafkaApiKey as Api;
use rdkafka::types::RDKafkaRespErr as Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// The time that this thread has spent on a CPU.
fn cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a value of that type.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) }, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[test]
fn i1_a_broker_that_is_away_and_comes_back() {
    let mock = partition(20);
    let mut open = Open::new(mock.member("t"), 20);
    let taken = open.take(10);
    let mut known = mock.kafka().response_timeout(Duration::from_secs(1)).sink("t");
    known.open().unwrap();
    mock.down(true);
    // Until it is noticed, what was fetched may come.
    let (mut more, mut errors, began) = (Vec::new(), 0, Instant::now());
    let used = cpu();
    while errors < 3 {
        let before = more.len();
        match open.reader.poll(100, Duration::from_millis(500), &mut more) {
            Err(error) => {
                assert!(error.is_transient() && more.len() == before, "{error}");
                errors += 1;
            }
            Ok(_) => assert!(began.elapsed() < PATIENCE),
        }
    }
    assert!(cpu() - used < Duration::from_millis(200), "{:?} of CPU in {:?}", cpu() - used, began.elapsed());
    let mut sink = mock.kafka().connect_timeout(Duration::from_millis(300)).sink("t");
    assert!(sink.publish(&numbers(0..1)).unwrap_err().is_transient());
    let began = Instant::now();
    assert!(known.publish(&numbers(0..1)).unwrap_err().is_transient());
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    mock.down(false);
    // The partition was not given to anybody, so work in hand counts.
    let began = Instant::now();
    while more.len() < 10 {
        more.extend(open.poll(100, Duration::from_millis(200)));
        assert!(began.elapsed() < PATIENCE, "{}", more.len());
    }
    assert_eq!(open.ack(&taken) + open.ack(&more), 20);
    open.close();
    assert_eq!(mock.committed("t"), [20]);
    sink.publish(&numbers(20..21)).unwrap();
    known.publish(&numbers(21..22)).unwrap();
    assert_eq!(
        mock.all("t").iter().map(number).collect::<Vec<_>>(),
        (0..22).collect::<Vec<_>>(),
        "what was given up was not stored"
    );
}

#[test]
fn i1_a_source_can_be_closed_while_the_broker_is_away() {
    let mock = partition(20);
    let kafka = mock.kafka().response_timeout(Duration::from_secs(2));
    let mut open = Open::new(kafka.source(["t"], "t-group").commit_interval(Duration::from_secs(3_600)), 20);
    let taken = open.take(10);
    mock.down(true);
    open.ack(&taken);
    let began = Instant::now();
    assert!(open.settler.close().unwrap_err().is_transient());
    assert!(open.reader.close().is_err());
    drop(open);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn i1_commits_that_fail_are_made_again() {
    let mock = partition(20);
    let mut open = Open::new(mock.member("t"), 20);
    let taken = open.take(20);
    let errors =
        [Error::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, Error::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS];
    mock.ask(move |cluster| cluster.request_errors(Api::OffsetCommit, &errors));
    assert_eq!(open.ack(&taken), 20);
    wait_for_commits(&mock, "t", 20);
    open.close();
}

#[test]
fn i1_requests_that_fail_are_made_again() {
    let mock = partition(0);
    let mut sink = mock.kafka().sink("t");
    sink.open().unwrap();
    let errors = [Error::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, Error::RD_KAFKA_RESP_ERR__TRANSPORT];
    mock.ask(move |cluster| cluster.request_errors(Api::Produce, &errors));
    sink.publish(&numbers(0..100)).unwrap();
    // Once each. In order too, where the broker looks at the numbers of batches; the mock cluster does so in transactions alone.
    let mut stored: Vec<usize> = mock.all("t").iter().map(number).collect();
    stored.sort_unstable();
    assert_eq!(stored, (0..100).collect::<Vec<_>>());
    let mut open = Open::new(mock.member("t").span(1_000), 100);
    // The mock cluster ends the process if a member's connection breaks while it joins, so that is over first.
    let mut taken = open.take(100);
    let errors = [Error::RD_KAFKA_RESP_ERR__TRANSPORT, Error::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION];
    mock.ask(move |cluster| cluster.request_errors(Api::Fetch, &errors));
    sink.publish(&numbers(100..200)).unwrap();
    taken.extend(open.take(100));
    assert_eq!(sorted(&taken), (0..200).collect::<Vec<_>>());
    assert_eq!(open.ack(&taken), 200);
}

#[test]
fn i6_what_is_not_allowed_is_told() {
    let mock = partition(0);
    let mut sink = mock.kafka().sink("t");
    sink.open().unwrap();
    mock.ask(|cluster| {
        cluster.request_errors(Api::Produce, &[Error::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED]);
        // As a broker does, it refuses each time: an answer that comes when librdkafka leaves the first connection for one by name is lost.
        cluster.request_errors(Api::FindCoordinator, &[Error::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED; 20]);
    });
    let error = sink.publish(&numbers(0..1)).unwrap_err();
    assert!(matches!(&error, ConnectError::Refused { advice, .. } if advice.contains("write the topic")), "{error}");
    let mut open = Open::new(mock.member("t"), 100);
    let error = open.error(|| ());
    assert!(matches!(&error, ConnectError::Refused { advice, .. } if advice.contains("that group")), "{error}");
}

#[test]
fn a_source_without_room_stays_in_its_group() {
    let mock = partition(100);
    let kafka = mock.kafka().set("max.poll.interval.ms", "6000");
    let mut open = Open::new(kafka.source(["t"], "t-group"), 100);
    let taken = open.take(10);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(8) {
        assert!(open.poll(0, Duration::from_millis(200)).is_empty());
    }
    assert_eq!(open.ack(&taken), 10, "they are still its own");
    assert_eq!(sorted(&open.take(90)), (10..100).collect::<Vec<_>>());
}

/// What is needed of a broker to refuse a user: it says that it lets users in by name, knows the mechanism, and then refuses. Returns its
/// address. Its threads end with the connections.
fn refusing() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            std::thread::spawn(move || refuse(connection.unwrap()));
        }
    });
    address
}

/// Answers requests of one connection until it ends.
fn refuse(mut connection: TcpStream) -> Option<()> {
    const MECHANISMS: [u8; 12] = *b"\0\0\0\0\0\x01\0\x05PLAI";
    loop {
        let mut length = [0; 4];
        connection.read_exact(&mut length).ok()?;
        let mut request = vec![0; u32::from_be_bytes(length) as usize];
        connection.read_exact(&mut request).ok()?;
        let (api, version) = ([request[0], request[1]], [request[2], request[3]]);
        let body = match (u16::from_be_bytes(api), u16::from_be_bytes(version)) {
            // Which requests it knows: in the oldest format, for which a client that asks in another one asks again.
            (18, 0) => {
                let mut body = vec![0, 0, 0, 0, 0, 4];
                for (api, newest) in [(3, 4), (17, 1), (18, 0), (36, 0)] {
                    body.extend([0, api, 0, 0, 0, newest]);
                }
                body
            }
            (18, _) => vec![0, 35, 0, 0, 0, 0],
            (17, _) => [&MECHANISMS[..], b"N"].concat(),
            (36, _) => [&[0, 58][..], &[0, 9], b"no entry!", &[0, 0, 0, 0]].concat(),
            (other, _) => panic!("request {other} before it was let in"),
        };
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        connection.write_all(&[&length[..], &request[4..8], &body[..]].concat()).ok()?;
    }
}

#[test]
fn i6_wrong_credentials_are_told_and_not_shown() {
    let kafka = Kafka::new([refusing()])
        .set("security.protocol", "SASL_PLAINTEXT")
        .set("sasl.mechanism", "PLAIN")
        .set("sasl.username", "ann-the-user")
        .set("sasl.password", "hunter2")
        .connect_timeout(Duration::from_secs(2));
    for error in [kafka.sink("t").open().unwrap_err(), kafka.source(["t"], "g").open(1).err().unwrap()] {
        let text = format!("{error} {error:?}");
        assert!(matches!(&error, ConnectError::Refused { advice, .. } if advice.contains("sasl")), "{error}");
        assert!(text.contains("no entry!") && !text.contains("hunter2") && !text.contains("ann-the-user"), "{text}");
    }
}

#[test]
fn i1_a_broker_that_breaks_off_while_it_lets_a_user_in_is_lost() {
    let tansu = Tansu::start_with(&["--authentication"]);
    let kafka = tansu.kafka().connect_timeout(Duration::from_secs(2));
    let kafka = kafka.set("security.protocol", "SASL_PLAINTEXT").set("sasl.mechanism", "PLAIN");
    let kafka = kafka.set("sasl.username", "ann").set("sasl.password", "x");
    for error in [kafka.sink("t").open().unwrap_err(), kafka.source(["t"], "g").open(1).err().unwrap()] {
        assert!(error.is_transient(), "{error}");
    }
}
