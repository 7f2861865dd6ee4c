//! Engines that do not keep to what is asked of them, and what letters hold.

use crate::hooked::{
    Call, Hook, HookedSink, HookedSource, Step, adds_up, header, hook, lost, numbers, refused_message, texts,
};
use crate::within;
use fanpool::connect::{ConnectError, Delivery, Memory, Message, Receipt, Source, Utf8};
use fanpool::trace::TraceParent;
use fanpool::{FanOut, Retry};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_millis(1);

fn echo(text: String) -> Result<String, String> {
    Ok(text)
}

/// Ten numbers, by way of these engines, to the queue `out`; what fails to `failed`.
fn run(source: Hook, sink: Hook, letters: Hook) -> (Memory, Receipt) {
    let broker = Memory::new();
    numbers(&broker, "in", 0..10);
    let consumer = FanOut::builder(echo)
        .window(4)
        .consume(HookedSource(broker.source("in"), source), Utf8)
        .publish(HookedSink(broker.sink("out"), sink), Utf8)
        .dead_letter(HookedSink(broker.sink("failed"), letters))
        .reconnect(SOON, SOON)
        .start()
        .unwrap();
    let receipt = consumer.join();
    (broker, receipt)
}

fn fine() -> Hook {
    hook(|_| Step::Go)
}

#[test]
fn i1_a_settler_that_says_more_than_it_was_asked_is_not_believed() {
    within(|| {
        let source = hook(|call| match call {
            Call::Ack(_) => Step::Says(1_000),
            _ => Step::Go,
        });
        let (_, receipt) = run(source, fine(), fine());
        adds_up(&receipt.counts);
        assert_eq!(receipt.counts.acknowledged, 10);
    });
}

#[test]
fn i5_a_sink_that_refuses_a_message_that_it_was_not_given_confirms_none() {
    // For what it says of the messages before that one, nothing speaks.
    for index in [4, 1_000, usize::MAX] {
        within(move || {
            let sink = hook(move |call| match call {
                Call::Publish(_) => Step::Fail(refused_message(index)),
                _ => Step::Go,
            });
            let sink = HookedSink(Memory::new().sink("nowhere"), sink);
            let broker = Memory::new();
            numbers(&broker, "in", 0..4);
            let consumer = FanOut::builder_batch(4, Duration::from_secs(3600), |items: Vec<String>| {
                items.into_iter().map(Ok::<_, String>).collect()
            })
            .window(4)
            .consume(broker.source("in"), Utf8)
            .publish(sink, Utf8)
            .dead_letter(broker.sink("failed"))
            .start()
            .unwrap();
            let receipt = consumer.join();
            adds_up(&receipt.counts);
            assert_eq!((receipt.counts.acknowledged, receipt.counts.published), (0, 0), "{receipt}");
            assert!(matches!(receipt.error, Some(ConnectError::Refused { .. })), "{receipt}");
            assert_eq!(texts(&broker, "in"), ["0", "1", "2", "3"]);
        });
    }
}

#[test]
fn i5_letters_of_refused_results_tell_of_all_attempts() {
    within(|| {
        let broker = Memory::new();
        numbers(&broker, "in", 7..8);
        let calls = AtomicUsize::new(0);
        let sink = hook(|call| match call {
            Call::Publish(_) => Step::Fail(refused_message(0)),
            _ => Step::Go,
        });
        let consumer = FanOut::builder(move |text: String| match calls.fetch_add(1, Ordering::SeqCst) {
            0 => Err("first".to_owned()),
            1 => Err("second".to_owned()),
            _ => Ok(text),
        })
        .retry(Retry::fixed(Duration::ZERO).max_attempts(5))
        .consume(broker.source("in"), Utf8)
        .publish(HookedSink(broker.sink("out"), sink), Utf8)
        .dead_letter(broker.sink("failed"))
        .start()
        .unwrap();
        adds_up(&consumer.join().counts);
        let letter = &broker.messages("failed")[0];
        assert_eq!(header(letter, "fanpool-reason"), "result-refused");
        assert_eq!(header(letter, "fanpool-attempts"), "3");
        assert_eq!(header(letter, "fanpool-history"), "1: first\n2: second\n3: hooked: message 0: too odd");
    });
}

#[test]
fn i4_a_long_error_leaves_room_for_those_of_the_other_attempts() {
    within(|| {
        let broker = Memory::new();
        numbers(&broker, "in", 7..8);
        let calls = AtomicUsize::new(0);
        let consumer = FanOut::builder(move |_: String| {
            let call = calls.fetch_add(1, Ordering::SeqCst);
            Err::<(), _>(if call == 0 { "a\nlong error".repeat(1_000) } else { format!("short {call}") })
        })
        .retry(Retry::fixed(Duration::ZERO).max_attempts(3))
        .consume(broker.source("in"), Utf8)
        .dead_letter(broker.sink("failed"))
        .start()
        .unwrap();
        adds_up(&consumer.join().counts);
        let history = header(&broker.messages("failed")[0], "fanpool-history");
        let lines: Vec<_> = history.lines().collect();
        assert_eq!(lines.len(), 3, "{history}");
        assert!(lines[0].starts_with("1: a long error"), "{history}");
        assert_eq!(lines[1..], ["2: short 1", "3: short 2"]);
        assert!(history.len() <= 5_120);
    });
}

#[test]
fn i1_delays_of_nothing_are_refused() {
    for (first, longest) in [(Duration::ZERO, SOON), (SOON, Duration::ZERO), (Duration::ZERO, Duration::ZERO)] {
        let consumer = FanOut::builder(echo)
            .consume(Memory::new().source("in"), Utf8)
            .discard_failed()
            .reconnect(first, longest)
            .start();
        assert!(matches!(consumer, Err(ConnectError::Build(_))), "{first:?}, {longest:?}: that would be a busy loop");
    }
}

#[test]
fn i5_a_sink_that_was_lost_and_refuses_a_message_is_there() {
    within(|| {
        let broker = Memory::new();
        broker.send("in", Message::new("a"));
        let calls = AtomicUsize::new(0);
        let sink = hook(move |call| match call {
            Call::Publish(_) if calls.fetch_add(1, Ordering::SeqCst) == 0 => Step::Fail(lost()),
            Call::Publish(_) => Step::Fail(refused_message(0)),
            _ => Step::Go,
        });
        let consumer = FanOut::builder(echo)
            .consume(broker.source("in"), Utf8)
            .publish(HookedSink(broker.sink("out"), sink), Utf8)
            .dead_letter(broker.sink("failed"))
            .reconnect(SOON, SOON)
            .start()
            .unwrap();
        while consumer.counts().acknowledged == 0 {
            std::thread::yield_now();
        }
        assert!(consumer.health().reasons().is_empty(), "{}", consumer.health());
        assert_eq!(consumer.counts().reconnects, 1);
        adds_up(&consumer.shutdown(Duration::from_secs(60)).counts);
    });
}

#[test]
fn i3_what_memory_has_taken_back_is_late_though_it_was_delivered_to_the_same_source_again() {
    let broker = Memory::new();
    broker.send("in", Message::new("a"));
    let (mut reader, mut settler) = broker.source("in").open(1).unwrap();
    let mut taken: Vec<Delivery> = Vec::new();
    reader.poll(1, Duration::ZERO, &mut taken).unwrap();
    broker.set_down(true);
    broker.set_down(false);
    reader.poll(1, Duration::ZERO, &mut taken).unwrap();
    assert_eq!(taken.iter().map(|delivery| delivery.attempt).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(settler.nack(&[taken[0].position]).unwrap(), 0, "it was another delivery");
    assert_eq!(settler.ack(&[taken[0].position]).unwrap(), 0);
    assert_eq!(broker.in_hand("in"), 1);
    assert_eq!(settler.ack(&[taken[1].position]).unwrap(), 1);
}

#[test]
fn i1_a_source_lost_for_a_while_is_left_alone_between_attempts() {
    within(|| {
        const DELAY: Duration = Duration::from_millis(20);
        let broker = Memory::new();
        numbers(&broker, "in", 0..10);
        let (polls, began) = (AtomicUsize::new(0), Instant::now());
        let source = hook(move |call| match call {
            Call::Poll(_) if polls.fetch_add(1, Ordering::SeqCst) < 6 => Step::Fail(lost()),
            _ => Step::Go,
        });
        let consumer = FanOut::builder(echo)
            .consume(HookedSource(broker.source("in"), source), Utf8)
            .discard_failed()
            .reconnect(DELAY, DELAY)
            .start()
            .unwrap();
        let receipt = consumer.join();
        adds_up(&receipt.counts);
        assert!(began.elapsed() >= 6 * DELAY);
        assert_eq!((receipt.counts.acknowledged, receipt.counts.reconnects), (10, 1));
    });
}

#[test]
fn i1_a_source_that_gives_more_than_was_asked_for_loses_nothing() {
    for paused in [false, true] {
        within(move || {
            let broker = Memory::new();
            numbers(&broker, "in", 0..100);
            let source = hook(|call| match call {
                Call::Poll(_) => Step::Says(30),
                _ => Step::Go,
            });
            let consumer = FanOut::builder(echo)
                .window(3)
                .consume(HookedSource(broker.source("in"), source), Utf8)
                .publish(broker.sink("out"), Utf8)
                .discard_failed()
                .start()
                .unwrap();
            let receipt = if paused {
                consumer.control().pause();
                consumer.shutdown(SOON)
            } else {
                consumer.join()
            };
            adds_up(&receipt.counts);
            assert_eq!(receipt.counts.acknowledged as usize + texts(&broker, "in").len(), 100);
            assert_eq!(receipt.counts.acknowledged as usize, texts(&broker, "out").len());
            assert!(paused || receipt.counts.acknowledged == 100);
        });
    }
}

#[test]
fn i1_a_broker_that_was_given_up_is_not_called_for_every_batch() {
    // A call of one that cannot be reached may take seconds.
    within(|| {
        let broker = Memory::new();
        (0..5_000).for_each(|n| broker.send("in", Message::new(n.to_string())));
        let calls = Arc::new(AtomicUsize::new(0));
        let called = calls.clone();
        let (paused, pauses) = mpsc::channel::<()>();
        let gate = Mutex::new(pauses);
        let source = hook(move |call| match call {
            Call::Poll(_) => {
                let _ = gate.lock().unwrap().recv();
                Step::Go
            }
            Call::Ack(_) | Call::Nack | Call::CloseSettler => {
                called.fetch_add(1, Ordering::SeqCst);
                Step::Fail(lost())
            }
            _ => Step::Go,
        });
        let consumer = FanOut::builder(echo)
            .window(5_000)
            .consume(HookedSource(broker.source("in"), source), Utf8)
            .discard_failed()
            .reconnect(Duration::from_secs(3600), Duration::from_secs(3600))
            .start()
            .unwrap();
        consumer.control().pause();
        drop(paused);
        while consumer.counts().in_hand < 5_000 {
            std::thread::yield_now();
        }
        let receipt = consumer.shutdown(Duration::ZERO);
        adds_up(&receipt.counts);
        assert_eq!(receipt.counts.unsettled, 5_000);
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn i4_a_letter_that_is_refused_is_cut_short() {
    within(|| {
        let broker = Memory::new();
        let trace = TraceParent::root(true).to_string();
        let large = Message::new(vec![b'x'; 10_000]).with_header("own", vec![b'y'; 10_000]);
        broker.send("in", large.with_key("k").with_header("traceparent", &trace));
        broker.send("in", Message::new("small"));
        broker.end("in");
        let letters = hook(|call| match call {
            Call::Publish(messages) => {
                let refused = messages.iter().position(|message| message.payload().len() > 5_000);
                refused.map_or(Step::Go, |index| Step::Fail(refused_message(index)))
            }
            _ => Step::Go,
        });
        let consumer = FanOut::builder(|_: String| Err::<(), _>("e".repeat(5_000)))
            .consume(broker.source("in"), Utf8)
            .dead_letter(HookedSink(broker.sink("failed"), letters))
            .start()
            .unwrap();
        let receipt = consumer.join();
        adds_up(&receipt.counts);
        assert!(receipt.error.is_none(), "{receipt}");
        assert_eq!(receipt.counts.dead_lettered, 2);
        let letters = broker.messages("failed");
        let cut = letters.iter().find(|letter| letter.key().is_some()).unwrap();
        assert_eq!((cut.payload().len(), cut.key(), cut.header("own")), (4_096, Some(&b"k"[..]), None));
        assert_eq!((header(cut, "fanpool-truncated"), header(cut, "traceparent")), ("10000".to_owned(), trace));
        assert_eq!(header(cut, "fanpool-error"), "e".repeat(1_024));
        let whole = letters.iter().find(|letter| letter.key().is_none()).unwrap();
        assert_eq!((whole.payload(), whole.header("fanpool-truncated")), (&b"small"[..], None));
    });
}

#[test]
fn i4_a_letter_that_is_cut_short_is_small_whatever_came() {
    within(|| {
        let broker = Memory::new();
        let message = |at: usize| Message::new(at.to_string());
        broker.send("in", message(0).with_key(vec![b'k'; 100_000]));
        broker.send("in", message(1).with_header("fanpool-of-somebody-else", vec![b'h'; 100_000]));
        broker.send("in", (0..10_000).fold(message(2), |message, at| message.with_header(format!("fanpool-{at}"), "")));
        broker.end("in");
        let bytes = |message: &Message| {
            let headers: usize = message.headers().map(|(name, value)| name.len() + value.len()).sum();
            headers + message.payload().len() + message.key().map_or(0, <[u8]>::len)
        };
        let letters = hook(move |call| match call {
            Call::Publish(messages) => {
                let refused = messages.iter().position(|message| bytes(message) > 16_384);
                refused.map_or(Step::Go, |index| Step::Fail(refused_message(index)))
            }
            _ => Step::Go,
        });
        // Of two bytes each, so that a text is not cut within one.
        let consumer = FanOut::builder(|_: String| Err::<(), _>("x".to_owned() + &"\u{e4}".repeat(500)))
            .retry(fanpool::Retry::fixed(std::time::Duration::ZERO).max_attempts(4))
            .consume(broker.source("in"), Utf8)
            .dead_letter(HookedSink(broker.sink("failed"), letters))
            .start()
            .unwrap();
        let receipt = consumer.join();
        adds_up(&receipt.counts);
        assert!(receipt.error.is_none(), "{receipt}");
        assert_eq!(receipt.counts.dead_lettered, 3);
        let mut letters = broker.messages("failed");
        // They fail side by side.
        letters.sort_by_key(|letter| letter.payload().to_vec());
        for (at, letter) in letters.iter().enumerate() {
            assert_eq!((letter.payload(), letter.key()), (at.to_string().as_bytes(), None));
            assert_eq!(header(letter, "fanpool-truncated"), "1");
            assert!(letter.headers().all(|(_, value)| std::str::from_utf8(value).is_ok()));
            assert_eq!((letter.headers().count(), header(letter, "fanpool-attempts")), (7, "4".to_owned()));
        }
    });
}
