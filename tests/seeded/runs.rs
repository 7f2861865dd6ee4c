//! Runs that replay one interleaving.

use crate::{pool, quiet_panic, within};
use fanpool::testing::{seeded, seeds, yield_now};
use fanpool::{CircuitBreaker, Clock, FanOut, JoinError, ObjectPool, Pool, RecvError, Retry, Route, Workers};
use std::cell::RefCell;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

type Trace = Vec<(&'static str, u64)>;

/// A scope, a map and a service, all of whose tasks note when they begin and end.
fn busy_program() -> Trace {
    let trace = Arc::new(Mutex::new(Trace::new()));
    let note = |what, number| trace.lock().unwrap().push((what, number));
    let pool = Arc::new(pool(3));
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
    let service = service.pool(pool.clone()).window(4).route(Route::by_key(|number: &u64| *number));
    let (input, output) = service.start().unwrap();
    pool.scope(|scope| {
        scope.spawn(move || (0..8).for_each(|number| assert!(input.send(number).is_ok())));
        output.results().for_each(|number| note("got", number.unwrap()));
    });
    drop(pool);
    std::mem::take(&mut *trace.lock().unwrap())
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

#[test]
fn runs_at_the_same_time_are_each_their_own() {
    within(|| {
        let alone: Vec<Trace> = (0..10).map(|seed| seeded(seed, busy_program)).collect();
        let runners: Vec<_> = (0..10).map(|seed| std::thread::spawn(move || seeded(seed, busy_program))).collect();
        let together: Vec<Trace> = runners.into_iter().map(|runner| runner.join().unwrap()).collect();
        assert_eq!(alone, together);
    });
}

#[test]
fn hours_between_attempts_take_no_time() {
    within(|| {
        let waited = seeded(1, || {
            let began = Clock::system().now();
            let tries = AtomicUsize::new(0);
            let handler = move |number: u64| match tries.fetch_add(1, Ordering::SeqCst) {
                2 => Ok(number),
                _ => Err("not yet"),
            };
            let (input, mut output) = FanOut::builder(handler).retry(Retry::fixed(HOUR)).start().unwrap();
            input.send(5).unwrap();
            assert_eq!(output.recv().unwrap().result.unwrap(), 5);
            Clock::system().now() - began
        });
        assert!((2 * HOUR..2 * HOUR + HOUR / 60).contains(&waited), "{waited:?}");
    });
}

#[test]
fn waiting_ends_by_the_time_of_the_run() {
    within(|| {
        seeds(0..50, || {
            let clock = Clock::system();
            let handler = |hours: u32| {
                Clock::system().sleep(hours * HOUR);
                Ok::<_, ()>(hours)
            };
            let (input, mut output) = FanOut::builder(handler).workers(2).start().unwrap();
            input.send(2).unwrap();
            input.send(4).unwrap();
            let began = clock.now();
            assert_eq!(output.recv_timeout(HOUR).unwrap_err(), RecvError::TimedOut);
            assert!((HOUR..HOUR + HOUR / 60).contains(&(clock.now() - began)));
            assert_eq!(output.recv_timeout(2 * HOUR).unwrap().result.ok(), Some(2));
            let left = input.control().wait_timeout(HOUR).unwrap();
            assert!(left.is_none());
            assert_eq!(output.recv().unwrap().result.ok(), Some(4));
            assert!((4 * HOUR..4 * HOUR + HOUR / 60).contains(&(clock.now() - began)));
        });
    });
}

#[test]
fn a_deadlock_names_its_seed_and_who_waits_for_what() {
    within(|| {
        let stuck = || {
            let pool = Pool::builder().workers(Workers::Fixed(2)).name("stuck").build().unwrap();
            let objects = ObjectPool::new(1, || 0).unwrap();
            let held = objects.get().unwrap();
            let waiter = pool.submit(move || drop(objects.get()));
            let _ = waiter.join();
            drop(held);
        };
        for seed in [7, 8] {
            let report = message(move || seeded(seed, stuck));
            assert!(report.starts_with(&format!("seed {seed}: deadlock: ")), "{report}");
            assert!(report.contains("a condition variable"), "{report}");
        }
        // Halves of a fork, for which a thread ticks.
        let forked = || {
            let objects = ObjectPool::new(1, || 0).unwrap();
            let get = || drop((objects.get(), objects.get()));
            pool(2).join(get, || ());
        };
        for seed in 0..20 {
            let report = message(move || seeded(seed, forked));
            assert!(report.starts_with(&format!("seed {seed}: deadlock: ")), "{report}");
        }
        // Two that hold what the other wants, in some orders.
        let crossed = || {
            let pool = pool(2);
            let objects = [(); 2].map(|()| ObjectPool::new(1, || 0).unwrap());
            let both = |first: usize| {
                let one = objects[first].get().unwrap();
                let other = objects[1 - first].get().unwrap();
                drop((one, other));
            };
            pool.scope(|scope| (0..2).for_each(|first| scope.spawn(move || both(first))));
        };
        let ended = |seed: &u64| catch_unwind(|| seeded(*seed, crossed)).is_ok();
        let (well, badly): (Vec<u64>, Vec<u64>) = (0..50).partition(ended);
        assert!(!well.is_empty() && !badly.is_empty(), "{well:?} {badly:?}");
        assert!(well.iter().all(ended) && !badly.iter().any(ended));
    });
}

#[test]
fn a_lost_update_is_found_and_found_again() {
    fn atomic() -> bool {
        let counter = AtomicUsize::new(0);
        let add = || {
            let seen = counter.load(Ordering::SeqCst);
            yield_now();
            counter.store(seen + 1, Ordering::SeqCst);
        };
        pool(2).scope(|scope| (0..2).for_each(|_| scope.spawn(add)));
        counter.into_inner() < 2
    }
    fn unlocked() -> bool {
        let counter = Mutex::new(0);
        let add = || {
            let seen = *counter.lock().unwrap();
            yield_now();
            *counter.lock().unwrap() = seen + 1;
        };
        pool(2).scope(|scope| (0..2).for_each(|_| scope.spawn(add)));
        counter.into_inner().unwrap() < 2
    }
    within(|| {
        for program in [atomic, unlocked] {
            let lost = (0..200).find(|seed| seeded(*seed, program)).unwrap();
            assert!((0..20).all(|_| seeded(lost, program)));
            assert!((0..200).any(|seed| !seeded(seed, program)));
        }
    });
}

#[test]
fn a_panic_comes_out_and_seeds_names_the_seed() {
    within(|| {
        let failing = || {
            let pool = pool(2);
            let first = Arc::new(AtomicUsize::new(0));
            pool.scope(|scope| {
                for number in 1..3 {
                    let first = &first;
                    scope.spawn(move || {
                        let _ = first.compare_exchange(0, number, Ordering::SeqCst, Ordering::SeqCst);
                    });
                }
            });
            let task = pool.submit(|| quiet_panic("in a task"));
            assert!(matches!(task.join(), Err(JoinError::Panicked(_))));
            if first.load(Ordering::SeqCst) == 2 {
                quiet_panic("the second was first".to_owned());
            }
        };
        let failed = |seed: u64| catch_unwind(move || seeded(seed, failing));
        let first = (0..200).find(|seed| failed(*seed).is_err()).unwrap();
        let payload = failed(first).unwrap_err();
        assert_eq!(payload.downcast_ref::<String>().unwrap(), "the second was first");
        assert_eq!(message(|| seeds(0..200, failing)), format!("seed {first}: the second was first"));
    });
}

#[test]
fn a_run_in_a_run_is_refused() {
    within(|| {
        let report = message(|| seeded(3, || seeded(4, || ())));
        assert_eq!(report, "seed 4: a seeded run inside of another");
    });
}

#[test]
fn a_pool_that_outlives_the_run_works_on() {
    static POOL: OnceLock<Pool> = OnceLock::new();
    within(|| {
        let (begun, begins) = mpsc::channel();
        let (go, gone) = mpsc::channel::<()>();
        let task = seeded(5, move || {
            let pool = POOL.get_or_init(|| pool(2));
            pool.scope(|scope| scope.spawn(yield_now));
            // It waits when the program returns, and is given its time then.
            let slow = pool.submit(move || {
                begun.send(()).unwrap();
                Clock::system().sleep(Duration::from_millis(1));
                gone.recv().unwrap();
                7
            });
            while begins.try_recv().is_err() {
                yield_now();
            }
            slow
        });
        go.send(()).unwrap();
        assert_eq!(task.join().unwrap(), 7);
        let pool = POOL.get().unwrap();
        assert_eq!(pool.map(0..100, |n| n).sum::<usize>(), 4950);
    });
}

#[test]
fn strangers_may_hold_the_locks_that_a_run_needs() {
    within(|| {
        let objects = ObjectPool::new(2, || 0_u32).unwrap();
        let (run, stranger) = (objects.clone(), objects);
        let (ready, is_ready) = mpsc::channel();
        let stop = Arc::new(AtomicUsize::new(0));
        let stopped = stop.clone();
        let hammer = std::thread::spawn(move || {
            let mut taken = u32::from(stranger.try_get().is_ok());
            ready.send(()).unwrap();
            while stopped.load(Ordering::SeqCst) == 0 {
                taken += u32::from(stranger.try_get().is_ok());
            }
            taken
        });
        is_ready.recv().unwrap();
        let got = seeded(6, move || {
            let pool = pool(2);
            let got = AtomicUsize::new(0);
            pool.scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        for _ in 0..500 {
                            got.fetch_add(usize::from(run.try_get().is_ok()), Ordering::SeqCst);
                        }
                    });
                }
            });
            got.into_inner()
        });
        stop.store(1, Ordering::SeqCst);
        assert!(got > 0 && hammer.join().unwrap() > 0);
    });
}

#[test]
fn what_is_drawn_from_outside_follows_from_the_seed() {
    fn outside() -> (usize, Vec<Duration>, Option<u64>) {
        let delays = Retry::<()>::exponential(HOUR).jitter(1.0).max_attempts(9).delays().collect();
        let (sender, changes) = mpsc::channel();
        let breakers =
            CircuitBreaker::builder().minimum_calls(1).on_change(move |change| sender.send(change.key).unwrap());
        breakers.build_keyed(1).unwrap().of("a host").admit().unwrap().failure();
        (Pool::new().workers(), delays, changes.recv().unwrap())
    }
    within(|| {
        let first = seeded(1, outside);
        assert_eq!(first.0, 4);
        assert_eq!(seeded(1, outside), first);
        let second = seeded(2, outside);
        assert_ne!(second.1, first.1);
        assert_ne!(second.2, first.2);
    });
}

#[test]
fn destructors_of_thread_locals_belong_to_the_run() {
    struct Noted(u64, Arc<Mutex<Trace>>);
    impl Drop for Noted {
        fn drop(&mut self) {
            for what in ["begins", "goes on", "ends"] {
                self.1.lock().unwrap().push((what, self.0));
                yield_now();
            }
        }
    }
    std::thread_local! { static NOTED: RefCell<Option<Noted>> = const { RefCell::new(None) } }
    fn program() -> Trace {
        let trace = Arc::new(Mutex::new(Trace::new()));
        let pool = pool(3);
        let noted = trace.clone();
        let mark = move |worker: usize| {
            NOTED.with(|own| own.replace(Some(Noted(worker as u64, noted.clone()))));
        };
        pool.broadcast(mark).unwrap();
        pool.shutdown();
        std::mem::take(&mut *trace.lock().unwrap())
    }
    within(|| {
        let traces: Vec<Trace> = (0..50).map(|seed| seeded(seed, program)).collect();
        assert!(traces.iter().all(|trace| trace.len() == 9), "they have ended with the shutdown");
        assert!((0..50).zip(&traces).all(|(seed, trace)| &seeded(seed, program) == trace));
        // They change within a destructor.
        let turns = |trace: &Trace| trace.windows(2).filter(|pair| pair[0].1 != pair[1].1).count();
        assert!(traces.iter().any(|trace| turns(trace) > 2));
    });
}
