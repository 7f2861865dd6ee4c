//! Load steps on pools that size themselves. `cargo bench -p benches --bench elastic`.
//!
//! Clients send a task, wait for it, and pause. The load changes in steps: idle, ten times as much, idle, blocking, computing, idle.
//! Each step is also run on pools of fixed sizes; the best of them is what an elastic pool is held to, from ten steps of its controller after
//! the change on. Two elastic pools: one that grows while tickets wait, and one that searches the throughput.

use benches::{begin, record, record_course, work};
use fanpool::{Elastic, Pool, Workers};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const MAX: usize = 32;
const TARGET: Duration = Duration::from_millis(2);
const KEEP_ALIVE: Duration = Duration::from_millis(500);
const BIN: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, PartialEq)]
enum Task {
    Sleep(Duration),
    /// Nanoseconds.
    Work(usize),
}

struct Phase {
    name: &'static str,
    clients: usize,
    task: Task,
    pause: Duration,
    time: Duration,
}

const fn phase(name: &'static str, clients: usize, task: Task, pause: u64, time: u64) -> Phase {
    Phase { name, clients, task, pause: Duration::from_millis(pause), time: Duration::from_millis(time) }
}

const SHORT: Task = Task::Sleep(Duration::from_millis(5));
const LONG: Task = Task::Sleep(Duration::from_millis(50));

const PHASES: [Phase; 6] = [
    phase("idle", 1, SHORT, 45, 1000),
    phase("10x", 8, SHORT, 0, 2000),
    phase("idle", 1, SHORT, 45, 2000),
    phase("blocking", 10, LONG, 0, 3000),
    phase("computing", 8, Task::Work(1_000_000), 0, 3000),
    phase("idle", 1, SHORT, 45, 3000),
];

/// A task that ended: when it was sent, when it ended, and how long it had waited.
struct Ended {
    sent: Duration,
    at: Duration,
    wait: Duration,
}

/// What was seen in one run.
struct Run {
    ended: Vec<Ended>,
    /// Workers at each bin.
    workers: Vec<usize>,
}

fn client(pool: &Pool, phase: &Phase, until: Instant, began: Instant, ended: &Mutex<Vec<Ended>>) {
    let (done, answer) = mpsc::channel();
    while Instant::now() < until {
        let (sent, done, task) = (Instant::now(), done.clone(), phase.task);
        let run = move || {
            let wait = sent.elapsed();
            match task {
                Task::Sleep(time) => std::thread::sleep(time),
                Task::Work(nanos) => work(nanos),
            }
            let _ = done.send(wait);
        };
        if pool.spawn(run).is_err() {
            return;
        }
        let Ok(wait) = answer.recv() else { return };
        if let Ok(mut ended) = ended.lock() {
            ended.push(Ended { sent: sent - began, at: began.elapsed(), wait });
        }
        std::thread::sleep(phase.pause);
    }
}

/// Runs phases one after the other, and looks at the number of workers meanwhile.
fn run(pool: &Pool, phases: &[Phase]) -> Run {
    let (ended, began) = (Mutex::new(Vec::new()), Instant::now());
    let over = AtomicUsize::new(0);
    let mut workers = Vec::new();
    std::thread::scope(|s| {
        s.spawn(|| {
            // The last tasks of a phase go on into the next, which does not become longer by that.
            let mut until = began;
            for phase in phases {
                until += phase.time;
                std::thread::scope(|s| {
                    (0..phase.clients).for_each(|_| _ = s.spawn(|| client(pool, phase, until, began, &ended)));
                });
            }
            over.store(1, Ordering::Release);
        });
        while over.load(Ordering::Acquire) == 0 {
            workers.push(pool.workers());
            std::thread::sleep(BIN);
        }
    });
    Run { ended: ended.into_inner().unwrap_or_default(), workers }
}

/// Tasks per second that ended between two times, of those sent from a third on.
fn rate(run: &Run, sent: Duration, from: Duration, to: Duration) -> f64 {
    let ended = run.ended.iter().filter(|ended| ended.sent >= sent && ended.at >= from && ended.at < to).count();
    ended as f64 / (to - from).as_secs_f64()
}

fn p99(run: &Run, from: Duration, to: Duration) -> Duration {
    let within = run.ended.iter().filter(|ended| ended.at >= from && ended.at < to);
    let mut waits: Vec<Duration> = within.map(|ended| ended.wait).collect();
    waits.sort_unstable();
    waits.get(waits.len().saturating_sub(1) * 99 / 100).copied().unwrap_or_default()
}

/// The throughput of the best fixed size for a phase, and the smallest size within 5 % of it.
fn best_fixed(phase: &Phase) -> Result<(f64, usize), fanpool::BuildError> {
    let short = Phase { time: Duration::from_millis(600), ..*phase };
    let mut rates = Vec::new();
    for size in [1, 2, 3, 4, 6, 8, 10, 12, 16] {
        let pool = Pool::builder().workers(Workers::Fixed(size)).build()?;
        let run = run(&pool, std::slice::from_ref(&short));
        rates.push((size, rate(&run, Duration::ZERO, Duration::from_millis(100), short.time)));
    }
    let best = rates.iter().map(|(_, rate)| *rate).fold(0.0, f64::max);
    let size = rates.iter().find(|(_, rate)| *rate >= 0.95 * best).map_or(0, |(size, _)| *size);
    Ok((best, size))
}

fn elastic(name: &str, options: Elastic, step: Duration, best: &[(f64, usize)]) -> Result<(), fanpool::BuildError> {
    let pool = Pool::builder().workers(options).build()?;
    let run = run(&pool, &PHASES);
    println!("{name}: from ten steps of {step:?} after each change on");
    println!("  phase       tasks/s   of the best   workers (fewest, most)   best fixed   p99 wait");
    let mut from = Duration::ZERO;
    for (at, (phase, (best, size))) in PHASES.iter().zip(best).enumerate() {
        let (settled, to) = (from + (10 * step).min(phase.time / 2), from + phase.time);
        let rate = rate(&run, from, settled, to);
        let bins = |time: Duration| (time.as_millis() / BIN.as_millis()) as usize;
        let seen = &run.workers[bins(settled).min(run.workers.len())..bins(to).min(run.workers.len())];
        let (fewest, most) = (seen.iter().min().copied().unwrap_or(0), seen.iter().max().copied().unwrap_or(0));
        println!(
            "  {:<11} {rate:7.1} {:13.2} {:>18} {most:>3} {size:>12} {:>10.1?}",
            phase.name,
            rate / best,
            fewest,
            p99(&run, settled, to)
        );
        let parameters = [("from_ms", from.as_secs_f64() * 1e3), ("clients", phase.clients as f64)];
        let title = format!("load step {}: {}", at + 1, phase.name);
        record(&title, name, "of the best fixed size", &parameters, &[rate / best]);
        from = to;
    }
    record_course(
        "load steps",
        name,
        2.0 * BIN.as_secs_f64() * 1e3,
        &course(&run, from).each_ref().map(|(n, v)| (*n, &v[..])),
    );
    println!("  at the end: {} workers", run.workers.last().copied().unwrap_or(0));
    Ok(())
}

/// Tasks per second, workers, and the p99 of the wait, one value for every other bin.
fn course(run: &Run, time: Duration) -> [(&'static str, Vec<f64>); 3] {
    let bins = || (0..time.div_duration_f64(BIN) as usize).step_by(2);
    // Five bins are a step in which enough tasks end.
    let within = |bin: usize| (BIN * bin.saturating_sub(4) as u32, BIN * (bin + 1) as u32);
    let rates = bins().map(|bin| rate(run, Duration::ZERO, within(bin).0, within(bin).1)).collect();
    let workers = bins().map(|bin| run.workers.get(bin).or(run.workers.last()).copied().unwrap_or(0) as f64).collect();
    let waits = bins().map(|bin| p99(run, within(bin).0, within(bin).1).as_secs_f64() * 1e3).collect();
    [("tasks_a_s", rates), ("workers", workers), ("p99_wait_ms", waits)]
}

/// 200 tasks that block for 50 ms each, on a pool that begins with two workers and may have 64.
fn blocking() -> Result<(), fanpool::BuildError> {
    let time = Duration::from_millis(50);
    let run = |say: bool| -> Result<(Duration, usize), fanpool::BuildError> {
        let pool = Pool::builder().workers(Elastic::new(2, 64)).build()?;
        let began = Instant::now();
        for _ in 0..200 {
            let _ =
                pool.spawn(
                    move || if say { fanpool::blocking(|| std::thread::sleep(time)) } else { std::thread::sleep(time) },
                );
        }
        let _ = pool.wait_idle();
        Ok((began.elapsed(), pool.workers()))
    };
    for (name, say) in [("in `blocking`", true), ("without", false)] {
        let title = "200 tasks that block for 50 ms";
        let mut runs = (0..5).map(|_| run(say)).collect::<Result<Vec<_>, _>>()?;
        runs.sort_unstable();
        let each: Vec<f64> = runs.iter().map(|(took, _)| took.as_secs_f64() * 1e3).collect();
        record(title, &format!("fanpool, {name}"), "ms", &[("threads", 64.0)], &each);
        println!("{title}, {name}: {:.0?}, {} workers at the end", runs[2].0, runs[2].1);
    }
    Ok(())
}

fn all() -> Result<(), fanpool::BuildError> {
    begin("elastic");
    blocking()?;
    let mut best: Vec<(f64, usize)> = Vec::new();
    for phase in &PHASES {
        let same = PHASES[..best.len()].iter().position(|other| other.name == phase.name);
        best.push(match same {
            Some(at) => best[at],
            None => best_fixed(phase)?,
        });
    }
    let options = Elastic::new(1, MAX).target_wait(TARGET).keep_alive(KEEP_ALIVE);
    elastic("fanpool, growing while tickets wait", options, TARGET, &best)?;
    elastic("fanpool, searching the throughput", options.search_throughput(), Duration::from_millis(100), &best)?;
    Ok(())
}

fn main() -> ExitCode {
    match all() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
