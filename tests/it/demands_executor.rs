//! What suites of other libraries demand of executors: refusal, order, ends, hooks, broadcasts; `../DEMANDS.md` has the table.

use super::fan::{Gate, LONG};
use super::{pool, quiet_panic, within};
use fanpool::{Handle, JoinError, Pool, RefusedReason, Workers};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread::ThreadId;
use std::time::Duration;

fn add(count: &AtomicUsize) {
    count.fetch_add(1, Ordering::SeqCst);
}

#[test]
fn a_refused_task_comes_back_whole_from_every_verb() {
    within(|| {
        let pool = Pool::builder().workers(Workers::Fixed(2)).sharded().build().unwrap();
        let group = pool.group().build().unwrap();
        pool.close();
        let text = String::from("kept");
        let task = {
            let text = text.clone();
            move || text
        };
        let refused = pool.try_submit(task).unwrap_err();
        assert_eq!(refused.reason(), RefusedReason::Closed);
        let refused = group.try_submit(refused.into_inner()).unwrap_err();
        assert_eq!(refused.reason(), RefusedReason::Closed);
        assert_eq!(refused.into_inner()(), text);
        let ran = Arc::new(AtomicUsize::new(0));
        let count = ran.clone();
        let task = move || add(&count);
        let task = pool.spawn(task).unwrap_err().into_inner();
        let task = group.spawn(task).unwrap_err().into_inner();
        let task = pool.spawn_on(1, task).unwrap_err().into_inner();
        let refused = pool.spawn_on(2, task).unwrap_err();
        assert_eq!(refused.reason(), RefusedReason::NoSuchShard { shard: 2, shards: 2 });
        assert_eq!(ran.load(Ordering::SeqCst), 0);
        refused.into_inner()();
        assert_eq!(ran.load(Ordering::SeqCst), 1);
        let all = pool.broadcast(|worker| worker + 1).unwrap_err().into_inner();
        assert_eq!(all(1), 2);
    });
}

#[test]
fn a_handle_of_a_refused_task_has_ended_and_every_way_to_ask_says_so() {
    within(|| {
        let pool = pool(1);
        let group = pool.group().limit(1).build().unwrap();
        pool.close();
        let handle = |n: usize| -> Handle<usize> { if n == 0 { pool.submit(|| 1) } else { group.submit(|| 1) } };
        for n in 0..2 {
            assert!(handle(n).is_finished());
            for result in [
                handle(n).join(),
                handle(n).try_join().unwrap(),
                handle(n).join_timeout(Duration::ZERO).unwrap(),
                handle(n).join_timeout(Duration::MAX).unwrap(),
            ] {
                assert!(matches!(result, Err(JoinError::Refused(RefusedReason::Closed))));
            }
        }
        assert_eq!(pool.shutdown().tasks.discarded, 0, "what was never accepted is not counted");
    });
}

/// One worker, and all that it is to do is queued before it starts: what is plain and what has a handle in turns.
#[test]
fn one_worker_starts_detached_tasks_in_the_order_of_their_coming() {
    within(|| {
        let (pool, seen) = (pool(1), Arc::new(Mutex::new(Vec::new())));
        pool.pause();
        let handles: Vec<_> = (0..5000)
            .filter_map(|n| {
                let seen = seen.clone();
                let task = move || seen.lock().unwrap().push(n);
                if n % 3 == 0 { Some(pool.submit(task)) } else { pool.spawn(task).map(|()| None).unwrap() }
            })
            .collect();
        pool.resume();
        pool.wait_idle().unwrap();
        assert!(handles.iter().all(Handle::is_finished));
        assert!(seen.lock().unwrap().iter().copied().eq(0..5000));
    });
}

#[test]
fn a_shutdown_at_once_lets_what_runs_end_and_starts_nothing_else() {
    within(|| {
        let pool = pool(2);
        let (both, gate) = (Arc::new(Barrier::new(3)), Gate::new());
        let running: Vec<_> = (0..2)
            .map(|n| {
                let (both, gate) = (both.clone(), gate.clone());
                pool.submit(move || {
                    both.wait();
                    gate.pass();
                    n
                })
            })
            .collect();
        both.wait();
        let queued: Vec<Handle<()>> = (0..50).map(|_| pool.submit(|| unreachable!("it was queued"))).collect();
        let ender = std::thread::spawn(move || pool.shutdown_now());
        // Told while the shutdown still waits for the two that run. A join would run what is queued.
        for handle in queued {
            let ended = handle.join_timeout(LONG).expect("in time");
            assert!(matches!(ended, Err(JoinError::Discarded)));
        }
        assert!(!ender.is_finished());
        assert!(running.iter().all(|handle| !handle.is_finished()));
        gate.open();
        let receipt = ender.join().unwrap();
        assert_eq!((receipt.tasks.ran, receipt.tasks.discarded, receipt.threads_joined), (2, 50, 2));
        assert!(receipt.threads_busy.is_empty());
        assert!(running.into_iter().map(|handle| handle.join().unwrap()).eq(0..2));
    });
}

/// A tree of tasks, each of which spawns the next before it ends: at no moment before the last is the pool idle.
#[test]
fn waiting_for_idleness_waits_for_what_tasks_spawn() {
    fn tree(pool: Arc<Pool>, depth: usize, ran: Arc<AtomicUsize>) {
        if depth > 0 {
            for _ in 0..2 {
                let (next, ran) = (pool.clone(), ran.clone());
                pool.spawn(move || tree(next, depth - 1, ran)).unwrap();
            }
        }
        add(&ran);
    }
    within(|| {
        for workers in [1, 3] {
            let (pool, ran) = (Arc::new(pool(workers)), Arc::new(AtomicUsize::new(0)));
            for round in 1..50 {
                let (inner, count) = (pool.clone(), ran.clone());
                pool.spawn(move || tree(inner, 6, count)).unwrap();
                pool.wait_idle().unwrap();
                assert_eq!((ran.load(Ordering::SeqCst), pool.queued()), (round * 127, 0));
            }
        }
    });
}

#[test]
fn many_threads_wait_for_idleness_at_once_and_none_before_the_last_task() {
    within(|| {
        let (pool, gate, ended) = (Arc::new(pool(1)), Gate::new(), Arc::new(AtomicUsize::new(0)));
        let pass = gate.clone();
        pool.spawn(move || pass.pass()).unwrap();
        let (about, ready) = mpsc::channel();
        let waiting: Vec<_> = (0..8)
            .map(|_| {
                let (pool, about, ended) = (pool.clone(), about.clone(), ended.clone());
                std::thread::spawn(move || {
                    about.send(()).unwrap();
                    pool.wait_idle().unwrap();
                    ended.load(Ordering::SeqCst)
                })
            })
            .collect();
        (0..8).for_each(|_| ready.recv().unwrap());
        let count = ended.clone();
        pool.spawn(move || add(&count)).unwrap();
        gate.open();
        assert!(waiting.into_iter().all(|thread| thread.join().unwrap() == 1));
    });
}

/// Hooks of a worker run in its own thread, the first before its tasks and the last after them, once each.
#[test]
fn hooks_run_once_for_each_thread_around_its_tasks() {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Seen {
        Start,
        Task,
        Stop,
    }
    type Event = (ThreadId, usize, Seen);
    within(|| {
        let log: Arc<Mutex<Vec<Event>>> = Arc::default();
        let note = |seen| {
            let log = log.clone();
            move |worker| log.lock().unwrap().push((std::thread::current().id(), worker, seen))
        };
        let builder = Pool::builder().workers(Workers::Fixed(2)).on_start(note(Seen::Start)).on_stop(note(Seen::Stop));
        let pool = builder.build().unwrap();
        pool.broadcast(note(Seen::Task)).unwrap();
        pool.resize(4).unwrap();
        pool.broadcast(note(Seen::Task)).unwrap();
        pool.resize(1).unwrap();
        assert_eq!(pool.broadcast(|worker| worker).unwrap(), [0]);
        drop(pool);
        let log = log.lock().unwrap();
        let threads: std::collections::HashSet<_> = log.iter().map(|(thread, ..)| *thread).collect();
        assert_eq!(threads.len(), 4);
        for thread in threads {
            let own: Vec<_> =
                log.iter().filter(|(id, ..)| *id == thread).map(|(_, worker, seen)| (*worker, *seen)).collect();
            let (worker, ends) = (own[0].0, own.len() - 1);
            assert!(own.iter().all(|(of, _)| *of == worker), "{own:?}");
            assert_eq!((own[0].1, own[ends].1), (Seen::Start, Seen::Stop));
            assert!(own[1..ends].iter().all(|(_, seen)| *seen == Seen::Task), "{own:?}");
            assert_eq!(own.len(), if worker < 2 { 4 } else { 3 });
        }
    });
}

#[test]
fn pools_broadcast_within_each_other() {
    within(|| {
        let (three, five, calls) = (pool(3), pool(5), AtomicUsize::new(0));
        let sums = three.broadcast(|outer| {
            let inner = five.broadcast(|inner| {
                add(&calls);
                assert_eq!((three.current_worker(), five.current_worker()), (None, Some(inner)));
                outer * 10 + inner
            });
            inner.unwrap().into_iter().sum::<usize>()
        });
        assert_eq!(sums.unwrap(), [10, 60, 110]);
        assert_eq!(calls.into_inner(), 15);
    });
}

/// Whoever broadcasts asks again at once, while the workers are on their way to rest.
#[test]
fn broadcasts_one_after_the_other_reach_workers_that_come_to_rest() {
    within(|| {
        let (pool, calls) = (pool(4), AtomicUsize::new(0));
        for round in 1..=2000 {
            let spun = pool.broadcast(|worker| {
                (0..worker * 20).for_each(|_| std::hint::spin_loop());
                add(&calls);
                worker
            });
            assert_eq!(spun.unwrap(), [0, 1, 2, 3]);
            assert_eq!(calls.load(Ordering::SeqCst), round * 4);
        }
    });
}

#[test]
fn every_panic_of_a_broadcast_is_counted_and_one_comes_out() {
    within(|| {
        let (pool, calls) = (pool(5), AtomicUsize::new(0));
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.broadcast(|worker| {
                add(&calls);
                if worker % 2 == 0 {
                    quiet_panic(worker);
                }
            })
        }));
        let payload = caught.unwrap_err();
        assert_eq!(payload.downcast_ref::<usize>().map(|worker| worker % 2), Some(0));
        assert_eq!(calls.into_inner(), 5);
        let tasks = pool.shutdown().tasks;
        assert_eq!((tasks.ran, tasks.panicked), (2, 3));
    });
}

/// A worker of each waits for a task of the other, to and fro; a task that is not started is run by whoever joins it.
#[test]
fn pools_of_one_worker_join_detached_tasks_of_each_other() {
    fn bounce(here: Arc<Pool>, there: Arc<Pool>, depth: usize) -> usize {
        let (back, next) = (here.clone(), there.clone());
        if depth == 0 { 0 } else { 1 + here.submit(move || bounce(next, back, depth - 1)).join().unwrap() }
    }
    within(|| {
        let (one, other) = (Arc::new(pool(1)), Arc::new(pool(1)));
        for _ in 0..200 {
            let threads = [(&one, &other), (&other, &one)].map(|(here, there)| {
                let (here, there) = (here.clone(), there.clone());
                std::thread::spawn(move || bounce(here, there, 20))
            });
            threads.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap(), 20));
        }
    });
}

/// Polling never takes what is not there, and what is there it gives once.
#[test]
fn a_handle_is_polled_before_and_after_its_end() {
    within(|| {
        let (pool, gate) = (pool(1), Gate::new());
        let pass = gate.clone();
        let mut handle = pool.submit(move || {
            pass.pass();
            Box::new(7)
        });
        for _ in 0..100 {
            assert!(!handle.is_finished());
            handle = handle.try_join().unwrap_err();
            handle = handle.join_timeout(Duration::from_nanos(1)).unwrap_err();
        }
        gate.open();
        pool.wait_idle().unwrap();
        assert!(handle.is_finished());
        assert_eq!(*handle.try_join().unwrap().unwrap(), 7);
    });
}

/// Of tasks that end well, fail and panic, each handle tells its own end, in whatever order they are asked.
#[test]
fn an_assortment_of_ends_is_told_by_the_handles_of_each() {
    within(|| {
        let pool = pool(2);
        let mut handles: Vec<_> = (0..300_usize)
            .map(|n| {
                let handle = pool.submit(move || match n % 3 {
                    0 => Ok(n),
                    1 => Err(n),
                    _ => quiet_panic(n),
                });
                (n, handle)
            })
            .collect();
        let mut random = super::map_property::SplitMix64(11);
        while !handles.is_empty() {
            let (n, handle) = handles.swap_remove(random.next() as usize % handles.len());
            match handle.join() {
                Ok(Ok(value)) => assert_eq!((value, value % 3), (n, 0)),
                Ok(Err(error)) => assert_eq!((error, error % 3), (n, 1)),
                Err(JoinError::Panicked(panic)) => {
                    assert_eq!((panic.into_payload().downcast_ref(), n % 3), (Some(&n), 2));
                }
                Err(other) => panic!("{n}: {other:?}"),
            }
        }
        let tasks = pool.shutdown().tasks;
        assert_eq!((tasks.ran, tasks.panicked), (200, 100));
    });
}
