//! Decisions about what goes wrong: when to try again, whether to try at all, how often. No threads; whoever asks does the waiting.
//!
//! All of them read the time from a [`Clock`], so that a test can say what time it is.

mod breaker;
mod clock;
mod deadline;

pub use breaker::{
    BreakerChange, BreakerCounts, BreakerOpen, BreakerState, Breakers, CallError, CircuitBreaker,
    CircuitBreakerBuilder, Permit,
};
pub use clock::{Clock, ManualClock};
pub(crate) use clock::{Sleeper, later};
pub(crate) use deadline::Within;
pub use deadline::time_left;
