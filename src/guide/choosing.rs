//! Which verb for which work: `scope`, `map`, `stream`, `join`, a service, a group, or `submit`.
//!
//! # The table
//!
//! | You have | You want | Use | Its caller |
//! |---|---|---|---|
//! | a few different tasks that borrow | to go on when all have ended | [`Pool::scope`] | runs tasks of the scope, then waits |
//! | the same, and they may fail | the first error, or all of them | [`Pool::try_scope`] | the same |
//! | an iterator and a function | the results, in order, as a collection or one value | [`Pool::map`] | feeds, runs items, collects |
//! | the same | the results in a `for` loop | [`Scope::stream`] | the same, whenever it asks for the next |
//! | a problem that splits in two, again and again | both halves' results | [`Pool::join`] | runs the left half |
//! | items that come now and then, from many threads | outcomes at one place, for as long as the program runs | [`FanOut`] | goes on; sending waits when the window is full |
//! | messages of a broker | the same handler on several machines | [`FanOutBuilder::consume`] | goes on |
//! | tasks with a limit, a priority, a token or a name | the verbs of the pool with these options | [`Pool::group`] | as the verb says |
//! | one task | its result, later | [`Pool::submit`] | goes on; [`join`](crate::ScopedHandle::join) runs the task if nobody has |
//! | one task | nothing back | [`Pool::spawn`] | goes on |
//! | one task | to be done once on every worker | [`Pool::broadcast`] | waits for every worker |
//! | tasks bound to a worker | their order, and that worker's caches | [`Builder::sharded`] and [`Pool::spawn_on`] | goes on |
//!
//! Three questions lead there:
//!
//! 1. *Is all the work known now, or does it keep coming?* Known: scope, map, join. It keeps coming: a service.
//! 2. *Does the work borrow from the stack?* Then something must wait for it: scope, map, stream, join, or a service in a scope
//!    ([`Scope::fan_out`]). `spawn`, `submit` and a [`FanOut`] that stands alone ask for `'static`.
//! 3. *Must the amount in flight be bounded?* A map and a service have a window. The queue of a pool has no bound: `spawn` never
//!    blocks and never refuses while the pool is open. [`backpressure`](super::backpressure) has the rest.
//!
//! # Scope: a few tasks that borrow
//!
//! ```
//! use fanpool::Pool;
//!
//! let pool = Pool::new();
//! let text = String::from("one two three");
//! let (words, letters) = pool.scope(|s| {
//!     let words = s.submit(|| text.split(' ').count());
//!     let letters = s.submit(|| text.chars().filter(|c| c.is_alphabetic()).count());
//!     (words.join().unwrap(), letters.join().unwrap())
//! });
//! assert_eq!((words, letters), (3, 11));
//! ```
//!
//! Tasks of a scope start in no particular order. All have ended when `scope` returns, also when one panics.
//!
//! # Map: one function over an iterator
//!
//! Any iterator, with results in its order. The source and the consumer run on the calling thread, so neither needs to be `Send`.
//!
//! ```
//! use fanpool::Pool;
//!
//! let pool = Pool::new();
//! let squares: Vec<u64> = pool.map(1..=5, |n| n * n).collect();
//! assert_eq!(squares, [1, 4, 9, 16, 25]);
//!
//! // The error is that of the first item that fails, as in a loop.
//! let numbers: Result<Vec<u8>, &str> =
//!     pool.map(["1", "x", "y"], |text| text.parse().map_err(|_| text)).try_collect();
//! assert_eq!(numbers, Err("x"));
//! ```
//!
//! # Stream: the same as an iterator
//!
//! Take it when the consumer is a loop that may stop early, or passes the results to an iterator adaptor.
//!
//! ```
//! let pool = fanpool::Pool::new();
//! let first_large = pool.scope(|s| s.stream(0_u64.., |n| n * n).find(|square| *square > 1000));
//! assert_eq!(first_large, Some(1024));
//! ```
//!
//! # Join: halves of halves
//!
//! A nested fork costs nanoseconds, so fork down to small pieces and let the pool decide what is worth a thread.
//!
//! ```
//! use fanpool::Pool;
//!
//! fn sort(pool: &Pool, items: &mut [u32]) {
//!     if items.len() <= 16 {
//!         return items.sort_unstable();
//!     }
//!     let middle = items.len() / 2;
//!     let (_, pivot, _) = items.select_nth_unstable(middle);
//!     let pivot = *pivot;
//!     let (left, right) = items.split_at_mut(middle);
//!     pool.join(|| sort(pool, left), || sort(pool, right));
//!     assert_eq!(items[middle], pivot);
//! }
//!
//! let mut items: Vec<u32> = (0..1000).map(|n| n * 7919 % 1000).collect();
//! sort(&Pool::new(), &mut items);
//! assert!(items.into_iter().eq(0..1000));
//! ```
//!
//! The halves must not wait for each other: the right one is offered to other threads about 100 to 200 µs later, and below the
//! outermost three levels only at a later fork.
//!
//! # FanOut: a service
//!
//! Items come from any number of threads, outcomes go to one. This is fan-out and fan-in with both ends open.
//!
//! ```
//! use fanpool::FanOut;
//!
//! let (input, output) = FanOut::builder(|text: String| text.parse::<u32>()).workers(2).window(16).start()?;
//! for texts in [["1", "2"], ["three", "4"]] {
//!     let input = input.clone();
//!     std::thread::spawn(move || texts.into_iter().try_for_each(|text| input.send(text.into()).map(drop)));
//! }
//! drop(input); // The last clone closes the service.
//! let (mut numbers, failed) = output.partition();
//! numbers.sort();
//! assert_eq!((numbers, failed.len()), (vec![1, 2, 4], 1));
//! # Ok::<(), fanpool::BuildError>(())
//! ```
//!
//! # Group and submit: a bulkhead, and one result
//!
//! A group has options of its own, and spawns, submits, scopes and maps as the pool does. With a limit it is a bulkhead: whatever happens in it takes no more
//! than so many threads.
//!
//! ```
//! use fanpool::Pool;
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
//!
//! let pool = Pool::builder().workers(4).build()?;
//! let database = pool.group().limit(2).name("database").build()?;
//! let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
//! let answers: Vec<_> = (0..100)
//!     .map(|n| {
//!         let (running, most) = (running.clone(), most.clone());
//!         database.submit(move || {
//!             most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
//!             running.fetch_sub(1, SeqCst);
//!             n * n
//!         })
//!     })
//!     .collect();
//! let answers: Result<Vec<u32>, _> = answers.into_iter().map(|answer| answer.join()).collect();
//! assert_eq!(answers?.iter().sum::<u32>(), 328_350);
//! assert!(most.load(SeqCst) <= 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What waits may run what it waits for
//!
//! Whoever waits for a scope, a map, a handle or a `join` runs tasks of that scope, map, handle or `join`, and no others. So tasks may
//! wait for tasks that they made, at any depth, on one worker; and a lock that is held while waiting is not asked for by a stranger on
//! the same stack. It also means that such a task may run on the calling thread: what it finds in thread-locals is the caller's.
//!
//! Tasks that wait for *each other*, by a barrier or a channel, are another matter. They need a thread each, and a pool
//! has as many as it has. Use [`Workers::Elastic`] with [`blocking`], or threads.
//!
//! [`Builder::sharded`]: crate::Builder::sharded
//! [`FanOut`]: crate::FanOut
//! [`FanOutBuilder::consume`]: crate::FanOutBuilder::consume
//! [`Pool::broadcast`]: crate::Pool::broadcast
//! [`Pool::group`]: crate::Pool::group
//! [`Pool::join`]: crate::Pool::join
//! [`Pool::map`]: crate::Pool::map
//! [`Pool::scope`]: crate::Pool::scope
//! [`Pool::spawn`]: crate::Pool::spawn
//! [`Pool::spawn_on`]: crate::Pool::spawn_on
//! [`Pool::submit`]: crate::Pool::submit
//! [`Pool::try_scope`]: crate::Pool::try_scope
//! [`Scope::fan_out`]: crate::Scope::fan_out
//! [`Scope::stream`]: crate::Scope::stream
//! [`Workers::Elastic`]: crate::Workers::Elastic
//! [`blocking`]: crate::blocking
