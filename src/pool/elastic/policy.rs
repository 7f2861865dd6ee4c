//! How many workers there should be: a pure function of what was seen.

use super::Elastic;
use super::climb::Climb;
use crate::resilience::later;
use std::time::{Duration, Instant};

/// What a look at the pool sees.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight {
    pub(super) now: Instant,
    /// How long a job has waited in a group whose ticket waits; `None` if none does.
    pub(super) waited: Option<Duration>,
    /// Whether nobody is to begin with what waits.
    pub(super) paused: bool,
    /// Workers that were not told to leave, with those in `blocking`.
    pub(super) workers: usize,
    /// Whether a ticket waits and nobody will come for it.
    pub(super) needed: bool,
    /// Whether a worker blocked for want of tickets at any time since the last look, or serves nobody now: where there are more threads
    /// than CPUs, one that was woken may still wait for its CPU.
    pub(super) was_idle: bool,
    /// The fewest that were idle at once since [`Policy::look`] last said to `forget`.
    pub(super) always_idle: usize,
    /// Tasks that have ended, ever.
    pub(super) ended: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Stay,
    /// Start so many, one after the other.
    Start(usize),
    /// Let so many leave, if they are idle.
    Retire(usize),
    /// Let so many leave, whatever they do.
    Reduce(usize),
}

#[derive(Debug)]
pub(super) struct Policy {
    options: Elastic,
    /// Since when the fewest idle workers are counted.
    calm: Option<Instant>,
    /// Until when no thread is asked for, after so many refusals.
    refused: Option<(Instant, u32)>,
    climb: Option<Climb>,
}

/// The least time in which throughput is measured.
const INTERVAL: Duration = Duration::from_millis(100);

/// Times between a refused thread and the next try.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(10);

/// What to do, when to look again, and whether to count the fewest idle ones anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) order: Order,
    pub(super) next: Option<Instant>,
    pub(super) forget: bool,
}

impl Policy {
    pub(super) fn new(options: Elastic) -> Policy {
        let climb = options
            .climbs
            .then(|| Climb::new(options.min.max(1), INTERVAL.max(options.target_wait.saturating_mul(10))));
        Policy { options, calm: None, refused: None, climb }
    }

    pub(super) fn look(&mut self, sight: &Sight) -> Verdict {
        let Elastic { min, max, keep_alive, target_wait, .. } = self.options;
        let idle = sight.was_idle || sight.paused;
        let starved = !idle && sight.waited.is_some_and(|waited| waited >= target_wait);
        let mut forget = false;
        let mut order = Order::Stay;
        let calm = *self.calm.get_or_insert_with(|| {
            forget = true;
            sight.now
        });
        if sight.needed || sight.workers < min {
            order = Order::Start(min.saturating_sub(sight.workers).max(1));
        } else if let Some(climb) = &mut self.climb {
            order = climb.look(sight, starved, max);
        } else if starved {
            order = Order::Start(1);
        }
        if let Order::Start(wanted) = order {
            let room = max.saturating_sub(sight.workers);
            order = if self.may_start(sight.now) && room > 0 { Order::Start(wanted.min(room)) } else { Order::Stay };
        }
        if sight.now.saturating_duration_since(calm) >= keep_alive {
            let surplus = sight.always_idle.min(sight.workers.saturating_sub(min));
            if order == Order::Stay && surplus > 0 {
                order = Order::Retire(surplus);
            }
            (self.calm, forget) = (Some(sight.now), true);
        }
        let next = if sight.waited.is_some() {
            sight.now.checked_add(target_wait)
        } else if sight.workers > min || order != Order::Stay {
            // What the clock does not reach never comes.
            self.calm.and_then(|calm| calm.checked_add(keep_alive))
        } else {
            self.calm = None;
            None
        };
        let wanting = sight.needed || sight.workers < min;
        let again = self.refused.map(|(until, _)| until).filter(|until| wanting && *until > sight.now);
        Verdict { order, next: next.into_iter().chain(again).min(), forget }
    }

    /// Whether a thread may be asked for.
    pub(super) fn may_start(&self, now: Instant) -> bool {
        self.refused.is_none_or(|(until, _)| now >= until)
    }

    /// A thread was refused. Returns after what time to ask again.
    pub(super) fn refused(&mut self, now: Instant) -> Duration {
        let before = self.refused.map_or(0, |(_, times)| times);
        let pause = FIRST_RETRY.saturating_mul(1 << before.min(16)).min(LAST_RETRY);
        self.refused = Some((later(now, pause), before.saturating_add(1)));
        pause
    }

    /// A thread was started.
    pub(super) fn started(&mut self) {
        self.refused = None;
    }
}

#[cfg(all(test, not(fanpool_loom)))]
mod tests;
