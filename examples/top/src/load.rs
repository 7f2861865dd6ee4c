//! A load that changes when it is told to.

use fanpool::{Pool, blocking};
use std::fmt;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// With so many tasks waiting no more are made, so that memory is bounded whatever the load.
const MOST: usize = 2_000;
const TICK: Duration = Duration::from_millis(10);

/// What kind of load there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Idle,
    Steady,
    Ten,
    Blocking,
}

impl Kind {
    pub(crate) const ALL: [Kind; 4] = [Kind::Idle, Kind::Steady, Kind::Ten, Kind::Blocking];

    /// Tasks a second, the name of their group, and how long one takes.
    fn tasks(self) -> (u32, &'static str, Duration) {
        match self {
            Kind::Idle => (0, "", Duration::ZERO),
            Kind::Steady => (200, "compute", Duration::from_millis(1)),
            Kind::Ten => (2_000, "compute", Duration::from_millis(1)),
            Kind::Blocking => (200, "database", Duration::from_millis(50)),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Kind::Idle => "idle",
            Kind::Steady => "steady",
            Kind::Ten => "10x",
            Kind::Blocking => "blocking",
        })
    }
}

/// A thread that makes tasks until this is dropped.
pub(crate) struct Load {
    kind: Arc<AtomicU8>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    pub(crate) fn start(pool: &Arc<Pool>, first: Kind) -> std::io::Result<Load> {
        let kind = Arc::new(AtomicU8::new(first as u8));
        let stopped = Arc::new(AtomicBool::new(false));
        let (pool, read, end) = (Arc::downgrade(pool), kind.clone(), stopped.clone());
        let run = move || {
            let mut due = 0.0;
            let mut last = Instant::now();
            while !end.load(Ordering::Relaxed) {
                thread::sleep(TICK);
                let (rate, group, takes) = Kind::ALL[usize::from(read.load(Ordering::Relaxed))].tasks();
                due += f64::from(rate) * last.elapsed().as_secs_f64();
                last = Instant::now();
                if make(&pool, due as u32, group, takes).is_none() {
                    return;
                }
                due = due.fract();
            }
        };
        let thread = thread::Builder::new().name("load".into()).spawn(run)?;
        Ok(Load { kind, stopped, thread: Some(thread) })
    }

    pub(crate) fn set(&self, kind: Kind) {
        self.kind.store(kind as u8, Ordering::Relaxed);
    }

    pub(crate) fn kind(&self) -> Kind {
        Kind::ALL[usize::from(self.kind.load(Ordering::Relaxed))]
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Gives so many tasks to the pool; `None` if it is gone.
fn make(pool: &Weak<Pool>, tasks: u32, name: &str, takes: Duration) -> Option<()> {
    let pool = pool.upgrade()?;
    let group = pool.group().name(name).build().ok()?;
    for _ in 0..tasks.min(MOST.saturating_sub(pool.queued()) as u32) {
        let task =
            move || if takes > Duration::from_millis(10) { blocking(|| thread::sleep(takes)) } else { compute(takes) };
        group.spawn(task).ok()?;
    }
    Some(())
}

fn compute(time: Duration) {
    let end = Instant::now() + time;
    let mut sum = 0u64;
    while Instant::now() < end {
        sum = black_box(sum.rotate_left(5) ^ 0x9e37);
    }
}
