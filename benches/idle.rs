//! CPU time that an idle pool of 64 workers uses in two seconds. `cargo bench -p benches --bench idle`.
//!
//! Fails above one clock tick (10 ms), the finest that `/proc` tells.

use fanpool::{Pool, Workers};
use std::process::ExitCode;
use std::time::Duration;

/// User and system time of this process, in ticks.
fn ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

fn main() -> ExitCode {
    benches::begin("idle");
    let pool = match Pool::builder().workers(Workers::Fixed(64)).build() {
        Ok(pool) => pool,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    pool.scope(|s| (0..10_000).for_each(|_| s.spawn(|| ())));
    // Workers that were woken look once more and then block.
    std::thread::sleep(Duration::from_millis(200));
    let before = ticks();
    std::thread::sleep(Duration::from_secs(2));
    let used = ticks() - before;
    println!("64 idle workers used {used} ticks of CPU time in 2 s");
    benches::record("64 idle workers for 2 s", "fanpool", "clock ticks", &[("threads", 64.0)], &[used as f64]);
    if used <= 1 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
