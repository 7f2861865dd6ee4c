//! H4: a subscriber that panics or blocks.

use super::recorder::{Call, Recording};
use super::{pool, quiet_panic, within};
use fanpool::trace::subscriber_panics;
use fanpool::{CircuitBreaker, FanOut, Retry};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::time::Duration;
use tracing::{Level, info_span};

/// A program that uses everything that has spans and events; checks what comes of it.
fn program() {
    let pool = pool(2);
    let ran = Arc::new(AtomicUsize::new(0));
    for n in 0..100 {
        let ran = ran.clone();
        let task = move || {
            ran.fetch_add(1, Ordering::Relaxed);
            if n % 10 == 0 {
                quiet_panic("on purpose");
            }
        };
        pool.spawn(task).unwrap();
    }
    assert_eq!(pool.submit(|| 7).join().unwrap(), 7);
    let panicked = pool.submit(|| quiet_panic("kept")).join().unwrap_err();
    assert!(panicked.to_string().contains("kept"), "{panicked}");
    pool.scope(|s| (0..100).for_each(|_| s.spawn(|| _ = ran.fetch_add(1, Ordering::Relaxed))));
    assert!(pool.map(0..1000, |n| n + 1).collect::<Vec<_>>().into_iter().eq(1..1001));
    let meet = Barrier::new(2);
    pool.join(|| meet.wait(), || meet.wait());
    assert_eq!(pool.map(0..2, |_| meet.wait()).batch(1).count(), 2);
    pool.wait_idle().unwrap();
    assert_eq!(ran.load(Ordering::Relaxed), 200);
    assert_eq!(pool.broadcast(|index| index).unwrap(), [0, 1]);
    pool.resize(3).unwrap();
    assert_eq!(pool.broadcast(|index| index).unwrap(), [0, 1, 2]);

    let strand = pool.group().limit(1).build().unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    for n in 0..100 {
        let order = order.clone();
        strand.spawn(move || order.lock().unwrap().push(n)).unwrap();
    }
    pool.wait_idle().unwrap();
    assert!(order.lock().unwrap().iter().copied().eq(0..100));
    let receipt = pool.shutdown();
    assert_eq!((receipt.tasks.panicked, receipt.threads_joined), (11, 3));
    assert!(receipt.threads_busy.is_empty());

    service();
}

/// Every third item fails at first, every seventh panics; all outcomes come, in order.
fn service() {
    let first = Mutex::new(std::collections::HashSet::new());
    let handler = move |n: usize| match n {
        n if n % 7 == 0 => quiet_panic(n),
        n if n % 3 == 0 && first.lock().unwrap().insert(n) => Err("at first"),
        n => Ok(n),
    };
    let breaker = CircuitBreaker::builder().minimum_calls(100).failure_rate(1.0).build().unwrap();
    let retry = Retry::fixed(Duration::from_micros(10)).max_attempts(2);
    let builder = FanOut::builder(handler).workers(2).ordered().retry(retry).breaker(breaker.clone());
    let (input, output) = builder.start().unwrap();
    let sender = std::thread::spawn(move || (0..200).for_each(|n| _ = input.send(n).unwrap()));
    let outcomes: Vec<_> = output.collect();
    sender.join().unwrap();
    assert_eq!(outcomes.len(), 200);
    for (n, outcome) in outcomes.into_iter().enumerate() {
        assert_eq!(outcome.result.is_err(), n % 7 == 0, "{n}");
    }
    let batched = |items: Vec<usize>| items.into_iter().map(Ok::<_, ()>).collect();
    let (input, output) = FanOut::builder_batch(8, Duration::ZERO, batched).ordered().start().unwrap();
    (0..100).for_each(|n| _ = input.send(n).unwrap());
    drop(input);
    assert!(output.map(|outcome| outcome.result.unwrap()).eq(0..100));

    let told = Arc::new(AtomicUsize::new(0));
    let count = told.clone();
    let breaker =
        CircuitBreaker::builder().minimum_calls(1).on_change(move |_| _ = count.fetch_add(1, Ordering::Relaxed));
    let breaker = breaker.build().unwrap();
    breaker.admit().unwrap().failure();
    breaker.reset();
    // A permit that is dropped by a panic tells of the change while that unwinds.
    let call = std::panic::AssertUnwindSafe(|| breaker.call(|| -> Result<(), ()> { quiet_panic("in a call") }));
    assert!(std::panic::catch_unwind(call).is_err());
    assert!(breaker.admit().is_err());
    assert_eq!(told.load(Ordering::Relaxed), 3);
}

#[test]
fn h4_a_subscriber_that_panics_takes_nothing_with_it() {
    within(|| {
        let calls = [
            Call::NewSpan("task"),
            Call::NewSpan("map"),
            Call::NewSpan("half"),
            Call::NewSpan("item"),
            Call::NewSpan("batch"),
            Call::Enter("task"),
            Call::Enter("item"),
            Call::Enter("batch"),
            Call::Enter("outer"),
            Call::Exit("task"),
            Call::Exit("half"),
            Call::Exit("item"),
            Call::Follows,
            Call::Clone,
            Call::Close,
            Call::Current,
            Call::Event(Level::ERROR),
            Call::Event(Level::WARN),
            Call::Event(Level::INFO),
            Call::Event(Level::DEBUG),
        ];
        for faulty in calls {
            let recording = Recording::start();
            // So that parents are entered.
            if faulty == Call::Enter("outer") {
                recording.refuse_spans();
            }
            let outer = info_span!("outer");
            let before = subscriber_panics();
            outer.in_scope(|| {
                recording.fault(move |call| {
                    if call == faulty {
                        quiet_panic("the subscriber");
                    }
                });
                program();
                recording.heal();
            });
            assert!(subscriber_panics() > before, "{faulty:?} was not called");
            drop(outer);
            // A span that was not entered is not left, and what was is closed, whatever failed.
            recording.assert_closed();
        }
    });
}

#[test]
fn h4_a_subscriber_that_panics_whenever_it_is_called_takes_nothing_with_it() {
    within(|| {
        let recording = Recording::start();
        recording.fault(|_| quiet_panic("the subscriber"));
        program();
        assert_eq!(recording.spans().len(), 0);
    });
}

/// Blocks the subscriber's first call that `which` selects, until told to go on.
fn block(
    recording: &Recording,
    which: impl Fn(Call) -> bool + Send + Sync + 'static,
) -> (mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (blocks, blocked) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let once = Mutex::new(Some((blocks, released)));
    recording.fault(move |call| {
        if which(call) {
            let first = once.lock().unwrap().take();
            if let Some((blocks, released)) = first {
                blocks.send(()).unwrap();
                let _ = released.recv();
            }
        }
    });
    (blocked, release)
}

#[test]
fn h4_a_subscriber_that_blocks_holds_up_only_the_task_that_it_is_called_for() {
    within(|| {
        for call in [Call::NewSpan("task"), Call::Enter("task"), Call::Exit("task"), Call::Event(Level::ERROR)] {
            let recording = Recording::start();
            let pool = pool(2);
            let (blocked, release) = block(&recording, move |seen| seen == call);
            let ran = Arc::new(AtomicUsize::new(0));
            let slow = pool.submit(|| quiet_panic("an event"));
            blocked.recv().unwrap();
            // Neither those that come afterwards nor those who wait for them, on the other worker or here.
            let handles: Vec<_> = (0..100).map(|n| pool.submit(move || n)).collect();
            pool.scope(|s| (0..100).for_each(|_| s.spawn(|| _ = ran.fetch_add(1, Ordering::Relaxed))));
            assert!(handles.into_iter().map(|handle| handle.join().unwrap()).eq(0..100));
            assert_eq!(ran.load(Ordering::Relaxed), 100);
            assert!(!slow.is_finished());
            drop(release);
            assert!(slow.join().is_err());
            assert_eq!(pool.shutdown().threads_joined, 2);
            recording.assert_closed();
        }
    });
}

#[test]
fn h4_a_subscriber_that_blocks_holds_up_only_the_item_that_it_is_called_for() {
    within(|| {
        for call in [Call::NewSpan("item"), Call::Enter("item"), Call::Exit("item"), Call::Event(Level::ERROR)] {
            let recording = Recording::start();
            let (blocked, release) = block(&recording, move |seen| seen == call);
            let handler = |n: usize| if n == 0 { quiet_panic("an event") } else { Ok::<_, ()>(n) };
            let (input, mut output) = FanOut::builder(handler).workers(2).start().unwrap();
            input.send(0).unwrap();
            blocked.recv().unwrap();
            (1..100).for_each(|n| _ = input.send(n).unwrap());
            let mut others: Vec<_> = (1..100).map(|_| output.recv().unwrap().result.unwrap()).collect();
            others.sort_unstable();
            assert!(others.into_iter().eq(1..100));
            drop(release);
            assert!(output.recv().unwrap().result.is_err());
            drop((input, output));
            recording.assert_closed();
        }
    });
}

#[test]
fn h4_a_subscriber_that_blocks_on_a_breaker_holds_up_nobody_who_asks_it() {
    within(|| {
        let recording = Recording::start();
        let breaker = CircuitBreaker::builder().minimum_calls(1).build().unwrap();
        let (blocked, release) = block(&recording, |call| call == Call::Event(Level::WARN));
        let teller = std::thread::spawn({
            let breaker = breaker.clone();
            move || breaker.admit().unwrap().failure()
        });
        blocked.recv().unwrap();
        assert!(breaker.admit().is_err());
        breaker.reset();
        breaker.admit().unwrap().success();
        drop(release);
        teller.join().unwrap();
        assert_eq!(recording.told("breaker changed").len(), 2);
    });
}

#[test]
fn h4_a_subscriber_may_use_the_pool() {
    within(|| {
        let recording = Recording::start();
        let shared = Arc::new(pool(2));
        let (user, used) = (shared.clone(), Arc::new(AtomicUsize::new(0)));
        let count = used.clone();
        recording.fault(move |call| {
            if matches!(call, Call::NewSpan("task") | Call::Event(_)) && count.fetch_add(1, Ordering::Relaxed) < 10 {
                let count = count.clone();
                user.spawn(move || _ = count.fetch_add(1, Ordering::Relaxed)).unwrap();
                assert!(user.queued() < 1000);
            }
        });
        info_span!("outer").in_scope(|| shared.scope(|s| (0..10).for_each(|_| s.spawn(|| ()))));
        shared.wait_idle().unwrap();
        recording.heal();
        assert!(used.load(Ordering::Relaxed) >= 20);
    });
}
