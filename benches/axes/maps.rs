//! Who can map a function over numbers, and collect the results in their order.

use crate::cell::{Peer, peer};
use crossbeam_channel::unbounded;
use fanpool::{Pool, Workers};
use orx_parallel::{IntoParIter as _, Par as _};
use paralight::prelude::{CpuPinningPolicy, RangeStrategy, ThreadCount, ThreadPoolBuilder};
use pariter::IteratorExt as _;
use rayon::iter::{ParallelBridge as _, ParallelIterator as _};
use std::hint::black_box;
use std::thread;

pub(crate) struct Maps {
    threads: usize,
    fanpool: Pool,
    rayon: rayon::ThreadPool,
    paralight: paralight::threads::ThreadPool,
}

fn f(n: u64, nanos: usize) -> u64 {
    if nanos > 0 {
        benches::work(nanos);
    }
    black_box(n)
}

fn done(results: Vec<u64>, items: usize) {
    assert_eq!(black_box(results).len(), items);
}

impl Maps {
    pub(crate) fn new(threads: usize) -> Maps {
        let paralight = ThreadPoolBuilder {
            num_threads: ThreadCount::try_from(threads).unwrap(),
            range_strategy: RangeStrategy::WorkStealing,
            cpu_pinning: CpuPinningPolicy::No,
        };
        Maps {
            threads,
            fanpool: Pool::builder().workers(Workers::Fixed(threads)).build().unwrap(),
            rayon: rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap(),
            paralight: paralight.build(),
        }
    }

    pub(crate) fn peers(&mut self, items: usize, nanos: usize) -> Vec<Peer<'_>> {
        let Maps { threads, fanpool, rayon, paralight } = self;
        let (threads, fanpool, rayon) = (*threads, &*fanpool, &*rayon);
        let numbers = 0..items as u64;
        let mut peers = vec![
            peer("fanpool", {
                let numbers = numbers.clone();
                move || done(fanpool.map(numbers.clone(), move |n| f(n, nanos)).collect(), items)
            }),
            peer("serial loop", {
                let numbers = numbers.clone();
                move || done(numbers.clone().map(|n| f(n, nanos)).collect(), items)
            }),
            peer("rayon indexed", move || {
                let indexed = || {
                    rayon::iter::IntoParallelIterator::into_par_iter(0..items)
                        .map(|n| f(n as u64, nanos))
                        .collect::<Vec<_>>()
                };
                done(rayon.install(indexed), items);
            }),
            peer("rayon par_bridge, no order", {
                let numbers = numbers.clone();
                move || {
                    let bridged = || numbers.clone().par_bridge().map(|n| f(n, nanos)).collect::<Vec<_>>();
                    done(rayon.install(bridged), items);
                }
            }),
            peer("pariter", {
                let numbers = numbers.clone();
                move || {
                    let mapped = numbers.clone().parallel_map_custom(|o| o.threads(threads), move |n| f(n, nanos));
                    done(mapped.collect(), items);
                }
            }),
            peer("paralight", move || {
                done(with_paralight(paralight, items, nanos), items);
            }),
            peer("std, a thread each part", move || done(std_parts(threads, items, nanos), items)),
            peer("crossbeam by hand", move || done(by_hand(threads, items, nanos), items)),
        ];
        // Its pool has as many threads as there are cores.
        if thread::available_parallelism().is_ok_and(|cores| threads <= cores.get()) {
            peers.push(peer("orx-parallel", move || {
                done((0..items).into_par().num_threads(threads).map(|n| f(n as u64, nanos)).collect(), items);
            }));
        }
        peers
    }
}

fn with_paralight(pool: &mut paralight::threads::ThreadPool, items: usize, nanos: usize) -> Vec<u64> {
    // Its names are those of rayon.
    use paralight::prelude::{ExactParallelSourceExt as _, IntoExactParallelSource as _};
    (0..items).into_par_iter().map(|n| f(n as u64, nanos)).with_thread_pool(pool).collect()
}

fn std_parts(threads: usize, items: usize, nanos: usize) -> Vec<u64> {
    let part = items.div_ceil(threads);
    thread::scope(|s| {
        let parts = (0..items).step_by(part.max(1)).map(|from| {
            let numbers = from..(from + part).min(items);
            s.spawn(move || numbers.map(|n| f(n as u64, nanos)).collect::<Vec<_>>())
        });
        let parts: Vec<_> = parts.collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
    })
}

/// Numbers through one channel, results with their places through another.
fn by_hand(threads: usize, items: usize, nanos: usize) -> Vec<u64> {
    let (numbers, queue) = unbounded();
    let (results, outcomes) = unbounded();
    thread::scope(|s| {
        for _ in 0..threads {
            let (queue, results) = (queue.clone(), results.clone());
            s.spawn(move || queue.iter().for_each(|n: u64| results.send((n, f(n, nanos))).unwrap()));
        }
        drop(results);
        (0..items as u64).for_each(|n| numbers.send(n).unwrap());
        drop(numbers);
        let mut all = vec![0; items];
        outcomes.iter().for_each(|(n, result)| all[n as usize] = result);
        all
    })
}
