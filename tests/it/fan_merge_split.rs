//! Services: one output to several consumers.

use super::fan::{HELPS, LONG, assert_settled};
use super::fan_pipes::assert_gone;
use super::{Bomb, Counted, quiet_panic, within};
use fanpool::{BuildError, FanOut, RecvError, SendReason, TaskError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn odd_fail(n: u64) -> Result<u64, u64> {
    if n % 2 == 0 { Ok(n) } else { Err(n) }
}

#[test]
fn all_branches_of_a_tee_see_everything_in_order() {
    within(|| {
        for help in HELPS {
            let builder = FanOut::builder(odd_fail).name("tee-a").workers(2).ordered().window(8).help(help);
            let (input, output) = builder.start().unwrap();
            let control = output.control();
            let branches = output.tee::<3>(2).unwrap();
            let readers = branches.map(|branch| {
                std::thread::spawn(move || {
                    let mut next = 0;
                    for outcome in branch {
                        assert_eq!(outcome.seq, next);
                        match &outcome.result {
                            Ok(n) => assert!(*n == next && n % 2 == 0),
                            Err(TaskError::Failed(n)) => assert!(*n == next && n % 2 == 1),
                            Err(error) => panic!("{error:?}"),
                        }
                        next += 1;
                    }
                    next
                })
            });
            (0..2000).for_each(|n| _ = input.send(n).unwrap());
            drop(input);
            assert_eq!(readers.map(|reader| reader.join().unwrap()), [2000; 3]);
            let counts = control.wait().unwrap();
            assert_eq!((counts.accepted, counts.finished, counts.undelivered), (2000, 1000, 0));
        }
        assert_gone("tee-a");
    });
}

#[test]
fn e4_a_slow_branch_holds_up_the_others_until_it_is_dropped() {
    within(|| {
        let (input, output) =
            FanOut::builder(Ok::<u64, u64>).name("tee-b").window(4).workers(1).ordered().start().unwrap();
        let [mut fast, slow] = output.tee(2).unwrap();
        // The slow one's buffer, one in the collector's hand, the window; of these the fast one has the first three.
        for n in 0..3 {
            input.send(n).unwrap();
            assert_eq!(*fast.recv().unwrap().result.as_ref().unwrap(), n);
        }
        (3..7).for_each(|n| _ = input.send(n).unwrap());
        assert_eq!(input.try_send(9).unwrap_err().reason(), SendReason::Full);
        assert_eq!(fast.try_recv().unwrap_err(), RecvError::Empty);
        drop(slow);
        assert!(fast.by_ref().take(4).map(|outcome| outcome.seq).eq(3..7));
        drop(input);
        assert!(fast.next().is_none());
        drop(fast);
        assert_gone("tee-b");
    });
}

#[test]
fn f7_the_last_branch_that_is_dropped_stops_the_service() {
    within(|| {
        for idle in [true, false] {
            let dropped = Arc::new(AtomicUsize::new(0));
            let builder = FanOut::builder(Ok::<Counted, u64>).name("tee-c").workers(1).window(4).ordered();
            let (input, output) = builder.start().unwrap();
            let control = input.control();
            let [a, b] = output.tee(1).unwrap();
            // The window, one in the collector's hand, a buffer.
            let sent = if idle { 0 } else { 6 };
            (0..sent).for_each(|_| _ = input.send(Counted(dropped.clone())).unwrap());
            drop(a);
            assert_eq!(input.closed(), None);
            drop(b);
            let refused = input.send(Counted(dropped.clone())).unwrap_err();
            assert_eq!(refused.reason(), SendReason::Cancelled);
            let counts = control.wait().unwrap();
            assert_settled(counts);
            assert_eq!((counts.accepted, dropped.load(Ordering::SeqCst)), (sent, sent as usize));
            assert!(counts.undelivered + counts.discarded + 2 >= sent, "{counts:?}");
        }
        assert_gone("tee-c");
    });
}

/// The collector drops the last share of an outcome when a branch that held it up is gone.
#[test]
fn b2_a_shared_outcome_may_panic_when_dropped() {
    within(|| {
        let (input, output) = FanOut::builder(|_: u64| Ok::<_, ()>(Bomb)).workers(1).start().unwrap();
        let [quick, slow] = output.tee(1).unwrap();
        (0..2).for_each(|n| _ = input.send(n).unwrap());
        let first = quick.recv().unwrap();
        drop(quick.recv().unwrap());
        assert!(catch_unwind(AssertUnwindSafe(|| drop(slow))).is_ok());
        std::mem::forget(first);
        input.send(2).unwrap();
        let third = quick.recv().expect("the service goes on");
        assert_eq!((third.seq, quick.take_panic().is_none()), (2, true));
        std::mem::forget(third);
    });
}

#[test]
fn outcomes_are_split_by_number_and_modulo() {
    within(|| {
        for help in HELPS {
            let builder = FanOut::builder(odd_fail).name("split-a").workers(2).ordered().window(8).help(help);
            let (input, output) = builder.start().unwrap();
            let control = output.control();
            // Indices beyond the number of branches wrap.
            let branches = output.split_by::<3>(2, |outcome| outcome.seq as usize).unwrap();
            let readers = branches.map(|branch| std::thread::spawn(move || branch.map(|o| o.seq).collect::<Vec<_>>()));
            (0..1000).for_each(|n| _ = input.send(n).unwrap());
            drop(input);
            for (at, reader) in (0..).zip(readers) {
                assert!(reader.join().unwrap().into_iter().eq((at..1000).step_by(3)));
            }
            assert_eq!(control.wait().unwrap().undelivered, 0);
        }
        assert_gone("split-a");
    });
}

#[test]
fn outcomes_for_a_branch_that_was_dropped_are_undelivered() {
    within(|| {
        let (input, output) = FanOut::builder(Ok::<u64, u64>).name("split-b").workers(1).ordered().start().unwrap();
        let control = output.control();
        let [even, odd] = output.split_by(100, |outcome| (outcome.seq % 2) as usize).unwrap();
        drop(odd);
        (0..100).for_each(|n| _ = input.send(n).unwrap());
        drop(input);
        assert!(even.map(|outcome| outcome.seq).eq((0..100).step_by(2)));
        let counts = control.wait().unwrap();
        assert_eq!((counts.accepted, counts.finished, counts.undelivered), (100, 100, 50));
        assert_gone("split-b");
    });
}

/// Whoever sees the end finds the panic; the outcome is counted, also if its `Drop` panics too.
#[test]
fn f3_a_branch_function_that_panics_stops_the_service() {
    within(|| {
        for _ in 0..200 {
            let (input, output) =
                FanOut::builder(|_: u64| Ok::<_, ()>(Bomb)).name("split-c").workers(1).start().unwrap();
            let control = output.control();
            let [mut a, b] =
                output.split_by(1, |outcome| if outcome.seq == 0 { quiet_panic("none") } else { 1 }).unwrap();
            input.send(0).unwrap();
            assert!(a.next().is_none());
            assert_eq!(a.take_panic().expect("it is there").message(), "none");
            assert!(b.take_panic().is_none());
            drop((a, b));
            assert_eq!(input.send(1).unwrap_err().reason(), SendReason::Cancelled);
            let counts = control.wait_timeout(LONG).unwrap().unwrap();
            assert_eq!((counts.accepted, counts.finished, counts.undelivered), (1, 1, 1));
        }
        assert_gone("split-c");
    });
}

#[test]
fn a1_branches_and_buffers_out_of_range_are_refused_and_the_service_is_stopped() {
    for (n, buffer) in [(2, 0), (2, usize::MAX), (0, 1)] {
        let (input, output) = FanOut::builder(Ok::<u64, u64>).name("split-d").workers(1).start().unwrap();
        let refused = match n {
            0 => output.split_by::<0>(buffer, |_| 0).map(drop),
            _ => output.tee::<2>(buffer).map(drop),
        };
        let option = if n == 0 { "branches" } else { "buffer" };
        assert!(matches!(refused, Err(BuildError::OutOfRange { option: named, .. }) if named == option));
        assert_eq!(input.send(1).unwrap_err().reason(), SendReason::Cancelled);
    }
    assert_gone("split-d");
}
