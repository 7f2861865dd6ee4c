//! Runs services: sends, receives, steers and ends them, and holds what comes out against what was sent.

use super::reference::constant;
use super::run::run;
use super::tree::{Child, Early, Flavour, Home, Service};
use super::world::{Made, Token, Val, World};
use fanpool::{
    CircuitBreaker, Control, FanOut, Input, OnError, Outcome, Output, Rejection, Retry, Route, SendReason, TaskError,
};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Clone)]
pub(crate) struct Item {
    at: usize,
    token: Token,
}

type Done = (usize, Val);
type Answer = Result<Done, Done>;
type Ends<'a> = (Input<'a, Item>, Output<'a, Done, Done>);

/// What handlers see.
struct Log {
    world: Arc<World>,
    node: Child,
    service: Service,
    begun: AtomicUsize,
    running: AtomicUsize,
    /// By key: the item before, and whether it runs.
    keys: Mutex<HashMap<usize, (usize, bool)>>,
}

impl Log {
    /// Keys of producers are apart, so that the order of a key is that of its numbers.
    fn key(&self, at: usize) -> usize {
        let producers = self.service.producers.max(1);
        at % producers * 8 + at / producers % 3
    }

    fn handle(&self, item: Item) -> Answer {
        let (world, node, at) = (&self.world, &self.node, item.at);
        self.begun.fetch_add(1, Ordering::SeqCst);
        let keyed = self.service.flavour.keeps_keys();
        if keyed {
            let last = self.keys.lock().unwrap().insert(self.key(at), (at, true));
            // The same one is tried again, with strands before the others of its key; a shard goes on meanwhile.
            let retries = self.service.retry.is_some();
            let in_turn = |last: usize| last < at || retries && (last == at || self.service.flavour == Flavour::Shards);
            let right = last.is_none_or(|(last, runs)| in_turn(last) && !runs);
            world.check(node, right, || format!("item {at} was begun after {last:?} of its key"));
        }
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        world.check(node, running <= self.service.window, || format!("{running} items run at once"));
        let end = world.catch(|| run(world, node.of(at)));
        self.running.fetch_sub(1, Ordering::SeqCst);
        if keyed {
            self.keys.lock().unwrap().insert(self.key(at), (at, false));
        }
        drop(item.token);
        match end {
            Ok(Ok(val)) => Ok((at, val)),
            Ok(Err(val)) => Err((at, val)),
            Err(payload) => std::panic::resume_unwind(payload),
        }
    }

    /// A panic would be that of the whole batch, so it is made a failure.
    fn handle_batch(&self, items: Vec<Item>) -> Vec<Answer> {
        self.world.check(&self.node, !items.is_empty(), || "an empty batch".into());
        let one = |item: Item| {
            let at = item.at;
            self.world.catch(|| self.handle(item)).unwrap_or_else(|payload| {
                let child = self.node.of(at);
                self.world.check_panic(child, self.world.expected.of(child), &payload);
                Err((at, self.world.val(2)))
            })
        };
        items.into_iter().map(one).collect()
    }

    fn check(&self, holds: bool, what: impl FnOnce() -> String) {
        self.world.check(&self.node, holds, what);
    }

    fn check_outcome(&self, at: usize, outcome: Outcome<Done, Done>) {
        let child = self.node.of(at);
        let batch = matches!(self.service.flavour, Flavour::Batch(_));
        let of = |made: Made, from: usize| {
            self.check(from == at, || format!("item {at} has the outcome of {from}"));
            self.world.check_end(child, &Ok(made));
        };
        match outcome.result {
            Ok((from, val)) => of(Ok(val), from),
            // Checked by the batch.
            Err(TaskError::Failed((from, val)))
                if batch && val.value == 2 && self.world.expected.of(child).panics() =>
            {
                self.check(from == at, || format!("item {at} has the outcome of {from}"));
            }
            Err(TaskError::Failed((from, val))) => of(Err(val), from),
            Err(TaskError::Panicked(panicked)) => {
                self.world.check_end(child, &Err(panicked.into_payload()));
            }
            Err(TaskError::Cancelled) => {
                let stopped =
                    matches!(self.service.end, Early::Stop(_)) || self.service.on_error != OnError::CollectAll;
                self.check(stopped, || format!("item {at} is cancelled, and nobody stopped"));
            }
            Err(TaskError::Rejected(Rejection::BreakerOpen { .. })) if self.service.breaker.is_some() => {}
            Err(error) => self.world.fault(&self.node, error.map(|_| "wrong")),
        }
    }
}

macro_rules! chosen {
    ($builder:expr, $log:ident) => {{
        let service = &$log.service;
        let builder = $builder.window(service.window);
        let builder = if service.ordered { builder.ordered() } else { builder };
        let builder = if let Some(help) = service.help { builder.help(help) } else { builder };
        let builder = if let Some(limit) = service.limit { builder.limit(limit) } else { builder };
        let delay = Duration::from_micros(if service.ordered { 0 } else { 50 });
        let builder = match service.retry {
            Some(attempts) => builder.retry(Retry::fixed(delay).max_attempts(attempts as u32)),
            None => builder,
        };
        let builder = match service.breaker {
            Some(calls) => builder.breaker(breaker(calls)),
            None => builder,
        };
        let builder = builder.on_error(service.on_error);
        let keys = $log.clone();
        let builder = match service.flavour {
            Flavour::Strands => builder.key(move |item: &Item| keys.key(item.at)),
            Flavour::Shards => builder.route(Route::by_key(move |item: &Item| keys.key(item.at))),
            Flavour::RoundRobin => builder.route(Route::RoundRobin),
            Flavour::Plain | Flavour::State | Flavour::Batch(_) => builder,
        };
        builder.start().unwrap()
    }};
}

fn breaker(calls: usize) -> CircuitBreaker {
    let builder = CircuitBreaker::builder().window_calls(calls).minimum_calls(calls).failure_rate(0.5);
    builder.open_for(Duration::from_micros(200)).build().unwrap()
}

fn start(log: &Arc<Log>) -> Ends<'static> {
    let (inner, world) = (log.clone(), log.world.clone());
    macro_rules! placed {
        ($builder:expr) => {
            match log.service.home {
                Home::Own(workers) => chosen!($builder.workers(workers), log),
                Home::Shared(pool) | Home::Scope(pool) => chosen!($builder.pool(log.world.pool(pool)), log),
            }
        };
    }
    match log.service.flavour {
        Flavour::Batch(max) => {
            let handler = move |items: Vec<Item>| inner.handle_batch(items);
            placed!(FanOut::builder_batch(max, Duration::from_micros(200), handler))
        }
        Flavour::State => {
            let handler = move |_: &mut Token, item: Item| inner.handle(item);
            placed!(FanOut::builder_init(move || world.token(), handler))
        }
        _ => placed!(FanOut::builder(move |item: Item| inner.handle(item))),
    }
}

pub(crate) fn run_service(world: &Arc<World>, node: &Child, service: &Service) -> u64 {
    let log = Arc::new(Log {
        world: world.clone(),
        node: node.clone(),
        service: service.clone(),
        begun: AtomicUsize::new(0),
        running: AtomicUsize::new(0),
        keys: Mutex::default(),
    });
    match service.home {
        Home::Scope(pool) => world.pool(pool).scope(|s| {
            let inner = log.clone();
            let ends = if service.flavour == Flavour::State {
                let inits = world.clone();
                let builder =
                    s.fan_out_init(move || inits.token(), move |_: &mut Token, item: Item| inner.handle(item));
                chosen!(builder, log)
            } else {
                chosen!(s.fan_out(move |item: Item| inner.handle(item)), log)
            };
            drive(&log, ends, Vec::new());
        }),
        _ => {
            let (input, output) = start(&log);
            let producers = (0..service.producers)
                .map(|producer| {
                    let (log, input) = (log.clone(), input.clone());
                    std::thread::spawn(move || produce(&log, &input, producer))
                })
                .collect();
            drive(&log, (input, output), producers);
        }
    }
    constant(node)
}

/// The number of an accepted item, and which it was.
type Sent = Vec<(u64, usize)>;

fn send(log: &Log, input: &Input<'_, Item>, at: usize, sent: &mut Sent) -> bool {
    match input.send(Item { at, token: log.world.token() }) {
        Ok(seq) => sent.push((seq, at)),
        Err(refused) => {
            let ended = matches!(refused.reason(), SendReason::Closed | SendReason::Cancelled);
            let may_end = log.service.end != Early::Never || log.service.on_error != OnError::CollectAll;
            log.check(ended && may_end, || format!("item {at} was refused: {refused}"));
            log.check(refused.into_inner().at == at, || "another item came back".into());
            return false;
        }
    }
    true
}

fn produce(log: &Log, input: &Input<'static, Item>, producer: usize) -> Sent {
    let mut sent = Sent::new();
    for at in (producer..log.service.items).step_by(log.service.producers) {
        if !send(log, input, at, &mut sent) {
            break;
        }
    }
    sent
}

fn steer(log: &Log, control: &Control<'_>, received: usize, output: &mut Option<Output<'_, Done, Done>>) {
    let service = &log.service;
    if service.pause == Some(received) {
        control.pause();
        log.check(control.is_paused(), || "is not paused".into());
        control.resume();
    }
    if service.resize.is_some() && received == 1 {
        // Refused where each worker has a queue.
        let _ = control.resize(service.resize.unwrap_or(1));
    }
    match service.end {
        Early::Drain(n) if n == received => control.drain(),
        Early::Stop(n) if n == received => _ = control.stop(),
        Early::DropOutput(n) if n == received => *output = None,
        _ => {}
    }
}

fn drive(log: &Arc<Log>, (input, output): Ends<'_>, producers: Vec<std::thread::JoinHandle<Sent>>) {
    let service = &log.service;
    let control = output.control();
    let (mut input, mut output) = (Some(input), Some(output));
    let (mut outcomes, mut sent, mut next) = (Vec::new(), Sent::new(), 0);
    if !producers.is_empty() {
        input = None;
    }
    loop {
        steer(log, &control, outcomes.len(), &mut output);
        while let Some(open) = &input {
            if next == service.items {
                input = None;
            } else if next - outcomes.len() == service.window {
                break;
            } else if send(log, open, next, &mut sent) {
                next += 1;
            } else {
                input = None;
            }
        }
        let flying = control.in_flight();
        log.check(flying <= service.window, || format!("{flying} in flight"));
        let Some(outcome) = output.as_mut().and_then(Iterator::next) else { break };
        outcomes.push(outcome);
    }
    sent.extend(producers.into_iter().flat_map(|producer| producer.join().unwrap()));
    let dropped = matches!(service.end, Early::DropOutput(n) if n <= outcomes.len() && output.is_none());
    drop(output);
    check_accounts(log, &control, sent, outcomes, dropped);
}

fn check_accounts(log: &Log, control: &Control<'_>, sent: Sent, outcomes: Vec<Outcome<Done, Done>>, dropped: bool) {
    // A worker of the pool may not wait. What still runs on it then is not in the accounts.
    let waited = control.wait();
    let counts = waited.unwrap_or_else(|_| control.counts());
    let ran = counts.finished + counts.failed + counts.panicked;
    let sum = ran + counts.cancelled + counts.rejected + counts.discarded;
    let begun = log.begun.load(Ordering::SeqCst) as u64;
    let accepted = sent.len() as u64;
    if waited.is_ok() || !dropped {
        // An attempt whose item was cancelled, or rejected, before the next.
        let cut = if log.service.is_cut_short() { counts.cancelled + counts.rejected + counts.discarded } else { 0 };
        let right = match log.service.retry {
            None => begun == ran,
            Some(_) => {
                (ran..=ran + counts.retried + cut).contains(&begun) && (cut > 0 || begun == ran + counts.retried)
            }
        };
        let right = right && counts.accepted == accepted && sum == accepted;
        log.check(right, || format!("{accepted} were accepted, {begun} begun, but {counts:?}"));
    } else {
        let right = counts.accepted == accepted && sum <= accepted;
        log.check(right, || format!("{accepted} were accepted, but {counts:?}"));
    }
    if !dropped {
        let all = outcomes.len() as u64 == accepted && counts.discarded == 0 && counts.undelivered == 0;
        log.check(all, || format!("{} outcomes of {accepted} items, {counts:?}", outcomes.len()));
    }
    let in_order = outcomes.iter().map(|outcome| outcome.seq).eq(0..outcomes.len() as u64);
    log.check(in_order || !log.service.ordered, || "out of order".into());
    let mut by_seq: HashMap<u64, usize> = sent.iter().copied().collect();
    log.check(by_seq.len() == sent.len(), || "two items have one number".into());
    for outcome in outcomes {
        match by_seq.remove(&outcome.seq) {
            Some(at) => log.check_outcome(at, outcome),
            None => log.check(false, || format!("number {} came twice, or was never sent", outcome.seq)),
        }
    }
}
