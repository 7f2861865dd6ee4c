//! Files, cut between words.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The size of a block. A word that is longer makes a larger one.
const BLOCK: usize = 64 * 1024;

/// The blocks of all files under directories, and of files. It complains about what cannot be read and goes on.
pub(crate) struct Blocks {
    /// What is still to be read, the next at the end, and whether it was asked for by name.
    stack: Vec<(PathBuf, bool)>,
    ready: VecDeque<Vec<u8>>,
    pub(crate) failed: bool,
}

impl Blocks {
    pub(crate) fn new(paths: Vec<PathBuf>) -> Blocks {
        let stack = paths.into_iter().rev().map(|path| (path, true)).collect();
        Blocks { stack, ready: VecDeque::new(), failed: false }
    }

    /// Reads a file, or puts what is in a directory onto the stack. Links to files are read through, links to directories are not, unless
    /// they were asked for by name.
    fn look(&mut self, path: &Path, named: bool) -> io::Result<()> {
        let kind = fs::symlink_metadata(path)?;
        let target = if kind.is_symlink() { fs::metadata(path)? } else { kind.clone() };
        if target.is_dir() && (named || kind.is_dir()) {
            let entries = fs::read_dir(path)?.map(|entry| Ok((entry?.path(), false)));
            let mut entries = entries.collect::<io::Result<Vec<_>>>()?;
            entries.sort_unstable_by(|a, b| b.cmp(a));
            self.stack.append(&mut entries);
        } else if target.is_file() || (named && !target.is_dir()) {
            let text = fs::read(path)?;
            let mut rest = &text[..];
            while rest.len() > BLOCK {
                let ends_word = |byte: &u8| !byte.is_ascii_alphabetic();
                let end = rest[..BLOCK].iter().rposition(ends_word);
                let Some(end) = end.or_else(|| rest.iter().position(ends_word)) else { break };
                let (block, after) = rest.split_at(end + 1);
                self.ready.push_back(block.to_vec());
                rest = after;
            }
            self.ready.push_back(rest.to_vec());
        }
        Ok(())
    }
}

impl Iterator for Blocks {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        while self.ready.is_empty() {
            let (path, named) = self.stack.pop()?;
            if let Err(error) = self.look(&path, named) {
                self.failed = true;
                eprintln!("cluster: {}: {error}", path.display().to_string().escape_debug());
            }
        }
        self.ready.pop_front()
    }
}
