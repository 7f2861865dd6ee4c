//! What a run hands to its terminal, and the report of its progress.

use super::engine::{Engine, Progress};
use super::work::Work;
use crate::error::{Errors, KEPT, OnError, Tally, TaskError};
use crate::sync::now;
use std::time::{Duration, Instant};

/// Between two calls of the progress report.
const INTERVAL: Duration = Duration::from_millis(100);

/// The results of a run in the order in which they are delivered.
pub(super) struct Results<'run, 'scope, 'env: 'scope, I: Iterator, W: Work<I::Item>> {
    pub(super) engine: &'run mut Engine<'scope, I, W>,
    pub(super) meter: Option<Meter<'env>>,
}

pub(super) struct Meter<'a> {
    report: Progress<'a>,
    done: usize,
    total: Option<usize>,
    last: Instant,
}

impl<'env, I, W> Results<'_, '_, 'env, I, W>
where
    I: Iterator + 'env,
    I::Item: Send + 'env,
    W: Work<I::Item> + 'env,
    W::Out: 'env,
{
    #[inline]
    pub(super) fn next_indexed(&mut self) -> Option<(usize, W::Out)> {
        let next = self.engine.next();
        if let Some(meter) = &mut self.meter {
            let done = match &next {
                Some((index, _)) if W::MERGES => index + 1,
                Some(_) => meter.done + 1,
                None => meter.done,
            };
            meter.note(done, next.is_none());
        }
        next
    }

    /// Hands everything to `sink`, which may reserve room for all of it when it sees the first.
    pub(super) fn fill(mut self, sink: &mut impl Extend<W::Out>) {
        if let Some(first) = self.next() {
            sink.extend(Announced { first: Some(first), follow: self.size_hint().0 });
            self.hand_to(sink);
        }
    }

    /// Hands everything to `sink`, until it leaves something.
    pub(super) fn hand_to(mut self, sink: &mut impl Extend<W::Out>) {
        if self.meter.is_none() {
            return self.engine.extend(sink);
        }
        while let Some(out) = self.next() {
            let mut one = Some(out).into_iter();
            sink.extend(one.by_ref());
            if one.len() > 0 {
                return self.engine.stop();
            }
        }
    }
}

impl<'env, I, W, T, X> Results<'_, '_, 'env, I, W>
where
    I: Iterator + 'env,
    I::Item: Send + 'env,
    W: Work<I::Item, Out = Result<T, X>> + 'env,
    T: 'env,
    X: 'env,
{
    /// Takes results until the rule ends the run, or there are no more.
    pub(super) fn judge(mut self, on_error: OnError) -> (Vec<(usize, T)>, Errors<X>, Tally) {
        let (mut values, mut errors, mut tally) = (Vec::new(), Errors::new(KEPT), Tally::default());
        while !on_error.is_over(tally) {
            match self.next_indexed() {
                None => break,
                Some((index, Ok(value))) => {
                    tally.succeeded += 1;
                    values.push((index, value));
                }
                Some((index, Err(error))) => {
                    tally.failed += 1;
                    drop(errors.push(index, TaskError::Failed(error)));
                }
            }
        }
        drop(errors.sort());
        (values, errors, tally)
    }
}

/// The first result, with a hint that also counts those which the collection gets in later calls.
struct Announced<R> {
    first: Option<R>,
    follow: usize,
}

impl<R> Iterator for Announced<R> {
    type Item = R;

    fn next(&mut self) -> Option<R> {
        self.first.take()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.follow.saturating_add(1), None)
    }
}

/// Extends nothing: calls a function.
pub(super) struct Each<F>(pub(super) F);

impl<R, F: FnMut(R)> Extend<R> for Each<F> {
    #[inline]
    fn extend<I: IntoIterator<Item = R>>(&mut self, items: I) {
        items.into_iter().for_each(&mut self.0);
    }
}

impl<'a> Meter<'a> {
    pub(super) fn new(report: Progress<'a>, total: Option<usize>) -> Meter<'a> {
        Meter { report, done: 0, total, last: now() }
    }

    fn note(&mut self, done: usize, ended: bool) {
        self.done = done;
        let time = now();
        if ended || time - self.last >= INTERVAL {
            self.last = time;
            (self.report)(self.done, self.total);
        }
    }
}

impl<'env, I, W> Iterator for Results<'_, '_, 'env, I, W>
where
    I: Iterator + 'env,
    I::Item: Send + 'env,
    W: Work<I::Item> + 'env,
    W::Out: 'env,
{
    type Item = W::Out;

    #[inline]
    fn next(&mut self) -> Option<W::Out> {
        self.next_indexed().map(|(_, out)| out)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let (least, most) = self.engine.size_hint();
        // Collections reserve what they are told. A source that tells nonsense must not make them fail.
        (least.min((64 << 20) / size_of::<W::Out>().max(1)), most)
    }
}
