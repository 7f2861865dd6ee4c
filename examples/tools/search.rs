//! Prints the lines of files that a regular expression matches, in the order of the paths.
//!
//! `cargo run --release -p tools --bin search -- [-i] [-j N] PATTERN [PATH]...` (default: the current directory)
//!
//! A line comes out as `path:number:line`, which is what `rg -uu -n --no-heading --sort path` prints. Folders are read with all
//! that is in them, links in them are passed over, and so is a file with a byte 0, which is not text. The exit code is that of `grep`: 0 if a
//! line matched, 1 if none did, 2 if something could not be read, which is named on standard error.
//!
//! It shows a walk that goes on while workers search what it found, results in the walk's order, and a state for each thread: a buffer,
//! and a copy of the expression, since its copies share their scratch space behind a lock.

#[path = "search/lines.rs"]
mod lines;
#[path = "search/pattern.rs"]
mod pattern;
#[path = "search/walk.rs"]
mod walk;

use fanpool::Pool;
use lines::Searcher;
use pattern::Pattern;
use std::io::{self, BufWriter, Write};
use std::iter;
use std::path::PathBuf;
use std::process::ExitCode;
use tools::{Arguments, Failure, shown};
use walk::{Found, Walk};

const USAGE: &str = "usage: search [-i] [-j N] PATTERN [PATH]...";
/// Files that a thread takes at a time: most take a few microseconds, about what it costs to hand one over.
const CHUNK: usize = 16;
/// Chunks between the walk and the output: what bounds the memory, whatever the size of the tree.
const WINDOW: usize = 64;

fn main() -> ExitCode {
    tools::end("search", USAGE, 2, run())
}

fn run() -> Result<ExitCode, Failure> {
    let mut arguments = Arguments::parse(std::env::args_os().skip(1), &["-j"], &["-i"]).map_err(Failure::Usage)?;
    let threads = arguments.threads().map_err(Failure::Usage)?;
    if arguments.rest.is_empty() {
        return Err(Failure::Usage("no pattern".into()));
    }
    let pattern =
        arguments.rest.remove(0).into_string().map_err(|_| Failure::Usage("the pattern is not UTF-8".into()))?;
    let pattern = Pattern::new(&pattern, arguments.value("-i").is_some()).map_err(Failure::Stop)?;
    let mut walk = Walk::new(arguments.rest.into_iter().map(PathBuf::from).collect());

    // This thread is one of them: it walks, writes, and searches in between.
    let pool = Pool::builder().workers(threads.max(2) - 1).name("search").build()?;
    let searcher = || Searcher::new(pattern.clone());
    let search = |searcher: &mut Searcher, files: Vec<Found>| searcher.search_all(files);
    let mut out = BufWriter::with_capacity(64 * 1024, io::stdout().lock());
    let (mut matched, mut failed) = (false, false);
    let chunks = iter::from_fn(|| Some(walk.by_ref().take(CHUNK).collect()).filter(|files: &Vec<_>| !files.is_empty()));
    let searched = pool.map_init(chunks, searcher, search).limit(threads).window(WINDOW);
    let written = searched.try_for_each(|(lines, complaints)| {
        matched |= !lines.is_empty();
        failed |= !complaints.is_empty();
        complaints.iter().for_each(|(path, error)| eprintln!("search: {}: {error}", shown(path)));
        out.write_all(&lines)
    });
    written.and_then(|()| out.flush()).map_err(Failure::Write)?;
    Ok(ExitCode::from(if failed { 2 } else { u8::from(!matched) }))
}
