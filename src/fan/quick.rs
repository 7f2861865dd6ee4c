//! The way of an item that no policy has anything to do for: its first attempt, at which its breaker is closed and its handler succeeds.
//!
//! It differs from the way through [`attempt`](super::attempt) in nothing but that what is not needed is not made: no past is written, and the
//! copy is made under the same guard against panics as the call.

use super::attempt::{Ended, GuardOf, Turn};
use super::core::{Core, panicked};
use super::guard::{Gate, Past};
use super::queue::Entry;
use super::work::Work;
use crate::panics;

impl<'a, T: Send + 'a, W: Work<T> + 'a> Core<'a, T, W> {
    /// Sees to an item of which nothing is remembered, for a service whose only policies are retry, breaker and dead letters.
    #[inline]
    pub(super) fn quick_attempt(
        &self,
        guard: &GuardOf<'a, T, W>,
        turn: &mut Turn<'_, W::State>,
        entry: Entry<T>,
    ) -> Ended<W::Out, W::Error> {
        let policies = &guard.policies;
        let (head, item) = entry.split();
        let began = turn.at;
        let pass = match &policies.breaker {
            None => None,
            Some(breaking) => match guard.pass(breaking, &item, None, began) {
                Gate::Open(pass) => pass,
                Gate::Later(hold) => return self.postpone(guard, turn, &head, item, Past::none(), hold),
                Gate::Shut(error) => return self.fail(guard, turn, &head, Past::none(), error, Some(item)),
            },
        };
        let (mut item, mut copy) = (Some(item), None);
        let (mut copied, mut called) = (false, None);
        let caught = panics::catch(|| {
            copy = policies.copy.zip(item.as_ref()).map(|(copy, item)| copy(item));
            copied = true;
            let state = turn.state.get_or_insert_with(|| self.kept_state(turn.lane));
            called = item.take().map(|item| self.work.run(state, item));
        });
        if let Err(payload) = caught {
            if !copied {
                if let Some((breaking, pass)) = policies.breaker.as_ref().zip(pass) {
                    breaking.give_back(&pass);
                }
                return self.fail(guard, turn, &head, Past::none(), panicked(payload), item);
            }
            panics::drop_each(turn.state.take());
            called = Some(Err(panicked(payload)));
        }
        let Some(answer) = called else { unreachable!("the handler was called") };
        turn.firsts += 1;
        match answer {
            Ok(result) => {
                if let Some((breaking, pass)) = policies.breaker.as_ref().zip(pass) {
                    breaking.succeeded(&mut turn.tab, pass, guard.clock());
                }
                if std::mem::needs_drop::<T>() {
                    panics::drop_each(copy);
                }
                self.ended(guard, turn, &head, 1, Ok(result))
            }
            Err(error) => {
                let mut past = Past::none();
                past.begin(began);
                turn.deposit(policies.retry.as_ref());
                self.tell(guard, turn, pass, Some(&error));
                self.decide(guard, turn, &head, past, error, copy)
            }
        }
    }
}
