//! The half that takes entries.

use super::entry::{Entry, Id, id_text, info, number, streams};
use super::fault::{Fault, Kind};
use super::link::Link;
use super::session::{Held, Session};
use super::source::create_group;
use super::takeover::Walk;
use crate::connect::session;
use crate::connect::{ConnectError, Delivery, Polled, Position, Reader};
use crate::sync::{Arc, now};
use ::redis::cmd;
use std::time::{Duration, Instant};

/// The longest that the server is asked to wait at once: so soon is noticed what was handed back meanwhile.
pub(super) const SLICE: Duration = Duration::from_secs(1);
/// The most entries in one answer, which is held in memory as a whole before it is handed on.
const MOST: usize = 1000;
/// How often, at most, is asked what is only to be known about.
const RARELY: Duration = Duration::from_secs(1);

/// Removes the consumer, unless something is pending for it: that would be forgotten. In one step, because a read that was lost on the way
/// may still be waiting at the server.
const LEAVE: &str = "if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) == 0 then \
                     redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2]) end";

pub(super) struct RedisReader {
    pub(super) session: Arc<Session>,
    /// The session of what is delivered from now on.
    number: u64,
    pub(super) link: Link,
    pub(super) walk: Walk,
    /// How often the link was made when this was looked at last.
    made: u64,
    /// When what is in hand is to be kept.
    pub(super) keep_due: Instant,
    /// When the server answered last.
    heard: Instant,
    lag: Option<u64>,
    /// When the lag is to be asked for; never again if that is not allowed.
    lag_due: Option<Instant>,
    /// Whether entries are pending that were deleted from the stream.
    deleted: Vec<Id>,
}

impl RedisReader {
    pub(super) fn new(session: Arc<Session>, link: Link, own: bool, lag: Option<u64>) -> RedisReader {
        let time = now();
        let (walk, made) = (Walk::new(own), link.made);
        RedisReader {
            session,
            number: session::session(),
            link,
            walk,
            made,
            keep_due: time,
            heard: time,
            lag,
            lag_due: Some(time + RARELY),
            deleted: Vec::new(),
        }
    }

    /// Hands them out, and has deleted ones acknowledged at the next occasion.
    pub(super) fn deliver(
        &mut self,
        entries: Vec<Entry>,
        since: Instant,
        attempt: impl Fn(Id) -> u64,
        into: &mut Vec<Delivery>,
    ) {
        let number = self.number;
        let mut in_hand = self.session.in_hand.lock();
        for (id, message) in entries {
            let Some(message) = message else {
                self.deleted.push(id);
                continue;
            };
            in_hand.insert(id, Held { since, number });
            let attempt = u32::try_from(attempt(id)).unwrap_or(u32::MAX);
            into.push(Delivery {
                message,
                position: Position { partition: 0, offset: id.0, part: id.1, session: number },
                attempt,
            });
        }
    }

    /// Takes what nobody was given yet.
    fn read(&mut self, room: usize, wait: Duration, into: &mut Vec<Delivery>) -> Result<(), Fault> {
        let session = &self.session;
        let mut read = cmd("XREADGROUP");
        read.arg("GROUP").arg(&session.group).arg(&session.consumer).arg("COUNT").arg(room.min(MOST));
        if !wait.is_zero() {
            // 0 would be for ever.
            read.arg("BLOCK").arg(wait.as_micros().div_ceil(1000).max(1) as u64);
        }
        read.arg("STREAMS").arg(&session.stream).arg(">");
        let asked = now();
        let entries = match self.link.ask(&read) {
            // The stream was deleted meanwhile; the next question tells.
            Err(fault) if fault.kind == Kind::Interrupted => return Ok(()),
            answer => streams(answer?)?,
        };
        self.deliver(entries, asked, |_| 1, into);
        Ok(())
    }

    fn take(&mut self, room: usize, wait: Duration, into: &mut Vec<Delivery>) -> Result<(), Fault> {
        let had = into.len();
        let deadline = now().checked_add(wait);
        loop {
            self.keep()?;
            self.leave_others_time();
            self.take_over(room, into)?;
            let left = room.saturating_sub(into.len() - had);
            let remaining = deadline.map_or(SLICE, |deadline| deadline.saturating_duration_since(now()));
            if left > 0 {
                let until_look = self.walk.due().min(self.keep_due).saturating_duration_since(now());
                let wait = if into.len() > had { Duration::ZERO } else { remaining.min(SLICE).min(until_look) };
                self.read(left, wait, into)?;
            }
            self.heard = now();
            self.dismiss()?;
            if into.len() > had || remaining.is_zero() {
                return self.look();
            }
            self.look()?;
        }
    }

    /// After the server was away everything is idle for long. Whoever is back first looks later for what is others', who are about to keep it.
    fn leave_others_time(&mut self) {
        let made = self.link.made;
        if std::mem::replace(&mut self.made, made) != made {
            self.walk.not_before(now() + self.session.claim_after / 4);
        }
    }

    /// Acknowledges what is not in the stream any more: it cannot be delivered.
    fn dismiss(&mut self) -> Result<(), Fault> {
        if self.deleted.is_empty() {
            return Ok(());
        }
        let mut ack = self.session.command("XACK");
        self.deleted.iter().for_each(|id| {
            ack.arg(id_text(*id));
        });
        self.link.ask(&ack)?;
        self.deleted.clear();
        Ok(())
    }

    /// Asks for the lag, now and then.
    fn look(&mut self) -> Result<(), Fault> {
        if self.lag_due.is_none_or(|due| now() < due) {
            return Ok(());
        }
        self.lag_due = Some(now() + RARELY);
        match self.link.ask(cmd("XINFO").arg("GROUPS").arg(&self.session.stream)) {
            Ok(answer) => (self.lag, self.heard) = (lag(&answer, &self.session.group), now()),
            Err(fault) if fault.kind == Kind::Denied => self.lag_due = None,
            Err(fault) => return Err(fault),
        }
        Ok(())
    }

    /// The group is gone: makes a new one, if it may.
    fn renew(&mut self, fault: Fault) -> Result<(), Fault> {
        if fault.kind != Kind::Gone || !self.session.create {
            return Err(fault);
        }
        create_group(&mut self.link, &self.session.stream, &self.session.group)?;
        // What is in hand was of the group that is gone; in this one an entry may have the same id.
        self.number = session::session();
        self.session.in_hand.lock().clear();
        self.deleted.clear();
        Ok(())
    }

    fn stay_alive(&mut self) -> Result<(), Fault> {
        self.look()?;
        if self.link.is_open() && now().saturating_duration_since(self.heard) < RARELY {
            return Ok(());
        }
        match self.link.ask(&cmd("PING")) {
            Err(fault) if fault.kind != Kind::Denied => return Err(fault),
            _ => self.heard = now(),
        }
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Fault> {
        let held: Vec<_> = self.session.in_hand.lock().iter().map(|(id, held)| (*id, held.since)).collect();
        let owned = self.session.owned(&mut self.link, &held)?;
        self.session.hand_back(&mut self.link, &owned)?;
        self.session.forget(&held);
        let mut leave = cmd("EVAL");
        leave.arg(LEAVE).arg(1).arg(&self.session.stream).arg(&self.session.group).arg(&self.session.consumer);
        match self.link.ask(&leave) {
            Err(fault) if fault.kind == Kind::Away => Err(fault),
            // It may not, or there is nothing to leave: then a name stays in a list.
            _ => Ok(()),
        }
    }
}

pub(super) fn lag(groups: &::redis::Value, group: &str) -> Option<u64> {
    info(groups, group, "lag").and_then(|lag| number(lag).ok())
}

impl Reader for RedisReader {
    fn poll(&mut self, room: usize, wait: Duration, into: &mut Vec<Delivery>) -> Result<Polled, ConnectError> {
        if room == 0 {
            if let Err(fault) = self.keep().and_then(|()| self.stay_alive()) {
                self.renew(fault)?;
            }
            if let Err(fault) = self.rest(wait) {
                self.renew(fault)?;
            }
            return Ok(Polled::More);
        }
        let had = into.len();
        match self.take(room, wait, into) {
            Ok(()) => {}
            // What there is is handed out first; what is wrong will still be so.
            Err(_) if into.len() > had => {}
            Err(fault) => self.renew(fault)?,
        }
        Ok(Polled::More)
    }

    fn lag(&mut self) -> Option<u64> {
        self.lag
    }

    fn close(&mut self) -> Result<(), ConnectError> {
        let left = self.leave();
        self.link.close();
        Ok(left?)
    }
}
