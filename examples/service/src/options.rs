//! What the command line says, and everything that may go wrong.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

pub(crate) const USAGE: &str = "usage: service [--listen ADDRESS:PORT] [--drain SECONDS] [--name NAME] [--threads N] [--window N] \
     [--connections N] [--idle SECONDS] [--answer SECONDS] [--stuck-after SECONDS] [--check SECONDS] [--chaos]";

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) listen: SocketAddr,
    pub(crate) drain: Duration,
    /// Of the pool for what blocks, and so a label value.
    pub(crate) name: String,
    /// The most threads for what blocks; otherwise 16 for each CPU.
    pub(crate) threads: Option<usize>,
    pub(crate) window: usize,
    pub(crate) connections: usize,
    pub(crate) idle: Duration,
    pub(crate) answer: Duration,
    pub(crate) stuck_after: Duration,
    pub(crate) check: Duration,
    pub(crate) chaos: bool,
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, Failure> {
        let mut options = Options {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            drain: Duration::from_secs(20),
            name: "blocking".into(),
            threads: None,
            window: 256,
            connections: 256,
            idle: Duration::from_secs(2),
            answer: Duration::from_secs(30),
            stuck_after: Duration::from_secs(30),
            check: Duration::from_secs(1),
            chaos: false,
        };
        while let Some(flag) = arguments.next() {
            if flag == "--chaos" {
                options.chaos = true;
                continue;
            }
            let wrong = |what: &str| Failure::Usage(format!("{} {what}", flag.escape_debug()));
            let mut value = || arguments.next().ok_or_else(|| wrong("takes a value"));
            match flag.as_str() {
                "--listen" => {
                    options.listen = value()?.parse().map_err(|_| wrong("takes an address, such as 127.0.0.1:8080"))?;
                }
                "--name" => options.name = value()?,
                "--threads" | "--window" | "--connections" => {
                    let number = value()?.parse::<usize>().ok().filter(|number| (1..=10_000).contains(number));
                    let number = number.ok_or_else(|| wrong("takes 1 to 10000"))?;
                    match flag.as_str() {
                        "--threads" => options.threads = Some(number),
                        "--window" => options.window = number,
                        _ => options.connections = number,
                    }
                }
                "--drain" | "--idle" | "--answer" | "--stuck-after" | "--check" => {
                    let seconds = value()?.parse::<f64>().ok().filter(|seconds| (0.001..=86_400.0).contains(seconds));
                    let seconds = seconds.ok_or_else(|| wrong("takes 0.001 to 86400 seconds"))?;
                    let time = Duration::from_secs_f64(seconds);
                    match flag.as_str() {
                        "--drain" => options.drain = time,
                        "--idle" => options.idle = time,
                        "--answer" => options.answer = time,
                        "--stuck-after" => options.stuck_after = time,
                        _ => options.check = time,
                    }
                }
                _ => return Err(Failure::Usage(format!("unknown flag {}", flag.escape_debug()))),
            }
        }
        Ok(options)
    }
}

/// Why the service ends badly, in one line.
#[derive(Debug)]
pub(crate) enum Failure {
    Usage(String),
    Listen(SocketAddr, io::Error),
    Build(fanpool::BuildError),
    Recorder,
    Signals(ctrlc::Error),
    /// The time to drain is over.
    Overdue {
        drain: Duration,
        answered: u64,
        given_up: u64,
        /// Who still runs what.
        busy: Vec<String>,
    },
    Collector(fanpool::TaskPanicked),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(what) => write!(f, "{what}; {USAGE}"),
            Failure::Listen(address, error) => write!(f, "cannot listen on {address}: {error}"),
            Failure::Build(error) => error.fmt(f),
            Failure::Recorder => f.write_str("another recorder of metrics is installed"),
            Failure::Signals(error) => write!(f, "cannot wait for signals: {error}"),
            Failure::Overdue { drain, answered, given_up, busy } => {
                write!(f, "the {drain:?} to drain are over: {answered} requests answered, {given_up} given up")?;
                busy.iter().try_for_each(|busy| write!(f, "; {busy}"))
            }
            Failure::Collector(panic) => write!(f, "a collector: {panic}"),
        }
    }
}

impl From<fanpool::BuildError> for Failure {
    fn from(error: fanpool::BuildError) -> Self {
        Failure::Build(error)
    }
}
