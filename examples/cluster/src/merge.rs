//! Adds the tables of all blocks up.

use crate::engine::Engine;
use fanpool::FanOut;
use fanpool::connect::{Message, Raw};
use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

/// What is known so far.
#[derive(Default)]
struct Sum {
    words: HashMap<String, u64>,
    blocks: HashSet<u64>,
    total: Option<u64>,
    state: Option<File>,
}

impl Sum {
    /// Reads what a process that is gone has written. A last line that is not whole was not acknowledged, and is cut off.
    fn open(path: Option<&Path>) -> io::Result<Sum> {
        let mut sum = Sum::default();
        let Some(path) = path else { return Ok(sum) };
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let (mut reader, mut whole, mut line) = (BufReader::new(&file), 0, String::new());
        loop {
            line.clear();
            let bytes = reader.read_line(&mut line)?;
            if !line.ends_with('\n') {
                break;
            }
            sum.add(&line);
            whole += bytes as u64;
        }
        file.set_len(whole)?;
        sum.state = Some(file);
        Ok(sum)
    }

    /// A line: `total N`, or the number of a block and its words, each with its count.
    fn add(&mut self, line: &str) {
        let mut parts = line.split_ascii_whitespace();
        let first = parts.next().unwrap_or_default();
        if first == "total" {
            self.total = parts.next().and_then(|total| total.parse().ok());
        } else if first.parse().is_ok_and(|block| self.blocks.insert(block)) {
            while let (Some(word), Some(times)) = (parts.next(), parts.next()) {
                *self.words.entry(word.to_owned()).or_default() += times.parse().unwrap_or(0);
            }
        }
    }

    /// Takes a message in: first into the state, with one write.
    fn take(&mut self, message: &Message) -> Result<(), String> {
        let text = |bytes| std::str::from_utf8(bytes).map_err(|error| error.to_string());
        let line = match (message.header("total"), message.header("block")) {
            (Some(total), _) => format!("total {}\n", text(total)?),
            (_, Some(block)) => {
                let words = text(message.payload())?.split_ascii_whitespace().collect::<Vec<_>>();
                format!("{} {}\n", text(block)?, words.join(" "))
            }
            _ => return Err("neither a table nor a total".into()),
        };
        if let Some(state) = &mut self.state {
            state.write_all(line.as_bytes()).map_err(|error| error.to_string())?;
        }
        self.add(&line);
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.total.is_some_and(|total| self.blocks.len() as u64 >= total)
    }
}

/// Adds up until all is there, and prints it.
pub(crate) fn merge(engine: &Engine, state: Option<&Path>) -> Result<bool, String> {
    let sum = Sum::open(state).map_err(|error| format!("the state: {error}"))?;
    let (done, finished) = mpsc::channel();
    if sum.is_complete() {
        let _ = done.send(());
    }
    let sum = Arc::new(Mutex::new(sum));
    let shared = sum.clone();
    let add = move |message: Message| {
        let mut sum = shared.lock().unwrap_or_else(PoisonError::into_inner);
        sum.take(&message)?;
        if sum.is_complete() {
            let _ = done.send(());
        }
        Ok::<(), String>(())
    };
    let consumer = FanOut::builder(add)
        .name("merge")
        .workers(1)
        .consume(engine.source("counts")?, Raw)
        .dead_letter(engine.sink("failed")?)
        .wait_for_broker()
        .start()
        .map_err(|error| error.to_string())?;
    while finished.recv_timeout(Duration::from_secs(1)).is_err() && !consumer.is_ended() {}
    let receipt = consumer.shutdown(Duration::from_secs(30));
    let sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
    if !sum.is_complete() {
        return Err(format!("it ended before all was there: {receipt}"));
    }
    print(&sum.words).map_err(|error| format!("cannot write: {error}"))?;
    Ok(receipt.counts.dead_lettered == 0)
}

/// A line for each word, as `uniq -c` prints it.
fn print(table: &HashMap<String, u64>) -> io::Result<()> {
    let mut words: Vec<(&String, &u64)> = table.iter().collect();
    words.sort_unstable_by(|(a, times_a), (b, times_b)| times_b.cmp(times_a).then_with(|| a.cmp(b)));
    let mut out = BufWriter::new(io::stdout().lock());
    words.into_iter().try_for_each(|(word, times)| writeln!(out, "{times:7} {word}"))?;
    out.flush()
}
