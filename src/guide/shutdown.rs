//! How pools and services end, what they tell about it, and what a task that hangs does.
//!
//! # Who ends what
//!
//! | Call | New work | What waits | What runs | Waits |
//! |---|---|---|---|---|
//! | [`Pool::close`] | refused, the task comes back; scopes and maps go on | runs | goes on | no |
//! | [`Pool::shutdown`], dropping the pool | refused | runs | is waited for | for all threads |
//! | [`Pool::shutdown_timeout`] | refused | runs, until the time is over; then discarded | is waited for, until the time is over | at most that long |
//! | [`Pool::shutdown_now`] | refused | is discarded | is waited for | for all threads |
//! | [`CancelToken::cancel`] of a group | is dropped when its turn comes | is dropped when its turn comes | goes on, and may ask | no |
//! | [`Input::close`], dropping the last [`Input`] | refused | runs | goes on | no |
//! | [`Control::drain`] | refused | runs; a pause ends | goes on | no: [`Control::wait`] does |
//! | [`Control::stop`] | refused | is cancelled, each with an outcome | goes on | no |
//! | dropping the [`Output`] | refused | is discarded | goes on | for workers of its own; on a shared pool, no |
//! | dropping the [`Collector`] | refused | is cancelled, and the sink is told | is waited for | for its thread |
//! | [`Collector::join`] | | runs | is waited for | until closed and all is pushed on: close first |
//! | [`Consumer::close`] | no more is taken from the broker | is handled and acknowledged | the same | no: [`join`](crate::connect::Consumer::join) does |
//! | [`Consumer::shutdown`] | the same | the same; after the timeout it is handed back | is waited for, whatever the timeout | yes |
//! | dropping a [`Monitor`] | no more looks | what was told is delivered | is waited for | for a look under way |
//!
//! Scopes, maps, streams and joins need no ending: they are over when the call returns.
//!
//! **Nothing is interrupted.** No call here stops a handler that runs, because nothing in Rust can do that safely. Stopping means: start no more.
//!
//! # Receipts
//!
//! Every accepted task is in the receipt once: it ran, it panicked, or it was not started and why.
//!
//! ```
//! use fanpool::{CancelToken, Pool, Workers};
//!
//! let pool = Pool::builder().workers(Workers::Fixed(2)).build()?;
//! let token = CancelToken::new();
//! let optional = pool.group().cancel(&token).build()?;
//! pool.pause();
//! for _ in 0..3 {
//!     pool.spawn(|| ())?;
//!     optional.spawn(|| ())?;
//! }
//! token.cancel();
//! let receipt = pool.shutdown(); // A paused pool is resumed.
//! assert_eq!((receipt.tasks.ran, receipt.tasks.cancelled, receipt.tasks.discarded), (3, 3, 0));
//! assert_eq!((receipt.threads_joined, receipt.threads_busy.len()), (2, 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A service has [`ServiceCounts`]. When it has ended, `accepted` is the sum of `finished`, `failed`, `panicked`, `expired`, `rejected`, `cancelled` and
//! `discarded`.
//!
//! ```
//! use fanpool::FanOut;
//!
//! let (input, output) = FanOut::builder(|n: u32| if n == 0 { Err("zero") } else { Ok(n) }).start()?;
//! let control = output.control();
//! (0..3).try_for_each(|n| input.send(n).map(drop))?;
//! while control.counts().finished < 2 || control.counts().failed < 1 {
//!     std::thread::yield_now();
//! }
//! control.pause(); // So that something is left.
//! (3..8).try_for_each(|n| input.send(n).map(drop))?;
//! control.stop();
//! assert!(input.send(9).is_err()); // The 9 is in the error.
//! assert_eq!(output.count(), 8); // Cancelled items have outcomes, too.
//! let counts = control.wait()?;
//! assert_eq!((counts.accepted, counts.finished, counts.failed, counts.cancelled), (8, 2, 1, 5));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A graceful end within a deadline
//!
//! fanpool installs no handler for signals: that is the program's. Have it send to a channel, and let the main thread wait there. Then, in this
//! order: tell the load balancer ([`Health::is_ready`] is false once it is closed), take no more, drain, wait as long as there is time, stop, and shut the pool down.
//! Kubernetes sends `SIGTERM` and kills after 30 seconds unless told otherwise; stay below. `examples/service` does all of it.
//!
//! ```
//! use fanpool::{FanOut, Pool};
//! use std::sync::{Arc, mpsc};
//! use std::time::Duration;
//!
//! let (signal, signals) = mpsc::channel(); // `signal` goes to the handler of SIGTERM.
//! let pool = Arc::new(Pool::new());
//! let (input, output) = FanOut::builder(|n: u32| Ok::<_, ()>(n)).pool(pool.clone()).start()?;
//! let collector = output.for_each(|outcome| drop(outcome))?;
//! (0..100).try_for_each(|n| input.send(n).map(drop))?;
//! signal.send("SIGTERM")?;
//!
//! signals.recv()?;
//! let control = collector.control();
//! control.drain();
//! if control.wait_timeout(Duration::from_secs(20))?.is_none() {
//!     control.stop(); // What has not started is cancelled.
//! }
//! let counts = collector.join()?;
//! assert_eq!((counts.accepted, counts.finished), (100, 100));
//! drop(input);
//! let pool = Arc::into_inner(pool).expect("the service has ended and given its pool back");
//! let receipt = pool.shutdown_timeout(Duration::from_secs(5));
//! assert!(receipt.threads_busy.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A task that hangs
//!
//! * It holds its worker, for ever. The others go on. If all workers hang, only scopes and maps do, which their callers run.
//! * [`Pool::health`] names it after [`stuck_after`](crate::Builder::stuck_after), 30 s by default: see [`observing`](super::observing).
//! * Its scope, `shutdown`, and dropping the pool wait for it. They must: it may borrow from the stack, and it runs code of yours.
//! * [`shutdown_timeout`](crate::Pool::shutdown_timeout) does not: it returns, names the group, and leaves the thread to end by itself, or with the process.
//! * Others of its key wait behind it, and so does an ordered output; a service that is not ordered goes on until the window is full.
//!
//! ```
//! use fanpool::{Pool, Workers};
//! use std::sync::mpsc;
//! use std::time::Duration;
//!
//! let (answer, answers) = mpsc::channel::<()>();
//! let (begun, begins) = mpsc::channel();
//! let pool = Pool::builder().workers(Workers::Fixed(1)).build()?;
//! pool.group().name("upload").build()?.spawn(move || {
//!     begun.send(()).unwrap();
//!     let _ = answers.recv(); // The peer does not answer.
//! })?;
//! begins.recv()?;
//! pool.spawn(|| unreachable!("behind it, on the only worker"))?;
//!
//! let receipt = pool.shutdown_timeout(Duration::from_millis(1));
//! assert_eq!(receipt.threads_busy[0].group(), Some("upload"));
//! assert_eq!((receipt.threads_joined, receipt.tasks.discarded), (0, 1));
//! drop(answer); // Now that thread ends, too.
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The cure is a timeout on everything that waits for something outside: sockets, locks of other processes, children.
//! [`time_left`] tells a handler how much there is.
//!
//! # What can still leak
//!
//! * *A cycle*: a handler that holds an [`Input`] or a [`Control`] of its own service keeps it alive, as with any `Arc`.
//! * *A value that is forgotten*: a pool given to [`std::mem::forget`] keeps its threads. A scope, or a handle, that is forgotten changes nothing: the scope waits all the
//!   same.
//! * *The last `Arc` of a pool inside of its own task*: a worker cannot wait for itself. Accepted tasks run, the threads end after the last, and nobody
//!   joins them.
//! * *A process that forks*: the child has no workers. [`Pool::wait_idle`] and `broadcast` say [`WouldDeadlock`]
//!   there; scopes run on their callers.
//!
//! [`CancelToken::cancel`]: crate::CancelToken::cancel
//! [`Collector`]: crate::Collector
//! [`Collector::join`]: crate::Collector::join
//! [`Consumer::close`]: crate::connect::Consumer::close
//! [`Consumer::shutdown`]: crate::connect::Consumer::shutdown
//! [`Control`]: crate::Control
//! [`Control::drain`]: crate::Control::drain
//! [`Control::stop`]: crate::Control::stop
//! [`Control::wait`]: crate::Control::wait
//! [`Health::is_ready`]: crate::Health::is_ready
//! [`Input`]: crate::Input
//! [`Input::close`]: crate::Input::close
//! [`Monitor`]: crate::Monitor
//! [`Output`]: crate::Output
//! [`Pool::close`]: crate::Pool::close
//! [`Pool::health`]: crate::Pool::health
//! [`Pool::shutdown`]: crate::Pool::shutdown
//! [`Pool::shutdown_now`]: crate::Pool::shutdown_now
//! [`Pool::shutdown_timeout`]: crate::Pool::shutdown_timeout
//! [`Pool::wait_idle`]: crate::Pool::wait_idle
//! [`ServiceCounts`]: crate::ServiceCounts
//! [`WouldDeadlock`]: crate::WouldDeadlock
//! [`time_left`]: crate::time_left
