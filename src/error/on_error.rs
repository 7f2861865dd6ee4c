//! What failures do to a run.

/// What the failures of a run do to the rest of it. A panic is a failure too.
///
/// # Examples
///
/// ```
/// use fanpool::{OnError, Pool};
///
/// let pool = Pool::new();
/// let run = |on_error| {
///     pool.try_scope(on_error, |s| {
///         for i in 0..100 {
///             s.spawn(move || if i % 2 == 0 { Ok(()) } else { Err(i) });
///         }
///     })
/// };
/// assert_eq!(run(OnError::CollectAll).unwrap_err().count(), 50);
/// assert!(run(OnError::FailFast).unwrap_err().count() <= 50);
/// assert!(run(OnError::Limit(50)).is_ok());
/// assert!(run(OnError::FirstSuccess).is_ok());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnError {
    /// The first failure ends the run: what has not started is dropped, what runs is waited for.
    FailFast,
    /// All tasks run. The run has failed if any has.
    CollectAll,
    /// So many failures are tolerated; the next ends the run. `Limit(0)` is `FailFast`.
    Limit(usize),
    /// More than so many percent of failures end the run: of what has ended so far, once that are at least `after`, and again of all at the
    /// end.
    Share {
        /// Up to so many of a hundred are tolerated.
        percent: u8,
        /// Before so many have ended the share says nothing.
        after: usize,
    },
    /// A race: the first success ends the run, and it has failed only if nothing succeeded.
    FirstSuccess,
}

/// How a run goes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) succeeded: usize,
    pub(crate) failed: usize,
}

impl OnError {
    /// Whether nothing more is started.
    pub(crate) fn is_over(self, tally: Tally) -> bool {
        match self {
            OnError::FailFast => tally.failed > 0,
            OnError::CollectAll => false,
            OnError::Limit(tolerated) => tally.failed > tolerated,
            OnError::Share { percent, after } => {
                tally.succeeded.saturating_add(tally.failed) >= after && tally.exceeds(percent)
            }
            OnError::FirstSuccess => tally.succeeded > 0,
        }
    }

    /// Whether a run that has ended like this has failed.
    pub(crate) fn is_lost(self, tally: Tally, cancelled: usize) -> bool {
        match self {
            OnError::FailFast | OnError::CollectAll => tally.failed > 0 || cancelled > 0,
            OnError::Limit(tolerated) => tally.failed > tolerated || cancelled > 0,
            OnError::Share { percent, .. } => tally.exceeds(percent) || cancelled > 0,
            OnError::FirstSuccess => tally.succeeded == 0,
        }
    }
}

impl Tally {
    fn exceeds(self, percent: u8) -> bool {
        self.failed as u128 * 100 > u128::from(percent) * (self.succeeded as u128 + self.failed as u128)
    }
}
