//! The `traceparent` goes with tasks and items.

use super::recorder::Recording;
use super::{pool, quiet_panic, within};
use fanpool::trace::TraceParent;
use fanpool::{FanOut, Pool, Retry};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

type Headers = HashMap<&'static str, String>;

const INCOMING: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// What was current in each of the ways to run something, of which there are ten.
fn everywhere(pool: &Pool) -> Vec<Option<TraceParent>> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let see = || {
        let seen = seen.clone();
        move || seen.lock().unwrap().push(TraceParent::current())
    };
    pool.spawn(see()).unwrap();
    pool.wait_idle().unwrap();
    pool.submit(see()).join().unwrap();
    pool.scope(|s| {
        s.spawn(see());
        s.spawn(|| pool.scope(|inner| inner.spawn(see())));
    });
    let meet = Barrier::new(2);
    let meeting = |_| {
        meet.wait();
        see()();
    };
    assert_eq!(pool.map(0..2, meeting).batch(1).count(), 2);
    pool.join(|| meeting(0), || meeting(1));
    let (saw, calls) = (see(), AtomicU32::new(0));
    let handler = move |(): ()| {
        saw();
        if calls.fetch_add(1, Ordering::Relaxed) == 0 { Err(()) } else { Ok(()) }
    };
    let retry = Retry::fixed(Duration::from_millis(1)).max_attempts(2);
    let (input, mut output) = FanOut::builder(handler).retry(retry).start().unwrap();
    input.send(()).unwrap();
    assert!(output.recv().unwrap().result.is_ok());
    drop((input, output));
    std::mem::take(&mut *seen.lock().unwrap())
}

#[test]
fn tasks_and_items_take_it_along_with_a_subscriber_and_without() {
    within(|| {
        for subscriber in [false, true] {
            let recording = if subscriber { Recording::start() } else { Recording::off() };
            let pool = pool(2);
            let parent: TraceParent = INCOMING.parse().unwrap();
            assert_eq!(parent.enter(|| everywhere(&pool)), [Some(parent); 10]);
            assert_eq!(TraceParent::current(), None);
            let under_it = recording.spans().len();
            assert_eq!(everywhere(&pool), [None; 10]);
            drop(pool);
            let fields: Vec<_> = recording.spans().iter().map(|span| span.fields.get("traceparent").cloned()).collect();
            // Of the ten, at most one half of the join and one item of the map run in their caller's span.
            assert!(if subscriber { under_it >= 8 } else { fields.is_empty() });
            assert!(fields.iter().flatten().all(|field| field == INCOMING));
            let (with, without) = fields.split_at(under_it);
            assert!(with.iter().all(Option::is_some) && without.iter().all(Option::is_none));
            recording.assert_closed();
        }
    });
}

#[test]
fn a_task_that_is_run_by_whoever_waits_has_its_own() {
    for subscriber in [false, true] {
        let _recording = if subscriber { Recording::start() } else { Recording::off() };
        let (one, two) = (TraceParent::root(true), TraceParent::root(false));
        let pool = pool(1);
        pool.pause();
        let none = pool.submit(TraceParent::current);
        let first = one.enter(|| pool.submit(TraceParent::current));
        two.enter(|| {
            assert_eq!(none.join().unwrap(), None);
            assert_eq!(first.join().unwrap(), Some(one));
            assert_eq!(TraceParent::current(), Some(two));
        });
    }
}

#[test]
fn panics_leave_it_as_it_was() {
    for subscriber in [false, true] {
        let _recording = if subscriber { Recording::start() } else { Recording::off() };
        let (one, two) = (TraceParent::root(true), TraceParent::root(true));
        let pool = pool(1);
        pool.pause();
        let task = one.enter(|| pool.submit(|| quiet_panic("on purpose")));
        two.enter(|| {
            assert!(task.join().is_err());
            assert_eq!(TraceParent::current(), Some(two));
        });
        assert!(std::panic::catch_unwind(|| one.enter(|| quiet_panic("on purpose"))).is_err());
        assert_eq!(TraceParent::current(), None);
    }
}

#[test]
fn a_service_reads_it_from_an_item_and_writes_it_to_what_it_sends() {
    within(|| {
        let recording = Recording::start();
        // The second service is asked by the handler of the first, over what stands for a network.
        let asked = Arc::new(Mutex::new(Vec::new()));
        let network = asked.clone();
        let handler = move |_: Headers| {
            let outgoing = TraceParent::current().map(|parent| ("traceparent", parent.child().to_string()));
            network.lock().unwrap().push(Headers::from_iter(outgoing));
            Ok::<(), ()>(())
        };
        let (input, output) = FanOut::builder(handler).start().unwrap();
        let items = [INCOMING, "damaged", ""].map(|header| Headers::from([("traceparent", header.to_owned())]));
        for item in items {
            match item["traceparent"].parse::<TraceParent>() {
                Ok(parent) => parent.enter(|| input.send(item)).map(drop).unwrap(),
                Err(_) => input.send(item).map(drop).unwrap(),
            }
        }
        drop(input);
        assert_eq!(output.count(), 3);
        let incoming: TraceParent = INCOMING.parse().unwrap();
        let asked = std::mem::take(&mut *asked.lock().unwrap());
        let written: Vec<TraceParent> = asked
            .iter()
            .filter_map(|headers| headers.get("traceparent"))
            .map(|header| header.parse().unwrap())
            .collect();
        assert_eq!((asked.len(), written.len()), (3, 1));
        assert_eq!((written[0].trace_id(), written[0].is_sampled()), (incoming.trace_id(), true));
        assert_ne!(written[0].parent_id(), incoming.parent_id());
        let fields: Vec<_> =
            recording.named("item").iter().filter_map(|item| item.fields.get("traceparent").cloned()).collect();
        assert_eq!(fields, [INCOMING]);
    });
}
