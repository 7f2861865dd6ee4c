//! The alarm: it looks after what was put off, and after what threads are stuck with.

use super::core::{Core, HeldOf, Intake};
use super::landing::Done;
use super::put_off::Awaken;
use super::summon::{Summons, due_at};
use super::work::Work;
use crate::job::{Call, Job, Verdict};
use crate::panics;
use crate::pool::{Alarm, TICK};
use crate::sync::atomic::Ordering;
use crate::sync::{MODEL, broken, now};
use std::collections::VecDeque;
use std::time::Instant;

/// What came of emptying hands, for when no lock is held.
struct Rest<R, E> {
    /// Outcomes that nobody wants.
    unwanted: VecDeque<Done<R, E>>,
    /// From which number on the service is to be stopped.
    over: Option<u64>,
}

type RestOf<T, W> = Rest<<W as Work<T>>::Out, <W as Work<T>>::Error>;

/// Looks in a row that find nothing to do before the alarm rests: 10 ms.
const LINGER: usize = if MODEL { 0 } else { 100 };

/// The alarm looks for what nobody attends to: items that wait since the look before, and what a thread is stuck with.
impl<T: Send + 'static, W: Work<T> + 'static> Alarm for Core<'static, T, W> {
    fn due(&self) -> Option<Instant> {
        let delayed = self.guard.as_ref().and_then(|guard| self.wake(guard, Awaken::Due));
        self.look().into_iter().chain(delayed).min()
    }
}

impl<'a, T: Send + 'a, W: Work<T> + 'a> Core<'a, T, W> {
    /// Looks at everything; returns when to look again.
    fn look(&self) -> Option<Instant> {
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

    /// One look at a lane; returns whether nothing there relies on the next.
    fn look_after(&self, lane: usize, again: &mut Option<Instant>) -> bool {
        let mut rest = Rest { unwanted: VecDeque::new(), over: None };
        let (summons, quiet) = {
            let mut guard = self.lanes[lane].queue.lock();
            let held = &mut *guard;
            let mut quiet = broken!("alarm_takes_nothing_back") || self.empty_hands(held, false, &mut rest);
            let mut intake = self.intake.lock();
            let accepted = intake.accepted;
            let may = self.may_take(held, &mut intake, lane);
            let oldest = held.waiting.first();
            // Something that waits now waited at the look before, too.
            let stuck = oldest.is_some_and(|seq| held.mark.is_some_and(|mark| seq < mark));
            held.mark = oldest.map(|_| accepted);
            quiet &= intake.paused
                || if self.batch().is_some() { oldest.is_none() } else { !may || self.is_served(&intake, lane) };
            if !quiet {
                intake.quiet = 0;
            }
            let summons = match self.batch() {
                Some(_) if intake.paused => Summons::None,
                Some((_, wait)) if !may => {
                    let due = held.waiting.oldest().map(|sent| self.instant(due_at(sent, wait)));
                    *again = (*again).into_iter().chain(due).min();
                    Summons::None
                }
                Some(_) => self.summon(&mut intake, lane, false),
                None if stuck && may && !broken!("alarm_summons_nobody") => self.summon(&mut intake, lane, false),
                None => Summons::None,
            };
            (summons, quiet)
        };
        self.see_to(lane, rest);
        self.follow(lane, summons);
        quiet
    }

    /// Takes from the hands of a lane what is stuck there, or with `all` everything; returns whether they held nothing. What
    /// is left to do goes to `rest`.
    fn empty_hands(&self, held: &mut HeldOf<T, W>, all: bool, rest: &mut RestOf<T, W>) -> bool {
        let mut empty = true;
        for slot in &held.slots {
            let mut stuck = false;
            let land = |done: &mut VecDeque<Done<W::Out, W::Error>>| {
                stuck = true;
                // How long each took is known when the thread has come to the end of all.
                let each = self.pace.nanos() as u64;
                done.iter_mut().for_each(|done| done.ran = each);
                self.settings.record(done);
                // Each is lower than those before.
                rest.over = self.landing.land(done, 0).1.or(rest.over);
            };
            let Some((waiting, mut finished)) = slot.rescue(all, land) else { continue };
            empty = false;
            if broken!("rescued_land_late") {
                self.landing.land(&mut finished.done, 0);
            }
            if stuck && !all {
                self.pace.is_at_least(TICK);
            }
            waiting.into_iter().rev().for_each(|entry| held.waiting.put_back(entry));
            // They have landed, so outcomes of a key stay in order.
            finished.keys.iter().for_each(|key| held.waiting.finish(*key));
            rest.unwanted.extend(finished.done);
        }
        empty
    }

    /// There is no thread for the alarm: does what it would do now. Whoever took several items at a time has relied on it; from here
    /// on nobody does.
    pub(super) fn go_deaf(&self) {
        self.deaf.store(true, Ordering::Relaxed);
        for (at, lane) in self.lanes.iter().enumerate() {
            let mut rest = Rest { unwanted: VecDeque::new(), over: None };
            if !broken!("deaf_keeps_hands") {
                self.empty_hands(&mut lane.queue.lock(), true, &mut rest);
            }
            self.see_to(at, rest);
        }
        self.rouse();
    }

    /// Stops the service if that is to be done. Has the pool drop values of the user's: whatever that does or waits for, the alarm's thread must go on.
    fn see_to(&self, lane: usize, Rest { mut unwanted, over }: RestOf<T, W>) {
        let over = over.filter(|_| !broken!("alarm_stops_nothing"));
        let withdrawn = over.map_or_else(Vec::new, |first| self.withdraw(first));
        if unwanted.is_empty() && withdrawn.is_empty() || broken!("alarm_drops_itself") {
            return;
        }
        let (service, mut withdrawn) = (self.me.clone(), withdrawn.into_iter());
        let job = Job::new(move |call| {
            panics::drop_each(unwanted.drain(..));
            if let Some(core) = service.upgrade() {
                withdrawn.by_ref().for_each(|(lane, entries)| core.land_cancelled(lane, entries));
            }
            match call {
                Call::Start => Verdict::Finished,
                Call::Abandon => Verdict::NotStarted,
            }
        });
        (self.tap)(lane, job);
    }

    /// Whether all places of a lane are taken: whoever leaves one looks at the queue.
    fn is_served(&self, intake: &Intake<T>, lane: usize) -> bool {
        intake.lanes[lane].running >= intake.limit
    }

    /// Lets the alarm rest, after some quiet looks, unless something has come. All locks are held, so whoever relies on the
    /// alarm either comes before and is seen, or comes after and sets it anew.
    ///
    /// Threads may go on with items meanwhile, for as long as they like: with empty hands they keep nothing from others. What they
    /// take when the alarm is not set is one item at a time, and what ends then makes no more than one other ready, or somebody
    /// is summoned for it.
    fn rest(&self) -> bool {
        let mut held: Vec<_> = self.lanes.iter().map(|lane| lane.queue.lock()).collect();
        let mut intake = self.intake.lock();
        intake.quiet += 1;
        let rest = if self.batch().is_some() {
            let waits = held.iter().any(|held| held.waiting.waiting() > 0)
                || intake.lanes.iter().any(|places| !places.arrived.is_empty());
            !waits || intake.paused
        } else {
            let holds = held.iter().any(|held| held.slots.iter().any(|slot| !slot.is_empty()));
            let waits = !broken!("alarm_rests_unseen")
                && (held.iter_mut().enumerate())
                    .any(|(lane, held)| self.may_take(held, &mut intake, lane) && !self.is_served(&intake, lane));
            if holds || waits {
                intake.quiet = 0;
            }
            !holds && !waits && (intake.quiet > LINGER || intake.paused)
        };
        if rest {
            intake.quiet = 0;
            self.armed.store(broken!("alarm_rests_armed"), Ordering::Relaxed);
        }
        rest
    }
}

#[cfg(all(test, not(fanpool_loom)))]
mod tests {
    use super::*;
    use crate::fan::service::Service;
    use crate::fan::{FanOut, Wait};
    use std::sync::mpsc;

    #[test]
    fn the_alarm_rests_while_a_handler_runs() {
        let (begun, begins) = mpsc::channel();
        let (open, gate) = mpsc::channel::<()>();
        let gate = std::sync::Mutex::new(gate);
        let work = move |n: u64| {
            begun.send(()).unwrap();
            let _ = gate.lock().unwrap().recv();
            Ok::<_, ()>(n)
        };
        let (core, output) = FanOut::builder(work).workers(1).limit(1).launch().unwrap();
        core.accept(0, Wait::Not).unwrap();
        begins.recv().unwrap();
        // It waits for the only place.
        core.accept(1, Wait::Not).unwrap();
        core.armed.store(true, Ordering::Relaxed);
        let looks = |core: &Core<'static, _, _>| (0..10 * LINGER).position(|_| core.due().is_none());
        assert_eq!(looks(&core), Some(LINGER));
        assert!(!core.armed.load(Ordering::Relaxed));
        // Looks that find nothing count only in a row.
        core.armed.store(true, Ordering::Relaxed);
        assert!((0..LINGER).all(|_| core.due().is_some()));
        core.intake.lock().limit = 2;
        assert!(core.due().is_some());
        // Neither does it rest over an item that came after it had looked.
        assert!((0..2 * LINGER).all(|_| !core.rest()));
        core.intake.lock().limit = 1;
        assert_eq!(looks(&core), Some(LINGER));
        drop(open);
        drop(output);
    }

    #[test]
    fn without_an_alarm_nothing_stays_in_the_hand_of_a_busy_thread() {
        let (begun, begins) = mpsc::channel();
        let (open, gate) = mpsc::channel();
        let gate = std::sync::Mutex::new(gate);
        // Item 0 waits for item 1, which the same thread has taken with it.
        let work = move |n: u64| {
            if n == 0 {
                begun.send(()).unwrap();
                gate.lock().unwrap().recv().unwrap();
            } else {
                open.send(()).unwrap();
            }
            Ok::<_, ()>(n)
        };
        let (core, output) = FanOut::builder(work).workers(2).launch().unwrap();
        core.pause();
        (0..2).for_each(|n| _ = core.accept(n, Wait::Not).unwrap());
        // As if the alarm were set; nobody rings it.
        core.armed.store(true, Ordering::Relaxed);
        core.pace.believe_cheap();
        core.resume();
        begins.recv().unwrap();
        core.go_deaf();
        core.close(crate::SendReason::Closed);
        assert_eq!(output.count(), 2);
    }

    /// A failure that ends the service lies in the hand of a thread that is stuck with the next item.
    #[test]
    fn the_alarm_stops_a_service_that_has_failed() {
        let (begun, begins) = mpsc::channel();
        let (open, gate) = mpsc::channel::<()>();
        let gate = std::sync::Mutex::new(gate);
        let work = move |n: u64| match n {
            0 => Err(n),
            1 => {
                begun.send(()).unwrap();
                let _ = gate.lock().unwrap().recv();
                Ok(n)
            }
            n => Ok(n),
        };
        let builder = FanOut::builder(work).workers(1).ordered().on_error(crate::OnError::FailFast);
        let (core, output) = builder.launch().unwrap();
        core.pause();
        (0..4).for_each(|n| _ = core.accept(n, Wait::Not).unwrap());
        core.armed.store(true, Ordering::Relaxed);
        core.pace.believe_cheap();
        core.resume();
        begins.recv().unwrap();
        while core.closed().is_none() {
            core.due();
        }
        assert_eq!(core.closed(), Some(crate::SendReason::Cancelled));
        drop(open);
        let ends: Vec<_> = output.map(|outcome| outcome.result.map_err(|error| error.is_cancelled())).collect();
        assert_eq!(ends, [Err(false), Ok(1), Err(true), Err(true)]);
    }
}
