//! Tickets on their way from groups to workers.
//!
//! Three lanes hold them by priority; one unbounded MPMC channel, the bell, carries a unit message for each and is what
//! workers block on. A ticket enters its lane before its bell is rung, and whoever took a bell takes one ticket. So
//! there are never fewer tickets than bells taken, and a taker always finds one, unless its ticket was withdrawn.
//!
//! **Ageing.** Of every sixteen picks one looks at `Low` first and four at `Normal` first, the others at `High`. A ticket
//! therefore waits for at most sixteen picks for each that is before it in its own lane, whatever arrives in the others.

use crate::group::TaskGroup;
use crate::sync::channel::{self, Receiver, Sender};
use crate::sync::{Arc, Mutex};
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
        let state = State { lanes: Default::default(), turn: 0, open: true };
        (Lanes { state: Mutex::new(state), bell }, rings)
    }

    pub(super) fn post(&self, ticket: Arc<TaskGroup>) {
        {
            let mut state = self.state.lock();
            if !state.open {
                return drop(state);
            }
            state.lanes[ticket.options().lane].push_back(ticket);
        }
        // Nobody listens any more only once the lanes are closed.
        let _ = channel::send(&self.bell, ());
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
