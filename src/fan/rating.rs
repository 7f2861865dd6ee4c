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
    /// Takes the next place, and tells from when on it may be used; `None`, and nothing is taken, if that were after `not_after`. Fails
    /// with the panic of the function that tells the key.
    pub(super) fn reserve(&self, item: &T, not_after: Option<Instant>) -> Result<Option<Instant>, Payload> {
        match self {
            Rating::All(limit) => Ok(limit.reserve(not_after)),
            Rating::ByKey(limits, key) => Ok(limits.get(panics::catch(|| key(item))?).reserve(not_after)),
        }
    }
}
