//! Adds the distance between two places to each row of a CSV file.
//!
//! `cargo run --release -p tools --bin csvmap -- [-j N] [FILE]` (default: standard input)
//!
//! The first row names the columns, among them `from_lat`, `from_lon`, `to_lat` and `to_lon` in degrees. Each row comes out, in its
//! place, with another column `km`: the length of the shortest line over the surface of the Earth. A row that cannot be done is named on
//! standard error by its line, the others come out, and the exit code is 1. `csvmap generate ROWS SEED` makes rows up, every
//! thousandth of them bad.
//!
//! It shows a stream: rows are read, computed and written at the same time, in order, in flat memory; and blocks of rows that go
//! round between reader, workers and writer, so that nothing is allocated for a row. `-j 1` is a plain loop without a pool.

#[path = "csvmap/block.rs"]
mod block;
#[path = "csvmap/earth.rs"]
mod earth;

use block::{Block, Blocks, Columns};
use csv::{ByteRecord, ReaderBuilder};
use fanpool::Pool;
use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use tools::{Arguments, Failure, Random, shown};

const USAGE: &str = "usage: csvmap [-j N] [FILE], or csvmap generate ROWS SEED";
/// Blocks in flight for each thread: what bounds the memory, whatever the number of rows.
const AHEAD: usize = 8;

fn main() -> ExitCode {
    tools::end("csvmap", USAGE, 1, run())
}

fn run() -> Result<ExitCode, Failure> {
    let arguments = Arguments::parse(std::env::args_os().skip(1), &["-j"], &[]).map_err(Failure::Usage)?;
    let threads = arguments.threads().map_err(Failure::Usage)?;
    let failed = match arguments.rest.as_slice() {
        [] => transform(io::stdin().lock(), Path::new("standard input"), threads)?,
        [file] => {
            let path = Path::new(file);
            let opened = File::open(path).map_err(|error| Failure::Stop(format!("{}: {error}", shown(path))))?;
            transform(opened, path, threads)?
        }
        [generate, rows, seed] if generate == "generate" => {
            let number = |text: &OsStr| text.to_str().and_then(|text| text.parse().ok());
            let numbers = number(rows).zip(number(seed));
            let (rows, seed) = numbers.ok_or(Failure::Usage("ROWS and SEED are numbers".into()))?;
            generate_rows(rows, seed).map_err(Failure::Write)?;
            false
        }
        _ => return Err(Failure::Usage("more than one file".into())),
    };
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Whether some row could not be done.
fn transform(input: impl Read, name: &Path, threads: usize) -> Result<bool, Failure> {
    let stop = |error: &dyn std::fmt::Display| Failure::Stop(format!("{}: {error}", shown(name)));
    let mut reader = ReaderBuilder::new().flexible(true).buffer_capacity(128 * 1024).from_reader(input);
    let mut header = reader.byte_headers().map_err(|error| stop(&error))?.clone();
    let columns = Columns::find(&header).map_err(|error| stop(&error))?;
    header.push_field(b"km");
    let mut out = BufWriter::with_capacity(128 * 1024, io::stdout().lock());
    out.write_all(&block::packed(&header)).map_err(Failure::Write)?;

    let free = RefCell::new(Vec::new());
    let blocks = Blocks { reader, free: &free };
    let compute = |block: Result<Block, csv::Error>| block.map(|block| block.computed(&columns));
    let mut failed = false;
    let write = |block: Result<Block, csv::Error>| {
        let block = block.map_err(|error| stop(&error))?;
        out.write_all(block.lines()).map_err(Failure::Write)?;
        for complaint in block.complaints() {
            failed = true;
            eprintln!("csvmap: {}: {complaint}", shown(name));
        }
        free.borrow_mut().push(block);
        Ok::<(), Failure>(())
    };
    if threads == 1 {
        blocks.map(compute).try_for_each(write)?;
    } else {
        // This thread is one of them: it reads, writes, and computes in between.
        let pool = Pool::builder().workers(threads.max(2) - 1).name("csvmap").build()?;
        pool.map(blocks, compute).limit(threads).window(AHEAD * threads).try_for_each(write)?;
    }
    out.flush().map_err(Failure::Write)?;
    Ok(failed)
}

fn generate_rows(rows: u64, seed: u64) -> io::Result<()> {
    let mut random = Random::new(seed);
    let mut out = BufWriter::new(io::stdout().lock());
    out.write_all(&block::packed(&ByteRecord::from(vec![
        "parcel", "note", "from_lat", "from_lon", "to_lat", "to_lon",
    ])))?;
    for row in 1..=rows {
        // Never opposite each other.
        let mut place = || [random.between(-90.0, 90.0), random.between(-80.0, 80.0)].map(|part| format!("{part:.5}"));
        let ([from_lat, from_lon], [to_lat, mut to_lon]) = (place(), place());
        if row % 1000 == 0 {
            to_lon = "unknown".into();
        }
        let note = ["", "fragile", "left, then right", "say \"hello\"", "this way\nup"][random.below(5)];
        let record = vec![format!("P{row:09}"), note.into(), from_lat, from_lon, to_lat, to_lon];
        out.write_all(&block::packed(&ByteRecord::from(record)))?;
    }
    out.flush()
}
