//! What one would write without this crate: workers on two crossbeam channels, or a rayon task for each item.

use crate::load::{Caller, Input, Load, Output, Service, WORKERS};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// Workers that take items from one bounded channel and put results into another.
#[derive(Debug)]
pub(crate) struct ByHand;

/// A `rayon` task for each item and a bounded channel back.
#[derive(Debug)]
pub(crate) struct Rayon(pub(crate) Arc<rayon::ThreadPool>);

/// Windows from here on are bounded by two channels that share them, smaller ones by permits, each where it is quicker: permits
/// by up to 3.7 times at small windows, the channels by a fifth at 4,096.
const SHARED_FROM: usize = 1024;

/// A channel with as many places as the window, filled by who sends and emptied by who receives.
///
/// One thread that sends and receives can count for itself.
fn permits(load: &Load) -> Option<(Sender<()>, Receiver<()>)> {
    (load.caller == Caller::Two).then(|| bounded(load.window))
}

impl Service for ByHand {
    fn name(&self) -> String {
        "crossbeam by hand".into()
    }

    fn open(&mut self, load: &Load) -> (impl Input, impl Output) {
        // Results that overtake each other on their way to the reorder buffer are in no channel.
        let channels_bound = load.caller == Caller::Two && !load.ordered && load.window >= SHARED_FROM;
        let (before, after, permits) = if channels_bound {
            let free = load.window - WORKERS;
            (free / 2, free - free / 2, None)
        } else {
            (load.window, load.window, permits(load))
        };
        let (items, queue) = bounded::<u64>(before);
        let (results, outcomes) = bounded(after);
        let worker = |_| {
            let (queue, results, load) = (queue.clone(), results.clone(), *load);
            thread::spawn(move || {
                queue.iter().map(|n| load.handle(n)).try_for_each(|result| results.send(result)).is_ok()
            })
        };
        let workers = (0..WORKERS).map(worker).collect();
        let (take, give) = permits.unzip();
        (
            Sending { items, permits: take, window: load.window },
            Receiving { outcomes, permits: give, reorder: Reorder::of(load), workers },
        )
    }
}

/// The sending end of `ByHand`.
struct Sending {
    items: Sender<u64>,
    permits: Option<Sender<()>>,
    window: usize,
}

impl Input for Sending {
    fn send(&mut self, n: u64) {
        if let Some(permits) = &self.permits {
            permits.send(()).unwrap();
        }
        self.items.send(n).unwrap();
    }

    fn try_send(&mut self, n: u64, in_flight: usize) -> bool {
        let room = in_flight < self.window;
        if room {
            self.items.send(n).unwrap();
        }
        room
    }
}

/// The receiving end of both.
struct Receiving {
    outcomes: Receiver<u64>,
    permits: Option<Receiver<()>>,
    reorder: Option<Reorder>,
    workers: Vec<JoinHandle<bool>>,
}

impl Output for Receiving {
    fn recv(&mut self) -> u64 {
        let n = match &mut self.reorder {
            Some(reorder) => reorder.next(&self.outcomes),
            None => self.outcomes.recv().unwrap(),
        };
        if let Some(permits) = &self.permits {
            permits.recv().unwrap();
        }
        n
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.workers.drain(..).for_each(|worker| assert!(worker.join().unwrap()));
    }
}

/// A place for each item of the window.
struct Reorder {
    places: Vec<Option<u64>>,
    next: usize,
}

impl Reorder {
    fn of(load: &Load) -> Option<Reorder> {
        load.ordered.then(|| Reorder { places: vec![None; load.window], next: 0 })
    }

    fn next(&mut self, outcomes: &Receiver<u64>) -> u64 {
        let mask = self.places.len() - 1;
        let mine = self.next & mask;
        self.next += 1;
        loop {
            if let Some(n) = self.places[mine].take() {
                return n;
            }
            let n = outcomes.recv().unwrap();
            self.places[n as usize & mask] = Some(n);
        }
    }
}

impl Service for Rayon {
    fn name(&self) -> String {
        "rayon, a task an item".into()
    }

    fn open(&mut self, load: &Load) -> (impl Input, impl Output) {
        let (results, outcomes) = bounded(load.window);
        let (take, give) = permits(load).unzip();
        (
            Spawning { pool: self.0.clone(), results, permits: take, load: *load },
            Receiving { outcomes, permits: give, reorder: Reorder::of(load), workers: Vec::new() },
        )
    }
}

struct Spawning {
    pool: Arc<rayon::ThreadPool>,
    results: Sender<u64>,
    permits: Option<Sender<()>>,
    load: Load,
}

impl Spawning {
    fn spawn(&self, n: u64) {
        let (results, load) = (self.results.clone(), self.load);
        self.pool.spawn(move || results.send(load.handle(n)).unwrap());
    }
}

impl Input for Spawning {
    fn send(&mut self, n: u64) {
        if let Some(permits) = &self.permits {
            permits.send(()).unwrap();
        }
        self.spawn(n);
    }

    fn try_send(&mut self, n: u64, in_flight: usize) -> bool {
        let room = in_flight < self.load.window;
        if room {
            self.spawn(n);
        }
        room
    }
}
