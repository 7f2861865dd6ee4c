//! Runs programs on real threads.

use super::reference::{End, constant, expected, mix};
use super::tree::{Child, Kind, Node, PoolEnd, Program, Staff};
use super::world::{Made, World, folded};
use super::{maps, service, watch, world};
use fanpool::{CancelToken, JoinError, OnError, Pool, TaskError};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Runs a program and tells what was not as it should be.
pub(crate) fn check(program: &Program, wrong: bool) -> Result<(), String> {
    let world = Arc::new(World::new(program, expected(program, wrong)));
    let watcher = watch::start((0..2).map(|pool| world.pool(pool)).collect());
    std::thread::scope(|s| {
        for root in &program.roots {
            let world = &world;
            s.spawn(move || {
                let end = world.catch(|| run(world, root));
                world.check_end(root, &end);
            });
        }
    });
    // A task that nobody waits for may give tasks to the other pool.
    for _ in 0..8 {
        (0..2).for_each(|pool| world.pool(pool).wait_idle().unwrap());
    }
    let mut faults = world.faults();
    faults.extend(watcher.end());
    for (at, pool) in world.take_pools().into_iter().enumerate() {
        let Some(pool) = Arc::into_inner(pool) else {
            faults.push(format!("pool {at} is held by something that has ended"));
            continue;
        };
        let counts = pool.shutdown().tasks;
        let account = &world.accounts[at];
        let load = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        let (accepted, ran, panicked) = (load(&account.accepted), load(&account.ran), load(&account.panicked));
        let sum = counts.ran + counts.panicked + counts.cancelled + counts.discarded;
        // Maps, services and joins queue tasks of their own, as many as they like.
        let exact = !program.any(|kind| matches!(kind, Kind::Map(_) | Kind::Service(_) | Kind::Join { .. }));
        let right = if exact {
            sum == accepted && counts.ran == ran && counts.panicked == panicked && counts.discarded == 0
        } else {
            sum >= accepted && counts.ran >= ran && counts.panicked >= panicked && counts.discarded == 0
        };
        if !right {
            faults.push(format!("pool {at}: {accepted} accepted, {ran} ran, {panicked} panicked, but {counts:?}"));
        }
    }
    let (made, dropped) = world.tokens();
    if made != dropped {
        faults.push(format!("{made} values were made and {dropped} dropped"));
    }
    for (id, (begun, times)) in world.begun.iter().zip(&world.expected.times).enumerate() {
        let begun = begun.load(Ordering::SeqCst);
        if begun < times.0 || begun > times.1 {
            faults.push(format!("#{id} ran {begun} times, expected {times:?}"));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
}

pub(crate) fn run(world: &Arc<World>, node: &Child) -> Made {
    world.begun[node.id].fetch_add(1, Ordering::SeqCst);
    let value = match &node.kind {
        Kind::Work(turns) => {
            (0..*turns).for_each(|turn| _ = std::hint::black_box(turn));
            u64::from(*turns) + 3
        }
        Kind::Panic => world.throw(node),
        Kind::Fail => return Err(world.val(node.id as u64)),
        Kind::Seq => node.children.iter().fold(0, |value, child| mix(value, folded(&run(world, child)))),
        Kind::Join { pool } => join(world, node, &world.pool(*pool)),
        Kind::Scope { pool, limit, handles } => scope(world, node, *pool, *limit, *handles),
        Kind::TryScope { pool, on_error } => try_scope(world, node, *pool, *on_error),
        Kind::Map(map) => maps::run_map(world, node, map),
        Kind::Service(service) => service::run_service(world, node, service),
        Kind::Submit { pool, limit, joined } => submit(world, node, *pool, *limit, *joined),
        Kind::Cancel { pool, after } => cancel(world, node, *pool, *after),
        Kind::Fresh { workers, end } => fresh(world, node, *workers, *end),
        Kind::Resize { pool, workers } => {
            let resized = world.pool(*pool).resize(*workers);
            world.check(node, resized.is_ok(), || format!("{resized:?}"));
            constant(node)
        }
        Kind::Pause { pool } => {
            let pool = world.pool(*pool);
            pool.pause();
            let end = world.catch(|| node.children.first().map(|child| run(world, child)));
            pool.resume();
            match end {
                Ok(Some(made)) => return made,
                Ok(None) => 0,
                Err(payload) => std::panic::resume_unwind(payload),
            }
        }
    };
    world.value(value)
}

fn join(world: &Arc<World>, node: &Child, pool: &Pool) -> u64 {
    let half = |at: usize| {
        let token = world.token();
        move || {
            let _token = token;
            run(world, &node.children[at])
        }
    };
    let made = match node.children.len() {
        1 => vec![half(0)()],
        2 => {
            let (a, b) = pool.join(half(0), half(1));
            vec![a, b]
        }
        _ => {
            let (a, b, c) = pool.join_all((half(0), half(1), half(2)));
            vec![a, b, c]
        }
    };
    made.iter().fold(0, |value, made| mix(value, folded(made)))
}

/// How many run at once, and the order in which they began.
#[derive(Default)]
struct Log {
    running: AtomicUsize,
    order: Mutex<Vec<usize>>,
}

impl Log {
    /// Runs a task of a group.
    fn task(&self, world: &Arc<World>, node: &Child, at: usize, limit: Option<usize>) -> Made {
        self.order.lock().unwrap().push(at);
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        world.check(node, limit.is_none_or(|limit| running <= limit), || format!("{running} run at once"));
        let end = world.catch(|| run(world, &node.children[at]));
        self.running.fetch_sub(1, Ordering::SeqCst);
        end.unwrap_or_else(|payload| std::panic::resume_unwind(payload))
    }

    fn check_order(&self, world: &World, node: &Node, limit: Option<usize>) {
        let order = self.order.lock().unwrap();
        world.check(node, limit != Some(1) || order.is_sorted(), || format!("limit 1, but began in order {order:?}"));
    }
}

fn scope(world: &Arc<World>, node: &Child, pool: usize, limit: Option<usize>, handles: bool) -> u64 {
    let (home, log) = (world.pool(pool), Log::default());
    let results: Vec<Mutex<u64>> = node.children.iter().map(|_| Mutex::new(0)).collect();
    macro_rules! tasks {
        ($s:ident) => {{
            let mut joins = Vec::new();
            for at in 0..node.children.len() {
                world.accept(pool);
                let (token, log, results) = (world.token(), &log, &results);
                let task = move || {
                    let _token = token;
                    world.task(pool, || log.task(world, node, at, limit))
                };
                if handles {
                    joins.push($s.submit(task));
                } else {
                    $s.spawn(move || *results[at].lock().unwrap() = folded(&task()));
                }
            }
            for (at, handle) in joins.into_iter().enumerate() {
                *results[at].lock().unwrap() = joined(world, &node.children[at], handle.join());
            }
        }};
    }
    match limit {
        None => home.scope(|s| tasks!(s)),
        Some(limit) => home.group().limit(limit).build().unwrap().scope(|s| tasks!(s)),
    }
    log.check_order(world, node, limit);
    results.into_iter().fold(0, |value, result| mix(value, result.into_inner().unwrap()))
}

/// The value of a task with a handle, which must have ended as it should.
fn joined(world: &World, child: &Child, result: Result<Made, JoinError>) -> u64 {
    match result {
        Ok(made) => {
            let value = folded(&made);
            world.check_end(child, &Ok(made));
            value
        }
        Err(JoinError::Panicked(panicked)) => {
            world.check_panic(child, world.expected.of(child), &panicked.into_payload());
            2
        }
        Err(error) => {
            world.fault(child, error);
            0
        }
    }
}

fn try_scope(world: &Arc<World>, node: &Child, pool: usize, on_error: OnError) -> u64 {
    let (home, ran) = (world.pool(pool), AtomicUsize::new(0));
    let tasks = node.children.len();
    let result = home.try_scope(on_error, |s| {
        for child in &node.children {
            world.accept(pool);
            let (token, ran) = (world.token(), &ran);
            s.spawn(move || {
                let _token = token;
                ran.fetch_add(1, Ordering::SeqCst);
                world.task(pool, || run(world, child)).map(drop)
            });
        }
    });
    let end = |at: usize| world.expected.of(&node.children[at]);
    let bad = (0..tasks).filter(|at| !matches!(end(*at), End::Value(_))).count();
    let ran = ran.into_inner();
    match result {
        Ok(()) => {
            let right = match on_error {
                OnError::FirstSuccess => bad < tasks,
                OnError::Limit(tolerated) => bad <= tolerated && ran == tasks,
                OnError::Share { percent, .. } => bad * 100 <= usize::from(percent) * tasks && ran == tasks,
                _ => bad == 0 && ran == tasks,
            };
            world.check(node, right, || format!("all is well, but {bad} fail and {ran} ran"));
        }
        Err(errors) => {
            let (count, cancelled) = (errors.count(), errors.cancelled());
            let right = ran + cancelled == tasks
                && (1..=bad).contains(&count)
                && errors.iter().count() == count
                && match on_error {
                    OnError::CollectAll => count == bad && cancelled == 0,
                    OnError::FirstSuccess => count == tasks,
                    OnError::Limit(tolerated) => count > tolerated,
                    _ => true,
                };
            world.check(node, right, || {
                format!("{ran} of {tasks} ran, {bad} fail, reported: {count}, not started: {cancelled}")
            });
            for (at, error) in errors {
                match error {
                    TaskError::Failed(error) => world.check_end(&node.children[at], &Ok(Err(error))),
                    TaskError::Panicked(panicked) => {
                        world.check_panic(&node.children[at], end(at), &panicked.into_payload());
                    }
                    other => {
                        world.check(node, false, || format!("task {at} was not started: {}", other.is_cancelled()))
                    }
                }
            }
        }
    }
    constant(node)
}

/// A task that owns what it uses.
fn owned(
    world: &Arc<World>,
    node: &Child,
    at: usize,
    log: &Arc<Log>,
    (pool, limit): (Option<usize>, Option<usize>),
) -> impl FnOnce() -> Made + Send + 'static {
    let (world, node, log, token) = (world.clone(), node.clone(), log.clone(), world.token());
    move || {
        let _token = token;
        let body = || log.task(&world, &node, at, limit);
        match pool {
            Some(pool) => world.task(pool, body),
            None => body(),
        }
    }
}

fn submit(world: &Arc<World>, node: &Child, pool: usize, limit: Option<usize>, join: bool) -> u64 {
    let (home, log) = (world.pool(pool), Arc::new(Log::default()));
    let group = home.group().limit(limit.unwrap_or(usize::MAX)).build().unwrap();
    let mut handles = Vec::new();
    for at in 0..node.children.len() {
        world.accept(pool);
        let task = owned(world, node, at, &log, (Some(pool), limit));
        if join {
            handles.push(group.submit(task));
        } else if let Err(refused) = group.spawn(move || drop(task())) {
            world.fault(node, refused);
        }
    }
    if !join {
        return constant(node);
    }
    let joined = node.children.iter().zip(handles).map(|(child, handle)| joined(world, child, handle.join()));
    let value = joined.fold(0, mix);
    log.check_order(world, node, limit);
    value
}

fn cancel(world: &Arc<World>, node: &Child, pool: usize, after: usize) -> u64 {
    let (home, log, token) = (world.pool(pool), Arc::new(Log::default()), CancelToken::new());
    let group = home.group().cancel(&token).build().unwrap();
    let mut handles = Vec::new();
    for at in 0..node.children.len() {
        if at == after {
            token.cancel();
        }
        world.accept(pool);
        handles.push(group.submit(owned(world, node, at, &log, (Some(pool), None))));
    }
    let (mut ended, tasks) = (0, handles.len());
    for (at, (child, handle)) in node.children.iter().zip(handles).enumerate() {
        match handle.join() {
            Err(JoinError::Cancelled) => {
                world.check(node, after < tasks, || format!("{at} is cancelled, and nobody cancelled"));
            }
            result => {
                ended += 1;
                world.check(node, at < after, || format!("{at} was begun after it was cancelled"));
                joined(world, child, result);
            }
        }
    }
    let begun = log.order.lock().unwrap().len();
    world.check(node, begun == ended, || format!("{begun} ran, and {ended} have results"));
    constant(node)
}

fn fresh(world: &Arc<World>, node: &Child, workers: Staff, end: PoolEnd) -> u64 {
    let pool = world::pool(workers);
    let log = Arc::new(Log::default());
    let (running, ended) = channel::<()>();
    for at in 0..node.children.len() {
        let (task, running) = (owned(world, node, at, &log, (None, None)), running.clone());
        let task = move || {
            let _running = running;
            drop(task());
        };
        if let Err(refused) = pool.spawn(task) {
            world.fault(node, refused);
        }
    }
    drop(running);
    let receipt = match end {
        PoolEnd::Drop => {
            drop(pool);
            None
        }
        PoolEnd::Shutdown => Some(pool.shutdown()),
        PoolEnd::Now => Some(pool.shutdown_now()),
        PoolEnd::TimeoutZero => Some(pool.shutdown_timeout(Duration::ZERO)),
    };
    // Nothing is left running, whatever the time was.
    let _ = ended.recv();
    let (begun, tasks) = (log.order.lock().unwrap().len(), node.children.len());
    let Some(receipt) = receipt else {
        world.check(node, begun == tasks, || format!("{begun} of {tasks} ran"));
        return constant(node);
    };
    let counts = receipt.tasks;
    let ended = counts.ran + counts.panicked;
    let busy = receipt.threads_busy.len();
    let right = match end {
        // What runs when the time is over is not in the counts.
        PoolEnd::TimeoutZero if busy > 0 => ended + counts.discarded <= tasks,
        PoolEnd::TimeoutZero | PoolEnd::Now => ended + counts.discarded == tasks && begun == ended && busy == 0,
        PoolEnd::Drop | PoolEnd::Shutdown => ended == tasks && begun == tasks && receipt.threads_joined >= 1,
    };
    world.check(node, right && counts.cancelled == 0, || format!("{begun} of {tasks} were begun, but {receipt:?}"));
    constant(node)
}
