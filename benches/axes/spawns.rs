//! Who can run tasks and wait for all of them: scopes, and pools that are filled and waited for.

use crate::cell::{Peer, peer};
use crate::golang::{self, Go};
use crossbeam_channel::{Sender, unbounded};
use fanpool::{Pool, Workers};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

fn task(nanos: usize) {
    if nanos > 0 {
        benches::work(nanos);
    }
}

/// A pool that takes tasks of any lifetime from any thread, and can be waited for.
pub(crate) trait Spawner: Sync {
    fn name(&self) -> &'static str;
    fn spawn(&self, nanos: usize);
    fn wait(&self);
}

/// Counts what a pool that cannot be waited for has yet to do.
#[derive(Debug, Default)]
struct Count {
    left: AtomicUsize,
    lock: Mutex<()>,
    zero: Condvar,
}

impl Count {
    fn add(self: &Arc<Count>) -> impl FnOnce() + use<> {
        self.left.fetch_add(1, Ordering::Relaxed);
        let count = self.clone();
        move || {
            if count.left.fetch_sub(1, Ordering::Release) == 1 {
                let _held = count.lock.lock().unwrap();
                count.zero.notify_all();
            }
        }
    }

    fn wait(&self) {
        let mut held = self.lock.lock().unwrap();
        while self.left.load(Ordering::Acquire) > 0 {
            held = self.zero.wait(held).unwrap();
        }
    }
}

impl Spawner for Pool {
    fn name(&self) -> &'static str {
        "fanpool"
    }
    fn spawn(&self, nanos: usize) {
        Pool::spawn(self, move || task(nanos)).unwrap();
    }
    fn wait(&self) {
        self.wait_idle().unwrap();
    }
}

struct Counted<P> {
    pool: P,
    count: Arc<Count>,
}

impl<P> Counted<P> {
    fn new(pool: P) -> Counted<P> {
        Counted { pool, count: Arc::default() }
    }
}

/// Pools that spawn a closure and wait for none.
macro_rules! counted {
    ($($pool:ty: $name:literal)*) => {
        $(impl Spawner for Counted<$pool> {
            fn name(&self) -> &'static str {
                $name
            }
            fn spawn(&self, nanos: usize) {
                let done = self.count.add();
                self.pool.spawn(move || {
                    task(nanos);
                    done();
                });
            }
            fn wait(&self) {
                self.count.wait();
            }
        })*
    };
}

counted! {
    rayon::ThreadPool: "rayon spawn"
    parkring::ThreadPool: "parkring spawn"
}

impl Spawner for threadpool::ThreadPool {
    fn name(&self) -> &'static str {
        "threadpool"
    }
    fn spawn(&self, nanos: usize) {
        self.execute(move || task(nanos));
    }
    fn wait(&self) {
        self.join();
    }
}

impl Spawner for rusty_pool::ThreadPool {
    fn name(&self) -> &'static str {
        "rusty_pool"
    }
    fn spawn(&self, nanos: usize) {
        self.execute(move || task(nanos));
    }
    fn wait(&self) {
        self.join();
    }
}

type Boxed = Box<dyn FnOnce() + Send>;

/// What one would write: threads on an unbounded channel of boxed closures.
struct ByHand {
    tasks: Option<Sender<Boxed>>,
    threads: Vec<JoinHandle<()>>,
}

impl ByHand {
    fn new(threads: usize) -> ByHand {
        let (tasks, queue) = unbounded::<Boxed>();
        let thread = |_| {
            let queue = queue.clone();
            thread::spawn(move || queue.iter().for_each(|task| task()))
        };
        ByHand { tasks: Some(tasks), threads: (0..threads).map(thread).collect() }
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        self.tasks = None;
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

impl Spawner for Counted<ByHand> {
    fn name(&self) -> &'static str {
        "crossbeam by hand"
    }
    fn spawn(&self, nanos: usize) {
        let done = self.count.add();
        let boxed = Box::new(move || {
            task(nanos);
            done();
        });
        self.pool.tasks.as_ref().unwrap().send(boxed).unwrap();
    }
    fn wait(&self) {
        self.count.wait();
    }
}

fn rayon_of(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

/// The first is ours.
pub(crate) fn spawners(threads: usize) -> Vec<Box<dyn Spawner>> {
    vec![
        Box::new(Pool::builder().workers(Workers::Fixed(threads)).build().unwrap()),
        Box::new(Counted::new(rayon_of(threads))),
        Box::new(threadpool::ThreadPool::new(threads)),
        Box::new(rusty_pool::ThreadPool::new(threads, threads, Duration::from_secs(60))),
        Box::new(Counted::new(parkring::ThreadPool::new(threads))),
        Box::new(Counted::new(ByHand::new(threads))),
    ]
}

pub(crate) struct Spawns {
    threads: usize,
    fanpool: Pool,
    rayon: rayon::ThreadPool,
    scoped: scoped_thread_pool::Pool,
    spawners: Vec<Box<dyn Spawner>>,
    go: Option<Go>,
}

impl Spawns {
    pub(crate) fn new(threads: usize) -> Spawns {
        let mut spawners = spawners(threads);
        // Scopes of ours and of rayon stand for them.
        spawners.drain(..2);
        Spawns {
            threads,
            fanpool: Pool::builder().workers(Workers::Fixed(threads)).build().unwrap(),
            rayon: rayon_of(threads),
            scoped: scoped_thread_pool::Pool::new(threads),
            spawners,
            // It has two threads, whatever is asked for.
            go: (threads == 2).then(golang::contenders).and_then(|ways| ways.into_iter().next()),
        }
    }

    pub(crate) fn peers(&self, tasks: usize, nanos: usize) -> Vec<Peer<'_>> {
        let threads = self.threads;
        let mut peers = vec![
            peer("fanpool", move || {
                self.fanpool.scope(|s| (0..tasks).for_each(|_| s.spawn(move || task(nanos))));
            }),
            peer("serial loop", move || (0..tasks).for_each(|_| task(black_box(nanos)))),
            peer("rayon scope", move || {
                self.rayon.scope(|s| (0..tasks).for_each(|_| s.spawn(move |_| task(nanos))));
            }),
            peer("rayon in_place_scope", move || {
                self.rayon.in_place_scope(|s| (0..tasks).for_each(|_| s.spawn(move |_| task(nanos))));
            }),
            peer("scoped-thread-pool", move || {
                self.scoped.scoped(|s| (0..tasks).for_each(|_| s.execute(move || task(nanos))));
            }),
            peer("std, loops without tasks", move || {
                thread::scope(|s| {
                    for part in 0..threads.min(tasks) {
                        s.spawn(move || (part..tasks).step_by(threads).for_each(|_| task(black_box(nanos))));
                    }
                });
            }),
        ];
        for spawner in &self.spawners {
            let spawner: &dyn Spawner = &**spawner;
            peers.push(peer(spawner.name(), move || {
                (0..tasks).for_each(|_| spawner.spawn(nanos));
                spawner.wait();
            }));
        }
        if let Some(go) = &self.go {
            peers.push(("Go, a goroutine a task", Box::new(move || go.spawn(nanos, tasks))));
        }
        peers
    }
}
