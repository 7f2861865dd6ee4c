//! One breaker for each key.

use super::builder::Options;
use super::{CircuitBreaker, Waiter};
use crate::resilience::{Clock, hash_of};
use crate::sync::{Arc, Keys, Mutex, Weak};
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::time::Duration;

/// A family of [`CircuitBreaker`]s with the same options, one for each key: for hosts, tenants or shards that fail independently.
///
/// Keys are numbers; what else names something is told apart by its hash (see [`of`](Breakers::of)), and two keys of one hash have one
/// breaker. Clones are the same family.
///
/// # Bound
///
/// At most `max` breakers are kept. When there is no room for a new key, an eighth of them (at least one) is forgotten: those that were not
/// asked for for the longest time, of those that would admit a call. If none would, the one that was not asked for for the longest time.
/// The next to ask for a forgotten key gets a new breaker, which is closed; who still has the old one shares it with nobody new.
///
/// # Examples
///
/// ```
/// use fanpool::CircuitBreaker;
///
/// let shards = CircuitBreaker::builder().minimum_calls(1).build_keyed(1000)?;
/// shards.get(3).admit()?.failure();
/// assert!(shards.get(3).admit().is_err());
/// assert!(shards.get(4).admit().is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Breakers {
    family: Arc<Family>,
}

struct Family {
    options: Arc<Options>,
    max: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    by_key: HashMap<u64, Entry, Keys>,
    /// Counts what is asked for.
    turn: u64,
}

struct Entry {
    breaker: CircuitBreaker,
    /// When it was asked for last.
    turn: u64,
}

impl Breakers {
    pub(super) fn new(options: Arc<Options>, max: usize) -> Breakers {
        Breakers { family: Arc::new(Family { options, max, kept: Mutex::new(Kept::default()) }) }
    }

    /// The breaker of a key, which is made if there is none.
    ///
    /// # Examples
    ///
    /// ```
    /// let shards = fanpool::CircuitBreaker::builder().build_keyed(1000)?;
    /// assert!(shards.get(3).admit().is_ok());
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    #[must_use]
    pub fn get(&self, key: u64) -> CircuitBreaker {
        let Family { options, max, kept } = &*self.family;
        let mut kept = kept.lock();
        kept.turn += 1;
        let turn = kept.turn;
        if let Some(entry) = kept.by_key.get_mut(&key) {
            entry.turn = turn;
            return entry.breaker.clone();
        }
        let forgotten = if kept.by_key.len() < *max { Vec::new() } else { kept.forget(*max, &options.clock) };
        let breaker = CircuitBreaker::start(options.clone(), Some(key));
        kept.by_key.insert(key, Entry { breaker: breaker.clone(), turn });
        drop(kept);
        // Outside of the lock: what is dropped here may be long.
        drop(forgotten);
        breaker
    }

    /// The breaker of a key that is no number: by its hash, with a function that is the same for the whole process. It is the one that
    /// [`breaker_by`](crate::FanOutBuilder::breaker_by) uses for such a key.
    ///
    /// # Examples
    ///
    /// ```
    /// let hosts = fanpool::CircuitBreaker::builder().minimum_calls(1).build_keyed(1000)?;
    /// hosts.of("example.org").admit()?.failure();
    /// assert!(hosts.of(&String::from("example.org")).admit().is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn of(&self, key: &(impl Hash + ?Sized)) -> CircuitBreaker {
        self.get(hash_of(key))
    }

    pub(crate) fn watch(&self, waiter: Weak<dyn Waiter>) {
        self.family.options.waiters.add(waiter);
    }

    pub(crate) fn slow_call(&self) -> Option<Duration> {
        self.family.options.slow_call
    }

    /// For how long those are open that are, with their keys.
    pub(crate) fn open(&self) -> Vec<(Duration, u64)> {
        let kept = self.family.kept.lock();
        kept.by_key.iter().filter_map(|(key, entry)| Some((entry.breaker.open_for()?, *key))).collect()
    }

    /// How many breakers are kept.
    ///
    /// # Examples
    ///
    /// ```
    /// let shards = fanpool::CircuitBreaker::builder().build_keyed(2)?;
    /// for key in 0..100 {
    ///     drop(shards.get(key));
    /// }
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
    /// assert!(fanpool::CircuitBreaker::builder().build_keyed(2)?.is_empty());
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Kept {
    /// Makes room. One that is closed keeps nobody from calling; nor does one whose time is over, and if those of peers that were
    /// never asked for again stayed, there would be no room for others in the end.
    fn forget(&mut self, max: usize, clock: &Clock) -> Vec<CircuitBreaker> {
        let mut ranked: Vec<(bool, u64, u64)> =
            self.by_key.iter().map(|(key, entry)| (entry.breaker.retry_at() > clock.now(), entry.turn, *key)).collect();
        let admitting = ranked.iter().filter(|(refuses, ..)| !refuses).count();
        ranked.sort_unstable();
        let share = (max / 8).min(admitting).max(1);
        let gone = ranked.iter().take(share).filter_map(|(.., key)| self.by_key.remove(key));
        gone.map(|entry| entry.breaker).collect()
    }
}

impl fmt::Debug for Breakers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breakers").field("max", &self.family.max).field("kept", &self.len()).finish_non_exhaustive()
    }
}
