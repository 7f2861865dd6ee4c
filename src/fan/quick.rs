//! The way of an item that no policy has anything to do for: its first attempt, at which its breaker is closed and its handler succeeds.
//!
//! It differs from the way through [`attempt`](super::attempt) in nothing but that what is not needed is not made: no past is written, and the
//! copy is made under the same guard against panics as the call.

use super::attempt::{Ended, GuardOf, Turn};
use super::breaking::Pass;
use super::core::{Core, panicked};
use super::guard::Past;
use super::queue::Entry;
use super::work::Work;
use crate::panics;

impl<'a, T: Send + 'a, W: Work<T> + 'a> Core<'a, T, W> {
    /// Sees to an item of which nothing is remembered, for a service whose only policies are retry, breaker and dead letters.
    #[inline(always)]
    pub(super) fn quick_attempt(
        &self,
        guard: &GuardOf<'a, T, W>,
        turn: &mut Turn<'_, W::State>,
        entry: Entry<T>,
    ) -> Ended<W::Out, W::Error> {
        let policies = &guard.policies;
        let ticket = match &policies.breaker {
            None => None,
            Some(breaking) => match breaking.closed() {
                Some(ticket) => Some(ticket),
                None => return self.attempt(guard, turn, entry),
            },
        };
        let (head, item) = entry.split();
        let copy = match policies.copy.map(|copy| panics::catch(|| copy(&item))) {
            None => None,
            Some(Ok(copy)) => Some(copy),
            Some(Err(payload)) => return self.fail(guard, turn, &head, Past::none(), panicked(payload), Some(item)),
        };
        let answer = self.run_item(turn.lane, turn.state, item, &head.trace, head.seq, 1);
        turn.firsts += 1;
        match answer {
            Ok(result) => {
                if let Some((breaking, ticket)) = policies.breaker.as_ref().zip(ticket) {
                    breaking.note_success(&mut turn.tab, ticket);
                }
                if std::mem::needs_drop::<T>() {
                    panics::drop_each(copy);
                }
                self.ended(turn, &head, 1, Ok(result))
            }
            Err(error) => {
                let mut past = Past::none();
                past.begin(turn.at);
                turn.deposit(policies.retry.as_ref());
                self.tell(guard, turn, ticket.map(Pass::of), Some(&error));
                self.decide(guard, turn, &head, past, error, copy)
            }
        }
    }
}
