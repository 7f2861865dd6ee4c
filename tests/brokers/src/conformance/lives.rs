//! Random lives of consumers: started, ended, dropped, with the broker stopped in between; no message is lost.

use super::consumers::*;
use super::support::*;
use crate::Broker;
use fanpool::connect::{Consumer, Utf8};
use fanpool::{FanOut, Retry};
use std::env;
use std::thread;
use std::time::Duration;

/// `FANPOOL_CONFORMANCE_SEED` runs one seed, `FANPOOL_CONFORMANCE_CASES` so many of them.
pub fn i2_random_consumers_lose_nothing(broker: &dyn Broker) {
    if !broker.regroups() {
        return;
    }
    let set = |name| env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    // Where sources that come and go have the others wait, one life takes a minute.
    let lives = if broker.promises().takeover < PATIENCE / 6 { 3 } else { 1 };
    let seeds = match set("FANPOOL_CONFORMANCE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..1 + set("FANPOOL_CONFORMANCE_CASES").unwrap_or(lives),
    };
    for seed in seeds {
        println!("FANPOOL_CONFORMANCE_SEED={seed}");
        one_life(broker, Random::new(seed));
    }
}

fn start(broker: &dyn Broker, queues: &Queues, calls: &Calls, window: usize) -> Consumer {
    let calls = calls.clone();
    let handler = move |text: String| {
        let number: usize = text.parse().map_err(|_| "no number".to_owned())?;
        let call = calls.of(number);
        match number % 20 {
            7 => Err(format!("call {call}")),
            11 => std::panic::resume_unwind(Box::new("panics")),
            13 if call == 1 => Err("once".to_owned()),
            _ => Ok(text),
        }
    };
    FanOut::builder(handler)
        .workers(2)
        .window(window)
        .retry(Retry::fixed(Duration::from_millis(1)).max_attempts(2))
        .consume(broker.source(&queues.from), Utf8)
        .publish(broker.sink(&queues.results), Utf8)
        .dead_letter(broker.sink(&queues.letters))
        .reconnect(FIRST, LONGEST)
        .wait_for_broker()
        .start()
        .unwrap()
}

fn one_life(broker: &dyn Broker, mut random: Random) {
    let (queues, calls) = (Queues::new(broker, "life"), Calls::default());
    let mut consumers: Vec<Consumer> = Vec::new();
    let (mut sent, mut stops) = (0, 0);
    for _ in 0..40 {
        match random.below(12) {
            0..=3 => {
                let size = 1 + random.below(40);
                send(broker, &queues.from, sent..sent + size);
                sent += size;
            }
            4..=6 if consumers.len() < 3 => {
                consumers.push(start(broker, &queues, &calls, 1 + random.below(30)));
            }
            7 if !consumers.is_empty() => drop(consumers.swap_remove(random.below(consumers.len()))),
            8 if !consumers.is_empty() => {
                let consumer = consumers.swap_remove(random.below(consumers.len()));
                let receipt = consumer.shutdown(Duration::from_millis(random.below(3) as u64));
                let counts = receipt.counts;
                let settled = counts.acknowledged + counts.handed_back + counts.late + counts.unsettled;
                assert_eq!((counts.delivered, counts.in_hand), (settled, 0), "{receipt}");
            }
            9 if stops < 2 => {
                stops += 1;
                let Some(stopped) = Stopped::now(broker) else { continue };
                if random.below(2) == 0 {
                    // Some end meanwhile, and what they hold cannot be told to anybody.
                    if let Some(consumer) = consumers.pop() {
                        let receipt = consumer.shutdown(Duration::from_millis(20));
                        assert_eq!(receipt.counts.in_hand, 0, "{receipt}");
                    }
                }
                thread::sleep(Duration::from_millis(random.below(50) as u64));
                drop(stopped);
                let mut sink = broker.sink(&queues.from);
                insist("the broker is back", || sink.open());
            }
            _ => {
                let seen = calls.sum();
                if !consumers.is_empty() && broker.unacknowledged(&queues.from) > 0 {
                    eventually("they go on", || calls.sum() > seen || broker.unacknowledged(&queues.from) == 0);
                }
            }
        }
    }
    consumers.push(start(broker, &queues, &calls, 30));
    // A broker that has just come back may count nothing yet.
    eventually("all are handled", || calls.numbers().len() == sent);
    all_acknowledged(broker, &queues.from);
    for consumer in consumers {
        end(consumer);
    }
    assert_eq!(calls.numbers(), (0..sent).collect::<Vec<_>>());
    let (mut results, mut letters) = (dumped(broker, &queues.results), dumped(broker, &queues.letters));
    results.dedup();
    letters.dedup();
    let fails = |number: &usize| matches!(number % 20, 7 | 11);
    assert_eq!(letters, (0..sent).filter(fails).collect::<Vec<_>>());
    assert_eq!(results, (0..sent).filter(|number| !fails(number)).collect::<Vec<_>>());
}
