//! Pools that size themselves, in runs that replay one interleaving.

use crate::within;
use fanpool::testing::{seeds, yield_now};
use fanpool::{Clock, Elastic, Pool};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Tasks, some of which block, on a pool that begins without threads and is without threads an hour later; twice.
fn life() {
    let pool = Pool::builder().workers(Elastic::new(0, 3)).build().unwrap();
    let ran = Arc::new(AtomicUsize::new(0));
    for round in 1..=2 {
        for number in 0..6 {
            let ran = ran.clone();
            let task = move || {
                yield_now();
                ran.fetch_add(1, Ordering::Relaxed);
            };
            pool.spawn(move || if number % 2 == 0 { fanpool::blocking(task) } else { task() }).unwrap();
        }
        pool.scope(|scope| scope.spawn(|| fanpool::blocking(yield_now)));
        pool.wait_idle().unwrap();
        assert_eq!(ran.load(Ordering::Relaxed), 6 * round);
        assert!(pool.workers() <= 3);
        Clock::system().sleep(Duration::from_secs(3600));
        assert_eq!(pool.workers(), 0);
    }
    ran.store(0, Ordering::Relaxed);
    let last = ran.clone();
    pool.spawn(move || _ = last.fetch_add(1, Ordering::Relaxed)).unwrap();
    let receipt = pool.shutdown();
    assert_eq!((receipt.tasks.ran, receipt.threads_busy.len()), (15, 0));
    assert_eq!(ran.load(Ordering::Relaxed), 1);
}

#[test]
fn elastic_pools_come_and_go_in_every_order() {
    within(|| seeds(0..100, life));
}
