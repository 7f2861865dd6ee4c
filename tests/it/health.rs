//! How pools and services are, and why.

use super::{pool, quiet_panic, within};
use fanpool::testing::ManualClock;
use fanpool::{BuildError, Elastic, FanOut, Health, Monitor, Pool, Reason, ResizeError, Rule, Status, Workers};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// A task that runs until the gate is dropped, and whether it has begun.
pub(crate) fn blocker() -> (impl FnOnce() + Send + 'static, Receiver<()>, Sender<()>) {
    let ((begin, begun), (open, gate)) = (mpsc::channel(), mpsc::channel());
    let task = move || {
        begin.send(()).unwrap();
        let _ = gate.recv();
    };
    (task, begun, open)
}

pub(crate) fn timed(workers: impl Into<Workers>, clock: &ManualClock) -> Pool {
    Pool::builder().workers(workers).clock(clock).build().unwrap()
}

/// Worker, name, item, and for how many seconds.
pub(crate) type Stuck<'a> = (Option<usize>, Option<&'a str>, Option<u64>, u64);

pub(crate) fn stuck(health: &Health) -> Vec<Stuck<'_>> {
    let stuck = |reason| match reason {
        &Reason::Stuck { worker, ref task, item, since, .. } => Some((worker, task.as_deref(), item, since.as_secs())),
        _ => None,
    };
    health.reasons().iter().filter_map(stuck).collect()
}

pub(crate) fn is_healthy(health: &Health) {
    assert_eq!((health.status(), health.reasons()), (Status::Healthy, &[][..]));
    assert!(health.is_live() && health.is_ready());
}

#[test]
fn a1_a_limit_of_zero_is_refused() {
    let refused = Pool::builder().stuck_after(Duration::ZERO).build().unwrap_err();
    assert_eq!(refused.to_string(), "stuck_after is 0; allowed is more than 0 seconds");
    let refused = FanOut::builder(|n: u8| Ok::<u8, ()>(n)).stuck_after(Duration::ZERO).start();
    assert!(matches!(refused, Err(BuildError::NotInRange { option: "stuck_after", .. })));
    let named = |rule: Rule| Monitor::builder().rule(rule).start().unwrap_err().to_string();
    let well = || None;
    assert_eq!(named(Rule::health("", well)), "rule \"\": name is missing");
    for rule in [Rule::health("a", well).above(1.0), Rule::health("a", well).rate()] {
        assert!(named(rule).ends_with("cannot be combined with this rule, which is about health"));
    }
}

#[test]
fn b6_a_task_that_blocks_for_ever_is_named_and_others_go_on() {
    within(|| {
        for workers in [Workers::Fixed(2), Workers::Elastic(Elastic::new(2, 2))] {
            let clock = ManualClock::new();
            let pool = timed(workers, &clock);
            let (task, begun, open) = blocker();
            pool.group().name("backup").build().unwrap().spawn(task).unwrap();
            begun.recv().unwrap();
            clock.advance(LIMIT - Duration::from_nanos(1));
            is_healthy(&pool.health());
            clock.advance(Duration::from_nanos(1));
            let health = pool.health();
            let [(Some(worker), Some("backup"), None, 30)] = stuck(&health)[..] else { panic!("{health}") };
            assert!(worker < 2);
            assert_eq!(health.status(), Status::Degraded);
            assert!(health.is_live() && health.is_ready());
            let (done, ended) = mpsc::channel();
            pool.spawn(move || done.send(()).unwrap()).unwrap();
            ended.recv().unwrap();
            clock.advance(12 * SECOND);
            assert_eq!(stuck(&pool.health()), [(Some(worker), Some("backup"), None, 42)]);
            drop(open);
            pool.wait_idle().unwrap();
            is_healthy(&pool.health());
        }
    });
}

#[test]
fn b6_one_that_blocks_after_others_is_named_within_two_checks() {
    within(|| {
        let clock = ManualClock::new();
        let pool = timed(1, &clock);
        let (task, begun, open) = blocker();
        pool.pause();
        let group = pool.group().name("nightly").limit(1).build().unwrap();
        (0..10).for_each(|_| group.spawn(|| ()).unwrap());
        group.spawn(move || fanpool::blocking(task)).unwrap();
        pool.resume();
        begun.recv().unwrap();
        clock.advance(LIMIT);
        // The first check after the limit, and the second.
        let _ = pool.health();
        clock.advance(LIMIT);
        let health = pool.health();
        assert!(matches!(stuck(&health)[..], [(Some(0), Some("nightly"), None, 30 | 60)]), "{health}");
        assert!(matches!(health.reasons()[0], Reason::Stuck { blocking: true, .. }));
        drop(open);
        pool.wait_idle().unwrap();
        is_healthy(&pool.health());
    });
}

#[test]
fn workers_that_run_many_tasks_are_never_stuck() {
    within(|| {
        let clock = ManualClock::new();
        let pool = timed(1, &clock);
        let group = pool.group().limit(1).build().unwrap();
        for _ in 0..100 {
            let (task, begun, open) = blocker();
            group.spawn(task).unwrap();
            begun.recv().unwrap();
            clock.advance(LIMIT / 2);
            is_healthy(&pool.health());
            drop(open);
        }
    });
}

#[test]
fn b6_a_pool_is_not_live_while_all_of_its_workers_are_stuck() {
    within(|| {
        let clock = ManualClock::new();
        let pool = timed(2, &clock);
        let blocked: Vec<_> = (0..2).map(|_| blocker()).collect();
        let mut gates = Vec::new();
        for (task, begun, open) in blocked {
            pool.spawn(task).unwrap();
            begun.recv().unwrap();
            gates.push(open);
        }
        clock.advance(LIMIT);
        let health = pool.health();
        assert_eq!((health.status(), health.is_live(), health.is_ready()), (Status::Unhealthy, false, false));
        assert_eq!(stuck(&health).len(), 2);
        pool.resize(3).unwrap();
        let health = pool.health();
        assert_eq!((health.status(), health.is_live(), health.is_ready()), (Status::Degraded, true, true));
        // Those that are told to leave cannot, and are named all the same.
        pool.resize(1).unwrap();
        let health = pool.health();
        assert_eq!((stuck(&health).len(), health.is_live()), (2, false), "worker 0 is stuck");
        drop(gates);
        pool.wait_idle().unwrap();
        is_healthy(&pool.health());
    });
}

#[test]
fn an_elastic_pool_with_room_for_a_worker_is_live() {
    within(|| {
        let clock = ManualClock::new();
        let pool = timed(Elastic::new(0, 2), &clock);
        is_healthy(&pool.health());
        let mut gates = Vec::new();
        for live in [true, false] {
            let (task, begun, open) = blocker();
            pool.spawn(task).unwrap();
            while begun.try_recv().is_err() {
                clock.advance(Duration::from_millis(10));
            }
            gates.push(open);
            clock.advance(LIMIT);
            assert_eq!(pool.health().is_live(), live);
        }
        drop(gates);
        pool.wait_idle().unwrap();
        is_healthy(&pool.health());
    });
}

#[test]
fn a_queue_that_only_grows_is_told_until_it_does_not() {
    within(|| {
        let clock = ManualClock::new();
        let pool = timed(1, &clock);
        let (task, begun, open) = blocker();
        pool.spawn(task).unwrap();
        begun.recv().unwrap();
        (0..100).for_each(|_| pool.spawn(|| ()).unwrap());
        for _ in 0..5 {
            // Any number of checks at one time is one.
            (0..10).for_each(|_| is_healthy(&pool.health()));
            pool.spawn(|| ()).unwrap();
            clock.advance(SECOND);
        }
        let health = pool.health();
        assert_eq!(health.reasons(), [Reason::QueueGrows { queued: 105, checks: 5 }]);
        assert_eq!((health.status(), health.is_live(), health.is_ready()), (Status::Degraded, true, false));
        clock.advance(SECOND);
        is_healthy(&pool.health());
        drop(open);
        pool.wait_idle().unwrap();
        is_healthy(&pool.health());
    });
}

#[test]
fn h1_workers_lost_by_a_hook_are_missing_until_fewer_are_asked_for() {
    let hook = |worker| {
        if worker == 2 {
            quiet_panic("no licence");
        }
    };
    let pool = Pool::builder().workers(1).on_start(hook).build().unwrap();
    is_healthy(&pool.health());
    assert!(matches!(pool.resize(3), Err(ResizeError::Build(BuildError::StartHook { .. }))));
    let health = pool.health();
    let [Reason::ThreadsMissing { workers: 2, wanted: 3, why: Some(why) }] = health.reasons() else {
        panic!("{health}")
    };
    assert!(why.contains("no licence"), "{why}");
    assert_eq!((health.status(), health.is_live(), health.is_ready()), (Status::Degraded, true, true));
    assert_eq!(pool.submit(|| 1).join().unwrap(), 1);
    pool.resize(2).unwrap();
    is_healthy(&pool.health());
}

#[test]
fn h1_a_refused_worker_of_an_elastic_pool_is_told_until_one_comes() {
    within(|| {
        let clock = ManualClock::new();
        let tries = Arc::new(AtomicUsize::new(0));
        let counted = tries.clone();
        let hook = move |_| {
            if counted.fetch_add(1, Ordering::SeqCst) == 0 {
                quiet_panic("no licence");
            }
        };
        let pool = Pool::builder().workers(Elastic::new(0, 1)).clock(&clock).on_start(hook).build().unwrap();
        pool.spawn(|| ()).unwrap();
        while tries.load(Ordering::SeqCst) == 0 || pool.workers() > 0 {
            std::thread::yield_now();
        }
        let health = pool.health();
        assert!(
            matches!(health.reasons(), [Reason::ThreadsMissing { workers: 0, wanted: 1, why: Some(_) }]),
            "{health}"
        );
        assert_eq!((health.status(), health.is_live(), health.is_ready()), (Status::Unhealthy, true, false));
        while pool.counts().ran == 0 {
            clock.advance(SECOND / 10);
        }
        is_healthy(&pool.health());
    });
}

#[test]
fn paused_and_closed_pools_are_not_ready() {
    let pool = pool(1);
    pool.pause();
    pool.spawn(|| ()).unwrap();
    let health = pool.health();
    assert_eq!(health.reasons(), [Reason::Paused]);
    assert!(health.is_live() && !health.is_ready());
    pool.close();
    assert_eq!(pool.health().reasons(), [Reason::Paused, Reason::Closed { left: 1 }]);
    pool.resume();
    pool.wait_idle().unwrap();
    assert_eq!(pool.health().reasons(), [Reason::Closed { left: 0 }]);
    let check = pool.health_check();
    pool.shutdown();
    assert_eq!(check.health().reasons(), [Reason::Closed { left: 0 }]);
    assert!(check.health().is_live());
}
