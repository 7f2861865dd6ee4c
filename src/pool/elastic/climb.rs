//! The search for the number of workers with the best throughput; [`Elastic::search_throughput`](super::Elastic::search_throughput) has
//! the rules.

use super::policy::{Order, Sight};
use std::time::{Duration, Instant};

/// What a step up must give, and what a step down may cost.
const GAIN: f64 = 1.10;
const LOSS: f64 = 0.95;
/// A change of the throughput that begins a new search.
const CHANGE: f64 = 0.20;
/// The number of few tasks that end differs by chance, so an interval goes on until so many have, for up to so many times its length. To stay
/// is cheap, so what ends that must be surer.
const ENOUGH: usize = 30;
const SURE: usize = 200;
const LONGEST: u32 = 10;

#[derive(Debug)]
pub(super) struct Climb {
    interval: Duration,
    low: usize,
    /// When the present interval began, with how many tasks had ended.
    began: Option<(Instant, usize)>,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// Measures where it is.
    Start,
    /// Has gone up from that size, which gave so much. If that was a gain, `knee` workers would have given as much had each given as much as
    /// before.
    Up { from: usize, rate: f64, knee: Option<usize> },
    /// Has gone down from that size.
    Down { from: usize, rate: f64 },
    /// Stays; so many intervals in a row have differed from the rate.
    Settled { rate: f64, odd: u32 },
}

/// The next size up: half as many again.
fn up(size: usize) -> usize {
    size + (size / 2).max(1)
}

/// The next size down: a third fewer.
fn down(size: usize) -> usize {
    size - size.div_ceil(3)
}

/// How many workers give `wanted` if each gives as much as `size` that give `rate`, but not more than `most`.
fn knee(size: usize, rate: f64, wanted: f64, most: usize) -> usize {
    // A little less than a worker's part is chance.
    let size = (size as f64 * wanted / rate - 0.1).ceil();
    (size.max(1.0) as usize).min(most)
}

impl Climb {
    pub(super) fn new(low: usize, interval: Duration) -> Climb {
        Climb { interval, low, began: None, phase: Phase::Start }
    }

    pub(super) fn look(&mut self, sight: &Sight, starved: bool, max: usize) -> Order {
        let Some((began, before)) = self.began else {
            if starved {
                self.began = Some((sight.now, sight.ended));
            }
            return Order::Stay;
        };
        let time = sight.now.saturating_duration_since(began);
        if sight.was_idle || time > self.interval.saturating_mul(2 * LONGEST) {
            // What ended was what was asked for, and says nothing about the size.
            self.began = None;
            self.phase = Phase::Start;
            return Order::Stay;
        }
        let ended = sight.ended.saturating_sub(before);
        let enough = if matches!(self.phase, Phase::Settled { .. }) { SURE } else { ENOUGH };
        let over = time >= self.interval && (ended >= enough || time >= self.interval.saturating_mul(LONGEST));
        if !over || !starved {
            return Order::Stay;
        }
        self.began = Some((sight.now, sight.ended));
        let rate = ended as f64 / time.as_secs_f64();
        let size = self.decide(rate, sight.workers, max).clamp(self.low, max);
        match size.checked_sub(sight.workers) {
            Some(0) => Order::Stay,
            Some(more) => Order::Start(more),
            None => Order::Reduce(sight.workers - size),
        }
    }

    /// The size to have next, after an interval with that rate.
    fn decide(&mut self, rate: f64, size: usize, max: usize) -> usize {
        match self.phase {
            // Tasks that end with the help of those that wait would stay for ever.
            Phase::Start if rate == 0.0 => size + 1,
            Phase::Start => self.try_up(rate, size, max, None),
            Phase::Up { from, rate: before, .. } if rate >= before * GAIN => {
                self.try_up(rate, size, max, Some(knee(from, before, rate, size)))
            }
            Phase::Up { rate: before, knee: Some(knee), .. } => self.settle(before, knee),
            Phase::Up { from, rate: before, knee: None } => self.try_down(before, from),
            Phase::Down { rate: before, .. } if rate >= before * LOSS => self.try_down(rate.max(before), size),
            Phase::Down { from, rate: before } => self.settle(before, knee(size, rate, before, from)),
            Phase::Settled { rate: before, odd } => {
                let differs = (rate / before - 1.0).abs() > CHANGE;
                if differs && odd > 0 {
                    if rate == 0.0 {
                        self.phase = Phase::Start;
                        return size + 1;
                    }
                    return self.try_up(rate, size, max, None);
                }
                self.phase = Phase::Settled { rate: before, odd: u32::from(differs) };
                size
            }
        }
    }

    fn try_up(&mut self, rate: f64, size: usize, max: usize, knee: Option<usize>) -> usize {
        if size >= max {
            return if let Some(knee) = knee { self.settle(rate, knee) } else { self.try_down(rate, size) };
        }
        self.phase = Phase::Up { from: size, rate, knee };
        up(size)
    }

    fn try_down(&mut self, rate: f64, size: usize) -> usize {
        if size <= self.low {
            return self.settle(rate, size);
        }
        self.phase = Phase::Down { from: size, rate };
        down(size).max(self.low)
    }

    fn settle(&mut self, rate: f64, size: usize) -> usize {
        self.phase = Phase::Settled { rate, odd: 0 };
        size
    }
}

#[cfg(all(test, not(fanpool_loom)))]
mod tests;
