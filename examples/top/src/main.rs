//! Workers, queue and latencies of a running pool, live in a terminal, while its load changes.
//!
//! `cargo run --release -p top -- [--once] [--plain FRAMES] [--every MS] [--max THREADS]`
//!
//! The pool is elastic, 1 to `--max` threads, 16 without it. Keys: `0` no load, `1` 200 tasks a second of a millisecond each, `2` ten times
//! as many, `3` 200 a second that block for 50 ms each, inside of `fanpool::blocking`; `q`, Esc or Ctrl-C quits; `!` panics, and the
//! terminal is as it was. Percentiles, shares and rates are of the last interval, 250 ms without `--every`.
//!
//! `--plain` needs no terminal: it prints so many frames of 100 columns and 30 rows as text, under each of the loads in turn, and ends;
//! `--once` prints one. If nobody reads on, it ends quietly.
//!
//! What is shown is all from `Pool::metrics` and `Metrics::since`. Nothing of it costs the pool anything between two looks.

mod load;
mod view;

use fanpool::{BuildError, Elastic, Pool, Timings};
use load::{Kind, Load};
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::{DefaultTerminal, Terminal};
use std::fmt;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use view::View;

const USAGE: &str = "usage: top [--once] [--plain FRAMES] [--every MS] [--max THREADS]";
const SCREEN: (u16, u16) = (100, 30);

#[derive(Debug)]
enum Failure {
    Usage(String),
    NoTerminal,
    Build(BuildError),
    Io(io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(what) => write!(f, "{what}; {USAGE}"),
            Failure::NoTerminal => f.write_str("this is no terminal; --plain FRAMES prints text"),
            Failure::Build(error) => error.fmt(f),
            Failure::Io(error) => error.fmt(f),
        }
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        Failure::Build(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Io(error)
    }
}

struct Options {
    plain: Option<u32>,
    every: Duration,
    max: usize,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, Failure> {
        let mut options = Options { plain: None, every: Duration::from_millis(250), max: 16 };
        while let Some(flag) = arguments.next() {
            if flag == "--once" {
                options.plain = Some(1);
                continue;
            }
            let number = arguments.next().and_then(|value| value.parse::<u32>().ok());
            let number = number.filter(|number| (1..=10_000).contains(number));
            let number = number.ok_or_else(|| Failure::Usage(format!("{} takes 1 to 10000", flag.escape_debug())))?;
            match flag.as_str() {
                "--plain" => options.plain = Some(number),
                "--every" => options.every = Duration::from_millis(number.into()),
                "--max" => options.max = number as usize,
                _ => return Err(Failure::Usage(format!("unknown flag {}", flag.escape_debug()))),
            }
        }
        Ok(options)
    }
}

fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)).and_then(|options| run(&options)) {
        // Whoever read has seen enough.
        Err(Failure::Io(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "top: {failure}");
            ExitCode::from(if matches!(failure, Failure::Usage(_)) { 2 } else { 1 })
        }
    }
}

fn run(options: &Options) -> Result<(), Failure> {
    let elastic = Elastic::new(1, options.max).keep_alive(Duration::from_secs(2));
    let pool = Pool::builder().workers(elastic).name("demo").timings(Timings::all()).build()?;
    let pool = Arc::new(pool);
    match options.plain {
        Some(frames) => plain(&pool, frames, options.every),
        None if !io::stdout().is_terminal() => Err(Failure::NoTerminal),
        None => {
            let load = Load::start(&pool, Kind::Steady)?;
            // This also has a panic put the terminal back before its message.
            let mut terminal = ratatui::try_init()?;
            let ended = live(&mut terminal, &pool, &load, options.every);
            ratatui::try_restore()?;
            Ok(ended?)
        }
    }
}

/// Prints frames as text.
fn plain(pool: &Arc<Pool>, frames: u32, every: Duration) -> Result<(), Failure> {
    // Idle, 10x, blocking, steady.
    let kinds = [Kind::Idle, Kind::Ten, Kind::Blocking, Kind::Steady];
    let load = Load::start(pool, kinds[0])?;
    let mut view = View::new(pool.metrics());
    let mut terminal = Terminal::new(TestBackend::new(SCREEN.0, SCREEN.1)).map_err(io::Error::other)?;
    for kind in kinds.into_iter().cycle().take(frames as usize) {
        load.set(kind);
        thread::sleep(every);
        view.take(pool.metrics());
        terminal.draw(|frame| view.draw(frame, &kind)).map_err(io::Error::other)?;
        let mut out = io::stdout().lock();
        writeln!(out, "{}", text(terminal.backend())).and_then(|()| out.flush())?;
    }
    Ok(())
}

/// A screen's rows, without what is blank at their ends.
fn text(backend: &TestBackend) -> String {
    let buffer = backend.buffer();
    let rows = buffer.content().chunks(usize::from(buffer.area.width).max(1));
    let rows = rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>());
    rows.map(|row| row.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Draws until somebody quits.
fn live(terminal: &mut DefaultTerminal, pool: &Pool, load: &Load, every: Duration) -> io::Result<()> {
    let mut view = View::new(pool.metrics());
    let mut next = Instant::now();
    loop {
        if Instant::now() >= next {
            view.take(pool.metrics());
            next = Instant::now() + every;
        }
        terminal.draw(|frame| view.draw(frame, &load.kind()))?;
        if !event::poll(next.saturating_duration_since(Instant::now()))? {
            continue;
        }
        // Anything else, a new size for instance, is drawn.
        let Event::Key(key) = event::read()? else { continue };
        if key.kind != KeyEventKind::Press {
            continue;
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Ok(()),
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Ok(()),
            KeyCode::Char('!') => panic!("asked to"),
            KeyCode::Char(digit) => {
                let kind = digit.to_digit(10).and_then(|at| Kind::ALL.get(at as usize));
                kind.into_iter().for_each(|kind| load.set(*kind));
            }
            _ => {}
        }
    }
}
