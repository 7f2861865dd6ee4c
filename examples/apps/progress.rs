//! Counts the lines of all files under a directory, with a bar on standard error while it does.
//!
//! `cargo run --release -p apps --bin progress -- [DIR]` (default: the current directory). What cannot be read is named on
//! standard error, the rest is still counted, and the exit code is 1.
//!
//! It shows how `progress` drives a bar of the crate `indicatif`. It calls back on the thread that runs the map, ten times a second
//! at most, so the bar needs no lock and slows nobody down.

use fanpool::Pool;
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).filter(|argument| argument != "--");
    let root = PathBuf::from(arguments.next().unwrap_or_else(|| ".".into()));
    if arguments.next().is_some() {
        eprintln!("progress: more than one directory; usage: progress [DIR]");
        return ExitCode::from(2);
    }
    let (paths, mut complaints) = walk(root);

    let bar = ProgressBar::new(paths.len() as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} files, {per_sec}, {eta} to go") {
        bar.set_style(style);
    }
    let pool = Pool::new();
    let count = |buffer: &mut Vec<u8>, path: PathBuf| lines(&path, buffer).map_err(|error| complaint(&path, &error));
    let (counted, failed) = pool
        .map_init(paths, || vec![0; 128 * 1024], count)
        .progress(|done, _| bar.set_position(done as u64))
        .partition();
    bar.finish_and_clear();

    complaints.extend(failed.into_iter().map(|(_, complaint)| complaint));
    for complaint in &complaints {
        eprintln!("progress: {complaint}");
    }
    let total: u64 = counted.iter().map(|(_, lines)| lines).sum();
    match writeln!(io::stdout(), "{total} lines in {} files", counted.len()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("progress: cannot write: {error}");
            ExitCode::FAILURE
        }
        _ if complaints.is_empty() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn lines(path: &Path, buffer: &mut [u8]) -> io::Result<u64> {
    let (mut file, mut lines) = (File::open(path)?, 0);
    loop {
        match file.read(buffer) {
            Ok(0) => return Ok(lines),
            Ok(read) => lines += buffer[..read].iter().filter(|byte| **byte == b'\n').count() as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// All files under `root` without those behind links to directories, and what was in the way.
fn walk(root: PathBuf) -> (Vec<PathBuf>, Vec<String>) {
    let (mut files, mut complaints, mut open) = (Vec::new(), Vec::new(), vec![root]);
    while let Some(path) = open.pop() {
        match look(&path) {
            Ok(Found::Directory(mut entries)) => open.append(&mut entries),
            Ok(Found::File) => files.push(path),
            Ok(Found::Other) => {}
            Err(error) => complaints.push(complaint(&path, &error)),
        }
    }
    (files, complaints)
}

enum Found {
    Directory(Vec<PathBuf>),
    File,
    Other,
}

fn look(path: &Path) -> io::Result<Found> {
    if fs::symlink_metadata(path)?.is_dir() {
        return fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>().map(Found::Directory);
    }
    Ok(if fs::metadata(path)?.is_file() { Found::File } else { Found::Other })
}

fn complaint(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display().to_string().escape_debug())
}
