//! How long ten tasks of one group wait while another group has a million, on one worker per core.
//! `cargo bench -p benches --bench fairness`. A worker's time slice is 500 µs.

use fanpool::Pool;
use std::error::Error;
use std::sync::mpsc;
use std::time::{Duration, Instant};

const ROUNDS: usize = 21;

fn main() -> Result<(), Box<dyn Error>> {
    benches::begin("fairness");
    let pool = Pool::new();
    let (large, small) = (pool.group().name("large").build()?, pool.group().name("small").build()?);
    let mut waits = Vec::new();
    for _ in 0..ROUNDS {
        pool.pause();
        for _ in 0..1_000_000 {
            large.spawn(|| benches::work(150))?;
        }
        pool.resume();
        let (done, end) = mpsc::channel();
        // The large group is under way.
        large.spawn(|| ())?;
        let began = Instant::now();
        for _ in 0..10 {
            let done = done.clone();
            small.spawn(move || _ = done.send(()))?;
        }
        for _ in 0..10 {
            end.recv()?;
        }
        let waited = began.elapsed();
        let left = pool.queued();
        pool.wait_idle()?;
        waits.push((waited, left));
    }
    waits.sort_unstable();
    let each: Vec<f64> = waits.iter().map(|(waited, _)| slices(*waited)).collect();
    benches::record("ten tasks of a group beside a million of another", "fanpool", "time slices", &[], &each);
    let (median, left) = waits[ROUNDS / 2];
    let longest = waits[ROUNDS - 1].0;
    println!(
        "ten tasks beside a million: median {median:.1?} (with {left} of the million left), longest {longest:.1?}"
    );
    println!("in time slices: {:.1} and {:.1}", slices(median), slices(longest));
    Ok(())
}

fn slices(time: Duration) -> f64 {
    time.as_secs_f64() / 500e-6
}
