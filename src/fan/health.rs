//! Checks of a service's health: what is looked at, and what it means.

use super::control::Control;
use super::core::{Core, LaneOf};
use super::work::Work;
use crate::observe::{Growth, Health, Reason, Still};
use crate::resilience::Clock;
use crate::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A queue shorter than this, and than half of the window, is never one that only grows.
const LEAST: usize = 100;

/// A thread that runs an item, as a check sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seat {
    pub(super) lane: usize,
    /// Which slot it has, and how many items it has begun.
    pub(super) slot: usize,
    pub(super) turn: usize,
    pub(super) worker: Option<usize>,
    /// The item that it runs; of a batch, the first.
    pub(super) item: u64,
}

/// What a check sees of a service.
#[derive(Debug, Clone)]
pub(super) struct Sight {
    pub(super) seats: Vec<Seat>,
    /// How many threads may run items at once, and how many lanes there are.
    pub(super) places: usize,
    pub(super) lanes: usize,
    pub(super) depth: usize,
    pub(super) window: usize,
    pub(super) in_flight: usize,
    /// Outcomes that were taken, as counted by the credits, and those that are there to be.
    pub(super) taken: usize,
    pub(super) untaken: usize,
    /// The collector has left before the end, with so many outcomes that nobody took.
    pub(super) lost: Option<u64>,
    pub(super) paused: bool,
    pub(super) closed: bool,
    /// Open breakers, the key of one, and when the first admits a call.
    pub(super) breaker: Option<(usize, Option<u64>, Duration)>,
}

/// What stands still until its count moves.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Thing {
    /// A slot, with its turns.
    Slot(usize, usize, usize),
    /// A full window, with what was taken.
    Window(usize),
}

/// What checks of a service remember, and how it is looked at; shared by its controls.
pub(super) struct Checks {
    clock: Clock,
    limit: Duration,
    ordered: bool,
    watch: Mutex<Watch>,
}

#[derive(Debug)]
struct Watch {
    still: Still<Thing>,
    growth: Growth,
}

impl Watch {
    fn new() -> Watch {
        Watch { still: Still::new(), growth: Growth::default() }
    }

    /// * An item is *stuck* if its thread has begun no other for `limit`, from the check that saw it first.
    /// * The service is not *live* if that is so of all the threads that may run items at once.
    /// * It is *not collected* if the window is full with done items and nothing was taken for `limit`. Where outcomes are delivered in
    ///   order all of the window must be done, since one that is not may be what all others wait for.
    fn check(&mut self, now: Instant, limit: Duration, name: &str, ordered: bool, sight: &Sight) -> Health {
        let Sight { in_flight, window, untaken, .. } = *sight;
        let least = if ordered { window } else { 1 };
        let full = in_flight >= window && untaken >= least && sight.lost.is_none();
        let slots = sight.seats.iter().map(|seat| Thing::Slot(seat.lane, seat.slot, seat.turn));
        let things = slots.chain(full.then_some(Thing::Window(sight.taken)));
        let marks = self.still.look(now, things.map(|thing| (thing, None)));
        let mut reasons = Vec::new();
        let mut stuck = 0;
        for (seat, mark) in sight.seats.iter().zip(&marks) {
            let Some(since) = mark.stuck(now, limit) else { continue };
            stuck += 1;
            reasons.push(Reason::Stuck {
                id: mark.id,
                worker: seat.worker,
                task: Some(name.to_owned()),
                item: Some(seat.item),
                lane: (sight.lanes > 1).then_some(seat.lane),
                since,
                blocking: false,
            });
        }
        let uncollected = marks.get(sight.seats.len()).and_then(|mark| mark.stuck(now, limit));
        reasons.extend(uncollected.map(|since| Reason::NotCollected { in_flight, since }));
        let queued = (!sight.paused).then_some(sight.depth);
        if let Some(checks) = self.growth.look(now, limit / 30, LEAST.min(window / 2), queued) {
            reasons.push(Reason::QueueGrows { queued: sight.depth, checks });
        }
        if let Some((open, key, retry_after)) = sight.breaker {
            reasons.push(Reason::BreakerOpen { open, key, retry_after });
        }
        if sight.paused {
            reasons.push(Reason::Paused);
        }
        match sight.lost {
            Some(lost) => reasons.push(Reason::CollectorStopped { lost }),
            None if sight.closed => reasons.push(Reason::Closed { left: in_flight }),
            None => {}
        }
        Health::new(reasons, stuck == 0 || stuck < sight.places)
    }
}

impl Checks {
    pub(super) fn new(clock: Clock, limit: Duration, ordered: bool) -> Arc<Checks> {
        Arc::new(Checks { clock, limit, ordered, watch: Mutex::new(Watch::new()) })
    }

    fn check(&self, name: &str, look: impl FnOnce() -> Sight) -> Health {
        // Held from the look on, so that what checks remember is never older than what they see.
        let mut watch = self.watch.lock();
        let sight = look();
        watch.check(self.clock.now(), self.limit, name, self.ordered, &sight)
    }
}

impl<'a, T: Send + 'a, W: Work<T> + 'a> Core<'a, T, W> {
    pub(super) fn sight(&self) -> Sight {
        let mut seats = Vec::new();
        let mut depth = 0;
        for (at, lane) in self.lanes.iter().enumerate() {
            let lane: &LaneOf<T, W> = lane;
            let held = lane.queue.lock();
            depth += held.waiting.waiting() + self.intake.lock().lanes[at].arrived.len();
            for slot in &held.slots {
                depth += slot.waiting();
                let address = std::ptr::from_ref(&**slot).addr();
                let running = slot.at_work();
                seats.extend(running.map(|(item, turn, worker)| Seat { lane: at, slot: address, turn, worker, item }));
            }
        }
        let (landed, lost) = self.landing.seen();
        let credits = &self.landing.credits;
        let intake = self.intake.lock();
        let taken = credits.released();
        let lanes = self.lanes.len();
        Sight {
            seats,
            places: intake.limit.saturating_mul(lanes).min(self.host.size()),
            lanes,
            depth,
            window: credits.window(),
            in_flight: credits.in_flight(intake.accepted as usize, taken),
            taken,
            // What was taken since the look at the landing is not there any more.
            untaken: (landed as usize).saturating_sub(taken),
            lost,
            paused: intake.paused,
            closed: intake.closed.is_some(),
            breaker: None,
        }
    }

    /// What its breakers refuse.
    pub(super) fn open_breakers(&self) -> Option<(usize, Option<u64>, Duration)> {
        let breaking = self.guard.as_ref()?.policies.breaker.as_ref()?;
        breaking.open()
    }
}

impl Control<'_> {
    /// Makes a check: how the service is, and why. It takes the service's locks for a moment, waits for no item and calls no code of the user's.
    ///
    /// What follows from the checks before is remembered in the service, for all of its controls, so make one every few seconds. Most is as for
    /// [`Pool::health`](crate::Pool::health), with these differences:
    ///
    /// * An item is **stuck** once its handler has run for [`stuck_after`](crate::FanOutBuilder::stuck_after), from the first check that saw
    ///   it; so the second check after the limit names it at the latest. All threads that run items of this service are watched, those that help too,
    ///   and no others of a shared pool: whether that has workers to spare is told by the pool's health.
    /// * **Missing threads** are reported only of a service that has workers of its own.
    /// * A **breaker is open** as long as it refuses calls. It is not while it lets probes through.
    /// * The **collector has stopped** if the output was dropped before the last outcome was taken, and it does **not collect** if the window is full with
    ///   what is done and nothing was taken for `stuck_after`.
    /// * The **queue only grows** from half of the window on, if that is less than 100.
    /// * It is **not live** if as many handlers are stuck as may run at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{FanOut, Reason, Status, testing::ManualClock};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let (input, mut output) = FanOut::builder(|n: u8| Ok::<u8, ()>(n)).window(1).clock(&clock).start()?;
    /// let control = input.control();
    /// input.send(1)?;
    /// while control.counts().finished < 1 {
    ///     std::thread::yield_now();
    /// }
    /// assert_eq!(control.health().status(), Status::Healthy);
    /// clock.advance(Duration::from_secs(30));
    /// let since = Duration::from_secs(30);
    /// assert_eq!(control.health().reasons(), [Reason::NotCollected { in_flight: 1, since }]);
    /// output.recv()?;
    /// assert_eq!(control.health().status(), Status::Healthy);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn health(&self) -> Health {
        // Apart from the others' locks: breakers have their own, and a pool does.
        let breaker = self.service().open_breakers();
        let health = self.checks().check(self.name(), || Sight { breaker, ..self.service().sight() });
        match self.resizer().and_then(|resizer| resizer.missing()) {
            Some(missing) => {
                let reasons = health.reasons().iter().cloned().chain([missing]).collect();
                Health::new(reasons, health.is_live())
            }
            None => health,
        }
    }
}

#[cfg(all(test, not(fanpool_loom)))]
mod tests {
    use super::*;
    use crate::observe::Status;

    const LIMIT: Duration = Duration::from_secs(30);

    fn sight() -> Sight {
        Sight {
            seats: Vec::new(),
            places: 2,
            lanes: 1,
            depth: 0,
            window: 8,
            in_flight: 0,
            taken: 0,
            untaken: 0,
            lost: None,
            paused: false,
            closed: false,
            breaker: None,
        }
    }

    fn seat(slot: usize, turn: usize) -> Seat {
        Seat { lane: 0, slot, turn, worker: Some(slot), item: turn as u64 }
    }

    #[test]
    fn b6_stuck_items_are_those_that_stay() {
        let start = Instant::now();
        let mut watch = Watch::new();
        // The second, the turns of the threads, and which items are stuck.
        let checks: [(u64, &[usize], &[u64]); 6] = [
            (0, &[7], &[]),
            (10, &[7, 3], &[]),
            (30, &[7, 4], &[7]),
            (60, &[7, 4], &[7, 4]),
            (61, &[8, 4], &[4]),
            (62, &[], &[]),
        ];
        for (second, turns, wanted) in checks {
            let seats = turns.iter().enumerate().map(|(slot, turn)| seat(slot, *turn)).collect();
            let now = start + Duration::from_secs(second);
            let health = watch.check(now, LIMIT, "thumbs", false, &Sight { seats, ..sight() });
            let items = health.reasons().iter().filter_map(|reason| match reason {
                Reason::Stuck { item, task, lane: None, .. } if task.as_deref() == Some("thumbs") => *item,
                _ => None,
            });
            let items = items.collect::<Vec<_>>();
            assert_eq!(items, wanted, "second {second}");
            assert_eq!(health.is_live(), wanted.len() < 2, "second {second}");
        }
    }

    #[test]
    fn a_window_is_not_collected_as_the_table_says() {
        // Whether outcomes are ordered, items in flight, outcomes to take; at seconds 0, 30 and 31, how many were taken. Whether that is told then.
        let rows = [
            ("full of what is done", false, 8, 8, [5, 5, 6], [false, true, false]),
            ("some of it", false, 8, 1, [5, 5, 5], [false, true, true]),
            ("none of it", false, 8, 0, [5, 5, 5], [false; 3]),
            ("not full", false, 7, 7, [5, 5, 5], [false; 3]),
            ("in order, with one that is not done", true, 8, 7, [5, 5, 5], [false; 3]),
            ("in order", true, 8, 8, [5, 5, 6], [false, true, false]),
            ("one is taken now and then", false, 8, 8, [5, 6, 7], [false; 3]),
        ];
        let start = Instant::now();
        for (name, ordered, in_flight, untaken, taken, wanted) in rows {
            let mut watch = Watch::new();
            let looks = [0, 30, 31].into_iter().zip(taken).map(|(second, taken)| {
                let now = start + Duration::from_secs(second);
                let health = watch.check(now, LIMIT, "", ordered, &Sight { in_flight, untaken, taken, ..sight() });
                assert_eq!(health.is_ready(), health.status() == Status::Healthy);
                health.reasons().iter().any(|reason| matches!(reason, Reason::NotCollected { in_flight: 8, .. }))
            });
            assert_eq!(looks.collect::<Vec<_>>(), wanted, "{name}");
        }
    }
}
