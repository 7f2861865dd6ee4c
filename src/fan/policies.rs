//! What a service does about failures, as it was chosen. The order in which an attempt passes the layers is drawn at [`FanOut`](crate::FanOut).

use super::breaking::Breaking;
use super::guard::Guard;
use super::rating::Rating;
use crate::error::{BuildError, Errors, TaskError};
use crate::resilience::{Clock, Retry};
use std::time::Duration;

/// Gets an item that ended without a result, and why.
pub(super) type Sink<'a, T, E> = Box<dyn Fn(T, &Errors<E>) + Send + Sync + 'a>;

/// Gets the number of an item that ended, and the errors of its attempts before the last, if there were any.
pub(super) type History<'a, E> = Box<dyn Fn(u64, &[(usize, TaskError<E>)]) + Send + Sync + 'a>;

/// Whether an error counts.
pub(super) type Judge<'a, E> = Box<dyn Fn(&E) -> bool + Send + Sync + 'a>;

pub(super) struct Policies<'a, T, E> {
    pub(super) clock: Clock,
    /// For an item, from sending.
    pub(super) deadline: Option<Duration>,
    /// For an attempt.
    pub(super) attempt: Option<Duration>,
    /// When a second attempt begins, if the first has not ended.
    pub(super) hedge: Option<Duration>,
    pub(super) dead: Option<Sink<'a, T, E>>,
    pub(super) history: Option<History<'a, E>>,
    /// How an item is kept while the handler has it.
    pub(super) copy: Option<fn(&T) -> T>,
    pub(super) retry: Option<Retry<E>>,
    pub(super) rate: Option<Rating<'a, T>>,
    pub(super) breaker: Option<Breaking<'a, T>>,
    /// Which errors count for the breaker.
    pub(super) counts: Option<Judge<'a, E>>,
    /// Items wait for the breaker.
    pub(super) waits: bool,
    /// Something of this was chosen.
    pub(super) any: bool,
}

impl<'a, T, E> Policies<'a, T, E> {
    pub(super) fn new() -> Self {
        Policies {
            clock: Clock::system(),
            deadline: None,
            attempt: None,
            hedge: None,
            dead: None,
            history: None,
            copy: None,
            retry: None,
            rate: None,
            breaker: None,
            counts: None,
            waits: false,
            any: false,
        }
    }

    /// Whether it matters when exactly an attempt begins.
    pub(super) fn looks_at_the_time(&self) -> bool {
        self.deadline.is_some()
            || self.attempt.is_some()
            || self.rate.is_some()
            || self.hedge.is_some()
            || self.breaker.as_ref().is_some_and(Breaking::times)
            || self.retry.as_ref().is_some_and(Retry::has_an_end)
    }

    /// Whether nothing is to be done for an item whose first attempt succeeds.
    pub(super) fn is_quick(&self) -> bool {
        self.deadline.is_none() && self.attempt.is_none() && self.rate.is_none() && self.hedge.is_none()
    }

    /// The breakers that items wait for.
    pub(super) fn waits_for(&self) -> Option<&Breaking<'a, T>> {
        self.breaker.as_ref().filter(|_| self.waits)
    }

    /// The option because of which an item may have to wait for a time, if any.
    pub(super) fn puts_off(&self) -> Option<&'static str> {
        let options = [
            ("retry", self.retry.is_some()),
            ("rate", self.rate.is_some()),
            ("hedge_after", self.hedge.is_some()),
            ("breaker_waits", self.waits_for().is_some()),
        ];
        options.into_iter().find_map(|(option, chosen)| chosen.then_some(option))
    }

    /// Checks the options. `batched`: the handler takes batches; `shared`: any worker may take any item.
    pub(super) fn check(&self, batched: bool, shared: bool) -> Result<(), BuildError> {
        if self.any && batched {
            return Err(BuildError::Conflict { option: "policies", with: "handler of batches" });
        }
        if let Some(retry) = &self.retry {
            retry.check()?;
        }
        if self.breaker.is_none() && (self.waits || self.counts.is_some()) {
            let option = if self.waits { "breaker_waits" } else { "breaker_counts" };
            return Err(BuildError::Conflict { option, with: "lack of a breaker" });
        }
        if self.hedge.is_some() && !shared {
            return Err(BuildError::Conflict { option: "hedge_after", with: "route" });
        }
        let times = [("deadline", self.deadline), ("attempt_timeout", self.attempt), ("hedge_after", self.hedge)];
        for (option, time) in times {
            if time == Some(Duration::ZERO) {
                return Err(BuildError::NotInRange { option, value: 0.0, allowed: "more than 0 seconds" });
            }
        }
        Ok(())
    }

    /// A scope has no timer, so nothing in it may have to wait for one.
    pub(super) fn check_scoped(&self) -> Result<(), BuildError> {
        match self.puts_off() {
            Some(option) => Err(BuildError::Conflict { option, with: "scope" }),
            None => Ok(()),
        }
    }

    /// What decides, if there is anything to decide.
    pub(super) fn guard(self) -> Option<Box<Guard<'a, T, E>>> {
        self.any.then(|| Box::new(Guard::new(self)))
    }
}
