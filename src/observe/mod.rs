//! What is seen of pools and services: plain values, which steer nothing.
//!
//! A snapshot (`metrics`) is made by whoever knows the numbers, and from then on knows nobody. What is made of it lives
//! here: the differences of two (`rates`), a table (`table`), names for exporters (`export`). Times are recorded
//! (`recorder`) into atomics that no decision reads.

mod broker;
mod health;
mod metrics;
mod monitor;
mod progress;
mod rates;
mod table;
mod watch;

#[cfg(feature = "metrics")]
mod export;
#[cfg(feature = "timings")]
mod histogram;
#[cfg(feature = "timings")]
mod recorder;
#[cfg(feature = "serde")]
mod seconds;

pub use broker::BrokerCounts;
pub use health::{Health, Reason, Status};
#[cfg(feature = "timings")]
pub use histogram::{Histogram, Histograms};
pub use metrics::{Metrics, Observed, RouteMetrics, TaskCounts, WorkerCounts, WorkerMetrics, WorkerState};
pub use monitor::{
    Alert, AlertState, Monitor, MonitorBuilder, MonitorCounts, Notifier, NotifierCounts, Rule, RuleState, RuleStatus,
};
pub use progress::Progress;
pub use rates::Rates;
#[cfg(feature = "timings")]
pub use recorder::Timings;
#[cfg(feature = "timings")]
pub(crate) use recorder::{Recorder, Run};
pub(crate) use watch::{Growth, Still};
