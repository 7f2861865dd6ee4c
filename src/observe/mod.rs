//! What is seen of pools and services: plain values, which steer nothing.

mod health;
mod monitor;
mod watch;

pub use health::{Health, Reason, Status};
pub use monitor::{
    Alert, AlertState, Monitor, MonitorBuilder, MonitorCounts, Notifier, NotifierCounts, Rule, RuleState, RuleStatus,
};
pub(crate) use watch::{Growth, Still};
