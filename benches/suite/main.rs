//! Draws the pictures and fills the tables of the pages from `benches/results.jsonl`, or checks that they are those.
//!
//! `cargo run -p benches --bin figures -- draw|write|check`; `benches/run` and `benches/check-figures` call it.

mod ahead;
mod curves;
mod markers;
mod pictures;
mod rows;
mod svg;
mod tables;

use rows::Results;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let command = std::env::args().nth(1).unwrap_or_default();
    match run(&command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// False where something differs from the results.
fn run(command: &str) -> Result<bool, String> {
    let benches = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let read = || Results::read(&benches.join("results.jsonl"));
    match command {
        "draw" => draw(&read()?, &benches).map(|()| true),
        "write" => pages(&read()?, &benches, true),
        "check" => Ok(pages(&read()?, &benches, false)? & pictures_are_those(&read()?, &benches)?),
        _ => Err("usage: figures draw|write|check".into()),
    }
}

fn all_pictures(results: &Results) -> [(&'static str, Option<String>); 6] {
    [
        ("overhead.svg", pictures::overhead(results)),
        ("scope.svg", pictures::bars(results, "scope")),
        ("map.svg", pictures::bars(results, "map")),
        ("service.svg", pictures::service(results)),
        ("elastic.svg", pictures::elastic(results)),
        ("programs.svg", pictures::bars(results, "programs")),
    ]
}

/// Pictures without rows are left as they are, with a word.
fn draw(results: &Results, benches: &Path) -> Result<(), String> {
    for (name, picture) in all_pictures(results) {
        let path = benches.join(name);
        match picture {
            Some(picture) => std::fs::write(&path, picture).map_err(|error| format!("{}: {error}", path.display()))?,
            None => println!("{name}: no rows"),
        }
    }
    Ok(())
}

fn pictures_are_those(results: &Results, benches: &Path) -> Result<bool, String> {
    let mut same = true;
    for (name, picture) in all_pictures(results) {
        let Some(picture) = picture else { continue };
        let path = benches.join(name);
        if std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))? != picture {
            println!("{}: not what the results show", path.display());
            same = false;
        }
    }
    Ok(same)
}

/// Fills the pages' markers, or says what differs.
fn pages(results: &Results, benches: &Path, write: bool) -> Result<bool, String> {
    let front = [
        ("machine", tables::machine(results)),
        ("ahead", ahead::summary(results)),
        ("scope", tables::scope(results)?),
        ("map", tables::map(results)?),
        ("join", tables::join(results)?),
        ("service", tables::service(results)?),
        ("elastic", tables::elastic(results)?),
        ("more", tables::more(results)),
    ];
    let mut same = true;
    for (path, texts) in [
        (benches.with_file_name("README.md"), &front[..]),
        (
            benches.join("README.md"),
            &[
                ("ahead", ahead::table(results)),
                ("join", tables::join(results)?),
                ("service", tables::service(results)?),
                ("atomics", tables::atomics(results)),
                ("programs", tables::programs(results)?),
            ],
        ),
    ] {
        if let Some(differs) = markers::page(&path, texts, write)? {
            if write {
                println!("{} written", path.display());
            } else {
                println!("{differs}");
                same = false;
            }
        }
    }
    Ok(same)
}
