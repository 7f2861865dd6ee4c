//! A pool that is dropped while its tasks run.
//!
//! **Why threads are left behind with threadpool, rusty_pool and rayon:** dropping them tells the workers to end and does not wait for it, so the tasks go on after the
//! owner has gone, with whatever they use. Here a drop waits until tasks and threads have ended.

use crate::child::{Running, tell, way};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const NAME: &str = "threads::a_pool_that_is_dropped";
const WORKERS: usize = 2;

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// A task that says that it runs, waits for a gate, and counts that it has ended.
#[derive(Clone)]
struct Task {
    running: Sender<()>,
    gate: Arc<Mutex<Receiver<()>>>,
    ended: Arc<AtomicUsize>,
}

impl Task {
    fn run(self) {
        self.running.send(()).unwrap();
        // The gate opens when its sender is dropped.
        let _ = self.gate.lock().unwrap_or_else(PoisonError::into_inner).recv();
        self.ended.fetch_add(1, Ordering::Release);
    }
}

/// Starts the tasks in a pool and drops it; answers threads that are left then, and tasks that have ended.
fn left<P>(pool: P, before: usize, execute: impl Fn(&P, Task), gate_opens_first: bool) -> (usize, usize) {
    let ((running, runs), (open, gate)) = (channel(), channel::<()>());
    let (gate, ended) = (Arc::new(Mutex::new(gate)), Arc::new(AtomicUsize::new(0)));
    for _ in 0..WORKERS {
        execute(&pool, Task { running: running.clone(), gate: gate.clone(), ended: ended.clone() });
    }
    (0..WORKERS).for_each(|_| runs.recv().unwrap());
    let mut open = Some(open);
    if gate_opens_first {
        open = None;
    }
    drop(pool);
    let ended = ended.load(Ordering::Acquire);
    let began = Instant::now();
    // The system may list a thread for a moment after it was joined.
    while gate_opens_first && threads() > before && began.elapsed() < Duration::from_secs(10) {
        std::thread::yield_now();
    }
    let left = threads() - before;
    drop(open);
    (left, ended)
}

#[test]
fn a_pool_that_is_dropped() {
    if let Some(way) = way() {
        let before = threads();
        let (left, ended) = match way.as_str() {
            // A drop that waits would wait for the gate, so it is opened; tasks may still be running then.
            "fanpool" => {
                let pool = fanpool::Pool::builder().workers(WORKERS).build().unwrap();
                left(pool, before, |pool, task| pool.spawn(|| task.run()).unwrap(), true)
            }
            "rayon" => {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(WORKERS).build().unwrap();
                left(pool, before, |pool, task| pool.spawn(|| task.run()), false)
            }
            "threadpool" => {
                let pool = threadpool::ThreadPool::new(WORKERS);
                left(pool, before, |pool, task| pool.execute(|| task.run()), false)
            }
            _ => {
                let pool = rusty_pool::ThreadPool::new(WORKERS, WORKERS, Duration::from_secs(60));
                left(pool, before, |pool, task| pool.execute(|| task.run()), false)
            }
        };
        tell(&left.to_string());
        tell(&ended.to_string());
        return;
    }
    for (way, expected) in
        [("fanpool", (0, WORKERS)), ("rayon", (WORKERS, 0)), ("threadpool", (WORKERS, 0)), ("rusty_pool", (WORKERS, 0))]
    {
        let child = Running::start(NAME, way);
        assert_eq!((child.number(), child.number()), expected, "threads left and tasks ended, with {way}");
        child.ends();
    }
}
