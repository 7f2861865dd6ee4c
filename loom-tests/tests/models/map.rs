//! Maps: feeding against collecting, ending early against what runs, and who is summoned.

use super::{Flag, Shared, model, pool};
use fanpool::CancelToken;
use loom::alloc::Track;
use std::sync::Arc;

#[test]
fn feeding_against_collecting() {
    // The window is full after one item, so the calling thread must be woken, or run the item itself, before it can
    // feed the next.
    model(3, || {
        let pool = pool(1);
        let tenfold: Vec<_> = pool.map(1..3, |n| 10 * n).window(1).batch(1).collect();
        assert_eq!(tenfold, [10, 20]);
    });
}

#[test]
fn item_by_item_against_collecting() {
    // A source that does not know its length is published item by item.
    model(3, || {
        let pool = pool(1);
        let odd: Vec<_> = pool.map((1..4).filter(|n| n % 2 == 1), |n| 10 * n).window(2).batch(1).collect();
        assert_eq!(odd, [10, 30]);
    });
}

#[test]
fn unordered_results_against_a_parked_caller() {
    model(3, || {
        let pool = pool(1);
        let mut all: Vec<_> = pool.map(0..2, |n| n).unordered().window(1).batch(1).collect();
        all.sort_unstable();
        assert_eq!(all, [0, 1]);
    });
}

#[test]
fn a_result_is_delivered_while_its_worker_goes_on() {
    // The calling thread gets no place beside the worker, which goes on with item 1 when item 0 is done. Only what is done
    // with the result of item 0 lets it end.
    model(2, || {
        let pool = pool(1);
        let flag = Flag::new();
        let run = |n| {
            if n == 1 && fanpool::current_worker().is_some() {
                flag.wait();
            }
            n
        };
        pool.map(0..2, run).limit(1).batch(1).for_each(|n| {
            if n == 0 {
                flag.set();
            }
        });
    });
}

#[test]
fn items_that_wait_for_each_other_get_a_thread_each() {
    // The calling thread and both workers are needed, whoever has which item.
    model(1, || {
        let pool = pool(2);
        let (second, third) = (Flag::new(), Flag::new());
        let run = |n| match n {
            0 => second.wait(),
            1 => {
                third.wait();
                second.set();
            }
            _ => third.set(),
        };
        assert_eq!(pool.map(0..3, run).window(3).batch(1).count(), 3);
    });
}

#[test]
fn what_stands_behind_a_running_item_is_taken_from_its_batch() {
    // Without a fixed batch, later items come to stand in one batch with an earlier one.
    model(2, || {
        let pool = pool(1);
        let flag = Flag::new();
        let run = |n| match n {
            2 => flag.wait(),
            3 => flag.set(),
            _ => {}
        };
        assert_eq!(pool.map((0..4).filter(|_| true), run).window(4).count(), 4);
    });
}

#[test]
fn a_stream_dropped_early_against_what_runs() {
    model(3, || {
        let pool = pool(1);
        let value = Shared::new();
        pool.scope(|s| {
            let items = [Track::new(value.clone()), Track::new(value.clone())];
            let mut stream = s.stream(items, |value| Track::new(Arc::as_ptr(value.get_ref()) as usize)).batch(1);
            assert!(stream.next().is_some());
        });
        // Nobody runs any more: what was captured is back.
        assert_eq!(Arc::strong_count(&value), 1);
    });
}

#[test]
fn a_panic_is_met_in_its_place() {
    model(3, || {
        let pool = pool(1);
        let mut seen = 0;
        let run = |n| if n == 1 { std::panic::resume_unwind(Box::new(n)) } else { Track::new(n) };
        let map = std::panic::AssertUnwindSafe(|| pool.map(0..3, run).window(3).batch(1).for_each(|_| seen += 1));
        let payload = std::panic::catch_unwind(map).unwrap_err();
        assert_eq!((seen, *payload.downcast::<i32>().unwrap()), (1, 1));
    });
}

#[test]
fn a_panic_of_the_source_is_met_after_what_came_before() {
    model(2, || {
        let pool = pool(1);
        let mut seen = 0;
        let source = (0..8).map(|n| if n == 5 { std::panic::resume_unwind(Box::new(n)) } else { n });
        let map = std::panic::AssertUnwindSafe(|| pool.map(source, |n| n).window(64).for_each(|_| seen += 1));
        let payload = std::panic::catch_unwind(map).unwrap_err();
        assert_eq!((seen, *payload.downcast::<i32>().unwrap()), (5, 5));
    });
}

#[test]
fn a_map_in_a_map_on_one_worker() {
    model(2, || {
        let pool = pool(1);
        let sums: Vec<i32> = pool.map(0..2, |n| pool.map(0..2, |m| n + m).batch(1).sum::<i32>()).batch(1).collect();
        assert_eq!(sums, [1, 3]);
    });
}

#[test]
fn cancel_against_a_map() {
    model(2, || {
        let pool = pool(1);
        let token = CancelToken::new();
        let other = token.clone();
        let canceller = loom::thread::spawn(move || other.cancel());
        let result = pool.map(0..2, |n| n).cancel(&token).batch(1).collect::<Vec<_>>();
        match result {
            Ok(all) => assert_eq!(all, [0, 1]),
            Err(stopped) => assert!([0, 1].starts_with(&stopped.partial)),
        }
        canceller.join().unwrap();
    });
}

#[test]
fn cancel_against_a_batch() {
    // Whoever runs the batch may see the cancellation between its items, and the calling thread only after it has met
    // what was left out.
    model(2, || {
        let pool = pool(1);
        let token = CancelToken::new();
        let other = token.clone();
        let canceller = loom::thread::spawn(move || other.cancel());
        let result = pool.map(0..2, |n| n).cancel(&token).batch(2).window(2).collect::<Vec<_>>();
        match result {
            Ok(all) => assert_eq!(all, [0, 1]),
            Err(stopped) => assert!([0].starts_with(&stopped.partial)),
        }
        canceller.join().unwrap();
    });
}
