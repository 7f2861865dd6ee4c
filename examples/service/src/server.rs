//! Connections and what is asked on them.

use crate::options::Options;
use crate::watch;
use crate::wire::{self, BROKEN, BUSY, Connection, Method, NOT_FOUND, OK, Patience, Refusal, Request, Status};
use crate::work::{Busy, Work};
use fanpool::{Control, Input};
use metrics_exporter_prometheus::PrometheusHandle;
use std::net::TcpStream;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

const BAD: Status = Status(400, "Bad Request");
const LATE: Status = Status(504, "Gateway Timeout");

/// Places for connections beyond those of clients: there only `/livez`, `/readyz` and `/metrics` are answered, so that too many clients do
/// not look like a service that should be restarted.
pub(crate) const SPARE: usize = 8;

/// The longest that `/work` takes.
const LONGEST: u64 = 60_000;

#[derive(Default)]
pub(crate) struct Counters {
    /// Requests that were given to a pool, and those of them that were answered.
    accepted: AtomicU64,
    answered: AtomicU64,
    /// Requests for which there was no place.
    busy: AtomicU64,
    /// Answers to all requests for work, and those that blame the service.
    judged: AtomicU64,
    failed: AtomicU64,
}

impl Counters {
    fn load(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }

    pub(crate) fn answered(&self) -> u64 {
        Counters::load(&self.answered)
    }

    pub(crate) fn given_up(&self) -> u64 {
        let answered = self.answered();
        Counters::load(&self.accepted).saturating_sub(answered)
    }

    pub(crate) fn busy(&self) -> u64 {
        Counters::load(&self.busy)
    }

    /// Answers, and how many of them were errors.
    pub(crate) fn judged(&self) -> (u64, u64) {
        let failed = Counters::load(&self.failed);
        (Counters::load(&self.judged), failed)
    }

    fn judge(&self, Status(code, _): Status) {
        self.judged.fetch_add(1, Ordering::Relaxed);
        self.failed.fetch_add(u64::from(code >= 500), Ordering::Relaxed);
    }
}

/// A connection that was accepted.
pub(crate) struct Arrival {
    stream: TcpStream,
    /// It has one of the spare places.
    spare: bool,
}

/// What all connections share.
pub(crate) struct Server {
    pub(crate) work: Work,
    pub(crate) counters: Counters,
    /// When the signal came.
    pub(crate) stopped: OnceLock<Instant>,
    /// Of the service of connections, once that is there.
    pub(crate) connections: OnceLock<Control<'static>>,
    recorded: PrometheusHandle,
    patience: Patience,
    answer: Duration,
    places: usize,
    chaos: bool,
}

impl Server {
    pub(crate) fn new(work: Work, recorded: PrometheusHandle, options: &Options) -> Server {
        Server {
            work,
            counters: Counters::default(),
            stopped: OnceLock::new(),
            connections: OnceLock::new(),
            recorded,
            patience: Patience { idle: options.idle, request: Duration::from_secs(5) },
            answer: options.answer,
            places: options.connections,
            chaos: options.chaos,
        }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.get().is_some()
    }

    pub(crate) fn admit(&self, stream: TcpStream, connections: &Input<'_, Arrival>) {
        let spare = connections.control().in_flight() >= self.places;
        if let Err(refused) = connections.try_send(Arrival { stream, spare }) {
            wire::turn_away(refused.into_inner().stream);
        }
    }

    /// Serves a connection to its end.
    pub(crate) fn serve(&self, Arrival { stream, spare }: Arrival) {
        let patience = if spare { Patience { idle: Duration::from_secs(1), ..self.patience } } else { self.patience };
        let mut connection = Connection::new(stream, patience);
        loop {
            let request = match connection.request() {
                Ok(request) => request,
                Err(Refusal::Gone) => return,
                Err(Refusal::Answer(status)) => {
                    watch::count_answer(status.0);
                    let _ = connection.answer(Method::Get, status, "", false);
                    break;
                }
            };
            let (method, keep) = (request.method, request.keep);
            let answer = self.answer(request, spare);
            // Read last: a connection that is not told so has at least its idle time left.
            let keep = keep && !spare && !self.is_stopped();
            watch::count_answer(answer.status.0);
            let sent = connection.answer(method, answer.status, &answer.text, keep);
            // A client that has gone is no request that was given up.
            self.counters.answered.fetch_add(u64::from(answer.accepted), Ordering::Relaxed);
            if sent.is_err() {
                return;
            }
            if !keep {
                break;
            }
        }
        connection.hang_up();
    }

    fn answer(&self, request: Request, spare: bool) -> Answer {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        match path {
            "/livez" => self.probe(|health| health.is_live(), false),
            "/readyz" => self.probe(|health| health.is_ready(), self.is_stopped()),
            "/metrics" => Answer::plain(OK, self.scrape()),
            "/sum" | "/work" | "/stick" if spare => {
                self.counters.busy.fetch_add(1, Ordering::Relaxed);
                Answer::plain(BUSY, "too many connections\n".into())
            }
            "/sum" => self.work_for(|work| work.sum(request.body)),
            "/work" => match work(query) {
                Some((name, time)) => self.work_for(|work| work.wait_for(name, time)),
                None => Answer::plain(BAD, format!("/work?ms=0..={LONGEST}&name=letters-digits\n")),
            },
            "/stick" if self.chaos && query == "release" => {
                Answer::plain(OK, format!("{} released\n", self.work.release()))
            }
            "/stick" if self.chaos => self.work_for(Work::stick),
            _ => Answer::plain(NOT_FOUND, String::new()),
        }
    }

    fn probe(&self, good: impl Fn(&fanpool::Health) -> bool, stopped: bool) -> Answer {
        let checks = self.work.checks();
        let good = !stopped && checks.iter().all(|(_, health)| good(health));
        let stopped = if stopped { "stopped by a signal\n" } else { "" };
        let text: String = checks.iter().map(|(name, health)| format!("{name}: {health}\n")).collect();
        Answer::plain(if good { OK } else { BUSY }, format!("{stopped}{text}"))
    }

    fn scrape(&self) -> String {
        for metrics in self.work.metrics().into_iter().flatten() {
            metrics.publish();
        }
        if let Some(connections) = self.connections.get() {
            connections.metrics().publish();
        }
        self.recorded.render()
    }

    fn work_for(&self, begin: impl FnOnce(&Work) -> Result<Receiver<String>, Busy>) -> Answer {
        let (status, text, accepted) = match begin(&self.work) {
            Ok(answer) => {
                self.counters.accepted.fetch_add(1, Ordering::Relaxed);
                let (status, text) = match answer.recv_timeout(self.answer) {
                    Ok(text) => (OK, text),
                    // The task has panicked.
                    Err(RecvTimeoutError::Disconnected) => (BROKEN, String::new()),
                    Err(RecvTimeoutError::Timeout) => (LATE, format!("no answer in {:?}\n", self.answer)),
                };
                (status, text, true)
            }
            Err(Busy) => {
                self.counters.busy.fetch_add(1, Ordering::Relaxed);
                (BUSY, "too much in hand\n".into(), false)
            }
        };
        self.counters.judge(status);
        Answer { status, text, accepted }
    }
}

struct Answer {
    status: Status,
    text: String,
    /// It counts as answered once it is sent.
    accepted: bool,
}

impl Answer {
    fn plain(status: Status, text: String) -> Answer {
        Answer { status, text, accepted: false }
    }
}

/// The name of a dependency, and how long it takes.
fn work(query: &str) -> Option<(&str, Duration)> {
    let (mut name, mut ms) = ("dependency", 20);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=')? {
            ("ms", value) => ms = value.parse().ok().filter(|ms| *ms <= LONGEST)?,
            ("name", value) => name = value,
            _ => return None,
        }
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    ((1..=64).contains(&name.len()) && name.bytes().all(plain)).then(|| (name, Duration::from_millis(ms)))
}

#[cfg(test)]
mod tests {
    use super::work;
    use std::time::Duration;

    #[test]
    fn queries_are_read_as_the_table_says() {
        let rows = [
            ("", Some(("dependency", 20))),
            ("ms=0", Some(("dependency", 0))),
            ("name=db-1.x&ms=60000", Some(("db-1.x", 60_000))),
            ("ms=60001", None),
            ("ms=-1", None),
            ("ms", None),
            ("name=", None),
            ("name=a%20b", None),
            ("other=1", None),
        ];
        for (query, wanted) in rows {
            assert_eq!(work(query), wanted.map(|(name, ms)| (name, Duration::from_millis(ms))), "{query}");
        }
    }
}
