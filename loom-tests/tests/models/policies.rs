//! Services with policies: what is put off against what ends it, second attempts, and failures that end a service. Time is a clock that a
//! thread of the model moves.

use super::fan::shared_pool;
use super::{Flag, model};
use fanpool::testing::ManualClock;
use fanpool::{
    BuildError, CircuitBreaker, Control, FanOut, Input, OnError, Output, Retry, RetryBudget, SendReason, ServiceCounts,
};
use loom::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

const TIME: Duration = Duration::from_secs(1);

type Ends<E> = Result<(Input<'static, u64>, Output<'static, u64, E>), BuildError>;

/// The accounts once everything has ended, which must be all that was sent.
fn settled(control: &Control<'static>) -> ServiceCounts {
    let counts = control.wait().unwrap();
    let ends = counts.finished + counts.failed + counts.rejected + counts.expired + counts.cancelled + counts.panicked;
    assert_eq!(counts.accepted, ends, "{counts:?}");
    counts
}

/// A service whose first call fails, and whose items are tried again.
fn fails_once(clock: &ManualClock) -> (Input<'static, u64>, Output<'static, u64, u64>) {
    let calls = AtomicUsize::new(0);
    let work = move |n: u64| if calls.fetch_add(1, Ordering::Relaxed) == 0 { Err(n) } else { Ok(n) };
    let ends: Ends<u64> = FanOut::builder(work).retry(Retry::fixed(TIME)).clock(clock).pool(shared_pool(1)).start();
    ends.unwrap()
}

#[test]
fn a_stop_against_the_retry_timer() {
    // The item is put off before the stop, which finds it, or after it, which its thread sees; or the clock has made it ready.
    model(2, || {
        let clock = ManualClock::new();
        let (input, output) = fails_once(&clock);
        let control = input.control();
        input.send(1).unwrap();
        let timer = loom::thread::spawn(move || clock.advance(TIME));
        control.stop();
        let counts = settled(&control);
        assert_eq!((counts.accepted, counts.finished + counts.cancelled), (1, 1));
        timer.join().unwrap();
        assert_eq!(output.count(), 1);
    });
}

#[test]
fn an_item_put_off_against_the_clock() {
    // Whoever moves the clock finds the item put off, or its thread finds the time over.
    model(2, || {
        let clock = ManualClock::new();
        let (input, output) = fails_once(&clock);
        input.send(1).unwrap();
        drop(input);
        let timer = loom::thread::spawn(move || {
            clock.advance(TIME);
            clock.advance(TIME);
        });
        timer.join().unwrap();
        // The delay is counted from the failure, which may have come after the clock was moved.
        let control = output.control();
        if control.counts().finished == 0 {
            control.stop();
        }
        let counts = settled(&control);
        assert_eq!(counts.finished + counts.cancelled, 1);
        drop(output);
    });
}

#[test]
fn a_held_item_against_the_probe_that_closes_the_breaker() {
    model(2, || {
        let (pool, clock) = (shared_pool(2), ManualClock::new());
        let builder = CircuitBreaker::builder().minimum_calls(1).failure_rate(1.0).open_for(TIME).clock(&clock);
        let breaker = builder.build().unwrap();
        breaker.admit().unwrap().failure();
        clock.advance(TIME);
        let work = |n: u64| Ok::<_, u64>(n);
        let ends: Ends<u64> = FanOut::builder(work).breaker(breaker).breaker_waits().clock(&clock).pool(pool).start();
        let (input, output) = ends.unwrap();
        // One is the probe; the other is held, or comes when the probe has closed the breaker. Time stands still.
        input.send(0).unwrap();
        input.send(1).unwrap();
        drop(input);
        let counts = settled(&output.control());
        assert_eq!(counts.finished, 2);
        drop(output);
    });
}

#[test]
fn an_expiry_against_the_start() {
    model(2, || {
        let (pool, clock) = (shared_pool(1), ManualClock::new());
        let work = |n: u64| if fanpool::time_left().is_some_and(|left| left.is_zero()) { Err(n) } else { Ok(n) };
        let ends: Ends<u64> = FanOut::builder(work).deadline(TIME).clock(&clock).pool(pool).start();
        let (input, mut output) = ends.unwrap();
        input.send(1).unwrap();
        let timer = loom::thread::spawn(move || clock.advance(TIME));
        // Not started; or told that its time is over; or done.
        let outcome = output.recv().unwrap();
        assert_eq!(outcome.attempts, u32::from(!outcome.result.is_err_and(|error| error.is_expired())));
        timer.join().unwrap();
        drop(input);
        let counts = settled(&output.control());
        assert_eq!(counts.expired + counts.finished + counts.failed, 1);
        assert!(output.recv().is_err());
    });
}

#[test]
fn two_answers_of_one_item() {
    // The first attempt goes on when the second has begun, so both succeed, in whatever order.
    model(1, || {
        let (pool, clock) = (shared_pool(2), ManualClock::new());
        let (begun, go, calls) = (Flag::new(), Flag::new(), AtomicUsize::new(0));
        let begins = begun.clone();
        let work = move |n: u64| {
            if calls.fetch_add(1, Ordering::Relaxed) == 0 {
                begins.set();
                go.wait();
            } else {
                go.set();
            }
            Ok::<_, u64>(n)
        };
        let ends: Ends<u64> = FanOut::builder(work).hedge_after(TIME).clock(&clock).pool(pool).start();
        let (input, mut output) = ends.unwrap();
        input.send(1).unwrap();
        drop(input);
        begun.wait();
        clock.advance(TIME);
        assert_eq!(output.recv().unwrap().seq, 0);
        assert!(output.recv().is_err());
        let counts = settled(&output.control());
        assert_eq!((counts.finished, counts.hedged), (1, 1));
        drop(output);
    });
}

#[test]
fn outcomes_of_a_key_whose_first_item_is_run_twice() {
    // The attempt that answers lands before the other, which ends last, gives the key on.
    model(1, || {
        let (pool, clock) = (shared_pool(2), ManualClock::new());
        let (begun, go, calls) = (Flag::new(), Flag::new(), AtomicUsize::new(0));
        let (begins, gate) = (begun.clone(), go.clone());
        let work = move |n: u64| {
            if calls.fetch_add(1, Ordering::Relaxed) == 0 {
                begins.set();
                gate.wait();
            }
            Ok::<_, u64>(n)
        };
        let builder = FanOut::builder(work).key(|_| 0).hedge_after(TIME);
        let ends: Ends<u64> = builder.clock(&clock).pool(pool).start();
        let (input, output) = ends.unwrap();
        input.send(0).unwrap();
        begun.wait();
        input.send(1).unwrap();
        clock.advance(TIME);
        go.set();
        drop(input);
        assert!(output.map(|outcome| outcome.seq).eq(0..2));
    });
}

#[test]
fn two_failures_of_one_item() {
    model(2, || {
        let (pool, clock) = (shared_pool(2), ManualClock::new());
        let ends: Ends<u64> =
            FanOut::builder(|n: u64| Err::<u64, _>(n)).hedge_after(TIME).clock(&clock).pool(pool).start();
        let (input, mut output) = ends.unwrap();
        input.send(1).unwrap();
        clock.advance(TIME);
        drop(input);
        assert_eq!(output.recv().unwrap().seq, 0);
        assert!(output.recv().is_err());
        let counts = settled(&output.control());
        assert!(counts.failed == 1 && counts.late == 0, "{counts:?}");
        drop(output);
    });
}

#[test]
fn a_stop_against_a_second_attempt() {
    // The first attempt fails, and leaves the item to the copy: which is in the queue, where the stop finds it, or is not put there.
    model(2, || {
        let (pool, clock) = (shared_pool(1), ManualClock::new());
        let ends: Ends<u64> =
            FanOut::builder(|n: u64| Err::<u64, _>(n)).hedge_after(TIME).clock(&clock).pool(pool).start();
        let (input, output) = ends.unwrap();
        let control = input.control();
        input.send(1).unwrap();
        let timer = loom::thread::spawn(move || clock.advance(TIME));
        control.stop();
        let counts = settled(&control);
        assert_eq!(counts.failed + counts.cancelled, 1);
        timer.join().unwrap();
        // Nothing is left in the queue that would be started.
        assert!(control.counts().hedged <= counts.failed);
        assert_eq!(output.count(), 1);
    });
}

#[test]
fn no_second_attempt_after_a_stop() {
    model(2, || {
        let (pool, clock) = (shared_pool(1), ManualClock::new());
        let (begun, go) = (Flag::new(), Flag::new());
        let (begins, gate) = (begun.clone(), go.clone());
        let work = move |n: u64| {
            begins.set();
            gate.wait();
            Err::<u64, _>(n)
        };
        let ends: Ends<u64> = FanOut::builder(work).hedge_after(TIME).clock(&clock).pool(pool).start();
        let (input, output) = ends.unwrap();
        input.send(1).unwrap();
        begun.wait();
        output.control().stop();
        clock.advance(TIME);
        go.set();
        let counts = settled(&output.control());
        assert_eq!((counts.failed, counts.hedged), (1, 0));
        drop(output);
    });
}

#[test]
fn fail_fast_against_the_last_success() {
    // Nobody closes the service but the failure.
    model(2, || {
        let pool = shared_pool(2);
        let builder = FanOut::builder(|n: u64| if n == 0 { Err(n) } else { Ok(n) }).on_error(OnError::FailFast);
        let ends: Ends<u64> = builder.pool(pool).start();
        let (input, output) = ends.unwrap();
        let mut sent = 0;
        for n in 0..2 {
            match input.send(n) {
                Ok(_) => sent += 1,
                Err(refused) => assert_eq!(refused.reason(), SendReason::Cancelled),
            }
        }
        let counts = settled(&output.control());
        assert_eq!((counts.accepted, counts.failed), (sent, 1));
        assert!(input.send(2).is_err());
        assert_eq!(output.count() as u64, sent);
    });
}

#[test]
fn in_order_a_failure_that_lands_late_against_one_that_comes_later() {
    // Items 1 and 0 fail in whatever order: 0 decides, and has run.
    model(1, || {
        let pool = shared_pool(2);
        let builder = FanOut::builder(|n: u64| Err::<u64, _>(n)).ordered().on_error(OnError::FailFast);
        let ends: Ends<u64> = builder.pool(pool).start();
        let (input, output) = ends.unwrap();
        let _ = input.send(0);
        let _ = input.send(1);
        let errors = output.try_collect().unwrap_err();
        assert_eq!(errors.first().map(|(at, _)| at), Some(0));
    });
}

#[test]
fn two_withdraw_from_a_budget_for_one() {
    model(3, || {
        let (clock, calls) = (ManualClock::new(), Arc::new(AtomicUsize::new(0)));
        let budget = RetryBudget::new(0.0, 1).unwrap();
        let retry = Retry::fixed(Duration::ZERO).max_attempts(2).budget(budget);
        let call = move || {
            let done = retry.call(&(&clock).into(), || {
                calls.fetch_add(1, Ordering::Relaxed);
                Err::<(), _>(())
            });
            assert!(done.is_err());
            calls.load(Ordering::Relaxed)
        };
        let other = {
            let call = call.clone();
            loom::thread::spawn(move || call())
        };
        let calls = call().max(other.join().unwrap());
        assert_eq!(calls, 3);
    });
}
