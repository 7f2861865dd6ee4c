//! Feeding: from the source, through the window and the budget, into segments.

use super::engine::{Engine, Flight, Weigh};
use super::segment::{Segment, Slot};
use super::work::Work;
use crate::panics;
use crate::sync::Arc;
use std::collections::VecDeque;
use std::time::Instant;

/// Bytes in flight, by item.
pub(super) struct Budget<'a, T> {
    weigh: Weigh<'a, T>,
    max: usize,
    used: usize,
    /// Weights of the items from index `base` on.
    /// `None` once the item is settled.
    weights: VecDeque<Option<usize>>,
    base: usize,
}
impl<'a, T> Budget<'a, T> {
    pub(super) fn new(weigh: Weigh<'a, T>, max: usize) -> Self {
        Budget { weigh, max, used: 0, weights: VecDeque::new(), base: 0 }
    }

    fn add(&mut self, index: usize, weight: usize) {
        if self.weights.is_empty() {
            self.base = index;
        }
        self.used = self.used.saturating_add(weight);
        self.weights.push_back(Some(weight));
    }

    pub(super) fn release(&mut self, index: usize) {
        if let Some(weight) = self.weights.get_mut(index - self.base).and_then(Option::take) {
            self.used -= weight;
        }
        while self.weights.front() == Some(&None) {
            self.weights.pop_front();
            self.base += 1;
        }
    }
}

impl<'scope, I, W> Engine<'scope, I, W>
where
    I: Iterator + 'scope,
    I::Item: Send + 'scope,
    W: Work<I::Item> + 'scope,
    W::Out: 'scope,
{
    /// Takes items from the source and publishes them, within the window and for a bounded time.
    pub(super) fn feed(&mut self) -> bool {
        let before = self.fed;
        let began = Instant::now();
        let window = self.window.unwrap_or_else(|| self.core.pace.window());
        let mut budget = match self.source_item {
            0 => 16,
            item => (25_000 / item).max(1),
        };
        let exact = match self.source.size_hint() {
            (least, Some(most)) => least == most,
            (_, None) => false,
        };
        while budget > 0 && self.in_flight < window && (!self.ended || self.held.is_some()) {
            let mut room = self.flight.back().map_or(0, |flight| flight.room);
            if room == 0 {
                room = self.core.pace.segment();
                let segment = Arc::new(Segment::new(room.min(window)));
                self.flight.push_back(Flight { segment, base: self.fed, room });
            }
            let published = self.fed - before;
            let items = self.core.pace.publish(self.source_item, exact, published);
            let items = items.min(room).min(window - self.in_flight);
            let fed = self.fill(items);
            budget = budget.saturating_sub(fed);
            if let Some(last) = self.flight.back_mut() {
                last.room -= fed;
                if fed == 0 {
                    if last.base == self.fed {
                        self.flight.pop_back();
                    }
                    break;
                }
                if last.segment.append(&mut self.buffer) {
                    self.core.push(&last.segment);
                }
            }
        }
        let fed = self.fed - before;
        let time = usize::try_from(began.elapsed().as_nanos()).unwrap_or(usize::MAX);
        if let Some(each) = time.checked_div(fed) {
            self.source_item = if self.source_item == 0 { each } else { self.source_item.midpoint(each) }.max(1);
        }
        fed > 0
    }

    /// Takes up to `items` from the source into the buffer; returns how many.
    fn fill(&mut self, items: usize) -> usize {
        let before = self.buffer.len();
        self.buffer.reserve(items);
        let filled = panics::catch(|| {
            for _ in 0..items {
                let (item, weight) = match self.held.take() {
                    Some(held) => held,
                    None if self.ended => break,
                    None => match self.source.next() {
                        Some(item) => {
                            let weight = self.budget.as_mut().map_or(0, |budget| (budget.weigh)(&item));
                            (item, weight)
                        }
                        None => {
                            self.ended = true;
                            break;
                        }
                    },
                };
                if let Some(budget) = &mut self.budget {
                    if self.in_flight > 0 && budget.used.saturating_add(weight) > budget.max {
                        self.held = Some((item, weight));
                        break;
                    }
                    budget.add(self.fed, weight);
                }
                self.buffer.push(Slot::Waiting(item));
                self.fed += 1;
                self.in_flight += 1;
            }
        });
        if let Err(payload) = filled {
            // As in a serial loop, what came before is delivered first.
            self.source_panic = Some(payload);
            self.ended = true;
        }
        self.buffer.len() - before
    }
}
