//! Histograms of times.

use std::fmt;
use std::time::Duration;

/// Buckets for each doubling: 2 to the power of this. So a bucket is at most a 64th of its values wide.
pub(super) const GROUPING: u8 = 6;
/// All of `u64`.
pub(super) const RANGE: u8 = 64;

/// How many times were recorded, and how long they were: to within a 64th, from a nanosecond to 584 years.
///
/// A time goes to one of 3,776 buckets. What a histogram answers is the upper end of a bucket: never less than the
/// exact answer, and more by less than 1.6 %. Times below 128 ns are exact. A histogram takes 30 KiB, whatever was
/// recorded.
///
/// # Examples
///
/// ```
/// use fanpool::{FanOut, Timings};
/// use std::time::Duration;
///
/// let (input, output) = FanOut::builder(|n: u32| Ok::<_, ()>(n)).timings(Timings::all()).start()?;
/// let control = input.control();
/// (0..100).try_for_each(|n| input.send(n).map(drop))?;
/// drop(input);
/// output.count();
/// let times = control.metrics().times.unwrap();
/// assert_eq!(times.run.count(), 100);
/// assert!(times.run.quantile(0.5) <= times.run.quantile(0.999));
/// assert!(times.run.quantile(0.999) <= times.run.max());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Histogram(pub(super) histogram::Histogram);

impl Histogram {
    /// How many were recorded.
    ///
    /// # Examples
    ///
    /// ```
    /// # let (input, _output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).timings(fanpool::Timings::all()).start()?;
    /// assert_eq!(input.control().metrics().times.unwrap().wait.count(), 0);
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.as_slice().iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The time that a share of `quantile` of all did not exceed: 0.5 is the median, 0.999 what all but one of a
    /// thousand kept to. `None` if nothing was recorded, or it is not from 0 to 1.
    ///
    /// # Examples
    ///
    /// ```
    /// # let (input, _output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).timings(fanpool::Timings::all()).start()?;
    /// assert_eq!(input.control().metrics().times.unwrap().wait.quantile(0.5), None);
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        let bucket = self.0.quantile_bucket(quantile).ok().flatten()?;
        Some(Duration::from_nanos(bucket.end()))
    }

    /// The longest, within the same error as the others.
    ///
    /// # Examples
    ///
    /// ```
    /// # let (input, _output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).timings(fanpool::Timings::all()).start()?;
    /// assert_eq!(input.control().metrics().times.unwrap().wait.max(), None);
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    #[must_use]
    pub fn max(&self) -> Option<Duration> {
        self.quantile(1.0)
    }

    /// The mean, from the middle of each bucket: within 0.8 %.
    ///
    /// # Examples
    ///
    /// ```
    /// # let (input, _output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).timings(fanpool::Timings::all()).start()?;
    /// assert_eq!(input.control().metrics().times.unwrap().wait.mean(), None);
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        let (mut sum, mut count) = (0.0, 0.0);
        for bucket in self.0.iter().filter(|bucket| bucket.count() > 0) {
            count += bucket.count() as f64;
            sum += bucket.count() as f64 * (bucket.start() as f64 / 2.0 + bucket.end() as f64 / 2.0);
        }
        if count > 0.0 { Duration::try_from_secs_f64(sum / count / 1e9).ok() } else { None }
    }

    /// What was recorded since `earlier`. Where that has more, nothing was.
    ///
    /// # Examples
    ///
    /// ```
    /// # let (input, _output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).timings(fanpool::Timings::all()).start()?;
    /// let times = input.control().metrics().times.unwrap();
    /// assert_eq!(times.wait.since(&times.wait).count(), 0);
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    #[must_use]
    pub fn since(&self, earlier: &Histogram) -> Histogram {
        let mut rest = self.clone();
        for (count, before) in rest.0.as_mut_slice().iter_mut().zip(earlier.0.as_slice()) {
            *count = count.saturating_sub(*before);
        }
        rest
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram")
            .field("count", &self.count())
            .field("p50", &self.quantile(0.5))
            .field("p99", &self.quantile(0.99))
            .field("max", &self.max())
            .finish_non_exhaustive()
    }
}

/// As `count`, and in seconds `mean_seconds`, `p50_seconds`, `p90_seconds`, `p95_seconds`, `p99_seconds`,
/// `p999_seconds` and `max_seconds`, which are absent if nothing was recorded.
#[cfg(feature = "serde")]
impl serde::Serialize for Histogram {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let times = [
            ("mean_seconds", self.mean()),
            ("p50_seconds", self.quantile(0.5)),
            ("p90_seconds", self.quantile(0.9)),
            ("p95_seconds", self.quantile(0.95)),
            ("p99_seconds", self.quantile(0.99)),
            ("p999_seconds", self.quantile(0.999)),
            ("max_seconds", self.max()),
        ];
        let present = times.iter().filter(|(_, time)| time.is_some()).count();
        let mut fields = serializer.serialize_struct("Histogram", 1 + present)?;
        fields.serialize_field("count", &self.count())?;
        for (name, time) in times {
            match time {
                Some(time) => fields.serialize_field(name, &time.as_secs_f64())?,
                None => fields.skip_field(name)?,
            }
        }
        fields.end()
    }
}

/// How long tasks waited, ran, and took in all. All three are of the same tasks, recorded when a task ends.
///
/// Of a pool: those that were run by whoever takes tasks from the queue, sampled as [`Timings`](crate::Timings) says.
/// Of a service: the items that the handler ended, with `Ok`, an error or a panic. Items that are done together,
/// because they are cheap, began when the first did, and share the time evenly. With retries, an item waits until its
/// last attempt begins. A batch runs as long as its handler.
///
/// # Examples
///
/// ```
/// # let (input, _output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n)).timings(fanpool::Timings::all()).start()?;
/// let times = input.control().metrics().times.unwrap();
/// assert_eq!((times.wait.count(), times.run.count(), times.total.count()), (0, 0, 0));
/// # Ok::<(), fanpool::BuildError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Histograms {
    /// From being accepted to being started.
    pub wait: Histogram,
    /// From being started to the end.
    pub run: Histogram,
    /// Both together.
    pub total: Histogram,
}

impl Histograms {
    pub(super) fn new(wait: Histogram, run: Histogram, total: Histogram) -> Histograms {
        Histograms { wait, run, total }
    }

    pub(super) fn since(&self, earlier: &Histograms) -> Histograms {
        Histograms {
            wait: self.wait.since(&earlier.wait),
            run: self.run.since(&earlier.run),
            total: self.total.since(&earlier.total),
        }
    }

    pub(super) fn each(&self) -> [(&'static str, &Histogram); 3] {
        [("wait", &self.wait), ("run", &self.run), ("total", &self.total)]
    }
}

#[cfg(all(test, not(fanpool_loom)))]
mod tests;
