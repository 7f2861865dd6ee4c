//! The search for the number of workers with the best throughput; [`Elastic::search_throughput`](super::Elastic::search_throughput) has
//! the rules.

use super::policy::{Order, Sight};
use std::time::{Duration, Instant};

/// What a step up must give, and what a step down may cost.
const GAIN: f64 = 1.10;
const LOSS: f64 = 0.95;
/// A change of the throughput that begins a new search.
const CHANGE: f64 = 0.20;

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
    /// Has gone up from that size, which gave so much; `first` if it has just begun.
    Up { from: usize, rate: f64, first: bool },
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
        if sight.was_idle || time > 3 * self.interval {
            // What ended was what was asked for, and says nothing about the size.
            self.began = None;
            self.phase = Phase::Start;
            return Order::Stay;
        }
        if time < self.interval || !starved {
            return Order::Stay;
        }
        self.began = Some((sight.now, sight.ended));
        let rate = sight.ended.saturating_sub(before) as f64 / time.as_secs_f64();
        let size = self.decide(rate, sight.workers, max).clamp(self.low, max);
        match size.checked_sub(sight.workers) {
            Some(0) => Order::Stay,
            Some(more) => Order::Start(more),
            None => Order::Reduce(sight.workers - size),
        }
    }

    /// The size to have next, after an interval with that rate.
    fn decide(&mut self, rate: f64, size: usize, max: usize) -> usize {
        if rate == 0.0 {
            // Tasks that end with the help of those that wait would stay for ever.
            return size + 1;
        }
        match self.phase {
            Phase::Start => self.try_up(rate, size, max, true),
            Phase::Up { rate: before, .. } if rate >= before * GAIN => self.try_up(rate, size, max, false),
            Phase::Up { from, rate: before, first: true } => self.try_down(before, from),
            Phase::Up { from, rate: before, .. } => self.settle(before, from),
            Phase::Down { rate: before, .. } if rate >= before * LOSS => self.try_down(rate.max(before), size),
            Phase::Down { from, rate: before } => self.settle(before, from),
            Phase::Settled { rate: before, odd } => {
                let differs = (rate / before - 1.0).abs() > CHANGE;
                if differs && odd > 0 {
                    return self.try_up(rate, size, max, true);
                }
                self.phase = Phase::Settled { rate: before, odd: u32::from(differs) };
                size
            }
        }
    }

    fn try_up(&mut self, rate: f64, size: usize, max: usize, first: bool) -> usize {
        if size >= max {
            return if first { self.try_down(rate, size) } else { self.settle(rate, size) };
        }
        self.phase = Phase::Up { from: size, rate, first };
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
