//! How items are run, by workers and by helping callers alike.

use super::Patience;
use super::core::{Core, HeldOf, Intake, SlotOf, panicked};
use super::landing::{Done, NO_WORKER};
use super::queue::Entry;
use super::settings::{Help, Spread};
use super::slot::{Finished, Slot};
use super::summon::{Summons, due_at};
use super::work::Work;
use crate::error::TaskError;
use crate::panics;
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, MODEL, broken, now, thread};
use crate::trace::Carried;
use std::time::{Duration, Instant};

/// How long a worker stays with a service before it lets others have their turn.
const QUOTA: Duration = Duration::from_millis(1);

/// In a model, where no time passes, its quota is two turns.
const TURNS: usize = if MODEL { 2 } else { usize::MAX };

/// Items that are worth a turn while their sender goes on sending.
pub(super) const PATCH: usize = 32;

/// Tells when a sender has paused: nothing has been accepted for some turns of a spinning loop.
pub(super) struct Pause {
    seen: usize,
    still: usize,
}

impl Pause {
    pub(super) fn new() -> Pause {
        Pause { seen: 0, still: 0 }
    }

    pub(super) fn is_over(&mut self, accepted: usize) -> bool {
        self.still = if accepted == self.seen { self.still + 1 } else { 0 };
        self.seen = accepted;
        self.still > 8
    }
}

/// What came of serving a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Served {
    /// Nothing was there.
    Nothing,
    /// Items were run.
    Some,
    /// And the collector was parked, and was rung for.
    AndRang,
}

impl<'a, T: Send + 'a, W: Work<T> + 'a> Core<'a, T, W> {
    /// Runs items of a lane: `arrival` tells that the caller took a job from a group's queue, and stays until nothing waits or
    /// its quota is used up. Otherwise one turn is enough.
    pub(super) fn serve(&self, lane: usize, arrival: bool) -> Served {
        let Some(slot) = self.enter(lane, arrival) else { return Served::Nothing };
        let worker = self.host.worker().map_or(NO_WORKER, |worker| worker as u32);
        slot.seat(worker);
        let mut finished = Finished::none();
        let mut state = None;
        let mut turns = 0;
        let mut rung = false;
        let mut last = now();
        let began = last;
        // Time of turns that left nothing to land.
        let mut busy = 0;
        loop {
            let over = last - began >= QUOTA || turns > 0 && (!arrival || turns == TURNS);
            if over || self.halted.load(Ordering::Relaxed) || !self.take(lane, &slot, &mut finished) {
                if arrival && !over && !self.is_crowded(lane) && self.linger() {
                    // What comes now did not take that long, and to linger uses up the quota, too.
                    last = now();
                    continue;
                }
                // Before the place is free: whoever has it next goes on with this state.
                self.lanes[lane].states.lock().extend(state.take());
                if self.leave(lane, &slot, &mut finished, arrival, over) {
                    break;
                }
                last = now();
                continue;
            }
            turns += 1;
            let turn_began = last;
            slot.begin_turn(turn_began - self.began);
            match (self.work.batching(), &self.guard) {
                (Some(batching), _) => {
                    self.run_batch(lane, &slot, batching.handler, &mut finished, worker, &mut last);
                }
                (None, None) => self.run_chunk(lane, &slot, &mut state, &mut finished, worker, &mut last),
                (None, Some(guard)) => {
                    self.run_guarded(guard, lane, &slot, &mut state, &mut finished, worker, &mut last);
                }
            }
            busy += (last - turn_began).as_nanos() as u64;
            let lands = !finished.done.is_empty();
            rung |= self.land_turn(&mut finished.done, busy);
            if lands {
                busy = 0;
            }
            slot.end_turn();
        }
        if busy > 0 {
            self.landing.note_busy(worker, busy);
        }
        slot.keep(finished);
        match (turns, rung) {
            (0, _) => Served::Nothing,
            (_, false) => Served::Some,
            (_, true) => Served::AndRang,
        }
    }

    /// Takes a place, for a thread that finds something to run.
    fn enter(&self, lane: usize, arrival: bool) -> Option<Arc<SlotOf<T, W>>> {
        let (slot, summons) = {
            let mut held = self.lanes[lane].queue.lock();
            let mut intake = self.intake.lock();
            intake.lanes[lane].queued &= !arrival || broken!("service_arrival_stays_queued");
            if intake.lanes[lane].running >= intake.limit || !self.may_take(&mut held, &mut intake, lane) {
                return None;
            }
            intake.lanes[lane].running += 1;
            let more = self.takes_more_than_one(&held) && !broken!("service_arrival_summons_none");
            let summons = if more { self.summon(&mut intake, lane, true) } else { Summons::None };
            let slot = held.spare.pop().unwrap_or_else(|| Arc::new(Slot::new()));
            slot.own(Some(thread::id()));
            held.slots.push(slot.clone());
            (slot, summons)
        };
        self.follow(lane, summons);
        Some(slot)
    }

    /// Marks that some thread is to leave, or that none is. The intake's lock is held.
    pub(super) fn look_for_crowds(&self, intake: &Intake<T>) {
        let crowded = intake.lanes.iter().any(|places| places.running > intake.limit);
        self.crowded.store(crowded && !broken!("crowd_goes_on"), Ordering::Relaxed);
    }

    /// Whether a thread of this lane is to take nothing more and leave.
    fn is_crowded(&self, lane: usize) -> bool {
        self.crowded.load(Ordering::Relaxed) && {
            let intake = self.intake.lock();
            intake.lanes[lane].running > intake.limit
        }
    }

    /// Whether a thread is to go on with nothing that is in its hand.
    pub(super) fn is_interrupted(&self, lane: usize) -> bool {
        self.halted.load(Ordering::Relaxed) || self.is_crowded(lane)
    }

    /// Whether more is ready than one thread takes in a turn.
    fn takes_more_than_one(&self, held: &HeldOf<T, W>) -> bool {
        let turn = self.work.batching().map_or(1, |batching| batching.max);
        held.waiting.ready() > turn
    }

    /// Whether something may be started now, pauses and places apart. Takes over what has arrived.
    pub(super) fn may_take(&self, held: &mut HeldOf<T, W>, intake: &mut Intake<T>, lane: usize) -> bool {
        self.absorb(held, intake, lane);
        let ready = held.waiting.ready();
        if ready == 0 || intake.paused {
            return false;
        }
        let Some((max, wait)) = self.batch() else { return true };
        let due = |sent: u64| self.time() >= due_at(sent, wait);
        ready >= max || intake.closed.is_some() || held.waiting.oldest().is_some_and(due)
    }

    /// Gives on what is finished, and takes the next items into the hand.
    fn take(&self, lane: usize, slot: &SlotOf<T, W>, finished: &mut Finished<W::Out, W::Error>) -> bool {
        let batch = self.work.batching().map(|batching| batching.max);
        let given = finished.keys.len();
        let mut guard = self.lanes[lane].queue.lock();
        let held = &mut *guard;
        for key in finished.keys.drain(..) {
            held.waiting.finish(key);
        }
        if batch.is_some() {
            if !self.may_take(held, &mut self.intake.lock(), lane) {
                return false;
            }
        } else if !held.waiting.knows_next() {
            let paused = {
                let mut intake = self.intake.lock();
                held.waiting.receive(&mut intake.lanes[lane].arrived);
                intake.paused
            };
            held.waiting.sort_in();
            if paused || held.waiting.ready() == 0 {
                return false;
            }
        }
        if self.is_crowded(lane) {
            return false;
        }
        let most = match batch {
            Some(max) => max,
            // Without the alarm nobody would take away what a thread is stuck with.
            None if self.armed.load(Ordering::Relaxed) && self.has_alarm() => self.pace.chunk(),
            None => 1,
        };
        slot.fill(&mut held.waiting, most);
        if batch.is_some() {
            self.intake.lock().lanes[lane].backlog = held.waiting.ready();
        }
        // What is left is due at its own time, and not when this batch has ended.
        let summons = if batch.is_some() && held.waiting.ready() > 0 && !broken!("leftovers_forgotten") {
            self.summon_for_more(held, lane)
        } else {
            self.summon_for_keys(held, lane, given)
        };
        drop(guard);
        self.follow(lane, summons);
        true
    }

    /// Several keys that are given on at once may be more than their thread can serve, and nobody was told of them yet.
    fn summon_for_keys(&self, held: &mut HeldOf<T, W>, lane: usize, given: usize) -> Summons {
        if given < 2 || held.waiting.ready() == 0 { Summons::None } else { self.summon_for_more(held, lane) }
    }

    fn summon_for_more(&self, held: &mut HeldOf<T, W>, lane: usize) -> Summons {
        let mut intake = self.intake.lock();
        if self.may_take(held, &mut intake, lane) {
            self.summon(&mut intake, lane, true)
        } else {
            self.await_batch(held, &intake)
        }
    }

    /// Gives the place back, unless something has come in the meantime.
    fn leave(
        &self,
        lane: usize,
        slot: &Arc<SlotOf<T, W>>,
        finished: &mut Finished<W::Out, W::Error>,
        arrival: bool,
        over: bool,
    ) -> bool {
        let (left, summons) = {
            let mut held = self.lanes[lane].queue.lock();
            let given = finished.keys.len();
            for key in finished.keys.drain(..) {
                held.waiting.finish(key);
            }
            // A pause came, or a smaller limit, when not all in the hand had been started.
            slot.take_waiting().into_iter().rev().for_each(|entry| held.waiting.put_back(entry));
            let mut intake = self.intake.lock();
            let looks = over || !broken!("service_leaves_without_a_look");
            let waits = looks && self.may_take(&mut held, &mut intake, lane);
            let stays = waits && !over && intake.lanes[lane].running <= intake.limit;
            if stays {
                drop(intake);
                (false, self.summon_for_keys(&mut held, lane, given))
            } else {
                intake.lanes[lane].running -= usize::from(!broken!("service_place_kept"));
                if self.crowded.load(Ordering::Relaxed) {
                    self.look_for_crowds(&intake);
                }
                held.slots.retain(|other| !Arc::ptr_eq(other, slot));
                slot.own(None);
                held.spare.push(slot.clone());
                let summons = if waits && !broken!("service_yields_without_summons") {
                    // A caller that helps comes again soon.
                    self.summon(&mut intake, lane, !arrival)
                } else {
                    self.await_batch(&held, &intake)
                };
                (true, summons)
            }
        };
        self.follow(lane, summons);
        left
    }

    /// Has the alarm look again when the batch that is being gathered is due.
    pub(super) fn await_batch(&self, held: &HeldOf<T, W>, intake: &Intake<T>) -> Summons {
        let (Some((_, wait)), Some(oldest)) = (self.batch(), held.waiting.oldest()) else { return Summons::None };
        if intake.paused || self.armed.swap(true, Ordering::Relaxed) {
            return Summons::None;
        }
        Summons::Alarm(Some(due_at(oldest, wait)))
    }

    /// Waits a moment for more, if that is cheaper than being woken. Returns whether something has arrived.
    ///
    /// A sender that is sending is left alone until it pauses or there is enough for a turn: to take each item from under its
    /// hands would cost both more.
    fn linger(&self) -> bool {
        if !self.pace.is_cheap() || self.settings.help != Help::Never {
            return false;
        }
        let patience = Patience::of(false);
        let accepted = &self.landing.accepted_hint;
        let before = accepted.load(Ordering::Relaxed);
        thread::spin_for(patience.spins, || accepted.load(Ordering::Relaxed) == before);
        thread::yield_for(patience.yields, || accepted.load(Ordering::Relaxed) == before);
        let mut pause = Pause::new();
        thread::spin_for(24, || {
            let now = accepted.load(Ordering::Relaxed);
            now != before && now.wrapping_sub(before) < PATCH && !pause.is_over(now)
        });
        accepted.load(Ordering::Relaxed) != before
    }

    /// Runs what is in the hand, item by item.
    fn run_chunk(
        &self,
        lane: usize,
        slot: &SlotOf<T, W>,
        state: &mut Option<W::State>,
        finished: &mut Finished<W::Out, W::Error>,
        worker: u32,
        last: &mut Instant,
    ) {
        let began = *last;
        let at = (began - self.began).as_nanos() as u64;
        let keyed = self.settings.keyed;
        let (mut done, mut key) = (None, None);
        let mut ran = 0;
        while let Some(Entry { seq, sent, mark, trace, item, .. }) =
            slot.next(done.take(), key.take(), self.is_interrupted(lane))
        {
            let result = self.run_item(lane, state, item, &trace, seq, 1);
            self.unload(lane, mark);
            ran += 1;
            let queued = at.saturating_sub(sent);
            done = Some(Done { seq, queued, ran: 0, worker, attempts: 1, result });
            key = keyed.then_some(mark);
        }
        *last = now();
        let time = *last - began;
        self.pace.record(ran, time);
        slot.finish(finished);
        let each = time.as_nanos() as u64 / ran.max(1) as u64;
        finished.done.iter_mut().for_each(|done| done.ran = each);
    }

    /// Calls the handler, with a state and in a span.
    #[inline(always)]
    pub(super) fn run_item(
        &self,
        lane: usize,
        state: &mut Option<W::State>,
        item: T,
        trace: &Carried,
        seq: u64,
        attempt: u32,
    ) -> Result<W::Out, TaskError<W::Error>> {
        let entered = trace.item(&self.settings.name, seq, attempt);
        if state.is_none() {
            // Apart from the call, so that a panic does not unwind over the item, whose `Drop` may panic, too.
            match panics::catch(|| self.kept_state(lane)) {
                Ok(kept) => *state = Some(kept),
                Err(payload) => {
                    entered.panicked(&payload);
                    let error = panicked(payload);
                    panics::drop_each([item]);
                    return Err(error);
                }
            }
        }
        let Some(kept) = state else { unreachable!("it was made above") };
        panics::catch(|| self.work.run(kept, item)).unwrap_or_else(|payload| {
            entered.panicked(&payload);
            // A state that a panic has passed may be half-changed.
            panics::drop_each(state.take());
            Err(panicked(payload))
        })
    }

    /// A state that another thread has left, or a new one.
    pub(super) fn kept_state(&self, lane: usize) -> W::State {
        let kept = self.lanes[lane].states.lock().pop();
        kept.unwrap_or_else(|| self.work.state())
    }

    /// Takes the weight of an item that has ended from its lane.
    pub(super) fn unload(&self, lane: usize, weight: u64) {
        if self.settings.route == Spread::Least {
            self.lanes[lane].load.fetch_sub(weight as usize, Ordering::Relaxed);
        }
    }
}
