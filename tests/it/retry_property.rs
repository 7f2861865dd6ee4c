//! Random policies for retries, held against plain sums. `FANPOOL_RETRY_SEED` is the seed of the first case,
//! `FANPOOL_RETRY_CASES` their number.

use super::map_property::SplitMix64;
use super::{check_seeds, quiet_panic, setting};
use fanpool::testing::ManualClock;
use fanpool::{Clock, Retry, RetryBudget, RetryError, RetryReason};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

const NANO: Duration = Duration::from_nanos(1);
const DAY: u64 = 24 * 3600 * 1_000_000_000;

pub(crate) fn seeds() -> (u64, u64) {
    (setting("FANPOOL_RETRY_SEED", 1), setting("FANPOOL_RETRY_CASES", 10_000))
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Fixed,
    Exponential { factor: Option<f64>, max: Option<Duration> },
    Decorrelated { max: Duration },
}

/// Which delays are asked for.
#[derive(Debug, Clone, Copy)]
struct Delays {
    kind: Kind,
    first: Duration,
    jitter: Option<f64>,
    seed: u64,
    max_attempts: u32,
    max_elapsed: Option<Duration>,
}

impl Delays {
    /// Times up to `longest`, in nanoseconds.
    fn random(r: &mut SplitMix64, longest: u64, most_attempts: usize) -> Delays {
        let time = |r: &mut SplitMix64| {
            let bound = [2, 1000, 1_000_000_000, longest][r.below(4)].min(longest);
            Duration::from_nanos(r.next() % bound)
        };
        let first = time(r);
        let factors = [1.0, 1.5, 2.0, 10.0, 1.0 + r.below(1000) as f64 / 1000.0, 1e9];
        let kind = match r.below(3) {
            0 => Kind::Fixed,
            1 => Kind::Exponential { factor: r.maybe(2, |r| factors[r.below(6)]), max: r.maybe(2, time) },
            _ => Kind::Decorrelated { max: if r.below(8) == 0 { time(r) } else { first + time(r) } },
        };
        let jitter = match kind {
            Kind::Decorrelated { .. } => None,
            _ => r.maybe(2, |r| [0.0, 1.0, r.below(1000) as f64 / 1000.0][r.below(3)]),
        };
        Delays {
            kind,
            first,
            jitter,
            seed: r.next(),
            max_attempts: 1 + r.below(most_attempts) as u32,
            max_elapsed: r.maybe(2, |r| time(r) * r.below(6) as u32),
        }
    }

    fn retry<E>(&self) -> Retry<E> {
        let mut retry = match self.kind {
            Kind::Fixed => Retry::fixed(self.first),
            Kind::Exponential { factor, max } => {
                let mut retry = Retry::exponential(self.first);
                if let Some(factor) = factor {
                    retry = retry.factor(factor);
                }
                if let Some(max) = max {
                    retry = retry.max_delay(max);
                }
                retry
            }
            Kind::Decorrelated { max } => Retry::decorrelated(self.first, max),
        };
        if let Some(share) = self.jitter {
            retry = retry.jitter(share);
        }
        if let Some(time) = self.max_elapsed {
            retry = retry.max_elapsed(time);
        }
        retry.seed(self.seed).max_attempts(self.max_attempts)
    }

    /// The least and the greatest that a delay may be, after so many attempts; in nanoseconds.
    fn bounds(&self, attempts: u32, previous: Option<Duration>) -> (f64, f64) {
        let first = self.first.as_nanos() as f64;
        let whole = match self.kind {
            Kind::Fixed => first,
            Kind::Exponential { factor, max } => {
                // Step by step: each is the one before, times the factor.
                let grown = (1..attempts).fold(first, |delay, _| delay * factor.unwrap_or(2.0));
                grown.min(max.unwrap_or(Duration::from_secs(30)).as_nanos() as f64)
            }
            Kind::Decorrelated { max } => {
                let max = max.as_nanos() as f64;
                let high = 3.0 * previous.unwrap_or(self.first).max(self.first).as_nanos() as f64;
                return (first.min(max), high.min(max));
            }
        };
        (whole * (1.0 - self.jitter.unwrap_or(0.0)), whole)
    }

    /// Holds delays against the bounds; where there is no chance in them, they are the numbers themselves.
    fn check(&self, delays: &[Duration]) -> Result<(), String> {
        let mut previous = None;
        for (attempts, delay) in (1..).zip(delays) {
            let (low, high) = self.bounds(attempts, previous);
            let real = delay.as_nanos() as f64;
            // Rounding to nanoseconds, and of floats.
            let slack = 1.0 + high.min(Duration::MAX.as_nanos() as f64) * 1e-9;
            if real < low - slack || real > high + slack {
                return Err(format!("after {attempts} attempts {delay:?}, which is not between {low} and {high} ns"));
            }
            previous = Some(*delay);
        }
        Ok(())
    }

    /// In whole numbers, where there are no fractions and no chance.
    fn exact(&self, attempts: u32) -> Option<Duration> {
        let (factor, max) = match (self.kind, self.jitter) {
            (Kind::Fixed, None | Some(0.0)) => return Some(self.first),
            (Kind::Exponential { factor, max }, None | Some(0.0)) => (factor.unwrap_or(2.0), max),
            _ => return None,
        };
        let max = max.unwrap_or(Duration::from_secs(30));
        let mut delay = self.first;
        for _ in 1..attempts {
            if delay >= max {
                break;
            }
            let grown = delay.as_nanos() * if factor.fract() == 0.0 { factor as u128 } else { return None };
            delay = Duration::from_nanos(u64::try_from(grown).unwrap_or(u64::MAX));
        }
        Some(delay.min(max))
    }
}

fn check_delays(case: &Delays) -> Result<(), String> {
    let ends = case.retry::<()>();
    let endless = Delays { max_elapsed: None, ..*case }.retry::<()>();
    let all: Vec<Duration> = endless.delays().collect();
    if all.len() as u32 != case.max_attempts - 1 {
        return Err(format!("{} delays between {} attempts", all.len(), case.max_attempts));
    }
    case.check(&all)?;
    for (attempts, delay) in (1..).zip(&all) {
        if case.exact(attempts).is_some_and(|exact| exact != *delay) {
            return Err(format!("after {attempts} attempts {delay:?} instead of {:?}", case.exact(attempts)));
        }
    }
    // The same seed, the same delays, as long as there is time.
    let mut sum = Duration::ZERO;
    let in_time = |delay: &&Duration| {
        sum += **delay;
        case.max_elapsed.is_none_or(|max| sum <= max)
    };
    let wanted: Vec<Duration> = all.iter().take_while(in_time).copied().collect();
    let real: Vec<Duration> = ends.clone().delays().collect();
    if real != wanted || !ends.delays().eq(real) {
        return Err(format!("{wanted:?} was wanted, of {all:?}"));
    }
    Ok(())
}

#[test]
fn random_delays_are_those_that_were_asked_for() {
    check_seeds(seeds(), |seed| Delays::random(&mut SplitMix64(seed), 30 * DAY, 12), check_delays);
}

#[test]
fn another_seed_gives_other_delays() {
    let policy = |seed| Retry::<()>::fixed(Duration::from_secs(1)).jitter(1.0).seed(seed).max_attempts(2);
    let mut firsts: Vec<Duration> = (0..10_000).flat_map(|seed| policy(seed).delays().collect::<Vec<_>>()).collect();
    let mean = firsts.iter().sum::<Duration>() / 10_000;
    firsts.sort_unstable();
    firsts.dedup();
    // Two of ten thousand numbers out of 10^9 are equal with a chance of 0.05.
    assert!(firsts.len() > 9990, "{}", firsts.len());
    // The standard deviation of the mean of so many is 2.9 ms.
    assert!((480..520).contains(&mean.as_millis()), "{mean:?}");
}

#[test]
fn delays_of_one_call_are_drawn_one_by_one() {
    let mut delays: Vec<Duration> =
        Retry::<()>::fixed(Duration::from_secs(1)).jitter(1.0).seed(1).max_attempts(1001).delays().collect();
    delays.sort_unstable();
    delays.dedup();
    assert!(delays.len() > 990, "{}", delays.len());
}

/// How an attempt ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Turn {
    Done,
    Busy,
    /// An error that is not to be tried again.
    Hopeless,
    Panics,
}

#[derive(Debug)]
struct Case {
    delays: Delays,
    retry_panics: bool,
    /// The ratio in thousandths, and the reserve.
    budget: Option<(usize, u32)>,
    /// How the attempts end, and how long they take; the last goes on.
    turns: Vec<(Turn, Duration)>,
}

impl Case {
    fn random(seed: u64) -> Case {
        let r = &mut SplitMix64(seed);
        let delays = Delays::random(r, DAY, 8);
        let hopes = r.below(3);
        let turn = |r: &mut SplitMix64| {
            let turn = match r.below(20) {
                0..2 => Turn::Done,
                2..4 if hopes == 0 => Turn::Hopeless,
                4..8 if hopes < 2 => Turn::Panics,
                _ => Turn::Busy,
            };
            let took =
                Duration::from_nanos(r.maybe(2, |r| r.below_one_of(&[2, 1000, 1_000_000_000]) as u64).unwrap_or(0));
            (turn, took)
        };
        Case {
            delays,
            retry_panics: r.below(3) > 0,
            budget: r.maybe(3, |r| (r.below_one_of(&[2, 2000, 10_001]), r.below(6) as u32)),
            turns: (0..8).map(|_| turn(r)).collect(),
        }
    }

    /// What is to be seen: when each attempt begins since the first began, and how it ends.
    fn expected(&self) -> (Vec<Duration>, Result<usize, RetryReason>) {
        let delays: Vec<Duration> = Delays { max_elapsed: None, ..self.delays }.retry::<()>().delays().collect();
        let mut balance = self.budget.map(|(ratio, reserve)| reserve as usize * 1000 + ratio);
        let (mut begins, mut now) = (Vec::new(), Duration::ZERO);
        for attempts in 1.. {
            begins.push(now);
            let (turn, took) = self.turns[attempts - 1];
            now += took;
            let end = if turn == Turn::Done {
                Ok(attempts)
            } else if attempts as u32 == self.delays.max_attempts {
                Err(RetryReason::Exhausted)
            } else if turn == Turn::Hopeless || (turn == Turn::Panics && !self.retry_panics) {
                Err(RetryReason::Unwanted)
            } else if self.delays.max_elapsed.is_some_and(|max| now + delays[attempts - 1] > max) {
                Err(RetryReason::TooLate)
            } else if balance.is_some_and(|balance| balance < 1000) {
                Err(RetryReason::OverBudget)
            } else {
                balance = balance.map(|balance| balance - 1000);
                now += delays[attempts - 1];
                continue;
            };
            return (begins, end);
        }
        unreachable!()
    }
}

/// What an attempt fails with. It is dropped when the next attempt is decided for, and then the time of that next
/// attempt comes: but for the last nanosecond, which another thread adds.
struct Failed {
    attempt: usize,
    turn: Turn,
    next: Option<Next>,
}

struct Next {
    clock: ManualClock,
    at: Instant,
    last: Sender<ManualClock>,
}

impl Drop for Failed {
    fn drop(&mut self) {
        let Some(Next { clock, at, last }) = self.next.take() else { return };
        let left = at - clock.now();
        if !left.is_zero() {
            clock.advance(left - NANO);
            let _ = last.send(clock);
        }
    }
}

fn check_call(case: &Case, last: &Sender<ManualClock>) -> Result<(), String> {
    let (begins, end) = case.expected();
    let clock = ManualClock::new();
    let begun = clock.now();
    let mut retry = case.delays.retry::<Failed>().retry_if(|failed| failed.turn != Turn::Hopeless);
    if case.retry_panics {
        retry = retry.retry_panics();
    }
    let budget = case.budget.map(|(ratio, reserve)| RetryBudget::new(ratio as f64 / 1000.0, reserve).unwrap());
    if let Some(budget) = &budget {
        retry = retry.budget(budget.clone());
    }
    let mut seen = Vec::new();
    let attempt = || {
        let attempt = seen.len();
        seen.push(clock.now() - begun);
        let (turn, took) = case.turns[attempt];
        clock.advance(took);
        let next = |at: &Duration| Next { clock: clock.clone(), at: begun + *at, last: last.clone() };
        let failed = Failed { attempt, turn, next: begins.get(attempt + 1).map(next) };
        match turn {
            Turn::Done => Ok(attempt + 1),
            Turn::Busy | Turn::Hopeless => Err(failed),
            Turn::Panics => quiet_panic(failed),
        }
    };
    let attempts = begins.len();
    let real = catch_unwind(AssertUnwindSafe(|| retry.call(&Clock::from(&clock), attempt)));
    let real = match real {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(RetryError::GaveUp { attempts: made, last, reason })) => {
            let kept = (last.attempt + 1, last.turn) == (attempts, case.turns[attempts - 1].0);
            if made as usize != attempts || !kept {
                return Err(format!("{made} attempts and the error of {}, instead of {attempts}", last.attempt));
            }
            Err(Some(reason))
        }
        Ok(Err(RetryError::Build(refused))) => return Err(refused.to_string()),
        Ok(Err(_)) => unreachable!(),
        Err(payload) => match payload.downcast::<Failed>() {
            Ok(failed) if failed.attempt + 1 == attempts => Err(None),
            _ => return Err("not the last panic".to_owned()),
        },
    };
    // A panic does not say why it was the last.
    let panicked = case.turns[attempts - 1].0 == Turn::Panics;
    let wanted = end.map_err(|reason| (!panicked).then_some(reason));
    if seen != begins || real != wanted {
        return Err(format!("{real:?} after {seen:?}, instead of {end:?} after {begins:?}"));
    }
    let max = case.delays.max_elapsed;
    if seen.iter().skip(1).any(|begin| max.is_some_and(|max| *begin > max)) {
        return Err(format!("a retry begins too late: {seen:?}"));
    }
    let over = usize::from(end == Err(RetryReason::OverBudget));
    if budget.is_some_and(|budget| budget.refused() != over) {
        return Err("those refused by the budget are counted wrongly".to_owned());
    }
    Ok(())
}

#[test]
fn random_calls_begin_when_they_should_and_end_as_they_should() {
    let (last, moves) = mpsc::channel::<ManualClock>();
    let mover = thread::spawn(move || moves.iter().for_each(|clock| clock.advance(NANO)));
    check_seeds(seeds(), Case::random, move |case| check_call(case, &last));
    mover.join().unwrap();
}
