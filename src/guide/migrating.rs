//! What is what here, for those who come from another library, and what behaves differently.
//!
//! # From rayon
//!
//! | rayon | fanpool | Differs |
//! |---|---|---|
//! | the global pool, `build_global` | none: make a [`Pool`](crate::Pool) and pass it | nothing runs without an owner, who joins the threads |
//! | `ThreadPoolBuilder`, `install` | [`Pool::builder`](crate::Pool::builder); no `install` | verbs are called on the pool, from any thread |
//! | `par_iter().map(f).collect()` | [`pool.map(items, f).collect()`](crate::Pool::map) | takes any iterator, item by item; for slices in memory and items of nanoseconds rayon is faster |
//! | `par_bridge()` | [`pool.map`](crate::Pool::map), [`unordered`](crate::Map::unordered) | keeps the order unless told otherwise; a bounded window |
//! | `collect::<Result<_, _>>()` | [`try_collect`](crate::Map::try_collect) | the error of the *first* item, as in a loop; in rayon any of them |
//! | a panic in an item | re-thrown | that of the first item; in rayon any of them |
//! | `for_each(f)` with a lock | [`map(items, f).for_each(sink)`](crate::Map::for_each) | `sink` is `FnMut` on the calling thread: no lock |
//! | `fold` + `reduce` | [`reduce`](crate::Map::reduce), [`sum`](crate::Map::sum) | neighbours are combined in order |
//! | `map_init` | [`map_init`](crate::Pool::map_init) | one state for each thread that works, used again |
//! | `join` | [`Pool::join`](crate::Pool::join) | the right half is offered after 100 to 200 µs, not at once; if the left one panics, a right one that has not started is dropped |
//! | `scope`, `in_place_scope`, `spawn` | [`Pool::scope`](crate::Pool::scope), [`s.spawn`](crate::Scope::spawn) | the body runs on the calling thread; tasks get no scope argument, they capture it |
//! | `scope_fifo`, `spawn_fifo` | a [group](crate::Pool::group) with `limit(1)` | one at a time |
//! | `broadcast`, `current_thread_index` | [`broadcast`](crate::Pool::broadcast), [`current_worker`](crate::current_worker) | a worker may not broadcast to its own pool |
//! | `panic_handler` | none | detached panics are counted |
//! | `par_sort`, `par_chunks`, `zip`, `flat_map` .. | none | iterate over chunks; sort with [`join`](crate::Pool::join) |
//!
//! The difference that matters: a thread of rayon that waits steals *any* task, also below a lock that it holds. Here it runs what it
//! waits for, and nothing else.
//!
//! # From threadpool
//!
//! | threadpool | fanpool | Differs |
//! |---|---|---|
//! | `ThreadPool::new(n)` | [`Pool::builder().workers(n).build()`](crate::Builder::workers) | a refused thread is an error, not a panic |
//! | `execute(f)` | [`spawn(f)`](crate::Pool::spawn) | returns the task if the pool is closed |
//! | a channel for each result | [`submit(f)`](crate::Pool::submit) | a [`Handle`](crate::Handle) |
//! | `join()` | [`wait_idle()`](crate::Pool::wait_idle) | refused inside of a task, where it would wait for itself |
//! | `queued_count`, `active_count`, `panic_count` | [`queued`](crate::Pool::queued), [`running`](crate::Pool::running), [`counts`](crate::Pool::counts) | |
//! | `set_num_threads` | [`resize`](crate::Pool::resize) | |
//! | a panic ends the thread, which is replaced | the worker goes on | |
//! | dropping it detaches the threads | dropping it runs what was accepted and joins them | give it a [timeout](crate::Pool::shutdown_timeout) if it must not wait |
//! | `Clone` | `Arc<Pool>` | |
//!
//! # From scoped-thread-pool
//!
//! | scoped-thread-pool | fanpool | Differs |
//! |---|---|---|
//! | `Pool::new(n)`, `expand` | [`Builder::workers`](crate::Builder::workers), [`resize`](crate::Pool::resize) | |
//! | `pool.scoped(\|s\| s.execute(f))` | [`pool.scope(\|s\| s.spawn(f))`](crate::Pool::scope) | the thread that waits runs tasks of its scope |
//! | `recurse(\|s\| ..)` | spawn inside of a task: it captures the scope | |
//! | `zoom` | a scope in a scope or in a task | ends on one worker, too |
//! | `Scope::forever`, `Scope::join` | a [group](crate::Pool::group), [`wait_idle`](crate::Pool::wait_idle) | |
//! | `shutdown(&self)` | [`shutdown(self)`](crate::Pool::shutdown) | takes the pool, so it cannot race with a scope; dropping does the same, while there nothing ends by itself |
//!
//! # From `std::thread::scope`
//!
//! | std | fanpool | Differs |
//! |---|---|---|
//! | `thread::scope(\|s\| ..)` | [`pool.scope(\|s\| ..)`](crate::Pool::scope) | threads are there already |
//! | `s.spawn(f)` | [`s.spawn(f)`](crate::Scope::spawn), [`s.submit(f)`](crate::Scope::submit) for the result | **no thread for each task**: tasks that wait for each other may wait for ever |
//! | `handle.join()` | [`handle.join()`](crate::ScopedHandle::join) | runs the task itself if nobody has begun |
//! | a panic that nobody joined | re-thrown | with its own payload |
//!
//! The lifetimes are the same, so most code compiles as it is:
//!
//! ```
//! let pool = fanpool::Pool::new();
//! let mut numbers = [1, 2, 3, 4];
//! let (left, right) = numbers.split_at_mut(2);
//! // Before: std::thread::scope(|s| {
//! pool.scope(|s| {
//!     s.spawn(|| left.iter_mut().for_each(|n| *n *= 10));
//!     s.spawn(|| right.iter_mut().for_each(|n| *n *= 100));
//! });
//! assert_eq!(numbers, [10, 20, 300, 400]);
//! ```
//!
//! # From Go
//!
//! | Go | fanpool | Differs |
//! |---|---|---|
//! | `go f()` | [`pool.spawn(f)`](crate::Pool::spawn) | it has a pool, which waits for it; a panic does not end the process |
//! | `sync.WaitGroup` | [`scope`](crate::Pool::scope), [`wait_idle`](crate::Pool::wait_idle) | nothing to count by hand |
//! | `chan T` with workers that `range` over it | [`FanOut`](crate::FanOut) | the window covers items *and* results, so two full channels cannot block each other |
//! | `close(ch)` | dropping the last [`Input`](crate::Input) | sending after the end gives the item back; it does not panic |
//! | unbuffered `chan` | [`window(1)`](crate::FanOutBuilder::window) | the least window is 1 |
//! | a bare channel | crossbeam's or std's | [`start_from`](crate::FanOutBuilder::start_from) and [`forward`](crate::Output::forward) connect it |
//! | `select` over inputs | [`fan_in`](crate::fan_in) | in turns; for other shapes, `crossbeam_channel::select!` |
//! | merging goroutines with a `WaitGroup` that closes | [`fan_in`](crate::fan_in) | no thread |
//! | `errgroup.Group` | [`try_scope(OnError::FailFast, ..)`](crate::Pool::try_scope) | what has not started is dropped; the error has its task's number |
//! | `SetLimit(n)` | [`pool.group().limit(n)`](crate::GroupBuilder::limit), and its `try_scope` | spawning does not block |
//! | `context.WithCancel`, `WithTimeout` | [`CancelToken`](crate::CancelToken), [`child_until`](crate::CancelToken::child_until); for items [`deadline`](crate::FanOutBuilder::deadline) and [`time_left`](crate::time_left) | cancels what has not started; a task that runs must ask, as with `ctx.Done()` |
//! | `context.Value` | captures | |
//! | `semaphore.Weighted` | [`limit`](crate::GroupBuilder::limit) for tasks, [`weigh`](crate::Map::weigh) for bytes, [`ObjectPool`](crate::ObjectPool) for things | no bare semaphore |
//! | `rate.Limiter` | [`RateLimit`](crate::RateLimit) | |
//! | `sync.Pool` | [`ObjectPool`](crate::ObjectPool) | bounded, keeps what it has, and may wait |
//! | `time.AfterFunc`, `Ticker` | none | |
//! | `singleflight` | none | |
//! | `GOMAXPROCS` | [`Workers`](crate::Workers) | for each pool |
//! | `recover` | every task has one | the payload comes to who waits |
//!
//! A goroutine that blocks costs next to nothing; a worker that blocks is a thread less. So a hundred thousand connections that wait are not for
//! a pool. And Go's scheduler hands an item over without the kernel: at windows of a few items it is faster, as the README's table shows.
//!
//! ```
//! use fanpool::{OnError, Pool};
//! use std::sync::Mutex;
//!
//! // g, _ := errgroup.WithContext(ctx); g.SetLimit(2); for .. { g.Go(..) }; err := g.Wait()
//! let pool = Pool::new();
//! let sizes = Mutex::new(Vec::new());
//! let limited = pool.group().limit(2).build()?;
//! let fetched = limited.try_scope(OnError::FailFast, |g| {
//!     for page in ["a", "bb", "ccc"] {
//!         let sizes = &sizes;
//!         g.spawn(move || {
//!             sizes.lock().unwrap().push(page.len());
//!             if page == "ccc" { Err("too large") } else { Ok(()) }
//!         });
//!     }
//! });
//! let errors = fetched.unwrap_err();
//! assert_eq!(errors.into_failed(), [(2, "too large")]);
//! assert_eq!(sizes.into_inner()?.iter().sum::<usize>(), 6);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # From Java's executors
//!
//! | Java | fanpool | Differs |
//! |---|---|---|
//! | `newFixedThreadPool(n)` | [`Workers::Fixed`](crate::Workers::Fixed) | |
//! | `newCachedThreadPool()` | [`Elastic::new(0, max)`](crate::Elastic::new) | has a maximum; idle threads leave after 10 s, there after 60 |
//! | `ThreadPoolExecutor(core, max, ..)` | [`Elastic::new(min, max)`](crate::Elastic::new) | grows when a task has waited too long; there only when the queue is full |
//! | a bounded queue and `RejectedExecutionHandler` | a service's [`window`](crate::FanOutBuilder::window) | `send` waits, `try_send` gives back; `CallerRuns` is [`Help::Both`](crate::Help::Both), while handlers take less than 5 µs. A pool's own queue has no bound |
//! | `execute`, `submit` | [`spawn`](crate::Pool::spawn), [`submit`](crate::Pool::submit) | |
//! | `Future.get()`, with a timeout | [`join`](crate::ScopedHandle::join), [`join_timeout`](crate::ScopedHandle::join_timeout) | `join` may run the task |
//! | `Future.cancel(true)` | a group's [`CancelToken`](crate::CancelToken) | nothing is interrupted; a token is of a group, not of a task |
//! | `invokeAll` | [`map`](crate::Pool::map), [`scope`](crate::Pool::scope) | |
//! | `invokeAny` | [`OnError::FirstSuccess`](crate::OnError::FirstSuccess) | waits for those that run |
//! | `CompletionService` | a service that is not ordered, or [`unordered`](crate::Map::unordered) | |
//! | `ForkJoinPool`, `RecursiveTask` | [`join`](crate::Pool::join) | |
//! | `ManagedBlocker` | [`blocking`](crate::blocking) | in elastic pools |
//! | `CompletableFuture`: `thenApply`, `thenCombine` | stages with [`then`](crate::Output::then), or join both and go on | handles have no continuations |
//! | `ScheduledExecutorService` | **none** | nothing runs at a time or again and again. A thread that sleeps and calls `spawn`, or a crate for it. (The pool's timer serves delays of items only.) |
//! | `shutdown`, `awaitTermination` | [`close`](crate::Pool::close), [`shutdown_timeout`](crate::Pool::shutdown_timeout) | joins the threads, and gives a receipt |
//! | `shutdownNow` | [`shutdown_now`](crate::Pool::shutdown_now) | interrupts nothing; what waits is dropped and counted, not returned |
//! | `ThreadFactory`, `beforeExecute` | [`name`](crate::Builder::name), [`on_start`](crate::Builder::on_start), [`on_stop`](crate::Builder::on_stop) | around a thread's life, not around each task |
//! | parallel streams | [`map`](crate::Pool::map) | on a pool of yours |
//! | virtual threads | none | threads of the system |
//!
//! ```
//! use fanpool::{OnError, Pool};
//! use std::sync::Mutex;
//!
//! // invokeAny: the first answer that is one.
//! let pool = Pool::new();
//! let answer = Mutex::new(None);
//! let won = pool.try_scope(OnError::FirstSuccess, |s| {
//!     for (mirror, works) in [("down", false), ("up", true), ("spare", true)] {
//!         let answer = &answer;
//!         s.spawn(move || {
//!             if !works {
//!                 return Err("refused");
//!             }
//!             answer.lock().unwrap().get_or_insert(mirror);
//!             Ok(())
//!         });
//!     }
//! });
//! assert!(won.is_ok());
//! assert!(matches!(answer.into_inner()?, Some("up" | "spare")));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
