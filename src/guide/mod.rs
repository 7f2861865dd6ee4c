//! The guide: what to use when, what each part promises, and what to do when it goes wrong.
//!
//! | Chapter | It answers |
//! |---|---|
//! | [`choosing`] | Which verb for which work? |
//! | [`sizing`] | How many threads? |
//! | [`backpressure`] | What holds a fast producer back, and what bounds the memory? |
//! | [`ordering`] | What comes out in which order, and who is next? |
//! | [`failures`] | What happens when something fails, and who decides? |
//! | [`shutdown`] | How does it end, and what if something hangs? |
//! | [`observing`] | How do I see what it does, and who tells me when it does not? |
//! | [`testing`] | How do I test a program that is built on this? |
//! | [`sagas`] | How do I run transactions of several steps, and undo them? |
//! | [`migrating`] | I know another library: what is what here? |
//! | [`limits`] | What is it not for? |
//!
//! All examples run as tests. Where one needs a feature, its text says so.
//!
//! # The whole pattern in ten lines
//!
//! *Fan-out* spreads items over workers; *fan-in* collects what they return at one place.
//!
//! ```
//! use fanpool::FanOut;
//!
//! let (input, output) = FanOut::builder(|n: u64| if n == 13 { Err("unlucky") } else { Ok(n * n) })
//!     .workers(4) // the fan
//!     .window(64) // the most between sending and receiving
//!     .ordered() // outcomes in the order of sending
//!     .start()?;
//! let producer = std::thread::spawn(move || (0..100).try_for_each(|n| input.send(n).map(drop)));
//! let (squares, failed) = output.partition(); // the collector
//! assert_eq!((squares.len(), failed[0].0), (99, 13));
//! assert!(producer.join().unwrap().is_ok());
//! # Ok::<(), fanpool::BuildError>(())
//! ```
//!
//! # Fan-out and fan-in, concept by concept
//!
//! Where the pattern is taught, by channels and goroutines, these are its parts.
//!
//! | The concept | Here | Chapter |
//! |---|---|---|
//! | fan-out of one input to many workers | [`Pool::map`], [`FanOut`] | [`choosing`] |
//! | fan-in through one collector, results merged and ordered | [`Output`], [`Collector`] | [`ordering`] |
//! | many inputs, one output | clones of [`Input`], [`fan_in`], [`fan_in_by`] | [`backpressure`] |
//! | one output, several consumers | [`Output::tee`], [`Output::split_by`] | [`backpressure`] |
//! | static worker pool | [`Workers::Fixed`] | [`sizing`] |
//! | dynamic worker pool, adaptive scaling: minimum, maximum, threshold | [`Elastic`], [`Pool::resize`], [`Control::resize`] | [`sizing`] |
//! | number of workers for work that computes, waits, or both | [`Workers::CpuBound`], [`Workers::IoBound`], [`Workers::Mixed`] | [`sizing`] |
//! | distribution by priority | [`Priority`] | [`ordering`] |
//! | distribution by load, round robin, by key | [`Route`], [`FanOutBuilder::weigh`] | [`ordering`] |
//! | buffered channels | [`FanOutBuilder::window`] | [`backpressure`] |
//! | a control channel beside input and output | [`Control`]: pause, resume, resize, drain, stop | [`shutdown`] |
//! | a result that holds an error | [`Outcome`], [`TaskError`] | [`failures`] |
//! | errors aggregated | [`Errors`], [`OnError`] | [`failures`] |
//! | circuit breaker: closed, open, half-open | [`CircuitBreaker`], [`Breakers`] | [`failures`] |
//! | objects used again | [`ObjectPool`] | [`backpressure`] |
//! | throughput, latency, error rate, utilisation, queue length | [`Metrics`], [`Rates`] | [`observing`] |
//! | health checks | [`Health`] | [`observing`] |
//! | alerts with thresholds and notifiers | [`Monitor`], [`Rule`], [`Notifier`] | [`observing`] |
//! | worker life cycle | [`Builder::on_start`], [`Builder::on_stop`], [`Pool::shutdown`] | [`shutdown`] |
//!
//! # The usual mistakes
//!
//! | Mistake | What prevents it here |
//! |---|---|
//! | *Leaks*: a thread waits for ever on a channel that nobody closes | Scopes wait for their tasks; dropping a pool, or the output of a service with workers of its own, joins the threads. What is left to you: [`shutdown`] |
//! | *Deadlocks*: everybody waits for a full channel | Workers never block on a full queue, and whoever waits runs what it waits for. What is left to you: [`backpressure`] |
//! | *Races*: state shared without synchronisation | The compiler refuses it: closures are `Send` and `Sync` where they must be. Races in the order of steps: [`testing`] |
//! | *Exhaustion*: a thread for each item, a queue without an end | Pools have a size, services a window. A pool's own queue has no bound: [`backpressure`] |
//!
//! # What it is used for
//!
//! | Use | Take |
//! |---|---|
//! | files: resize images, parse, compress, hash | [`Pool::map`] with [`weigh`](crate::Map::weigh); `examples/checksum.rs`, `examples/wordcount.rs`, `pgz` in `examples/apps` |
//! | batches and migrations of large data | [`Pool::map`] with [`progress`](crate::Map::progress), or [`FanOut::builder_batch`] for bulk writes |
//! | requests to a server, uploads | a service with a small window and [`try_send`](crate::Input::try_send); `examples/service`, `http` in `examples/apps` |
//! | data from many sources, with retries | [`FanOutBuilder::retry`], [`rate_by`](crate::FanOutBuilder::rate_by), [`breaker_by`](crate::FanOutBuilder::breaker_by); `fetch` in `examples/apps` |
//! | one answer put together from several services | [`Pool::try_scope`] with an [`OnError`]; with second attempts and a quorum, a service with [`hedge_after`](crate::FanOutBuilder::hedge_after): `aggregate` in `examples/apps` |
//! | events and streams, in order for each key | [`FanOutBuilder::key`]; `examples/events.rs` |
//! | messages of a queue | [`connect`]; `examples/cluster` |
//!
//! # Beyond one process
//!
//! | Topic | What there is | What there is not |
//! |---|---|---|
//! | message queues | [`connect`]: Redis Streams, RabbitMQ, Kafka, at least once, with dead letters | exactly once, transactions over brokers |
//! | microservices | retries, budgets, breakers, rates, deadlines and hedges around calls; [`TraceParent`] | a client or a server for HTTP: bring yours, or see the examples |
//! | service mesh (Istio, Linkerd) | `traceparent` headers pass through; switch retries off on one side, or they multiply | any link to one |
//! | event sourcing, CQRS, sagas | a worked example on strands: [`sagas`] | an event store |
//! | serving of models, features, inference | [`FanOut::builder_batch`] gathers items until there are enough or the time is over; [`FanOut::builder_init`] keeps a model for each thread; [`FanOutBuilder::limit`] for devices | anything about models |
//! | Kubernetes | [`Health::is_live`] and [`Health::is_ready`] for probes, CPU quotas, an end within a deadline; the manifest in `examples/service` | a controller |
//! | scaling out | [`Metrics::oldest_wait`] as the signal of an autoscaler, in that manifest | decisions about machines |
//! | service discovery | | all of it: what a handler connects to is its own affair |
//! | publish and subscribe | [`Output::tee`] hands each outcome to a fixed number of consumers | topics and subscribers that come and go: take a broker |
//!
//! # How it is built
//!
//! The front page of the [crate] has a drawing of who knows whom, and `src/README.md` the way of a task through the modules.
//!
//! [`Breakers`]: crate::Breakers
//! [`Builder::on_start`]: crate::Builder::on_start
//! [`Builder::on_stop`]: crate::Builder::on_stop
//! [`CircuitBreaker`]: crate::CircuitBreaker
//! [`Collector`]: crate::Collector
//! [`Control`]: crate::Control
//! [`Control::resize`]: crate::Control::resize
//! [`Elastic`]: crate::Elastic
//! [`Errors`]: crate::Errors
//! [`FanOut`]: crate::FanOut
//! [`FanOut::builder_batch`]: crate::FanOut::builder_batch
//! [`FanOut::builder_init`]: crate::FanOut::builder_init
//! [`FanOutBuilder::key`]: crate::FanOutBuilder::key
//! [`FanOutBuilder::limit`]: crate::FanOutBuilder::limit
//! [`FanOutBuilder::retry`]: crate::FanOutBuilder::retry
//! [`FanOutBuilder::weigh`]: crate::FanOutBuilder::weigh
//! [`FanOutBuilder::window`]: crate::FanOutBuilder::window
//! [`Health`]: crate::Health
//! [`Health::is_live`]: crate::Health::is_live
//! [`Health::is_ready`]: crate::Health::is_ready
//! [`Input`]: crate::Input
//! [`Metrics`]: crate::Metrics
//! [`Metrics::oldest_wait`]: crate::Metrics::oldest_wait
//! [`Monitor`]: crate::Monitor
//! [`Notifier`]: crate::Notifier
//! [`ObjectPool`]: crate::ObjectPool
//! [`OnError`]: crate::OnError
//! [`Outcome`]: crate::Outcome
//! [`Output`]: crate::Output
//! [`Output::split_by`]: crate::Output::split_by
//! [`Output::tee`]: crate::Output::tee
//! [`Pool::map`]: crate::Pool::map
//! [`Pool::resize`]: crate::Pool::resize
//! [`Pool::shutdown`]: crate::Pool::shutdown
//! [`Pool::try_scope`]: crate::Pool::try_scope
//! [`Priority`]: crate::Priority
//! [`Rates`]: crate::Rates
//! [`Route`]: crate::Route
//! [`Rule`]: crate::Rule
//! [`TaskError`]: crate::TaskError
//! [`TraceParent`]: crate::trace::TraceParent
//! [`Workers::CpuBound`]: crate::Workers::CpuBound
//! [`Workers::Fixed`]: crate::Workers::Fixed
//! [`Workers::IoBound`]: crate::Workers::IoBound
//! [`Workers::Mixed`]: crate::Workers::Mixed
//! [`connect`]: crate::connect
//! [`fan_in`]: crate::fan_in
//! [`fan_in_by`]: crate::fan_in_by

pub mod backpressure;
pub mod choosing;
pub mod failures;
pub mod limits;
pub mod migrating;
pub mod observing;
pub mod ordering;
pub mod sagas;
pub mod shutdown;
pub mod sizing;
pub mod testing;
