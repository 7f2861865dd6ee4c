//! Consumers of messages with random faults, in runs that replay one interleaving: with all their waiting, which takes no time.

use crate::consumer_case::{Case, check};
use crate::hooked::{Call, HookedSink, HookedSource, Step, hook};
use fanpool::connect::{Memory, Message, Utf8};
use fanpool::testing::seeded;
use fanpool::{Clock, FanOut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[test]
fn random_consumers_account_for_every_message_in_every_order() {
    let (first, cases) = (setting("FANPOOL_CONSUMER_SEED", 1), setting("FANPOOL_CONSUMER_CASES", 300));
    for seed in first..first + cases {
        let case = Case::random(seed, true);
        let told = format!("{case:?}");
        let checked = std::panic::catch_unwind(move || seeded(seed, move || check(case)));
        match checked {
            Ok(Ok(())) => {}
            Ok(Err(why)) => panic!("seed {seed}: {why}\n{told}"),
            Err(payload) => {
                let text = payload.downcast_ref::<String>().map_or("a panic that nobody planned", String::as_str);
                panic!("seed {seed}: {text}\n{told}");
            }
        }
    }
}

/// What a consumer asks of a broker that is down for half a minute, and how long it takes to be dropped when it is down for good.
fn half_a_minute_down(seed: u64) {
    let broker = Memory::new();
    (0..50).for_each(|n| broker.send("in", Message::new(n.to_string())));
    let (polls, alive, sends) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (polled, kept, sent) = (polls.clone(), alive.clone(), sends.clone());
    let source = hook(move |call| {
        if let Call::Poll(room) = call {
            if room == 0 { &kept } else { &polled }.fetch_add(1, Ordering::Relaxed);
        }
        Step::Go
    });
    let sink = hook(move |call| {
        if let Call::Publish(_) = call {
            sent.fetch_add(1, Ordering::Relaxed);
        }
        Step::Go
    });
    let (begun, down) = (Arc::new(AtomicBool::new(false)), broker.clone());
    let begins = begun.clone();
    let work = move |text: String| {
        // What is in hand cannot be sent.
        if !begins.swap(true, Ordering::Relaxed) {
            down.set_down(true);
        }
        Ok::<_, String>(text)
    };
    let consumer = FanOut::builder(work)
        .window(if seed % 2 == 0 { 5 } else { 1_000 })
        .consume(HookedSource(broker.source("in"), source), Utf8)
        .publish(HookedSink(broker.sink("out"), sink), Utf8)
        .discard_failed()
        .start()
        .unwrap();
    let clock = Clock::system();
    while !begun.load(Ordering::Relaxed) {
        clock.sleep(Duration::from_millis(1));
    }
    let before = [&polls, &alive, &sends].map(|count| count.load(Ordering::Relaxed));
    clock.sleep(Duration::from_secs(30));
    let after = [&polls, &alive, &sends].map(|count| count.load(Ordering::Relaxed));
    // Each delay is 100 milliseconds at least, and one that keeps a source alive 250.
    assert!(after[0] - before[0] <= 301 && after[2] - before[2] <= 301, "{before:?}, {after:?}");
    assert!(after[1] - before[1] <= 301, "{before:?}, {after:?}");
    assert!(consumer.counts().in_hand <= 50);
    broker.set_down(false);
    while consumer.counts().in_hand > 0 || !broker.messages("in").is_empty() {
        clock.sleep(Duration::from_millis(1));
    }
    assert!((0..50).all(|n: u32| broker.messages("out").contains(&Message::new(n.to_string()))));
    broker.set_down(true);
    let dropped = clock.now();
    drop(consumer);
    assert!(clock.now() - dropped < Duration::from_secs(11));
}

#[test]
fn i1_a_broker_that_is_back_after_half_a_minute_was_left_alone() {
    for seed in 0..50 {
        seeded(seed, move || half_a_minute_down(seed));
    }
}
