//! Seeded runs: what the user sees of `sync::seeded`.

use crate::panics;
use crate::sync::seeded as sync;
use std::ops::Range;

/// Runs a program one thread at a time, in an order that follows from `seed` alone; returns what it returns.
///
/// The program gets a thread of its own. That thread, and each thread that pools and services start inside of the run, is scheduled:
/// one executes, and the next is picked at each lock, condition variable and channel of this crate, when a thread starts or ends, and at
/// [`yield_now`]. The same seed and the same build of the program give the same interleaving. Another seed gives another one, of the
/// coarse or of the fine sort.
///
/// Time is virtual: some microseconds for each step, and when all wait it jumps to the next deadline. So a retry in an hour comes at once.
/// [`Clock::system`](crate::Clock::system) shows the virtual time, `std::time::Instant::now` does not. A run has four processors, which is
/// what [`Workers`](crate::Workers) go by.
///
/// **What is not seen**
///
/// * Threads that the program starts by itself, and pools that were made outside of the run, execute as ever, unscheduled. A thread of the
///   run that waits for one of them may be taken for deadlocked. Use tasks of a pool that is made inside.
/// * Locks, channels and sleeping of `std` and of other crates are no points of change. A task that blocks in one blocks the run. So a lock of
///   `std` must not be held across [`yield_now`], nor across a call of this crate, if another task takes it.
/// * A crossbeam channel of capacity zero passes nothing between two threads of a run.
/// * A loop must wait by means of this crate or call [`yield_now`].
/// * Random numbers, addresses, `std`'s hash maps and thread ids differ from run to run, and so does what the program makes depend on
///   them. So does what was made outside of the run: the jitter of a [`Retry`](crate::Retry), the shards of a
///   [`Route`](crate::Route).
///
/// Atomics are the processor's, and a step from one to the next is no point of change: this finds orders of steps, not memory
/// orderings.
///
/// Threads that are alive when the program returns go on as ever, unscheduled and in real time; this function does not wait for them.
///
/// # Panics
///
/// If the program panics, with its payload.
///
/// If every thread waits for another: *deadlock*. The message names the seed and what each waits for. The threads of the run stay blocked
/// until the process ends, and nothing of theirs is dropped.
///
/// If there is no thread for the program, and inside of a run.
///
/// # Examples
///
/// ```
/// use fanpool::testing::{seeded, yield_now};
/// use fanpool::{Pool, Workers};
/// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
///
/// // Two tasks count, and one may be between the other's look and its step.
/// fn count() -> u32 {
///     let counter = AtomicU32::new(0);
///     let pool = Pool::builder().workers(Workers::Fixed(2)).build().unwrap();
///     pool.scope(|scope| {
///         for _ in 0..2 {
///             scope.spawn(|| {
///                 let seen = counter.load(Relaxed);
///                 yield_now();
///                 counter.store(seen + 1, Relaxed);
///             });
///         }
///     });
///     counter.into_inner()
/// }
///
/// let lost = (0..200).find(|seed| seeded(*seed, count) == 1).expect("an update is lost in some order");
/// // Again, as often as it takes to understand it.
/// assert_eq!(seeded(lost, count), 1);
/// ```
pub fn seeded<R: Send + 'static>(seed: u64, program: impl FnOnce() -> R + Send + 'static) -> R {
    match sync::run(seed, program) {
        Ok(Ok(result)) => result,
        Ok(Err(payload)) => panics::resume(payload),
        Err(report) => panic!("{report}"),
    }
}

/// Runs a program with each seed in turn; says which it was that it panicked with.
///
/// # Panics
///
/// If [`seeded`] does, with the first such seed and its message.
///
/// # Examples
///
/// ```
/// fanpool::testing::seeds(0..20, || {
///     let pool = fanpool::Pool::new();
///     assert!(pool.map(0..9, |n| n + 1).collect::<Vec<_>>().into_iter().eq(1..10));
/// });
/// ```
///
/// ```should_panic
/// fanpool::testing::seeds(0..20, || panic!("a test that fails"));
/// ```
pub fn seeds(seeds: Range<u64>, program: impl Fn() + Clone + Send + 'static) {
    for seed in seeds {
        match sync::run(seed, program.clone()) {
            Ok(Ok(())) => {}
            Ok(Err(payload)) => {
                let text = payload.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
                panic!("seed {seed}: {}", text.unwrap_or("a panic without a message"));
            }
            Err(report) => panic!("{report}"),
        }
    }
}

/// A point where another thread of a [`seeded`] run may be picked, each as likely as the others; nothing outside of one.
///
/// # Examples
///
/// ```
/// fanpool::testing::yield_now();
/// ```
pub fn yield_now() {
    sync::yield_now();
}
