//! The alarm: it looks after what was put off, and after what threads are stuck with.

use super::core::Core;
use super::summon::Summons;
use super::work::Work;
use crate::pool::{Alarm, TICK};
use crate::sync::atomic::Ordering;
use crate::sync::now;
use std::time::{Duration, Instant};

/// Ticks without work before the alarm rests: 10 ms.
const LINGER: usize = 100;

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
