//! The task group: a queue with a concurrency limit, served by helpers that it summons from a pool.
//!
//! # The protocol
//!
//! A group owns a queue of jobs that nobody ever blocks on. Two locks split it: `inbox`, where jobs arrive and where
//! all of the protocol's state lives, and `outbox`, from which they are taken. Whoever finds the outbox empty swaps
//! it with what has arrived, so pushing and taking rarely touch the same lock, and order stays first in, first out.
//! The lock order is outbox before inbox. No lock is held while user code runs, while a ticket is sent, or while a job
//! is dropped.
//!
//! The state, all of it written under the inbox lock:
//!
//! * `pending`: accepted jobs that are not settled (finished, cancelled or discarded).
//! * `active`: threads that hold a place, at most `limit`; `helpers`: those of them that came with a ticket.
//! * `posted`: whether a ticket is on its way.
//! * `waiting`: threads parked on `changed`.
//!
//! **The invariant.** Whenever no thread holds the inbox lock: *if a job is queued and `active < limit` and
//! `helpers <` the pool's threads, then `posted`*. (Threads that were told to leave count until they have: one that is
//! stuck in a task is still a helper.) A ticket that is posted is in the pool's channel, or its sender is
//! about to put it there. So a queued job is always waited for by somebody: a thread that holds a place looks at the
//! queue again before it gives the place up, a posted ticket brings a helper, and where all of the pool's workers are
//! helpers already, no ticket could bring another. Each step keeps it:
//!
//! * *push* enqueues, then posts if the invariant asks for it.
//! * *arrival* of a helper takes the ticket (`posted = false`) and a place in one critical section that holds both
//!   locks, and posts the next ticket in the same section if more is queued than it can take itself. This closes the
//!   race with a push that saw the ticket still posted and therefore posted none. Helpers thus summon each other: the
//!   owner pays for one wake-up, however many tasks it pushes. A helper that finds all places taken leaves; the
//!   invariant then asks for nothing.
//! * *leaving* happens only in a section that holds the inbox lock and has just seen both queues empty: nothing can
//!   enter the outbox but by a swap, which takes the inbox lock. A push that comes later sees the place free.
//! * *yielding* (the time slice is over and somebody waits, or the worker is paused or retired) gives the place up
//!   while jobs are queued, and therefore posts a ticket, at the back of the pool's queue.
//! * the pool *grows*: `summon` looks at the invariant again for every group.
//!
//! **Waiting.** The owner of a scope takes a place like a helper and runs its own group's jobs, and no others. In a group
//! without a limit, which promises no order, it takes the newest from the inbox's end, away from the helpers, and when that
//! is empty takes back up to half of what the helpers have before them. When both
//! queues are empty it gives the place up and, in the same critical section, returns if `pending` is zero or else
//! registers in `waiting` and parks. Whatever could let it go on takes the inbox lock afterwards, sees `waiting`, and
//! notifies: a push (it may take the job), a thread that leaves or yields (a place is free), and the settlement that
//! brings `pending` to zero. The condition variable lives in the group, which helpers keep alive through their ticket's
//! `Arc`, so waking touches nothing on the owner's stack.
//!
//! **Settling.** A helper counts what it ran and subtracts it from `pending` when it leaves or yields, not per job: a
//! job's end is only of interest when it is the last. Effects of jobs happen before the return of a wait, because both
//! go through the inbox lock.
//!
//! **Tickets outlive scopes.** A scope may end while its ticket is still in the channel. The group is then kept for the
//! next scope, `posted` and all, so that a program which opens scopes faster than workers wake up sends no further
//! tickets, and stale tickets are bounded by the number of groups.
//!
//! # What a task costs
//!
//! Two lock and two unlock operations: four atomic read-modify-writes on two cache lines (the inbox's while pushing,
//! the outbox's while taking), plus the job's own line, which moves from the pusher's core to the helper's. Nothing else
//! that is shared is written per task. Takers contend for the outbox line: with 64 cores on tasks under a microsecond
//! that line is the limit, at roughly one line transfer (50 to 150 ns between cores) per task, whatever the number of
//! workers. Such work belongs into batches.

mod half;
mod helper;
#[cfg(feature = "timings")]
mod timed;
mod wait;

pub(crate) use wait::{Awaited, Progress};

use crate::cancel::CancelToken;
use crate::job::{Call, Job, Verdict};
#[cfg(feature = "timings")]
use crate::observe::Recorder;
use crate::panics::{self, Payload};
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Arc, CachePadded, Condvar, Mutex, MutexGuard, broken, thread};
use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

/// What a group asks of whoever serves it.
pub(crate) trait Host: Send + Sync {
    /// Sends a ticket: some worker will call [`TaskGroup::serve`] on it, once.
    fn post(&self, ticket: Arc<TaskGroup>);
    /// A task came to a group whose ticket is on its way. If threads were refused for it and nobody will ask again, this does.
    fn nudge(&self) {}
    /// How many workers there are, those included that were told to leave and have not, or how many there may be if that changes by
    /// itself: no group has more helpers.
    fn size(&self) -> usize;
    /// Whether workers come and go by themselves, and [`Host::nudge`] is called.
    fn is_elastic(&self) -> bool {
        false
    }
    /// Whether new tasks are refused.
    fn is_closed(&self) -> bool;
    /// Adds to the pool's counts what a thread ran without a ticket. Called before the tasks are settled.
    fn count(&self, tally: &Tally);
    /// A group is gone, to which so many tasks had come.
    fn gone(&self, _tasks: usize) {}
    /// A task was handed back.
    fn refuse(&self);
    /// A group of detached tasks got its first pending one.
    fn enter(&self);
    /// A group of detached tasks settled its last; returns whether [`Host::quiet`] is to be called.
    fn leave(&self) -> bool;
    /// All groups of detached tasks are settled, and somebody wants to know. Called without any lock.
    fn quiet(&self);
    /// A group joins those that are looked at when the pool grows.
    fn register(&self, group: &Arc<TaskGroup>);
    /// A group will have no more tasks; takes its ticket back.
    fn withdraw(&self, group: &Arc<TaskGroup>);
    /// The calling thread begins to run tasks of this host while it waits for a scope, a handle or a half.
    fn inside(&self);
    /// The calling thread has returned from them.
    fn outside(&self);
    /// Whether the calling thread must not wait for the workers.
    fn is_inside(&self) -> bool;
    /// The index of the worker that the calling thread is.
    fn worker(&self) -> Option<usize>;
    /// Where the times of tasks are recorded, if they are. Asked when a group is made.
    #[cfg(feature = "timings")]
    fn recorder(&self) -> Option<Arc<Recorder>> {
        None
    }
}

/// How a group differs from the default.
#[derive(Clone)]
pub(crate) struct Options {
    /// Tasks that may run at once.
    pub(crate) limit: usize,
    pub(crate) lane: usize,
    pub(crate) cancel: Option<CancelToken>,
    pub(crate) name: Option<Arc<str>>,
    /// Nobody waits for this group as a whole, so the pool does. A panic is counted and its payload dropped.
    pub(crate) detached: bool,
    /// Its jobs are halves of joins, which may be taken back, and are not counted as tasks.
    pub(crate) halves: bool,
}

impl Options {
    pub(crate) fn new(lane: usize) -> Options {
        Options { limit: usize::MAX, lane, cancel: None, name: None, detached: false, halves: false }
    }
}

/// What became of the tasks that one thread took from a group.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) ran: usize,
    pub(crate) panicked: usize,
    pub(crate) cancelled: usize,
    pub(crate) discarded: usize,
    /// Units of `pending` to give back.
    settled: usize,
}

impl Tally {
    pub(crate) fn of(ran: usize, panicked: usize, cancelled: usize, discarded: usize) -> Tally {
        Tally { ran, panicked, cancelled, discarded, settled: 0 }
    }

    fn is_empty(&self) -> bool {
        self.ran + self.panicked + self.cancelled + self.discarded == 0
    }

    fn add(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Finished => self.ran += 1,
            Verdict::Panicked => self.panicked += 1,
            Verdict::NotStarted => self.cancelled += 1,
            Verdict::Discarded => self.discarded += 1,
            Verdict::Elsewhere => {}
        }
    }
}

/// Calls a job and contains its panic.
fn outcome(job: impl FnOnce() -> Verdict) -> (Verdict, Option<Payload>) {
    match panics::catch(job) {
        Ok(verdict) => (verdict, None),
        Err(payload) => (Verdict::Panicked, Some(payload)),
    }
}

struct Inbox {
    arrived: VecDeque<Job<'static>>,
    /// Jobs that ever arrived, and how many had when somebody last looked how long jobs wait, with the time.
    arrivals: usize,
    mark: Option<(usize, Instant)>,
    pending: usize,
    active: usize,
    helpers: usize,
    posted: bool,
    waiting: usize,
    /// Who holds the places; kept only where there is a limit, to tell a thread that it waits for its own place.
    insiders: Vec<thread::ThreadId>,
    /// Tags of queued jobs that somebody ran out of turn: husks, which hold their place in the queue and nothing else.
    husks: HashSet<usize>,
    first_panic: Option<Payload>,
    /// Jobs before the next whose times are recorded.
    #[cfg(feature = "timings")]
    untimed: usize,
}

pub(crate) struct TaskGroup {
    inbox: CachePadded<Mutex<Inbox>>,
    outbox: CachePadded<Mutex<VecDeque<Job<'static>>>>,
    /// Mirrors `pending > 0` for those who spin; decides nothing.
    busy: AtomicBool,
    /// The last tag that was given out. A number and no address: a mark may outlive its job for a moment.
    tags: AtomicUsize,
    changed: Condvar,
    /// Whether threads may be lacking for a ticket.
    elastic: bool,
    options: Options,
    host: Arc<dyn Host>,
    #[cfg(feature = "timings")]
    recorder: Option<Arc<Recorder>>,
}

/// Capacity that a queue may keep when its group is used again.
const KEPT_CAPACITY: usize = 1024;

impl TaskGroup {
    pub(crate) fn new(host: Arc<dyn Host>, options: Options) -> Arc<TaskGroup> {
        #[cfg(feature = "timings")]
        let recorder = host.recorder();
        let inbox = Inbox {
            arrived: VecDeque::new(),
            arrivals: 0,
            mark: None,
            pending: 0,
            active: 0,
            helpers: 0,
            posted: false,
            waiting: 0,
            insiders: Vec::new(),
            husks: HashSet::new(),
            first_panic: None,
            #[cfg(feature = "timings")]
            untimed: recorder.as_ref().map_or(0, |recorder| recorder.phase()),
        };
        Arc::new(TaskGroup {
            inbox: CachePadded::new(Mutex::new(inbox)),
            outbox: CachePadded::new(Mutex::new(VecDeque::new())),
            busy: AtomicBool::new(false),
            tags: AtomicUsize::new(0),
            changed: Condvar::new(),
            elastic: host.is_elastic(),
            options,
            host,
            #[cfg(feature = "timings")]
            recorder,
        })
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn is_limited(&self) -> bool {
        self.options.limit != usize::MAX
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.options.cancel.as_ref().is_some_and(CancelToken::is_cancelled)
    }

    /// A tag that no other job of this group has.
    pub(crate) fn next_tag(&self) -> usize {
        self.tags.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    /// Enqueues a job, whatever the state of the pool.
    pub(crate) fn push(self: &Arc<Self>, job: Job<'static>) {
        self.enqueue(self.inbox.lock(), job);
    }

    /// Enqueues what `wrap` makes of `value`, or returns the value if the pool is closed. The pool's flag is read under
    /// the inbox lock, so that [`TaskGroup::barrier`] separates what was accepted from what will be refused.
    pub(crate) fn push_if_open<V>(self: &Arc<Self>, value: V, wrap: impl FnOnce(V) -> Job<'static>) -> Result<(), V> {
        let inbox = self.inbox.lock();
        if self.host.is_closed() {
            drop(inbox);
            self.host.refuse();
            return Err(value);
        }
        self.enqueue(inbox, wrap(value));
        Ok(())
    }

    /// Returns after every push that did not see the pool closed.
    pub(crate) fn barrier(&self) {
        if !broken!("close_without_barrier") {
            drop(self.inbox.lock());
        }
    }

    fn enqueue(self: &Arc<Self>, mut inbox: MutexGuard<'_, Inbox>, job: Job<'static>) {
        #[cfg(feature = "timings")]
        let job = self.timed(&mut inbox, job);
        inbox.arrived.push_back(job);
        inbox.arrivals = inbox.arrivals.wrapping_add(1);
        self.add_pending(&mut inbox, 1);
        let posted = self.elastic && inbox.posted;
        let post = self.take_post(&mut inbox);
        if inbox.waiting > 0 && !broken!("push_wakes_no_owner") {
            self.changed.notify_all();
        }
        drop(inbox);
        if posted {
            self.host.nudge();
        }
        self.post_if(post);
    }

    /// Adds to `pending`.
    fn add_pending(&self, inbox: &mut Inbox, jobs: usize) {
        if inbox.pending == 0 {
            self.busy.store(true, Ordering::Relaxed);
            if self.options.detached {
                self.host.enter();
            }
        }
        inbox.pending += jobs;
    }

    /// The invariant's question, for a caller that knows of a queued job: is a ticket missing? Marks it as posted; the
    /// caller sends it once it has let go of the lock.
    fn take_post(&self, inbox: &mut Inbox) -> bool {
        let missing = !inbox.posted && inbox.active < self.options.limit && inbox.helpers < self.host.size();
        inbox.posted |= missing;
        missing
    }

    fn post_if(self: &Arc<Self>, post: bool) {
        if post {
            self.host.post(self.clone());
        }
    }

    /// Counts, then subtracts from `pending`. Returns whether `Host::quiet` is to be called after unlocking.
    fn settle(&self, inbox: &mut Inbox, tally: &Tally) -> bool {
        if tally.settled == 0 {
            return false;
        }
        if !tally.is_empty() {
            self.host.count(tally);
        }
        inbox.pending -= tally.settled - usize::from(broken!("settling_forgets_one"));
        if inbox.pending > 0 {
            return false;
        }
        self.busy.store(false, Ordering::Relaxed);
        self.options.detached && !broken!("root_never_quiet") && self.host.leave()
    }

    /// Looks at the invariant again, after the pool grew.
    pub(crate) fn summon(self: &Arc<Self>) {
        let post = {
            let outbox = self.outbox.lock();
            let mut inbox = self.inbox.lock();
            outbox.len() + inbox.arrived.len() > 0 && self.take_post(&mut inbox)
        };
        self.post_if(post);
    }

    /// Drops every queued job, without running it. For the pool's end: no scope is left then, so nobody waits for the group as a
    /// whole, and each job tells those who wait for itself.
    pub(crate) fn discard_queued(self: &Arc<Self>) {
        let mut jobs = {
            let mut outbox = self.outbox.lock();
            let mut inbox = self.inbox.lock();
            let mut jobs = std::mem::take(&mut *outbox);
            jobs.append(&mut inbox.arrived);
            jobs
        };
        let mut tally = Tally { settled: jobs.len(), ..Tally::default() };
        while let Some(job) = jobs.pop_front() {
            let tag = job.tag();
            let (verdict, payload) = outcome(|| job.call(Call::Abandon));
            match verdict {
                Verdict::Elsewhere => _ = self.inbox.lock().husks.remove(&tag),
                // A job without a handle does not know why.
                Verdict::NotStarted if !self.is_cancelled() => tally.add(Verdict::Discarded),
                verdict => tally.add(verdict),
            }
            if let Some(payload) = payload {
                self.keep_first(payload);
            }
        }
        let mut inbox = self.inbox.lock();
        let quiet = self.settle(&mut inbox, &tally);
        drop(inbox);
        self.quiet_if(quiet);
    }

    /// `(queued, running)`: exact at one moment; a helper between two tasks counts as running.
    pub(crate) fn depth(&self) -> (usize, usize) {
        let outbox = self.outbox.lock();
        let inbox = self.inbox.lock();
        ((outbox.len() + inbox.arrived.len()).saturating_sub(inbox.husks.len()), inbox.active)
    }

    /// How many tasks ever came.
    pub(crate) fn arrivals(&self) -> usize {
        if self.options.halves { 0 } else { self.inbox.lock().arrivals }
    }

    /// For how long the oldest queued job has waited at least, as far as earlier calls can tell; zero at the first. A call notes how many jobs had
    /// arrived; as long as one of them is queued, it has waited since.
    pub(crate) fn waited(&self, now: Instant) -> Duration {
        let outbox = self.outbox.lock();
        let mut inbox = self.inbox.lock();
        let queued = outbox.len() + inbox.arrived.len() - inbox.husks.len().min(outbox.len() + inbox.arrived.len());
        if queued == 0 {
            inbox.mark = None;
            return Duration::ZERO;
        }
        match inbox.mark {
            // Fewer are queued than have arrived since.
            Some((then, at)) if queued > inbox.arrivals.wrapping_sub(then) => now.saturating_duration_since(at),
            _ => {
                inbox.mark = Some((inbox.arrivals, now));
                Duration::ZERO
            }
        }
    }

    /// Whether a ticket is on its way.
    pub(crate) fn is_posted(&self) -> bool {
        self.inbox.lock().posted
    }

    pub(crate) fn take_panic(&self) -> Option<Payload> {
        self.inbox.lock().first_panic.take()
    }

    /// Makes a group whose scope has ended fit for the next one. A ticket on its way stays valid.
    pub(crate) fn reset(&self) {
        let mut outbox = self.outbox.lock();
        let mut inbox = self.inbox.lock();
        debug_assert_eq!((inbox.pending, outbox.len(), inbox.arrived.len(), inbox.husks.len()), (0, 0, 0, 0));
        outbox.shrink_to(KEPT_CAPACITY);
        inbox.arrived.shrink_to(KEPT_CAPACITY);
        inbox.husks.shrink_to(KEPT_CAPACITY);
    }
}

impl Drop for TaskGroup {
    fn drop(&mut self) {
        if !broken!("gone_group_is_forgotten") {
            self.host.gone(self.arrivals());
        }
    }
}

impl fmt::Debug for TaskGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (queued, running) = self.depth();
        f.debug_struct("TaskGroup")
            .field("name", &self.options.name)
            .field("queued", &queued)
            .field("running", &running)
            .finish_non_exhaustive()
    }
}
