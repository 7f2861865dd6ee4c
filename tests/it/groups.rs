//! Groups: limits, strands, priorities, cancellation; shards, broadcast, inspection.

use super::{pool, within};
use fanpool::{CancelToken, JoinError, Pool, Priority, RefusedReason, Workers};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::time::{Duration, Instant};

#[test]
fn a_strand_keeps_its_order_on_several_workers() {
    within(|| {
        let pool = pool(4);
        let strand = pool.group().limit(1).build().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        for i in 0..20_000 {
            let seen = seen.clone();
            strand.spawn(move || seen.try_lock().expect("one at a time").push(i)).unwrap();
        }
        pool.wait_idle().unwrap();
        assert!(seen.lock().unwrap().iter().copied().eq(0..20_000));
    });
}

#[test]
fn a_limit_is_reached_and_never_exceeded() {
    within(|| {
        let pool = pool(4);
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let group = pool.group().limit(2).build().unwrap();
        let both = Arc::new(Barrier::new(2));
        for i in 0..1000 {
            let (running, most, both) = (running.clone(), most.clone(), both.clone());
            group
                .spawn(move || {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    if i < 2 {
                        both.wait();
                    }
                    running.fetch_sub(1, Ordering::SeqCst);
                })
                .unwrap();
        }
        pool.wait_idle().unwrap();
        assert_eq!(most.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn a_scope_of_a_limited_group_ends_on_one_worker_from_within_a_task() {
    within(|| {
        let pool = Arc::new(pool(1));
        let inner = pool.clone();
        let order = pool.submit(move || {
            let seen = Mutex::new(Vec::new());
            let group = inner.group().limit(1).build().unwrap();
            group.scope(|s| {
                for i in 0..100 {
                    let seen = &seen;
                    s.spawn(move || seen.lock().unwrap().push(i));
                }
                s.submit(|| ()).join().unwrap();
            });
            seen.into_inner().unwrap()
        });
        assert!(order.join().unwrap().into_iter().eq(0..100));
    });
}

#[test]
fn a_cancelled_group_drops_what_waits_and_children_go_with_their_parent() {
    within(|| {
        let pool = pool(1);
        let token = CancelToken::new();
        let group = pool.group().cancel(&token.child()).build().unwrap();
        pool.pause();
        let handles: Vec<_> = (0..10).map(|_| group.submit(|| unreachable!("cancelled"))).collect();
        token.cancel();
        pool.resume();
        for handle in handles {
            let result: Result<(), _> = handle.join();
            assert!(matches!(result, Err(JoinError::Cancelled)));
        }
        let tasks = pool.shutdown().tasks;
        assert_eq!((tasks.ran, tasks.cancelled, tasks.discarded), (0, 10, 0));
    });
}

#[test]
fn f8_low_priority_moves_under_endless_high_traffic() {
    fn high(pool: Arc<Pool>, stop: Arc<AtomicUsize>) {
        if stop.load(Ordering::SeqCst) == 0 {
            let next = (pool.clone(), stop);
            let group = pool.group().priority(Priority::High).build().unwrap();
            group.spawn(move || high(next.0, next.1)).unwrap();
        }
    }
    within(|| {
        let pool = Arc::new(pool(1));
        let stop = Arc::new(AtomicUsize::new(0));
        for _ in 0..4 {
            high(pool.clone(), stop.clone());
        }
        let low = pool.group().priority(Priority::Low).build().unwrap();
        low.spawn(move || stop.store(1, Ordering::SeqCst)).unwrap();
        pool.wait_idle().unwrap();
    });
}

#[test]
fn high_priority_goes_first() {
    within(|| {
        let pool = pool(1);
        let seen = Arc::new(Mutex::new(Vec::new()));
        pool.pause();
        for priority in [Priority::Low, Priority::Normal, Priority::High] {
            let seen = seen.clone();
            let group = pool.group().priority(priority).build().unwrap();
            group.spawn(move || seen.lock().unwrap().push(priority)).unwrap();
        }
        pool.resume();
        pool.wait_idle().unwrap();
        assert_eq!(*seen.lock().unwrap(), [Priority::High, Priority::Normal, Priority::Low]);
    });
}

#[test]
fn shards_run_on_their_worker_in_order() {
    within(|| {
        let pool = Pool::builder().workers(Workers::Fixed(3)).sharded().build().unwrap();
        let seen: Arc<[Mutex<Vec<usize>>; 3]> = Arc::default();
        for i in 0..3000 {
            let seen = seen.clone();
            pool.spawn_on(i % 3, move || {
                assert_eq!(fanpool::current_worker(), Some(i % 3));
                seen[i % 3].lock().unwrap().push(i);
            })
            .unwrap();
        }
        pool.spawn(|| ()).unwrap();
        let refused = pool.spawn_on(3, || ()).unwrap_err();
        assert_eq!(refused.reason(), RefusedReason::NoSuchShard { shard: 3, shards: 3 });
        let tasks = pool.shutdown().tasks;
        assert_eq!((tasks.ran, tasks.panicked), (3001, 0));
        for (shard, seen) in seen.iter().enumerate() {
            assert!(seen.lock().unwrap().iter().copied().eq((shard..3000).step_by(3)));
        }
    });
}

#[test]
fn broadcast_runs_once_on_every_worker_also_while_others_resize() {
    within(|| {
        let pool = Arc::new(pool(4));
        assert_eq!(
            pool.broadcast(|worker| (worker, pool.current_worker())).unwrap(),
            [(0, Some(0)), (1, Some(1)), (2, Some(2)), (3, Some(3)),]
        );
        let resizer = pool.clone();
        let resizes = std::thread::spawn(move || (0..200).for_each(|i| resizer.resize(1 + i % 4).unwrap()));
        for _ in 0..200 {
            let ran = pool.broadcast(|worker| worker).unwrap();
            assert!(ran.iter().copied().eq(0..ran.len()));
        }
        resizes.join().unwrap();
    });
}

#[test]
fn a_worker_told_to_leave_first_runs_what_was_put_on_its_channel_again() {
    within(|| {
        let pool = pool(2);
        let (begun, begins) = mpsc::channel();
        let gate = Barrier::new(2);
        std::thread::scope(|threads| {
            // The second worker is held in the first of three, the second outlasts its slice, so it gives the third up.
            for nth in 0..3 {
                let (pool, gate, begun) = (&pool, &gate, begun.clone());
                threads.spawn(move || {
                    let ran = pool.broadcast(|worker| match (nth, worker) {
                        (_, 0) => begun.send(()).unwrap(),
                        (0, _) => drop(gate.wait()),
                        (1, _) => {
                            let began = Instant::now();
                            while began.elapsed() < Duration::from_millis(5) {}
                        }
                        _ => (),
                    });
                    assert_eq!(ran.unwrap().len(), 2);
                });
                // The next one, and the resize, wait for the roster, so they come behind it on both channels.
                begins.recv().unwrap();
            }
            pool.resize(1).unwrap();
            gate.wait();
        });
    });
}

#[test]
fn inspection_is_exact_when_nothing_moves() {
    within(|| {
        let pool = pool(2);
        let (held, hold) = (Arc::new(Barrier::new(3)), Arc::new(Barrier::new(3)));
        for _ in 0..2 {
            let (held, hold) = (held.clone(), hold.clone());
            pool.spawn(move || {
                held.wait();
                hold.wait();
            })
            .unwrap();
        }
        held.wait();
        for _ in 0..7 {
            pool.spawn(|| ()).unwrap();
        }
        assert_eq!((pool.queued(), pool.running(), pool.workers()), (7, 2, 2));
        hold.wait();
        pool.wait_idle().unwrap();
        assert_eq!((pool.queued(), pool.running(), pool.counts().ran), (0, 0, 9));
    });
}

#[test]
fn pause_keeps_tasks_waiting_and_resume_runs_them() {
    within(|| {
        let pool = pool(2);
        pool.pause();
        let (ran, wait) = mpsc::channel();
        for i in 0..10 {
            let ran = ran.clone();
            pool.spawn(move || ran.send(i).unwrap()).unwrap();
        }
        assert_eq!(pool.queued(), 10);
        assert!(wait.try_recv().is_err());
        pool.resume();
        assert_eq!(wait.iter().take(10).sum::<i32>(), 45);
    });
}
