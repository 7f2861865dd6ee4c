//! Services: deadlines, dead letters and the time that handlers have left.

use super::{quiet_panic, within};
use fanpool::testing::ManualClock;
use fanpool::{BuildError, FanOut, ServiceCounts, TaskError, time_left};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn g6_an_item_whose_time_is_over_is_not_started() {
    within(|| {
        let clock = ManualClock::new();
        let builder = FanOut::builder(|n: u64| Ok::<_, ()>(n)).workers(1).ordered().deadline(SECOND).clock(&clock);
        let (input, output) = builder.start().unwrap();
        let control = input.control();
        control.pause();
        input.send(0).unwrap();
        clock.advance(SECOND / 2);
        input.send(1).unwrap();
        clock.advance(SECOND / 2);
        control.resume();
        drop(input);
        let ends: Vec<_> =
            output.map(|outcome| (outcome.attempts, outcome.result.map_err(|e| e.is_expired()))).collect();
        assert_eq!(ends, [(0, Err(true)), (1, Ok(1))]);
        let counts = control.counts();
        assert_eq!((counts.accepted, counts.expired, counts.finished), (2, 1, 1));
    });
}

#[test]
fn g6_a_handler_is_told_how_long_it_may_still_take_and_its_result_counts() {
    within(|| {
        let clock = ManualClock::new();
        let inside = clock.clone();
        let builder = FanOut::builder(move |()| {
            let first = time_left();
            inside.advance(4 * SECOND);
            Ok::<_, ()>((first, time_left()))
        });
        let builder = builder.workers(1).deadline(5 * SECOND).attempt_timeout(3 * SECOND).clock(&clock);
        let (input, mut output) = builder.start().unwrap();
        input.send(()).unwrap();
        let left = output.recv().unwrap().result.unwrap();
        assert_eq!(left, (Some(3 * SECOND), Some(Duration::ZERO)));
        assert_eq!(time_left(), None);
    });
}

#[test]
fn every_item_without_a_result_is_a_dead_letter_and_nothing_else() {
    within(|| {
        let (letters, clock) = (Arc::new(Mutex::new(Vec::new())), ManualClock::new());
        let dead = letters.clone();
        let handler = |n: u64| match n % 3 {
            0 => Ok(n),
            1 => Err("odd"),
            _ => quiet_panic("panicked"),
        };
        let builder = FanOut::builder(handler).workers(2).key(|n: &u64| if *n == 9 { quiet_panic("key") } else { *n });
        let builder = builder.deadline(SECOND).clock(&clock).dead_letter(move |n, errors| {
            assert_eq!(errors.count(), 1);
            dead.lock().unwrap().push((n, errors.first().unwrap().1.to_string()));
        });
        let (input, output) = builder.start().unwrap();
        let control = input.control();
        control.pause();
        input.send(10).unwrap();
        clock.advance(SECOND);
        (0..4).chain([9]).for_each(|n| _ = input.send(n).unwrap());
        control.resume();
        let landed = |counts: ServiceCounts| counts.expired + counts.finished + counts.failed + counts.panicked;
        while landed(control.counts()) < 6 {
            std::thread::yield_now();
        }
        control.pause();
        input.send(11).unwrap();
        control.stop();
        drop(input);
        let (finished, failed) = output.partition();
        assert_eq!((finished.len(), failed.len()), (2, 5));
        let mut letters = letters.lock().unwrap().clone();
        letters.sort_unstable();
        let numbers: Vec<_> = letters.iter().map(|(n, _)| *n).collect();
        assert_eq!(numbers, [1, 2, 9, 10, 11]);
        let texts: Vec<_> = letters.iter().map(|(_, text)| text.as_str()).collect();
        let expired = TaskError::<&str>::Expired.to_string();
        let cancelled = TaskError::<&str>::Cancelled.to_string();
        assert_eq!(
            texts,
            ["odd", "the task panicked: panicked", "the task panicked: key", expired.as_str(), cancelled.as_str()]
        );
        assert_eq!(control.counts().contained, 0);
    });
}

#[test]
fn g4_a_sink_for_dead_letters_that_panics_is_counted_and_changes_nothing() {
    within(|| {
        let builder = FanOut::builder(|n: u64| if n == 0 { Ok(n) } else { Err(n) }).workers(2);
        let (input, output) = builder.dead_letter(|_, _| quiet_panic("sink")).start().unwrap();
        let control = input.control();
        (0..10).for_each(|n| _ = input.send(n).unwrap());
        drop(input);
        let (finished, failed) = output.partition();
        assert_eq!((finished.len(), failed.len()), (1, 9));
        assert!(failed.into_iter().all(|(seq, error)| error.into_failed() == Some(seq)));
        assert_eq!((control.counts().contained, control.counts().failed), (9, 9));
    });
}

#[test]
fn g4_a_clone_that_panics_fails_its_item() {
    struct Fragile(u64);
    impl Clone for Fragile {
        fn clone(&self) -> Self {
            if self.0 == 1 { quiet_panic("clone") } else { Fragile(self.0) }
        }
    }
    within(|| {
        let builder = FanOut::builder(|item: Fragile| Ok::<_, ()>(item.0)).workers(1).ordered();
        let (input, output) = builder.dead_letter(|item: Fragile, _| assert_eq!(item.0, 1)).start().unwrap();
        let control = input.control();
        (0..3).for_each(|n| _ = input.send(Fragile(n)).unwrap());
        drop(input);
        let (finished, failed) = output.partition();
        assert_eq!((finished, failed.len()), (vec![0, 2], 1));
        assert_eq!((control.counts().contained, control.counts().panicked), (0, 1));
    });
}

#[test]
fn g1_times_that_no_clock_can_count_are_for_ever_and_none_is_refused() {
    within(|| {
        let clock = ManualClock::new();
        let builder = || FanOut::builder(|n: u64| Ok::<_, ()>(n)).workers(1);
        let (input, mut output) = builder().deadline(Duration::MAX).clock(&clock).start().unwrap();
        clock.advance(365 * 24 * 3600 * SECOND);
        input.send(1).unwrap();
        assert!(output.recv().unwrap().result.is_ok());
        for refused in [builder().deadline(Duration::ZERO).start(), builder().attempt_timeout(Duration::ZERO).start()] {
            assert!(matches!(refused.unwrap_err(), BuildError::NotInRange { value: 0.0, .. }));
        }
        let batch = FanOut::builder_batch(2, SECOND, |items: Vec<u64>| items.into_iter().map(Ok::<_, ()>).collect());
        assert!(matches!(batch.deadline(SECOND).start().unwrap_err(), BuildError::Conflict { .. }));
    });
}
