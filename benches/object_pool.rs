//! Lending and returning a buffer, beside a bare `Mutex<Vec<_>>` that can neither wait nor count.
//! `cargo bench -p benches --bench object_pool`.

use fanpool::ObjectPool;
use std::error::Error;
use std::hint::black_box;
use std::sync::{Barrier, Condvar, Mutex, PoisonError};

const TURNS: usize = 1_000_000;
const HAND_OVERS: usize = 50_000;
const ROUNDS: usize = 11;

fn main() -> Result<(), Box<dyn Error>> {
    benches::begin("object_pool");
    let pool = ObjectPool::new(2, || vec![0_u8; 64])?;
    let plain = ObjectPool::builder(|| Ok::<_, String>(vec![0_u8; 64])).max(2).reset(|b| b.clear()).check(|_| true);
    let plain = plain.build()?;
    let bare = Mutex::new(vec![vec![0_u8; 64], vec![0_u8; 64]]);
    for threads in [1, 2] {
        let rows: Vec<benches::Row<'_>> = vec![
            ("fanpool", Box::new(|| on(threads, TURNS, || drop(black_box(pool.get()))))),
            ("fanpool, reset and check", Box::new(|| on(threads, TURNS, || drop(black_box(plain.get()))))),
            ("Mutex<Vec<_>>", Box::new(|| on(threads, TURNS, || pop_and_push(&bare)))),
        ];
        let title = format!("get and return, {threads} threads, 2 objects");
        benches::compare(&title, "turn", threads * TURNS, &[("threads", threads as f64)], ROUNDS, rows);
    }
    let pool = ObjectPool::new(1, || vec![0_u8; 64])?;
    let (bare, freed) = (Mutex::new(vec![vec![0_u8; 64]]), Condvar::new());
    let rows: Vec<benches::Row<'_>> = vec![
        ("fanpool, in turn", Box::new(|| on(2, HAND_OVERS, || drop(black_box(pool.get()))))),
        ("Mutex and Condvar, not in turn", Box::new(|| on(2, HAND_OVERS, || wait_and_push(&bare, &freed)))),
    ];
    benches::compare("get and return, 2 threads, 1 object", "turn", 2 * HAND_OVERS, &[("threads", 2.0)], ROUNDS, rows);
    Ok(())
}

/// Does `turn` so many times on each of so many threads.
fn on(threads: usize, turns: usize, turn: impl Fn() + Sync) {
    let start = Barrier::new(threads);
    let run = || {
        start.wait();
        (0..turns).for_each(|_| turn());
    };
    std::thread::scope(|s| {
        for _ in 1..threads {
            s.spawn(run);
        }
        run();
    });
}

fn pop_and_push(bare: &Mutex<Vec<Vec<u8>>>) {
    let taken = bare.lock().unwrap_or_else(PoisonError::into_inner).pop();
    if let Some(taken) = black_box(taken) {
        bare.lock().unwrap_or_else(PoisonError::into_inner).push(taken);
    }
}

fn wait_and_push(bare: &Mutex<Vec<Vec<u8>>>, freed: &Condvar) {
    let mut idle = bare.lock().unwrap_or_else(PoisonError::into_inner);
    let taken = loop {
        match idle.pop() {
            Some(taken) => break taken,
            None => idle = freed.wait(idle).unwrap_or_else(PoisonError::into_inner),
        }
    };
    drop(idle);
    bare.lock().unwrap_or_else(PoisonError::into_inner).push(black_box(taken));
    freed.notify_one();
}
