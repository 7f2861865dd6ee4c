//! Counts the words of all files under directories, of files, or of standard input: the most frequent first, exactly as
//!
//! ```sh
//! export LC_ALL=C
//! find -H PATH... -xtype f -exec cat {} \; -exec echo \; |
//!     tr -cs A-Za-z '\n' | grep . | sort | uniq -c | sort -k1,1nr -k2
//! ```
//!
//! A word is a run of ASCII letters, and ends with its file. Links to files are read through, links to directories are not.
//!
//! `cargo run --release --example wordcount -- [PATH]...` (default: standard input). What cannot be read is named on standard
//! error, the rest is still counted, and the exit code is 1.
//!
//! It shows a map over a source that reads while the workers count, with as much in memory as the window allows and the
//! buffers going round; and how workers keep tables of their own, so that merging costs next to nothing.

use fanpool::Pool;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

/// Bytes that a thread counts at a time. A word that is longer makes a larger block.
const BLOCK: usize = 64 * 1024;
/// Blocks in flight: what bounds the memory, whatever the size of the input.
const WINDOW: usize = 64;

type Table = HashMap<Box<[u8]>, u64>;

fn main() -> ExitCode {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).filter(|path| path != "--").map(PathBuf::from).collect();
    let (table, failed) = count(paths);
    match print(table) {
        Ok(()) if failed => ExitCode::FAILURE,
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read this has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wordcount: cannot write: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The table of all words, and whether something could not be read.
fn count(paths: Vec<PathBuf>) -> (Table, bool) {
    let pool = Pool::new();
    let free = RefCell::new(Vec::new());
    let mut blocks = Blocks::new(paths, &free);
    // One for each thread that counts at once: lent out by the block, so nobody waits for anybody.
    let tables: Mutex<Vec<Table>> = Mutex::new(Vec::new());
    let lent = || tables.lock().unwrap_or_else(PoisonError::into_inner);
    let count = |block: Vec<u8>| {
        let kept = lent().pop();
        let mut table = kept.unwrap_or_default();
        add_words(&mut table, &block);
        lent().push(table);
        block
    };
    pool.map(&mut blocks, count).unordered().window(WINDOW).for_each(|block| free.borrow_mut().push(block));
    let failed = blocks.failed;
    (tables.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().fold(Table::new(), merge), failed)
}

fn add_words(table: &mut Table, block: &[u8]) {
    for word in block.split(|byte| !byte.is_ascii_alphabetic()).filter(|word| !word.is_empty()) {
        match table.get_mut(word) {
            Some(count) => *count += 1,
            None => {
                table.insert(word.into(), 1);
            }
        }
    }
}

fn merge(left: Table, right: Table) -> Table {
    let (mut large, small) = if left.len() < right.len() { (right, left) } else { (left, right) };
    for (word, count) in small {
        *large.entry(word).or_default() += count;
    }
    large
}

/// A line for each word, as `uniq -c` prints it.
fn print(table: Table) -> io::Result<()> {
    let mut words: Vec<(Box<[u8]>, u64)> = table.into_iter().collect();
    words.sort_unstable_by(|(a, times_a), (b, times_b)| times_b.cmp(times_a).then_with(|| a.cmp(b)));
    let mut out = BufWriter::new(io::stdout().lock());
    for (word, times) in words {
        write!(out, "{times:7} ")?;
        out.write_all(&word)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// The input in blocks that end between words. It complains about what cannot be read and goes on.
struct Blocks<'a> {
    /// What is still to be read, the next at the end, and whether it was asked for by name.
    stack: Vec<(PathBuf, bool)>,
    open: Option<(PathBuf, Box<dyn Read>)>,
    /// The letters that the next block begins with: their word may not be whole yet.
    rest: Vec<u8>,
    free: &'a RefCell<Vec<Vec<u8>>>,
    failed: bool,
}

impl<'a> Blocks<'a> {
    fn new(paths: Vec<PathBuf>, free: &'a RefCell<Vec<Vec<u8>>>) -> Self {
        let mut blocks = Blocks { stack: Vec::new(), open: None, rest: Vec::new(), free, failed: false };
        if paths.is_empty() {
            blocks.open = Some(("standard input".into(), Box::new(io::stdin().lock())));
        }
        blocks.stack.extend(paths.into_iter().rev().map(|path| (path, true)));
        blocks
    }

    /// Opens the next file.
    fn advance(&mut self) -> Option<(PathBuf, Box<dyn Read>)> {
        while let Some((path, named)) = self.stack.pop() {
            match self.look(&path, named) {
                Ok(Some(file)) => return Some((path, Box::new(file))),
                Ok(None) => {}
                Err(error) => self.complain(&path, &error),
            }
        }
        None
    }

    /// The file, or what is in the directory goes onto the stack. What was asked for by name is followed and read,
    /// whatever it is; what was found is passed over if it is neither a file nor a link to one.
    fn look(&mut self, path: &Path, named: bool) -> io::Result<Option<File>> {
        let kind = fs::symlink_metadata(path)?;
        let target = if kind.is_symlink() { fs::metadata(path)? } else { kind.clone() };
        if target.is_dir() {
            if named || kind.is_dir() {
                let entries = fs::read_dir(path)?.map(|entry| Ok((entry?.path(), false)));
                let mut entries = entries.collect::<io::Result<Vec<_>>>()?;
                entries.sort_unstable_by(|a, b| b.cmp(a));
                self.stack.append(&mut entries);
            }
            return Ok(None);
        }
        if named || target.is_file() { File::open(path).map(Some) } else { Ok(None) }
    }

    fn complain(&mut self, path: &Path, error: &io::Error) {
        self.failed = true;
        eprintln!("wordcount: {}: {error}", path.display().to_string().escape_debug());
    }
}

impl Iterator for Blocks<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut block = self.free.borrow_mut().pop().unwrap_or_default();
        block.clear();
        block.append(&mut self.rest);
        loop {
            let Some((path, mut file)) = self.open.take().or_else(|| self.advance()) else {
                return (!block.is_empty()).then_some(block);
            };
            let before = block.len();
            let read = file.by_ref().take(BLOCK as u64).read_to_end(&mut block);
            match read {
                Ok(BLOCK) => self.open = Some((path, file)),
                ended => {
                    // A word ends with its file.
                    block.push(b'\n');
                    if let Err(error) = ended {
                        self.complain(&path, &error);
                    }
                }
            }
            if block.len() < BLOCK {
                continue;
            }
            let cut = block[before..].iter().rposition(|byte| !byte.is_ascii_alphabetic());
            if let Some(end) = cut {
                self.rest.extend(block.drain(before + end..).skip(1));
                return Some(block);
            }
        }
    }
}
