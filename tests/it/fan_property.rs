//! Random services, held to what must be true of all. `FANPOOL_FAN_SEED` is the seed of the first case, `FANPOOL_FAN_CASES` their
//! number.

use super::fan::{HELPS, routes};
use super::map_property::SplitMix64;
use super::{check_seeds, pool, quiet_panic, setting};
use fanpool::{Control, FanOut, Help, Input, Output, Priority, SendReason, TaskError};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::Duration;

const KEYS: u64 = 5;

/// Who sent it, and its number there.
#[derive(Debug, Clone, Copy)]
struct Item {
    producer: usize,
    n: u64,
}

impl Item {
    /// Each producer has keys of its own, so that the order of a key is that of its numbers.
    fn key(&self) -> u64 {
        self.producer as u64 * KEYS + self.n % KEYS
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    InputsDropped,
    Closed,
    Drained,
    Stopped,
    OutputDropped,
}

#[derive(Debug)]
struct Case {
    seed: u64,
    workers: usize,
    shared: bool,
    limit: Option<usize>,
    window: usize,
    ordered: bool,
    /// 4 stands for strands, 5 for no route and no key.
    route: usize,
    priorities: bool,
    help: Help,
    batch: Option<(usize, Duration)>,
    stateful: bool,
    producers: usize,
    items: u64,
    slow: u64,
    fails: u64,
    panics: u64,
    key_panics: bool,
    commands: bool,
    commands_inside: bool,
    end: End,
    /// How many outcomes are taken before the end comes.
    after: u64,
}

impl Case {
    fn random(seed: u64) -> Case {
        let r = &mut SplitMix64(seed);
        let window = 1 + r.below_one_of(&[1, 5, 70, 1024]);
        let items = r.below_one_of(&[3, 60, 900, 3000]) as u64;
        let producers = 1 + r.below(3);
        Case {
            seed,
            workers: 1 + r.below(3),
            shared: r.below(3) == 0,
            limit: r.maybe(4, |r| 1 + r.below(3)),
            window,
            ordered: r.below(2) == 0,
            route: r.below(6),
            priorities: r.below(4) == 0,
            help: HELPS[r.below(3)],
            batch: r.maybe(5, |r| (1 + r.below(window.min(20)), Duration::from_micros([0, 50, 300][r.below(3)]))),
            stateful: r.below(4) == 0,
            producers,
            items,
            slow: 1 + r.below_one_of(&[2, 100, 3000]) as u64,
            fails: 2 + r.below(200) as u64,
            panics: 2 + r.below_one_of(&[30, 2000]) as u64,
            key_panics: r.below(6) == 0,
            commands: r.below(3) == 0,
            commands_inside: r.below(4) == 0,
            end: [End::InputsDropped, End::InputsDropped, End::Closed, End::Drained, End::Stopped, End::OutputDropped]
                [r.below(6)],
            after: r.below(1 + producers * items as usize) as u64,
        }
    }

    fn is_keyed(&self) -> bool {
        matches!(self.route, 3 | 4)
    }

    fn check_key(&self, item: &Item) -> u64 {
        if self.key_panics && item.n % 17 == 11 { quiet_panic("key") } else { item.key() }
    }
}

/// What handlers saw.
#[derive(Default)]
struct Log {
    started: AtomicUsize,
    /// For each key the number that was handled last.
    last: Mutex<std::collections::HashMap<u64, u64>>,
    faults: Mutex<Vec<String>>,
}

fn command(control: &Control<'static>, r: &mut SplitMix64) {
    match r.below(6) {
        0 => control.pause(),
        1 => _ = control.resize(1 + r.below(4)),
        2 => _ = control.depth() + control.in_flight(),
        _ => control.resume(),
    }
}

impl Log {
    fn run(&self, case: &Case, control: &OnceLock<Control<'static>>, item: Item) -> Result<Item, Item> {
        self.started.fetch_add(1, Ordering::SeqCst);
        if case.is_keyed() {
            let last = self.last.lock().unwrap().insert(item.key(), item.n);
            if last.is_some_and(|last| last >= item.n) {
                self.faults.lock().unwrap().push(format!("{item:?} was handled after {last:?}"));
            }
        }
        let r = &mut SplitMix64(case.seed ^ item.n << 8 ^ item.producer as u64);
        if r.next() % case.slow == 0 {
            (0..r.below(20_000)).for_each(|turn| _ = std::hint::black_box(turn));
        }
        if case.commands_inside && r.below(50) == 0 {
            command(control.get().unwrap(), r);
        }
        if item.n % case.panics == 1 {
            quiet_panic(item);
        }
        if item.n % case.fails == 1 { Err(item) } else { Ok(item) }
    }
}

type Ends = (Input<'static, Item>, Output<'static, Item, Item>);

fn started(case: &Arc<Case>, log: &Arc<Log>, control: &Arc<OnceLock<Control<'static>>>) -> Ends {
    macro_rules! chosen {
        ($builder:expr) => {{
            let builder = $builder.window(case.window).help(case.help);
            let builder = if case.ordered { builder.ordered() } else { builder };
            let builder = if let Some(limit) = case.limit { builder.limit(limit) } else { builder };
            let builder =
                if case.shared { builder.pool(Arc::new(pool(case.workers))) } else { builder.workers(case.workers) };
            let keys = case.clone();
            let builder = match case.route {
                3 => builder.route(fanpool::Route::by_key(move |item: &Item| keys.check_key(item))),
                4 => builder.key(move |item: &Item| keys.check_key(item)),
                5 => builder,
                at => builder.route(routes(|item: &Item| item.n).into_iter().nth(at).unwrap()),
            };
            // In shards a priority changes the order of a key.
            let builder = if case.priorities && case.route != 3 {
                builder.priority(|item: &Item| [Priority::Low, Priority::Normal, Priority::High][item.n as usize % 3])
            } else {
                builder
            };
            builder.start().unwrap()
        }};
    }
    let (inner, log, control) = (case.clone(), log.clone(), control.clone());
    if let Some((max, wait)) = case.batch {
        return chosen!(FanOut::builder_batch(max, wait, move |items: Vec<Item>| {
            assert!(!items.is_empty());
            items.into_iter().map(|item| log.run(&inner, &control, item)).collect()
        }));
    }
    if case.stateful {
        return chosen!(FanOut::builder_init(
            || 0,
            move |count: &mut u64, item: Item| {
                *count += 1;
                log.run(&inner, &control, item)
            }
        ));
    }
    chosen!(FanOut::builder(move |item: Item| log.run(&inner, &control, item)))
}

fn check(case: &Arc<Case>) -> Result<(), String> {
    let (log, own) = (Arc::<Log>::default(), Arc::new(OnceLock::new()));
    let (input, output) = started(case, &log, &own);
    let control = output.control();
    let _ = own.set(output.control());
    let producers: Vec<_> = (0..case.producers)
        .map(|producer| {
            let (input, case) = (input.clone(), case.clone());
            std::thread::spawn(move || produce(&case, &input, producer))
        })
        .collect();
    let kept = if case.end == End::InputsDropped {
        drop(input);
        None
    } else {
        Some(input)
    };
    let (over, ended) = mpsc::channel::<()>();
    let commander = {
        let (control, case) = (control.clone(), case.clone());
        std::thread::spawn(move || {
            let r = &mut SplitMix64(case.seed ^ 77);
            while ended.recv_timeout(Duration::from_micros(200)) == Err(mpsc::RecvTimeoutError::Timeout) {
                if case.commands {
                    command(&control, r);
                }
                if case.commands || case.commands_inside {
                    control.resume();
                }
            }
        })
    };
    let mut output = Some(output);
    let mut outcomes = Vec::new();
    loop {
        if outcomes.len() as u64 == case.after {
            match case.end {
                End::InputsDropped => {}
                End::Closed => kept.as_ref().unwrap().close(),
                End::Drained => control.drain(),
                End::Stopped => _ = control.stop(),
                End::OutputDropped => output = None,
            }
        }
        let Some(Ok(outcome)) = output.as_mut().map(Output::recv) else { break };
        outcomes.push(outcome);
        if control.in_flight() > case.window {
            return Err(format!("{} in flight", control.in_flight()));
        }
    }
    let sent: Vec<Vec<(u64, Item)>> = producers.into_iter().map(|producer| producer.join().unwrap()).collect();
    if case.end == End::OutputDropped {
        // Its producers may have ended before so many were taken.
        drop(output);
    }
    let counts = control.wait().map_err(|error| error.to_string())?;
    drop(over);
    commander.join().unwrap();
    if let Some(fault) = log.faults.lock().unwrap().first() {
        return Err(fault.clone());
    }
    let accepted: usize = sent.iter().map(Vec::len).sum();
    let sum = counts.finished + counts.failed + counts.panicked + counts.cancelled + counts.discarded;
    if counts.accepted != sum || sum != accepted as u64 {
        return Err(format!("{accepted} were accepted, the accounts say {counts:?}"));
    }
    if case.end != End::OutputDropped && (outcomes.len() != accepted || counts.discarded > 0) {
        return Err(format!("{} outcomes of {accepted} items", outcomes.len()));
    }
    if case.ordered && !outcomes.iter().map(|outcome| outcome.seq).eq(0..outcomes.len() as u64) {
        return Err("out of order".into());
    }
    let mut by_seq: Vec<Option<Item>> = vec![None; accepted];
    for (seq, item) in sent.into_iter().flatten() {
        if by_seq[seq as usize].replace(item).is_some() {
            return Err(format!("two items have the number {seq}"));
        }
    }
    for outcome in outcomes {
        let Some(item) = by_seq.get_mut(outcome.seq as usize).and_then(Option::take) else {
            return Err(format!("number {} came twice, or was never sent", outcome.seq));
        };
        let same = |other: &Item| (other.producer, other.n) == (item.producer, item.n);
        let right = match &outcome.result {
            Ok(done) => same(done) && item.n % case.fails != 1,
            Err(TaskError::Failed(failed)) => same(failed) && item.n % case.fails == 1,
            Err(TaskError::Panicked(_)) => {
                case.batch.is_some()
                    || item.n % case.panics == 1
                    || case.is_keyed() && case.key_panics && item.n % 17 == 11
            }
            Err(TaskError::Cancelled) => case.end == End::Stopped,
            Err(_) => false,
        };
        if !right {
            return Err(format!("{item:?} became {outcome:?}"));
        }
    }
    Ok(())
}

/// Sends until all is sent or refused; returns what was accepted.
fn produce(case: &Case, input: &Input<'static, Item>, producer: usize) -> Vec<(u64, Item)> {
    let r = &mut SplitMix64(case.seed ^ (producer as u64) << 20);
    let mut sent = Vec::new();
    for n in 0..case.items {
        let item = Item { producer, n };
        loop {
            let accepted = match r.below(8) {
                0 => input.try_send(item),
                1 => input.send_timeout(item, Duration::from_micros(r.below(300) as u64)),
                _ => input.send(item),
            };
            match accepted {
                Ok(seq) => break sent.push((seq, item)),
                Err(refused) if matches!(refused.reason(), SendReason::Full | SendReason::TimedOut) => {}
                Err(_) => return sent,
            }
        }
    }
    if case.end != End::InputsDropped {
        input.close();
    }
    sent
}

#[test]
fn random_services_keep_their_promises() {
    let seeds = (setting("FANPOOL_FAN_SEED", 1), setting("FANPOOL_FAN_CASES", 200));
    check_seeds(seeds, |seed| Arc::new(Case::random(seed)), check);
}
