//! Consumers of messages whose brokers are lost or refuse, and how they are ended.

use crate::consumer::{echo, even, until};
use crate::hooked::{Call, HookedSink, HookedSource, Step, adds_up, hook, lost, numbers, refused, texts};
use crate::{quiet_panic, within};
use fanpool::connect::{ConnectError, Memory, Message, Utf8};
use fanpool::{FanOut, OnError, Pool, Status};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

const SOON: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn i1_a_start_that_fails_at_any_step_leaves_nothing() {
    struct Kept(#[expect(dead_code, reason = "it is counted")] Arc<()>);
    for failing in 0..3 {
        for panics in [false, true] {
            let broker = Memory::new();
            let kept = Arc::new(());
            let hooks = |step: usize| {
                let kept = Kept(kept.clone());
                hook(move |call| {
                    let _ = &kept;
                    match call {
                        Call::OpenSink | Call::OpenSource if step == failing && panics => quiet_panic("planned"),
                        Call::OpenSink | Call::OpenSource if step == failing => Step::Fail(lost()),
                        _ => Step::Go,
                    }
                })
            };
            let handles = Kept(kept.clone());
            let work = move |text: String| {
                let _ = &handles;
                Ok::<_, String>(text)
            };
            let started = FanOut::builder(work)
                .consume(HookedSource(broker.source("in"), hooks(2)), Utf8)
                .publish(HookedSink(broker.sink("out"), hooks(0)), Utf8)
                .dead_letter(HookedSink(broker.sink("failed"), hooks(1)))
                .start();
            let error = started.unwrap_err();
            assert_eq!((error.is_transient(), error.to_string().starts_with("hooked: ")), (!panics, true), "{error}");
            // What any thread could use is gone.
            assert_eq!(Arc::strong_count(&kept), 1);
        }
    }
}

#[test]
fn i1_a_broker_that_is_away_at_the_start_is_an_error_or_is_waited_for() {
    within(|| {
        let broker = Memory::new();
        numbers(&broker, "in", 0..3);
        broker.set_down(true);
        let service = |broker: &Memory| {
            let service = FanOut::builder(echo).consume(broker.source("in"), Utf8).dead_letter(broker.sink("failed"));
            service.publish(broker.sink("out"), Utf8).reconnect(SOON, SOON)
        };
        assert!(matches!(service(&broker).start(), Err(ConnectError::Lost { .. })));
        let (tried, tries) = mpsc::channel();
        let tried = Mutex::new(tried);
        let sink = hook(move |call| {
            if let Call::OpenSink = call {
                let _ = tried.lock().unwrap().send(());
            }
            Step::Go
        });
        let waiting = service(&broker).publish(HookedSink(broker.sink("out"), sink), Utf8).wait_for_broker();
        let starter = std::thread::spawn(move || waiting.start());
        (0..3).for_each(|_| tries.recv().unwrap());
        broker.set_down(false);
        let receipt = starter.join().unwrap().unwrap().join();
        adds_up(&receipt.counts);
        assert_eq!((receipt.counts.acknowledged, receipt.counts.reconnects), (3, 0));
        // What it refuses is an error all the same.
        let sink = hook(|call| if let Call::OpenSink = call { Step::Fail(refused()) } else { Step::Go });
        let refused = service(&broker).publish(HookedSink(broker.sink("out"), sink), Utf8).wait_for_broker().start();
        assert!(matches!(refused, Err(ConnectError::Refused { .. })));
    });
}

#[test]
fn i1_a_source_that_is_lost_for_a_while_holds_up_nothing_in_hand() {
    within(|| {
        let broker = Memory::new();
        numbers(&broker, "in", 0..8);
        let down = Arc::new(AtomicBool::new(false));
        let (begun, begins) = mpsc::channel();
        let (open, gate) = mpsc::channel::<()>();
        let (begun, gate) = (Mutex::new(begun), Mutex::new(gate));
        let is_down = down.clone();
        let source = hook(move |call| match call {
            Call::Poll(_) if is_down.load(Ordering::SeqCst) => Step::Fail(lost()),
            _ => Step::Go,
        });
        let work = move |text: String| {
            begun.lock().unwrap().send(()).unwrap();
            let _ = gate.lock().unwrap().recv();
            Ok::<_, String>(text)
        };
        let consumer = FanOut::builder(work)
            .workers(1)
            .window(4)
            .consume(HookedSource(broker.source("in"), source), Utf8)
            .publish(broker.sink("out"), Utf8)
            .discard_failed()
            .reconnect(SOON, SOON)
            .unhealthy_after(Duration::ZERO)
            .start()
            .unwrap();
        begins.recv().unwrap();
        until(|| consumer.counts().in_hand == 4);
        down.store(true, Ordering::SeqCst);
        until(|| consumer.health().status() == Status::Unhealthy);
        assert!(consumer.health().to_string().contains("hooked, for taking messages"), "{}", consumer.health());
        assert!(consumer.health().is_live() && !consumer.health().is_ready());
        drop(open);
        until(|| consumer.counts().acknowledged == 4);
        assert_eq!(texts(&broker, "out"), ["0", "1", "2", "3"]);
        down.store(false, Ordering::SeqCst);
        let receipt = consumer.join();
        adds_up(&receipt.counts);
        assert_eq!((receipt.counts.acknowledged, receipt.counts.reconnects), (8, 1));
    });
}

#[test]
fn i5_while_a_sink_is_down_nothing_is_acknowledged_and_the_window_holds() {
    for letters_are_down in [false, true] {
        within(move || {
            let broker = Memory::new();
            numbers(&broker, "in", 0..40);
            let down = Arc::new(AtomicBool::new(true));
            let (tried, is_down) = (Arc::new(AtomicUsize::new(0)), down.clone());
            let (tries, polled) = (tried.clone(), Arc::new(AtomicUsize::new(0)));
            let polls = polled.clone();
            let sink = hook(move |call| match call {
                Call::Publish(_) if is_down.load(Ordering::SeqCst) => {
                    tries.fetch_add(1, Ordering::SeqCst);
                    Step::Fail(lost())
                }
                _ => Step::Go,
            });
            let source = hook(move |call| {
                if let Call::Poll(0) = call {
                    polls.fetch_add(1, Ordering::SeqCst);
                }
                Step::Go
            });
            let fine = hook(|_| Step::Go);
            let (out, failed) = if letters_are_down { (fine, sink) } else { (sink, fine) };
            let consumer = FanOut::builder(even)
                .ordered()
                .window(10)
                .consume(HookedSource(broker.source("in"), source), Utf8)
                .publish(HookedSink(broker.sink("out"), out), Utf8)
                .dead_letter(HookedSink(broker.sink("failed"), failed))
                .reconnect(SOON, SOON)
                .start()
                .unwrap();
            // It is tried again and again; the source is kept alive, and gives no more.
            until(|| tried.load(Ordering::SeqCst) > 20 && polled.load(Ordering::SeqCst) > 2);
            // A message is the broker's to count before it is ours.
            until(|| {
                let counts = consumer.counts();
                assert!(counts.in_hand <= 10);
                broker.in_hand("in") as u64 == counts.delivered - counts.acknowledged
            });
            let counts = consumer.counts();
            assert_eq!(consumer.health().status(), Status::Degraded);
            // 0 has a result, and 1 a letter.
            assert!(counts.acknowledged <= u64::from(letters_are_down), "{counts:?}");
            down.store(false, Ordering::SeqCst);
            let receipt = consumer.join();
            adds_up(&receipt.counts);
            assert_eq!(
                (receipt.counts.acknowledged, receipt.counts.published, receipt.counts.dead_lettered),
                (40, 20, 20)
            );
            assert_eq!((texts(&broker, "out").len(), texts(&broker, "failed").len()), (20, 20));
        });
    }
}

#[test]
fn i1_a_source_or_sink_that_refuses_everything_ends_the_consumer() {
    for refusing in 0..4 {
        within(move || {
            let broker = Memory::new();
            numbers(&broker, "in", 0..30);
            let hooks = |own: usize| {
                let calls = AtomicUsize::new(0);
                hook(move |call| match call {
                    Call::Poll(1..) if own == 0 && refusing == 0 && calls.fetch_add(1, Ordering::SeqCst) > 0 => {
                        Step::After(refused())
                    }
                    Call::Ack(_) if own == 0 && refusing == 1 => Step::Fail(refused()),
                    Call::Publish(_) if own == refusing => Step::Fail(refused()),
                    _ => Step::Go,
                })
            };
            let consumer = FanOut::builder(even)
                .window(5)
                .consume(HookedSource(broker.source("in"), hooks(0)), Utf8)
                .publish(HookedSink(broker.sink("out"), hooks(2)), Utf8)
                .dead_letter(HookedSink(broker.sink("failed"), hooks(3)))
                .start()
                .unwrap();
            let receipt = consumer.join();
            adds_up(&receipt.counts);
            assert!(matches!(receipt.error, Some(ConnectError::Refused { .. })), "{receipt}");
            assert_eq!(broker.in_hand("in"), 0);
            // What comes with the error is handled, too.
            if refusing == 0 {
                assert!(receipt.counts.delivered > 5, "{receipt}");
            }
            let all = [texts(&broker, "in"), texts(&broker, "out"), texts(&broker, "failed")].concat();
            assert!((0..30).all(|n| all.contains(&n.to_string())), "{all:?}");
        });
    }
}

#[test]
fn shutdown_finishes_what_is_in_hand_and_takes_no_more() {
    within(|| {
        let broker = Memory::new();
        (0..100).for_each(|n| broker.send("in", Message::new(n.to_string())));
        let consumer = FanOut::builder(even)
            .window(7)
            .consume(broker.source("in"), Utf8)
            .publish(broker.sink("out"), Utf8)
            .dead_letter(broker.sink("failed"))
            .start()
            .unwrap();
        until(|| consumer.counts().acknowledged > 0);
        let receipt = consumer.shutdown(HOUR);
        adds_up(&receipt.counts);
        assert_eq!(receipt.counts.acknowledged, receipt.counts.delivered, "{receipt}");
        let sent = texts(&broker, "out").len() + texts(&broker, "failed").len();
        assert_eq!((sent + texts(&broker, "in").len(), broker.in_hand("in")), (100, 0));
    });
}

#[test]
fn after_the_time_of_a_shutdown_what_was_not_started_is_handed_back() {
    within(|| {
        let broker = Memory::new();
        (0..20).for_each(|n| broker.send("in", Message::new(n.to_string())));
        let (begun, begins) = mpsc::channel();
        let (open, gate) = mpsc::channel::<()>();
        let (begun, gate) = (Mutex::new(begun), Mutex::new(gate));
        let work = move |text: String| {
            begun.lock().unwrap().send(()).unwrap();
            let _ = gate.lock().unwrap().recv();
            Ok::<_, String>(text)
        };
        let consumer = FanOut::builder(work)
            .workers(1)
            .window(5)
            .consume(broker.source("in"), Utf8)
            .publish(broker.sink("out"), Utf8)
            .discard_failed()
            .start()
            .unwrap();
        begins.recv().unwrap();
        until(|| consumer.counts().in_hand == 5);
        let control = consumer.control();
        until(|| control.counts().accepted == 5);
        let owner = std::thread::spawn(move || consumer.shutdown(SOON));
        // The time is over, and the handler runs on.
        until(|| control.counts().cancelled == 4);
        until(|| broker.messages("in").len() == 19);
        assert!(!owner.is_finished());
        drop(open);
        let receipt = owner.join().unwrap();
        adds_up(&receipt.counts);
        assert_eq!((receipt.counts.acknowledged, receipt.counts.handed_back), (1, 4));
        let left: Vec<_> = (1..20).map(|n| n.to_string()).collect();
        assert_eq!((texts(&broker, "out"), texts(&broker, "in")), (vec!["0".to_owned()], left), "in their old order");
    });
}

#[test]
fn i1_a_shutdown_is_not_held_up_by_brokers_that_are_down() {
    // The sink; the settler; all of it.
    for down in 0..3 {
        within(move || {
            let broker = Memory::new();
            (0..20).for_each(|n| broker.send("in", Message::new(n.to_string())));
            let hooks = |own: usize| {
                hook(move |call| match call {
                    Call::Publish(_) | Call::Ack(_) | Call::Nack | Call::CloseSettler if own == down => {
                        Step::Fail(lost())
                    }
                    _ => Step::Go,
                })
            };
            let consumer = FanOut::builder(echo)
                .window(5)
                .consume(HookedSource(broker.source("in"), hooks(1)), Utf8)
                .publish(HookedSink(broker.sink("out"), hooks(0)), Utf8)
                .discard_failed()
                .reconnect(SOON, HOUR)
                .start()
                .unwrap();
            until(|| consumer.counts().in_hand > 0);
            broker.set_down(down == 2);
            let receipt = consumer.shutdown(5 * SOON);
            broker.set_down(false);
            adds_up(&receipt.counts);
            assert!(receipt.error.is_none(), "{receipt}");
            match down {
                0 => assert_eq!(receipt.counts.handed_back, receipt.counts.delivered, "{receipt}"),
                1 => assert_eq!(receipt.counts.unsettled, receipt.counts.delivered, "{receipt}"),
                _ => {}
            }
            let all = [texts(&broker, "in"), texts(&broker, "out")].concat();
            assert!((0..20).all(|n| all.contains(&n.to_string())) && broker.in_hand("in") == 0);
        });
    }
}

#[test]
fn a_service_that_is_drained_stopped_or_fails_ends_its_consumer() {
    for way in 0..3 {
        within(move || {
            let broker = Memory::new();
            (0..20).for_each(|n| broker.send("in", Message::new(n.to_string())));
            let service = FanOut::builder(even).window(4).workers(1);
            let service = if way == 2 { service.on_error(OnError::FailFast) } else { service };
            let consumer = service
                .consume(broker.source("in"), Utf8)
                .publish(broker.sink("out"), Utf8)
                .dead_letter(broker.sink("failed"))
                .start()
                .unwrap();
            until(|| consumer.counts().acknowledged > 0);
            match way {
                0 => consumer.control().drain(),
                1 => _ = consumer.control().stop(),
                _ => {}
            }
            let receipt = consumer.join();
            adds_up(&receipt.counts);
            assert!(receipt.error.is_none(), "{receipt}");
            assert_eq!(broker.in_hand("in"), 0);
            let sent = texts(&broker, "out").len() + texts(&broker, "failed").len();
            assert_eq!(sent + texts(&broker, "in").len(), 20);
        });
    }
}

#[test]
fn a_paused_consumer_fills_its_window_and_hands_back_at_its_end() {
    within(|| {
        let broker = Memory::new();
        (0..20).for_each(|n| broker.send("in", Message::new(n.to_string())));
        let service = FanOut::builder(echo).window(6);
        let consumer = service.consume(Memory::new().source("none"), Utf8).discard_failed().start().unwrap();
        consumer.control().pause();
        drop(consumer);
        let (paused, pauses) = mpsc::channel::<()>();
        let gate = Mutex::new(pauses);
        let first = AtomicBool::new(true);
        // Not before the service is paused.
        let source = hook(move |call| {
            if let (Call::Poll(_), true) = (call, first.swap(false, Ordering::SeqCst)) {
                let _ = gate.lock().unwrap().recv();
            }
            Step::Go
        });
        let service = FanOut::builder(echo).window(6);
        let consumer =
            service.consume(HookedSource(broker.source("in"), source), Utf8).discard_failed().start().unwrap();
        consumer.control().pause();
        drop(paused);
        until(|| consumer.counts().in_hand == 6);
        let receipt = consumer.shutdown(SOON);
        adds_up(&receipt.counts);
        assert_eq!((receipt.counts.delivered, receipt.counts.handed_back), (6, 6));
        assert_eq!(broker.messages("in").len(), 20);
    });
}

#[test]
fn the_pool_of_a_consumer_may_be_shut_down_by_others() {
    within(|| {
        let broker = Memory::new();
        (0..50).for_each(|n| broker.send("in", Message::new(n.to_string())));
        let pool = Arc::new(Pool::new());
        let consumer = FanOut::builder(echo)
            .pool(pool.clone())
            .window(5)
            .consume(broker.source("in"), Utf8)
            .publish(broker.sink("out"), Utf8)
            .discard_failed()
            .start()
            .unwrap();
        until(|| consumer.counts().acknowledged > 0);
        pool.close();
        let receipt = consumer.shutdown(HOUR);
        adds_up(&receipt.counts);
        assert_eq!(texts(&broker, "out").len() + texts(&broker, "in").len(), 50);
    });
}
