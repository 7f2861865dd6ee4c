//! What is done and was not taken by the collector yet.
//!
//! Threads that run items land outcomes here, several at a time; the collector takes all of them at once and delivers them one by one
//! from a buffer of its own, which it alone knows. One lock, held to move outcomes and never while user code runs:
//!
//! * `arrived`, and the accounts of all that has landed.
//! * `total`: how many items were accepted, once no more will be. The collector has come to the end when it has taken so many.
//! * `wanted`: what the collector waits for. It leaves the mark after a look under this lock; whoever lands that (or sets
//!   `total`) does so under this lock too, takes the mark away and rings the bell, which is a channel of capacity one. So
//!   the ring either finds the mark, or what it would tell of was there at the look. A ring that nobody needs any more costs the
//!   collector one more look.
//! * `gone`: there is no collector any more; what lands is dropped by whoever lands it, once the lock is free.

use super::credits::Credits;
use super::verdict::Verdict;
use crate::error::TaskError;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::channel::{self, Sender};
use crate::sync::{CachePadded, Condvar, Mutex, broken};
use std::collections::VecDeque;
use std::time::Instant;

/// No worker of the service's pool.
pub(super) const NO_WORKER: u32 = u32::MAX;

/// One item's end. Times are in nanoseconds.
pub(super) struct Done<R, E> {
    pub(super) seq: u64,
    pub(super) queued: u64,
    pub(super) ran: u64,
    pub(super) worker: u32,
    pub(super) attempts: u32,
    pub(super) result: Result<R, TaskError<E>>,
}

/// What became of a service's items.
///
/// Whenever no item waits or runs, `accepted` is the sum of `finished`, `failed`, `panicked`, `expired`, `rejected`, `cancelled` and
/// `discarded`.
///
/// # Examples
///
/// ```
/// use fanpool::FanOut;
///
/// let (input, output) = FanOut::builder(|n: i32| if n < 0 { Err("negative") } else { Ok(n) }).start()?;
/// let control = output.control();
/// input.send(1)?;
/// input.send(-1)?;
/// drop(input);
/// output.partition();
/// let counts = control.counts();
/// assert_eq!((counts.accepted, counts.finished, counts.failed), (2, 1, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ServiceCounts {
    /// Taken by `send`.
    pub accepted: u64,
    /// The handler returned `Ok`.
    pub finished: u64,
    /// The handler returned an error, or a batch of answers that could not be told apart.
    pub failed: u64,
    /// The handler, or another function of the user's, panicked.
    pub panicked: u64,
    /// Its deadline passed before it was done.
    pub expired: u64,
    /// Not started, or not tried again, because a circuit breaker was open; of a consumer, also messages that could not be decoded or were
    /// delivered too often.
    pub rejected: u64,
    /// Not started, or not tried again, because the service was stopped.
    pub cancelled: u64,
    /// Not started, or not tried again, because its output was dropped.
    pub discarded: u64,
    /// Attempts beyond each item's first. They are part of no sum.
    pub retried: u64,
    /// Second attempts that were made because the first took long. They are part of no sum.
    pub hedged: u64,
    /// Attempts whose answer came when there was one already. They changed nothing, and are part of no sum.
    pub late: u64,
    /// Panics of functions that decide or observe, such as a sink for dead letters. They changed nothing, and are part of no sum.
    pub contained: u64,
    /// Of those that ended in another way: how many outcomes nobody took, because the output was dropped or what it was
    /// forwarded to was gone.
    pub undelivered: u64,
}

impl ServiceCounts {
    /// Those that a handler ended.
    fn ran(&self) -> u64 {
        self.finished + self.failed + self.panicked
    }

    fn add<R, E>(&mut self, result: &Result<R, TaskError<E>>, gone: bool) {
        *match result {
            Ok(_) => &mut self.finished,
            Err(TaskError::Failed(_) | TaskError::WrongBatch { .. }) => &mut self.failed,
            Err(TaskError::Panicked(_)) => &mut self.panicked,
            Err(TaskError::Expired) => &mut self.expired,
            Err(TaskError::Rejected(_)) => &mut self.rejected,
            Err(TaskError::Cancelled) if gone => &mut self.discarded,
            Err(TaskError::Cancelled) => &mut self.cancelled,
        } += 1;
    }
}

/// What the collector waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Any,
    Seq(u64),
}

/// What a worker has done for a service.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Share {
    /// Items that it ran to an end.
    pub(super) ran: u64,
    /// The nanoseconds that it spent.
    pub(super) busy: u64,
}

struct State<R, E> {
    arrived: VecDeque<Done<R, E>>,
    counts: ServiceCounts,
    /// By the workers' indices; grows as they come.
    shares: Vec<Share>,
    landed: u64,
    total: Option<u64>,
    wanted: Option<Wanted>,
    bell: Sender<()>,
    gone: bool,
    /// And it has left before the end.
    early: bool,
    /// Whether failures end the service.
    verdict: Option<Verdict>,
}

pub(super) struct Landing<R, E> {
    state: CachePadded<Mutex<State<R, E>>>,
    /// Mirrors `landed`, and the intake's `accepted`, for those who spin; they decide nothing.
    pub(super) landed_hint: AtomicUsize,
    pub(super) accepted_hint: CachePadded<AtomicUsize>,
    /// Senders that wait for room.
    pub(super) blocked_hint: CachePadded<AtomicUsize>,
    /// Notified when all that will ever be accepted has landed.
    settled: Condvar,
    pub(super) credits: Credits,
}

/// What the collector found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Some,
    Nothing,
    /// Nothing, and nothing will come.
    End,
}

impl<R, E> Landing<R, E> {
    pub(super) fn new(window: usize, bell: Sender<()>, verdict: Option<Verdict>) -> Landing<R, E> {
        let state = State {
            arrived: VecDeque::new(),
            counts: ServiceCounts::default(),
            shares: Vec::new(),
            landed: 0,
            total: None,
            wanted: None,
            bell,
            gone: false,
            early: false,
            verdict,
        };
        Landing {
            state: CachePadded::new(Mutex::new(state)),
            landed_hint: AtomicUsize::new(0),
            accepted_hint: CachePadded::new(AtomicUsize::new(0)),
            blocked_hint: CachePadded::new(AtomicUsize::new(0)),
            settled: Condvar::new(),
            credits: Credits::new(window),
        }
    }

    /// Lands what is done, all by one thread, which was at it for `busy` nanoseconds; returns whether the collector was rung for, and from which
    /// number on the caller is to stop the service once no lock is held, if that is so. Leaves in `batch` what nobody wants; the caller
    /// drops it.
    pub(super) fn land(&self, batch: &mut VecDeque<Done<R, E>>, busy: u64) -> (bool, Option<u64>) {
        let Some(worker) = batch.front().map(|done| done.worker) else { return (false, None) };
        let mut rung = false;
        let mut state = self.state.lock();
        let gone = state.gone;
        let before = state.counts.ran();
        for done in &*batch {
            state.counts.add(&done.result, gone);
            state.counts.undelivered += u64::from(gone && !matches!(done.result, Err(TaskError::Cancelled)));
        }
        let ran = state.counts.ran() - before;
        state.add_share(worker, Share { ran, busy });
        let over = state.verdict.as_mut().and_then(|verdict| verdict.judge(&*batch));
        state.landed += batch.len() as u64;
        if let Some(wanted) = state.wanted {
            let there = match wanted {
                Wanted::Any => true,
                Wanted::Seq(seq) => batch.iter().any(|done| done.seq == seq),
            };
            if there && !broken!("landing_rings_nobody") {
                state.ring();
                rung = true;
            }
        }
        if !gone {
            if state.arrived.is_empty() {
                std::mem::swap(&mut state.arrived, batch);
            } else {
                state.arrived.append(batch);
            }
        }
        self.landed_hint.store(state.landed as usize, Ordering::Relaxed);
        if state.total == Some(state.landed) && !broken!("last_outcome_wakes_nobody") {
            self.settled.notify_all();
        }
        (rung, over)
    }

    /// Counts what is no outcome.
    pub(super) fn note(&self, what: impl FnOnce(&mut ServiceCounts)) {
        what(&mut self.state.lock().counts);
    }

    /// Says how many items will ever have been accepted.
    pub(super) fn set_total(&self, total: u64) {
        let mut state = self.state.lock();
        state.total = Some(total);
        if !broken!("end_rings_nobody") {
            state.ring();
        }
        if state.landed == total && !broken!("total_wakes_nobody") {
            self.settled.notify_all();
        }
    }

    /// Moves what has landed into `into`, which is empty, for a collector that has taken `taken` before.
    pub(super) fn take(&self, into: &mut VecDeque<Done<R, E>>, taken: u64) -> Found {
        let mut state = self.state.lock();
        if !state.arrived.is_empty() {
            std::mem::swap(&mut state.arrived, into);
            return Found::Some;
        }
        if state.total == Some(taken) { Found::End } else { Found::Nothing }
    }

    /// Leaves the mark of what the collector waits for, unless something is there or all was taken.
    pub(super) fn want(&self, wanted: Wanted, taken: u64) -> bool {
        let mut state = self.state.lock();
        let lacks = state.arrived.is_empty() && state.total != Some(taken);
        if lacks && !broken!("collector_leaves_no_mark") {
            state.wanted = Some(wanted);
        }
        lacks
    }

    pub(super) fn want_nothing(&self) {
        self.state.lock().wanted = None;
    }

    /// Rings for a collector that waits, whatever for.
    pub(super) fn ring(&self) {
        self.state.lock().ring();
    }

    /// From now on another bell is rung.
    pub(super) fn set_bell(&self, bell: Sender<()>) {
        let before = std::mem::replace(&mut self.state.lock().bell, bell);
        drop(before);
    }

    /// There is no collector any more; returns what it did not take.
    pub(super) fn leave(&self) -> VecDeque<Done<R, E>> {
        let mut state = self.state.lock();
        state.gone = !broken!("leaving_collector_unseen");
        state.early = state.total.is_none_or(|total| total as usize != self.credits.released());
        std::mem::take(&mut state.arrived)
    }

    /// Counts outcomes that were taken and then dropped.
    pub(super) fn lose(&self, outcomes: u64) {
        self.state.lock().counts.undelivered += outcomes;
    }

    /// How many have landed, and how many outcomes were lost if the collector has left before the end.
    pub(super) fn seen(&self) -> (u64, Option<u64>) {
        let state = self.state.lock();
        (state.landed, state.early.then_some(state.counts.undelivered))
    }

    pub(super) fn counts(&self) -> ServiceCounts {
        self.state.lock().counts
    }

    /// The accounts, and the workers' shares in them.
    pub(super) fn shares(&self) -> (ServiceCounts, Vec<Share>) {
        let state = self.state.lock();
        (state.counts, state.shares.clone())
    }

    /// Counts the time of a worker that has nothing to land.
    pub(super) fn note_busy(&self, worker: u32, busy: u64) {
        self.state.lock().add_share(worker, Share { ran: 0, busy });
    }

    /// The accounts, if everything that was accepted has landed and nothing more will be accepted.
    pub(super) fn settled(&self) -> Option<ServiceCounts> {
        let state = self.state.lock();
        (state.total == Some(state.landed)).then_some(ServiceCounts { accepted: state.landed, ..state.counts })
    }

    /// Blocks until everything that was accepted has landed and nothing more will be accepted, or until `deadline`.
    pub(super) fn wait(&self, deadline: Option<Instant>) -> Option<ServiceCounts> {
        let mut state = self.state.lock();
        loop {
            if state.total == Some(state.landed) {
                return Some(ServiceCounts { accepted: state.landed, ..state.counts });
            }
            if self.settled.wait_until(&mut state, deadline) && state.total != Some(state.landed) {
                return None;
            }
        }
    }
}

impl<R, E> State<R, E> {
    fn add_share(&mut self, worker: u32, more: Share) {
        if worker == NO_WORKER {
            return;
        }
        let at = worker as usize;
        if at >= self.shares.len() {
            self.shares.resize(at + 1, Share::default());
        }
        self.shares[at].ran += more.ran;
        self.shares[at].busy = self.shares[at].busy.saturating_add(more.busy);
    }

    fn ring(&mut self) {
        if self.wanted.take().is_some() {
            // Full means that a ring is on its way; without a receiver there is nobody to ring for.
            let _ = channel::try_send(&self.bell, ());
        }
    }
}
