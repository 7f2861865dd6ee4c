//! How many retries all callers together may make.
//!
//! **Never more than was paid for.** The balance is one atomic, changed only by read-modify-write loops, so that no two
//! retries withdraw the same token and no deposit is lost. `Relaxed` suffices: the balance guards no other memory, and
//! such loops see the newest balance under any ordering.

use crate::error::BuildError;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Arc, broken, estimate};
use std::fmt;

/// How much one retry costs, in the unit of balances.
const RETRY: usize = 1000;
/// The deposits of so many first attempts are kept at most, on top of the reserve.
const KEPT: usize = 1000;

/// An allowance for retries, shared by all who hold a clone: when most attempts fail, retries would only add to the load,
/// and then most of them are not made.
///
/// Each first attempt deposits `ratio`, each retry withdraws 1, and a retry that finds less than 1 is not made. So there
/// are never more retries than `reserve` and `ratio` times the first attempts. At the start there is the reserve; the
/// most that is ever kept is the reserve and the deposits of 1000 first attempts, however long nothing fails.
///
/// Amounts are counted in thousandths. The idea is that of
/// [Finagle's `RetryBudget`](https://twitter.github.io/finagle/guide/Clients.html#retries), a token bucket, which lets its
/// deposits expire after some seconds; here a cap does the same, and no clock is needed.
///
/// # Examples
///
/// ```
/// use fanpool::{Clock, Retry, RetryBudget, RetryError, RetryReason};
/// use std::time::Duration;
///
/// let budget = RetryBudget::new(0.1, 1)?;
/// let retry = Retry::fixed(Duration::ZERO).max_attempts(9).budget(budget.clone());
/// let failed = retry.call(&Clock::system(), || Err::<(), _>("down"));
/// assert!(matches!(failed, Err(RetryError::GaveUp { attempts: 2, reason: RetryReason::OverBudget, .. })));
/// assert_eq!((budget.balance(), budget.refused()), (0, 1));
/// # Ok::<(), fanpool::BuildError>(())
/// ```
#[derive(Clone)]
pub struct RetryBudget {
    inner: Arc<Inner>,
}

struct Inner {
    /// What a first attempt deposits.
    ratio: usize,
    cap: usize,
    balance: AtomicUsize,
    refused: estimate::AtomicUsize,
}

impl RetryBudget {
    /// A budget of `ratio` retries for each first attempt, rounded to thousandths, and `reserve` retries on top. On
    /// targets of 32 bits, four million retries are the most that it holds.
    ///
    /// # Errors
    ///
    /// [`BuildError::NotInRange`] if `ratio` is not in 0 to 10.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{BuildError, RetryBudget};
    ///
    /// assert_eq!(RetryBudget::new(0.2, 50)?.balance(), 50);
    /// let error = RetryBudget::new(f64::NAN, 50).unwrap_err();
    /// assert_eq!(error.to_string(), "ratio is NaN; allowed is 0 to 10");
    /// # Ok::<(), BuildError>(())
    /// ```
    pub fn new(ratio: f64, reserve: u32) -> Result<RetryBudget, BuildError> {
        if !(0.0..=10.0).contains(&ratio) {
            return Err(BuildError::NotInRange { option: "ratio", value: ratio, allowed: "0 to 10" });
        }
        let ratio = (ratio * RETRY as f64).round() as usize;
        let reserve = (reserve as usize).saturating_mul(RETRY);
        Ok(RetryBudget {
            inner: Arc::new(Inner {
                ratio,
                cap: reserve.saturating_add(ratio * KEPT),
                balance: AtomicUsize::new(reserve),
                refused: estimate::AtomicUsize::new(0),
            }),
        })
    }

    /// How many retries could be made now.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(fanpool::RetryBudget::new(0.5, 3)?.balance(), 3);
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    #[must_use]
    pub fn balance(&self) -> usize {
        self.inner.balance.load(Ordering::Relaxed) / RETRY
    }

    /// How many retries were not made because there was too little.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(fanpool::RetryBudget::new(0.5, 3)?.refused(), 0);
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    #[must_use]
    pub fn refused(&self) -> usize {
        self.inner.refused.load(estimate::Ordering::Relaxed)
    }

    /// Pays in for so many first attempts.
    pub(crate) fn deposit(&self, attempts: usize) {
        let Inner { ratio, cap, balance, .. } = &*self.inner;
        let sum = ratio.saturating_mul(attempts);
        if sum > 0 {
            let _ = balance
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| Some(held.saturating_add(sum).min(*cap)));
        }
    }

    /// Takes what a retry costs; false, and counted, if there is too little.
    pub(crate) fn withdraw(&self) -> bool {
        let balance = &self.inner.balance;
        let taken = if broken!("budget_spends_twice") {
            let left = balance.load(Ordering::Relaxed).checked_sub(RETRY);
            left.inspect(|left| balance.store(*left, Ordering::Relaxed)).is_some()
        } else {
            balance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| held.checked_sub(RETRY)).is_ok()
        };
        if !taken {
            self.inner.refused.fetch_add(1, estimate::Ordering::Relaxed);
        }
        taken
    }
}

impl fmt::Debug for RetryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryBudget")
            .field("balance", &self.balance())
            .field("refused", &self.refused())
            .finish_non_exhaustive()
    }
}
