//! How often attempts of a service may begin.

use super::settings::Mark;
use crate::panics::{self, Payload};
use crate::resilience::{RateLimit, RateLimits};
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
        let own;
        let limit = match self {
            Rating::All(limit) => limit,
            Rating::ByKey(limits, key) => {
                own = limits.get(panics::catch(|| key(item))?);
                &own
            }
        };
        let granted = granted.filter(|at| !limit.is_stale(*at, now));
        Ok(granted.or_else(|| limit.reserve(not_after)))
    }
}
