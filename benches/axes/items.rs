//! What items are: how many keys they have, how uneven these are, and how large an item is.

use crate::cell::{Cell, Peer, peer};
use crossbeam_channel::{Receiver, Sender, bounded};
use fanpool::{FanOut, Help, Input, Output, Pool, Route, Workers};
use orx_parallel::{IntoParIter as _, Par as _};
use rayon::iter::{IntoParallelIterator as _, ParallelBridge as _, ParallelIterator as _};
use std::convert::Infallible;
use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

const WORKERS: usize = 2;
const WINDOW: usize = 4096;
const EVENTS: u64 = 50_000;
const WORK: usize = 150;

type Key = dyn Fn(&u64) -> u64 + Send + Sync;

pub(crate) fn keys() {
    for keys in [1, 10, 100, 1_000, 10_000, 100_000] {
        // Scrambled, so that neighbours do not have neighbouring keys.
        let key = move |n: &u64| scrambled(*n) % keys;
        cell(format!("events of 0.15 µs by keys: {keys}"), &[("keys", keys as f64)], &key);
    }
}

pub(crate) fn skew() {
    const KEYS: u64 = 10_000;
    for percent in [0, 50, 90, 99] {
        let key = move |n: &u64| {
            let dice = scrambled(*n);
            if dice % 100 < percent { 0 } else { dice / 100 % KEYS }
        };
        let title = format!("events of 0.15 µs of 10,000 keys by percent that have one of them: {percent}");
        cell(title, &[("keys", KEYS as f64), ("skew_percent", percent as f64)], &key);
    }
}

fn scrambled(n: u64) -> u64 {
    n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32
}

fn cell(title: String, parameters: &[(&str, f64)], key: &(impl Fn(&u64) -> u64 + Copy + Send + Sync + 'static)) {
    let key = *key;
    let service = || {
        let handler = |n: u64| {
            benches::work(WORK);
            Ok::<_, Infallible>(n)
        };
        FanOut::builder(handler).workers(WORKERS).window(WINDOW)
    };
    let through = |(input, output): (Input<'static, u64>, Output<'static, u64, Infallible>)| {
        thread::scope(|s| {
            s.spawn(move || (0..EVENTS).for_each(|n| _ = input.send(n).unwrap()));
            assert_eq!(output.into_iter().count(), EVENTS as usize);
        });
    };
    let peers: Vec<Peer<'_>> = vec![
        peer("fanpool, strands", move || through(service().key(key).start().unwrap())),
        peer("fanpool, lanes by key", move || through(service().route(Route::by_key(key)).start().unwrap())),
        peer("fanpool, no keys", move || through(service().start().unwrap())),
        peer("crossbeam by hand, a channel a worker", move || lanes_by_hand(&key)),
    ];
    let parameters = [&[("threads", WORKERS as f64), ("window", WINDOW as f64)], parameters].concat();
    Cell::new(title, "ns an event", &parameters).run(EVENTS as usize, peers);
}

/// A channel for each worker; an event goes to that of its key.
fn lanes_by_hand(key: &Key) {
    let (results, outcomes) = bounded(WINDOW / 2);
    thread::scope(|s| {
        let lane = |_| {
            let (items, queue) = bounded::<u64>(WINDOW / 2 / WORKERS - 1);
            let results = results.clone();
            s.spawn(move || {
                for n in queue {
                    benches::work(WORK);
                    results.send(n).unwrap();
                }
            });
            items
        };
        let lanes: Vec<Sender<u64>> = (0..WORKERS).map(lane).collect();
        s.spawn(move || (0..EVENTS).for_each(|n| lanes[key(&n) as usize % WORKERS].send(n).unwrap()));
        drop(results);
        assert_eq!(outcomes.iter().count(), EVENTS as usize);
    });
}

/// Calls a generic function with each size of an item.
macro_rules! for_sizes {
    ($call:ident($($argument:expr),*)) => {
        $call::<8>($($argument),*);
        $call::<64>($($argument),*);
        $call::<256>($($argument),*);
        $call::<1_024>($($argument),*);
        $call::<4_096>($($argument),*);
        $call::<16_384>($($argument),*);
    };
}

/// So many that they are 8 MiB together, but not more than 50,000.
fn items_of(size: usize) -> usize {
    ((8 << 20) / size).min(50_000)
}

/// Looks at all of an item, so that it has to travel.
fn sum<const N: usize>(item: [u8; N]) -> u64 {
    item.iter().map(|byte| u64::from(*byte)).sum()
}

fn values<const N: usize>() -> Vec<[u8; N]> {
    (0..items_of(N)).map(|n| [n as u8; N]).collect()
}

pub(crate) fn sizes_of_a_map(cores: usize) {
    let pool = Pool::builder().workers(Workers::Fixed(cores)).build().unwrap();
    let rayon = rayon::ThreadPoolBuilder::new().num_threads(cores).build().unwrap();
    for_sizes!(map_of(cores, &pool, &rayon));
}

fn map_of<const N: usize>(cores: usize, pool: &Pool, rayon: &rayon::ThreadPool) {
    fn consumed<'a, const N: usize>(name: &'a str, run: impl Fn(Vec<[u8; N]>) -> Vec<u64> + 'a) -> Peer<'a> {
        // The vector is made before the time runs.
        let timed = move || {
            let items = values::<N>();
            let began = Instant::now();
            black_box(run(items));
            began.elapsed()
        };
        (name, Box::new(timed))
    }
    let peers = vec![
        consumed::<N>("fanpool", |items| pool.map(items, sum).collect()),
        consumed::<N>("serial loop", |items| items.into_iter().map(sum).collect()),
        consumed::<N>("rayon indexed", |items| rayon.install(|| items.into_par_iter().map(sum).collect())),
        consumed::<N>("rayon par_bridge, no order", |items| {
            rayon.install(|| items.into_iter().par_bridge().map(sum).collect())
        }),
        consumed::<N>("orx-parallel", |items| items.into_par().num_threads(cores).map(sum).collect()),
    ];
    let parameters = [("threads", cores as f64), ("tasks", items_of(N) as f64), ("bytes", N as f64)];
    let title = format!("items of a map, moved in and summed, by size: {N} B");
    Cell::new(title, "ns an item", &parameters).run(items_of(N), peers);
}

pub(crate) fn sizes_of_a_service() {
    for_sizes!(service_of());
}

fn service_of<const N: usize>() {
    const WINDOW: usize = 256;
    let ours = |help| {
        let service = FanOut::builder(|item: [u8; N]| Ok::<_, Infallible>(sum(item)));
        let (input, output) = service.workers(WORKERS).window(WINDOW).help(help).start().unwrap();
        drive::<N>(move |item| _ = input.send(item).unwrap(), || output.into_iter().count())
    };
    let by_hand = || {
        let (items, queue) = bounded::<[u8; N]>(WINDOW / 2 - WORKERS);
        let (results, outcomes) = bounded(WINDOW / 2);
        let workers: Vec<_> = (0..WORKERS)
            .map(|_| {
                let (queue, results): (Receiver<[u8; N]>, Sender<u64>) = (queue.clone(), results.clone());
                thread::spawn(move || queue.iter().for_each(|item| results.send(sum(item)).unwrap()))
            })
            .collect();
        drop((queue, results));
        let took = drive::<N>(move |item| items.send(item).unwrap(), || outcomes.iter().count());
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        took
    };
    let peers: Vec<Peer<'_>> = vec![
        ("fanpool, workers only", Box::new(|| ours(Help::Never))),
        ("fanpool, receiver helps", Box::new(|| ours(Help::Receiver))),
        ("crossbeam by hand", Box::new(by_hand)),
    ];
    let parameters = [("threads", WORKERS as f64), ("window", WINDOW as f64), ("bytes", N as f64)];
    let title = format!("items of a service by size: {N} B");
    Cell::new(title, "ns an item", &parameters).run(items_of(N), peers);
}

/// From the first item sent to the last outcome; `send` is dropped after the last item.
fn drive<const N: usize>(send: impl Fn([u8; N]) + Send, count: impl FnOnce() -> usize) -> Duration {
    let items = items_of(N);
    let began = Instant::now();
    thread::scope(|s| {
        s.spawn(move || (0..items).for_each(|n| send([n as u8; N])));
        assert_eq!(count(), items);
    });
    began.elapsed()
}
