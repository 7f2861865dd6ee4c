//! What came of one item, and the buffer that puts outcomes in order.

use super::landing::{Done, NO_WORKER};
use crate::error::TaskError;
use std::collections::VecDeque;
use std::time::Duration;

/// What came of one item.
///
/// # Examples
///
/// ```
/// let (input, mut output) = fanpool::FanOut::builder(|n: u8| Ok::<u8, ()>(n + 1)).workers(2).start()?;
/// input.send(1)?;
/// let outcome = output.recv()?;
/// assert_eq!((outcome.seq, outcome.result.ok()), (0, Some(2)));
/// assert!(outcome.worker.unwrap() < 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome<R, E> {
    /// The item's number, as `send` returned it.
    pub seq: u64,
    /// How many attempts were made at it; 0 if none. A second one by [`hedge_after`](crate::FanOutBuilder::hedge_after) is part of the first.
    pub attempts: u32,
    /// From acceptance to start, of the last attempt. Items that take under a microsecond share looks at the clock; there this, too long or
    /// too short, is off by what some dozen such items take.
    pub queued: Duration,
    /// How long the handler took. For items that take under 5 µs, the mean of those that were taken from the queue together; for
    /// a batch, what the batch took.
    pub ran: Duration,
    /// The index of the worker that ran it; `None` if a calling thread did, or nobody.
    pub worker: Option<usize>,
    /// What the handler returned, or why there is nothing.
    pub result: Result<R, TaskError<E>>,
}

impl<R, E> From<Done<R, E>> for Outcome<R, E> {
    #[inline]
    fn from(done: Done<R, E>) -> Self {
        Outcome {
            seq: done.seq,
            attempts: done.attempts,
            queued: Duration::from_nanos(done.queued),
            ran: Duration::from_nanos(done.ran),
            worker: (done.worker != NO_WORKER).then_some(done.worker as usize),
            result: done.result,
        }
    }
}

/// Outcomes that came before their turn.
pub(super) struct Reorder<R, E> {
    /// The number of the first place.
    pub(super) next: u64,
    pub(super) places: VecDeque<Option<Done<R, E>>>,
}

impl<R, E> Reorder<R, E> {
    pub(super) fn insert(&mut self, done: Done<R, E>) {
        let at = (done.seq - self.next) as usize;
        while self.places.len() <= at {
            self.places.push_back(None);
        }
        self.places[at] = Some(done);
    }

    pub(super) fn pop(&mut self) -> Option<Done<R, E>> {
        let done = self.places.front_mut()?.take()?;
        self.places.pop_front();
        self.next += 1;
        Some(done)
    }
}
