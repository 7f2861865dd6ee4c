//! Whether two programs wrote the same, without much in memory: what this process takes counts as the least that its children do.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::Command;

/// What the output of a tool is compared by, beside that of the program named.
pub(crate) enum Same {
    /// It is the first.
    First,
    /// Byte for byte.
    Bytes(&'static str),
    /// Line for line, in any order.
    Lines(&'static str),
    /// The same files, byte for byte.
    Files(&'static str),
    /// Files of the same names: other code made them.
    Names(&'static str),
    /// By a line for the shell, in which `$0` is the folder of the outputs.
    Command(&'static str),
}

impl Same {
    pub(crate) fn check(&self, out: &Path, own: &str) -> Result<(), String> {
        let folder = |name: &str| out.join(format!("{name}-files"));
        let same = match self {
            Same::First => return Ok(()),
            Same::Bytes(first) => pair(first, own, |name| bytes(&out.join(name))),
            Same::Lines(first) => pair(first, own, |name| lines(&out.join(name))),
            Same::Files(first) => pair(first, own, |name| files(&folder(name))),
            Same::Names(first) => pair(first, own, |name| Ok(files(&folder(name))?.into_keys().collect::<Vec<_>>())),
            Same::Command(line) => {
                Command::new("bash").args(["-c", line]).arg(out).status().map(|status| status.success())
            }
        };
        match same {
            Ok(true) => Ok(()),
            Ok(false) => Err("its output is another".into()),
            Err(error) => Err(format!("cannot compare: {error}")),
        }
    }
}

fn pair<T: PartialEq>(first: &str, own: &str, read: impl Fn(&str) -> io::Result<T>) -> io::Result<bool> {
    Ok(read(first)? == read(own)?)
}

fn bytes(path: &Path) -> io::Result<(u64, u64)> {
    let (mut file, mut hasher, mut buffer) = (File::open(path)?, DefaultHasher::new(), vec![0; 64 * 1024]);
    let mut length = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((length, hasher.finish()));
        }
        hasher.write(&buffer[..read]);
        length += read as u64;
    }
}

/// How many lines, and a sum that does not depend on their order. A line may be longer than what should be in memory.
fn lines(path: &Path) -> io::Result<(u64, u64)> {
    let mut file = BufReader::with_capacity(64 * 1024, File::open(path)?);
    let (mut count, mut sum, mut hasher) = (0, 0_u64, DefaultHasher::new());
    loop {
        let piece = file.fill_buf()?;
        if piece.is_empty() {
            return Ok((count, sum.wrapping_add(hasher.finish())));
        }
        let end = piece.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(piece.len(), |end| end + 1);
        hasher.write(&piece[..taken]);
        file.consume(taken);
        if end.is_some() {
            sum = sum.wrapping_add(hasher.finish());
            hasher = DefaultHasher::new();
            count += 1;
        }
    }
}

/// The files in a folder, none of them empty.
fn files(folder: &Path) -> io::Result<BTreeMap<String, (u64, u64)>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let content = bytes(&path)?;
        if content.0 == 0 {
            return Err(io::Error::other(format!("{name} is empty")));
        }
        files.insert(name, content);
    }
    Ok(files)
}
