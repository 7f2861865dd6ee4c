//! Object pools whose `make`, `reset`, `check` and objects misbehave, whose guards are leaked, and which are gone too early.

use crate::object_pool::until_waiting;
use crate::{Bomb, Counted, quiet_panic, within};
use fanpool::{GetError, ObjectPool, Pool, Pooled};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;

/// An object whose `Drop` always panics, in an unwinding thread as well.
struct Loud;

impl Drop for Loud {
    fn drop(&mut self) {
        quiet_panic("dropped");
    }
}

#[test]
fn f9_make_that_fails_gives_its_place_back() {
    let calls = AtomicUsize::new(0);
    let pool = ObjectPool::builder(move || match calls.fetch_add(1, Ordering::Relaxed) {
        0 => Err("no route"),
        n => Ok(n),
    });
    let pool = pool.max(1).build().unwrap();
    let error = pool.get().unwrap_err();
    assert!(matches!(error, GetError::Make("no route")));
    let stats = pool.stats();
    assert_eq!((stats.failed, stats.made, stats.lent, stats.making), (1, 0, 0, 0));
    assert_eq!(*pool.try_get().unwrap(), 1);
}

#[test]
fn f9_make_that_panics_gives_its_place_back() {
    let calls = AtomicUsize::new(0);
    let pool = ObjectPool::new(1, move || {
        let n = calls.fetch_add(1, Ordering::Relaxed);
        if n == 0 { quiet_panic(7_i32) } else { n }
    });
    let pool = pool.unwrap();
    match pool.get() {
        Err(GetError::MakePanicked(panicked)) => assert_eq!(panicked.into_payload().downcast_ref(), Some(&7)),
        other => panic!("{other:?}"),
    }
    assert_eq!((pool.stats().failed, pool.stats().lent), (1, 0));
    assert_eq!(*pool.try_get().unwrap(), 1);
}

/// Two threads share one place; the first is inside of `make` when the second begins to wait, and then `fail` ends that `make`.
fn a_waiter_takes_over(fail: impl Fn() -> Result<usize, &'static str> + Send + Sync + 'static) {
    within(move || {
        let (let_go, gate) = mpsc::channel::<()>();
        let (entered, inside) = mpsc::channel::<()>();
        let (gate, calls) = (std::sync::Mutex::new(gate), AtomicUsize::new(0));
        let pool = ObjectPool::builder(move || {
            if calls.fetch_add(1, Ordering::Relaxed) > 0 {
                return Ok(1);
            }
            entered.send(()).unwrap();
            gate.lock().unwrap().recv().unwrap();
            fail()
        });
        let pool = pool.max(1).build().unwrap();
        thread::scope(|s| {
            let first = s.spawn(|| pool.get().map(|lent| *lent).is_err());
            inside.recv().unwrap();
            assert_eq!(pool.stats().making, 1);
            let second = s.spawn(|| pool.get().map(|lent| *lent));
            until_waiting(&pool, 1);
            let_go.send(()).unwrap();
            assert!(first.join().unwrap());
            assert_eq!(second.join().unwrap().unwrap(), 1);
        });
        assert_eq!((pool.stats().failed, pool.stats().made), (1, 1));
    });
}

#[test]
fn f9_a_make_that_fails_wakes_a_waiter() {
    a_waiter_takes_over(|| Err("fails"));
}

#[test]
fn f9_a_make_that_panics_wakes_a_waiter() {
    a_waiter_takes_over(|| quiet_panic("panics"));
}

#[test]
fn f9_each_of_those_who_wait_gets_the_error_of_a_make_of_its_own() {
    within(|| {
        let broken = Arc::new(AtomicBool::new(false));
        let flag = broken.clone();
        let pool = ObjectPool::builder(move || if flag.load(Ordering::SeqCst) { Err("down") } else { Ok(()) });
        let pool = pool.max(1).build().unwrap();
        let lent = pool.get().unwrap();
        broken.store(true, Ordering::SeqCst);
        thread::scope(|s| {
            let waiters: Vec<_> = (0..4).map(|_| s.spawn(|| pool.get().map(drop))).collect();
            until_waiting(&pool, 4);
            let () = Pooled::detach(lent);
            for waiter in waiters {
                assert!(matches!(waiter.join().unwrap(), Err(GetError::Make("down"))));
            }
        });
        assert_eq!(pool.stats().failed, 4);
    });
}

#[test]
fn f9_reset_that_panics_throws_the_object_out() {
    within(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let counter = drops.clone();
        let pool = ObjectPool::builder(move || Ok::<_, ()>(Counted(counter.clone())));
        let pool = pool.max(1).reset(|_| quiet_panic(Bomb)).build().unwrap();
        let lent = pool.get().unwrap();
        thread::scope(|s| {
            let waiter = s.spawn(|| pool.get().map(drop).is_ok());
            until_waiting(&pool, 1);
            assert!(catch_unwind(AssertUnwindSafe(|| drop(lent))).is_ok(), "no panic comes out of `Drop`");
            assert!(waiter.join().unwrap());
        });
        let stats = pool.stats();
        assert_eq!((stats.made, stats.thrown_out, stats.idle, stats.lent), (2, 2, 0, 0));
        assert_eq!(drops.load(Ordering::SeqCst), 2);
        assert!(pool.try_get().is_ok());
    });
}

#[test]
fn f9_check_that_panics_throws_the_object_out() {
    let drops = Arc::new(AtomicUsize::new(0));
    let counter = drops.clone();
    let pool = ObjectPool::builder(move || Ok::<_, ()>(Counted(counter.clone())));
    let pool = pool.max(2).check(|_| quiet_panic(Bomb)).build().unwrap();
    drop((pool.get().unwrap(), pool.get().unwrap()));
    let lent = (pool.try_get().unwrap(), pool.try_get().unwrap());
    assert!(matches!(pool.try_get(), Err(GetError::Empty)));
    let stats = pool.stats();
    assert_eq!((stats.made, stats.thrown_out, stats.reused, stats.lent), (4, 2, 0, 2));
    assert_eq!(drops.load(Ordering::SeqCst), 2);
    drop(lent);
}

#[test]
fn f9_a_refused_object_whose_replacement_cannot_be_made_leaves_its_place_to_a_waiter() {
    within(|| {
        let calls = AtomicUsize::new(0);
        let pool = ObjectPool::builder(move || match calls.fetch_add(1, Ordering::Relaxed) {
            1 => Err("down"),
            n => Ok(n),
        });
        let (entered, inside) = mpsc::channel();
        let (let_go, gate) = mpsc::channel::<()>();
        let (entered, gate) = (std::sync::Mutex::new(entered), std::sync::Mutex::new(gate));
        let pool = pool.max(1).check(move |_| {
            entered.lock().unwrap().send(()).unwrap();
            gate.lock().unwrap().recv().unwrap();
            false
        });
        let pool = pool.build().unwrap();
        drop(pool.get().unwrap());
        thread::scope(|s| {
            let first = s.spawn(|| pool.get().map(drop));
            inside.recv().unwrap();
            let second = s.spawn(|| pool.get().map(|lent| *lent));
            until_waiting(&pool, 1);
            let_go.send(()).unwrap();
            assert!(matches!(first.join().unwrap(), Err(GetError::Make("down"))));
            assert_eq!(second.join().unwrap().unwrap(), 2);
        });
        let stats = pool.stats();
        assert_eq!((stats.made, stats.failed, stats.thrown_out, stats.idle, stats.reused), (2, 1, 1, 1, 0));
    });
}

#[test]
fn f9_a_leaked_guard_costs_its_place_only() {
    let (drops, captured) = (Arc::new(AtomicUsize::new(0)), Arc::new(()));
    let (counter, made, reset, check) = (drops.clone(), captured.clone(), captured.clone(), captured.clone());
    let pool = ObjectPool::builder(move || {
        let _ = &made;
        Ok::<_, ()>(Counted(counter.clone()))
    });
    let pool = pool.max(2).reset(move |_| _ = &reset).check(move |_| Arc::strong_count(&check) > 0).build().unwrap();
    std::mem::forget(pool.get().unwrap());
    let other = pool.get().unwrap();
    assert!(matches!(pool.try_get(), Err(GetError::Empty)));
    drop(other);
    for _ in 0..10 {
        drop(pool.try_get().unwrap());
    }
    assert_eq!((pool.stats().lent, pool.stats().idle, pool.stats().made), (1, 1, 2));
    drop(pool);
    assert_eq!(drops.load(Ordering::SeqCst), 1, "the idle one");
    assert_eq!(Arc::strong_count(&captured), 1, "what the closures held");
}

#[test]
fn f9_an_object_returned_after_the_pool_is_gone_is_dropped() {
    let (drops, resets) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counter, calls) = (drops.clone(), resets.clone());
    let pool = ObjectPool::builder(move || Ok::<_, ()>(Counted(counter.clone())));
    let pool = pool.max(3).reset(move |_| _ = calls.fetch_add(1, Ordering::SeqCst)).build().unwrap();
    let [idle, late, kept] = [(); 3].map(|()| pool.get().unwrap());
    drop(idle);
    drop(pool.clone());
    assert_eq!(drops.load(Ordering::SeqCst), 0, "a handle is left");
    drop(pool);
    assert_eq!(drops.load(Ordering::SeqCst), 1);
    thread::spawn(move || drop(late)).join().unwrap();
    assert_eq!(drops.load(Ordering::SeqCst), 2);
    drop(Pooled::detach(kept));
    assert_eq!((drops.load(Ordering::SeqCst), resets.load(Ordering::SeqCst)), (3, 1));
}

#[test]
fn f9_a_return_against_the_end_of_the_pool_drops_every_object_once() {
    within(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        for _ in 0..2_000 {
            let counter = drops.clone();
            let pool = ObjectPool::new(2, move || Counted(counter.clone())).unwrap();
            let lent = pool.get().unwrap();
            drop(pool.get().unwrap());
            let start = std::sync::Barrier::new(2);
            thread::scope(|s| {
                s.spawn(|| {
                    start.wait();
                    drop(lent);
                });
                start.wait();
                drop(pool);
            });
        }
        assert_eq!(drops.load(Ordering::SeqCst), 4_000);
    });
}

#[test]
fn b2_objects_and_captures_whose_drop_panics_spoil_nothing() {
    let (in_make, in_reset, in_check) = (Loud, Loud, Loud);
    let pool = ObjectPool::builder(move || {
        let _ = &in_make;
        Ok::<_, ()>(Loud)
    });
    let pool = pool.max(3).check(move |_| {
        let _ = &in_check;
        false
    });
    let refuse = Arc::new(AtomicBool::new(false));
    let flag = refuse.clone();
    let pool = pool.reset(move |_| {
        let _ = &in_reset;
        if flag.load(Ordering::SeqCst) {
            quiet_panic(Loud)
        }
    });
    let pool = pool.build().unwrap();
    let no_panic = |what: &mut dyn FnMut()| assert!(catch_unwind(AssertUnwindSafe(what)).is_ok());
    no_panic(&mut || drop(pool.get().unwrap()));
    // Refused by `check`, and another made; then spoiled by `reset`.
    no_panic(&mut || {
        let lent = pool.get().unwrap();
        refuse.store(true, Ordering::SeqCst);
        drop(lent);
    });
    assert_eq!((pool.stats().made, pool.stats().thrown_out, pool.stats().lent), (2, 2, 0));
    // While this thread unwinds already, which would abort the process if anything came out.
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _lent = pool.get().unwrap();
        quiet_panic("outer")
    }));
    assert_eq!(unwound.unwrap_err().downcast_ref(), Some(&"outer"));
    refuse.store(false, Ordering::SeqCst);
    let [idle, other, late] = [(); 3].map(|()| pool.get().unwrap());
    let (mut idle, mut other, mut late, mut pool) = (Some(idle), Some(other), Some(late), Some(pool));
    no_panic(&mut || drop(idle.take()));
    no_panic(&mut || drop(other.take()));
    no_panic(&mut || drop(pool.take()));
    no_panic(&mut || drop(late.take()));
}

#[test]
fn b1_an_object_of_a_task_that_panics_is_thrown_out() {
    let pool = ObjectPool::builder(|| Ok::<_, ()>(0)).max(1).reset(|n| *n = -1).build().unwrap();
    let mut lent = pool.get().unwrap();
    let task = Pool::new().submit(move || {
        *lent = 1;
        quiet_panic("half-done")
    });
    let ended: Result<(), _> = task.join();
    assert!(ended.is_err());
    assert_eq!((pool.stats().thrown_out, pool.stats().lent), (1, 0));
    assert_eq!(*pool.try_get().unwrap(), 0, "a new one");
}

static CALLED_BACK: OnceLock<ObjectPool<CallsBack, ()>> = OnceLock::new();

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Asks the pool for its counts, and, if no other callback is under way on this thread, for an object.
fn call_back() {
    let pool = CALLED_BACK.get().unwrap();
    let _ = pool.stats();
    if !INSIDE.replace(true) {
        drop(pool.try_get().unwrap());
        INSIDE.set(false);
    }
}

/// How often it was checked.
struct CallsBack(usize);

impl Drop for CallsBack {
    fn drop(&mut self) {
        call_back();
    }
}

#[test]
fn b7_make_reset_check_and_drop_may_use_the_pool() {
    within(|| {
        let make = || {
            call_back();
            Ok(CallsBack(0))
        };
        let pool = ObjectPool::builder(make).max(8).reset(|_| call_back()).check(|object| {
            call_back();
            object.0 += 1;
            object.0 % 3 != 0
        });
        let pool = CALLED_BACK.get_or_init(|| pool.build().unwrap());
        for _ in 0..20 {
            drop(pool.get().unwrap());
        }
        let stats = pool.stats();
        assert!(stats.thrown_out > 0 && stats.reused > 0, "{stats:?}");
        assert_eq!((stats.lent, stats.making), (0, 0));
        assert_eq!(stats.made, stats.idle as u64 + stats.thrown_out);
    });
}
