//! What comes out in which order, what runs before what, and who gets a turn.
//!
//! # Three different orders
//!
//! *Delivery* is the order in which results are handed out. *Handling* is the order in which tasks run, and which run at the same time.
//! *Choice* is who is next when a worker is free. They are chosen apart:
//!
//! | You want | Say | It costs |
//! |---|---|---|
//! | results in the order of the items | a map does so; a service: [`ordered`](crate::FanOutBuilder::ordered) | results wait for a slow one before them, within the window |
//! | results as they come | a map: [`unordered`](crate::Map::unordered); a service does so | nothing |
//! | tasks one after the other, in the order of spawning | a [group](crate::Pool::group) with `limit(1)` | one at a time |
//! | items of a key in order and one at a time, keys side by side | *strands*: [`key`](crate::FanOutBuilder::key) | memory for each key that has items |
//! | items of a key on one thread, with its state | *shards*: [`Route::by_key`], [`spawn_on`](crate::Pool::spawn_on) | a slow key holds up its shard; no resizing |
//! | the important first | [`priority`](crate::FanOutBuilder::priority) | the others wait longer, and never for ever |
//! | streams merged as they come | [`fan_in`] | nothing |
//! | sorted streams merged into one | [`fan_in_by`] | the slowest source holds up all |
//!
//! Tasks of a scope, and of a pool, have no order that you may rely on: workers take the oldest, the thread that waits takes the newest.
//!
//! # Ordered delivery
//!
//! An ordered service restores the order of sending. Failed, panicked and cancelled items have their places, too, so numbers have no gaps.
//! Ordering is done by the one who takes the outcomes; the handlers still run in any order.
//!
//! ```
//! use fanpool::FanOut;
//!
//! let work = |n: u64| if n % 3 == 0 { Err("three") } else { Ok(n) };
//! let (input, output) = FanOut::builder(work).workers(4).ordered().start()?;
//! for n in 1..=9 {
//!     input.send(n)?;
//! }
//! drop(input);
//! let outcomes: Vec<_> = output.map(|outcome| (outcome.seq, outcome.result.ok())).collect();
//! assert_eq!(outcomes[..3], [(0, Some(1)), (1, Some(2)), (2, None)]);
//! assert!(outcomes.iter().map(|(seq, _)| *seq).eq(0..9));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A map in order means what the serial loop means: the same results, the error or panic of the first item that has one, everything before it
//! delivered, nothing after it. [`reduce`](crate::Map::reduce) combines neighbours, in order, in the workers.
//!
//! # Strands: order per key
//!
//! Accounts, orders, devices: what concerns one of them must be handled in order, and they have nothing to do with each other. A key makes a
//! strand of each. Any free worker takes the next item of a strand when the one before has ended, also when that waits for a retry.
//!
//! ```
//! use fanpool::FanOut;
//! use std::collections::HashMap;
//! use std::sync::{Arc, Mutex};
//!
//! // Withdrawals fail where there is too little, so each balance depends on the order of its own account.
//! let balances = Arc::new(Mutex::new(HashMap::<&str, i64>::new()));
//! let book = balances.clone();
//! let (input, output) = FanOut::builder(move |(account, amount): (&'static str, i64)| {
//!     let mut balances = book.lock().unwrap();
//!     let balance = balances.entry(account).or_default();
//!     if *balance + amount < 0 {
//!         return Err("too little");
//!     }
//!     *balance += amount;
//!     Ok(*balance)
//! })
//! .workers(4)
//! .key(|item: &(&'static str, i64)| item.0)
//! .start()?;
//! for (account, amount) in [("ann", -5), ("bob", 10), ("ann", 5), ("bob", -4), ("ann", -3)] {
//!     input.send((account, amount))?;
//! }
//! drop(input);
//! assert_eq!(output.partition().1.len(), 1); // Ann's first: there was nothing yet.
//! let balances = balances.lock().unwrap();
//! assert_eq!((balances["ann"], balances["bob"]), (2, 6));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Keys are told apart by a 64-bit hash. If one key has all the work, one worker does it all: a strand has no parallelism inside.
//!
//! # Shards: a state per worker
//!
//! With [`Route::by_key`] each worker has a queue and, with [`builder_init`](crate::FanOut::builder_init), a state of its own: a cache, a
//! connection, counters without a lock. The table at [`Route`] compares it with the other routes: `Shared`, `RoundRobin`, `LeastLoaded`.
//!
//! ```
//! use fanpool::{FanOut, Route};
//! use std::collections::HashMap;
//!
//! let count = |seen: &mut HashMap<u32, u32>, device: u32| {
//!     let times = seen.entry(device).or_insert(0);
//!     *times += 1;
//!     Ok::<_, ()>((device, *times))
//! };
//! let (input, output) = FanOut::builder_init(HashMap::new, count)
//!     .workers(2)
//!     .route(Route::by_key(|device: &u32| *device))
//!     .start()?;
//! for n in 0..90 {
//!     input.send(n % 9)?;
//! }
//! drop(input);
//! let (counts, _) = output.partition();
//! // Every device met one state, which counted to ten.
//! assert_eq!(counts.iter().filter(|(_, times)| *times == 10).count(), 9);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Priorities that age
//!
//! A priority says which of the *waiting* is started first. What runs is not interrupted. Of every sixteen that a queue gives out while all kinds
//! wait, eleven are `High`, four `Normal` and one is `Low`, so nothing starves. Groups and maps have a priority, and items of a service.
//!
//! ```
//! use fanpool::{FanOut, Priority};
//!
//! let urgent = |n: &u32| if *n >= 100 { Priority::High } else { Priority::Low };
//! let (input, output) = FanOut::builder(|n: u32| Ok::<_, ()>(n)).workers(1).priority(urgent).start()?;
//! let control = input.control();
//! control.pause(); // So that all are there before one is chosen.
//! for n in [1, 2, 100, 3, 101] {
//!     input.send(n)?;
//! }
//! control.resume();
//! drop(input);
//! assert_eq!(output.partition().0, [100, 101, 1, 2, 3]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! With keys, an item goes by its own priority once it is the first of its key; the order of the key is kept.
//!
//! # Fairness
//!
//! Users of one pool are groups: scopes, maps, services, what you made with [`Pool::group`](crate::Pool::group). A worker stays with one group
//! for about half a millisecond, and with a service for a millisecond, while others wait; then it goes to the end of the line. So a group with a
//! million tasks delays one with three by about a slice for each group before it, not by a million tasks. A single task that takes long
//! is not interrupted: give slow work its own [`limit`](crate::GroupBuilder::limit), so that workers remain.
//!
//! # Merging
//!
//! [`fan_in`] lets its sources take turns; each source keeps its own order. [`fan_in_by`] merges sorted sources: of equal items, those of earlier
//! sources come first.
//!
//! ```
//! use fanpool::{FanOut, fan_in_by};
//!
//! let (evens, a) = FanOut::builder(|n: u32| Ok::<_, ()>(2 * n)).ordered().start()?;
//! let (odds, b) = FanOut::builder(|n: u32| Ok::<_, ()>(2 * n + 1)).ordered().start()?;
//! for n in 0..5 {
//!     evens.send(n)?;
//!     odds.send(n)?;
//! }
//! drop((evens, odds));
//! let merged = fan_in_by([a, b].map(|output| output.results().flatten()), |x, y| x.cmp(y));
//! assert!(merged.eq(0..10));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Over several machines
//!
//! A broker keeps the order of a key only where its partitions do and one consumer has them; the table in [`connect`](crate::connect) says
//! which engine promises what. Inside of each process, [`key`](crate::FanOutBuilder::key) does the rest.
//!
//! [`Route`]: crate::Route
//! [`Route::by_key`]: crate::Route::by_key
//! [`fan_in`]: crate::fan_in
//! [`fan_in_by`]: crate::fan_in_by
