//! Tickets on their way from groups to workers.
//!
//! Three lanes hold them by priority; one unbounded MPMC channel, the bell, carries a unit message for each and is what
//! workers block on. A ticket enters its lane before its bell is rung, and whoever took a bell takes one ticket. So
//! there are never fewer tickets than bells taken, and a taker always finds one, unless its ticket was withdrawn.
//!
//! **Ageing.** Of every sixteen picks one looks at `Low` first and four at `Normal` first, the others at `High`. A ticket
//! therefore waits for at most sixteen picks for each that is before it in its own lane, whatever arrives in the others.
//!
//! The lanes also count the workers that are ready for tickets, under the lock under which tickets arrive: that is what elastic pools rest on.

use super::station::Station;
use crate::group::TaskGroup;
use crate::sync::atomic::Ordering;
use crate::sync::channel::{self, Receiver, Sender};
use crate::sync::{Arc, Mutex, broken};
use std::collections::VecDeque;

pub(crate) const HIGH: usize = 0;
pub(crate) const NORMAL: usize = 1;
pub(crate) const LOW: usize = 2;

/// How many there are.
pub(crate) const LANES: usize = 3;

const CYCLE: usize = 16;

struct State {
    lanes: [VecDeque<Arc<TaskGroup>>; LANES],
    turn: usize,
    open: bool,
    /// Workers that will come for tickets; kept for elastic pools.
    ready: usize,
    /// Whether the alarm of an elastic pool is set for what waits.
    watched: bool,
}

impl State {
    fn has_tickets(&self) -> bool {
        self.lanes.iter().any(|lane| !lane.is_empty())
    }
}

/// What a ticket found when it was posted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Posted {
    /// Nobody is ready.
    pub(super) lacking: bool,
    /// The alarm is not set; the poster is to do so.
    pub(super) unwatched: bool,
}

pub(super) struct Lanes {
    state: Mutex<State>,
    bell: Sender<()>,
}

/// The lanes in the order in which pick number `turn` looks at them.
pub(crate) fn order(turn: usize) -> [usize; LANES] {
    match turn % CYCLE {
        15 => [LOW, NORMAL, HIGH],
        3 | 6 | 9 | 12 => [NORMAL, HIGH, LOW],
        _ => [HIGH, NORMAL, LOW],
    }
}

impl Lanes {
    pub(super) fn new() -> (Lanes, Receiver<()>) {
        let (bell, rings) = channel::unbounded();
        let state = State { lanes: Default::default(), turn: 0, open: true, ready: 0, watched: false };
        (Lanes { state: Mutex::new(state), bell }, rings)
    }

    pub(super) fn post(&self, ticket: Arc<TaskGroup>) -> Posted {
        let posted = {
            let mut state = self.state.lock();
            if !state.open {
                drop(state);
                drop(ticket);
                return Posted::default();
            }
            state.lanes[ticket.options().lane].push_back(ticket);
            let unwatched = !std::mem::replace(&mut state.watched, true);
            Posted { lacking: state.ready == 0, unwatched }
        };
        // Nobody listens any more only once the lanes are closed.
        let _ = channel::send(&self.bell, ());
        posted
    }

    /// Takes a ticket back; false if it was picked. Scopes end soon after they began, so it is looked for from the back.
    pub(super) fn withdraw(&self, group: &Arc<TaskGroup>) -> bool {
        let mut state = self.state.lock();
        let lane = &mut state.lanes[group.options().lane];
        let found = lane.iter().rposition(|ticket| Arc::ptr_eq(ticket, group));
        let ticket = found.and_then(|at| lane.remove(at));
        drop(state);
        ticket.is_some()
    }

    /// The next ticket, for a caller that took a bell. `None` if it was withdrawn or the lanes are closed.
    pub(super) fn pick(&self) -> Option<Arc<TaskGroup>> {
        let mut state = self.state.lock();
        let lanes = order(state.turn);
        state.turn = (state.turn + 1) % CYCLE;
        lanes.into_iter().find_map(|lane| state.lanes[lane].pop_front())
    }

    /// The groups whose tickets wait, for the alarm, with whether nobody is ready for them. If none waits, the next one sets the alarm.
    pub(super) fn look(&self) -> (Vec<Arc<TaskGroup>>, bool) {
        let mut state = self.state.lock();
        let waiting: Vec<_> = state.lanes.iter().flatten().cloned().collect();
        state.watched = !waiting.is_empty();
        let needed = state.watched && state.ready == 0;
        (waiting, needed)
    }

    /// Marks the lanes as watched; returns whether they were not.
    pub(super) fn watch(&self) -> bool {
        !std::mem::replace(&mut self.state.lock().watched, true)
    }

    /// The alarm could not be set.
    pub(super) fn unwatch(&self) {
        self.state.lock().watched = false;
    }

    pub(super) fn has_tickets(&self) -> bool {
        self.state.lock().has_tickets()
    }

    /// Whether a ticket waits and nobody will come for it.
    pub(super) fn lacks_workers(&self) -> bool {
        let state = self.state.lock();
        state.ready == 0 && state.has_tickets()
    }

    /// A worker is ready from now on, unless its start hook blocks. That is noted before it is parted, so either it is seen here or the
    /// parting comes later.
    pub(super) fn join(&self, station: &Station) {
        let mut state = self.state.lock();
        if station.is_blocked() {
            return;
        }
        state.ready += usize::from(!station.ready.swap(true, Ordering::Relaxed));
    }

    /// The same of a worker that was away, unless it was told to leave meanwhile. That is told before it is parted, so either it is seen
    /// here or the parting comes later.
    pub(super) fn join_again(&self, station: &Station) {
        let mut state = self.state.lock();
        if !station.retiring.load(Ordering::Relaxed) || broken!("retired_are_ready_again") {
            state.ready += usize::from(!station.ready.swap(true, Ordering::Relaxed));
        }
    }

    /// A worker is not ready any more.
    pub(super) fn part(&self, station: &Station) {
        let mut state = self.state.lock();
        state.ready -= usize::from(station.ready.swap(false, Ordering::Relaxed));
    }

    /// The same, unless a ticket waits; returns whether it was done. Without this look all would be as if the worker had left just before the ticket
    /// came: the last to leave is replaced, and beside busy ones the alarm starts another when the ticket has waited for too long.
    pub(super) fn part_if_calm(&self, station: &Station) -> bool {
        let mut state = self.state.lock();
        if state.has_tickets() {
            return false;
        }
        state.ready -= usize::from(station.ready.swap(false, Ordering::Relaxed));
        true
    }

    /// Drops the tickets that nobody will pick, and those to come. They hold their groups, and so the pool.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.open = false;
        let tickets = std::mem::take(&mut state.lanes);
        drop(state);
        drop(tickets);
    }
}

#[cfg(all(test, not(fanpool_loom)))]
mod tests {
    use super::*;

    #[test]
    fn f8_every_lane_is_first_within_a_cycle() {
        for lane in [HIGH, NORMAL, LOW] {
            let first = (0..CYCLE).filter(|turn| order(*turn)[0] == lane).count();
            assert_eq!(first, [11, 4, 1][lane]);
        }
        for turn in 0..CYCLE {
            let mut lanes = order(turn);
            lanes.sort_unstable();
            assert_eq!(lanes, [HIGH, NORMAL, LOW], "turn {turn} looks at every lane");
        }
    }
}
