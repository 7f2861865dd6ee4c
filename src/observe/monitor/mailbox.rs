//! How alerts get to notifiers; the protocol is told in the module above.

use super::alert::Alert;
use super::status::NotifierCounts;
use crate::panics;
use crate::sync::channel::{self, Sender};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, broken, thread};
use std::collections::VecDeque;
use std::time::Instant;

/// What became of an alert that a closure did not panic over.
pub(super) enum Delivery {
    Done,
    Failed,
}

pub(super) type Deliver = Box<dyn FnMut(&Alert) -> Delivery + Send>;

/// The monitor's end of a notifier.
pub(super) enum Outlet {
    Mailbox(Arc<Mailbox>),
    Channel(Channel),
}

impl Outlet {
    /// Hands an alert over. Waits for nobody.
    pub(super) fn tell(&self, alert: &Alert) {
        match self {
            Outlet::Mailbox(mailbox) => mailbox.push(alert.clone()),
            Outlet::Channel(channel) => channel.send(alert.clone()),
        }
    }

    pub(super) fn counts(&self) -> NotifierCounts {
        match self {
            Outlet::Mailbox(mailbox) => mailbox.state.lock().counts(),
            Outlet::Channel(channel) => channel.state.lock().1,
        }
    }

    /// There will be no more alerts. What the monitor holds of the notifier is dropped, now or after the last delivery.
    pub(super) fn close(&self) {
        match self {
            Outlet::Mailbox(mailbox) => mailbox.close(),
            Outlet::Channel(channel) => {
                let sender = channel.state.lock().0.take();
                drop(sender);
            }
        }
    }

    pub(super) fn mailbox(&self) -> Option<&Arc<Mailbox>> {
        match self {
            Outlet::Mailbox(mailbox) => Some(mailbox),
            Outlet::Channel(_) => None,
        }
    }
}

pub(super) struct Channel {
    state: Mutex<(Option<Sender<Alert>>, NotifierCounts)>,
}

impl Channel {
    pub(super) fn new(sender: Sender<Alert>) -> Channel {
        Channel { state: Mutex::new((Some(sender), NotifierCounts::default())) }
    }

    fn send(&self, alert: Alert) {
        let mut state = self.state.lock();
        let (sender, counts) = &mut *state;
        if sender.as_ref().is_some_and(|sender| channel::try_send(sender, alert).is_ok()) {
            counts.delivered += 1;
        } else {
            counts.undelivered += 1;
        }
    }
}

/// What waits for a closure. Written under the lock by the one who evaluates rules, and by the delivery thread.
struct State {
    waiting: VecDeque<Alert>,
    /// Whether there is a delivery thread.
    attended: bool,
    /// With the delivery thread while there is one.
    deliver: Option<Deliver>,
    thread: Option<thread::ThreadId>,
    closed: bool,
    /// Of alerts that do not wait. `waiting` there is the one in the hands of the closure.
    counts: NotifierCounts,
}

pub(super) struct Mailbox {
    state: Mutex<State>,
    room: usize,
    /// Notified when a delivery thread leaves.
    left: Condvar,
}

impl Mailbox {
    pub(super) fn new(deliver: Deliver, room: usize) -> Mailbox {
        let state = State {
            waiting: VecDeque::new(),
            attended: false,
            deliver: Some(deliver),
            thread: None,
            closed: false,
            counts: NotifierCounts::default(),
        };
        Mailbox { state: Mutex::new(state), room, left: Condvar::new() }
    }

    fn push(self: &Arc<Self>, alert: Alert) {
        let mut state = self.state.lock();
        if state.closed {
            state.counts.undelivered += 1;
            return;
        }
        if state.waiting.len() >= self.room {
            state.waiting.pop_front();
            state.counts.undelivered += 1;
        }
        state.waiting.push_back(alert);
        self.attend(state);
    }

    /// Starts a delivery thread if something waits and there is none. One that the operating system refuses is tried again when this is
    /// called again, at the next look for one.
    pub(super) fn look_after(self: &Arc<Self>) {
        self.attend(self.state.lock());
    }

    fn attend(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        if state.waiting.is_empty() || state.attended {
            return;
        }
        state.attended = true;
        drop(state);
        let mailbox = self.clone();
        if thread::start("fanpool-notifier".into(), None, move || mailbox.deliver()).is_err() {
            self.state.lock().attended = false;
        }
    }

    /// The delivery thread's body.
    fn deliver(&self) {
        let mut state = self.state.lock();
        state.thread = Some(thread::id());
        // It is there: only the one delivery thread takes it, and it is dropped only if there is none.
        let Some(mut deliver) = state.deliver.take() else { return };
        while let Some(alert) = state.waiting.pop_front() {
            state.counts.waiting = 1;
            drop(state);
            let delivered = panics::catch(|| deliver(&alert));
            state = self.state.lock();
            state.counts.waiting = 0;
            match delivered {
                Ok(Delivery::Done) => state.counts.delivered += 1,
                Ok(Delivery::Failed) => state.counts.undelivered += 1,
                Err(payload) => {
                    state.counts.panics += 1;
                    drop(state);
                    panics::discard(payload);
                    state = self.state.lock();
                }
            }
        }
        if broken!("notifier_leaves_without_a_look") {
            drop(state);
            state = self.state.lock();
        }
        (state.attended, state.thread) = (false, None);
        let mut unused = None;
        if state.closed && !broken!("notifier_kept_by_its_thread") {
            unused = Some(deliver);
        } else {
            state.deliver = Some(deliver);
        }
        if !broken!("notifier_leaves_silently") {
            self.left.notify_all();
        }
        drop(state);
        panics::drop_each(unused);
    }

    /// There will be no more alerts. Those that wait are still delivered, by the delivery thread, which then drops the closure. If there
    /// is none, and none can be started, the closure is dropped here.
    fn close(self: &Arc<Self>) {
        self.look_after();
        let mut state = self.state.lock();
        state.closed = true;
        if state.attended {
            return;
        }
        let unused = state.deliver.take();
        state.counts.undelivered += state.waiting.len() as u64;
        state.waiting.clear();
        drop(state);
        panics::drop_each(unused);
    }

    /// Whether the calling thread is the one that delivers.
    pub(super) fn is_delivered_here(&self) -> bool {
        self.state.lock().thread == Some(thread::id())
    }

    /// Waits until nothing waits and there is no delivery thread, or until `deadline`; tells which.
    pub(super) fn flush(self: &Arc<Self>, deadline: Option<Instant>) -> bool {
        self.look_after();
        let mut state = self.state.lock();
        let is_busy = |state: &State| state.attended || !state.waiting.is_empty();
        while is_busy(&state) {
            if self.left.wait_until(&mut state, deadline) {
                return !is_busy(&state);
            }
        }
        true
    }
}

impl State {
    fn counts(&self) -> NotifierCounts {
        NotifierCounts { waiting: self.counts.waiting + self.waiting.len() as u64, ..self.counts }
    }
}
