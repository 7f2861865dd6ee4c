//! How monitors end, and who uses and drops them from inside.

use super::monitor::{Dial, LONG, SECOND, alarm, touchy};
use super::{Bomb, Counted, pool, quiet_panic, within};
use fanpool::testing::ManualClock;
use fanpool::{Monitor, Notifier, Rule};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::Duration;

#[test]
fn h4_a_monitor_whose_notifier_blocks_can_be_dropped_and_still_delivers() {
    within(|| {
        let dial = Dial::default();
        let ((open, gate), (tell, told), (begin, begun)) = (mpsc::channel::<()>(), mpsc::channel(), mpsc::channel());
        let dropped = Arc::new(AtomicUsize::new(0));
        let (kept, idle) = (Counted(dropped.clone()), Counted(dropped.clone()));
        let stuck = Notifier::new(move |alert| {
            let _ = begin.send(());
            let _ = gate.recv();
            tell.send((alert.state, kept.0.load(Ordering::SeqCst))).unwrap();
        });
        let other = Notifier::new(move |_| assert_eq!(idle.0.load(Ordering::SeqCst), 0));
        let monitor = touchy(&dial).notify(stuck).notify(other).start().unwrap();
        alarm(&monitor, &dial, 3);
        begun.recv().unwrap();
        drop(monitor);
        drop(open);
        // The last is followed by the end of the channel: the thread has dropped its closure.
        assert_eq!(told.iter().count(), 3);
        while dropped.load(Ordering::SeqCst) != 2 {
            std::thread::yield_now();
        }
    });
}

#[test]
fn a_monitor_may_be_dropped_by_the_closure_of_a_rule() {
    // By its own thread, and by one that advances a clock.
    for manual in [false, true] {
        within(move || {
            let (clock, slot) = (ManualClock::new(), Arc::new(Mutex::new(None::<Monitor>)));
            let dropped = Arc::new(AtomicUsize::new(0));
            let (own, held, looks) = (slot.clone(), Counted(dropped.clone()), Arc::new(AtomicUsize::new(0)));
            let (later, (sender, alerts)) = (looks.clone(), crossbeam_channel::unbounded());
            let suicidal = Rule::new("suicidal", move || {
                let monitor = own.lock().unwrap().take();
                let ended = monitor.is_some();
                drop(monitor);
                assert_eq!(held.0.load(Ordering::SeqCst), 0, "what it holds is there while it runs");
                if ended { 11.0 } else { 1.0 }
            });
            let after = Rule::new("after", move || {
                later.fetch_add(1, Ordering::SeqCst);
                1.0
            });
            let builder = Monitor::builder().every(Duration::from_millis(1)).rule(suicidal.above(10.0));
            let builder = builder.rule(after.above(10.0)).notify(Notifier::sender(sender));
            let builder = if manual { builder.clock(&clock) } else { builder };
            let monitor = builder.start().unwrap();
            if manual {
                clock.advance(SECOND);
                assert_eq!(looks.load(Ordering::SeqCst), 1);
            }
            *slot.lock().unwrap() = Some(monitor);
            clock.advance(SECOND);
            while dropped.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            let seen = looks.load(Ordering::SeqCst);
            clock.advance(SECOND);
            assert_eq!(looks.load(Ordering::SeqCst), seen, "nobody looks any more");
            assert_eq!(alerts.iter().count(), 0, "nor tells");
        });
    }
}

#[test]
fn a_monitor_may_be_dropped_by_a_notifier() {
    within(|| {
        let (dial, slot) = (Dial::default(), Arc::new(Mutex::new(None::<Monitor>)));
        let (own, (tell, told)) = (slot.clone(), mpsc::channel());
        let notifier = Notifier::new(move |alert| {
            drop(own.lock().unwrap().take());
            tell.send(alert.state).unwrap();
        });
        dial.set(11.0);
        let builder = Monitor::builder().every(Duration::from_millis(1)).rule(dial.rule("r").above(10.0));
        let mut own = slot.lock().unwrap();
        *own = Some(builder.notify(notifier).start().unwrap());
        drop(own);
        assert_eq!(told.iter().count(), 1, "the closure is gone afterwards");
    });
}

#[test]
fn a_worker_may_drop_the_monitor_that_has_the_last_handle_of_its_pool() {
    within(|| {
        let pool = Arc::new(pool(1));
        let (watched, (done, ended)) = (pool.clone(), mpsc::channel());
        let rule = Rule::new("queue", move || watched.queued() as f64).above(10.0);
        let monitor = Monitor::builder().every(Duration::from_millis(1)).rule(rule).start().unwrap();
        let (go, gate) = mpsc::channel::<()>();
        pool.spawn(move || {
            let _ = gate.recv();
            drop(monitor);
            done.send(()).unwrap();
        })
        .unwrap();
        drop(pool);
        drop(go);
        ended.recv().unwrap();
    });
}

#[test]
fn closures_may_use_their_monitor() {
    within(|| {
        let (dial, own) = (Dial::default(), Arc::new(OnceLock::<Monitor>::new()));
        let ((tell, told), (look, looked)) = (mpsc::channel(), mpsc::channel());
        let (by_rule, by_notifier) = (own.clone(), own.clone());
        let rule = Rule::new("curious", move || {
            let monitor = by_rule.get().unwrap();
            // Not a second look inside of this one.
            monitor.check_now();
            let sampling: Vec<_> = monitor.rules().iter().map(|rule| rule.sampling).collect();
            look.send((monitor.counts().looks, monitor.alerts().len(), sampling)).unwrap();
            1.0
        });
        let notifier = Notifier::new(move |alert| {
            let monitor = by_notifier.get().unwrap();
            assert!(!monitor.flush(Duration::MAX), "it would wait for itself");
            monitor.check_now();
            tell.send((alert.state, monitor.alerts().len())).unwrap();
        });
        let monitor = touchy(&dial).rule(rule.above(10.0)).notify(notifier).start().unwrap();
        let monitor = own.get_or_init(|| monitor);
        alarm(monitor, &dial, 1);
        assert!(monitor.flush(LONG));
        assert_eq!(told.try_iter().count(), 1);
        let seen: Vec<_> = looked.try_iter().collect();
        assert_eq!(seen, [(0, 1, vec![false, true]), (1, 1, vec![false, true])]);
    });
}

#[test]
fn looks_of_many_threads_come_one_after_the_other() {
    within(|| {
        let (clock, inside, most) =
            (ManualClock::new(), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (own, overlap) = (inside.clone(), most.clone());
        let rule = Rule::new("r", move || {
            if own.fetch_add(1, Ordering::SeqCst) > 0 {
                overlap.store(true, Ordering::SeqCst);
            }
            std::thread::yield_now();
            own.fetch_sub(1, Ordering::SeqCst);
            1.0
        });
        let monitor = Monitor::builder().rule(rule.above(10.0)).clock(&clock).start().unwrap();
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| (0..200).for_each(|_| monitor.check_now()));
            }
            s.spawn(|| (0..200).for_each(|_| clock.advance(SECOND)));
        });
        assert!(!most.load(Ordering::SeqCst));
        assert!((801..=1_000).contains(&monitor.counts().looks), "{}", monitor.counts().looks);
    });
}

#[test]
fn dropping_against_advancing_leaves_no_look_behind() {
    within(|| {
        for _ in 0..500 {
            let (clock, running) = (ManualClock::new(), Arc::new(AtomicBool::new(false)));
            let (own, dropped) = (running.clone(), Arc::new(AtomicUsize::new(0)));
            let held = Counted(dropped.clone());
            let rule = Rule::new("r", move || {
                own.store(true, Ordering::SeqCst);
                std::thread::yield_now();
                own.store(false, Ordering::SeqCst);
                held.0.load(Ordering::SeqCst) as f64
            });
            let monitor = Monitor::builder().rule(rule.above(10.0)).clock(&clock).start().unwrap();
            let advance = std::thread::spawn(move || (0..10).for_each(|_| clock.advance(SECOND)));
            drop(monitor);
            assert!(!running.load(Ordering::SeqCst));
            assert_eq!(dropped.load(Ordering::SeqCst), 1, "the closure is dropped here");
            advance.join().unwrap();
        }
    });
}

#[test]
fn b2_closures_whose_drop_panics_end_with_their_monitor() {
    within(|| {
        let dial = Dial::default();
        let (one, two) = (Bomb, Bomb);
        let rule = Rule::new("r", move || {
            let _one = &one;
            quiet_panic(Bomb) as f64
        });
        let notifier = Notifier::new(move |_| {
            let _two = &two;
            quiet_panic(Bomb)
        });
        let (sender, alerts) = crossbeam_channel::unbounded();
        let builder = touchy(&dial).rule(rule.above(10.0)).notify(notifier).notify(Notifier::sender(sender));
        let monitor = builder.start().unwrap();
        alarm(&monitor, &dial, 2);
        assert!(monitor.flush(LONG));
        drop(monitor);
        assert_eq!(alerts.iter().count(), 3);
    });
}
