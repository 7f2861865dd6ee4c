//! Row H4: notifiers and rules whose closures block or panic.

use super::monitor::{Dial, LONG, SECOND, alarm, touchy};
use super::{Bomb, quiet_panic, within};
use fanpool::testing::ManualClock;
use fanpool::{Alert, AlertState, Monitor, MonitorBuilder, Notifier, Rule, RuleState};
use std::io;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

fn is_alternating(alerts: &[AlertState]) -> bool {
    let wanted = [AlertState::Firing, AlertState::Resolved].into_iter().cycle();
    alerts.iter().zip(wanted).all(|(state, wanted)| *state == wanted)
}

#[test]
fn h4_a_notifier_that_blocks_holds_up_nobody_and_loses_nothing() {
    within(|| {
        let dial = Dial::default();
        let (open, gate) = mpsc::channel::<()>();
        let (stuck, told, sent) = (mpsc::channel(), mpsc::channel(), crossbeam_channel::unbounded());
        let monitor = touchy(&dial)
            .notify(Notifier::new(move |alert| {
                let _ = gate.recv();
                stuck.0.send(alert.state).unwrap();
            }))
            .notify(Notifier::new(move |alert| told.0.send(alert.state).unwrap()))
            .notify(Notifier::sender(sent.0))
            .start()
            .unwrap();
        alarm(&monitor, &dial, 100);
        let seen: Vec<_> = told.1.iter().take(100).collect();
        assert!(is_alternating(&seen));
        assert_eq!(sent.1.len(), 100);
        assert!(!monitor.flush(Duration::ZERO));
        let counts = monitor.counts();
        assert_eq!((counts.looks, counts.fired, counts.resolved), (100, 50, 50));
        assert_eq!((counts.notifiers[0].waiting, counts.notifiers[0].delivered), (100, 0), "it shows");
        drop(open);
        assert!(monitor.flush(LONG));
        let late: Vec<_> = stuck.1.try_iter().collect();
        assert!(late.len() == 100 && is_alternating(&late));
        assert_eq!((monitor.counts().notifiers[0].waiting, monitor.counts().notifiers[0].delivered), (0, 100));
        assert_eq!(monitor.counts().undelivered(), 0);
    });
}

#[test]
fn h4_a_full_mailbox_loses_the_oldest_and_counts_them() {
    within(|| {
        let dial = Dial::default();
        let ((open, gate), (tell, told), (begin, begun)) = (mpsc::channel::<()>(), mpsc::channel(), mpsc::channel());
        let notifier = Notifier::new(move |alert: &Alert| {
            let _ = begin.send(());
            let _ = gate.recv();
            tell.send(alert.value.unwrap()).unwrap();
        });
        let rule = dial.rule("r").above(0.0).clear_for_at_least(Duration::ZERO);
        let builder = Monitor::builder().rule(rule).clock(ManualClock::new()).notify(notifier.mailbox(3));
        let monitor = builder.start().unwrap();
        let tell = |value: f64| {
            dial.set(value);
            monitor.check_now();
        };
        tell(1.0);
        begun.recv().unwrap();
        for value in 2..=10 {
            tell(f64::from(if value % 2 == 0 { -value } else { value }));
        }
        let counts = monitor.counts().notifiers[0];
        assert_eq!((counts.waiting, counts.undelivered), (4, 6));
        drop(open);
        assert!(monitor.flush(LONG));
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [1.0, -8.0, 9.0, -10.0]);
        assert_eq!((monitor.counts().notifiers[0].delivered, monitor.counts().undelivered()), (4, 6));
    });
}

#[test]
fn h4_a_notifier_that_panics_is_told_the_next_alert() {
    within(|| {
        let dial = Dial::default();
        let (tell, told) = mpsc::channel();
        let mut calls = 0;
        let monitor = touchy(&dial)
            .notify(Notifier::new(move |alert| {
                calls += 1;
                match calls % 3 {
                    0 => quiet_panic("no mail server"),
                    1 => quiet_panic(Bomb),
                    _ => tell.send(alert.state).unwrap(),
                }
            }))
            .notify(Notifier::new(|_| ()))
            .start()
            .unwrap();
        alarm(&monitor, &dial, 30);
        assert!(monitor.flush(LONG));
        assert_eq!(told.try_iter().count(), 10);
        let counts = monitor.counts();
        assert_eq!((counts.notifiers[0].panics, counts.notifiers[0].delivered), (20, 10));
        assert_eq!((counts.notifiers[1].panics, counts.notifiers[1].delivered, counts.panics()), (0, 30, 20));
    });
}

#[test]
fn h4_a_channel_that_is_full_or_disconnected_is_not_waited_for() {
    let dial = Dial::default();
    let ((full, one), (gone, none)) = (crossbeam_channel::bounded(1), crossbeam_channel::unbounded());
    let (rendezvous, _nobody) = crossbeam_channel::bounded(0);
    drop(none);
    let senders = [full, gone, rendezvous].map(Notifier::sender);
    let monitor = senders.into_iter().fold(touchy(&dial), MonitorBuilder::notify).start().unwrap();
    alarm(&monitor, &dial, 5);
    let counts = monitor.counts();
    let counts: Vec<_> = counts.notifiers.iter().map(|counts| (counts.delivered, counts.undelivered)).collect();
    assert_eq!(counts, [(1, 4), (0, 5), (0, 5)]);
    drop(monitor);
    assert_eq!(one.iter().count(), 1, "it is disconnected");
}

#[test]
fn h4_a_log_that_cannot_be_written_is_counted() {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<(usize, String)>>);
    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut log = self.0.lock().unwrap();
            log.0 += 1;
            match log.0 {
                2 => Err(io::ErrorKind::StorageFull.into()),
                3 => panic!("the disk is on fire"),
                _ => {
                    log.1.push_str(std::str::from_utf8(bytes).unwrap());
                    Ok(bytes.len())
                }
            }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    within(|| {
        let (dial, log) = (Dial::default(), Log::default());
        let monitor = touchy(&dial).notify(Notifier::line(log.clone())).start().unwrap();
        for alerts in 1..=4 {
            dial.set(if alerts % 2 == 1 { 11.0 } else { 1.0 });
            monitor.check_now();
            // A panic in the middle would poison the lock that the test reads it by.
            assert!(monitor.flush(LONG));
            log.0.clear_poison();
        }
        let counts = monitor.counts().notifiers[0];
        assert_eq!((counts.delivered, counts.undelivered, counts.panics), (2, 1, 1));
        let lines = log.0.lock().unwrap().1.clone();
        assert_eq!(lines, "firing: dial is 11, above 10\nresolved: dial is 1, at or below 10\n");
    });
}

#[test]
fn h4_a_rule_whose_closure_panics_is_shown_and_told_once() {
    let (clock, dial) = (ManualClock::new(), Dial::default());
    let (sender, alerts) = crossbeam_channel::unbounded();
    let broken = Arc::new(Mutex::new(0));
    let fault = broken.clone();
    let rule = Rule::new("broken", move || {
        let fault = *fault.lock().unwrap();
        match fault {
            0 => 11.0,
            1 => quiet_panic("no route"),
            _ => quiet_panic(Bomb),
        }
    });
    let builder = Monitor::builder().rule(rule.above(10.0)).rule(dial.rule("whole").above(10.0));
    let monitor = builder.notify(Notifier::sender(sender)).clock(&clock).start().unwrap();
    let mut lines = Vec::new();
    let look = |fault: i32, value: f64| {
        *broken.lock().unwrap() = fault;
        dial.set(value);
        clock.advance(SECOND);
        lines.extend(alerts.try_iter().map(|alert| alert.to_string()));
        monitor.rules()[0].error.clone()
    };
    let mut look = look;
    assert_eq!(look(0, 1.0), None);
    assert_eq!(look(1, 1.0).as_deref(), Some("no route"));
    assert_eq!(look(2, 11.0).as_deref(), Some("a payload that is not text"));
    // Now and then it can be read, which does not make it whole.
    (0..100).for_each(|n| _ = look(n % 2, 11.0));
    assert_eq!((monitor.rules()[0].state, monitor.rules()[0].value), (RuleState::Firing, Some(11.0)));
    assert_eq!(
        monitor.alerts().iter().map(|alert| alert.state).collect::<Vec<_>>(),
        [AlertState::Firing, AlertState::Broken, AlertState::Firing]
    );
    (0..4).for_each(|_| _ = look(0, 11.0));
    assert_eq!(
        lines,
        [
            "firing: broken is 11, above 10",
            "broken: broken cannot be read, its closure panicked: no route",
            "firing: whole is 11, above 10",
            "mended: broken can be read again after 105.0s",
        ]
    );
    assert_eq!((monitor.counts().sample_panics, monitor.counts().panics()), (52, 52));
    assert_eq!(monitor.alerts().len(), 2);
}
