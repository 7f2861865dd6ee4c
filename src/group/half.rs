//! What `join` asks of a group: to take a job back, and to wait in it for something that ends elsewhere.

use super::{Tally, TaskGroup};
use crate::job::Job;
use crate::sync::{Arc, thread};

impl TaskGroup {
    /// Whether a job waits to be taken.
    pub(crate) fn has_queued(&self) -> bool {
        let outbox = self.outbox.lock();
        let inbox = self.inbox.lock();
        outbox.len() + inbox.arrived.len() > 0
    }

    /// Takes the newest job back if it is the one with that tag. Both locks are held, so either the caller has it or a
    /// helper has, never both; the pending unit goes with it.
    pub(crate) fn take_back(&self, tag: usize) -> Option<Job<'static>> {
        let mut outbox = self.outbox.lock();
        let mut inbox = self.inbox.lock();
        let queue = if inbox.arrived.is_empty() { &mut *outbox } else { &mut inbox.arrived };
        let job = match queue.back() {
            Some(job) if job.tag() == tag => queue.pop_back(),
            _ => None,
        };
        if job.is_some() {
            let quiet = self.settle(&mut inbox, &Tally { settled: 1, ..Tally::default() });
            debug_assert!(!quiet, "nobody waits for a detached group of halves");
        }
        job
    }

    /// Runs this group's jobs, and no others, until `ended` says so. Meanwhile the thread is inside of the host: a worker
    /// further up waits for what it runs.
    ///
    /// It is asked under the inbox lock before parking. Whoever makes it true calls [`TaskGroup::nudge`] afterwards,
    /// which takes that lock: either it comes first and is seen, or the waiter is registered and is woken.
    pub(crate) fn help_until(self: &Arc<Self>, ended: impl Fn() -> bool) {
        let mut spun = false;
        while !ended() {
            self.take_place(&mut self.inbox.lock(), false);
            let mut tally = Tally::default();
            let mut inbox = loop {
                // The oldest first: it is the largest.
                match self.take() {
                    Ok(job) => {
                        self.host.inside();
                        self.run(job, &mut tally);
                        self.host.outside();
                    }
                    Err(inbox) => break inbox,
                }
            };
            let quiet = self.vacate(&mut inbox, &tally, false);
            debug_assert!(!quiet, "nobody waits for a detached group of halves");
            if ended() {
                return;
            }
            if spun {
                self.park(inbox);
            } else {
                drop(inbox);
                thread::spin_while(|| !ended());
            }
            spun = !spun;
        }
    }
}
