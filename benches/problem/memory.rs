//! A source that is quicker than whoever takes the results.
//!
//! **Why memory grows with rayon and threadpool:** `par_bridge` asks its iterator whenever a thread has nothing to do, and `execute` puts a task into a queue without
//! an end; neither knows how many results have been taken. (A bounded channel for the results stops the growth of the first, by blocking the threads of the pool
//! in it.) Here at most a window of items is between the source and who takes the results.

use crate::child::{Running, tell, way};
use rayon::iter::{ParallelBridge as _, ParallelIterator as _};
use std::hint::black_box;
use std::sync::mpsc::channel;
use std::thread;

const NAME: &str = "memory::a_slow_consumer";
const BLOCKS: usize = 2_000;
const BLOCK: usize = 64 << 10;
const ALL_KIB: usize = (BLOCKS * BLOCK) >> 10;

fn source() -> impl Iterator<Item = Vec<u8>> + Send {
    (0..BLOCKS).map(|n| vec![n as u8; BLOCK])
}

fn mark(mut block: Vec<u8>) -> Vec<u8> {
    block[0] = !block[0];
    block
}

/// Takes ten times as long as making and marking a block.
fn store(block: Vec<u8>) {
    benches::work(200_000);
    drop(black_box(block));
}

fn with_fanpool() {
    let pool = fanpool::Pool::builder().workers(2).build().unwrap();
    pool.map(source(), mark).window(64).for_each(store);
}

fn with_rayon() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let (results, taken) = channel();
    thread::scope(|s| {
        s.spawn(|| {
            pool.install(|| {
                source().par_bridge().map(mark).for_each_with(results, |to, block| to.send(block).unwrap())
            });
        });
        taken.into_iter().for_each(store);
    });
}

fn with_threadpool() {
    let pool = threadpool::ThreadPool::new(2);
    for block in source() {
        pool.execute(move || store(mark(block)));
    }
    pool.join();
}

#[test]
fn a_slow_consumer() {
    if let Some(way) = way() {
        benches::work(1);
        let before = benches::status("VmRSS");
        match way.as_str() {
            "fanpool" => with_fanpool(),
            "rayon" => with_rayon(),
            _ => with_threadpool(),
        }
        // The peak since the process began; what it had before is little beside this.
        tell(&benches::status("VmHWM").saturating_sub(before).to_string());
        return;
    }
    let grown = |way| {
        let child = Running::start(NAME, way);
        let grown = child.number();
        child.ends();
        grown
    };
    let [ours, rayon, threadpool] = ["fanpool", "rayon", "threadpool"].map(grown);
    println!("of {ALL_KIB} KiB: fanpool {ours} KiB, rayon {rayon} KiB, threadpool {threadpool} KiB more at the peak");
    assert!(ours < ALL_KIB / 8, "{ours} KiB of {ALL_KIB}");
    assert!(rayon > ALL_KIB / 4, "{rayon} KiB of {ALL_KIB}");
    assert!(threadpool > ALL_KIB / 4, "{threadpool} KiB of {ALL_KIB}");
}
