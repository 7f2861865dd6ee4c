//! Keeping what is in hand: a source that lives is not taken for one that is gone, however long its handlers take.
//!
//! An entry is idle since it was delivered, and others take it over once it is idle for `claim_after`. So each quarter of that time the
//! reader claims for itself what it still has in hand, which ends its idleness and counts as no delivery. It does so as it is polled: one that
//! is not polled any more, because its process stands still or is gone, loses what it holds.
//!
//! Claiming takes from whoever has it. What may be another's by now is asked about first, and what another took a moment ago is not idle enough
//! to be claimed. What the settler hands back must stay idle for decades, so it excludes this while it does so.

use super::entry::{id_text, ids};
use super::fault::{Fault, Kind};
use super::reader::RedisReader;
use super::session::MOST;
use crate::sync::now;
use std::time::Duration;

impl RedisReader {
    /// Keeps what was in hand for a quarter of the time after which others claim it, if it is time to.
    pub(super) fn keep(&mut self) -> Result<(), Fault> {
        let time = now();
        if time < self.keep_due {
            return Ok(());
        }
        let session = self.session.clone();
        let quarter = (session.claim_after / 4).max(Duration::from_millis(1));
        let _turn = session.handing.lock();
        let mut held: Vec<_> = session.in_hand.lock().iter().map(|(id, held)| (*id, held.since)).collect();
        held.retain(|(_, since)| time.saturating_duration_since(*since) >= quarter);
        let owned = session.owned(&mut self.link, &held)?;
        for owned in owned.chunks(MOST) {
            let mut claim = session.command("XCLAIM");
            claim.arg(&session.consumer).arg((quarter / 2).as_millis() as u64);
            owned.iter().for_each(|id| {
                claim.arg(id_text(*id));
            });
            let asked = now();
            match self.link.ask(claim.arg("JUSTID")) {
                Ok(answer) => session.kept(&ids(&answer)?, asked),
                // Whoever reads is told.
                Err(fault) if fault.kind == Kind::Gone => {}
                Err(fault) => return Err(fault),
            }
        }
        self.keep_due = now() + quarter;
        Ok(())
    }
}
