//! How long the running handler may still take.

use super::clock::Clock;
use crate::sync::local;
use std::cell::RefCell;
use std::time::{Duration, Instant};

type Limit = RefCell<Option<(Instant, Clock)>>;

local! {
    static LIMIT: Limit = RefCell::new(None)
}

/// How long the handler that runs on this thread may still take: until the deadline of its item or of this attempt, whichever comes
/// first. Zero once that has passed; `None` if there is none, or no handler runs here.
///
/// # Examples
///
/// ```
/// use fanpool::FanOut;
/// use std::time::Duration;
///
/// let (input, mut output) = FanOut::builder(|()| Ok::<_, ()>(fanpool::time_left()))
///     .deadline(Duration::from_secs(60))
///     .start()?;
/// input.send(())?;
/// let left = output.recv()?.result.unwrap();
/// assert!(left.is_some_and(|left| left <= Duration::from_secs(60)));
/// assert_eq!(fanpool::time_left(), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn time_left() -> Option<Duration> {
    let left = |limit: &Limit| limit.borrow().as_ref().map(|(at, clock)| at.saturating_duration_since(clock.now()));
    LIMIT.try_with(left).ok().flatten()
}

/// Until this is dropped, what runs on this thread may take until then. Handlers nest where one helps another service.
pub(crate) struct Within(Option<(Instant, Clock)>);

impl Within {
    /// `None`: a handler without a limit, perhaps inside one that has.
    pub(crate) fn new(limit: Option<(Instant, Clock)>) -> Within {
        Within(set(limit))
    }
}

impl Drop for Within {
    fn drop(&mut self) {
        set(self.0.take());
    }
}

/// Sets the limit; returns the one before. Where the thread's locals are gone already there is none.
fn set(limit: Option<(Instant, Clock)>) -> Option<(Instant, Clock)> {
    LIMIT.try_with(|before| before.replace(limit)).ok().flatten()
}
