//! Waiting: for a whole group, and for one task of it. The page above says why no wake-up is lost.

use super::{Inbox, Tally, TaskGroup};
use crate::error::WouldDeadlock;
use crate::job::Verdict;
use crate::panics;
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, MutexGuard, broken, thread};

/// What a waiter for one task sees when it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    Queued,
    Running,
    /// Running further down on the caller's own stack.
    Here,
    Done,
}

/// A task of this group as its waiter sees it.
///
/// `progress` and `run` take the task's own lock, which therefore comes after the inbox lock; whoever ends a task calls
/// [`TaskGroup::nudge`] without holding it.
pub(crate) trait Awaited {
    /// The tag of its job.
    fn tag(&self) -> usize;
    fn progress(&self) -> Progress;
    /// Takes it for this thread to run; false if somebody has it already.
    fn claim(&self) -> bool;
    /// Runs what this thread has claimed, or drops it if the group is cancelled.
    fn run_claimed(&self) -> Verdict;
}

/// How a thread may run work of a limited group outside of its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entered {
    /// Without a place: the thread is suspended in a task that has one.
    Free,
    Place,
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
            let mut inside = false;
            let mut inbox = loop {
                let next = if self.is_limited() { self.take() } else { self.take_newest() };
                match next {
                    Ok(job) => {
                        // A worker may hold the handle of any of them, and wait for this thread.
                        if !inside {
                            self.host.inside();
                        }
                        inside = true;
                        self.run(job, &mut tally);
                    }
                    Err(inbox) => break inbox,
                }
            };
            if inside {
                self.host.outside();
            }
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
    pub(super) fn park(&self, mut inbox: MutexGuard<'_, Inbox>) {
        if broken!("park_unregistered") {
            self.changed.wait(&mut inbox);
            return;
        }
        inbox.waiting += 1;
        self.changed.wait(&mut inbox);
        inbox.waiting -= 1;
    }

    /// Waits for one task of a limited group until it has ended or runs elsewhere for certain to end.
    ///
    /// With a limit of one the order must be kept: as long as the task is queued and the place is free, the waiter runs
    /// what is queued before it, and then the task. With a higher limit it runs the task alone, out of turn, in a free
    /// place; a waiter that is itself a task of the group is suspended meanwhile and lends the task its own place.
    pub(crate) fn wait_for_one(self: &Arc<Self>, task: &(impl Awaited + ?Sized)) -> Result<(), WouldDeadlock> {
        loop {
            let mut inbox = self.inbox.lock();
            match task.progress() {
                Progress::Done => return Ok(()),
                Progress::Here => return Err(WouldDeadlock),
                Progress::Running => {
                    self.park(inbox);
                    continue;
                }
                Progress::Queued => {}
            }
            let strand = self.options.limit == 1;
            if inbox.insiders.contains(&thread::id()) {
                if strand {
                    // The one place is held by a frame further down on this very stack.
                    return Err(WouldDeadlock);
                }
                drop(inbox);
                self.run_out_of_turn(task, false);
            } else if inbox.active >= self.options.limit {
                self.park(inbox);
            } else if strand {
                self.take_place(&mut inbox, false);
                drop(inbox);
                self.run_up_to(task);
            } else {
                drop(inbox);
                self.run_out_of_turn(task, true);
            }
        }
    }

    /// With the strand's place in hand, runs what is queued up to the task, and gives the place back.
    fn run_up_to(self: &Arc<Self>, task: &(impl Awaited + ?Sized)) {
        self.host.inside();
        let mut tally = Tally::default();
        let mut inbox = loop {
            if task.progress() != Progress::Queued {
                break self.inbox.lock();
            }
            match self.take() {
                Ok(job) => self.run(job, &mut tally),
                Err(inbox) => {
                    // Its job is not in the queue and nobody else has the place: it is being discarded, perhaps further
                    // down on this stack. Whoever claims the task first decides.
                    drop(inbox);
                    self.run_claimed(task);
                    break self.inbox.lock();
                }
            }
        };
        self.host.outside();
        let quiet = self.vacate(&mut inbox, &tally, false);
        // More may be queued behind the task.
        let post = inbox.pending > 0 && !broken!("strand_joiner_posts_none") && self.take_post(&mut inbox);
        drop(inbox);
        self.post_if(post);
        self.quiet_if(quiet);
    }

    /// Tells those in [`TaskGroup::wait_for_one`] that a task ended.
    pub(crate) fn nudge(&self) {
        self.notify(&self.inbox.lock());
    }

    /// Runs a queued task out of turn, on the thread that waits for it, in a place of its own or (`place` false) in that
    /// of the caller.
    ///
    /// The last job that arrived is simply taken out of the queue, which is how a task that was just submitted leaves
    /// nothing behind. Any other stays where it is as a husk, empty, until its turn comes or husks are swept. The run of a
    /// husk is one more pending unit: while it lasts, nobody who waits for the group goes on.
    pub(crate) fn run_out_of_turn(self: &Arc<Self>, task: &(impl Awaited + ?Sized), place: bool) {
        let taken = {
            let mut inbox = self.inbox.lock();
            if place && !broken!("out_of_turn_takes_no_place") {
                if inbox.active >= self.options.limit {
                    return;
                }
                self.take_place(&mut inbox, false);
            }
            let last = inbox.arrived.back().is_some_and(|job| job.tag() == task.tag());
            if last { inbox.arrived.pop_back() } else { None }
        };
        self.host.inside();
        let mut tally = Tally::default();
        match taken {
            Some(job) => self.run(job, &mut tally),
            None => self.run_claimed(task),
        }
        self.host.outside();
        tally.settled += self.sweep_husks();
        let mut inbox = self.inbox.lock();
        let (mut quiet, mut post) = (false, false);
        if place {
            quiet = self.vacate(&mut inbox, &tally, false);
            // While the place was taken a push may have found none free.
            post = self.is_limited()
                && inbox.pending > 0
                && !broken!("out_of_turn_posts_none")
                && self.take_post(&mut inbox);
        } else {
            quiet |= self.settle(&mut inbox, &tally);
            self.notify(&inbox);
        }
        drop(inbox);
        self.post_if(post);
        self.quiet_if(quiet);
    }

    /// Takes the husks out of the queue once they are half of it, so that they never outnumber the tasks that wait and each
    /// costs a constant time. Returns how many; they are still to be settled. A mark without a job in the queue stays: a
    /// helper has the job in hand.
    fn sweep_husks(&self) -> usize {
        if self.inbox.lock().husks.is_empty() {
            return 0;
        }
        let mut swept = Vec::new();
        {
            let mut outbox = self.outbox.lock();
            let inbox = &mut *self.inbox.lock();
            if 2 * inbox.husks.len() < outbox.len() + inbox.arrived.len() {
                return 0;
            }
            for queue in [&mut *outbox, &mut inbox.arrived] {
                for _ in 0..queue.len() {
                    let Some(job) = queue.pop_front() else { break };
                    if inbox.husks.remove(&job.tag()) {
                        swept.push(job);
                    } else {
                        queue.push_back(job);
                    }
                }
            }
        }
        let husks = swept.len();
        panics::drop_each(swept);
        husks
    }

    /// Runs a task whose job may still be queued, if nobody else claims it first.
    ///
    /// The claim and its mark are one critical section. Whoever meets the job later finds it claimed, and so takes the
    /// mark away after it was made; and nobody takes a job for a husk that is not one.
    /// The caller wakes those who wait for the group.
    fn run_claimed(self: &Arc<Self>, task: &(impl Awaited + ?Sized)) {
        {
            let mut inbox = self.inbox.lock();
            if !task.claim() {
                return;
            }
            if broken!("husk_marked_late") {
                drop(inbox);
                inbox = self.inbox.lock();
            }
            inbox.husks.insert(task.tag());
            self.add_pending(&mut inbox, 1);
        }
        let mut tally = Tally { settled: 1, ..Tally::default() };
        tally.add(task.run_claimed());
        let mut inbox = self.inbox.lock();
        let quiet = self.settle(&mut inbox, &tally);
        drop(inbox);
        self.quiet_if(quiet);
    }

    pub(super) fn notify(&self, inbox: &Inbox) {
        if inbox.waiting > 0 {
            self.changed.notify_all();
        }
    }

    /// Takes a place for work of this limited group that the calling thread has at hand, if one is needed and free.
    pub(crate) fn enter(&self) -> Option<Entered> {
        let mut inbox = self.inbox.lock();
        if inbox.insiders.contains(&thread::id()) {
            return Some(Entered::Free);
        }
        (inbox.active < self.options.limit).then(|| {
            self.take_place(&mut inbox, false);
            Entered::Place
        })
    }

    /// Gives back what [`TaskGroup::enter`] took.
    pub(crate) fn exit(self: &Arc<Self>, entered: Entered) {
        if entered == Entered::Place {
            let mut inbox = self.inbox.lock();
            let quiet = self.vacate(&mut inbox, &Tally::default(), false);
            // While the place was taken a push may have found none free.
            let post = inbox.pending > 0 && !broken!("exit_posts_none") && self.take_post(&mut inbox);
            drop(inbox);
            self.post_if(post);
            self.quiet_if(quiet);
        }
    }

    /// Parks while `blocked` says so. It is asked under the inbox lock, with whether [`TaskGroup::enter`] would succeed, and
    /// again after every [`TaskGroup::nudge`] and whenever a place is given back.
    pub(crate) fn park_while(&self, blocked: impl Fn(bool) -> bool) {
        loop {
            let inbox = self.inbox.lock();
            let free = inbox.active < self.options.limit || inbox.insiders.contains(&thread::id());
            if !blocked(free) {
                return;
            }
            self.park(inbox);
        }
    }

    pub(crate) fn host(&self) -> &Arc<dyn super::Host> {
        &self.host
    }

    /// Adds a pending unit for work that this group's owner must wait for and that runs elsewhere.
    pub(crate) fn add_one(&self) {
        self.add_pending(&mut self.inbox.lock(), 1);
    }

    /// Settles what [`TaskGroup::add_one`] added.
    pub(crate) fn settle_one(&self) {
        let mut inbox = self.inbox.lock();
        let quiet = self.settle(&mut inbox, &Tally { settled: 1, ..Tally::default() });
        if !broken!("settle_one_wakes_nobody") {
            self.notify(&inbox);
        }
        drop(inbox);
        self.quiet_if(quiet);
    }
}
