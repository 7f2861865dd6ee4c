//! What all parts of one service share, and how it ends.

use super::Tap;
use super::guard::Guard;
use super::landing::{Done, Landing, ServiceCounts};
use super::pace::Pace;
use super::queue::{Entry, Queue};
use super::settings::{Settings, Spread};
use super::slot::Slot;
use super::work::Work;
use crate::error::{SendReason, TaskError, TaskPanicked};
use crate::group::Host;
use crate::panics::{self, Payload};
use crate::pool::{Alarm, Timer};
use crate::resilience::Sleeper;
use crate::sync::atomic::{AtomicBool, AtomicUsize};
use crate::sync::{Arc, CachePadded, Condvar, Mutex, Weak, broken, estimate, now};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Where items arrive, and the protocol's state.
pub(super) struct Intake<T> {
    pub(super) accepted: u64,
    pub(super) released: usize,
    /// Why items are refused.
    pub(super) closed: Option<SendReason>,
    /// Items with numbers from this one on are not started any more.
    pub(super) stopped: Option<u64>,
    pub(super) paused: bool,
    /// Threads that may run items of a lane at once.
    pub(super) limit: usize,
    pub(super) lanes: Vec<Places<T>>,
    pub(super) next_lane: usize,
    /// When items came last that nobody has taken over: items that are cheap share a look at the clock.
    pub(super) stamp: u64,
    /// The collector is parked and would run an item.
    pub(super) receiver_idle: bool,
    /// Parked senders that would run items, and how often they were called.
    pub(super) hands: usize,
    pub(super) calls: usize,
    /// Looks of the alarm that found nothing.
    pub(super) quiet: usize,
}

pub(super) struct Places<T> {
    pub(super) arrived: VecDeque<Entry<T>>,
    /// For a handler of batches, how many more the queue holds; elsewhere 0.
    pub(super) backlog: usize,
    pub(super) running: usize,
    /// A job that will come to this lane is in a group's queue.
    pub(super) queued: bool,
}

/// A queue with the threads that serve it.
pub(super) struct Lane<T, R, E, S> {
    pub(super) queue: CachePadded<Mutex<Held<T, R, E>>>,
    pub(super) states: Mutex<Vec<S>>,
    /// The weight of what waits and runs; kept where items are sent by it.
    pub(super) load: AtomicUsize,
}

/// The same, of the service with that handler.
pub(super) type LaneOf<T, W> = Lane<T, <W as Work<T>>::Out, <W as Work<T>>::Error, <W as Work<T>>::State>;
pub(super) type HeldOf<T, W> = Held<T, <W as Work<T>>::Out, <W as Work<T>>::Error>;
pub(super) type SlotOf<T, W> = Slot<T, <W as Work<T>>::Out, <W as Work<T>>::Error>;

pub(super) struct Held<T, R, E> {
    pub(super) waiting: Queue<T>,
    /// What the threads that have a place hold.
    pub(super) slots: Vec<Arc<Slot<T, R, E>>>,
    pub(super) spare: Vec<Arc<Slot<T, R, E>>>,
    /// If some waited at the alarm's last look: items with lower numbers than this had been accepted then.
    pub(super) mark: Option<u64>,
}

pub(super) struct Core<'a, T, W: Work<T>> {
    pub(super) me: Weak<Self>,
    pub(super) work: W,
    /// What to do about failures, if anything was chosen.
    pub(super) guard: Option<Box<Guard<'a, T, W::Error>>>,
    pub(super) settings: Settings<'a, T>,
    pub(super) landing: Arc<Landing<W::Out, W::Error>>,
    pub(super) intake: CachePadded<Mutex<Intake<T>>>,
    /// Where senders park, with the intake's lock.
    pub(super) room: Condvar,
    pub(super) lanes: Vec<LaneOf<T, W>>,
    pub(super) pace: Pace,
    /// Mirrors `paused` for a look between two items.
    pub(super) halted: AtomicBool,
    /// A lane has more threads than the limit allows, since that was lowered. Changed under the intake's lock; whoever takes an item that was sent
    /// after the change has had that lock, or the queue's from somebody who had, and sees it.
    pub(super) crowded: AtomicBool,
    pub(super) clock: Option<Clock>,
    /// Items that were given back to their senders.
    pub(super) refused: estimate::AtomicUsize,
    /// How many items there will be, or `usize::MAX`; only reported.
    pub(super) expected: estimate::AtomicUsize,
    /// A sender has just woken the collector; only a hint how long to spin.
    pub(super) woke: AtomicBool,
    /// The alarm is set. Cleared only under the locks of all queues and of the intake, and looked at under one of them.
    pub(super) armed: AtomicBool,
    /// There turned out to be no thread for the alarm. Set before every lane and every hand is looked at once more, and looked at under
    /// the intake's lock or the queue's: whoever still relied on the alarm is seen by that look.
    pub(super) deaf: AtomicBool,
    pub(super) began: Instant,
    pub(super) host: Arc<dyn Host>,
    pub(super) tap: Tap<'a>,
}

/// What rings for a service.
pub(super) struct Clock {
    pub(super) timer: Arc<Timer>,
    pub(super) alarm: Weak<dyn Alarm>,
    pub(super) sleeper: Weak<dyn Sleeper>,
}

impl<'a, T: Send + 'a, W: Work<T> + 'a> Core<'a, T, W> {
    pub(super) fn new(
        work: W,
        guard: Option<Box<Guard<'a, T, W::Error>>>,
        settings: Settings<'a, T>,
        landing: Arc<Landing<W::Out, W::Error>>,
        host: Arc<dyn Host>,
        tap: Tap<'a>,
        clock: impl FnOnce(&Weak<Self>) -> Option<Clock>,
    ) -> Arc<Self> {
        let lane = |_| Places { arrived: VecDeque::new(), backlog: 0, running: 0, queued: false };
        let held = || Held {
            waiting: Queue::new(settings.keyed, settings.class.is_some()),
            slots: Vec::new(),
            spare: Vec::new(),
            mark: None,
        };
        let lanes = (0..settings.lanes)
            .map(|_| Lane {
                queue: CachePadded::new(Mutex::new(held())),
                states: Mutex::new(Vec::new()),
                load: AtomicUsize::new(0),
            })
            .collect();
        let intake = Intake {
            accepted: 0,
            released: 0,
            closed: None,
            stopped: None,
            paused: false,
            limit: if settings.route == Spread::Shared { settings.limit } else { 1 },
            lanes: (0..settings.lanes).map(lane).collect(),
            next_lane: 0,
            stamp: 0,
            receiver_idle: false,
            hands: 0,
            calls: 0,
            quiet: 0,
        };
        let expected = settings.expected.unwrap_or(usize::MAX);
        Arc::new_cyclic(|me| Core {
            me: me.clone(),
            work,
            guard,
            settings,
            landing,
            intake: CachePadded::new(Mutex::new(intake)),
            room: Condvar::new(),
            lanes,
            pace: Pace::new(),
            halted: AtomicBool::new(false),
            crowded: AtomicBool::new(false),
            clock: clock(me),
            refused: estimate::AtomicUsize::new(0),
            expected: estimate::AtomicUsize::new(expected),
            woke: AtomicBool::new(false),
            armed: AtomicBool::new(false),
            deaf: AtomicBool::new(false),
            began: now(),
            host,
            tap,
        })
    }

    /// Nanoseconds since the service began.
    pub(super) fn time(&self) -> u64 {
        match &self.guard {
            Some(guard) => guard.time(guard.clock().now()),
            None => (now() - self.began).as_nanos() as u64,
        }
    }

    /// The other way round. Later than the clock can tell is a year from now.
    pub(super) fn instant(&self, nanos: u64) -> Instant {
        let year = Duration::from_secs(365 * 24 * 3600);
        self.began.checked_add(Duration::from_nanos(nanos)).unwrap_or_else(|| now() + year)
    }

    /// Lands outcomes; what nobody wants is dropped here.
    pub(super) fn land(&self, batch: &mut VecDeque<Done<W::Out, W::Error>>) -> bool {
        self.land_turn(batch, 0)
    }

    /// The same, of a thread that was at it for `busy` nanoseconds.
    pub(super) fn land_turn(&self, batch: &mut VecDeque<Done<W::Out, W::Error>>, busy: u64) -> bool {
        self.settings.record(batch);
        let (rung, over) = self.landing.land(batch, busy);
        panics::drop_each(batch.drain(..));
        if let Some(first) = over.filter(|_| !broken!("verdict_stops_nothing")) {
            self.stop_from(first);
        }
        if self.settings.scoped {
            self.tell_settled();
        }
        rung
    }

    /// Calls those who wait for the end and run items meanwhile, if it has come.
    fn tell_settled(&self) {
        if self.landing.settled().is_some() && !broken!("end_calls_no_hands") {
            Self::call_hands(&mut self.intake.lock(), &self.room);
        }
    }

    /// Refuses items from now on. Of several reasons the last that is given to senders is the strongest.
    pub(super) fn close(&self, reason: SendReason) {
        let total = {
            let mut intake = self.intake.lock();
            if reason == SendReason::Cancelled || intake.closed.is_none() {
                intake.closed = Some(reason);
            }
            if !broken!("close_wakes_no_sender") {
                self.wake_all(&intake);
            }
            intake.accepted
        };
        self.landing.set_total(total);
        self.tell_settled();
        if self.work.batching().is_some() {
            // A batch need not be waited for any more.
            self.rouse();
        }
    }

    /// Cancels what has not been started.
    pub(super) fn stop(&self) -> ServiceCounts {
        self.stop_from(0);
        self.accounts()
    }

    /// Cancels what has not been started of the items with numbers from `first` on, and refuses more.
    pub(super) fn stop_from(&self, first: u64) {
        for (lane, entries) in self.withdraw(first) {
            self.land_cancelled(lane, entries);
        }
    }

    /// Refuses more, and takes out of every lane what has not been started, with numbers from `first` on. The caller lands it.
    pub(super) fn withdraw(&self, first: u64) -> Vec<(usize, Vec<Entry<T>>)> {
        {
            let mut intake = self.intake.lock();
            intake.stopped = Some(intake.stopped.map_or(first, |before| before.min(first)));
        }
        self.close(SendReason::Cancelled);
        let withdraw = |(at, lane): (usize, &LaneOf<T, W>)| {
            let mut held = lane.queue.lock();
            let mut intake = self.intake.lock();
            if !broken!("stop_overlooks_arrivals") {
                self.absorb(&mut held, &mut intake, at);
            }
            let hands = held.slots.iter().flat_map(|slot| slot.take_from(first));
            let mut entries: Vec<_> = hands.collect();
            entries.extend(held.waiting.take_from(first));
            (at, entries)
        };
        self.lanes.iter().enumerate().map(withdraw).collect()
    }

    pub(super) fn accounts(&self) -> ServiceCounts {
        let accepted = self.intake.lock().accepted;
        ServiceCounts { accepted, ..self.landing.counts() }
    }

    /// Takes over what has arrived in a lane.
    pub(super) fn absorb(&self, held: &mut HeldOf<T, W>, intake: &mut Intake<T>, lane: usize) {
        let places = &mut intake.lanes[lane];
        held.waiting.receive(&mut places.arrived);
        held.waiting.sort_in();
        places.backlog = if self.work.batching().is_some() { held.waiting.ready() } else { 0 };
    }
}

impl<T, W: Work<T>> Drop for Core<'_, T, W> {
    fn drop(&mut self) {
        for lane in &self.lanes {
            panics::drop_each(lane.states.lock().drain(..));
        }
    }
}

pub(super) fn panicked<E>(payload: Payload) -> TaskError<E> {
    TaskError::Panicked(TaskPanicked::new(payload))
}
