//! Runs rivals side by side: interleaved rounds in one process, medians, and ratios to the first row.

#[path = "suite/results.rs"]
mod results;

pub use results::{PEERS, Parameter, begin, record, record_course};

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// One rival: its name and one run of the work.
pub type Row<'a> = (&'a str, Box<dyn FnMut() + 'a>);

/// Runs every row once to warm up and then `rounds` times, in turn, and prints medians for one of `units` and their
/// ratio to the first row. `parameters` go into the results.
pub fn compare(
    title: &str,
    unit: &str,
    units: usize,
    parameters: &[Parameter<'_>],
    rounds: usize,
    mut rows: Vec<Row<'_>>,
) {
    let mut times = vec![Vec::new(); rows.len()];
    for round in 0..=rounds {
        for ((_, run), times) in rows.iter_mut().zip(&mut times) {
            let began = Instant::now();
            run();
            if round > 0 {
                times.push(began.elapsed().as_secs_f64() * 1e9 / units as f64);
            }
        }
    }
    let article = if unit.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    println!("\n{title} (ns per {unit}, {rounds} rounds)");
    println!("  {:<28}{:>12}{:>12}{:>12}{:>18}", "", "min", "median", "max", "fanpool / this");
    let medians: Vec<f64> = times.iter_mut().map(|times| median(times)).collect();
    for ((name, _), (times, median)) in rows.iter().zip(times.iter().zip(&medians)) {
        let (min, max) = (times[0], times[times.len() - 1]);
        println!("  {name:<28}{min:>12.1}{median:>12.1}{max:>12.1}{:>18.3}", medians[0] / median);
        record(title, name, &format!("ns {article} {unit}"), parameters, times);
    }
}

/// Sorts `times` and answers the one in the middle.
///
/// # Panics
///
/// Panics if there is none.
pub fn median(times: &mut [f64]) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Computes for about `nanos` nanoseconds, without touching memory. Calibrated once.
pub fn work(nanos: usize) {
    spin(nanos * calibration() / 1000);
}

fn spin(steps: usize) {
    let mut x = steps as u64;
    for _ in 0..steps {
        x = black_box(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
    black_box(x);
}

/// Steps per microsecond.
fn calibration() -> usize {
    static STEPS: AtomicUsize = AtomicUsize::new(0);
    let known = STEPS.load(Ordering::Relaxed);
    if known > 0 {
        return known;
    }
    let best = (0..20)
        .map(|_| {
            let began = Instant::now();
            spin(1_000_000);
            began.elapsed().as_micros() as usize
        })
        .min();
    let steps = 1_000_000 / best.unwrap_or(1).max(1);
    STEPS.store(steps.max(1), Ordering::Relaxed);
    steps.max(1)
}

/// A field of `/proc/self/status`, in KiB; 0 where there is none.
#[must_use]
pub fn status(field: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

/// Nanoseconds that a cache line takes to the other core and back, in the median of short turns: what contended figures
/// depend on.
#[must_use]
pub fn ping_pong() -> f64 {
    const TURNS: usize = 1_000;
    const ROUNDS: usize = 200;
    const STOP: usize = usize::MAX;
    let ball = AtomicUsize::new(0);
    let began = Instant::now();
    let mut times = Vec::new();
    std::thread::scope(|s| {
        s.spawn(|| {
            for i in 0.. {
                loop {
                    match ball.load(Ordering::Acquire) {
                        STOP => return,
                        there if there == 2 * i + 1 => break,
                        _ => {}
                    }
                }
                ball.store(2 * i + 2, Ordering::Release);
            }
        });
        let mut i = 0;
        // Where other processes hold a core, a turn takes as long as they let it.
        while times.len() < TURNS && (times.is_empty() || began.elapsed().as_millis() < 200) {
            let turn = Instant::now();
            for _ in 0..ROUNDS {
                ball.store(2 * i + 1, Ordering::Release);
                i += 1;
                while ball.load(Ordering::Acquire) != 2 * i {}
            }
            times.push(turn.elapsed().as_nanos() as f64 / ROUNDS as f64);
        }
        ball.store(STOP, Ordering::Release);
    });
    median(&mut times)
}
