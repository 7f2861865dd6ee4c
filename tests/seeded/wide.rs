//! Everything that the library offers, replayed.

use crate::{pool, within};
use fanpool::testing::{seeded, yield_now};
use fanpool::{
    CancelToken, CircuitBreaker, Clock, FanOut, Help, ObjectPool, Outcome, Pool, Priority, RateLimit, Retry, fan_in,
};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Trace = Vec<(&'static str, u64)>;

/// Where a program notes what it does; cheap to clone.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Trace>>);

impl Notes {
    fn add(&self, what: &'static str, number: u64) {
        self.0.lock().unwrap().push((what, number));
        yield_now();
    }
}

/// The program gives the same trace with the same seed, and several with several.
fn replays(seeds: u64, program: fn(&Notes)) {
    let trace = move |seed| {
        seeded(seed, move || {
            let notes = Notes::default();
            program(&notes);
            std::mem::take(&mut *notes.0.lock().unwrap())
        })
    };
    within(move || {
        let traces: Vec<Trace> = (0..seeds).map(trace).collect();
        assert!(traces.iter().all(|trace| !trace.is_empty()));
        for (seed, first) in (0..seeds).zip(&traces) {
            assert_eq!(&trace(seed), first, "seed {seed}");
        }
        assert!(traces.iter().collect::<HashSet<_>>().len() as u64 > seeds / 2);
    });
}

#[test]
fn joins_and_pools_that_change() {
    fn sum(pool: &Pool, notes: &Notes, from: u64, to: u64) -> u64 {
        if to - from == 1 {
            notes.add("leaf", from);
            return from;
        }
        let middle = from.midpoint(to);
        let (left, right) = pool.join(|| sum(pool, notes, from, middle), || sum(pool, notes, middle, to));
        left + right
    }
    replays(40, |notes| {
        let pool = pool(3);
        assert_eq!(sum(&pool, notes, 0, 40), 780);
        pool.resize(1).unwrap();
        let task = pool.submit({
            let notes = notes.clone();
            move || notes.add("submitted", 0)
        });
        pool.resize(4).unwrap();
        pool.pause();
        let group = pool.group().limit(2).priority(Priority::High).build().unwrap();
        for number in 0..6 {
            let notes = notes.clone();
            group.spawn(move || notes.add("in a group", number)).unwrap();
        }
        pool.resume();
        task.join().unwrap();
        pool.wait_idle().unwrap();
        pool.broadcast(|worker| notes.add("broadcast", worker as u64)).unwrap();
        let receipt = pool.shutdown_timeout(Duration::from_secs(1));
        notes.add("the end", u64::from(receipt.threads_busy.is_empty()));
    });
}

#[test]
fn services_with_policies() {
    replays(10, |notes| {
        let rates = RateLimit::builder(2, Duration::from_secs(1)).build_keyed(2).unwrap();
        let breakers =
            CircuitBreaker::builder().minimum_calls(2).open_for(Duration::from_secs(1)).build_keyed(2).unwrap();
        let noted = notes.clone();
        let handler = move |number: u64| {
            noted.add("attempt", number);
            if number % 3 == 0 { Err(number) } else { Ok(number) }
        };
        let lost = notes.clone();
        let service = FanOut::builder(handler)
            .workers(3)
            .window(6)
            .rate_by(rates, |number| number % 5)
            .breaker_by(breakers, |number| number % 4)
            .breaker_waits()
            .retry(Retry::exponential(Duration::from_secs(1)).jitter(0.5).max_attempts(4))
            .attempt_timeout(Duration::from_secs(5))
            .deadline(Duration::from_secs(3600))
            .dead_letter(move |number, _| lost.add("dead letter", number));
        let (input, output) = service.start().unwrap();
        let noted = notes.clone();
        let second = output.then(move |number: u64| {
            noted.add("second stage", number);
            Ok::<_, u64>(number)
        });
        let output = second.workers(2).window(2).start().unwrap();
        let collector = output.for_each({
            let notes = notes.clone();
            move |outcome| notes.add("collected", outcome.seq)
        });
        (0..12).for_each(|number| assert!(input.send(number).is_ok()));
        drop(input);
        let counts = collector.unwrap().join().unwrap();
        notes.add("finished", counts.finished);
    });
}

#[test]
fn branches_feeders_and_batches() {
    replays(40, |notes| {
        let (sender, receiver) = crossbeam_channel::unbounded();
        (0..12_u64).for_each(|number| sender.send(number).unwrap());
        drop(sender);
        let noted = notes.clone();
        let batches = FanOut::builder_batch(3, Duration::from_secs(1), move |batch: Vec<u64>| {
            noted.add("batch", batch.len() as u64);
            batch.into_iter().map(Ok::<_, ()>).collect()
        });
        let (feeder, output) = batches.workers(2).window(5).start_from(receiver).unwrap();
        let [even, odd] = output.split_by(1, |outcome: &Outcome<u64, ()>| outcome.seq as usize % 2).unwrap();
        for outcome in fan_in([even, odd]) {
            notes.add("one of two", outcome.result.unwrap());
        }
        feeder.join().unwrap();

        let service = FanOut::builder(|number: u64| Ok::<_, ()>(number)).workers(2).window(4).help(Help::Both);
        let (input, output) = service.start().unwrap();
        let [tee] = output.tee(2).unwrap();
        let control = input.control();
        let noted = notes.clone();
        let pool = pool(2);
        let sender = pool.submit(move || {
            for number in 0..20 {
                input.send(number).unwrap();
                noted.add("sent", number);
            }
        });
        tee.for_each(|outcome| notes.add("from the tee", outcome.seq));
        sender.join().unwrap();
        notes.add("finished", control.wait().unwrap().finished);
    });
}

#[test]
fn maps_of_all_kinds() {
    replays(40, |notes| {
        let pool = pool(3);
        let token = CancelToken::new();
        let seen = pool
            .map(0..600_u64, |number| {
                if number % 50 == 0 {
                    notes.add("item", number)
                }
            })
            .unordered()
            .count();
        notes.add("count", seen as u64);
        let stopped = pool
            .map(0..600_u64, |number| {
                if number == 300 {
                    token.cancel()
                }
            })
            .batch(7)
            .cancel(&token)
            .count();
        notes.add("cancelled after", stopped.unwrap_err().partial as u64);
        let late = pool.map(0..u64::MAX, |_| yield_now()).window(9).deadline(Duration::from_millis(2)).count();
        notes.add("late after", late.unwrap_err().partial as u64);
        pool.scope(|scope| {
            let stream = scope.stream(0..40_u64, |number| {
                yield_now();
                number
            });
            stream.for_each(|number| notes.add("streamed", number));
        });
        let nested =
            pool.map(0..4_u64, |outer| pool.map(0..4, |inner| notes.add("nested", 10 * outer + inner)).count());
        notes.add("nested", nested.sum::<usize>() as u64);
    });
}

#[test]
fn objects_handles_and_deadlines() {
    replays(40, |notes| {
        let objects = ObjectPool::new(2, || 0_u64).unwrap();
        let pool = pool(4);
        pool.scope(|scope| {
            for number in 0..8 {
                let objects = &objects;
                scope.spawn(move || match objects.get_timeout(Duration::from_micros(40)) {
                    Ok(mut object) => {
                        *object += 1;
                        notes.add("got", number);
                    }
                    Err(_) => notes.add("too late", number),
                });
            }
        });
        let handles: Vec<_> = (0..6).map(|number| pool.submit(move || number)).collect();
        for handle in handles.into_iter().rev() {
            notes.add("joined", handle.join().unwrap());
        }
        let sequence = pool.group().limit(1).build().unwrap();
        let handles: Vec<_> = (0..6).map(|number| sequence.submit(move || number)).collect();
        notes.add("last", handles.into_iter().last().unwrap().join().unwrap());
        let token = CancelToken::new();
        let child = token.child_until(Clock::system().now() + Duration::from_micros(100));
        while !child.is_cancelled() {
            yield_now();
        }
        notes.add("cancelled", 0);
    });
}
