//! What tests of programs on this crate need: a clock that is set by hand and, with the feature `seeded`, runs that replay one
//! interleaving.

pub use crate::resilience::ManualClock;

#[cfg(all(feature = "seeded", not(fanpool_loom)))]
mod seeded;
#[cfg(all(feature = "seeded", not(fanpool_loom)))]
#[cfg_attr(docsrs, doc(cfg(feature = "seeded")))]
pub use seeded::{seeded, seeds, yield_now};
