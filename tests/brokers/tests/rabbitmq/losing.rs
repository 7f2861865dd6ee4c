//! Brokers that go, stall, or are none.

use super::*;
use fanpool::connect::Source;
use std::io::{Read, Write};
use std::net::TcpListener;

/// The server stands still as long as this is there. Whatever becomes of its test, the others have their server back; so, too, with an
/// [`Alarm`].
struct Frozen<'a>(&'a Server);

impl Frozen<'_> {
    fn now(server: &Server) -> Frozen<'_> {
        server.freeze(true);
        Frozen(server)
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        self.0.freeze(false);
    }
}

/// The server says that it is out of memory, as long as this is there.
struct Alarm<'a>(&'a Server);

impl Alarm<'_> {
    fn set(server: &Server) -> Alarm<'_> {
        server.eval("rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []}).");
        Alarm(server)
    }
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        self.0.eval("rabbit_alarm:clear_alarm({resource_limit, memory, node()}).");
    }
}

#[test]
fn i1_a_broker_that_is_killed_and_comes_back() {
    let (server, _guard) = alone();
    server.create("killed", true);
    let broker = impatient(server);
    let (mut reader, mut settler) = broker.source("killed").open(10).unwrap();
    let mut sink = broker.sink_to_queue("killed");
    sink.publish(&numbers(0..30)).unwrap();
    let taken = take(&mut *reader, 5);
    assert_eq!(settler.ack(&positions(&taken[..2])).unwrap(), 2);
    settler.close().unwrap();
    server.kill();
    assert!(error(&mut *reader).is_transient());
    assert!(sink.publish(&numbers(30..31)).unwrap_err().is_transient());
    assert_eq!(settler.ack(&positions(&taken[2..])).unwrap(), 0);
    settler.close().unwrap();
    for _ in 0..3 {
        let begun = Instant::now();
        assert!(reader.poll(10, LONG, &mut Vec::new()).unwrap_err().is_transient());
        assert!(sink.publish(&numbers(30..31)).unwrap_err().is_transient());
        assert!(broker.source("killed").open(10).map(drop).unwrap_err().is_transient());
        assert!(begun.elapsed() < Duration::from_secs(2), "nobody listens, which shows at once");
    }
    server.restart();
    // It listens before its queues have a leader.
    until("it stores", || match sink.publish(&numbers(30..31)) {
        Ok(()) => true,
        Err(error) if error.is_transient() => false,
        Err(error) => panic!("{error}"),
    });
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 29 || server.counts("killed").1 > 0 {
        let mut again = Vec::new();
        if let Err(error) = reader.poll(10, Duration::from_millis(100), &mut again) {
            assert!(error.is_transient(), "{error}");
        }
        seen.extend(texts(&again).into_iter().map(|text| text.parse::<usize>().unwrap()));
        settler.ack(&positions(&again)).unwrap();
    }
    assert!(seen.iter().copied().eq(2..31), "{seen:?}");
    settler.close().unwrap();
    until("all are acknowledged", || server.counts("killed") == (0, 0));
    reader.close().unwrap();
}

#[test]
fn i1_a_broker_that_stalls_is_lost_and_leaves_no_thread_behind() {
    let (server, _guard) = alone();
    server.create("stalled", true);
    until("those of other tests have ended", || own_threads() == (0, 0));
    let broker = impatient(server);
    let (mut reader, mut settler) = broker.source("stalled").open(10).unwrap();
    let mut sink = broker.sink_to_queue("stalled");
    sink.publish(&numbers(0..3)).unwrap();
    let taken = take(&mut *reader, 2);
    let frozen = Frozen::now(server);
    let begun = Instant::now();
    assert_eq!(settler.ack(&positions(&taken[..1])).unwrap(), 1);
    assert_eq!(reader.lag(), reader.lag());
    assert!(begun.elapsed() < Duration::from_millis(500), "nothing of this waits for an answer");
    let lost = sink.publish(&numbers(3..4)).unwrap_err();
    assert!(lost.is_transient() && begun.elapsed() < Duration::from_secs(6), "{lost} {:?}", begun.elapsed());
    assert!(error(&mut *reader).is_transient());
    assert!(begun.elapsed() < Duration::from_secs(8), "two heartbeats and a half, {:?}", begun.elapsed());
    assert!(settler.close().unwrap_err().is_transient());
    // It accepts connections, and says nothing.
    for _ in 0..2 {
        let begun = Instant::now();
        assert!(reader.poll(10, Duration::ZERO, &mut Vec::new()).unwrap_err().is_transient());
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
        assert!(sink.publish(&numbers(3..4)).unwrap_err().is_transient());
    }
    until("the client's threads have ended", || own_threads() == (2, 0));
    drop(frozen);
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 3 {
        seen.extend(texts(&take(&mut *reader, 1)).into_iter().map(str::to_owned));
    }
    sink.publish(&numbers(3..4)).unwrap();
    reader.close().unwrap();
    sink.close().unwrap();
}

#[test]
fn dropping_a_source_of_a_stalled_broker_does_not_wait_for_it() {
    let (server, _guard) = alone();
    server.create("stuck", true);
    let halves = server.client().source("stuck").open(10).unwrap();
    let mut sink = server.client().sink_to_queue("stuck");
    sink.open().unwrap();
    let frozen = Frozen::now(server);
    let begun = Instant::now();
    drop((halves, sink));
    let took = begun.elapsed();
    drop(frozen);
    assert!(took < Duration::from_secs(8), "two goodbyes of two seconds, {took:?}");
    until("the client's threads have ended", || own_threads() == (0, 0));
}

#[test]
fn i1_a_broker_that_is_out_of_memory_takes_nothing_until_it_is_not() {
    let (server, _guard) = alone();
    server.create("alarm", true);
    let broker = impatient(server);
    let mut sink = broker.sink_to_queue("alarm");
    sink.publish(&numbers(0..1)).unwrap();
    let alarm = Alarm::set(server);
    // Connections hear of it a moment later.
    let set = Instant::now();
    let (lost, begun) = loop {
        let begun = Instant::now();
        if let Err(lost) = sink.publish(&numbers(1..2)) {
            break (lost, begun);
        }
        assert!(set.elapsed() < Duration::from_secs(10), "it takes what comes");
    };
    let took = begun.elapsed();
    let (mut reader, _settler) = broker.source("alarm").open(10).unwrap();
    let taken = take(&mut *reader, 1);
    drop(alarm);
    assert!(lost.is_transient() && took < Duration::from_secs(8), "{lost} {took:?}");
    assert_eq!(texts(&taken), ["0"]);
    until("it takes again", || broker.sink_to_queue("alarm").publish(&numbers(2..3)).is_ok());
}

/// As when a job takes longer than the broker waits for an acknowledgement, 30 minutes by default.
#[test]
fn i3_a_delivery_that_is_not_acknowledged_in_time_is_lost_and_comes_again() {
    let (server, _guard) = alone();
    server.create("slow", true);
    send(server, "slow", &numbers(0..1));
    let set = |milliseconds: &str, tick: &str| {
        server.eval(&format!(
            "application:set_env(rabbit, consumer_timeout, {milliseconds}), \
             application:set_env(rabbit, channel_tick_interval, {tick})."
        ));
    };
    set("500", "200");
    let (mut reader, mut settler) = server.client().source("slow").open(10).unwrap();
    let taken = take(&mut *reader, 1);
    let lost = error(&mut *reader);
    set("1800000", "60000");
    assert!(lost.is_transient() && lost.to_string().contains("PRECONDITION_FAILED"), "{lost}");
    let again = take(&mut *reader, 1);
    assert_eq!(settler.ack(&positions(&taken)).unwrap(), 0);
    assert_eq!(again[0].attempt, 2);
    assert_eq!(settler.ack(&positions(&again)).unwrap(), 1);
    settler.close().unwrap();
}

#[test]
fn addresses_are_tried_in_turn() {
    let (server, _guard) = shared();
    server.create("addresses", true);
    send(server, "addresses", &numbers(0..1));
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let broker = RabbitMq::new("127.0.0.1:1")
        .address(format!("127.0.0.1:{}", silent.local_addr().unwrap().port()))
        .address("nowhere.invalid")
        .address(format!("localhost:{}", server.port()))
        .credentials(brokers::rabbitmq::USER, brokers::rabbitmq::PASSWORD)
        .connect_timeout(Duration::from_secs(2));
    let (mut reader, _settler) = broker.source("addresses").open(10).unwrap();
    assert_eq!(texts(&take(&mut *reader, 1)), ["0"]);
    // What somebody must act on is told, even if another one is away; which may be back later, and let it in.
    let wrong = RabbitMq::new("127.0.0.1:1").address(format!("127.0.0.1:{}", server.port())).address("127.0.0.1:1");
    let open = |broker: &RabbitMq| broker.source("addresses").open(10).map(drop);
    let lost = open(&wrong.credentials("ann", "wr0ng")).unwrap_err();
    assert!(lost.is_transient(), "{lost}");
    for word in ["ACCESS_REFUSED", "password", &server.port().to_string(), "127.0.0.1:1: "] {
        assert!(lost.to_string().contains(word), "{lost}");
    }
    assert!(!lost.to_string().contains("ann") && !lost.to_string().contains("wr0ng"), "{lost}");
    let here = format!("127.0.0.1:{}", server.port());
    let wrong = RabbitMq::new(&here).address(&here).credentials("ann", "wr0ng");
    refused(open(&wrong), &["ACCESS_REFUSED", &here]);
    assert!(open(&RabbitMq::new("127.0.0.1:1").address("nowhere.invalid")).unwrap_err().is_transient());
}

/// Whatever it is that answers: an error, in time, and neither a panic nor a thread that stays.
#[test]
fn what_is_no_broker_is_an_error() {
    let (_, _guard) = alone();
    until("those of other tests have ended", || own_threads() == (0, 0));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let broker = RabbitMq::new(format!("amqp://u:wr0ng@{}", listener.local_addr().unwrap()));
    let broker = broker.connect_timeout(Duration::from_secs(1));
    let start =
        [&[1, 0, 0, 0, 0, 1, 0, 0, 10, 0, 10, 0, 9][..], &[0; 4], &[0, 0, 0, 5], b"PLAIN", &[0, 0, 0, 5]].concat();
    let mut answers: Vec<Vec<u8>> = vec![
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        b"AMQP\0\x01\0\0".to_vec(),
        vec![],
        vec![0; 300_000],
        vec![255; 300_000],
        start,
    ];
    let mut chance = 3_u64;
    for length in [7, 100, 10_000] {
        answers.push(
            (0..length)
                .map(|_| {
                    chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (chance >> 56) as u8
                })
                .collect(),
        );
    }
    for answer in answers {
        std::thread::scope(|scope| {
            let served = scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 8]);
                let _ = stream.write_all(&answer);
                // Until it goes.
                let _ = stream.read_to_end(&mut Vec::new());
            });
            let begun = Instant::now();
            let error = broker.source("q").open(10).map(drop).unwrap_err();
            assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
            assert!(!format!("{error:?}").contains("wr0ng"), "{error:?}");
            served.join().unwrap();
        });
    }
    until("the client's threads have ended", || own_threads() == (0, 0));
}
