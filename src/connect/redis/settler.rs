//! The half that acknowledges.

use super::entry::number;
use super::link::Link;
use super::session::Session;
use crate::connect::{ConnectError, Position, Settler};
use crate::sync::Arc;

pub(super) struct RedisSettler {
    pub(super) session: Arc<Session>,
    pub(super) link: Link,
}

impl Settler for RedisSettler {
    fn ack(&mut self, positions: &[Position]) -> Result<usize, ConnectError> {
        let held = self.session.held(positions);
        if held.is_empty() {
            return Ok(0);
        }
        let owned = self.session.owned(&mut self.link, &held)?;
        let mut settled = 0;
        if !owned.is_empty() {
            let answers = self.link.ask_all(&self.session.acks(&owned))?;
            let counts = answers.iter().map(number).collect::<Result<Vec<_>, _>>()?;
            settled = counts.iter().sum::<u64>() as usize;
            if self.session.delete {
                // What was not acknowledged here may be somebody else's now.
                let done: Vec<_> =
                    owned.iter().zip(&counts).filter(|(_, count)| **count > 0).map(|(id, _)| *id).collect();
                if !done.is_empty() {
                    self.link.ask_all(&self.session.deletion(&done))?;
                }
            }
        }
        self.session.forget(&held);
        Ok(settled)
    }

    fn nack(&mut self, positions: &[Position]) -> Result<usize, ConnectError> {
        let session = self.session.clone();
        let _turn = session.handing.lock();
        let held = self.session.held(positions);
        if held.is_empty() {
            return Ok(0);
        }
        let owned = self.session.owned(&mut self.link, &held)?;
        let settled = self.session.hand_back(&mut self.link, &owned)?;
        // In this order: the reader takes nothing that is in hand.
        self.session.forget(&held);
        self.session.set_returned();
        Ok(settled)
    }

    fn close(&mut self) -> Result<(), ConnectError> {
        // Each of the above waited for its answer.
        self.link.close();
        Ok(())
    }
}
