//! Faults at the seams of two promises: a limit and a join, a panic and a drop, a worker's end and the pool's.

use super::{pool, quiet_panic};
use fanpool::{BuildError, CancelToken, Handle, JoinError, OnError, Pool, Workers};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

/// Fails a body that hangs, sooner than `within` does: several of these hang together when one does.
fn soon(body: impl FnOnce() + Send + 'static) {
    let (alive, ended) = mpsc::channel::<()>();
    let runner = std::thread::spawn(move || {
        let _alive = alive;
        body();
    });
    assert_ne!(ended.recv_timeout(Duration::from_secs(60)), Err(RecvTimeoutError::Timeout), "hangs");
    if let Err(payload) = runner.join() {
        std::panic::resume_unwind(payload);
    }
}

/// Runs `body` in a process of its own, which it may abort. `test` is the caller's path.
fn alone(test: &str, body: impl FnOnce() + Send + 'static) {
    const CHILD: &str = "FANPOOL_ALONE";
    if std::env::var_os(CHILD).is_some() {
        return soon(body);
    }
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(child.status.success(), "{}: {}", child.status, String::from_utf8_lossy(&child.stderr));
    assert!(String::from_utf8_lossy(&child.stdout).contains("1 passed"), "the child ran `{test}`");
}

/// As `Bomb`, but also while unwinding, where it aborts the process.
struct Mine;

impl Drop for Mine {
    fn drop(&mut self) {
        quiet_panic("dropped");
    }
}

#[test]
fn b2_results_of_a_broadcast_that_panicked_are_dropped_one_by_one() {
    alone("found::b2_results_of_a_broadcast_that_panicked_are_dropped_one_by_one", || {
        let pool = pool(2);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            pool.broadcast(|worker| if worker == 0 { quiet_panic("first") } else { Mine })
        }));
        match caught {
            Err(payload) => assert_eq!(payload.downcast_ref(), Some(&"first")),
            Ok(results) => {
                std::mem::forget(results);
                panic!("the broadcast re-throws");
            }
        }
    });
}

#[test]
fn b2_errors_of_a_try_scope_whose_body_panicked_are_dropped_one_by_one() {
    alone("found::b2_errors_of_a_try_scope_whose_body_panicked_are_dropped_one_by_one", || {
        let pool = pool(2);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            pool.try_scope(OnError::CollectAll, |s| {
                s.spawn(|| Err(Mine));
                quiet_panic("of the body")
            })
        }));
        match caught {
            Err(payload) => assert_eq!(payload.downcast_ref(), Some(&"of the body")),
            Ok(result) => {
                std::mem::forget::<Result<(), _>>(result);
                panic!("the scope re-throws");
            }
        }
    });
}

#[test]
fn a5_start_hooks_that_panic_with_a_payload_that_panics_fail_the_build() {
    alone("found::a5_start_hooks_that_panic_with_a_payload_that_panics_fail_the_build", || {
        // Two failures: only one can be reported, so the library itself drops the other.
        let hook = |_| quiet_panic(Mine);
        let built = catch_unwind(|| Pool::builder().workers(Workers::Fixed(2)).on_start(hook).build());
        let typed = matches!(built, Ok(Err(BuildError::StartHook { .. })));
        std::mem::forget(built);
        assert!(typed);
    });
}

struct LastHandle(Option<Arc<Pool>>, mpsc::Receiver<()>, mpsc::Sender<()>);

impl Drop for LastHandle {
    fn drop(&mut self) {
        let _ = self.1.recv();
        drop(self.0.take());
        let _ = self.2.send(());
    }
}

#[test]
fn b10_a_thread_local_destructor_of_a_worker_may_drop_the_last_handle_of_the_pool() {
    thread_local!(static LAST: RefCell<Option<LastHandle>> = const { RefCell::new(None) });
    alone("found::b10_a_thread_local_destructor_of_a_worker_may_drop_the_last_handle_of_the_pool", || {
        let pool = Arc::new(pool(2));
        let ((release, held), (dropped, wait)) = (mpsc::channel(), mpsc::channel());
        let last = Mutex::new(Some(LastHandle(Some(pool.clone()), held, dropped)));
        let keep = |worker| {
            if worker == 1 {
                LAST.with(|local| *local.borrow_mut() = last.lock().unwrap().take());
            }
        };
        pool.broadcast(keep).unwrap();
        // The worker retires while its local still holds the pool.
        pool.resize(1).unwrap();
        drop(pool);
        drop(release);
        wait.recv().expect("never a self-join");
    });
}

#[test]
fn c4_a_task_of_a_strand_that_joins_itself_is_told() {
    soon(|| {
        let pool = pool(1);
        let strand = pool.group().limit(1).build().unwrap();
        let (send, receive) = mpsc::channel::<Handle<()>>();
        let (told, tell) = mpsc::channel();
        let handle = strand.submit(move || told.send(receive.recv().unwrap().join()).unwrap());
        send.send(handle).unwrap();
        assert!(matches!(tell.recv().unwrap(), Err(JoinError::WouldDeadlock)));
    });
}

#[test]
fn c4_tasks_that_hold_every_place_and_join_a_queued_one_are_told() {
    soon(|| {
        let pool = pool(2);
        let group = pool.group().limit(2).build().unwrap();
        let both = Barrier::new(2);
        let told = Mutex::new(Vec::new());
        group.scope(|s| {
            for _ in 0..2 {
                s.spawn(|| {
                    // Both places are taken before anything is queued.
                    both.wait();
                    let joined = s.submit(|| ()).join();
                    told.lock().unwrap().push(joined);
                });
            }
        });
        let told = told.into_inner().unwrap();
        assert_eq!(told.len(), 2);
        assert!(told.iter().all(Result::is_ok), "each lends its place to the task that it joins");
    });
}

#[test]
fn c4_a_task_that_a_join_has_run_is_not_queued_any_more() {
    soon(|| {
        let pool = pool(1);
        pool.pause();
        for i in 0..10 {
            assert_eq!(pool.submit(move || i).join().unwrap(), i);
        }
        assert_eq!((pool.counts().ran, pool.running(), pool.queued()), (10, 0, 0));
    });
}

#[test]
fn c4_tasks_that_joins_have_run_do_not_hold_up_wait_idle() {
    soon(|| {
        let pool = pool(1);
        pool.pause();
        assert_eq!(pool.submit(|| 1).join().unwrap(), 1);
        pool.wait_idle().expect("nothing is queued or running");
    });
}

#[test]
fn b4_a_handle_and_the_receipt_agree_on_why_a_task_never_ran() {
    soon(|| {
        let pool = pool(1);
        pool.pause();
        let token = CancelToken::new();
        let handle = pool.group().cancel(&token).build().unwrap().submit(|| ());
        token.cancel();
        let tasks = pool.shutdown_now().tasks;
        assert_eq!(tasks.cancelled + tasks.discarded, 1);
        match handle.join() {
            Err(JoinError::Cancelled) => assert_eq!((tasks.cancelled, tasks.discarded), (1, 0)),
            Err(JoinError::Discarded) => assert_eq!((tasks.cancelled, tasks.discarded), (0, 1)),
            other => panic!("{other:?}"),
        }
    });
}
