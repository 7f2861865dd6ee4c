//! Snapshots of services, and what follows from two of them.

use super::{quiet_panic, until_put_off, within};
use fanpool::{FanOut, Help, Metrics, Observed, RateLimit, Retry, Route, WorkerState, testing::ManualClock};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::time::{Duration, Instant};

/// A handler that says when it has begun, and goes on when it is let.
fn gated() -> (impl Fn(u32) -> Result<u32, ()> + Send + Sync + 'static, mpsc::Receiver<u32>, mpsc::Sender<()>) {
    let (begun, begins) = mpsc::channel();
    let (open, gate) = mpsc::channel();
    let gate = Mutex::new(gate);
    let work = move |n| {
        begun.send(n).unwrap();
        let _ = gate.lock().unwrap().recv();
        Ok(n)
    };
    (work, begins, open)
}

#[test]
fn each_way_to_end_has_its_count() {
    within(|| {
        let clock = ManualClock::new();
        let work = |n: u32| match n {
            0..10 => Ok(n),
            10..13 => Err("no"),
            _ => quiet_panic("on purpose"),
        };
        let builder = FanOut::builder(work).workers(2).window(100).name("ends").deadline(Duration::from_secs(1));
        let (input, output) = builder.clock(&clock).start().unwrap();
        let control = output.control();
        (0..14).for_each(|n| _ = input.send(n).unwrap());
        while control.metrics().tasks.ended() < 14 {
            std::thread::yield_now();
        }
        control.pause();
        input.send(0).unwrap();
        clock.advance(Duration::from_secs(1));
        control.resume();
        while control.metrics().tasks.ended() < 15 {
            std::thread::yield_now();
        }
        control.pause();
        input.send(0).unwrap();
        control.stop();
        assert!(input.send(0).is_err());
        assert!(input.try_send(0).is_err());
        let metrics = control.metrics();
        let tasks = metrics.tasks;
        assert_eq!((tasks.accepted, tasks.finished, tasks.failed, tasks.panicked), (16, 10, 3, 1));
        assert_eq!((tasks.expired, tasks.cancelled, tasks.refused), (1, 1, 2));
        assert_eq!((tasks.ran(), tasks.unsuccessful(), tasks.ended()), (14, 5, 16));
        assert_eq!(metrics.per_worker.iter().map(|worker| worker.ran).sum::<u64>(), 14);
        assert_eq!((metrics.of, metrics.name.as_str()), (Observed::Service, "ends"));
        assert_eq!((metrics.queued, metrics.in_flight, metrics.window), (0, Some(16), Some(100)));
        drop(output);
        assert_eq!(control.metrics().tasks.undelivered, control.counts().undelivered);
    });
}

#[test]
fn refusals_are_counted_whatever_their_reason() {
    let (input, output) = FanOut::builder(|n: u32| Ok::<_, ()>(n)).window(1).start().unwrap();
    let control = output.control();
    control.pause();
    input.send(1).unwrap();
    assert!(input.try_send(2).is_err());
    assert!(input.send_timeout(3, Duration::from_millis(1)).is_err());
    control.stop();
    assert!(input.send(4).is_err());
    assert_eq!(control.metrics().tasks.refused, 3);
}

#[test]
fn retries_are_counted_and_what_is_put_off_waits() {
    within(|| {
        let clock = ManualClock::new();
        let retry = Retry::fixed(Duration::from_secs(5)).max_attempts(2);
        let (input, output) =
            FanOut::builder(|_: u32| Err::<(), _>("no")).workers(1).retry(retry).clock(&clock).start().unwrap();
        let control = output.control();
        input.send(1).unwrap();
        until_put_off(&control, 1);
        let metrics = control.metrics();
        assert_eq!((metrics.put_off, metrics.queued, metrics.tasks.ended()), (1, 1, 0));
        assert_eq!(metrics.oldest_wait, None, "nothing may be started");
        clock.advance(Duration::from_secs(5));
        drop(input);
        assert_eq!(output.partition().1.len(), 1);
        let tasks = control.metrics().tasks;
        assert_eq!((tasks.retried, tasks.failed, tasks.accepted), (1, 1, 1));
    });
}

#[test]
fn who_runs_what_is_seen_while_it_runs() {
    within(|| {
        let (work, begins, open) = gated();
        let (input, output) = FanOut::builder(work).workers(3).name("gated").start().unwrap();
        let control = output.control();
        input.send(1).unwrap();
        input.send(2).unwrap();
        begins.recv().unwrap();
        begins.recv().unwrap();
        // A third that came for one of them, too late, counts until it has left.
        while control.metrics().running > 2 {
            std::thread::yield_now();
        }
        let metrics = control.metrics();
        assert_eq!((metrics.workers.total(), metrics.workers.busy, metrics.workers.idle), (3, 2, 1));
        assert_eq!((metrics.running, metrics.routes.len(), metrics.routes[0].running), (2, 1, 2));
        assert_eq!(metrics.per_worker.len(), 2);
        for worker in &metrics.per_worker {
            assert_eq!((worker.state, worker.ran, worker.group.as_deref()), (WorkerState::Busy, 0, Some("gated")));
        }
        // Time at an item counts before that has ended.
        let busy = |metrics: &Metrics| metrics.per_worker.iter().map(|worker| worker.busy).min().unwrap();
        while busy(&control.metrics()) <= busy(&metrics) {
            std::thread::yield_now();
        }
        let before = control.metrics();
        while busy(&control.metrics()) < busy(&before) + Duration::from_millis(5) {
            std::thread::yield_now();
        }
        let rates = control.metrics().since(&before);
        assert!(rates.utilisation > 0.5 && rates.utilisation < 0.7, "two of three: {rates:?}");
        drop(open);
        drop(input);
        assert_eq!(output.count(), 2);
        while control.metrics().running > 0 {
            std::thread::yield_now();
        }
        let after = control.metrics();
        assert!(after.per_worker.iter().all(|worker| worker.state == WorkerState::Idle && worker.group.is_none()));
        assert_eq!(after.per_worker.iter().map(|worker| worker.ran).sum::<u64>(), 2);
        assert!(busy(&after) >= Duration::from_millis(5));
    });
}

#[test]
fn callers_that_run_items_are_counted_apart() {
    within(|| {
        let pool = super::pool(1);
        let barrier = Barrier::new(2);
        pool.scope(|s| {
            let work = |n: u32| {
                barrier.wait();
                barrier.wait();
                Ok::<_, ()>(n)
            };
            let (input, output) = s.fan_out(work).help(Help::Both).limit(1).start().unwrap();
            let control = output.control();
            // The only worker is kept elsewhere, so the owner of the scope runs the item.
            let (done, held) = mpsc::channel::<()>();
            let (held_up, is_held) = mpsc::channel();
            s.spawn(move || {
                held_up.send(()).unwrap();
                let _ = held.recv();
            });
            is_held.recv().unwrap();
            input.send(1).unwrap();
            drop(input);
            std::thread::scope(|threads| {
                let watch = control.clone();
                let barrier = &barrier;
                let seen = threads.spawn(move || {
                    barrier.wait();
                    let metrics = watch.metrics();
                    barrier.wait();
                    metrics
                });
                assert_eq!(output.count(), 1);
                let metrics = seen.join().unwrap();
                assert_eq!((metrics.workers.callers, metrics.workers.busy, metrics.running), (1, 0, 1));
                assert!(metrics.per_worker.is_empty());
            });
            drop(done);
        });
    });
}

#[test]
fn each_route_has_its_depth_and_its_load() {
    let weigh = |n: &u32| *n as usize;
    let (input, output) =
        FanOut::builder(|n: u32| Ok::<_, ()>(n)).workers(2).route(Route::LeastLoaded).weigh(weigh).start().unwrap();
    let control = output.control();
    control.pause();
    input.send(10).unwrap();
    (0..3).for_each(|_| _ = input.send(2).unwrap());
    let metrics = control.metrics();
    let mut routes: Vec<_> = metrics.routes.iter().map(|route| (route.queued, route.load.unwrap())).collect();
    routes.sort_unstable();
    assert_eq!((routes, metrics.queued, metrics.running), (vec![(1, 10), (3, 6)], 4, 0));
    control.resume();
    drop(input);
    assert_eq!(output.count(), 4);
    assert!(control.metrics().routes.iter().all(|route| (route.queued, route.load) == (0, Some(0))));
    // Loads are those of the least loaded alone.
    let (input, _output) =
        FanOut::builder(|n: u32| Ok::<_, ()>(n)).workers(2).route(Route::RoundRobin).start().unwrap();
    assert!(input.control().metrics().routes.iter().all(|route| route.load.is_none()));
}

#[test]
fn the_oldest_wait_is_that_of_the_item_that_is_next() {
    let clock = ManualClock::new();
    let limit = RateLimit::builder(1000, Duration::from_secs(1)).burst(1000).clock(&clock).build().unwrap();
    let (input, output) = FanOut::builder(|n: u32| Ok::<_, ()>(n)).rate(limit).clock(&clock).start().unwrap();
    let control = output.control();
    assert_eq!(control.metrics().oldest_wait, None);
    control.pause();
    input.send(1).unwrap();
    clock.advance(Duration::from_secs(3));
    input.send(2).unwrap();
    clock.advance(Duration::from_secs(4));
    assert_eq!(control.metrics().oldest_wait, Some(Duration::from_secs(7)));
    control.resume();
    drop(input);
    output.count();
    assert_eq!(control.metrics().oldest_wait, None);
}

#[test]
fn a_snapshot_taken_while_work_goes_on_adds_up() {
    within(|| {
        let (input, output) =
            FanOut::builder(|n: u32| if n % 3 == 0 { Err(n) } else { Ok(n) }).workers(2).window(64).start().unwrap();
        let control = output.control();
        let sender = std::thread::spawn(move || (0..20_000).for_each(|n| _ = input.send(n).unwrap()));
        let collector = std::thread::spawn(move || output.count());
        let mut before = control.metrics();
        let mut looks = 0;
        while before.tasks.ended() < 20_000 {
            let now = control.metrics();
            assert!(now.tasks.ended() <= now.tasks.accepted, "{now}");
            assert!(now.in_flight.unwrap() <= 64, "{now}");
            assert!(now.tasks.finished >= before.tasks.finished && now.tasks.accepted >= before.tasks.accepted);
            let rates = now.since(&before);
            for rate in [rates.error_rate, rates.utilisation] {
                assert!((0.0..=1.0).contains(&rate), "{rates:?}");
            }
            assert!(rates.throughput.is_finite());
            before = now;
            looks += 1;
        }
        sender.join().unwrap();
        assert_eq!(collector.join().unwrap(), 20_000);
        let end = control.metrics();
        assert_eq!((end.tasks.failed, end.tasks.finished), (6_667, 13_333), "after {looks} looks");
        assert_eq!(end.per_worker.iter().map(|worker| worker.ran).sum::<u64>(), 20_000);
    });
}

#[test]
fn the_table_is_aligned_whatever_the_names() {
    let name = "a \"name\"\nof two lines, ü";
    let (input, output) = FanOut::builder(|n: u32| Ok::<_, ()>(n)).workers(2).name(name).start().unwrap();
    let control = output.control();
    (0..1000).for_each(|n| _ = input.send(n).unwrap());
    drop(input);
    output.count();
    let table = control.metrics().to_string();
    let mut lines = table.lines();
    assert_eq!(lines.next().unwrap(), r#"service a \"name\"\nof two lines, ü"#);
    assert!(table.contains("\naccepted        1000\n"), "{table}");
    let workers: Vec<&str> = lines.skip_while(|line| !line.starts_with("worker ")).collect();
    assert!(workers.len() >= 2, "{table}");
    assert!(workers.iter().all(|line| line.chars().count() == workers[0].chars().count()), "{table}");
}

#[test]
fn snapshots_are_plain_values() {
    fn plain<T: Clone + PartialEq + std::fmt::Debug + Send + Sync + 'static>(_: &T) {}
    let metrics = super::rates::some_metrics();
    plain(&metrics);
    plain(&metrics.since(&metrics));
    let taken = metrics.at;
    assert!(taken <= Instant::now());
    // A snapshot holds nothing of the service, which has ended.
    let kept = Arc::new(());
    let inside = kept.clone();
    let (input, output) = FanOut::builder(move |n: u32| Ok::<_, ()>((n, inside.clone()))).start().unwrap();
    let snapshot = input.control().metrics();
    drop((input, output));
    assert_eq!((Arc::strong_count(&kept), snapshot.tasks.accepted), (1, 0));
}
