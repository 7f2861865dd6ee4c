//! What tests of programs on this crate need: a clock that is set by hand.

pub use crate::resilience::ManualClock;
