//! What is told about the service: `/metrics`, and alerts on standard error.

use crate::options::{Failure, Options};
use crate::server::Server;
use fanpool::{Metrics, Monitor, Notifier, Rule};
use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Looks that a rule about an interval looks back.
const LOOKS: usize = 10;
/// With fewer answers than this in the interval nothing is said about their share of errors.
const FEW: u64 = 20;

const QUEUE_WAIT: &str = "service_queue_wait_seconds";
const REQUESTS: &str = "service_requests_total";

/// Has the facade `metrics` keep what it is told for `/metrics`.
pub(crate) fn install() -> Result<PrometheusHandle, Failure> {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|_| Failure::Recorder)?;
    Metrics::describe();
    let text = "How long requests of the last looks waited for a thread, at the 90th percentile, or what is next has waited if that is longer.";
    describe_gauge!(QUEUE_WAIT, Unit::Seconds, text);
    describe_counter!(REQUESTS, Unit::Count, "Answers, by status.");
    Ok(handle)
}

pub(crate) fn count_answer(status: u16) {
    counter!(REQUESTS, "status" => status.to_string()).increment(1);
}

/// Rules about the service; it is not kept alive by them.
pub(crate) fn monitor(server: &Arc<Server>, options: &Options) -> Result<Monitor, Failure> {
    let every = options.check;
    let patience = every * 5;
    let of = |server: &Arc<Server>| Arc::downgrade(server);
    let waits = {
        let (server, mut past) = (of(server), VecDeque::new());
        let read = move || {
            let wait = queue_wait(&mut past, server.upgrade()?.work.metrics().into_iter().flatten().collect());
            gauge!(QUEUE_WAIT).set(wait);
            Some(wait)
        };
        Rule::new("queue wait in seconds", read).above(0.1).clears_at(0.05).for_at_least(patience)
    };
    let errors = {
        let (server, mut past) = (of(server), VecDeque::new());
        let read = move || error_share(&mut past, server.upgrade()?.counters.judged());
        Rule::new("share of requests that failed", read).above(0.05).clears_at(0.01).for_at_least(patience)
    };
    let live = {
        let server = of(server);
        let read = move || Some(f64::from(u8::from(!is_live(&server)?)));
        Rule::new("not live", read).above(0.5)
    };
    let blocking = server.work.health_check();
    let sums = server.work.sums();
    let monitor = Monitor::builder()
        .every(every)
        .rule(waits)
        .rule(errors)
        .rule(live)
        .rule(Rule::health("blocking", move || blocking.health()))
        .rule(Rule::health("sums", move || sums.health()))
        .notify(Notifier::line(io::stderr()))
        .start()?;
    Ok(monitor)
}

fn is_live(server: &Weak<Server>) -> Option<bool> {
    Some(server.upgrade()?.work.checks().iter().all(|(_, health)| health.is_live()))
}

/// Remembers `now`, and returns what was so many looks ago.
fn look_back<T>(past: &mut VecDeque<T>, now: T) -> Option<&T> {
    past.push_back(now);
    if past.len() > LOOKS + 1 {
        past.pop_front();
    }
    past.front()
}

fn queue_wait(past: &mut VecDeque<Vec<Metrics>>, now: Vec<Metrics>) -> f64 {
    let before = look_back(past, now.clone());
    let waits = now.iter().enumerate().map(|(at, now)| {
        let rates = before.and_then(|before| before.get(at)).map(|before| now.since(before));
        let ended = rates.and_then(|rates| rates.times?.wait.quantile(0.9));
        ended.max(now.oldest_wait).unwrap_or_default()
    });
    waits.max().unwrap_or(Duration::ZERO).as_secs_f64()
}

/// Of answers, and of those that blame the service.
fn error_share(past: &mut VecDeque<(u64, u64)>, now: (u64, u64)) -> Option<f64> {
    let (answers, errors) = *look_back(past, now)?;
    let (answers, errors) = (now.0.saturating_sub(answers), now.1.saturating_sub(errors));
    (answers >= FEW).then(|| errors as f64 / answers as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_errors_is_that_of_the_last_looks() {
        let mut past = VecDeque::new();
        assert_eq!(error_share(&mut past, (100, 50)), None);
        assert_eq!(error_share(&mut past, (119, 60)), None);
        assert_eq!(error_share(&mut past, (120, 60)), Some(0.5));
        for _ in 0..LOOKS {
            error_share(&mut past, (200, 60));
        }
        assert_eq!(error_share(&mut past, (220, 65)), Some(0.25));
        assert_eq!(past.len(), LOOKS + 1);
    }
}
