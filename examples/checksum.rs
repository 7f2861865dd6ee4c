//! Prints the SHA-256 of every file under a directory, in path order and exactly as `sha256sum` does.
//!
//! `cargo run --release --example checksum -- [DIR]` (default: the current directory). What cannot be read is named on
//! standard error, the rest is still hashed, and the exit code is 1.

use fanpool::{Pool, ScopedHandle};
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Files that one task hashes: enough to make a task's cost vanish, few enough to balance.
const BATCH: usize = 16;
/// Batches in flight: what bounds the memory, whatever the size of the tree.
const WINDOW: usize = 64;

type Line = Result<Vec<u8>, String>;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).filter(|argument| argument != "--");
    let root = arguments.next().unwrap_or_else(|| ".".into());
    if root == "--help" || root == "-h" {
        println!("checksum [DIR]: the SHA-256 of every file under DIR, or here, as sha256sum prints it");
        return ExitCode::SUCCESS;
    }
    if arguments.next().is_some() {
        eprintln!("checksum: more than one directory; usage: checksum [DIR]");
        return ExitCode::from(2);
    }
    let mut report = Report { out: BufWriter::new(io::stdout().lock()), files: 0, failed: false, live: None };
    report.live = io::stderr().is_terminal().then_some(());
    match run(PathBuf::from(root), &mut report).and_then(|()| report.out.flush()) {
        Ok(()) if report.failed => ExitCode::FAILURE,
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read this has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("checksum: cannot write: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Report<W: Write> {
    out: W,
    files: usize,
    failed: bool,
    /// Set if somebody watches standard error.
    live: Option<()>,
}

impl<W: Write> Report<W> {
    fn complain(&mut self, message: &str) {
        self.failed = true;
        eprintln!("checksum: {message}");
    }

    fn lines(&mut self, lines: Vec<Line>) -> io::Result<()> {
        for line in lines {
            match line {
                Ok(line) => self.out.write_all(&line)?,
                Err(message) => self.complain(&message),
            }
            self.files += 1;
        }
        if self.live.is_some() {
            eprint!("\r{} files", self.files);
        }
        Ok(())
    }
}

fn run(root: PathBuf, report: &mut Report<impl Write>) -> io::Result<()> {
    let pool = Pool::new();
    pool.scope(|s| {
        let mut in_flight: VecDeque<ScopedHandle<'_, Vec<Line>>> = VecDeque::new();
        let mut batch = Vec::with_capacity(BATCH);
        let mut walk = Walk { stack: vec![root] };
        loop {
            let found = walk.next();
            let ended = found.is_none();
            match found {
                Some(Ok(path)) => batch.push(path),
                Some(Err(message)) => report.complain(&message),
                None => {}
            }
            if batch.len() == BATCH || (ended && !batch.is_empty()) {
                let paths = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
                in_flight.push_back(s.submit(move || hash_all(&paths)));
            }
            while in_flight.len() >= WINDOW || ended {
                let Some(oldest) = in_flight.pop_front() else { break };
                match oldest.join() {
                    Ok(lines) => report.lines(lines)?,
                    Err(error) => report.complain(&error.to_string()),
                }
            }
            if ended {
                return Ok(());
            }
        }
    })
}

/// Walks a tree in path order without following links to directories, holding only the siblings on the way.
struct Walk {
    stack: Vec<PathBuf>,
}

impl Iterator for Walk {
    type Item = Result<PathBuf, String>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(path) = self.stack.pop() {
            let kind = match fs::symlink_metadata(&path) {
                Ok(kind) => kind.file_type(),
                Err(error) => return Some(Err(complaint(&path, &error))),
            };
            if kind.is_dir() {
                match fs::read_dir(&path).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
                    Ok(entries) => {
                        let mut children: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
                        children.sort_unstable_by(|a, b| b.cmp(a));
                        self.stack.append(&mut children);
                    }
                    Err(error) => return Some(Err(complaint(&path, &error))),
                }
            } else if kind.is_file() {
                return Some(Ok(path));
            } else if kind.is_symlink() {
                // A link to a file is hashed through, one to a directory is left out, a broken one is an error.
                match fs::metadata(&path) {
                    Ok(target) if target.is_file() => return Some(Ok(path)),
                    Ok(_) => {}
                    Err(error) => return Some(Err(complaint(&path, &error))),
                }
            }
        }
        None
    }
}

fn complaint(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display().to_string().escape_debug())
}

fn hash_all(paths: &[PathBuf]) -> Vec<Line> {
    let mut buffer = vec![0; 128 * 1024];
    paths.iter().map(|path| hash(path, &mut buffer).map_err(|error| complaint(path, &error))).collect()
}

fn hash(path: &Path, buffer: &mut [u8]) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let expected = file.metadata()?.len();
    let (mut hasher, mut read) = (Sha256::new(), 0);
    loop {
        match file.read(buffer) {
            Ok(0) => break,
            Ok(n) => {
                hasher.update(&buffer[..n]);
                read += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if read < expected {
        return Err(io::Error::other(format!("shrank from {expected} to {read} bytes while it was read")));
    }
    Ok(line(&hasher.finalize(), path.as_os_str()))
}

/// A line of `sha256sum`: names with a backslash, a newline or a carriage return are escaped, and the line says so.
fn line(digest: &[u8], name: &OsStr) -> Vec<u8> {
    let mut line = Vec::with_capacity(digest.len() * 2 + name.len() + 4);
    if name.as_bytes().iter().any(|byte| matches!(byte, b'\\' | b'\n' | b'\r')) {
        line.push(b'\\');
    }
    for byte in digest {
        line.extend(format!("{byte:02x}").bytes());
    }
    line.extend(b"  ");
    for byte in name.as_bytes() {
        match byte {
            b'\\' => line.extend(b"\\\\"),
            b'\n' => line.extend(b"\\n"),
            b'\r' => line.extend(b"\\r"),
            other => line.push(*other),
        }
    }
    line.push(b'\n');
    line
}
