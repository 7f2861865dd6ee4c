//! How long to wait between attempts.
//!
//! A delay depends on seed, number of the item, attempts made and the delay before, and on nothing else, so that a run can be
//! replayed and no state is kept per item. (The crate `backon` has such sequences, but draws its random numbers as it goes,
//! and would be one more dependency for a few lines.)

use crate::error::BuildError;
use std::time::Duration;

const MAX_DELAY: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Fixed,
    Exponential,
    Decorrelated,
}

/// A rule for delays; `None` is what was not said.
#[derive(Debug, Clone, Copy)]
pub(super) struct Backoff {
    pub(super) kind: Kind,
    /// The first delay; of `Decorrelated`, the least.
    pub(super) first: Duration,
    pub(super) factor: Option<f64>,
    pub(super) max_delay: Option<Duration>,
    pub(super) jitter: Option<f64>,
}

impl Backoff {
    pub(super) fn new(kind: Kind, first: Duration) -> Backoff {
        Backoff { kind, first, factor: None, max_delay: None, jitter: None }
    }

    pub(super) fn check(&self) -> Result<(), BuildError> {
        let clash = |option, with| Err(BuildError::Conflict { option, with });
        match self.kind {
            Kind::Fixed if self.factor.is_some() => return clash("factor", "fixed delay"),
            Kind::Fixed if self.max_delay.is_some() => return clash("max_delay", "fixed delay"),
            Kind::Decorrelated if self.factor.is_some() => return clash("factor", "decorrelated jitter"),
            Kind::Decorrelated if self.jitter.is_some() => return clash("jitter", "decorrelated jitter"),
            _ => {}
        }
        if let Some(value) = self.factor.filter(|factor| !(*factor >= 1.0 && factor.is_finite())) {
            return Err(BuildError::NotInRange { option: "factor", value, allowed: "1 and more, but finite" });
        }
        if let Some(value) = self.jitter.filter(|share| !(0.0..=1.0).contains(share)) {
            return Err(BuildError::NotInRange { option: "jitter", value, allowed: "0 to 1" });
        }
        Ok(())
    }

    /// The delay after so many attempts, at least one, drawn with the bits of `random`; `previous` is the delay before, zero if
    /// there was none.
    pub(super) fn delay(&self, attempts: u32, random: u64, previous: Duration) -> Duration {
        // In [0, 1), as fine as a float can tell.
        let part = (random >> 11) as f64 / (1_u64 << 53) as f64;
        let max = self.max_delay.unwrap_or(MAX_DELAY);
        let whole = match self.kind {
            Kind::Fixed => self.first,
            Kind::Exponential => {
                let grown = power(self.factor.unwrap_or(2.0), attempts.saturating_sub(1));
                scaled(self.first, grown).min(max)
            }
            Kind::Decorrelated => {
                let high = previous.max(self.first).saturating_mul(3);
                self.first.saturating_add(scaled(high.saturating_sub(self.first), part)).min(max)
            }
        };
        match self.jitter {
            // What is not a share was refused by `check`.
            Some(share) if share > 0.0 => scaled(whole, 1.0 - share * part).min(whole),
            _ => whole,
        }
    }
}

/// By squaring: std's `powi` may differ from one platform to the next.
fn power(mut base: f64, mut exponent: u32) -> f64 {
    let mut result = 1.0;
    while exponent > 0 {
        if exponent & 1 == 1 {
            result *= base;
        }
        base *= base;
        exponent >>= 1;
    }
    result
}

/// `time` times `factor`, as far as a duration goes. Zero stays zero whatever the factor.
fn scaled(time: Duration, factor: f64) -> Duration {
    if factor == 1.0 {
        return time;
    }
    // A float becomes the nearest integer in range, and what is no number becomes 0.
    nanos((time.as_nanos() as f64 * factor).round() as u128)
}

/// So many nanoseconds, as far as a duration goes.
pub(super) fn nanos(nanos: u128) -> Duration {
    const SECOND: u128 = 1_000_000_000;
    u64::try_from(nanos / SECOND).map_or(Duration::MAX, |secs| Duration::new(secs, (nanos % SECOND) as u32))
}

/// A random number that is the same for the same three: the finalizer of SplitMix64 (Steele, Lea and Flood, "Fast Splittable
/// Pseudorandom Number Generators", 2014), once for each.
pub(super) fn random(seed: u64, number: u64, attempts: u32) -> u64 {
    [number, u64::from(attempts)].into_iter().fold(mix(seed), |state, next| mix(state ^ next))
}

fn mix(state: u64) -> u64 {
    let mut mixed = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
