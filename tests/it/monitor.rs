//! Alerts: rows A1, H5 and H7, and what a monitor does when it is used.

use super::within;
use fanpool::testing::ManualClock;
use fanpool::{AlertState, BuildError, Monitor, MonitorBuilder, Notifier, Rule, RuleState};
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

#[test]
fn a1_options_that_make_no_sense_are_refused() {
    let start = |rule: Rule| Monitor::builder().rule(rule).start();
    let rule = || Rule::new("r", || 1.0);
    type Case = (&'static str, Result<Monitor, BuildError>, String);
    let up = "a finite number up to that of `above`";
    let down = "a finite number from that of `below`";
    let cases: Vec<Case> = vec![
        ("no rule", Monitor::builder().start(), "rules is 0; allowed is 1 and more".into()),
        (
            "no time",
            touchy(&Dial::default()).every(Duration::ZERO).start(),
            "every is 0; allowed is more than 0 seconds".into(),
        ),
        (
            "one name twice",
            touchy(&Dial::default()).rule(Rule::new("dial", || 1.0).below(0.0)).start(),
            "there are two rules named \"dial\"".into(),
        ),
        ("no name", start(Rule::new("", || 1.0).above(1.0)), "rule \"\": name is missing".into()),
        ("no threshold", start(rule()), "rule \"r\": above or below is missing".into()),
        ("two", start(rule().above(1.0).below(0.0)), "rule \"r\": above cannot be combined with this below".into()),
        ("NaN", start(rule().above(f64::NAN)), "rule \"r\": above is NaN; allowed is a finite number".into()),
        ("infinite", start(rule().below(f64::INFINITY)), "rule \"r\": below is inf; allowed is a finite number".into()),
        (
            "cleared above",
            start(rule().above(1.0).clears_at(1.5)),
            format!("rule \"r\": clears_at is 1.5; allowed is {up}"),
        ),
        (
            "cleared below",
            start(rule().below(1.0).clears_at(0.5)),
            format!("rule \"r\": clears_at is 0.5; allowed is {down}"),
        ),
        (
            "cleared nowhere",
            start(rule().below(1.0).clears_at(f64::NAN)),
            format!("rule \"r\": clears_at is NaN; allowed is {down}"),
        ),
        (
            "no room",
            touchy(&Dial::default()).notify(Notifier::new(|_| ()).mailbox(0)).start(),
            "mailbox is 0; allowed is 1 and more".into(),
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
