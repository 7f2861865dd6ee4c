//! Matching lines of one file.

use crate::pattern::{Pattern, line_at};
use crate::walk::Found;
use memchr::{memchr, memchr_iter, memrchr};
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Bytes that are read at a time: more do not stay in a core's own cache. A line that is longer makes a larger buffer.
const PIECE: usize = 128 * 1024;

/// What a thread needs to search files.
pub(crate) struct Searcher {
    pattern: Pattern,
    buffer: Vec<u8>,
}

impl Searcher {
    pub(crate) fn new(pattern: Pattern) -> Searcher {
        Searcher { pattern, buffer: vec![0; PIECE] }
    }

    /// The lines that match in some files, as they are printed, and what could not be read.
    pub(crate) fn search_all(&mut self, files: Vec<Found>) -> (Vec<u8>, Vec<(PathBuf, io::Error)>) {
        let (mut lines, mut complaints) = (Vec::new(), Vec::new());
        for file in files {
            let searched = file.and_then(|path| self.search(&path, &mut lines).map_err(|error| (path, error)));
            complaints.extend(searched.err());
        }
        (lines, complaints)
    }

    /// Adds the lines that match in one file. None if the file is not text.
    fn search(&mut self, path: &Path, lines: &mut Vec<u8>) -> io::Result<()> {
        let mut file = File::open(path)?;
        let before = lines.len();
        let mut matches = Matches { path: path.as_os_str().as_bytes(), line: 1, lines };
        // At the front of the buffer: the beginning of a line whose end is still to be read.
        let mut held = 0;
        loop {
            if held == self.buffer.len() {
                self.buffer.resize(2 * held, 0);
            }
            let read = match file.read(&mut self.buffer[held..]) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let (old, all) = (held, held + read);
            if memchr(0, &self.buffer[old..all]).is_some() {
                matches.lines.truncate(before);
                return Ok(());
            }
            let end = if read == 0 { all } else { memrchr(b'\n', &self.buffer[old..all]).map_or(0, |at| old + at + 1) };
            matches.add(&self.pattern, &self.buffer[..end]);
            if read == 0 {
                return Ok(());
            }
            self.buffer.copy_within(end..all, 0);
            held = all - end;
        }
    }
}

struct Matches<'a> {
    path: &'a [u8],
    /// The number of the next line.
    line: u64,
    lines: &'a mut Vec<u8>,
}

impl Matches<'_> {
    /// Searches whole lines.
    fn add(&mut self, pattern: &Pattern, text: &[u8]) {
        let (way, mut rest) = (pattern.way(text), 0);
        while rest < text.len() {
            let Some(at) = pattern.next(way, text, rest) else { break };
            let Range { start, end } = line_at(text, at);
            if start == text.len() {
                // What is after the last line is none, though a pattern that matches nothing matches it.
                break;
            }
            self.line += memchr_iter(b'\n', &text[rest..start]).count() as u64;
            self.lines.extend_from_slice(self.path);
            self.lines.extend_from_slice(format!(":{}:", self.line).as_bytes());
            self.lines.extend_from_slice(&text[start..end]);
            self.lines.push(b'\n');
            // The rest begins with a line.
            rest = (end + 1).min(text.len());
            self.line += 1;
        }
        self.line += memchr_iter(b'\n', &text[rest..]).count() as u64;
    }
}
