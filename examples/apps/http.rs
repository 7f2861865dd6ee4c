//! An HTTP server that stays quick when there is too much to do: what does not fit is refused at once, what was taken is answered.
//!
//! `cargo run --release -p apps --bin http -- [--port 8080] [--workers 4] [--window 16] [--work-ms 2] [--cpu] [--connections 256]
//! [--idle-ms 2000] [--request-ms 5000] [--drain-ms 10000]`
//!
//! `GET` or `POST` of `/` on 127.0.0.1 takes a worker for so many milliseconds, asleep as if it waited for a database, or computing with
//! `--cpu`. Port 0 is any free one; the first line on standard output says which. With a window of items in hand, the next request is
//! answered with 503 without waiting. `loadgen`, beside this, asks for more than it can do.
//!
//! SIGINT or SIGTERM: no new connections; those that were made, also those that nobody had accepted yet, get the answer to a request
//! that is on its way, with `Connection: close`. It ends when all have been closed, idle ones after their idle time, with a line of
//! counts and exit code 0; with 1 if the drain time is over first or after a second signal.
//!
//! It shows a service that refuses, `try_send`; answers that find their way back through the collector, so that no worker ever
//! waits for a client; and a second service, of connections, as a bound on those.
//!
//! *Clients that are slow, broken or hostile* cost a place among the connections for a few of the times above at most, 72 KiB each, and
//! another 64 KiB for each request in the window: a head of more than 8 KiB gets 431, a body of more than 64 KiB 413, nonsense 400, a
//! request that is not there in time 408. When all places are taken a connection gets 503 at once, and might miss that if it sends
//! meanwhile. A pipelining client is served one request after the other.
//!
//! Why not tiny_http (0.12): it starts a thread for each connection and queues what they ask without a bound, reads lines of any
//! length, and has no time limits; a client that sends nothing holds its thread for ever. So `wire` reads sockets with limits, and
//! httparse tells what was read.

mod listen;
mod wire;

use fanpool::{Control, FanOut, Input, Output, SendReason};
use std::convert::Infallible;
use std::fmt::Display;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use wire::{BROKEN, BUSY, Connection, Method, NOT_FOUND, OK, Patience, Refusal};

const USAGE: &str = "usage: http [--port N] [--workers N] [--window N] [--work-ms N] [--cpu] [--connections N] [--idle-ms N] \
                     [--request-ms N] [--drain-ms N]";

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("http: {message}; {USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(line) => {
            say(line);
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("http: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a line. A server goes on if nobody reads it.
fn say(line: impl Display) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

struct Options {
    port: u16,
    workers: usize,
    window: usize,
    connections: usize,
    work: Duration,
    cpu: bool,
    patience: Patience,
    drain: Duration,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options = Options {
            port: 8080,
            workers: 4,
            window: 16,
            connections: 256,
            work: Duration::from_millis(2),
            cpu: false,
            patience: Patience { idle: Duration::from_secs(2), request: Duration::from_secs(5) },
            drain: Duration::from_secs(10),
        };
        while let Some(flag) = arguments.next() {
            if flag == "--cpu" {
                options.cpu = true;
                continue;
            }
            let number = arguments.next().and_then(|value| value.parse::<u32>().ok());
            let number = number.ok_or_else(|| format!("{} without a number", flag.escape_debug()))?;
            let (size, time) = (number as usize, Duration::from_millis(number.into()));
            match flag.as_str() {
                "--port" => options.port = number.try_into().map_err(|_| "no such port")?,
                "--workers" => options.workers = size,
                "--window" => options.window = size,
                "--connections" => options.connections = size,
                "--work-ms" => options.work = time,
                "--idle-ms" => options.patience.idle = time,
                "--request-ms" => options.patience.request = time,
                "--drain-ms" => options.drain = time,
                _ => return Err(format!("unknown flag {}", flag.escape_debug())),
            }
        }
        Ok(options)
    }
}

/// A request that was accepted, and who waits for the answer.
struct Job {
    body: Vec<u8>,
    reply: SyncSender<String>,
}

type Answered = (SyncSender<String>, String);

#[derive(Default)]
struct Counters {
    busy: AtomicU64,
    wrong: AtomicU64,
    unsent: AtomicU64,
    turned_away: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What all connections share.
struct Server {
    jobs: Input<'static, Job>,
    counters: Counters,
    /// When the signal came.
    stopped: OnceLock<Instant>,
    patience: Patience,
}

fn run(options: &Options) -> Result<String, String> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).map_err(|error| format!("cannot listen: {error}"))?;
    let address = listener.local_addr().map_err(|error| format!("cannot listen: {error}"))?;

    let (work, cpu) = (options.work, options.cpu);
    let (jobs, answered) =
        FanOut::builder(move |job: Job| Ok::<Answered, Infallible>((job.reply, perform(&job.body, work, cpu))))
            .name("jobs")
            .workers(options.workers)
            .window(options.window)
            .start()
            .map_err(|error| error.to_string())?;
    let answers = collect(answered, |(reply, text)| {
        // Nobody waits if the connection's thread has panicked.
        let _ = reply.send(text);
    })?;

    let server = Server { jobs, counters: Counters::default(), stopped: OnceLock::new(), patience: options.patience };
    let server = Arc::new(server);
    let handler = server.clone();
    let (connections, ended) = FanOut::builder(move |stream: TcpStream| {
        handler.serve(stream);
        Ok::<(), Infallible>(())
    })
    .name("connections")
    .workers(options.connections)
    .window(options.connections)
    .start()
    .map_err(|error| error.to_string())?;
    let ends = collect(ended, |()| ())?;

    let told = server.clone();
    ctrlc::set_handler(move || told.stop(address)).map_err(|error| format!("cannot wait for signals: {error}"))?;
    say(format_args!("listening on {address}"));
    listen::accept(
        listener,
        || server.stopped.get().is_some(),
        |stream| server.admit(stream, &connections),
        |error| eprintln!("http: cannot accept: {error}"),
    );

    let began = server.stopped.get().copied().unwrap_or_else(Instant::now);
    connections.close();
    wait(&connections.control(), began + options.drain)?;
    server.jobs.close();
    wait(&server.jobs.control(), began + options.drain)?;
    if ends.join().is_err() || answers.join().is_err() {
        return Err("a collector has panicked".into());
    }
    let [busy, wrong, unsent, turned_away] =
        [&server.counters.busy, &server.counters.wrong, &server.counters.unsent, &server.counters.turned_away]
            .map(|counter| counter.load(Ordering::Relaxed));
    let done = server.jobs.control().counts().finished;
    let took = began.elapsed();
    Ok(format!(
        "drained in {took:.0?}: {done} requests done, {busy} refused as busy, {wrong} as wrong; {unsent} answers not taken, \
         {turned_away} connections turned away"
    ))
}

/// What a request asks for.
fn perform(body: &[u8], work: Duration, cpu: bool) -> String {
    let mut sum = body.iter().fold(0u32, |sum, byte| sum.rotate_left(5) ^ u32::from(*byte));
    if cpu {
        let end = Instant::now() + work;
        while Instant::now() < end {
            sum = std::hint::black_box(sum);
        }
    } else {
        thread::sleep(work);
    }
    format!("{} bytes, {sum:08x}\n", body.len())
}

/// A thread that takes all outcomes of a service.
fn collect<R: Send + 'static>(
    output: Output<'static, R, Infallible>,
    take: impl Fn(R) + Send + 'static,
) -> Result<JoinHandle<()>, String> {
    let name = format!("{}-collector", output.control().name());
    let collector = move || {
        for outcome in output {
            match outcome.result {
                Ok(result) => take(result),
                Err(error) => eprintln!("http: {error}"),
            }
        }
    };
    thread::Builder::new().name(name).spawn(collector).map_err(|error| format!("cannot start a thread: {error}"))
}

/// Waits until all that was accepted has ended.
fn wait(control: &Control<'_>, deadline: Instant) -> Result<(), String> {
    match control.wait_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(format!("the time to drain is over, {} {} given up", control.in_flight(), control.name())),
        Err(error) => Err(error.to_string()),
    }
}

impl Server {
    /// Called for each signal, on a thread for that.
    fn stop(&self, address: SocketAddr) {
        if self.stopped.set(Instant::now()).is_err() {
            eprintln!("http: interrupted while draining");
            std::process::exit(1);
        }
        listen::wake(address);
    }

    fn admit(&self, stream: TcpStream, connections: &Input<'_, TcpStream>) {
        if let Err(refused) = connections.try_send(stream) {
            count(&self.counters.turned_away);
            wire::turn_away(refused.into_inner());
        }
    }

    /// Serves a connection to its end.
    fn serve(&self, stream: TcpStream) {
        let mut connection = Connection::new(stream, self.patience);
        loop {
            let request = match connection.request() {
                Ok(request) => request,
                Err(Refusal::Gone) => return,
                Err(Refusal::Answer(status)) => {
                    count(&self.counters.wrong);
                    if connection.answer(Method::Get, status, "", false).is_err() {
                        count(&self.counters.unsent);
                    }
                    break;
                }
            };
            if request.target != "/" {
                count(&self.counters.wrong);
                if connection.answer(request.method, NOT_FOUND, "", false).is_err() {
                    count(&self.counters.unsent);
                }
                break;
            }
            let (reply, answer) = sync_channel(1);
            let (status, text) = match self.jobs.try_send(Job { body: request.body, reply }) {
                // Without an answer, the handler has panicked.
                Ok(_) => answer.recv().map_or((BROKEN, String::new()), |text| (OK, text)),
                Err(refused) => {
                    count(&self.counters.busy);
                    let reason = refused.reason();
                    let job = refused.into_inner();
                    debug_assert_eq!(reason, SendReason::Full, "closed before its connections");
                    (BUSY, format!("{reason}; try again with your {} bytes\n", job.body.len()))
                }
            };
            let keep = request.keep && self.stopped.get().is_none();
            if connection.answer(request.method, status, &text, keep).is_err() {
                count(&self.counters.unsent);
                return;
            }
            if !keep {
                break;
            }
        }
        connection.hang_up();
    }
}
