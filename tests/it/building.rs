//! Section A: building.

use super::{pool, within};
use fanpool::{BuildError, MAX_WORKERS, Pool, ResizeError, Workers};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

#[test]
fn a1_zero_is_refused_with_its_option_and_range() {
    for (error, option) in [
        (Pool::builder().workers(Workers::Fixed(0)).build().unwrap_err(), "workers"),
        (pool(1).group().limit(0).build().unwrap_err(), "limit"),
        (Pool::builder().stack_size(0).build().unwrap_err(), "stack_size"),
    ] {
        match error {
            BuildError::OutOfRange { option: named, value: 0, allowed } => {
                assert_eq!(named, option);
                assert!(!allowed.contains(&0));
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(pool(1).resize(0), Err(ResizeError::Build(BuildError::OutOfRange { .. }))));
}

#[test]
fn a2_absurd_sizes_are_refused() {
    for workers in [MAX_WORKERS + 1, usize::MAX] {
        let built = Pool::builder().workers(Workers::Fixed(workers)).build();
        assert!(matches!(built, Err(BuildError::OutOfRange { value, .. }) if value == workers));
        assert!(pool(1).resize(workers).is_err());
    }
    assert!(Pool::builder().stack_size(usize::MAX).build().is_err());
    pool(1).group().limit(usize::MAX).build().unwrap().spawn(|| ()).unwrap();
}

#[test]
fn a3_a_refused_thread_is_reported_and_the_others_are_joined() {
    // In a process of its own: the limit on the address space holds for all of it.
    const CHILD: &str = "FANPOOL_A3_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let before = threads();
        let built = Pool::builder().workers(Workers::Fixed(64)).stack_size(64 << 20).build();
        match built.unwrap_err() {
            BuildError::Thread { wanted: 64, started, .. } => assert!((1..64).contains(&started), "{started}"),
            other => panic!("{other:?}"),
        }
        // A thread that is joined leaves the list of them a moment later.
        within(move || {
            while threads() > before + 1 {
                std::thread::yield_now();
            }
            assert_eq!(threads(), before + 1, "those that had started are joined, and this one runs");
        });
        return;
    }
    let child = std::process::Command::new("sh")
        .args(["-c", "ulimit -v 2000000; exec \"$0\" --exact building::a3_a_refused_thread_is_reported_and_the_others_are_joined"])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    assert!(String::from_utf8_lossy(&child.stdout).contains("1 passed"));
}

#[test]
fn a4_names_and_stacks_that_the_system_cannot_take_are_refused() {
    assert!(matches!(Pool::builder().name("ab\0").build(), Err(BuildError::Name { nul: 2 })));
    assert!(Pool::builder().stack_size(4096).build().is_err());
    assert!(Pool::builder().stack_size(16 * 1024).workers(Workers::Fixed(1)).build().is_ok());
}

#[test]
fn a5_a_start_hook_that_panics_fails_the_build_with_its_payload() {
    within(|| {
        let stopped = Arc::new(AtomicUsize::new(0));
        let stops = stopped.clone();
        let built = Pool::builder()
            .workers(Workers::Fixed(3))
            .on_start(|worker| assert_ne!(worker, 1, "on purpose"))
            .on_stop(move |_| {
                stops.fetch_add(1, Ordering::SeqCst);
            })
            .build();
        match built.unwrap_err() {
            BuildError::StartHook { worker: 1, panicked } => assert!(panicked.message().contains("on purpose")),
            other => panic!("{other:?}"),
        }
        assert_eq!(stopped.load(Ordering::SeqCst), 3, "every thread was joined");
    });
}

#[test]
fn a5_a_start_hook_that_panics_in_resize_leaves_the_others_at_work() {
    within(|| {
        let pool = Pool::builder()
            .workers(Workers::Fixed(2))
            .on_start(|worker| assert!(worker < 2, "no third"))
            .build()
            .unwrap();
        assert!(matches!(pool.resize(3), Err(ResizeError::Build(BuildError::StartHook { worker: 2, .. }))));
        assert_eq!(pool.workers(), 2);
        assert_eq!(pool.broadcast(|worker| worker).unwrap(), [0, 1]);
    });
}

#[test]
fn a6_there_is_at_least_one_worker() {
    for workers in [Workers::CpuBound, Workers::IoBound, Workers::Mixed] {
        assert!(Pool::builder().workers(workers).build().unwrap().workers() >= 1);
    }
    assert!(Pool::new().workers() >= 1);
}
