//! The rows of this crate, and the blocks that nobody else is in.

use crate::load::{Caller, Input, Load, Output, Service, WORKERS, drive};
use crate::table::{Contenders, ROUNDS, figures, heading};
use benches::{status, work};
use fanpool::{CircuitBreaker, FanOut, Help, Retry, Route, SendReason};
use std::convert::Infallible;
use std::fs;
use std::thread;
use std::time::Duration;

/// The first is what ratios are of.
const HELP: [(Help, &str); 3] = [
    (Help::Both, "fanpool, both help"),
    (Help::Receiver, "fanpool, receiver helps"),
    (Help::Never, "fanpool, workers only"),
];

pub(crate) fn contenders() -> Contenders {
    HELP.into_iter().map(|(help, name)| Box::new(Ours { help, name }) as _).collect()
}

struct Ours {
    help: Help,
    name: &'static str,
}

impl Service for Ours {
    fn name(&self) -> String {
        self.name.into()
    }

    fn open(&mut self, load: &Load) -> (impl Input, impl Output) {
        let handler = *load;
        let service = FanOut::builder(move |n: u64| Ok::<_, Infallible>(handler.handle(n)));
        let service = service.workers(WORKERS).window(load.window).help(self.help);
        let service = if load.ordered { service.ordered() } else { service };
        let (input, output) = service.start().unwrap();
        (Sending(input), Receiving(output))
    }
}

struct Sending(fanpool::Input<'static, u64>);

impl Input for Sending {
    fn send(&mut self, n: u64) {
        self.0.send(n).unwrap();
    }

    fn try_send(&mut self, n: u64, _: usize) -> bool {
        match self.0.try_send(n) {
            Ok(_) => true,
            Err(refused) if matches!(refused.reason(), SendReason::Full) => false,
            Err(refused) => panic!("{refused}"),
        }
    }
}

struct Receiving(fanpool::Output<'static, u64, Infallible>);

impl Output for Receiving {
    fn recv(&mut self) -> u64 {
        self.0.recv().unwrap().result.unwrap()
    }
}

/// Runs `services` in turn, `ROUNDS` times after one to warm up; milliseconds of each round.
fn in_turn(services: &[(&str, &dyn Fn() -> Duration)]) -> Vec<(String, Vec<f64>)> {
    let mut rows: Vec<(String, Vec<f64>)> = services.iter().map(|(name, _)| ((*name).to_owned(), Vec::new())).collect();
    for round in 0..=ROUNDS {
        for ((_, run), (_, times)) in services.iter().zip(&mut rows) {
            let took = run().as_secs_f64() * 1e3;
            if round > 0 {
                times.push(took);
            }
        }
    }
    rows
}

/// What policies cost that never have anything to do: a breaker that stays closed, a retry of what does not fail.
pub(crate) fn policies() {
    const ITEMS: u64 = 400_000;
    let retry = || Retry::exponential(Duration::from_millis(10)).max_attempts(3);
    let breaker = || CircuitBreaker::builder().build().unwrap();
    for (caller, shape) in [(Caller::Two, "two threads"), (Caller::One, "one thread")] {
        for nanos in [0, 150] {
            let load = Load::new(nanos, 4096, caller);
            let service = || {
                FanOut::builder(move |n: u64| Ok::<_, Infallible>(load.handle(n))).workers(WORKERS).window(load.window)
            };
            let plain = || {
                let (input, output) = service().start().unwrap();
                drive(&load, ITEMS, Sending(input), Receiving(output))
            };
            let retrying = || {
                let (input, output) = service().retry(retry()).start().unwrap();
                drive(&load, ITEMS, Sending(input), Receiving(output))
            };
            let breaking = || {
                let (input, output) = service().breaker(breaker()).start().unwrap();
                drive(&load, ITEMS, Sending(input), Receiving(output))
            };
            let both = || {
                let (input, output) = service().retry(retry()).breaker(breaker()).start().unwrap();
                drive(&load, ITEMS, Sending(input), Receiving(output))
            };
            let rows =
                in_turn(&[("no policies", &plain), ("retry", &retrying), ("breaker", &breaking), ("both", &both)]);
            let title = format!("policies that never act, {nanos} ns of work, {shape}, window 4,096");
            let items = |time: f64| time * 1e6 / ITEMS as f64;
            let each = |(name, times): (String, Vec<f64>)| (name, times.into_iter().map(items).collect());
            figures(&title, "ns an item", &load.parameters(), rows.into_iter().map(each).collect());
        }
    }
}

/// What it costs to keep the order of each key, where few of many events take long.
pub(crate) fn keys() {
    const EVENTS: u64 = 1_000_000;
    const KEYS: u64 = 10_000;
    let load = Load::new(0, 4096, Caller::Two);
    let service = || {
        let handler = |n: u64| {
            if n % 1000 == 999 {
                work(20_000);
            }
            Ok::<_, Infallible>(n)
        };
        FanOut::builder(handler).workers(WORKERS).window(load.window)
    };
    // Scrambled, so that neighbours do not have neighbouring keys.
    let key = |n: &u64| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) % KEYS;
    let unkeyed = || {
        let (input, output) = service().start().unwrap();
        drive(&load, EVENTS, Sending(input), Receiving(output))
    };
    let keyed = || {
        let (input, output) = service().key(key).start().unwrap();
        drive(&load, EVENTS, Sending(input), Receiving(output))
    };
    let lanes = || {
        let (input, output) = service().route(Route::by_key(key)).start().unwrap();
        drive(&load, EVENTS, Sending(input), Receiving(output))
    };
    let rows = in_turn(&[("no keys", &unkeyed), ("strands", &keyed), ("lanes by key", &lanes)]);
    // A million events: a millisecond is a nanosecond each.
    let parameters = [("window", 4096.0), ("keys", KEYS as f64)];
    let title = "1,000,000 events of 10,000 keys, 1 in 1,000 takes 20 µs, window 4,096";
    figures(title, "ns an event", &parameters, rows);
}

/// Costs that differ: what it is worth to look at the load of each lane.
pub(crate) fn skewed() {
    // 1 or 20 µs in turn.
    let alternating = |n: u64| if n % 2 == 0 { 1_000 } else { 20_000 };
    // One of ten, at random, costs a hundred times as much as the others.
    let random = |least: usize| {
        move |n: u64| {
            let dice = (n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
            if dice % 10 == 0 { 100 * least } else { least }
        }
    };
    let spin = |nanos| work(nanos);
    let sleep = |nanos| thread::sleep(Duration::from_nanos(nanos as u64));
    routes("every second item costs 20 times as much, 2 lanes, window 64", 2, 5_000, alternating, spin);
    routes("one of ten at random costs 100 times as much, 4 lanes, window 64", 4, 10_000, random(1_000), spin);
    routes("the same, asleep: 100 µs and 10 ms, 4 lanes, window 64", 4, 400, random(100_000), sleep);
}

fn routes(
    title: &str,
    workers: usize,
    items: u64,
    cost: impl Fn(u64) -> usize + Copy + Send + Sync + 'static,
    spend: impl Fn(usize) + Copy + Send + Sync + 'static,
) {
    let load = Load::new(0, 64, Caller::Two);
    let by = |route: fn() -> Route<'static, u64>| {
        move || {
            let handler = move |n: u64| {
                spend(cost(n));
                Ok::<_, Infallible>(n)
            };
            let service = FanOut::builder(handler).workers(workers).window(load.window).route(route());
            let (input, output) = service.weigh(move |n: &u64| cost(*n)).start().unwrap();
            drive(&load, items, Sending(input), Receiving(output))
        }
    };
    let (least, robin, shared) = (by(|| Route::LeastLoaded), by(|| Route::RoundRobin), by(|| Route::Shared));
    let rows = in_turn(&[("least loaded", &least), ("round robin", &robin), ("shared", &shared)]);
    figures(title, "ms", &load.parameters(), rows);
}

/// 50 million items through a window of 4,096: how far the peak of memory grows.
pub(crate) fn memory() {
    const ITEMS: u64 = 50_000_000;
    const LIMIT: usize = 8 << 10;
    heading("50,000,000 items through a window of 4,096", "KiB");
    for ordered in [true, false] {
        let load = Load { ordered, ..Load::new(0, 4096, Caller::Two) };
        let mut ours = Ours { help: Help::Never, name: "" };
        let mut run = |items| {
            let (input, output) = ours.open(&load);
            drive(&load, items, input, output)
        };
        run(100_000);
        let before = status("VmRSS");
        // Makes the peak start from here.
        fs::write("/proc/self/clear_refs", "5").unwrap();
        let each = run(ITEMS).as_secs_f64() * 1e9 / ITEMS as f64;
        let (after, peak) = (status("VmRSS"), status("VmHWM"));
        let name = if ordered { "ordered" } else { "as they end" };
        println!("  {name:<24}{before} before, {after} after, {peak} at the peak; {each:.0} ns an item");
        let growth = peak.saturating_sub(before);
        let title = format!("50,000,000 items through a window of 4,096, {name}");
        benches::record(&title, "fanpool, workers only", "KiB more at the peak", &load.parameters(), &[growth as f64]);
        assert!(growth < LIMIT, "grew by {growth} KiB; allowed is {LIMIT}");
    }
}
