//! What recorded times cost. `cargo bench -p benches --features timings --bench metrics`.
//!
//! 500,000 tasks of 0.15 µs and as many empty ones, spawned and waited for, on two workers: pools without times, with those of one task in 32, and
//! with those of all. A snapshot every millisecond is taken in the last row.

use benches::{Row, compare, work};
use fanpool::{Pool, Timings};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const TASKS: usize = 500_000;
const ROUNDS: usize = 21;

fn spawn(pool: &Pool, nanos: usize) {
    for _ in 0..TASKS {
        let _ = pool.spawn(move || work(nanos));
    }
    let _ = pool.wait_idle();
}

fn pool(timings: Timings) -> Result<Pool, fanpool::BuildError> {
    Pool::builder().workers(2).timings(timings).build()
}

fn all() -> Result<(), fanpool::BuildError> {
    let (off, sampled, every, seen) =
        (pool(Timings::off())?, pool(Timings::every(32))?, pool(Timings::all())?, pool(Timings::every(32))?);
    for (title, nanos) in [("tasks of 0.15 µs", 150), ("empty tasks", 0)] {
        let over = AtomicBool::new(false);
        let mut rows: Vec<Row<'_>> = Vec::new();
        rows.push(("no times", Box::new(|| spawn(&off, nanos))));
        rows.push(("one in 32", Box::new(|| spawn(&sampled, nanos))));
        rows.push(("all", Box::new(|| spawn(&every, nanos))));
        let watched = || {
            over.store(false, Ordering::Relaxed);
            std::thread::scope(|s| {
                s.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        std::hint::black_box(seen.metrics());
                        std::thread::sleep(Duration::from_millis(1));
                    }
                });
                spawn(&seen, nanos);
                over.store(true, Ordering::Relaxed);
            });
        };
        rows.push(("one in 32, and snapshots", Box::new(watched)));
        compare(title, "task", TASKS, &[("threads", 2.0), ("grain_ns", nanos as f64)], ROUNDS, rows);
    }
    Ok(())
}

fn main() -> ExitCode {
    benches::begin("metrics");
    match all() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
