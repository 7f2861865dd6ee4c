//! What can be seen of a pool or a service while it works, and who tells when something is wrong.
//!
//! # The figures that matter
//!
//! | Figure | Where | Tells |
//! |---|---|---|
//! | throughput | [`Rates::throughput`] | tasks that a thread ran to an end, good or bad, per second |
//! | error rate | [`Rates::error_rate`] | the share of those that failed, panicked, expired or were rejected |
//! | utilisation | [`Rates::utilisation`] | the share of the workers' time that was spent on tasks |
//! | queue length | [`Metrics::queued`], [`Pool::queued`], [`Control::depth`] | what waits |
//! | the longest wait | [`Metrics::oldest_wait`] | how late the next one is: the best single sign of too few workers |
//! | latency | [`Outcome::queued`], [`Outcome::ran`] of each item; with the feature `timings`, `Metrics::times` with quantiles | waiting and running apart |
//! | in flight | [`Metrics::in_flight`] of [`Metrics::window`] | near the window: senders wait |
//! | retries, hedges, late answers | [`TaskCounts::retried`], [`TaskCounts::hedged`], [`TaskCounts::late`] | what failures cost |
//!
//! [`Pool::metrics`] and [`Control::metrics`] take a snapshot. Counters are always on. They never fall; [`Metrics::since`] makes rates of two
//! snapshots.
//!
//! ```
//! use fanpool::FanOut;
//!
//! let work = |n: u32| if n % 10 == 0 { Err("ten") } else { Ok(n) };
//! let (input, output) = FanOut::builder(work).name("checks").workers(2).start()?;
//! let control = input.control();
//! let before = control.metrics();
//! (0..100).try_for_each(|n| input.send(n).map(drop))?;
//! drop(input);
//! assert_eq!(output.count(), 100);
//!
//! let now = control.metrics();
//! assert_eq!((now.name.as_str(), now.queued, now.in_flight), ("checks", 0, Some(0)));
//! let rates = now.since(&before);
//! assert_eq!((rates.tasks.finished, rates.error_rate), (90, 0.1));
//! assert!(rates.throughput > 0.0 && (0.0..=1.0).contains(&rates.utilisation));
//! println!("{now}\n{rates}"); // A table, and a line.
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! How to read them together:
//!
//! | Queue | Utilisation | It is probably |
//! |---|---|---|
//! | grows | near 1, CPUs busy | too little capacity: more machines, less work |
//! | grows | near 1, CPUs idle | tasks that wait: more workers, [`blocking`](crate::blocking), or a slow peer |
//! | grows | low | a limit, a key with all the work, a pause, an open breaker: look at [`Metrics::put_off`], [`Metrics::routes`] and the health |
//! | empty | low | enough of everything |
//! | empty, window full | low | a consumer that does not take: [`Reason::NotCollected`] |
//!
//! # Histograms
//!
//! With the feature `timings`, a service or a pool records waiting, running and total times, of every item or of every *n*th. None by default. What a
//! histogram answers is within 1.6 % above the exact value.
//!
//! ```
//! # #[cfg(feature = "timings")] {
//! use fanpool::{FanOut, Timings};
//!
//! let (input, output) = FanOut::builder(|n: u32| Ok::<_, ()>(n)).timings(Timings::every(10)).start()?;
//! let control = input.control();
//! (0..100).try_for_each(|n| input.send(n).map(drop))?;
//! drop(input);
//! output.count();
//! let times = control.metrics().times.unwrap();
//! assert_eq!(times.run.count(), 10);
//! assert!(times.wait.quantile(0.5) <= times.wait.quantile(0.99));
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Health
//!
//! [`Pool::health`] and [`Control::health`] say `Healthy`, `Degraded` or `Unhealthy`, with [reasons](crate::Reason) that a person can act on: stuck tasks by
//! name, a queue that only grows, open breakers, missing threads, a collector that has stopped or does not take, a lost broker. A task is stuck after
//! 30 s unless [`stuck_after`](crate::Builder::stuck_after) says otherwise. Make a check every few seconds: what follows from the checks before is
//! remembered.
//!
//! For probes: [`is_live`](crate::Health::is_live) is false only where a restart is what helps (everything is stuck);
//! [`is_ready`](crate::Health::is_ready) is false while more work would not be started soon.
//!
//! # Alerts
//!
//! A [`Monitor`] looks at [`Rule`]s every second (by default). A rule is about any number, or about health. It fires once when the value has been
//! beyond its threshold for [`for_at_least`](crate::Rule::for_at_least) (at once by default), and is resolved once when it has been back at
//! [`clears_at`](crate::Rule::clears_at) for three looks (by default). So a value that flickers makes two alerts, not thousands. [`Notifier`]s are closures,
//! channels and logs. One that blocks or panics holds up nobody; up to 1,024 alerts wait for it.
//!
//! ```
//! use fanpool::{Monitor, Notifier, Rule, testing::ManualClock};
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
//! use std::sync::mpsc;
//! use std::time::Duration;
//!
//! let clock = ManualClock::new();
//! let queue = Arc::new(AtomicU32::new(0)); // In a program: a pool's `queued`, a service's error rate.
//! let watched = queue.clone();
//! let rule = Rule::new("queue", move || f64::from(watched.load(Relaxed)))
//!     .above(100.0)
//!     .clears_at(50.0)
//!     .for_at_least(Duration::from_secs(2));
//! let (tell, told) = mpsc::channel();
//! let monitor = Monitor::builder()
//!     .rule(rule)
//!     .notify(Notifier::new(move |alert| tell.send(alert.state.to_string()).unwrap()))
//!     .clock(&clock)
//!     .start()?;
//!
//! // Over the threshold and back, for long and for short.
//! for value in [500, 0, 500, 500, 500, 90, 500, 40, 40, 40, 40, 0] {
//!     queue.store(value, Relaxed);
//!     clock.advance(Duration::from_secs(1)); // One look.
//! }
//! assert!(monitor.flush(Duration::from_secs(60)));
//! assert_eq!(told.try_iter().collect::<Vec<_>>(), ["firing", "resolved"]);
//! # Ok::<(), fanpool::BuildError>(())
//! ```
//!
//! [`Rule::counter_rate`] is for counters, such as errors per second. [`Rule::health`] is a watchdog: two alerts for each stuck task. To watch a pool, give
//! it a [`HealthCheck`], which keeps nothing running.
//!
//! # Progress
//!
//! A map calls [`progress`](crate::Map::progress) on the calling thread, at most ten times a second and once more when all is delivered. A service has
//! [`Control::progress`]; say [`expect_items`](crate::Control::expect_items) and it tells how long the rest takes.
//!
//! ```
//! use fanpool::{FanOut, Pool};
//!
//! let mut last = (0, None);
//! Pool::new().map(0..500, |n| n).progress(|done, total| last = (done, total)).count();
//! assert_eq!(last, (500, Some(500)));
//!
//! let (input, mut output) = FanOut::builder(|n: u32| Ok::<_, ()>(n)).expect_items(4).start()?;
//! input.send(1)?;
//! output.recv()?;
//! assert_eq!(output.control().progress().fraction(), Some(0.25));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Exporters
//!
//! | Feature | What it adds |
//! |---|---|
//! | `metrics` | `Metrics::publish` hands a snapshot to the facade of that name, and through it to any exporter (Prometheus, StatsD); call it now and then. `Metrics::names` lists the families |
//! | `serde` | snapshots, rates and health can be serialised; durations are numbers of seconds, by names that end in `_seconds` |
//! | `timings` | histograms in snapshots, rates and what is published |
//! | `tracing` | spans and events |
//!
//! All are off by default.
//!
//! # Traces
//!
//! With the feature `tracing`, the span of a task, of a batch of a map, or of an attempt at an item is a child of the span from where it was submitted,
//! whichever thread runs it. [`trace`](crate::trace) lists spans, fields and events. Over the network a trace travels in the header
//! `traceparent`, which [`TraceParent`] reads and writes with or without the feature.
//!
//! ```
//! use fanpool::trace::TraceParent;
//!
//! let incoming: TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse()?;
//! let outgoing = incoming.child();
//! assert_eq!(outgoing.trace_id(), incoming.trace_id());
//! assert!(outgoing.to_string().starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
//! # Ok::<(), fanpool::trace::TraceParentError>(())
//! ```
//!
//! [`Control::depth`]: crate::Control::depth
//! [`Control::health`]: crate::Control::health
//! [`Control::metrics`]: crate::Control::metrics
//! [`Control::progress`]: crate::Control::progress
//! [`HealthCheck`]: crate::HealthCheck
//! [`Metrics::in_flight`]: crate::Metrics::in_flight
//! [`Metrics::oldest_wait`]: crate::Metrics::oldest_wait
//! [`Metrics::put_off`]: crate::Metrics::put_off
//! [`Metrics::queued`]: crate::Metrics::queued
//! [`Metrics::routes`]: crate::Metrics::routes
//! [`Metrics::since`]: crate::Metrics::since
//! [`Metrics::window`]: crate::Metrics::window
//! [`Monitor`]: crate::Monitor
//! [`Notifier`]: crate::Notifier
//! [`Outcome::queued`]: crate::Outcome::queued
//! [`Outcome::ran`]: crate::Outcome::ran
//! [`Pool::health`]: crate::Pool::health
//! [`Pool::metrics`]: crate::Pool::metrics
//! [`Pool::queued`]: crate::Pool::queued
//! [`Rates::error_rate`]: crate::Rates::error_rate
//! [`Rates::throughput`]: crate::Rates::throughput
//! [`Rates::utilisation`]: crate::Rates::utilisation
//! [`Reason::NotCollected`]: crate::Reason::NotCollected
//! [`Rule`]: crate::Rule
//! [`Rule::counter_rate`]: crate::Rule::counter_rate
//! [`Rule::health`]: crate::Rule::health
//! [`TaskCounts::hedged`]: crate::TaskCounts::hedged
//! [`TaskCounts::late`]: crate::TaskCounts::late
//! [`TaskCounts::retried`]: crate::TaskCounts::retried
//! [`TraceParent`]: crate::trace::TraceParent
