//! Whether the failures of a service end it, and from which item on.
//!
//! Outcomes are judged where they land, under the landing's lock, one after the other; whoever landed the one that ends the service stops it
//! once no lock is held. In order of sending the answer does not depend on timing: all items before the failure that is one too many run, so
//! it is kept which failures have the lowest numbers, and a failure that lands later but comes earlier moves the point down.

use super::landing::Done;
use crate::error::{OnError, Tally, TaskError};
use std::collections::BinaryHeap;

pub(super) struct Verdict {
    on_error: OnError,
    tally: Tally,
    /// Of the failures, as many of the lowest numbers as are one too many; where outcomes have an order and failures are counted.
    lowest: Option<(usize, BinaryHeap<u64>)>,
    /// From this number on nothing is started.
    point: Option<u64>,
}

impl Verdict {
    /// `None` if failures end nothing.
    pub(super) fn new(on_error: OnError, ordered: bool) -> Option<Verdict> {
        let tolerated = match on_error {
            OnError::CollectAll => return None,
            OnError::FailFast => Some(0),
            OnError::Limit(tolerated) => Some(tolerated),
            OnError::Share { .. } | OnError::FirstSuccess => None,
        };
        let lowest = tolerated.filter(|_| ordered).map(|tolerated| (tolerated, BinaryHeap::new()));
        Some(Verdict { on_error, tally: Tally::default(), lowest, point: None })
    }

    /// Judges what lands; returns from which number on nothing is to be started, if that is lower than was said before.
    pub(super) fn judge<'d, R: 'd, E: 'd>(&mut self, landed: impl IntoIterator<Item = &'d Done<R, E>>) -> Option<u64> {
        let before = self.point;
        for done in landed {
            match done.result {
                Ok(_) => self.tally.succeeded += 1,
                // It was not started, so it says nothing.
                Err(TaskError::Cancelled) => {}
                Err(_) => self.fail(done.seq),
            }
            if self.lowest.is_none() && self.point.is_none() && self.on_error.is_over(self.tally) {
                self.point = Some(0);
            }
        }
        self.point.filter(|_| self.point != before)
    }

    fn fail(&mut self, seq: u64) {
        self.tally.failed += 1;
        let Some((tolerated, lowest)) = &mut self.lowest else { return };
        lowest.push(seq);
        if lowest.len() > tolerated.saturating_add(1) {
            lowest.pop();
        }
        if lowest.len() > *tolerated {
            self.point = lowest.peek().map(|last| last + 1);
        }
    }
}

#[cfg(all(test, not(fanpool_loom)))]
mod tests {
    use super::*;

    fn done(seq: u64, result: Result<(), TaskError<()>>) -> Done<(), ()> {
        Done { seq, queued: 0, ran: 0, worker: 0, attempts: 1, result }
    }

    fn failed(seq: u64) -> Done<(), ()> {
        done(seq, Err(TaskError::Failed(())))
    }

    #[test]
    fn in_order_the_lowest_failures_decide_in_whatever_order_they_land() {
        let mut verdict = Verdict::new(OnError::Limit(1), true).unwrap();
        assert_eq!(verdict.judge(&[failed(9)]), None);
        assert_eq!(verdict.judge(&[failed(7), done(1, Ok(()))]), Some(10));
        assert_eq!(verdict.judge(&[failed(12)]), None);
        assert_eq!(verdict.judge(&[failed(2), failed(3)]), Some(4));
        assert_eq!(verdict.judge(&[done(0, Err(TaskError::Cancelled))]), None);
    }

    #[test]
    fn out_of_order_everything_is_stopped_once() {
        let mut verdict = Verdict::new(OnError::FailFast, false).unwrap();
        assert_eq!(verdict.judge(&[done(3, Ok(())), done(4, Err(TaskError::Cancelled))]), None);
        assert_eq!(verdict.judge(&[failed(9)]), Some(0));
        assert_eq!(verdict.judge(&[failed(7)]), None);
        let mut race = Verdict::new(OnError::FirstSuccess, true).unwrap();
        assert_eq!(race.judge(&[failed(0)]), None);
        assert_eq!(race.judge(&[done(1, Ok(()))]), Some(0));
    }

    #[test]
    fn an_endless_limit_does_not_overflow() {
        let mut verdict = Verdict::new(OnError::Limit(usize::MAX), true).unwrap();
        assert_eq!(verdict.judge(&[failed(u64::MAX - 1)]), None);
        assert!(Verdict::new(OnError::CollectAll, true).is_none());
    }
}
