//! How pools and services are, and why.

use super::{pool, quiet_panic, within};
use fanpool::testing::ManualClock;
use fanpool::{
    AlertState, BuildError, CircuitBreaker, Elastic, FanOut, Health, Monitor, Notifier, Pool, Reason, ResizeError,
    Route, Rule, Status, Workers,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(30);

/// A task that runs until the gate is dropped, and whether it has begun.
fn blocker() -> (impl FnOnce() + Send + 'static, Receiver<()>, Sender<()>) {
    let ((begin, begun), (open, gate)) = (mpsc::channel(), mpsc::channel());
    let task = move || {
        begin.send(()).unwrap();
        let _ = gate.recv();
    };
    (task, begun, open)
}

fn timed(workers: impl Into<Workers>, clock: &ManualClock) -> Pool {
    Pool::builder().workers(workers).clock(clock).build().unwrap()
}

/// Worker, name, item, and for how many seconds.
type Stuck<'a> = (Option<usize>, Option<&'a str>, Option<u64>, u64);

fn stuck(health: &Health) -> Vec<Stuck<'_>> {
    let stuck = |reason| match reason {
        &Reason::Stuck { worker, ref task, item, since, .. } => Some((worker, task.as_deref(), item, since.as_secs())),
        _ => None,
    };
    health.reasons().iter().filter_map(stuck).collect()
}

fn is_healthy(health: &Health) {
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

#[test]
fn b6_an_item_that_blocks_is_named_with_its_number_within_two_checks() {
    within(|| {
        let clock = ManualClock::new();
        let (open, gate) = mpsc::channel::<()>();
        let (begin, begun) = mpsc::channel();
        let gate = Mutex::new(gate);
        let handler = move |n: u32| {
            if n == 7 {
                begin.send(()).unwrap();
                let _ = gate.lock().unwrap().recv();
            }
            Ok::<u32, ()>(n)
        };
        let (input, output) = FanOut::builder(handler).workers(2).name("thumbs").clock(&clock).start().unwrap();
        let control = input.control();
        (0..20).for_each(|n| _ = input.send(n).unwrap());
        begun.recv().unwrap();
        while control.counts().finished < 19 {
            std::thread::yield_now();
        }
        is_healthy(&control.health());
        clock.advance(LIMIT);
        let health = control.health();
        assert!(matches!(stuck(&health)[..], [(Some(_), Some("thumbs"), Some(7), 30)]), "{health}");
        assert_eq!((health.status(), health.is_live(), health.is_ready()), (Status::Degraded, true, true));
        drop(open);
        drop(input);
        assert_eq!(output.count(), 20);
        assert_eq!(control.health().reasons(), [Reason::Closed { left: 0 }]);
    });
}

#[test]
fn b6_a_batch_that_blocks_is_named_with_its_first_number_and_its_lane() {
    within(|| {
        let (open, gate) = mpsc::channel::<()>();
        let (begin, begun) = mpsc::channel();
        let gate = Mutex::new(gate);
        let handler = move |items: Vec<u32>| {
            if items.contains(&5) {
                begin.send(()).unwrap();
                let _ = gate.lock().unwrap().recv();
            }
            items.into_iter().map(Ok::<u32, ()>).collect()
        };
        let builder = FanOut::builder_batch(2, 3600 * SECOND, handler).workers(2).route(Route::RoundRobin);
        // By the system's clock: policies, and with them another clock, are refused for batches.
        let (input, output) = builder.stuck_after(Duration::from_nanos(1)).start().unwrap();
        let control = input.control();
        // Two lanes in turns: the batches are 0 and 2, 1 and 3, 4 and 6, 5 and 7.
        (0..8).for_each(|n| _ = input.send(n).unwrap());
        begun.recv().unwrap();
        while control.counts().finished < 6 {
            std::thread::yield_now();
        }
        is_healthy(&control.health());
        let first = Instant::now();
        while first.elapsed().is_zero() {}
        let health = control.health();
        let [Reason::Stuck { item: Some(5), lane, worker, .. }] = health.reasons() else { panic!("{health}") };
        assert!(lane.is_some() && lane == worker, "each worker has its lane: {health}");
        drop((open, input));
        assert_eq!(output.count(), 8);
        assert_eq!(control.health().reasons(), [Reason::Closed { left: 0 }]);
    });
}

#[test]
fn a_service_is_not_live_while_all_of_its_handlers_are_stuck_and_others_on_the_pool_are() {
    within(|| {
        let clock = ManualClock::new();
        let (open, gate) = mpsc::channel::<()>();
        let (begin, begun) = mpsc::channel();
        let gate = Mutex::new(gate);
        let handler = move |n: u32| {
            begin.send(()).unwrap();
            let _ = gate.lock().unwrap().recv();
            Ok::<u32, ()>(n)
        };
        let shared = Arc::new(timed(2, &clock));
        let builder = FanOut::builder(handler).pool(shared.clone()).limit(1).name("slow").clock(&clock);
        let (slow, slow_output) = builder.start().unwrap();
        let other = FanOut::builder(|n: u32| Ok::<u32, ()>(n)).pool(shared.clone()).name("quick").clock(&clock);
        let (quick, mut quick_output) = other.start().unwrap();
        slow.send(1).unwrap();
        begun.recv().unwrap();
        for second in [0, 30] {
            quick.send(second).unwrap();
            quick_output.recv().unwrap();
            clock.advance(if second == 0 { Duration::ZERO } else { LIMIT });
            let (slow, quick) = (slow.control().health(), quick.control().health());
            assert_eq!((slow.is_live(), stuck(&slow).len()), (second == 0, usize::from(second > 0)));
            is_healthy(&quick);
        }
        // The other worker may not have come back from its item yet, by a clock that is faster than it.
        let health = shared.health();
        assert!(stuck(&health).iter().any(|stuck| matches!(stuck, (Some(_), Some("slow"), None, 30))), "{health}");
        drop((open, slow));
        assert_eq!(slow_output.count(), 1);
    });
}

#[test]
fn a_queue_of_a_service_that_only_grows_is_told() {
    within(|| {
        let clock = ManualClock::new();
        let (input, output) = FanOut::builder(|n: u32| Ok::<u32, ()>(n)).window(32).clock(&clock).start().unwrap();
        let control = input.control();
        // A growing queue is what a pause is for.
        control.pause();
        for n in 0..10 {
            input.send(n).unwrap();
            clock.advance(SECOND);
            assert_eq!(control.health().reasons(), [Reason::Paused]);
        }
        control.resume();
        drop(input);
        assert_eq!(output.count(), 10);
        // And one worker that is busy.
        let (open, gate) = mpsc::channel::<()>();
        let (begin, begun) = mpsc::channel();
        let gate = Mutex::new(gate);
        let handler = move |n: u32| {
            begin.send(()).unwrap();
            let _ = gate.lock().unwrap().recv();
            Ok::<u32, ()>(n)
        };
        let (input, output) = FanOut::builder(handler).workers(1).window(32).clock(&clock).start().unwrap();
        let control = input.control();
        input.send(0).unwrap();
        begun.recv().unwrap();
        (0..15).for_each(|n| _ = input.send(n).unwrap());
        for n in 0..5 {
            is_healthy(&control.health());
            input.send(n).unwrap();
            clock.advance(SECOND);
        }
        assert_eq!(control.health().reasons(), [Reason::QueueGrows { queued: 20, checks: 5 }]);
        assert!(!control.health().is_ready());
        clock.advance(SECOND);
        is_healthy(&control.health());
        drop((open, input));
        assert_eq!(output.count(), 21);
    });
}

#[test]
fn an_open_breaker_is_told_until_it_admits_a_call() {
    within(|| {
        let clock = ManualClock::new();
        let build = || CircuitBreaker::builder().minimum_calls(1).open_for(5 * SECOND).clock(&clock);
        let breaker = build().build().unwrap();
        let service = FanOut::builder(|n: u32| Ok::<u32, ()>(n)).breaker(breaker.clone()).clock(&clock);
        let (input, _output) = service.start().unwrap();
        let control = input.control();
        is_healthy(&control.health());
        breaker.admit().unwrap().failure();
        clock.advance(SECOND);
        let health = control.health();
        assert_eq!(health.reasons(), [Reason::BreakerOpen { open: 1, key: None, retry_after: 4 * SECOND }]);
        assert_eq!((health.status(), health.is_live(), health.is_ready()), (Status::Degraded, true, true));
        clock.advance(4 * SECOND);
        is_healthy(&control.health());
        // One for each key.
        let hosts = build().build_keyed(10).unwrap();
        let service = FanOut::builder(|n: u64| Ok::<u64, ()>(n)).breaker_by(hosts.clone(), |n| *n).clock(&clock);
        let (input, _output) = service.start().unwrap();
        hosts.get(3).admit().unwrap().failure();
        clock.advance(SECOND);
        hosts.get(4).admit().unwrap().failure();
        hosts.get(5).admit().unwrap().success();
        let health = input.control().health();
        assert_eq!(health.reasons(), [Reason::BreakerOpen { open: 2, key: Some(3), retry_after: 4 * SECOND }]);
        hosts.get(3).reset();
        clock.advance(5 * SECOND);
        is_healthy(&input.control().health());
    });
}

#[test]
fn a_collector_that_has_stopped_is_told_and_one_that_has_ended_is_not() {
    within(|| {
        let start = || FanOut::builder(|n: u32| Ok::<u32, ()>(n)).start().unwrap();
        let (input, output) = start();
        let control = input.control();
        let collector = output.for_each(|_| quiet_panic("full disk")).unwrap();
        input.send(1).unwrap();
        collector.join().unwrap_err();
        let health = control.health();
        assert!(matches!(health.reasons(), [Reason::CollectorStopped { .. }]), "{health}");
        assert_eq!((health.status(), health.is_live(), health.is_ready()), (Status::Unhealthy, true, false));
        // With outcomes that nobody took.
        let (input, output) = start();
        (0..3).for_each(|n| _ = input.send(n).unwrap());
        let control = input.control();
        while control.counts().finished < 3 {
            std::thread::yield_now();
        }
        drop(output);
        assert_eq!(control.health().reasons(), [Reason::CollectorStopped { lost: 3 }]);
        // As it should be, without and with a last look for the end.
        for whole in [false, true] {
            let (input, mut output) = start();
            let control = input.control();
            input.send(1).unwrap();
            drop(input);
            output.recv().unwrap();
            assert!(!whole || output.recv().is_err());
            drop(output);
            assert_eq!(control.health().reasons(), [Reason::Closed { left: 0 }]);
        }
    });
}

#[test]
fn a_full_window_that_nobody_takes_from_is_told_until_somebody_does() {
    within(|| {
        for ordered in [false, true] {
            let clock = ManualClock::new();
            let builder = FanOut::builder(|n: u32| Ok::<u32, ()>(n)).window(4).clock(&clock).stuck_after(5 * SECOND);
            let (input, mut output) = if ordered { builder.ordered() } else { builder }.start().unwrap();
            let control = input.control();
            (0..4).for_each(|n| _ = input.send(n).unwrap());
            while control.counts().finished < 4 {
                std::thread::yield_now();
            }
            is_healthy(&control.health());
            clock.advance(5 * SECOND);
            let health = control.health();
            assert_eq!(health.reasons(), [Reason::NotCollected { in_flight: 4, since: 5 * SECOND }]);
            assert_eq!((health.status(), health.is_live(), health.is_ready()), (Status::Degraded, true, false));
            output.recv().unwrap();
            is_healthy(&control.health());
        }
    });
}

#[test]
fn a_watchdog_is_told_once_of_each_stuck_task_and_once_that_it_is_over() {
    within(|| {
        let clock = ManualClock::new();
        let pool = timed(3, &clock);
        let check = pool.health_check();
        let (sender, alerts) = crossbeam_channel::unbounded();
        let rule = Rule::health("pool", move || check.health());
        let builder = Monitor::builder().rule(rule).notify(Notifier::sender(sender)).clock(&clock);
        let monitor = builder.every(SECOND).start().unwrap();
        let mut gates = Vec::new();
        for name in ["first", "second"] {
            let (task, begun, open) = blocker();
            pool.group().name(name).build().unwrap().spawn(task).unwrap();
            begun.recv().unwrap();
            gates.push(open);
            (0..10).for_each(|_| clock.advance(SECOND));
        }
        (0..30).for_each(|_| clock.advance(SECOND));
        assert_eq!(monitor.alerts().len(), 2);
        let told = |state: AlertState, wanted: &str, seconds: u64| {
            let alert: fanpool::Alert = alerts.try_recv().unwrap();
            let Some(Reason::Stuck { task, since, .. }) = &alert.reason else { panic!("{alert}") };
            assert_eq!((alert.state, task.as_deref(), since.as_secs()), (state, Some(wanted), seconds));
            assert!(alert.to_string().contains(wanted), "{alert}");
        };
        told(AlertState::Firing, "first", 30);
        told(AlertState::Firing, "second", 30);
        drop(gates);
        pool.wait_idle().unwrap();
        clock.advance(SECOND);
        told(AlertState::Resolved, "first", 50);
        told(AlertState::Resolved, "second", 40);
        (0..10).for_each(|_| clock.advance(SECOND));
        assert!(alerts.is_empty() && monitor.alerts().is_empty());
    });
}

#[test]
fn h4_a_health_callback_that_blocks_or_panics_harms_nobody() {
    within(|| {
        let clock = ManualClock::new();
        // This is not about stuck tasks: the clock goes faster than any worker.
        let pool = Pool::builder().workers(1).clock(&clock).stuck_after(3600 * SECOND).build().unwrap();
        let (open, gate) = mpsc::channel::<()>();
        let (begin, begun) = mpsc::channel();
        let blocks = Notifier::new(move |_| {
            let _ = begin.send(());
            let _ = gate.recv();
        });
        let panics = Notifier::new(|_| quiet_panic("no"));
        let (sender, alerts) = crossbeam_channel::unbounded();
        let check = pool.health_check();
        let other = pool.health_check();
        let monitor = Monitor::builder()
            .rule(Rule::health("breaks", || -> Health { quiet_panic("no") }))
            .rule(Rule::health("pool", move || check.health()))
            .rule(Rule::health("same", move || other.health()))
            .notify(blocks)
            .notify(panics)
            .notify(Notifier::sender(sender))
            .clock(&clock)
            .start()
            .unwrap();
        for round in 0..10 {
            pool.pause();
            clock.advance(10 * SECOND);
            let (done, ended) = mpsc::channel();
            pool.spawn(move || done.send(round).unwrap()).unwrap();
            pool.resume();
            assert_eq!(ended.recv(), Ok(round), "tasks go on");
            // Twice, since it is resolved after three seconds.
            (0..2).for_each(|_| clock.advance(10 * SECOND));
        }
        begun.recv().unwrap();
        let told: Vec<_> = alerts.try_iter().map(|alert: fanpool::Alert| (alert.rule, alert.state)).collect();
        let count = |rule: &str, state| told.iter().filter(|told| **told == (rule.to_owned(), state)).count();
        for rule in ["pool", "same"] {
            assert_eq!((count(rule, AlertState::Firing), count(rule, AlertState::Resolved)), (10, 10));
        }
        assert_eq!((count("breaks", AlertState::Broken), told.len()), (1, 41));
        // The fault is visible.
        let counts = monitor.counts();
        assert_eq!((counts.sample_panics, counts.notifiers[0].waiting), (30, 41));
        while monitor.counts().notifiers[1].panics < 41 {
            std::thread::yield_now();
        }
        drop(monitor);
        drop(open);
        is_healthy(&pool.health());
    });
}

#[test]
fn d2_a_watched_pool_ends_where_its_owner_drops_it() {
    within(|| {
        let clock = ManualClock::new();
        let pool = timed(1, &clock);
        let check = pool.health_check();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = seen.clone();
        let rule = Rule::health("pool", move || {
            let health = check.health();
            kept.lock().unwrap().push(health.reasons().len());
            health
        });
        let monitor = Monitor::builder().rule(rule).clock(&clock).start().unwrap();
        let (task, begun, open) = blocker();
        pool.spawn(task).unwrap();
        begun.recv().unwrap();
        let owner = std::thread::spawn(move || drop(pool));
        // The end waits for the task, and no look for the end.
        while monitor.alerts().is_empty() {
            clock.advance(SECOND);
        }
        clock.advance(LIMIT);
        let told: Vec<_> = monitor.alerts().into_iter().filter_map(|alert| alert.reason).collect();
        assert!(
            matches!(told[..], [Reason::Closed { .. }, Reason::Stuck { .. }] | [Reason::Stuck { .. }, ..]),
            "{told:?}"
        );
        assert!(!owner.is_finished());
        drop(open);
        owner.join().unwrap();
        clock.advance(SECOND);
        assert_eq!(seen.lock().unwrap().last(), Some(&1), "closed");
        // A rule that owns the last handle of a pool: whoever drops the monitor ends the pool.
        let pool = Arc::new(timed(1, &clock));
        let ran = Arc::new(AtomicUsize::new(0));
        for _ in 0..100 {
            let ran = ran.clone();
            pool.spawn(move || _ = ran.fetch_add(1, Ordering::SeqCst)).unwrap();
        }
        let owned = Monitor::builder().rule(Rule::health("pool", move || pool.health())).clock(&clock).start().unwrap();
        owned.check_now();
        drop(owned);
        assert_eq!(ran.load(Ordering::SeqCst), 100);
    });
}
