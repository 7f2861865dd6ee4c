//! Random programs on pools that size themselves, each with a life of its own: tasks, scopes, blocking, sizes that are set, a clock that
//! moves on, and one of five ends. Every task is accounted for, and no thread is left. Runs for `FANPOOL_STRESS_SECONDS` (default 1)
//! from `FANPOOL_STRESS_SEED`.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use fanpool::testing::ManualClock;
use fanpool::{Clock, Elastic, Pool, Priority, Shutdown};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Knuth's multiplicative generator, the upper bits of it.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Waits for something, for as long as no failure is likely to take.
fn until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(120);
    while !condition() {
        assert!(Instant::now() < end, "{what}");
        std::thread::yield_now();
    }
}

#[cfg(target_os = "linux")]
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[cfg(not(target_os = "linux"))]
fn threads() -> usize {
    0
}

/// What the programs did, by their own count.
#[derive(Default)]
struct Expected {
    accepted: AtomicUsize,
    ran: AtomicUsize,
    panicked: AtomicUsize,
    /// Worker threads that have started and not stopped, and the most there were.
    alive: AtomicUsize,
    most: AtomicUsize,
}

impl Expected {
    fn task(self: &Arc<Self>, random: &mut Random) -> impl FnOnce() + Send + 'static {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        let (expected, kind) = (self.clone(), random.below(6));
        move || {
            match kind {
                0 => fanpool::blocking(std::thread::yield_now),
                1 => fanpool::blocking(|| fanpool::blocking(|| std::thread::sleep(Duration::from_micros(50)))),
                2 => {
                    expected.panicked.fetch_add(1, Ordering::Relaxed);
                    fanpool::blocking(|| std::panic::resume_unwind(Box::new(7)))
                }
                _ => {}
            }
            expected.ran.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn program(pool: &Pool, random: &mut Random, expected: &Arc<Expected>, sizes: (usize, usize)) {
    match random.below(7) {
        0 => {
            let _ = pool.submit(expected.task(random)).join();
        }
        1 => {
            let strand = pool.group().limit(1 + random.below(2)).priority(Priority::High).build().unwrap();
            (0..random.below(20)).for_each(|_| strand.spawn(expected.task(random)).unwrap());
        }
        2 => {
            let tasks = random.below(5);
            expected.accepted.fetch_add(tasks, Ordering::Relaxed);
            pool.scope(|s| {
                for _ in 0..tasks {
                    s.spawn(|| fanpool::blocking(|| _ = expected.ran.fetch_add(1, Ordering::Relaxed)));
                }
            });
        }
        3 => pool.resize(sizes.0.max(1) + random.below(sizes.1 + 1 - sizes.0.max(1))).unwrap(),
        4 => {
            // What is called counts as one task for each worker that there is.
            let called = pool.broadcast(|_| ()).unwrap().len();
            expected.accepted.fetch_add(called, Ordering::Relaxed);
            expected.ran.fetch_add(called, Ordering::Relaxed);
        }
        5 => {
            pool.pause();
            pool.spawn(expected.task(random)).unwrap();
            pool.resume();
        }
        _ => (0..random.below(20)).for_each(|_| pool.spawn(expected.task(random)).unwrap()),
    }
}

/// Ends a pool in one of five ways; returns the receipt unless there is none.
fn end(pool: Arc<Pool>, random: &mut Random, expected: &Arc<Expected>) -> Option<Shutdown> {
    let way = random.below(5);
    if way == 4 {
        // By whoever comes last, perhaps a task.
        let (task, kept) = (expected.task(random), pool.clone());
        pool.spawn(move || {
            task();
            drop(kept);
        })
        .unwrap();
        return None;
    }
    let pool = Arc::into_inner(pool).unwrap();
    Some(match way {
        0 => pool.shutdown(),
        1 => pool.shutdown_now(),
        2 => pool.shutdown_timeout(Duration::ZERO),
        _ => pool.shutdown_timeout(Duration::from_millis(1)),
    })
}

fn life(seed: u64) {
    let mut random = Random(seed);
    let min = random.below(3);
    let sizes = (min, min.max(1) + random.below(4));
    let manual = ManualClock::new();
    let clock = if random.below(2) == 0 { Clock::from(&manual) } else { Clock::system() };
    let mut elastic = Elastic::new(sizes.0, sizes.1)
        .target_wait(Duration::from_micros(100))
        .keep_alive(Duration::from_micros(100 + random.below(1000) as u64));
    if random.below(2) == 0 {
        elastic = elastic.search_throughput();
    }
    let expected = Arc::new(Expected::default());
    let (starts, stops) = (expected.clone(), expected.clone());
    let pool = Pool::builder()
        .workers(elastic)
        .clock(clock)
        .on_start(move |_| {
            let alive = starts.alive.fetch_add(1, Ordering::SeqCst) + 1;
            starts.most.fetch_max(alive, Ordering::SeqCst);
        })
        .on_stop(move |_| _ = stops.alive.fetch_sub(1, Ordering::SeqCst))
        .build()
        .unwrap();
    let (pool, over) = (Arc::new(pool), AtomicBool::new(false));
    let receipt = std::thread::scope(|s| {
        let mut times = random.clone();
        let (over, moves) = (&over, &manual);
        s.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                moves.advance(Duration::from_micros(times.below(300) as u64));
                std::thread::yield_now();
            }
        });
        std::thread::scope(|s| {
            for thread in 0..2 {
                let mut random = Random(seed ^ thread << 40);
                let (pool, expected) = (&pool, &expected);
                s.spawn(move || (0..10).for_each(|_| program(pool, &mut random, expected, sizes)));
            }
        });
        let receipt = end(pool, &mut random, &expected);
        over.store(true, Ordering::Relaxed);
        receipt
    });
    let context = format!("seed {seed}, {sizes:?}: {receipt:?}");
    let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
    let discarded = receipt.as_ref().map_or(0, |receipt| receipt.tasks.discarded);
    let accepted = count(&expected.accepted);
    until(&context, || count(&expected.ran) + count(&expected.panicked) + discarded == accepted);
    if let Some(receipt) = receipt {
        let (tasks, busy) = (receipt.tasks, receipt.threads_busy.len());
        let told = tasks.ran + tasks.panicked + tasks.cancelled + tasks.discarded;
        // One that ran when the receipt was written is in nothing yet.
        assert!(told <= accepted && accepted <= told + busy, "{context}: {accepted}");
        if busy == 0 {
            assert_eq!(tasks.ran, count(&expected.ran), "{context}");
            assert_eq!(tasks.panicked, count(&expected.panicked), "{context}");
        }
    }
    until(&context, || count(&expected.alive) == 0);
    assert!(count(&expected.most) <= sizes.1, "{context}: {} threads", count(&expected.most));
}

#[test]
fn lives_of_elastic_pools() {
    let seed = setting("FANPOOL_STRESS_SEED", 0x5eed);
    let end = Instant::now() + Duration::from_secs(setting("FANPOOL_STRESS_SECONDS", 1));
    let before = threads();
    let mut lives = 0;
    while Instant::now() < end {
        life(seed.wrapping_add(lives));
        until(&format!("threads are left, seed {seed}, life {lives}"), || threads() <= before);
        lives += 1;
    }
    println!("{lives} pools");
}
