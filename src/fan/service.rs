//! A service as its ends see it, without the handler's type.

use super::core::{Core, LaneOf};
use super::health::Sight;
use super::landing::ServiceCounts;
use super::serve::Served;
use super::settings::{Help, Spread};
use super::work::Work;
use super::{Party, Wait};
use crate::error::{BuildError, ResizeError, SendReason, TaskError};
use crate::observe::{Metrics, Progress};
use crate::sync::atomic::Ordering;
use crate::sync::{broken, thread};
use std::time::{Duration, Instant};

/// What inputs ask of a service.
pub(super) trait Accept<T>: Send + Sync {
    fn accept(&self, item: T, wait: Wait) -> Result<u64, (T, SendReason)>;
}

/// What a stage asks of the next one.
pub(super) trait Pass<E>: Send + Sync {
    fn pass(&self, error: TaskError<E>, wait: Wait) -> Result<u64, (TaskError<E>, SendReason)>;
}

/// Whether a collector runs items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Helping {
    No,
    /// And senders do not.
    Alone,
    AsSendersDo,
}

/// How a collector parks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parking {
    /// It does not: there are items to run.
    Not,
    /// As one who may be rung for to run items.
    Idle,
    /// Waiting for outcomes alone.
    Apart,
}

/// What everybody asks of a service.
pub(super) trait Service: Send + Sync {
    fn close(&self, reason: SendReason);
    fn stop(&self) -> ServiceCounts;
    fn pause(&self);
    fn resume(&self);
    fn set_limit(&self, limit: usize) -> Result<(), ResizeError>;
    /// Why items are refused.
    fn closed(&self) -> Option<SendReason>;
    fn is_paused(&self) -> bool;
    /// Items that wait to be started.
    fn depth(&self) -> usize;
    /// Those of them that must not be started yet.
    fn put_off(&self) -> usize;
    fn in_flight(&self) -> usize;
    fn counts(&self) -> ServiceCounts;
    fn metrics(&self, name: &str) -> Metrics;
    fn progress(&self) -> Progress;
    /// How many items there will be.
    fn expect_items(&self, items: usize);
    /// What a check of its health sees, apart from the breakers.
    fn sight(&self) -> Sight;
    /// How many of its breakers are open, the key of one, and when the first admits a call.
    fn open_breakers(&self) -> Option<(usize, Option<u64>, Duration)>;
    /// Whether the calling thread runs an item of this service, or is a worker that it may need.
    fn is_inside(&self) -> bool;
    /// Senders may go on.
    fn wake_senders(&self);
    /// Whether the collector, which would block, may run items.
    fn may_help(&self) -> Helping;
    /// Runs some items on the thread of the collector, if it may; returns whether it did.
    fn help_receiver(&self) -> bool;
    /// Registers the collector, which is about to park, as one who runs items if it is.
    fn park_receiver(&self) -> Parking;
    /// Ends what `park_receiver` began with [`Parking::Idle`].
    fn unpark_receiver(&self);
    /// Waits until nothing more is accepted and everything that was has ended.
    fn wait(&self, deadline: Option<Instant>) -> Option<ServiceCounts>;
    #[cfg(fanpool_loom)]
    fn believe_cheap(&self);
}

impl<'a, T: Send + 'a, W: Work<T> + 'a> Accept<T> for Core<'a, T, W> {
    fn accept(&self, item: T, wait: Wait) -> Result<u64, (T, SendReason)> {
        Core::accept(self, item, wait)
    }
}

impl<'a, T: Send + 'a, W: Work<T> + 'a> Pass<W::Error> for Core<'a, T, W> {
    fn pass(&self, error: TaskError<W::Error>, wait: Wait) -> Result<u64, (TaskError<W::Error>, SendReason)> {
        Core::pass(self, error, wait)
    }
}

impl<'a, T: Send + 'a, W: Work<T> + 'a> Service for Core<'a, T, W> {
    fn close(&self, reason: SendReason) {
        Core::close(self, reason);
    }

    fn stop(&self) -> ServiceCounts {
        Core::stop(self)
    }

    fn pause(&self) {
        let mut intake = self.intake.lock();
        intake.paused = true;
        self.halted.store(true, Ordering::Relaxed);
    }

    fn resume(&self) {
        {
            let mut intake = self.intake.lock();
            intake.paused = false;
            self.halted.store(false, Ordering::Relaxed);
        }
        if !broken!("resume_rouses_nobody") {
            self.rouse();
        }
    }

    fn set_limit(&self, limit: usize) -> Result<(), ResizeError> {
        if self.settings.route != Spread::Shared {
            return Err(ResizeError::Sharded);
        }
        BuildError::check("limit", limit, 1..=usize::MAX)?;
        {
            let mut intake = self.intake.lock();
            intake.limit = limit;
            self.look_for_crowds(&intake);
        }
        if !broken!("limit_rouses_nobody") {
            self.rouse();
        }
        Ok(())
    }

    fn closed(&self) -> Option<SendReason> {
        self.intake.lock().closed
    }

    fn is_paused(&self) -> bool {
        self.intake.lock().paused
    }

    fn depth(&self) -> usize {
        let depth = |(at, lane): (usize, &LaneOf<T, W>)| {
            let held = lane.queue.lock();
            let intake = self.intake.lock();
            let hands: usize = held.slots.iter().map(|slot| slot.waiting()).sum();
            held.waiting.waiting() + intake.lanes[at].arrived.len() + hands
        };
        self.lanes.iter().enumerate().map(depth).sum()
    }

    fn put_off(&self) -> usize {
        self.lanes.iter().map(|lane| lane.queue.lock().waiting.put_off_now()).sum()
    }

    fn in_flight(&self) -> usize {
        let intake = self.intake.lock();
        let credits = &self.landing.credits;
        credits.in_flight(intake.accepted as usize, credits.released())
    }

    fn counts(&self) -> ServiceCounts {
        self.accounts()
    }

    fn metrics(&self, name: &str) -> Metrics {
        Core::metrics(self, name)
    }

    fn progress(&self) -> Progress {
        self.progress_of(&self.landing.counts())
    }

    fn expect_items(&self, items: usize) {
        self.expected.store(items, Ordering::Relaxed);
    }

    fn sight(&self) -> Sight {
        Core::sight(self)
    }

    fn open_breakers(&self) -> Option<(usize, Option<u64>, Duration)> {
        Core::open_breakers(self)
    }

    fn is_inside(&self) -> bool {
        let me = thread::id();
        let runs = |lane: &LaneOf<T, W>| lane.queue.lock().slots.iter().any(|slot| slot.is_owner(me));
        self.host.is_inside() || self.lanes.iter().any(runs)
    }

    fn wake_senders(&self) {
        self.wake_all(&self.intake.lock());
    }

    fn may_help(&self) -> Helping {
        match (Core::may_help(self, Party::Receiver), self.settings.help) {
            (false, _) => Helping::No,
            (true, Help::Both) => Helping::AsSendersDo,
            (true, _) => Helping::Alone,
        }
    }

    fn help_receiver(&self) -> bool {
        (Core::may_help(self, Party::Receiver) || self.must_help()) && self.help() != Served::Nothing
    }

    fn park_receiver(&self) -> Parking {
        if !(Core::may_help(self, Party::Receiver) || self.must_help()) {
            return Parking::Apart;
        }
        self.intake.lock().receiver_idle = true;
        // What comes from now on rings; what was there before is seen now.
        if self.could_help() && !broken!("idle_collector_does_not_look") {
            // It may have been rung for in between.
            self.unpark_receiver();
            return Parking::Not;
        }
        Parking::Idle
    }

    fn unpark_receiver(&self) {
        let rung = {
            let mut intake = self.intake.lock();
            !std::mem::replace(&mut intake.receiver_idle, false)
        };
        // Whoever rang relies on this thread, which may have found something in another lane than that it was rung for.
        if rung && !broken!("summons_not_passed_on") && !(self.help_receiver() && self.lanes.len() == 1) {
            self.rouse();
        }
    }

    fn wait(&self, deadline: Option<Instant>) -> Option<ServiceCounts> {
        Core::wait(self, deadline)
    }

    #[cfg(fanpool_loom)]
    fn believe_cheap(&self) {
        self.pace.believe_cheap();
    }
}
