//! Who runs next; see the protocol in the module above.

use super::random::Random;
use crate::sync::Arc;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What [`State::running`] is when nobody has the baton.
const NOBODY: usize = usize::MAX;

/// So many ticks in a row may do without any step of another member's. The next would be in vain, too.
const VAIN_TICKS: usize = 100;

/// Looking at the clock takes so long.
const LOOK: Duration = Duration::from_nanos(50);

/// One run.
pub(super) struct Scheduler {
    /// Tells runs apart; never zero.
    pub(super) id: usize,
    pub(super) seed: u64,
    state: Mutex<State>,
    /// Notified when there is a verdict.
    ended: Condvar,
    /// Set under the state's lock.
    is_over: AtomicBool,
}

struct State {
    random: Random,
    /// Eighths of the picks in which the holder keeps the baton if it can. Drawn once, so that some seeds change at nearly every step and
    /// others let a thread run far.
    stay: usize,
    threads: Vec<Thread>,
    running: usize,
    now: Instant,
    /// Counts what members do, polls in vain excepted.
    step: u64,
    /// The last step that changed a channel.
    changed: u64,
    /// Jumps of the time to a tick since the last step of a member that does not tick.
    vain_ticks: usize,
    deadlock: Option<String>,
}

struct Thread {
    name: String,
    /// Notified when it gets the baton.
    turn: Arc<Condvar>,
    does: Does,
    /// Whether it was picked since its deadline had passed.
    late: bool,
    /// Whether it has waited for a tick.
    ticks: bool,
}

enum Does {
    /// It runs, or can.
    Ready,
    Waits(Wait),
    Ended,
}

/// What a member waits for.
pub(super) struct Wait {
    pub(super) what: What,
    /// What it is woken by, together with `what`: an address or a number.
    pub(super) key: usize,
    pub(super) until: Option<Instant>,
    /// A deadline that by itself keeps no run alive.
    pub(super) tick: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Lock,
    Notice,
    /// The key is the thread's number.
    End,
    Time,
    /// A change of a channel, which the member polls; it looked at this step.
    Channel(&'static str, u64),
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Woken {
    /// Or it is worth looking again.
    Notified,
    Late,
    /// The run is over.
    Over,
}

/// Who may be picked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Who can go on, and who polls if a channel was changed.
    Likely,
    /// And who polls if there was any step.
    All,
}

impl Scheduler {
    pub(super) fn new(seed: u64) -> Arc<Scheduler> {
        static NEXT_ID: AtomicUsize = AtomicUsize::new(1);
        let mut random = Random::new(seed);
        let stay = [0, 4, 7][random.below(3)];
        let state = State {
            random,
            stay,
            threads: Vec::new(),
            running: 0,
            now: Instant::now(),
            step: 1,
            changed: 0,
            vain_ticks: 0,
            deadlock: None,
        };
        Arc::new(Scheduler {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            seed,
            state: Mutex::new(state),
            ended: Condvar::new(),
            is_over: AtomicBool::new(false),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// Notes a thread that is about to be started; returns its number.
    pub(super) fn add(&self, name: String) -> usize {
        let mut state = self.lock();
        state.threads.push(Thread { name, turn: Arc::default(), does: Does::Ready, late: false, ticks: false });
        state.threads.len() - 1
    }

    /// Forgets a thread that could not be started.
    pub(super) fn forget(&self, thread: usize) {
        self.lock().threads[thread].does = Does::Ended;
    }

    pub(super) fn has_ended(&self, thread: usize) -> bool {
        matches!(self.lock().threads[thread].does, Does::Ended)
    }

    /// Blocks a thread that was just started until it is its turn.
    pub(super) fn enter(&self, me: usize) {
        self.wait_turn(self.lock(), me);
    }

    /// A step of the holder, after which somebody else may be picked; if `fair`, anybody as likely.
    pub(super) fn switch(&self, me: usize, fair: bool) {
        let mut state = self.lock();
        if !self.is_over() {
            state.make_step(me);
            self.hand_on(&mut state, me, fair);
            self.wait_turn(state, me);
        }
    }

    /// The holder waits.
    pub(super) fn wait(&self, me: usize, wait: Wait) -> Woken {
        let mut state = self.lock();
        if self.is_over() {
            return Woken::Over;
        }
        state.make_step(me);
        state.threads[me].ticks |= wait.tick.is_some();
        state.threads[me].does = Does::Waits(wait);
        self.hand_on(&mut state, me, false);
        self.wait_turn(state, me)
    }

    /// The holder has looked at a channel in vain, for the `first` time or since it was picked last.
    pub(super) fn poll(&self, me: usize, what: &'static str, until: Option<Instant>, first: bool) -> Woken {
        let mut state = self.lock();
        if self.is_over() {
            return Woken::Over;
        }
        if first {
            state.make_step(me);
        }
        let looked = state.step;
        state.threads[me].does = Does::Waits(Wait { what: What::Channel(what, looked), key: 0, until, tick: None });
        self.hand_on(&mut state, me, false);
        self.wait_turn(state, me)
    }

    /// Makes those who wait for this runnable.
    pub(super) fn wake(&self, what: What, key: usize) {
        let mut state = self.lock();
        for thread in &mut state.threads {
            if matches!(&thread.does, Does::Waits(wait) if wait.what == what && wait.key == key) {
                thread.does = Does::Ready;
            }
        }
    }

    /// The holder has changed a channel.
    pub(super) fn change(&self, me: usize) {
        {
            let mut state = self.lock();
            // Later than every look so far.
            state.make_step(me);
            state.changed = state.step;
        }
        self.switch(me, false);
    }

    /// The holder's thread is at its end.
    pub(super) fn end(&self, me: usize) {
        self.lock().threads[me].does = Does::Ended;
        self.wake(What::End, me);
        let mut state = self.lock();
        if !self.is_over() {
            state.make_step(me);
            self.hand_on(&mut state, me, false);
        }
    }

    pub(super) fn now(&self) -> Instant {
        let mut state = self.lock();
        state.pass(LOOK);
        state.now
    }

    pub(super) fn random(&self) -> u64 {
        self.lock().random.next()
    }

    /// Throws the baton away.
    pub(super) fn finish(&self) {
        let state = self.lock();
        self.is_over.store(true, Ordering::Release);
        state.threads.iter().for_each(|thread| thread.turn.notify_all());
        self.ended.notify_all();
    }

    /// Blocks a stranger until the run is over; fails if it will not be, since nobody can go on.
    pub(super) fn verdict(&self) -> Result<(), String> {
        let mut state = self.lock();
        loop {
            if self.is_over() {
                return Ok(());
            }
            if let Some(deadlock) = state.deadlock.take() {
                return Err(deadlock);
            }
            state = self.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn hand_on(&self, state: &mut State, me: usize, fair: bool) {
        match state.pick(me, fair) {
            Some(next) => {
                state.running = next;
                if next != me {
                    state.threads[next].turn.notify_one();
                }
            }
            None => {
                state.running = NOBODY;
                state.deadlock = Some(state.report(self.seed));
                self.ended.notify_all();
            }
        }
    }

    fn wait_turn(&self, mut state: MutexGuard<'_, State>, me: usize) -> Woken {
        let turn = state.threads[me].turn.clone();
        while state.running != me {
            if self.is_over() {
                return Woken::Over;
            }
            state = turn.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if std::mem::take(&mut state.threads[me].late) { Woken::Late } else { Woken::Notified }
    }
}

impl State {
    fn make_step(&mut self, me: usize) {
        self.step += 1;
        if !self.threads[me].ticks {
            self.vain_ticks = 0;
        }
        let micros = 1 + self.random.below(4) as u64;
        self.pass(Duration::from_micros(micros));
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now.checked_add(time).unwrap_or(self.now);
    }

    /// Chooses who gets the baton, and makes it ready. `None` if nobody ever can go on.
    fn pick(&mut self, me: usize, fair: bool) -> Option<usize> {
        let look = if self.random.below(16) == 0 { Look::All } else { Look::Likely };
        let next = match self.choose(me, fair, look).or_else(|| self.choose(me, fair, Look::All)) {
            Some(next) => next,
            None => {
                self.now = self.threads.iter().filter_map(|thread| self.deadline(thread)).min()?;
                let next = self.choose(me, fair, Look::All)?;
                self.vain_ticks += usize::from(self.threads[next].ticks);
                next
            }
        };
        let late = self.is_due(&self.threads[next]);
        let thread = &mut self.threads[next];
        thread.late = late;
        thread.does = Does::Ready;
        Some(next)
    }

    /// When it can go on whatever happens.
    fn deadline(&self, thread: &Thread) -> Option<Instant> {
        let Does::Waits(wait) = &thread.does else { return None };
        let tick = wait.tick.filter(|_| self.vain_ticks < VAIN_TICKS);
        wait.until.into_iter().chain(tick).min()
    }

    fn is_due(&self, thread: &Thread) -> bool {
        self.deadline(thread).is_some_and(|deadline| deadline <= self.now)
    }

    fn choose(&mut self, me: usize, fair: bool, look: Look) -> Option<usize> {
        let can = |thread: &Thread| match &thread.does {
            Does::Ready => true,
            Does::Ended => false,
            Does::Waits(_) if self.is_due(thread) => true,
            Does::Waits(Wait { what: What::Channel(_, looked), .. }) => {
                *looked < if look == Look::All { self.step } else { self.changed }
            }
            Does::Waits(_) => false,
        };
        let candidates: Vec<usize> = (0..self.threads.len()).filter(|at| can(&self.threads[*at])).collect();
        if candidates.is_empty() {
            return None;
        }
        let stays = matches!(self.threads[me].does, Does::Ready) && !fair;
        if stays && self.random.below(8) < self.stay {
            return Some(me);
        }
        Some(candidates[self.random.below(candidates.len())])
    }

    fn report(&self, seed: u64) -> String {
        let mut report = format!("seed {seed}: deadlock");
        let mut sign = ':';
        for thread in &self.threads {
            let Does::Waits(wait) = &thread.does else { continue };
            // Writing to a string does not fail.
            let _ = write!(report, "{sign} `{}` waits for ", thread.name);
            let _ = match wait.what {
                What::Lock => write!(report, "a lock"),
                What::Notice => write!(report, "a condition variable"),
                What::End => write!(report, "the end of `{}`", self.threads[wait.key].name),
                What::Time => write!(report, "a time"),
                What::Channel(what, _) => write!(report, "{what}"),
            };
            sign = ',';
        }
        report
    }
}
