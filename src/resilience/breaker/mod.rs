//! Circuit breakers.
//!
//! Why they are made here: of the crates recloser and failsafe, both let sixteen of sixteen threads through that asked at once when the time
//! was over, where one call was to probe, and neither counts a call that panics. Here both are promises with models. The states and their
//! names are those that Michael Nygard gave the pattern in *Release It!*.
//!
//! **One lock, and one word beside it.** All that a breaker knows is the [`Machine`], under one mutex. Every change of the
//! state begins a new *era*. The word holds the era and whether the breaker is closed; it is stored, `Relaxed`, under the lock by whoever
//! changed the machine, before the lock is released, and so its values are those of the machine in their order. Whoever asks for admission
//! loads it, `Relaxed`: nothing else is read because of what it says, and whoever learned of a change by any other way that orders
//! memory sees the word of that change or a later one. If it says "closed", that is the admission, with the era as the ticket; no lock is
//! taken. Everybody else asks the machine.
//!
//! **Answers of an older state do not count.** Between the load of the word and the answer the breaker may have opened, and closed again, any
//! number of times. The answer is counted under the lock, and only if the machine is still in the ticket's era. So a thread that has seen
//! a "closed" that is over has no more effect than a call that was admitted before and takes long.
//!
//! **Exactly so many probes.** Whether there is room for a probe is seen, and the probe listed, in one critical section; so is its answer taken
//! off the list and counted. Probes that are out, and those that succeeded, are never more than were asked for, and each place comes
//! back in exactly one way: by the answer, by the permit's drop, or by whoever looks after its time is over. The later of two such
//! finds the number of the probe no longer listed, and does nothing.
//!
//! **Changes are told in their order.** A change is queued in the critical section that makes it. Who leaves that section finds there that
//! somebody tells changes, or becomes the one who does: it takes them off one by one, under the lock, calls the callback with no lock
//! held, and stops in the critical section that found the queue empty. So there is one who tells at a time, none is left in the queue,
//! and who makes a change waits for nobody's callback but its own. A callback that uses the breaker finds itself being told, and goes on.

mod builder;
mod keyed;
mod machine;
mod permit;
mod waiters;
mod window;

pub use builder::CircuitBreakerBuilder;
pub use keyed::Breakers;
pub(crate) use machine::{Answers, Ticket};
pub use permit::{BreakerOpen, CallError, Permit};
pub(crate) use waiters::Waiter;

use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Arc, CachePadded, Mutex, Weak, broken};
use crate::trace;
use builder::Options;
use machine::{Machine, Now};
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

/// Stops calls to something that fails, until it is likely to work again.
///
/// * *Closed*: calls are admitted. Once the share of failures among the last of them reaches
///   [`failure_rate`](CircuitBreakerBuilder::failure_rate), the breaker opens.
/// * *Open*: no call is admitted for [`open_for`](CircuitBreakerBuilder::open_for).
/// * *Half-open*: the first to ask after that time finds the breaker half-open. [`probes`](CircuitBreakerBuilder::probes) calls are admitted,
///   exactly so many, whoever asks at the same time. If all of them succeed, the breaker closes and has forgotten what it knew; if
///   one fails, it opens again.
///
/// Answers count for the state in which their call was admitted: one that comes after the next change is
/// [`late`](BreakerCounts::late), and has no other effect.
///
/// Clones are the same breaker. There is no thread behind it, and nobody ever waits: being admitted by a closed breaker takes no lock,
/// all else takes a short one.
///
/// # Examples
///
/// ```
/// use fanpool::{CallError, CircuitBreaker};
/// use std::io;
///
/// fn fetch() -> io::Result<String> {
///     Err(io::ErrorKind::ConnectionRefused.into())
/// }
///
/// let breaker = CircuitBreaker::builder().window_calls(10).minimum_calls(5).build()?;
/// let mut made = 0;
/// for _ in 0..100 {
///     match breaker.call(fetch) {
///         Ok(_) | Err(CallError::Failed(_)) => made += 1,
///         Err(CallError::Open(open)) => assert!(!open.retry_after.is_zero()),
///         Err(_) => unreachable!("there are no others"),
///     }
/// }
/// assert_eq!(made, 5);
/// # Ok::<(), fanpool::BuildError>(())
/// ```
#[derive(Clone)]
pub struct CircuitBreaker {
    inner: Arc<Inner>,
}

struct Inner {
    /// Shared by all breakers of a family.
    options: Arc<Options>,
    /// Read at every admission; beside the lock it would come back with every answer.
    word: CachePadded<AtomicUsize>,
    machine: Mutex<Machine>,
}

impl CircuitBreaker {
    /// Options for a breaker. The defaults: opens when half of the last 100 calls failed, and there were 20, for 30 seconds; one call
    /// probes.
    ///
    /// # Examples
    ///
    /// ```
    /// let breaker = fanpool::CircuitBreaker::builder().build()?;
    /// assert!(breaker.admit().is_ok());
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn builder() -> CircuitBreakerBuilder {
        CircuitBreakerBuilder::new()
    }

    fn start(options: Arc<Options>, key: Option<u64>) -> CircuitBreaker {
        let machine = Machine::new(&options, key);
        let word = CachePadded::new(AtomicUsize::new(machine.word()));
        CircuitBreaker { inner: Arc::new(Inner { options, word, machine: Mutex::new(machine) }) }
    }

    /// Asks to make a call. The caller makes it, and answers the permit.
    ///
    /// # Errors
    ///
    /// [`BreakerOpen`] if the breaker is open, or half-open and as many calls probe as may.
    ///
    /// # Examples
    ///
    /// An answer that is an error, but not one of what is called:
    ///
    /// ```
    /// # let breaker = fanpool::CircuitBreaker::builder().build()?;
    /// # fn get(path: &str) -> Result<String, u16> { Err(404) }
    /// let permit = breaker.admit()?;
    /// let answer = get("/nothing");
    /// match &answer {
    ///     Ok(_) | Err(400..500) => permit.success(),
    ///     Err(_) => permit.failure(),
    /// }
    /// assert_eq!(breaker.counts().failures, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn admit(&self) -> Result<Permit, BreakerOpen> {
        Ok(Permit::new(self.clone(), self.admit_many()?))
    }

    /// Makes the call if it is admitted. `Err` counts as a failure; to tell errors apart, use [`admit`](CircuitBreaker::admit).
    ///
    /// # Errors
    ///
    /// [`CallError::Open`] if it was not admitted, and [`CallError::Failed`] with the error of the call.
    ///
    /// # Panics
    ///
    /// If `call` panics. That counts as a failure, and the panic goes on.
    ///
    /// # Examples
    ///
    /// ```
    /// # let breaker = fanpool::CircuitBreaker::builder().build()?;
    /// let number = breaker.call(|| "7".parse::<u8>())?;
    /// assert_eq!(number, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn call<R, E>(&self, call: impl FnOnce() -> Result<R, E>) -> Result<R, CallError<E>> {
        let permit = self.admit().map_err(CallError::Open)?;
        // If this unwinds, the permit counts it.
        match call() {
            Ok(value) => {
                permit.success();
                Ok(value)
            }
            Err(error) => {
                permit.failure();
                Err(CallError::Failed(error))
            }
        }
    }

    /// What state it is in. It is open until somebody asks for admission after its time, and half-open from then on.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::{BreakerState, CircuitBreaker};
    /// assert_eq!(CircuitBreaker::builder().build()?.state(), BreakerState::Closed);
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    #[must_use]
    pub fn state(&self) -> BreakerState {
        self.inner.machine.lock().state()
    }

    /// What has happened since it was built.
    ///
    /// # Examples
    ///
    /// ```
    /// # let breaker = fanpool::CircuitBreaker::builder().minimum_calls(1).build()?;
    /// breaker.admit()?.failure();
    /// assert!(breaker.admit().is_err());
    /// let counts = breaker.counts();
    /// assert_eq!((counts.calls, counts.failures, counts.rejected, counts.changes), (1, 1, 1, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn counts(&self) -> BreakerCounts {
        self.inner.machine.lock().counts
    }

    /// Closes it, whatever state it is in, and has it forget the calls that it has seen. Permits that are out count no longer. The
    /// [`counts`](CircuitBreaker::counts) go on.
    ///
    /// # Examples
    ///
    /// ```
    /// # let breaker = fanpool::CircuitBreaker::builder().minimum_calls(1).build()?;
    /// breaker.admit()?.failure();
    /// assert!(breaker.admit().is_err());
    /// breaker.reset();
    /// assert!(breaker.admit().is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reset(&self) {
        self.step(Machine::reset);
    }

    /// As [`admit`](CircuitBreaker::admit), for calls whose answers come together: any number of them, unless the ticket is of a probe,
    /// which is for one. The ticket is to be recorded or given back.
    pub(crate) fn admit_many(&self) -> Result<Ticket, BreakerOpen> {
        self.admitted().map_or_else(|| self.step(Machine::admit), Ok)
    }

    /// The ticket of any number of calls, while the breaker is closed.
    #[inline]
    pub(crate) fn admitted(&self) -> Option<Ticket> {
        Machine::ticket_of(self.inner.word.load(Ordering::Relaxed))
    }

    /// Counts the answers of calls, as if they came one by one: successes first, then slow ones, then failures. Of a probe, the first
    /// counts.
    pub(crate) fn record(&self, ticket: Ticket, answers: Answers) {
        self.step(|machine, options, now| machine.record(options, now, ticket, answers));
    }

    /// No calls are made with this ticket, or no more.
    pub(crate) fn give_back(&self, ticket: Ticket) {
        if ticket.is_probe() {
            self.step(|machine, _, _| machine.give_back(ticket));
        }
    }

    /// Has `waiter` called whenever there is room again, apart from that the time comes.
    pub(crate) fn watch(&self, waiter: Weak<dyn Waiter>) {
        self.inner.options.waiters.add(waiter);
    }

    /// From when on a success is a slow one.
    pub(crate) fn slow_call(&self) -> Option<Duration> {
        self.inner.options.slow_call
    }

    /// When to ask again: now or earlier, unless no call is admitted. It may be earlier, if a probe answers.
    pub(crate) fn retry_at(&self) -> Instant {
        self.step(|machine, options, now| machine.free_at(options, now))
    }

    /// For how long it is open, if it is. Nothing is done to it and nobody told.
    pub(crate) fn open_for(&self) -> Option<Duration> {
        let until = self.inner.machine.lock().open_until()?;
        until.checked_duration_since(self.inner.options.clock.now()).filter(|time| !time.is_zero())
    }

    /// Whether somebody who asks now would be admitted, if nobody else asks.
    pub(crate) fn has_room(&self) -> bool {
        self.step(|machine, options, now| machine.free_at(options, now) <= now.get())
    }

    /// Does something to the machine, and what follows from that.
    fn step<R>(&self, step: impl FnOnce(&mut Machine, &Options, &mut Now<'_>) -> R) -> R {
        let Inner { options, word, machine } = &*self.inner;
        let mut machine = machine.lock();
        let result = step(&mut machine, options, &mut Now::new(&options.clock));
        // Written only where it changes: whoever asks to be admitted keeps its line.
        if word.load(Ordering::Relaxed) != machine.word() && !broken!("breaker_word_stale") {
            word.store(machine.word(), Ordering::Relaxed);
        }
        let tells = !machine.untold.is_empty() && (!machine.telling || broken!("breaker_told_out_of_turn"));
        machine.telling |= tells;
        let room = std::mem::take(&mut machine.made_room);
        drop(machine);
        if room && !broken!("breaker_room_untold") {
            options.waiters.call();
        }
        if tells {
            self.tell();
        }
        result
    }

    fn tell(&self) {
        loop {
            let mut machine = self.inner.machine.lock();
            let Some(change) = machine.untold.pop_front() else {
                machine.telling = false;
                return;
            };
            drop(machine);
            let BreakerChange { key, from, to, calls, failures, .. } = change;
            trace::breaker_changed(key, from, to, calls, failures);
            if self.inner.options.on_change.call(change) {
                self.inner.machine.lock().counts.callback_panics += 1;
            }
        }
    }
}

// No user code runs under the lock, so a panic leaves nothing half-changed.
impl UnwindSafe for CircuitBreaker {}
impl RefUnwindSafe for CircuitBreaker {}

impl fmt::Debug for CircuitBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (state, counts) = {
            let machine = self.inner.machine.lock();
            (machine.state(), machine.counts)
        };
        f.debug_struct("CircuitBreaker").field("state", &state).field("counts", &counts).finish_non_exhaustive()
    }
}

/// Whether a [`CircuitBreaker`] admits calls.
///
/// # Examples
///
/// ```
/// use fanpool::{BreakerState, CircuitBreaker};
///
/// let breaker = CircuitBreaker::builder().minimum_calls(1).build()?;
/// breaker.admit()?.failure();
/// assert_eq!(breaker.state(), BreakerState::Open);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// All are.
    Closed,
    /// None is.
    Open,
    /// A few are, to see whether it goes better.
    HalfOpen,
}

/// A change of a [`CircuitBreaker`]'s state.
///
/// # Examples
///
/// ```
/// use fanpool::{BreakerState, CircuitBreaker};
///
/// let breaker = CircuitBreaker::builder()
///     .minimum_calls(1)
///     .on_change(|change| {
///         assert_eq!((change.from, change.to), (BreakerState::Closed, BreakerState::Open));
///         assert_eq!((change.calls, change.failures), (1, 1));
///     })
///     .build()?;
/// breaker.admit()?.failure();
/// assert_eq!(breaker.counts().callback_panics, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BreakerChange {
    /// The key, if the breaker is one of [`Breakers`].
    pub key: Option<u64>,
    /// What it was.
    pub from: BreakerState,
    /// What it is.
    pub to: BreakerState,
    /// When, by the breaker's clock.
    pub at: Instant,
    /// How many calls decided: those in the window, or the probes that had answered. 0 if it was the time, or
    /// [`reset`](CircuitBreaker::reset).
    pub calls: u64,
    /// How many of them failed.
    pub failures: u64,
}

/// What a [`CircuitBreaker`] has counted; a snapshot of one moment.
///
/// # Examples
///
/// ```
/// use fanpool::CircuitBreaker;
///
/// let breaker = CircuitBreaker::builder().build()?;
/// let permit = breaker.admit()?;
/// breaker.reset();
/// permit.success();
/// assert_eq!((breaker.counts().calls, breaker.counts().late), (0, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BreakerCounts {
    /// Calls whose answers counted, probes among them.
    pub calls: u64,
    /// Those that failed or were slow.
    pub failures: u64,
    /// Those that succeeded, but too late for [`slow_call`](CircuitBreakerBuilder::slow_call).
    pub slow: u64,
    /// Answers that came too late to count: after a change of the state, a reset, or the probe's time.
    pub late: u64,
    /// Calls that were not admitted.
    pub rejected: u64,
    /// Changes of the state.
    pub changes: u64,
    /// Panics of [`on_change`](CircuitBreakerBuilder::on_change).
    pub callback_panics: u64,
}
