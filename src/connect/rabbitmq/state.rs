//! What the reader, the settler and the connector of a source share.

use super::fault::{lost, refused};
use super::tags::{Settled, Tags};
use super::wire;
use crate::connect::{ConnectError, Delivery, Position};
use crate::sync::{Condvar, Mutex};
use std::collections::VecDeque;
use std::time::Instant;

pub(super) enum Command {
    /// Connect, if there is no connection.
    Connect,
    /// Tell the broker what is settled, if the connection is still that one.
    Settle { session: u64, settled: Settled, again: bool },
    /// Answer once the broker knows of all that was settled before.
    Sync(crate::sync::channel::Sender<Result<(), ConnectError>>),
    /// Ask how many messages wait.
    Count,
    /// Leave, and answer then.
    Close(crate::sync::channel::Sender<Result<(), ConnectError>>),
}

/// Whether there is a connection. The connector says so, but for `Connecting`, which the reader sets when it asks for one.
enum Phase {
    /// None, and the reader was told why or need not be.
    Down,
    /// None, and this is why.
    Lost(ConnectError),
    Connecting,
    Up,
    /// There is no connector any more.
    Ended,
}

/// Everything under one lock, which is never held while anything is waited for but the condition.
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    phase: Phase,
    /// Of the connection there is, or that there was.
    session: u64,
    /// Delivered by the broker and not yet taken: at most the window.
    ready: VecDeque<Delivery>,
    tags: Tags,
    count: Option<u64>,
    counted: Option<Instant>,
    /// Told the broker, and no answer came since.
    is_unsure: bool,
}

impl Shared {
    pub(super) fn new() -> Shared {
        let state = State {
            phase: Phase::Down,
            session: 0,
            ready: VecDeque::new(),
            tags: Tags::default(),
            count: None,
            counted: None,
            is_unsure: false,
        };
        Shared { state: Mutex::new(state), changed: Condvar::new() }
    }

    // The connector's side.

    pub(super) fn up(&self, session: u64, count: u64) {
        let mut state = self.state.lock();
        state.phase = Phase::Up;
        state.session = session;
        state.count = Some(count);
        self.changed.notify_all();
    }

    /// What is in hand is the broker's again, and so is what nobody has taken.
    pub(super) fn down(&self, error: ConnectError) {
        let mut state = self.state.lock();
        state.phase = Phase::Lost(error);
        state.ready.clear();
        state.tags.clear();
        state.count = None;
        self.changed.notify_all();
    }

    /// The connector's thread ends; nothing that is asked of it is answered.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        state.phase = Phase::Ended;
        state.ready.clear();
        state.tags.clear();
        self.changed.notify_all();
    }

    pub(super) fn deliver(&self, deliveries: &mut Vec<lapin::message::Delivery>) {
        let mut state = self.state.lock();
        let session = state.session;
        for delivery in deliveries.drain(..) {
            state.tags.deliver(delivery.delivery_tag);
            state.ready.push_back(wire::delivery(delivery, session));
        }
        self.changed.notify_all();
    }

    pub(super) fn counted(&self, count: u64) {
        self.state.lock().count = Some(count);
    }

    pub(super) fn is_sure(&self) {
        self.state.lock().is_unsure = false;
    }

    // The reader's side.

    /// Waits until there is a connection; `connect` asks for one.
    pub(super) fn connect(&self, connect: impl FnOnce()) -> Result<(), ConnectError> {
        let mut state = self.state.lock();
        if matches!(state.phase, Phase::Down) {
            state.phase = Phase::Connecting;
            connect();
        }
        loop {
            match &state.phase {
                Phase::Up => return Ok(()),
                Phase::Connecting => self.changed.wait(&mut state),
                Phase::Down | Phase::Lost(_) | Phase::Ended => return Err(state.why()),
            }
        }
    }

    /// Takes at most `room`; waits for the first until `deadline`.
    pub(super) fn take(
        &self,
        room: usize,
        deadline: Option<Instant>,
        into: &mut Vec<Delivery>,
    ) -> Result<(), ConnectError> {
        let mut state = self.state.lock();
        loop {
            if !matches!(state.phase, Phase::Up) {
                return Err(state.why());
            }
            let taken = room.min(state.ready.len());
            into.extend(state.ready.drain(..taken));
            if taken > 0 || self.changed.wait_until(&mut state, deadline) {
                return Ok(());
            }
        }
    }

    /// The count, and whether it is so old that it should be asked for anew; not more often than `every`.
    pub(super) fn count(&self, now: Instant, every: std::time::Duration) -> (Option<u64>, bool) {
        let mut state = self.state.lock();
        let is_old = state.counted.is_none_or(|last| now.saturating_duration_since(last) >= every);
        let ask = is_old && matches!(state.phase, Phase::Up);
        if ask {
            state.counted = Some(now);
        }
        (state.count, ask)
    }

    // The settler's side.

    /// Closes those that are open, and has `tell` told while nobody else settles. Returns how many they were.
    pub(super) fn settle(&self, positions: &[Position], again: bool, tell: impl FnOnce(Command)) -> usize {
        let mut state = self.state.lock();
        let session = state.session;
        let tags = positions.iter().filter(|position| position.session == session).map(|position| position.offset);
        let settled = if again { state.tags.settle_each(tags) } else { state.tags.settle(tags) };
        let count = settled.count;
        if count > 0 {
            state.is_unsure = true;
            tell(Command::Settle { session, settled, again });
        }
        count
    }

    /// Whether there is a connection over which something was told without an answer since. An error, once, if it is lost.
    pub(super) fn must_sync(&self) -> Result<bool, ConnectError> {
        let mut state = self.state.lock();
        if matches!(state.phase, Phase::Up) {
            return Ok(state.is_unsure);
        }
        match std::mem::take(&mut state.is_unsure) {
            true => Err(lost("the connection was lost before the last acknowledgements were known to have arrived")),
            false => Ok(false),
        }
    }
}

impl State {
    fn why(&mut self) -> ConnectError {
        match std::mem::replace(&mut self.phase, Phase::Down) {
            Phase::Lost(error) => error,
            Phase::Ended => {
                self.phase = Phase::Ended;
                refused("its connector has ended", "open the source again")
            }
            _ => lost("there is no connection"),
        }
    }
}

#[cfg(all(test, not(fanpool_loom)))]
#[allow(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use std::sync::{Arc, mpsc};
    use std::time::Duration;

    #[test]
    fn nobody_waits_for_a_connector_that_has_ended() {
        let shared = Arc::new(Shared::new());
        shared.end();
        let (told, answers) = mpsc::channel();
        std::thread::spawn(move || {
            // The first may be told what has happened; the others would ask a connector that is not there.
            for _ in 0..3 {
                told.send(shared.connect(|| {})).unwrap();
            }
        });
        for _ in 0..3 {
            let answer = answers.recv_timeout(Duration::from_secs(20)).expect("it waits");
            assert!(matches!(answer, Err(ConnectError::Refused { .. })), "{answer:?}");
        }
    }
}
