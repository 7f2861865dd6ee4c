//! Alerts: rows A1, H4, H5 and H7, and what a monitor does when it is used.

use super::{Bomb, quiet_panic, within};
use fanpool::testing::ManualClock;
use fanpool::{Alert, AlertState, BuildError, Monitor, MonitorBuilder, Notifier, Rule, RuleState};
use std::io;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const LONG: Duration = Duration::from_secs(3600);

/// A value that a test sets and a rule reads.
#[derive(Clone, Default)]
pub(super) struct Dial(Arc<Mutex<Option<f64>>>);

impl Dial {
    pub(super) fn set(&self, value: impl Into<Option<f64>>) {
        *self.0.lock().unwrap() = value.into();
    }

    pub(super) fn rule(&self, name: &str) -> Rule {
        let dial = self.clone();
        Rule::new(name, move || *dial.0.lock().unwrap())
    }
}

/// A monitor on a clock that stands still, and the alerts of a rule that is above 10 and takes no time to be resolved.
pub(super) fn touchy(dial: &Dial) -> MonitorBuilder {
    Monitor::builder().clock(ManualClock::new()).rule(dial.rule("dial").above(10.0).clear_for_at_least(Duration::ZERO))
}

/// Makes so many alerts: it fires, is resolved, and so on.
pub(super) fn alarm(monitor: &Monitor, dial: &Dial, alerts: usize) {
    for alert in 0..alerts {
        dial.set(if alert % 2 == 0 { 11.0 } else { 1.0 });
        monitor.check_now();
    }
}

fn is_alternating(alerts: &[AlertState]) -> bool {
    let wanted = [AlertState::Firing, AlertState::Resolved].into_iter().cycle();
    alerts.iter().zip(wanted).all(|(state, wanted)| *state == wanted)
}

#[test]
fn a1_options_that_make_no_sense_are_refused() {
    let start = |rule: Rule| Monitor::builder().rule(rule).start();
    let rule = || Rule::new("r", || 1.0);
    type Case = (&'static str, Result<Monitor, BuildError>, &'static str);
    let up = "a finite number up to that of `above`";
    let down = "a finite number from that of `below`";
    let cases: Vec<Case> = vec![
        ("no rule", Monitor::builder().start(), "rules is 0; allowed is 1 to 18446744073709551615"),
        (
            "no time",
            touchy(&Dial::default()).every(Duration::ZERO).start(),
            "every is 0; allowed is more than 0 seconds",
        ),
        (
            "one name twice",
            touchy(&Dial::default()).rule(Rule::new("dial", || 1.0).below(0.0)).start(),
            "there are two rules named \"dial\"",
        ),
        ("no name", start(Rule::new("", || 1.0).above(1.0)), "rule \"\": name is missing"),
        ("no threshold", start(rule()), "rule \"r\": above or below is missing"),
        ("two", start(rule().above(1.0).below(0.0)), "rule \"r\": above cannot be combined with this below"),
        ("NaN", start(rule().above(f64::NAN)), "rule \"r\": above is NaN; allowed is a finite number"),
        ("infinite", start(rule().below(f64::INFINITY)), "rule \"r\": below is inf; allowed is a finite number"),
        (
            "cleared above",
            start(rule().above(1.0).clears_at(1.5)),
            &format!("rule \"r\": clears_at is 1.5; allowed is {up}").leak()[..],
        ),
        (
            "cleared below",
            start(rule().below(1.0).clears_at(0.5)),
            &format!("rule \"r\": clears_at is 0.5; allowed is {down}").leak()[..],
        ),
        (
            "cleared nowhere",
            start(rule().below(1.0).clears_at(f64::NAN)),
            &format!("rule \"r\": clears_at is NaN; allowed is {down}").leak()[..],
        ),
        (
            "no room",
            touchy(&Dial::default()).notify(Notifier::new(|_| ()).mailbox(0)).start(),
            "mailbox is 0; allowed is 1 to 18446744073709551615",
        ),
    ];
    for (name, started, wanted) in cases {
        assert_eq!(started.expect_err(name).to_string(), wanted, "{name}");
    }
    let extreme =
        rule().above(f64::MAX).clears_at(f64::MIN).for_at_least(Duration::MAX).clear_for_at_least(Duration::MAX);
    for clock in [fanpool::Clock::system(), ManualClock::new().into()] {
        let rule = Rule::new("extreme", || f64::MAX).above(f64::MIN).for_at_least(Duration::MAX);
        Monitor::builder().rule(rule).every(Duration::MAX).clock(clock).start().unwrap().check_now();
    }
    Monitor::builder().rule(extreme).every(Duration::from_nanos(1)).start().unwrap().check_now();
}

#[test]
fn a_rule_fires_and_is_resolved_in_its_time() {
    let (clock, dial) = (ManualClock::new(), Dial::default());
    let (sender, alerts) = crossbeam_channel::unbounded();
    let rule = dial.rule("queue").above(1000.0).clears_at(500.0);
    let rule = rule.for_at_least(5 * SECOND).clear_for_at_least(2 * SECOND);
    let monitor = Monitor::builder().rule(rule).notify(Notifier::sender(sender)).clock(&clock).start().unwrap();
    let mut lines = Vec::new();
    for (second, value) in
        [1.0, 1001.0, 1.0, 1500.0, 1500.0, 1500.0, 1500.0, 1400.0, 1300.0, 700.0, 400.0, 501.0, 400.0, 300.0, 200.0]
            .into_iter()
            .enumerate()
    {
        dial.set(value);
        clock.advance(SECOND);
        lines.extend(alerts.try_iter().map(|alert| format!("{second} {alert}")));
        assert_eq!(monitor.alerts().len(), usize::from((8..14).contains(&second)), "{second}");
        let pending = monitor.rules()[0].state == RuleState::Pending;
        assert_eq!(pending, second == 1 || (3..8).contains(&second), "{second}");
    }
    let wanted =
        ["8 firing: queue is 1300, above 1000 for 5.0s", "14 resolved: queue is 200, at or below 500 after 11.0s"];
    assert_eq!(lines, wanted);
    assert_eq!((monitor.counts().looks, monitor.counts().fired, monitor.counts().resolved), (15, 1, 1));
}

#[test]
fn a_jump_over_many_intervals_is_one_look() {
    let (clock, dial) = (ManualClock::new(), Dial::default());
    let monitor = Monitor::builder().rule(dial.rule("r").above(1.0)).clock(&clock).start().unwrap();
    let mut looks = 0;
    for (time, more) in [(SECOND / 2, 0), (SECOND / 2, 1), (100 * SECOND, 1), (SECOND - Duration::from_nanos(1), 0)] {
        clock.advance(time);
        looks += more;
        assert_eq!(monitor.counts().looks, looks);
    }
    // At the clock's end there is no next look.
    clock.advance(Duration::MAX);
    clock.advance(Duration::MAX);
    assert_eq!(monitor.counts().looks, looks + 1);
}

#[test]
fn one_thread_looks_at_all_rules_by_itself() {
    within(|| {
        let (ran, runs) = mpsc::channel();
        let mut builder = Monitor::builder().every(Duration::from_millis(1));
        for rule in 0..3 {
            let ran = ran.clone();
            let note = move || {
                let _ = ran.send((rule, std::thread::current().id()));
                0.0
            };
            builder = builder.rule(Rule::new(rule.to_string(), note).above(1.0));
        }
        let monitor = builder.start().unwrap();
        let (rules, threads): (Vec<_>, Vec<_>) = runs.iter().take(300).unzip();
        assert!(rules.chunks(3).all(|look| look == [0, 1, 2]));
        assert!(threads.iter().all(|thread| *thread == threads[0] && *thread != std::thread::current().id()));
        drop((monitor, ran));
        // This ends, since the closures are gone.
        runs.iter().for_each(drop);
    });
}

#[test]
fn no_reading_changes_nothing() {
    let (clock, dial) = (ManualClock::new(), Dial::default());
    let rule = dial.rule("r").above(10.0).for_at_least(2 * SECOND).clear_for_at_least(Duration::ZERO);
    let monitor = Monitor::builder().rule(rule).clock(&clock).start().unwrap();
    let states = [11.0, f64::NAN, 11.0, 11.0, f64::NAN, f64::NAN, 1.0].map(|value| {
        dial.set(Some(value).filter(|_| monitor.counts().looks != 4));
        clock.advance(SECOND);
        monitor.rules()[0].state
    });
    use RuleState::{Firing, Pending, Quiet};
    assert_eq!(states, [Pending, Pending, Firing, Firing, Firing, Firing, Quiet]);
    assert_eq!(monitor.rules()[0].value, Some(1.0));
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

#[test]
fn h5_rates_are_never_nan_whatever_the_clock_and_the_counter_do() {
    let (clock, dial) = (ManualClock::new(), Dial::default());
    let (sender, alerts) = crossbeam_channel::unbounded();
    let at_once = |rule: Rule| rule.clear_for_at_least(Duration::ZERO);
    let monitor = Monitor::builder()
        .rule(at_once(dial.rule("errors").counter_rate().above(3.0)))
        .rule(at_once(dial.rule("falling").rate().below(-3.0)))
        .notify(Notifier::sender(sender))
        .clock(&clock)
        .start()
        .unwrap();
    let look = |value: f64, time: Duration| {
        dial.set(value);
        clock.advance(time);
        monitor.check_now();
        // Once more, in no time.
        monitor.check_now();
        let rules = monitor.rules();
        assert!(rules.iter().all(|rule| rule.value.is_none_or(|value| !value.is_nan())));
        (rules[0].value, rules[1].value)
    };
    assert_eq!(look(10.0, Duration::ZERO), (None, None), "there is no rate of one reading");
    assert_eq!(look(20.0, Duration::ZERO), (None, None), "nor over zero time");
    assert_eq!(look(20.0, 2 * SECOND), (Some(5.0), Some(5.0)), "which is made up for");
    assert_eq!(look(0.0, SECOND), (Some(5.0), Some(-20.0)), "a counter that goes back began anew");
    assert_eq!(look(31_536_000.0, 31_536_000 * SECOND), (Some(1.0), Some(1.0)));
    assert_eq!(look(f64::NAN, SECOND), (Some(1.0), Some(1.0)));
    assert_eq!(look(f64::INFINITY, SECOND), (Some(1.0), Some(1.0)));
    let lines: Vec<_> = alerts.try_iter().map(|alert| alert.to_string()).collect();
    assert_eq!(
        lines,
        [
            "firing: errors is 5 per second, above 3 per second",
            "firing: falling is -20 per second, below -3 per second",
            "resolved: errors is 1 per second, at or below 3 per second after 31536001.0s",
            "resolved: falling is 1 per second, at or above -3 per second after 31536000.0s",
        ]
    );
}

#[test]
fn h7_a_signal_that_crosses_its_threshold_a_thousand_times_makes_two_alerts() {
    // By default, with a second limit, and with times.
    let rules: [fn(Rule) -> Rule; 3] = [
        |rule| rule,
        |rule| rule.clears_at(8.0).clear_for_at_least(Duration::ZERO),
        |rule| rule.for_at_least(2 * SECOND).clear_for_at_least(5 * SECOND),
    ];
    for (case, limit) in rules.into_iter().enumerate() {
        let (clock, dial) = (ManualClock::new(), Dial::default());
        let (sender, alerts) = crossbeam_channel::unbounded();
        let builder = Monitor::builder().rule(limit(dial.rule("noisy").above(10.0)));
        let _monitor = builder.notify(Notifier::sender(sender)).clock(&clock).start().unwrap();
        let mut crossed = 0;
        let mut before = 9.0;
        let mut show = |value: f64| {
            crossed += usize::from((value > 10.0) != (before > 10.0));
            before = value;
            dial.set(value);
            clock.advance(SECOND);
        };
        // It rises, trembles, stays for a while, trembles, and falls.
        (0..500).for_each(|n| show(9.0 + f64::from(n % 2) * 2.0));
        (0..5).for_each(|_| show(11.0));
        (0..501).for_each(|n| show(9.0 + f64::from(n % 2) * 2.0));
        (0..10).for_each(|_| show(1.0));
        assert!(crossed >= 1_000);
        let states: Vec<_> = alerts.try_iter().map(|alert| alert.state).collect();
        assert_eq!(states, [AlertState::Firing, AlertState::Resolved], "case {case}");
    }
}

#[test]
fn both_alerts_of_a_trouble_tell_when_it_began() {
    let (clock, dial) = (ManualClock::new(), Dial::default());
    let (sender, alerts) = crossbeam_channel::unbounded();
    let rule = dial.rule("r").below(1.0).for_at_least(SECOND).clear_for_at_least(SECOND);
    let builder = Monitor::builder().rule(rule).notify(Notifier::sender(sender)).clock(&clock);
    let _monitor = builder.start().unwrap();
    let begun: Vec<Instant> = [0.0, 0.0, 1.0, 1.0]
        .into_iter()
        .map(|value| {
            dial.set(value);
            clock.advance(SECOND);
            clock.now()
        })
        .collect();
    let (fired, resolved) = (alerts.try_recv().unwrap(), alerts.try_recv().unwrap());
    assert_eq!((fired.since, fired.at, fired.value), (begun[0], begun[1], Some(0.0)));
    assert_eq!((resolved.since, resolved.at, resolved.value), (begun[0], begun[3], Some(1.0)));
    assert_eq!((resolved.rule.as_str(), resolved.threshold, resolved.clears_at), ("r", 1.0, 1.0));
}
