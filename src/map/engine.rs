//! The calling thread's side: feeding, collecting, and working when neither is possible.

use super::board::{Batch, Done, End, Wanted};
use super::core::{Core, Rules};
use super::feed::Feed;
use super::pace::{Inline, Pace};
use super::work::Work;
use crate::panics;
use crate::scope::Door;
use crate::sync::{Arc, MODEL, now};
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

pub(super) struct Engine<'scope, I: Iterator, W: Work<I::Item>> {
    core: Arc<Core<'scope, I::Item, W>>,
    feed: Feed<'scope, I>,
    ordered: bool,
    /// What was collected and is not delivered yet, by index.
    arrived: VecDeque<Done<W::Out>>,
    collected: Vec<Done<W::Out>>,
    /// In order, the item whose result is to be delivered next.
    next: usize,
    ready: Ready<W::Out>,
    /// Items that may be run here before the next look at the clock.
    inline: usize,
    inline_began: Option<Instant>,
    pacer: Inline,
    state: Option<W::State>,
    /// The group was found to be cancelled; and something was left out because of that.
    cancelled: bool,
    stopped: bool,
    /// Nothing is left to drop.
    over: bool,
}

/// Results that are being delivered.
struct Ready<R> {
    results: vec::IntoIter<R>,
    /// The index of the next one.
    at: usize,
    /// The items that are settled once all are delivered, and what comes then.
    from: usize,
    count: usize,
    end: End,
}

impl<R> Ready<R> {
    fn none() -> Ready<R> {
        Ready { results: Vec::new().into_iter(), at: 0, from: 0, count: 0, end: End::Whole }
    }
}

impl<'scope, I, W> Engine<'scope, I, W>
where
    I: Iterator + 'scope,
    I::Item: Send + 'scope,
    W: Work<I::Item> + 'scope,
    W::Out: 'scope,
{
    pub(super) fn new(source: I, work: W, door: Door<'scope>, choices: Choices<'scope, I::Item>, rules: Rules) -> Self {
        let threads = door.group().host().size().min(door.group().options().limit);
        let bytes = size_of::<I::Item>() + size_of::<W::Out>();
        let pace = Pace::new(choices.batch, choices.window, threads, bytes);
        Engine {
            core: Core::new(work, pace, door, rules),
            feed: Feed::new(source, choices.window, choices.weigh),
            ordered: choices.ordered,
            arrived: VecDeque::new(),
            collected: Vec::new(),
            next: 0,
            ready: Ready::none(),
            inline: 0,
            inline_began: None,
            pacer: Inline::new(),
            state: None,
            cancelled: false,
            stopped: false,
            over: false,
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
        let here = self.feed.in_flight - (self.ready.at - self.ready.from).min(self.ready.count);
        let (least, most) = self.feed.size_hint();
        let may_stop = self.stopped || W::MERGES || self.core.may_be_cancelled();
        let least = if may_stop { 0 } else { least.saturating_add(here) };
        (least, most.and_then(|most| most.checked_add(here)))
    }

    /// The next result with the index of its item; that of the last, where results are merged.
    #[inline]
    pub(super) fn next(&mut self) -> Option<(usize, W::Out)> {
        loop {
            if self.inline > 0 {
                self.inline -= 1;
                let next = if self.core.is_halted() { None } else { self.feed.next_inline() };
                if let Some((index, item)) = next {
                    let state = self.state.get_or_insert_with(|| self.core.work.state());
                    return Some((index, self.core.work.run(state, item)));
                }
                self.inline = 0;
            } else if let Some(out) = self.ready.results.next() {
                let index = self.ready.at;
                self.ready.at += 1;
                return Some((index, out));
            } else if !self.advance() {
                return None;
            }
        }
    }

    /// Hands all results to `sink`, run by run.
    pub(super) fn extend(&mut self, sink: &mut impl Extend<W::Out>) {
        loop {
            if self.inline > 0 {
                let state = self.state.get_or_insert_with(|| self.core.work.state());
                let work = &self.core.work;
                let items = std::mem::take(&mut self.inline);
                self.feed.extend_inline(items, self.core.cancel.as_ref(), sink, |item| work.run(state, item));
            } else if self.ready.results.len() > 0 {
                sink.extend(self.ready.results.by_ref());
                if self.ready.results.len() > 0 {
                    // It does not want more.
                    return self.stop();
                }
            } else if !self.advance() {
                return;
            }
        }
    }

    /// Brings about that there is something to deliver; false at the end.
    #[inline(never)]
    fn advance(&mut self) -> bool {
        loop {
            self.finish_ready();
            self.notice_cancellation();
            if self.leave_or_go_on_inline() {
                return true;
            }
            let inline = self.may_inline();
            if self.feed.in_flight == 0 {
                if self.feed.is_over() {
                    self.over = true;
                    self.feed.raise();
                    return false;
                }
                if inline {
                    self.begin_inline(now());
                    return true;
                }
            }
            if self.feed.is_slow() && self.deliver() {
                return true;
            }
            let fed =
                !inline && (self.feed.is_due(&self.core) || self.core.board.is_dry()) && self.feed.feed(&self.core);
            if self.deliver() {
                return true;
            }
            // Cheap items are not fed while others end, unless these take their time. What else there is room for is fed
            // before this thread may be stuck in an item.
            let busy = if inline {
                self.work() || self.feed.feed(&self.core)
            } else {
                fed || self.feed.feed(&self.core) || self.work()
            };
            if !busy && self.feed.in_flight > 0 {
                self.park();
            }
        }
    }

    /// Accounts for what was delivered.
    fn finish_ready(&mut self) {
        let Ready { from, count, end, .. } = std::mem::replace(&mut self.ready, Ready::none());
        self.feed.release(from, count);
        match end {
            End::Whole => {}
            End::Panicked(payload) => {
                self.stop();
                panics::resume(payload);
            }
            End::Unrun => {
                self.stopped = true;
                if self.ordered {
                    self.stop();
                }
            }
        }
    }

    /// Cheap items are run here, once what was given to the workers before is done.
    fn may_inline(&self) -> bool {
        self.core.pace.is_cheap()
            && self.pacer.may_begin(self.feed.fed)
            && self.feed.may_inline()
            && !self.core.is_limited()
            && !MODEL
    }

    /// Begins a round on this thread; a short one, if it may turn out that there is no time for it.
    fn begin_inline(&mut self, time: Instant) {
        self.inline_began = Some(time);
        let remaining = if self.core.may_be_cancelled() { 0 } else { self.feed.size_hint().0 };
        self.inline = self.pacer.items(remaining);
    }

    /// At the end of a round on this thread: whether there is another.
    fn leave_or_go_on_inline(&mut self) -> bool {
        let Some(began) = self.inline_began else { return false };
        let time = now();
        if self.feed.may_inline() && self.pacer.goes_on(time - began, self.feed.fed) {
            self.begin_inline(time);
            return true;
        }
        // What was known of the items is no longer true, or needs to be seen again.
        self.core.pace.forget();
        self.inline_began = None;
        self.next = self.feed.fed;
        if let Some(state) = self.state.take() {
            self.core.work.keep(state);
        }
        false
    }

    fn notice_cancellation(&mut self) {
        if self.cancelled || !self.core.is_cancelled() {
            return;
        }
        self.cancelled = true;
        // Only a source that has more than nothing makes this an early end; one that is asked no more may not be able to tell.
        self.stopped |= self.feed.size_hint().1 != Some(0);
        self.feed.end();
        for Batch { at, items } in self.core.board.give_up() {
            let count = items.len();
            panics::drop_each(items);
            self.arrive(Done { at, count, ran: 0, results: Vec::new(), end: End::Unrun });
        }
    }

    /// Takes results that may be delivered.
    fn deliver(&mut self) -> bool {
        if !self.is_deliverable() {
            self.core.board.collect(&mut self.collected);
            while let Some(done) = self.collected.pop() {
                self.arrive(done);
            }
            if !self.is_deliverable() {
                return false;
            }
        }
        let Some(Done { at, count, ran, results, end }) = self.arrived.pop_front() else { return false };
        self.next = at + count;
        let first = if W::MERGES { at + ran.saturating_sub(1) } else { at };
        self.ready = Ready { results: results.into_iter(), at: first, from: at, count, end };
        true
    }

    fn is_deliverable(&self) -> bool {
        self.arrived.front().is_some_and(|done| !self.ordered || done.at == self.next)
    }

    fn arrive(&mut self, done: Done<W::Out>) {
        let place = self.arrived.partition_point(|other| other.at < done.at);
        self.arrived.insert(place, done);
    }

    /// Runs a batch, the oldest that waits.
    fn work(&self) -> bool {
        if !self.core.is_limited() {
            return self.core.run(false) > 0;
        }
        let group = self.core.door.group();
        let Some(entered) = group.enter() else { return false };
        let batches = self.core.run(false);
        group.exit(entered);
        batches > 0
    }

    /// Parks until what the consumer waits for is there, or this thread may work.
    ///
    /// Everything that could let it go on notifies the group: a result, through the mark on the board; a place, given back.
    /// Without a limit this is reached only when no item waits, so that some thread runs what is waited for.
    fn park(&self) {
        let wanted = if self.ordered { Wanted::At(self.next) } else { Wanted::Any };
        let group = self.core.door.group();
        group.park_while(|free| {
            let woken = self.core.is_cancelled() && !self.cancelled;
            !woken && self.core.board.lacks(wanted, free || !self.core.is_limited())
        });
    }
}

impl<I: Iterator, W: Work<I::Item>> Engine<'_, I, W> {
    /// Ends the run: what was not started is dropped, and so is what is not delivered yet.
    pub(super) fn stop(&mut self) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        self.core.halt();
        self.inline = 0;
        self.inline_began = None;
        let (fresh, done) = self.core.board.close();
        panics::drop_each(fresh.into_iter().flat_map(|batch| batch.items));
        let Ready { results, end, .. } = std::mem::replace(&mut self.ready, Ready::none());
        panics::drop_each(results);
        end.discard();
        let arrived = std::mem::take(&mut self.arrived);
        arrived.into_iter().chain(done).for_each(Done::discard);
        self.feed.abandon();
    }
}

impl<I: Iterator, W: Work<I::Item>> Drop for Engine<'_, I, W> {
    fn drop(&mut self) {
        self.stop();
        // An item that panicked on this thread may be what drops the engine.
        panics::drop_each(self.state.take());
    }
}
