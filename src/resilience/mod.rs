//! Decisions about what goes wrong: when to try again, whether to try at all, how often. No threads; whoever asks does the waiting.
//!
//! All of them read the time from a [`Clock`], so that a test can say what time it is.

mod clock;

pub use clock::{Clock, ManualClock};
#[expect(unused_imports, reason = "services use them")]
pub(crate) use clock::{Sleeper, later};
