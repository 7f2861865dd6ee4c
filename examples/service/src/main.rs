//! A service as an orchestrator wants it: probes, metrics, and an end in which every accepted request is answered.
//!
//! `cargo run --release -p service -- [--listen 127.0.0.1:8080] [--drain 20] [--name NAME] [--threads N] [--window 256]
//! [--connections 256] [--idle 2] [--answer 30] [--stuck-after 30] [--check 1] [--chaos]`, times in seconds
//!
//! | path | answer |
//! |---|---|
//! | `/sum` | the SHA-256 of the body, by one of as many workers as the process may use CPUs: affinity and the cgroup's quota |
//! | `/work?ms=20&name=db` | after so long, which stands for a call of a dependency of that name; on an elastic pool of at most `--threads`, 16 for each CPU |
//! | `/livez` | 503 if only a restart helps: all threads are stuck, and there may be no others |
//! | `/readyz` | 503 if what comes now would not be started soon, and from the signal on |
//! | `/metrics` | all of `fanpool::Metrics::names()` but those of brokers, `service_requests_total` and `service_queue_wait_seconds`, as exposition text |
//! | `/stick`, `/stick?release` | with `--chaos`: a handler that never returns, and the end of all of these |
//!
//! Both probes answer with what health says: `blocking: degraded`, and then one line for each reason. Port 0 is any free one; the first
//! line on standard output says which. What is beyond `--window` requests of a kind gets 503 at once; so does what is beyond so many
//! connections, except probes and scrapes. A request that has no answer after `--answer` gets 504. Clients that are slow, broken or hostile
//! fare as in `../../apps/http.rs`, with the same code.
//!
//! *The end.* SIGTERM or SIGINT: `/readyz` says 503 on connections that are there, no more connections are made, requests that are on
//! their way are answered with `Connection: close`. When all connections have ended, within `--drain`: a line of counts on standard output,
//! exit code 0. Otherwise exit code 1 at that time, and a line on standard error with how many requests were answered and given up, and which
//! tasks still run. A second signal ends it at once, with 1.
//!
//! *Alerts*, on standard error: requests that wait for a thread for more than 100 ms, more than 5 % answers of 500 and above, each for
//! five `--check`s; not live; and each reason that health gives.
//!
//! `../kubernetes.yaml` is how it would run there, `.ci/service` what it is held to.

#[path = "../../apps/listen.rs"]
mod listen;
mod options;
mod server;
mod watch;
#[path = "../../apps/wire.rs"]
mod wire;
mod work;

use fanpool::{Collector, Control, Elastic, FanOut, blocking};
use options::{Failure, Options};
use server::{Arrival, SPARE, Server};
use std::convert::Infallible;
use std::fmt::Display;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use work::Work;

fn main() -> ExitCode {
    let ended = Options::parse(std::env::args().skip(1)).and_then(|options| run(&options));
    match ended {
        Ok(line) => {
            say(line);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            complain(&failure);
            ExitCode::from(if matches!(failure, Failure::Usage(_)) { 2 } else { 1 })
        }
    }
}

/// Prints a line. A service goes on if nobody reads it.
fn say(line: impl Display) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn complain(line: impl Display) {
    let _ = writeln!(io::stderr(), "service: {line}");
}

fn run(options: &Options) -> Result<String, Failure> {
    let unheard = |error| Failure::Listen(options.listen, error);
    let listener = TcpListener::bind(options.listen).map_err(unheard)?;
    let address = listener.local_addr().map_err(unheard)?;
    let recorded = watch::install()?;
    let (work, sums) = Work::start(options)?;
    let server = Arc::new(Server::new(work, recorded, options));

    let serving = Arc::downgrade(&server);
    let places = options.connections + SPARE;
    let (connections, ended) = FanOut::builder(move |arrival: Arrival| {
        if let Some(server) = serving.upgrade() {
            // It waits for a client, or for an answer, all of the time.
            blocking(|| server.serve(arrival));
        }
        Ok::<(), Infallible>(())
    })
    .name("connections")
    .workers(Elastic::new(1, places))
    .window(places)
    .start()?;
    let ends = ended.for_each(drop)?;
    let _ = server.connections.set(connections.control());
    let monitor = watch::monitor(&server, options)?;

    let told = server.clone();
    ctrlc::set_handler(move || stop(&told, address)).map_err(Failure::Signals)?;
    say(format_args!("listening on {address}"));
    listen::accept(
        listener,
        || server.is_stopped(),
        |stream| server.admit(stream, &connections),
        |error| complain(format_args!("cannot accept: {error}")),
    );

    // Nobody is told that what was stopped does not work any more.
    drop(monitor);
    connections.close();
    drain(&server, options.drain, &connections.control(), [ends, sums])
}

/// Called for each signal, on a thread for that.
fn stop(server: &Server, address: SocketAddr) {
    if server.stopped.set(Instant::now()).is_err() {
        let counters = &server.counters;
        complain(format_args!(
            "interrupted while draining: {} requests answered, {} given up",
            counters.answered(),
            counters.given_up()
        ));
        std::process::exit(1);
    }
    listen::wake(address);
}

/// Waits until all that was accepted is answered.
fn drain(
    server: &Server,
    time: Duration,
    connections: &Control<'static>,
    collectors: [Collector; 2],
) -> Result<String, Failure> {
    let began = server.stopped.get().copied().unwrap_or_else(Instant::now);
    let left = || (began + time).saturating_duration_since(Instant::now());
    let over = |control: &Control<'static>| matches!(control.wait_timeout(left()), Ok(None));
    let sums = server.work.sums();
    let mut overdue = over(connections);
    sums.drain();
    overdue |= over(&sums);
    let receipt = server.work.shutdown(left());
    let busy = receipt.iter().flat_map(|receipt| &receipt.threads_busy);
    let mut busy: Vec<_> = busy
        .map(|busy| format!("worker {} runs {:?}", busy.worker, busy.group().unwrap_or("a task without a name")))
        .collect();
    if sums.in_flight() > 0 {
        busy.push(format!("{} of \"sums\" are in hand", sums.in_flight()));
    }
    let counters = &server.counters;
    let (answered, given_up) = (counters.answered(), counters.given_up());
    if overdue || !busy.is_empty() {
        // Whoever has them waits for what does not end.
        collectors.into_iter().for_each(std::mem::forget);
        return Err(Failure::Overdue { drain: time, answered, given_up, busy });
    }
    for collector in collectors {
        collector.join().map_err(Failure::Collector)?;
    }
    let took = began.elapsed();
    Ok(format!("drained in {took:.1?}: {answered} requests answered, {given_up} given up, {} refused", counters.busy()))
}
