//! The thread that takes outcomes, sends results and dead letters, and acknowledges.
//!
//! Outcomes are settled in batches of what is there. A batch first goes to the sinks, and only what these have confirmed is
//! acknowledged; so whatever is lost in between, the broker delivers the message again.

use super::super::codec::Encode;
use super::super::engine::{Settler, Sink};
use super::super::error::ConnectError;
use super::super::message::{Message, Position};
use super::letter::{self, Cause};
use super::shared::{Entry, Part, Shared, guarded};
use crate::fan::{Outcome, Output};
use crate::panics;
use crate::sync::{Arc, broken};
use std::fmt::Display;

/// The most outcomes that are settled together.
const BATCH: usize = 512;

/// A sink, and its engine's name.
pub(super) struct Outlet {
    pub(super) sink: Box<dyn Sink>,
    pub(super) engine: &'static str,
}

/// What became of messages that were sent together.
enum Sent {
    All,
    /// Those before this one, which is refused for good.
    Before(usize, ConnectError),
    /// Some of them or none. The consumer ends.
    Unknown,
}

impl Outlet {
    fn send(&mut self, shared: &Shared, part: Part, messages: &[Message]) -> Sent {
        match shared.insist(part, self.engine, || self.sink.publish(messages)) {
            Some(Ok(())) => Sent::All,
            Some(Err(error @ ConnectError::Message { index, .. })) if index < messages.len() => {
                Sent::Before(index, error)
            }
            Some(Err(error)) => {
                // It is not known which it means, and so which are stored.
                let what = format!("of {} messages it refuses another one: {error}", messages.len());
                let advice = "mend the engine".into();
                shared.fail(ConnectError::Refused { engine: self.engine, what, advice });
                Sent::Unknown
            }
            None => Sent::Unknown,
        }
    }

    fn close(mut self) {
        let _ = guarded(self.engine, || self.sink.close());
        panics::drop_each([self.sink]);
    }
}

/// Where results go.
pub(super) struct Results<R> {
    pub(super) to: Outlet,
    pub(super) encode: Box<dyn Encode<R>>,
}

pub(super) struct Collector<R, E> {
    pub(super) output: Output<'static, R, E>,
    pub(super) settler: Box<dyn Settler>,
    pub(super) engine: &'static str,
    pub(super) results: Option<Results<R>>,
    /// `None` if failed messages are dropped.
    pub(super) letters: Option<Outlet>,
    pub(super) shared: Arc<Shared>,
}

/// What becomes of a batch.
#[derive(Default)]
struct Plan {
    /// Results, each with the index of its entry.
    results: Vec<(usize, Message)>,
    /// Letters, each with the index of its entry.
    letters: Vec<(usize, Message)>,
    fates: Vec<Fate>,
    /// How often the handler was called for each.
    attempts: Vec<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Ack,
    /// With this the handler has succeeded, and its result was refused; or failed.
    Discard,
    Return,
}

impl<R, E: Display> Collector<R, E> {
    /// Settles until the service is at its end, then what was returned, and closes all but the reader.
    pub(super) fn run(mut self) {
        if let Err(payload) = panics::catch(|| self.work()) {
            let what = format!("the collector panicked: {}", panics::message(&payload));
            panics::discard(payload);
            let advice = "this is a fault of the library".into();
            self.shared.fail(ConnectError::Refused { engine: self.engine, what, advice });
        }
        let Collector { output, mut settler, engine, results, letters, shared } = self;
        // Stops the service if it is not at its end, and joins the workers if they are its own. With its last owner goes the handler, whose
        // `Drop` is the user's.
        panics::drop_each([output]);
        shared.end();
        shared.wait_fed();
        let left = if broken!("left_is_forgotten") { Vec::new() } else { shared.take_left() };
        give_back(&shared, &mut settler, engine, &left);
        shared.insist(Part::Settler, engine, || settler.close());
        if let Some(Results { to, encode }) = results {
            to.close();
            panics::drop_each([encode]);
        }
        letters.into_iter().for_each(Outlet::close);
        panics::drop_each([settler]);
        shared.set_settled();
    }

    fn work(&mut self) {
        let mut batch: Vec<Outcome<R, E>> = Vec::with_capacity(BATCH);
        let mut entries = Vec::with_capacity(BATCH);
        while let Ok(first) = self.output.recv() {
            batch.push(first);
            batch.extend(std::iter::from_fn(|| self.output.try_recv().ok()).take(BATCH - 1));
            self.shared.take_out(batch.iter().map(|outcome| outcome.seq), &mut entries);
            self.settle(&mut batch, &mut entries);
            entries.clear();
            if self.shared.lock().failure.is_some() {
                // What would be done now would be done again.
                self.output.control().stop();
            }
        }
    }

    fn settle(&mut self, batch: &mut Vec<Outcome<R, E>>, entries: &mut [Entry]) {
        debug_assert_eq!(batch.len(), entries.len(), "each item has its entry");
        let mut plan = Plan::default();
        for (at, (outcome, entry)) in batch.drain(..).zip(entries.iter_mut()).enumerate() {
            let Outcome { attempts, result, .. } = outcome;
            let fate = match result {
                Ok(value) => self.succeeded(at, value, attempts, entry, &mut plan),
                Err(error) => {
                    let cause = letter::cause(&error, entry);
                    panics::drop_each([error]);
                    match cause {
                        Some(cause) => self.bury(at, attempts, &cause, entry, &mut plan),
                        None => Fate::Return,
                    }
                }
            };
            plan.fates.push(fate);
            plan.attempts.push(attempts);
        }
        self.send_results(entries, &mut plan);
        self.send_letters(&mut plan);
        self.acknowledge(entries, &plan);
    }

    fn succeeded(&self, at: usize, value: R, attempts: u32, entry: &Entry, plan: &mut Plan) -> Fate {
        let Some(results) = &self.results else {
            panics::drop_each([value]);
            return Fate::Ack;
        };
        let mut made = Vec::new();
        let encoded = panics::catch(|| results.encode.encode(value, &mut made)).unwrap_or_else(|payload| {
            let text = format!("the encoder panicked: {}", panics::message(&payload));
            panics::discard(payload);
            Err(super::super::codec::CodecError::new(text))
        });
        match encoded {
            Ok(()) => {
                let trace = entry.message.header("traceparent");
                plan.results.extend(made.into_iter().map(|message| match trace {
                    Some(trace) if message.header("traceparent").is_none() => {
                        (at, message.with_header("traceparent", trace))
                    }
                    _ => (at, message),
                }));
                Fate::Ack
            }
            Err(error) => {
                let cause = Cause { reason: "unencodable", text: letter::text(&error) };
                self.bury(at, attempts, &cause, entry, plan)
            }
        }
    }

    fn bury(&self, at: usize, attempts: u32, cause: &Cause, entry: &Entry, plan: &mut Plan) -> Fate {
        if self.letters.is_none() {
            return Fate::Discard;
        }
        plan.letters.push((at, letter::letter(entry, attempts, cause, self.engine)));
        Fate::Ack
    }

    /// Sends the results of a batch. What is refused for good is buried; if the broker cannot be reached any more, what was not
    /// confirmed goes back.
    fn send_results(&mut self, entries: &[Entry], plan: &mut Plan) {
        let results = std::mem::take(&mut plan.results);
        let (indices, messages): (Vec<usize>, Vec<Message>) = results.into_iter().unzip();
        let mut sent = 0;
        while sent < messages.len() {
            let Some(Results { to, .. }) = &mut self.results else { return };
            match to.send(&self.shared, Part::Results, &messages[sent..]) {
                Sent::All => {
                    self.shared.count(|counts| counts.published += (messages.len() - sent) as u64);
                    return;
                }
                Sent::Before(stored, error) => {
                    self.shared.count(|counts| counts.published += stored as u64);
                    let at = indices[sent + stored];
                    let cause = Cause { reason: "result-refused", text: letter::text(&error) };
                    plan.fates[at] = self.bury(at, plan.attempts[at], &cause, &entries[at], plan);
                    // Other results of the same item are not sent.
                    let rest = sent + stored + 1;
                    sent = rest + indices[rest..].iter().take_while(|index| **index == at).count();
                }
                Sent::Unknown => {
                    indices[sent..].iter().for_each(|at| plan.fates[*at] = Fate::Return);
                    plan.letters.retain(|(at, _)| plan.fates[*at] != Fate::Return);
                    return;
                }
            }
        }
    }

    fn send_letters(&mut self, plan: &mut Plan) {
        let (indices, mut messages): (Vec<usize>, Vec<Message>) = std::mem::take(&mut plan.letters).into_iter().unzip();
        let (mut sent, mut smaller) = (0, None);
        while sent < messages.len() {
            let Some(to) = &mut self.letters else { return };
            match to.send(&self.shared, Part::Letters, &messages[sent..]) {
                Sent::All => {
                    self.shared.count(|counts| counts.dead_lettered += (messages.len() - sent) as u64);
                    return;
                }
                Sent::Before(stored, error) => {
                    self.shared.count(|counts| counts.dead_lettered += stored as u64);
                    sent += stored;
                    if smaller == Some(sent) {
                        // Not even the smallest letter is taken: nothing else can be done with it.
                        self.shared.fail(ConnectError::Refused {
                            engine: to.engine,
                            what: format!("a dead letter was refused: {error}"),
                            advice: "see what the sink for dead letters accepts".into(),
                        });
                        indices[sent..].iter().for_each(|at| plan.fates[*at] = Fate::Return);
                        return;
                    }
                    smaller = Some(sent);
                    messages[sent] = letter::smaller(&messages[sent]);
                }
                Sent::Unknown => {
                    indices[sent..].iter().for_each(|at| plan.fates[*at] = Fate::Return);
                    return;
                }
            }
        }
    }

    fn acknowledge(&mut self, entries: &[Entry], plan: &Plan) {
        let of = |fate: Fate| entries.iter().zip(&plan.fates).filter(move |(_, its)| **its == fate);
        let done: Vec<Position> = of(Fate::Ack).chain(of(Fate::Discard)).map(|(entry, _)| entry.position).collect();
        let discarded = of(Fate::Discard).count();
        let back: Vec<Position> = of(Fate::Return).map(|(entry, _)| entry.position).collect();
        if !done.is_empty() {
            let acked = self.shared.insist(Part::Settler, self.engine, || self.settler.ack(&done));
            self.shared.release(done.len(), |counts| match acked {
                Some(Ok(acked)) => {
                    // Whatever an engine says, not more than there were.
                    let acked = acked.min(done.len());
                    counts.discarded += discarded as u64;
                    counts.acknowledged += acked as u64;
                    counts.late += (done.len() - acked) as u64;
                }
                _ => counts.unsettled += done.len() as u64,
            });
        }
        if !back.is_empty() {
            // Only at the end: either the service was stopped, or the consumer has failed. A feeder that still polls would take them again.
            self.shared.end();
            self.output.control().stop();
            if !broken!("handed_back_to_a_feeder") {
                self.shared.wait_fed();
            }
            give_back(&self.shared, &mut self.settler, self.engine, &back);
        }
    }
}

fn give_back(shared: &Shared, settler: &mut Box<dyn Settler>, engine: &'static str, back: &[Position]) {
    if back.is_empty() {
        return;
    }
    let given = shared.insist(Part::Settler, engine, || settler.nack(back));
    shared.release(back.len(), |counts| match given {
        Some(Ok(given)) => {
            let given = given.min(back.len());
            counts.handed_back += given as u64;
            counts.late += (back.len() - given) as u64;
        }
        _ => counts.unsettled += back.len() as u64,
    });
}
