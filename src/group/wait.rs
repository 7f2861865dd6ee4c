//! Waiting: for a whole group, and for one task of it. The page above says why no wake-up is lost.

use super::{Inbox, Tally, TaskGroup};
use crate::error::WouldDeadlock;
use crate::job::Verdict;
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, MutexGuard, broken, thread};

/// What a waiter for one task sees when it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    Queued,
    Running,
    Done,
}

impl TaskGroup {
    /// Runs this group's jobs, and no others, until none is pending.
    pub(crate) fn wait_all(self: &Arc<Self>) {
        let mut spun = false;
        loop {
            let mut inbox = self.inbox.lock();
            if inbox.pending == 0 {
                return;
            }
            if inbox.active >= self.options.limit || broken!("owner_never_helps") {
                self.park(inbox);
                continue;
            }
            self.take_place(&mut inbox, false);
            drop(inbox);

            let mut tally = Tally::default();
            let mut inbox = loop {
                match self.take() {
                    Ok(job) => self.run(job, &mut tally),
                    Err(inbox) => break inbox,
                }
            };
            let quiet = self.vacate(&mut inbox, &tally, false);
            debug_assert!(!quiet, "nobody waits for a detached group as a whole");
            if inbox.pending == 0 {
                return;
            }
            // The last jobs run elsewhere. Short ones end while this thread spins; then look at the queue once more.
            if spun {
                self.park(inbox);
            } else {
                drop(inbox);
                thread::spin_while(|| self.busy.load(Ordering::Relaxed));
            }
            spun = !spun;
        }
    }

    /// Parks until notified. Registering and parking are one critical section with what the caller saw under the lock.
    fn park(&self, mut inbox: MutexGuard<'_, Inbox>) {
        if broken!("park_unregistered") {
            self.changed.wait(&mut inbox);
            return;
        }
        inbox.waiting += 1;
        self.changed.wait(&mut inbox);
        inbox.waiting -= 1;
    }

    /// Waits for one task of a limited group, whose order must be kept: as long as the task is queued and a place is
    /// free, runs what is queued before it, and then the task itself.
    ///
    /// `progress` takes the task's own lock, which therefore comes after the inbox lock; whoever ends a task calls
    /// [`TaskGroup::nudge`] without holding it.
    pub(crate) fn wait_for_one(self: &Arc<Self>, progress: impl Fn() -> Progress) -> Result<(), WouldDeadlock> {
        loop {
            let mut inbox = self.inbox.lock();
            match progress() {
                Progress::Done => return Ok(()),
                Progress::Running => {
                    self.park(inbox);
                    continue;
                }
                Progress::Queued => {}
            }
            if inbox.active >= self.options.limit {
                let me = thread::id();
                if inbox.insiders.iter().all(|other| *other == me) {
                    // Every place is held by a frame further down on this very stack.
                    return Err(WouldDeadlock);
                }
                self.park(inbox);
                continue;
            }
            self.take_place(&mut inbox, false);
            drop(inbox);
            self.enter_host();

            let mut tally = Tally::default();
            let (mut inbox, queued) = loop {
                if progress() != Progress::Queued {
                    break (self.inbox.lock(), true);
                }
                match self.take() {
                    Ok(job) => self.run(job, &mut tally),
                    Err(inbox) => break (inbox, false),
                }
            };
            self.leave_host();
            let quiet = self.vacate(&mut inbox, &tally, false);
            let post = queued && inbox.pending > 0 && self.take_post(&mut inbox);
            drop(inbox);
            self.post_if(post);
            self.quiet_if(quiet);
        }
    }

    /// Tells those in [`TaskGroup::wait_for_one`] that a task ended.
    pub(crate) fn nudge(&self) {
        let inbox = self.inbox.lock();
        if inbox.waiting > 0 {
            self.changed.notify_all();
        }
    }

    /// Runs a queued task's closure out of turn, on the thread that waits for it, in a place of its own.
    ///
    /// The job stays in the queue, empty, and settles there. This run is one more pending unit: while it lasts, nobody
    /// who waits for the group goes on.
    pub(crate) fn run_out_of_turn(self: &Arc<Self>, run: impl FnOnce() -> Verdict) {
        {
            let mut inbox = self.inbox.lock();
            self.add_pending(&mut inbox, 1);
            self.take_place(&mut inbox, false);
        }
        self.enter_host();
        let mut tally = Tally { settled: 1, ..Tally::default() };
        tally.add(run());
        self.leave_host();
        let mut inbox = self.inbox.lock();
        let quiet = self.vacate(&mut inbox, &tally, false);
        drop(inbox);
        self.quiet_if(quiet);
    }

    /// Adds a pending unit for work that this group's owner must wait for and that runs elsewhere.
    pub(crate) fn add_one(&self) {
        self.add_pending(&mut self.inbox.lock(), 1);
    }

    /// Settles what [`TaskGroup::add_one`] added.
    pub(crate) fn settle_one(&self) {
        let mut inbox = self.inbox.lock();
        let quiet = self.settle(&mut inbox, &Tally { settled: 1, ..Tally::default() });
        if inbox.waiting > 0 {
            self.changed.notify_all();
        }
        drop(inbox);
        self.quiet_if(quiet);
    }

    fn enter_host(&self) {
        if self.options.detached {
            self.host.inside();
        }
    }

    fn leave_host(&self) {
        if self.options.detached {
            self.host.outside();
        }
    }
}
