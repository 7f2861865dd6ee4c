//! What a circuit breaker admits, what counts, and who is told.

use crate::{Bomb, quiet_panic, within};
use fanpool::testing::ManualClock;
use fanpool::{BreakerState, BuildError, CallError, CircuitBreaker, CircuitBreakerBuilder, Permit};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// One that opens for a second at the first failure.
fn touchy(clock: &ManualClock) -> CircuitBreakerBuilder {
    CircuitBreaker::builder().minimum_calls(1).failure_rate(1.0).open_for(SECOND).clock(clock)
}

/// One that is open, and whose time is over.
fn due(clock: &ManualClock, probes: usize) -> CircuitBreaker {
    let breaker = touchy(clock).probes(probes).build().unwrap();
    breaker.admit().unwrap().failure();
    clock.advance(SECOND);
    breaker
}

#[test]
fn a1_options_out_of_range_are_refused_with_their_value() {
    let new = CircuitBreaker::builder;
    for rate in [0.0, -0.5, 1.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        match new().failure_rate(rate).build() {
            Err(BuildError::NotInRange { option: "failure_rate", value, .. }) => {
                assert_eq!(value.to_bits(), rate.to_bits());
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(new().failure_rate(f64::MIN_POSITIVE).build().is_ok());
    let counts = [
        ("window_calls", new().window_calls(0)),
        ("window_calls", new().window_calls(usize::MAX)),
        ("minimum_calls", new().minimum_calls(0)),
        ("minimum_calls", new().minimum_calls(101)),
        ("probes", new().probes(0)),
        ("probes", new().probes(usize::MAX)),
    ];
    for (name, builder) in counts {
        let refused = builder.build();
        assert!(matches!(&refused, Err(BuildError::OutOfRange { option, .. }) if *option == name), "{refused:?}");
    }
    let zero = Duration::ZERO;
    let times = [
        ("window_time", new().window_time(zero)),
        ("slow_call", new().slow_call(zero)),
        ("open_for", new().open_for(zero)),
        ("probe_timeout", new().probe_timeout(zero)),
    ];
    for (name, builder) in times {
        let error = builder.build().unwrap_err();
        assert_eq!(error.to_string(), format!("{name} is 0; allowed is more than 0 seconds"));
    }
    let both = new().window_calls(100).window_time(SECOND).build();
    assert!(matches!(both, Err(BuildError::Conflict { option: "window_time", with: "window_calls" })));
    assert!(matches!(new().build_keyed(0), Err(BuildError::OutOfRange { option: "max", value: 0, .. })));
    assert!(new().window_time(SECOND).minimum_calls(usize::MAX).build().is_ok());
}

#[test]
fn a_share_that_is_reached_exactly_opens() {
    for (calls, failures, rate) in [(30, 3, 0.1), (10, 3, 0.3), (100, 7, 0.07), (3, 1, 1.0 / 3.0), (100, 29, 0.29)] {
        let breaker = CircuitBreaker::builder().minimum_calls(calls).failure_rate(rate).build().unwrap();
        (failures..calls).for_each(|_| breaker.admit().unwrap().success());
        (0..failures).for_each(|_| breaker.admit().unwrap().failure());
        assert_eq!(breaker.state(), BreakerState::Open, "{failures} of {calls}");
    }
}

#[test]
fn a_success_that_makes_the_window_full_enough_may_open() {
    let breaker = CircuitBreaker::builder().minimum_calls(3).build().unwrap();
    breaker.admit().unwrap().failure();
    breaker.admit().unwrap().failure();
    assert_eq!(breaker.state(), BreakerState::Closed);
    breaker.admit().unwrap().success();
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[test]
fn what_was_before_it_closed_is_forgotten() {
    let clock = ManualClock::new();
    let breaker = touchy(&clock).failure_rate(0.5).window_calls(4).minimum_calls(2).build().unwrap();
    (0..2).for_each(|_| breaker.admit().unwrap().failure());
    clock.advance(SECOND);
    breaker.admit().unwrap().success();
    breaker.admit().unwrap().failure();
    assert_eq!(breaker.state(), BreakerState::Closed);
    breaker.admit().unwrap().failure();
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[test]
fn calls_leave_a_window_of_time_slot_by_slot() {
    let clock = ManualClock::new();
    let breaker = touchy(&clock).window_time(10 * SECOND).minimum_calls(2).build().unwrap();
    clock.advance(SECOND / 2);
    breaker.admit().unwrap().failure();
    // Nine tenths later it is still there; another tenth later it is not.
    clock.advance(9 * SECOND);
    breaker.admit().unwrap().failure();
    assert_eq!(breaker.state(), BreakerState::Open);
    breaker.reset();
    clock.advance(SECOND - Duration::from_nanos(1));
    breaker.admit().unwrap().failure();
    clock.advance(9 * SECOND + Duration::from_nanos(1));
    breaker.admit().unwrap().failure();
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn g2_sixteen_threads_race_for_the_probes() {
    for probes in [1, 3] {
        for _ in 0..100 {
            let breaker = due(&ManualClock::new(), probes);
            let start = Barrier::new(16);
            let permits: Vec<Permit> = thread::scope(|s| {
                let ask = || {
                    start.wait();
                    breaker.admit().ok()
                };
                let threads: Vec<_> = (0..16).map(|_| s.spawn(ask)).collect();
                threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!((permits.len(), breaker.counts().rejected), (probes, 16 - probes as u64));
            permits.into_iter().for_each(Permit::success);
            assert_eq!(breaker.state(), BreakerState::Closed);
        }
    }
}

#[test]
fn g2_a_probe_that_panics_opens_again() {
    let clock = ManualClock::new();
    let breaker = due(&clock, 1);
    let call = || breaker.call(|| -> Result<(), ()> { quiet_panic("probe") });
    let payload = catch_unwind(AssertUnwindSafe(call)).unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"probe"));
    assert_eq!((breaker.state(), breaker.counts().failures), (BreakerState::Open, 2));
    clock.advance(SECOND);
    // So does one whose permit is dropped on the way.
    let hold = || {
        let _permit = breaker.admit().unwrap();
        quiet_panic(());
    };
    assert!(catch_unwind(AssertUnwindSafe(hold)).is_err());
    assert_eq!((breaker.state(), breaker.counts().failures), (BreakerState::Open, 3));
}

#[test]
fn g2_a_probe_that_is_dropped_is_given_back() {
    let breaker = due(&ManualClock::new(), 1);
    for _ in 0..10 {
        drop(breaker.admit().unwrap());
    }
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    breaker.admit().unwrap().success();
    assert_eq!((breaker.state(), breaker.counts().calls), (BreakerState::Closed, 2));
    drop(breaker.admit().unwrap());
    assert_eq!((breaker.counts().calls, breaker.counts().late), (2, 0));
}

#[test]
fn g2_a_probe_that_never_returns_is_given_up_after_its_time() {
    let clock = ManualClock::new();
    let breaker = due(&clock, 2);
    let (first, _never) = (breaker.admit().unwrap(), breaker.admit().unwrap());
    clock.advance(SECOND / 4);
    assert_eq!(breaker.admit().unwrap_err().retry_after, SECOND * 3 / 4);
    clock.advance(SECOND * 3 / 4);
    // Nobody has asked since, but its time is over all the same.
    first.failure();
    assert_eq!((breaker.state(), breaker.counts().late), (BreakerState::HalfOpen, 1));
    (0..2).for_each(|_| breaker.admit().unwrap().success());
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn g3_answers_of_an_older_state_do_not_count() {
    let clock = ManualClock::new();
    let breaker = touchy(&clock).build().unwrap();
    let old: Vec<Permit> = (0..4).map(|_| breaker.admit().unwrap()).collect();
    let mut old = old.into_iter();
    breaker.admit().unwrap().failure();
    old.next().unwrap().success();
    clock.advance(SECOND);
    let probe = breaker.admit().unwrap();
    old.next().unwrap().success();
    old.next().unwrap().failure();
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    probe.success();
    old.next().unwrap().failure();
    assert_eq!(breaker.state(), BreakerState::Closed);
    let counts = breaker.counts();
    assert_eq!((counts.calls, counts.failures, counts.late, counts.changes), (2, 1, 4, 3));
}

#[test]
fn a_slow_success_is_a_failure_for_a_probe_too() {
    let clock = ManualClock::new();
    let breaker = touchy(&clock).window_calls(1).slow_call(SECOND).probe_timeout(10 * SECOND).build().unwrap();
    let permit = breaker.admit().unwrap();
    clock.advance(SECOND - Duration::from_nanos(1));
    permit.success();
    assert_eq!(breaker.counts().slow, 0);
    for _ in 0..2 {
        let permit = breaker.admit().unwrap();
        clock.advance(SECOND);
        permit.success();
        assert_eq!(breaker.state(), BreakerState::Open);
        clock.advance(SECOND);
    }
    assert_eq!((breaker.counts().slow, breaker.counts().failures), (2, 2));
}

#[test]
fn errors_of_calls_come_back_and_say_what_to_do() {
    let breaker = touchy(&ManualClock::new()).window_calls(1).build().unwrap();
    assert_eq!(breaker.call(|| Ok::<_, ()>(7)), Ok(7));
    assert_eq!(breaker.call(|| Err::<(), _>("no route")), Err(CallError::Failed("no route")));
    let refused = breaker.call(|| -> Result<(), &str> { panic!("the call is made") }).unwrap_err();
    assert_eq!(refused.to_string(), "too many calls failed and none is made now; try again in 1.0s");
}

#[test]
fn g4_a_callback_that_panics_is_counted_and_called_again() {
    let clock = ManualClock::new();
    let told = Arc::new(Mutex::new(Vec::new()));
    let list = told.clone();
    let builder = touchy(&clock).on_change(move |change| {
        list.lock().unwrap().push((change.from, change.to, change.at, change.calls, change.failures));
        quiet_panic(Bomb);
    });
    let breaker = builder.build().unwrap();
    let begin = clock.now();
    breaker.admit().unwrap().failure();
    clock.advance(SECOND);
    breaker.admit().unwrap().success();
    use BreakerState::{Closed, HalfOpen, Open};
    let later = begin + SECOND;
    let expected = [(Closed, Open, begin, 1, 1), (Open, HalfOpen, later, 0, 0), (HalfOpen, Closed, later, 1, 0)];
    assert_eq!(*told.lock().unwrap(), expected);
    assert_eq!(breaker.counts().callback_panics, 3);
}

#[test]
fn g4_a_callback_that_blocks_stops_nobody_and_misses_nothing() {
    within(|| {
        let clock = ManualClock::new();
        let (told, changes) = mpsc::channel();
        let (go, gate) = mpsc::channel::<()>();
        let (told, gate) = (Mutex::new(told), Mutex::new(gate));
        let builder = touchy(&clock).on_change(move |change| {
            told.lock().unwrap().send(change.to).unwrap();
            gate.lock().unwrap().recv().unwrap();
        });
        let breaker = builder.build().unwrap();
        thread::scope(|s| {
            s.spawn(|| breaker.admit().unwrap().failure());
            assert_eq!(changes.recv().unwrap(), BreakerState::Open);
            clock.advance(SECOND);
            breaker.admit().unwrap().success();
            assert_eq!(breaker.state(), BreakerState::Closed);
            assert!(changes.try_recv().is_err(), "one at a time");
            (0..3).for_each(|_| go.send(()).unwrap());
            assert_eq!(changes.recv().unwrap(), BreakerState::HalfOpen);
            assert_eq!(changes.recv().unwrap(), BreakerState::Closed);
        });
    });
}

#[test]
fn a_callback_may_use_its_breaker() {
    within(|| {
        let own = Arc::new(Mutex::new(None::<CircuitBreaker>));
        let (told, changes) = mpsc::channel();
        let (inside, told) = (own.clone(), Mutex::new(told));
        let builder = touchy(&ManualClock::new()).on_change(move |change| {
            told.lock().unwrap().send(change.to).unwrap();
            if change.to == BreakerState::Open {
                let breaker = inside.lock().unwrap().clone().unwrap();
                assert!(breaker.admit().is_err());
                breaker.reset();
            }
        });
        let breaker = builder.build().unwrap();
        *own.lock().unwrap() = Some(breaker.clone());
        breaker.admit().unwrap().failure();
        assert_eq!(changes.try_iter().collect::<Vec<_>>(), [BreakerState::Open, BreakerState::Closed]);
        *own.lock().unwrap() = None;
    });
}

#[test]
fn b2_a_callback_whose_drop_panics_harms_nobody() {
    let bomb = Bomb;
    let builder = CircuitBreaker::builder().on_change(move |_| _ = &bomb);
    let family = builder.clone().build_keyed(2).unwrap();
    let breaker = family.get(1);
    drop((builder, family));
    drop(breaker);
}

#[test]
fn clocks_that_jump_and_times_that_no_clock_can_count() {
    let clock = ManualClock::new();
    let forever = touchy(&clock).open_for(Duration::MAX).window_time(Duration::MAX).build().unwrap();
    forever.admit().unwrap().failure();
    clock.advance(YEAR);
    assert!(forever.admit().unwrap_err().retry_after > YEAR);
    let timed = touchy(&clock).window_time(Duration::from_nanos(1)).minimum_calls(2).build().unwrap();
    for _ in 0..3 {
        timed.admit().unwrap().failure();
        clock.advance(YEAR);
    }
    assert_eq!(timed.state(), BreakerState::Closed);
    // At the end of all time everything is due.
    let breaker = touchy(&clock).slow_call(Duration::MAX).build().unwrap();
    clock.advance(Duration::MAX);
    breaker.admit().unwrap().failure();
    let _never = breaker.admit().unwrap();
    breaker.admit().unwrap().failure();
    assert_eq!(breaker.counts().rejected, 0);
}

#[test]
fn a_thousand_threads_lose_no_answer() {
    within(|| {
        let breaker = CircuitBreaker::builder().failure_rate(1.0).window_calls(7).minimum_calls(7).build().unwrap();
        breaker.admit().unwrap().success();
        thread::scope(|s| {
            for n in 0..1000 {
                let breaker = &breaker;
                s.spawn(move || {
                    for turn in 0..10 {
                        match breaker.admit() {
                            Ok(permit) if (n + turn) % 4 == 0 => permit.failure(),
                            Ok(permit) => permit.success(),
                            Err(_) => {}
                        }
                    }
                });
            }
        });
        let counts = breaker.counts();
        assert_eq!(counts.calls + counts.late + counts.rejected, 10_001);
    });
}

#[test]
fn keys_fail_alone_and_all_who_ask_share_them() {
    let (told, changes) = mpsc::channel();
    let told = Mutex::new(told);
    let builder = touchy(&ManualClock::new()).on_change(move |change| told.lock().unwrap().send(change.key).unwrap());
    let family = builder.build_keyed(10).unwrap();
    family.clone().get(7).admit().unwrap().failure();
    assert!(family.get(7).admit().is_err());
    assert!(family.get(8).admit().is_ok());
    assert_eq!((family.len(), changes.try_iter().collect::<Vec<_>>()), (2, vec![Some(7)]));
}

#[test]
fn keys_that_admit_and_were_not_asked_for_are_forgotten_first() {
    let clock = ManualClock::new();
    let family = touchy(&clock).build_keyed(3).unwrap();
    let has_failed = |key| family.get(key).counts().failures == 1;
    family.get(0).admit().unwrap().failure();
    let one = family.get(1);
    one.admit().unwrap().success();
    let two = family.get(2);
    two.admit().unwrap().success();
    drop(family.get(1));
    // 2 makes room, since 0 is open and 1 was asked for after it.
    drop(family.get(3));
    assert_eq!((family.len(), family.get(1).counts().calls), (3, 1));
    assert!(has_failed(0));
    // Once their time is over, those that are open go as well.
    clock.advance(SECOND);
    [1, 3].into_iter().for_each(|key| drop(family.get(key)));
    drop(family.get(4));
    assert_eq!(family.get(1).counts().calls, 1);
    assert!(!has_failed(0));
    // When all are open, the bound holds all the same.
    let full = touchy(&clock).build_keyed(2).unwrap();
    [5, 6, 7].into_iter().for_each(|key| full.get(key).admit().unwrap().failure());
    assert_eq!(full.len(), 2);
    assert!(full.get(7).admit().is_err() && full.get(6).admit().is_err());
}

#[test]
fn a_family_that_is_full_forgets_an_eighth() {
    let family = CircuitBreaker::builder().build_keyed(80).unwrap();
    (0..80).for_each(|key| drop(family.get(key)));
    assert_eq!(family.len(), 80);
    drop(family.get(80));
    assert_eq!(family.len(), 71);
    (10..81).for_each(|key| drop(family.get(key)));
    assert_eq!(family.len(), 71);
}
