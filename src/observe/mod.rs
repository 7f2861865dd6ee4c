//! What is seen of pools and services: plain values, which steer nothing.

mod monitor;

pub use monitor::{
    Alert, AlertState, Monitor, MonitorBuilder, MonitorCounts, Notifier, NotifierCounts, Rule, RuleState, RuleStatus,
};
