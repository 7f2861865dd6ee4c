//! Pools that size themselves.

use crate::helpers::{quiet_panic, within};
use fanpool::testing::ManualClock;
use fanpool::{BuildError, Elastic, FanOut, Pool, ResizeError, Route, Workers};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::time::Duration;

fn elastic(min: usize, max: usize, clock: &ManualClock) -> Pool {
    Pool::builder().workers(Elastic::new(min, max)).clock(clock).build().unwrap()
}

/// Waits for something that other threads bring about.
fn until(condition: impl Fn() -> bool) {
    while !condition() {
        std::thread::yield_now();
    }
}

#[test]
fn a1_bounds_and_times_are_checked() {
    let refused = |elastic: Elastic| Pool::builder().workers(elastic).build().unwrap_err().to_string();
    assert_eq!(refused(Elastic::new(0, 0)), "max is 0; allowed is 1 to 65536");
    assert_eq!(refused(Elastic::new(0, usize::MAX)), format!("max is {}; allowed is 1 to 65536", usize::MAX));
    assert_eq!(refused(Elastic::new(5, 4)), "min is 5; allowed is 0 to 4");
    assert_eq!(refused(Elastic::new(1, 4).target_wait(Duration::ZERO)), "target_wait is 0; allowed is 0.0001 to 3600");
    assert_eq!(
        refused(Elastic::new(1, 4).keep_alive(Duration::from_millis(1))),
        "keep_alive is 0.001; allowed is target_wait or more"
    );
    let sharded = Pool::builder().workers(Elastic::new(1, 2)).sharded().build().unwrap_err();
    assert!(matches!(sharded, BuildError::Conflict { option: "sharded", .. }));
    let keyed = FanOut::builder(|n: u8| Ok::<u8, ()>(n)).route(Route::RoundRobin).workers(Elastic::new(1, 2));
    assert!(matches!(keyed.start(), Err(BuildError::Conflict { .. })));
}

#[test]
fn h3_a_task_on_an_empty_pool_runs() {
    within(|| {
        let clock = ManualClock::new();
        let pool = elastic(0, 4, &clock);
        assert_eq!(pool.workers(), 0);
        for round in 0..100 {
            assert_eq!(pool.submit(move || round).join().unwrap(), round);
            let (done, ended) = mpsc::channel();
            pool.spawn(move || done.send(()).unwrap()).unwrap();
            ended.recv().unwrap();
            // All idle for longer than the time to keep them, in each second round.
            if round % 2 == 0 {
                pool.wait_idle().unwrap();
                until(|| {
                    clock.advance(Duration::from_secs(20));
                    pool.workers() == 0
                });
            }
        }
        assert_eq!(pool.shutdown().tasks.ran, 200);
    });
}

#[test]
fn it_grows_a_worker_at_a_time_while_tickets_wait_and_shrinks_to_its_minimum() {
    within(|| {
        let clock = ManualClock::new();
        let pool = elastic(1, 3, &clock);
        let release = Arc::new(Barrier::new(4));
        let started = Arc::new(AtomicUsize::new(0));
        for _ in 0..3 {
            let (release, started) = (release.clone(), started.clone());
            pool.spawn(move || {
                started.fetch_add(1, Ordering::Relaxed);
                release.wait();
            })
            .unwrap();
        }
        for wanted in 1..=3 {
            until(|| started.load(Ordering::Relaxed) == wanted);
            assert_eq!(pool.workers(), wanted, "one at a time");
            // The first look may find that a worker was idle before; in the second nobody can have been.
            until(|| {
                clock.advance(Duration::from_millis(10));
                pool.workers() > wanted || wanted == 3
            });
        }
        clock.advance(Duration::from_millis(100));
        assert_eq!(pool.workers(), 3, "never above its maximum");
        release.wait();
        pool.wait_idle().unwrap();
        until(|| {
            clock.advance(Duration::from_secs(11));
            pool.workers() == 1
        });
        clock.advance(Duration::from_secs(60));
        assert_eq!(pool.workers(), 1, "never below its minimum");
        assert_eq!(pool.shutdown().tasks.ran, 3);
    });
}

#[test]
fn a_backlog_in_one_group_is_seen() {
    within(|| {
        let clock = ManualClock::new();
        let pool = elastic(1, 2, &clock);
        let pair = Arc::new(Barrier::new(2));
        // Each needs another that runs at the same time.
        for _ in 0..10 {
            let pair = pair.clone();
            pool.spawn(move || _ = pair.wait()).unwrap();
        }
        until(|| {
            clock.advance(Duration::from_millis(10));
            pool.counts().ran == 10
        });
    });
}

#[test]
fn tasks_that_block_are_replaced_at_once() {
    within(|| {
        // The clock stands still: nothing is started but for tasks that block.
        let clock = ManualClock::new();
        let pool = elastic(2, 64, &clock);
        let all = Arc::new(Barrier::new(64));
        for _ in 0..64 {
            let all = all.clone();
            pool.spawn(move || _ = fanpool::blocking(|| all.wait())).unwrap();
        }
        pool.wait_idle().unwrap();
        assert_eq!(pool.counts().ran, 64);
        assert!(pool.workers() <= 64);
    });
}

#[test]
fn a_task_that_comes_while_all_block_is_run() {
    within(|| {
        let clock = ManualClock::new();
        let pool = elastic(1, 2, &clock);
        let (release, blocked) = mpsc::channel::<()>();
        let (started, begins) = mpsc::channel();
        pool.spawn(move || {
            fanpool::blocking(|| {
                started.send(()).unwrap();
                blocked.recv().unwrap();
            });
        })
        .unwrap();
        begins.recv().unwrap();
        let (done, ended) = mpsc::channel();
        pool.spawn(move || done.send(()).unwrap()).unwrap();
        ended.recv().unwrap();
        release.send(()).unwrap();
        assert_eq!(pool.shutdown().tasks.ran, 2);
    });
}

#[test]
fn blocking_elsewhere_is_a_plain_call() {
    assert_eq!(fanpool::blocking(|| 1), 1);
    let pool = crate::helpers::pool(1);
    let nested = pool.submit(|| fanpool::blocking(|| fanpool::blocking(|| 2))).join().unwrap();
    assert_eq!((nested, pool.workers()), (2, 1));
    // A panic passes through, and the worker is one of the pool again.
    assert!(pool.submit(|| fanpool::blocking(|| quiet_panic("passes"))).join().is_err());
    let (done, ended) = mpsc::channel();
    pool.spawn(move || done.send(()).unwrap()).unwrap();
    ended.recv().unwrap();
}

#[test]
fn a_size_is_set_within_the_bounds() {
    within(|| {
        let clock = ManualClock::new();
        let pool = elastic(1, 4, &clock);
        pool.resize(4).unwrap();
        assert_eq!(pool.workers(), 4);
        for size in [0, 5] {
            assert!(matches!(pool.resize(size), Err(ResizeError::Build(BuildError::OutOfRange { .. }))));
        }
        until(|| {
            clock.advance(Duration::from_secs(11));
            pool.workers() == 1
        });
    });
}

#[test]
fn d2_an_elastic_pool_ends_with_all_its_tasks_run() {
    within(|| {
        for round in 0..200 {
            let clock = ManualClock::new();
            let pool = elastic(round % 2, 3, &clock);
            let ran = Arc::new(AtomicUsize::new(0));
            std::thread::scope(|s| {
                s.spawn(|| (0..10).for_each(|_| clock.advance(Duration::from_secs(6))));
                for _ in 0..20 {
                    let ran = ran.clone();
                    pool.spawn(move || _ = ran.fetch_add(1, Ordering::Relaxed)).unwrap();
                }
            });
            let receipt = pool.shutdown();
            assert_eq!((receipt.tasks.ran, ran.load(Ordering::Relaxed)), (20, 20));
            assert!(receipt.threads_busy.is_empty());
        }
    });
}

#[test]
fn a5_a_start_hook_that_panics_on_a_worker_that_came_by_itself_is_asked_for_again() {
    within(|| {
        let clock = ManualClock::new();
        let tries = Arc::new(AtomicUsize::new(0));
        let counted = tries.clone();
        let pool = Pool::builder()
            .workers(Elastic::new(0, 1))
            .clock(&clock)
            .on_start(move |_| {
                if counted.fetch_add(1, Ordering::Relaxed) < 3 {
                    quiet_panic("no licence");
                }
            })
            .build()
            .unwrap();
        pool.spawn(|| ()).unwrap();
        for failures in 1..=3 {
            until(|| tries.load(Ordering::Relaxed) == failures && pool.workers() == 0);
            // Not in a loop: while the time stands still nobody tries, however many tasks come.
            pool.spawn(|| ()).unwrap();
            assert_eq!(tries.load(Ordering::Relaxed), failures);
            until(|| {
                clock.advance(Duration::from_millis(60 << failures));
                tries.load(Ordering::Relaxed) > failures
            });
        }
        pool.wait_idle().unwrap();
        assert_eq!(pool.shutdown().tasks.ran, 4);
    });
}

#[test]
fn a_service_on_an_elastic_pool_serves_everything() {
    within(|| {
        let workers = Workers::Elastic(Elastic::new(0, 3));
        let (input, output) = FanOut::builder(|n: u32| Ok::<u32, ()>(n)).workers(workers).window(16).start().unwrap();
        let sender = std::thread::spawn(move || (0..1000).for_each(|n| _ = input.send(n).unwrap()));
        assert_eq!(output.count(), 1000);
        sender.join().unwrap();
    });
}

/// Threads whose names begin so. A listing may miss one while others of the process end, and finds none that is not there.
#[cfg(target_os = "linux")]
fn threads(prefix: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with(prefix)).count()
}

#[cfg(target_os = "linux")]
#[test]
fn an_unused_pool_with_a_minimum_of_zero_has_no_thread_not_even_the_timer() {
    within(|| {
        let quick = Elastic::new(0, 4).keep_alive(Duration::from_millis(5)).target_wait(Duration::from_millis(1));
        let pool = Pool::builder().workers(quick).name("unused").build().unwrap();
        assert_eq!(threads("unused"), 0);
        for _ in 0..3 {
            let (done, ended) = mpsc::channel();
            pool.spawn(move || done.send(std::thread::current().name().map(str::to_owned)).unwrap()).unwrap();
            assert!(ended.recv().unwrap().is_some_and(|name| name.starts_with("unused")));
            // Three listings, so that one that missed a thread is not the only witness.
            until(|| (0..3).all(|_| threads("unused") == 0));
        }
        assert_eq!(pool.shutdown().tasks.ran, 3);
    });
}

/// Allows the calling thread to run on the first `cpus` processors of those it may use now.
#[cfg(target_os = "linux")]
fn allow(cpus: usize) {
    #[allow(
        clippy::multiple_unsafe_ops_per_block,
        reason = "one thing is done: to set an affinity, which nothing safe does"
    )]
    // SAFETY: the set is plain data that the calls fill and read; 0 means the calling thread.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        let size = std::mem::size_of::<libc::cpu_set_t>();
        assert_eq!(libc::sched_getaffinity(libc::getpid(), size, &raw mut set), 0);
        let mut left = cpus;
        for cpu in 0..libc::CPU_SETSIZE as usize {
            if libc::CPU_ISSET(cpu, &set) {
                if left == 0 {
                    libc::CPU_CLR(cpu, &mut set);
                }
                left = left.saturating_sub(1);
            }
        }
        assert_eq!(libc::sched_setaffinity(0, size, &raw const set), 0);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a6_a_changed_number_of_cpus_is_followed() {
    within(|| {
        let before = std::thread::available_parallelism().unwrap().get();
        let clock = ManualClock::new();
        let pool = Pool::builder().follow_cpus(Duration::from_secs(30)).clock(&clock).build().unwrap();
        let twice = Pool::builder().workers(Workers::IoBound).build().unwrap();
        let fixed = Pool::builder().workers(3).build().unwrap();
        assert_eq!((pool.workers(), twice.workers()), (before, 2 * before));
        allow(1);
        assert_eq!((twice.fit_cpus().unwrap(), fixed.fit_cpus().unwrap()), (2, 3));
        assert_eq!(pool.workers(), before, "it was not asked");
        clock.advance(Duration::from_secs(30));
        assert_eq!(pool.workers(), 1);
        allow(usize::MAX);
        clock.advance(Duration::from_secs(30));
        assert_eq!((pool.workers(), twice.fit_cpus().unwrap()), (before, 2 * before));
        assert!(Pool::builder().follow_cpus(Duration::ZERO).build().is_err());
    });
}
