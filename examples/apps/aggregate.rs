//! Answers each request from several services at once: as soon as enough of them have answered, or with what is there when the time is over.
//!
//! `cargo run --release -p apps --bin aggregate -- [--quorum N] [--deadline 200] [--hedge 40] [--requests 20]
//! [NAME=HOST:PORT[,HOST:PORT]...]...`
//!
//! A request asks every service of the table for its part, at `http://HOST:PORT/`. It is answered when `--quorum` parts are there (default:
//! two thirds), when `--deadline` milliseconds are over, or when nothing more can come. A line says which, after how long, with which
//! parts, and why the others are missing. Without a table, it starts services of its own:
//!
//! | Name | Answer |
//! |---|---|
//! | `users` | at its first address no connection; at its second after 10 ms |
//! | `orders` | after 8 ms |
//! | `stock` | after 10 ms; every fifth time after 400 ms |
//! | `prices` | at its first address status 503; at its second after 5 ms |
//! | `reviews` | after 80 ms; twice of eight times after 400 ms |
//! | `ads` | always status 503 |
//! | `weather` | none |
//!
//! It shows hedging: a part that is not there after `--hedge` milliseconds is asked for a second time, elsewhere if its name has
//! another address, and the first answer counts. A part that failed is asked for once more, at the next address, after the name
//! was looked up again. A service that mostly fails is refused by its breaker for a while, which costs a request nothing. Nobody
//! waits for what comes too late: it is counted as late, in the table of services at the end.
//!
//! The exit code is 1 if there was a request without any part. SIGINT or SIGTERM: the request under way is answered, the others are given up;
//! exit code 1. A second one ends it at once.
//!
//! *Looking a name up* has no time limit, and holds a worker while it lasts. The request does not wait for that worker; the end of the program
//! does.

mod client;
mod local;
mod names;

use client::Fault;
use fanpool::{
    BreakerCounts, Breakers, BuildError, CircuitBreaker, FanOut, Input, Outcome, Output, Retry, ServiceCounts,
    TaskError,
};
use local::{Local, Reply};
use names::Name;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const USAGE: &str =
    "usage: aggregate [--quorum N] [--deadline MS] [--hedge MS] [--requests N] [NAME=HOST:PORT[,HOST:PORT]...]...";

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("aggregate: {message}; {USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(options) {
        Ok(code) => code,
        Err(message) => {
            eprintln!("aggregate: {message}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    names: Vec<Name>,
    quorum: Option<usize>,
    deadline: Duration,
    hedge: Duration,
    requests: u32,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = std::ffi::OsString>) -> Result<Options, String> {
        let [deadline, hedge] = [200, 40].map(Duration::from_millis);
        let mut options = Options { names: Vec::new(), quorum: None, deadline, hedge, requests: 20 };
        while let Some(argument) = arguments.next() {
            let text = argument.to_string_lossy().into_owned();
            if !text.starts_with("--") {
                let name = Name::parse(&text)?;
                if options.names.iter().any(|other| other.name == name.name) {
                    return Err(format!("{} is there twice", name.name));
                }
                options.names.push(name);
                continue;
            }
            let value = arguments.next().and_then(|value| value.to_str()?.parse::<u32>().ok());
            let value = value.ok_or_else(|| format!("{} without a number", text.escape_debug()))?;
            match text.as_str() {
                "--quorum" => options.quorum = Some(value as usize),
                "--deadline" => options.deadline = Duration::from_millis(value.into()),
                "--hedge" => options.hedge = Duration::from_millis(value.into()),
                "--requests" => options.requests = value,
                _ => return Err(format!("unknown flag {}", text.escape_debug())),
            }
        }
        match options.quorum {
            Some(0) => Err("a quorum of nobody".into()),
            Some(quorum) if !options.names.is_empty() && quorum > options.names.len() => {
                Err(format!("a quorum of {quorum} of {} services", options.names.len()))
            }
            _ => Ok(options),
        }
    }
}

/// The services of its own.
fn table(local: &mut Local) -> Result<Vec<Name>, String> {
    let after = |time| Reply::Status(200, Duration::from_millis(time));
    let name = |name: &str, addresses: &[std::net::SocketAddr]| {
        Name::new(name, addresses.iter().map(ToString::to_string).collect())
    };
    Ok(vec![
        name("users", &[local.refuse()?, local.serve(move |_, _| after(10))?]),
        name("orders", &[local.serve(move |_, _| after(8))?]),
        name("stock", &[local.serve(move |_, before| after(if before % 5 == 4 { 400 } else { 10 }))?]),
        name("prices", &[local.serve(|_, _| Reply::now(503))?, local.serve(move |_, _| after(5))?]),
        name("reviews", &[local.serve(move |_, before| after(if before % 8 < 2 { 400 } else { 80 }))?]),
        name("ads", &[local.serve(|_, _| Reply::now(503))?]),
        name("weather", &[local.serve(|_, _| Reply::Nothing)?]),
    ])
}

/// A service of the table, and what was counted.
struct Host {
    name: Name,
    calls: AtomicU64,
    hedges: AtomicU64,
}

/// What a request asks of one of them.
#[derive(Clone)]
struct Part {
    number: usize,
    host: Arc<Host>,
    /// Calls for this part that are under way.
    calls: Arc<AtomicU64>,
}

impl Part {
    fn fetch(&self, agent: &ureq::Agent) -> Result<u64, Fault> {
        self.host.calls.fetch_add(1, Ordering::Relaxed);
        if self.calls.fetch_add(1, Ordering::Relaxed) > 0 {
            self.host.hedges.fetch_add(1, Ordering::Relaxed);
        }
        let request = |at, source: &str| client::fetch(agent.get(format!("http://{at}/")).header("Host", source));
        let result = self.host.name.call(request, |result| result.as_ref().is_err_and(Fault::passes));
        self.calls.fetch_sub(1, Ordering::Relaxed);
        result.unwrap_or_else(|| Err(ureq::Error::HostNotFound.into()))
    }
}

/// How a request was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Quorum,
    Deadline,
    /// There are fewer parts than the quorum, and nothing more can come.
    End,
}

/// What became of a part.
enum Found {
    Here,
    Missing(String),
}

struct Aggregator {
    hosts: Vec<Arc<Host>>,
    input: Input<'static, Part>,
    output: Output<'static, u64, Fault>,
    breakers: Breakers,
    quorum: usize,
    deadline: Duration,
    /// For which request and service an item was sent.
    sent: HashMap<u64, (u32, usize)>,
    /// Parts by service: in time, and late.
    in_time: Vec<u64>,
    late: Vec<u64>,
}

impl Aggregator {
    fn start(hosts: Vec<Arc<Host>>, quorum: usize, options: &Options, own: bool) -> Result<Aggregator, BuildError> {
        let breakers = CircuitBreaker::builder()
            .window_calls(20)
            .minimum_calls(5)
            .failure_rate(0.6)
            .open_for(options.deadline.saturating_mul(2))
            .build_keyed(hosts.len())?;
        // Its own services are not behind a proxy.
        let agent = client::agent(!own);
        let parts = hosts.len();
        let (input, output) = FanOut::builder(move |part: Part| part.fetch(&agent))
            .name("aggregate")
            // For the parts of a request, their hedges, and as many that are late.
            .workers(parts * 4)
            .window(parts * 16)
            .deadline(options.deadline)
            .hedge_after(options.hedge)
            .breaker_by(breakers.clone(), |part: &Part| part.number)
            .breaker_counts(Fault::passes)
            .retry(Retry::fixed(Duration::ZERO).max_attempts(2).retry_if(Fault::passes))
            .start()?;
        let (sent, deadline) = (HashMap::new(), options.deadline);
        let [in_time, late] = [0, 0].map(|none| vec![none; parts]);
        Ok(Aggregator { hosts, input, output, breakers, quorum, deadline, sent, in_time, late })
    }

    /// Takes an outcome: to `found` if it is of this request, which is counted from 1.
    fn take(&mut self, outcome: Outcome<u64, Fault>, request: u32, found: &mut [Option<Found>]) {
        let Some((asked, host)) = self.sent.remove(&outcome.seq) else { return };
        let answered = outcome.result.is_ok();
        if asked != request {
            self.late[host] += u64::from(answered);
            return;
        }
        self.in_time[host] += u64::from(answered);
        found[host] = Some(match outcome.result {
            Ok(_) => Found::Here,
            Err(TaskError::Rejected(_)) => Found::Missing("left alone".into()),
            Err(error) => Found::Missing(error.to_string()),
        });
    }

    fn answer(&mut self, request: u32) -> (By, Vec<Option<Found>>) {
        let deadline = Instant::now() + self.deadline;
        let mut found: Vec<Option<Found>> = self.hosts.iter().map(|_| None).collect();
        while let Ok(outcome) = self.output.try_recv() {
            self.take(outcome, request, &mut found);
        }
        for (number, host) in self.hosts.iter().enumerate() {
            let part = Part { number, host: host.clone(), calls: Arc::default() };
            // Whoever sends and receives must not wait for room.
            match self.input.try_send(part) {
                Ok(seq) => drop(self.sent.insert(seq, (request, number))),
                Err(refused) => found[number] = Some(Found::Missing(refused.reason().to_string())),
            }
        }
        let by = loop {
            if found.iter().flatten().filter(|found| matches!(found, Found::Here)).count() >= self.quorum {
                break By::Quorum;
            }
            if found.iter().all(Option::is_some) {
                break By::End;
            }
            match self.output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(outcome) => self.take(outcome, request, &mut found),
                Err(_) => break By::Deadline,
            }
        };
        // What came meanwhile is part of the answer.
        while let Ok(outcome) = self.output.try_recv() {
            self.take(outcome, request, &mut found);
        }
        (by, found)
    }

    /// A line about an answer.
    fn line(&self, request: u32, by: By, took: Duration, found: &[Option<Found>]) -> String {
        let (mut here, mut missing, mut parts) = (String::new(), String::new(), 0);
        for (host, found) in self.hosts.iter().zip(found) {
            let name = &host.name.name;
            let why = match found {
                Some(Found::Here) => {
                    parts += 1;
                    let _ = write!(here, " {name}");
                    continue;
                }
                Some(Found::Missing(why)) => why,
                None => "not there yet",
            };
            let _ = write!(missing, "{} {name} ({why})", if missing.is_empty() { "; missing:" } else { "," });
        }
        let (by, all) = (format!("{by:?}").to_lowercase(), found.len());
        format!("request {request}: by {by} after {} ms, {parts} of {all}:{here}{missing}", took.as_millis())
    }

    /// Waits for what is late; returns the table of services.
    fn finish(mut self) -> (String, ServiceCounts) {
        self.input.close();
        while let Ok(outcome) = self.output.recv() {
            self.take(outcome, 0, &mut []);
        }
        let mut table = format!("{:<12}{:>9}{:>8}{:>8}", "service", "addresses", "failing", "lookups");
        let _ = write!(table, "{:>7}{:>8}{:>8}{:>6}", "calls", "hedges", "in time", "late");
        let _ = writeln!(table, "{:>10}{:>10}{:>9}", "breaker", "failures", "refused");
        for (number, host) in self.hosts.iter().enumerate() {
            let (addresses, failing, lookups) = host.name.counts();
            let _ = write!(table, "{:<12}{addresses:>9}{failing:>8}{lookups:>8}", host.name.name);
            let [calls, hedges] = [&host.calls, &host.hedges].map(|count| count.load(Ordering::Relaxed));
            let _ = write!(table, "{calls:>7}{hedges:>8}{:>8}{:>6}", self.in_time[number], self.late[number]);
            let breaker = self.breakers.of(&number);
            let (state, counts) = (format!("{:?}", breaker.state()).to_lowercase(), breaker.counts());
            let BreakerCounts { failures, rejected, .. } = counts;
            let _ = writeln!(table, "{state:>10}{failures:>10}{rejected:>9}");
        }
        (table, self.output.control().counts())
    }
}

fn run(mut options: Options) -> Result<ExitCode, String> {
    let own = options.names.is_empty();
    let mut local = None;
    let mut names = std::mem::take(&mut options.names);
    if own {
        names = table(local.insert(Local::new()?))?;
    }
    let parts = names.len();
    let quorum = options.quorum.unwrap_or((2 * parts).div_ceil(3));
    if quorum > parts {
        return Err(format!("a quorum of {quorum} of {parts} services"));
    }
    let host = |name| Arc::new(Host { name, calls: AtomicU64::new(0), hedges: AtomicU64::new(0) });
    let hosts = names.into_iter().map(host).collect();
    let mut aggregator = Aggregator::start(hosts, quorum, &options, own).map_err(|error| error.to_string())?;

    let stopped = Arc::new(AtomicBool::new(false));
    let told = stopped.clone();
    let stop = move || {
        if told.swap(true, Ordering::Relaxed) {
            eprintln!("aggregate: interrupted while stopping");
            std::process::exit(1);
        }
    };
    ctrlc::set_handler(stop).map_err(|error| format!("cannot wait for signals: {error}"))?;

    let (mut by_quorum, mut by_deadline, mut by_end, mut empty) = (0, 0, 0, 0);
    let (mut answered, mut total) = (0, Duration::ZERO);
    for request in 1..=options.requests {
        if stopped.load(Ordering::Relaxed) {
            break;
        }
        let began = Instant::now();
        let (by, found) = aggregator.answer(request);
        let took = began.elapsed();
        (answered, total) = (request, total + took);
        *match by {
            By::Quorum => &mut by_quorum,
            By::Deadline => &mut by_deadline,
            By::End => &mut by_end,
        } += 1;
        empty += u32::from(!found.iter().flatten().any(|found| matches!(found, Found::Here)));
        if !say(&aggregator.line(request, by, took, &found))? {
            return Ok(ExitCode::SUCCESS);
        }
    }
    let (table, counts) = aggregator.finish();
    let mean = total.as_millis() / u128::from(answered.max(1));
    let ServiceCounts { hedged, late, retried, .. } = counts;
    say(&format!(
        "\n{table}\n{answered} requests: {by_quorum} by quorum, {by_deadline} by deadline, {by_end} by end; {mean} ms in the mean; \
         {retried} retries, {hedged} hedges, {late} answers of no use"
    ))?;
    match options.requests - answered {
        0 if empty == 0 => Ok(ExitCode::SUCCESS),
        0 => Err(format!("{empty} requests without any part")),
        given_up => Err(format!("stopped: {given_up} of {} requests were given up", options.requests)),
    }
}

/// Prints a line; returns whether somebody may read it.
fn say(line: &str) -> Result<bool, String> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(format!("cannot write: {error}")),
    }
}
