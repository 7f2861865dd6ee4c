//! One rate limit for each key.

use super::hash_of;
use super::rate::{Options, RateLimit};
use crate::sync::{Arc, Keys, Mutex};
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;

/// A family of [`RateLimit`]s with the same options, one for each key: for hosts or tenants.
///
/// Keys are numbers; what else names something is told apart by its hash (see [`of`](RateLimits::of)), and two keys of one hash have one
/// limit. Clones are the same family.
///
/// # Bound
///
/// At most `max` limits are kept. When there is no room for a new key, an eighth of them (at least one) is forgotten: first those that have
/// all their permits, of which nothing is lost, then those that were not asked for for the longest time.
///
/// # Examples
///
/// ```
/// use fanpool::RateLimit;
/// use std::time::Duration;
///
/// let shards = RateLimit::builder(1, Duration::from_secs(60)).build_keyed(1000)?;
/// assert!(shards.get(3).try_acquire().is_ok());
/// assert!(shards.get(3).try_acquire().is_err());
/// assert!(shards.get(4).try_acquire().is_ok());
/// # Ok::<(), fanpool::BuildError>(())
/// ```
#[derive(Clone)]
pub struct RateLimits {
    family: Arc<Family>,
}

struct Family {
    options: Options,
    max: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// With the turn in which it was asked for last.
    by_key: HashMap<u64, (RateLimit, u64), Keys>,
    turn: u64,
}

impl RateLimits {
    pub(super) fn new(options: Options, max: usize) -> RateLimits {
        RateLimits { family: Arc::new(Family { options, max, kept: Mutex::new(Kept::default()) }) }
    }

    /// The limit of a key, which is made if there is none.
    ///
    /// # Examples
    ///
    /// ```
    /// let shards = fanpool::RateLimit::builder(1, std::time::Duration::from_secs(60)).build_keyed(1000)?;
    /// assert!(shards.get(3).try_acquire().is_ok());
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    #[must_use]
    pub fn get(&self, key: u64) -> RateLimit {
        let Family { options, max, kept } = &*self.family;
        let mut kept = kept.lock();
        kept.turn += 1;
        let turn = kept.turn;
        if let Some((limit, asked)) = kept.by_key.get_mut(&key) {
            *asked = turn;
            return limit.clone();
        }
        if kept.by_key.len() >= *max {
            kept.forget(*max);
        }
        let limit = RateLimit::start(options.clone());
        kept.by_key.insert(key, (limit.clone(), turn));
        limit
    }

    /// The limit of a key that is no number: by its hash, with a function that is the same for the whole process. It is the one that
    /// [`rate_by`](crate::FanOutBuilder::rate_by) uses for such a key.
    ///
    /// # Examples
    ///
    /// ```
    /// let hosts = fanpool::RateLimit::builder(1, std::time::Duration::from_secs(60)).build_keyed(1000)?;
    /// hosts.of("example.org").acquire();
    /// assert!(hosts.of(&String::from("example.org")).try_acquire().is_err());
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    #[must_use]
    pub fn of(&self, key: &(impl Hash + ?Sized)) -> RateLimit {
        self.get(hash_of(key))
    }

    /// How many limits are kept.
    ///
    /// # Examples
    ///
    /// ```
    /// let shards = fanpool::RateLimit::builder(1, std::time::Duration::from_secs(60)).build_keyed(2)?;
    /// (0..100).for_each(|key| drop(shards.get(key)));
    /// assert_eq!(shards.len(), 2);
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.family.kept.lock().by_key.len()
    }

    /// Whether none is kept, because none was asked for.
    ///
    /// # Examples
    ///
    /// ```
    /// let shards = fanpool::RateLimit::builder(1, std::time::Duration::from_secs(60)).build_keyed(2)?;
    /// assert!(shards.is_empty());
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Kept {
    fn forget(&mut self, max: usize) {
        let mut ranked: Vec<(bool, u64, u64)> =
            self.by_key.iter().map(|(key, (limit, asked))| (!limit.is_full(), *asked, *key)).collect();
        let spare = ranked.iter().filter(|(used, ..)| !used).count();
        ranked.sort_unstable();
        for (.., key) in ranked.iter().take((max / 8).min(spare).max(1)) {
            self.by_key.remove(key);
        }
    }
}

impl fmt::Debug for RateLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimits").field("max", &self.family.max).field("kept", &self.len()).finish_non_exhaustive()
    }
}
