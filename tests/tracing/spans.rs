//! The spans of tasks and items, and where they belong.

use super::recorder::Recording;
use super::{pool, quiet_panic, within};
use fanpool::{FanOut, OnError, Pool, Retry, Workers};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier, Mutex, OnceLock};
use std::time::Duration;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber, info_span, trace_span};
use tracing_core::span::Current;

#[test]
fn a_spawned_task_belongs_to_where_it_was_spawned() {
    let recording = Recording::start();
    let pool = pool(2);
    info_span!("outer").in_scope(|| pool.spawn(|| trace_span!("inner").in_scope(|| ())).unwrap());
    pool.wait_idle().unwrap();
    drop(pool);
    let inner = recording.the("inner");
    assert_eq!(recording.line(&inner), ["inner", "task", "outer"]);
    assert!(recording.the("task").fields.is_empty());
    recording.assert_closed();
}

#[test]
fn a_task_that_was_spawned_in_no_span_is_a_root() {
    let recording = Recording::start();
    let pool = pool(1);
    pool.pause();
    let handle = pool.submit(|| ());
    // The thread that joins it runs it.
    info_span!("joiner").in_scope(|| handle.join().unwrap());
    drop(pool);
    assert_eq!(recording.the("task").parent, None);
    recording.assert_closed();
}

#[test]
fn a_submitted_task_belongs_to_where_it_was_submitted_whoever_runs_it() {
    let recording = Recording::start();
    let pool = pool(1);
    for paused in [false, true] {
        if paused {
            pool.pause();
        }
        let outer = info_span!("outer");
        let handle = outer.in_scope(|| pool.submit(|| info_span!("inner").in_scope(|| 7)));
        let other = info_span!("other");
        assert_eq!(other.in_scope(|| handle.join().unwrap()), 7);
    }
    drop(pool);
    let inner = recording.named("inner");
    assert_eq!(inner.len(), 2);
    for span in &inner {
        assert_eq!(recording.line(span), ["inner", "task", "outer"]);
    }
    recording.assert_closed();
}

#[test]
fn a_refused_task_has_no_span_and_comes_back() {
    let recording = Recording::start();
    let pool = pool(1);
    pool.close();
    info_span!("outer").in_scope(|| {
        assert_eq!(pool.try_submit(|| 5).unwrap_err().into_inner()(), 5);
        assert!(pool.spawn(|| ()).is_err());
    });
    drop(pool);
    assert!(recording.named("task").is_empty());
    recording.assert_closed();
}

#[test]
fn tasks_of_nested_scopes_belong_to_each_other() {
    let recording = Recording::start();
    let pool = pool(2);
    info_span!("outer").in_scope(|| {
        pool.scope(|s| {
            s.spawn(|| {
                info_span!("first").in_scope(|| {
                    pool.scope(|inner| {
                        inner.spawn(|| info_span!("second").in_scope(|| ()));
                        inner.submit(|| info_span!("third").in_scope(|| ())).join().unwrap();
                    });
                });
                s.spawn(|| info_span!("sibling").in_scope(|| ()));
            });
        });
    });
    drop(pool);
    assert_eq!(recording.line(&recording.the("second")), ["second", "task", "first", "task", "outer"]);
    assert_eq!(recording.line(&recording.the("third")), ["third", "task", "first", "task", "outer"]);
    assert_eq!(recording.line(&recording.the("sibling")), ["sibling", "task", "task", "outer"]);
    recording.assert_closed();
}

#[test]
fn tasks_of_groups_shards_try_scopes_and_broadcasts_have_spans() {
    let recording = Recording::start();
    let pool = Pool::builder().workers(Workers::Fixed(2)).sharded().build().unwrap();
    let group = pool.group().name("upload").limit(1).build().unwrap();
    info_span!("outer").in_scope(|| {
        group.spawn(|| info_span!("spawned").in_scope(|| ())).unwrap();
        group.submit(|| info_span!("submitted").in_scope(|| ())).join().unwrap();
        group.scope(|s| s.spawn(|| info_span!("scoped").in_scope(|| ())));
        let tried =
            group.try_scope(OnError::FailFast, |s| s.spawn(|| info_span!("tried").in_scope(|| Ok::<(), ()>(()))));
        assert!(tried.is_ok());
        assert_eq!(group.map(0..1000, |n| n).count().unwrap(), 1000);
        pool.spawn_on(1, || info_span!("sharded").in_scope(|| ())).unwrap();
        pool.wait_idle().unwrap();
        pool.broadcast(|_| info_span!("broadcast").in_scope(|| ())).unwrap();
    });
    drop(pool);
    for name in ["spawned", "submitted", "scoped", "tried", "sharded"] {
        let span = recording.the(name);
        assert_eq!(recording.line(&span), [name, "task", "outer"]);
        let task = recording.spans().into_iter().find(|task| Some(task.id) == span.parent).unwrap();
        let group = task.fields.get("group").map(String::as_str);
        assert_eq!(group, (name != "sharded").then_some("upload"), "{name}");
    }
    assert_eq!(recording.named("broadcast").len(), 2);
    for span in recording.named("broadcast") {
        assert_eq!(recording.line(&span), ["broadcast", "task", "outer"]);
    }
    for span in recording.named("map") {
        assert_eq!((recording.line(&span), span.fields["group"].as_str()), (vec!["map", "outer"], "upload"));
    }
    recording.assert_closed();
}

#[test]
fn items_of_a_map_belong_to_the_map_or_the_caller() {
    within(|| {
        let recording = Recording::start();
        let pool = pool(2);
        // Two items meet, so at least one is run by the pool.
        let meet = Barrier::new(2);
        info_span!("outer").in_scope(|| {
            let mapped = pool.map(0..2, |n| {
                info_span!("mapped").in_scope(|| meet.wait());
                n
            });
            assert_eq!(mapped.batch(1).collect::<Vec<_>>(), [0, 1]);
        });
        drop(pool);
        let mapped = recording.named("mapped");
        let lines: Vec<_> = mapped.iter().map(|span| recording.line(span)).collect();
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().any(|line| *line == ["mapped", "map", "outer"]), "{lines:?}");
        assert!(
            lines.iter().all(|line| *line == ["mapped", "map", "outer"] || *line == ["mapped", "outer"]),
            "{lines:?}"
        );
        recording.assert_closed();
    });
}

#[test]
fn a_half_that_another_thread_runs_belongs_to_the_join() {
    within(|| {
        let recording = Recording::start();
        let pool = pool(2);
        let meet = Barrier::new(2);
        info_span!("outer").in_scope(|| {
            pool.join(|| info_span!("left").in_scope(|| meet.wait()), || info_span!("right").in_scope(|| meet.wait()));
        });
        drop(pool);
        assert_eq!(recording.line(&recording.the("left")), ["left", "outer"]);
        assert_eq!(recording.line(&recording.the("right")), ["right", "half", "outer"]);
        recording.assert_closed();
    });
}

#[test]
fn an_item_belongs_to_where_it_was_sent() {
    let recording = Recording::start();
    let handler = |n: u32| info_span!("handled").in_scope(|| Ok::<_, ()>(n));
    let (input, output) = FanOut::builder(handler).name("parse").workers(2).start().unwrap();
    for sender in ["odd", "even"] {
        let span = if sender == "odd" { info_span!("odd") } else { info_span!("even") };
        span.in_scope(|| (0..50).for_each(|n| _ = input.send(n).unwrap()));
    }
    drop(input);
    assert_eq!(output.count(), 100);
    for sender in ["odd", "even"] {
        let of_it = recording.named("handled").into_iter().filter(|span| recording.line(span)[1..] == ["item", sender]);
        assert_eq!(of_it.count(), 50);
    }
    let mut numbers = Vec::new();
    for item in recording.named("item") {
        assert_eq!((item.fields["service"].as_str(), item.fields["attempt"].as_str()), ("parse", "1"));
        numbers.push(item.fields["number"].parse::<u32>().unwrap());
    }
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..100));
    recording.assert_closed();
}

#[test]
fn each_attempt_at_an_item_has_a_span_with_its_number() {
    within(|| {
        // By the quick way, and by the other, on which the time is looked at.
        for deadline in [None, Some(Duration::from_secs(3600))] {
            let recording = Recording::start();
            let calls = AtomicU32::new(0);
            let handler = move |n: u32| {
                let failed = calls.fetch_add(1, Ordering::Relaxed) < 2;
                info_span!("handled").in_scope(|| if failed { Err("not yet") } else { Ok(n) })
            };
            let retry = Retry::fixed(Duration::from_millis(1)).max_attempts(5);
            let builder = FanOut::builder(handler).workers(1).retry(retry);
            let builder = match deadline {
                Some(time) => builder.deadline(time),
                None => builder,
            };
            let (input, mut output) = builder.start().unwrap();
            info_span!("sender").in_scope(|| input.send(7).unwrap());
            assert_eq!(output.recv().unwrap().result.ok(), Some(7));
            drop((input, output));
            let attempts = recording.named("item");
            assert!(attempts.iter().map(|item| item.fields["attempt"].as_str()).eq(["1", "2", "3"]));
            assert!(attempts.iter().all(|item| recording.line(item) == ["item", "sender"]));
            let handled = recording.named("handled");
            assert!(handled.iter().map(|span| span.parent).eq(attempts.iter().map(|item| Some(item.id))));
            let retried = recording.told("item retried");
            assert!(retried.iter().map(|event| event.fields["attempt"].as_str()).eq(["1", "2"]));
            for event in retried {
                assert_eq!((event.level, event.target), (Level::DEBUG, "fanpool"));
                assert_eq!(event.parent, Some(recording.the("sender").id));
                assert_eq!((event.fields["service"].as_str(), event.fields["number"].as_str()), ("fanout", "0"));
                assert_eq!(event.fields["delay"], "1ms");
            }
            recording.assert_closed();
        }
    });
}

#[test]
fn a_second_attempt_belongs_to_where_the_item_was_sent() {
    within(|| {
        let recording = Recording::start();
        let (first, meet) = (AtomicU32::new(0), Arc::new(Barrier::new(2)));
        let stuck = meet.clone();
        let handler = move |n: u32| {
            if first.fetch_add(1, Ordering::Relaxed) == 0 {
                stuck.wait();
            }
            Ok::<_, ()>(n)
        };
        let builder = FanOut::builder(handler).workers(2).hedge_after(Duration::from_millis(1));
        let (input, mut output) = builder.start().unwrap();
        info_span!("sender").in_scope(|| input.send(7).unwrap());
        assert_eq!(output.recv().unwrap().result.ok(), Some(7));
        meet.wait();
        drop((input, output));
        let attempts = recording.named("item");
        assert_eq!(attempts.len(), 2);
        for item in attempts {
            assert_eq!((recording.line(&item), item.fields["attempt"].as_str()), (vec!["item", "sender"], "1"));
        }
        recording.assert_closed();
    });
}

#[test]
fn a_batch_follows_from_where_its_items_were_sent() {
    within(|| {
        let recording = Recording::start();
        let handler = |items: Vec<u32>| info_span!("handled").in_scope(|| items.into_iter().map(Ok::<_, ()>).collect());
        let builder = FanOut::builder_batch(4, Duration::from_secs(3600), handler).name("write");
        let (input, output) = builder.workers(1).start().unwrap();
        let senders = [info_span!("one"), info_span!("two")];
        for n in 0..4 {
            senders[n as usize / 2].in_scope(|| input.send(n).unwrap());
        }
        drop(senders);
        drop(input);
        assert_eq!(output.count(), 4);
        let batch = recording.the("batch");
        assert_eq!((batch.fields["service"].as_str(), batch.fields["items"].as_str()), ("write", "4"));
        assert_eq!(batch.follows, [recording.the("one").id, recording.the("two").id]);
        assert_eq!(recording.line(&recording.the("handled")), ["handled", "batch"]);
        recording.assert_closed();
    });
}

#[test]
fn where_spans_of_the_crate_are_not_wanted_those_of_the_program_are_in_their_places() {
    within(|| {
        let recording = Recording::start();
        recording.refuse_spans();
        let pool = pool(2);
        let handler = |n: u32| info_span!("handled").in_scope(|| Ok::<_, ()>(n));
        let (input, mut output) = FanOut::builder(handler).start().unwrap();
        info_span!("outer").in_scope(|| {
            pool.submit(|| info_span!("inner").in_scope(|| ())).join().unwrap();
            pool.scope(|s| s.spawn(|| info_span!("inner").in_scope(|| ())));
            input.send(1).unwrap();
            assert_eq!(output.recv().unwrap().result.ok(), Some(1));
        });
        drop((input, output, pool));
        assert!(recording.spans().iter().all(|span| ["outer", "inner", "handled"].contains(&span.name)));
        for span in recording.named("inner").into_iter().chain(recording.named("handled")) {
            assert_eq!(recording.line(&span)[1..], ["outer"]);
        }
        recording.assert_closed();
    });
}

#[test]
fn a_subscriber_of_one_thread_is_told_of_the_tasks_that_it_submits() {
    // The one for all threads wants nothing.
    let recording = Recording::off();
    let told = Counting::default();
    let pool = pool(1);
    tracing::subscriber::with_default(told.clone(), || {
        info_span!("outer").in_scope(|| pool.submit(|| ()).join().unwrap());
    });
    assert_eq!(*told.0.lock().unwrap(), [("outer", false), ("task", true)]);
    assert_eq!(recording.spans().len(), 0);
}

/// The names of spans, and whether they have the first span as their parent, which is the current one for as long as it is the only one.
#[derive(Clone, Default)]
struct Counting(Arc<Mutex<Vec<(&'static str, bool)>>>, Arc<OnceLock<&'static Metadata<'static>>>);

impl Subscriber for Counting {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.1.get_or_init(|| span.metadata());
        let mut told = self.0.lock().unwrap();
        told.push((span.metadata().name(), span.parent() == Some(&Id::from_u64(1))));
        Id::from_u64(told.len() as u64)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
    fn current_span(&self) -> Current {
        self.1.get().map_or_else(Current::none, |metadata| Current::new(Id::from_u64(1), metadata))
    }
}

#[test]
fn nothing_is_told_without_a_subscriber() {
    within(|| {
        let recording = Recording::off();
        let pool = pool(2);
        let retry = Retry::fixed(Duration::from_millis(1)).max_attempts(2);
        let (input, output) =
            FanOut::builder(|n: u32| if n == 0 { Err(()) } else { Ok(n) }).retry(retry).start().unwrap();
        info_span!("outer").in_scope(|| {
            pool.submit(|| ()).join().unwrap();
            pool.scope(|s| (0..10).for_each(|_| s.spawn(|| ())));
            assert!(pool.submit(|| quiet_panic("on purpose")).join().is_err());
            assert_eq!(pool.map(0..1000, |n| n).count(), 1000);
            (0..10).for_each(|n| _ = input.send(n).unwrap());
        });
        drop(input);
        assert_eq!(output.count(), 10);
        pool.resize(3).unwrap();
        drop(pool);
        assert_eq!((recording.calls(), recording.spans().len(), recording.events().len()), (0, 0, 0));
    });
}
