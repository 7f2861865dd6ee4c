//! Who looks at the rules, and when.

use super::alert::{Alert, AlertState};
use super::mailbox::Outlet;
use super::rule::{Seen, Watched};
use super::status::{MonitorCounts, RuleState, RuleStatus};
use crate::panics;
use crate::resilience::{Clock, Sleeper};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, broken, thread};
use std::time::{Duration, Instant};

pub(super) struct Core {
    state: Mutex<State>,
    /// Notified when a look is over, and when the monitor is stopped.
    changed: Condvar,
    outlets: Vec<Outlet>,
    pub(super) clock: Clock,
    every: Duration,
}

struct State {
    /// Out while somebody looks at them.
    rules: Option<Vec<Watched>>,
    /// Who looks at them.
    looking: Option<thread::ThreadId>,
    /// When to look next; `None` if that is after the clock's end.
    due: Option<Instant>,
    stopped: bool,
    /// The monitor was dropped by a closure of a rule, so whoever looks has to drop the rules.
    orphaned: bool,
    /// For each rule.
    shown: Vec<Shown>,
    counts: MonitorCounts,
}

/// What is known of a rule while it is out.
struct Shown {
    status: RuleStatus,
    /// One, or one for each reason of a rule about health.
    firing: Vec<Alert>,
    broken: Option<Alert>,
}

impl Core {
    pub(super) fn new(rules: Vec<Watched>, outlets: Vec<Outlet>, clock: Clock, every: Duration) -> Arc<Core> {
        let show = |rule: &Watched| {
            let (name, state) = (rule.name().to_owned(), RuleState::Quiet);
            let status = RuleStatus { name, state, value: None, error: None, sampling: false };
            Shown { status, firing: Vec::new(), broken: None }
        };
        let state = State {
            shown: rules.iter().map(show).collect(),
            rules: Some(rules),
            looking: None,
            due: clock.now().checked_add(every),
            stopped: false,
            orphaned: false,
            counts: MonitorCounts::default(),
        };
        Arc::new(Core { state: Mutex::new(state), changed: Condvar::new(), outlets, clock, every })
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.state.lock().due
    }

    /// The body of the monitor's thread.
    pub(super) fn run(&self) {
        loop {
            let mut state = self.state.lock();
            while !state.stopped && state.due.is_none_or(|due| self.clock.now() < due) {
                let due = state.due;
                self.changed.wait_until(&mut state, due);
            }
            if state.stopped {
                return;
            }
            self.schedule(&mut state);
            self.look(state);
        }
    }

    /// Sets when to look next. It is later than now.
    fn schedule(&self, state: &mut State) {
        let now = self.clock.now();
        let next = state.due.and_then(|due| due.checked_add(self.every)).filter(|next| *next > now);
        state.due = next.or_else(|| now.checked_add(self.every));
    }

    /// Looks at all rules, after whoever looks at them now; not if that is the caller, or the monitor is stopped.
    pub(super) fn check(&self) {
        self.look(self.state.lock());
    }

    fn look(&self, mut state: MutexGuard<'_, State>) {
        let mut rules = loop {
            if state.stopped || state.looking == Some(thread::id()) {
                return;
            }
            match state.rules.take() {
                Some(rules) => break rules,
                None => self.changed.wait(&mut state),
            }
        };
        state.looking = Some(thread::id());
        drop(state);
        self.outlets.iter().filter_map(Outlet::mailbox).for_each(|mailbox| mailbox.look_after());
        for (index, rule) in rules.iter_mut().enumerate() {
            let mut state = self.state.lock();
            if state.stopped {
                break;
            }
            state.shown[index].status.sampling = true;
            drop(state);
            let seen = rule.look(|| self.clock.now());
            let mut state = self.state.lock();
            state.show(index, &seen);
            if state.orphaned {
                break;
            }
            drop(state);
            seen.alerts.iter().for_each(|alert| self.outlets.iter().for_each(|outlet| outlet.tell(alert)));
        }
        let mut state = self.state.lock();
        state.looking = None;
        state.counts.looks += 1;
        let unused = if state.orphaned { Some(rules) } else { state.rules.replace(rules) };
        if !broken!("look_ends_silently") {
            self.changed.notify_all();
        }
        drop(state);
        panics::drop_each(unused.into_iter().flatten());
    }

    /// Ends it: afterwards nobody looks any more, except for the caller, if it is called by a rule's closure. Returns
    /// the rules, for the caller to drop when there is no thread any more.
    pub(super) fn stop(&self) -> Vec<Watched> {
        let mut state = self.state.lock();
        state.stopped = true;
        self.changed.notify_all();
        state.orphaned = state.looking == Some(thread::id());
        while !state.orphaned && state.rules.is_none() && !broken!("stop_waits_for_no_look") {
            self.changed.wait(&mut state);
        }
        state.rules.take().unwrap_or_default()
    }

    /// There will be no more alerts.
    pub(super) fn close(&self) {
        self.outlets.iter().for_each(Outlet::close);
    }

    pub(super) fn alerts(&self) -> Vec<Alert> {
        let state = self.state.lock();
        state.shown.iter().flat_map(|shown| shown.firing.iter().chain(&shown.broken)).cloned().collect()
    }

    pub(super) fn rules(&self) -> Vec<RuleStatus> {
        self.state.lock().shown.iter().map(|shown| shown.status.clone()).collect()
    }

    pub(super) fn counts(&self) -> MonitorCounts {
        let counts = self.state.lock().counts.clone();
        MonitorCounts { notifiers: self.outlets.iter().map(Outlet::counts).collect(), ..counts }
    }

    /// Waits until all that was told is delivered, or until `deadline`; tells which.
    pub(super) fn flush(&self, deadline: Option<Instant>) -> bool {
        let mailboxes = || self.outlets.iter().filter_map(Outlet::mailbox);
        !mailboxes().any(|mailbox| mailbox.is_delivered_here()) && mailboxes().all(|mailbox| mailbox.flush(deadline))
    }
}

impl Sleeper for Core {
    fn wake(&self) -> Option<Instant> {
        let mut state = self.state.lock();
        if !state.stopped && state.due.is_some_and(|due| due <= self.clock.now()) {
            self.schedule(&mut state);
            self.look(state);
            state = self.state.lock();
        }
        if state.stopped { None } else { state.due }
    }
}

impl State {
    fn show(&mut self, index: usize, seen: &Seen) {
        let Shown { status, firing, broken } = &mut self.shown[index];
        status.sampling = false;
        status.state = seen.state;
        status.value = seen.value.or(status.value);
        status.error.clone_from(&seen.error);
        self.counts.sample_panics += u64::from(seen.error.is_some());
        for alert in &seen.alerts {
            match alert.state {
                AlertState::Firing => {
                    self.counts.fired += 1;
                    firing.push(alert.clone());
                }
                AlertState::Resolved => {
                    self.counts.resolved += 1;
                    firing.retain(|firing| !firing.is_about(alert));
                }
                AlertState::Broken => *broken = Some(alert.clone()),
                AlertState::Mended => *broken = None,
            }
        }
    }
}
