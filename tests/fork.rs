//! A pool in a forked process, in a test process of its own.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use fanpool::{Pool, RefusedReason, Workers};

/// What a child may still do with its parent's idle pool: scopes run on their owner, and nothing waits for workers.
fn in_child(pool: Pool) -> bool {
    let mut values = [0; 8];
    pool.scope(|s| values.iter_mut().for_each(|value| s.spawn(|| *value += 1)));
    let joined = pool.submit(|| 7).join();
    let spawned = pool.spawn(|| ()).is_ok();
    let waited = pool.wait_idle();
    let told = pool.broadcast(|_| ()).map_err(|refused| refused.reason());
    let both = pool.join(|| 1, || 2);
    let receipt = pool.shutdown();
    values == [1; 8]
        && both == (1, 2)
        && joined.is_ok_and(|value| value == 7)
        && spawned
        && waited.is_err()
        && told == Err(RefusedReason::WouldDeadlock)
        && (receipt.threads_joined, receipt.threads_busy.len(), receipt.tasks.ran, receipt.tasks.discarded)
            == (0, 2, 11, 1)
}

/// Whether all workers sleep, as they do with nothing in their hands; a pool is idle a moment before.
fn asleep() -> bool {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let workers: Vec<_> = tasks
        .filter_map(|task| std::fs::read_to_string(task.join("stat")).ok())
        .filter(|stat| stat.contains("(fanpool-"))
        .collect();
    workers.len() == 2 && workers.iter().all(|stat| stat.contains(") S "))
}

#[test]
fn d5_a_forked_child_gets_errors_instead_of_a_hang() {
    let pool = Pool::builder().workers(Workers::Fixed(2)).build().unwrap();
    pool.broadcast(|_| ()).unwrap();
    pool.wait_idle().unwrap();
    let ran = pool.counts().ran;
    while !(asleep() && asleep()) {
        std::thread::yield_now();
    }
    // SAFETY: the child uses only the pool, whose locks nobody holds while its workers sleep, and leaves without unwinding.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: sets a timer, so that a hang ends too.
        unsafe { libc::alarm(30) };
        let good = ran == 2 && std::panic::catch_unwind(|| in_child(pool)).unwrap_or(false);
        // SAFETY: ends the process at once.
        unsafe { libc::_exit(i32::from(!good)) };
    }
    assert!(child > 0, "no fork");
    let mut status = 0;
    // SAFETY: the child is ours and `status` is a place for its status.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!((waited, status), (child, 0), "the child failed or hung");
    assert_eq!(pool.shutdown().threads_joined, 2, "the parent's pool is untouched");
}
