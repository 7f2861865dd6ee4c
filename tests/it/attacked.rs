//! Programs that once broke the library, and now must not.

use super::{pool, within};
use fanpool::{Pool, Workers};
use std::sync::{Arc, Barrier, Mutex, mpsc};

#[test]
fn b6_a_worker_is_found_though_a_retired_one_is_stuck() {
    within(|| {
        let pool = pool(2);
        let (release, stuck) = mpsc::channel::<()>();
        let (stuck, both) = (Arc::new(Mutex::new(stuck)), Arc::new(Barrier::new(3)));
        for _ in 0..2 {
            let (stuck, both) = (stuck.clone(), both.clone());
            pool.spawn(move || {
                both.wait();
                if fanpool::current_worker() == Some(1) {
                    assert!(stuck.lock().unwrap().recv().is_err());
                }
            })
            .unwrap();
        }
        both.wait();
        pool.resize(1).unwrap();
        let (ran, wait) = mpsc::channel();
        pool.spawn(move || ran.send(fanpool::current_worker()).unwrap()).unwrap();
        assert_eq!(wait.recv(), Ok(Some(0)));
        drop(release);
        assert_eq!(pool.shutdown().tasks.ran, 3);
    });
}

#[test]
fn a5_a_late_failure_of_a_hook_retires_nobody_elses_worker() {
    within(|| {
        let (fail, wait) = mpsc::channel::<()>();
        let (first, in_hook) = (Mutex::new(Some(wait)), Arc::new(Barrier::new(2)));
        let hook = in_hook.clone();
        let built = Pool::builder().workers(Workers::Fixed(1)).on_start(move |worker| {
            let first = if worker == 1 { first.lock().unwrap().take() } else { None };
            if let Some(wait) = first {
                hook.wait();
                let _ = wait.recv();
                super::quiet_panic("the first worker 1 only");
            }
        });
        let pool = Arc::new(built.build().unwrap());
        let grower = pool.clone();
        let failing = std::thread::spawn(move || grower.resize(2).is_err());
        in_hook.wait();
        pool.resize(1).unwrap();
        pool.resize(3).unwrap();
        drop(fail);
        assert!(failing.join().unwrap());
        assert_eq!(pool.workers(), 3);
        assert_eq!(pool.broadcast(|worker| worker).unwrap(), [0, 1, 2]);
    });
}

#[test]
fn b4_a_capture_dropped_by_a_shutdown_may_join_a_task_of_its_own_strand() {
    struct Joins(mpsc::Receiver<fanpool::Handle<()>>, mpsc::Sender<bool>);
    impl Drop for Joins {
        fn drop(&mut self) {
            if let Ok(handle) = self.0.try_recv() {
                self.1.send(handle.join().is_ok()).unwrap();
            }
        }
    }
    within(|| {
        let pool = pool(1);
        pool.pause();
        let strand = pool.group().limit(1).build().unwrap();
        let ((send, receive), (told, tell)) = (mpsc::channel(), mpsc::channel());
        let joins = Joins(receive, told);
        strand.spawn(move || unreachable!("{:p}", &joins)).unwrap();
        send.send(strand.submit(|| ())).unwrap();
        let tasks = pool.shutdown_now().tasks;
        assert!(tell.recv().unwrap(), "nobody else had it, so the joiner ran it");
        assert_eq!((tasks.ran, tasks.discarded), (1, 1));
    });
}

#[test]
fn scopes_of_a_limited_group_join_their_own_tasks_on_one_worker() {
    within(|| {
        let pool = Arc::new(pool(1));
        let inner = pool.clone();
        let sum = pool.submit(move || {
            let group = inner.group().limit(2).build().unwrap();
            group.scope(|s| {
                let handles: Vec<_> = (0..10).map(|i| s.submit(move || s.submit(move || i).join().unwrap())).collect();
                handles.into_iter().map(|handle| handle.join().unwrap()).sum::<i32>()
            })
        });
        assert_eq!(sum.join().unwrap(), 45);
    });
}

#[test]
fn joins_in_any_order_leave_nothing_queued() {
    within(|| {
        let pool = pool(1);
        pool.pause();
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]] {
            let mut handles: Vec<_> = (0..3).map(|i| Some(pool.submit(move || i))).collect();
            for i in order {
                assert_eq!(handles[i].take().unwrap().join().unwrap(), i);
            }
            assert_eq!(pool.queued(), 0);
        }
        pool.resume();
        let tasks = pool.shutdown().tasks;
        assert_eq!((tasks.ran, tasks.discarded, tasks.cancelled), (12, 0, 0));
    });
}

#[test]
fn a5_workers_stay_in_order_after_a_failed_hook() {
    within(|| {
        let failed = std::sync::atomic::AtomicBool::new(false);
        let hook = move |worker| {
            if worker == 1 && !failed.swap(true, std::sync::atomic::Ordering::SeqCst) {
                super::quiet_panic("once");
            }
        };
        let pool = Pool::builder().workers(Workers::Fixed(1)).on_start(hook).build().unwrap();
        assert!(pool.resize(3).is_err());
        pool.resize(3).unwrap();
        assert_eq!(pool.broadcast(|worker| worker).unwrap(), [0, 1, 2]);
        pool.resize(2).unwrap();
        assert_eq!(pool.broadcast(|worker| worker).unwrap(), [0, 1]);
    });
}

#[test]
fn b4_handles_and_receipt_agree_though_a_drop_cancels_in_between() {
    struct Cancels(fanpool::CancelToken);
    impl Drop for Cancels {
        fn drop(&mut self) {
            self.0.cancel();
        }
    }
    within(|| {
        let (pool, token) = (pool(1), fanpool::CancelToken::new());
        pool.pause();
        let group = pool.group().cancel(&token).build().unwrap();
        let first = group.submit(|| ());
        let cancels = Cancels(token.clone());
        let second = group.submit(move || drop(cancels));
        let tasks = pool.shutdown_now().tasks;
        assert!(matches!(first.join(), Err(fanpool::JoinError::Discarded)));
        assert!(matches!(second.join(), Err(fanpool::JoinError::Cancelled)));
        assert_eq!((tasks.discarded, tasks.cancelled), (1, 1));
    });
}
