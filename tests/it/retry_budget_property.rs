//! Random use of a budget for retries, held against its sum in whole numbers. Seeds are those of `retry_property`.

use super::check_seeds;
use super::map_property::SplitMix64;
use super::retry_property::seeds;
use fanpool::testing::ManualClock;
use fanpool::{Clock, Retry, RetryBudget, RetryError, RetryReason};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

#[derive(Debug)]
struct Spending {
    /// In thousandths.
    ratio: usize,
    reserve: u32,
    /// So many calls, which fail so often at most, and would be tried so often.
    events: Vec<(usize, u32, u32)>,
}

impl Spending {
    fn random(seed: u64) -> Spending {
        let r = &mut SplitMix64(seed);
        let event = |r: &mut SplitMix64| match r.below(12) {
            0 => (r.below_one_of(&[100, 1100]), 0, 1),
            _ => (1 + r.below(4), r.below_one_of(&[2, 5, 100]) as u32, 1 + r.below_one_of(&[2, 5, 100]) as u32),
        };
        Spending {
            ratio: r.below_one_of(&[1, 10, 1001, 10_001]),
            reserve: r.below_one_of(&[1, 4, 300]) as u32,
            events: (0..r.below(16)).map(|_| event(r)).collect(),
        }
    }
}

fn check_spending(case: &Spending) -> Result<(), String> {
    let budget = RetryBudget::new(case.ratio as f64 / 1000.0, case.reserve).unwrap();
    let reserve = case.reserve as usize * 1000;
    let (mut balance, mut refused) = (reserve, 0);
    let (mut calls, mut retries) = (0, 0);
    let clock = Clock::from(ManualClock::new());
    for (step, (times, failures, max_attempts)) in case.events.iter().enumerate() {
        let retry = Retry::fixed(Duration::ZERO).max_attempts(*max_attempts).budget(budget.clone());
        for _ in 0..*times {
            let mut made = 0;
            let real = retry.call(&clock, || {
                made += 1;
                if made <= *failures { Err(()) } else { Ok(made) }
            });
            let real = real.map_err(|error| match error {
                RetryError::GaveUp { attempts, reason, .. } => (attempts, reason),
                other => panic!("{other:?}"),
            });
            balance = (balance + case.ratio).min(reserve + 1000 * case.ratio);
            let mut attempts = 1;
            let wanted = loop {
                if attempts > *failures {
                    break Ok(attempts);
                } else if attempts == *max_attempts {
                    break Err((attempts, RetryReason::Exhausted));
                } else if balance < 1000 {
                    refused += 1;
                    break Err((attempts, RetryReason::OverBudget));
                }
                balance -= 1000;
                attempts += 1;
            };
            if real != wanted || made != attempts {
                return Err(format!("step {step}: {real:?} after {made} attempts, instead of {wanted:?}"));
            }
            calls += 1;
            retries += made as usize - 1;
        }
        if (budget.balance(), budget.refused()) != (balance / 1000, refused) {
            return Err(format!("step {step}: {budget:?} instead of {balance} thousandths and {refused}"));
        }
        if retries * 1000 > case.ratio * calls + reserve {
            return Err(format!("step {step}: {retries} retries of {calls} calls"));
        }
    }
    Ok(())
}

#[test]
fn random_calls_are_paid_for_to_the_thousandth() {
    check_seeds(seeds(), Spending::random, check_spending);
}

/// Each asks for far more than there is, so that all of it is used, and nothing else.
#[test]
fn eight_threads_spend_a_budget_to_the_last_retry() {
    for (ratio, reserve, clones) in
        [(0.0, 7, true), (0.1, 50, false), (0.25, 0, true), (1.5, 3, false), (0.001, 1, false)]
    {
        let budget = RetryBudget::new(ratio, reserve).unwrap();
        let policy = || Retry::<()>::fixed(Duration::ZERO).max_attempts(5).budget(budget.clone());
        let (shared, start) = (policy(), Barrier::new(8));
        let attempts: usize = thread::scope(|s| {
            let hammer = || {
                let (mut made, clock) = (0, Clock::from(ManualClock::new()));
                // Of one policy, or of policies that have no more than the budget in common.
                let retry = if clones { shared.clone() } else { policy() };
                start.wait();
                for _ in 0..1000 {
                    let failed = retry.call(&clock, || {
                        made += 1;
                        Err::<(), _>(())
                    });
                    assert!(failed.is_err());
                }
                made
            };
            let threads: Vec<_> = (0..8).map(|_| s.spawn(hammer)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        let allowed = (8000 * (ratio * 1000.0).round() as usize) / 1000 + reserve as usize;
        assert_eq!((attempts - 8000, budget.balance()), (allowed, 0), "{ratio} and {reserve}");
    }
}

#[test]
fn a_budget_shows_what_is_left() {
    let budget = RetryBudget::new(0.0, 1).unwrap();
    let retry = Retry::<()>::fixed(Duration::ZERO).max_attempts(5).budget(budget.clone());
    assert_eq!(format!("{budget:?}"), "RetryBudget { balance: 1, refused: 0, .. }");
    assert!(retry.call(&Clock::from(ManualClock::new()), || Err::<(), _>(())).is_err());
    assert_eq!(format!("{budget:?}"), "RetryBudget { balance: 0, refused: 1, .. }");
}
