//! Events: panics, breakers, workers.

use super::recorder::{EventSeen, Recording};
use super::{pool, quiet_panic, within};
use fanpool::{BuildError, CircuitBreaker, FanOut, Pool, Workers};
use std::time::Duration;
use tracing::{Level, info_span};

fn text<'e>(event: &'e EventSeen, field: &str) -> Option<&'e str> {
    event.fields.get(field).map(String::as_str)
}

#[test]
fn panics_are_told_in_the_span_of_their_task() {
    within(|| {
        let recording = Recording::start();
        let pool = pool(2);
        let retry = fanpool::Retry::fixed(Duration::from_millis(1)).max_attempts(2).retry_panics();
        let handler = |n: u32| if n == 1 { quiet_panic("in an item") } else { Ok::<_, ()>(n) };
        let (input, output) = FanOut::builder(handler).start().unwrap();
        let (retried, twice) = FanOut::builder(handler).retry(retry).start().unwrap();
        let batched =
            |items: Vec<u32>| -> Vec<Result<u32, ()>> { quiet_panic(format!("in a batch of {}", items.len())) };
        let (batches, results) = FanOut::builder_batch(1, Duration::ZERO, batched).start().unwrap();
        info_span!("outer").in_scope(|| {
            pool.spawn(|| quiet_panic("in a task")).unwrap();
            assert!(pool.submit(|| quiet_panic(String::from("in a submitted task"))).join().is_err());
            assert!(pool.submit(|| quiet_panic(5)).join().is_err());
            input.send(1).unwrap();
            retried.send(1).unwrap();
            batches.send(1).unwrap();
        });
        drop((input, retried, batches));
        assert_eq!((output.count(), twice.count(), results.count()), (1, 1, 1));
        drop(pool);
        let told = recording.told("task panicked");
        assert!(told.iter().all(|event| event.level == Level::ERROR && event.target == "fanpool"));
        let mut texts: Vec<_> = told
            .iter()
            .map(|event| {
                let span = recording.spans().into_iter().find(|span| Some(span.id) == event.parent).unwrap();
                (span.name, text(event, "panic"))
            })
            .collect();
        texts.sort_unstable();
        let expected = [
            ("batch", Some("in a batch of 1")),
            ("item", Some("in an item")),
            ("item", Some("in an item")),
            ("item", Some("in an item")),
            ("task", None),
            ("task", Some("in a submitted task")),
            ("task", Some("in a task")),
        ];
        assert_eq!(texts, expected);
        recording.assert_closed();
    });
}

#[test]
fn a_panic_in_a_map_is_told_where_the_pool_has_run_it() {
    within(|| {
        let recording = Recording::start();
        let pool = pool(2);
        let main = std::thread::current().id();
        let meet = std::sync::Barrier::new(2);
        let mapped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.map(0..2, |_| {
                meet.wait();
                if std::thread::current().id() != main {
                    quiet_panic("in a map");
                }
            })
            .batch(1)
            .count()
        }));
        assert!(mapped.is_err());
        drop(pool);
        let told = recording.told("task panicked");
        assert!(!told.is_empty() && told.iter().all(|event| text(event, "panic") == Some("in a map")));
        assert!(told.iter().all(|event| recording.named("map").iter().any(|span| Some(span.id) == event.parent)));
        recording.assert_closed();
    });
}

#[test]
fn changes_of_a_breaker_are_told_in_their_order() {
    let recording = Recording::start();
    let clock = fanpool::testing::ManualClock::new();
    let breaker = CircuitBreaker::builder().minimum_calls(2).open_for(Duration::from_secs(5)).clock(&clock);
    let breaker = breaker.build().unwrap();
    breaker.admit().unwrap().failure();
    breaker.admit().unwrap().failure();
    assert!(breaker.admit().is_err());
    clock.advance(Duration::from_secs(5));
    breaker.admit().unwrap().success();
    let told = recording.told("breaker changed");
    let changes: Vec<_> = told.iter().map(|event| (text(event, "from").unwrap(), text(event, "to").unwrap())).collect();
    assert_eq!(changes, [("Closed", "Open"), ("Open", "HalfOpen"), ("HalfOpen", "Closed")]);
    assert!(told.iter().all(|event| event.level == Level::WARN && text(event, "key").is_none()));
    assert_eq!((text(&told[0], "calls"), text(&told[0], "failures")), (Some("2"), Some("2")));
    let keyed = CircuitBreaker::builder().minimum_calls(1).build_keyed(10).unwrap();
    keyed.of("host").admit().unwrap().failure();
    assert!(text(&recording.told("breaker changed")[3], "key").is_some());
}

#[test]
fn a_resized_pool_is_told_with_its_name() {
    let recording = Recording::start();
    let pool = Pool::builder().name("io").workers(Workers::Fixed(2)).build().unwrap();
    pool.resize(5).unwrap();
    pool.resize(5).unwrap();
    pool.resize(1).unwrap();
    drop(pool);
    let told = recording.told("pool resized");
    let sizes: Vec<_> = told.iter().map(|event| (text(event, "from").unwrap(), text(event, "to").unwrap())).collect();
    assert_eq!(sizes, [("0", "2"), ("2", "5"), ("5", "1")]);
    assert!(told.iter().all(|event| event.level == Level::INFO && text(event, "pool") == Some("io")));
}

#[test]
fn a_refused_thread_is_told() {
    let recording = Recording::start();
    let built = Pool::builder().name("io").workers(Workers::Fixed(1000)).stack_size(1 << 40).build();
    let Err(BuildError::Thread { started, .. }) = built else { panic!("{built:?}") };
    let told = recording.told("thread refused");
    assert_eq!((told.len(), told[0].level, text(&told[0], "pool")), (1, Level::WARN, Some("io")));
    assert!(text(&told[0], "error").is_some_and(|error| !error.is_empty()));
    let resized = recording.told("pool resized");
    assert_eq!(resized.len(), usize::from(started > 0));
    assert!(resized.iter().all(|event| text(event, "to") == Some(&started.to_string())));
}
