//! A worker: one thread that serves tickets until it is retired.
//!
//! Its loop has three states. *Listening*: it blocks on its own channel and on the bell, using no CPU. *At the gate*: it
//! holds a ticket's bell and waits for the pool to be resumed. *Serving*: it runs tasks of one group and looks, after
//! each, whether to stop. A worker leaves only when its own channel says `Retire`; it serves what stands behind that
//! message first, and no ticket is lost with it because a bell that it took it also answers.

use super::BusyWorker;
use super::shared::Shared;
use crate::group::TaskGroup;
use crate::panics::{self, Payload};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::channel::{self, Either, Receiver, Sender, recv_either};
use crate::sync::{Arc, Mutex, broken, local, now};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// How long a worker stays with a group while other tickets wait.
///
/// Long against the cost of changing over (about a microsecond), short against what a person or a request notices. In
/// a model time stands still, so there every look finds it over.
pub(super) const SLICE: Duration = if cfg!(fanpool_loom) { Duration::ZERO } else { Duration::from_micros(500) };

/// What travels on a worker's own channel.
pub(super) enum Notice {
    Help(Arc<TaskGroup>),
    Retire,
}

/// How a start hook ended.
pub(super) type Report = Result<(), (Arc<Station>, Payload)>;

/// What others may know of a worker.
pub(super) struct Station {
    pub(super) index: usize,
    pub(super) retiring: AtomicBool,
    /// Set under the roster's lock when the worker has left its loop.
    pub(super) left: AtomicBool,
    pub(super) doing: Mutex<Doing>,
}

/// What a worker does, for the receipt of a shutdown that ran out of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Doing {
    Listening,
    Hook,
    Serving(Option<Arc<str>>),
}

impl Station {
    pub(super) fn new(index: usize) -> Arc<Station> {
        Arc::new(Station {
            index,
            retiring: AtomicBool::new(false),
            left: AtomicBool::new(false),
            doing: Mutex::new(Doing::Listening),
        })
    }

    pub(super) fn report(&self) -> BusyWorker {
        let group = match &*self.doing.lock() {
            Doing::Serving(name) => name.clone(),
            Doing::Listening | Doing::Hook => None,
        };
        BusyWorker { worker: self.index, group }
    }
}

local! {
    /// The pool's id and the worker's index, on a worker's thread.
    static CURRENT: Cell<Option<(usize, usize)>> = Cell::new(None)
}

pub(super) fn current() -> Option<(usize, usize)> {
    CURRENT.with(Cell::get)
}

pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) station: Arc<Station>,
    pub(super) own: Receiver<Notice>,
    pub(super) bell: Receiver<()>,
    /// Where to report the start hook's end.
    pub(super) started: Option<Sender<Report>>,
}

impl Worker {
    pub(super) fn run(mut self) {
        CURRENT.with(|current| current.set(Some((self.shared.id, self.station.index))));
        if self.start() {
            self.work();
        } else {
            self.wait_for_retirement();
        }
        // Behind `Retire` there may be tickets of the groups that only this worker serves.
        while let Ok(notice) = channel::try_next(&self.own) {
            if broken!("leaver_drops_its_tickets") {
                continue;
            }
            self.answer_own(notice);
        }
        if let Some(hook) = &self.shared.config.on_stop {
            {
                // Under the lock that `wait_idle_left` holds between its look and its wait.
                let _roster = (!broken!("hook_noticed_without_lock")).then(|| self.shared.roster.lock());
                self.set_doing(Doing::Hook);
                self.shared.left.notify_all();
            }
            if let Err(payload) = panics::catch(|| hook(self.station.index)) {
                panics::discard(payload);
            }
        }
        self.shared.leave_roster(&self.station);
    }

    /// Runs the start hook and reports; returns whether the worker may work.
    fn start(&mut self) -> bool {
        let Some(started) = self.started.take() else { return true };
        let result = match &self.shared.config.on_start {
            Some(hook) => panics::catch(|| hook(self.station.index)),
            None => Ok(()),
        };
        let fit = result.is_ok();
        // Nobody listens only if whoever started this worker gave up; it will be retired.
        let _ = channel::send(&started, result.map_err(|payload| (self.station.clone(), payload)));
        fit
    }

    fn work(&self) {
        loop {
            // Its own channel first: a retirement takes effect at once, whatever else is queued.
            let next = match channel::try_next(&self.own) {
                Ok(notice) => Either::First(notice),
                Err(_) => match recv_either(&self.own, &self.bell) {
                    Ok(next) => next,
                    Err(_) => return,
                },
            };
            match next {
                Either::First(notice) => {
                    if !self.answer_own(notice) {
                        return;
                    }
                }
                Either::Second(()) => {
                    self.shared.gate.pass();
                    if let Some(group) = self.shared.lanes.pick() {
                        self.serve(&group);
                    }
                }
            }
        }
    }

    fn wait_for_retirement(&self) {
        while let Ok(notice) = channel::recv(&self.own) {
            if !self.answer_own(notice) {
                return;
            }
        }
    }

    /// Returns whether the worker goes on.
    fn answer_own(&self, notice: Notice) -> bool {
        match notice {
            Notice::Retire => false,
            Notice::Help(group) => {
                self.shared.gate.pass();
                self.serve(&group);
                true
            }
        }
    }

    fn serve(&self, group: &Arc<TaskGroup>) {
        self.set_doing(Doing::Serving(group.options().name.clone()));
        let mut slice_began = None;
        group.serve(|| self.should_stop(&mut slice_began));
        self.set_doing(Doing::Listening);
    }

    /// Whether to leave the group between two tasks. The clock is read only while another ticket waits.
    fn should_stop(&self, slice_began: &mut Option<Instant>) -> bool {
        if self.station.retiring.load(Ordering::Relaxed) || self.shared.gate.is_paused() {
            return true;
        }
        if self.bell.is_empty() && self.own.is_empty() {
            *slice_began = None;
            return false;
        }
        {
            let now = now();
            now - *slice_began.get_or_insert(now) >= SLICE
        }
    }

    fn set_doing(&self, doing: Doing) {
        *self.station.doing.lock() = doing;
    }
}
