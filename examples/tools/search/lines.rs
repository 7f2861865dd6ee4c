//! Matching lines of one file.

use crate::pattern::{Pattern, line_at};
use memchr::{memchr, memchr_iter, memrchr};
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

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

    /// The lines that match, as they are printed. None if the file is not text.
    pub(crate) fn search(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let mut found = Found { path: path.as_os_str().as_bytes(), line: 1, lines: Vec::new() };
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
            let (before, all) = (held, held + read);
            if memchr(0, &self.buffer[before..all]).is_some() {
                return Ok(Vec::new());
            }
            let end =
                if read == 0 { all } else { memrchr(b'\n', &self.buffer[before..all]).map_or(0, |at| before + at + 1) };
            found.add(&self.pattern, &self.buffer[..end]);
            if read == 0 {
                return Ok(found.lines);
            }
            self.buffer.copy_within(end..all, 0);
            held = all - end;
        }
    }
}

struct Found<'a> {
    path: &'a [u8],
    /// The number of the next line.
    line: u64,
    lines: Vec<u8>,
}

impl Found<'_> {
    /// Searches whole lines.
    fn add(&mut self, pattern: &Pattern, text: &[u8]) {
        let mut rest = 0;
        while rest < text.len() {
            let Some(at) = pattern.next(text, rest) else { break };
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
