//! How the collector waits: helping, spinning, parked.

use super::landing::Wanted;
use super::output::Output;
use super::serve::{PATCH, Pause};
use super::service::{Helping, Parking};
use super::{Patience, Wait};
use crate::error::RecvError;
use crate::sync::atomic::Ordering;
use crate::sync::{channel, now, thread};
use std::time::Instant;

impl<R, E> Output<'_, R, E> {
    /// Brings about that there is something to deliver.
    #[inline(never)]
    pub(super) fn advance(&mut self, wait: Wait) -> Result<(), RecvError> {
        let patience = Patience::of(self.service().may_help() != Helping::No);
        let mut spins = if std::mem::take(&mut self.woke) { patience.after_waking } else { patience.spins };
        let mut late = false;
        loop {
            if self.ended {
                return Err(RecvError::Closed);
            }
            if self.pull() {
                return Ok(());
            }
            if self.ended {
                continue;
            }
            match wait {
                Wait::Not => return Err(RecvError::Empty),
                Wait::Until(Some(deadline)) if late || now() >= deadline => return Err(RecvError::TimedOut),
                Wait::Until(_) => {}
            }
            let helping = self.service().may_help();
            if spins > 0 && self.watch(&mut spins, patience.yields, helping) {
                continue;
            }
            if (helping != Helping::No || spins == 0) && self.service().help_receiver() {
                spins = patience.spins;
            } else if spins == 0 {
                late = self.park(if let Wait::Until(deadline) = wait { deadline } else { None });
                spins = patience.spins;
            }
        }
    }

    /// Spins until something has landed, which it returns, or it is time to help or to park.
    ///
    /// A sender that is sending is left alone until it pauses, or there is enough for a turn, or the window is full and no sender
    /// waits who would run the items himself.
    fn watch(&self, spins: &mut usize, yields: usize, helping: Helping) -> bool {
        let landing = &self.landing;
        let (mut pause, mut landed) = (Pause::new(), false);
        let mut turns = 0;
        thread::spin_for(*spins, || {
            turns += 1;
            landed = landing.landed_hint.load(Ordering::Relaxed) != self.taken as usize;
            if landed || helping == Helping::No {
                return !landed;
            }
            let accepted = landing.accepted_hint.load(Ordering::Relaxed);
            let waiting = accepted.wrapping_sub(self.taken as usize);
            if waiting == 0 {
                return true;
            }
            let full = waiting >= landing.credits.window();
            let left_alone = helping == Helping::AsSendersDo && landing.blocked_hint.load(Ordering::Relaxed) > 0;
            !(full && !left_alone || !full && waiting >= 2 * PATCH || pause.is_over(accepted))
        });
        *spins -= turns;
        if *spins == 0 && !landed {
            thread::yield_for(yields, || {
                landed = landing.landed_hint.load(Ordering::Relaxed) != self.taken as usize;
                !landed
            });
        }
        landed
    }

    /// Parks until rung; returns whether the time ran out.
    fn park(&mut self, deadline: Option<Instant>) -> bool {
        let waits = self.begin_wait();
        let late = waits && !channel::wait_for(&self.bell, deadline);
        if waits {
            self.end_wait();
        }
        late
    }

    /// Leaves word that the collector waits; false if it had better not. What it might run instead it has run then, since not
    /// everybody who waits goes on to help: [`fan_in`](super::fan_in) polls.
    pub(super) fn begin_wait(&mut self) -> bool {
        let wanted = self.reorder.as_ref().map_or(Wanted::Any, |reorder| Wanted::Seq(reorder.next));
        if !self.ready.is_empty() || !self.landing.want(wanted, self.taken) {
            return false;
        }
        self.parking = self.service().park_receiver();
        if self.parking == Parking::Not {
            self.landing.want_nothing();
            self.service().help_receiver();
            return false;
        }
        true
    }

    pub(super) fn end_wait(&mut self) {
        self.landing.want_nothing();
        if self.parking == Parking::Idle {
            self.service().unpark_receiver();
        }
    }
}
