//! The calling thread's side: feeding, collecting, and working when neither is possible.

use super::core::Core;
use super::feed::Budget;
use super::pace::{Inline, Pace};
use super::segment::{Segment, Slot};
use super::work::Work;
use crate::group::Entered;
use crate::panics::{self, Payload};
use crate::scope::Door;
use crate::sync::Arc;
use std::collections::VecDeque;
use std::time::Instant;
use std::vec;

/// What the user chose.
pub(super) struct Choices<'a, T> {
    pub(super) ordered: bool,
    pub(super) window: Option<usize>,
    pub(super) batch: Option<usize>,
    pub(super) weigh: Option<(Weigh<'a, T>, usize)>,
    pub(super) progress: Option<Progress<'a>>,
}

pub(super) type Weigh<'a, T> = Box<dyn FnMut(&T) -> usize + 'a>;
pub(super) type Progress<'a> = Box<dyn FnMut(usize, Option<usize>) + 'a>;

pub(super) struct Flight<T, R> {
    pub(super) segment: Arc<Segment<T, R>>,
    /// The index of its first item.
    pub(super) base: usize,
    /// Items that may still be appended.
    pub(super) room: usize,
}

pub(super) struct Engine<'scope, I: Iterator, W: Work<I::Item>> {
    pub(super) source: I,
    pub(super) core: Arc<Core<'scope, I::Item, W>>,
    pub(super) ordered: bool,
    pub(super) window: Option<usize>,
    pub(super) budget: Option<Budget<'scope, I::Item>>,
    /// Segments in the order of their items. All but the last are full.
    pub(super) flight: VecDeque<Flight<I::Item, W::Out>>,
    /// Segments at the front of `flight` that have no unclaimed item.
    pub(super) claimed: usize,
    /// Items taken from the source, and how many of them the consumer has not got.
    pub(super) fed: usize,
    pub(super) in_flight: usize,
    pub(super) ready: vec::IntoIter<Slot<I::Item, W::Out>>,
    /// The index of the next slot in `ready`.
    pub(super) ready_at: usize,
    /// Items that may be run here before the next look at the clock.
    pub(super) inline: usize,
    pub(super) inline_began: Option<Instant>,
    pub(super) pacer: Inline,
    pub(super) state: Option<W::State>,
    /// An item that did not fit into the budget.
    pub(super) held: Option<(I::Item, usize)>,
    pub(super) buffer: Vec<Slot<I::Item, W::Out>>,
    /// Nanoseconds that the source takes for an item; 0 while unknown.
    pub(super) source_item: usize,
    /// The source has ended, or will not be asked again.
    pub(super) ended: bool,
    pub(super) source_panic: Option<Payload>,
    /// The group was cancelled before everything was run.
    pub(super) stopped: bool,
}

/// Nanoseconds for one item above which the source is fed one item at a time.
const SLOW_SOURCE: usize = 2_000;

impl<'scope, I, W> Engine<'scope, I, W>
where
    I: Iterator + 'scope,
    I::Item: Send + 'scope,
    W: Work<I::Item> + 'scope,
    W::Out: 'scope,
{
    pub(super) fn new(source: I, work: W, door: Door<'scope>, choices: Choices<'scope, I::Item>) -> Self {
        let threads = door.group().host().size().min(door.group().options().limit);
        let budget = choices.weigh.map(|(weigh, max)| Budget::new(weigh, max));
        Engine {
            source,
            core: Core::new(work, Pace::new(choices.batch, threads), door),
            ordered: choices.ordered,
            window: choices.window,
            budget,
            flight: VecDeque::new(),
            claimed: 0,
            fed: 0,
            in_flight: 0,
            ready: Vec::new().into_iter(),
            ready_at: 0,
            inline: 0,
            inline_began: None,
            pacer: Inline::new(),
            state: None,
            held: None,
            buffer: Vec::new(),
            source_item: 0,
            ended: false,
            source_panic: None,
            stopped: false,
        }
    }

    pub(super) fn merge(&self, left: W::Out, right: W::Out) -> W::Out {
        self.core.work.merge(left, right)
    }

    /// Whether the run was cancelled before its end.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Items that are still to come, as far as the source tells.
    pub(super) fn size_hint(&self) -> (usize, Option<usize>) {
        let (least, most) = if self.ended { (0, Some(0)) } else { self.source.size_hint() };
        let here = self.in_flight + usize::from(self.held.is_some());
        let least = if self.stopped || W::MERGES || self.core.door.group().options().cancel.is_some() {
            0
        } else {
            least.saturating_add(here)
        };
        (least, most.and_then(|most| most.checked_add(here)))
    }

    /// The next result with the index of its item.
    #[inline]
    pub(super) fn next(&mut self) -> Option<(usize, W::Out)> {
        loop {
            if self.inline > 0 {
                self.inline -= 1;
                if let Some(item) = self.source.next() {
                    let index = self.fed;
                    self.fed += 1;
                    let state = self.state.get_or_insert_with(|| self.core.work.state());
                    return Some((index, self.core.work.run(state, item)));
                }
                self.ended = true;
                self.inline = 0;
            } else if let Some(slot) = self.ready.next() {
                let index = self.ready_at;
                self.ready_at += 1;
                if let Some(out) = self.settle(index, slot) {
                    return Some((index, out));
                }
            } else if !self.advance() {
                return None;
            }
        }
    }

    /// Accounts for one collected slot.
    #[inline]
    fn settle(&mut self, index: usize, slot: Slot<I::Item, W::Out>) -> Option<W::Out> {
        if matches!(slot, Slot::Absent) {
            return None;
        }
        self.in_flight -= 1;
        if let Some(budget) = &mut self.budget {
            budget.release(index);
        }
        match slot {
            Slot::Done(out) => Some(out),
            Slot::Panicked(payload) => {
                self.stop();
                panics::resume(payload)
            }
            Slot::Unrun => {
                if self.ordered {
                    self.stop();
                }
                None
            }
            Slot::Merged | Slot::Absent | Slot::Waiting(_) | Slot::Claimed => None,
        }
    }

    /// Brings about that there is something to deliver; false at the end.
    #[inline(never)]
    fn advance(&mut self) -> bool {
        loop {
            self.notice_cancellation();
            if self.leave_or_go_on_inline() || self.collect() {
                return true;
            }
            let inline = self.may_inline() && self.core.pace.is_cheap() && self.held.is_none();
            if self.flight.is_empty() {
                if self.ended && self.held.is_none() {
                    if let Some(payload) = self.source_panic.take() {
                        panics::resume(payload);
                    }
                    return false;
                }
                if inline {
                    self.begin_inline();
                    return true;
                }
            }
            if !inline && self.feed() {
                if (self.core.pace.is_slow() || self.source_item >= SLOW_SOURCE) && self.collect_some(false) {
                    return true;
                }
                continue;
            }
            if self.flight.is_empty() {
                // The source had nothing more.
                continue;
            }
            if self.work() {
                if self.core.pace.is_slow() && self.collect_some(false) {
                    return true;
                }
                continue;
            }
            if self.collect_some(true) {
                return true;
            }
            self.park();
        }
    }

    fn may_inline(&self) -> bool {
        !self.ended && !self.core.door.group().is_limited() && !crate::sync::MODEL
    }

    fn begin_inline(&mut self) {
        self.inline_began = Some(Instant::now());
        self.inline = self.inline_items();
    }

    fn inline_items(&mut self) -> usize {
        self.pacer.items(self.source.size_hint().0)
    }

    /// At the end of a round on this thread: whether there is another.
    fn leave_or_go_on_inline(&mut self) -> bool {
        let Some(began) = self.inline_began else { return false };
        let now = Instant::now();
        if !self.ended && self.pacer.goes_on(now - began) {
            self.inline_began = Some(now);
            self.inline = self.inline_items();
            return true;
        }
        self.inline_began = None;
        if let Some(state) = self.state.take() {
            self.core.work.keep(state);
        }
        false
    }

    fn notice_cancellation(&mut self) {
        if self.stopped || !self.core.door.group().is_cancelled() {
            return;
        }
        // Only a source that has more than nothing makes this an early end; one that is asked no more cannot tell.
        self.stopped = !self.ended || self.held.is_some();
        self.ended = true;
        self.inline = 0;
        panics::drop_each(self.held.take());
        for flight in &self.flight {
            let dropped = flight.segment.give_up();
            self.stopped |= !dropped.is_empty();
            panics::drop_each(dropped);
        }
        self.claimed = self.flight.len();
    }

    /// Takes the results of a segment that is done with.
    fn collect(&mut self) -> bool {
        let among = if self.ordered { 1 } else { self.flight.len() };
        for at in 0..among.min(self.flight.len()) {
            if let Some((from, slots)) = self.flight[at].segment.take_all() {
                self.ready_at = self.flight[at].base + from;
                self.ready = slots.into_iter();
                let _ = self.flight.remove(at);
                self.claimed -= usize::from(at < self.claimed);
                return true;
            }
        }
        false
    }

    /// Takes what results there are; `want` marks what is missing.
    fn collect_some(&mut self, want: bool) -> bool {
        let among = if self.ordered { 1 } else { self.flight.len() };
        for flight in self.flight.iter().take(among) {
            if let Some((from, slots)) = flight.segment.take_some(self.ordered, want) {
                self.ready_at = flight.base + from;
                self.ready = slots.into_iter();
                return true;
            }
        }
        false
    }

    /// Runs some unclaimed items, the oldest first.
    fn work(&mut self) -> bool {
        while let Some(flight) = self.flight.get(self.claimed) {
            if !flight.segment.has_unclaimed() {
                if self.claimed + 1 == self.flight.len() && flight.room > 0 && !self.ended {
                    // More may come into this one.
                    return false;
                }
                self.claimed += 1;
                continue;
            }
            let group = self.core.door.group();
            let Some(entered) = group.enter() else { return false };
            let ran = self.core.run(&flight.segment, false);
            if entered == Entered::Place {
                group.exit(entered);
            }
            return ran > 0;
        }
        false
    }

    /// Parks until what the consumer waits for is there, or this thread may work.
    ///
    /// Everything that could let it go on notifies the group: a result, through the mark on its segment; a place, given back.
    /// Without a limit this is reached only when every item is claimed, so that some thread runs what is waited for.
    fn park(&self) {
        let group = self.core.door.group();
        group.park_while(|free| {
            if group.is_cancelled() && !self.stopped {
                return false;
            }
            let among = if self.ordered { 1 } else { self.flight.len() };
            let lacks = self.flight.iter().take(among).all(|flight| flight.segment.lacks(self.ordered));
            let idle = free && self.flight.iter().skip(self.claimed).any(|flight| flight.segment.has_unclaimed());
            lacks && !idle
        });
    }
}

impl<I: Iterator, W: Work<I::Item>> Engine<'_, I, W> {
    /// Ends the run: what was not started is dropped, and so is what is not delivered yet.
    pub(super) fn stop(&mut self) {
        self.ended = true;
        self.inline = 0;
        self.inline_began = None;
        for flight in self.flight.drain(..) {
            panics::drop_each(flight.segment.close());
        }
        panics::drop_each(self.ready.by_ref());
        panics::drop_each(self.buffer.drain(..));
        panics::drop_each(self.held.take());
        panics::drop_each(self.source_panic.take());
        self.claimed = 0;
        self.in_flight = 0;
    }
}

impl<I: Iterator, W: Work<I::Item>> Drop for Engine<'_, I, W> {
    fn drop(&mut self) {
        self.stop();
    }
}
