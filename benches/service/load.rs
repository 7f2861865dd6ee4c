//! What is asked of every contender, and who asks: the two shapes of a caller.

use benches::work;
use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const WORKERS: usize = 2;

/// What a slow item takes.
pub(crate) const SLOW: usize = 1_000_000;

/// Who sends and who receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A producer on a thread of its own, the consumer on another.
    Two,
    /// One thread that sends until the window is full and then receives.
    One,
}

/// The shape of a service and the work that its items are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// What an item takes.
    pub(crate) nanos: usize,
    /// Items from this one on take [`SLOW`].
    pub(crate) slow_from: u64,
    /// Items between send and receive; a power of two.
    pub(crate) window: usize,
    pub(crate) ordered: bool,
    pub(crate) caller: Caller,
}

impl Load {
    pub(crate) fn new(nanos: usize, window: usize, caller: Caller) -> Load {
        Load { nanos, slow_from: u64::MAX, window, ordered: false, caller }
    }

    pub(crate) fn parameters(&self) -> [benches::Parameter<'static>; 3] {
        [("threads", WORKERS as f64), ("grain_ns", self.nanos as f64), ("window", self.window as f64)]
    }

    pub(crate) fn handle(&self, n: u64) -> u64 {
        let nanos = if n < self.slow_from { self.nanos } else { SLOW };
        if nanos > 0 {
            work(nanos);
        }
        black_box(n)
    }
}

/// Where items go in.
pub(crate) trait Input: Send {
    fn send(&mut self, n: u64);

    /// False if the window is full. A peer that does not count for itself goes by the caller's count.
    fn try_send(&mut self, n: u64, in_flight: usize) -> bool;
}

/// Where outcomes come out.
pub(crate) trait Output {
    fn recv(&mut self) -> u64;
}

/// A contender of this process.
pub(crate) trait Service {
    fn name(&self) -> String;

    /// Starts it anew. The input is dropped before the output.
    fn open(&mut self, load: &Load) -> (impl Input, impl Output);
}

/// A contender, of this process or of another.
pub(crate) trait Contender {
    fn name(&self) -> String;

    /// From the first send to the last outcome of `items`.
    fn run(&mut self, load: &Load, items: u64) -> Duration;

    /// Sends an item of no work every `pause`; from send to outcome of each.
    fn pace(&mut self, caller: Caller, pause: Duration, items: u64) -> Vec<Duration>;
}

impl<S: Service> Contender for S {
    fn name(&self) -> String {
        Service::name(self)
    }

    fn run(&mut self, load: &Load, items: u64) -> Duration {
        let (input, output) = self.open(load);
        drive(load, items, input, output)
    }

    fn pace(&mut self, caller: Caller, pause: Duration, items: u64) -> Vec<Duration> {
        let load = Load::new(0, 64, caller);
        let (mut input, mut output) = self.open(&load);
        // An item is the time at which it was sent.
        let origin = Instant::now();
        let now = move || origin.elapsed().as_nanos() as u64;
        let age = move |sent: u64| Duration::from_nanos(now() - sent);
        let ages = match caller {
            Caller::Two => thread::scope(|s| {
                s.spawn(move || {
                    for _ in 0..items {
                        thread::sleep(pause);
                        input.send(now());
                    }
                });
                (0..items).map(|_| age(output.recv())).collect()
            }),
            Caller::One => {
                let turns = (0..items).map(|_| {
                    thread::sleep(pause);
                    input.send(now());
                    age(output.recv())
                });
                let ages = turns.collect();
                drop(input);
                ages
            }
        };
        drop(output);
        ages
    }
}

/// Sends `items` one by one and takes as many outcomes one by one.
pub(crate) fn drive(load: &Load, items: u64, mut input: impl Input, mut output: impl Output) -> Duration {
    let began = Instant::now();
    let (mut sum, mut in_order) = (0_u64, true);
    let mut take = |expected| {
        let n = output.recv();
        sum = sum.wrapping_add(n);
        in_order &= n == expected;
    };
    match load.caller {
        Caller::Two => thread::scope(|s| {
            s.spawn(move || (0..items).for_each(|n| input.send(n)));
            (0..items).for_each(&mut take);
        }),
        Caller::One => {
            let mut sent = 0;
            for received in 0..items {
                while sent < items && input.try_send(sent, (sent - received) as usize) {
                    sent += 1;
                }
                take(received);
            }
            drop(input);
        }
    }
    let took = began.elapsed();
    drop(output);
    assert_eq!(sum, (0..items).fold(0, u64::wrapping_add), "an outcome is missing or came twice");
    assert!(in_order || !load.ordered, "outcomes out of order");
    took
}
