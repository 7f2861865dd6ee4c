//! Maps and their rivals, side by side in one process with one worker per core.
//!
//! `cargo bench -p benches --bench map`. The serial loop is `iter.map(f).collect()`; rayon's indexed row is
//! `into_par_iter().map(f).collect()`; `par_bridge` gives its results in no order.

#![expect(clippy::unwrap_used, reason = "a bench that cannot start may stop")]

use benches::{Row, begin, compare, work};
use fanpool::{Pool, Workers};
use pariter::IteratorExt as _;
use rayon::prelude::*;
use std::hint::black_box;
use std::time::Duration;

struct Rivals {
    fanpool: Pool,
    rayon: rayon::ThreadPool,
}

impl Rivals {
    fn new(workers: usize) -> Rivals {
        Rivals {
            fanpool: fanpool_of(workers),
            rayon: rayon::ThreadPoolBuilder::new().num_threads(workers).build().unwrap(),
        }
    }

    /// `items` numbers, each mapped by `f`.
    fn numbers(&self, title: &str, items: u64, rounds: usize, f: impl Fn(u64) -> u64 + Send + Sync + Copy + 'static) {
        let mut rows: Vec<Row<'_>> = vec![
            (
                "fanpool",
                Box::new(move || {
                    black_box(self.fanpool.map(0..items, f).collect::<Vec<_>>());
                }),
            ),
            (
                "serial loop",
                Box::new(move || {
                    black_box((0..items).map(f).collect::<Vec<_>>());
                }),
            ),
            (
                "rayon indexed",
                Box::new(move || {
                    black_box(
                        self.rayon
                            .install(|| (0..items as usize).into_par_iter().map(|n| f(n as u64)).collect::<Vec<_>>()),
                    );
                }),
            ),
            (
                "rayon par_bridge",
                Box::new(move || {
                    black_box(self.rayon.install(|| (0..items).par_bridge().map(f).collect::<Vec<_>>()));
                }),
            ),
        ];
        if items <= 200_000 || rounds <= 21 {
            rows.push((
                "pariter",
                Box::new(move || {
                    let few = items.min(200_000);
                    for _ in 0..items / few {
                        black_box((0..few).parallel_map_custom(|o| o.threads(2), f).collect::<Vec<_>>());
                    }
                }),
            ));
        }
        compare(title, "item", items as usize, &[("threads", 2.0), ("tasks", items as f64)], rounds, rows);
    }
}

fn fanpool_of(workers: usize) -> Pool {
    Pool::builder().workers(Workers::Fixed(workers)).build().unwrap()
}

fn skewed(n: u64) -> u64 {
    work(if n % 100 == 99 { 65_000 } else { 65 });
    n
}

fn large(rivals: &Rivals) {
    const ITEMS: usize = 20_000;
    let values: Vec<[u8; 1024]> = (0..ITEMS).map(|n| [n as u8; 1024]).collect();
    let sum = |value: &[u8; 1024]| value.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    compare(
        "slice of 1 KiB values, by reference, summed",
        "item",
        ITEMS,
        &[("threads", 2.0), ("tasks", ITEMS as f64), ("bytes", 1024.0)],
        31,
        vec![
            ("fanpool", Box::new(|| drop(black_box(rivals.fanpool.map(&values, sum).collect::<Vec<_>>())))),
            ("serial loop", Box::new(|| drop(black_box(values.iter().map(sum).collect::<Vec<_>>())))),
            (
                "rayon indexed",
                Box::new(|| drop(black_box(rivals.rayon.install(|| values.par_iter().map(sum).collect::<Vec<_>>())))),
            ),
        ],
    );
    let flip = |value: [u8; 1024]| value.map(|byte| !byte);
    compare(
        "values of 1 KiB, moved, and values of 1 KiB back (cloning the input included)",
        "item",
        ITEMS,
        &[("threads", 2.0), ("tasks", ITEMS as f64), ("bytes", 1024.0)],
        31,
        vec![
            ("fanpool", Box::new(|| drop(black_box(rivals.fanpool.map(values.clone(), flip).collect::<Vec<_>>())))),
            ("serial loop", Box::new(|| drop(black_box(values.clone().into_iter().map(flip).collect::<Vec<_>>())))),
            (
                "rayon indexed",
                Box::new(|| {
                    let input = values.clone();
                    drop(black_box(rivals.rayon.install(|| input.into_par_iter().map(flip).collect::<Vec<_>>())));
                }),
            ),
        ],
    );
}

fn many_workers() {
    for nanos in [65, 1_600] {
        let items = 13_000_000 / nanos as u64;
        let pools = [2, 8, 64].map(fanpool_of);
        let f = move |n: u64| {
            work(nanos);
            n
        };
        let rows = ["2 workers", "8 workers", "64 workers"].into_iter().zip(&pools);
        let rows: Vec<Row<'_>> = rows
            .map(|(name, pool)| {
                let run = move || drop(black_box(pool.map(0..items, f).collect::<Vec<_>>()));
                (name, Box::new(run) as Box<dyn FnMut()>)
            })
            .collect();
        compare(
            &format!("fanpool with more workers than cores, {nanos} ns an item"),
            "item",
            items as usize,
            &[("grain_ns", nanos as f64)],
            21,
            rows,
        );
    }
}

fn blocking() {
    let pool = fanpool_of(64);
    let nap = |n: u64| {
        std::thread::sleep(Duration::from_millis(10));
        n
    };
    let rows: Vec<Row<'_>> = vec![("fanpool", Box::new(|| drop(black_box(pool.map(0..64, nap).collect::<Vec<_>>()))))];
    compare("64 items that sleep for 10 ms, 64 workers", "call", 1, &[("threads", 64.0), ("tasks", 64.0)], 21, rows);
}

fn small(rivals: &Rivals) {
    let f = |n: u64| {
        work(10);
        n
    };
    const CALLS: usize = 200;
    compare(
        "100 items of 10 ns",
        "call",
        CALLS,
        &[("threads", 2.0), ("tasks", 100.0), ("grain_ns", 10.0)],
        51,
        vec![
            (
                "fanpool",
                Box::new(move || {
                    for _ in 0..CALLS {
                        black_box(rivals.fanpool.map(0..100, f).collect::<Vec<_>>());
                    }
                }),
            ),
            (
                "serial loop",
                Box::new(move || {
                    for _ in 0..CALLS {
                        black_box((0..100).map(f).collect::<Vec<_>>());
                    }
                }),
            ),
            (
                "rayon indexed",
                Box::new(move || {
                    for _ in 0..CALLS {
                        black_box(
                            rivals
                                .rayon
                                .install(|| (0..100_usize).into_par_iter().map(|n| f(n as u64)).collect::<Vec<_>>()),
                        );
                    }
                }),
            ),
        ],
    );
}

fn main() {
    begin("map");
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let wanted = |name: &str| only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let rivals = Rivals::new(2);
    if wanted("empty") {
        rivals.numbers("ordered, 2,000,000 items, empty work", 2_000_000, 21, black_box);
    }
    if wanted("65") {
        rivals.numbers("ordered, 1,000,000 items of 65 ns", 1_000_000, 21, |n| {
            work(65);
            n
        });
    }
    if wanted("1600") {
        rivals.numbers("ordered, 100,000 items of 1.6 µs", 100_000, 15, |n| {
            work(1_600);
            n
        });
    }
    if wanted("skewed") {
        rivals.numbers("skewed: of 100 items of 65 ns one takes 65 µs", 100_000, 15, skewed);
    }
    if wanted("small") {
        small(&rivals);
    }
    if wanted("blocking") {
        blocking();
    }
    if wanted("large") {
        large(&rivals);
    }
    if wanted("workers") {
        many_workers();
    }
}
