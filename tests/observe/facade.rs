//! What reaches the facade `metrics`.

use fanpool::{BrokerCounts, FanOut, Metrics, Route, Timings};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    with_local_recorder,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

type Labels = Vec<(String, String)>;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Value {
    Absolute(u64),
    Set(f64),
}

/// Notes what is set and described.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    values: BTreeMap<(String, Labels), Value>,
    described: BTreeMap<String, (bool, Option<Unit>)>,
}

struct Cell {
    notes: Notes,
    key: (String, Labels),
}

impl Cell {
    fn note(&self, value: Value) {
        self.notes.0.lock().unwrap().values.insert(self.key.clone(), value);
    }
}

impl CounterFn for Cell {
    fn increment(&self, _: u64) {
        panic!("counters are absolute");
    }
    fn absolute(&self, value: u64) {
        self.note(Value::Absolute(value));
    }
}

impl GaugeFn for Cell {
    fn increment(&self, _: f64) {
        panic!("gauges are set");
    }
    fn decrement(&self, _: f64) {
        panic!("gauges are set");
    }
    fn set(&self, value: f64) {
        self.note(Value::Set(value));
    }
}

impl Notes {
    fn cell(&self, key: &Key) -> Arc<Cell> {
        let labels = key.labels().map(|label| (label.key().to_owned(), label.value().to_owned())).collect();
        Arc::new(Cell { notes: self.clone(), key: (key.name().to_owned(), labels) })
    }

    fn describe(&self, name: &KeyName, counter: bool, unit: Option<Unit>, text: &SharedString) {
        assert!(!text.is_empty());
        self.0.lock().unwrap().described.insert(name.as_str().to_owned(), (counter, unit));
    }

    fn value(&self, family: &str, labels: &[(&str, &str)]) -> Option<Value> {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.0.lock().unwrap().values.get(&(family.to_owned(), labels)).copied()
    }

    fn families(&self) -> BTreeSet<String> {
        self.0.lock().unwrap().values.keys().map(|(family, _)| family.clone()).collect()
    }
}

impl Recorder for Notes {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe(&name, true, unit, &text);
    }
    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe(&name, false, unit, &text);
    }
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
        panic!("exporters keep every sample of a histogram");
    }
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.cell(key))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.cell(key))
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        panic!("exporters keep every sample of a histogram");
    }
}

/// A service with something in each family.
fn sample(name: &str) -> Metrics {
    let (input, output) = FanOut::builder(|n: u32| if n == 0 { Err(n) } else { Ok(n) })
        .workers(2)
        .window(16)
        .name(name)
        .route(Route::LeastLoaded)
        .timings(Timings::all())
        .start()
        .unwrap();
    let control = output.control();
    (0..4).for_each(|n| _ = input.send(n).unwrap());
    drop(input);
    output.count();
    let mut broker = BrokerCounts::default();
    broker.lag = Some(5);
    let mut metrics = control.metrics();
    metrics.broker = Some(broker);
    metrics
}

#[test]
fn every_documented_name_is_described_and_set() {
    let notes = Notes::default();
    let metrics = sample("all");
    with_local_recorder(&notes, || {
        Metrics::describe();
        metrics.publish();
    });
    let names: BTreeSet<String> = Metrics::names().map(str::to_owned).collect();
    assert_eq!(notes.families(), names);
    let seen = notes.0.lock().unwrap();
    assert_eq!(seen.described.keys().cloned().collect::<BTreeSet<_>>(), names);
    for ((family, labels), value) in &seen.values {
        let (counter, unit) = seen.described[family];
        assert_eq!(matches!(value, Value::Absolute(_)), counter, "{family}");
        // The conventions of Prometheus.
        assert_eq!(family.ends_with("_total"), counter, "{family}");
        assert_eq!(family.ends_with("_seconds"), unit == Some(Unit::Seconds), "{family}");
        assert!(family.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{family}");
        assert_eq!(labels[0], ("service".to_owned(), "all".to_owned()));
        assert!(!matches!(value, Value::Set(value) if !value.is_finite()), "{family}");
    }
}

#[test]
fn every_name_stands_in_the_table_of_the_documentation() {
    let source = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/observe/export.rs")).unwrap();
    let table: Vec<&str> = source.lines().filter(|line| line.starts_with("/// | `")).collect();
    for name in Metrics::names() {
        let rows = table.iter().filter(|row| row.contains(&format!("`{name}`"))).count();
        assert_eq!(rows, 1, "{name}");
    }
}

#[test]
fn values_are_those_of_the_snapshot() {
    let notes = Notes::default();
    let mut metrics = sample("one");
    metrics.queued = 7;
    metrics.put_off = 3;
    metrics.oldest_wait = Some(std::time::Duration::from_millis(250));
    with_local_recorder(&notes, || metrics.publish());
    let one = ("service", "one");
    assert_eq!(notes.value("fanpool_tasks_total", &[one, ("outcome", "finished")]), Some(Value::Absolute(3)));
    assert_eq!(notes.value("fanpool_tasks_total", &[one, ("outcome", "failed")]), Some(Value::Absolute(1)));
    assert_eq!(notes.value("fanpool_tasks_total", &[one, ("outcome", "discarded")]), Some(Value::Absolute(0)));
    assert_eq!(notes.value("fanpool_accepted_total", &[one]), Some(Value::Absolute(4)));
    assert_eq!(notes.value("fanpool_queued", &[one]), Some(Value::Set(7.0)));
    assert_eq!(notes.value("fanpool_put_off", &[one]), Some(Value::Set(3.0)));
    assert_eq!(notes.value("fanpool_oldest_wait_seconds", &[one]), Some(Value::Set(0.25)));
    assert_eq!(notes.value("fanpool_route_queued", &[one, ("route", "1")]), Some(Value::Set(0.0)));
    assert_eq!(notes.value("fanpool_timed_total", &[one]), Some(Value::Absolute(4)));
    let longest = metrics.times.as_ref().unwrap().run.max().unwrap().as_secs_f64();
    assert_eq!(notes.value("fanpool_run_seconds", &[one, ("quantile", "1")]), Some(Value::Set(longest)));
    let ran: u64 = ["0", "1"]
        .iter()
        .filter_map(|index| notes.value("fanpool_worker_tasks_total", &[one, ("worker", index)]))
        .map(|value| if let Value::Absolute(ran) = value { ran } else { panic!("a counter") })
        .sum();
    assert_eq!(ran, 4);
}

#[test]
fn what_does_not_exist_is_not_set() {
    let notes = Notes::default();
    let (input, _output) = FanOut::builder(|n: u32| Ok::<_, ()>(n)).name("bare").start().unwrap();
    with_local_recorder(&notes, || input.control().metrics().publish());
    let families = notes.families();
    for absent in ["fanpool_run_seconds", "fanpool_timed_total", "fanpool_route_load", "fanpool_worker_tasks_total"] {
        assert!(!families.contains(absent), "{absent}");
    }
    assert!(families.contains("fanpool_workers"));
}

#[test]
fn h6_names_go_through_as_they_are() {
    let names = ["quo\"te", "back\\slash", "line\nbreak", "ümläut 名前 🦀", "{a=\"b\"}", " ", ""];
    for name in names {
        let notes = Notes::default();
        let metrics = sample(name);
        with_local_recorder(&notes, || metrics.publish());
        assert_eq!(notes.value("fanpool_accepted_total", &[("service", name)]), Some(Value::Absolute(4)), "{name:?}");
    }
}

#[test]
fn a_later_snapshot_replaces_an_earlier_one() {
    let notes = Notes::default();
    let (input, mut output) = FanOut::builder(|n: u32| Ok::<_, ()>(n)).name("twice").start().unwrap();
    with_local_recorder(&notes, || {
        for n in 1..3 {
            input.send(1).unwrap();
            output.recv().unwrap();
            input.control().metrics().publish();
            let counted = notes.value("fanpool_accepted_total", &[("service", "twice")]);
            assert_eq!(counted, Some(Value::Absolute(n)));
        }
    });
}
