//! Results as JSON lines: what the benches write where `FANPOOL_RESULTS` names a file.
//!
//! The first line of a file is the machine. Every other line is a row: `bench`, `workload`, `peer`, `unit`, `median`,
//! `min`, `max`, `rounds`, and the parameters of the workload, as numbers. Without the variable nothing is written.

use serde_json::Value;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

/// A parameter of a workload.
pub type Parameter<'a> = (&'a str, f64);

/// Crates whose versions stand in the line of the machine.
pub const PEERS: [&str; 10] = [
    "rayon",
    "threadpool",
    "rusty_pool",
    "scoped-thread-pool",
    "crossbeam-channel",
    "pariter",
    "orx-parallel",
    "paralight",
    "chili",
    "parkring",
];

static BENCH: OnceLock<&str> = OnceLock::new();

/// Names the bench that this process is, calibrates, and prints the machine: how many cores, and what a cache line takes
/// to the other core and back.
pub fn begin(bench: &'static str) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let line = super::ping_pong();
    println!("{bench}: {cores} cores; a cache line to the other core and back: {line:.0} ns");
    super::work(1);
    if BENCH.set(bench).is_ok() {
        let fresh = path().is_some_and(|path| fs::metadata(path).map_or(true, |file| file.len() == 0));
        if fresh {
            // What the machine can do; what others do on it meanwhile is printed above.
            let line = (0..5).map(|_| super::ping_pong()).fold(line, f64::min);
            append(&machine(cores, line));
        }
    }
}

/// Writes a row: what `figures` are of, in any order, one a round.
pub fn record(workload: &str, peer: &str, unit: &str, parameters: &[Parameter<'_>], figures: &[f64]) {
    if path().is_none() || figures.is_empty() {
        return;
    }
    let mut sorted = figures.to_vec();
    let median = super::median(&mut sorted);
    let mut line = object(&[("workload", workload.into()), ("peer", peer.into()), ("unit", unit.into())]);
    for (name, value) in [("median", median), ("min", sorted[0]), ("max", sorted[sorted.len() - 1])] {
        let _ = write!(line, ",{}:{}", quoted(name), rounded(value));
    }
    let _ = write!(line, ",\"rounds\":{}", sorted.len());
    for (name, value) in parameters {
        let _ = write!(line, ",{}:{value}", quoted(name));
    }
    append(&format!("{line}}}"));
}

/// Writes a row that is a course over time: several lists of values, `step` milliseconds apart.
pub fn record_course(workload: &str, peer: &str, step: f64, lists: &[(&str, &[f64])]) {
    let mut line = object(&[("workload", workload.into()), ("peer", peer.into())]);
    let _ = write!(line, ",\"step_ms\":{step}");
    for (name, values) in lists {
        let values: Vec<String> = values.iter().map(|value| rounded(*value)).collect();
        let _ = write!(line, ",{}:[{}]", quoted(name), values.join(","));
    }
    append(&format!("{line}}}"));
}

/// The beginning of a line of this bench.
fn object(fields: &[(&str, Value)]) -> String {
    let mut line = format!("{{\"bench\":{}", quoted(BENCH.get().copied().unwrap_or("unnamed")));
    for (name, value) in fields {
        let _ = write!(line, ",{}:{value}", quoted(name));
    }
    line
}

fn quoted(text: &str) -> Value {
    Value::from(text)
}

/// Four digits and more, so that a table may round.
fn rounded(value: f64) -> String {
    if value.abs() >= 1000.0 { format!("{value:.0}") } else { format!("{}", (value * 1000.0).round() / 1000.0) }
}

fn path() -> Option<std::ffi::OsString> {
    std::env::var_os("FANPOOL_RESULTS").filter(|path| !path.is_empty())
}

/// Ends the process where the file cannot be written: a run without results is of no use to who asked for them.
fn append(line: &str) {
    let Some(path) = path() else { return };
    let written = OpenOptions::new().create(true).append(true).open(&path);
    if let Err(error) = written.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes())) {
        eprintln!("{}: {error}", Path::new(&path).display());
        std::process::exit(1);
    }
}

fn machine(cores: usize, line: f64) -> String {
    let mut text = format!(
        "{{\"machine\":{},\"cores\":{cores},\"line_ns\":{},\"rustc\":{}",
        quoted(&cpu()),
        rounded(line),
        quoted(&rustc())
    );
    let lock = include_str!("../../Cargo.lock");
    for name in PEERS {
        let version = lock.lines().skip_while(|line| *line != format!("name = \"{name}\"")).nth(1);
        let version = version.and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
        if let Some(version) = version {
            let _ = write!(text, ",{}:{}", quoted(name), quoted(version));
        }
    }
    text + "}"
}

fn cpu() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or_else(|| "unknown".into(), |(_, model)| model.trim().into())
}

fn rustc() -> String {
    let version = Command::new("rustc").arg("--version").output();
    version.map_or_else(|_| "unknown".into(), |out| String::from_utf8_lossy(&out.stdout).trim().into())
}
