//! Random programs over the whole interface, nested in each other, held against a serial interpreter. Runs for
//! `FANPOOL_PROGRAMS_SECONDS` (default 2) from `FANPOOL_PROGRAMS_SEED`. A program that fails is made smaller and printed; one
//! that hangs is printed, and the process aborted.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod generate;
mod maps;
mod reference;
mod run;
mod service;
mod shrink;
mod tree;
mod watch;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tree::{Kind, Program};

/// No program takes so long.
const PATIENCE: Duration = Duration::from_secs(120);

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Aborts the process if a program hangs, whose threads nobody could end.
struct Watchdog {
    begins: Sender<Option<(u64, Program)>>,
    thread: JoinHandle<()>,
}

impl Watchdog {
    fn new() -> Watchdog {
        let (begins, begun) = channel::<Option<(u64, Program)>>();
        let thread = std::thread::spawn(move || {
            let mut runs: Option<(u64, Program)> = None;
            loop {
                match (begun.recv_timeout(PATIENCE), &runs) {
                    (Ok(next), _) => runs = next,
                    (Err(RecvTimeoutError::Disconnected), _) => return,
                    (Err(RecvTimeoutError::Timeout), None) => {}
                    (Err(RecvTimeoutError::Timeout), Some((seed, program))) => {
                        eprintln!("seed {seed} hangs\n{program}");
                        std::process::abort();
                    }
                }
            }
        });
        Watchdog { begins, thread }
    }

    /// Runs a program and tells what was not as it should be.
    fn check(&self, seed: u64, program: &Program, wrong: bool) -> Result<(), String> {
        self.begins.send(Some((seed, program.clone()))).unwrap();
        let result = catch_unwind(AssertUnwindSafe(|| run::check(program, wrong)));
        self.begins.send(None).unwrap();
        result.unwrap_or_else(|payload| Err(format!("a panic that nobody planned: {}", world::text(&payload))))
    }

    fn shrunk(&self, seed: u64, program: &Program, why: String, wrong: bool) -> (Program, String) {
        shrink::shrink(program.clone(), why, |smaller| self.check(seed, smaller, wrong))
    }

    fn end(self) {
        drop(self.begins);
        self.thread.join().unwrap();
    }
}

#[test]
fn random_programs_do_what_a_serial_interpreter_does() {
    let watchdog = Watchdog::new();
    let end = Instant::now() + Duration::from_secs(setting("FANPOOL_PROGRAMS_SECONDS", 2));
    let first = setting("FANPOOL_PROGRAMS_SEED", 0x5eed);
    let mut seed = first;
    while Instant::now() < end {
        let program = generate::program(seed);
        if let Err(why) = watchdog.check(seed, &program, false) {
            eprintln!("seed {seed} fails, looking for less: {why}");
            let (smaller, fault) = watchdog.shrunk(seed, &program, why.clone(), false);
            panic!("seed {seed}: {why}\nsmaller: {fault}\n{smaller}");
        }
        seed += 1;
    }
    watchdog.end();
    println!("{} programs", seed - first);
}

#[test]
fn a_wrong_reference_is_found_and_made_small() {
    let watchdog = Watchdog::new();
    let seen = |program: &Program| program.any(|kind| matches!(kind, Kind::Join { .. }));
    let found = (1..200).map(|seed| (seed, generate::program(seed))).find_map(|(seed, program)| {
        let why = if seen(&program) { watchdog.check(seed, &program, true).err()? } else { return None };
        Some((program.nodes, watchdog.shrunk(seed, &program, why, true)))
    });
    let (nodes, (smaller, why)) = found.unwrap();
    assert!(nodes > 4 && smaller.nodes <= 4, "{nodes} nodes became:\n{smaller}");
    assert!(seen(&smaller), "{smaller}");
    assert!(why.contains("expected"), "{why}");
    watchdog.end();
}

#[test]
fn a_seed_is_always_the_same_program() {
    let text = |seed| generate::program(seed).to_string();
    (0..200).for_each(|seed| assert_eq!(text(seed), text(seed)));
    assert_ne!(text(1), text(2));
}
