//! What the two halves of an open source share: what is in hand, and what this consumer still owns of it.
//!
//! XACK and XCLAIM do not ask whose an entry is: acknowledging late would take it from whoever has it now. So what was taken long enough
//! ago for others to have claimed it is asked about first. Others claim after `claim_after`; half of that is the margin for the clocks' and
//! the network's delays.

use super::entry::{Id, id_of, id_text, ids, pending};
use super::fault::{Fault, Kind};
use super::link::Link;
use crate::connect::Position;
use crate::sync::{Mutex, atomic::AtomicBool, atomic::Ordering, now};
use ::redis::{Cmd, Pipeline, cmd};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The most ids in one command.
pub(super) const MOST: usize = 1000;

/// An entry in hand.
#[derive(Clone, Copy)]
pub(super) struct Held {
    /// Since when, at least: its delivery, or when it was kept last.
    pub(super) since: Instant,
    /// Of which group: another one begins when the stream or the group was gone.
    pub(super) number: u64,
}

pub(super) struct Session {
    pub(super) stream: String,
    pub(super) group: String,
    pub(super) consumer: String,
    pub(super) claim_after: Duration,
    pub(super) create: bool,
    pub(super) delete: bool,
    /// The reader adds, the settler takes away what is settled.
    pub(super) in_hand: Mutex<HashMap<Id, Held>>,
    /// Held while something is handed back or kept: what is handed back must not be kept after that.
    pub(super) handing: Mutex<()>,
    /// Set by the settler after it handed back, for the reader to look for it.
    pub(super) returned: AtomicBool,
}

impl Session {
    /// `XPENDING stream group`, for instance.
    pub(super) fn command(&self, name: &str) -> Cmd {
        let mut command = cmd(name);
        command.arg(&self.stream).arg(&self.group);
        command
    }

    /// Those of these that are in hand, each once.
    pub(super) fn held(&self, positions: &[Position]) -> Vec<(Id, Instant)> {
        let in_hand = self.in_hand.lock();
        let of = |position: &Position| {
            let (id, held) = (id_of(position), in_hand.get(&id_of(position))?);
            (held.number == position.session && position.partition == 0).then_some((id, held.since))
        };
        let mut held: Vec<_> = positions.iter().filter_map(of).collect();
        drop(in_hand);
        held.sort_unstable();
        held.dedup();
        held
    }

    /// What is in hand since then or longer.
    pub(super) fn since_before(&self, time: Option<Instant>) -> Vec<Id> {
        let Some(time) = time else { return Vec::new() };
        self.in_hand.lock().iter().filter(|(_, held)| held.since <= time).map(|(id, _)| *id).collect()
    }

    /// Those of them that were not settled meanwhile.
    pub(super) fn still_in_hand(&self, ids: &[Id]) -> Vec<Id> {
        let in_hand = self.in_hand.lock();
        ids.iter().copied().filter(|id| in_hand.contains_key(id)).collect()
    }

    /// These are idle since then.
    pub(super) fn kept(&self, ids: &[Id], since: Instant) {
        let mut in_hand = self.in_hand.lock();
        for id in ids {
            if let Some(held) = in_hand.get_mut(id) {
                held.since = since;
            }
        }
    }

    pub(super) fn forget(&self, held: &[(Id, Instant)]) {
        let mut in_hand = self.in_hand.lock();
        held.iter().for_each(|(id, _)| {
            in_hand.remove(id);
        });
    }

    /// Those of them that nobody has claimed.
    pub(super) fn owned(&self, link: &mut Link, held: &[(Id, Instant)]) -> Result<Vec<Id>, Fault> {
        let half = self.claim_after / 2;
        let time = now();
        let is_late = |since: Instant| time.saturating_duration_since(since) >= half;
        let mut owned: Vec<Id> = held.iter().filter(|(_, since)| !is_late(*since)).map(|(id, _)| *id).collect();
        let late: Vec<Id> = held.iter().filter(|(_, since)| is_late(*since)).map(|(id, _)| *id).collect();
        for late in late.chunks(MOST) {
            let mut questions = Pipeline::with_capacity(late.len());
            for id in late {
                let id = id_text(*id);
                let mut question = self.command("XPENDING");
                question.arg(&id).arg(&id).arg(1).arg(&self.consumer);
                questions.add_command(question);
            }
            for (id, answer) in late.iter().zip(link.try_all(&questions)?) {
                match answer {
                    Ok(answer) if !pending(&answer)?.is_empty() => owned.push(*id),
                    Ok(_) => {}
                    // Nobody has anything of a group that is gone.
                    Err(fault) if fault.kind == Kind::Gone => {}
                    Err(fault) => return Err(fault),
                }
            }
        }
        Ok(owned)
    }

    /// Has them delivered again, at once: an entry that was idle for decades is taken by whoever looks next. The delivery that is thereby
    /// undone was one; handing back is none. Returns how many it could be done with.
    pub(super) fn hand_back(&self, link: &mut Link, owned: &[Id]) -> Result<usize, Fault> {
        let mut count = 0;
        for owned in owned.chunks(MOST) {
            let mut claim = self.command("XCLAIM");
            claim.arg(&self.consumer).arg(0);
            owned.iter().for_each(|id| {
                claim.arg(id_text(*id));
            });
            claim.arg("TIME").arg(1).arg("JUSTID");
            match link.ask(&claim) {
                Ok(answer) => count += ids(&answer)?.len(),
                Err(fault) if fault.kind == Kind::Gone => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(count)
    }

    /// One XACK of many, or of each, in one go.
    pub(super) fn acks(&self, owned: &[Id]) -> Pipeline {
        // To delete what is acknowledged one must know which it was.
        let together = if self.delete { 1 } else { MOST };
        let mut acks = Pipeline::with_capacity(owned.len().div_ceil(together));
        for owned in owned.chunks(together) {
            let mut ack = self.command("XACK");
            owned.iter().for_each(|id| {
                ack.arg(id_text(*id));
            });
            acks.add_command(ack);
        }
        acks
    }

    pub(super) fn deletion(&self, ids: &[Id]) -> Pipeline {
        let mut deletions = Pipeline::new();
        for ids in ids.chunks(MOST) {
            let mut deletion = cmd("XDEL");
            deletion.arg(&self.stream);
            ids.iter().for_each(|id| {
                deletion.arg(id_text(*id));
            });
            deletions.add_command(deletion);
        }
        deletions
    }

    pub(super) fn set_returned(&self) {
        self.returned.store(true, Ordering::Release);
    }

    /// Whether something was handed back since this was asked last.
    pub(super) fn take_returned(&self) -> bool {
        self.returned.load(Ordering::Relaxed) && self.returned.swap(false, Ordering::AcqRel)
    }
}
