//! The programs of the examples beside the tools that they replace, each at two threads.
//!
//! `cargo bench -p benches --bench programs [-- ROUNDS] [WORD..]`. Words select workloads by their names. It builds the programs, makes the data
//! up once in `target/programs` or takes the documentation of the toolchain, runs each program and its tools in turn, and compares
//! what they write. A tool that is not installed is passed over. With `FANPOOL_RESULTS=FILE` each row goes to that file, too, as a line of
//! JSON.

#[path = "programs/data.rs"]
mod data;
#[path = "programs/digest.rs"]
mod digest;
#[path = "programs/run.rs"]
mod run;
#[path = "programs/workloads.rs"]
mod workloads;

use data::Data;
use run::{Contender, Cores, Ran};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::process::ExitCode;

const ROUNDS: usize = 5;

/// A program, its tools, and how what they write is compared.
struct Workload {
    name: &'static str,
    about: String,
    /// The program first.
    contenders: Vec<Contender>,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let rounds = words.iter().find_map(|word| word.parse().ok()).filter(|rounds| *rounds > 0).unwrap_or(ROUNDS);
    let wanted: Vec<&String> = words.iter().filter(|word| word.parse::<usize>().is_err()).collect();
    match measure(rounds, &wanted) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("programs: {message}");
            ExitCode::FAILURE
        }
    }
}

fn measure(rounds: usize, wanted: &[&String]) -> Result<(), String> {
    let cores = Cores::two()?;
    let data = Data::prepare(&cores)?;
    println!(
        "{rounds} rounds, {cores}; seconds of wall and CPU time, ratio of the medians, the largest process in MiB"
    );
    for workload in workloads::all(&data) {
        if wanted.is_empty() || wanted.iter().any(|word| workload.name.contains(word.as_str())) {
            compare(&workload, rounds, &cores, &data)?;
        }
    }
    Ok(())
}

/// Runs all of them once to warm up and compare, then `rounds` times in turn.
fn compare(workload: &Workload, rounds: usize, cores: &Cores, data: &Data) -> Result<(), String> {
    let Workload { name, about, contenders } = workload;
    println!("\n{name}: {about}");
    println!("  {:<34}{:>9}{:>9}{:>9}{:>18}{:>9}{:>9}", "", "min", "median", "max", "fanpool / this", "CPU", "peak");
    let installed: Vec<&Contender> = contenders.iter().filter(|contender| contender.is_installed()).collect();
    for contender in &installed {
        contender.run(cores, &data.out)?;
        contender.check(&data.out).map_err(|message| format!("{name}, {}: {message}", contender.peer))?;
    }
    let mut runs: Vec<Vec<Ran>> = vec![Vec::new(); installed.len()];
    for _ in 0..rounds {
        for (contender, runs) in installed.iter().zip(&mut runs) {
            runs.push(contender.run(cores, &data.out)?);
        }
    }
    let mut first = None;
    for contender in contenders {
        let Some(at) = installed.iter().position(|other| other.peer == contender.peer) else {
            println!("  {:<34}{:>9}", contender.peer, "not installed");
            continue;
        };
        let mut times: Vec<f64> = runs[at].iter().map(|ran| ran.seconds).collect();
        let mut cpu: Vec<f64> = runs[at].iter().map(|ran| ran.cpu).collect();
        let cpu = benches::median(&mut cpu);
        let peak = runs[at].iter().map(|ran| ran.peak_mib).fold(0.0, f64::max);
        let median = benches::median(&mut times);
        let (min, max) = (times[0], times[times.len() - 1]);
        let ratio = *first.get_or_insert(median) / median;
        println!("  {:<34}{min:>9.3}{median:>9.3}{max:>9.3}{ratio:>18.3}{cpu:>9.3}{peak:>9.1}", contender.peer);
        record(&format!(
            "{{\"bench\":\"programs\",\"workload\":\"{name}\",\"peer\":\"{}\",\"unit\":\"s\",\"median\":{median:.4},\
             \"min\":{min:.4},\"max\":{max:.4},\"rounds\":{rounds},\"peak_mib\":{peak:.1}}}\n",
            contender.peer
        ))
        .map_err(|error| format!("cannot record: {error}"))?;
    }
    Ok(())
}

fn record(line: &str) -> io::Result<()> {
    let Some(path) = std::env::var_os("FANPOOL_RESULTS") else { return Ok(()) };
    OpenOptions::new().create(true).append(true).open(path)?.write_all(line.as_bytes())
}
