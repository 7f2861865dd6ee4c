//! Models of fanpool's protocols, each named after the race that it explores; see `README.md` beside this package.
//!
//! A deadlock is an assertion here: loom reports one whenever no thread can go on. Values are watched with
//! `loom::alloc::Track`, so a captured value that is leaked fails its model too.

mod breaker;
mod consumer;
mod elastic;
mod ending;
mod fan;
mod fan_alarm;
mod helpers;
mod join;
mod map;
mod monitor;
mod object_pool;
mod policies;
mod tracker;
mod waiting;

use fanpool::{Pool, Workers};
use loom::cell::UnsafeCell;
use loom::sync::{Condvar, Mutex};
use std::sync::Arc;

/// Runs a model within a bound on preemptions, and says how much it explored.
fn model(bound: usize, body: impl Fn() + Sync + Send + 'static) {
    let executions = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let (counter, began) = (executions.clone(), std::time::Instant::now());
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(bound);
    builder.max_branches = 20_000;
    builder.check(move || {
        counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        body();
    });
    let executions = executions.load(std::sync::atomic::Ordering::Relaxed);
    println!("{executions} executions within {bound} preemptions, {:.1?}", began.elapsed());
}

fn pool(workers: usize) -> Pool {
    Pool::builder().workers(Workers::Fixed(workers)).build().unwrap()
}

/// A value that two threads may only touch one after the other: loom fails the model otherwise.
struct Shared(UnsafeCell<usize>);

// SAFETY: what the models check is exactly that accesses are ordered; loom stops at the first that is not.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

impl Shared {
    fn new() -> Arc<Shared> {
        Arc::new(Shared(UnsafeCell::new(0)))
    }
    fn add(&self) {
        self.0.with_mut(|value| {
            // SAFETY: loom checks that no other access is concurrent.
            unsafe { *value += 1 }
        });
    }
    fn get(&self) -> usize {
        self.0.with(|value| {
            // SAFETY: loom checks that no write is concurrent.
            unsafe { *value }
        })
    }
}

/// Something that one thread waits for and another sets.
#[derive(Clone)]
pub struct Flag(Arc<(Mutex<bool>, Condvar)>);

impl Flag {
    pub fn new() -> Flag {
        Flag(Arc::new((Mutex::new(false), Condvar::new())))
    }
    pub fn set(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
    pub fn wait(&self) {
        let mut set = self.0.0.lock().unwrap();
        while !*set {
            set = self.0.1.wait(set).unwrap();
        }
    }
}

#[test]
fn the_primitives_conform() {
    for (name, case) in fanpool::model::conformance() {
        println!("{name}");
        model(3, case);
    }
}
