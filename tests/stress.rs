//! Random programs on one pool: nested scopes, handles, strands, panics, cancellation, resizing and pausing, all at once.
//! Every task is accounted for at the end. Runs for `FANPOOL_STRESS_SECONDS` (default 1) from `FANPOOL_STRESS_SEED`.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use fanpool::{CancelToken, JoinError, OnError, Pool, Priority, Workers};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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

/// What the programs did, by their own count.
#[derive(Default)]
struct Expected {
    accepted: AtomicUsize,
    ran: AtomicUsize,
    panicked: AtomicUsize,
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn nested(pool: &Pool, random: &mut Random, expected: &Expected, depth: usize) {
    let tasks = random.below(8);
    expected.accepted.fetch_add(tasks, Ordering::Relaxed);
    pool.scope(|s| {
        for _ in 0..tasks {
            let mut random = Random(random.0 ^ random.below(usize::MAX) as u64);
            s.spawn(move || {
                expected.ran.fetch_add(1, Ordering::Relaxed);
                if depth > 0 && random.below(3) == 0 {
                    nested(pool, &mut random, expected, depth - 1);
                }
            });
        }
    });
}

fn program(pool: &Arc<Pool>, random: &mut Random, expected: &Arc<Expected>) {
    let ran = |expected: &Arc<Expected>| {
        let expected = expected.clone();
        move || {
            expected.ran.fetch_add(1, Ordering::Relaxed);
        }
    };
    match random.below(8) {
        0 => nested(pool, random, expected, 3),
        1 => {
            let handles: Vec<_> = (0..random.below(20)).map(|_| pool.submit(ran(expected))).collect();
            expected.accepted.fetch_add(handles.len(), Ordering::Relaxed);
            handles.into_iter().for_each(|handle| handle.join().unwrap());
        }
        2 => {
            let strand = pool.group().limit(1 + random.below(2)).priority(Priority::High).build().unwrap();
            for _ in 0..random.below(50) {
                strand.spawn(ran(expected)).unwrap();
                expected.accepted.fetch_add(1, Ordering::Relaxed);
            }
            expected.accepted.fetch_add(1, Ordering::Relaxed);
            strand.submit(ran(expected)).join().unwrap();
        }
        3 => {
            expected.accepted.fetch_add(1, Ordering::Relaxed);
            expected.panicked.fetch_add(1, Ordering::Relaxed);
            let handle = pool.submit(|| -> () { std::panic::resume_unwind(Box::new(7)) });
            assert!(matches!(handle.join(), Err(JoinError::Panicked(_))));
        }
        4 => {
            let token = CancelToken::new();
            let group = pool.group().cancel(&token).priority(Priority::Low).build().unwrap();
            for i in 0..20 {
                group.spawn(ran(expected)).unwrap();
                expected.accepted.fetch_add(1, Ordering::Relaxed);
                if i == 10 {
                    token.cancel();
                }
            }
        }
        5 => {
            let tasks = random.below(20);
            expected.accepted.fetch_add(tasks, Ordering::Relaxed);
            let _ = pool.try_scope(OnError::FailFast, |s| {
                for i in 0..tasks {
                    let task = ran(expected);
                    s.spawn(move || {
                        task();
                        if i == 7 { Err(i) } else { Ok(()) }
                    });
                }
            });
        }
        6 => pool.resize(1 + random.below(5)).unwrap(),
        _ => {
            pool.pause();
            nested(pool, random, expected, 1);
            pool.resume();
        }
    }
}

#[test]
fn random_programs_account_for_every_task() {
    let seed = setting("FANPOOL_STRESS_SEED", 0x5eed);
    let end = Instant::now() + Duration::from_secs(setting("FANPOOL_STRESS_SECONDS", 1));
    let mut round = 0;
    while Instant::now() < end {
        let pool = Arc::new(Pool::builder().workers(Workers::Fixed(2)).build().unwrap());
        let expected = Arc::new(Expected::default());
        let programs: Vec<_> = (0..3)
            .map(|thread| {
                let mut random = Random(seed ^ (round << 8) ^ thread);
                let (pool, expected) = (pool.clone(), expected.clone());
                std::thread::spawn(move || (0..100).for_each(|_| program(&pool, &mut random, &expected)))
            })
            .collect();
        programs.into_iter().for_each(|program| program.join().unwrap());
        pool.wait_idle().unwrap();
        let counts = pool.counts();
        let context = format!("seed {seed}, round {round}: {counts:?}");
        assert_eq!(counts.ran, expected.ran.load(Ordering::Relaxed), "{context}");
        assert_eq!(counts.panicked, expected.panicked.load(Ordering::Relaxed), "{context}");
        assert_eq!(
            counts.ran + counts.panicked + counts.cancelled,
            expected.accepted.load(Ordering::Relaxed),
            "{context}"
        );
        assert_eq!(Arc::into_inner(pool).unwrap().shutdown().tasks, counts, "{context}");
        round += 1;
    }
    println!("{round} rounds");
}
