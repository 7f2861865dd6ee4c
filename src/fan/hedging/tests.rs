//! Second attempts: the flights alone, and services whose threads are steered.

use super::*;
use crate::fan::FanOut;
use crate::fan::service::Service;
use crate::testing::ManualClock;
use crate::trace::Carried;

/// The first is due before the clock could be set for it, and another was noted meanwhile, which relies on that.
#[test]
fn what_is_noted_while_the_clock_is_being_set_is_not_forgotten() {
    let (second, clock) = (Duration::from_secs(1), ManualClock::new());
    let builder = FanOut::builder(|n: u64| Ok::<_, ()>(n)).workers(1).hedge_after(second).clock(&clock);
    let (core, output) = builder.launch().unwrap();
    core.pause();
    let guard = core.guard.as_deref().unwrap();
    let hedging = guard.hedging.as_ref().unwrap();
    let entry = |seq| Entry { seq, sent: 0, mark: 0, class: crate::pool::NORMAL, trace: Carried::none(), item: seq };
    let began = clock.now();
    clock.advance(second);
    let at = hedging.begin(entry(0), 1, began).unwrap();
    assert_eq!(hedging.begin(entry(1), 1, clock.now()), None);
    core.call_at(guard, at);
    assert_eq!(core.depth(), 1);
    clock.advance(second);
    assert_eq!(core.depth(), 2);
    drop(output);
}

/// The rate looks at the clock later than its caller.
#[test]
fn a_rate_with_room_admits_a_second_attempt_on_the_system_clock() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let first = AtomicBool::new(true);
    let work = move |n: u64| {
        if first.swap(false, Ordering::Relaxed) {
            let _ = gate.lock().unwrap().recv();
        }
        Ok::<_, ()>(n)
    };
    let rate = crate::RateLimit::builder(1_000_000, Duration::from_secs(1)).burst(1000).build().unwrap();
    let builder = FanOut::builder(work).workers(2).hedge_after(Duration::from_millis(1)).rate(rate);
    let (input, mut output) = builder.start().unwrap();
    input.send(7).unwrap();
    let got = output.recv_timeout(Duration::from_secs(60)).is_ok();
    drop(open);
    drop((input, output));
    assert!(got, "no second attempt was made");
}

/// The copy leaves its key and no outcome in the hand of a thread that is stuck with the next item.
#[test]
fn the_key_of_a_late_copy_is_not_stuck_behind_another_item() {
    use crate::fan::Wait;
    use crate::sync::atomic::Ordering;
    use std::sync::atomic::AtomicU64;
    use std::sync::mpsc;
    let (begun, begins) = mpsc::channel();
    let (open, gate) = mpsc::channel::<()>();
    let (late, lates) = mpsc::channel::<()>();
    let (second, seconds) = mpsc::channel();
    let (go, goes) = mpsc::channel::<()>();
    let (stuck, sticks) = mpsc::channel::<()>();
    let gates = std::sync::Mutex::new(gate);
    let lates = std::sync::Mutex::new(lates);
    let goes = std::sync::Mutex::new(goes);
    let calls = AtomicU64::new(0);
    let work = move |n: u64| {
        match n {
            0 if calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0 => {
                begun.send(()).unwrap();
                let _ = gates.lock().unwrap().recv();
            }
            0 => {
                second.send(()).unwrap();
                let _ = lates.lock().unwrap().recv();
            }
            // Waits for item 10, which has the key of item 0.
            1 => {
                stuck.send(()).unwrap();
                let _ = goes.lock().unwrap().recv_timeout(Duration::from_secs(120));
            }
            _ => go.send(()).unwrap(),
        }
        Ok::<_, ()>(n)
    };
    let clock = ManualClock::new();
    let builder =
        FanOut::builder(work).workers(2).key(|n: &u64| n % 10).hedge_after(Duration::from_secs(1)).clock(&clock);
    let (core, output) = builder.launch().unwrap();
    core.accept(0, Wait::Not).unwrap();
    begins.recv().unwrap();
    core.pause();
    core.accept(10, Wait::Not).unwrap();
    core.accept(1, Wait::Not).unwrap();
    clock.advance(Duration::from_secs(1));
    core.armed.store(true, Ordering::Relaxed);
    core.pace.believe_cheap();
    core.resume();
    seconds.recv().unwrap();
    // The first answers, and its thread leaves; the copy is late.
    drop(open);
    while core.counts().finished < 1 {
        std::thread::yield_now();
    }
    // Item 1 is in the hand with the copy; had the alarm looked twice it would be free.
    drop(late);
    sticks.recv().unwrap();
    let began = Instant::now();
    while core.counts().finished < 3 && began.elapsed() < Duration::from_secs(60) {
        crate::pool::Alarm::due(&*core);
    }
    let finished = core.counts().finished;
    core.close(crate::SendReason::Closed);
    drop(output);
    assert_eq!(finished, 3);
}

/// The time noted for the first attempt says nothing about the retry.
#[test]
fn a_retry_is_not_hedged_by_the_time_of_the_attempt_before() {
    let hedging = Hedging::<u64, ()>::new(Duration::from_secs(10));
    let entry = |seq| Entry { seq, sent: 0, mark: 0, class: crate::pool::NORMAL, trace: Carried::none(), item: seq };
    let start = Instant::now();
    hedging.begin(entry(0), 1, start);
    let _ = hedging.fail(0, Some(Past::none()), Some(TaskError::Failed(())));
    hedging.begin(entry(1), 1, start);
    // Something else is first.
    let hedging = Hedging::<u64, ()>::new(Duration::from_secs(10));
    hedging.begin(entry(1), 1, start);
    hedging.begin(entry(0), 1, start);
    let _ = hedging.fail(0, Some(Past::none()), Some(TaskError::Failed(())));
    hedging.begin(entry(0), 2, start + Duration::from_secs(9));
    let mut out = Vec::new();
    hedging.overdue(start + Duration::from_secs(10), None, |entry| out.push(entry.seq));
    assert_eq!(out, [1]);
}

/// One that is not kept, because there are too many, is dropped too.
#[test]
fn no_error_is_dropped_under_the_lock() {
    use std::sync::{Arc, Weak, mpsc};
    struct Bad(Weak<Hedging<u64, Bad>>);
    impl Drop for Bad {
        fn drop(&mut self) {
            // What `control.stop()` does, too.
            if let Some(hedging) = self.0.upgrade() {
                hedging.is_copy(0);
            }
        }
    }
    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || {
        let hedging = Arc::new(Hedging::<u64, Bad>::new(Duration::ZERO));
        let bad = || TaskError::Failed(Bad(Arc::downgrade(&hedging)));
        let entry = Entry { seq: 0, sent: 0, mark: 0, class: crate::pool::NORMAL, trace: Carried::none(), item: 0 };
        let start = Instant::now();
        let mut past = Past::none();
        (0..15).for_each(|_| past.failed(bad()));
        hedging.begin(entry, 16, start);
        hedging.overdue(start, None, drop);
        let _ = hedging.fail(0, Some(past), Some(bad()));
        let _ = hedging.fail(0, None, Some(bad()));
        done.send(()).unwrap();
    });
    assert!(ended.recv_timeout(Duration::from_secs(60)).is_ok(), "deadlock");
}

#[test]
fn b2_the_second_clone_panics_and_so_does_the_drop_of_the_first() {
    struct Bomb(std::sync::Arc<std::sync::atomic::AtomicUsize>);
    impl Clone for Bomb {
        fn clone(&self) -> Bomb {
            assert!(self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0, "second clone");
            Bomb(self.0.clone())
        }
    }
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("drop");
        }
    }
    let builder = FanOut::builder(|_: Bomb| Ok::<_, ()>(())).workers(2).hedge_after(Duration::from_secs(1));
    let (input, mut output) = builder.start().unwrap();
    input.send(Bomb(Default::default())).unwrap();
    assert!(output.recv().unwrap().result.is_err());
}

/// The copy waits for the only worker, which has answered.
#[test]
fn a_copy_is_not_run_after_the_answer() {
    use crate::fan::Wait;
    use std::sync::atomic::{AtomicU64, Ordering};
    let clock = ManualClock::new();
    let calls = std::sync::Arc::new(AtomicU64::new(0));
    let (inner, moves) = (calls.clone(), clock.clone());
    let work = move |n: u64| {
        if inner.fetch_add(1, Ordering::SeqCst) == 0 {
            moves.advance(Duration::from_secs(1));
        }
        Ok::<_, ()>(n)
    };
    let (core, output) =
        FanOut::builder(work).workers(1).hedge_after(Duration::from_secs(1)).clock(&clock).launch().unwrap();
    core.accept(0, Wait::Not).unwrap();
    core.close(crate::SendReason::Closed);
    assert_eq!(output.count(), 1);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[test]
fn b2_an_init_that_panics_and_an_item_whose_drop_does_abort_nothing() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("drop");
        }
    }
    let init = || -> u8 { panic!("init") };
    let builder = FanOut::builder_init(init, |_: &mut u8, _: Bomb| Ok::<_, ()>(()));
    let (input, mut output) = builder.workers(1).start().unwrap();
    input.send(Bomb).unwrap();
    assert!(output.recv().unwrap().result.is_err());
}

#[test]
fn the_key_is_free_when_the_first_answer_has_landed_and_the_other_attempt_has_ended() {
    for other_ends_before in [true, false] {
        let hedging = Hedging::<u64, ()>::new(Duration::ZERO);
        let start = Instant::now();
        hedging.begin(
            Entry { seq: 0, sent: 0, mark: 0, class: crate::pool::NORMAL, trace: Carried::none(), item: 0 },
            1,
            start,
        );
        assert_eq!(hedging.overdue(start, None, drop), 1);
        let (won, _) = hedging.succeed(0);
        assert!(won.first && won.lands && !won.last);
        if other_ends_before {
            assert!(matches!(hedging.fail(0, None, None).0, Lost::Late(false)));
            assert!(hedging.land(0));
        } else {
            assert!(!hedging.land(0));
            assert!(matches!(hedging.fail(0, None, None).0, Lost::Late(true)));
        }
        assert!(!hedging.is_copy(0));
    }
}
