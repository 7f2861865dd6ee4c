//! Circuit breakers: calls that probe, answers that come late, and who tells of changes.

use super::model;
use fanpool::testing::ManualClock;
use fanpool::{BreakerState, CircuitBreaker, CircuitBreakerBuilder};
use loom::sync::Mutex;
use std::sync::Arc;
use std::time::Duration;

const TIME: Duration = Duration::from_secs(1);

/// One that opens at the first failure.
fn touchy(clock: &ManualClock) -> CircuitBreakerBuilder {
    CircuitBreaker::builder().minimum_calls(1).failure_rate(1.0).open_for(TIME).clock(clock)
}

/// One that is open, and whose time is over.
fn due(probes: usize) -> (CircuitBreaker, ManualClock) {
    let clock = ManualClock::new();
    let breaker = touchy(&clock).probes(probes).build().unwrap();
    breaker.admit().unwrap().failure();
    clock.advance(TIME);
    (breaker, clock)
}

/// Three ask at once, where so many may probe.
fn race(probes: usize) {
    model(3, move || {
        let (breaker, _clock) = due(probes);
        let threads = [(); 2].map(|()| {
            let breaker = breaker.clone();
            loom::thread::spawn(move || breaker.admit().ok())
        });
        let mut permits = vec![breaker.admit().ok()];
        permits.extend(threads.map(|thread| thread.join().unwrap()));
        let admitted: Vec<_> = permits.into_iter().flatten().collect();
        assert_eq!((admitted.len(), breaker.counts().rejected), (probes, 3 - probes as u64));
        admitted.into_iter().for_each(fanpool::Permit::success);
        assert_eq!(breaker.state(), BreakerState::Closed);
    });
}

#[test]
fn three_race_for_one_probe() {
    race(1);
}

#[test]
fn three_race_for_two_probes() {
    race(2);
}

#[test]
fn a_late_answer_against_the_changes_of_the_state() {
    // Both calls were admitted by the closed breaker and both fail: one opens it, and the other is late, wherever the breaker is by then.
    model(3, || {
        let clock = ManualClock::new();
        let breaker = touchy(&clock).build().unwrap();
        let (one, other) = (breaker.admit().unwrap(), breaker.admit().unwrap());
        let thread = loom::thread::spawn(move || other.failure());
        one.failure();
        clock.advance(TIME);
        // The other one may have been first; the time has moved on since in any case.
        breaker.admit().unwrap().success();
        thread.join().unwrap();
        let counts = breaker.counts();
        assert_eq!((counts.failures, counts.late, counts.changes), (1, 1, 3));
        assert_eq!(breaker.state(), BreakerState::Closed);
    });
}

#[test]
fn an_admission_against_the_opening() {
    model(3, || {
        let clock = ManualClock::new();
        let breaker = touchy(&clock).build().unwrap();
        let (other, permit) = (breaker.clone(), breaker.admit().unwrap());
        let thread = loom::thread::spawn(move || match other.admit() {
            Ok(permit) => {
                permit.failure();
                true
            }
            Err(_) => false,
        });
        permit.failure();
        // Whoever has opened it, or has seen it open, is refused.
        assert!(breaker.admit().is_err());
        let admitted = thread.join().unwrap();
        let counts = breaker.counts();
        assert_eq!((counts.failures, counts.late), (1, u64::from(admitted)));
        assert_eq!(counts.rejected, 1 + u64::from(!admitted));
    });
}

#[test]
fn a_probe_given_back_against_an_admission() {
    model(4, || {
        let (breaker, _clock) = due(1);
        let probe = breaker.admit().unwrap();
        let thread = loom::thread::spawn(move || drop(probe));
        let second = breaker.admit();
        thread.join().unwrap();
        let third = breaker.admit();
        assert!(second.is_ok() ^ third.is_ok(), "there is one place, and it came back");
        second.or(third).unwrap().success();
        assert_eq!(breaker.state(), BreakerState::Closed);
    });
}

#[test]
fn a_probe_that_answers_against_the_one_in_its_place() {
    // The first has been given up, and whatever it says, the second decides.
    model(4, || {
        let (breaker, clock) = due(1);
        let stuck = breaker.admit().unwrap();
        clock.advance(TIME);
        let thread = loom::thread::spawn(move || stuck.failure());
        breaker.admit().unwrap().success();
        thread.join().unwrap();
        assert_eq!((breaker.state(), breaker.counts().late), (BreakerState::Closed, 1));
    });
}

#[test]
fn two_threads_make_changes_and_all_are_told_in_order() {
    model(3, || {
        let clock = ManualClock::new();
        let told = Arc::new(Mutex::new(Vec::new()));
        let list = told.clone();
        let breaker = touchy(&clock).on_change(move |change| list.lock().unwrap().push((change.from, change.to)));
        let breaker = breaker.build().unwrap();
        let other = breaker.clone();
        let thread = loom::thread::spawn(move || other.reset());
        breaker.admit().unwrap().failure();
        breaker.reset();
        thread.join().unwrap();
        let told = told.lock().unwrap();
        assert_eq!(told.len() as u64, breaker.counts().changes);
        let mut state = BreakerState::Closed;
        for &(from, to) in &*told {
            assert_eq!(from, state, "{told:?}");
            state = to;
        }
    });
}
