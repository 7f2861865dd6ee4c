//! A task that waits for another task of its pool.
//!
//! **Why it hangs on threadpool:** the worker that waits is the only one who could run what it waits for; with more workers it takes as many such tasks. Here
//! `Handle::join` runs the task itself if nobody has begun with it.

use crate::child::{Running, tell, way};
use std::sync::Arc;
use std::sync::mpsc::channel;

const NAME: &str = "wait::a_task_that_waits_for_a_task";

fn with_fanpool() {
    let pool = Arc::new(fanpool::Pool::builder().workers(1).build().unwrap());
    let inner = pool.clone();
    let outer = move || {
        tell("waiting");
        inner.submit(|| 6 * 7).join().unwrap()
    };
    assert_eq!(pool.submit(outer).join().unwrap(), 42);
}

fn with_threadpool() {
    let pool = threadpool::ThreadPool::new(1);
    let inner = pool.clone();
    pool.execute(move || {
        tell("waiting");
        let (done, result) = channel();
        inner.execute(move || done.send(6 * 7).unwrap());
        assert_eq!(result.recv().unwrap(), 42);
    });
    pool.join();
}

#[test]
fn a_task_that_waits_for_a_task() {
    match way().as_deref() {
        Some("fanpool") => return with_fanpool(),
        Some(_) => return with_threadpool(),
        None => {}
    }
    let ours = Running::start(NAME, "fanpool");
    assert_eq!(ours.told(), "waiting");
    ours.ends();
    let threadpool = Running::start(NAME, "threadpool");
    assert_eq!(threadpool.told(), "waiting");
    threadpool.hangs();
}
