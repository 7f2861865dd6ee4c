//! Fork-join. There is no clock in a model: every fork promotes, or a thread of the model ticks.

use super::{Shared, model, pool};
use loom::alloc::Track;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

#[test]
fn a_promotion_against_the_owner_taking_it_back() {
    model(3, || {
        let pool = pool(1);
        let captured = Track::new(2);
        assert_eq!(pool.join(|| 1, move || captured.into_inner()), (1, 2));
    });
}

#[test]
fn a_stolen_half_that_ends_against_the_owner_parking() {
    // What the half did is seen by its owner, and the owner is woken.
    model(3, || {
        let pool = pool(1);
        let value = Shared::new();
        let half = value.clone();
        pool.join(|| (), move || half.add());
        assert_eq!(value.get(), 1);
    });
}

#[test]
fn what_a_half_did_is_seen_before_its_owner_leaves_the_context() {
    // Leaving a context takes a lock that would order the two by itself, so this looks inside of an outer fork.
    model(4, || {
        let pool = pool(1);
        let value = Shared::new();
        let half = value.clone();
        let left = || {
            pool.join(|| (), move || half.add());
            assert_eq!(value.get(), 1);
        };
        pool.join(left, || ());
    });
}

#[test]
fn a_tick_against_the_owner_leaving_its_left_half() {
    // The half runs once, whoever has it: the ticker takes it from its slot while the owner does.
    model(3, || {
        let pool = Arc::new(pool(1));
        fanpool::model::promote_on_ticks_only(&pool);
        let ticked = pool.clone();
        let ticker = loom::thread::spawn(move || fanpool::model::tick(&ticked));
        let value = Shared::new();
        let half = value.clone();
        pool.join(|| (), move || half.add());
        assert_eq!(value.get(), 1);
        ticker.join().unwrap();
    });
}

#[test]
fn a_panic_in_the_left_half_while_the_right_one_is_promoted() {
    model(3, || {
        let pool = pool(1);
        let (captured, value) = (Track::new(()), Shared::new());
        let half = value.clone();
        let caught = catch_unwind(AssertUnwindSafe(|| {
            pool.join(
                || resume_unwind(Box::new("on purpose")),
                move || {
                    half.add();
                    captured
                },
            )
        }));
        assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"on purpose"));
        assert!(value.get() <= 1, "nothing of it runs any more");
    });
}

#[test]
fn a_panic_in_a_promoted_half() {
    model(3, || {
        let pool = pool(1);
        let (left, right) = (Track::new(()), Track::new(()));
        let caught = catch_unwind(AssertUnwindSafe(|| {
            pool.join(
                move || left,
                move || {
                    let _right = right;
                    resume_unwind(Box::new("on purpose"))
                },
            )
        }));
        assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"on purpose"));
    });
}

#[test]
fn nested_forks_with_one_worker() {
    // The inner fork of the owner is private; that of a promoted half is in a context of its own, which the owner helps.
    model(3, || {
        let pool = pool(1);
        let both = || pool.join(|| 1, || 2);
        assert_eq!(pool.join(both, both), ((1, 2), (1, 2)));
    });
}

#[test]
fn a_worker_forks_in_a_pool_of_one() {
    model(3, || {
        let pool = Arc::new(pool(1));
        let inner = pool.clone();
        pool.spawn(move || assert_eq!(inner.join(|| 1, || 2), (1, 2))).unwrap();
        pool.wait_idle().unwrap();
    });
}

#[test]
fn a_tick_against_the_end_of_a_context_and_the_next_stay_in_it() {
    // The tick may have found the context busy in one stay and come to it in the next.
    model(3, || {
        let pool = Arc::new(pool(1));
        fanpool::model::promote_on_ticks_only(&pool);
        let ticked = pool.clone();
        let ticker = loom::thread::spawn(move || fanpool::model::tick(&ticked));
        let value = Shared::new();
        for stay in 1..=2 {
            let half = value.clone();
            pool.join(|| (), move || half.add());
            assert_eq!(value.get(), stay);
        }
        ticker.join().unwrap();
    });
}

#[test]
fn two_ticks_against_an_owner_that_forks_below() {
    // The first may take the exposed node, so that the second tells the owner to promote a private one. Either may be
    // gone by then.
    model(3, || {
        let pool = Arc::new(pool(1));
        fanpool::model::promote_on_ticks_only(&pool);
        let ticked = pool.clone();
        let ticker = loom::thread::spawn(move || {
            fanpool::model::tick(&ticked);
            fanpool::model::tick(&ticked);
        });
        let (value, apart) = (Shared::new(), Shared::new());
        let (first, second, half) = (value.clone(), value.clone(), apart.clone());
        let left = || {
            pool.join(|| (), move || first.add());
            assert_eq!(value.get(), 1);
            pool.join(|| (), move || second.add());
            assert_eq!(value.get(), 2);
        };
        pool.join(left, move || half.add());
        assert_eq!(apart.get(), 1);
        ticker.join().unwrap();
    });
}
