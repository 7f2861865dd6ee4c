//! Random consumers of messages with random faults. `FANPOOL_CONSUMER_SEED` is the seed of the first case,
//! `FANPOOL_CONSUMER_CASES` their number.

use super::consumer_case::{Case, check};
use super::{check_seeds, setting};

#[test]
fn random_consumers_account_for_every_message() {
    let seeds = (setting("FANPOOL_CONSUMER_SEED", 1), setting("FANPOOL_CONSUMER_CASES", 300));
    check_seeds(seeds, |seed| Case::random(seed, false), |case| check(case.clone()));
}
