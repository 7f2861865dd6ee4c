//! How many threads: what [`Workers`] gives, how to compute what is enough, and when more do not help.
//!
//! # What can be asked for
//!
//! | [`Workers`] | On *c* CPUs | For |
//! |---|---|---|
//! | `Fixed(n)`, or just `n` | *n* | what was measured, or a limit that something else sets |
//! | `CpuBound`, the default | *c* | tasks that compute |
//! | `IoBound` | 2 *c* | tasks that wait about half of their time |
//! | `Mixed` | 1.5 *c*, rounded up | some of each |
//! | `Elastic(Elastic::new(min, max))` | from *min* to *max*, by what waits | load that changes, and waiting times that nobody knows |
//!
//! There may be 1 to [`MAX_WORKERS`] (65,536). Zero is refused, except as the `min` of an elastic pool.
//!
//! *CPUs* are those that the process may use: its affinity mask and, on Linux, the quota of its cgroup. In a container with a limit of two
//! CPUs on a machine of 64, *c* is 2. The quota is rounded up when the pool is built. When it may change, let the pool follow:
//! [`Pool::fit_cpus`] looks once, [`Builder::follow_cpus`] every so often (off by default). What they find is rounded down, at
//! least one. They resize pools of `CpuBound`, `IoBound` and `Mixed`, and leave others alone.
//!
//! ```
//! use fanpool::{Pool, Workers};
//!
//! let pool = Pool::builder().workers(Workers::CpuBound).build()?;
//! let cpus = pool.workers();
//! assert_eq!(Pool::builder().workers(Workers::IoBound).build()?.workers(), 2 * cpus);
//! assert_eq!(Pool::builder().workers(Workers::Mixed).build()?.workers(), (3 * cpus).div_ceil(2));
//! pool.resize(cpus + 1)?;
//! assert_eq!(pool.workers(), cpus + 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How many are enough
//!
//! **Little's law** (John Little, 1961): in a system that is not overloaded, the mean number of items inside is the rate of arrival times
//! the mean time that one spends inside,
//!
//! ```text
//! L = λ · W
//! ```
//!
//! Taken for the workers alone: with λ tasks a second that take *S* seconds each, λ · *S* workers are busy on average. With exactly so many
//! the queue grows without bound, since arrivals are uneven. So divide by the utilisation that you can live with, 0.7 or 0.8:
//!
//! ```text
//! workers = λ · S / utilisation
//! ```
//!
//! ```
//! fn workers(tasks_per_second: f64, seconds_each: f64, utilisation: f64) -> usize {
//!     (tasks_per_second * seconds_each / utilisation).ceil() as usize
//! }
//!
//! // 200 requests a second, 50 ms each: ten busy on average, thirteen to have some air.
//! assert_eq!(workers(200.0, 0.05, 1.0), 10);
//! assert_eq!(workers(200.0, 0.05, 0.8), 13);
//! ```
//!
//! The same law gives the **window** of a service: with room for *L* items and *W* seconds from sending to receiving, *L* / *W* a second
//! pass. And the other way round: the time that an item waits is about [`Metrics::queued`] over [`Rates::throughput`].
//!
//! For tasks that compute for *C* and wait for *N*, on *c* CPUs, *c* · (1 + *N*/*C*) threads keep all CPUs busy. That is where the
//! rules of thumb come from: *N* = 0 gives *c*, *N* = *C* gives 2 *c*, and half as much waiting as computing gives 1.5 *c*.
//! Tasks that wait for 90 % of their time want 10 *c*, not 2 *c*. Measure it: [`Rates::utilisation`] and the queue tell whether
//! there are too many or too few, see [`observing`](super::observing).
//!
//! # When more threads do not help
//!
//! * *They compute, and there is one for each CPU already.* More only take turns.
//! * *They wait for one lock.* What must be done one at a time, a share *s* of the work, bounds the speedup by 1 / *s*, whatever the
//!   number of threads (Amdahl's law). Give each thread its own part: [`Pool::map_init`], [`FanOut::builder_init`], `reduce`.
//! * *They wait for something with a capacity of its own*: a database with 10 connections, a disk. The eleventh thread waits there. Let a
//!   [group](crate::Pool::group) with a `limit`, or an [`ObjectPool`] (16 objects by default), hold that number, and keep the pool for all work.
//! * *Tasks are tiny.* Handing one over costs more than it does. A map makes batches by itself; a service takes several cheap items at a turn,
//!   and [`FanOut::builder_batch`] hands them to the handler together.
//! * *Memory is the limit.* Each thread has a stack (2 MiB of address space by default, [`Builder::stack_size`]), and what its task holds.
//!
//! # Pools that size themselves
//!
//! [`Elastic`] grows by one worker when a task has waited for `target_wait` (5 ms) and no worker was free in that time. The next step comes a
//! `target_wait` later at the earliest. Workers that were idle for `keep_alive` (10 s) leave, down to `min`. With a `min` of 0 an unused
//! pool has no thread at all. A thread that the system refuses is asked for again after 100 ms, then twice as long, at most 10 s.
//!
//! ```
//! use fanpool::{Elastic, Pool};
//!
//! let pool = Pool::builder().workers(Elastic::new(0, 64)).build()?;
//! assert_eq!(pool.workers(), 0);
//! pool.spawn(|| ())?; // Starts the first one.
//! pool.wait_idle()?;
//! assert!(pool.workers() <= 64);
//! assert_eq!(pool.counts().ran, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! If nobody knows how much the thing behind can take, [`Elastic::search_throughput`] tries: it goes on growing only while that gives
//! at least 10 % more. Off by default: then the pool grows to `max` while tasks wait.
//!
//! # Tasks that block
//!
//! A worker that waits for a disk or a peer is not there for others. [`blocking`] tells an elastic pool so: if tasks wait and no
//! worker is idle, it starts another one at once, up to `max`. In a pool of fixed size, and outside of a pool, it is a plain call.
//!
//! ```
//! use fanpool::{Elastic, Pool, blocking};
//! use std::sync::Barrier;
//!
//! // Each of four tasks waits for the three others: four threads are needed, the caller's among them.
//! let pool = Pool::builder().workers(Elastic::new(1, 8)).build()?;
//! let barrier = Barrier::new(4);
//! pool.scope(|s| {
//!     for _ in 0..4 {
//!         s.spawn(|| _ = blocking(|| barrier.wait()));
//!     }
//! });
//! assert_eq!(pool.counts().ran, 4);
//! # Ok::<(), fanpool::BuildError>(())
//! ```
//!
//! # One pool or several
//!
//! Several services and maps share a pool well: each has its turn, see [`ordering`](super::ordering). Make a second pool where work of one kind
//! must not take the threads of another, or needs another number of them: computing on `CpuBound`, waiting on `Elastic`. A [`FanOut`] has
//! workers of its own unless it is given a [`pool`](crate::FanOutBuilder::pool); on a shared one [`limit`](crate::FanOutBuilder::limit) bounds it.
//! [`Control::resize`] changes either.
//!
//! [`Builder::follow_cpus`]: crate::Builder::follow_cpus
//! [`Builder::stack_size`]: crate::Builder::stack_size
//! [`Control::resize`]: crate::Control::resize
//! [`Elastic`]: crate::Elastic
//! [`Elastic::search_throughput`]: crate::Elastic::search_throughput
//! [`FanOut`]: crate::FanOut
//! [`FanOut::builder_batch`]: crate::FanOut::builder_batch
//! [`FanOut::builder_init`]: crate::FanOut::builder_init
//! [`MAX_WORKERS`]: crate::MAX_WORKERS
//! [`Metrics::queued`]: crate::Metrics::queued
//! [`ObjectPool`]: crate::ObjectPool
//! [`Pool::fit_cpus`]: crate::Pool::fit_cpus
//! [`Pool::map_init`]: crate::Pool::map_init
//! [`Rates::throughput`]: crate::Rates::throughput
//! [`Rates::utilisation`]: crate::Rates::utilisation
//! [`Workers`]: crate::Workers
//! [`blocking`]: crate::blocking
