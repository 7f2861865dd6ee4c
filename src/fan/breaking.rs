//! The circuit breakers of a service.

use super::settings::Mark;
use crate::panics::{self, Payload};
use crate::resilience::{Answers, BreakerOpen, Breakers, CircuitBreaker, Clock, Ticket, Waiter};
use crate::sync::Weak;
use std::time::{Duration, Instant};

/// Which breaker an item has to pass.
pub(super) enum Which<'a, T> {
    One(CircuitBreaker),
    ByKey(Breakers, Mark<'a, T>),
}

pub(super) struct Breaking<'a, T> {
    pub(super) which: Which<'a, T>,
    /// From when on a success is a slow one.
    slow: Option<Duration>,
}

/// An attempt was admitted. It is to be answered or given back.
pub(super) struct Pass {
    ticket: Ticket,
    /// The breaker of its key.
    own: Option<CircuitBreaker>,
    began: Option<Instant>,
}

/// Successes that the breaker was not told of yet: one thread's, of the items that it has taken together.
pub(super) struct Tab {
    ticket: Option<Ticket>,
    successes: u64,
}

/// An attempt was not admitted: for how long at most, and by whom.
pub(super) type Refusal = (BreakerOpen, CircuitBreaker);

impl Pass {
    /// Of the breaker that all items have.
    pub(super) fn of(ticket: Ticket) -> Pass {
        Pass { ticket, own: None, began: None }
    }
}

impl Tab {
    pub(super) fn new() -> Tab {
        Tab { ticket: None, successes: 0 }
    }
}

impl<'a, T> Breaking<'a, T> {
    pub(super) fn new(which: Which<'a, T>) -> Breaking<'a, T> {
        let slow = match &which {
            Which::One(breaker) => breaker.slow_call(),
            Which::ByKey(breakers, _) => breakers.slow_call(),
        };
        Breaking { which, slow }
    }

    /// Has `waiter` called when there is room again.
    pub(super) fn watch(&self, waiter: Weak<dyn Waiter>) {
        match &self.which {
            Which::One(breaker) => breaker.watch(waiter),
            Which::ByKey(breakers, _) => breakers.watch(waiter),
        }
    }

    /// How many breakers are open, the key of one, and when the first admits a call.
    pub(super) fn open(&self) -> Option<(usize, Option<u64>, Duration)> {
        match &self.which {
            Which::One(breaker) => breaker.open_for().map(|time| (1, None, time)),
            Which::ByKey(breakers, _) => {
                let mut open = breakers.open();
                open.sort_unstable();
                let (first, key) = open.first().copied()?;
                Some((open.len(), Some(key), first))
            }
        }
    }

    /// Whether the time is looked at for every attempt.
    pub(super) fn times(&self) -> bool {
        self.slow.is_some()
    }

    /// Asks for an attempt. Fails with the panic of the function that tells the key.
    pub(super) fn admit(&self, item: &T, now: Instant) -> Result<Result<Pass, Refusal>, Payload> {
        let began = self.slow.map(|_| now);
        let (breaker, own) = match &self.which {
            Which::One(breaker) => (breaker, None),
            Which::ByKey(breakers, key) => {
                let own = breakers.get(panics::catch(|| key(item))?);
                return Ok(match own.admit_many() {
                    Ok(ticket) => Ok(Pass { ticket, own: Some(own), began }),
                    Err(open) => Err((open, own)),
                });
            }
        };
        Ok(match breaker.admit_many() {
            Ok(ticket) => Ok(Pass { ticket, own, began }),
            Err(open) => Err((open, breaker.clone())),
        })
    }

    /// The attempt was not made.
    pub(super) fn give_back(&self, pass: &Pass) {
        if let Some(breaker) = self.breaker(pass) {
            breaker.give_back(pass.ticket);
        }
    }

    /// The attempt succeeded. Of a breaker that all items have, the thread tells several at a time.
    pub(super) fn succeeded(&self, tab: &mut Tab, pass: Pass, clock: &Clock) {
        let took = pass.began.map(|began| clock.now().saturating_duration_since(began));
        let slow = took.zip(self.slow).is_some_and(|(took, limit)| took >= limit);
        if slow {
            self.answer(tab, &pass, Answers { slow: 1, ..Answers::default() });
        } else if pass.own.is_some() || pass.ticket.is_probe() {
            self.answer(tab, &pass, Answers { successes: 1, ..Answers::default() });
        } else {
            self.note_success(tab, pass.ticket);
        }
    }

    /// Puts a success on the tab, of an attempt that is no probe.
    #[inline]
    pub(super) fn note_success(&self, tab: &mut Tab, ticket: Ticket) {
        if tab.ticket != Some(ticket) {
            self.settle(tab);
            tab.ticket = Some(ticket);
        }
        tab.successes += 1;
    }

    /// The admission of a breaker that all items have and that is closed, as long as nobody needs to know when attempts begin.
    #[inline]
    pub(super) fn closed(&self) -> Option<Ticket> {
        match &self.which {
            Which::One(breaker) if self.slow.is_none() => breaker.admitted(),
            _ => None,
        }
    }

    /// The attempt failed, which the breaker is told at once: it may have to open.
    pub(super) fn failed(&self, tab: &mut Tab, pass: &Pass) {
        self.answer(tab, pass, Answers { failures: 1, ..Answers::default() });
    }

    /// Tells what is on the tab.
    pub(super) fn settle(&self, tab: &mut Tab) {
        let successes = std::mem::take(&mut tab.successes);
        if let (Which::One(breaker), Some(ticket)) = (&self.which, tab.ticket.take()) {
            breaker.record(ticket, Answers { successes, ..Answers::default() });
        }
    }

    fn answer(&self, tab: &mut Tab, pass: &Pass, answers: Answers) {
        self.settle(tab);
        if let Some(breaker) = self.breaker(pass) {
            breaker.record(pass.ticket, answers);
        }
    }

    fn breaker<'b>(&'b self, pass: &'b Pass) -> Option<&'b CircuitBreaker> {
        match &self.which {
            Which::One(breaker) => Some(breaker),
            Which::ByKey(..) => pass.own.as_ref(),
        }
    }
}
