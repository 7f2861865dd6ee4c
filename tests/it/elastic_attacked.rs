//! Pools that size themselves, at their edges.

use crate::helpers::{quiet_panic, within};
use fanpool::testing::ManualClock;
use fanpool::{Elastic, Pool};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::time::Duration;

const WAIT: Duration = Duration::from_millis(5);

fn elastic(min: usize, max: usize, clock: &ManualClock) -> Pool {
    Pool::builder().workers(Elastic::new(min, max)).clock(clock).build().unwrap()
}

fn until(condition: impl Fn() -> bool) {
    while !condition() {
        std::thread::yield_now();
    }
}

/// Runs the rest of a test in a process of its own, whose address space has that many KiB; true in that process.
fn alone(name: &str, limit: usize) -> bool {
    const CHILD: &str = "FANPOOL_ELASTIC_CHILD";
    if std::env::var_os(CHILD).is_some() {
        return true;
    }
    let child = std::process::Command::new("sh")
        .args(["-c", &format!("ulimit -v {limit}; exec \"$0\" --exact elastic_attacked::{name}")])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
    false
}

/// Takes all of the address space but what no thread can start with.
fn fill() -> Vec<Vec<u8>> {
    let mut kept = Vec::with_capacity(4096);
    let mut size = 512 << 20;
    while size >= 128 << 10 {
        let mut block = Vec::new();
        match block.try_reserve_exact(size) {
            Ok(()) => kept.push(block),
            Err(_) => size /= 2,
        }
    }
    kept
}

#[test]
fn a3_refused_threads_are_asked_for_again_by_whoever_comes_next() {
    if !alone("a3_refused_threads_are_asked_for_again_by_whoever_comes_next", 2_000_000) {
        return;
    }
    within(|| {
        let pool = Pool::builder().workers(Elastic::new(0, 2)).build().unwrap();
        let full = fill();
        pool.spawn(|| ()).unwrap();
        assert_eq!(pool.workers(), 0, "neither a worker nor a thread for the alarm");
        drop(full);
        until(|| {
            pool.spawn(|| ()).unwrap();
            pool.counts().ran > 0
        });
        pool.wait_idle().unwrap();
    });
}

#[test]
fn a3_what_no_thread_was_granted_for_is_reported_at_the_end() {
    if !alone("a3_what_no_thread_was_granted_for_is_reported_at_the_end", 2_000_000) {
        return;
    }
    within(|| {
        let pool = Pool::builder().workers(Elastic::new(0, 2)).build().unwrap();
        let _full = fill();
        for _ in 0..10 {
            pool.spawn(|| ()).unwrap();
        }
        let receipt = pool.shutdown();
        assert_eq!((receipt.tasks.ran, receipt.tasks.discarded), (0, 10));
        assert!(receipt.threads_busy.is_empty());
    });
}

#[test]
#[cfg(target_os = "linux")]
fn threads_that_left_by_themselves_keep_no_stack() {
    fn address_space() -> usize {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        pages.split(' ').next().unwrap().parse::<usize>().unwrap() * 4096
    }
    if !alone("threads_that_left_by_themselves_keep_no_stack", 64 << 20) {
        return;
    }
    within(|| {
        const STACK: usize = 128 << 20;
        let clock = ManualClock::new();
        let pool = Pool::builder().workers(Elastic::new(0, 1)).clock(&clock).stack_size(STACK).build().unwrap();
        let before = address_space();
        for _ in 0..100 {
            pool.spawn(|| ()).unwrap();
            pool.wait_idle().unwrap();
            until(|| {
                clock.advance(Duration::from_secs(20));
                pool.workers() == 0
            });
        }
        assert!(address_space() - before < 50 * STACK, "{} MiB", (address_space() - before) >> 20);
        assert_eq!(pool.shutdown().tasks.ran, 100);
    });
}

#[test]
fn a2_times_at_the_end_of_the_clock_are_no_panic() {
    within(|| {
        let clock = ManualClock::new();
        let sizes = Elastic::new(1, 2).keep_alive(Duration::MAX);
        let pool = Pool::builder().workers(sizes).clock(&clock).build().unwrap();
        pool.resize(2).unwrap();
        for _ in 0..3 {
            clock.advance(WAIT);
            pool.spawn(|| ()).unwrap();
            pool.wait_idle().unwrap();
        }
        clock.advance(Duration::MAX);
        for _ in 0..3 {
            pool.spawn(|| ()).unwrap();
            pool.wait_idle().unwrap();
            clock.advance(WAIT);
        }
        assert_eq!(pool.shutdown().tasks.ran, 6);
    });
}

#[test]
fn a_clock_that_moves_on_while_the_alarm_is_set_is_no_alarm_lost() {
    within(|| {
        let clock = ManualClock::new();
        let pool = elastic(1, 2, &clock);
        let stop = AtomicBool::new(false);
        std::thread::scope(|s| {
            s.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    clock.advance(WAIT);
                }
            });
            for round in 1..=200 {
                let pair = Arc::new(Barrier::new(2));
                for _ in 0..2 {
                    let pair = pair.clone();
                    pool.spawn(move || _ = pair.wait()).unwrap();
                }
                until(|| pool.counts().ran == 2 * round);
                pool.resize(1).unwrap();
            }
            stop.store(true, Ordering::Relaxed);
        });
    });
}

#[test]
fn a5_a_start_hook_that_always_panics_does_not_hold_the_end_up() {
    within(|| {
        let tries = Arc::new(AtomicUsize::new(0));
        let counted = tries.clone();
        let pool = Pool::builder()
            .workers(Elastic::new(0, 1))
            .clock(ManualClock::new())
            .on_start(move |_| {
                // Not for ever, so that a failure ends.
                if counted.fetch_add(1, Ordering::Relaxed) < 100 {
                    quiet_panic("no licence");
                }
            })
            .build()
            .unwrap();
        pool.spawn(|| ()).unwrap();
        let receipt = pool.shutdown();
        assert_eq!((receipt.tasks.ran, receipt.tasks.discarded), (0, 1));
        assert!(receipt.threads_busy.is_empty());
        assert!(tries.load(Ordering::Relaxed) <= 2, "{tries:?}");
    });
}

#[test]
fn d3_a_start_hook_that_blocks_does_not_hold_a_timeout_up() {
    within(|| {
        let (release, blocked) = mpsc::channel::<()>();
        let (entered, enters) = mpsc::channel();
        let (blocked, entered) = (std::sync::Mutex::new(blocked), std::sync::Mutex::new(entered));
        let pool = Pool::builder()
            .workers(Elastic::new(0, 1))
            .on_start(move |_| {
                entered.lock().unwrap().send(()).unwrap();
                let _ = blocked.lock().unwrap().recv();
            })
            .build()
            .unwrap();
        pool.spawn(|| ()).unwrap();
        enters.recv().unwrap();
        let receipt = pool.shutdown_timeout(Duration::ZERO);
        assert_eq!((receipt.tasks.ran, receipt.tasks.discarded), (0, 1));
        assert_eq!(receipt.threads_busy.len(), 1);
        drop(release);
    });
}

#[test]
fn workers_that_wait_for_a_ticket_that_another_took_are_idle() {
    within(|| {
        let clock = ManualClock::new();
        let pool = elastic(0, 3, &clock);
        let groups: Vec<_> = (0..3).map(|_| pool.group().build().unwrap()).collect();
        for _ in 0..300 {
            pool.resize(3).unwrap();
            for group in groups.iter().chain(&groups) {
                group.spawn(|| ()).unwrap();
            }
            pool.wait_idle().unwrap();
            until(|| {
                clock.advance(Duration::from_secs(11));
                pool.workers() == 0
            });
        }
    });
}

#[test]
fn no_size_that_is_set_gives_more_threads_than_max() {
    within(|| {
        let (started, stopped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (starts, stops) = (started.clone(), stopped.clone());
        let pool = Pool::builder()
            .workers(Elastic::new(1, 2))
            .clock(ManualClock::new())
            .on_start(move |_| _ = starts.fetch_add(1, Ordering::SeqCst))
            .on_stop(move |_| _ = stops.fetch_add(1, Ordering::SeqCst))
            .build()
            .unwrap();
        pool.resize(2).unwrap();
        let (both, release) = (Arc::new(Barrier::new(3)), Arc::new(Barrier::new(3)));
        for _ in 0..2 {
            let (both, release) = (both.clone(), release.clone());
            pool.spawn(move || {
                both.wait();
                release.wait();
            })
            .unwrap();
        }
        both.wait();
        for _ in 0..3 {
            pool.resize(1).unwrap();
            pool.resize(2).unwrap();
        }
        assert_eq!((started.load(Ordering::SeqCst), stopped.load(Ordering::SeqCst)), (2, 0));
        // What comes is run by those that there are, once they are free.
        pool.spawn(|| ()).unwrap();
        release.wait();
        assert_eq!(pool.shutdown().tasks.ran, 3);
    });
}

#[test]
fn tasks_wait_by_the_clock_of_the_pool() {
    within(|| {
        let clock = ManualClock::new();
        clock.advance(Duration::from_secs(3600));
        let pool = elastic(1, 2, &clock);
        let groups: Vec<_> = (0..2).map(|_| pool.group().build().unwrap()).collect();
        let hold = |group: usize| {
            let (release, blocked) = mpsc::channel::<()>();
            let (entered, enters) = mpsc::channel();
            let task = move || {
                entered.send(()).unwrap();
                let _ = blocked.recv();
            };
            groups[group].spawn(task).unwrap();
            (release, enters)
        };
        let first = hold(0);
        first.1.recv().unwrap();
        // The alarm may still be set for the first.
        clock.advance(2 * WAIT);
        let second = hold(1);
        clock.advance(WAIT / 2);
        assert_eq!(pool.workers(), 1, "the task has waited for half of the time");
        clock.advance(WAIT / 2);
        assert_eq!(pool.workers(), 2);
        second.1.recv().unwrap();
        drop((first, second));
        pool.wait_idle().unwrap();
    });
}

#[test]
fn g2_a_paused_pool_does_not_grow() {
    within(|| {
        let clock = ManualClock::new();
        let pool = elastic(1, 8, &clock);
        let (release, blocked) = mpsc::channel::<()>();
        let (entered, enters) = mpsc::channel();
        pool.spawn(move || {
            entered.send(()).unwrap();
            let _ = blocked.recv();
        })
        .unwrap();
        enters.recv().unwrap();
        pool.pause();
        let groups: Vec<_> = (0..8).map(|_| pool.group().build().unwrap()).collect();
        groups.iter().for_each(|group| group.spawn(|| ()).unwrap());
        for _ in 0..20 {
            clock.advance(WAIT);
        }
        assert_eq!(pool.workers(), 1);
        drop(release);
        pool.resume();
        pool.wait_idle().unwrap();
        assert_eq!(pool.shutdown().tasks.ran, 9);
    });
}

#[test]
fn a_worker_told_to_leave_while_it_blocks_is_not_counted_on() {
    within(|| {
        let clock = ManualClock::new();
        let pool = elastic(1, 3, &clock);
        pool.resize(2).unwrap();
        let (blocked, blocks) = mpsc::channel();
        let (back, comes_back) = mpsc::channel();
        let pair = Arc::new(Barrier::new(2));
        for _ in 0..2 {
            let (blocked, back, pair) = (blocked.clone(), back.clone(), pair.clone());
            pool.spawn(move || {
                // While no ticket waits: nobody is started for one of these.
                pair.wait();
                let (release, wait) = mpsc::channel::<()>();
                fanpool::blocking(|| {
                    blocked.send((fanpool::current_worker().unwrap(), release)).unwrap();
                    let _ = wait.recv();
                });
                let (end, wait) = mpsc::channel::<()>();
                back.send(end).unwrap();
                let _ = wait.recv();
            })
            .unwrap();
        }
        let mut both = [blocks.recv().unwrap(), blocks.recv().unwrap()];
        both.sort_by_key(|(worker, _)| *worker);
        let [(0, first), (1, second)] = both else { panic!("two workers") };
        pool.resize(1).unwrap();
        drop(second);
        let end = comes_back.recv().unwrap();
        // One is told to leave and busy, the other blocks: who is to run this must be started.
        let (done, ended) = mpsc::channel();
        pool.spawn(move || done.send(()).unwrap()).unwrap();
        ended.recv().unwrap();
        drop((first, end));
        drop(comes_back.recv().unwrap());
        assert_eq!(pool.shutdown().tasks.ran, 3);
    });
}
