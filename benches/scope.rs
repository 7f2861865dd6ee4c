//! Scopes and their rivals, side by side in one process with one worker per core.
//!
//! `cargo bench -p benches --bench scope`. Pools without scopes get `execute` for each task and a `join` at the end.

use benches::{Row, begin, compare, work};
use fanpool::{Pool, Workers};
use std::time::Duration;

struct Rivals {
    workers: usize,
    fanpool: Pool,
    rayon: rayon::ThreadPool,
    threadpool: threadpool::ThreadPool,
    rusty: rusty_pool::ThreadPool,
    scoped: scoped_thread_pool::Pool,
}

impl Rivals {
    fn new(workers: usize) -> Rivals {
        Rivals {
            workers,
            fanpool: fanpool_of(workers),
            rayon: rayon_of(workers),
            threadpool: threadpool::ThreadPool::new(workers),
            rusty: rusty_pool::ThreadPool::new(workers, workers, Duration::from_secs(60)),
            scoped: scoped_thread_pool::Pool::new(workers),
        }
    }

    /// `repeats` scopes of `tasks` tasks of `nanos` each.
    fn scopes(&self, title: &str, unit: &str, tasks: usize, nanos: usize, repeats: usize, rounds: usize) {
        let task = move || {
            if nanos > 0 {
                work(nanos);
            }
        };
        let times = move |run: &dyn Fn()| (0..repeats).for_each(|_| run());
        let mut rows: Vec<Row<'_>> = vec![
            ("fanpool", Box::new(move || times(&|| self.fanpool.scope(|s| (0..tasks).for_each(|_| s.spawn(task)))))),
            (
                "rayon scope",
                Box::new(move || {
                    times(&|| self.rayon.scope(|s| (0..tasks).for_each(|_| s.spawn(move |_| task()))));
                }),
            ),
            (
                "rayon in_place_scope",
                Box::new(move || {
                    times(&|| self.rayon.in_place_scope(|s| (0..tasks).for_each(|_| s.spawn(move |_| task()))));
                }),
            ),
            (
                "threadpool",
                Box::new(move || {
                    times(&|| {
                        (0..tasks).for_each(|_| self.threadpool.execute(task));
                        self.threadpool.join();
                    });
                }),
            ),
            (
                "rusty_pool",
                Box::new(move || {
                    times(&|| {
                        (0..tasks).for_each(|_| self.rusty.execute(task));
                        self.rusty.join();
                    });
                }),
            ),
            (
                "scoped-thread-pool",
                Box::new(move || {
                    times(&|| self.scoped.scoped(|s| (0..tasks).for_each(|_| s.execute(task))));
                }),
            ),
        ];
        if tasks <= 64 && nanos > 0 {
            rows.push((
                "std::thread::scope",
                Box::new(move || {
                    // One thread per worker, as a program without a pool would do it.
                    times(&|| {
                        std::thread::scope(|s| {
                            for thread in 0..self.workers {
                                s.spawn(move || (thread..tasks).step_by(self.workers).for_each(|_| task()));
                            }
                        });
                    });
                }),
            ));
        }
        let units = if unit == "task" { tasks * repeats } else { repeats };
        let parameters = [("threads", self.workers as f64), ("tasks", tasks as f64), ("grain_ns", nanos as f64)];
        compare(title, unit, units, &parameters, rounds, rows);
    }
}

fn fanpool_of(workers: usize) -> Pool {
    match Pool::builder().workers(Workers::Fixed(workers)).build() {
        Ok(pool) => pool,
        Err(error) => panic!("{error}"),
    }
}

fn rayon_of(workers: usize) -> rayon::ThreadPool {
    match rayon::ThreadPoolBuilder::new().num_threads(workers).build() {
        Ok(pool) => pool,
        Err(error) => panic!("{error}"),
    }
}

fn main() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    begin("scope");
    {
        let rivals = Rivals::new(cores);
        rivals.scopes("500,000 empty tasks in a scope", "task", 500_000, 0, 1, 9);
        rivals.scopes("500,000 tasks of 0.15 µs", "task", 500_000, 150, 1, 9);
        rivals.scopes("a scope of 2 tasks of 0.15 µs", "scope", 2, 150, 5_000, 9);
        rivals.scopes("a scope of 64 tasks of 0.15 µs", "scope", 64, 150, 1_000, 9);
        rivals.scopes("20,000 tasks of 15 µs", "task", 20_000, 15_000, 1, 7);
    }
    many_workers(cores);
    many_threads(cores);
}

/// The price of more workers than cores.
fn many_workers(cores: usize) {
    let (few, many) = (fanpool_of(cores), fanpool_of(64));
    let run = |pool: &Pool| pool.scope(|s| (0..100_000).for_each(|_| s.spawn(|| ())));
    let rows: Vec<Row<'_>> = vec![("64 workers", Box::new(|| run(&many))), ("one a core", Box::new(|| run(&few)))];
    compare("100,000 empty tasks, 64 workers against one a core", "task", 100_000, &[("threads", 64.0)], 61, rows);
}

/// Sixteen threads that open small scopes on one pool.
fn many_threads(cores: usize) {
    const THREADS: usize = 16;
    const SCOPES: usize = 500;
    let (fanpool, rayon) = (fanpool_of(cores), rayon_of(cores));
    let threads = |scope: &(dyn Fn() + Sync)| {
        std::thread::scope(|s| {
            for _ in 0..THREADS {
                s.spawn(|| (0..SCOPES).for_each(|_| scope()));
            }
        });
    };
    let rows: Vec<Row<'_>> = vec![
        ("fanpool", Box::new(|| threads(&|| fanpool.scope(|s| (0..8).for_each(|_| s.spawn(|| work(150))))))),
        ("rayon scope", Box::new(|| threads(&|| rayon.scope(|s| (0..8).for_each(|_| s.spawn(|_| work(150))))))),
        (
            "rayon in_place_scope",
            Box::new(|| {
                threads(&|| rayon.in_place_scope(|s| (0..8).for_each(|_| s.spawn(|_| work(150)))));
            }),
        ),
    ];
    compare(
        "16 threads, scopes of 8 tasks of 0.15 µs on one pool",
        "scope",
        THREADS * SCOPES,
        &[("threads", cores as f64), ("producers", THREADS as f64), ("tasks", 8.0), ("grain_ns", 150.0)],
        9,
        rows,
    );
}
