//! RabbitMQ.
#![cfg(feature = "rabbitmq")]

use brokers::rabbitmq::Server;
use fanpool::connect::{Message, Sink, Source};
use std::sync::OnceLock;
use std::time::Duration;

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Server::start)
}

#[test]
fn first() {
    let t = std::time::Instant::now();
    let server = server();
    eprintln!("up {:?}", t.elapsed());
    server.create("first", true);
    let mut sink = server.client().sink_to_queue("first");
    sink.publish(&[Message::new("a").with_key([0, 255]), Message::new("")]).unwrap();
    eprintln!("published {:?}", t.elapsed());
    eprintln!("counts {:?}", server.counts("first"));
    let (mut reader, mut settler) = server.client().name("first").source("first").open(10).unwrap();
    let mut got = Vec::new();
    while got.len() < 2 {
        reader.poll(10, Duration::from_secs(5), &mut got).unwrap();
    }
    eprintln!("{got:?} lag {:?}", reader.lag());
    eprintln!("counts {:?}", server.counts("first"));
    assert_eq!(settler.nack(&[got[0].position]).unwrap(), 1);
    let mut again = Vec::new();
    reader.poll(10, Duration::from_secs(5), &mut again).unwrap();
    eprintln!("{again:?}");
    assert_eq!(settler.ack(&[got[1].position, again[0].position, got[0].position]).unwrap(), 2);
    settler.close().unwrap();
    eprintln!("counts {:?}", server.counts("first"));
    eprintln!("closed {}", server.close_connections("first"));
    eprintln!("{:?}", reader.poll(1, Duration::from_secs(5), &mut got));
    reader.close().unwrap();
    drop(sink);
    for t in std::fs::read_dir("/proc/self/task").unwrap() {
        eprintln!("{}", std::fs::read_to_string(t.unwrap().path().join("comm")).unwrap().trim());
    }
}
