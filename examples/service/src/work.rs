//! What the service does for its clients, and on which threads: sums are computed by as many workers as the process may use CPUs, and what
//! blocks has an elastic pool of its own, so that neither takes the other's threads.

use crate::options::Options;
use fanpool::{
    BuildError, Collector, Control, Elastic, FanOut, HealthCheck, Input, Metrics, Pool, Route, Shutdown, Timings,
    Workers, blocking,
};
use sha2::{Digest, Sha256};
use std::convert::Infallible;
use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

/// Threads for what blocks, for each CPU: they wait for most of their time.
const THREADS_PER_CPU: usize = 16;

struct Sum {
    body: Vec<u8>,
    reply: SyncSender<String>,
}

/// There is too much in hand, or it has come to an end.
#[derive(Debug)]
pub(crate) struct Busy;

pub(crate) struct Work {
    sums: Input<'static, Sum>,
    /// Taken out when it is shut down.
    pool: RwLock<Option<Pool>>,
    check: HealthCheck,
    /// Tasks of the pool that were accepted and have not ended.
    in_hand: Arc<AtomicUsize>,
    window: usize,
    /// Lets tasks go that are stuck on purpose.
    stuck: Mutex<Vec<Sender<()>>>,
}

impl Work {
    pub(crate) fn start(options: &Options) -> Result<(Work, Collector), BuildError> {
        // Bodies differ in size; what is long does not hold up what is behind it while others are free.
        let (sums, done) = FanOut::builder(|sum: Sum| {
            // Nobody waits if the answer took too long.
            let _ = sum.reply.send(digest(&sum.body));
            Ok::<(), Infallible>(())
        })
        .name("sums")
        .workers(Workers::CpuBound)
        .route(Route::LeastLoaded)
        .weigh(|sum: &Sum| sum.body.len() + 1)
        .window(options.window)
        .stuck_after(options.stuck_after)
        .timings(Timings::all())
        .start()?;
        let collector = done.for_each(drop)?;
        let cpus = sums.control().metrics().workers.total();
        let threads = options.threads.unwrap_or(THREADS_PER_CPU * cpus);
        let pool = Pool::builder()
            .workers(Elastic::new(1, threads))
            .name(&options.name)
            .stuck_after(options.stuck_after)
            .timings(Timings::all())
            .build()?;
        let work = Work {
            sums,
            check: pool.health_check(),
            pool: RwLock::new(Some(pool)),
            in_hand: Arc::default(),
            window: options.window,
            stuck: Mutex::default(),
        };
        Ok((work, collector))
    }

    /// The sum of `body`, to come.
    pub(crate) fn sum(&self, body: Vec<u8>) -> Result<Receiver<String>, Busy> {
        let (reply, answer) = sync_channel(1);
        self.sums.try_send(Sum { body, reply }).map(|_| answer).map_err(|_| Busy)
    }

    /// Waits for a dependency of that name, which takes so long.
    pub(crate) fn wait_for(&self, name: &str, time: Duration) -> Result<Receiver<String>, Busy> {
        let text = format!("{name} took {} ms\n", time.as_millis());
        self.spawn(&format!("work {name}"), move || {
            blocking(|| std::thread::sleep(time));
            text
        })
    }

    /// Never ends, unless it is released.
    pub(crate) fn stick(&self) -> Result<Receiver<String>, Busy> {
        let (release, released) = channel();
        self.stuck.lock().unwrap_or_else(PoisonError::into_inner).push(release);
        self.spawn("stick", move || {
            let _ = released.recv();
            "released\n".into()
        })
    }

    /// How many were stuck.
    pub(crate) fn release(&self) -> usize {
        std::mem::take(&mut *self.stuck.lock().unwrap_or_else(PoisonError::into_inner)).len()
    }

    /// A task of a group of that name, by which receipts and health call it. `submit` would have `join` run it on the connection's thread.
    fn spawn(&self, name: &str, task: impl FnOnce() -> String + Send + 'static) -> Result<Receiver<String>, Busy> {
        let (reply, answer) = sync_channel(1);
        let place = Place::take(&self.in_hand, self.window).ok_or(Busy)?;
        self.with_pool(|pool| {
            let group = pool.group().name(name).build().map_err(|_| Busy)?;
            let task = move || {
                let _place = place;
                let _ = reply.send(task());
            };
            group.spawn(task).map(|()| answer).map_err(|_| Busy)
        })
        .ok_or(Busy)?
    }

    fn with_pool<R>(&self, use_it: impl FnOnce(&Pool) -> R) -> Option<R> {
        self.pool.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(use_it)
    }

    /// Snapshots of the pool and of the service.
    pub(crate) fn metrics(&self) -> [Option<Metrics>; 2] {
        [self.with_pool(Pool::metrics), Some(self.sums.control().metrics())]
    }

    /// Health of both, under their names.
    pub(crate) fn checks(&self) -> [(&'static str, fanpool::Health); 2] {
        [("blocking", self.check.health()), ("sums", self.sums.control().health())]
    }

    pub(crate) fn health_check(&self) -> HealthCheck {
        self.check.clone()
    }

    pub(crate) fn sums(&self) -> Control<'static> {
        self.sums.control()
    }

    pub(crate) fn shutdown(&self, timeout: Duration) -> Option<Shutdown> {
        let pool = self.pool.write().unwrap_or_else(PoisonError::into_inner).take();
        pool.map(|pool| pool.shutdown_timeout(timeout))
    }
}

/// One of so many places, given back when it is dropped.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(taken: &Arc<AtomicUsize>, most: usize) -> Option<Place> {
        let more = |taken| (taken < most).then_some(taken + 1);
        // Only counts; what a place is for is handed over by the pool's queue.
        taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Place(taken.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn digest(body: &[u8]) -> String {
    let mut text = String::with_capacity(65);
    for byte in Sha256::digest(body) {
        let _ = write!(text, "{byte:02x}");
    }
    text + "\n"
}
