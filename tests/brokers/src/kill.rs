//! Processes that are killed while they work, and what must be left whole.
//!
//! Every worker appends a line to one log before its handler returns: its process, the how many-th delivery it is, the key, and the
//! message's number among all. An append is one write, so the log is in the order of what happened, and a kill leaves whole lines.

use crate::Broker;
use fanpool::connect::Message;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Keys that the messages are spread over.
const KEYS: u64 = 97;

/// What a run is like.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many messages.
    pub messages: u64,
    /// Messages in hand of a process.
    pub window: usize,
    /// How long a handler takes.
    pub work: Duration,
    /// From one kill to the next.
    pub every: Duration,
    /// Of how many other processes a kill takes what they have in hand: where members share by partitions, all.
    pub disturbed: usize,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// Processes killed.
    pub kills: usize,
    /// Times the broker was ended and started.
    pub restarts: usize,
    /// Messages handled once more than once.
    pub duplicates: u64,
    /// The most that there may be.
    pub allowed: u64,
}

/// A worker process; killed when it is dropped.
struct Worker(Child);

impl Worker {
    fn start(program: &Path, spec: &str, queue: &str, log: &Path, plan: &Plan) -> Worker {
        let child = Command::new(program)
            .args([spec, queue])
            .arg(log)
            .args([plan.window.to_string(), plan.work.as_micros().to_string()])
            .stdin(Stdio::null())
            .spawn();
        Worker(child.expect("the worker starts"))
    }

    fn kill(&mut self) {
        self.0.kill().expect("it runs, or has ended");
        self.0.wait().expect("it was a child");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Line {
    process: u32,
    attempt: u32,
    key: u64,
    number: u64,
}

fn lines(log: &Path) -> Vec<Line> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let line = |line: &str| {
        let mut parts = line.split(' ').map(|part| part.parse::<u64>().expect("a number"));
        let mut next = || parts.next().expect("four numbers");
        Line { process: next() as u32, attempt: next() as u32, key: next(), number: next() }
    };
    text.lines().map(line).collect()
}

/// So long nothing is handled at most: some times what it takes to put a group together anew.
const STANDSTILL: Duration = Duration::from_secs(60);

/// Lets three processes handle messages while one is killed again and again, and the broker once where that can be done; checks that
/// none is lost, that no more are handled twice than may be, and the order of each key.
///
/// # Panics
///
/// If something does not hold.
pub fn run(broker: &dyn Broker, worker: &Path, plan: Plan) -> Report {
    let folder = std::env::temp_dir().join(format!("fanpool-kill-{}-{}", broker.engine(), std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the log");
    let log = folder.join("log");
    let _ = std::fs::remove_file(&log);
    let queue = format!("kill-{}", std::process::id());
    broker.create(&queue);
    broker.create(&format!("{queue}-dead"));
    let messages: Vec<Message> = (0..plan.messages)
        .map(|number| Message::new(number.to_string()).with_key((number % KEYS).to_string()))
        .collect();
    let mut sink = broker.sink(&queue);
    sink.open().expect("the broker runs");
    messages.chunks(1_000).for_each(|chunk| sink.publish(chunk).expect("the broker takes them"));
    let _ = sink.close();
    let spec = broker.spec();
    let start = || Worker::start(worker, &spec, &queue, &log, &plan);
    let mut workers = [start(), start(), start()];
    let (mut kills, mut restarts) = (0, 0);
    let (mut handled, mut heard) = (0, Instant::now());
    let mut next = Instant::now() + plan.every;
    loop {
        let seen: HashSet<u64> = lines(&log).iter().map(|line| line.number).collect();
        if seen.len() as u64 == plan.messages && broker.unacknowledged(&queue) == 0 {
            break;
        }
        if seen.len() > handled {
            (handled, heard) = (seen.len(), Instant::now());
        }
        assert!(heard.elapsed() < STANDSTILL, "{handled} of {} were handled, and then none", plan.messages);
        if Instant::now() >= next {
            if kills == 1 && restarts == 0 && broker.stop() {
                std::thread::sleep(Duration::from_millis(500));
                broker.start();
                restarts = 1;
            } else {
                workers[kills % 3].kill();
                workers[kills % 3] = start();
                kills += 1;
            }
            next = Instant::now() + plan.every;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(workers);
    let lines = lines(&log);
    let mut firsts: HashSet<u64> = HashSet::new();
    let mut order: HashMap<(u32, u64), u64> = HashMap::new();
    for line in &lines {
        let first = firsts.insert(line.number);
        // Where the broker keeps the order of a key, among all processes; else in each, of what it got as the first.
        let of = if broker.promises().orders_keys {
            first.then_some(0)
        } else {
            (line.attempt == 1).then_some(line.process)
        };
        if let Some(of) = of
            && let Some(before) = order.insert((of, line.key), line.number)
        {
            assert!(before < line.number, "key {}: {before}, then {}", line.key, line.number);
        }
    }
    assert_eq!(firsts.len() as u64, plan.messages);
    let duplicates = lines.len() as u64 - plan.messages;
    let hands = kills * (1 + plan.disturbed) + restarts * 3;
    let report = Report { kills, restarts, duplicates, allowed: (hands * plan.window) as u64 };
    assert!(duplicates <= report.allowed, "{report:?}");
    assert_eq!(broker.dump(&format!("{queue}-dead")).len(), 0, "nothing failed");
    let _ = std::fs::remove_dir_all(&folder);
    println!("{}: {} messages, {report:?}", broker.engine(), plan.messages);
    report
}
