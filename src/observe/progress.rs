//! How far something has come.

#[cfg(feature = "serde")]
use super::seconds;
use std::fmt;
use std::time::Duration;

/// How far a run has come: how much is done, at which rate, and how long the rest will take.
///
/// The rate is the mean of the whole life; [`Metrics::since`](crate::Metrics::since) has that of an interval.
///
/// # Examples
///
/// Of a service, from [`Control::progress`](crate::Control::progress); of a map, from what its report says:
///
/// ```
/// use fanpool::{Pool, Progress};
/// use std::time::Instant;
///
/// let began = Instant::now();
/// let pool = Pool::new();
/// let report = |done, total| eprintln!("{}", Progress::new(done, total, began.elapsed()));
/// pool.map(0..1000, |n| n).progress(report).count(); // 1000 of 1000, 412000/s, 0 s to go
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Progress {
    /// What has ended, in whatever way.
    pub done: u64,
    /// Of that, what did not succeed: failed, panicked, expired, rejected, cancelled or discarded.
    pub failed: u64,
    /// What was accepted and has not ended. Unlike [`Control::in_flight`](crate::Control::in_flight), without outcomes that wait to be taken.
    pub in_flight: u64,
    /// How much there will be in all, if that is known.
    pub total: Option<u64>,
    /// The time since the beginning.
    #[cfg_attr(feature = "serde", serde(rename = "elapsed_seconds", serialize_with = "seconds::of"))]
    pub elapsed: Duration,
    /// What was done, divided by that time, per second. Zero where no time has passed.
    pub rate: f64,
    /// How long the rest takes at that rate, if it can be told.
    #[cfg_attr(feature = "serde", serde(rename = "remaining_seconds", serialize_with = "seconds::maybe"))]
    pub remaining: Option<Duration>,
}

impl Progress {
    /// What follows from how much was done in which time.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::Progress;
    /// use std::time::Duration;
    ///
    /// let progress = Progress::new(30, Some(120), Duration::from_secs(10));
    /// assert_eq!((progress.rate, progress.remaining), (3.0, Some(Duration::from_secs(30))));
    /// assert_eq!(Progress::new(0, Some(120), Duration::ZERO).remaining, None);
    /// ```
    #[must_use]
    pub fn new(done: usize, total: Option<usize>, elapsed: Duration) -> Progress {
        Progress::of(done as u64, 0, 0, total.map(|total| total as u64), elapsed)
    }

    pub(crate) fn of(done: u64, failed: u64, in_flight: u64, total: Option<u64>, elapsed: Duration) -> Progress {
        let rate = per_second(done, elapsed);
        let remaining = total.and_then(|total| match total.saturating_sub(done) {
            0 => Some(Duration::ZERO),
            // Longer than a duration can be is not known.
            rest if rate > 0.0 => Duration::try_from_secs_f64(rest as f64 / rate).ok(),
            _ => None,
        });
        Progress { done, failed, in_flight, total, elapsed, rate, remaining }
    }

    /// How much of the total is done, from 0 to 1, if that is known. Of nothing, all is done.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::Progress;
    /// use std::time::Duration;
    ///
    /// assert_eq!(Progress::new(30, Some(120), Duration::from_secs(10)).fraction(), Some(0.25));
    /// assert_eq!(Progress::new(0, Some(0), Duration::ZERO).fraction(), Some(1.0));
    /// ```
    #[must_use]
    pub fn fraction(&self) -> Option<f64> {
        let of = |total| if self.done >= total { 1.0 } else { self.done as f64 / total as f64 };
        self.total.map(of)
    }
}

/// How often in a second. Zero where no time has passed.
pub(super) fn per_second(count: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { count as f64 / time.as_secs_f64() }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.done)?;
        if let Some(total) = self.total {
            write!(f, " of {total}")?;
        }
        if self.failed > 0 {
            write!(f, ", {} failed", self.failed)?;
        }
        write!(f, ", {}/s", Rate(self.rate))?;
        match self.remaining {
            Some(rest) => write!(f, ", {:.0} s to go", rest.as_secs_f64().ceil()),
            None => Ok(()),
        }
    }
}

/// A rate with about three digits.
pub(super) struct Rate(pub(super) f64);

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = if self.0 >= 100.0 {
            0
        } else if self.0 >= 10.0 {
            1
        } else {
            2
        };
        write!(f, "{:.digits$}", self.0)
    }
}
