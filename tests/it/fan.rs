//! Services: options, window, numbers, order, accounts, routes, priorities.

use super::{Counted, quiet_panic, within};
use fanpool::{BuildError, FanOut, Help, MAX_WORKERS, Pool, RecvError, Route, SendReason, ServiceCounts, TaskError};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::Duration;

/// Closed until it is opened. A thread that waits in vain panics, so that a test which fails also ends.
#[derive(Default)]
pub(crate) struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

/// A gate, one that the first item opens, and a handler that waits at the first.
pub(crate) fn gated() -> (Arc<Gate>, Arc<Gate>, impl Fn(u64) -> Result<u64, ()> + Send + Sync) {
    let (gate, entered) = (Gate::new(), Gate::new());
    let (pass, enter) = (gate.clone(), entered.clone());
    let handler = move |n| {
        enter.open();
        pass.pass();
        Ok(n)
    };
    (gate, entered, handler)
}

impl Gate {
    pub(crate) fn new() -> Arc<Gate> {
        Arc::default()
    }

    pub(crate) fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    pub(crate) fn pass(&self) {
        let open = self.open.lock().unwrap();
        let (open, _) = self.opened.wait_timeout_while(open, LONG, |open| !*open).unwrap();
        let passed = *open;
        drop(open);
        assert!(passed, "nobody opened the gate");
    }
}

/// Longer than anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) const HELPS: [Help; 3] = [Help::Never, Help::Receiver, Help::Both];

/// Nothing waits or runs, and nothing is missing.
pub(crate) fn assert_settled(counts: ServiceCounts) {
    let ServiceCounts { accepted, finished, failed, panicked, cancelled, discarded, .. } = counts;
    assert_eq!(accepted, finished + failed + panicked + cancelled + discarded, "{counts:?}");
}

pub(crate) fn routes<T>(of: impl Fn(&T) -> u64 + Copy + Send + Sync + 'static) -> [Route<'static, T>; 4] {
    [Route::Shared, Route::RoundRobin, Route::LeastLoaded, Route::by_key(of)]
}

fn ok(n: u64) -> Result<u64, ()> {
    Ok(n)
}

#[test]
fn a1_options_out_of_range_are_refused_with_their_names() {
    #[track_caller]
    fn refused<T>(started: Result<T, BuildError>, name: &str, is: usize) {
        match started.err().expect("out of range") {
            BuildError::OutOfRange { option, value, allowed } => {
                assert_eq!((option, value), (name, is));
                assert!(!allowed.contains(&value));
            }
            other => panic!("{other:?}"),
        }
    }
    refused(FanOut::builder(ok).window(0).start(), "window", 0);
    let text = FanOut::builder(ok).window(0).start().unwrap_err().to_string();
    assert_eq!(text, "window is 0; allowed is 1 and more", "where it ends is no help");
    refused(FanOut::builder(ok).limit(0).start(), "limit", 0);
    refused(FanOut::builder(ok).workers(0).start(), "workers", 0);
    let batch = |max| FanOut::builder_batch(max, Duration::ZERO, |items: Vec<u64>| items.into_iter().map(ok).collect());
    refused(batch(0).start(), "batch", 0);
    refused(batch(9).window(8).start(), "batch", 9);
    assert!(batch(8).window(8).start().is_ok());
    let pool = Arc::new(Pool::new());
    refused(FanOut::builder(ok).pool(pool.clone()).window(0).start(), "window", 0);
    refused(FanOut::builder(ok).pool(pool.clone()).limit(0).start(), "limit", 0);
    pool.scope(|s| {
        refused(s.fan_out(ok).window(0).start(), "window", 0);
        refused(s.fan_out(ok).limit(0).route(Route::RoundRobin).start(), "limit", 0);
    });
    for route in routes(|n| *n).into_iter().skip(1) {
        let conflict = FanOut::builder(ok).key(|n| *n).route(route).start().unwrap_err();
        assert!(matches!(conflict, BuildError::Conflict { option: "key", with: "route" }), "{conflict:?}");
    }
}

#[test]
fn a2_absurd_sizes_are_refused_before_anything_is_allocated() {
    let pool = Arc::new(Pool::new());
    for size in [usize::MAX, usize::MAX / 2, isize::MAX as usize] {
        assert!(matches!(
            FanOut::builder(ok).window(size).start(),
            Err(BuildError::OutOfRange { option: "window", .. })
        ));
        assert!(FanOut::builder(ok).workers(size).start().is_err());
        for route in routes(|n| *n).into_iter().skip(1) {
            let shared = FanOut::builder(ok).pool(pool.clone()).route(route).limit(size);
            assert!(matches!(shared.start(), Err(BuildError::OutOfRange { option: "limit", .. })));
        }
    }
    assert!(FanOut::builder(ok).workers(MAX_WORKERS + 1).start().is_err());
    // A limit without lanes is only a number.
    let (input, output) = FanOut::builder(ok).workers(1).limit(usize::MAX).window(1 << 40).start().unwrap();
    input.send(4).unwrap();
    drop(input);
    assert_eq!(output.partition().0, [4]);
}

#[test]
fn a4_a_name_with_a_nul_byte_is_refused() {
    let refused = FanOut::builder(ok).name("ab\0c").start().unwrap_err();
    assert!(matches!(refused, BuildError::Name { nul: 2 }));
    let pool = Arc::new(Pool::new());
    assert!(matches!(FanOut::builder(ok).pool(pool).name("\0").start(), Err(BuildError::Name { nul: 0 })));
    let (_input, output) = FanOut::builder(ok).name("").workers(1).start().unwrap();
    assert_eq!(output.control().name(), "");
}

/// With nobody taking outcomes, exactly so many items are accepted; each one taken makes room for exactly one.
#[test]
fn f2_the_window_is_exact_with_every_option() {
    within(|| {
        for window in [1, 2, 3, 4, 5, 64] {
            for help in HELPS {
                for at in 0..5 {
                    for ordered in [false, true] {
                        let builder = FanOut::builder(ok).workers(2).window(window).help(help);
                        let builder = if ordered { builder.ordered() } else { builder };
                        let builder = match routes(|n| *n % 3).into_iter().nth(at) {
                            Some(route) => builder.route(route),
                            None => builder.key(|n| *n % 3),
                        };
                        exact(window as u64, ordered, builder.start().unwrap());
                    }
                }
            }
        }
    });
}

fn exact(window: u64, ordered: bool, ends: (fanpool::Input<'static, u64>, fanpool::Output<'static, u64, ()>)) {
    let (input, mut output) = ends;
    let control = input.control();
    for n in 0..window {
        assert_eq!(input.try_send(n).unwrap(), n);
    }
    let refused = input.try_send(77).unwrap_err();
    assert_eq!((refused.reason(), refused.into_inner()), (SendReason::Full, 77));
    let late = input.send_timeout(78, Duration::ZERO).unwrap_err();
    assert_eq!((late.reason(), late.into_inner()), (SendReason::TimedOut, 78));
    assert_eq!(control.in_flight(), window as usize);
    let mut seen = Vec::new();
    for n in window..3 * window {
        let outcome = output.recv().unwrap();
        assert_eq!(outcome.seq, outcome.result.unwrap());
        seen.push(outcome.seq);
        assert_eq!(control.in_flight(), window as usize - 1);
        assert_eq!(input.try_send(n).unwrap(), n);
        assert_eq!(input.try_send(0).unwrap_err().reason(), SendReason::Full);
    }
    drop(input);
    seen.extend(output.by_ref().map(|outcome| outcome.seq));
    if !ordered {
        seen.sort_unstable();
    }
    assert!(seen.into_iter().eq(0..3 * window));
    assert!(matches!(output.recv(), Err(RecvError::Closed)));
    let counts = control.wait().unwrap();
    assert_eq!((counts.accepted, counts.finished), (3 * window, 3 * window));
    assert_settled(counts);
}

#[test]
fn failed_panicked_and_cancelled_items_have_their_places() {
    within(|| {
        for (route, help) in routes(|n| *n).into_iter().zip([Help::Never, Help::Receiver, Help::Both, Help::Never]) {
            let gate = Gate::new();
            let (reached, stop_now) = mpsc::channel();
            let handler = {
                let gate = gate.clone();
                move |n: u64| match n % 4 {
                    _ if n == 200 => {
                        reached.send(()).unwrap();
                        gate.pass();
                        Ok(n)
                    }
                    1 => Err(n),
                    2 => quiet_panic(n),
                    _ => Ok(n),
                }
            };
            let (input, output) =
                FanOut::builder(handler).workers(1).window(1000).ordered().help(help).route(route).start().unwrap();
            for n in 0..300 {
                input.send(n).unwrap();
            }
            let control = input.control();
            stop_now.recv_timeout(LONG).unwrap();
            let counts = control.stop();
            assert_eq!((counts.accepted, counts.cancelled), (300, 99));
            gate.open();
            let mut next = 0;
            for outcome in output {
                assert_eq!(outcome.seq, next);
                match outcome.result {
                    Ok(n) => assert!(n == next && n <= 200 && matches!(n % 4, 0 | 3)),
                    Err(TaskError::Failed(n)) => assert!(n == next && n < 200 && n % 4 == 1),
                    Err(TaskError::Panicked(panicked)) => {
                        assert_eq!(panicked.into_payload().downcast_ref(), Some(&next));
                    }
                    Err(TaskError::Cancelled) => assert!(next > 200 && outcome.worker.is_none()),
                    other => panic!("{other:?}"),
                }
                next += 1;
            }
            assert_eq!(next, 300);
            let counts = control.counts();
            assert_eq!((counts.finished, counts.failed, counts.panicked, counts.cancelled), (101, 50, 50, 99));
            assert_settled(counts);
        }
    });
}

#[test]
fn numbers_are_those_of_acceptance_whoever_sends() {
    within(|| {
        let (input, output) = FanOut::builder(|n: (u64, u64)| Ok::<_, ()>(n)).workers(2).window(7).start().unwrap();
        let senders: Vec<_> = (0..4)
            .map(|who| {
                let input = input.clone();
                std::thread::spawn(move || {
                    (0..500).map(|n| (input.send((who, n)).unwrap(), (who, n))).collect::<Vec<_>>()
                })
            })
            .collect();
        drop(input);
        let mut got: Vec<_> = output.map(|outcome| (outcome.seq, outcome.result.unwrap())).collect();
        let mut sent: Vec<_> = senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect();
        sent.sort_unstable();
        got.sort_unstable();
        assert_eq!(sent, got);
        assert!(got.iter().map(|(seq, _)| *seq).eq(0..2000));
    });
}

#[test]
fn a_single_thread_that_helps_sends_until_full_and_then_receives() {
    within(|| {
        for help in [Help::Receiver, Help::Both] {
            let (input, mut output) = FanOut::builder(ok).workers(1).window(16).help(help).ordered().start().unwrap();
            let (mut sent, mut got) = (0, 0);
            while got < 50_000 {
                while input.try_send(sent).is_ok() {
                    sent += 1;
                }
                assert_eq!(output.recv().unwrap().result.unwrap(), got);
                got += 1;
            }
            drop(input);
            assert_eq!(output.count() as u64, sent - got);
        }
    });
}

#[test]
fn a_limit_is_reached_and_never_exceeded_by_a_service() {
    within(|| {
        for help in HELPS {
            let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let (now, peak) = (running.clone(), most.clone());
            let both = super::map::Latch::new(2);
            let handler = move |n: u64| {
                peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                if n < 2 {
                    both.meet();
                }
                now.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, ()>(n)
            };
            let pool = Arc::new(super::pool(4));
            let (input, output) = FanOut::builder(handler).pool(pool).limit(2).window(50).help(help).start().unwrap();
            let sender = std::thread::spawn(move || (0..20_000).for_each(|n| _ = input.send(n).unwrap()));
            assert_eq!(output.count(), 20_000);
            sender.join().unwrap();
            assert_eq!(most.load(Ordering::SeqCst), 2);
        }
    });
}

#[test]
fn state_belongs_to_one_thread_at_a_time_and_is_reused() {
    within(|| {
        let made = Arc::new(AtomicUsize::new(0));
        let dropped = Arc::new(AtomicUsize::new(0));
        let (makes, drops) = (made.clone(), dropped.clone());
        let init = move || {
            makes.fetch_add(1, Ordering::SeqCst);
            (Counted(drops.clone()), 0_u64)
        };
        let handler = |state: &mut (Counted, u64), _: u64| {
            state.1 += 1;
            Ok::<_, ()>(state.1)
        };
        let (input, output) = FanOut::builder_init(init, handler).workers(3).window(64).start().unwrap();
        let sender = std::thread::spawn(move || (0..20_000).for_each(|n| _ = input.send(n).unwrap()));
        let mut counted: Vec<u64> = output.results().map(Result::unwrap).collect();
        sender.join().unwrap();
        counted.sort_unstable();
        let made = made.load(Ordering::SeqCst);
        assert!((1..=3).contains(&made), "{made}");
        assert_eq!(counted.iter().filter(|n| **n == 1).count(), made);
        assert_eq!(dropped.load(Ordering::SeqCst), made);
    });
}
