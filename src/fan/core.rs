//! What all parts of one service share, and how items get in.

use super::landing::{Done, Landing, NO_WORKER, ServiceCounts};
use super::pace::Pace;
use super::queue::{Entry, Queue};
use super::serve::Served;
use super::settings::{Help, Settings, Spread};
use super::slot::Slot;
use super::work::Work;
use super::{Party, Tap, Wait};
use crate::error::{SendReason, TaskError, TaskPanicked};
use crate::group::Host;
use crate::job::{Call, Job, Verdict};
use crate::panics::{self, Payload};
use crate::pool::{Alarm, TICK, Timer};
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Arc, CachePadded, Condvar, MODEL, Mutex, MutexGuard, Weak, broken, now, thread};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

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
            (_, true) => Patience { spins: 192, yields: 0, after_waking: 2048 },
            (_, false) => Patience { spins: 16, yields: 8, after_waking: 16 },
        }
    }
}

/// Where items arrive, and the protocol's state.
pub(super) struct Intake<T> {
    pub(super) accepted: u64,
    released: usize,
    /// Why items are refused.
    pub(super) closed: Option<SendReason>,
    pub(super) paused: bool,
    /// Threads that may run items of a lane at once.
    pub(super) limit: usize,
    pub(super) lanes: Vec<Places<T>>,
    next_lane: usize,
    /// When items came last that nobody has taken over: items that are cheap share a look at the clock.
    stamp: u64,
    /// The collector is parked and would run an item.
    pub(super) receiver_idle: bool,
    /// Parked senders that would run items, and how often they were called.
    hands: usize,
    calls: usize,
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
    /// The items with lower numbers than this had been accepted at the last tick, and whether some waited then.
    pub(super) mark: Option<u64>,
}

pub(super) struct Core<'a, T, W: Work<T>> {
    pub(super) me: Weak<Self>,
    pub(super) work: W,
    pub(super) settings: Settings<'a, T>,
    pub(super) landing: Arc<Landing<W::Out, W::Error>>,
    pub(super) intake: CachePadded<Mutex<Intake<T>>>,
    /// Where senders park, with the intake's lock.
    room: Condvar,
    pub(super) lanes: Vec<LaneOf<T, W>>,
    pub(super) pace: Pace,
    /// Mirrors `paused` for a look between two items.
    pub(super) halted: AtomicBool,
    clock: Option<Clock>,
    /// The alarm is set. Cleared only under the locks of all queues and of the intake, and looked at under one of them.
    pub(super) armed: AtomicBool,
    /// There turned out to be no thread for the alarm. Set before every lane is looked at once more, and looked at under the
    /// intake's lock: whoever still relied on the alarm is seen by that look.
    deaf: AtomicBool,
    began: Instant,
    pub(super) host: Arc<dyn Host>,
    tap: Tap<'a>,
}

/// What rings for a service.
pub(super) struct Clock {
    pub(super) timer: Arc<Timer>,
    pub(super) alarm: Weak<dyn Alarm>,
}

/// What a change of the intake's state asks for once the locks are free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Summons {
    None,
    /// Queue a job.
    Job,
    /// Ring for the parked collector, which will run items.
    Ring,
    /// Have the alarm look, soon or at that time.
    Alarm(Option<u64>),
}

impl<'a, T, W> Core<'a, T, W>
where
    T: Send + 'a,
    W: Work<T> + 'a,
    W::Out: 'a,
    W::Error: 'a,
{
    pub(super) fn new(
        work: W,
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
        Arc::new_cyclic(|me| Core {
            me: me.clone(),
            work,
            settings,
            landing,
            intake: CachePadded::new(Mutex::new(intake)),
            room: Condvar::new(),
            lanes,
            pace: Pace::new(),
            halted: AtomicBool::new(false),
            clock: clock(me),
            armed: AtomicBool::new(false),
            deaf: AtomicBool::new(false),
            began: now(),
            host,
            tap,
        })
    }

    pub(super) fn began(&self) -> Instant {
        self.began
    }

    /// Nanoseconds since the service began.
    pub(super) fn time(&self) -> u64 {
        (now() - self.began).as_nanos() as u64
    }

    /// Accepts an item, or gives it back.
    pub(super) fn accept(&self, item: T, wait: Wait) -> Result<u64, (T, SendReason)> {
        // Functions of the user's run before any lock is taken.
        let address = panics::catch(|| self.settings.address(&item));
        let mut intake = match self.room(wait) {
            Ok(intake) => intake,
            Err(reason) => {
                if let Err(payload) = address {
                    panics::discard(payload);
                }
                return Err((item, reason));
            }
        };
        let address = match address {
            Ok(address) => address,
            Err(payload) => {
                let seq = self.number(intake);
                panics::drop_each([item]);
                self.land_failed(seq, panicked(payload));
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
        let entry = Entry { seq, sent: intake.stamp, mark: address.mark, class: address.class, item };
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
            Err(reason) => Err((error, reason)),
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
        let done = Done { seq, queued: 0, ran: 0, worker: NO_WORKER, result: Err(error) };
        self.land(&mut VecDeque::from([done]));
    }

    /// Lands outcomes; what nobody wants is dropped here.
    pub(super) fn land(&self, batch: &mut VecDeque<Done<W::Out, W::Error>>) -> bool {
        let rung = self.landing.land(batch);
        panics::drop_each(batch.drain(..));
        rung
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
        let mut intake = self.intake.lock();
        if intake.closed.is_none() && self.has_room(&mut intake) {
            return Ok(intake);
        }
        drop(intake);
        self.landing.blocked_hint.fetch_add(1, Ordering::Relaxed);
        let room = self.wait_for_room(wait);
        self.landing.blocked_hint.fetch_sub(1, Ordering::Relaxed);
        room
    }

    fn wait_for_room(&self, wait: Wait) -> Result<MutexGuard<'_, Intake<T>>, SendReason> {
        let helping = self.settings.help != Help::Never && self.pace.is_cheap();
        let patience = Patience::of(helping);
        let mut spins = patience.spins;
        // Under the model no time passes in which to be patient.
        let mut patient = !MODEL;
        loop {
            let mut intake = self.intake.lock();
            if let Some(reason) = intake.closed {
                return Err(reason);
            }
            if self.has_room(&mut intake) {
                return Ok(intake);
            }
            match wait {
                Wait::Not => return Err(SendReason::Full),
                Wait::Until(Some(deadline)) if now() >= deadline => return Err(SendReason::TimedOut),
                Wait::Until(_) => {}
            }
            let accepted = intake.accepted as usize;
            drop(intake);
            let served = if self.may_help(Party::Sender) { self.help() } else { Served::Nothing };
            match served {
                Served::Some => spins = patience.spins,
                Served::AndRang => spins = patience.after_waking,
                Served::Nothing if spins == 0 => self.park_sender(wait, &mut patient),
                Served::Nothing => {
                    let credits = &self.landing.credits;
                    let enough = credits.window() / 2;
                    thread::spin_for(spins, || credits.in_flight(accepted, credits.released()) > enough);
                    thread::yield_for(patience.yields, || credits.in_flight(accepted, credits.released()) > enough);
                    spins = 0;
                }
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
        credits.in_flight(accepted, intake.released) < credits.window()
    }

    /// Parks until there is room, the service is closed, or an item is to be run by this thread because nobody else might.
    fn park_sender(&self, wait: Wait, patient: &mut bool) {
        let must = self.must_help();
        let mut intake = self.intake.lock();
        let calls = intake.calls;
        if must {
            intake.hands += 1;
            // From now on a call is counted; what was there before is seen now.
            drop(intake);
            let waits = self.could_help();
            intake = self.intake.lock();
            if waits {
                intake.hands -= 1;
                return;
            }
        }
        let credits = &self.landing.credits;
        let free = if *patient { credits.window().div_ceil(2) } else { 1 };
        if intake.closed.is_none() && intake.calls == calls && credits.wait_for(intake.accepted as usize, free) {
            let mut until = if let Wait::Until(deadline) = wait { deadline } else { None };
            if *patient {
                let soon = now() + super::credits::PATIENCE;
                until = Some(until.map_or(soon, |deadline| deadline.min(soon)));
            }
            *patient &= !self.room.wait_until(&mut intake, until);
        }
        intake.hands -= usize::from(must);
    }

    /// Wakes all senders that wait.
    pub(super) fn wake_all(&self, _: &Intake<T>) {
        self.landing.credits.woken();
        self.room.notify_all();
    }

    /// Whether something is to be done about a lane in which something waits that may be started: by whom, the caller is told.
    /// `soon` tells that the alarm may do it, if somebody serves the lane or its items are cheap enough for the callers.
    pub(super) fn summon(&self, intake: &mut Intake<T>, lane: usize, soon: bool) -> Summons {
        let places = &mut intake.lanes[lane];
        if intake.paused || places.running >= intake.limit {
            return Summons::None;
        }
        if places.queued && !intake.receiver_idle {
            // The job's turn may never come: the only worker may be the one that is parked as a sender.
            Self::call_hands(intake, &self.room);
            return Summons::None;
        }
        let defer = soon && self.has_alarm() && self.pace.is_cheap();
        if defer && places.running > 0 {
            return self.alarm_soon();
        }
        if intake.receiver_idle {
            intake.receiver_idle = false;
            return Summons::Ring;
        }
        if defer && self.settings.help != Help::Never {
            return self.alarm_soon();
        }
        if broken!("push_queues_no_job") {
            return Summons::None;
        }
        places.queued = true;
        Self::call_hands(intake, &self.room);
        Summons::Job
    }

    /// Calls the parked senders that would run items.
    fn call_hands(intake: &mut Intake<T>, room: &Condvar) {
        if intake.hands > 0 {
            intake.calls = intake.calls.wrapping_add(1);
            room.notify_all();
        }
    }

    fn alarm_soon(&self) -> Summons {
        if self.armed.swap(true, Ordering::Relaxed) { Summons::None } else { Summons::Alarm(None) }
    }

    fn summon_for_push(&self, intake: &mut Intake<T>, lane: usize) -> Summons {
        if let Some((max, wait)) = self.batch() {
            let places = &intake.lanes[lane];
            let ready = places.arrived.len() + places.backlog;
            if ready < max && intake.closed.is_none() {
                let at = intake.stamp.saturating_add(wait.as_nanos().min(u128::from(u64::MAX)) as u64);
                let unset = ready == 1 && !self.armed.swap(true, Ordering::Relaxed);
                return if unset { Summons::Alarm(Some(at)) } else { Summons::None };
            }
        }
        self.summon(intake, lane, true)
    }

    /// How long a batch is waited for, where it can be.
    pub(super) fn batch(&self) -> Option<(usize, Duration)> {
        self.work.batch().filter(|_| self.has_alarm())
    }

    pub(super) fn has_alarm(&self) -> bool {
        self.clock.is_some() && !self.deaf.load(Ordering::Relaxed)
    }

    /// Does what a change asks for. No lock may be held.
    pub(super) fn follow(&self, lane: usize, summons: Summons) {
        match summons {
            Summons::None => {}
            Summons::Ring => self.landing.ring(),
            Summons::Job => self.push(lane),
            Summons::Alarm(at) => {
                let at = match at {
                    Some(at) => self.began.checked_add(Duration::from_nanos(at)),
                    None => Some(now() + TICK),
                };
                // Later than the clock can tell is never; the batch is run when it is full.
                let Some(at) = at else { return };
                let set = self.clock.as_ref().is_some_and(|clock| clock.timer.set(at, &clock.alarm));
                if !set {
                    // There is no thread for the alarm: what it would do is done now.
                    self.deaf.store(true, Ordering::Relaxed);
                    self.rouse();
                }
            }
        }
    }

    /// Queues a job that serves the lane.
    fn push(&self, lane: usize) {
        let Some(core) = self.me.upgrade() else { return };
        let job = Job::new(move |call| match call {
            Call::Start => {
                let _ = core.serve(lane, true);
                Verdict::Finished
            }
            Call::Abandon => {
                // Nobody will come: the pool or the scope gives up what waits.
                core.intake.lock().lanes[lane].queued = false;
                core.stop();
                Verdict::NotStarted
            }
        });
        (self.tap)(lane, job);
    }

    /// Looks at every lane anew, for a reason that lies outside of it.
    pub(super) fn rouse(&self) {
        for lane in 0..self.lanes.len() {
            let summons = {
                let mut held = self.lanes[lane].queue.lock();
                let mut intake = self.intake.lock();
                if self.may_take(&mut held, &mut intake, lane) {
                    self.summon(&mut intake, lane, false)
                } else {
                    self.await_batch(&held, &intake)
                }
            };
            self.follow(lane, summons);
        }
    }

    /// Refuses items from now on. Of several reasons the last that is given to senders is the strongest.
    pub(super) fn close(&self, reason: SendReason) {
        let total = {
            let mut intake = self.intake.lock();
            if reason == SendReason::Cancelled || intake.closed.is_none() {
                intake.closed = Some(reason);
            }
            self.wake_all(&intake);
            intake.accepted
        };
        self.landing.set_total(total);
        if self.work.batch().is_some() {
            // A batch need not be waited for any more.
            self.rouse();
        }
    }

    /// Cancels what has not been started.
    pub(super) fn stop(&self) -> ServiceCounts {
        self.close(SendReason::Cancelled);
        for (at, lane) in self.lanes.iter().enumerate() {
            let entries = {
                let mut held = lane.queue.lock();
                let mut intake = self.intake.lock();
                self.absorb(&mut held, &mut intake, at);
                let mut entries: Vec<_> = held.slots.iter().flat_map(|slot| slot.take_waiting()).collect();
                entries.extend(held.waiting.take_all());
                entries
            };
            let mut batch = VecDeque::with_capacity(entries.len());
            for entry in entries {
                self.unload(at, entry.mark);
                // A value whose `Drop` panics has failed in that way.
                let result = match panics::drop_quietly(entry.item) {
                    Ok(()) => Err(TaskError::Cancelled),
                    Err(payload) => Err(panicked(payload)),
                };
                let queued = self.time().saturating_sub(entry.sent);
                batch.push_back(Done { seq: entry.seq, queued, ran: 0, worker: NO_WORKER, result });
            }
            self.land(&mut batch);
        }
        self.accounts()
    }

    pub(super) fn accounts(&self) -> ServiceCounts {
        let accepted = self.intake.lock().accepted;
        ServiceCounts { accepted, ..self.landing.counts() }
    }

    /// Takes over what has arrived in a lane.
    pub(super) fn absorb(&self, held: &mut HeldOf<T, W>, intake: &mut Intake<T>, lane: usize) {
        let places = &mut intake.lanes[lane];
        held.waiting.absorb(&mut places.arrived);
        places.backlog = if self.work.batch().is_some() { held.waiting.ready() } else { 0 };
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
