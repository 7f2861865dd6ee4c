//! Consumers: what cannot be handled becomes a dead letter, and holds up nobody.

use super::consumers::*;
use super::support::*;
use crate::Broker;
use fanpool::connect::{ConnectError, Message, Raw, Utf8};
use fanpool::{FanOut, Reason, Retry, Status};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A message that has everything that a letter must keep.
fn full(number: usize) -> Message {
    numbered(number).with_header("kind", "order").with_header("gr\u{fc}n", number.to_string())
}

/// The letter is the message as it came, with headers of the library's.
fn is_letter_of(letter: &Message, message: &Message) {
    assert_eq!(letter.payload(), message.payload());
    assert_eq!(letter.key(), message.key());
    let own = |message: &Message| -> BTreeMap<String, Vec<u8>> {
        let headers = message.headers().filter(|(name, _)| !name.starts_with("fanpool-"));
        headers.map(|(name, value)| (name.to_owned(), value.to_vec())).collect()
    };
    assert_eq!(own(letter), own(message));
}

/// How often one that fails is tried.
fn thrice() -> Retry<String> {
    Retry::fixed(Duration::from_millis(1)).max_attempts(3)
}

pub fn i4_what_fails_is_tried_again_and_then_buried(broker: &dyn Broker) {
    let queues = Queues::new(broker, "failed");
    let messages: Vec<_> = (0..60).map(full).collect();
    publish(broker, &queues.from, &messages);
    let calls = Calls::default();
    let handler = {
        let calls = calls.clone();
        // Every third fails for good, some others once.
        move |message: Message| match number(&message) {
            n if n % 3 == 0 => Err(format!("{n} failed in call {}", calls.of(n))),
            n if calls.of(n) == 1 && n % 3 == 1 => Err("once".to_owned()),
            _ => Ok(message),
        }
    };
    let consumer = FanOut::builder(handler)
        .workers(2)
        .retry(thrice())
        .consume(broker.source(&queues.from), Raw)
        .publish(broker.sink(&queues.results), Raw)
        .dead_letter(broker.sink(&queues.letters))
        .start()
        .unwrap();
    until_acknowledged(&consumer, 60);
    let counts = end(consumer);
    assert_eq!((counts.acknowledged, counts.dead_lettered, counts.published), (60, 20, 40));
    all_acknowledged(broker, &queues.from);
    for (n, calls) in calls.all() {
        assert_eq!(calls, [3, 2, 1][n % 3], "{n}");
    }
    assert_eq!(dumped(broker, &queues.results), (0..60).filter(|n| n % 3 != 0).collect::<Vec<_>>());
    assert_eq!(dumped(broker, &queues.letters), (0..60).step_by(3).collect::<Vec<_>>());
    for letter in broker.dump(&queues.letters) {
        let n = number(&letter);
        is_letter_of(&letter, &messages[n]);
        assert_eq!(text(&letter, "fanpool-reason"), "failed");
        assert_eq!(text(&letter, "fanpool-attempts"), "3");
        assert_eq!(text(&letter, "fanpool-error"), format!("{n} failed in call 3"));
        let history = text(&letter, "fanpool-history");
        let lines: Vec<_> = history.lines().collect();
        assert_eq!(lines.len(), 3, "{history}");
        for (line, call) in lines.iter().zip(1..) {
            assert!(line.starts_with(&format!("{call}: ")), "{history}");
            assert!(line.contains(&format!("{n} failed in call {call}")), "{history}");
        }
        assert!(text(&letter, "fanpool-position").starts_with(broker.engine()));
        assert_eq!(text(&letter, "fanpool-deliveries"), "1");
    }
}

pub fn i4_what_cannot_be_decoded_is_buried_without_a_call(broker: &dyn Broker) {
    let queues = Queues::new(broker, "undecodable");
    let calls = Calls::default();
    let large = vec![0xff; broker.promises().largest.unwrap_or(1 << 20).min(1 << 20) / 2];
    let bad = [
        Message::new([0xff]),
        Message::new([0xc3, 0x28]).with_key("k").with_header("kind", "order"),
        Message::new([0xfe]).with_header("large", "x".repeat(10 << 10)),
        Message::new(large),
    ];
    let mut messages: Vec<_> = (0..20).map(numbered).collect();
    bad.iter().enumerate().for_each(|(at, bad)| messages.insert(at * 4, bad.clone()));
    publish(broker, &queues.from, &messages);
    let count = calls.clone();
    let consumer = FanOut::builder(move |text: String| {
        let number = text.parse::<usize>().map_err(|error| error.to_string())?;
        count.of(number);
        Ok::<_, String>(())
    })
    .retry(thrice())
    .consume(broker.source(&queues.from), Utf8)
    .dead_letter(broker.sink(&queues.letters))
    .start()
    .unwrap();
    until_acknowledged(&consumer, 24);
    let counts = end(consumer);
    assert_eq!((counts.acknowledged, counts.dead_lettered), (24, 4));
    assert_eq!(calls.all(), (0..20).map(|n| (n, 1)).collect());
    let letters = broker.dump(&queues.letters);
    assert_eq!(letters.len(), 4);
    for bad in &bad {
        let letter = letters.iter().find(|letter| letter.payload() == bad.payload()).unwrap();
        is_letter_of(letter, bad);
        assert_eq!(text(letter, "fanpool-reason"), "undecodable");
        assert_eq!(text(letter, "fanpool-attempts"), "0");
        assert!(text(letter, "fanpool-error").contains("UTF-8"));
    }
}

/// Empty ones, without key, with an empty key: the handler gets them as they are, and so does the letter.
pub fn i4_messages_without_anything_are_handled(broker: &dyn Broker) {
    let queues = Queues::new(broker, "bare");
    let messages = [Message::new(""), Message::new("").with_key(""), Message::new("x")];
    publish(broker, &queues.from, &messages);
    let consumer = FanOut::builder(
        |message: Message| {
            if message.payload().is_empty() { Err("empty".to_owned()) } else { Ok(message) }
        },
    )
    .key(|message| message.key().map(<[u8]>::to_vec))
    .consume(broker.source(&queues.from), Raw)
    .publish(broker.sink(&queues.results), Raw)
    .dead_letter(broker.sink(&queues.letters))
    .start()
    .unwrap();
    until_acknowledged(&consumer, 3);
    let counts = end(consumer);
    assert_eq!((counts.dead_lettered, counts.published), (2, 1));
    let letters = broker.dump(&queues.letters);
    is_letter_of(letters.iter().find(|letter| letter.key().is_none()).unwrap(), &messages[0]);
    is_letter_of(letters.iter().find(|letter| letter.key().is_some()).unwrap(), &messages[1]);
    assert_eq!(broker.dump(&queues.results), messages[2..]);
}

pub fn i4_a_handler_that_panics_is_buried_with_its_message(broker: &dyn Broker) {
    let queues = Queues::new(broker, "panics");
    send(broker, &queues.from, 0..30);
    let consumer = FanOut::builder(|text: String| {
        let n: usize = text.parse().map_err(|_| "no number")?;
        // Without a message of the panic on standard error.
        if n % 10 == 7 {
            std::panic::resume_unwind(Box::new(format!("{n} panicked")));
        }
        Ok::<_, &str>(text)
    })
    .workers(2)
    .consume(broker.source(&queues.from), Utf8)
    .publish(broker.sink(&queues.results), Utf8)
    .dead_letter(broker.sink(&queues.letters))
    .start()
    .unwrap();
    until_acknowledged(&consumer, 30);
    let counts = end(consumer);
    assert_eq!((counts.dead_lettered, counts.published), (3, 27));
    assert_eq!(dumped(broker, &queues.letters), [7, 17, 27]);
    for letter in broker.dump(&queues.letters) {
        assert_eq!(text(&letter, "fanpool-reason"), "panicked");
        assert!(text(&letter, "fanpool-error").contains(&format!("{} panicked", number(&letter))));
    }
    all_acknowledged(broker, &queues.from);
}

/// While one is tried again and again, and one stays in its handler, all others of the queue are handled and acknowledged.
pub fn i4_poison_holds_up_nobody(broker: &dyn Broker) {
    let queues = Queues::new(broker, "poison");
    let gate = Gate::default();
    let passes = gate.clone();
    // All of one partition, if the broker has such.
    let messages: Vec<_> = (0..100).map(|n| Message::new(n.to_string()).with_key("one")).collect();
    publish(broker, &queues.from, &messages);
    let consumer = FanOut::builder(move |text: String| match &*text {
        "0" => {
            passes.pass();
            Err("stays long".to_owned())
        }
        "1" => Err("again and again".to_owned()),
        _ => Ok(text),
    })
    .workers(2)
    // Offsets are not read further than that beyond the first that is not finished.
    .window(100)
    .retry(Retry::fixed(Duration::from_millis(500)).max_attempts(3))
    .consume(broker.source(&queues.from), Utf8)
    .publish(broker.sink(&queues.results), Utf8)
    .dead_letter(broker.sink(&queues.letters))
    .start()
    .unwrap();
    let opener = gate.opener();
    until_acknowledged(&consumer, 98);
    assert!(broker.dump(&queues.results).len() >= 97);
    assert!(broker.unacknowledged(&queues.from) >= 1);
    drop(opener);
    until_acknowledged(&consumer, 100);
    end(consumer);
    assert_eq!(dumped(broker, &queues.letters), [0, 1]);
    for letter in broker.dump(&queues.letters) {
        assert_eq!(text(&letter, "fanpool-attempts"), "3");
    }
    all_acknowledged(broker, &queues.from);
}

/// The sink is away: what was to go there is not acknowledged, its broker is said to be lost, it is tried again at intervals.
fn a_sink_is_away(broker: &dyn Broker, case: &str, fails: bool) {
    let queues = Queues::new(broker, case);
    let tap = Tap::default();
    let (results, letters) = (broker.sink(&queues.results), broker.sink(&queues.letters));
    let open = Tap::default();
    let (results, letters) =
        if fails { (open.on(results), tap.on(letters)) } else { (tap.on(results), open.on(letters)) };
    let consumer =
        FanOut::builder(move |text: String| if fails { Err(format!("{text} failed")) } else { Ok::<_, String>(text) })
            .window(20)
            .consume(broker.source(&queues.from), Utf8)
            .publish(results, Utf8)
            .dead_letter(letters)
            .reconnect(FIRST, LONGEST)
            .start()
            .unwrap();
    let start = Instant::now();
    tap.shut(true);
    send(broker, &queues.from, 0..50);
    eventually("it is tried again", || tap.refused() >= 5);
    // Each delay is the first one at least.
    let most = start.elapsed().as_millis() / FIRST.as_millis() + 2;
    assert!(tap.refused() as u128 <= most, "{} attempts where {most} were to be", tap.refused());
    let counts = consumer.counts();
    assert_eq!((counts.acknowledged, counts.published, counts.dead_lettered), (0, 0, 0));
    assert!(counts.in_hand <= 20);
    assert_eq!(broker.unacknowledged(&queues.from), 50);
    let health = consumer.health();
    assert_eq!(health.status(), Status::Degraded);
    assert!(health.reasons().iter().any(|reason| matches!(reason, Reason::BrokerLost { .. })), "{health:?}");
    tap.shut(false);
    until_acknowledged(&consumer, 50);
    assert_eq!(consumer.health().status(), Status::Healthy);
    let counts = end(consumer);
    assert_eq!(counts.acknowledged, 50);
    assert!(counts.reconnects >= 1);
    let to = if fails { &queues.letters } else { &queues.results };
    assert_eq!(dumped(broker, to), (0..50).collect::<Vec<_>>());
    all_acknowledged(broker, &queues.from);
}

pub fn i5_no_acknowledgement_without_the_sink_for_letters(broker: &dyn Broker) {
    a_sink_is_away(broker, "no-letters", true);
}

pub fn i5_no_acknowledgement_without_the_sink_for_results(broker: &dyn Broker) {
    a_sink_is_away(broker, "no-results", false);
}

/// Ended while a sink is away: it returns, says what it could not settle, and nothing is lost.
pub fn i5_a_consumer_ends_while_a_sink_is_away(broker: &dyn Broker) {
    let queues = Queues::new(broker, "ends-away");
    let tap = Tap::default();
    let consumer = FanOut::builder(|text: String| Err::<(), _>(text))
        .window(20)
        .consume(broker.source(&queues.from), Utf8)
        .dead_letter(tap.on(broker.sink(&queues.letters)))
        .reconnect(FIRST, LONGEST)
        .start()
        .unwrap();
    tap.shut(true);
    send(broker, &queues.from, 0..30);
    eventually("it is tried", || tap.refused() >= 1);
    let start = Instant::now();
    let receipt = consumer.shutdown(Duration::from_millis(300));
    assert!(start.elapsed() < PATIENCE / 2, "{:?}", start.elapsed());
    let counts = receipt.counts;
    assert_eq!((counts.acknowledged, counts.dead_lettered, counts.in_hand), (0, 0, 0));
    assert_eq!(counts.delivered, counts.handed_back + counts.late + counts.unsettled, "{receipt}");
    let came = drain(broker, &queues.from, Member::join(broker, &queues.from, 100));
    assert_eq!(numbers(&came), (0..30).collect::<Vec<_>>());
}

pub fn i5_a_sink_that_is_away_at_the_start_is_an_error(broker: &dyn Broker) {
    let queues = Queues::new(broker, "start-away");
    send(broker, &queues.from, 0..5);
    let tap = Tap::default();
    tap.shut(true);
    let error = FanOut::builder(|text: String| Ok::<_, String>(text))
        .consume(broker.source(&queues.from), Utf8)
        .dead_letter(tap.on(broker.sink(&queues.letters)))
        .start()
        .unwrap_err();
    assert!(matches!(error, ConnectError::Lost { engine: "tap", .. }), "{error:?}");
    assert_eq!(broker.unacknowledged(&queues.from), 5);
}

/// A result that its sink will never take is buried with its message; the others are sent.
pub fn i4_a_result_that_is_refused_is_buried(broker: &dyn Broker) {
    let Some(largest) = broker.promises().largest else { return };
    let queues = Queues::new(broker, "refused");
    send(broker, &queues.from, 0..10);
    let consumer = FanOut::builder(move |message: Message| {
        let large = number(&message) == 4;
        Ok::<_, String>(if large { Message::new(vec![b'x'; largest * 2 + 1]) } else { message })
    })
    .consume(broker.source(&queues.from), Raw)
    .publish(broker.sink(&queues.results), Raw)
    .dead_letter(broker.sink(&queues.letters))
    .start()
    .unwrap();
    until_acknowledged(&consumer, 10);
    end(consumer);
    // Some perhaps twice, if the sink had to reach its broker anew.
    let mut results = dumped(broker, &queues.results);
    results.dedup();
    assert_eq!(results, [0, 1, 2, 3, 5, 6, 7, 8, 9]);
    assert_eq!(dumped(broker, &queues.letters), [4]);
    assert_eq!(text(&broker.dump(&queues.letters)[0], "fanpool-reason"), "result-refused");
}

/// A message whose consumer ends each time is not delivered for ever.
pub fn i4_what_is_delivered_too_often_is_buried_without_a_call(broker: &dyn Broker) {
    if !broker.promises().counts_attempts {
        return;
    }
    let queues = Queues::new(broker, "too-often");
    send(broker, &queues.from, 0..3);
    for _ in 0..2 {
        let mut member = Member::join(broker, &queues.from, 10);
        member.take(3);
        member.close();
    }
    let calls = Calls::default();
    let count = calls.clone();
    let consumer = FanOut::builder(move |message: Message| {
        count.of(number(&message));
        Ok::<_, String>(())
    })
    .consume(broker.source(&queues.from), Raw)
    .dead_letter(broker.sink(&queues.letters))
    .max_deliveries(2)
    .start()
    .unwrap();
    until_acknowledged(&consumer, 3);
    assert_eq!(end(consumer).dead_lettered, 3);
    assert!(calls.all().is_empty());
    for letter in broker.dump(&queues.letters) {
        assert_eq!(text(&letter, "fanpool-reason"), "too-many-deliveries");
        assert_eq!(text(&letter, "fanpool-deliveries"), "3");
    }
}
