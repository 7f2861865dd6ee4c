//! A model that a user would write: a program's own code, on fanpool's public API alone.
//!
//! The program counts words with a pool and keeps the longest in a cell behind its own lock. What is checked: no update is
//! lost, and the result is complete when the scope returns.

use fanpool::{Pool, Workers};
use loom::sync::Mutex;

fn longest(pool: &Pool, words: &[&str]) -> usize {
    let longest = Mutex::new(0);
    pool.scope(|s| {
        for word in words {
            let longest = &longest;
            s.spawn(move || {
                let mut longest = longest.lock().unwrap();
                *longest = word.len().max(*longest);
            });
        }
    });
    longest.into_inner().unwrap()
}

#[test]
fn the_longest_word_is_found_in_every_interleaving() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.max_branches = 20_000;
    builder.check(|| {
        let pool = Pool::builder().workers(Workers::Fixed(1)).build().unwrap();
        assert_eq!(longest(&pool, &["fan", "pool"]), 4);
    });
}
