//! What fanpool is not for, what it does not do, and what to take instead.
//!
//! # Take something else
//!
//! | You have | Take | Why |
//! |---|---|---|
//! | futures, tens of thousands of connections that wait | an async runtime | a worker is a thread of the system, and one that waits does nothing else |
//! | a slice in memory, items of nanoseconds, no need for an order of errors | rayon's indexed iterators | they divide the slice without a thread that takes items one by one |
//! | a channel between two threads | crossbeam-channel | a service counts, orders and reports, and that has a price |
//! | two threads for a moment, or threads that wait for each other | [`std::thread::scope`] | each task has a thread there |
//! | jobs at a time of day, or every minute | a scheduler | there is none here |
//! | jobs that survive the process | a broker, with [`connect`](crate::connect), or a database | queues are memory |
//! | hard real time | something else | nothing is interrupted, and a turn may take as long as a task |
//!
//! # What no option changes
//!
//! * **A task that runs is not interrupted**, neither by a token nor by a deadline nor by a shutdown. [`shutdown`](super::shutdown) says what that means for one that hangs.
//! * **A pool's queue has no bound.** [`spawn`](crate::Pool::spawn) and [`submit`](crate::Pool::submit) never refuse while it is open. Services and maps have windows.
//! * **All workers take from one queue.** Tasks far below a microsecond on many cores would wait for its cache line. A map makes batches of them; do so, too.
//! * **Items and results move by value**, over the stacks of threads. Box what is larger than some 100 KiB.
//! * **An item of a map must not wait for a later one.** Cheap items are run by the calling thread, in turn.
//! * **Priorities do not preempt**, and order the waiting only.
//! * **A strand has no parallelism inside.** If one key has all the work, one worker does it.
//! * **Sharded pools, and services with a route other than `Shared`, keep their size.**
//! * **Services in scopes have no timer**: no retry, rate, hedge or waiting for a breaker. Handlers of batches take none of the policies about failures but `on_error`.
//! * **Over a broker it is at least once**, not exactly once: handlers must bear a repetition.
//! * **After `fork` the child has no workers.** Make pools after it.
//! * **Counters and health are looked at one after another** while work goes on; sums are exact when nothing moves.
//!
//! # A thread is not free
//!
//! Handing a task to a worker that sleeps costs microseconds, and so does being woken. Below that, threads lose against a loop. The same sum,
//! item by item and in chunks that are worth it:
//!
//! ```
//! let pool = fanpool::Pool::new();
//! let numbers: Vec<u64> = (0..100_000).collect();
//! // A map notices that the items are cheap, and runs them on this thread, about as a loop would.
//! let one_by_one: u64 = pool.map(&numbers, |n| n * n).sum();
//! // Chunks are large enough for several threads.
//! let in_chunks: u64 = pool.map(numbers.chunks(10_000), |chunk| chunk.iter().map(|n| n * n).sum::<u64>()).sum();
//! assert_eq!(one_by_one, in_chunks);
//! ```
//!
//! # What is refused, not guessed
//!
//! Options out of range, and options that contradict each other, are errors when something is built: see [`BuildError`](crate::BuildError). Calls that
//! would wait for themselves are refused where that can be told, with [`WouldDeadlock`](crate::WouldDeadlock). It cannot always be told: two tasks
//! that wait for each other by means of something else wait for ever, and [`health`](crate::Pool::health) names them.
//!
//! ```
//! use fanpool::{BuildError, FanOut, Pool, Retry};
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! let none = Pool::builder().workers(0).build().unwrap_err();
//! assert_eq!(none.to_string(), "workers is 0; allowed is 1 to 65536");
//!
//! let pool = Arc::new(Pool::new());
//! pool.scope(|s| {
//!     let retry = Retry::fixed(Duration::from_millis(1));
//!     let refused = s.fan_out(|n: u32| Err::<(), _>(n)).retry(retry).start().unwrap_err();
//!     assert!(matches!(refused, BuildError::Conflict { option: "retry", with: "scope" }));
//! });
//!
//! let inner = pool.clone();
//! assert!(pool.submit(move || inner.wait_idle()).join()?.is_err());
//! # Ok::<(), fanpool::JoinError>(())
//! ```
//!
//! The README's tables have the rows that lose, with figures.
