//! Books events to accounts: each account's in their order, many accounts at once.
//!
//! An event is a line `ACCOUNT AMOUNT [high|low]`. An account begins at 0 and may not fall below it: an amount that would
//! take it there is refused, so the balances depend on the order of each account's events. They come out as
//!
//! ```sh
//! awk '{ if (balance[$1] + $2 >= 0) balance[$1] += $2 } END { for (a in balance) print a, balance[a] + 0 }' FILE | LC_ALL=C sort
//! ```
//!
//! `cargo run --release --example events -- [--workers N] [--slow ACCOUNT] [--view] [FILE]` (default: standard input);
//! `--demo N` makes N events up instead, the same each time, one in a hundred for the account `slow`, and `--dump` prints
//! these and books nothing. Events of the slow account take a millisecond each. A line that is no event is named on standard error,
//! the others are booked, and the exit code is 1. `--view`, or a terminal there, shows how it goes.
//!
//! It shows strands: the option `key` keeps the events of an account in order and apart, on whatever worker is free, so that the
//! slow account holds up no other while its backlog leaves room in the window; priorities, which choose between accounts and never
//! change the order within one; and a control that another thread looks at.

use fanpool::{Control, FanOut, Input, MAX_WORKERS, Output, Priority, TaskError};
use std::collections::HashMap;
use std::fmt::{self, Display};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Cursor, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

const USAGE: &str = "usage: events [--workers N] [--slow ACCOUNT] [--view] [--demo N [--dump] | FILE]";
/// Events between reading and counting. Once that many wait for one account, reading waits too.
const WINDOW: usize = 1024;
/// What an event of the slow account takes.
const SLOW: Duration = Duration::from_millis(1);
/// Bytes of a line that may be an event.
const LONGEST: usize = 1024;
const LOOKS: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("events: {message}; {USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // Whoever read this has read enough.
        Err(Failure::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("events: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every line could be booked.
fn run(options: &Options) -> Result<bool, Failure> {
    if let (true, Some(events)) = (options.dump, options.demo) {
        return dump(events).map(|()| true).map_err(Failure::Write);
    }
    let (balances, good) = book(options)?;
    print(&balances).map(|()| good).map_err(Failure::Write)
}

enum Failure {
    Open(String, io::Error),
    Write(io::Error),
    Start(fanpool::BuildError),
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Open(name, error) => write!(f, "{}: {error}", name.escape_debug()),
            Failure::Write(error) => write!(f, "cannot write: {error}"),
            Failure::Start(error) => error.fmt(f),
        }
    }
}

struct Options {
    workers: usize,
    slow: Option<String>,
    view: bool,
    demo: Option<u64>,
    dump: bool,
    file: Option<PathBuf>,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = std::ffi::OsString>) -> Result<Options, String> {
        // More than CPUs: a worker that the slow account holds computes nothing.
        let mut options = Options { workers: 4, slow: None, view: false, demo: None, dump: false, file: None };
        let mut flags_over = false;
        while let Some(argument) = arguments.next() {
            let mut value = |what: &str| {
                let value = arguments.next().and_then(|value| value.into_string().ok());
                value.ok_or(format!("{what} without a value"))
            };
            match argument.to_str() {
                Some("--") if !flags_over => flags_over = true,
                Some("--workers") if !flags_over => {
                    let workers =
                        value("--workers")?.parse().ok().filter(|workers| (1..=MAX_WORKERS).contains(workers));
                    options.workers = workers.ok_or(format!("--workers takes 1 to {MAX_WORKERS}"))?;
                }
                Some("--slow") if !flags_over => options.slow = Some(value("--slow")?),
                Some("--view") if !flags_over => options.view = true,
                Some("--demo") if !flags_over => {
                    options.demo = Some(value("--demo")?.parse().map_err(|_| "--demo takes a number")?);
                }
                Some("--dump") if !flags_over => options.dump = true,
                Some(flag) if !flags_over && flag.len() > 1 && flag.starts_with('-') => {
                    return Err(format!("unknown flag {}", flag.escape_debug()));
                }
                _ if options.file.is_some() => return Err("more than one file".into()),
                _ => options.file = Some(argument.into()),
            }
        }
        if options.file.is_some() && options.demo.is_some() || options.dump && options.demo.is_none() {
            return Err("--demo goes with --dump or alone, not with a file".into());
        }
        options.view |= io::stderr().is_terminal();
        options.file = options.file.filter(|file| file.as_os_str() != "-");
        options.slow = options.slow.or(options.demo.map(|_| "slow".into()));
        Ok(options)
    }

    fn open(&self) -> Result<(String, Box<dyn BufRead + Send>), Failure> {
        if let Some(events) = self.demo {
            return Ok(("demo".into(), Box::new(BufReader::new(Demo::new(events)))));
        }
        let Some(path) = &self.file else {
            return Ok(("standard input".into(), Box::new(BufReader::new(io::stdin()))));
        };
        let name = path.display().to_string();
        match File::open(path) {
            Ok(file) => Ok((name, Box::new(BufReader::new(file)))),
            Err(error) => Err(Failure::Open(name, error)),
        }
    }
}

struct Account {
    slow: bool,
    /// Nobody ever waits for it: the service handles one event of an account at a time.
    balance: Mutex<i64>,
}

struct Event {
    line: u64,
    account: Arc<Account>,
    amount: i64,
    priority: Priority,
}

struct Booked {
    refused: bool,
    slow: bool,
    priority: Priority,
}

/// A line that was an event and still could not be booked.
struct Unbooked {
    line: u64,
    reason: &'static str,
}

impl Event {
    fn book(self) -> Result<Booked, Unbooked> {
        let unbooked = |reason| Unbooked { line: self.line, reason };
        let mut balance = self.account.balance.try_lock().map_err(|_| unbooked("two events of an account at once"))?;
        if self.account.slow {
            thread::sleep(SLOW);
        }
        let after = balance.checked_add(self.amount).ok_or(unbooked("more than an account can hold"))?;
        if after >= 0 {
            *balance = after;
        }
        Ok(Booked { refused: after < 0, slow: self.account.slow, priority: self.priority })
    }
}

/// The balances, and whether every line could be booked.
fn book(options: &Options) -> Result<(Vec<(String, i64)>, bool), Failure> {
    let (name, source) = options.open()?;
    let (input, output) = FanOut::builder(Event::book)
        .workers(options.workers)
        .window(WINDOW)
        .name("events")
        .key(|event: &Event| Arc::as_ptr(&event.account) as usize)
        .priority(|event: &Event| event.priority)
        .start()
        .map_err(Failure::Start)?;
    let control = output.control();
    let report = Report { good: AtomicBool::new(true), view: options.view };
    let balances = thread::scope(|s| {
        let reader = s.spawn(|| {
            let mut accounts = Accounts { slow: options.slow.as_deref(), known: HashMap::new() };
            if let Err(error) = accounts.read(source, &input, &report) {
                report.complain(format_args!("{}: {error}", name.escape_debug()));
            }
            input.close();
            accounts
        });
        // The viewer ends when this is dropped.
        let (watching, over) = channel();
        if options.view {
            let (control, report) = (control.clone(), &report);
            s.spawn(move || view(&control, &over, report));
        }
        let totals = collect(output, &report);
        drop(watching);
        if options.view {
            report.say(format_args!("events: {totals}\n"));
        }
        // What it panicked with was printed by then; there are no balances.
        reader.join().map(Accounts::balances).unwrap_or_default()
    });
    Ok((balances, report.good.into_inner()))
}

/// The accounts by name, as the reader finds them.
struct Accounts<'a> {
    slow: Option<&'a str>,
    known: HashMap<String, Arc<Account>>,
}

impl Accounts<'_> {
    fn read(&mut self, mut source: impl BufRead, input: &Input<'_, Event>, report: &Report) -> io::Result<()> {
        let mut bytes = Vec::new();
        for line in 1.. {
            bytes.clear();
            if source.by_ref().take(LONGEST as u64).read_until(b'\n', &mut bytes)? == 0 {
                break;
            }
            let event = if bytes.len() == LONGEST && !bytes.ends_with(b"\n") {
                source.skip_until(b'\n')?;
                Err("too long")
            } else {
                std::str::from_utf8(&bytes).map_err(|_| "not UTF-8").and_then(|text| self.parse(line, text))
            };
            match event {
                // Blocks while the window is full. It is refused only if nobody collects any more.
                Ok(Some(event)) => {
                    if input.send(event).is_err() {
                        break;
                    }
                }
                Ok(None) => {}
                Err(reason) => report.complain(format_args!("line {line}: {reason}")),
            }
        }
        Ok(())
    }

    /// The event on that line, if it is not blank.
    fn parse(&mut self, line: u64, text: &str) -> Result<Option<Event>, &'static str> {
        let mut words = text.split_ascii_whitespace();
        let Some(name) = words.next() else { return Ok(None) };
        let amount = words.next().ok_or("no amount")?.parse().map_err(|_| "the amount is no whole number")?;
        let priority = match words.next() {
            None => Priority::Normal,
            Some("high") => Priority::High,
            Some("low") => Priority::Low,
            Some(_) => return Err("the priority is neither high nor low"),
        };
        if words.next().is_some() {
            return Err("more than three words");
        }
        if !self.known.contains_key(name) {
            let account = Account { slow: self.slow == Some(name), balance: Mutex::new(0) };
            self.known.insert(name.into(), Arc::new(account));
        }
        Ok(Some(Event { line, account: self.known[name].clone(), amount, priority }))
    }

    /// In the order of their names.
    fn balances(self) -> Vec<(String, i64)> {
        let balance = |account: &Account| *account.balance.lock().unwrap_or_else(PoisonError::into_inner);
        let mut balances: Vec<_> = self.known.into_iter().map(|(name, account)| (name, balance(&account))).collect();
        balances.sort_unstable();
        balances
    }
}

/// What goes to standard error, where the view has a line that it writes anew again and again.
struct Report {
    good: AtomicBool,
    view: bool,
}

impl Report {
    fn say(&self, what: impl Display) {
        let clear = if self.view { "\r\x1b[K" } else { "" };
        // There is nobody to tell that nobody can be told.
        let _ = write!(io::stderr().lock(), "{clear}{what}");
    }

    fn complain(&self, what: impl Display) {
        self.good.store(false, Ordering::Relaxed);
        self.say(format_args!("events: {what}\n"));
    }
}

fn view(control: &Control<'_>, over: &Receiver<()>, report: &Report) {
    while over.recv_timeout(LOOKS) == Err(RecvTimeoutError::Timeout) {
        let (depth, in_flight) = (control.depth(), control.in_flight());
        report.say(format_args!("{} taken, {in_flight} in flight, {depth} waiting", control.counts().accepted));
    }
}

#[derive(Default)]
struct Totals {
    events: u64,
    refused: u64,
    /// How many, and how long they waited: of high, normal and low priority.
    waited: [(u32, Duration); 3],
    /// When the last event of the slow account and of the others ended.
    slow: Duration,
    others: Duration,
}

fn collect(output: Output<'_, Booked, Unbooked>, report: &Report) -> Totals {
    let (began, mut totals) = (Instant::now(), Totals::default());
    for outcome in output {
        let booked = match outcome.result {
            Ok(booked) => booked,
            Err(TaskError::Failed(unbooked)) => {
                report.complain(format_args!("line {}: {}", unbooked.line, unbooked.reason));
                continue;
            }
            Err(other) => {
                report.complain(format_args!("event {}: {}", outcome.seq, other.map(|unbooked| unbooked.reason)));
                continue;
            }
        };
        totals.events += 1;
        totals.refused += u64::from(booked.refused);
        *(if booked.slow { &mut totals.slow } else { &mut totals.others }) = began.elapsed();
        let (events, waited) = match booked.priority {
            Priority::High => &mut totals.waited[0],
            Priority::Low => &mut totals.waited[2],
            _ => &mut totals.waited[1],
        };
        *events += 1;
        *waited += outcome.queued;
    }
    totals
}

impl Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [high, normal, low] = self.waited.map(|(events, waited)| waited / events.max(1));
        write!(
            f,
            "{} events, {} refused; waited {high:.1?} high, {normal:.1?} normal, {low:.1?} low; ",
            self.events, self.refused
        )?;
        write!(f, "the slow account until {:.0?}, the others until {:.0?}", self.slow, self.others)
    }
}

fn print(balances: &[(String, i64)]) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    for (name, balance) in balances {
        writeln!(out, "{name} {balance}")?;
    }
    out.flush()
}

fn dump(events: u64) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    io::copy(&mut Demo::new(events), &mut out)?;
    out.flush()
}

/// Events as text, made up as they are read.
struct Demo {
    left: u64,
    seed: u64,
    line: Cursor<Vec<u8>>,
}

impl Demo {
    fn new(events: u64) -> Demo {
        Demo { left: events, seed: 0x9e37_79b9_7f4a_7c15, line: Cursor::default() }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed % below
    }
}

impl Read for Demo {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.left > 0 && self.line.position() == self.line.get_ref().len() as u64 {
            self.left -= 1;
            let account = match self.random(100) {
                0 => "slow".into(),
                _ => format!("account{:02}", self.random(50)),
            };
            let amount = self.random(2000) as i64 - 990;
            let priority = [" high", " low", "", "", ""][self.random(5) as usize];
            self.line = Cursor::new(format!("{account} {amount}{priority}\n").into_bytes());
        }
        self.line.read(into)
    }
}
