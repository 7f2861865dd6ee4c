//! The verbs of fork-join.

use super::Pool;
use crate::join;

impl Pool {
    /// Calls both closures, perhaps at the same time on two threads, and returns their results once both have ended.
    ///
    /// Made for recursion: fork wherever there are two halves, however small. `a` runs on the calling thread. `b` runs
    /// there too, after `a`, unless it was promoted to a task meanwhile. That happens to the oldest waiting half about
    /// every 100 microseconds, so what is given away is as large as possible. In the outermost three levels of forks (of
    /// a call, and again of each half that was given away) that happens even if `a` does not fork again: within about
    /// 200 microseconds, if a worker is free. Further down `b` is given away only at a later fork inside of `a`, so
    /// halves there must not wait for each other.
    ///
    /// # Cost
    ///
    /// Some nanoseconds for a nested fork, a few more for the first three levels, and 25 for the outermost. A context
    /// that forks more than 8 times within a beat, below its first three levels, does so without offering the further
    /// right halves. A thread of its own, `<pool name>-timer`, is started by the first `join`; it ticks while somebody
    /// joins and for 10 ms after. If it cannot be started everything runs on the caller.
    ///
    /// # Blocking
    ///
    /// If `b` is still running elsewhere when `a` has ended, this thread runs halves that were forked inside of `b`,
    /// and no other tasks, or else blocks. So a lock held across a `join` is never asked for by an unrelated task on
    /// this stack. Works on any thread, in tasks of this pool or another, on one worker, and on a paused pool. On a
    /// closed pool, both run on the calling thread.
    ///
    /// # Panics
    ///
    /// With the panic of `a`, or else with that of `b`, after both have ended. If `a` panics, a `b` that was not
    /// started is dropped without being called.
    ///
    /// # Source
    ///
    /// Acar, Charguéraud, Guatto, Rainey, Sieczkowski, "Heartbeat Scheduling: Provable Efficiency for Nested
    /// Parallelism", PLDI 2018. Zig's spice and the crate chili use it as well.
    ///
    /// # Examples
    ///
    /// ```
    /// fn sum(pool: &fanpool::Pool, numbers: &[u64]) -> u64 {
    ///     if numbers.len() <= 2 {
    ///         return numbers.iter().sum();
    ///     }
    ///     let (left, right) = numbers.split_at(numbers.len() / 2);
    ///     let (left, right) = pool.join(|| sum(pool, left), || sum(pool, right));
    ///     left + right
    /// }
    ///
    /// let numbers: Vec<u64> = (1..=1000).collect();
    /// assert_eq!(sum(&fanpool::Pool::new(), &numbers), 500_500);
    /// ```
    #[inline]
    pub fn join<A, B, RA, RB>(&self, a: A, b: B) -> (RA, RB)
    where
        A: FnOnce() -> RA + Send,
        B: FnOnce() -> RB + Send,
        RA: Send,
        RB: Send,
    {
        join::fork(&self.forks, || self.is_closed(), a, b)
    }

    /// As [`join`](Pool::join), for a tuple of 1 to 8 closures, which is halved again and again.
    ///
    /// # Panics
    ///
    /// With the first panic in the order of the tuple among those that ran, after all have ended.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fanpool::Pool::new();
    /// assert_eq!(pool.join_all((|| 1, || "two", || 3.0)), (1, "two", 3.0));
    /// ```
    #[inline]
    pub fn join_all<T: Branches>(&self, branches: T) -> T::Output {
        branches.join_in(self)
    }
}

#[cfg(fanpool_loom)]
impl Pool {
    pub(crate) fn forks(&self) -> &crate::sync::Arc<join::Forks> {
        &self.forks
    }
}

/// A tuple of closures for [`Pool::join_all`]. Nobody else can implement it.
///
/// # Examples
///
/// ```
/// fn both<T: fanpool::Branches>(pool: &fanpool::Pool, branches: T) -> T::Output {
///     pool.join_all(branches)
/// }
/// assert_eq!(both(&fanpool::Pool::new(), (|| 1, || 2)), (1, 2));
/// ```
pub trait Branches: Sealed {
    /// The closures' results.
    type Output: Send;
    #[doc(hidden)]
    fn join_in(self, pool: &Pool) -> Self::Output;
}

mod sealed {
    pub trait Sealed {}
}
use sealed::Sealed;

impl<A, Ra> Sealed for (A,) where A: FnOnce() -> Ra {}
impl<A: FnOnce() -> Ra + Send, Ra: Send> Branches for (A,) {
    type Output = (Ra,);
    #[inline]
    fn join_in(self, _: &Pool) -> Self::Output {
        (self.0(),)
    }
}

macro_rules! branches {
    ($($a:ident $ra:ident),+; $($b:ident $rb:ident),+) => {
        impl<$($a, $ra,)+ $($b, $rb),+> Sealed for ($($a,)+ $($b,)+)
        where
            $($a: FnOnce() -> $ra,)+
            $($b: FnOnce() -> $rb),+
        {
        }
        impl<$($a, $ra,)+ $($b, $rb),+> Branches for ($($a,)+ $($b,)+)
        where
            $($a: FnOnce() -> $ra + Send, $ra: Send,)+
            $($b: FnOnce() -> $rb + Send, $rb: Send),+
        {
            type Output = ($($ra,)+ $($rb,)+);
            #[inline]
            #[allow(non_snake_case)]
            fn join_in(self, pool: &Pool) -> Self::Output {
                let ($($a,)+ $($b,)+) = self;
                let (left, right) = pool.join(move || ($($a,)+).join_in(pool), move || ($($b,)+).join_in(pool));
                let (($($ra,)+), ($($rb,)+)) = (left, right);
                ($($ra,)+ $($rb,)+)
            }
        }
    };
}

branches!(A Ra; B Rb);
branches!(A Ra; B Rb, C Rc);
branches!(A Ra, B Rb; C Rc, D Rd);
branches!(A Ra, B Rb; C Rc, D Rd, E Re);
branches!(A Ra, B Rb, C Rc; D Rd, E Re, F Rf);
branches!(A Ra, B Rb, C Rc; D Rd, E Re, F Rf, G Rg);
branches!(A Ra, B Rb, C Rc, D Rd; E Re, F Rf, G Rg, H Rh);
