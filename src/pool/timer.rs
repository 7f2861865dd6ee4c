//! The thread that ticks for `join`.
//!
//! It is started by the first `join` of the pool and has three states. *Ticking*: contexts are busy, or were a few
//! milliseconds ago. *Resting*: it blocks until it is rung, using no CPU. *Ended*, for good, by the pool's end.
//!
//! **No context is left without ticks.** The thread rests only after [`Forks::rest`] has seen, under the lock of the
//! contexts, that none is busy, and has marked there that nobody ticks. Whoever makes one busy afterwards finds the
//! mark under the same lock, and rings. The ring is a flag under the bell's lock, so it is not lost if it comes before
//! the thread blocks.

use super::shared::Shared;
use crate::join::{Clock, Forks};
use crate::sync::{Arc, Condvar, MODEL, Mutex, thread};
use std::time::{Duration, Instant};

/// Time between two ticks: long against the cost of a promotion (a few microseconds), short against what is worth
/// waiting for.
const TICK: Duration = Duration::from_micros(100);

/// Ticks without a busy context before the thread rests: 10 ms.
const LINGER: u32 = 100;

/// Enough for a promotion.
const STACK: usize = 256 * 1024;

#[derive(Default)]
struct State {
    rung: bool,
    ended: bool,
    refused: bool,
    thread: Option<thread::JoinHandle>,
}

#[derive(Default)]
struct Bell {
    state: Mutex<State>,
    changed: Condvar,
}

pub(super) struct Timer {
    shared: Arc<Shared>,
    bell: Arc<Bell>,
}

impl Timer {
    pub(super) fn new(shared: &Arc<Shared>) -> Arc<Timer> {
        Arc::new(Timer { shared: shared.clone(), bell: Arc::default() })
    }

    /// Stops the thread and joins it.
    pub(super) fn end(&self) {
        let thread = {
            let mut state = self.bell.state.lock();
            state.ended = true;
            self.bell.changed.notify_all();
            state.thread.take()
        };
        if let Some(thread) = thread {
            thread.join();
        }
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
        if state.thread.is_some() {
            self.bell.changed.notify_all();
        } else if !state.refused {
            let (bell, forks) = (self.bell.clone(), forks.clone());
            let name = format!("{}-timer", self.shared.config.name);
            // Without the thread nothing is promoted, and every `join` runs on its caller alone.
            match thread::start(name, Some(STACK), move || bell.run(&forks)) {
                Ok(thread) => state.thread = Some(thread),
                Err(_) => state.refused = true,
            }
        }
    }
}

impl Bell {
    fn run(&self, forks: &Arc<Forks>) {
        let mut quiet = 0;
        while self.pause() {
            quiet = if forks.tick() { 0 } else { quiet + 1 };
            if quiet >= LINGER && forks.rest() {
                self.rest();
                quiet = 0;
            }
        }
    }

    /// Waits for the next tick. Returns whether to go on.
    fn pause(&self) -> bool {
        let deadline = Some(Instant::now() + TICK);
        let mut state = self.state.lock();
        state.rung = false;
        while !state.ended && !self.changed.wait_until(&mut state, deadline) {}
        !state.ended
    }

    /// Blocks until rung or ended.
    fn rest(&self) {
        let mut state = self.state.lock();
        while !state.rung && !state.ended {
            self.changed.wait(&mut state);
        }
    }
}
