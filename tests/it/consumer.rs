//! Services whose items come from a broker: what becomes of each message.

use crate::hooked::{
    Call, HookedSink, HookedSource, Step, adds_up, header, hook, numbers, refused, refused_message, texts,
};
use crate::{quiet_panic, within};
use fanpool::connect::{Bytes, CodecError, ConnectError, Delivery, Many, Memory, Message, Raw, Utf8, WithKey};
use fanpool::testing::ManualClock;
use fanpool::trace::TraceParent;
use fanpool::{CircuitBreaker, FanOut, Retry, Route};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn echo(text: String) -> Result<String, String> {
    Ok(text)
}

/// Fails for odd numbers.
pub(crate) fn even(text: String) -> Result<String, String> {
    if text.parse::<u32>().unwrap() % 2 == 0 { Ok(text) } else { Err(format!("{text} is odd")) }
}

pub(crate) fn until(condition: impl Fn() -> bool) {
    while !condition() {
        std::thread::yield_now();
    }
}

#[test]
fn i5_a_result_that_is_refused_is_buried_and_the_others_are_published() {
    within(|| {
        let broker = Memory::new();
        numbers(&broker, "in", 0..10);
        // All are sent together, and each is refused or stored by what it is.
        let sink = hook(|call| match call {
            Call::Publish(messages) => {
                let refused = messages
                    .iter()
                    .position(|message| [b"0", b"4", b"9"].contains(&message.payload().try_into().unwrap()));
                refused.map_or(Step::Go, |index| Step::Fail(refused_message(index)))
            }
            _ => Step::Go,
        });
        let batch = |texts: Vec<String>| texts.into_iter().map(Ok::<_, String>).collect();
        let consumer = FanOut::builder_batch(10, HOUR, batch)
            .window(10)
            .consume(broker.source("in"), Utf8)
            .publish(HookedSink(broker.sink("out"), sink), Utf8)
            .dead_letter(broker.sink("failed"))
            .start()
            .unwrap();
        let receipt = consumer.join();
        adds_up(&receipt.counts);
        assert!(receipt.error.is_none());
        assert_eq!((receipt.counts.published, receipt.counts.dead_lettered, receipt.counts.acknowledged), (7, 3, 10));
        assert_eq!(texts(&broker, "out"), ["1", "2", "3", "5", "6", "7", "8"]);
        assert_eq!(texts(&broker, "failed"), ["0", "4", "9"]);
        for letter in broker.messages("failed") {
            assert_eq!(header(&letter, "fanpool-reason"), "result-refused");
            assert_eq!(header(&letter, "fanpool-attempts"), "1");
        }
    });
}

#[test]
fn i5_of_several_results_of_a_message_none_is_sent_after_one_that_is_refused() {
    within(|| {
        let broker = Memory::new();
        broker.send("in", Message::new("abc"));
        broker.end("in");
        let sink = hook(|call| match call {
            Call::Publish(messages) => {
                let refused = messages.iter().position(|message| message.payload() == b"b");
                refused.map_or(Step::Go, |index| Step::Fail(refused_message(index)))
            }
            _ => Step::Go,
        });
        let consumer =
            FanOut::builder(|text: String| Ok::<_, String>(text.chars().map(String::from).collect::<Vec<_>>()))
                .consume(broker.source("in"), Utf8)
                .publish(HookedSink(broker.sink("out"), sink), Many(Utf8))
                .dead_letter(broker.sink("failed"))
                .start()
                .unwrap();
        adds_up(&consumer.join().counts);
        assert_eq!((texts(&broker, "out"), texts(&broker, "failed")), (vec!["a".to_owned()], vec!["abc".to_owned()]));
    });
}

#[test]
fn i5_a_letter_that_is_refused_even_when_cut_short_ends_the_consumer() {
    within(|| {
        let broker = Memory::new();
        numbers(&broker, "in", 0..20);
        let letters = hook(|call| match call {
            Call::Publish(_) => Step::Fail(refused_message(0)),
            _ => Step::Go,
        });
        let consumer = FanOut::builder(even)
            .window(5)
            .consume(broker.source("in"), Utf8)
            .publish(broker.sink("out"), Utf8)
            .dead_letter(HookedSink(broker.sink("failed"), letters))
            .start()
            .unwrap();
        let receipt = consumer.join();
        adds_up(&receipt.counts);
        assert!(matches!(receipt.error, Some(ConnectError::Refused { .. })), "{receipt}");
        assert!(receipt.to_string().contains("a dead letter was refused"), "{receipt}");
        assert!(receipt.counts.handed_back >= 1);
        let (left, out) = (texts(&broker, "in"), texts(&broker, "out"));
        assert!((0..20).all(|n| left.contains(&n.to_string()) || out.contains(&n.to_string())));
        assert!((0..20).step_by(2).all(|n| left.contains(&n.to_string()) != out.contains(&n.to_string())));
    });
}

#[test]
fn i4_the_history_of_all_attempts_goes_with_the_letter() {
    within(|| {
        let broker = Memory::new();
        broker.send("in", Message::new("a").with_header("kind", "own"));
        broker.end("in");
        let calls = AtomicUsize::new(0);
        let work = move |_: String| match calls.fetch_add(1, Ordering::SeqCst) {
            1 => quiet_panic("second"),
            n => Err::<(), _>(format!("attempt {n}")),
        };
        let consumer = FanOut::builder(work)
            .retry(Retry::fixed(Duration::ZERO).max_attempts(20).retry_panics())
            .consume(broker.source("in"), Utf8)
            .dead_letter(broker.sink("failed"))
            .start()
            .unwrap();
        let receipt = consumer.join();
        adds_up(&receipt.counts);
        assert_eq!(receipt.service.retried, 19);
        let letter = &broker.messages("failed")[0];
        assert_eq!((header(letter, "fanpool-attempts"), header(letter, "kind")), ("20".to_owned(), "own".to_owned()));
        assert_eq!(header(letter, "fanpool-deliveries"), "1");
        assert_eq!(header(letter, "fanpool-position"), "memory 0/0");
        let history = header(letter, "fanpool-history");
        let lines: Vec<_> = history.lines().collect();
        assert_eq!(lines.len(), 16, "the first 15 and the last: {history}");
        assert_eq!((lines[0], lines[2], lines[15]), ("1: attempt 0", "3: attempt 2", "20: attempt 19"));
        assert!(lines[1].starts_with("2: ") && lines[1].contains("second"), "{history}");
    });
}

#[test]
fn i4_poison_is_buried_with_its_reason_and_the_others_go_on() {
    within(|| {
        let broker = Memory::new();
        let huge = || Message::new("7").with_header("huge", vec![b'h'; 1 << 20]);
        let poison = [Message::new([0xff, 0xfe]), Message::new(""), Message::new("panics"), Message::new("seven")];
        broker.send("in", huge());
        poison.iter().for_each(|message| broker.send("in", message.clone()));
        broker.send("in", huge());
        broker.end("in");
        let consumer = FanOut::builder(|text: String| text.parse::<u8>().map(|n| n.to_string()))
            .window(1)
            .consume(broker.source("in"), |delivery: &Delivery| match delivery.message.payload() {
                b"panics" => quiet_panic("a poison"),
                payload => String::from_utf8(payload.to_vec()).map_err(CodecError::new),
            })
            .publish(broker.sink("out"), Utf8)
            .dead_letter(broker.sink("failed"))
            .start()
            .unwrap();
        let receipt = consumer.join();
        adds_up(&receipt.counts);
        assert_eq!((receipt.counts.acknowledged, texts(&broker, "out").len()), (6, 2));
        let letters = broker.messages("failed");
        let told: Vec<_> =
            letters.iter().map(|letter| (header(letter, "fanpool-reason"), header(letter, "fanpool-error"))).collect();
        assert_eq!(
            letters.iter().map(Message::payload).collect::<Vec<_>>(),
            poison.iter().map(Message::payload).collect::<Vec<_>>()
        );
        assert_eq!(told[1], ("failed".to_owned(), "cannot parse integer from empty string".to_owned()));
        assert_eq!(told[2], ("undecodable".to_owned(), "the decoder panicked: a poison".to_owned()));
        assert_eq!((&*told[0].0, &*told[3].0), ("undecodable", "failed"));
        assert_eq!(header(&letters[0], "fanpool-attempts"), "0");
        assert_eq!(header(&letters[0], "fanpool-history"), "");
    });
}

#[test]
fn i4_what_was_delivered_too_often_is_not_handled() {
    within(|| {
        let broker = Memory::new();
        numbers(&broker, "in", 0..1);
        let calls = Arc::new(AtomicUsize::new(0));
        let consumer = |limit| {
            let calls = calls.clone();
            let work = move |text: String| {
                calls.fetch_add(1, Ordering::SeqCst);
                Ok::<_, String>(text)
            };
            // Nothing can be sent, so it is handed back.
            let sink = hook(|call| match call {
                Call::Publish(_) => Step::Fail(refused()),
                _ => Step::Go,
            });
            let service = FanOut::builder(work).consume(broker.source("in"), Utf8).max_deliveries(limit);
            service
                .publish(HookedSink(broker.sink("out"), sink), Utf8)
                .dead_letter(broker.sink("failed"))
                .start()
                .unwrap()
        };
        for delivery in 1..=2 {
            let receipt = consumer(2).join();
            adds_up(&receipt.counts);
            assert_eq!((receipt.counts.handed_back, receipt.counts.redelivered), (1, delivery - 1));
        }
        let receipt = consumer(2).join();
        adds_up(&receipt.counts);
        assert_eq!((receipt.counts.acknowledged, calls.load(Ordering::SeqCst)), (1, 2));
        let letter = &broker.messages("failed")[0];
        assert_eq!(header(letter, "fanpool-reason"), "too-many-deliveries");
        assert_eq!(
            (header(letter, "fanpool-deliveries"), header(letter, "fanpool-attempts")),
            ("3".to_owned(), "0".to_owned())
        );
    });
}

#[test]
fn options_that_contradict_each_other_are_refused_and_nothing_runs() {
    let broker = Memory::new();
    let breaker = CircuitBreaker::builder().build().unwrap();
    let service = || FanOut::builder(echo).breaker(breaker.clone());
    let refused = |service: fanpool::connect::ConsumerBuilder<_, _>| match service.start() {
        Err(ConnectError::Build(error)) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let text = refused(service().consume(broker.source("in"), Utf8).discard_failed());
    assert!(text.contains("breaker_waits"), "{text}");
    let allowed = service().breaker_waits().consume(broker.source("in"), Utf8).discard_failed().start().unwrap();
    drop(allowed);
    assert_eq!(refused(service().consume(broker.source("in"), Utf8)), "dead_letter is missing");
    let both = service().consume(broker.source("in"), Utf8).discard_failed().dead_letter(broker.sink("failed"));
    assert!(refused(both).contains("discard_failed"));
    let service = || FanOut::builder(echo).consume(broker.source("in"), Utf8).discard_failed();
    assert!(refused(service().max_deliveries(0)).contains("max_deliveries"));
}

#[test]
fn results_and_letters_carry_the_trace_on() {
    within(|| {
        let broker = Memory::new();
        let (trace, other) = (TraceParent::root(true).to_string(), TraceParent::root(false).to_string());
        for text in ["0", "1", "2"] {
            broker.send("in", Message::new(text).with_header("traceparent", &trace));
        }
        broker.send("in", Message::new("4").with_header("traceparent", "not well formed"));
        broker.end("in");
        let own = other.clone();
        let consumer = FanOut::builder(even)
            .ordered()
            .consume(broker.source("in"), Utf8)
            .publish(broker.sink("out"), move |text: String| {
                let message = Message::new(&text);
                Ok(if text == "2" { message.with_header("traceparent", &own) } else { message })
            })
            .dead_letter(broker.sink("failed"))
            .start()
            .unwrap();
        adds_up(&consumer.join().counts);
        let out: Vec<_> = broker.messages("out").iter().map(|message| header(message, "traceparent")).collect();
        assert_eq!(out, [trace.clone(), other, "not well formed".to_owned()]);
        assert_eq!(header(&broker.messages("failed")[0], "traceparent"), trace);
    });
}

#[test]
fn i6_no_debug_and_no_error_shows_what_a_message_holds() {
    let broker = Memory::new();
    let secret = || Message::new("hunter2").with_key("hunter2").with_header("authorization", "hunter2");
    broker.send("in", secret());
    let builder = FanOut::builder(|_: Message| Err::<(), _>("no".to_owned())).consume(broker.source("in"), Raw);
    let mut shown = format!("{builder:?} {:?} {:?} {:?} {broker:?}", secret(), broker.source("in"), broker.sink("out"));
    let consumer = builder.dead_letter(broker.sink("failed")).start().unwrap();
    until(|| consumer.counts().acknowledged == 1);
    shown += &format!("{consumer:?} {:?} {:?}", consumer.metrics(), consumer.health());
    let receipt = consumer.shutdown(HOUR);
    shown += &format!("{receipt:?} {receipt} {:?}", broker.messages("failed"));
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("authorization"), "names are shown");
}

#[test]
fn a_window_of_one_and_every_option_settle_every_message() {
    let clock = ManualClock::new();
    let breaker = || CircuitBreaker::builder().build().unwrap();
    macro_rules! check {
        ($name:literal, $service:expr) => {{
            let service = $service;
            within(move || {
                let broker = Memory::new();
                for n in 0..30_u32 {
                    broker.send("in", Message::new(n.to_string()).with_key((n % 3).to_string()));
                }
                broker.end("in");
                let (source, held) = (broker.clone(), Arc::new(AtomicUsize::new(0)));
                let most = held.clone();
                let source = hook(move |call| {
                    if let Call::Took(_) = call {
                        held.fetch_max(source.in_hand("in"), Ordering::SeqCst);
                    }
                    Step::Go
                });
                let consumer = service
                    .window(1)
                    .consume(HookedSource(broker.source("in"), source), WithKey(Utf8))
                    .publish(broker.sink("out"), WithKey(Bytes))
                    .dead_letter(broker.sink("failed"))
                    .start()
                    .unwrap();
                let receipt = consumer.join();
                adds_up(&receipt.counts);
                assert_eq!((receipt.counts.acknowledged, most.load(Ordering::SeqCst)), (30, 1), $name);
                let evens: Vec<_> = (0..30).step_by(2).map(|n: u32| n.to_string()).collect();
                assert_eq!(texts(&broker, "out"), evens, $name);
                assert_eq!(texts(&broker, "failed").len(), 15, $name);
                let keys = broker.messages("out").iter().all(|message| message.key().is_some());
                assert!(keys, $name);
            });
        }};
    }
    type Keyed = (Vec<u8>, String);
    let work = |(key, text): Keyed| even(text).map(|text| (key, text));
    let retry = || Retry::fixed(Duration::ZERO).max_attempts(2);
    check!("plain", FanOut::builder(work));
    check!("ordered", FanOut::builder(work).ordered());
    check!("keyed", FanOut::builder(work).key(|(key, _): &Keyed| key.clone()));
    check!("sharded", FanOut::builder(work).route(Route::by_key(|(key, _): &Keyed| key.clone())));
    check!("retry", FanOut::builder(work).retry(retry()).ordered());
    check!("hedge", FanOut::builder(work).hedge_after(HOUR));
    check!("deadline", FanOut::builder(work).deadline(HOUR).clock(&clock));
    check!("breaker", FanOut::builder(work).breaker(breaker()).breaker_waits().breaker_counts(|_| false));
    check!("batch", FanOut::builder_batch(1, HOUR, move |items: Vec<Keyed>| items.into_iter().map(work).collect()));
}

#[test]
fn g6_messages_whose_time_is_over_are_buried_as_expired() {
    within(|| {
        let (broker, clock) = (Memory::new(), ManualClock::new());
        numbers(&broker, "in", 0..5);
        let (begun, begins) = mpsc::channel();
        let (open, gate) = mpsc::channel::<()>();
        let (begun, gate) = (Mutex::new(begun), Mutex::new(gate));
        let work = move |text: String| {
            begun.lock().unwrap().send(()).unwrap();
            let _ = gate.lock().unwrap().recv();
            Ok::<_, String>(text)
        };
        let consumer = FanOut::builder(work)
            .workers(1)
            .deadline(HOUR)
            .clock(&clock)
            .consume(broker.source("in"), Utf8)
            .publish(broker.sink("out"), Utf8)
            .dead_letter(broker.sink("failed"))
            .start()
            .unwrap();
        begins.recv().unwrap();
        until(|| consumer.counts().in_hand == 5);
        until(|| consumer.control().counts().accepted == 5);
        clock.advance(2 * HOUR);
        drop(open);
        let receipt = consumer.join();
        adds_up(&receipt.counts);
        assert_eq!((texts(&broker, "out").len(), texts(&broker, "failed").len()), (1, 4));
        for letter in broker.messages("failed") {
            assert_eq!(
                (header(&letter, "fanpool-reason"), header(&letter, "fanpool-attempts")),
                ("expired".to_owned(), "0".to_owned())
            );
        }
    });
}

#[test]
fn a_feeder_that_waits_for_room_is_woken() {
    // Else it would look again after 250 milliseconds, which for each message are four minutes.
    within(|| {
        let broker = Memory::new();
        numbers(&broker, "in", 0..1_000);
        let consumer =
            FanOut::builder(echo).window(1).consume(broker.source("in"), Utf8).discard_failed().start().unwrap();
        let receipt = consumer.join();
        adds_up(&receipt.counts);
        assert_eq!(receipt.counts.acknowledged, 1_000);
    });
}
