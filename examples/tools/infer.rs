//! Scores requests, which come one by one, on a forest of decision trees: many requests at a time.
//!
//! `cargo run --release -p tools --bin infer -- score [-j N] [--batch N] [--wait MICROS] MODEL`
//!
//! A line of standard input is a request, numbers with commas in between; its score is a line of standard output, in the same
//! order. A line that is no request is named on standard error, the others are scored, and the exit code is 1. `infer train
//! [--trees N] MODEL SEED` grows a forest on examples that follow from the seed; `infer requests COUNT SEED` makes requests up.
//!
//! It shows micro-batches. A forest is larger than a core's own cache, so a request that runs through all of it fetches most of what it
//! looks at from further away. A batch runs through one tree after the other, and fetches each tree once. `--batch 1` scores one by
//! one, and gives the same scores to the last bit.

#[path = "infer/forest.rs"]
mod forest;
#[path = "infer/train.rs"]
mod train;

use fanpool::{FanOut, Input, Outcome, Output, Pool, RecvError, TaskError};
use forest::{FEATURES, Forest, Row};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tools::{Arguments, Failure, Random, shown};

const USAGE: &str = "usage: infer score [-j N] [--batch N] [--wait MICROS] MODEL, or infer train [-j N] [--trees N] MODEL SEED, or \
                     infer requests COUNT SEED";
/// Requests between reading and writing.
const WINDOW: usize = 1024;
/// Time without an outcome after which those before are written.
const PAUSE: Duration = Duration::from_millis(1);

fn main() -> ExitCode {
    tools::end("infer", USAGE, 1, run())
}

fn run() -> Result<ExitCode, Failure> {
    let valued = ["-j", "--batch", "--wait", "--trees"];
    let arguments = Arguments::parse(std::env::args_os().skip(1), &valued, &[]).map_err(Failure::Usage)?;
    let threads = arguments.threads().map_err(Failure::Usage)?;
    let number = |text: &OsStr| text.to_str().and_then(|text| text.parse().ok());
    match arguments.rest.as_slice() {
        [score, model] if score == "score" => {
            let most = arguments.number("--batch", 1..=WINDOW, 128).map_err(Failure::Usage)?;
            let wait = arguments.number("--wait", 0..=1_000_000, 500).map_err(Failure::Usage)?;
            let path = Path::new(model);
            let read = fs::read(path).map_err(|error| error.to_string()).and_then(|bytes| Forest::read(&bytes));
            let forest = read.map_err(|error| Failure::Stop(format!("{}: {error}", shown(path))))?;
            score_all(Arc::new(forest), threads, most, Duration::from_micros(wait as u64))
        }
        [train, model, seed] if train == "train" => {
            let trees = arguments.number("--trees", 1..=100_000, 400).map_err(Failure::Usage)?;
            let seed = number(seed).ok_or(Failure::Usage("SEED is a number".into()))?;
            let pool = Pool::builder().workers(threads).build()?;
            let forest = train::forest(&pool, trees, seed);
            let path = Path::new(model);
            fs::write(path, forest.write()).map_err(|error| Failure::Stop(format!("{}: {error}", shown(path))))?;
            Ok(ExitCode::SUCCESS)
        }
        [requests, count, seed] if requests == "requests" => {
            let numbers = number(count).zip(number(seed));
            let (count, seed) = numbers.ok_or(Failure::Usage("COUNT and SEED are numbers".into()))?;
            write_requests(count, seed).map_err(Failure::Write)?;
            Ok(ExitCode::SUCCESS)
        }
        _ => Err(Failure::Usage("one of score, train and requests wanted".into())),
    }
}

fn score_all(forest: Arc<Forest>, threads: usize, most: usize, wait: Duration) -> Result<ExitCode, Failure> {
    let service = "infer";
    if most == 1 {
        let one = move |line: Vec<u8>| parse(&line).map(|row| forest.score(&row));
        let (input, output) = FanOut::builder(one).name(service).workers(threads).window(WINDOW).ordered().start()?;
        return serve(input, output);
    }
    let many = move |lines: Vec<Vec<u8>>| {
        let parsed: Vec<Result<Row, String>> = lines.iter().map(|line| parse(line)).collect();
        let rows: Vec<Row> = parsed.iter().flatten().copied().collect();
        let mut scores = forest.score_batch(&rows).into_iter();
        // A line that is no request has an answer, too, in its place.
        parsed.into_iter().map(|row| row.and_then(|_| scores.next().ok_or("no score".into()))).collect()
    };
    let builder = FanOut::builder_batch(most, wait, many).name(service).workers(threads).window(WINDOW).ordered();
    let (input, output) = builder.start()?;
    serve(input, output)
}

/// Reads on a thread of its own and writes on this one.
fn serve(input: Input<'static, Vec<u8>>, mut output: Output<'static, f32, String>) -> Result<ExitCode, Failure> {
    let reader = thread::Builder::new().name("infer-reader".into()).spawn(move || read(&input));
    let reader = reader.map_err(|error| Failure::Stop(error.to_string()))?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut failed = false;
    loop {
        // Whoever waits for an answer before the next request has to see it; where many come, they are written together.
        let outcome = match output.recv_timeout(PAUSE) {
            Err(RecvError::TimedOut) => {
                out.flush().map_err(Failure::Write)?;
                output.recv()
            }
            received => received,
        };
        let Ok(Outcome { seq, result, .. }) = outcome else { break };
        match result {
            Ok(score) => writeln!(out, "{score}").map_err(Failure::Write)?,
            Err(error) => {
                failed = true;
                let message = match error {
                    TaskError::Failed(message) => message,
                    other => other.to_string(),
                };
                eprintln!("infer: line {}: {message}", seq + 1);
            }
        }
    }
    out.flush().map_err(Failure::Write)?;
    match reader.join() {
        Ok(Ok(())) => Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }),
        Ok(Err(error)) => Err(Failure::Stop(format!("standard input: {error}"))),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Sends line by line until there are no more, or nobody wants more.
fn read(input: &Input<'_, Vec<u8>>) -> io::Result<()> {
    for line in io::stdin().lock().split(b'\n') {
        if input.send(line?).is_err() {
            break;
        }
    }
    Ok(())
}

fn parse(line: &[u8]) -> Result<Row, String> {
    let mut row = [0.0; FEATURES];
    let mut fields = line.split(|byte| *byte == b',');
    for (at, number) in row.iter_mut().enumerate() {
        let field = fields.next().ok_or_else(|| format!("{at} numbers, and not {FEATURES}"))?;
        let parsed = std::str::from_utf8(field).ok().and_then(|text| text.trim().parse().ok());
        let finite = parsed.filter(|number: &f32| number.is_finite());
        *number = finite.ok_or_else(|| format!("{} is not a number", field.escape_ascii()))?;
    }
    if fields.next().is_some() { Err(format!("more than {FEATURES} numbers")) } else { Ok(row) }
}

fn write_requests(count: u64, seed: u64) -> io::Result<()> {
    let mut random = Random::new(seed);
    let mut out = BufWriter::new(io::stdout().lock());
    for _ in 0..count {
        let row: Vec<String> = (0..FEATURES).map(|_| format!("{:.4}", random.unit())).collect();
        writeln!(out, "{}", row.join(","))?;
    }
    out.flush()
}
