//! What has happened between two snapshots.

#[cfg(feature = "timings")]
use super::histogram::Histograms;
use super::progress::{Rate, per_second};
#[cfg(feature = "serde")]
use super::seconds;
use super::{Metrics, TaskCounts};
use std::fmt;
use std::time::Duration;

/// What has happened between two snapshots; made by [`Metrics::since`].
///
/// No field is ever NaN or infinite. Where no time has passed, or the snapshots are in the wrong order, rates are zero.
///
/// # Examples
///
/// ```
/// let (input, output) = fanpool::FanOut::builder(|n: u8| if n == 0 { Err("zero") } else { Ok(n) }).start()?;
/// let control = input.control();
/// let before = control.metrics();
/// (0..4).try_for_each(|n| input.send(n).map(drop))?;
/// drop(input);
/// output.count();
/// let rates = control.metrics().since(&before);
/// assert_eq!((rates.tasks.finished, rates.error_rate), (3, 0.25));
/// println!("{rates}"); // 4 in 0.001 s: 2734/s, errors 25.0 %, utilisation 3.1 %
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Rates {
    /// The time between the two.
    #[cfg_attr(feature = "serde", serde(rename = "elapsed_seconds", serialize_with = "seconds::of"))]
    pub elapsed: Duration,
    /// What was added to the counts.
    pub tasks: TaskCounts,
    /// Tasks per second that a thread ran to an end, good or bad.
    pub throughput: f64,
    /// Of the tasks that finished, failed, panicked, expired or were rejected, the share of those that did not finish:
    /// 0 to 1, and 0 if there were none.
    pub error_rate: f64,
    /// The share of the workers' time that was spent on tasks: 0 to 1. The workers are those of the later snapshot.
    pub utilisation: f64,
    /// Times of the tasks that ended meanwhile, where they are recorded.
    #[cfg(feature = "timings")]
    pub times: Option<Histograms>,
}

impl Rates {
    pub(super) fn between(earlier: &Metrics, later: &Metrics) -> Rates {
        let elapsed = later.at.saturating_duration_since(earlier.at);
        let tasks = later.tasks.since(&earlier.tasks);
        let bad = tasks.unsuccessful();
        // Summed as floating-point numbers, which do not overflow.
        let judged = bad as f64 + tasks.finished as f64;
        Rates {
            elapsed,
            tasks,
            throughput: per_second(tasks.ran(), elapsed),
            error_rate: if bad == 0 { 0.0 } else { (bad as f64 / judged).clamp(0.0, 1.0) },
            utilisation: utilisation(earlier, later, elapsed),
            #[cfg(feature = "timings")]
            times: later.times.as_ref().map(|times| match &earlier.times {
                Some(before) => times.since(before),
                None => times.clone(),
            }),
        }
    }
}

fn utilisation(earlier: &Metrics, later: &Metrics, elapsed: Duration) -> f64 {
    let before = |index| earlier.per_worker.iter().find(|worker| worker.index == index).map(|worker| worker.busy);
    let busy = later.per_worker.iter().map(|worker| {
        let before = before(worker.index).unwrap_or_default();
        worker.busy.saturating_sub(before).min(elapsed).as_secs_f64()
    });
    let busy: f64 = busy.sum();
    let available = elapsed.as_secs_f64() * later.workers.total().max(1) as f64;
    if available > 0.0 { (busy / available).clamp(0.0, 1.0) } else { 0.0 }
}

impl fmt::Display for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} in {:.3} s: {}/s, errors {:.1} %, utilisation {:.1} %",
            self.tasks.ran(),
            self.elapsed.as_secs_f64(),
            Rate(self.throughput),
            100.0 * self.error_rate,
            100.0 * self.utilisation
        )
    }
}
