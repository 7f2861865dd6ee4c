//! Keeping what is in hand: a source that lives is not taken for one that is gone, however long its handlers take.
//!
//! An entry is idle since it was delivered, and others take it over once it is idle for `claim_after`. So each quarter of that time the
//! reader claims for itself what it still has in hand, which ends its idleness and counts as no delivery. It does so as it is polled: one that
//! is not polled any more, because its process stands still or is gone, loses what it holds.
//!
//! Claiming takes from whoever has it, and one who keeps what it has may have it idle for half of `claim_after`. So just before, on the same
//! connection, is asked what of it is still this consumer's, and nothing else is claimed; if the answer came late, nothing at all. What the
//! settler hands back must stay idle for decades: `handing` is held from the question to the answer, by this for a thousand entries at a time,
//! and what is in hand is looked at under it. A settler that waits for it waits for two answers at most; this waits for no settler.

use super::entry::{Id, id_text, ids, pending};
use super::fault::Fault;
use super::reader::RedisReader;
use super::session::{MOST, Session};
use crate::sync::{broken, now, thread};
use std::collections::HashSet;
use std::time::{Duration, Instant};

impl RedisReader {
    /// Keeps what was in hand for a quarter of the time after which others claim it, if it is time to.
    pub(super) fn keep(&mut self) -> Result<(), Fault> {
        let time = now();
        if time < self.keep_due || broken!("nothing_is_kept") {
            return Ok(());
        }
        let session = self.session.clone();
        let quarter = (session.claim_after / 4).max(Duration::from_millis(1));
        let before = time.checked_sub(quarter);
        let mut due = session.since_before(before);
        due.sort_unstable();
        if !due.is_empty() && !self.link.is_open() {
            // Not under the lock: this may take long.
            self.link.connect()?;
        }
        for due in due.chunks(MOST) {
            if !self.keep_some(&session, due, quarter)? {
                // The settler is at it: again, but not at once.
                self.keep_due = now() + (quarter / 8).max(Duration::from_millis(1));
                return Ok(());
            }
        }
        self.keep_due = now() + quarter;
        Ok(())
    }

    /// False if something is being handed back.
    fn keep_some(&mut self, session: &Session, due: &[Id], quarter: Duration) -> Result<bool, Fault> {
        let Some(_turn) = session.handing.try_lock() else { return Ok(false) };
        let due: Vec<Id> = session.still_in_hand(due);
        let (Some(first), Some(last)) = (due.first(), due.last()) else { return Ok(true) };
        let asked = now();
        let mut question = session.command("XPENDING");
        question.arg(id_text(*first)).arg(id_text(*last)).arg(MOST).arg(&session.consumer);
        // Of more rows than these the rest is kept another time.
        let own: HashSet<Id> = pending(&self.link.ask(&question)?)?.into_iter().map(|row| row.id).collect();
        let own: Vec<Id> = due.into_iter().filter(|id| own.contains(id) || broken!("kept_without_a_look")).collect();
        if own.is_empty() || now().saturating_duration_since(asked) >= quarter {
            return Ok(true);
        }
        let mut claim = session.command("XCLAIM");
        claim.arg(&session.consumer).arg(quarter.as_millis().max(1) as u64);
        own.iter().for_each(|id| {
            claim.arg(id_text(*id));
        });
        let asked = now();
        let kept = ids(&self.link.ask(claim.arg("JUSTID"))?)?;
        session.kept(&kept, asked);
        Ok(true)
    }

    /// Waits without taking anything, and keeps what is in hand meanwhile.
    pub(super) fn rest(&mut self, wait: Duration) -> Result<(), Fault> {
        let deadline: Option<Instant> = now().checked_add(wait);
        loop {
            let time = now();
            let left = deadline.map_or(wait, |deadline| deadline.saturating_duration_since(time));
            if left.is_zero() {
                return Ok(());
            }
            let piece = self.keep_due.saturating_duration_since(time).max(Duration::from_millis(1));
            thread::sleep(left.min(piece));
            self.keep()?;
        }
    }
}
