//! A task that holds a lock across an inner scope, on two workers: it ends here, and hangs with work stealing.
//!
//! Task A locks a mutex and opens an inner scope of two tasks. The first waits until the second runs on the other worker, and
//! the second then spawns into the *outer* scope a task that takes the same mutex. A pool whose waiting threads steal
//! whatever is there runs that task on A's own stack, below the lock. Each library gets two seconds in a process of its
//! own. `cargo bench -p benches --bench deadlock`.

use std::process::{Command, ExitCode};
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(2);

fn with_fanpool() {
    let built = fanpool::Pool::builder().workers(fanpool::Workers::Fixed(2)).build();
    let Ok(pool) = built else { return };
    let (lock, both) = (Mutex::new(()), Barrier::new(2));
    // The outer scope is opened on a worker, as rayon does it.
    pool.scope(|outer| {
        outer.spawn(|| {
            let _held = lock.lock();
            pool.scope(|inner| {
                inner.spawn(|| {
                    both.wait();
                });
                inner.spawn(|| {
                    both.wait();
                    outer.spawn(|| drop(lock.lock()));
                });
            });
        });
    });
}

fn with_rayon() {
    let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(2).build() else { return };
    let (lock, both) = (Mutex::new(()), Barrier::new(2));
    pool.scope(|outer| {
        outer.spawn(|outer| {
            let _held = lock.lock();
            let first = || {
                both.wait();
                // The other half goes on a little, so that this thread looks for work while it waits.
            };
            let second = || {
                both.wait();
                outer.spawn(|_| drop(lock.lock()));
                let until = Instant::now() + Duration::from_millis(100);
                while Instant::now() < until {
                    std::hint::spin_loop();
                }
            };
            rayon::join(first, second);
        });
    });
}

fn main() -> ExitCode {
    match std::env::var("RUN").as_deref() {
        Ok("fanpool") => with_fanpool(),
        Ok(_) => with_rayon(),
        Err(_) => {
            benches::begin("deadlock");
            for name in ["fanpool", "rayon"] {
                let ended = (0..5).filter(|_| ends(name)).count();
                println!("{name}: {ended} of 5 runs end within {LIMIT:?}");
                let title = "a lock held across an inner scope, 5 runs";
                benches::record(title, name, "runs that end", &[("threads", 2.0)], &[ended as f64]);
            }
        }
    }
    ExitCode::SUCCESS
}

/// Runs this program once as `name` and kills it when the time is over.
fn ends(name: &str) -> bool {
    let Ok(program) = std::env::current_exe() else { return false };
    let Ok(mut child) = Command::new(program).env("RUN", name).spawn() else { return false };
    let began = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if began.elapsed() < LIMIT => std::thread::sleep(Duration::from_millis(10)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return false;
            }
        }
    }
}
