//! `worker SPEC QUEUE LOG WINDOW MICROSECONDS`: handles the messages of a queue, and writes a line for each.

#![allow(clippy::expect_used, clippy::type_complexity, reason = "it ends with whatever goes wrong")]

use fanpool::FanOut;
use fanpool::connect::{Delivery, Whole};
use std::fs::OpenOptions;
use std::io::Write;
use std::time::Duration;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [spec, queue, log, window, micros] = &arguments[..] else {
        eprintln!("usage: worker SPEC QUEUE LOG WINDOW MICROSECONDS");
        std::process::exit(2);
    };
    let (source, sink) = brokers::open(spec, queue);
    let log = OpenOptions::new().append(true).create(true).open(log).expect("the log opens");
    let work = Duration::from_micros(micros.parse().expect("a number"));
    let process = std::process::id();
    let handle = move |delivery: Delivery| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (key, number) = (text(delivery.message.key().unwrap_or(b"?")), text(delivery.message.payload()));
        let line = format!("{process} {} {key} {number}\n", delivery.attempt);
        std::thread::sleep(work);
        (&log).write_all(line.as_bytes())
    };
    let consumer = FanOut::builder(handle)
        .window(window.parse().expect("a number"))
        .workers(4)
        .key(|delivery: &Delivery| delivery.message.key().map(<[u8]>::to_vec))
        .consume(source, Whole)
        .dead_letter(sink)
        .reconnect(Duration::from_millis(50), Duration::from_secs(1))
        .wait_for_broker()
        .start()
        .expect("the broker takes it");
    let receipt = consumer.join();
    eprintln!("worker {process}: {receipt}");
}
