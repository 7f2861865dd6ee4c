//! Sections B, C and D, further: what tasks carry and return, and where it goes.

use super::{Bomb, Counted, pool, quiet_panic, within};
use fanpool::{BuildError, CancelToken, JoinError, Pool, Workers};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::time::Duration;

fn add(count: &AtomicUsize) {
    count.fetch_add(1, Ordering::SeqCst);
}

#[test]
fn a3_stacks_that_no_system_has_are_reported_and_nothing_stays() {
    within(|| {
        let (started, stopped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (up, down) = (started.clone(), stopped.clone());
        let built = Pool::builder()
            .workers(Workers::Fixed(2000))
            .stack_size(1 << 39)
            .on_start(move |_| add(&up))
            .on_stop(move |_| add(&down))
            .build();
        match built.unwrap_err() {
            BuildError::Thread { wanted: 2000, started: count, source } => {
                assert!(count < 2000, "{count}");
                assert!(source.raw_os_error().is_some(), "{source:?}");
                assert_eq!((started.load(Ordering::SeqCst), stopped.load(Ordering::SeqCst)), (count, count));
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn b1_a_handle_keeps_the_payload_of_every_type_and_its_text() {
    within(|| {
        let pool = pool(1);
        let panicked = |handle: fanpool::Handle<()>| match handle.join() {
            Err(JoinError::Panicked(panicked)) => panicked,
            other => panic!("{other:?}"),
        };
        let text = panicked(pool.submit(|| quiet_panic("text")));
        assert_eq!(text.message(), "text");
        assert_eq!(text.into_payload().downcast_ref(), Some(&"text"));
        let owned = panicked(pool.submit(|| quiet_panic(String::from("owned"))));
        assert_eq!(owned.message(), "owned");
        let shared = Arc::new(());
        let inner = shared.clone();
        let other = panicked(pool.submit(move || quiet_panic(inner)));
        assert!(Arc::ptr_eq(other.into_payload().downcast_ref::<Arc<()>>().unwrap(), &shared), "the same value");
        assert_eq!(pool.shutdown().tasks.panicked, 3);
    });
}

#[test]
fn b2_each_panic_of_a_drop_is_counted_once() {
    within(|| {
        let pool = pool(1);
        // Paused, so that the handles are gone before the tasks run: then the worker drops what they leave.
        pool.pause();
        pool.spawn(|| quiet_panic(Bomb)).unwrap();
        let captured = Bomb;
        pool.spawn(move || drop(captured)).unwrap();
        drop(pool.submit(|| Bomb));
        drop(pool.submit(|| quiet_panic(Bomb)));
        pool.spawn(|| ()).unwrap();
        pool.resume();
        pool.wait_idle().unwrap();
        let tasks = pool.counts();
        assert_eq!((tasks.ran, tasks.panicked, tasks.cancelled, tasks.discarded), (1, 4, 0, 0));
        assert_eq!(pool.broadcast(|worker| worker).unwrap(), [0]);
    });
}

#[test]
fn b2_captures_that_panic_when_discarded_or_cancelled_are_counted() {
    within(|| {
        let pool = pool(1);
        pool.pause();
        let token = CancelToken::new();
        let cancelled = pool.group().cancel(&token).build().unwrap();
        let drops = Arc::new(AtomicUsize::new(0));
        let task = || {
            let captured = (Counted(drops.clone()), Bomb);
            move || unreachable!("{:p}", &captured)
        };
        cancelled.scope(|s| {
            token.cancel();
            s.spawn(|| unreachable!("cancelled"));
        });
        let caught = catch_unwind(AssertUnwindSafe(|| cancelled.scope(|s| s.spawn(task()))));
        assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"dropped"));
        pool.spawn(task()).unwrap();
        let handle: fanpool::Handle<()> = pool.submit(task());
        let tasks = pool.shutdown_now().tasks;
        assert_eq!((tasks.ran, tasks.panicked, tasks.cancelled, tasks.discarded), (0, 3, 1, 0));
        assert!(matches!(handle.join(), Err(JoinError::Panicked(_))));
        assert_eq!(drops.load(Ordering::SeqCst), 3, "nothing is dropped twice");
    });
}

#[test]
fn b2_the_value_of_a_body_whose_task_panicked_may_panic_when_dropped() {
    within(|| {
        let pool = pool(1);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            pool.scope(|s| {
                s.spawn(|| quiet_panic("of a task"));
                Bomb
            })
        }));
        let payload = caught.map(std::mem::forget).unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&"of a task"));
    });
}

#[test]
fn b3_a_million_detached_panics_leave_every_worker_alive() {
    within(|| {
        let pool = pool(2);
        let before = pool.broadcast(|_| std::thread::current().id()).unwrap();
        for i in 0..1_000_000_u32 {
            pool.spawn(move || quiet_panic(i)).unwrap();
        }
        pool.wait_idle().unwrap();
        assert_eq!((pool.counts().ran, pool.counts().panicked), (2, 1_000_000), "and the broadcast's two");
        assert_eq!(pool.broadcast(|_| std::thread::current().id()).unwrap(), before);
        assert_eq!(pool.shutdown().threads_joined, 2);
    });
}

#[test]
fn b5_closures_and_results_of_any_size_and_alignment_arrive() {
    #[derive(Debug, PartialEq)]
    #[repr(align(128))]
    struct Wide(u8);

    fn run() {
        let pool = Pool::builder().workers(Workers::Fixed(2)).stack_size(64 << 20).build().unwrap();
        let drops = Arc::new(AtomicUsize::new(0));
        let (huge, guard) = ([7_u8; 1 << 20], Counted(drops.clone()));
        let sum = pool.submit(move || {
            let _guard = &guard;
            huge.iter().map(|byte| usize::from(*byte)).sum::<usize>()
        });
        assert_eq!(sum.join().unwrap(), 7 << 20);
        let wide = Wide(3);
        let back = pool.submit(move || {
            assert_eq!(std::ptr::from_ref(&wide).addr() % 128, 0);
            wide
        });
        assert_eq!(back.join().unwrap(), Wide(3));
        assert!(pool.submit(|| [9_u64; 1 << 16]).join().unwrap().iter().all(|word| *word == 9));
        pool.submit(|| ()).join().unwrap();
        pool.spawn(|| ()).unwrap();
        let tasks = pool.shutdown().tasks;
        assert_eq!((tasks.ran, drops.load(Ordering::SeqCst)), (5, 1));
    }
    within(|| std::thread::Builder::new().stack_size(64 << 20).spawn(run).unwrap().join().unwrap());
}

#[test]
fn c4_a_handle_is_joined_while_the_pool_is_shut_down() {
    within(|| {
        for round in 0..200 {
            let (pool, start, ran) = (pool(2), Arc::new(Barrier::new(2)), Arc::new(AtomicUsize::new(0)));
            if round % 2 == 0 {
                pool.pause();
            }
            let handles: Vec<_> = (0..20)
                .map(|_| {
                    let ran = ran.clone();
                    pool.submit(move || ran.fetch_add(1, Ordering::SeqCst))
                })
                .collect();
            let both = start.clone();
            let joiner = std::thread::spawn(move || {
                both.wait();
                let results = handles.into_iter().map(|handle| match handle.join() {
                    Ok(_) => 1,
                    Err(JoinError::Discarded) => 0,
                    other => panic!("{other:?}"),
                });
                results.sum::<usize>()
            });
            start.wait();
            let tasks = pool.shutdown_now().tasks;
            let joined = joiner.join().unwrap();
            assert_eq!((joined, tasks.ran + tasks.discarded), (ran.load(Ordering::SeqCst), 20));
            assert_eq!(tasks.ran, joined, "the receipt counts what a joiner ran");
        }
    });
}

#[test]
fn d3_the_threads_that_a_shutdown_left_end_with_their_tasks() {
    within(|| {
        let (stopped, stops) = mpsc::channel();
        let stopped = Mutex::new(stopped);
        let builder = Pool::builder().workers(Workers::Fixed(3));
        let pool = builder.on_stop(move |worker| stopped.lock().unwrap().send(worker).unwrap()).build().unwrap();
        let (all, release) = (Arc::new(Barrier::new(3)), Arc::new(Barrier::new(3)));
        for _ in 0..2 {
            let (all, release) = (all.clone(), release.clone());
            pool.spawn(move || {
                all.wait();
                release.wait();
            })
            .unwrap();
        }
        all.wait();
        let receipt = pool.shutdown_timeout(Duration::ZERO);
        // The third may still be in its stop hook, which no deadline waits for.
        assert_eq!((receipt.threads_joined + receipt.threads_busy.len(), receipt.tasks.ran), (3, 0));
        assert!(receipt.threads_busy.len() >= 2);
        let mut left = vec![stops.recv().unwrap()];
        assert!(stops.try_recv().is_err(), "the others still run");
        release.wait();
        left.extend(stops.iter());
        left.sort_unstable();
        assert_eq!(left, [0, 1, 2], "the hook, and with it the pool, is gone too");
    });
}

#[test]
fn a_child_token_stops_its_own_group_only() {
    within(|| {
        let (pool, parent) = (pool(1), CancelToken::new());
        let (one, other) = (parent.child(), parent.child());
        let groups = [&one, &other, &parent].map(|token| pool.group().cancel(token).build().unwrap());
        pool.pause();
        let handles = groups.each_ref().map(|group| group.submit(|| ()));
        one.cancel();
        pool.resume();
        let results = handles.map(fanpool::Handle::join);
        assert!(matches!(results, [Err(JoinError::Cancelled), Ok(()), Ok(())]), "{results:?}");
        parent.cancel();
        assert!(groups.iter().all(|group| matches!(group.submit(|| ()).join(), Err(JoinError::Cancelled))));
        let tasks = pool.shutdown().tasks;
        assert_eq!((tasks.ran, tasks.panicked, tasks.cancelled, tasks.discarded), (2, 0, 4, 0));
    });
}

#[test]
fn a_broadcast_that_panics_still_reaches_every_worker() {
    within(|| {
        let (pool, calls) = (pool(3), AtomicUsize::new(0));
        let caught = catch_unwind(AssertUnwindSafe(|| {
            pool.broadcast(|worker| {
                add(&calls);
                if worker == 1 {
                    quiet_panic(worker);
                }
            })
        }));
        assert_eq!(caught.unwrap_err().downcast_ref(), Some(&1_usize));
        assert_eq!(calls.into_inner(), 3);
        pool.wait_idle().unwrap();
        // A worker counts when it leaves its group, which is after the broadcast has its result.
        pool.wait_idle().unwrap();
        assert_eq!((pool.counts().ran, pool.counts().panicked), (2, 1));
    });
}

#[test]
fn public_types_that_cross_a_caught_panic() {
    use std::marker::PhantomData;
    use std::panic::UnwindSafe;

    struct Probe<T>(PhantomData<T>);
    trait Otherwise {
        fn safe(&self) -> bool {
            false
        }
    }
    impl<T> Otherwise for Probe<T> {}
    impl<T: UnwindSafe> Probe<T> {
        fn safe(&self) -> bool {
            true
        }
    }
    macro_rules! table {
        ($($ty:ty),* $(,)?) => { [$((stringify!($ty), Probe::<$ty>(PhantomData).safe())),*] };
    }
    let table = table![
        fanpool::Pool,
        &'static fanpool::Pool,
        fanpool::Builder,
        fanpool::Group<'static>,
        fanpool::GroupBuilder<'static>,
        fanpool::Handle<()>,
        fanpool::CancelToken,
        fanpool::Counts,
        fanpool::Shutdown,
        fanpool::BusyWorker,
        fanpool::Workers,
        fanpool::Priority,
        fanpool::OnError,
        fanpool::TaskPanicked,
        fanpool::JoinError,
        fanpool::BuildError,
        fanpool::ResizeError,
        fanpool::Refused<()>,
        fanpool::RefusedReason,
        fanpool::WouldDeadlock,
        fanpool::Errors<()>,
    ];
    let unsafe_ones: Vec<_> = table.iter().filter(|(_, safe)| !safe).map(|(name, _)| *name).collect();
    // These hold a payload or a closure of the user's, about which nothing is known.
    let expected = [
        "fanpool::Builder",
        "fanpool::TaskPanicked",
        "fanpool::JoinError",
        "fanpool::BuildError",
        "fanpool::ResizeError",
        "fanpool::Errors<()>",
    ];
    assert_eq!(unsafe_ones, expected);
}
