//! What follows from two snapshots, and how far a service has come.

use super::within;
use fanpool::{FanOut, Metrics, OnError, Progress, TaskError};
use std::time::Duration;

/// A snapshot with numbers in it.
pub(crate) fn some_metrics() -> Metrics {
    let (input, output) = FanOut::builder(|n: u32| Ok::<_, ()>(n)).workers(1).start().unwrap();
    let control = output.control();
    (0..10).for_each(|n| _ = input.send(n).unwrap());
    drop(input);
    output.count();
    control.metrics()
}

fn assert_sane(metrics: &Metrics, earlier: &Metrics) {
    let rates = metrics.since(earlier);
    assert!(rates.throughput.is_finite() && rates.throughput >= 0.0, "{rates:?}");
    for share in [rates.error_rate, rates.utilisation] {
        assert!((0.0..=1.0).contains(&share), "{rates:?}");
    }
    assert!(!format!("{rates}{metrics}").contains("NaN"));
}

#[test]
fn h5_counts_near_overflow_give_rates() {
    let earlier = some_metrics();
    let mut later = earlier.clone();
    later.at += Duration::from_secs(1);
    let tasks = &mut later.tasks;
    for count in [
        &mut tasks.accepted,
        &mut tasks.finished,
        &mut tasks.failed,
        &mut tasks.panicked,
        &mut tasks.expired,
        &mut tasks.rejected,
        &mut tasks.cancelled,
        &mut tasks.discarded,
        &mut tasks.retried,
    ] {
        *count = u64::MAX;
    }
    assert_eq!((later.tasks.ended(), later.tasks.ran(), later.tasks.unsuccessful()), (u64::MAX, u64::MAX, u64::MAX));
    later.workers.idle = usize::MAX;
    later.workers.busy = usize::MAX;
    later.per_worker[0].busy = Duration::MAX;
    later.queued = usize::MAX;
    assert_sane(&later, &earlier);
    let rates = later.since(&earlier);
    assert!((rates.error_rate - 0.5).abs() < 0.01, "{rates:?}");
    assert_sane(&earlier, &later);
}

#[test]
fn h5_snapshots_in_the_wrong_order_have_rates_of_zero() {
    let earlier = some_metrics();
    let mut later = earlier.clone();
    later.at += Duration::from_secs(10);
    later.tasks.finished += 100;
    later.tasks.failed += 100;
    later.per_worker[0].busy += Duration::from_secs(5);
    let forwards = later.since(&earlier);
    assert_eq!((forwards.throughput, forwards.error_rate, forwards.elapsed), (20.0, 0.5, Duration::from_secs(10)));
    assert!((forwards.utilisation - 0.5).abs() < 1e-9);
    let backwards = earlier.since(&later);
    assert_eq!((backwards.throughput, backwards.error_rate, backwards.utilisation), (0.0, 0.0, 0.0));
    assert_eq!((backwards.elapsed, backwards.tasks.finished), (Duration::ZERO, 0));
    assert_sane(&earlier, &later);
}

#[test]
fn h5_over_no_time_rates_are_zero() {
    let metrics = some_metrics();
    let mut same_moment = metrics.clone();
    same_moment.tasks.finished += 5;
    same_moment.per_worker[0].busy += Duration::from_secs(1);
    let rates = same_moment.since(&metrics);
    assert_eq!((rates.throughput, rates.utilisation, rates.tasks.finished), (0.0, 0.0, 5));
    assert_sane(&same_moment, &metrics);
    // Nor do workers that there are not divide by zero.
    let mut alone = metrics.clone();
    alone.workers = fanpool::WorkerCounts::default();
    alone.at += Duration::from_secs(1);
    assert_sane(&alone, &metrics);
}

#[test]
fn h5_progress_is_a_number_or_unknown() {
    let second = Duration::from_secs(1);
    for done in [0, 1, usize::MAX] {
        for total in [None, Some(0), Some(1), Some(usize::MAX)] {
            for elapsed in [Duration::ZERO, Duration::from_nanos(1), second, Duration::MAX] {
                let progress = Progress::new(done, total, elapsed);
                assert!(progress.rate.is_finite(), "{progress:?}");
                assert!(progress.fraction().is_none_or(|share| (0.0..=1.0).contains(&share)), "{progress:?}");
                assert_eq!(progress.fraction().is_some(), total.is_some());
                assert!(total.is_some() || progress.remaining.is_none(), "{progress:?}");
                assert!(!progress.to_string().contains("NaN"), "{progress}");
            }
        }
    }
    assert_eq!(Progress::new(10, Some(10), second).remaining, Some(Duration::ZERO));
    assert_eq!(Progress::new(0, Some(10), second).remaining, None);
    // More than was expected.
    assert_eq!(Progress::new(11, Some(10), second).remaining, Some(Duration::ZERO));
    assert_eq!(Progress::new(1, Some(usize::MAX), Duration::MAX).remaining, None, "longer than a duration");
}

#[test]
fn progress_knows_the_total_when_told_or_closed() {
    within(|| {
        let (input, output) =
            FanOut::builder(|n: u32| if n == 0 { Err("zero") } else { Ok(n) }).expect_items(10).start().unwrap();
        let control = output.control();
        assert_eq!((control.progress().total, control.progress().remaining), (Some(10), None));
        control.expect_items(20);
        (0..4).for_each(|n| _ = input.send(n).unwrap());
        while control.progress().done < 4 {
            std::thread::yield_now();
        }
        let progress = control.progress();
        assert_eq!((progress.failed, progress.in_flight, progress.total), (1, 0, Some(20)));
        assert_eq!(progress.fraction(), Some(0.2));
        let expected = progress.elapsed.as_secs_f64() * 4.0;
        assert!((progress.remaining.unwrap().as_secs_f64() - expected).abs() < 1e-6, "{progress:?}");
        assert_eq!(control.metrics().progress.unwrap().total, Some(20));
        drop(input);
        output.count();
        let progress = control.progress();
        assert_eq!((progress.total, progress.remaining), (Some(4), Some(Duration::ZERO)));
        assert!(progress.to_string().starts_with("4 of 4, 1 failed, "), "{progress}");
    });
}

#[test]
fn what_was_stopped_is_done_too() {
    let (input, output) =
        FanOut::builder(|n: u32| Ok::<_, ()>(n)).on_error(OnError::FailFast).window(8).start().unwrap();
    let control = output.control();
    control.pause();
    (0..5).for_each(|n| _ = input.send(n).unwrap());
    assert_eq!((control.progress().done, control.progress().in_flight), (0, 5));
    control.stop();
    let progress = control.progress();
    assert_eq!((progress.done, progress.failed, progress.in_flight, progress.total), (5, 5, 0, Some(5)));
    assert!(output.map(|outcome| outcome.result).all(|result| matches!(result, Err(TaskError::Cancelled))));
}
