//! Runs that replay one interleaving.

use crate::{pool, quiet_panic, within};
use fanpool::testing::{seeded, seeds, yield_now};
use fanpool::{Clock, FanOut, JoinError, ObjectPool, Pool, Retry, Route};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

const HOUR: Duration = Duration::from_secs(3600);

type Trace = Vec<(&'static str, u64)>;

/// A scope, a map and a service, all of whose tasks note when they begin and end.
fn busy_program() -> Trace {
    let trace = Arc::new(Mutex::new(Trace::new()));
    let note = |what, number| trace.lock().unwrap().push((what, number));
    let pool = pool(3);
    pool.scope(|scope| {
        for number in 0..4 {
            scope.spawn(move || {
                note("scope begins", number);
                yield_now();
                note("scope ends", number);
            });
        }
    });
    let mapped = pool.map(0..12, |number| {
        note("map", number);
        yield_now();
        number + 1
    });
    assert!(mapped.collect::<Vec<_>>().into_iter().eq(1..13));
    let noted = trace.clone();
    let service = FanOut::builder(move |number: u64| {
        noted.lock().unwrap().push(("service begins", number));
        yield_now();
        noted.lock().unwrap().push(("service ends", number));
        Ok::<_, ()>(number)
    });
    let (input, output) = service.window(4).route(Route::by_key(|number: &u64| *number)).start_on(&pool).unwrap();
    let ((), got) = pool.join(
        || (0..8).for_each(|number| input.send(number).unwrap()),
        || output.results().take(8).map(|number| number.unwrap()).collect::<Vec<_>>(),
    );
    got.iter().for_each(|number| note("got", *number));
    assert_eq!(got.len(), 8);
    drop((input, pool));
    let trace = std::mem::take(&mut *trace.lock().unwrap());
    trace
}

/// The message of a panic.
fn message(body: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(body)).unwrap_err();
    let text = payload.downcast_ref::<String>().cloned();
    text.unwrap_or_else(|| (*payload.downcast_ref::<&str>().unwrap()).to_owned())
}

#[test]
fn a_seed_replays_its_interleaving_and_others_differ() {
    within(|| {
        let traces: Vec<Trace> = (0..100).map(|seed| seeded(seed, busy_program)).collect();
        for (seed, trace) in (0..100).zip(&traces) {
            assert_eq!(&seeded(seed, busy_program), trace, "seed {seed}");
        }
        let different: HashSet<&Trace> = traces.iter().collect();
        assert!(different.len() > 50, "{} of 100", different.len());
    });
}
