//! Fetches many URLs from hosts that stall, fail and recover, and tells what came of each kind of them.
//!
//! `cargo run --release -p apps --bin fetch -- [--list FILE] [--workers 32] [--rate 100] [--deadline-ms 30000] [--attempt-ms 10000]
//! [--attempts 4] [--wait] [--seed 1] [--urls 500] [URL]...`
//!
//! The URLs are those given and those in FILE (`-` is standard input), one on a line, but for empty lines and those that begin with `#`.
//! Without any, it fetches `--urls` from servers that it starts itself, for which the times are shorter and the rate is 400:
//!
//! | Kind | Answer | Host |
//! |---|---|---|
//! | `/ok` | 200 at once | that of the three first |
//! | `/slow` | 200 after 20 to 120 ms | |
//! | `/flaky` | 503 the first two times, then 200 | |
//! | `/down` | always 503 | its own |
//! | `/refused` | no connection | its own |
//! | `/stall` | none | its own |
//! | `/recovers` | 503 for the first second, then 200 | its own |
//!
//! URLs that were given are told apart by their hosts. Each of them that is malformed or gave no result is a line on standard error, with
//! what became of each attempt, and then the exit code is 1. With its own servers it is 0, since that is what they are there for.
//!
//! It shows how the policies of a service work together: an item has a deadline and an attempt a time limit, which the client is
//! told; attempts are made at a rate; a host that mostly fails is left alone for a while by its breaker; what may go better is
//! tried again; and what ends without a result goes to the sink for dead letters, with its story. With `--wait`, items of a host that
//! is left alone are not rejected, but wait until it is tried again or their deadline passes.
//!
//! The seed decides the order of the URLs, the times of `/slow` and the delays between attempts. How threads and servers interleave it
//! does not, so the counts of hosts that fail differ a little from run to run.
//!
//! SIGINT or SIGTERM: attempts under way come to their end, everything else is given up; exit code 1. A second one ends it at once.
//!
//! *The client* is ureq, without TLS: blocking, with one time limit for all of a call, and a name of its own for each thing that goes wrong. With
//! a time limit it looks each name up on a thread that it starts for that.

mod client;
mod local;
mod urls;

use client::Fault;
use fanpool::{
    BreakerCounts, Breakers, BuildError, CircuitBreaker, Errors, FanOut, Input, Outcome, Output, RateLimit, Retry,
    TaskError,
};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;
use urls::{Site, Target};

const USAGE: &str = "usage: fetch [--list FILE] [--workers N] [--rate N] [--deadline-ms N] [--attempt-ms N] [--attempts N] [--wait] \
                     [--seed N] [--urls N] [URL]...";

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("fetch: {message}; {USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(code) => code,
        Err(message) => {
            eprintln!("fetch: {message}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    given: Vec<OsString>,
    list: Option<OsString>,
    workers: usize,
    rate: Option<u32>,
    deadline: Option<Duration>,
    attempt: Option<Duration>,
    attempts: u32,
    wait: bool,
    seed: u64,
    urls: usize,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Options, String> {
        let (given, list, rate, deadline, attempt) = (Vec::new(), None, None, None, None);
        let (workers, attempts, wait, seed, urls) = (32, 4, false, 1, 500);
        let mut options = Options { given, list, workers, rate, deadline, attempt, attempts, wait, seed, urls };
        let mut flags = true;
        while let Some(argument) = arguments.next() {
            let flag = argument.to_string_lossy().into_owned();
            match flag.as_str() {
                "--" if flags => flags = false,
                "--wait" if flags => options.wait = true,
                "--list" if flags => options.list = Some(arguments.next().ok_or("--list without a file")?),
                _ if flags && flag.starts_with("--") => {
                    let value = arguments.next().and_then(|value| value.to_str()?.parse::<u32>().ok());
                    let value = value.ok_or_else(|| format!("{} without a number", flag.escape_debug()))?;
                    let time = Some(Duration::from_millis(value.into()));
                    match flag.as_str() {
                        "--workers" => options.workers = value as usize,
                        "--rate" => options.rate = Some(value),
                        "--deadline-ms" => options.deadline = time,
                        "--attempt-ms" => options.attempt = time,
                        "--attempts" => options.attempts = value,
                        "--seed" => options.seed = value.into(),
                        "--urls" => options.urls = value as usize,
                        _ => return Err(format!("unknown flag {}", flag.escape_debug())),
                    }
                }
                _ => options.given.push(argument),
            }
        }
        Ok(options)
    }
}

/// An item that ended without a result.
struct Letter {
    target: Target,
    /// What became of each attempt.
    story: String,
    last: String,
}

impl Letter {
    fn new(target: Target, errors: &Errors<Fault>) -> Letter {
        let (mut story, mut last) = (String::new(), String::new());
        for (attempt, error) in errors {
            last = match error {
                // For how long is another thing each time.
                TaskError::Rejected(_) => "the host is left alone".into(),
                error => error.to_string(),
            };
            let _ = write!(story, "; {attempt}. {last}");
        }
        Letter { target, story, last }
    }
}

/// A service that fetches, and what is to be known about it.
struct Service {
    input: Input<'static, Target>,
    output: Output<'static, u64, Fault>,
    hosts: Breakers,
    letters: Receiver<Letter>,
}

impl Service {
    fn start(options: &Options, own: bool) -> Result<Service, BuildError> {
        let of = |given: Option<Duration>, here: u64, there: u64| {
            given.unwrap_or(Duration::from_millis(if own { here } else { there }))
        };
        let rate = options.rate.unwrap_or(if own { 400 } else { 100 });
        let hosts = CircuitBreaker::builder()
            .window_calls(30)
            .minimum_calls(10)
            .failure_rate(0.7)
            .open_for(of(None, 300, 5000))
            .build_keyed(1000)?;
        let retry = Retry::exponential(of(None, 50, 500))
            .jitter(0.5)
            .seed(options.seed)
            .max_attempts(options.attempts)
            .retry_if(Fault::passes);
        // Its own servers are not behind a proxy.
        let agent = client::agent(!own);
        let (dead, letters) = channel();
        let service = FanOut::builder(move |target: Target| client::fetch(agent.get(&*target.url)))
            .name("fetch")
            .workers(options.workers)
            .window(options.workers.saturating_mul(4))
            .deadline(of(options.deadline, 2000, 30_000))
            .attempt_timeout(of(options.attempt, 300, 10_000))
            .rate(RateLimit::builder(rate, Duration::from_secs(1)).burst(rate / 10 + 1).build()?)
            .breaker_by(hosts.clone(), |target: &Target| target.host.clone())
            .breaker_counts(Fault::passes)
            .retry(retry)
            .dead_letter(move |target, errors| {
                // Nobody reads it once the program has failed.
                let _ = dead.send(Letter::new(target, errors));
            });
        let (input, output) = if options.wait { service.breaker_waits().start()? } else { service.start()? };
        Ok(Service { input, output, hosts, letters })
    }
}

/// What may come of a URL.
const ENDS: [&str; 6] = ["at once", "retried", "failed", "rejected", "expired", "stopped"];

/// What came of the URLs of one kind.
#[derive(Default)]
struct Tally {
    urls: u64,
    ends: [u64; ENDS.len()],
    attempts: u64,
    bytes: u64,
    total: Duration,
    max: Duration,
}

impl Tally {
    fn of(outcome: &Outcome<u64, Fault>) -> Tally {
        let mut ends = [0; ENDS.len()];
        ends[match &outcome.result {
            Ok(_) if outcome.attempts == 1 => 0,
            Ok(_) => 1,
            Err(TaskError::Rejected(_)) => 3,
            Err(TaskError::Expired) => 4,
            Err(TaskError::Cancelled) => 5,
            Err(_) => 2,
        }] = 1;
        let (took, bytes) = (outcome.queued + outcome.ran, *outcome.result.as_ref().unwrap_or(&0));
        Tally { urls: 1, ends, attempts: outcome.attempts.into(), bytes, total: took, max: took }
    }

    fn add(&mut self, other: &Tally) {
        self.urls += other.urls;
        self.ends.iter_mut().zip(other.ends).for_each(|(sum, more)| *sum += more);
        self.attempts += other.attempts;
        self.bytes += other.bytes;
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    fn row(&self, kind: &str) -> String {
        let mut row = format!("{kind:<24}{:>6}", self.urls);
        for end in self.ends {
            let _ = write!(row, "{end:>10}");
        }
        let mean = self.total.as_millis() / u128::from(self.urls.max(1));
        let _ = writeln!(row, "{:>10}{mean:>9}{:>8}{:>10}", self.attempts, self.max.as_millis(), self.bytes);
        row
    }
}

fn report(kinds: &BTreeMap<&str, Tally>, all: &Tally, targets: &[Target], hosts: &Breakers) -> String {
    let mut report = format!("{:<24}{:>6}", "kind", "urls");
    for end in ENDS {
        let _ = write!(report, "{end:>10}");
    }
    let _ = writeln!(report, "{:>10}{:>9}{:>8}{:>10}", "attempts", "mean ms", "max ms", "bytes");
    kinds.iter().for_each(|(kind, tally)| report += &tally.row(kind));
    let _ = write!(report, "{}\n{:<24}{:>10}", all.row("all"), "host", "breaker");
    let _ = writeln!(report, "{:>8}{:>10}{:>9}{:>9}", "calls", "failures", "refused", "changes");
    for host in targets.iter().map(|target| &target.host).collect::<BTreeSet<_>>() {
        let breaker = hosts.of(host);
        let (state, counts) = (format!("{:?}", breaker.state()).to_lowercase(), breaker.counts());
        let BreakerCounts { calls, failures, rejected, changes, .. } = counts;
        let _ = writeln!(report, "{host:<24}{state:>10}{calls:>8}{failures:>10}{rejected:>9}{changes:>9}");
    }
    report
}

fn run(options: &Options) -> Result<ExitCode, String> {
    let own = options.given.is_empty() && options.list.is_none();
    let site = if own { Some(Site::start(options.seed)?) } else { None };
    let mut complaints = Vec::new();
    let targets = match &site {
        Some(site) => site.targets(options.urls),
        None => urls::read(&options.given, options.list.as_deref(), &mut complaints)?,
    };
    complaints.iter().for_each(|complaint| eprintln!("fetch: {complaint}"));

    let Service { input, output, hosts, letters } = Service::start(options, own).map_err(|error| error.to_string())?;
    let (control, stopping, stopped) = (output.control(), output.control(), AtomicBool::new(false));
    let stop = move || {
        if stopped.swap(true, Ordering::Relaxed) {
            eprintln!("fetch: interrupted while stopping");
            std::process::exit(1);
        }
        stopping.stop();
    };
    ctrlc::set_handler(stop).map_err(|error| format!("cannot wait for signals: {error}"))?;

    let bar = ProgressBar::new(targets.len() as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} URLs, {per_sec}, {eta} to go") {
        bar.set_style(style);
    }
    let (mut kinds, mut all) = (BTreeMap::<&str, Tally>::new(), Tally::default());
    thread::scope(|scope| {
        let items = targets.iter().cloned();
        // What is refused, because all was stopped, is missed below.
        scope.spawn(move || items.map(|target| input.send(target)).all(|sent| sent.is_ok()));
        for outcome in output {
            let tally = Tally::of(&outcome);
            kinds.entry(&targets[outcome.seq as usize].kind).or_default().add(&tally);
            all.add(&tally);
            bar.inc(1);
        }
    });
    bar.finish_and_clear();

    let mut text = report(&kinds, &all, &targets, &hosts);
    let mut reasons = BTreeMap::<(String, String), u64>::new();
    for Letter { target, story, last } in letters.try_iter() {
        if !own {
            eprintln!("fetch: {}{story}", target.url.escape_debug());
        }
        *reasons.entry((target.kind.to_string(), last)).or_default() += 1;
    }
    let _ = writeln!(text, "\n{:<24}{:>6}  the last attempt", "without a result", "urls");
    for ((kind, last), urls) in &reasons {
        let _ = writeln!(text, "{kind:<24}{urls:>6}  {last}");
    }
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(format!("cannot write: {error}")),
        _ => {}
    }
    let counts = control.counts();
    match targets.len() as u64 - counts.accepted + counts.cancelled {
        0 if complaints.is_empty() && (own || counts.finished == counts.accepted) => Ok(ExitCode::SUCCESS),
        0 => Ok(ExitCode::FAILURE),
        given_up => Err(format!("stopped: {given_up} of {} URLs were given up", targets.len())),
    }
}
