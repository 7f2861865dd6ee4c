//! Helpers: serving a ticket, taking jobs, giving the place back. The page above says why no job is lost.

use super::{Inbox, Tally, TaskGroup, outcome};
use crate::job::{Call, Job, Verdict};
use crate::panics::{self, Payload};
use crate::sync::{Arc, MutexGuard, broken, thread};

/// Jobs that the owner takes back from the helpers' queue at a time, if that is less than half of them.
const TAKEN_BACK: usize = if cfg!(fanpool_loom) { 1 } else { 32 };

impl TaskGroup {
    /// Serves a ticket: runs jobs until the queue is empty or `stop` says so between two of them. `stop` is told how each ended, and
    /// counts it.
    pub(crate) fn serve(self: &Arc<Self>, mut stop: impl FnMut(Verdict) -> bool) {
        let mut post = false;
        {
            let outbox = self.outbox.lock();
            let mut inbox = self.inbox.lock();
            inbox.posted = broken!("taken_ticket_stays_posted");
            let queued = outbox.len() + inbox.arrived.len();
            if queued == 0 || inbox.active >= self.options.limit {
                return;
            }
            self.take_place(&mut inbox, true);
            if queued > 1 && !broken!("arrival_posts_none") {
                post = self.take_post(&mut inbox);
            }
        }
        self.post_if(post);
        let mut tally = Tally::default();
        loop {
            let verdict = match self.take() {
                Ok(job) => self.run_one(job),
                Err(inbox) => return self.give_place(inbox, &tally, false),
            };
            tally.settled += 1;
            if stop(verdict) {
                return self.give_place(self.inbox.lock(), &tally, true);
            }
        }
    }

    /// Takes the oldest job, or returns the inbox lock under which both queues were seen empty.
    pub(super) fn take(&self) -> Result<Job<'static>, MutexGuard<'_, Inbox>> {
        let mut outbox = self.outbox.lock();
        if let Some(job) = outbox.pop_front() {
            return Ok(job);
        }
        let mut inbox = self.inbox.lock();
        std::mem::swap(&mut *outbox, &mut inbox.arrived);
        match outbox.pop_front() {
            Some(job) => Ok(job),
            None if broken!("leave_without_recheck") => {
                drop((outbox, inbox));
                Err(self.inbox.lock())
            }
            None => Err(inbox),
        }
    }

    /// Takes the newest job, for the owner of a group without a limit: it pushed most of them, so they are in its cache,
    /// and helpers take from the other end under the other lock.
    pub(super) fn take_newest(&self) -> Result<Job<'static>, MutexGuard<'_, Inbox>> {
        if let Some(job) = self.inbox.lock().arrived.pop_back() {
            return Ok(job);
        }
        let mut outbox = self.outbox.lock();
        let mut inbox = self.inbox.lock();
        if inbox.arrived.is_empty() {
            let kept = outbox.len() - outbox.len().div_ceil(2).min(TAKEN_BACK);
            inbox.arrived.extend(outbox.drain(kept..));
        }
        match inbox.arrived.pop_back() {
            Some(job) => Ok(job),
            None => Err(inbox),
        }
    }

    pub(super) fn run(&self, job: Job<'static>, tally: &mut Tally) {
        tally.add(self.run_one(job));
        tally.settled += 1;
    }

    fn run_one(&self, job: Job<'static>) -> Verdict {
        let cancelled = self.is_cancelled() && !broken!("cancelled_tasks_start");
        let call = if cancelled { Call::Abandon } else { Call::Start };
        let tag = job.tag();
        let (verdict, payload) = outcome(|| job.call(call));
        if verdict == Verdict::Elsewhere {
            self.inbox.lock().husks.remove(&tag);
        }
        if let Some(payload) = payload {
            self.keep_first(payload);
        }
        verdict
    }

    /// Keeps the payload for [`TaskGroup::take_panic`] if it is the first and somebody will ask.
    pub(crate) fn keep_first(&self, payload: Payload) {
        if !self.options.detached {
            let mut inbox = self.inbox.lock();
            if inbox.first_panic.is_none() {
                inbox.first_panic = Some(payload);
                return;
            }
        }
        panics::discard(payload);
    }

    pub(super) fn take_place(&self, inbox: &mut Inbox, helper: bool) {
        inbox.active += 1;
        inbox.helpers += usize::from(helper);
        if self.is_limited() {
            inbox.insiders.push(thread::id());
        }
    }

    /// Gives a helper's place back. `queued` tells that the queue may hold jobs, so that the invariant must be looked
    /// at; otherwise the lock is the one under which it was seen empty.
    fn give_place(self: &Arc<Self>, mut inbox: MutexGuard<'_, Inbox>, tally: &Tally, queued: bool) {
        let quiet = self.vacate(&mut inbox, tally, true);
        let post = queued && inbox.pending > 0 && !broken!("yield_posts_none") && self.take_post(&mut inbox);
        drop(inbox);
        self.post_if(post);
        self.quiet_if(quiet);
    }

    /// Gives a place back, settles, and wakes whoever waits for either. Returns whether `Host::quiet` is due.
    pub(super) fn vacate(&self, inbox: &mut Inbox, tally: &Tally, helper: bool) -> bool {
        self.drop_place(inbox, helper);
        let quiet = self.settle(inbox, tally);
        if inbox.waiting > 0 && !broken!("leaving_wakes_no_owner") {
            self.changed.notify_all();
        }
        quiet
    }

    pub(super) fn quiet_if(&self, quiet: bool) {
        if quiet {
            self.host.quiet();
        }
    }

    fn drop_place(&self, inbox: &mut Inbox, helper: bool) {
        inbox.active -= usize::from(!broken!("place_not_given_back"));
        inbox.helpers -= usize::from(helper && !broken!("helper_not_given_back"));
        if self.is_limited() {
            let me = thread::id();
            if let Some(at) = inbox.insiders.iter().rposition(|other| *other == me) {
                inbox.insiders.swap_remove(at);
            }
        }
    }
}
