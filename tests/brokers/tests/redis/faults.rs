//! I1: the server is away, slow, full, or somewhere else.

use crate::*;
use fanpool::connect::{Redis, Sink};
use std::net::TcpListener;

/// A port that nobody listens at.
fn closed() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn i1_away_at_the_start_and_there_later() {
    let server = server_with("q", 3);
    server.stop();
    let (mut from, mut to) = (source(&server, "q", PATIENCE), server.redis().sink("q"));
    assert!(lost(from.open(1)).contains(&server.address()));
    lost(to.open());
    lost(to.publish(&numbered(1)));
    server.start();
    to.publish(&numbered(1)).unwrap();
    let (mut reader, _settler) = open(&mut from);
    assert_eq!(payloads(&take(&mut *reader, 4)), ["0", "1", "2", "0"]);
}

#[test]
fn i1_lost_in_the_middle_and_back() {
    let server = server_with("q", 10);
    let mut sink = server.redis().sink("q");
    sink.publish(&numbered(1)).unwrap();
    let (mut reader, mut settler) = open(&mut source(&server, "q", PATIENCE));
    let taken = take(&mut *reader, 6);
    server.stop();
    for _ in 0..3 {
        let time = Instant::now();
        lost(reader.poll(10, PATIENCE, &mut Vec::new()));
        lost(reader.poll(0, Duration::ZERO, &mut Vec::new()));
        lost(settler.ack(&positions(&taken[..5])));
        lost(settler.nack(&positions(&taken[5..])));
        lost(sink.publish(&numbered(1)));
        assert!(time.elapsed() < PATIENCE / 6, "{:?}", time.elapsed());
    }
    server.start();
    // What was in hand still is.
    assert_eq!(settler.ack(&positions(&taken[..5])).unwrap(), 5);
    assert_eq!(settler.nack(&positions(&taken[5..])).unwrap(), 1);
    sink.publish(&numbered(1)).unwrap();
    let rest = take(&mut *reader, 7);
    assert_eq!(payloads(&rest), ["5", "6", "7", "8", "9", "0", "0"]);
    assert_eq!(rest[0].attempt, 2);
    assert_eq!(settler.ack(&positions(&rest)).unwrap(), 7);
    server.stop();
    lost(reader.close());
    sink.close().unwrap();
}

#[test]
fn i1_a_server_that_is_silent_is_lost_after_the_timeout() {
    let server = server_with("q", 3);
    let timeout = Duration::from_millis(400);
    let redis = server.redis().response_timeout(timeout);
    let mut sink = redis.sink("q");
    sink.open().unwrap();
    let (mut reader, mut settler) = open(&mut redis.source("q", GROUP));
    let taken = take(&mut *reader, 2);
    server.signal(libc::SIGSTOP);
    let silent = |call: &mut dyn FnMut() -> String, least: Duration| {
        let time = Instant::now();
        let text = call();
        assert!(text.contains("no answer in time"), "{text}");
        assert!(time.elapsed() >= least && time.elapsed() < PATIENCE / 4, "{:?}", time.elapsed());
    };
    silent(&mut || lost(settler.ack(&positions(&taken))), timeout);
    silent(&mut || lost(sink.publish(&numbered(1))), timeout);
    silent(&mut || lost(reader.poll(1, Duration::ZERO, &mut Vec::new())), timeout);
    // The connections are new ones, and as silent.
    silent(&mut || lost(settler.ack(&positions(&taken))), timeout);
    silent(&mut || lost(reader.poll(1, SECOND, &mut Vec::new())), timeout);
    silent(&mut || lost(redis.source("q", GROUP).open(1)), timeout);
    server.signal(libc::SIGCONT);
    // What was sent before is done or was read: then it is late. It may take a while until the server answers within the time again.
    let end = Instant::now() + PATIENCE;
    let acked = loop {
        match settler.ack(&positions(&taken)) {
            Ok(acked) => break acked,
            Err(error) => assert!(error.is_transient() && Instant::now() < end, "{error}"),
        }
    };
    assert!(acked <= 2);
    while let Err(error) = sink.publish(&numbered(1)) {
        assert!(error.is_transient() && Instant::now() < end, "{error}");
    }
    // The third may have been given to the connection that is gone.
    let (mut reader, mut settler) = open(&mut source(&server, "q", Duration::from_millis(100)));
    let (mut seen, end) = (0, Instant::now() + PATIENCE);
    while server.unacknowledged("q") > 0 {
        assert!(Instant::now() < end);
        let mut taken = Vec::new();
        reader.poll(9, SECOND, &mut taken).unwrap();
        seen += settler.ack(&positions(&taken)).unwrap();
    }
    assert!(seen >= 2, "{seen}");
}

#[test]
fn i1_addresses_are_tried_in_turn() {
    let server = server_with("q", 4);
    let redis = Redis::new([closed(), server.address(), closed()]);
    let mut sink = redis.sink("q");
    sink.publish(&numbered(1)).unwrap();
    let (mut reader, _settler) = open(&mut redis.source("q", GROUP));
    assert_eq!(take(&mut *reader, 5).len(), 5);
    server.stop();
    lost(sink.publish(&numbered(1)));
    let all = lost(sink.publish(&numbered(1)));
    assert!(all.matches("refused").count() == 3 && all.contains(&server.address()), "{all}");
    server.start();
    sink.publish(&numbered(1)).unwrap();
    lost(reader.poll(1, SECOND, &mut Vec::new()));
    assert_eq!(take(&mut *reader, 1).len(), 1);
}

#[test]
fn i1_a_refusal_does_not_hide_behind_an_address_that_is_away() {
    let server = Server::with(&["--requirepass", "s3cret"]);
    let text = lost(Redis::new([closed(), server.address()]).sink("q").open());
    assert!(text.contains("refused") && text.contains("NOAUTH"), "{text}");
    let text = refused(Redis::new([server.address(), server.address()]).sink("q").open());
    assert!(text.contains("NOAUTH"), "{text}");
}

#[test]
fn i1_a_replica_is_passed_over() {
    let server = server_with("q", 0);
    let address = server.address();
    let (host, port) = address.split_once(':').unwrap();
    let replica = Server::with(&["--replicaof", &format!("{host} {port}")]);
    let end = Instant::now() + PATIENCE;
    while !matches!(replica.ask(&["EXISTS", "q"]), Value::Int(1)) {
        assert!(Instant::now() < end);
    }
    let redis = Redis::new([replica.address(), server.address()]);
    let (mut from, mut to) = (redis.source("q", GROUP), redis.sink("q"));
    assert!(lost(to.publish(&numbered(1))).contains("READONLY"));
    to.publish(&numbered(1)).unwrap();
    // Opening anew begins with the first address again.
    lost(from.open(1));
    lost(from.open(1));
}

#[test]
fn i1_a_full_server_is_lost_until_there_is_room() {
    let server = server_with("q", 1);
    let mut sink = server.redis().sink("q");
    sink.open().unwrap();
    server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    assert!(lost(sink.publish(&numbered(3))).contains("OOM"));
    assert!(lost(sink.open()).contains("OOM"));
    // Acknowledging goes on.
    let (mut reader, mut settler) = open(&mut source(&server, "q", PATIENCE));
    let taken = take(&mut *reader, 1);
    assert_eq!(settler.ack(&positions(&taken)).unwrap(), 1);
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    sink.publish(&numbered(3)).unwrap();
    assert_eq!(server.dump("q").len(), 4);
}

#[test]
fn i1_a_connection_that_is_cut_is_made_anew() {
    let server = server_with("q", 6);
    let mut sink = server.redis().sink("q");
    sink.open().unwrap();
    let (mut reader, mut settler) = open(&mut source(&server, "q", PATIENCE));
    let taken = take(&mut *reader, 3);
    server.ask(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    lost(reader.poll(1, Duration::ZERO, &mut Vec::new()));
    lost(settler.ack(&positions(&taken)));
    lost(sink.publish(&numbered(1)));
    assert_eq!(settler.ack(&positions(&taken)).unwrap(), 3);
    sink.publish(&numbered(1)).unwrap();
    let rest = take(&mut *reader, 4);
    assert!(rest.iter().all(|delivery| delivery.attempt == 1));
}

#[test]
fn i1_waiting_is_not_busy() {
    let server = server_with("q", 0);
    let (mut reader, _settler) = open(&mut source(&server, "q", PATIENCE));
    poll(&mut *reader);
    let commands = |server: &Server| ["xreadgroup", "xpending", "xinfo|groups", "ping"].map(|name| calls(server, name));
    let before = commands(&server);
    let (time, mut none) = (Instant::now(), Vec::new());
    reader.poll(10, SECOND * 3, &mut none).unwrap();
    let took = time.elapsed();
    assert!(none.is_empty() && took >= SECOND * 3, "{took:?}");
    let sent: u64 = commands(&server).iter().zip(before).map(|(after, before)| after - before).sum();
    // One read and one question for the lag a second, a look for idle ones every five, and one read after the wait.
    let most = took.as_secs() * 2 + 2 + took.as_secs() / 5 + 1;
    assert!((3..=most).contains(&sent), "{sent} in {took:?}");
}

#[test]
fn i1_a_wait_below_a_millisecond_ends() {
    let server = server_with("q", 0);
    let (mut reader, _settler) = open(&mut source(&server, "q", PATIENCE));
    let (time, mut none) = (Instant::now(), Vec::new());
    reader.poll(10, Duration::from_micros(10), &mut none).unwrap();
    assert!(time.elapsed() < SECOND && none.is_empty(), "{:?}", time.elapsed());
}

#[test]
fn i1_a_server_that_is_silent_is_lost_after_one_timeout_however_many_answers_it_owes() {
    let server = server_with("q", 100);
    let timeout = Duration::from_millis(400);
    let redis = server.redis().response_timeout(timeout);
    let mut sink = redis.sink("q");
    sink.open().unwrap();
    let (mut reader, mut settler) = open(&mut redis.source("q", GROUP).delete_acknowledged(true));
    let taken = take(&mut *reader, 100);
    server.signal(libc::SIGSTOP);
    let time = Instant::now();
    lost(sink.publish(&numbered(100)));
    lost(settler.ack(&positions(&taken)));
    assert!(time.elapsed() >= timeout * 2 && time.elapsed() < timeout * 20, "{:?}", time.elapsed());
    server.signal(libc::SIGCONT);
}
