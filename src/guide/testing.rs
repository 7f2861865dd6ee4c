//! How to test what is built on fanpool: handlers, services, times, interleavings, and speed.
//!
//! | Question | Tool |
//! |---|---|
//! | Does the handler do what it should? | it is a function: call it |
//! | Does the service? | send, close, [`partition`](crate::Output::partition), compare |
//! | Does it retry, expire, open, alert at the right time? | [`ManualClock`] |
//! | Is there an order of steps in which it fails or hangs? | feature `seeded`: `testing::seeds` |
//! | Is there an interleaving, or a memory ordering? | loom, `--cfg fanpool_loom` |
//! | Is there a data race in `unsafe` code? | ThreadSanitizer, Miri |
//! | Does it hold under load? | many items, a small window, the accounts |
//! | Is it fast? | a benchmark, beside the plain loop |
//!
//! # Handlers are functions
//!
//! Keep what a handler does in a function that knows nothing of fanpool, and test that. Then test the service once: that every item has
//! one outcome, the right one.
//!
//! ```
//! use fanpool::FanOut;
//!
//! fn parse(line: &str) -> Result<(String, u32), String> {
//!     let (name, number) = line.split_once('=').ok_or_else(|| format!("no '=' in {line:?}"))?;
//!     Ok((name.into(), number.parse().map_err(|_| format!("no number in {line:?}"))?))
//! }
//! assert_eq!(parse("a=1"), Ok(("a".into(), 1)));
//! assert_eq!(parse("a"), Err("no '=' in \"a\"".into()));
//!
//! let (input, output) = FanOut::builder(parse).workers(4).ordered().start()?;
//! for line in ["a=1", "b", "c=3"] {
//!     input.send(line)?;
//! }
//! drop(input);
//! let (done, failed) = output.partition();
//! assert_eq!(done, [("a".into(), 1), ("c".into(), 3)]);
//! assert_eq!(failed[0].0, 1); // By number, so ask for order, or sort.
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Without `ordered` outcomes come as they end: sort them, or compare sets. Never sleep to wait for a thread: close and take all outcomes, call
//! [`wait_idle`](crate::Pool::wait_idle) or [`Control::wait`], or meet at a barrier. To have several items wait together,
//! [`pause`](crate::Control::pause) first. On one worker, `workers(1)`, everything runs in turn.
//!
//! # Time that a test moves
//!
//! [`ManualClock`] stands still until it is told to go on. These take one: services and their policies ([`clock`](crate::FanOutBuilder::clock)),
//! [`Retry::call`], [`CircuitBreaker`], [`RateLimit`], [`Monitor`], and pools for their health and their elasticity ([`Builder::clock`]). Give all parts of a service
//! the same. Deadlines of maps and of [`CancelToken`], `send_timeout`, `recv_timeout` and the waiting time of batches go by the system's clock.
//!
//! ```
//! use fanpool::{FanOut, Retry, testing::ManualClock};
//! use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
//! use std::time::Duration;
//!
//! let clock = ManualClock::new();
//! let failed = AtomicBool::new(false);
//! let (input, mut output) = FanOut::builder(move |n: u32| if failed.swap(true, Relaxed) { Ok(n) } else { Err("busy") })
//!     .retry(Retry::fixed(Duration::from_secs(3600)))
//!     .clock(&clock)
//!     .start()?;
//! let control = input.control();
//! input.send(7)?;
//! while control.put_off() < 1 {
//!     std::thread::yield_now(); // Until the item waits for its hour.
//! }
//! assert!(output.try_recv().is_err());
//! clock.advance(Duration::from_secs(3600));
//! let outcome = output.recv()?;
//! assert_eq!((outcome.attempts, outcome.result.ok()), (2, Some(7)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Failing on purpose
//!
//! A handler that panics is an outcome; assert on it. To test what a stopped service gives back, stop it while it is paused. For brokers there
//! is [`Memory`](crate::connect::Memory), the engine without one, and [`set_down`](crate::connect::Memory::set_down) is its outage.
//!
//! # Seeds: one order of steps, again and again
//!
//! With the feature `seeded`, a program runs one thread at a time. Who runs next follows from the seed, at each lock and channel of fanpool and at
//! `testing::yield_now`. Time is virtual. The same seed gives the same run; a deadlock is reported with its seed.
//!
//! ```
//! # #[cfg(feature = "seeded")] {
//! use fanpool::testing::{seeded, seeds, yield_now};
//! use fanpool::{Pool, Workers};
//! use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
//!
//! fn count(step: fn(&AtomicU32)) -> u32 {
//!     let counter = AtomicU32::new(0);
//!     let pool = Pool::builder().workers(Workers::Fixed(2)).build().unwrap();
//!     pool.scope(|s| (0..2).for_each(|_| s.spawn(|| step(&counter))));
//!     counter.into_inner()
//! }
//! fn wrong(counter: &AtomicU32) {
//!     let seen = counter.load(Relaxed);
//!     yield_now(); // Another task may be here, too.
//!     counter.store(seen + 1, Relaxed);
//! }
//! fn right(counter: &AtomicU32) {
//!     counter.fetch_add(1, Relaxed);
//!     yield_now();
//! }
//!
//! seeds(0..50, || assert_eq!(count(right), 2));
//! let bad = (0..200).find(|seed| seeded(*seed, || count(wrong)) == 1).expect("some order loses an update");
//! assert_eq!(seeded(bad, || count(wrong)), 1); // And always does.
//! # }
//! ```
//!
//! It sees orders of steps. It does not see memory orderings, nor locks and channels of `std`, nor threads that the program starts by itself.
//!
//! # loom: every interleaving
//!
//! Under `--cfg fanpool_loom` the whole public API runs on [loom](https://docs.rs/loom), so that a model may use pools, scopes, maps and services
//! together with loom's own locks and atomics:
//!
//! ```toml
//! [target.'cfg(fanpool_loom)'.dev-dependencies]
//! loom = "0.7"
//! ```
//!
//! ```ignore
//! // `ignore`, since it compiles under the cfg alone: RUSTFLAGS="--cfg fanpool_loom" cargo test --release
//! let mut builder = loom::model::Builder::new();
//! builder.preemption_bound = Some(2);
//! builder.check(|| {
//!     let pool = Pool::builder().workers(Workers::Fixed(1)).build().unwrap();
//!     let longest = &loom::sync::Mutex::new(0);
//!     pool.scope(|s| {
//!         for word in ["fan", "pool"] {
//!             s.spawn(move || {
//!                 let mut longest = longest.lock().unwrap();
//!                 *longest = word.len().max(*longest);
//!             });
//!         }
//!     });
//!     assert_eq!(*longest.lock().unwrap(), 4);
//! });
//! ```
//!
//! loom allows five threads in all. Time stands still: no timeout is ever over. Keep models at one or two workers and two to four items, and bound
//! preemptions to 2 or 3. `loom-tests/tests/user.rs` in the repository is such a model, and the README there lists those that check fanpool itself.
//!
//! # Load
//!
//! Send more than the window from several threads, and check the accounts and the bound. This finds what depends on amounts.
//!
//! ```
//! use fanpool::FanOut;
//!
//! let (input, output) = FanOut::builder(|n: u64| if n % 7 == 0 { Err(n) } else { Ok(n) }).workers(4).window(16).start()?;
//! let control = input.control();
//! let senders: Vec<_> = (0..4)
//!     .map(|part| {
//!         let input = input.clone();
//!         std::thread::spawn(move || (0..500).try_for_each(|n| input.send(4 * n + part).map(drop)))
//!     })
//!     .collect();
//! drop(input);
//! let mut most = 0;
//! let mut seen: Vec<u64> = output
//!     .inspect(|_| most = most.max(control.in_flight()))
//!     .map(|outcome| outcome.result.unwrap_or_else(|error| error.into_failed().unwrap()))
//!     .collect();
//! assert!(senders.into_iter().all(|sender| sender.join().unwrap().is_ok()));
//! seen.sort();
//! assert!(seen.into_iter().eq(0..2000)); // Each once.
//! assert!(most <= 16);
//! let counts = control.wait()?;
//! assert_eq!((counts.accepted, counts.finished + counts.failed), (2000, 2000));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Speed
//!
//! Measure the plain loop beside it: below a microsecond of work for an item, threads rarely pay. Take medians of several runs in turn, on an idle
//! machine, with `--release`. The numbers of threads, of CPUs and of items belong to the figure. `benches/README.md` shows how this is done here.
//!
//! [`Builder::clock`]: crate::Builder::clock
//! [`CancelToken`]: crate::CancelToken
//! [`CircuitBreaker`]: crate::CircuitBreaker
//! [`Control::wait`]: crate::Control::wait
//! [`ManualClock`]: crate::testing::ManualClock
//! [`Monitor`]: crate::Monitor
//! [`RateLimit`]: crate::RateLimit
//! [`Retry::call`]: crate::Retry::call
