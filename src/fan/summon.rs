//! Who is to come to a lane in which something may be started.

use super::core::{Core, Intake};
use super::settings::Help;
use super::work::Work;
use crate::job::{Call, Job, Verdict};
use crate::pool::TICK;
use crate::sync::atomic::Ordering;
use crate::sync::{Condvar, broken, now};
use std::time::Duration;

/// What a change of the intake's state asks for once the locks are free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Summons {
    None,
    /// Queue a job.
    Job,
    /// Ring for the parked collector, which will run items.
    Ring,
    /// Have the alarm look, soon or at that time, in nanoseconds since the service began.
    Alarm(Option<u64>),
}

/// When a batch is due whose first item was accepted at `sent`.
pub(super) fn due_at(sent: u64, wait: Duration) -> u64 {
    sent.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX))
}

impl<'a, T: Send + 'a, W: Work<T> + 'a> Core<'a, T, W> {
    /// Whether something is to be done about a lane in which something waits that may be started: by whom, the caller is told.
    /// `soon` tells that the alarm may do it, if somebody serves the lane or its items are cheap enough for the callers.
    pub(super) fn summon(&self, intake: &mut Intake<T>, lane: usize, soon: bool) -> Summons {
        let places = &mut intake.lanes[lane];
        if intake.paused || places.running >= intake.limit {
            return Summons::None;
        }
        if places.queued && !intake.receiver_idle {
            // The job's turn may never come: the only worker may be the one that is parked as a sender.
            Self::call_hands(intake, &self.room);
            return Summons::None;
        }
        let defer = soon && self.has_alarm() && self.pace.is_cheap();
        if defer && places.running > 0 {
            return self.alarm_soon();
        }
        if intake.receiver_idle {
            intake.receiver_idle = false;
            return Summons::Ring;
        }
        if defer && self.settings.help != Help::Never {
            return self.alarm_soon();
        }
        if broken!("push_queues_no_job") {
            return Summons::None;
        }
        places.queued = true;
        Self::call_hands(intake, &self.room);
        Summons::Job
    }

    /// Calls the parked callers that would run items.
    pub(super) fn call_hands(intake: &mut Intake<T>, room: &Condvar) {
        if intake.hands > 0 && !broken!("hands_not_called") {
            intake.calls = intake.calls.wrapping_add(1);
            room.notify_all();
        }
    }

    fn alarm_soon(&self) -> Summons {
        if self.armed.swap(true, Ordering::Relaxed) { Summons::None } else { Summons::Alarm(None) }
    }

    pub(super) fn summon_for_push(&self, intake: &mut Intake<T>, lane: usize) -> Summons {
        if let Some((max, wait)) = self.batch() {
            let places = &intake.lanes[lane];
            let ready = places.arrived.len() + places.backlog;
            if ready < max && intake.closed.is_none() {
                let unset = ready == 1 && !self.armed.swap(true, Ordering::Relaxed);
                return if unset { Summons::Alarm(Some(due_at(intake.stamp, wait))) } else { Summons::None };
            }
        }
        self.summon(intake, lane, true)
    }

    /// How long a batch is waited for, where it can be.
    pub(super) fn batch(&self) -> Option<(usize, Duration)> {
        self.work.batching().filter(|_| self.has_alarm()).map(|batching| (batching.max, batching.max_wait))
    }

    pub(super) fn has_alarm(&self) -> bool {
        self.clock.is_some() && !self.deaf.load(Ordering::Relaxed)
    }

    /// Does what a change asks for. No lock may be held.
    pub(super) fn follow(&self, lane: usize, summons: Summons) {
        match summons {
            Summons::None => {}
            Summons::Ring => {
                self.woke.store(true, Ordering::Relaxed);
                self.landing.ring();
            }
            Summons::Job => self.push(lane),
            Summons::Alarm(at) => {
                let at = at.map_or_else(|| now() + TICK, |at| self.instant(at));
                let set = self.clock.as_ref().is_some_and(|clock| clock.timer.set(at, &clock.alarm));
                if !set {
                    self.go_deaf();
                }
            }
        }
    }

    /// Queues a job that serves the lane. It does not keep the service: pushed to a pool that has just ended, it would stay in the
    /// queue of a group that the service keeps.
    fn push(&self, lane: usize) {
        let service = self.me.clone();
        let job = Job::new(move |call| {
            let Some(core) = service.upgrade() else { return Verdict::NotStarted };
            match call {
                Call::Start => {
                    let _ = core.serve(lane, true);
                    Verdict::Finished
                }
                Call::Abandon => {
                    // Nobody will come: the pool or the scope gives up what waits.
                    core.intake.lock().lanes[lane].queued = false;
                    if !broken!("abandoned_job_stops_nothing") {
                        core.stop();
                    }
                    Verdict::NotStarted
                }
            }
        });
        (self.tap)(lane, job);
    }

    /// Looks at every lane anew, for a reason that lies outside of it.
    pub(super) fn rouse(&self) {
        for lane in 0..self.lanes.len() {
            let summons = {
                let mut held = self.lanes[lane].queue.lock();
                let mut intake = self.intake.lock();
                if self.may_take(&mut held, &mut intake, lane) {
                    self.summon(&mut intake, lane, false)
                } else {
                    self.await_batch(&held, &intake)
                }
            };
            self.follow(lane, summons);
        }
    }
}
