//! What holds a fast producer back, where threads block, and what bounds the memory.
//!
//! # The window
//!
//! A service and a map have a *window*: how many items there may be between the source and the consumer, queued, running, or done and not taken.
//! An item takes a credit before it is accepted. The credit comes back when the consumer has taken the outcome. So the bound is exact, and
//! it holds whatever is slow: the handlers or the consumer.
//!
//! | | Default | Set by |
//! |---|---|---|
//! | a service | 1,024 items | [`FanOutBuilder::window`] |
//! | a map, a stream | what the threads do in about a millisecond: at least 64 and four for each thread, at most 4,096 | [`Map::window`] |
//! | a map's weight | no bound | [`Map::weigh`], [`Stream::weigh`] |
//! | a pool's queue | **no bound** | nothing: use a service, or look at [`Pool::queued`] before you spawn |
//! | branches of [`tee`](crate::Output::tee) and [`split_by`](crate::Output::split_by) | | their `buffer`, 1 to 1,048,576 |
//! | an [`ObjectPool`] | 16 objects | [`max`](crate::ObjectPoolBuilder::max) |
//!
//! A window of a few items for each worker keeps all of them busy. A larger one absorbs bursts, and makes items wait longer: by Little's law
//! the waiting time is the number of items over the throughput. A window of 1 is nearly a hand-over: the next item
//! is accepted when the outcome before it was taken.
//!
//! ```
//! use fanpool::{FanOut, SendReason};
//! use std::time::Duration;
//!
//! let (input, mut output) = FanOut::builder(|n: u32| Ok::<_, ()>(n)).window(3).start()?;
//! assert_eq!((0..100).filter(|n| input.try_send(*n).is_ok()).count(), 3);
//!
//! // A refused item comes back, with the reason.
//! let full = input.try_send(7).unwrap_err();
//! assert_eq!((full.reason(), full.into_inner()), (SendReason::Full, 7));
//! let late = input.send_timeout(7, Duration::from_millis(1)).unwrap_err();
//! assert_eq!(late.reason(), SendReason::TimedOut);
//!
//! // Taking an outcome makes room for one more.
//! output.recv()?;
//! assert!(input.try_send(7).is_ok());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What blocks where
//!
//! | Call | Blocks while | Without blocking, or not for long |
//! |---|---|---|
//! | [`Input::send`] | the window is full | [`try_send`](crate::Input::try_send), [`send_timeout`](crate::Input::send_timeout): the item comes back |
//! | [`Output::recv`], iterating it | no outcome is there | [`try_recv`](crate::Output::try_recv), [`recv_timeout`](crate::Output::recv_timeout) |
//! | a terminal of a map | there are items; meanwhile it feeds, runs items and collects | [`deadline`](crate::Map::deadline), [`cancel`](crate::Map::cancel) |
//! | [`Pool::scope`], [`Pool::join`] | tasks of it run elsewhere; meanwhile it runs those that wait | |
//! | [`Handle::join`](crate::ScopedHandle::join) | the task runs elsewhere; one that waits it runs | [`try_join`](crate::ScopedHandle::try_join), [`join_timeout`](crate::ScopedHandle::join_timeout) |
//! | [`Pool::spawn`], [`Pool::submit`] | never | |
//! | a collector thread: `for_each`, `forward`, `then`, `tee` | the sink, the channel, the next window or a buffer has no room | dropping the [`Collector`](crate::Collector) cuts the wait |
//! | [`ObjectPool::get`] | all objects are lent | [`try_get`](crate::ObjectPool::try_get), [`get_timeout`](crate::ObjectPool::get_timeout) |
//! | [`RateLimit::acquire`], [`Retry::call`] | the permit, or the delay, is in the future | the options `rate` and `retry` of a service hold no thread |
//! | a worker, for a retry, a rate or a breaker of its service | never: the item waits in the pool's timer | |
//!
//! A sender that waits is woken when half of the window is free, since waking costs microseconds; after 100 µs it is content with one place.
//!
//! Two mistakes make a program wait for itself:
//!
//! * *One thread sends more than the window, and receives afterwards.* Let another thread send, or send and receive in turns.
//! * *A handler sends to its own service and fills its window.* Follow-up work belongs to a next stage, or into the result.
//!
//! # Bytes instead of items
//!
//! A map bounds weight as well. The calling thread weighs each item, and the sum in flight stays below the bound; an item that is heavier
//! than that runs alone.
//!
//! ```
//! use fanpool::Pool;
//! use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
//!
//! let (held, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
//! let files = (0..200).map(|n| vec![0_u8; 1000 + n]);
//! let total: usize = Pool::new()
//!     .map(files, |file| {
//!         most.fetch_max(held.fetch_add(file.len(), SeqCst) + file.len(), SeqCst);
//!         held.fetch_sub(file.len(), SeqCst);
//!         file.len()
//!     })
//!     .weigh(|file| file.len(), 5_000)
//!     .sum();
//! assert_eq!(total, (1000..1200).sum());
//! assert!(most.into_inner() <= 5_000);
//! ```
//!
//! A service has no such bound: its [`weigh`](crate::FanOutBuilder::weigh) is for [`Route::LeastLoaded`]. Where its items are large, take them
//! from an [`ObjectPool`] of buffers. It makes as many as its `max` says, lends them again and again, and whoever wants one more waits. The guard
//! travels with the item and brings the buffer back wherever it is dropped.
//!
//! ```
//! use fanpool::{FanOut, ObjectPool, Pooled};
//! use std::convert::Infallible;
//!
//! let make = || Ok::<_, Infallible>(Vec::with_capacity(4096));
//! let buffers = ObjectPool::builder(make).max(4).reset(Vec::clear).build()?;
//! let (input, output) = FanOut::builder(|buffer: Pooled<Vec<u8>>| Ok::<_, ()>(buffer.len())).workers(2).start()?;
//! for n in 0..100 {
//!     let mut buffer = buffers.get()?; // Waits while four are filled.
//!     buffer.resize(n, 7);
//!     input.send(buffer)?;
//! }
//! drop(input);
//! assert_eq!(output.results().flatten().sum::<usize>(), 4950);
//! let stats = buffers.stats();
//! assert!(stats.made <= 4 && stats.made + stats.reused == 100);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Pipelines: windows in a row
//!
//! Each stage of [`then`](crate::Output::then) has its own window. A slow stage fills its window, then its collector waits, then the stage before
//! fills up, and in the end `send` waits. In all there are never more than the windows and one item for each collector between two stages.
//!
//! ```
//! use fanpool::FanOut;
//!
//! let (input, first) = FanOut::builder(|n: u32| Ok::<_, ()>(n + 1)).window(4).ordered().start()?;
//! let last = first.then(|n| Ok::<_, ()>(n * 10)).window(2).ordered().start()?;
//! last.control().pause(); // As slow as can be.
//! for n in 0..4 + 1 + 2 {
//!     input.send(n)?; // Two in the last stage, one with the collector, four in the first.
//! }
//! assert!(input.try_send(7).is_err());
//! last.control().resume();
//! drop(input);
//! assert_eq!(last.partition().0, [10, 20, 30, 40, 50, 60, 70]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Several inputs, one output
//!
//! * *Many producers of one service*: clone the [`Input`]. The window is one for all; whoever comes first has the place.
//! * *A channel that is there already*: [`start_from`](crate::FanOutBuilder::start_from) takes from a crossbeam receiver as long as the window has room.
//!   What does not fit stays in the channel, and a bounded channel holds its senders back.
//! * *Several services or channels, one consumer*: [`fan_in`] merges them as they come, [`fan_in_by`] by an order. No thread is
//!   started: each source is held back by its own window while the consumer is slow.
//!
//! ```
//! use fanpool::{FanOut, fan_in};
//!
//! let (sender, receiver) = crossbeam_channel::bounded(2);
//! std::thread::spawn(move || (0..50).try_for_each(|n| sender.send(n)));
//! let (feeder, evens) = FanOut::builder(|n: u32| Ok::<_, ()>(2 * n)).window(4).start_from(receiver)?;
//!
//! let (input, odds) = FanOut::builder(|n: u32| Ok::<_, ()>(2 * n + 1)).window(4).start()?;
//! let another = input.clone();
//! std::thread::spawn(move || (0..25).try_for_each(|n| input.send(n).map(drop)));
//! std::thread::spawn(move || (25..50).try_for_each(|n| another.send(n).map(drop)));
//!
//! let mut all: Vec<u32> = fan_in([evens, odds]).filter_map(|outcome| outcome.result.ok()).collect();
//! all.sort();
//! assert!(all.into_iter().eq(0..100));
//! assert!(feeder.join().is_ok());
//! # Ok::<(), fanpool::BuildError>(())
//! ```
//!
//! # What bounds the memory
//!
//! For a service: *window × (item + outcome)*, whatever the speed of the consumer. Items that wait for a retry, for a rate, behind their key or for
//! their turn in an ordered output are part of the window. A [`retry`](crate::FanOutBuilder::retry), a hedge or a dead letter keeps a clone of each item that a handler
//! has. What keeps one object for each key, [`Breakers`] and [`RateLimits`], has a `max`. [`Errors`] keep 1,000 and count the rest.
//!
//! # When the answer is no
//!
//! To hold back the producer is right inside of a program. At its edge, where the producer is a client that waits, refuse early instead:
//! `try_send`, and tell the client to come again. A small window with refusals keeps waiting times short under any load.
//! `examples/apps/http.rs` is a server that does so.
//!
//! [`Breakers`]: crate::Breakers
//! [`Errors`]: crate::Errors
//! [`FanOutBuilder::window`]: crate::FanOutBuilder::window
//! [`Input`]: crate::Input
//! [`Input::send`]: crate::Input::send
//! [`Map::weigh`]: crate::Map::weigh
//! [`Map::window`]: crate::Map::window
//! [`ObjectPool`]: crate::ObjectPool
//! [`ObjectPool::get`]: crate::ObjectPool::get
//! [`Output::recv`]: crate::Output::recv
//! [`Pool::join`]: crate::Pool::join
//! [`Pool::queued`]: crate::Pool::queued
//! [`Pool::scope`]: crate::Pool::scope
//! [`Pool::spawn`]: crate::Pool::spawn
//! [`Pool::submit`]: crate::Pool::submit
//! [`RateLimit::acquire`]: crate::RateLimit::acquire
//! [`RateLimits`]: crate::RateLimits
//! [`Retry::call`]: crate::Retry::call
//! [`Route::LeastLoaded`]: crate::Route::LeastLoaded
//! [`Stream::weigh`]: crate::Stream::weigh
//! [`fan_in`]: crate::fan_in
//! [`fan_in_by`]: crate::fan_in_by
