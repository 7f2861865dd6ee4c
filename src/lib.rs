#![doc = include_str!("../README.md")]
//!
//! ## How it is built
//!
//! Every module knows only those in the rows below its own. Lines are the main arrows; what stands below the dots is used by all above.
//!
//! ```text
//!   connect                          items from a broker, results to one
//!      |
//!     fan         map                services; maps over iterators
//!        \       /
//!          pool                      threads and tickets, sizes, endings
//!         /    \
//!     join    try_scope              fork-join; scopes of tasks that may fail
//!       |         |
//!       |       scope                tasks that borrow
//!       |         |
//!       |       handle               the end of one task, for who waits for it
//!        \       /
//!          group                     a queue with a limit, and the helpers that it summons
//!            |
//!           job                      a closure, called once or dropped
//!  . . . . . . . . . . . . . .
//!  object_pool  observe  testing     buffers; figures, health and alerts; clocks and seeded runs
//!       resilience                   retries, breakers, rates: decisions without threads
//!   error   cancel   trace           what went wrong; tokens; what goes with a task to where it runs
//!         panics                     whatever catches
//!          sync                      threads, locks, atomics, channels: real ones, seeded ones, or loom's
//! ```
//!
//! A test reads the sources and this drawing, and fails when they differ.
#![deny(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod cancel;
mod error;
mod fan;
mod group;
mod handle;
mod job;
mod join;
mod map;
mod object_pool;
mod observe;
mod panics;
mod pool;
mod resilience;
mod scope;
mod sync;
mod try_scope;

pub mod connect;
// Prose: nothing of it gets into a program, nor into what the compiler reads of this crate.
#[cfg(any(doc, doctest))]
pub mod guide;
pub mod testing;
pub mod trace;

#[cfg(fanpool_loom)]
#[doc(hidden)]
pub mod model;

pub use cancel::CancelToken;
pub use error::{
    BuildError, Errors, GetError, JoinError, OnError, RecvError, Refused, RefusedReason, Rejection, ResizeError,
    SendError, SendReason, TaskError, TaskPanicked, WouldDeadlock,
};
pub use fan::{
    After, Alone, Branch, Collector, Control, FanIn, FanInBy, FanOut, FanOutBuilder, Feeder, Help, Input, Outcome,
    Output, Route, ServiceCounts, Source, Within, fan_in, fan_in_by,
};
pub use handle::{Handle, ScopedHandle};
pub use map::{Ending, Map, StopReason, Stoppable, Stopped, Stream, Whole};
pub use object_pool::{ObjectPool, ObjectPoolBuilder, ObjectStats, Pooled};
pub use observe::{
    Alert, AlertState, BrokerCounts, Health, Metrics, Monitor, MonitorBuilder, MonitorCounts, Notifier, NotifierCounts,
    Observed, Progress, Rates, Reason, RouteMetrics, Rule, RuleState, RuleStatus, Status, TaskCounts, WorkerCounts,
    WorkerMetrics, WorkerState,
};
#[cfg(feature = "timings")]
pub use observe::{Histogram, Histograms, Timings};
pub use panics::capture_panic_locations;
pub use pool::{
    Branches, Builder, BusyWorker, Counts, Elastic, Group, GroupBuilder, HealthCheck, MAX_WORKERS, Pool, Priority,
    Shutdown, Workers, blocking, current_worker,
};
pub use resilience::{
    BreakerChange, BreakerCounts, BreakerOpen, BreakerState, Breakers, CallError, CircuitBreaker,
    CircuitBreakerBuilder, Clock, Permit, RateLimit, RateLimitBuilder, RateLimited, RateLimits, Retry, RetryBudget,
    RetryError, RetryReason, time_left,
};
pub use scope::Scope;
pub use try_scope::TryScope;
