//! Times of items.

use crate::helpers::{quiet_panic, within};
use fanpool::{FanOut, Histogram, Retry, Route, Timings, testing::ManualClock};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// What a histogram says must be in, by its promise: not less than the exact answer, and more by less than a 64th.
fn is_of(told: Duration, exact: Duration) -> bool {
    told >= exact && told.as_nanos() <= exact.as_nanos() + exact.as_nanos() / 64
}

#[test]
fn without_the_option_nothing_is_recorded() {
    let (input, output) = FanOut::builder(|n: u32| Ok::<_, ()>(n)).start().unwrap();
    let control = output.control();
    input.send(1).unwrap();
    drop(input);
    output.count();
    assert_eq!(control.metrics().times, None);
}

#[test]
fn what_is_recorded_is_what_the_outcomes_say() {
    within(|| {
        for route in [Route::Shared, Route::RoundRobin] {
            let (input, output) = FanOut::builder(|n: u32| {
                let began = Instant::now();
                while began.elapsed() < Duration::from_micros(u64::from(n % 50)) {}
                if n % 10 == 0 { Err(n) } else { Ok(n) }
            })
            .workers(2)
            .route(route)
            .timings(Timings::all())
            .start()
            .unwrap();
            let control = output.control();
            let sender = std::thread::spawn(move || (0..2_000).for_each(|n| _ = input.send(n).unwrap()));
            let mut spans: Vec<[Duration; 3]> =
                output.map(|outcome| [outcome.queued, outcome.ran, outcome.queued + outcome.ran]).collect();
            sender.join().unwrap();
            let times = control.metrics().times.unwrap();
            for (at, histogram) in [&times.wait, &times.run, &times.total].into_iter().enumerate() {
                spans.sort_unstable_by_key(|span| span[at]);
                assert_eq!(histogram.count(), 2_000);
                for quantile in [0.001, 0.5, 0.9, 0.99, 0.999, 1.0] {
                    let exact = spans[((quantile * 2_000.0_f64).ceil() as usize).clamp(1, 2_000) - 1][at];
                    let told = histogram.quantile(quantile).unwrap();
                    assert!(is_of(told, exact), "{at}, {quantile}: {told:?} for {exact:?}");
                }
            }
        }
    });
}

#[test]
fn one_of_some_is_recorded_by_its_number() {
    let (input, output) = FanOut::builder(|n: u32| Ok::<_, ()>(n)).timings(Timings::every(7)).start().unwrap();
    let control = output.control();
    (0..1000).for_each(|n| _ = input.send(n).unwrap());
    drop(input);
    output.count();
    assert_eq!(control.metrics().times.unwrap().run.count(), 1000_u64.div_ceil(7));
}

#[test]
fn panics_are_recorded_and_what_was_not_handled_is_not() {
    let work = |n: u32| if n == 0 { quiet_panic("on purpose") } else { Ok::<_, ()>(n) };
    let clock = ManualClock::new();
    let builder = FanOut::builder(work).workers(1).timings(Timings::all()).deadline(Duration::from_secs(1));
    let (input, mut output) = builder.clock(&clock).start().unwrap();
    let control = output.control();
    input.send(0).unwrap();
    output.recv().unwrap();
    assert_eq!(control.metrics().times.unwrap().run.count(), 1);
    control.pause();
    input.send(1).unwrap();
    clock.advance(Duration::from_secs(2));
    control.resume();
    assert!(output.recv().unwrap().result.unwrap_err().is_expired());
    control.pause();
    input.send(1).unwrap();
    control.stop();
    assert_eq!(control.metrics().times.unwrap().run.count(), 1);
}

#[test]
fn an_item_waits_until_its_last_attempt() {
    within(|| {
        let clock = ManualClock::new();
        let retry = Retry::fixed(Duration::from_secs(60)).max_attempts(2);
        let builder = FanOut::builder(|_: u32| Err::<(), _>("no")).workers(1).retry(retry).timings(Timings::all());
        let (input, mut output) = builder.clock(&clock).start().unwrap();
        let control = output.control();
        input.send(1).unwrap();
        while control.put_off() == 0 {
            std::thread::yield_now();
        }
        clock.advance(Duration::from_secs(60));
        assert_eq!(output.recv().unwrap().attempts, 2);
        let times = control.metrics().times.unwrap();
        let minute = Duration::from_secs(60);
        assert!(is_of(times.wait.max().unwrap(), minute), "{times:?}");
        assert!(times.run.max().unwrap() < minute && times.total.max().unwrap() >= minute);
    });
}

#[test]
fn the_times_of_an_interval_are_those_that_ended_in_it() {
    within(|| {
        let (open, gate) = mpsc::channel::<()>();
        let gate = std::sync::Mutex::new(gate);
        let work = move |n: u32| {
            let _ = gate.lock().unwrap().recv();
            Ok::<_, ()>(n)
        };
        let (input, mut output) = FanOut::builder(work).workers(1).timings(Timings::all()).start().unwrap();
        let control = output.control();
        input.send(1).unwrap();
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(30) {
            std::thread::yield_now();
        }
        open.send(()).unwrap();
        output.recv().unwrap();
        let before = control.metrics();
        assert!(before.times.as_ref().unwrap().total.max() >= Some(Duration::from_millis(30)));
        let begun = Instant::now();
        open.send(()).unwrap();
        input.send(2).unwrap();
        output.recv().unwrap();
        let longest = begun.elapsed();
        let rates = control.metrics().since(&before);
        let times = rates.times.unwrap();
        assert_eq!((times.wait.count(), times.run.count(), times.total.count()), (1, 1, 1));
        assert!(times.total.max().unwrap().as_secs_f64() <= longest.as_secs_f64() * 65.0 / 64.0 + 1e-6);
    });
}

#[test]
fn items_that_are_stuck_behind_a_slow_one_have_times_too() {
    within(|| {
        // Cheap items are taken many at a time; the alarm lands those that are done before the slow one.
        let (open, gate) = mpsc::channel::<()>();
        let gate = std::sync::Mutex::new(gate);
        let work = move |n: u32| {
            if n == 5_000 {
                let _ = gate.lock().unwrap().recv();
            }
            Ok::<_, ()>(n)
        };
        let builder = FanOut::builder(work).workers(1).window(20_000).timings(Timings::all());
        let (input, mut output) = builder.start().unwrap();
        let control = output.control();
        control.pause();
        (0..5_001).for_each(|n| _ = input.send(n).unwrap());
        control.resume();
        let early = (0..5_000).map(|_| output.recv().unwrap()).count();
        assert_eq!(early, 5_000);
        assert_eq!(control.metrics().times.unwrap().run.count(), 5_000);
        drop(open);
        output.recv().unwrap();
        assert_eq!(control.metrics().times.unwrap().run.count(), 5_001);
    });
}

#[test]
fn the_table_has_the_times() {
    let (input, output) = FanOut::builder(|n: u32| Ok::<_, ()>(n)).timings(Timings::all()).start().unwrap();
    let control = output.control();
    assert!(
        control.metrics().to_string().contains("\nwait       0    -    -    -      -    -"),
        "{}",
        control.metrics()
    );
    input.send(1).unwrap();
    drop(input);
    output.count();
    let table = control.metrics().to_string();
    let lines: Vec<&str> = table.lines().skip_while(|line| !line.starts_with("time ")).collect();
    let first = |line: &&str| line.split_whitespace().next().unwrap().to_owned();
    assert_eq!(lines.iter().map(first).collect::<Vec<_>>(), ["time", "wait", "run", "total"], "{table}");
    assert!(lines.iter().all(|line| line.chars().count() == lines[0].chars().count()), "{table}");
}

#[test]
fn histograms_are_plain_values() {
    fn plain<T: Clone + Eq + std::fmt::Debug + Send + Sync + 'static>() {}
    plain::<Histogram>();
    plain::<fanpool::Histograms>();
    plain::<Timings>();
}
