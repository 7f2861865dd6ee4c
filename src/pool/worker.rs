//! A worker: one thread that serves tickets until it is retired.
//!
//! Its loop has three states. *Listening*: it blocks on its own channel and on the bell, using no CPU. *At the gate*: it
//! holds a ticket's bell and waits for the pool to be resumed. *Serving*: it runs tasks of one group and looks, after
//! each, whether to stop. A worker leaves only when its own channel says `Retire`; it serves what stands behind that
//! message first, and no ticket is lost with it because a bell that it took it also answers.

use super::shared::Shared;
use super::station::{Doing, Station};
use crate::error::TaskPanicked;
use crate::group::{Host, TaskGroup};
use crate::panics::{self, Payload};
use crate::sync::atomic::Ordering;
use crate::sync::channel::{self, Either, Receiver, RecvError, Sender, recv_either};
use crate::sync::{Arc, Weak, broken, local, now};
use crate::trace;
use std::cell::{Cell, RefCell};
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

local! {
    /// The pool's id and the worker's index, on a worker's thread.
    static CURRENT: Cell<Option<(usize, usize)>> = Cell::new(None)
}

local! {
    /// The pool and the worker itself. Emptied before the thread ends, so it needs no destructor then.
    static PLACE: RefCell<Option<(Weak<Shared>, Arc<Station>)>> = RefCell::new(None)
}

/// The worker that the calling thread is, with its pool.
pub(super) fn place() -> Option<(Arc<Shared>, Arc<Station>)> {
    // While the thread's locals are destroyed there is none.
    let place = PLACE.try_with(|kept| kept.borrow().clone()).ok().flatten();
    place.and_then(|(pool, station)| Some((pool.upgrade()?, station)))
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
        let place = Some((Arc::downgrade(&self.shared), self.station.clone()));
        PLACE.with(|kept| *kept.borrow_mut() = place);
        if self.started.is_none() {
            self.tell_size(|to| (to.saturating_sub(1), to));
        }
        let fit = self.start();
        if fit {
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
        self.tell_size(|to| (to + 1, to));
        if let Some(hook) = &self.shared.config.on_stop {
            {
                // Under the lock that `wait_idle_left` holds between its look and its wait.
                let _roster = (!broken!("hook_noticed_without_lock")).then(|| self.shared.roster.lock());
                self.station.set_doing(Doing::Hook);
                self.shared.left.notify_all();
            }
            if let Err(payload) = panics::catch(|| hook(self.station.index)) {
                panics::discard(payload);
            }
        }
        PLACE.with(|kept| *kept.borrow_mut() = None);
        self.shared.leave_roster(&self.station, fit);
    }

    /// Tells that an elastic pool has grown or shrunk by this worker: on its own thread, where a subscriber that blocks holds up nobody else.
    fn tell_size(&self, sizes: impl FnOnce(usize) -> (usize, usize)) {
        if self.shared.staff.is_some() && !self.shared.is_closed() {
            let (from, to) = sizes(self.shared.workers.load(Ordering::Relaxed));
            trace::resized(&self.shared.config.name, from, to);
        }
    }

    /// Runs the start hook and reports; returns whether the worker may work.
    fn start(&mut self) -> bool {
        let Some(hook) = &self.shared.config.on_start else { return true };
        let result = panics::catch(|| hook(self.station.index));
        self.station.set_doing(Doing::Listening);
        let fit = result.is_ok();
        match (self.started.take(), result) {
            // Nobody listens only if whoever started this worker gave up; it will be retired.
            (Some(started), result) => {
                let _ = channel::send(&started, result.map_err(|payload| (self.station.clone(), payload)));
            }
            (None, Ok(())) => {
                if let Some(staff) = &self.shared.staff {
                    staff.hook_passed();
                }
            }
            (None, Err(payload)) => {
                if let Some(staff) = &self.shared.staff {
                    let panicked = TaskPanicked::new(payload);
                    staff.hook_failed(self.station.index, panicked.message());
                    panics::drop_each([panicked]);
                }
                self.shared.retire_one(&self.station);
            }
        }
        fit
    }

    fn work(&self) {
        loop {
            // Its own channel first: a retirement takes effect at once, whatever else is queued.
            let next = match channel::try_next(&self.own) {
                Ok(notice) => Either::First(notice),
                Err(_) => match self.listen() {
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

    /// Blocks until there is something to do.
    fn listen(&self) -> Result<Either<Notice, ()>, RecvError> {
        let Some(staff) = &self.shared.staff else { return recv_either(&self.own, &self.bell) };
        if let Ok(()) = channel::try_next(&self.bell) {
            return Ok(Either::Second(()));
        }
        staff.rest();
        let next = recv_either(&self.own, &self.bell);
        staff.stir();
        next
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
        self.station.set_doing(Doing::Serving(group.options().name.clone()));
        let mut slice_began = None;
        group.serve(|ended| {
            self.station.note(ended);
            self.should_stop(&mut slice_began)
        });
        self.station.set_doing(Doing::Listening);
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
}
