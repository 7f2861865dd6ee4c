//! Decisions about what goes wrong: when to try again, whether to try at all, how often. No threads; whoever asks does the waiting.
//!
//! All of them read the time from a [`Clock`], so that a test can say what time it is.

mod backoff;
mod breaker;
mod budget;
mod clock;
mod deadline;
mod rate;
mod rates;
mod retry;

pub(crate) use breaker::{Answers, Ticket, Waiter};
pub use breaker::{
    BreakerChange, BreakerCounts, BreakerOpen, BreakerState, Breakers, CallError, CircuitBreaker,
    CircuitBreakerBuilder, Permit,
};
pub use budget::RetryBudget;
pub use clock::{Clock, ManualClock};
pub(crate) use clock::{Sleeper, later};
pub(crate) use deadline::Within;
pub use deadline::time_left;
pub use rate::{RateLimit, RateLimitBuilder, RateLimited};
pub use rates::RateLimits;
pub(crate) use retry::{Decision, Failure};
pub use retry::{Retry, RetryError, RetryReason};

use crate::sync::shared_keys;
use std::hash::{BuildHasher, Hash};

/// The number of a key in families of breakers and rates. Seeded once for the process, so that several services mean the same, and
/// nobody can choose keys that meet.
pub(crate) fn hash_of(key: &(impl Hash + ?Sized)) -> u64 {
    shared_keys().hash_one(key)
}
