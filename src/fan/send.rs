//! How items get in: a credit, a number, a lane.

use super::core::{Core, Intake, panicked};
use super::guard::Past;
use super::landing::{Done, NO_WORKER};
use super::queue::Entry;
use super::serve::Served;
use super::settings::{Help, Spread};
use super::work::Work;
use super::{Party, Patience, Wait};
use crate::error::{SendReason, TaskError};
use crate::panics;
use crate::sync::atomic::Ordering;
use crate::sync::{MODEL, MutexGuard, broken, now, thread};
use crate::trace::Carried;
use std::collections::VecDeque;
use std::time::Instant;

/// What a sender sees.
enum Look<'a, T> {
    Room(MutexGuard<'a, Intake<T>>),
    Closed(SendReason),
    /// So many items were accepted.
    Full(usize),
}

impl<'a, T: Send + 'a, W: Work<T> + 'a> Core<'a, T, W> {
    /// Accepts an item, or gives it back.
    pub(super) fn accept(&self, item: T, wait: Wait) -> Result<u64, (T, SendReason)> {
        // Functions of the user's run before any lock is taken, and so does the subscriber.
        let trace = Carried::capture(None);
        let address = match self.settings.plain_address() {
            Some(address) => Ok(address),
            None => panics::catch(|| self.settings.address(&item)),
        };
        let mut intake = match self.room(wait) {
            Ok(intake) => intake,
            Err(reason) => {
                if let Err(payload) = address {
                    panics::discard(payload);
                }
                self.refused.fetch_add(1, Ordering::Relaxed);
                return Err((item, reason));
            }
        };
        let address = match address {
            Ok(address) => address,
            Err(payload) => {
                let seq = self.number(intake);
                let error = panicked(payload);
                let error = match &self.guard {
                    Some(guard) => self.bury(guard, seq, Some(item), Past::none(), error),
                    None => {
                        panics::drop_each([item]);
                        error
                    }
                };
                self.land_failed(seq, error);
                return Ok(seq);
            }
        };
        let seq = intake.accepted;
        self.take_number(&mut intake);
        let lane = self.choose_lane(&mut intake, address.mark);
        let places = &mut intake.lanes[lane];
        let shares = !places.arrived.is_empty() && self.pace.is_fine() && self.armed.load(Ordering::Relaxed);
        if !shares || seq % 64 == 0 {
            intake.stamp = self.time();
        }
        let entry = Entry { seq, sent: intake.stamp, mark: address.mark, class: address.class, trace, item };
        intake.lanes[lane].arrived.push_back(entry);
        let summons = self.summon_for_push(&mut intake, lane);
        drop(intake);
        self.follow(lane, summons);
        Ok(seq)
    }

    /// Passes on the failure of an item of an earlier stage: it takes a place in the window and in the order, and is done.
    pub(super) fn pass(
        &self,
        error: TaskError<W::Error>,
        wait: Wait,
    ) -> Result<u64, (TaskError<W::Error>, SendReason)> {
        match self.room(wait) {
            Ok(intake) => {
                let seq = self.number(intake);
                self.land_failed(seq, error);
                Ok(seq)
            }
            Err(reason) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                Err((error, reason))
            }
        }
    }

    fn number(&self, mut intake: MutexGuard<'_, Intake<T>>) -> u64 {
        let seq = intake.accepted;
        self.take_number(&mut intake);
        seq
    }

    fn take_number(&self, intake: &mut Intake<T>) {
        intake.accepted += 1;
        self.landing.accepted_hint.store(intake.accepted as usize, Ordering::Relaxed);
    }

    fn land_failed(&self, seq: u64, error: TaskError<W::Error>) {
        let done = Done { seq, queued: 0, ran: 0, worker: NO_WORKER, attempts: 0, result: Err(error) };
        self.land(&mut VecDeque::from([done]));
    }

    fn choose_lane(&self, intake: &mut Intake<T>, mark: u64) -> usize {
        let lanes = self.lanes.len();
        if lanes == 1 {
            return 0;
        }
        match self.settings.route {
            Spread::Shared => 0,
            Spread::RoundRobin => {
                intake.next_lane = (intake.next_lane + 1) % lanes;
                intake.next_lane
            }
            Spread::Hash => (mark % lanes as u64) as usize,
            Spread::Least => {
                // Looking begins elsewhere each time, so that equal loads take turns.
                intake.next_lane = (intake.next_lane + 1) % lanes;
                let first = intake.next_lane;
                let load = |lane: &usize| self.lanes[*lane].load.load(Ordering::Relaxed);
                let lane = (0..lanes).map(|at| (first + at) % lanes).min_by_key(load).unwrap_or(first);
                self.lanes[lane].load.fetch_add(mark as usize, Ordering::Relaxed);
                lane
            }
        }
    }

    /// Waits for room in the window.
    fn room(&self, wait: Wait) -> Result<MutexGuard<'_, Intake<T>>, SendReason> {
        let accepted = match self.look_for_room() {
            Look::Room(intake) => return Ok(intake),
            Look::Closed(reason) => return Err(reason),
            Look::Full(_) if wait == Wait::Not => return Err(SendReason::Full),
            Look::Full(accepted) => accepted,
        };
        let both = self.settings.help == Help::Both;
        if both {
            self.landing.blocked_hint.fetch_add(1, Ordering::Relaxed);
        }
        let room = self.wait_for_room(accepted, wait);
        if both {
            self.landing.blocked_hint.fetch_sub(1, Ordering::Relaxed);
        }
        room
    }

    fn look_for_room(&self) -> Look<'_, T> {
        let mut intake = self.intake.lock();
        if let Some(reason) = intake.closed {
            Look::Closed(reason)
        } else if self.has_room(&mut intake) {
            Look::Room(intake)
        } else {
            Look::Full(intake.accepted as usize)
        }
    }

    /// Helps, spins, and parks until there is room; `accepted` is what the last look saw.
    fn wait_for_room(&self, mut accepted: usize, wait: Wait) -> Result<MutexGuard<'_, Intake<T>>, SendReason> {
        let patience = Patience::of(self.settings.help != Help::Never && self.pace.is_cheap());
        let woke = !MODEL && self.woke.load(Ordering::Relaxed) && self.woke.swap(false, Ordering::Relaxed);
        let mut spins = if woke { patience.after_waking } else { patience.spins };
        // Under the model no time passes in which to be patient.
        let mut patient = !MODEL;
        loop {
            if let Wait::Until(Some(deadline)) = wait {
                if now() >= deadline {
                    return Err(SendReason::TimedOut);
                }
            }
            let helps = self.may_help(Party::Sender) || spins == 0 && self.must_help();
            let served = if helps { self.help() } else { Served::Nothing };
            match served {
                Served::Some => spins = patience.spins,
                Served::AndRang => spins = patience.after_waking,
                Served::Nothing if spins == 0 => self.park_sender(wait, &mut patient),
                Served::Nothing => {
                    let credits = &self.landing.credits;
                    let enough = credits.window() / 2;
                    let full = || credits.in_flight(accepted, credits.released()) > enough;
                    thread::spin_for(spins, full);
                    thread::yield_for(patience.yields, full);
                    spins = 0;
                }
            }
            match self.look_for_room() {
                Look::Room(intake) => return Ok(intake),
                Look::Closed(reason) => return Err(reason),
                Look::Full(now) => accepted = now,
            }
        }
    }

    fn has_room(&self, intake: &mut Intake<T>) -> bool {
        let credits = &self.landing.credits;
        let accepted = intake.accepted as usize;
        if credits.in_flight(accepted, intake.released) < credits.window() {
            return true;
        }
        intake.released = credits.released();
        credits.in_flight(accepted, intake.released) < credits.window() + usize::from(broken!("window_of_one_more"))
    }

    /// Parks until there is room, the service is closed, or an item is to be run by this thread because nobody else might.
    fn park_sender(&self, wait: Wait, patient: &mut bool) {
        let credits = &self.landing.credits;
        let free = if *patient { credits.window().div_ceil(2) } else { 1 };
        let mut until = if let Wait::Until(deadline) = wait { deadline } else { None };
        if *patient {
            let soon = now() + super::credits::PATIENCE;
            until = Some(until.map_or(soon, |deadline| deadline.min(soon)));
        }
        let full = |intake: &Intake<T>| intake.closed.is_none() && credits.wait_for(intake.accepted as usize, free);
        *patient &= !self.park_hand(self.must_help(), || false, full, until);
    }

    /// Parks a caller until the senders are woken; one that `must` run items, also until it is called to. It does not park if
    /// there is an item for it, or it is `over` what it waits for, or is not `blocked` as seen under the lock. Returns whether the
    /// time ran out.
    ///
    /// Whoever calls counts the call under the intake's lock, for those who are registered. What was there before they registered
    /// is seen by their look; what comes later is counted, and they do not park.
    pub(super) fn park_hand(
        &self,
        must: bool,
        over: impl FnOnce() -> bool,
        blocked: impl FnOnce(&Intake<T>) -> bool,
        until: Option<Instant>,
    ) -> bool {
        let mut intake = self.intake.lock();
        let calls = intake.calls;
        let mut park = true;
        if must {
            intake.hands += 1;
            drop(intake);
            park = !self.could_help() && !over();
            intake = self.intake.lock();
        }
        let late = park && intake.calls == calls && blocked(&intake) && self.room.wait_until(&mut intake, until);
        intake.hands -= usize::from(must);
        late
    }

    /// Wakes all senders that wait.
    pub(super) fn wake_all(&self, _: &Intake<T>) {
        self.landing.credits.woken();
        self.room.notify_all();
    }
}
