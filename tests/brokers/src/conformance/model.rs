//! Random lives of sources against a model of what may come.

use super::support::*;
use crate::Broker;
use fanpool::connect::Delivery;
use std::collections::BTreeSet;
use std::env;
use std::time::{Duration, Instant};

const SOURCES: usize = 3;
const WINDOW: usize = 30;

/// A source at work, and what it was given.
struct Actor {
    member: Member,
    held: Vec<(Delivery, Instant)>,
    /// What it has acknowledged; the broker may not know yet.
    acknowledged: BTreeSet<usize>,
}

struct Model<'a> {
    broker: &'a dyn Broker,
    queue: String,
    random: Random,
    sent: usize,
    actors: [Option<Actor>; SOURCES],
    seen: BTreeSet<usize>,
    /// What must not come any more.
    gone: BTreeSet<usize>,
    /// How many acknowledgements were on time.
    settled: usize,
    /// How many of these the broker may never have heard of.
    unheard: usize,
}

/// `FANPOOL_CONFORMANCE_SEED` runs one seed, `FANPOOL_CONFORMANCE_CASES` so many of them.
pub fn random_sources_lose_nothing(broker: &dyn Broker) {
    if !broker.regroups() {
        return;
    }
    let set = |name| env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    // Where sources that come and go have the others wait, a life is short.
    let (lives, steps) = if broker.promises().takeover < PATIENCE / 6 { (6, 200) } else { (1, 60) };
    let seeds = match set("FANPOOL_CONFORMANCE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..1 + set("FANPOOL_CONFORMANCE_CASES").unwrap_or(lives),
    };
    for seed in seeds {
        println!("FANPOOL_CONFORMANCE_SEED={seed}");
        let queue = queue(broker, "random");
        Model {
            broker,
            queue,
            random: Random::new(seed),
            sent: 0,
            actors: Default::default(),
            seen: BTreeSet::new(),
            gone: BTreeSet::new(),
            settled: 0,
            unheard: 0,
        }
        .run(steps);
    }
}

impl Model<'_> {
    fn run(mut self, steps: usize) {
        for _ in 0..steps {
            let at = self.random.below(SOURCES);
            match self.random.below(20) {
                0..=2 => {
                    let size = 1 + self.random.below(12);
                    send(self.broker, &self.queue, self.sent..self.sent + size);
                    self.sent += size;
                }
                3 => self.end(at, false),
                4 => self.end(at, true),
                5..=11 => self.poll(at),
                12..=16 => self.settle(at, false),
                _ => self.settle(at, true),
            }
        }
        (0..SOURCES).for_each(|at| self.end(at, false));
        let rest = drain(self.broker, &self.queue, Member::join(self.broker, &self.queue, 100));
        for delivery in &rest {
            let number = number(&delivery.message);
            assert!(!self.must_be_gone(number), "{number} was acknowledged, and comes again at the end");
            self.seen.insert(number);
        }
        assert_eq!(self.seen, (0..self.sent).collect());
        let settled = self.settled + rest.len();
        assert!(settled >= self.sent, "{settled} acknowledgements of {} messages", self.sent);
        if self.broker.acknowledges_each() {
            assert!(settled <= self.sent + self.unheard, "{settled} acknowledgements of {} messages", self.sent);
        }
    }

    fn must_be_gone(&self, number: usize) -> bool {
        let acknowledged = |actor: &Actor| actor.acknowledged.contains(&number);
        self.broker.acknowledges_each()
            && (self.gone.contains(&number) || self.actors.iter().flatten().any(acknowledged))
    }

    /// Polls; opens the source first if need be.
    fn poll(&mut self, at: usize) {
        let mut actor = self.actors[at].take().unwrap_or_else(|| Actor {
            member: Member::join(self.broker, &self.queue, WINDOW),
            held: Vec::new(),
            acknowledged: BTreeSet::new(),
        });
        let room = self.random.below(8).min(WINDOW - actor.held.len().min(WINDOW));
        let wait = Duration::from_millis(self.random.below(5) as u64);
        let came = actor.member.poll(room, wait);
        self.actors[at] = Some(actor);
        let takeover = self.broker.promises().takeover;
        for delivery in came {
            let number = number(&delivery.message);
            assert!(number < self.sent);
            assert!(!self.must_be_gone(number), "{number} was acknowledged, and comes again");
            if self.broker.acknowledges_each() {
                let held = self.actors.iter().flatten().flat_map(|actor| &actor.held);
                let too_soon = |since: &Instant| takeover.is_zero() || since.elapsed() < takeover / 2;
                let mut same = held.filter(|(held, _)| held.message == delivery.message);
                assert!(!same.any(|(_, since)| too_soon(since)), "{number} is in hand, and comes again");
            }
            self.seen.insert(number);
            if let Some(actor) = &mut self.actors[at] {
                actor.held.push((delivery, Instant::now()));
            }
        }
    }

    /// Acknowledges or hands back some of what it has in hand.
    fn settle(&mut self, at: usize, back: bool) {
        let Some(actor) = &mut self.actors[at] else { return };
        let (mut some, mut others) = (Vec::new(), Vec::new());
        for held in actor.held.drain(..) {
            if self.random.below(2) == 0 { some.push(held.0) } else { others.push(held) }
        }
        actor.held = others;
        if back {
            assert!(actor.member.nack(&some) <= some.len());
            return;
        }
        let settled = actor.member.ack(&some);
        self.settled += settled;
        if settled == some.len() {
            actor.acknowledged.extend(some.iter().map(|delivery| number(&delivery.message)));
        } else {
            // It is not said which were late.
            assert!(settled < some.len());
        }
    }

    fn end(&mut self, at: usize, killed: bool) {
        let Some(actor) = self.actors[at].take() else { return };
        if killed {
            self.unheard += actor.acknowledged.len();
            drop(actor.member);
        } else {
            actor.member.close();
            self.gone.extend(actor.acknowledged);
        }
    }
}
