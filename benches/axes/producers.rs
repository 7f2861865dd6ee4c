//! Threads that send at once, into one pool and into one service.

use crate::cell::{Cell, Peer, peer};
use crate::spawns::{Spawner, spawners};
use crossbeam_channel::bounded;
use fanpool::{FanOut, Help};
use std::convert::Infallible;
use std::thread;

const PRODUCERS: [usize; 4] = [1, 2, 4, 8];
const TASKS: usize = 16_000;
/// So many that the start of a service is little beside them.
const ITEMS: usize = 128_000;
const WINDOW: usize = 4096;
const WORKERS: usize = 2;

pub(crate) fn into_pools(cores: usize) {
    let spawners = spawners(cores);
    for producers in PRODUCERS {
        let parameters = [("threads", cores as f64), ("producers", producers as f64), ("tasks", TASKS as f64)];
        let title = format!("empty tasks into a pool by producers: {producers}");
        let run = |spawner: &dyn Spawner| {
            thread::scope(|s| {
                for _ in 0..producers {
                    s.spawn(|| (0..TASKS / producers).for_each(|_| spawner.spawn(0)));
                }
            });
            spawner.wait();
        };
        let peers = spawners.iter().map(|spawner| peer(spawner.name(), move || run(&**spawner)));
        Cell::new(title, "ns a task", &parameters).run(TASKS, peers.collect());
    }
}

pub(crate) fn into_services() {
    for producers in PRODUCERS {
        let parameters = [("threads", WORKERS as f64), ("producers", producers as f64), ("window", WINDOW as f64)];
        let title = format!("empty items into a service by producers: {producers}");
        let peers: Vec<Peer<'_>> = vec![
            peer("fanpool, workers only", move || ours(producers, Help::Never)),
            peer("fanpool, receiver helps", move || ours(producers, Help::Receiver)),
            peer("crossbeam by hand", move || by_hand(producers)),
        ];
        Cell::new(title, "ns an item", &parameters).run(ITEMS, peers);
    }
}

fn ours(producers: usize, help: Help) {
    let service = FanOut::builder(|n: usize| Ok::<_, Infallible>(n)).workers(WORKERS).window(WINDOW).help(help);
    let (input, output) = service.start().unwrap();
    thread::scope(|s| {
        for _ in 0..producers {
            let input = input.clone();
            s.spawn(move || (0..ITEMS / producers).for_each(|n| _ = input.send(n).unwrap()));
        }
        drop(input);
        assert_eq!(output.into_iter().count(), ITEMS);
    });
}

/// The window is what two bounded channels and the workers hold.
fn by_hand(producers: usize) {
    let (items, queue) = bounded(WINDOW / 2 - WORKERS);
    let (results, outcomes) = bounded(WINDOW / 2);
    thread::scope(|s| {
        for _ in 0..WORKERS {
            let (queue, results) = (queue.clone(), results.clone());
            s.spawn(move || queue.iter().for_each(|n: usize| results.send(n).unwrap()));
        }
        for _ in 0..producers {
            let items = items.clone();
            s.spawn(move || (0..ITEMS / producers).for_each(|n| items.send(n).unwrap()));
        }
        drop((items, queue, results));
        assert_eq!(outcomes.iter().count(), ITEMS);
    });
}
