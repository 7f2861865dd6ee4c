//! Services with keys: static shards and strands.

use super::fan::{Gate, HELPS, LONG, assert_settled};
use super::map_property::SplitMix64;
use super::{pool, quiet_panic, within};
use fanpool::{FanOut, Help, Priority, ResizeError, Route};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

/// A key and a number that rises within it.
type Step = (u64, u64);

fn spin(turns: u64) {
    (0..turns).for_each(|turn| _ = std::hint::black_box(turn));
}

/// `(steps, keys)`: for each step the key is drawn, numbers rise.
fn steps(seed: u64, count: u64, keys: u64) -> impl Iterator<Item = Step> {
    let mut random = SplitMix64(seed);
    let mut next = HashMap::new();
    (0..count).map(move |_| {
        let key = random.next() % keys;
        let n = next.entry(key).or_insert(0);
        *n += 1;
        (key, *n - 1)
    })
}

/// Counts for each key which number is next; notices every one that is early, late or at the same time as another.
struct Order {
    next: Vec<AtomicU64>,
    busy: Vec<AtomicUsize>,
    wrong: AtomicUsize,
}

impl Order {
    fn new(keys: u64) -> Arc<Order> {
        Arc::new(Order {
            next: (0..keys).map(|_| AtomicU64::new(0)).collect(),
            busy: (0..keys).map(|_| AtomicUsize::new(0)).collect(),
            wrong: AtomicUsize::new(0),
        })
    }

    fn run(&self, (key, n): Step, work: impl FnOnce()) {
        let key = key as usize;
        let alone = self.busy[key].fetch_add(1, Ordering::SeqCst) == 0;
        let expected = self.next[key].load(Ordering::SeqCst) == n;
        work();
        self.next[key].store(n + 1, Ordering::SeqCst);
        self.busy[key].fetch_sub(1, Ordering::SeqCst);
        if !alone || !expected {
            self.wrong.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[track_caller]
    fn held(&self) {
        assert_eq!(self.wrong.load(Ordering::SeqCst), 0, "out of order, or two at a time");
    }
}

#[test]
fn all_of_a_key_go_to_one_worker_in_order_with_its_own_state() {
    within(|| {
        let init = HashMap::<u64, u64>::new;
        let handler = |counts: &mut HashMap<u64, u64>, (key, n): Step| {
            let count = counts.entry(key).or_default();
            *count += 1;
            Ok::<_, ()>((key, n, *count - 1))
        };
        let (input, output) = FanOut::builder_init(init, handler)
            .workers(3)
            .window(100)
            .route(Route::by_key(|step: &Step| step.0))
            .start()
            .unwrap();
        let sender = std::thread::spawn(move || steps(1, 30_000, 50).for_each(|step| _ = input.send(step).unwrap()));
        let mut worker_of = HashMap::new();
        for outcome in output {
            let (key, n, counted) = outcome.result.unwrap();
            assert_eq!(n, counted, "a state of key {key} was lost or shared");
            let worker = outcome.worker.unwrap();
            assert_eq!(*worker_of.entry(key).or_insert(worker), worker);
        }
        sender.join().unwrap();
        let mut used: Vec<_> = worker_of.into_values().collect();
        used.sort_unstable();
        used.dedup();
        assert_eq!(used, [0, 1, 2]);
    });
}

/// On a shared pool, and where callers help, any thread may serve a lane, one at a time: the state stays with the lane.
#[test]
fn a_lane_keeps_its_state_whoever_serves_it() {
    within(|| {
        for (help, workers, limit) in [
            (Help::Never, 1, None),
            (Help::Never, 3, None),
            (Help::Both, 1, None),
            (Help::Both, 3, None),
            (Help::Receiver, 2, Some(1)),
            (Help::Both, 3, Some(1)),
            (Help::Never, 3, Some(1)),
        ] {
            for own in [false, true] {
                let order = Order::new(7);
                let orders = order.clone();
                let init = HashMap::<u64, u64>::new;
                let handler = move |counts: &mut HashMap<u64, u64>, step: Step| {
                    let count = counts.entry(step.0).or_default();
                    orders.run(step, || spin(step.1 % 8));
                    *count += 1;
                    Ok::<_, ()>((step.1, *count - 1))
                };
                let builder = FanOut::builder_init(init, handler)
                    .window(200)
                    .help(help)
                    .route(Route::by_key(|step: &Step| step.0));
                let builder = if let Some(limit) = limit { builder.limit(limit) } else { builder };
                let builder = if own { builder.workers(workers) } else { builder.pool(Arc::new(pool(workers))) };
                let (input, output) = builder.start().unwrap();
                let sender =
                    std::thread::spawn(move || steps(2, 60_000, 7).for_each(|step| _ = input.send(step).unwrap()));
                let wrong = output.map(|outcome| outcome.result.unwrap()).filter(|(n, counted)| n != counted).count();
                sender.join().unwrap();
                order.held();
                assert_eq!(wrong, 0, "{help:?}, {workers} workers, limit {limit:?}, own {own}: states were split");
            }
        }
    });
}

/// Shards are served one at a time also where there is only one, and their number is fixed.
#[test]
fn one_shard_on_a_shared_pool_that_grows_is_served_one_at_a_time() {
    within(|| {
        for route in super::fan::routes(|step: &Step| step.0).into_iter().skip(1) {
            let pool = Arc::new(pool(1));
            let order = Order::new(3);
            let orders = order.clone();
            let handler = move |step: Step| {
                orders.run(step, || spin(200));
                Ok::<_, ()>(())
            };
            let (input, output) = FanOut::builder(handler).pool(pool.clone()).route(route).window(500).start().unwrap();
            let control = input.control();
            pool.resize(4).unwrap();
            assert!(matches!(control.resize(3), Err(ResizeError::Sharded)));
            let sender = std::thread::spawn(move || steps(3, 20_000, 3).for_each(|step| _ = input.send(step).unwrap()));
            assert_eq!(output.count(), 20_000);
            sender.join().unwrap();
            order.held();
        }
    });
}

type Ends = (fanpool::Input<'static, (u64, bool)>, fanpool::Output<'static, u64, ()>);

/// The keys, two of which share a shard of two, found by asking the service.
fn two_of_one_shard() -> (Ends, Arc<Gate>, [u64; 3]) {
    let gate = Gate::new();
    let pass = gate.clone();
    let handler = move |(key, waits): (u64, bool)| {
        if waits {
            pass.pass();
        }
        Ok::<_, ()>(key)
    };
    let (input, mut output) =
        FanOut::builder(handler).workers(2).route(Route::by_key(|item: &(u64, bool)| item.0)).start().unwrap();
    let mut keys: [Vec<u64>; 2] = Default::default();
    for key in 0.. {
        input.send((key, false)).unwrap();
        keys[output.recv().unwrap().worker.unwrap()].push(key);
        if keys[0].len() >= 2 && !keys[1].is_empty() {
            break;
        }
    }
    ((input, output), gate, [keys[0][0], keys[0][1], keys[1][0]])
}

#[test]
fn others_of_a_shard_wait_behind_a_slow_key_and_other_shards_do_not() {
    within(|| {
        let ((input, mut output), gate, [slow, same, other]) = two_of_one_shard();
        input.send((slow, true)).unwrap();
        input.send((same, false)).unwrap();
        for _ in 0..500 {
            input.send((other, false)).unwrap();
            assert_eq!(output.recv().unwrap().result.unwrap(), other);
        }
        // The other of the shard has waited all the time.
        assert!(output.try_recv().is_err());
        gate.open();
        assert_eq!(output.recv().unwrap().result.unwrap(), slow);
        assert_eq!(output.recv().unwrap().result.unwrap(), same);
    });
}

#[test]
fn f4_with_strands_only_the_slow_key_waits() {
    within(|| {
        for help in [Help::Never, Help::Receiver] {
            let gate = Gate::new();
            let pass = gate.clone();
            let (entered, enters) = std::sync::mpsc::channel();
            let handler = move |step: Step| {
                if step == (0, 0) {
                    entered.send(()).unwrap();
                    pass.pass();
                }
                Ok::<_, ()>(step)
            };
            let (input, mut output) =
                FanOut::builder(handler).workers(2).window(3000).key(|step: &Step| step.0).help(help).start().unwrap();
            // A worker has it before this thread helps.
            input.send((0, 0)).unwrap();
            enters.recv().unwrap();
            for n in 0..100 {
                for key in u64::from(n == 0)..20 {
                    input.send((key, n)).unwrap();
                }
            }
            let mut next = [0; 20];
            for _ in 0..1900 {
                let (key, n) = output.recv_timeout(LONG).expect("other keys go on").result.unwrap();
                assert!(key != 0 && next[key as usize] == n);
                next[key as usize] += 1;
            }
            assert!(output.try_recv().is_err());
            gate.open();
            drop(input);
            assert!(output.map(|outcome| outcome.result.unwrap()).eq((0..100).map(|n| (0, n))));
        }
    });
}

/// A burst of cheap items, so that each thread takes many at a time; then one that blocks. What was in the same hand comes out.
#[test]
fn f4_items_in_the_hand_of_a_thread_that_is_stuck_come_out() {
    within(|| {
        for (help, keyed) in HELPS.into_iter().flat_map(|help| [(help, false), (help, true)]) {
            for at in [0, 1, 17, 500] {
                let gate = Gate::new();
                let pass = gate.clone();
                let (helped, blocked_caller) = mpsc::channel();
                let caller = Mutex::new(helped);
                let handler = move |n: u64| {
                    if n == u64::MAX {
                        if fanpool::current_worker().is_none() {
                            // A caller that helps would wait for itself.
                            caller.lock().unwrap().send(()).unwrap();
                        } else {
                            pass.pass();
                        }
                    }
                    Ok::<_, ()>(n)
                };
                let builder = FanOut::builder(handler).workers(2).window(20_000).help(help);
                let builder = if keyed { builder.key(|n: &u64| n % 1000) } else { builder };
                let (input, mut output) = builder.start().unwrap();
                for n in 0..15_000 {
                    input.send(n).unwrap();
                }
                for _ in 0..15_000 {
                    output.recv().unwrap();
                }
                for n in 0..2000 {
                    input.send(if n == at { u64::MAX } else { n }).unwrap();
                }
                for _ in 0..1999 {
                    match output.recv_timeout(LONG) {
                        Ok(outcome) => {
                            assert!(outcome.result.unwrap() != u64::MAX || blocked_caller.try_recv().is_ok());
                        }
                        Err(error) if keyed => {
                            // Those behind the stuck one of its own key wait.
                            panic!("{error}: {:?}", output.control());
                        }
                        Err(error) => panic!("{error}: {:?}", output.control()),
                    }
                    if keyed && output.control().in_flight() == behind(at) {
                        break;
                    }
                }
                gate.open();
                drop(input);
                output.count();
            }
        }
    });
}

/// How many items of 2,000 come out only after the one at `at`, whose key is that of `u64::MAX`.
fn behind(at: u64) -> usize {
    let key = u64::MAX % 1000;
    1 + (at + 1..2000).filter(|n| n % 1000 == key).count()
}

#[test]
fn f4_every_worker_but_one_is_stuck_after_a_burst() {
    within(|| {
        for round in 0..20 {
            let gate = Gate::new();
            let pass = gate.clone();
            let handler = move |wait: bool| {
                if wait {
                    pass.pass();
                }
                Ok::<_, ()>(wait)
            };
            let (input, mut output) = FanOut::builder(handler).workers(3).window(30_000).start().unwrap();
            (0..12_000).for_each(|_| _ = input.send(false).unwrap());
            // Two that block, somewhere in the burst.
            for n in 0..3000 {
                input.send(n == 10 * round || n == 300 + round).unwrap();
            }
            for _ in 0..14_998 {
                assert!(!output.recv_timeout(LONG).expect("all others come out").result.unwrap());
            }
            gate.open();
            drop(input);
            assert_eq!(output.count(), 2);
        }
    });
}

#[test]
fn strands_keep_the_order_of_each_key_under_random_handler_times() {
    within(|| {
        for (round, help) in HELPS.into_iter().enumerate() {
            for priorities in [false, true] {
                let order = Order::new(40);
                let orders = order.clone();
                let handler = move |step: Step| {
                    orders.run(step, || {
                        let mut random = SplitMix64(step.0 << 32 | step.1);
                        spin(if random.below(50) == 0 { 20_000 } else { random.below(50) as u64 });
                        if random.below(20) == 0 {
                            std::thread::yield_now();
                        }
                    });
                    if step.1 % 11 == 5 { quiet_panic(step) } else { Ok::<_, ()>(step) }
                };
                // A handler that panics has ended its step by then.
                let builder = FanOut::builder(handler).workers(3).window(300).key(|step: &Step| step.0).help(help);
                let builder = if priorities {
                    builder.priority(|step| [Priority::Low, Priority::Normal, Priority::High][step.1 as usize % 3])
                } else {
                    builder
                };
                let (input, output) = builder.start().unwrap();
                let control = input.control();
                let sender = std::thread::spawn(move || {
                    let random = &mut SplitMix64(round as u64);
                    for step in steps(4 + round as u64, 20_000, 40) {
                        input.send(step).unwrap();
                        if random.below(500) == 0 {
                            input.control().resize(1 + random.below(4)).unwrap();
                        }
                    }
                });
                assert_eq!(output.count(), 20_000);
                sender.join().unwrap();
                order.held();
                assert_settled(control.counts());
            }
        }
    });
}

#[test]
fn f4_a_million_keys_once_each() {
    within(|| {
        const KEYS: u64 = if cfg!(debug_assertions) { 200_000 } else { 1_000_000 };
        let (input, output) =
            FanOut::builder(|n: u64| Ok::<_, ()>(n)).workers(2).ordered().key(|n: &u64| *n).start().unwrap();
        let sender = std::thread::spawn(move || (0..KEYS).for_each(|n| _ = input.send(n).unwrap()));
        assert!(output.results().map(Result::unwrap).eq(0..KEYS));
        sender.join().unwrap();
    });
}

#[test]
fn f4_one_key_gets_everything() {
    within(|| {
        for help in HELPS {
            let order = Order::new(1);
            let orders = order.clone();
            let handler = move |n: u64| {
                orders.run((0, n), || ());
                Ok::<_, ()>(n)
            };
            // Not ordered: that the outcomes are is the strand's doing.
            let (input, output) =
                FanOut::builder(handler).workers(3).window(5000).key(|_: &u64| "the one").help(help).start().unwrap();
            let sender = std::thread::spawn(move || (0..50_000).for_each(|n| _ = input.send(n).unwrap()));
            assert_eq!(output.count(), 50_000);
            sender.join().unwrap();
            order.held();
        }
    });
}
