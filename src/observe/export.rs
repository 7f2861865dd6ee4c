//! Snapshots for the facade `metrics`, and through it for any exporter.

use super::{BrokerCounts, Metrics};
use metrics::{Label, SharedString, Unit, counter, describe_counter, describe_gauge, gauge};
#[cfg(feature = "timings")]
use std::time::Duration;

/// How a family is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
}

/// Each family with its kind, its unit if that is a time, and what it means.
const FAMILIES: &[(&str, Kind, Unit, &str)] = &[
    ("fanpool_tasks_total", Kind::Counter, Unit::Count, "Tasks or items that ended, by outcome."),
    ("fanpool_accepted_total", Kind::Counter, Unit::Count, "Tasks or items that were taken in."),
    ("fanpool_refused_total", Kind::Counter, Unit::Count, "Submissions that were handed back."),
    ("fanpool_retries_total", Kind::Counter, Unit::Count, "Attempts beyond the first."),
    ("fanpool_hedges_total", Kind::Counter, Unit::Count, "Second attempts made because the first took long."),
    ("fanpool_late_total", Kind::Counter, Unit::Count, "Attempts whose answer came when there was one already."),
    ("fanpool_contained_panics_total", Kind::Counter, Unit::Count, "Panics of functions that decide or observe."),
    ("fanpool_undelivered_total", Kind::Counter, Unit::Count, "Outcomes that nobody took."),
    ("fanpool_queued", Kind::Gauge, Unit::Count, "Tasks or items that wait to be started."),
    ("fanpool_running", Kind::Gauge, Unit::Count, "Threads that run tasks."),
    ("fanpool_put_off", Kind::Gauge, Unit::Count, "Items that must not be started yet; part of fanpool_queued."),
    ("fanpool_in_flight", Kind::Gauge, Unit::Count, "Items of a service between sending and receiving."),
    ("fanpool_window", Kind::Gauge, Unit::Count, "The most that fanpool_in_flight may be."),
    (
        "fanpool_oldest_wait_seconds",
        Kind::Gauge,
        Unit::Seconds,
        "How long what is next has waited; 0 if nothing waits.",
    ),
    ("fanpool_workers", Kind::Gauge, Unit::Count, "Workers by state."),
    ("fanpool_workers_min", Kind::Gauge, Unit::Count, "The least number of workers."),
    ("fanpool_workers_max", Kind::Gauge, Unit::Count, "The greatest number of workers."),
    ("fanpool_callers", Kind::Gauge, Unit::Count, "Threads that are no workers and run tasks while they wait."),
    ("fanpool_threads_refused_total", Kind::Counter, Unit::Count, "Threads that an elastic pool asked for in vain."),
    ("fanpool_worker_tasks_total", Kind::Counter, Unit::Count, "Tasks or items that a worker ran to an end."),
    (
        "fanpool_worker_busy_seconds",
        Kind::Gauge,
        Unit::Seconds,
        "Time that a worker spent on tasks; rises like a counter.",
    ),
    ("fanpool_route_queued", Kind::Gauge, Unit::Count, "Items that wait in one queue of a service."),
    ("fanpool_route_running", Kind::Gauge, Unit::Count, "Threads that serve one queue of a service."),
    ("fanpool_route_load", Kind::Gauge, Unit::Count, "The weight of what waits and runs in one queue of a service."),
    (
        "fanpool_broker_messages_total",
        Kind::Counter,
        Unit::Count,
        "Messages of a broker that were settled, by outcome.",
    ),
    ("fanpool_broker_redelivered_total", Kind::Counter, Unit::Count, "Messages that had been delivered before."),
    ("fanpool_broker_published_total", Kind::Counter, Unit::Count, "Results that were sent and confirmed."),
    ("fanpool_broker_dead_lettered_total", Kind::Counter, Unit::Count, "Failed messages that were sent and confirmed."),
    ("fanpool_broker_discarded_total", Kind::Counter, Unit::Count, "Failed messages that were dropped."),
    ("fanpool_broker_reconnects_total", Kind::Counter, Unit::Count, "Connections that were there again."),
    ("fanpool_broker_in_hand", Kind::Gauge, Unit::Count, "Messages delivered and not settled."),
    ("fanpool_broker_lag", Kind::Gauge, Unit::Count, "Messages that wait at the broker."),
    #[cfg(feature = "timings")]
    ("fanpool_wait_seconds", Kind::Gauge, Unit::Seconds, "Quantiles of the time from being accepted to being started."),
    #[cfg(feature = "timings")]
    ("fanpool_run_seconds", Kind::Gauge, Unit::Seconds, "Quantiles of the time from being started to the end."),
    #[cfg(feature = "timings")]
    ("fanpool_total_seconds", Kind::Gauge, Unit::Seconds, "Quantiles of the time from being accepted to the end."),
    #[cfg(feature = "timings")]
    ("fanpool_timed_total", Kind::Counter, Unit::Count, "Tasks or items whose times were recorded."),
];

/// The quantiles that are set, as they are written in the label; 1 is the maximum.
#[cfg(feature = "timings")]
const QUANTILES: [(&str, f64); 6] =
    [("0.5", 0.5), ("0.9", 0.9), ("0.95", 0.95), ("0.99", 0.99), ("0.999", 0.999), ("1", 1.0)];

/// # Export
///
/// With the feature `metrics`, through the facade of that name; `metrics-exporter-prometheus` and others then work as
/// they are. Every family has the label `pool` or `service` with the name; names go through as they are, and it is the
/// exporter who escapes them.
///
/// | family | kind | further labels | set |
/// |---|---|---|---|
/// | `fanpool_tasks_total` | counter | `outcome`: `finished`, `failed`, `panicked`, `expired`, `rejected`, `cancelled`, `discarded` | always |
/// | `fanpool_accepted_total`, `fanpool_refused_total`, `fanpool_retries_total`, `fanpool_hedges_total`, `fanpool_late_total`, `fanpool_contained_panics_total`, `fanpool_undelivered_total` | counter | | always |
/// | `fanpool_queued`, `fanpool_running`, `fanpool_put_off` | gauge | | always |
/// | `fanpool_in_flight`, `fanpool_window` | gauge | | of services |
/// | `fanpool_oldest_wait_seconds` | gauge | | always; 0 if nothing waits |
/// | `fanpool_workers` | gauge | `state`: `starting`, `idle`, `busy`, `blocked`, `leaving` | always |
/// | `fanpool_workers_min`, `fanpool_workers_max`, `fanpool_callers` | gauge | | always |
/// | `fanpool_threads_refused_total` | counter | | always |
/// | `fanpool_worker_tasks_total` | counter | `worker`: the index | for each worker |
/// | `fanpool_worker_busy_seconds` | gauge, since the facade's counters are whole numbers | `worker` | for each worker |
/// | `fanpool_route_queued`, `fanpool_route_running`, `fanpool_route_load` | gauge | `route`: the index | for each route; the load with `LeastLoaded` |
/// | `fanpool_broker_messages_total` | counter | `outcome`: `acknowledged`, `handed_back`, `late`, `unsettled` | of consumers |
/// | `fanpool_broker_redelivered_total`, `fanpool_broker_published_total`, `fanpool_broker_dead_lettered_total`, `fanpool_broker_discarded_total`, `fanpool_broker_reconnects_total` | counter | | of consumers |
/// | `fanpool_broker_in_hand`, `fanpool_broker_lag` | gauge | | of consumers; the lag where the broker tells |
/// | `fanpool_wait_seconds`, `fanpool_run_seconds`, `fanpool_total_seconds` | gauge | `quantile`: `0.5`, `0.9`, `0.95`, `0.99`, `0.999`, `1` | with timings, once there are any |
/// | `fanpool_timed_total` | counter | | with timings |
///
/// Quantiles are gauges that were computed here, not histograms of the facade: those keep every sample until they are
/// rendered. They are of the whole life; of an interval, [`since`](Metrics::since) has them.
impl Metrics {
    /// The names of all families that [`publish`](Metrics::publish) may set.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(fanpool::Metrics::names().any(|name| name == "fanpool_tasks_total"));
    /// ```
    pub fn names() -> impl Iterator<Item = &'static str> {
        FAMILIES.iter().map(|(name, ..)| *name)
    }

    /// Tells the recorder of the facade what each family means, and its unit. Once, after the recorder was installed.
    ///
    /// # Examples
    ///
    /// ```
    /// fanpool::Metrics::describe();
    /// ```
    pub fn describe() {
        for (name, kind, unit, text) in FAMILIES {
            match kind {
                Kind::Counter => describe_counter!(*name, *unit, *text),
                Kind::Gauge => describe_gauge!(*name, *unit, *text),
            }
        }
    }

    /// Sets everything in the facade `metrics`: counters to what they have come to, gauges to what they are. Call it as
    /// often as the numbers are to be fresh, or whenever they are asked for. A recorder that panics panics here, in the
    /// caller.
    ///
    /// # Examples
    ///
    /// ```
    /// let (input, output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).start()?;
    /// input.control().metrics().publish();
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn publish(&self) {
        let sink = Sink { key: self.of.name(), name: self.name.clone().into() };
        let tasks = &self.tasks;
        for (outcome, count) in tasks.outcomes() {
            sink.count("fanpool_tasks_total", Some(("outcome", outcome.into())), count);
        }
        sink.count("fanpool_accepted_total", None, tasks.accepted);
        sink.count("fanpool_refused_total", None, tasks.refused);
        sink.count("fanpool_retries_total", None, tasks.retried);
        sink.count("fanpool_hedges_total", None, tasks.hedged);
        sink.count("fanpool_late_total", None, tasks.late);
        sink.count("fanpool_contained_panics_total", None, tasks.contained);
        sink.count("fanpool_undelivered_total", None, tasks.undelivered);
        sink.set("fanpool_queued", None, self.queued as f64);
        sink.set("fanpool_running", None, self.running as f64);
        sink.set("fanpool_put_off", None, self.put_off as f64);
        if let (Some(in_flight), Some(window)) = (self.in_flight, self.window) {
            sink.set("fanpool_in_flight", None, in_flight as f64);
            sink.set("fanpool_window", None, window as f64);
        }
        sink.set("fanpool_oldest_wait_seconds", None, self.oldest_wait.unwrap_or_default().as_secs_f64());
        for (state, count) in self.workers.states() {
            sink.set("fanpool_workers", Some(("state", state.into())), count as f64);
        }
        sink.set("fanpool_workers_min", None, self.workers.min as f64);
        sink.set("fanpool_workers_max", None, self.workers.max as f64);
        sink.set("fanpool_callers", None, self.workers.callers as f64);
        sink.count("fanpool_threads_refused_total", None, self.workers.refused as u64);
        for worker in &self.per_worker {
            let index = || Some(("worker", worker.index.to_string().into()));
            sink.count("fanpool_worker_tasks_total", index(), worker.ran);
            sink.set("fanpool_worker_busy_seconds", index(), worker.busy.as_secs_f64());
        }
        for (at, route) in self.routes.iter().enumerate() {
            let index = || Some(("route", at.to_string().into()));
            sink.set("fanpool_route_queued", index(), route.queued as f64);
            sink.set("fanpool_route_running", index(), route.running as f64);
            if let Some(load) = route.load {
                sink.set("fanpool_route_load", index(), load as f64);
            }
        }
        if let Some(broker) = &self.broker {
            Self::publish_broker(&sink, broker);
        }
        #[cfg(feature = "timings")]
        self.publish_times(&sink);
    }

    fn publish_broker(sink: &Sink, broker: &BrokerCounts) {
        for (outcome, count) in broker.outcomes() {
            sink.count("fanpool_broker_messages_total", Some(("outcome", outcome.into())), count);
        }
        sink.count("fanpool_broker_redelivered_total", None, broker.redelivered);
        sink.count("fanpool_broker_published_total", None, broker.published);
        sink.count("fanpool_broker_dead_lettered_total", None, broker.dead_lettered);
        sink.count("fanpool_broker_discarded_total", None, broker.discarded);
        sink.count("fanpool_broker_reconnects_total", None, broker.reconnects);
        sink.set("fanpool_broker_in_hand", None, broker.in_hand as f64);
        broker.lag.into_iter().for_each(|lag| sink.set("fanpool_broker_lag", None, lag as f64));
    }

    #[cfg(feature = "timings")]
    fn publish_times(&self, sink: &Sink) {
        let Some(times) = &self.times else { return };
        for (name, histogram) in times.each() {
            let family = match name {
                "wait" => "fanpool_wait_seconds",
                "run" => "fanpool_run_seconds",
                _ => "fanpool_total_seconds",
            };
            for (label, quantile) in QUANTILES {
                let time = histogram.quantile(quantile).map(|time: Duration| time.as_secs_f64());
                time.into_iter().for_each(|time| sink.set(family, Some(("quantile", label.into())), time));
            }
        }
        sink.count("fanpool_timed_total", None, times.total.count());
    }
}

/// Sets families of one pool or service.
struct Sink {
    key: &'static str,
    name: SharedString,
}

impl Sink {
    fn labels(&self, further: Option<(&'static str, SharedString)>) -> Vec<Label> {
        let further = further.map(|(key, value)| Label::new(key, value));
        [Label::new(self.key, self.name.clone())].into_iter().chain(further).collect()
    }

    fn count(&self, family: &'static str, further: Option<(&'static str, SharedString)>, value: u64) {
        counter!(family, self.labels(further)).absolute(value);
    }

    fn set(&self, family: &'static str, further: Option<(&'static str, SharedString)>, value: f64) {
        gauge!(family, self.labels(further)).set(value);
    }
}
