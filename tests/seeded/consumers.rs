//! Consumers of messages with random faults, in runs that replay one interleaving: with all their waiting, which takes no time.

use crate::consumer_case::{Case, check};
use fanpool::testing::seeded;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[test]
fn random_consumers_account_for_every_message_in_every_order() {
    let (first, cases) = (setting("FANPOOL_CONSUMER_SEED", 1), setting("FANPOOL_CONSUMER_CASES", 300));
    for seed in first..first + cases {
        let case = Case::random(seed, true);
        let told = format!("{case:?}");
        let checked = std::panic::catch_unwind(move || seeded(seed, move || check(case)));
        match checked {
            Ok(Ok(())) => {}
            Ok(Err(why)) => panic!("seed {seed}: {why}\n{told}"),
            Err(payload) => {
                let text = payload.downcast_ref::<String>().map_or("a panic that nobody planned", String::as_str);
                panic!("seed {seed}: {text}\n{told}");
            }
        }
    }
}
