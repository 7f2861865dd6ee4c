//! Monitors: deliveries that end while alerts come, ends, and looks by several threads. On a clock that stands still,
//! so there is no thread for the rules; models look by hand.

use super::{Shared, model};
use fanpool::testing::ManualClock;
use fanpool::{Monitor, MonitorBuilder, Notifier, Rule};
use loom::alloc::Track;
use std::sync::Arc;
use std::time::Duration;

/// A rule of which each look makes an alert.
fn blinker() -> Rule {
    let mut value = 0.0;
    let blink = move || {
        value = 1.0 - value;
        value
    };
    Rule::new("blinker", blink).above(0.5).clear_for_at_least(Duration::ZERO)
}

fn builder(clock: &ManualClock) -> MonitorBuilder {
    Monitor::builder().clock(clock)
}

/// Counts alerts, which no two threads may do at once.
fn counting(told: &Arc<Shared>) -> Notifier {
    let (told, kept) = (told.clone(), Track::new(()));
    Notifier::new(move |_| {
        kept.get_ref();
        told.add();
    })
}

#[test]
fn an_alert_against_the_end_of_the_delivery_before_it() {
    model(3, || {
        let (clock, told) = (ManualClock::new(), Shared::new());
        let monitor = builder(&clock).rule(blinker()).notify(counting(&told)).start().unwrap();
        monitor.check_now();
        monitor.check_now();
        assert!(monitor.flush(Duration::MAX));
        assert_eq!(told.get(), 2);
        assert_eq!((monitor.counts().notifiers[0].delivered, monitor.counts().notifiers[0].waiting), (2, 0));
    });
}

#[test]
fn two_that_tell_at_once() {
    model(2, || {
        let (clock, told) = (ManualClock::new(), Shared::new());
        let monitor = Arc::new(builder(&clock).rule(blinker()).notify(counting(&told)).start().unwrap());
        let other = monitor.clone();
        let thread = loom::thread::spawn(move || other.check_now());
        monitor.check_now();
        thread.join().unwrap();
        assert!(monitor.flush(Duration::MAX));
        assert_eq!((told.get(), monitor.counts().looks), (2, 2));
    });
}

#[test]
fn a_drop_of_the_monitor_against_a_delivery() {
    // What was told is delivered, and the closure is dropped by whoever is the last to need it: it and its alerts would
    // leak else.
    model(3, || {
        let (clock, (tell, told)) = (ManualClock::new(), loom::sync::mpsc::channel());
        let kept = Track::new(());
        let notifier = Notifier::new(move |alert| {
            kept.get_ref();
            tell.send(alert.state).unwrap();
        });
        let monitor = builder(&clock).rule(blinker()).notify(notifier).start().unwrap();
        monitor.check_now();
        monitor.check_now();
        drop(monitor);
        for _ in 0..2 {
            told.recv().unwrap();
        }
    });
}

#[test]
fn a_drop_of_the_monitor_against_a_look() {
    // When it has returned, no closure of a rule runs, and the thread that dropped it may touch what they touch.
    model(3, || {
        let (clock, read) = (ManualClock::new(), Shared::new());
        let (own, kept) = (read.clone(), Track::new(()));
        let rule = Rule::new("r", move || {
            kept.get_ref();
            own.add();
            1.0
        });
        let monitor = builder(&clock).rule(rule.above(0.5)).start().unwrap();
        let other = clock.clone();
        let thread = loom::thread::spawn(move || other.advance(Duration::from_secs(1)));
        // loom does not see that the monitor can be reached as long as it is there; the clock's lock makes it try both
        // orders.
        let _ = clock.now();
        drop(monitor);
        read.add();
        thread.join().unwrap();
        assert!((1..=2).contains(&read.get()));
    });
}

#[test]
fn two_looks_at_once() {
    model(3, || {
        let (clock, read) = (ManualClock::new(), Shared::new());
        let own = read.clone();
        let rule = Rule::new("r", move || {
            own.add();
            1.0
        });
        let monitor = builder(&clock).rule(rule.above(0.5)).start().unwrap();
        let thread = loom::thread::spawn(move || clock.advance(Duration::from_secs(1)));
        monitor.check_now();
        thread.join().unwrap();
        assert_eq!((read.get(), monitor.counts().looks), (2, 2));
    });
}
