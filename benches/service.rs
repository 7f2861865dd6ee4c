//! Services that take items one by one and give outcomes one by one, and their rivals, with two workers.
//!
//! `cargo bench -p benches --bench service [-- WORD..]`. Words select blocks, and numbers select windows of the matrix:
//! `matrix` with `empty` or `work`, `two` or `one` (threads that call), `any` or `ordered`; `paced`, `slow`, `burst`,
//! `keys`, `policies`, `skewed`, `memory`. All contenders take turns in every round, the one in Go, a process of its own, too.

#![expect(clippy::unwrap_used, reason = "a bench that cannot start may stop")]

#[path = "service/golang.rs"]
#[allow(dead_code, reason = "tasks without a service are for the bench `axes`")]
mod golang;
#[path = "service/load.rs"]
mod load;
#[path = "service/ours.rs"]
mod ours;
#[path = "service/peers.rs"]
mod peers;
#[path = "service/table.rs"]
mod table;

use load::{Caller, Contender, Load, SLOW, WORKERS};
use std::time::{Duration, Instant};
use table::{Contenders, ROUNDS, heading, list, matrix};

const WINDOWS: [usize; 6] = [1, 4, 16, 64, 256, 4096];

/// The words of the command line.
struct Wanted(Vec<String>);

impl Wanted {
    fn block(&self, words: &str) -> bool {
        self.0.iter().filter(|word| word.parse::<usize>().is_err()).all(|word| words.split(' ').any(|own| own == word))
    }

    fn windows(&self) -> Vec<usize> {
        let wanted: Vec<usize> = self.0.iter().filter_map(|word| word.parse().ok()).collect();
        WINDOWS.into_iter().filter(|window| wanted.is_empty() || wanted.contains(window)).collect()
    }
}

fn matrices(contenders: &mut Contenders, wanted: &Wanted) {
    let works = [(0, "empty", "empty work"), (150, "work", "0.15 µs of work")];
    let callers = [
        (Caller::Two, "two", "a thread that sends and one that receives"),
        (Caller::One, "one", "one thread that sends until full and then receives"),
    ];
    let orders = [(false, "any", "as they end"), (true, "ordered", "ordered")];
    for (nanos, work_word, work) in works {
        for (caller, caller_word, shape) in callers {
            for (ordered, order_word, order) in orders {
                if wanted.block(&format!("matrix {work_word} {caller_word} {order_word}")) {
                    let load = Load { ordered, ..Load::new(nanos, 1, caller) };
                    matrix(&format!("{work}, {shape}, {order}"), contenders, &wanted.windows(), load);
                }
            }
        }
    }
}

/// From send to outcome where an item comes seldom.
fn paced(contenders: &mut Contenders) {
    const PAUSE: Duration = Duration::from_micros(200);
    for (caller, shape) in [(Caller::Two, "a thread that sends and one that receives"), (Caller::One, "one thread")] {
        let mut ages = vec![Vec::new(); contenders.len()];
        for round in 0..=ROUNDS {
            for (contender, ages) in contenders.iter_mut().zip(&mut ages) {
                let items = if round == 0 { 50 } else { 400 };
                let new = contender.pace(caller, PAUSE, items);
                if round > 0 {
                    ages.extend(new);
                }
            }
        }
        let title = format!("an empty item every 200 µs, {shape}");
        heading(&title, "µs from send to outcome");
        println!("  {:<24}{:>12}{:>12}", "", "median", "p99");
        for (contender, ages) in contenders.iter().zip(&mut ages) {
            ages.sort_unstable();
            let all: Vec<f64> = ages.iter().map(|age| age.as_secs_f64() * 1e6).collect();
            benches::record(&title, &contender.name(), "µs from send to outcome", &[("threads", WORKERS as f64)], &all);
            let micros = |index: usize| ages[index].as_secs_f64() * 1e6;
            println!(
                "  {:<24}{:>12.2}{:>12.2}",
                contender.name(),
                micros(ages.len() / 2),
                micros(ages.len() * 99 / 100)
            );
        }
    }
}

fn slow(contenders: &mut Contenders) {
    const ITEMS: u64 = 100;
    let load = Load::new(SLOW, 64, Caller::Two);
    let rate = |took: Duration| ITEMS as f64 / (took.as_secs_f64() * 1e3);
    list("1 ms of work an item, window 64", "items a ms", contenders, &load, ITEMS, rate);
}

/// What the items themselves take, one after the other.
struct Serial;

impl Contender for Serial {
    fn name(&self) -> String {
        "serial loop".into()
    }

    fn run(&mut self, load: &Load, items: u64) -> Duration {
        let began = Instant::now();
        (0..items).for_each(|n| _ = load.handle(n));
        began.elapsed()
    }

    fn pace(&mut self, _: Caller, _: Duration, _: u64) -> Vec<Duration> {
        Vec::new()
    }
}

/// Cheap items teach a service to take many at once; slow ones that follow must not wait behind each other.
fn burst(contenders: &mut Contenders) {
    const CHEAP: u64 = 100_000;
    contenders.push(Box::new(Serial));
    for slow in [16, 100, 400] {
        let load = Load { slow_from: CHEAP, ..Load::new(50, 4096, Caller::Two) };
        let least = (0..3).map(|_| Serial.run(&load, CHEAP + slow)).min();
        let ideal = least.unwrap_or_default().as_secs_f64() / WORKERS as f64;
        let title = format!("{CHEAP} items of 50 ns and then {slow} of 1 ms, window 4,096");
        list(&title, "time / ideal", contenders, &load, CHEAP + slow, |took| took.as_secs_f64() / ideal);
    }
    contenders.pop();
}

fn main() {
    let words = std::env::args().skip(1).filter(|word| !word.starts_with('-'));
    let wanted = Wanted(words.collect());
    benches::begin("service");
    let rayon = rayon::ThreadPoolBuilder::new().num_threads(WORKERS).build().unwrap();
    let mut contenders = ours::contenders();
    contenders.push(Box::new(peers::ByHand));
    contenders.push(Box::new(peers::Rayon(rayon.into())));
    contenders.extend(golang::contenders().into_iter().map(|go| Box::new(go) as Box<dyn Contender>));
    matrices(&mut contenders, &wanted);
    if wanted.block("paced") {
        paced(&mut contenders);
    }
    if wanted.block("slow") {
        slow(&mut contenders);
    }
    if wanted.block("burst") {
        burst(&mut contenders);
    }
    if wanted.block("keys") {
        ours::keys();
    }
    if wanted.block("policies") {
        ours::policies();
    }
    if wanted.block("skewed") {
        ours::skewed();
    }
    if wanted.block("memory") {
        ours::memory();
    }
}
