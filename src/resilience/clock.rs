//! What time it is.
//!
//! **No sleeper is left out.** A sleeper is listed under the clock's lock, which `advance` holds while it moves the time and takes those
//! that are due. So a sleeper that lists itself either finds the new time in the same section, and is told that it is
//! due, or is in the list when the time moves. Sleepers are called with no lock held, by the thread that advances the clock.

use crate::panics;
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, Weak, now, thread};
use std::fmt;
use std::time::{Duration, Instant};

/// Who waits for a time on a clock that is set by hand.
pub(crate) trait Sleeper: Send + Sync {
    /// Does what is due; returns when to call again, which is later than the time it saw.
    fn wake(&self) -> Option<Instant>;
}

/// Where policies read the time: the system's monotonic clock, or one that a test sets.
///
/// # Examples
///
/// ```
/// use fanpool::Clock;
///
/// let clock = Clock::system();
/// assert!(clock.now() <= std::time::Instant::now());
/// ```
#[derive(Clone, Default)]
pub struct Clock {
    manual: Option<Arc<Manual>>,
}

/// A clock that stands still until it is told to go on; for tests of retries, breakers, limits and deadlines that do not sleep.
///
/// Clones show the same time.
///
/// # Examples
///
/// ```
/// use fanpool::testing::ManualClock;
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// let before = clock.now();
/// clock.advance(Duration::from_secs(3600));
/// assert_eq!(clock.now() - before, Duration::from_secs(3600));
/// ```
#[derive(Clone)]
pub struct ManualClock {
    manual: Arc<Manual>,
}

struct Manual {
    state: Mutex<State>,
    /// Notified when the time moves.
    moved: Condvar,
}

struct State {
    now: Instant,
    /// Threads that sleep.
    asleep: usize,
    sleepers: Vec<(Instant, Weak<dyn Sleeper>)>,
}

impl Clock {
    /// The system's monotonic clock, which is the default everywhere.
    ///
    /// # Examples
    ///
    /// ```
    /// let clock = fanpool::Clock::system();
    /// assert!(clock.now() <= clock.now());
    /// ```
    #[must_use]
    pub fn system() -> Clock {
        Clock { manual: None }
    }

    pub(crate) fn is_system(&self) -> bool {
        self.manual.is_none()
    }

    /// What time it is.
    ///
    /// # Examples
    ///
    /// ```
    /// let clock = fanpool::testing::ManualClock::new();
    /// assert_eq!(fanpool::Clock::from(&clock).now(), clock.now());
    /// ```
    #[must_use]
    pub fn now(&self) -> Instant {
        match &self.manual {
            Some(manual) => manual.state.lock().now,
            None => now(),
        }
    }

    /// Blocks the calling thread for `time`; on a clock that is set by hand, until somebody has moved it that far.
    ///
    /// # Examples
    ///
    /// ```
    /// fanpool::Clock::system().sleep(std::time::Duration::from_millis(1));
    /// ```
    pub fn sleep(&self, time: Duration) {
        let Some(manual) = &self.manual else { return thread::sleep(time) };
        let mut state = manual.state.lock();
        let until = later(state.now, time);
        manual.sleep(&mut state, until);
    }

    /// Blocks the calling thread until `at`. Unlike a sleep for what is left until then, it does not start anew from a time
    /// to which the clock was moved meanwhile.
    pub(crate) fn sleep_until(&self, at: Instant) {
        let Some(manual) = &self.manual else { return thread::sleep(at.saturating_duration_since(now())) };
        manual.sleep(&mut manual.state.lock(), at);
    }

    /// Has `sleeper` called at `at`, if this clock is set by hand. `None` if it is not, and then nothing was done; `Some(false)` if the time
    /// has come already.
    pub(crate) fn call_at(&self, at: Instant, sleeper: &Weak<dyn Sleeper>) -> Option<bool> {
        let manual = self.manual.as_ref()?;
        let mut state = manual.state.lock();
        if at <= state.now {
            return Some(false);
        }
        state.list(at, sleeper);
        Some(true)
    }
}

impl Manual {
    fn sleep(&self, state: &mut MutexGuard<'_, State>, until: Instant) {
        state.asleep += 1;
        while state.now < until {
            self.moved.wait(state);
        }
        state.asleep -= 1;
    }
}

impl ManualClock {
    /// A clock that shows some time and stands still.
    ///
    /// # Examples
    ///
    /// ```
    /// let clock = fanpool::testing::ManualClock::new();
    /// assert_eq!(clock.now(), clock.now());
    /// ```
    #[must_use]
    pub fn new() -> ManualClock {
        let state = State { now: now(), asleep: 0, sleepers: Vec::new() };
        ManualClock { manual: Arc::new(Manual { state: Mutex::new(state), moved: Condvar::new() }) }
    }

    /// What time it shows.
    ///
    /// # Examples
    ///
    /// ```
    /// let clock = fanpool::testing::ManualClock::new();
    /// assert!(clock.now() <= std::time::Instant::now());
    /// ```
    #[must_use]
    pub fn now(&self) -> Instant {
        self.manual.state.lock().now
    }

    /// How many threads sleep on this clock: in [`Clock::sleep`], in [`Retry::call`](crate::Retry::call) or in
    /// [`RateLimit::acquire`](crate::RateLimit::acquire). A test waits for it before it moves the time.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{Clock, testing::ManualClock};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let sleeps = Clock::from(&clock);
    /// let thread = std::thread::spawn(move || sleeps.sleep(Duration::from_secs(3600)));
    /// while clock.asleep() == 0 {
    ///     std::thread::yield_now();
    /// }
    /// clock.advance(Duration::from_secs(3600));
    /// thread.join().unwrap();
    /// ```
    #[must_use]
    pub fn asleep(&self) -> usize {
        self.manual.state.lock().asleep
    }

    /// Moves the time on in one jump. What became due on the way is ready to be started when this returns: whatever waits for a retry, for
    /// a rate or for a deadline. As far as the system's clock can count; beyond that it stays at the end.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let clock = fanpool::testing::ManualClock::new();
    /// clock.advance(Duration::MAX);
    /// clock.advance(Duration::from_secs(1));
    /// ```
    pub fn advance(&self, time: Duration) {
        let due = {
            let mut state = self.manual.state.lock();
            state.now = later(state.now, time);
            self.manual.moved.notify_all();
            let now = state.now;
            let (due, set) = std::mem::take(&mut state.sleepers).into_iter().partition(|(at, _)| *at <= now);
            state.sleepers = set;
            let due: Vec<(Instant, Weak<dyn Sleeper>)> = due;
            due
        };
        for (_, weak) in due {
            let Some(sleeper) = weak.upgrade() else { continue };
            while let Some(at) = sleeper.wake() {
                let mut state = self.manual.state.lock();
                // Somebody else may have moved it on meanwhile.
                if at > state.now {
                    state.list(at, &weak);
                    break;
                }
            }
            // This may have been the last that kept a handler alive.
            panics::drop_each([sleeper]);
        }
    }
}

/// Some time later, as far as the clock can count.
pub(crate) fn later(from: Instant, time: Duration) -> Instant {
    from.checked_add(time).unwrap_or_else(|| {
        let (mut at, mut step) = (from, time / 2);
        while !step.is_zero() {
            // More than once where the halves were rounded down.
            while let Some(next) = at.checked_add(step) {
                at = next;
            }
            step /= 2;
        }
        at
    })
}

impl State {
    fn list(&mut self, at: Instant, sleeper: &Weak<dyn Sleeper>) {
        match self.sleepers.iter_mut().find(|(_, other)| Weak::ptr_eq(other, sleeper)) {
            Some((set, _)) => *set = at.min(*set),
            None => {
                self.sleepers.retain(|(_, other)| other.strong_count() > 0);
                self.sleepers.push((at, sleeper.clone()));
            }
        }
    }
}

impl Default for ManualClock {
    fn default() -> ManualClock {
        ManualClock::new()
    }
}

impl From<&ManualClock> for Clock {
    fn from(clock: &ManualClock) -> Clock {
        Clock { manual: Some(clock.manual.clone()) }
    }
}

impl From<ManualClock> for Clock {
    fn from(clock: ManualClock) -> Clock {
        Clock { manual: Some(clock.manual) }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.manual.is_some() { "Clock(manual)" } else { "Clock(system)" })
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualClock").field("now", &self.now()).finish_non_exhaustive()
    }
}
