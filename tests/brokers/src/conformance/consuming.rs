//! Consumers: what comes is handled, and what comes of it is sent before it is acknowledged.

use super::consumers::*;
use super::support::*;
use crate::Broker;
use fanpool::connect::{CodecError, Delivery, Message, Raw, Utf8, WithKey};
use fanpool::{FanOut, Status};
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Instant;

fn parsed(text: &str) -> Result<usize, String> {
    text.parse::<usize>().map_err(|error| error.to_string())
}

pub fn all_are_handled_and_their_results_are_sent(broker: &dyn Broker) {
    let queues = Queues::new(broker, "handled");
    send(broker, &queues.from, 0..250);
    let consumer = FanOut::builder(|text: String| parsed(&text).map(|n| (n * 2).to_string()))
        .workers(3)
        .window(64)
        .consume(broker.source(&queues.from), Utf8)
        .publish(broker.sink(&queues.results), Utf8)
        .dead_letter(broker.sink(&queues.letters))
        .start()
        .unwrap();
    let rest: Vec<_> = (250..500).map(numbered).collect();
    broker.put(&queues.from, &rest);
    until_acknowledged(&consumer, 500);
    assert_eq!(consumer.health().status(), Status::Healthy);
    let counts = end(consumer);
    assert_eq!((counts.delivered, counts.acknowledged, counts.published), (500, 500, 500));
    assert_eq!((counts.redelivered, counts.dead_lettered, counts.late, counts.reconnects), (0, 0, 0, 0));
    all_acknowledged(broker, &queues.from);
    assert_eq!(dumped(broker, &queues.results), (0..500).map(|n| n * 2).collect::<Vec<_>>());
    assert!(broker.dump(&queues.letters).is_empty());
}

/// Nothing is acknowledged before it is handled: what the handler has, the broker has, too.
pub fn nothing_is_acknowledged_before_it_is_handled(broker: &dyn Broker) {
    let queues = Queues::new(broker, "before");
    send(broker, &queues.from, 0..20);
    let gate = Gate::default();
    let passes = gate.clone();
    let consumer = FanOut::builder(move |text: String| {
        passes.pass();
        Ok::<_, String>(text)
    })
    .workers(2)
    .window(10)
    .consume(broker.source(&queues.from), Utf8)
    .publish(broker.sink(&queues.results), Utf8)
    .dead_letter(broker.sink(&queues.letters))
    .start()
    .unwrap();
    let opener = gate.opener();
    gate.until_waiting(2);
    assert_eq!(broker.unacknowledged(&queues.from), 20);
    gate.permit(6);
    until_acknowledged(&consumer, 6);
    assert_eq!(consumer.counts().acknowledged, 6);
    assert_eq!(broker.dump(&queues.results).len(), 6);
    assert!(broker.unacknowledged(&queues.from) >= 14);
    drop(opener);
    until_acknowledged(&consumer, 20);
    end(consumer);
    all_acknowledged(broker, &queues.from);
}

pub fn the_window_bounds_what_is_in_hand(broker: &dyn Broker) {
    let queues = Queues::new(broker, "window");
    send(broker, &queues.from, 0..60);
    let gate = Gate::default();
    let passes = gate.clone();
    let consumer = FanOut::builder(move |text: String| {
        passes.pass();
        Ok::<_, String>(text)
    })
    .workers(2)
    .window(8)
    .consume(broker.source(&queues.from), Utf8)
    .dead_letter(broker.sink(&queues.letters))
    .start()
    .unwrap();
    let opener = gate.opener();
    eventually("the window is full", || consumer.counts().in_hand == 8);
    for settled in 1..=20 {
        gate.permit(1);
        until_acknowledged(&consumer, settled);
        let counts = consumer.counts();
        assert!(counts.in_hand <= 8, "{counts:?}");
        assert!(counts.delivered <= settled + 8, "{counts:?}");
    }
    drop(opener);
    until_acknowledged(&consumer, 60);
    end(consumer);
}

/// Of each key one at a time, in order, though others overtake it.
pub fn keys_are_handled_in_order(broker: &dyn Broker) {
    let queues = Queues::new(broker, "keys");
    send(broker, &queues.from, 0..400);
    let order: Arc<Mutex<BTreeMap<Vec<u8>, Vec<usize>>>> = Arc::default();
    let running: Arc<Mutex<HashSet<Vec<u8>>>> = Arc::default();
    let (seen, runs) = (order.clone(), running.clone());
    let consumer = FanOut::builder(move |(key, text): (Vec<u8>, String)| {
        if !runs.lock().unwrap().insert(key.clone()) {
            return Err("two of a key at once".to_owned());
        }
        std::thread::yield_now();
        seen.lock().unwrap().entry(key.clone()).or_default().push(parsed(&text)?);
        runs.lock().unwrap().remove(&key);
        Ok(())
    })
    .workers(4)
    .window(100)
    .key(|(key, _)| key.clone())
    .consume(broker.source(&queues.from), WithKey(Utf8))
    .dead_letter(broker.sink(&queues.letters))
    .start()
    .unwrap();
    until_acknowledged(&consumer, 400);
    assert_eq!(end(consumer).dead_lettered, 0);
    let order = order.lock().unwrap();
    assert_eq!(order.len(), 8);
    for (key, numbers) in &*order {
        assert_eq!(numbers.len(), 50);
        assert!(numbers.is_sorted(), "{key:?}: {numbers:?}");
    }
}

pub fn results_carry_the_trace_of_their_message(broker: &dyn Broker) {
    let queues = Queues::new(broker, "trace");
    let parent = |n: usize| format!("00-0af7651916cd43dd8448eb211c8031{n:02}-b7ad6b7169203331-01");
    let messages: Vec<_> = (0..10).map(|n| numbered(n).with_header("traceparent", parent(n))).collect();
    publish(broker, &queues.from, &messages);
    let answer = |message: Message| Ok::<_, String>(Message::new(message.payload()).with_key("answer"));
    let consumer = FanOut::builder(answer)
        .consume(broker.source(&queues.from), Raw)
        .publish(broker.sink(&queues.results), Raw)
        .dead_letter(broker.sink(&queues.letters))
        .start()
        .unwrap();
    until_acknowledged(&consumer, 10);
    end(consumer);
    let results = broker.dump(&queues.results);
    assert_eq!(results.len(), 10);
    for result in results {
        assert_eq!(result.key(), Some(&b"answer"[..]));
        assert_eq!(text(&result, "traceparent"), parent(number(&result)));
    }
}

pub fn two_consumers_share_messages(broker: &dyn Broker) {
    let queues = Queues::new(broker, "two");
    let calls = Calls::default();
    let start = || {
        let calls = calls.clone();
        FanOut::builder(move |text: String| parsed(&text).map(|number| calls.of(number)))
            .workers(2)
            .window(20)
            .consume(broker.source(&queues.from), Utf8)
            .dead_letter(broker.sink(&queues.letters))
            .start()
            .unwrap()
    };
    let (one, two) = (start(), start());
    let mut sent = 0;
    let began = Instant::now();
    while one.counts().acknowledged == 0 || two.counts().acknowledged == 0 {
        assert!(began.elapsed() < PATIENCE, "of {sent} {:?} and {:?}", one.counts(), two.counts());
        send(broker, &queues.from, sent..sent + 20);
        sent += 20;
    }
    let first = end(one);
    send(broker, &queues.from, sent..sent + 20);
    sent += 20;
    all_acknowledged(broker, &queues.from);
    let second = end(two);
    assert_eq!(calls.numbers(), (0..sent).collect::<Vec<_>>());
    if broker.acknowledges_each() {
        // What was handed back was not handled.
        assert_eq!(calls.sum(), sent);
        assert_eq!(first.acknowledged + second.acknowledged, sent as u64);
    }
}

/// What is decoded, and by what, is up to the user: JSON of other programs, or bytes as they are.
pub fn i7_messages_of_other_programs_are_decoded(broker: &dyn Broker) {
    let queues = Queues::new(broker, "others");
    let messages = [Message::new("{\"n\": 1}"), Message::new("{\"n\":2,\"more\":[]}").with_key("k"), Message::new("3")];
    broker.put(&queues.from, &messages);
    let decode = |delivery: &Delivery| {
        let text = String::from_utf8(delivery.message.payload().to_vec()).map_err(CodecError::new)?;
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        digits.parse::<usize>().map_err(CodecError::new)
    };
    let consumer = FanOut::builder(|n: usize| Ok::<_, String>(n.to_string()))
        .consume(broker.source(&queues.from), decode)
        .publish(broker.sink(&queues.results), Utf8)
        .dead_letter(broker.sink(&queues.letters))
        .start()
        .unwrap();
    until_acknowledged(&consumer, 3);
    end(consumer);
    assert_eq!(dumped(broker, &queues.results), [1, 2, 3]);
}
