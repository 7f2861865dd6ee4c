//! The list of workers: starting, retiring and joining threads.

use super::shared::Shared;
use super::station::{Doing, Station};
use super::worker::{Notice, Report, Worker};
use super::{BusyWorker, MAX_WORKERS};
use crate::error::{BuildError, ResizeError, TaskPanicked};
use crate::group::TaskGroup;
use crate::panics;
use crate::sync::atomic::Ordering;
use crate::sync::channel::{self, Sender};
use crate::sync::{Arc, broken, thread};
use crate::trace;
use std::time::Instant;

/// A worker that serves.
struct Slot {
    station: Arc<Station>,
    own: Sender<Notice>,
    /// The group that only this worker serves.
    bound: Arc<TaskGroup>,
    thread: thread::JoinHandle,
}

pub(super) struct Roster {
    /// By index. A failed start hook leaves a gap, which the next growth fills.
    slots: Vec<Slot>,
    /// Retired workers that nobody has joined.
    retired: Vec<(Arc<Station>, thread::JoinHandle)>,
    /// Threads that have not left their loop.
    pub(super) alive: usize,
    /// The size is not changed any more.
    pub(super) ending: bool,
    /// All workers were told to leave.
    over: bool,
}

impl Roster {
    pub(super) fn new() -> Roster {
        Roster { slots: Vec::new(), retired: Vec::new(), alive: 0, ending: false, over: false }
    }

    /// The groups that are bound to the workers, with the workers' indices.
    pub(super) fn bound(&self) -> impl Iterator<Item = (usize, &Arc<TaskGroup>)> {
        self.slots.iter().map(|slot| (slot.station.index, &slot.bound))
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The workers whose threads have not left, with those that were told to.
    pub(super) fn stations(&self) -> impl Iterator<Item = &Arc<Station>> {
        let slots = self.slots.iter().map(|slot| &slot.station);
        let retired = self.retired.iter().map(|(station, _)| station);
        slots.chain(retired).filter(|station| !station.left.load(Ordering::Relaxed))
    }

    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Takes out the retired workers whose threads have ended.
    fn take_ended(&mut self) -> Vec<(Arc<Station>, thread::JoinHandle)> {
        let (ended, others) =
            std::mem::take(&mut self.retired).into_iter().partition(|(_, thread)| thread.is_finished());
        self.retired = others;
        ended
    }

    /// The idle worker with the highest index.
    pub(super) fn idle(&self) -> Option<usize> {
        self.slots.iter().rposition(|slot| slot.station.is_listening())
    }

    pub(super) fn station(&self, at: usize) -> &Arc<Station> {
        &self.slots[at].station
    }
}

impl Shared {
    /// Brings the roster to `size` workers, and waits for the start hooks. On failure those that had started stay.
    pub(super) fn resize(self: &Arc<Self>, size: usize) -> Result<(), ResizeError> {
        self.set_size(size, true)
    }

    /// The same, and waits for the start hooks if it may.
    pub(super) fn set_size(self: &Arc<Self>, size: usize, may_wait: bool) -> Result<(), ResizeError> {
        BuildError::check("workers", size, 1..=MAX_WORKERS)?;
        let (reports, hooks_ended) = channel::unbounded();
        let reports = (may_wait && self.config.on_start.is_some()).then_some(reports);
        let mut waiting_for = 0;
        let mut grown = Ok(());
        let from;
        {
            let mut roster = self.roster.lock();
            if roster.ending {
                return Err(ResizeError::Closed);
            }
            from = roster.slots.len();
            while roster.slots.len() > size {
                let last = roster.slots.len() - 1;
                self.retire_at(&mut roster, last);
            }
            // Those that were told to leave and have not are threads, too.
            let most = self.staff.as_ref().map_or(usize::MAX, |staff| staff.options.max);
            while roster.slots.len() < size && (roster.alive < most || broken!("resized_above_max")) {
                if let Err(source) = self.start_in(&mut roster, reports.clone()) {
                    grown = Err(BuildError::Thread { wanted: size, started: roster.slots.len(), source });
                    break;
                }
                waiting_for += usize::from(reports.is_some());
            }
            self.publish(&roster);
        }
        if let Some(staff) = &self.staff {
            staff.resized(self);
        }
        drop(reports);
        for group in self.groups() {
            if !broken!("grow_summons_none") {
                group.summon();
            }
        }
        self.reap();
        // No lock is held here: a hook may use the pool.
        for _ in 0..waiting_for {
            let Ok(Err((station, payload))) = channel::recv(&hooks_ended) else { continue };
            self.retire_one(&station);
            if grown.is_ok() {
                grown = Err(BuildError::StartHook { worker: station.index, panicked: TaskPanicked::new(payload) });
            } else {
                panics::discard(payload);
            }
        }
        self.tell_size(from, &grown);
        self.checks.sized(size, grown.as_ref().err());
        Ok(grown?)
    }

    /// Starts a worker at the lowest index that is free, and adds it to the roster.
    pub(super) fn start_in(
        self: &Arc<Self>,
        roster: &mut Roster,
        reports: Option<Sender<Report>>,
    ) -> std::io::Result<()> {
        // Sorted by index, so the first that is not where it would be without gaps shows the gap.
        let at = (0..roster.slots.len()).find(|at| roster.slots[*at].station.index != *at);
        let index = at.unwrap_or(roster.slots.len());
        let slot = self.start(index, reports)?;
        if self.staff.is_some() {
            self.lanes.join(&slot.station);
        }
        roster.slots.insert(index, slot);
        roster.alive += 1;
        self.publish(roster);
        Ok(())
    }

    /// Tells the worker in that slot to leave.
    pub(super) fn retire_at(&self, roster: &mut Roster, at: usize) {
        let slot = roster.slots.remove(at);
        slot.station.retiring.store(true, Ordering::Relaxed);
        if self.staff.is_some() {
            self.lanes.part(&slot.station);
        }
        // The last message on this channel: the slot, and with it every way to send, leaves the roster with it.
        let _ = channel::send(&slot.own, Notice::Retire);
        roster.retired.push((slot.station, slot.thread));
    }

    /// Starts a worker if the pool is elastic and nobody else will come for the tickets.
    fn replace(&self) {
        if let Some(staff) = &self.staff {
            staff.replace();
        }
    }

    /// Tells what came of a resize. No lock may be held.
    fn tell_size(&self, from: usize, grown: &Result<(), BuildError>) {
        if let Err(BuildError::Thread { source, .. }) = grown {
            trace::thread_refused(&self.config.name, source);
        }
        let to = self.workers.load(Ordering::Relaxed);
        if to != from {
            trace::resized(&self.config.name, from, to);
        }
    }

    /// Mirrors the roster's sizes for those who only look.
    pub(super) fn publish(&self, roster: &Roster) {
        self.workers.store(roster.slots.len(), Ordering::Relaxed);
        let threads = if broken!("retired_count_for_nothing") { roster.slots.len() } else { roster.alive };
        self.threads.store(threads, Ordering::Relaxed);
    }

    fn start(self: &Arc<Self>, index: usize, started: Option<Sender<Report>>) -> std::io::Result<Slot> {
        let (own, notices) = channel::unbounded();
        let doing =
            if self.config.on_start.is_some() && !broken!("hook_is_idle") { Doing::Hook } else { Doing::Listening };
        let (station, bell) = (Station::new(index, doing, self.config.clock.clone()), self.bell.clone());
        let worker = Worker { shared: self.clone(), station: station.clone(), own: notices, bell, started };
        let name = format!("{}-{index}", self.config.name);
        let bound = self.bound_group(own.clone());
        let thread = thread::start(name, self.config.stack_size, move || worker.run())?;
        Ok(Slot { station, own, bound, thread })
    }

    /// Retires that worker, unless it was already.
    pub(super) fn retire_one(&self, station: &Arc<Station>) {
        {
            let mut roster = self.roster.lock();
            if let Some(at) = roster.slots.iter().position(|slot| Arc::ptr_eq(&slot.station, station)) {
                self.retire_at(&mut roster, at);
            }
            self.publish(&roster);
        }
        self.replace();
    }

    /// The size is not changed from now on. If tasks are pending and there is no thread, one is started for them.
    pub(super) fn seal(self: &Arc<Self>) {
        let mut roster = self.roster.lock();
        roster.ending = true;
        self.keep_one(&mut roster);
    }

    /// In an elastic pool that ends, sees to it that the number of threads is not zero while tasks are pending.
    fn keep_one(self: &Arc<Self>, roster: &mut Roster) {
        let needed = roster.ending && !roster.over && roster.alive == 0 && self.staff.is_some();
        if needed && !self.is_forked() && self.live.is_busy() && !broken!("last_leaver_not_replaced") {
            // Without a thread, whoever ends the pool finds the tasks and reports them.
            let _ = self.start_in(roster, None);
        }
    }

    /// Tells every worker to leave. Harmless when repeated.
    pub(super) fn retire_all(&self) {
        let mut roster = self.roster.lock();
        roster.over = true;
        while let Some(last) = roster.slots.len().checked_sub(1) {
            self.retire_at(&mut roster, last);
        }
        self.publish(&roster);
    }

    /// Says that no worker is started any more, if there is none now; returns whether there is none.
    pub(super) fn give_up(&self) -> bool {
        let mut roster = self.roster.lock();
        roster.over |= roster.alive == 0;
        roster.alive == 0
    }

    /// A worker's last step. One that was not `fit`, because its start hook failed, is not replaced at the end: the next may not be either.
    pub(super) fn leave_roster(self: &Arc<Self>, station: &Station, fit: bool) {
        let mut roster = self.roster.lock();
        roster.alive -= 1;
        self.add(&station.tally());
        station.left.store(true, Ordering::Relaxed);
        if fit || broken!("unfit_is_replaced") {
            self.keep_one(&mut roster);
        }
        self.publish(&roster);
        let last = roster.alive == 0 && roster.ending;
        // Whoever ends the pool joins and counts those that are left then.
        let joins = self.staff.is_some() && !roster.ending && !broken!("left_are_not_joined");
        let ended = if joins { roster.take_ended() } else { Vec::new() };
        if !broken!("leaver_wakes_nobody") {
            self.left.notify_all();
        }
        drop(roster);
        if last && self.staff.is_some() && self.live.is_busy() {
            // No thread was to be had for these, and whoever ends the pool may be gone.
            self.discard_all();
        }
        if last && !broken!("last_keeps_the_tickets") {
            // Tickets that nobody will pick hold their groups, and those this value.
            self.lanes.close();
        }
        // There is room for one more thread now.
        self.replace();
        for (_, thread) in ended {
            // It may be in its thread-local destructors, which hold up nobody but this thread. None of them joins this one.
            thread.join();
        }
    }

    /// Lets go of the retired workers whose threads have ended, so that resizing to and fro keeps nothing behind.
    ///
    /// Such a thread may still be in its thread-local destructors, which is what joining waits for. A task does not
    /// wait, and nobody waits for himself.
    fn reap(&self) {
        let ended = self.roster.lock().take_ended();
        if !self.is_inside() {
            for (_, thread) in ended {
                thread.join();
            }
        }
    }

    /// Waits until every worker has left, or the time is over. Returns whether they have.
    pub(super) fn wait_left(&self, deadline: Option<Instant>) -> bool {
        let mut roster = self.roster.lock();
        while roster.alive > 0 {
            if self.left.wait_until(&mut roster, deadline) {
                return roster.alive == 0;
            }
        }
        true
    }

    /// Waits until every worker that runs no user code has left; they have been told to.
    pub(super) fn wait_idle_left(&self) {
        let mut roster = self.roster.lock();
        let idle = |(station, _): &(Arc<Station>, _)| !station.left.load(Ordering::Relaxed) && station.is_listening();
        while roster.retired.iter().any(idle) {
            self.left.wait(&mut roster);
        }
    }

    /// Joins the workers that have left, unless the caller is `inside` and must not wait. Returns how many, and what the
    /// others do.
    pub(super) fn join_left(&self, inside: bool) -> (usize, Vec<BusyWorker>) {
        let mut busy = Vec::new();
        let mut left = Vec::new();
        {
            let mut roster = self.roster.lock();
            for (station, thread) in std::mem::take(&mut roster.retired) {
                if station.left.load(Ordering::Relaxed) && !inside {
                    left.push(thread);
                } else {
                    busy.push(station.report());
                    // What it ran is in no total yet.
                    roster.retired.push((station, thread));
                }
            }
            // These were not told to leave yet: whoever settles the last task will.
            busy.extend(roster.slots.iter().map(|slot| slot.station.report()));
        }
        let joined = left.len();
        for thread in left {
            thread.join();
        }
        busy.sort_by_key(|busy| busy.worker);
        (joined, busy)
    }
}
