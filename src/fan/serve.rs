//! How items are run, by workers and by helping callers alike.

use super::Party;
use super::core::{Core, HeldOf, Intake, Patience, SlotOf, Summons, panicked};
use super::landing::{Done, NO_WORKER};
use super::queue::Entry;
use super::settings::{Help, Spread};
use super::slot::{Finished, Slot};
use super::work::Work;
use crate::error::TaskError;
use crate::panics;
use crate::pool::{Alarm, TICK};
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, MODEL, broken, now, thread};
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
        self.still > 16
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

/// Ticks without work before the alarm rests: 10 ms.
const LINGER: usize = 100;

impl<'a, T, W> Core<'a, T, W>
where
    T: Send + 'a,
    W: Work<T> + 'a,
    W::Out: 'a,
    W::Error: 'a,
{
    /// Runs items of a lane: `arrival` tells that the caller took a job from a group's queue, and stays until nothing waits or
    /// its quota is used up. Otherwise one turn is enough.
    pub(super) fn serve(&self, lane: usize, arrival: bool) -> Served {
        let Some(slot) = self.enter(lane, arrival) else { return Served::Nothing };
        let worker = self.host.worker().unwrap_or(NO_WORKER);
        let mut finished = Finished::none();
        let mut state = None;
        let mut turns = 0;
        let mut rung = false;
        let mut last = now();
        let began = last;
        loop {
            let over = turns > 0 && (!arrival || turns == TURNS || last - began >= QUOTA);
            if over || self.halted.load(Ordering::Relaxed) || !self.take(lane, &slot, &mut finished) {
                if arrival && !over && self.linger() {
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
            if self.work.batch().is_some() {
                self.run_batch(lane, &slot, &mut finished, worker, &mut last);
            } else {
                self.run_chunk(lane, &slot, &mut state, &mut finished, worker, &mut last);
            }
            rung |= self.land(&mut finished.done);
        }
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
            intake.lanes[lane].queued &= !arrival;
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

    /// Whether more is ready than one thread takes in a turn.
    fn takes_more_than_one(&self, held: &HeldOf<T, W>) -> bool {
        let turn = self.work.batch().map_or(1, |(max, _)| max);
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
        let due = |sent: u64| Duration::from_nanos(self.time().saturating_sub(sent)) >= wait;
        ready >= max || intake.closed.is_some() || held.waiting.oldest().is_some_and(due)
    }

    /// Gives on what is finished, and takes the next items into the hand.
    fn take(&self, lane: usize, slot: &SlotOf<T, W>, finished: &mut Finished<W::Out, W::Error>) -> bool {
        let batch = self.work.batch().map(|(max, _)| max);
        let mut held = self.lanes[lane].queue.lock();
        let held = &mut *held;
        for key in finished.keys.drain(..) {
            held.waiting.finish(key);
        }
        if batch.is_some() || !held.waiting.knows_next() {
            let mut intake = self.intake.lock();
            if !self.may_take(held, &mut intake, lane) {
                return false;
            }
        }
        let most = match batch {
            Some(max) => max,
            // Without the alarm nobody would take away what a thread is stuck with.
            None if self.armed.load(Ordering::Relaxed) && self.has_alarm() => self.pace.chunk(),
            None => 1,
        };
        let waiting = &mut held.waiting;
        slot.fill((0..most).map_while(|_| waiting.pop()));
        if batch.is_some() {
            self.intake.lock().lanes[lane].backlog = held.waiting.ready();
        }
        true
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
        let summons = {
            let mut held = self.lanes[lane].queue.lock();
            for key in finished.keys.drain(..) {
                held.waiting.finish(key);
            }
            // A pause came when not all in the hand had been started.
            slot.take_waiting().into_iter().rev().for_each(|entry| held.waiting.put_back(entry));
            let mut intake = self.intake.lock();
            let looks = over || !broken!("service_leaves_without_a_look");
            let waits = looks && self.may_take(&mut held, &mut intake, lane);
            if waits && !over {
                return false;
            }
            intake.lanes[lane].running -= 1;
            held.slots.retain(|other| !Arc::ptr_eq(other, slot));
            slot.own(None);
            held.spare.push(slot.clone());
            if waits && !broken!("service_yields_without_summons") {
                // A caller that helps comes again soon.
                self.summon(&mut intake, lane, !arrival)
            } else {
                self.await_batch(&held, &intake)
            }
        };
        self.follow(lane, summons);
        true
    }

    /// Has the alarm look again when the batch that is being gathered is due.
    pub(super) fn await_batch(&self, held: &HeldOf<T, W>, intake: &Intake<T>) -> Summons {
        let (Some((_, wait)), Some(oldest)) = (self.batch(), held.waiting.oldest()) else { return Summons::None };
        if intake.paused || self.armed.swap(true, Ordering::Relaxed) {
            return Summons::None;
        }
        Summons::Alarm(Some(oldest.saturating_add(wait.as_nanos().min(u128::from(u64::MAX)) as u64)))
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
        thread::spin_for(2 * PATCH, || {
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
        worker: usize,
        last: &mut Instant,
    ) {
        let began = *last;
        let at = (began - self.began()).as_nanos() as u64;
        let keyed = self.settings.keyed;
        let mut done = None;
        let mut ran = 0;
        while let Some(Entry { seq, sent, mark, item, .. }) =
            slot.next(done.take(), self.halted.load(Ordering::Relaxed))
        {
            let result = panics::catch(|| {
                let state = state.get_or_insert_with(|| self.kept_state(lane));
                self.work.run(state, item)
            });
            let result = match result {
                Ok(Ok(out)) => Ok(out),
                Ok(Err(error)) => Err(TaskError::Failed(error)),
                Err(payload) => {
                    // A state that a panic has passed may be half-changed.
                    panics::drop_each(state.take());
                    Err(panicked(payload))
                }
            };
            self.unload(lane, mark);
            ran += 1;
            done = Some((Done { seq, queued: at.saturating_sub(sent), ran: 0, worker, result }, keyed.then_some(mark)));
        }
        *last = now();
        let time = *last - began;
        self.pace.record(ran, time);
        slot.finish(finished);
        let each = time.as_nanos() as u64 / ran.max(1) as u64;
        finished.done.iter_mut().for_each(|done| done.ran = each);
    }

    /// A state that another thread has left, or a new one.
    fn kept_state(&self, lane: usize) -> W::State {
        let kept = self.lanes[lane].states.lock().pop();
        kept.unwrap_or_else(|| self.work.state())
    }

    /// Runs what is in the hand as one batch.
    fn run_batch(
        &self,
        lane: usize,
        slot: &SlotOf<T, W>,
        finished: &mut Finished<W::Out, W::Error>,
        worker: usize,
        last: &mut Instant,
    ) {
        let began = *last;
        let at = (began - self.began()).as_nanos() as u64;
        let (mut heads, mut items) = (Vec::new(), Vec::new());
        for entry in slot.take_waiting() {
            heads.push((entry.seq, entry.sent, entry.mark));
            items.push(entry.item);
        }
        if heads.is_empty() {
            // The service was stopped in between, or the alarm has put the batch back.
            return;
        }
        let answers = panics::catch(|| self.work.run_batch(items));
        *last = now();
        let ran = (*last - began).as_nanos() as u64;
        let mut answers = match answers {
            Ok(answers) if answers.len() == heads.len() => Answers::Each(answers.into_iter()),
            Ok(answers) => {
                let wrong = Answers::Wrong { items: heads.len(), answers: answers.len() };
                panics::drop_each(answers);
                wrong
            }
            Err(payload) => Answers::Panicked(panics::message(&payload), Some(payload)),
        };
        for (seq, sent, mark) in heads {
            self.unload(lane, mark);
            let done = Done { seq, queued: at.saturating_sub(sent), ran, worker, result: answers.next() };
            finished.done.push_back(done);
            if self.settings.keyed {
                finished.keys.push(mark);
            }
        }
    }

    /// Takes the weight of an item that has ended from its lane.
    pub(super) fn unload(&self, lane: usize, weight: u64) {
        if self.settings.route == Spread::Least {
            self.lanes[lane].load.fetch_sub(weight as usize, Ordering::Relaxed);
        }
    }

    /// Whether the calling thread, which would block, may run an item instead.
    pub(super) fn may_help(&self, party: Party) -> bool {
        let wanted = match self.settings.help {
            Help::Never => false,
            Help::Receiver => party == Party::Receiver,
            Help::Both => true,
        };
        wanted && self.pace.is_cheap() || self.must_help()
    }

    /// Whether the calling thread has to run items while it waits, since nobody else might.
    pub(super) fn must_help(&self) -> bool {
        self.settings.scoped && self.settings.help != Help::Never || self.host.is_inside()
    }

    /// Runs some items, if there are any and a place is free.
    pub(super) fn help(&self) -> Served {
        let served = |lane| self.serve(lane, false);
        (0..self.lanes.len()).map(served).find(|served| *served != Served::Nothing).unwrap_or(Served::Nothing)
    }

    /// Whether [`Core::help`] would find something.
    pub(super) fn could_help(&self) -> bool {
        (0..self.lanes.len()).any(|lane| {
            let mut held = self.lanes[lane].queue.lock();
            let mut intake = self.intake.lock();
            intake.lanes[lane].running < intake.limit && self.may_take(&mut held, &mut intake, lane)
        })
    }
}

/// What a batch handler answered.
enum Answers<I> {
    Each(I),
    Wrong { items: usize, answers: usize },
    Panicked(String, Option<panics::Payload>),
}

impl<R, E, I: Iterator<Item = Result<R, E>>> Answers<I> {
    /// The next item's. The first gets the payload of a panic, the others its text.
    fn next(&mut self) -> Result<R, TaskError<E>> {
        match self {
            Answers::Each(answers) => match answers.next() {
                Some(answer) => answer.map_err(TaskError::Failed),
                None => Err(TaskError::WrongBatch { items: 1, answers: 0 }),
            },
            Answers::Wrong { items, answers } => Err(TaskError::WrongBatch { items: *items, answers: *answers }),
            Answers::Panicked(text, payload) => Err(panicked(payload.take().unwrap_or_else(|| Box::new(text.clone())))),
        }
    }
}

/// The alarm looks for what nobody attends to: items that wait since the look before, and what a thread is stuck with.
impl<T, W> Alarm for Core<'static, T, W>
where
    T: Send + 'static,
    W: Work<T> + 'static,
    W::Out: 'static,
    W::Error: 'static,
{
    fn due(&self) -> Option<Instant> {
        let mut again = None;
        let mut quiet = true;
        for lane in 0..self.lanes.len() {
            quiet &= self.look_after(lane, &mut again);
        }
        if quiet && again.is_none() && self.rest() {
            return None;
        }
        Some(again.unwrap_or_else(|| now() + TICK))
    }
}

impl<'a, T, W> Core<'a, T, W>
where
    T: Send + 'a,
    W: Work<T> + 'a,
    W::Out: 'a,
    W::Error: 'a,
{
    /// One look at a lane; returns whether nothing waits there.
    fn look_after(&self, lane: usize, again: &mut Option<Instant>) -> bool {
        let mut rescued = Vec::new();
        let (summons, quiet) = {
            let mut guard = self.lanes[lane].queue.lock();
            let held = &mut *guard;
            let mut quiet = true;
            for slot in &held.slots {
                let Some((waiting, finished)) = slot.rescue() else { continue };
                quiet = false;
                if !waiting.is_empty() || !finished.done.is_empty() {
                    self.pace.is_at_least(TICK);
                }
                waiting.into_iter().rev().for_each(|entry| held.waiting.put_back(entry));
                finished.keys.iter().for_each(|key| held.waiting.finish(*key));
                rescued.push(finished.done);
            }
            let mut intake = self.intake.lock();
            let accepted = intake.accepted;
            let may = self.may_take(held, &mut intake, lane);
            let oldest = held.waiting.first();
            // Something that waits now waited at the look before, too.
            let stuck = oldest.is_some_and(|seq| held.mark.is_some_and(|mark| seq < mark));
            held.mark = oldest.map(|_| accepted);
            quiet &= oldest.is_none() || intake.paused;
            let summons = match self.batch() {
                Some(_) if intake.paused => Summons::None,
                Some((_, wait)) if !may => {
                    let due = held.waiting.oldest().map(|sent| self.began() + Duration::from_nanos(sent) + wait);
                    *again = match (*again, due) {
                        (Some(a), Some(b)) => Some(a.min(b)),
                        (a, b) => a.or(b),
                    };
                    Summons::None
                }
                Some(_) => self.summon(&mut intake, lane, false),
                None if stuck && may => self.summon(&mut intake, lane, false),
                None => Summons::None,
            };
            (summons, quiet)
        };
        for mut done in rescued {
            self.land(&mut done);
        }
        self.follow(lane, summons);
        quiet
    }

    /// Lets the alarm rest, after some quiet looks, unless something has come. All locks are held, so whoever relies on the
    /// alarm either comes before and is seen, or comes after and sets it anew.
    fn rest(&self) -> bool {
        let held: Vec<_> = self.lanes.iter().map(|lane| lane.queue.lock()).collect();
        let mut intake = self.intake.lock();
        intake.quiet += 1;
        let waits = held.iter().any(|held| held.waiting.waiting() > 0)
            || intake.lanes.iter().any(|places| !places.arrived.is_empty());
        let busy = held.iter().any(|held| !held.slots.is_empty());
        let rest = if self.batch().is_some() {
            !waits || intake.paused
        } else {
            !busy && (!waits && intake.quiet > LINGER || intake.paused)
        };
        if rest {
            intake.quiet = 0;
            self.armed.store(false, Ordering::Relaxed);
        }
        rest
    }
}
