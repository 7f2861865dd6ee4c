//! How often attempts of a service may begin.

use super::settings::Mark;
use crate::panics::{self, Payload};
use crate::resilience::{RateLimit, RateLimits};
use std::borrow::Cow;
use std::time::Instant;

pub(super) enum Rating<'a, T> {
    All(RateLimit),
    ByKey(RateLimits, Mark<'a, T>),
}

impl<T> Rating<'_, T> {
    /// Takes the next place, unless the item has one, and tells from when on it may be used; `None`, and nothing is taken, if that were
    /// after `not_after`. Fails with the panic of the function that tells the key.
    pub(super) fn reserve(
        &self,
        item: &T,
        granted: Option<Instant>,
        not_after: Option<Instant>,
        now: Instant,
    ) -> Result<Option<Instant>, Payload> {
        let limit = self.limit(item)?;
        let granted = granted.filter(|at| !limit.is_stale(*at, now));
        Ok(granted.or_else(|| limit.reserve(not_after)))
    }

    /// Takes a place if there is one now, by the limit's own look at the clock, which is later than any of its callers'.
    pub(super) fn admits_now(&self, item: &T) -> Result<bool, Payload> {
        Ok(self.limit(item)?.try_acquire().is_ok())
    }

    fn limit(&self, item: &T) -> Result<Cow<'_, RateLimit>, Payload> {
        Ok(match self {
            Rating::All(limit) => Cow::Borrowed(limit),
            Rating::ByKey(limits, key) => Cow::Owned(limits.get(panics::catch(|| key(item))?)),
        })
    }
}
