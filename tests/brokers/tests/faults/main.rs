//! Consumers over an engine whose calls fail.

#![allow(clippy::unwrap_used, reason = "all of it is tests")]

mod sinks;
mod users;

use brokers::faulty::{Call, Fault, Faults};
use fanpool::connect::{CodecError, ConnectError, Consumer, ConsumerBuilder, Memory, Message, Receipt, Utf8};
use fanpool::{FanOut, Reason, Retry};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_millis(2);

/// Fails instead of hanging.
fn within<R: Send + 'static>(test: impl FnOnce() -> R + Send + 'static) -> R {
    let (done, answer) = mpsc::channel();
    let runs = thread::spawn(move || done.send(test()));
    match answer.recv_timeout(PATIENCE) {
        Ok(answer) => answer,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => std::panic::resume_unwind(runs.join().unwrap_err()),
    }
}

fn until(mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < PATIENCE, "it does not come");
        thread::yield_now();
    }
}

fn filled(count: usize) -> Memory {
    let broker = Memory::new();
    (0..count).for_each(|n| broker.send("from", Message::new(n.to_string())));
    broker
}

fn numbers(broker: &Memory, queue: &str) -> Vec<usize> {
    let messages = broker.messages(queue);
    let mut numbers: Vec<_> = messages.iter().map(|m| String::from_utf8_lossy(m.payload()).parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

fn reason(message: &Message) -> String {
    String::from_utf8(message.header("fanpool-reason").unwrap().to_vec()).unwrap()
}

/// Those that are divisible by 10 fail.
fn handler(text: String) -> Result<String, String> {
    if text.ends_with('0') { Err(format!("{text} fails")) } else { Ok(text) }
}

fn start(broker: &Memory, source: &Faults, results: &Faults, letters: &Faults) -> Consumer {
    FanOut::builder(handler)
        .workers(2)
        .window(16)
        .consume(source.source(broker.source("from")), Utf8)
        .publish(results.sink(broker.sink("results")), Utf8)
        .dead_letter(letters.sink(broker.sink("letters")))
        .reconnect(SOON, SOON * 4)
        .start()
        .unwrap()
}

fn none() -> Faults {
    Faults::new(|_| None)
}

/// At the call for which `at` is so for the `nth` time.
fn once(nth: usize, fault: Fault, at: impl Fn(Call) -> bool + Send + 'static) -> Faults {
    let mut seen = 0;
    Faults::new(move |call| {
        seen += usize::from(at(call));
        (at(call) && seen == nth).then_some(fault)
    })
}

fn is_accounted_for(receipt: &Receipt) {
    let counts = receipt.counts;
    assert_eq!(counts.in_hand, 0, "{receipt}");
    assert_eq!(
        counts.delivered,
        counts.acknowledged + counts.handed_back + counts.late + counts.unsettled,
        "{receipt}"
    );
}

/// What is settled by the end of the consumer is a result or a letter, and all else is at the broker.
fn nothing_is_lost(broker: &Memory, receipt: &Receipt, count: usize) {
    is_accounted_for(receipt);
    assert_eq!(broker.in_hand("from"), 0, "{receipt}");
    let queues = ["from", "results", "letters"];
    let mut all: Vec<_> = queues.iter().flat_map(|queue| numbers(broker, queue)).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all, (0..count).collect::<Vec<_>>(), "{receipt}");
}

/// It has ended by itself, or is about to.
fn is_over(consumer: &Consumer) -> bool {
    consumer.health().reasons().iter().any(|reason| matches!(reason, Reason::Closed { .. }))
}

fn refused(receipt: &Receipt) {
    assert!(matches!(receipt.error, Some(ConnectError::Refused { .. })), "{receipt}");
}

#[test]
fn halves_are_closed_once_and_in_order() {
    within(|| {
        let broker = filled(50);
        let (source, results, letters) = (none(), none(), none());
        let consumer = start(&broker, &source, &results, &letters);
        until(|| consumer.counts().acknowledged == 50);
        nothing_is_lost(&broker, &consumer.shutdown(PATIENCE), 50);
        let ends = [Call::CloseSettler, Call::DropSettler, Call::CloseReader, Call::DropReader];
        let calls = source.calls();
        assert_eq!(calls.iter().filter(|call| ends.contains(call)).copied().collect::<Vec<_>>(), ends);
        let settled = calls.iter().position(|call| *call == Call::CloseSettler).unwrap();
        assert!(calls[settled..].iter().all(|call| !matches!(call, Call::Ack { .. } | Call::Nack { .. })));
        assert_eq!(calls.last(), Some(&Call::DropReader));
        assert_eq!(calls[calls.len() - 2], Call::CloseReader);
        for sink in [results, letters] {
            assert_eq!(sink.calls()[sink.calls().len() - 2..], [Call::CloseSink, Call::DropSink]);
            assert_eq!(sink.calls().iter().filter(|call| **call == Call::CloseSink).count(), 1);
        }
    });
}

#[test]
fn no_more_is_asked_for_than_the_window_leaves() {
    within(|| {
        let broker = filled(500);
        let source = none();
        let consumer = start(&broker, &source, &none(), &none());
        until(|| consumer.counts().acknowledged == 500);
        nothing_is_lost(&broker, &consumer.shutdown(PATIENCE), 500);
        assert!(source.calls().iter().all(|call| !matches!(call, Call::Poll { room } if *room > 16)));
    });
}

/// A handler that takes long, at the end: the source is polled without room meanwhile.
#[test]
fn a_source_is_kept_alive_until_all_is_settled() {
    within(|| {
        let broker = filled(5);
        let (source, (open, gate)) = (none(), mpsc::channel::<()>());
        let gate = std::sync::Mutex::new(gate);
        let consumer = FanOut::builder(move |text: String| {
            let _ = gate.lock().unwrap().recv();
            Ok::<_, String>(text)
        })
        .workers(1)
        .consume(source.source(broker.source("from")), Utf8)
        .discard_failed()
        .start()
        .unwrap();
        until(|| consumer.counts().in_hand == 5);
        consumer.close();
        let seen = source.calls().len();
        let idle = |calls: &[Call]| calls.iter().filter(|call| **call == Call::Poll { room: 0 }).count();
        until(|| idle(&source.calls()[seen..]) >= 3);
        assert!(!source.calls().contains(&Call::CloseSettler));
        drop(open);
        assert_eq!(consumer.join().counts.acknowledged, 5);
    });
}

#[test]
fn i1_what_comes_beside_an_error_is_handled() {
    within(|| {
        let broker = filled(100);
        let source = Faults::new(|call| matches!(call, Call::Poll { .. }).then_some(Fault::LostAfter));
        let consumer = start(&broker, &source, &none(), &none());
        until(|| consumer.counts().acknowledged == 100);
        nothing_is_lost(&broker, &consumer.shutdown(PATIENCE), 100);
        assert!(broker.messages("from").is_empty());
    });
}

#[test]
fn i6_a_source_that_refuses_in_the_middle_ends_its_consumer_and_what_is_in_hand_is_settled() {
    for fault in [Fault::Refused, Fault::Panic] {
        let broker = filled(100);
        let receipt = within({
            let broker = broker.clone();
            move || {
                let source = once(3, fault, |call| matches!(call, Call::Poll { room } if room > 0));
                start(&broker, &source, &none(), &none()).join()
            }
        });
        refused(&receipt);
        nothing_is_lost(&broker, &receipt, 100);
        assert!(receipt.counts.acknowledged > 0, "{receipt}");
        assert_eq!(receipt.counts.acknowledged, receipt.counts.delivered, "{receipt}");
    }
}

#[test]
fn i1_acknowledgements_that_fail_are_tried_again() {
    within(|| {
        let broker = filled(100);
        let mut seen = 0;
        let source = Faults::new(move |call| {
            seen += usize::from(matches!(call, Call::Ack { .. }));
            (matches!(call, Call::Ack { .. }) && seen % 4 != 0).then_some(Fault::Lost)
        });
        let consumer = start(&broker, &source, &none(), &none());
        until(|| consumer.counts().acknowledged == 100);
        let receipt = consumer.shutdown(PATIENCE);
        nothing_is_lost(&broker, &receipt, 100);
        assert!(receipt.counts.reconnects >= 1);
        assert_eq!(numbers(&broker, "results").len() + numbers(&broker, "letters").len(), 100);
    });
}

#[test]
fn i3_late_acknowledgements_are_counted_and_harm_nothing() {
    within(|| {
        let broker = filled(40);
        let source = Faults::new(|call| matches!(call, Call::Ack { .. }).then_some(Fault::Count(0)));
        let consumer = start(&broker, &source, &none(), &none());
        until(|| consumer.counts().late == 40);
        let receipt = consumer.shutdown(PATIENCE);
        is_accounted_for(&receipt);
        assert_eq!((receipt.counts.late, receipt.counts.acknowledged), (40, 0));
    });
}

/// An engine at fault says that it was more than there were.
#[test]
fn counts_of_an_engine_at_fault_harm_nothing() {
    within(|| {
        let broker = filled(40);
        let source = Faults::new(|call| matches!(call, Call::Ack { .. }).then_some(Fault::Count(usize::MAX)));
        let consumer = start(&broker, &source, &none(), &none());
        until(|| broker.in_hand("from") == 0 && broker.messages("from").is_empty());
        is_accounted_for(&consumer.shutdown(PATIENCE));
    });
}

#[test]
fn a_settler_that_refuses_or_panics_ends_its_consumer() {
    for fault in [Fault::Refused, Fault::Panic] {
        let broker = filled(100);
        let receipt = within({
            let broker = broker.clone();
            move || {
                let source = once(2, fault, |call| matches!(call, Call::Ack { .. }));
                start(&broker, &source, &none(), &none()).join()
            }
        });
        refused(&receipt);
        nothing_is_lost(&broker, &receipt, 100);
    }
}

#[test]
fn closing_and_dropping_may_fail_and_panic() {
    let ends = [
        Call::CloseReader,
        Call::CloseSettler,
        Call::CloseSink,
        Call::DropReader,
        Call::DropSettler,
        Call::DropSink,
        Call::Lag,
    ];
    for end in ends {
        for fault in [Fault::Refused, Fault::Panic] {
            let broker = filled(30);
            let receipt = within({
                let broker = broker.clone();
                move || {
                    let faults = Faults::new(move |call| (call == end).then_some(fault));
                    let consumer = start(&broker, &faults, &faults, &faults);
                    until(|| consumer.counts().acknowledged == 30);
                    consumer.shutdown(PATIENCE)
                }
            });
            nothing_is_lost(&broker, &receipt, 30);
        }
    }
}

#[test]
fn i1_the_end_does_not_wait_for_a_delay() {
    within(|| {
        let broker = filled(10);
        let source = Faults::new(|call| matches!(call, Call::Poll { .. }).then_some(Fault::Lost));
        let consumer = FanOut::builder(handler)
            .consume(source.source(broker.source("from")), Utf8)
            .discard_failed()
            .reconnect(PATIENCE * 2, PATIENCE * 2)
            .start()
            .unwrap();
        until(|| !consumer.health().is_ready());
        let start = Instant::now();
        is_accounted_for(&consumer.shutdown(PATIENCE * 2));
        assert!(start.elapsed() < PATIENCE / 4);
        assert_eq!(broker.messages("from").len(), 10);
    });
}

#[test]
fn i5_the_end_gives_up_a_sink_that_is_away_when_its_time_is_over() {
    within(|| {
        let broker = filled(40);
        let results = Faults::new(|call| matches!(call, Call::Publish { .. }).then_some(Fault::Lost));
        let consumer = FanOut::builder(handler)
            .window(16)
            .consume(broker.source("from"), Utf8)
            .publish(results.sink(broker.sink("results")), Utf8)
            .dead_letter(broker.sink("letters"))
            .reconnect(PATIENCE * 2, PATIENCE * 2)
            .start()
            .unwrap();
        until(|| consumer.health().reasons().len() == 1);
        let start = Instant::now();
        let receipt = consumer.shutdown(Duration::from_millis(100));
        assert!(start.elapsed() < PATIENCE / 4);
        assert_eq!(receipt.counts.published, 0);
        nothing_is_lost(&broker, &receipt, 40);
    });
}

/// Done, and lost before it was said: it is done again, and all are there at least once.
#[test]
fn i1_random_faults_lose_nothing() {
    let seeds = std::env::var("FANPOOL_CONFORMANCE_CASES").ok().map_or(30, |text| text.parse().unwrap());
    for seed in 1..=seeds {
        println!("seed {seed}");
        let broker = filled(200);
        let receipts = within({
            let broker = broker.clone();
            move || {
                let mut state: u64 = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed) | 1;
                let mut below = move |bound: u64| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    (state >> 11) % bound
                };
                let often = 4 + below(8);
                let faults = Faults::new(move |call| match (call, below(often)) {
                    (Call::Lag | Call::DropReader | Call::DropSettler | Call::DropSink, _) => None,
                    (Call::Open | Call::OpenSink, _) => None,
                    (_, 0) => Some(Fault::Lost),
                    (_, 1) => Some(Fault::LostAfter),
                    (Call::Publish { count }, 2) if below(4) == 0 => Some(Fault::Message(below(count as u64) as usize)),
                    _ => None,
                });
                let mut receipts = Vec::new();
                // Ended early, and again until it is done.
                for end in 0.. {
                    let consumer = start(&broker, &faults, &faults, &faults);
                    let gone = || broker.messages("from").is_empty() && broker.in_hand("from") == 0;
                    if end < 4 {
                        until(|| consumer.counts().delivered >= 20 || gone() || is_over(&consumer));
                        receipts.push(consumer.shutdown(SOON * end));
                        continue;
                    }
                    until(|| gone() || is_over(&consumer));
                    let done = gone();
                    receipts.push(consumer.shutdown(PATIENCE));
                    if done {
                        return receipts;
                    }
                }
                unreachable!("it is done some time");
            }
        });
        receipts.iter().for_each(is_accounted_for);
        nothing_is_lost(&broker, receipts.last().unwrap(), 200);
        assert!(broker.messages("from").is_empty());
    }
}
