//! Reads the metrics of pools while a program runs: no count ever falls, and all add up once nothing is left.

use fanpool::Pool;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

pub(crate) struct Watch {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Vec<String>>,
}

/// Counts that never fall, by name.
fn counts(pool: &Pool) -> [(&'static str, u64); 7] {
    let tasks = pool.metrics().tasks;
    [
        ("accepted", tasks.accepted),
        ("finished", tasks.finished),
        ("failed", tasks.failed),
        ("panicked", tasks.panicked),
        ("cancelled", tasks.cancelled),
        ("discarded", tasks.discarded),
        ("refused", tasks.refused),
    ]
}

pub(crate) fn start(pools: Vec<Arc<Pool>>) -> Watch {
    let over = Arc::new(AtomicBool::new(false));
    let ends = over.clone();
    let thread = std::thread::spawn(move || {
        let mut faults = Vec::new();
        let mut before: Vec<_> = pools.iter().map(|pool| counts(pool)).collect();
        while !ends.load(Ordering::SeqCst) && faults.is_empty() {
            for (at, pool) in pools.iter().enumerate() {
                let now = counts(pool);
                for ((name, was), (_, is)) in before[at].iter().zip(&now) {
                    if is < was {
                        faults.push(format!("pool {at}: {name} fell from {was} to {is}"));
                    }
                }
                before[at] = now;
            }
            // The program has few cores as it is.
            std::thread::yield_now();
        }
        for (at, pool) in pools.iter().enumerate() {
            let metrics = pool.metrics();
            let tasks = &metrics.tasks;
            let ended = tasks.finished + tasks.failed + tasks.panicked + tasks.cancelled + tasks.discarded;
            // Nothing waits any more when the program is over.
            if faults.is_empty() && (tasks.accepted != ended || metrics.queued != 0) {
                faults.push(format!("pool {at}: {} are queued, and of {tasks:?} the sum is {ended}", metrics.queued));
            }
        }
        faults
    });
    Watch { over, thread }
}

impl Watch {
    /// What was not as it should be. To be called when nothing is left to do.
    pub(crate) fn end(self) -> Vec<String> {
        self.over.store(true, Ordering::SeqCst);
        self.thread.join().unwrap_or_else(|_| vec!["the watcher panicked".into()])
    }
}
