//! 100 million items through a window of 4,096 with a sink that is slower than the workers: how much does memory grow?
//!
//! `cargo bench -p benches --bench memory [millions]`. Fails if the peak grows by 8 MiB or more. Linux.

#![expect(clippy::unwrap_used, reason = "a bench that cannot start may stop")]

use benches::{begin, record, status, work};
use fanpool::{Pool, Workers};
use std::fs;
use std::hint::black_box;
use std::time::Instant;

const LIMIT: usize = 8 << 10;

fn main() {
    let millions = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(100_u64);
    begin("memory");
    let pool = Pool::builder().workers(Workers::Fixed(2)).build().unwrap();
    let run = |items: u64, ordered: bool| {
        let map = pool.map(0..items, |n| {
            work(40);
            Box::new(n)
        });
        let map = if ordered { map } else { map.unordered() };
        let (mut seen, mut sum) = (0_u64, 0_u64);
        map.window(4096).for_each(|n| {
            work(60);
            seen += 1;
            sum += *black_box(n);
        });
        assert_eq!((seen, sum), (items, items * (items - 1) / 2));
    };
    run(100_000, true);
    for (name, ordered) in [("ordered", true), ("unordered", false)] {
        let before = status("VmRSS");
        // Makes the peak start from here.
        fs::write("/proc/self/clear_refs", "5").unwrap();
        let began = Instant::now();
        run(millions * 1_000_000, ordered);
        let growth = status("VmHWM").saturating_sub(before);
        let each = began.elapsed().as_secs_f64() * 1000.0 / millions as f64;
        println!("{name}: {millions} million items, {each:.0} ns each; peak memory grew by {growth} KiB of {before}");
        let title = format!("{millions} million items through a window of 4,096, {name}");
        record(&title, "fanpool", "KiB more at the peak", &[("window", 4096.0)], &[growth as f64]);
        assert!(growth < LIMIT, "grew by {growth} KiB; allowed is {LIMIT}");
    }
}
