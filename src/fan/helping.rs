//! Callers that run items: when they may, when they must, and how they wait.

use super::Party;
use super::core::Core;
use super::landing::ServiceCounts;
use super::serve::Served;
use super::settings::Help;
use super::work::Work;
use crate::sync::{MODEL, now};
use std::time::Instant;

/// How a caller waits before it parks, which costs microseconds at both ends: so many turns of spinning, then so many times of letting
/// others run. Where callers help, giving the core away would only bring another caller onto it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) spins: usize,
    pub(super) yields: usize,
    /// Turns after the other side was woken: it needs a while to come, and to park meanwhile would mean to be woken in turn.
    pub(super) after_waking: usize,
}

impl Patience {
    pub(super) fn of(helping: bool) -> Patience {
        match (MODEL, helping) {
            (true, _) => Patience { spins: 0, yields: 0, after_waking: 0 },
            (_, true) => Patience { spins: 40, yields: 0, after_waking: 260 },
            (_, false) => Patience { spins: 8, yields: 8, after_waking: 8 },
        }
    }
}

impl<'a, T: Send + 'a, W: Work<T> + 'a> Core<'a, T, W> {
    /// Whether the calling thread, which would block, may run an item instead. Says no to a few that have to; see
    /// [`Core::must_help`], which costs a system call.
    pub(super) fn may_help(&self, party: Party) -> bool {
        let wanted = match self.settings.help {
            Help::Never => false,
            Help::Receiver => party == Party::Receiver,
            Help::Both => true,
        };
        wanted && (self.pace.is_cheap() || self.settings.scoped) || self.host.worker().is_some()
    }

    /// Whether the calling thread has to run items while it waits, since nobody else might.
    pub(super) fn must_help(&self) -> bool {
        self.settings.scoped && self.settings.help != Help::Never || self.host.is_inside()
    }

    /// Runs some items, if there are any and a place is free.
    pub(super) fn help(&self) -> Served {
        let served = |lane| self.serve(lane, false);
        (0..self.lanes.len()).map(served).find(|served| *served != Served::Nothing).unwrap_or(Served::Nothing)
    }

    /// Waits until nothing more is accepted and everything that was has ended; in a scope, whose owner may be the only thread that
    /// comes, runs items meanwhile. (Workers are not let wait.)
    pub(super) fn wait(&self, deadline: Option<Instant>) -> Option<ServiceCounts> {
        if !self.settings.scoped || self.settings.help == Help::Never {
            return self.landing.wait(deadline);
        }
        loop {
            while self.help() != Served::Nothing {}
            if let Some(counts) = self.landing.settled() {
                return Some(counts);
            }
            if deadline.is_some_and(|deadline| now() >= deadline) {
                return None;
            }
            self.park_hand(true, || self.landing.settled().is_some(), |_| true, deadline);
        }
    }

    /// Whether [`Core::help`] would find something.
    pub(super) fn could_help(&self) -> bool {
        (0..self.lanes.len()).any(|lane| {
            let mut held = self.lanes[lane].queue.lock();
            let mut intake = self.intake.lock();
            intake.lanes[lane].running < intake.limit && self.may_take(&mut held, &mut intake, lane)
        })
    }
}
