//! What the threads of a consumer and its owner share.
//!
//! All is under one lock, and every wait is on one condition variable. A message is *in hand* from when it was delivered until it is settled:
//! acknowledged, given back, or given up. Meanwhile its entry is in one place: here, by the number of its item, from before the item is sent
//! until the collector takes its outcome; then the collector's. The feeder asks for no more than the window leaves, so the
//! service always has room for what it sends.
//!
//! **The end** has four steps, each of which waits for the one before, so that nothing is left over and nobody waits for nothing:
//!
//! 1. `ending`: nothing more is taken from the broker. Said by the owner, by the feeder at the source's end, by whoever fails, or by the
//!    collector, when the service was ended otherwise.
//! 2. `fed`: the feeder has closed the service. The entries of what it had taken and the service did not accept are still here.
//! 3. `settled`: the collector has settled all outcomes, has handed back what is left here, and has closed the settler and the sinks.
//!    Until then the feeder keeps the source alive.
//! 4. The feeder closes the reader and ends.
//!
//! `give_up` is when calls of a broker that fail are no longer tried again. It is set with `ending` when somebody failed, and by the owner.

use super::super::error::ConnectError;
use super::super::message::{Message, Position};
use crate::observe::{BrokerCounts, Reason};
use crate::resilience::Retry;
use crate::sync::{Condvar, Mutex, MutexGuard, broken, now};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::{Duration, Instant};

/// How long a reader waits for a message, and so how long it takes at most until it hears of the end.
pub(super) const POLL: Duration = Duration::from_millis(250);

/// How long the feeder waits for more room, once there is some.
const LINGER: Duration = Duration::from_millis(1);

/// How long brokers are given when a consumer ends without a time that was chosen.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// A message in hand.
pub(super) struct Entry {
    pub(super) message: Message,
    pub(super) position: Position,
    pub(super) attempt: u32,
    /// What few have.
    pub(super) told: Option<Box<Told>>,
}

/// What is told of a message in its dead letter.
#[derive(Default)]
pub(super) struct Told {
    /// Why it is not for the handler.
    pub(super) unfit: Option<Unfit>,
    /// The errors of the attempts before the last.
    pub(super) history: String,
}

/// Why a message is not for the handler: a word, and a text.
pub(super) struct Unfit {
    pub(super) reason: &'static str,
    pub(super) text: String,
}

/// Which connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Reader,
    Settler,
    Results,
    Letters,
}

impl Part {
    pub(super) const ALL: [Part; 4] = [Part::Reader, Part::Settler, Part::Results, Part::Letters];

    fn name(self) -> &'static str {
        match self {
            Part::Reader => "taking messages",
            Part::Settler => "acknowledging",
            Part::Results => "sending results",
            Part::Letters => "sending dead letters",
        }
    }
}

struct Trouble {
    since: Instant,
    broker: String,
    why: String,
}

/// Numbers are given one after the other, by the library: they need no hash that a stranger cannot foresee. The factor is 2^64 divided by the
/// golden ratio, which spreads them over all bits (Knuth, The Art of Computer Programming 3, 6.4).
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

#[derive(Default)]
pub(super) struct State {
    entries: HashMap<u64, Entry, BuildHasherDefault<Spread>>,
    pub(super) counts: BrokerCounts,
    pub(super) ending: bool,
    pub(super) fed: bool,
    pub(super) settled: bool,
    pub(super) give_up: Option<Instant>,
    /// Why it ended by itself.
    pub(super) failure: Option<ConnectError>,
    troubles: [Option<Trouble>; 4],
    /// Which connections were lost when the time for them was over. They are not tried again: finding that out may take each call seconds.
    given_up: [bool; 4],
    /// The feeder waits for so much room.
    wanted: Option<usize>,
}

pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    window: usize,
    backoff: Retry<ConnectError>,
    unhealthy_after: Duration,
}

/// What the feeder may do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Room {
    For(usize),
    /// Nothing but keep alive.
    None,
    Ending,
}

impl Shared {
    pub(super) fn new(window: usize, backoff: Retry<ConnectError>, unhealthy_after: Duration) -> Shared {
        Shared { state: Mutex::default(), changed: Condvar::new(), window, backoff, unhealthy_after }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Waits for room: for half the window, or a little while for some of it, or as long as a reader may be left alone.
    pub(super) fn room(&self) -> Room {
        let half = self.window.div_ceil(2);
        let mut state = self.state.lock();
        let mut until = now() + POLL;
        let mut lingers = false;
        loop {
            let room = self.window.saturating_sub(state.counts.in_hand);
            if state.ending {
                return Room::Ending;
            }
            if room >= half {
                return Room::For(room);
            }
            if room > 0 && !lingers {
                until = now() + LINGER;
                lingers = true;
            }
            state.wanted = Some(if lingers { half } else { 1 });
            let over = self.changed.wait_until(&mut state, Some(until));
            state.wanted = None;
            if over && !state.ending {
                let room = self.window.saturating_sub(state.counts.in_hand);
                return if room == 0 { Room::None } else { Room::For(room) };
            }
        }
    }

    /// Messages were delivered that get the numbers from `first` on.
    pub(super) fn take_in(&self, first: u64, entries: impl Iterator<Item = Entry>) {
        let mut state = self.state.lock();
        for (number, entry) in (first..).zip(entries) {
            state.counts.delivered += 1;
            state.counts.redelivered += u64::from(entry.attempt > 1);
            state.counts.in_hand += 1;
            state.entries.insert(number, entry);
        }
    }

    /// The entry of an item whose outcome was taken.
    pub(super) fn take_out(&self, numbers: impl Iterator<Item = u64>, into: &mut Vec<Entry>) {
        let mut state = self.state.lock();
        into.extend(numbers.filter_map(|number| state.entries.remove(&number)));
    }

    /// Once nothing more is fed, and all outcomes were taken: where those stand that the service did not accept, or whose outcomes are
    /// lost, in the order in which they were delivered.
    pub(super) fn take_left(&self) -> Vec<Position> {
        let entries = std::mem::take(&mut self.state.lock().entries);
        let mut left: Vec<(u64, Position)> =
            entries.into_iter().map(|(number, entry)| (number, entry.position)).collect();
        left.sort_unstable_by_key(|(number, _)| *number);
        left.into_iter().map(|(_, position)| position).collect()
    }

    /// An item has ended; what its attempts before the last failed with.
    pub(super) fn remember(&self, number: u64, history: String) {
        if let Some(entry) = self.state.lock().entries.get_mut(&number) {
            entry.told.get_or_insert_default().history = history;
        }
    }

    /// So many messages are not in hand any more.
    pub(super) fn release(&self, messages: usize, count: impl FnOnce(&mut BrokerCounts)) {
        let mut state = self.state.lock();
        state.counts.in_hand -= messages.min(state.counts.in_hand);
        count(&mut state.counts);
        let enough = state.wanted.is_some_and(|wanted| self.window.saturating_sub(state.counts.in_hand) >= wanted);
        if enough && !broken!("settling_wakes_no_feeder") {
            self.changed.notify_all();
        }
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut BrokerCounts)) {
        count(&mut self.state.lock().counts);
    }

    /// Takes nothing more. Returns whether that is new.
    pub(super) fn end(&self) -> bool {
        let mut state = self.state.lock();
        let first = !std::mem::replace(&mut state.ending, true);
        self.changed.notify_all();
        first
    }

    /// From when on what fails is not tried again; the earliest counts.
    pub(super) fn give_up_at(&self, when: Option<Instant>) {
        let mut state = self.state.lock();
        state.give_up = state.give_up.into_iter().chain(when).min();
        self.changed.notify_all();
    }

    /// Ends because of this. The first reason is kept.
    pub(super) fn fail(&self, error: ConnectError) {
        let mut state = self.state.lock();
        state.failure.get_or_insert(error);
        state.ending = true;
        state.give_up.get_or_insert(now() + GRACE);
        self.changed.notify_all();
    }

    pub(super) fn set_fed(&self) {
        self.state.lock().fed = true;
        if !broken!("fed_wakes_nobody") {
            self.changed.notify_all();
        }
    }

    /// Waits until nothing more is fed.
    pub(super) fn wait_fed(&self) {
        let mut state = self.state.lock();
        while !state.fed && !broken!("fed_is_not_awaited") {
            self.changed.wait(&mut state);
        }
    }

    pub(super) fn set_settled(&self) {
        self.state.lock().settled = true;
        if !broken!("settled_wakes_nobody") {
            self.changed.notify_all();
        }
    }

    /// Waits until all is settled, or until then. Returns whether it is.
    pub(super) fn wait_settled(&self, until: Option<Instant>) -> bool {
        let mut state = self.state.lock();
        while !state.settled {
            if self.changed.wait_until(&mut state, until) {
                return state.settled;
            }
        }
        true
    }

    /// A call has failed, and may be made again after that. Waits for it; returns false if it is not to be made again. The feeder
    /// does not wait once the consumer is ending.
    pub(super) fn back_off(&self, delay: Duration, part: Part) -> bool {
        let mut state = self.state.lock();
        let until = now() + delay;
        loop {
            let over = state.give_up.is_some_and(|give_up| give_up <= now());
            if over || (part == Part::Reader && state.ending) {
                return false;
            }
            if now() >= until {
                return true;
            }
            let until = state.give_up.map_or(until, |give_up| give_up.min(until));
            self.changed.wait_until(&mut state, Some(until));
        }
    }

    /// The delays between attempts to reach a broker, without an end.
    pub(super) fn delays(&self) -> impl Iterator<Item = Duration> + '_ {
        self.backoff.delays().chain(std::iter::repeat(Duration::from_secs(1)))
    }

    /// A broker cannot be reached.
    pub(super) fn lost(&self, part: Part, engine: &'static str, why: &ConnectError) {
        let trouble = &mut self.state.lock().troubles[part as usize];
        let since = trouble.as_ref().map_or_else(now, |trouble| trouble.since);
        *trouble = Some(Trouble { since, broker: format!("{engine}, for {}", part.name()), why: why.to_string() });
    }

    /// A broker was reached.
    pub(super) fn reached(&self, part: Part) {
        let mut state = self.state.lock();
        if state.troubles[part as usize].take().is_some() {
            state.counts.reconnects += 1;
        }
    }

    /// What is wrong with the brokers.
    pub(super) fn reasons(&self) -> Vec<Reason> {
        let limit = self.unhealthy_after;
        let state = self.state.lock();
        let troubles = Part::ALL.iter().filter_map(|part| state.troubles[*part as usize].as_ref());
        let reason = |trouble: &Trouble| Reason::BrokerLost {
            broker: trouble.broker.clone(),
            why: trouble.why.clone(),
            since: now().saturating_duration_since(trouble.since),
            limit,
        };
        troubles.map(reason).collect()
    }

    /// Calls a broker until it answers, unless the time for that is over or it refuses. `None` then; the refusal has ended the consumer.
    pub(super) fn insist<R>(
        &self,
        part: Part,
        engine: &'static str,
        mut call: impl FnMut() -> Result<R, ConnectError>,
    ) -> Option<Result<R, ConnectError>> {
        let mut delays = self.delays();
        loop {
            if self.state.lock().given_up[part as usize] {
                return None;
            }
            match guarded(engine, &mut call) {
                // It is there if it refuses one message.
                answer @ (Ok(_) | Err(ConnectError::Message { .. })) => {
                    self.reached(part);
                    return Some(answer);
                }
                Err(error) if error.is_transient() => {
                    self.lost(part, engine, &error);
                    let delay = delays.next().unwrap_or(GRACE);
                    if !self.back_off(delay, part) {
                        self.state.lock().given_up[part as usize] = !broken!("given_up_is_tried_again");
                        return None;
                    }
                }
                Err(error) => {
                    self.fail(error);
                    return None;
                }
            }
        }
    }
}

/// The name of an engine.
pub(super) fn name_of(call: impl FnOnce() -> &'static str) -> Result<&'static str, ConnectError> {
    guarded("source or sink", || Ok(call()))
}

/// Calls an engine, which may be anybody's. A panic is a refusal.
pub(super) fn guarded<R>(
    engine: &'static str,
    call: impl FnOnce() -> Result<R, ConnectError>,
) -> Result<R, ConnectError> {
    crate::panics::catch(call).unwrap_or_else(|payload| {
        let what = format!("the engine panicked: {}", crate::panics::message(&payload));
        crate::panics::discard(payload);
        Err(ConnectError::Refused { engine, what, advice: "mend the engine".into() })
    })
}
