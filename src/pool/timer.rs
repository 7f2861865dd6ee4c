//! The thread that ticks for `join` and rings alarms.
//!
//! It is started by the first `join`, or the first alarm, of the pool and has three states. *Waiting*: an alarm is set, or `join`
//! has contexts that are busy or were a few milliseconds ago; it blocks until the first of these is due. *Resting*: nothing is;
//! it blocks until it is rung, using no CPU. *Ended*, for good, by the pool's end. In a pool that holds no thread while it is unused it ends
//! instead of resting, which it notes under the bell's lock; whoever needs it next starts another.
//!
//! **No context is left without ticks.** Ticking stops only after [`Forks::rest`] has seen, under the lock of the
//! contexts, that none is busy, and has marked there that nobody ticks. Whoever makes one busy afterwards finds the
//! mark under the same lock, and rings. The ring is a flag under the bell's lock, so it is not lost if it comes before
//! the thread blocks.
//!
//! **No alarm is left out.** Alarms are listed under the bell's lock, where the thread looks for the earliest before it blocks
//! in the same critical section; whoever lists an earlier one notifies it. An alarm is called with no lock held.

use super::shared::Shared;
use crate::error::BuildError;
use crate::join::{Clock, Forks};
use crate::panics;
use crate::sync::{Arc, Condvar, MODEL, Mutex, Weak, now, thread};
use std::io;
use std::time::{Duration, Instant};

/// Time between two ticks: long against the cost of a promotion (a few microseconds), short against what is worth
/// waiting for.
pub(crate) const TICK: Duration = Duration::from_micros(100);

/// Ticks without a busy context before ticking stops: 10 ms.
const LINGER: u32 = 100;

/// Time between a refused thread and the next try.
const RETRY: Duration = Duration::from_secs(1);

/// Enough for a promotion.
const STACK: usize = 256 * 1024;

/// What is called at a time. It must be short and call no code of the user's.
pub(crate) trait Alarm: Send + Sync {
    /// Called at or after the time that was set; returns when to call again.
    fn due(&self) -> Option<Instant>;
}

#[derive(Default)]
struct State {
    rung: bool,
    ticking: bool,
    ended: bool,
    /// The thread is not to rest.
    fleeting: bool,
    /// It has nothing to do and is about to end, or has.
    gone: bool,
    /// When the operating system refused the thread.
    refused: Option<Instant>,
    /// A thread of a model rings.
    by_hand: bool,
    forks: Weak<Forks>,
    alarms: Vec<(Instant, Weak<dyn Alarm>)>,
    thread: Option<(thread::ThreadId, thread::JoinHandle)>,
}

#[derive(Default)]
struct Bell {
    state: Mutex<State>,
    changed: Condvar,
}

pub(crate) struct Timer {
    shared: Arc<Shared>,
    bell: Arc<Bell>,
}

impl Timer {
    pub(super) fn new(shared: &Arc<Shared>) -> Arc<Timer> {
        let timer = Timer { shared: shared.clone(), bell: Arc::default() };
        timer.bell.state.lock().fleeting = shared.staff.as_ref().is_some_and(|staff| staff.options.min == 0);
        Arc::new(timer)
    }

    /// Stops the thread and joins it. Dropping what an alarm kept may end the pool on this very thread, which then ends by
    /// itself.
    pub(super) fn end(&self) {
        let thread = {
            let mut state = self.bell.state.lock();
            state.ended = true;
            self.bell.changed.notify_all();
            state.thread.take()
        };
        if let Some((id, thread)) = thread {
            if id != thread::id() {
                thread.join();
            }
        }
    }

    /// Has `alarm` called at `at`, or at the time it is set to if that is earlier. Returns false if there is no thread to do so.
    pub(crate) fn set(&self, at: Instant, alarm: &Weak<dyn Alarm>) -> bool {
        if self.shared.is_forked() {
            return false;
        }
        let mut state = self.bell.state.lock();
        if state.ended || !(state.by_hand || self.start(&mut state)) {
            return false;
        }
        if state.list(at, alarm) {
            self.bell.changed.notify_all();
        }
        true
    }

    /// Starts the thread unless it runs, for whoever cannot do without.
    pub(crate) fn ensure(&self) -> Result<(), BuildError> {
        let mut state = self.bell.state.lock();
        if state.ended || state.by_hand || MODEL || self.shared.is_forked() {
            return Ok(());
        }
        self.try_start(&mut state).map_err(|source| BuildError::Thread { wanted: 1, started: 0, source })
    }

    /// Starts the thread unless it runs; false if the operating system refuses it, or has a moment ago.
    fn start(&self, state: &mut State) -> bool {
        let waits = state.refused.is_some_and(|at| now().saturating_duration_since(at) < RETRY);
        if !waits && !MODEL {
            state.refused = self.try_start(state).is_err().then(now);
        }
        state.thread.is_some() && !state.gone
    }

    fn try_start(&self, state: &mut State) -> io::Result<()> {
        if std::mem::take(&mut state.gone) {
            if let Some((_, thread)) = state.thread.take() {
                // It takes no lock any more.
                thread.join();
            }
        }
        if state.thread.is_none() {
            let bell = self.bell.clone();
            let name = format!("{}-timer", self.shared.config.name);
            let thread = thread::start(name, Some(STACK), move || bell.run())?;
            // The thread cannot end before it gets the lock that is held here.
            state.thread = Some((thread.id(), thread));
        }
        Ok(())
    }
}

#[cfg(fanpool_loom)]
impl Timer {
    /// From now on alarms are listed for [`Timer::ring`].
    pub(crate) fn ring_by_hand(&self) {
        self.bell.state.lock().by_hand = true;
    }

    /// Calls all alarms, whenever they are due; returns whether any is listed again.
    pub(crate) fn ring(&self) -> bool {
        let alarms = std::mem::take(&mut self.bell.state.lock().alarms);
        alarms.iter().for_each(|(_, alarm)| self.bell.ring(alarm));
        !self.bell.state.lock().alarms.is_empty()
    }
}

impl Clock for Timer {
    fn is_forked(&self) -> bool {
        self.shared.is_forked()
    }

    fn wake(&self, forks: &Arc<Forks>) {
        // In a forked process there is nobody to promote for.
        if MODEL || self.is_forked() {
            return;
        }
        let mut state = self.bell.state.lock();
        state.rung = true;
        state.ticking = true;
        state.forks = Arc::downgrade(forks);
        // Without the thread nothing is promoted, and every `join` runs on its caller alone.
        if !state.ended && self.start(&mut state) {
            self.bell.changed.notify_all();
        }
    }
}

impl State {
    /// Lists an alarm; returns whether it is now the earliest.
    fn list(&mut self, at: Instant, alarm: &Weak<dyn Alarm>) -> bool {
        let earliest = self.alarms.iter().all(|(other, _)| at < *other);
        match self.alarms.iter_mut().find(|(_, other)| Weak::ptr_eq(other, alarm)) {
            Some((set, _)) => *set = at.min(*set),
            None => {
                // Those that are gone would stay until their time comes, and keep their memory.
                self.alarms.retain(|(_, other)| other.strong_count() > 0);
                self.alarms.push((at, alarm.clone()));
            }
        }
        earliest
    }
}

/// What the thread does next.
enum Next {
    Tick(Arc<Forks>),
    Ring(Vec<Weak<dyn Alarm>>),
    End,
}

impl Bell {
    fn run(&self) {
        let (mut quiet, mut tick) = (0, None);
        loop {
            match self.next(&mut tick) {
                Next::End => return,
                Next::Ring(alarms) => alarms.into_iter().for_each(|alarm| self.ring(&alarm)),
                Next::Tick(forks) => {
                    quiet = if forks.tick() { 0 } else { quiet + 1 };
                    if quiet >= LINGER && forks.rest() {
                        quiet = 0;
                        let mut state = self.state.lock();
                        state.ticking = state.rung;
                    }
                }
            }
        }
    }

    /// Blocks until there is something to do. `tick` is when the next one is due, while there is ticking.
    fn next(&self, tick: &mut Option<Instant>) -> Next {
        let mut state = self.state.lock();
        loop {
            if state.ended {
                return Next::End;
            }
            let now = now();
            let (due, set) = std::mem::take(&mut state.alarms).into_iter().partition(|(at, _)| *at <= now);
            state.alarms = set;
            let due: Vec<(Instant, Weak<dyn Alarm>)> = due;
            if !due.is_empty() {
                return Next::Ring(due.into_iter().map(|(_, alarm)| alarm).collect());
            }
            *tick = if state.ticking { tick.or(Some(now + TICK)) } else { None };
            if tick.is_some_and(|at| at <= now) {
                *tick = None;
                state.rung = false;
                match state.forks.upgrade() {
                    Some(forks) => return Next::Tick(forks),
                    None => state.ticking = false,
                }
                continue;
            }
            let first = state.alarms.iter().map(|(at, _)| *at).min();
            if state.fleeting && first.is_none() && tick.is_none() {
                state.gone = true;
                return Next::End;
            }
            self.changed.wait_ticking(&mut state, *tick, first);
        }
    }

    fn ring(&self, weak: &Weak<dyn Alarm>) {
        let Some(alarm) = weak.upgrade() else { return };
        if let Some(at) = alarm.due() {
            self.state.lock().list(at, weak);
        }
        // This may have been the last that kept a handler alive.
        panics::drop_each([alarm]);
    }
}

#[cfg(all(test, not(fanpool_loom)))]
mod tests {
    use super::*;

    struct Silent;

    impl Alarm for Silent {
        fn due(&self) -> Option<Instant> {
            None
        }
    }

    #[test]
    fn alarms_that_are_gone_are_not_kept() {
        let mut state = State::default();
        let far = Instant::now() + Duration::from_secs(3600);
        for _ in 0..100 {
            let alarm: Arc<dyn Alarm> = Arc::new(Silent);
            state.list(far, &Arc::downgrade(&alarm));
            state.list(far, &Arc::downgrade(&alarm));
        }
        assert!(state.alarms.len() <= 2);
    }
}
