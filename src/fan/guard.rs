//! What a service remembers of items that are not done after their first attempt, or were put off before it.
//!
//! An item is in one place at a time: in a queue, put off, or in the hand of a thread. Only that thread, or whoever takes the item out of
//! the queue for good, looks up what is remembered of it, so that the memory has no protocol of its own: it was written before the item
//! was put back under the queue's lock, and is read after the item was taken under that lock. So is the number of items that anything
//! is remembered of, which spares the others the look.

use super::breaking::Pass;
use super::core::panicked;
use super::hedging::{Hedging, Lost};
use super::policies::Policies;
use crate::error::{Errors, Rejection, TaskError};
use crate::panics::{self, Payload};
use crate::resilience::{BreakerOpen, CircuitBreaker, Clock, Decision, Failure, later};
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Keys, Mutex};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How many errors of an item are kept for its dead letter, besides the last.
const HISTORY: usize = 15;

/// What was before.
pub(super) struct Past<E> {
    pub(super) attempts: u32,
    /// By attempt, counted from 1.
    errors: Vec<(usize, TaskError<E>)>,
    /// When the first attempt began.
    pub(super) began: Option<Instant>,
    /// The delay before this attempt, that the retries asked for.
    pub(super) delay: Duration,
    /// From when on the rate allows for the next attempt.
    granted: Option<Instant>,
}

pub(super) struct Guard<'a, T, E> {
    pub(super) policies: Policies<'a, T, E>,
    /// The time is looked at for every attempt, not only for those that are taken together.
    pub(super) timed: bool,
    /// When the service began, by the policies' clock.
    pub(super) began: Instant,
    pasts: Mutex<HashMap<u64, Past<E>, Keys>>,
    remembered: AtomicUsize,
    pub(super) hedging: Option<Hedging<T, E>>,
    /// There are no policies that always have something to do.
    quick: bool,
}

/// Whether an attempt may begin.
pub(super) enum Gate<E> {
    /// With what the breaker, if there is one, is to be told.
    Open(Option<Pass>),
    Later(Hold),
    Shut(TaskError<E>),
}

/// How long an item is put off.
pub(super) struct Hold {
    pub(super) until: Instant,
    /// Or until this breaker has room.
    pub(super) breaker: Option<CircuitBreaker>,
}

/// An attempt has failed.
pub(super) enum After<E> {
    Again(Hold),
    /// With what the item's outcome is, and whether a function that decides has panicked.
    Ends(TaskError<E>, bool),
}

impl<E> Past<E> {
    pub(super) fn none() -> Past<E> {
        Past { attempts: 0, errors: Vec::new(), began: None, delay: Duration::ZERO, granted: None }
    }

    /// An attempt begins.
    pub(super) fn begin(&mut self, now: Instant) {
        self.attempts = self.attempts.saturating_add(1);
        self.began.get_or_insert(now);
        self.granted = None;
    }

    /// Adds the error of an attempt. The first ones are kept, since they mostly tell the cause.
    pub(super) fn failed(&mut self, error: TaskError<E>) {
        if self.errors.len() < HISTORY {
            self.errors.push((self.attempts as usize, error));
        } else {
            panics::drop_each([error]);
        }
    }

    pub(super) fn drop_quietly(self) {
        panics::drop_each(self.errors);
    }
}

impl<'a, T, E> Guard<'a, T, E> {
    pub(super) fn new(policies: Policies<'a, T, E>) -> Self {
        let began = policies.clock.now();
        let timed = policies.looks_at_the_time();
        let hedging = policies.hedge.map(Hedging::new);
        let quick = !timed && policies.is_quick();
        let remembered = AtomicUsize::new(0);
        Guard { policies, timed, began, pasts: Mutex::default(), remembered, hedging, quick }
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.policies.clock
    }

    /// Nanoseconds from the service's start.
    pub(super) fn time(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.began).as_nanos() as u64
    }

    /// When an item's deadline passes that was accepted so many nanoseconds after the service's start.
    fn deadline(&self, sent: u64) -> Option<Instant> {
        self.policies.deadline.map(|time| later(later(self.began, Duration::from_nanos(sent)), time))
    }

    /// What is kept of an item while the handler has it: for a retry or a dead letter, and for a second attempt.
    pub(super) fn copies(&self, item: &T) -> Result<(Option<T>, Option<T>), Payload> {
        let copy = |copy: Option<fn(&T) -> T>| copy.map(|copy| panics::catch(|| copy(item))).transpose();
        let kept = copy(self.policies.copy)?;
        // Apart from the first, which the unwinding of a panic must not drop.
        match copy(self.policies.copy.filter(|_| self.hedging.is_some())) {
            Ok(second) => Ok((kept, second)),
            Err(payload) => {
                panics::drop_each(kept);
                Err(payload)
            }
        }
    }

    /// Until when the handler may take.
    pub(super) fn limit(&self, sent: u64, began: Instant) -> Option<Instant> {
        let attempt = self.policies.attempt.map(|time| later(began, time));
        self.deadline(sent).into_iter().chain(attempt).min()
    }

    /// Asks the layers before the handler.
    pub(super) fn gate(&self, item: &T, sent: u64, past: &mut Past<E>, now: Instant) -> Gate<E> {
        let deadline = self.deadline(sent);
        if deadline.is_some_and(|deadline| deadline <= now) {
            return Gate::Shut(TaskError::Expired);
        }
        if let Some(rating) = &self.policies.rate {
            match rating.reserve(item, past.granted, deadline, now) {
                Err(payload) => return Gate::Shut(panicked(payload)),
                Ok(None) => return Gate::Shut(TaskError::Expired),
                Ok(Some(until)) => {
                    past.granted = Some(until);
                    // The rate has looked at the clock later than its caller.
                    if until > self.clock().now() {
                        return Gate::Later(Hold { until, breaker: None });
                    }
                }
            }
        }
        let Some(breaking) = &self.policies.breaker else { return Gate::Open(None) };
        match breaking.admit(item, now) {
            Err(payload) => Gate::Shut(panicked(payload)),
            Ok(Ok(pass)) => Gate::Open(Some(pass)),
            Ok(Err((BreakerOpen { retry_after, .. }, breaker))) if self.policies.waits => {
                let until = later(self.clock().now(), retry_after);
                // An item is told in time that it is late.
                let until = deadline.map_or(until, |deadline| deadline.min(until));
                Gate::Later(Hold { until, breaker: Some(breaker) })
            }
            Ok(Err((BreakerOpen { retry_after, .. }, _))) => {
                Gate::Shut(TaskError::Rejected(Rejection::BreakerOpen { retry_after }))
            }
        }
    }

    /// Whether a second attempt may begin: one that would have to wait is not made. With what the breaker is to be told.
    pub(super) fn admits_now(&self, item: &T, sent: u64, now: Instant) -> Option<Option<Pass>> {
        if self.deadline(sent).is_some_and(|deadline| deadline <= now) {
            return None;
        }
        if let Some(rating) = &self.policies.rate {
            rating.admits_now(item).map_err(panics::discard).ok()?.then_some(())?;
        }
        let Some(breaking) = &self.policies.breaker else { return Some(None) };
        breaking.admit(item, now).map_err(panics::discard).ok()?.ok().map(Some)
    }

    /// An item was taken out of the queue for good: what its outcome is to be, unless somebody else runs it.
    pub(super) fn cancel(&self, seq: u64) -> Option<(Past<E>, TaskError<E>)> {
        let Some(hedging) = self.hedging.as_ref().filter(|hedging| hedging.is_copy(seq)) else {
            return Some((self.recall(seq), TaskError::Cancelled));
        };
        let (lost, rest) = hedging.fail(seq, None, None);
        rest.drop_quietly();
        match lost {
            Lost::Decides(past, error) => Some((past, error)),
            Lost::Waits | Lost::Late(_) => None,
        }
    }

    /// Whether an error of the handler's counts for the breaker, and whether the function that decides it panicked: then it does.
    pub(super) fn counts(&self, error: &TaskError<E>) -> (bool, bool) {
        let (Some(counts), TaskError::Failed(error)) = (&self.policies.counts, error) else { return (true, false) };
        match panics::catch(|| counts(error)) {
            Ok(counts) => (counts, false),
            Err(payload) => {
                panics::discard(payload);
                (true, true)
            }
        }
    }

    /// Decides what becomes of an item after an attempt that failed.
    pub(super) fn after(&self, seq: u64, sent: u64, past: &mut Past<E>, error: TaskError<E>) -> After<E> {
        let Some(retry) = &self.policies.retry else { return After::Ends(error, false) };
        let now = self.clock().now();
        let since = |began: Instant| now.saturating_duration_since(began);
        let failure = Failure {
            number: seq,
            attempts: past.attempts,
            error: match &error {
                TaskError::Failed(error) => Some(error),
                _ => None,
            },
            elapsed: past.began.map_or(Duration::ZERO, since),
            delay: past.delay,
            left: self.deadline(sent).map(|deadline| deadline.saturating_duration_since(now)),
        };
        match retry.decide(&failure) {
            Decision::Stop(_, contained) => After::Ends(error, contained),
            Decision::Again(delay) => {
                past.delay = delay;
                past.failed(error);
                After::Again(Hold { until: later(now, delay), breaker: None })
            }
        }
    }

    /// Whether the next item may go the quick way, since nothing is known of any.
    #[inline]
    pub(super) fn remembers_nothing(&self) -> bool {
        self.quick && self.remembered.load(Ordering::Relaxed) == 0
    }

    /// What is known of an item that was taken. It is forgotten with this.
    pub(super) fn recall(&self, seq: u64) -> Past<E> {
        if self.remembered.load(Ordering::Relaxed) == 0 {
            return Past::none();
        }
        let past = self.pasts.lock().remove(&seq);
        match past {
            Some(past) => {
                self.remembered.fetch_sub(1, Ordering::Relaxed);
                past
            }
            None => Past::none(),
        }
    }

    /// Keeps it until the item is taken again; before it is put back.
    pub(super) fn remember(&self, seq: u64, past: Past<E>) {
        self.remembered.fetch_add(1, Ordering::Relaxed);
        self.pasts.lock().insert(seq, past);
    }

    /// Nothing more is known of an item, which has a result.
    pub(super) fn forget(&self, seq: u64, past: Past<E>) {
        self.tell_history(seq, &past.errors);
        past.drop_quietly();
    }

    fn tell_history(&self, seq: u64, errors: &[(usize, TaskError<E>)]) {
        if let Some(history) = self.policies.history.as_ref().filter(|_| !errors.is_empty()) {
            panics::catch(|| history(seq, errors)).unwrap_or_else(panics::discard);
        }
    }

    /// The item will not be tried again, for that reason, which is returned: hands it to the sink for such. Returns also whether that
    /// panicked. No lock may be held.
    pub(super) fn bury(&self, seq: u64, item: Option<T>, past: Past<E>, error: TaskError<E>) -> (TaskError<E>, bool) {
        let Past { attempts, errors: mut kept, .. } = past;
        self.tell_history(seq, &kept);
        let Some(sink) = &self.policies.dead else {
            panics::drop_each(item);
            panics::drop_each(kept);
            return (error, false);
        };
        let Some(item) = item else {
            // The copy could not be made, or its handler had none.
            panics::drop_each(kept);
            return (error, false);
        };
        let count = (attempts as usize).max(kept.len() + 1);
        kept.push((attempts as usize, error));
        let mut errors = Errors::of(kept, count);
        let called = panics::catch(|| sink(item, &errors));
        let last = errors.pop();
        panics::drop_each(errors);
        let contained = called.is_err();
        called.unwrap_or_else(panics::discard);
        match last {
            Some((_, error)) => (error, contained),
            None => unreachable!("it was put there above"),
        }
    }
}

impl<T, E> Drop for Guard<'_, T, E> {
    fn drop(&mut self) {
        let pasts = std::mem::take(&mut *self.pasts.lock());
        for past in pasts.into_values() {
            panics::drop_each(past.errors);
        }
    }
}
