//! Asks an HTTP server on 127.0.0.1 for more than it can do, and tells what became of each request.
//!
//! `cargo run --release -p apps --bin loadgen -- --port N [--connections 64] [--rate 3000] [--seconds 5] [--path /]
//! [--fresh]`
//!
//! Each connection has a thread that sends a request, waits for the answer and sends the next, at a rate of so many requests a second for
//! all together or as fast as the answers come (rate 0). `--fresh` makes a connection for each request. A thread that can connect no
//! more has come to its end, so a server may be stopped meanwhile.
//!
//! *Lost* is a request of which every byte was sent and no answer came; *unsent*, one that could not be sent in full. Exit code 1 if any
//! was lost or answered by neither 200 nor 503.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

const USAGE: &str = "usage: loadgen --port N [--connections N] [--rate N] [--seconds N] [--path P] [--fresh]";
/// A server that takes longer than this has lost the request.
const PATIENCE: Duration = Duration::from_secs(20);
const LONGEST: usize = 16 * 1024;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("loadgen: {message}; {USAGE}");
            return ExitCode::from(2);
        }
    };
    let began = Instant::now();
    let tally = thread::scope(|s| {
        let client = |at| {
            s.spawn({
                let options = &options;
                move || options.client(began, at)
            })
        };
        let clients: Vec<_> = (0..options.connections).map(client).collect();
        clients
            .into_iter()
            .map(|client| client.join())
            .try_fold(Tally::default(), |all, one| one.map(|one| all.and(one)))
    });
    let Ok(tally) = tally else { return ExitCode::FAILURE };
    let good = tally.lost == 0 && tally.other == 0;
    match writeln!(io::stdout(), "{}", tally.report(began.elapsed())) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("loadgen: cannot write: {error}");
            ExitCode::FAILURE
        }
        _ if good => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

struct Options {
    address: SocketAddr,
    connections: u32,
    rate: u32,
    time: Duration,
    path: String,
    fresh: bool,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
        let (mut port, mut connections, mut rate, mut seconds, mut fresh) = (0, 64, 3000, 5, false);
        let mut path = String::from("/");
        while let Some(flag) = arguments.next() {
            if flag == "--path" {
                let given =
                    arguments.next().filter(|path| path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic()));
                path = given.ok_or("--path takes one that begins with a slash")?;
                continue;
            }
            let number = match flag.as_str() {
                "--fresh" => {
                    fresh = true;
                    continue;
                }
                "--port" => &mut port,
                "--connections" => &mut connections,
                "--rate" => &mut rate,
                "--seconds" => &mut seconds,
                _ => return Err(format!("unknown flag {}", flag.escape_debug())),
            };
            let value = arguments.next().and_then(|value| value.parse::<u32>().ok());
            *number = value.ok_or_else(|| format!("{flag} without a number"))?;
        }
        let port = port.try_into().ok().filter(|port: &u16| *port > 0).ok_or("--port takes 1 to 65535")?;
        if !(1..=10_000).contains(&connections) {
            return Err("--connections takes 1 to 10000".into());
        }
        let address = (Ipv4Addr::LOCALHOST, port).into();
        Ok(Options { address, connections, rate, time: Duration::from_secs(seconds.into()), path, fresh })
    }

    fn client(&self, began: Instant, at: u32) -> Tally {
        let mut tally = Tally::default();
        let every = Duration::from_secs(1) * self.connections / self.rate.max(1);
        let every = if self.rate == 0 { Duration::ZERO } else { every };
        let request = format!("POST {} HTTP/1.1\r\nHost: load\r\nContent-Length: 100\r\n\r\n{at:0100}", self.path);
        let (mut connection, mut next) = (None, began + every * at / self.connections);
        loop {
            // What could not be sent in time is not made up for.
            next = next.max(Instant::now());
            if next.duration_since(began) >= self.time {
                return tally;
            }
            thread::sleep(next.saturating_duration_since(Instant::now()));
            next += every;
            let mut stream = match connection.take() {
                Some(stream) => stream,
                None => match connect(self.address) {
                    Ok(stream) => stream,
                    Err(error) => {
                        tally.refused += 1;
                        if error.kind() != ErrorKind::ConnectionRefused {
                            eprintln!("loadgen: cannot connect: {error}");
                        }
                        return tally;
                    }
                },
            };
            let sent = Instant::now();
            if let Err(error) = stream.write_all(request.as_bytes()) {
                tally.unsent += 1;
                tally.because(&error);
                continue;
            }
            match answer(&mut stream) {
                Ok((status, keep)) => {
                    tally.answered(status, sent.elapsed());
                    connection = (keep && !self.fresh).then_some(stream);
                }
                Err(error) => {
                    tally.lost += 1;
                    tally.because(&error);
                }
            }
        }
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// The status of the answer, and whether the connection is of further use.
fn answer(stream: &mut TcpStream) -> io::Result<(u16, bool)> {
    let (mut bytes, mut more) = (Vec::new(), [0; 2048]);
    loop {
        match stream.read(&mut more) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => bytes.extend_from_slice(&more[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(&bytes).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        if let httparse::Status::Complete(head) = parsed {
            let value = |name: &str| {
                let mut headers = response.headers.iter();
                headers.find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
            };
            let length =
                value("content-length").and_then(|value| std::str::from_utf8(value).ok()?.parse::<usize>().ok());
            let length = length.ok_or(ErrorKind::InvalidData)?;
            if bytes.len() >= head.saturating_add(length) {
                let keep = !value("connection").is_some_and(|value| value.eq_ignore_ascii_case(b"close"));
                return Ok((response.code.unwrap_or(0), keep));
            }
        }
        if bytes.len() > LONGEST {
            return Err(ErrorKind::InvalidData.into());
        }
    }
}

#[derive(Default)]
struct Tally {
    ok: Vec<Duration>,
    busy: Vec<Duration>,
    other: u64,
    lost: u64,
    unsent: u64,
    refused: u64,
    /// The last error of what was lost or unsent.
    error: Option<String>,
}

impl Tally {
    fn answered(&mut self, status: u16, took: Duration) {
        match status {
            200 => self.ok.push(took),
            503 => self.busy.push(took),
            _ => self.other += 1,
        }
    }

    fn because(&mut self, error: &io::Error) {
        self.error = Some(error.to_string());
    }

    fn and(mut self, mut one: Tally) -> Tally {
        self.ok.append(&mut one.ok);
        self.busy.append(&mut one.busy);
        self.other += one.other;
        self.lost += one.lost;
        self.unsent += one.unsent;
        self.refused += one.refused;
        self.error = self.error.or(one.error);
        self
    }

    fn report(mut self, took: Duration) -> String {
        let mut line = format!(
            "ok={} busy={} other={} lost={} unsent={} refused={} seconds={:.1}",
            self.ok.len(),
            self.busy.len(),
            self.other,
            self.lost,
            self.unsent,
            self.refused,
            took.as_secs_f64()
        );
        for (name, times) in [("ok", &mut self.ok), ("busy", &mut self.busy)] {
            times.sort_unstable();
            for percent in [50, 99] {
                let time = times.get(times.len() * percent / 100).copied().unwrap_or_default();
                line += &format!(" {name}_p{percent}={:.2}ms", time.as_secs_f64() * 1e3);
            }
        }
        self.error.map_or(line.clone(), |error| format!("{line} ({error})"))
    }
}
