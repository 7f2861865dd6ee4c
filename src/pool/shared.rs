//! What a pool, its workers and its groups share.

use super::cpus::Cpus;
use super::elastic::Staff;
use super::gate::Gate;
use super::health::Checks;
use super::lanes::Lanes;
use super::live::Live;
use super::metrics::of_worker;
use super::roster::Roster;
use super::worker::{self, Notice};
use super::{Config, Counts};
use crate::group::{Host, Options, Tally, TaskGroup};
#[cfg(feature = "timings")]
use crate::observe::Recorder;
use crate::observe::WorkerMetrics;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::channel::{self, Receiver, Sender};
use crate::sync::{Arc, Condvar, Mutex, Weak, thread};
use std::time::Instant;

pub(super) struct Shared {
    /// Tells pools apart in a worker's thread-local.
    pub(super) id: usize,
    /// The process that has the workers.
    process: u32,
    pub(super) config: Config,
    /// Where the times of tasks are recorded, if they are; its `load` makes `Metrics::times`.
    #[cfg(feature = "timings")]
    pub(super) recorder: Option<Arc<Recorder>>,
    pub(super) lanes: Lanes,
    pub(super) gate: Gate,
    pub(super) live: Live,
    pub(super) closed: AtomicBool,
    /// Workers in the roster; written under its lock.
    pub(super) workers: AtomicUsize,
    /// Worker threads that have not left; written under the roster's lock. A retired one that is stuck in a task still
    /// counts as its group's helper, so it must count here too.
    pub(super) threads: AtomicUsize,
    /// For taking back the bell of a ticket that was withdrawn, and for workers to come.
    pub(super) bell: Receiver<()>,
    pub(super) roster: Mutex<Roster>,
    /// Notified, with the roster's lock, when a worker leaves.
    pub(super) left: Condvar,
    totals: Totals,
    /// The most tasks that a snapshot has told of.
    accepted: AtomicUsize,
    /// Tasks that were handed back.
    pub(super) refused: AtomicUsize,
    /// Threads that are no workers but run tasks on which workers may wait, because they wait for a scope, a handle or a
    /// half.
    inside: Mutex<Vec<thread::ThreadId>>,
    pub(super) cpus: Mutex<Cpus>,
    /// What sizes the pool, if it is elastic.
    pub(super) staff: Option<Staff>,
    /// What checks of health remember.
    pub(super) checks: Checks,
    /// Every group of this pool that may still exist.
    groups: Mutex<Vec<Weak<TaskGroup>>>,
}

#[derive(Debug, Default)]
struct Totals {
    ran: AtomicUsize,
    panicked: AtomicUsize,
    cancelled: AtomicUsize,
    discarded: AtomicUsize,
    /// Of groups that are gone.
    accepted: AtomicUsize,
}

/// Ids are handed out by std's atomic on both sides: they only have to differ.
static NEXT_ID: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(1);

impl Shared {
    pub(super) fn new(config: Config) -> Arc<Shared> {
        let (lanes, bell) = Lanes::new();
        let elastic = config.elastic.map(|options| (options, config.clock.clone()));
        Arc::new_cyclic(|me| Shared {
            id: NEXT_ID.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
            process: std::process::id(),
            #[cfg(feature = "timings")]
            recorder: config.timings.recorder(),
            config,
            lanes,
            gate: Gate::new(),
            live: Live::new(),
            closed: AtomicBool::new(false),
            workers: AtomicUsize::new(0),
            threads: AtomicUsize::new(0),
            bell,
            roster: Mutex::new(Roster::new()),
            left: Condvar::new(),
            totals: Totals::default(),
            accepted: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            inside: Mutex::new(Vec::new()),
            groups: Mutex::new(Vec::new()),
            cpus: Mutex::new(Cpus::new()),
            staff: elastic.map(|(options, clock)| Staff::new(options, clock, me.clone())),
            checks: Checks::new(),
        })
    }

    /// A new group that any worker may serve.
    pub(super) fn group(self: &Arc<Self>, options: Options) -> Arc<TaskGroup> {
        let group = TaskGroup::new(self.clone(), options);
        self.register(&group);
        group
    }

    /// A new group that one worker serves, a task at a time and in order.
    pub(super) fn bound_group(self: &Arc<Self>, own: Sender<Notice>) -> Arc<TaskGroup> {
        let host = Arc::new(Bound { shared: self.clone(), own });
        let options = Options { limit: 1, detached: true, ..Options::new(super::lanes::NORMAL) };
        let group = TaskGroup::new(host, options);
        self.register(&group);
        group
    }

    /// The groups that exist now.
    pub(super) fn groups(&self) -> Vec<Arc<TaskGroup>> {
        self.groups.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Refuses new detached tasks; when it returns, every earlier one is queued.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        for group in self.groups() {
            group.barrier();
        }
    }

    /// Discards the detached tasks that have not started.
    pub(super) fn discard_all(&self) {
        for group in self.groups() {
            if group.options().detached {
                group.discard_queued();
            }
        }
    }

    /// Whether this is a copy of the pool in a forked process.
    pub(super) fn is_forked(&self) -> bool {
        self.process != std::process::id()
    }

    /// Whether the calling thread must not wait for the workers: it runs tasks of this pool further down its stack, or
    /// is in a forked process, where there are no workers.
    pub(super) fn is_inside(&self) -> bool {
        self.is_forked()
            || worker::current().is_some_and(|(pool, _)| pool == self.id)
            || self.inside.lock().contains(&thread::id())
    }

    /// Adds to the totals.
    pub(super) fn add(&self, tally: &Tally) {
        let rows = [
            (&self.totals.ran, tally.ran),
            (&self.totals.panicked, tally.panicked),
            (&self.totals.cancelled, tally.cancelled),
            (&self.totals.discarded, tally.discarded),
        ];
        for (total, more) in rows {
            if more > 0 {
                total.fetch_add(more, Ordering::Relaxed);
            }
        }
    }

    /// How many tasks have come to groups that are gone.
    pub(super) fn came_to_others(&self) -> usize {
        self.totals.accepted.load(Ordering::Relaxed)
    }

    /// The most tasks that ever were known to have come, these included.
    pub(super) fn most_accepted(&self, known: usize) -> usize {
        self.accepted.fetch_max(known, Ordering::Relaxed).max(known)
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts_with(&self.roster.lock())
    }

    /// The counts, and what each worker does, with its part of them.
    pub(super) fn look_at_workers(&self, now: Instant) -> (Counts, Vec<WorkerMetrics>) {
        let roster = self.roster.lock();
        let mut workers: Vec<_> = roster.stations().map(|station| of_worker(station, now)).collect();
        workers.sort_by_key(|worker| worker.index);
        (self.counts_with(&roster), workers)
    }

    fn counts_with(&self, roster: &Roster) -> Counts {
        let mut counts = Counts {
            ran: self.totals.ran.load(Ordering::Relaxed),
            panicked: self.totals.panicked.load(Ordering::Relaxed),
            cancelled: self.totals.cancelled.load(Ordering::Relaxed),
            discarded: self.totals.discarded.load(Ordering::Relaxed),
        };
        for station in roster.stations() {
            let tally = station.tally();
            counts.ran += tally.ran;
            counts.panicked += tally.panicked;
            counts.cancelled += tally.cancelled;
            counts.discarded += tally.discarded;
        }
        counts
    }
}

impl Host for Shared {
    fn post(&self, ticket: Arc<TaskGroup>) {
        match &self.staff {
            None => _ = self.lanes.post(ticket),
            Some(staff) => {
                let posted = self.lanes.post(ticket.clone());
                staff.posted(&ticket, posted.lacking, posted.unwatched);
            }
        }
    }

    fn nudge(&self) {
        if let Some(staff) = &self.staff {
            staff.nudge();
        }
    }

    fn is_elastic(&self) -> bool {
        self.staff.is_some()
    }

    fn size(&self) -> usize {
        match &self.staff {
            // So that what waits is posted, whatever the number of workers is now.
            Some(staff) => staff.options.max,
            None => self.threads.load(Ordering::Relaxed),
        }
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn count(&self, tally: &Tally) {
        self.add(tally);
    }

    fn gone(&self, tasks: usize) {
        if tasks > 0 {
            self.totals.accepted.fetch_add(tasks, Ordering::Relaxed);
        }
    }

    fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    fn enter(&self) {
        self.live.enter();
    }

    fn leave(&self) -> bool {
        self.live.leave()
    }

    fn quiet(&self) {
        if self.live.quiet() {
            self.retire_all();
        }
    }

    fn register(&self, group: &Arc<TaskGroup>) {
        let mut groups = self.groups.lock();
        if groups.len() == groups.capacity() {
            // Before growing: doubling makes the cost of looking through all of them constant for each.
            groups.retain(|group| group.strong_count() > 0);
        }
        groups.push(Arc::downgrade(group));
    }

    fn withdraw(&self, group: &Arc<TaskGroup>) {
        // One bell goes with the ticket, whichever: there stay as many bells as tickets, and a worker that already took one
        // finds another ticket or none.
        if self.lanes.withdraw(group) {
            let _ = channel::try_next(&self.bell);
        }
    }

    fn inside(&self) {
        if Host::worker(self).is_none() {
            self.inside.lock().push(thread::id());
        }
    }

    fn outside(&self) {
        if Host::worker(self).is_some() {
            return;
        }
        let me = thread::id();
        let mut inside = self.inside.lock();
        if let Some(at) = inside.iter().rposition(|other| *other == me) {
            inside.swap_remove(at);
        }
    }

    fn is_inside(&self) -> bool {
        Shared::is_inside(self)
    }

    fn worker(&self) -> Option<usize> {
        worker::current().filter(|(pool, _)| *pool == self.id).map(|(_, index)| index)
    }

    #[cfg(feature = "timings")]
    fn recorder(&self) -> Option<Arc<Recorder>> {
        self.recorder.clone()
    }
}

/// The host of a group that one worker serves: tickets go to that worker's own channel.
struct Bound {
    shared: Arc<Shared>,
    own: Sender<Notice>,
}

impl Host for Bound {
    fn post(&self, ticket: Arc<TaskGroup>) {
        // A worker reads its channel to the end before it leaves, and is pushed to only while it is in the roster.
        let _ = channel::send(&self.own, Notice::Help(ticket));
    }

    fn size(&self) -> usize {
        1
    }

    fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    fn count(&self, tally: &Tally) {
        self.shared.count(tally);
    }

    fn gone(&self, tasks: usize) {
        self.shared.gone(tasks);
    }

    fn refuse(&self) {
        self.shared.refuse();
    }

    fn enter(&self) {
        self.shared.enter();
    }

    fn leave(&self) -> bool {
        self.shared.leave()
    }

    fn quiet(&self) {
        self.shared.quiet();
    }

    fn register(&self, group: &Arc<TaskGroup>) {
        self.shared.register(group);
    }

    fn withdraw(&self, group: &Arc<TaskGroup>) {
        self.shared.withdraw(group);
    }

    fn inside(&self) {
        self.shared.inside();
    }

    fn outside(&self) {
        self.shared.outside();
    }

    fn is_inside(&self) -> bool {
        Shared::is_inside(&self.shared)
    }

    fn worker(&self) -> Option<usize> {
        Host::worker(&*self.shared)
    }

    #[cfg(feature = "timings")]
    fn recorder(&self) -> Option<Arc<Recorder>> {
        Host::recorder(&*self.shared)
    }
}

#[cfg(all(test, not(fanpool_loom)))]
mod tests;
