//! Counts words with as many processes as you like, over a broker: what `examples/wordcount.rs` prints, whatever is killed meanwhile.
//!
//! ```sh
//! cluster PATH...                                            # all in one process, over the engine in memory
//!
//! cluster work  --engine redis --at 127.0.0.1:6379 &    # as often as you like, on any machine
//! cluster merge --engine redis --at 127.0.0.1:6379 --state counted >words &
//! cluster feed  --engine redis --at 127.0.0.1:6379 PATH...
//! ```
//!
//! `feed` cuts files into blocks and sends each as a message. `work` counts the words of a block and sends the table. `merge` adds the tables up,
//! until it has that of every block, and prints the sum. Messages are handled at least once: a block that two workers have
//! counted has two tables, of which `merge` takes the first. It writes each table to its state before that is acknowledged, so it may be killed
//! too, and goes on where it was.
//!
//! With RabbitMQ the queues, and with Kafka the topics, `words-blocks`, `words-counts` and `words-failed` must be there. `--at` may be given several
//! times: addresses of one broker. A block goes back to the others two to six seconds after its worker was killed.
//!
//! `--job NAME` (default `words`) tells runs apart that share a broker. Exit code 1 if something could not be read, or a block was
//! given up.

mod blocks;
mod engine;
mod merge;
mod options;

use blocks::Blocks;
use engine::Engine;
use fanpool::connect::{ConnectError, Consumer, Message, Raw, Sink};
use fanpool::{FanOut, Retry};
use options::{Options, Role};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

/// Blocks that a process has in hand.
const WINDOW: usize = 64;
/// Blocks that are sent together.
const BATCH: usize = 32;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("cluster: {message}; {}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cluster: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether nothing went wrong.
fn run(options: &Options) -> Result<bool, String> {
    let engine = Engine::new(options)?;
    match options.role {
        Role::Feed => feed(&engine, options),
        Role::Work => {
            let (stop, stopped) = mpsc::channel();
            ctrlc::set_handler(move || _ = stop.send(())).map_err(|error| error.to_string())?;
            let consumer = work(&engine)?;
            // SIGTERM or SIGINT; or the consumer has failed, which is seen once a second.
            while stopped.recv_timeout(Duration::from_secs(1)).is_err() && !consumer.is_ended() {}
            let receipt = consumer.shutdown(Duration::from_secs(30));
            eprintln!("cluster: {receipt}");
            Ok(receipt.error.is_none() && receipt.counts.dead_lettered == 0)
        }
        Role::Merge => merge::merge(&engine, options.state.as_deref()),
        Role::All => {
            let worker = work(&engine)?;
            let fed = feed(&engine, options)?;
            let merged = merge::merge(&engine, None)?;
            drop(worker);
            Ok(fed && merged)
        }
    }
}

/// Sends all blocks, and then how many there are.
fn feed(engine: &Engine, options: &Options) -> Result<bool, String> {
    let mut sink = engine.sink("blocks")?;
    let retry = Retry::decorrelated(Duration::from_millis(100), Duration::from_secs(5))
        .max_attempts(u32::MAX)
        .max_elapsed(Duration::from_secs(120))
        .retry_if(ConnectError::is_transient);
    let clock = fanpool::Clock::system();
    let send = |sink: &mut Box<dyn Sink>, messages: &[Message]| {
        retry.call(&clock, || sink.publish(messages)).map_err(|error| error.to_string())
    };
    retry.call(&clock, || sink.open()).map_err(|error| error.to_string())?;
    let mut blocks = Blocks::new(options.paths.clone());
    let (mut total, mut batch) = (0u64, Vec::with_capacity(BATCH));
    for block in &mut blocks {
        batch.push(Message::new(block).with_key(total.to_string()).with_header("block", total.to_string()));
        total += 1;
        if batch.len() == BATCH {
            send(&mut sink, &batch)?;
            batch.clear();
        }
    }
    send(&mut sink, &batch)?;
    let mut counts = engine.sink("counts")?;
    retry.call(&clock, || counts.open()).map_err(|error| error.to_string())?;
    send(&mut counts, &[Message::new("").with_header("total", total.to_string())])?;
    let _ = (sink.close(), counts.close());
    Ok(!blocks.failed)
}

/// Counts the words of blocks.
fn work(engine: &Engine) -> Result<Consumer, String> {
    let consumer = FanOut::builder(count)
        .name("work")
        .window(WINDOW)
        .consume(engine.source("blocks")?, Raw)
        .publish(engine.sink("counts")?, Raw)
        .dead_letter(engine.sink("failed")?)
        .wait_for_broker()
        .start();
    consumer.map_err(|error| error.to_string())
}

/// The table of a block: a line for each word.
fn count(block: Message) -> Result<Message, String> {
    let id = block.header("block").ok_or("a block without a number")?;
    let mut table = BTreeMap::new();
    for word in block.payload().split(|byte| !byte.is_ascii_alphabetic()).filter(|word| !word.is_empty()) {
        *table.entry(word).or_insert(0u64) += 1;
    }
    let mut lines = String::new();
    for (word, times) in table {
        let word = std::str::from_utf8(word).map_err(|error| error.to_string())?;
        writeln!(lines, "{word} {times}").map_err(|error| error.to_string())?;
    }
    Ok(Message::new(lines).with_key(id).with_header("block", id))
}
