//! Random use of rate limits, held against buckets of tokens in whole numbers. `FANPOOL_RATE_SEED` is the seed of the
//! first case, `FANPOOL_RATE_CASES` their number.

use super::map_property::SplitMix64;
use super::{check_seeds, setting};
use fanpool::RateLimit;
use fanpool::testing::ManualClock;
use std::time::Duration;

const YEAR: u64 = 365 * 24 * 3600 * 1_000_000_000;

/// Times are in nanoseconds.
#[derive(Debug, Clone, Copy)]
enum Event {
    Acquire(usize),
    /// Until this many permits are used up, or there is none.
    Drain(usize, usize),
    Advance(u64),
    /// To the last moment in which the next permit is refused, and then to the next.
    Await(usize),
    /// Only to that last moment.
    Almost(usize),
}

#[derive(Debug)]
struct Case {
    permits: u32,
    per: u64,
    burst: u32,
    keys: usize,
    /// Whether each key's limit is looked up for each use, in a family.
    keyed: bool,
    events: Vec<Event>,
}

impl Case {
    fn random(seed: u64) -> Case {
        let r = &mut SplitMix64(seed);
        let unit = [1, 7, 1000, 1_000_000, 1_000_000_000, 3600 * 1_000_000_000, YEAR][r.below(7)];
        // At most 500 years, which 64 bits hold.
        let per = unit * (1 + r.below(500) as u64);
        let most = per.min(u64::from(u32::MAX)) as usize;
        let permits = 1 + [r.below(most.min(10)), r.below(most.min(1000)), r.below(most)][r.below(3)];
        let interval = per.div_ceil(permits as u64);
        let keyed = r.below(2) == 0;
        let keys = if keyed { 1 + r.below(4) } else { 1 };
        let burst = [1, 2, 1 + r.below(10), 1 + r.below(1000), u32::MAX as usize][r.below(5)];
        let event = |r: &mut SplitMix64| match r.below(20) {
            0..8 => Event::Acquire(r.below(keys)),
            8..10 => Event::Drain(r.below(keys), r.below_one_of(&[3, 30, 1100])),
            10..12 => Event::Await(r.below(keys)),
            12 => Event::Almost(r.below(keys)),
            13 => Event::Advance(r.below(2) as u64),
            14..16 => Event::Advance(r.next() % interval.saturating_mul(2)),
            16 => Event::Advance(interval),
            17 => Event::Advance(interval - 1),
            18 => Event::Advance(r.next() % interval.saturating_mul(u64::from(burst as u32)).clamp(1, 100 * YEAR)),
            _ => Event::Advance(if r.below(3) == 0 { YEAR } else { 1_000_000_000 }),
        };
        let events = (0..10 + r.below(60)).map(|_| event(r)).collect();
        Case { permits: permits as u32, per, burst: burst as u32, keys, keyed, events }
    }
}

/// A bucket that holds `burst` tokens. A token is made of as many drops as an interval has nanoseconds, and each
/// nanosecond adds one as long as there is room.
struct Bucket {
    drops: u128,
    room: u128,
    token: u128,
}

impl Bucket {
    fn new(case: &Case) -> Bucket {
        let token = u128::from(case.per).div_ceil(u128::from(case.permits));
        let room = token * u128::from(case.burst);
        Bucket { drops: room, room, token }
    }

    fn advance(&mut self, time: u64) {
        self.drops = (self.drops + u128::from(time)).min(self.room);
    }

    /// How long it takes until there is a token.
    fn wait(&self) -> u64 {
        self.token.saturating_sub(self.drops).try_into().unwrap()
    }

    fn take(&mut self) -> Result<(), Duration> {
        if self.drops < self.token {
            return Err(Duration::from_nanos(self.wait()));
        }
        self.drops -= self.token;
        Ok(())
    }
}

fn check(case: &Case) -> Result<(), String> {
    let clock = ManualClock::new();
    let builder = RateLimit::builder(case.permits, Duration::from_nanos(case.per)).burst(case.burst).clock(&clock);
    let family = builder.clone().build_keyed(case.keys).unwrap();
    let alone = builder.build().unwrap();
    let mut buckets: Vec<Bucket> = (0..case.keys).map(|_| Bucket::new(case)).collect();
    let ask = |key: usize| {
        let given = if case.keyed { family.get(key as u64).try_acquire() } else { alone.try_acquire() };
        given.map_err(|refused| refused.retry_after)
    };
    let advance = |buckets: &mut Vec<Bucket>, time: u64| {
        clock.advance(Duration::from_nanos(time));
        buckets.iter_mut().for_each(|bucket| bucket.advance(time));
    };
    for (step, event) in case.events.iter().enumerate() {
        let take = |buckets: &mut Vec<Bucket>, key: usize| match (ask(key), buckets[key].take()) {
            (real, wanted) if real != wanted => Err(format!("step {step}, {event:?}: {real:?} instead of {wanted:?}")),
            (real, _) => Ok(real.is_ok()),
        };
        match *event {
            Event::Acquire(key) => _ = take(&mut buckets, key)?,
            Event::Drain(key, at_most) => {
                let mut left = at_most;
                while left > 0 && take(&mut buckets, key)? {
                    left -= 1;
                }
            }
            Event::Advance(time) => advance(&mut buckets, time),
            Event::Await(key) | Event::Almost(key) => {
                let Err(wait) = ask(key) else {
                    buckets[key].take().map_err(|wait| format!("step {step}: given {wait:?} too early"))?;
                    continue;
                };
                // What the limit says, not what the model would.
                let wait = u64::try_from(wait.as_nanos()).unwrap();
                advance(&mut buckets, wait - 1);
                if take(&mut buckets, key)? {
                    return Err(format!("step {step}: given before {wait} were over"));
                }
                if matches!(event, Event::Await(_)) {
                    advance(&mut buckets, 1);
                    if !take(&mut buckets, key)? {
                        return Err(format!("step {step}: refused after {wait}"));
                    }
                }
            }
        }
    }
    Ok(())
}

#[test]
fn random_use_is_allowed_as_by_a_bucket_of_tokens() {
    let seeds = (setting("FANPOOL_RATE_SEED", 1), setting("FANPOOL_RATE_CASES", 10_000));
    check_seeds(seeds, Case::random, check);
}
