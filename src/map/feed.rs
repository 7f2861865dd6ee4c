//! Feeding: from the source, through the window and the budget, to the board.

use super::board::Batch;
use super::core::Core;
use super::engine::Weigh;
use super::work::Work;
use crate::cancel::CancelToken;
use crate::panics::{self, Payload};
use crate::sync::{Arc, now};
use std::collections::VecDeque;
use std::iter;

/// Nanoseconds for one item above which results are looked for after each.
const SLOW: usize = 2_000;
/// Nanoseconds for which the source is asked before results are looked for.
const TURN: usize = 25_000;

pub(super) struct Feed<'a, I: Iterator> {
    /// `None` once a panic has taken it along.
    source: Option<I>,
    window: Option<usize>,
    budget: Option<Budget<'a, I::Item>>,
    /// An item that did not fit into the budget.
    held: Option<(I::Item, usize)>,
    /// Items that were taken from the source, without the one held back.
    pub(super) fed: usize,
    /// How many of them are not settled.
    pub(super) in_flight: usize,
    /// Nanoseconds that the source takes for an item; 0 while unknown.
    item: usize,
    /// The source has ended, or will not be asked again.
    ended: bool,
    panic: Option<Payload>,
}

/// Weights in flight, by item.
struct Budget<'a, T> {
    weigh: Weigh<'a, T>,
    max: usize,
    used: usize,
    /// Weights of the items from index `base` on; `None` once the item is settled.
    weights: VecDeque<Option<usize>>,
    base: usize,
}

impl<'a, I: Iterator> Feed<'a, I> {
    pub(super) fn new(source: I, window: Option<usize>, weigh: Option<(Weigh<'a, I::Item>, usize)>) -> Self {
        let budget = weigh.map(|(weigh, max)| Budget { weigh, max, used: 0, weights: VecDeque::new(), base: 0 });
        Feed {
            source: Some(source),
            window,
            budget,
            held: None,
            fed: 0,
            in_flight: 0,
            item: 0,
            ended: false,
            panic: None,
        }
    }

    /// What is still in the source, as far as it tells.
    pub(super) fn size_hint(&self) -> (usize, Option<usize>) {
        let source = self.source.as_ref().filter(|_| !self.ended);
        let (least, most) = source.map_or((0, Some(0)), Iterator::size_hint);
        let held = usize::from(self.held.is_some());
        (least.saturating_add(held), most.and_then(|most| most.checked_add(held)))
    }

    pub(super) fn is_over(&self) -> bool {
        self.ended && self.held.is_none()
    }

    /// Whether asking for one item takes so long that results had better be delivered first.
    pub(super) fn is_slow(&self) -> bool {
        self.item >= SLOW
    }

    pub(super) fn may_inline(&self) -> bool {
        !self.ended && self.held.is_none()
    }

    /// An item that the calling thread runs and delivers itself; it is never in flight.
    #[inline]
    pub(super) fn next_inline(&mut self) -> Option<(usize, I::Item)> {
        let Some(item) = self.source.as_mut().and_then(Iterator::next) else {
            self.ended = true;
            return None;
        };
        self.fed += 1;
        Some((self.fed - 1, item))
    }

    /// Extends `sink` with what `run` makes of the next `items`, as a plain loop would. A sink that leaves some ends the run;
    /// once it is cancelled, the source is not asked any more.
    #[inline]
    pub(super) fn extend_inline<R>(
        &mut self,
        items: usize,
        cancel: Option<&CancelToken>,
        sink: &mut impl Extend<R>,
        mut run: impl FnMut(I::Item) -> R,
    ) {
        // The compiler keeps a source in registers only where nobody else can see it: that halves the time of an empty item.
        let Some(mut source) = self.source.take() else { return self.ended = true };
        let (mut taken, mut cancelled) = (0, false);
        let run = |item| {
            taken += 1;
            run(item)
        };
        if let Some(cancel) = cancel {
            let next = || {
                cancelled = cancel.was_called();
                if cancelled { None } else { source.next() }
            };
            sink.extend(iter::from_fn(next).take(items).map(run));
        } else {
            sink.extend(source.by_ref().take(items).map(run));
        }
        self.source = Some(source);
        self.fed += taken;
        self.ended = taken < items && !cancelled;
    }

    /// The source is not asked any more.
    pub(super) fn end(&mut self) {
        self.ended = true;
        panics::drop_each(self.held.take());
    }

    pub(super) fn abandon(&mut self) {
        self.end();
        panics::drop_each(self.panic.take());
        self.in_flight = 0;
    }

    /// At the end, goes on with the panic of the source.
    pub(super) fn raise(&mut self) {
        if let Some(payload) = self.panic.take() {
            panics::resume(payload);
        }
    }

    /// Items `from..from + count` are settled and delivered.
    pub(super) fn release(&mut self, from: usize, count: usize) {
        self.in_flight = self.in_flight.saturating_sub(count);
        if let Some(budget) = &mut self.budget {
            budget.release(from, count);
        }
    }

    /// Takes items from the source and publishes them, within the window and for a bounded time; whether there were any.
    ///
    /// A source that knows its length is taken not to wait for anything: its items are published a batch at a time. Any other
    /// may stop for as long as it likes, so each of its items is published before the next is asked for.
    pub(super) fn feed<W>(&mut self, core: &Arc<Core<'a, I::Item, W>>) -> bool
    where
        I::Item: Send + 'a,
        W: Work<I::Item> + 'a,
        W::Out: 'a,
    {
        let window = self.window.unwrap_or_else(|| core.pace.window());
        let (before, began) = (self.fed, now());
        let (mut look, mut push) = (1, false);
        while !self.is_over() && self.in_flight < window {
            let room = window - self.in_flight;
            let (least, most) = self.size_hint();
            if most == Some(least) {
                let size = core.pace.batch();
                if room < size && self.in_flight > window / 2 {
                    // Batches would become ever smaller.
                    break;
                }
                let (at, size) = (self.fed, size.min(room));
                let items = match TURN.checked_div(self.item) {
                    Some(quick) => self.fill(size.min(quick.max(1))),
                    None => self.fill_first(size),
                };
                if items.is_empty() {
                    break;
                }
                push |= core.board.append(Batch { at, items: items.into() });
            } else {
                let Some(item) = self.pull() else { break };
                if core.board.add(self.fed - 1, item, core.pace.batch()) {
                    core.push();
                }
            }
            let published = self.fed - before;
            if published >= look {
                let time = usize::try_from((now() - began).as_nanos()).unwrap_or(usize::MAX);
                self.item = (time / published).max(1);
                look = published + published.min((SLOW / self.item).max(1));
                if time >= TURN {
                    break;
                }
            }
        }
        if push {
            // Not before: a worker that wakes up on this very core should find more than the first batch.
            core.push();
        }
        self.fed > before
    }

    /// Whether half of the window is free. Feeding little by little would wake workers for each bit.
    pub(super) fn is_due<W: Work<I::Item>>(&self, core: &Core<'a, I::Item, W>) -> bool {
        self.in_flight <= self.window.unwrap_or_else(|| core.pace.window()) / 2
    }

    /// The next items.
    fn fill(&mut self, size: usize) -> Vec<I::Item> {
        let mut items = Vec::with_capacity(size);
        self.fill_up(&mut items, size);
        items
    }

    /// The first items, while it is not known how long the source takes.
    fn fill_first(&mut self, size: usize) -> Vec<I::Item> {
        let (mut items, began) = (Vec::with_capacity(size.min(64)), now());
        let mut goal = 1;
        loop {
            self.fill_up(&mut items, goal);
            let late = (now() - began).as_nanos() >= SLOW as u128;
            if items.len() < goal || goal == size || late {
                return items;
            }
            goal = (2 * goal).min(size);
        }
    }

    /// Takes items until there are `size`, if there are.
    fn fill_up(&mut self, items: &mut Vec<I::Item>, size: usize) {
        if self.budget.is_none() && !self.ended {
            let (before, missing) = (items.len(), size - items.len());
            let source = self.source.as_mut();
            let filled = panics::catch(|| source.map(|source| items.extend(source.take(missing))));
            self.panic = filled.err();
            self.ended = items.len() < size;
            self.fed += items.len() - before;
            self.in_flight += items.len() - before;
            return;
        }
        while items.len() < size {
            let Some(item) = self.pull() else { break };
            items.push(item);
        }
    }

    /// The next item, if the budget has room for it. A panic of the source counts as its end; what came before is
    /// delivered first, as in a serial loop.
    #[inline]
    fn pull(&mut self) -> Option<I::Item> {
        let (item, weight) = match self.held.take() {
            Some(held) => held,
            None if self.ended => return None,
            None => {
                let pulled = panics::catch(|| {
                    let item = self.source.as_mut()?.next()?;
                    let weight = self.budget.as_mut().map_or(0, |budget| (budget.weigh)(&item));
                    Some((item, weight))
                });
                match pulled {
                    Ok(Some(pulled)) => pulled,
                    Ok(None) => {
                        self.ended = true;
                        return None;
                    }
                    Err(payload) => {
                        self.ended = true;
                        self.panic = Some(payload);
                        return None;
                    }
                }
            }
        };
        if let Some(budget) = &mut self.budget {
            let fits = budget.used.checked_add(weight).is_some_and(|sum| sum <= budget.max);
            if self.in_flight > 0 && !fits {
                self.held = Some((item, weight));
                return None;
            }
            budget.add(self.fed, weight);
        }
        self.fed += 1;
        self.in_flight += 1;
        Some(item)
    }
}

impl<T> Budget<'_, T> {
    fn add(&mut self, index: usize, weight: usize) {
        if self.weights.is_empty() {
            self.base = index;
        }
        self.used += weight;
        self.weights.push_back(Some(weight));
    }

    fn release(&mut self, from: usize, count: usize) {
        for index in from..from + count {
            if let Some(weight) = self.weights.get_mut(index - self.base).and_then(Option::take) {
                self.used -= weight;
            }
        }
        while self.weights.front() == Some(&None) {
            self.weights.pop_front();
            self.base += 1;
        }
    }
}
