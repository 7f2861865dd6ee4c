//! The form in which snapshots are serialised.

use fanpool::{FanOut, Metrics, Timings};
use serde_json::{Value, json};
use std::time::Duration;

fn sample() -> Metrics {
    let (input, output) = FanOut::builder(|n: u32| if n == 0 { Err(n) } else { Ok(n) })
        .workers(1)
        .window(16)
        .name("a \"b\"\n")
        .timings(Timings::all())
        .expect_items(8)
        .start()
        .unwrap();
    let control = output.control();
    (0..4).for_each(|n| _ = input.send(n).unwrap());
    assert_eq!(output.take(4).count(), 4);
    control.metrics()
}

#[test]
fn durations_are_seconds_and_say_so() {
    let mut metrics = sample();
    metrics.oldest_wait = Some(Duration::from_millis(1500));
    metrics.per_worker[0].busy = Duration::from_micros(250);
    metrics.per_worker[0].busy_for = None;
    let value: Value = serde_json::to_value(&metrics).unwrap();
    assert_eq!((&value["of"], &value["name"]), (&json!("service"), &json!("a \"b\"\n")));
    assert_eq!(value["oldest_wait_seconds"], json!(1.5));
    assert_eq!(value["tasks"]["finished"], json!(3));
    assert_eq!(value["tasks"]["failed"], json!(1));
    assert_eq!((&value["window"], &value["queued"]), (&json!(16), &json!(0)));
    let worker = &value["per_worker"][0];
    assert_eq!((&worker["index"], &worker["ran"]), (&json!(0), &json!(4)));
    assert_eq!((&worker["busy_seconds"], &worker["busy_for_seconds"]), (&json!(0.000_25), &Value::Null));
    assert!(["idle", "busy"].contains(&worker["state"].as_str().unwrap()));
    assert_eq!((&value["progress"]["done"], &value["progress"]["total"]), (&json!(4), &json!(4)));
    assert!(value["progress"]["elapsed_seconds"].as_f64().unwrap() > 0.0);
    let run = &value["times"]["run"];
    assert_eq!(run["count"], json!(4));
    for name in
        ["mean_seconds", "p50_seconds", "p90_seconds", "p95_seconds", "p99_seconds", "p999_seconds", "max_seconds"]
    {
        assert!(run[name].as_f64().is_some(), "{name} in {run}");
    }
    let exact = metrics.times.as_ref().unwrap().total.max().unwrap().as_secs_f64();
    assert_eq!(value["times"]["total"]["max_seconds"], json!(exact));
}

#[test]
fn rates_are_numbers_even_over_no_time() {
    let metrics = sample();
    let value: Value = serde_json::to_value(metrics.since(&metrics)).unwrap();
    assert_eq!(
        (&value["throughput"], &value["error_rate"], &value["utilisation"]),
        (&json!(0.0), &json!(0.0), &json!(0.0))
    );
    assert_eq!((&value["elapsed_seconds"], &value["times"]["wait"]), (&json!(0.0), &json!({ "count": 0 })));
}
