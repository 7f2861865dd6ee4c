//! Taking over what others hold and are silent about, and what was handed back.
//!
//! This is XPENDING and XCLAIM instead of XAUTOCLAIM: that one tells no counts of deliveries, and would claim, and count as delivered, also
//! what this very source has in hand. Both are atomic where it matters: XCLAIM takes nothing that somebody else took after XPENDING, for
//! that is not idle any more.

use super::entry::{Id, Pending, entries, id_text, pending};
use super::fault::Fault;
use super::reader::RedisReader;
use crate::connect::Delivery;
use crate::sync::now;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How often it is looked at least.
const OFTEN: Duration = Duration::from_secs(5);
/// The fewest and the most rows that are asked for at once.
const ROWS: (usize, usize) = (100, 1000);
/// How many answers are looked through in one poll.
const PAGES: usize = 4;

/// A walk through what is pending, over as many polls as it takes.
pub(super) struct Walk {
    /// What was here before this source: everything that is pending for its consumer, however idle.
    own: bool,
    after: Option<Id>,
    due: Instant,
}

impl Walk {
    pub(super) fn new(own: bool) -> Walk {
        Walk { own, after: None, due: now() }
    }

    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Not before then; what is its own at once.
    pub(super) fn not_before(&mut self, time: Instant) {
        if !self.own {
            self.due = self.due.max(time);
        }
    }

    /// From the start, and at once.
    pub(super) fn restart(&mut self) {
        (self.after, self.due) = (None, now());
    }
}

impl RedisReader {
    /// How often is looked.
    fn every(&self) -> Duration {
        (self.session.claim_after / 2).clamp(Duration::from_millis(1), OFTEN)
    }

    /// Takes at most `room`, if it is time to look.
    pub(super) fn take_over(&mut self, room: usize, into: &mut Vec<Delivery>) -> Result<(), Fault> {
        if self.session.take_returned() {
            self.walk.restart();
        }
        let had = into.len();
        for _ in 0..PAGES {
            let room = room - (into.len() - had);
            if room == 0 || now() < self.walk.due {
                break;
            }
            self.page(room, into)?;
        }
        Ok(())
    }

    /// One question, and a claim of what it turned up.
    fn page(&mut self, room: usize, into: &mut Vec<Delivery>) -> Result<(), Fault> {
        let session = self.session.clone();
        let idle = if self.walk.own { Duration::ZERO } else { session.claim_after };
        let rows = room.clamp(ROWS.0, ROWS.1);
        let mut question = session.command("XPENDING");
        if !self.walk.own {
            question.arg("IDLE").arg(idle.as_millis() as u64);
        }
        match self.walk.after {
            Some(id) => question.arg(format!("({}", id_text(id))),
            None => question.arg("-"),
        };
        question.arg("+").arg(rows);
        if self.walk.own {
            question.arg(&session.consumer);
        }
        let found = pending(&self.link.ask(&question)?)?;
        let complete = found.len() < rows;
        let mut last = found.last().map(|row| row.id);
        let in_hand = session.in_hand.lock();
        let mut strangers = found.into_iter().filter(|row| !in_hand.contains_key(&row.id));
        let wanted: Vec<_> = strangers.by_ref().take(room).collect();
        let all = complete && strangers.next().is_none();
        drop(strangers);
        drop(in_hand);
        if wanted.len() == room {
            last = wanted.last().map(|row| row.id);
        }
        self.claim(&wanted, idle, into)?;
        // Only now: an error above has it looked for again.
        self.walk.after = last;
        if all {
            self.walk = Walk { own: false, after: None, due: if self.walk.own { now() } else { now() + self.every() } };
        }
        Ok(())
    }

    fn claim(&mut self, wanted: &[Pending], idle: Duration, into: &mut Vec<Delivery>) -> Result<(), Fault> {
        if wanted.is_empty() {
            return Ok(());
        }
        let mut claim = self.session.command("XCLAIM");
        claim.arg(&self.session.consumer).arg(idle.as_millis() as u64);
        wanted.iter().for_each(|row| {
            claim.arg(id_text(row.id));
        });
        let asked = now();
        let claimed = entries(self.link.ask(&claim)?)?;
        let counts: HashMap<Id, u64> = wanted.iter().map(|row| (row.id, row.delivered)).collect();
        // The claim is a delivery more.
        self.deliver(claimed, asked, |id| counts.get(&id).map_or(1, |count| count + 1), into);
        Ok(())
    }
}
