//! The service as its clients, its orchestrator and its scraper see it. `.ci/service` adds load.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use openmetrics_parser::prometheus::parse_prometheus;
use std::collections::HashSet;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Nothing here takes longer, unless it does not happen.
const PATIENCE: Duration = Duration::from_secs(60);

struct Service {
    child: Child,
    address: SocketAddr,
    /// Lines on standard output after the first, and on standard error.
    said: Receiver<String>,
    complaints: Receiver<String>,
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || BufReader::new(from).lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    lines
}

impl Service {
    fn start(flags: &[&str]) -> Service {
        let mut child = Command::new(env!("CARGO_BIN_EXE_service"))
            .args(["--listen", "127.0.0.1:0"])
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (said, complaints) = (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
        let first = said.recv_timeout(PATIENCE).unwrap();
        let address = first.strip_prefix("listening on ").unwrap().parse().unwrap();
        Service { child, address, said, complaints }
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client { stream: BufReader::new(stream) }
    }

    /// A request on a connection of its own.
    fn get(&self, target: &str) -> Answer {
        let mut client = self.connect();
        client.ask(target);
        client.answer().unwrap()
    }

    fn scrape(&self) -> String {
        let answer = self.get("/metrics");
        assert_eq!(answer.status, 200);
        answer.body
    }

    /// How many tasks run in the pool for what blocks.
    fn running(&self) -> usize {
        let text = self.scrape();
        let line = text.lines().find(|line| line.starts_with("fanpool_running{pool=")).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    fn ended(&mut self) -> ExitStatus {
        soon(|| self.child.try_wait().unwrap())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Client {
    stream: BufReader<TcpStream>,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    close: bool,
    body: String,
}

impl Client {
    fn send(&mut self, bytes: &[u8]) {
        // A server that has said no may have hung up.
        let _ = self.stream.get_mut().write_all(bytes);
    }

    fn ask(&mut self, target: &str) {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
    }

    fn answer(&mut self) -> Option<Answer> {
        let mut line = String::new();
        let mut next = || {
            line.clear();
            self.stream.read_line(&mut line).ok().filter(|read| *read > 0).map(|_| line.trim_end().to_owned())
        };
        let status = next()?.split(' ').nth(1).unwrap().parse().unwrap();
        let (mut close, mut length) = (false, 0);
        loop {
            match next()?.split_once(": ") {
                Some(("Connection", "close")) => close = true,
                Some(("Content-Length", value)) => length = value.parse().unwrap(),
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).ok()?;
        Some(Answer { status, close, body: String::from_utf8(body).unwrap() })
    }
}

/// Asks until there is an answer.
fn soon<R>(mut look: impl FnMut() -> Option<R>) -> R {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The next line that contains all of these.
fn line_with(lines: &Receiver<String>, words: &[&str]) -> String {
    loop {
        let line = lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no line with {words:?}"));
        if words.iter().all(|word| line.contains(word)) {
            return line;
        }
    }
}

#[test]
fn h6_every_family_is_scraped_and_label_values_come_through() {
    let name = "a \"b\" {c}, d=\\ e\nf \u{fc}\u{65e5}";
    let mut service = Service::start(&["--name", name, "--check", "0.01"]);
    let mut client = service.connect();
    client.send(b"POST /sum HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n";
    assert_eq!(client.answer().unwrap().body, sum);
    assert_eq!(service.get("/work?ms=1&name=db").body, "db took 1 ms\n");
    // The gauge is set by the first look of the monitor; a request is answered before its time is noted.
    let expected = ["service_queue_wait_seconds ", "fanpool_run_seconds"];
    let text = soon(|| Some(service.scrape()).filter(|text| expected.iter().all(|name| text.contains(name))));

    // This reader wants the same labels in all of a family, which Prometheus does not; so it gets the pool, each service and the rest by
    // themselves.
    let subjects = ["{pool=", "{service=\"sums\"", "{service=\"connections\"", "service_"];
    let is_comment = |line: &str| line.is_empty() || line.starts_with('#');
    let (mut read, mut helpless, mut names) = (0, Vec::new(), HashSet::new());
    for (at, subject) in subjects.into_iter().enumerate() {
        let is_own =
            |line: &&str| is_comment(line) || subjects.iter().position(|subject| line.contains(subject)) == Some(at);
        let own: String = text.lines().filter(is_own).map(|line| format!("{line}\n")).collect();
        let parsed = parse_prometheus(&own).unwrap_or_else(|error| panic!("{subject}: {error}\n{own}"));
        for (family, samples) in parsed.families {
            let labels = samples.iter_samples().map(|sample| sample.get_labelset().unwrap());
            let labels: Vec<_> = labels.map(|labels| labels.get_label_value("pool").map(str::to_owned)).collect();
            if labels.is_empty() {
                continue;
            }
            read += labels.len();
            assert!(subject != "{pool=" || labels.iter().all(|label| label.as_deref() == Some(name)), "{labels:?}");
            helpless.extend(samples.help.is_empty().then(|| family.clone()));
            names.insert(family);
        }
    }
    assert_eq!(read, text.lines().filter(|line| !is_comment(line)).count(), "some was passed over in\n{text}");
    let wanted = fanpool::Metrics::names().filter(|name| !name.starts_with("fanpool_broker_"));
    let missing: Vec<_> = wanted.filter(|name| !names.contains(*name)).collect();
    assert!(missing.is_empty() && helpless.is_empty(), "{missing:?}, {helpless:?} in\n{text}");
    let work = "service_requests_total{status=\"200\"}";
    assert!(text.lines().any(|line| line.starts_with(work)), "{text}");

    service.signal("-INT");
    assert_eq!(service.ended().code(), Some(0));
    line_with(&service.said, &["drained in", "2 requests answered, 0 given up"]);
}

#[test]
fn b6_a_stuck_task_is_named_within_two_checks_and_is_over_when_it_is_released() {
    let stuck_after = Duration::from_millis(300);
    // The monitor makes no checks meanwhile.
    let service = Service::start(&["--chaos", "--stuck-after", "0.3", "--check", "3600"]);
    assert_eq!(service.get("/livez").body, "blocking: healthy\nsums: healthy\n");
    let mut stuck = service.connect();
    stuck.ask("/stick");
    soon(|| (service.running() == 1).then_some(()));
    // It is time itself that is waited for.
    thread::sleep(stuck_after);
    let first = service.get("/livez");
    let second = service.get("/livez");
    let named = |answer: &Answer| answer.body.contains("has run a task of \"stick\" for");
    assert!(named(&first) || named(&second), "{first:?} {second:?}");
    assert!(second.body.starts_with("blocking: degraded\n"), "{second:?}");
    // There are other threads to be had.
    assert_eq!((second.status, service.get("/readyz").status), (200, 200));

    assert_eq!(service.get("/stick?release").body, "1 released\n");
    assert_eq!(stuck.answer().unwrap().body, "released\n");
    soon(|| (service.get("/livez").body == "blocking: healthy\nsums: healthy\n").then_some(()));
}

#[test]
fn b6_when_all_threads_are_stuck_it_is_not_live_and_says_so() {
    let service = Service::start(&["--chaos", "--threads", "2", "--stuck-after", "0.1", "--check", "0.02"]);
    let mut held = [service.connect(), service.connect()];
    held.iter_mut().for_each(|client| client.ask("/stick"));
    let answer = soon(|| Some(service.get("/livez")).filter(|answer| answer.status == 503));
    assert_eq!(answer.body.matches("\"stick\"").count(), 2, "{answer:?}");
    assert!(answer.body.starts_with("blocking: unhealthy\n"), "{answer:?}");
    assert_eq!(service.get("/readyz").status, 503);
    let mut alerts = HashSet::from(["firing: not live", "firing: blocking: worker 0", "firing: blocking: worker 1"]);
    while !alerts.is_empty() {
        let line = line_with(&service.complaints, &["firing: "]);
        alerts.retain(|alert| !line.starts_with(alert));
    }
    service.get("/stick?release");
    soon(|| (service.get("/livez").status == 200).then_some(()));
    line_with(&service.complaints, &["resolved: ", "\"stick\""]);
}

#[test]
fn j5_what_is_on_its_way_is_answered_and_nothing_more_is_taken() {
    let mut service = Service::start(&["--chaos", "--drain", "300", "--idle", "300"]);
    let mut busy = service.connect();
    busy.ask("/stick");
    soon(|| (service.running() == 1).then_some(()));
    // Connections that are there before the signal.
    let (mut probe, mut release, began) = (service.connect(), service.connect(), Instant::now());
    service.signal("-TERM");
    let refused = soon(|| {
        probe.ask("/readyz");
        let answer = probe.answer().unwrap();
        (answer.status == 503).then_some(answer)
    });
    assert!(refused.close && refused.body.starts_with("stopped by a signal\n"), "{refused:?}");
    release.ask("/stick?release");
    let answer = release.answer().unwrap();
    assert_eq!((answer.close, &*answer.body), (true, "1 released\n"));
    let answer = busy.answer().unwrap();
    assert_eq!((answer.status, answer.close, &*answer.body), (200, true, "released\n"));
    // They hang up, as they were told.
    drop((busy, probe, release));
    assert_eq!(service.ended().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(300), "it waited for more than it had to");
    line_with(&service.said, &["1 requests answered, 0 given up"]);
    assert_eq!(TcpStream::connect(service.address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn j5_what_never_ends_is_named_at_the_deadline_and_the_exit_code_says_so() {
    let drain = Duration::from_secs(1);
    let mut service = Service::start(&["--chaos", "--drain", "1"]);
    assert_eq!(service.get("/work?ms=1").status, 200);
    let mut stuck = service.connect();
    stuck.ask("/stick");
    soon(|| (service.running() == 1).then_some(()));
    let began = Instant::now();
    service.signal("-TERM");
    assert_eq!(service.ended().code(), Some(1));
    assert!(began.elapsed() >= drain);
    let line = line_with(&service.complaints, &["1s to drain are over"]);
    assert!(line.contains("1 requests answered, 1 given up; worker "), "{line}");
    assert!(line.ends_with(" runs \"stick\""), "{line}");
    assert!(service.said.recv_timeout(PATIENCE).is_err(), "says that it drained");
}

#[test]
fn j5_a_second_signal_ends_it_at_once() {
    let mut service = Service::start(&["--chaos", "--drain", "600"]);
    let mut stuck = service.connect();
    stuck.ask("/stick");
    soon(|| (service.running() == 1).then_some(()));
    let mut probe = service.connect();
    service.signal("-TERM");
    // Two signals that come together may be delivered as one.
    soon(|| {
        probe.ask("/readyz");
        probe.answer().filter(|answer| answer.status == 503)
    });
    service.signal("-TERM");
    assert_eq!(service.ended().code(), Some(1));
    line_with(&service.complaints, &["interrupted while draining: 0 requests answered, 1 given up"]);
}

#[test]
fn j6_what_is_wrong_gets_its_status() {
    let service = Service::start(&[]);
    let long = format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}", "a".repeat(9_000));
    let rows: [(&str, u16); 8] = [
        ("nonsense\r\n\r\n", 400),
        ("GET /livez HTTP/1.1\r\n\r\n", 400),
        ("DELETE /sum HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        ("POST /sum HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n", 413),
        (&long, 431),
        ("POST /sum HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("GET /sum HTTP/1.0\r\n\r\n", 200),
    ];
    for (request, wanted) in rows {
        let mut client = service.connect();
        client.send(request.as_bytes());
        let answer = client.answer().unwrap();
        assert_eq!((answer.status, answer.close), (wanted, true), "{request:.60}");
    }
    let rows = [
        ("/", 404),
        ("/stick", 404),
        ("/stick?release", 404),
        ("/work?ms=x", 400),
        ("/work?name=%22", 400),
        ("/work?ms=0", 200),
        ("/livez?x", 200),
    ];
    // On one connection, and asked before the answer to the one before was read.
    let mut client = service.connect();
    rows.iter().for_each(|(target, _)| client.ask(target));
    for (target, wanted) in rows {
        assert_eq!(client.answer().unwrap().status, wanted, "{target}");
    }
    assert_eq!(service.get("/livez").status, 200);
}

#[test]
fn j6_clients_that_say_nothing_keep_no_probe_away() {
    let service = Service::start(&["--connections", "2", "--idle", "600"]);
    let silent = [service.connect(), service.connect()];
    // They have been accepted once the next is one too many.
    soon(|| (service.get("/work?ms=0").status == 503).then_some(()));
    for probe in ["/livez", "/readyz", "/metrics"] {
        let mut client = service.connect();
        client.ask(probe);
        let answer = client.answer().unwrap();
        assert_eq!((answer.status, answer.close), (200, true), "{probe}");
    }
    drop(silent);
    soon(|| (service.get("/work?ms=0").status == 200).then_some(()));
}

#[test]
fn what_the_command_line_gets_wrong_is_said_in_one_line() {
    let rows: [(&[&str], i32); 6] = [
        (&["--x"], 2),
        (&["--listen"], 2),
        (&["--listen", "here"], 2),
        (&["--threads", "0"], 2),
        (&["--drain", "NaN"], 2),
        (&["--listen", "127.0.0.1:0", "--stuck-after", "0.001", "--check", "86400", "--listen", "192.0.2.1:1"], 1),
    ];
    for (flags, code) in rows {
        let ended = Command::new(env!("CARGO_BIN_EXE_service")).args(flags).output().unwrap();
        assert_eq!(ended.status.code(), Some(code), "{flags:?}");
        assert!(
            ended.stdout.is_empty() && ended.stderr.iter().filter(|byte| **byte == b'\n').count() == 1,
            "{ended:?}"
        );
    }
}
