//! What happens when something fails, and at which place it is decided.
//!
//! # Where a failure goes
//!
//! | Where | An error (`Err`) | A panic |
//! |---|---|---|
//! | [`Pool::spawn`] | | is counted, in [`Counts::panicked`](crate::Counts::panicked) |
//! | [`Pool::submit`] | is the task's value | is [`JoinError::Panicked`] for who joins, with the payload |
//! | [`Pool::scope`] | | the first is re-thrown when all tasks have ended |
//! | [`Pool::try_scope`] | is in [`Errors`], by the number of its task | the same |
//! | [`Pool::join`] | | that of the left half, else of the right one, is re-thrown after both have ended |
//! | [`Pool::map`] | [`try_collect`](crate::Map::try_collect): that of the first item; [`partition`](crate::Map::partition): all | that of the first item is re-thrown |
//! | a service | is the item's [`Outcome`], in its place | the same: [`TaskError::Panicked`] |
//!
//! A panic never takes a worker with it. [`capture_panic_locations`] makes errors tell where it was raised.
//!
//! # What failures do to the others: `OnError`
//!
//! | [`OnError`] | The rest | The run has failed if |
//! |---|---|---|
//! | `FailFast` | what has not started is dropped | anything has failed |
//! | `CollectAll` | all run | anything has failed |
//! | `Limit(n)` | dropped at failure *n* + 1 | more than *n* have failed |
//! | `Share { percent, after }` | dropped when more than so many percent have failed, once `after` have ended | more than that have, of all |
//! | `FirstSuccess` | dropped at the first success | none has succeeded |
//!
//! It is given to [`try_scope`](crate::Pool::try_scope), to [`try_collect_with`](crate::Map::try_collect_with) of a map, and to
//! [`on_error`](crate::FanOutBuilder::on_error) of a service, where `CollectAll` is the default. What runs is never interrupted; it may ask
//! [`has_failed`](crate::TryScope::has_failed). [`Errors`] keep the 1,000 with the lowest numbers, and count all.
//!
//! ```
//! use fanpool::{OnError, Pool};
//!
//! let pool = Pool::new();
//! let errors = pool
//!     .try_scope(OnError::CollectAll, |s| {
//!         for n in 0..10 {
//!             s.spawn(move || if n % 4 == 3 { Err(format!("task {n} has no disk")) } else { Ok(()) });
//!         }
//!     })
//!     .unwrap_err();
//! assert_eq!(errors.to_string(), "2 failed; the first, number 3: task 3 has no disk");
//!
//! // Of several mirrors one is enough.
//! let found = pool.map(["down", "up", "up"], |mirror| if mirror == "up" { Ok(mirror) } else { Err("refused") });
//! assert_eq!(found.try_collect_with(OnError::FirstSuccess).unwrap(), ["up"]);
//! ```
//!
//! # The layers of a service
//!
//! Every attempt at an item passes these, in this order; the drawing at [`FanOut`](crate::FanOut#failures) shows the way back.
//!
//! | Layer | Decides | Default | Its verdict |
//! |---|---|---|---|
//! | [`deadline`](crate::FanOutBuilder::deadline) | is there time left, from sending on? | none | [`TaskError::Expired`] |
//! | [`rate`](crate::FanOutBuilder::rate) | is it this attempt's turn? | none; of a [`RateLimit`], a burst of 1 | the item waits |
//! | [`breaker`](crate::FanOutBuilder::breaker) | does the other side work at present? | none | [`TaskError::Rejected`], or it waits ([`breaker_waits`](crate::FanOutBuilder::breaker_waits)) |
//! | the handler | | | `Ok`: the outcome |
//! | [`attempt_timeout`](crate::FanOutBuilder::attempt_timeout) | how long may this attempt take? | none | [`time_left`] tells the handler |
//! | [`hedge_after`](crate::FanOutBuilder::hedge_after) | does it take unusually long? | none | a second attempt beside it |
//! | [`retry`](crate::FanOutBuilder::retry) | is the error worth another attempt, now, at this price? | one attempt | the item waits, or the error is final |
//! | [`dead_letter`](crate::FanOutBuilder::dead_letter) | | none | gets the item, with the errors of its first 15 attempts and the last |
//! | [`on_error`](crate::FanOutBuilder::on_error) | is that one too many? | `CollectAll` | the service stops |
//!
//! An item that waits sits in the pool's timer, holds no worker, and keeps its place in window, order and key.
//!
//! **Nothing interrupts a handler.** A deadline keeps attempts from being started. A handler that waits for a peer must do so
//! with a timeout of its own: pass it [`time_left`].
//!
//! # Retries, and what they cost
//!
//! [`Retry`] makes 3 attempts unless told otherwise. [`exponential`](crate::Retry::exponential) doubles the delay each time, up to 30 s. Give it
//! [`jitter`](crate::Retry::jitter) (0 by default), so that those that failed together do not come back together. A panic is not tried again, except with
//! [`retry_panics`](crate::Retry::retry_panics), and what a breaker has rejected is not either.
//!
//! ```
//! use fanpool::{FanOut, Retry, TaskError};
//! use std::collections::HashMap;
//! use std::sync::{Arc, Mutex};
//! use std::time::Duration;
//!
//! let dead = Arc::new(Mutex::new(Vec::new()));
//! let letters = dead.clone();
//! let calls = Mutex::new(HashMap::new());
//! let work = move |n: u32| {
//!     let mut calls = calls.lock().unwrap();
//!     let call = calls.entry(n).and_modify(|call| *call += 1).or_insert(1);
//!     match (n, *call) {
//!         (7, _) => Err("no such page"),
//!         (_, 1) => Err("busy"), // Each other fails once.
//!         _ => Ok(n),
//!     }
//! };
//! let (input, output) = FanOut::builder(work)
//!     .ordered()
//!     .retry(Retry::exponential(Duration::from_micros(100)).jitter(0.5).retry_if(|error| *error == "busy"))
//!     .dead_letter(move |n, errors| letters.lock().unwrap().push((n, errors.count())))
//!     .start()?;
//! for n in 5..9 {
//!     input.send(n)?;
//! }
//! drop(input);
//! let control = output.control();
//! let (done, failed) = output.partition();
//! assert_eq!(done, [5, 6, 8]);
//! assert!(matches!(failed[..], [(2, TaskError::Failed("no such page"))]));
//! assert_eq!(*dead.lock().unwrap(), [(7, 1)]);
//! assert_eq!(control.counts().retried, 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! When most calls fail, retries triple the load on something that is down already. A [`RetryBudget`] bounds that for all who share it: each first
//! attempt pays in, say, a tenth, each retry takes out one.
//!
//! ```
//! use fanpool::{FanOut, Retry, RetryBudget};
//! use std::time::Duration;
//!
//! let budget = RetryBudget::new(0.1, 5)?; // One for each ten first attempts, and five to begin with.
//! let retry = Retry::fixed(Duration::ZERO).max_attempts(4).budget(budget.clone());
//! let (input, output) = FanOut::builder(|_: u32| Err::<(), _>("down")).retry(retry).start()?;
//! (0..100).try_for_each(|n| input.send(n).map(drop))?;
//! drop(input);
//! let control = output.control();
//! assert_eq!(output.partition().1.len(), 100);
//! assert!(control.counts().retried <= 5 + 10); // Without the budget: 300.
//! assert!(budget.refused() > 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Breakers
//!
//! A [`CircuitBreaker`] opens when half of the last 100 calls have failed (`failure_rate`, `window_calls`) and there were at least 20
//! (`minimum_calls`). It stays open for 30 s (`open_for`), then lets exactly one call through (`probes`): a success closes it, a failure opens
//! it again. [`breaker_counts`](crate::FanOutBuilder::breaker_counts) tells which errors are the other side's fault: a status of 404 is an answer. Panics
//! count as failures. [`slow_call`](crate::CircuitBreakerBuilder::slow_call) counts late successes, too. One for each host or tenant: [`breaker_by`](crate::FanOutBuilder::breaker_by).
//!
//! ```
//! use fanpool::{BreakerState, CircuitBreaker, FanOut, testing::ManualClock};
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
//! use std::time::Duration;
//!
//! let clock = ManualClock::new();
//! let breaker = CircuitBreaker::builder().window_calls(10).minimum_calls(4).clock(&clock).build()?;
//! let works = Arc::new(AtomicBool::new(false));
//! let peer = works.clone();
//! let (input, mut output) = FanOut::builder(move |n: u32| if peer.load(SeqCst) { Ok(n) } else { Err("no route") })
//!     .workers(1)
//!     .breaker(breaker.clone())
//!     .clock(&clock)
//!     .start()?;
//! let mut call = |n| -> Result<_, Box<dyn std::error::Error>> {
//!     input.send(n)?;
//!     Ok(output.recv()?.result)
//! };
//! for n in 0..4 {
//!     assert!(call(n)?.unwrap_err().is_failed());
//! }
//! assert_eq!(breaker.state(), BreakerState::Open);
//! assert!(call(4)?.unwrap_err().is_rejected()); // The handler is not called.
//! works.store(true, SeqCst);
//! clock.advance(Duration::from_secs(30));
//! assert_eq!(call(5)?.ok(), Some(5)); // The probe.
//! assert_eq!(call(6)?.ok(), Some(6));
//! assert_eq!((breaker.state(), breaker.counts().rejected), (BreakerState::Closed, 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Who counts what
//!
//! * Rate and breaker count *attempts*: a retry asks again.
//! * Deadline, dead letter and `on_error` count *items*: after all its attempts an item has failed once.
//! * A hedge is part of its attempt. The first `Ok` is the answer; an error waits for the other. Only for handlers that may run twice.
//! * A panic in a function that decides or observes (`retry_if`, `breaker_counts`, a sink of dead letters) is counted as `contained` and changes nothing.
//!
//! # Around any closure
//!
//! [`Retry::call`], [`CircuitBreaker::call`] and [`RateLimit::acquire`] do the same on the calling thread, which they hold meanwhile. On a
//! worker, prefer the options of a service.
//!
//! # What does not go together
//!
//! A handler of batches takes none of these options but `on_error`, since an error there is one of many items. A service in a scope has no timer, so it takes
//! neither `retry` nor `rate`, `hedge_after` or `breaker_waits`. Hedges need [`Route::Shared`](crate::Route::Shared). `start` refuses with
//! [`BuildError::Conflict`](crate::BuildError::Conflict). Retries, hedges and dead letters clone the items.
//!
//! [`CircuitBreaker`]: crate::CircuitBreaker
//! [`CircuitBreaker::call`]: crate::CircuitBreaker::call
//! [`Errors`]: crate::Errors
//! [`JoinError::Panicked`]: crate::JoinError::Panicked
//! [`OnError`]: crate::OnError
//! [`Outcome`]: crate::Outcome
//! [`Pool::join`]: crate::Pool::join
//! [`Pool::map`]: crate::Pool::map
//! [`Pool::scope`]: crate::Pool::scope
//! [`Pool::spawn`]: crate::Pool::spawn
//! [`Pool::submit`]: crate::Pool::submit
//! [`Pool::try_scope`]: crate::Pool::try_scope
//! [`RateLimit`]: crate::RateLimit
//! [`RateLimit::acquire`]: crate::RateLimit::acquire
//! [`Retry`]: crate::Retry
//! [`Retry::call`]: crate::Retry::call
//! [`RetryBudget`]: crate::RetryBudget
//! [`TaskError::Expired`]: crate::TaskError::Expired
//! [`TaskError::Panicked`]: crate::TaskError::Panicked
//! [`TaskError::Rejected`]: crate::TaskError::Rejected
//! [`capture_panic_locations`]: crate::capture_panic_locations
//! [`time_left`]: crate::time_left
