//! Section D: ending.

use super::{pool, quiet_panic, within};
use fanpool::{Pool, ResizeError, Workers};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

/// Runs one test of this binary in a process of its own, in which `var` is set.
fn in_child(test: &str, var: &str) -> std::process::Output {
    std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(var, "1")
        .output()
        .unwrap()
}

#[test]
fn d1_each_task_ran_or_came_back_when_the_pool_is_closed() {
    within(|| {
        for _ in 0..100 {
            let (pool, ran) = (Arc::new(pool(2)), Arc::new(AtomicUsize::new(0)));
            let spawners: Vec<_> = (0..3)
                .map(|_| {
                    let (pool, ran) = (pool.clone(), ran.clone());
                    std::thread::spawn(move || {
                        let mut accepted = 0;
                        loop {
                            let ran = ran.clone();
                            let task = move || {
                                ran.fetch_add(1, Ordering::SeqCst);
                            };
                            match pool.spawn(task) {
                                Ok(()) => accepted += 1,
                                Err(_) => return accepted,
                            }
                        }
                    })
                })
                .collect();
            pool.close();
            pool.wait_idle().unwrap();
            let ran = ran.load(Ordering::SeqCst);
            let accepted: usize = spawners.into_iter().map(|spawner| spawner.join().unwrap()).sum();
            assert_eq!(ran, accepted, "nothing is accepted after `close` returned, nothing is lost");
            assert_eq!(Arc::into_inner(pool).unwrap().shutdown().tasks.ran, ran);
        }
    });
}

#[test]
fn d2_a_pool_may_be_dropped_full_paused_resizing_or_in_a_panic() {
    within(|| {
        let ran = Arc::new(AtomicUsize::new(0));
        let fill = |pool: &Pool| {
            for _ in 0..1000 {
                let ran = ran.clone();
                pool.spawn(move || {
                    ran.fetch_add(1, Ordering::SeqCst);
                })
                .unwrap();
            }
        };
        let full = pool(2);
        fill(&full);
        drop(full);
        let paused = pool(2);
        paused.pause();
        fill(&paused);
        drop(paused);
        let resizing = pool(4);
        fill(&resizing);
        resizing.resize(1).unwrap();
        resizing.resize(8).unwrap();
        resizing.resize(2).unwrap();
        drop(resizing);
        let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let pool = pool(2);
            fill(&pool);
            quiet_panic("with the pool on the stack")
        }));
        assert!(unwound.is_err());
        assert_eq!(ran.load(Ordering::SeqCst), 4000);
    });
}

#[test]
fn d3_a_shutdown_that_runs_out_names_what_runs_and_discards_the_rest() {
    within(|| {
        let pool = pool(3);
        let (release, stuck) = mpsc::channel::<()>();
        let (started, wait) = mpsc::channel();
        let (ended, end) = mpsc::channel();
        let strand = pool.group().limit(1).name("upload").build().unwrap();
        strand
            .spawn(move || {
                started.send(()).unwrap();
                let _ = stuck.recv();
                ended.send(()).unwrap();
            })
            .unwrap();
        wait.recv().unwrap();
        for _ in 0..5 {
            strand.spawn(|| unreachable!("it is behind the stuck one")).unwrap();
        }
        let receipt = pool.shutdown_timeout(Duration::from_millis(10));
        assert_eq!((receipt.tasks.ran, receipt.tasks.discarded), (0, 5));
        assert_eq!(receipt.threads_joined, 2);
        assert_eq!(receipt.threads_busy.len(), 1);
        assert_eq!(receipt.threads_busy[0].group(), Some("upload"));
        drop(release);
        end.recv().expect("the thread ends when its task does");
    });
}

#[test]
fn d4_ends_and_pauses_may_be_repeated() {
    within(|| {
        let pool = pool(2);
        pool.resume();
        pool.pause();
        pool.pause();
        pool.resume();
        pool.close();
        pool.close();
        assert!(matches!(pool.resize(3), Err(ResizeError::Closed)));
        assert!(pool.broadcast(|_| ()).is_err());
        pool.pause();
        assert_eq!(pool.shutdown().threads_joined, 2);
    });
}

#[test]
fn d5_a_process_may_end_while_tasks_run() {
    const CHILD: &str = "FANPOOL_D5_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let pool = pool(2);
        let (started, wait) = mpsc::channel();
        pool.spawn(move || {
            started.send(()).unwrap();
            std::thread::park();
        })
        .unwrap();
        wait.recv().unwrap();
        std::process::exit(7);
    }
    within(|| {
        let child = in_child("ending::d5_a_process_may_end_while_tasks_run", CHILD);
        assert_eq!(child.status.code(), Some(7), "{child:?}");
    });
}

#[test]
fn d6_a_pool_may_live_in_a_static_or_a_thread_local() {
    const CHILD: &str = "FANPOOL_D6_CHILD";
    static POOL: OnceLock<Pool> = OnceLock::new();
    thread_local!(static LOCAL: std::cell::RefCell<Option<Pool>> = const { std::cell::RefCell::new(None) });
    if std::env::var_os(CHILD).is_some() {
        assert_eq!(POOL.get_or_init(|| pool(2)).submit(|| 1).join().unwrap(), 1);
        let (ran, wait) = mpsc::channel();
        let owner = std::thread::spawn(move || {
            LOCAL.with(|local| {
                let pool = local.borrow_mut().insert(pool(2)).spawn(move || ran.send(()).unwrap());
                pool.unwrap();
            });
        });
        owner.join().unwrap();
        wait.recv().expect("the pool went with its thread, after its task");
        return;
    }
    within(|| {
        let child = in_child("ending::d6_a_pool_may_live_in_a_static_or_a_thread_local", CHILD);
        assert!(child.status.success(), "{child:?}");
    });
}

#[test]
fn d7_ten_thousand_pools_leave_nothing_behind() {
    // In a process of its own, so that nobody else's threads and files are counted.
    const CHILD: &str = "FANPOOL_D7_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let count = |what: &str| std::fs::read_dir(format!("/proc/self/{what}")).unwrap().count();
        let resident = || {
            let status = std::fs::read_to_string("/proc/self/statm").unwrap();
            status.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
        };
        let round = |n: usize| {
            for i in 0..n {
                let pool = pool(1 + i % 2);
                pool.scope(|s| s.spawn(|| ()));
                pool.spawn(|| ()).unwrap();
                if i % 3 == 0 {
                    pool.resize(2).unwrap();
                    pool.resize(1).unwrap();
                }
            }
        };
        let threads = count("task");
        // A thread that is joined leaves the list of them a moment later.
        let settle = || {
            let end = std::time::Instant::now() + Duration::from_secs(60);
            while count("task") != threads {
                assert!(std::time::Instant::now() < end, "{} threads, once {threads}", count("task"));
                std::thread::yield_now();
            }
        };
        round(1000);
        settle();
        let before = (count("fd"), resident());
        round(10_000);
        settle();
        assert_eq!(count("fd"), before.0);
        // 10,000 pools that leaked 100 bytes each would show.
        assert!(resident() < before.1 + 1_000_000, "{} then {}", before.1, resident());
        return;
    }
    let child = in_child("ending::d7_ten_thousand_pools_leave_nothing_behind", CHILD);
    assert!(child.status.success(), "{child:?}");
}

#[test]
fn resizing_to_and_fro_under_load_loses_nothing() {
    within(|| {
        let (pool, ran) = (Arc::new(pool(2)), Arc::new(AtomicUsize::new(0)));
        let resizer = pool.clone();
        let resizes = std::thread::spawn(move || {
            for i in 0..500 {
                resizer.resize(1 + i % 5).unwrap();
            }
        });
        for _ in 0..100_000 {
            let ran = ran.clone();
            pool.spawn(move || {
                ran.fetch_add(1, Ordering::Relaxed);
            })
            .unwrap();
        }
        resizes.join().unwrap();
        pool.wait_idle().unwrap();
        let receipt = Arc::into_inner(pool).unwrap().shutdown();
        assert_eq!((ran.load(Ordering::Relaxed), receipt.tasks.ran), (100_000, 100_000));
        assert!(receipt.threads_busy.is_empty());
    });
}

#[test]
fn growing_brings_help_to_tasks_that_wait_for_each_other() {
    within(|| {
        let pool = Pool::builder().workers(Workers::Fixed(1)).build().unwrap();
        let (send, receive) = mpsc::channel();
        let first = pool.submit(move || receive.recv().unwrap());
        let waiting = std::thread::spawn(move || first.join().unwrap());
        pool.spawn(move || send.send(5).unwrap()).unwrap();
        pool.resize(2).unwrap();
        assert_eq!(waiting.join().unwrap(), 5);
    });
}
