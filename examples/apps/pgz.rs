//! Compresses a file or standard input as `gzip` does, on all CPUs: what `gunzip` and `zcat` read, and the same bytes
//! whatever the number of threads.
//!
//! `cargo run --release -p apps --bin pgz -- [-1..-9] [-p THREADS] [-c] [-f] [-k] [FILE]`
//!
//! `FILE` becomes `FILE.gz` and stays (`-k` says so and changes nothing); `-c` writes to standard output, and so does
//! standard input, which is read without a `FILE` or for `-`; `-f` replaces a `FILE.gz` that exists. The name appears when all of
//! it is written: an error, a full disk or an interruption leaves nothing behind.
//!
//! It shows results in order while the input is still being read, in bounded memory; buffers that go round between
//! consumer and source, which need no lock; and a token that stops it all.
//!
//! The input is cut into blocks. Each is compressed on its own, with the end of the block before as a dictionary, up to a
//! byte boundary; one after the other they make up one stream.

use crc32fast::Hasher;
use fanpool::{CancelToken, Pool, Workers};
use flate2::{Compress, Compression, FlushCompress, Status};
use std::cell::RefCell;
use std::ffi::OsString;
use std::fs::{self, File, FileTimes, Metadata, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Bytes that a thread compresses at a time.
const BLOCK: usize = 128 * 1024;
/// How far back deflate can refer.
const DICTIONARY: usize = 32 * 1024;
/// Blocks in flight for each thread: what bounds the memory, whatever the size of the input.
const AHEAD: usize = 8;
/// The levels of zlib-rs that make about as much as levels 1 to 9 of gzip. All of them are faster.
const LEVELS: [u32; 9] = [2, 2, 3, 4, 5, 7, 7, 9, 9];
/// The end of a deflate stream: a last block with nothing in it.
const END: [u8; 2] = [3, 0];

const USAGE: &str = "usage: pgz [-1..-9] [-p THREADS] [-c] [-f] [-k] [FILE]";

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("pgz: {message}; {USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read this has read enough.
        Err(Failure::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Failure::Interrupted) => {
            eprintln!("pgz: interrupted, nothing written");
            ExitCode::from(130)
        }
        Err(failure) => {
            eprintln!("pgz: {}: {failure}", options.name().display().to_string().escape_debug());
            ExitCode::FAILURE
        }
    }
}

struct Options {
    level: u32,
    threads: Option<usize>,
    stdout: bool,
    force: bool,
    /// Standard input if there is none.
    file: Option<PathBuf>,
}

impl Options {
    fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Options, String> {
        let mut options = Options { level: 6, threads: None, stdout: false, force: false, file: None };
        let (mut files, mut flags_over, mut wants_threads) = (Vec::new(), false, false);
        for argument in arguments {
            if wants_threads {
                options.threads = Some(threads(argument.as_bytes())?);
                wants_threads = false;
                continue;
            }
            match argument.as_bytes() {
                b"--" if !flags_over => flags_over = true,
                [b'-', flags @ ..] if !flags_over && !flags.is_empty() => wants_threads = options.flags(flags)?,
                _ => files.push(argument),
            }
        }
        if wants_threads {
            return Err("-p without a number".into());
        }
        if files.len() > 1 {
            return Err("more than one file".into());
        }
        options.file = files.pop().filter(|file| file != "-").map(PathBuf::from);
        Ok(options)
    }

    /// Takes in flags that were written together; whether the next argument is a number of threads.
    fn flags(&mut self, flags: &[u8]) -> Result<bool, String> {
        for (at, flag) in flags.iter().enumerate() {
            match flag {
                b'1'..=b'9' => self.level = u32::from(flag - b'0'),
                b'c' => self.stdout = true,
                b'f' => self.force = true,
                b'k' => {}
                b'p' if at + 1 == flags.len() => return Ok(true),
                b'p' => {
                    self.threads = Some(threads(&flags[at + 1..])?);
                    return Ok(false);
                }
                _ => return Err(format!("unknown flag -{}", flags[at..].escape_ascii())),
            }
        }
        Ok(false)
    }

    fn name(&self) -> &Path {
        self.file.as_deref().unwrap_or(Path::new("standard input"))
    }
}

fn threads(text: &[u8]) -> Result<usize, String> {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.filter(|number| (1..=fanpool::MAX_WORKERS).contains(number)).ok_or("-p without a number".into())
}

#[derive(Debug)]
enum Failure {
    Read(io::Error),
    Write(io::Error),
    Refused(&'static str),
    Pool(fanpool::BuildError),
    Interrupted,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Read(error) => error.fmt(f),
            Failure::Write(error) => write!(f, "cannot write: {error}"),
            Failure::Refused(reason) => f.write_str(reason),
            Failure::Pool(error) => error.fmt(f),
            Failure::Interrupted => f.write_str("interrupted"),
        }
    }
}

fn run(options: &Options) -> Result<(), Failure> {
    let token = CancelToken::new();
    let Some(path) = &options.file else {
        // There is nothing to tidy up, so an interruption may end this where it stands.
        let input = io::stdin().as_fd().try_clone_to_owned().map_err(Failure::Read)?;
        return compress(File::from(input), stdout(options)?, options, &token);
    };
    // Looked at first: opening a pipe waits for whoever writes to it.
    let metadata = fs::metadata(path).map_err(Failure::Read)?;
    if !metadata.is_file() {
        return Err(Failure::Refused("not a file"));
    }
    let input = File::open(path).map_err(Failure::Read)?;
    if options.stdout {
        return compress(input, stdout(options)?, options, &token);
    }
    let mut target = path.clone().into_os_string();
    target.push(".gz");
    let target = PathBuf::from(target);
    if !options.force && fs::symlink_metadata(&target).is_ok() {
        return Err(Failure::Refused("there is a file of that name and .gz already; -f replaces it"));
    }
    let stop = token.clone();
    ctrlc::set_handler(move || stop.cancel()).map_err(|error| Failure::Write(io::Error::other(error)))?;
    let draft = Draft::create(&target, &metadata).map_err(Failure::Write)?;
    compress(input, &draft.file, options, &token)?;
    draft.publish(&target, &metadata).map_err(Failure::Write)
}

/// Standard output without the buffer for lines.
fn stdout(options: &Options) -> Result<File, Failure> {
    let stdout = io::stdout();
    if stdout.is_terminal() && !options.force {
        return Err(Failure::Refused("compressed data is not for a terminal; -f writes it all the same"));
    }
    stdout.as_fd().try_clone_to_owned().map(File::from).map_err(Failure::Write)
}

/// A file that has no proper name yet, and goes away unless it gets one.
struct Draft {
    file: File,
    path: PathBuf,
    published: bool,
}

impl Draft {
    fn create(target: &Path, like: &Metadata) -> io::Result<Draft> {
        use std::os::unix::fs::PermissionsExt;
        let path = target.with_file_name(format!(".pgz-{}", std::process::id()));
        let mode = like.permissions().mode() & 0o777;
        let file = OpenOptions::new().write(true).create_new(true).mode(mode | 0o200).open(&path)?;
        Ok(Draft { file, path, published: false })
    }

    fn publish(mut self, target: &Path, like: &Metadata) -> io::Result<()> {
        self.file.set_times(FileTimes::new().set_modified(like.modified()?))?;
        fs::rename(&self.path, target)?;
        self.published = true;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.published {
            return;
        }
        if let Err(error) = fs::remove_file(&self.path) {
            eprintln!("pgz: {}: cannot remove: {error}", self.path.display().to_string().escape_debug());
        }
    }
}

/// A piece of the input, and what became of it. It goes from the source to a worker, to the consumer, and back.
struct Block {
    /// The end of the block before, then the block.
    text: Box<[u8]>,
    /// How much of either there is.
    dictionary: usize,
    length: usize,
    crc: Hasher,
    packed: Vec<u8>,
}

impl Block {
    fn new() -> Block {
        let text = vec![0; DICTIONARY + BLOCK].into_boxed_slice();
        Block { text, dictionary: 0, length: 0, crc: Hasher::new(), packed: Vec::with_capacity(BLOCK + BLOCK / 8) }
    }

    fn pack(&mut self, level: Compression) -> io::Result<()> {
        let (before, text) = self.text.split_at(DICTIONARY);
        let text = &text[..self.length];
        self.crc = Hasher::new();
        self.crc.update(text);
        // One that was used before is faster by nothing, and finds other matches: the same text would give other bytes.
        let mut compressor = Compress::new(level, false);
        if self.dictionary > 0 {
            compressor.set_dictionary(&before[DICTIONARY - self.dictionary..])?;
        }
        self.packed.clear();
        loop {
            let done = usize::try_from(compressor.total_in()).map_err(io::Error::other)?;
            let status = compressor.compress_vec(&text[done..], &mut self.packed, FlushCompress::Sync)?;
            // All of it is out once there is room left.
            if self.packed.len() < self.packed.capacity() || status == Status::StreamEnd {
                return Ok(());
            }
            self.packed.reserve(BLOCK / 8);
        }
    }
}

/// Cuts the input into blocks.
struct Cut<'a> {
    input: File,
    tail: Vec<u8>,
    free: &'a RefCell<Vec<Block>>,
    ended: bool,
}

impl Cut<'_> {
    fn block(&mut self) -> io::Result<Option<Block>> {
        let mut block = self.free.borrow_mut().pop().unwrap_or_else(Block::new);
        let (before, text) = block.text.split_at_mut(DICTIONARY);
        block.dictionary = self.tail.len();
        before[DICTIONARY - self.tail.len()..].copy_from_slice(&self.tail);
        block.length = 0;
        while block.length < text.len() {
            match self.input.read(&mut text[block.length..]) {
                Ok(0) => break,
                Ok(read) => block.length += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // Only the last block is short.
        self.ended = block.length < text.len();
        self.tail.clear();
        self.tail.extend_from_slice(&text[text.len() - DICTIONARY..]);
        Ok((block.length > 0).then_some(block))
    }
}

impl Iterator for Cut<'_> {
    type Item = io::Result<Block>;

    fn next(&mut self) -> Option<io::Result<Block>> {
        if self.ended {
            return None;
        }
        let block = self.block().transpose();
        self.ended |= !matches!(block, Some(Ok(_)));
        block
    }
}

fn compress(input: File, mut out: impl Write, options: &Options, token: &CancelToken) -> Result<(), Failure> {
    let workers = options.threads.map_or(Workers::CpuBound, Workers::Fixed);
    let pool = Pool::builder().workers(workers).name("pgz").build().map_err(Failure::Pool)?;
    let threads = pool.workers();
    let free = RefCell::new(Vec::new());
    let blocks = Cut { input, tail: Vec::with_capacity(DICTIONARY), free: &free, ended: false };
    let level = Compression::new(LEVELS[options.level as usize - 1]);
    let pack = |block: io::Result<Block>| {
        let mut block = block?;
        block.pack(level)?;
        Ok(block)
    };
    let packed = pool.map(blocks, pack).limit(threads).window(AHEAD * threads).cancel(token);

    out.write_all(&header(options.level)).map_err(Failure::Write)?;
    let (mut crc, mut length) = (Hasher::new(), 0_u32);
    let ended = packed.try_for_each(|block: io::Result<Block>| {
        let block = block.map_err(Failure::Read)?;
        out.write_all(&block.packed).map_err(Failure::Write)?;
        crc.combine(&block.crc);
        // The format counts modulo 2^32.
        length = length.wrapping_add(u32::try_from(block.length).unwrap_or(u32::MAX));
        free.borrow_mut().push(block);
        Ok(())
    });
    ended.map_err(|_| Failure::Interrupted)??;
    out.write_all(&END).map_err(Failure::Write)?;
    out.write_all(&crc.finalize().to_le_bytes()).map_err(Failure::Write)?;
    out.write_all(&length.to_le_bytes()).map_err(Failure::Write)
}

/// Of a file without a name and a time, made on a Unix system.
fn header(level: u32) -> [u8; 10] {
    let effort = match level {
        9 => 2,
        1 => 4,
        _ => 0,
    };
    [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, effort, 3]
}
