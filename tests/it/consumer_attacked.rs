//! Engines, codecs and handlers that break a consumer of messages, or would if it let them.

use crate::hooked::{Call, Hook, HookedSink, HookedSource, Step, adds_up, header, hook, numbers, texts};
use crate::{Bomb, quiet_panic, within};
use fanpool::connect::{CodecError, ConnectError, Consumer, Delivery, Encode, Memory, Message, Receipt, Utf8};
use fanpool::{FanOut, Retry};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

const SOON: Duration = Duration::from_millis(1);

fn echo(text: String) -> Result<String, String> {
    Ok(text)
}

/// Ten numbers, by way of these engines, to the queue `out`; what fails to `failed`.
fn run(source: Hook, sink: Hook, letters: Hook) -> (Memory, Receipt) {
    let broker = Memory::new();
    numbers(&broker, "in", 0..10);
    let consumer = FanOut::builder(echo)
        .window(4)
        .consume(HookedSource(broker.source("in"), source), Utf8)
        .publish(HookedSink(broker.sink("out"), sink), Utf8)
        .dead_letter(HookedSink(broker.sink("failed"), letters))
        .reconnect(SOON, SOON)
        .start()
        .unwrap();
    let receipt = consumer.join();
    (broker, receipt)
}

fn fine() -> Hook {
    hook(|_| Step::Go)
}

#[test]
fn b2_a_source_whose_lag_panics_loses_no_message() {
    within(|| {
        let source = hook(|call| match call {
            Call::Lag => quiet_panic(Bomb),
            _ => Step::Go,
        });
        let (broker, receipt) = run(source, fine(), fine());
        adds_up(&receipt.counts);
        assert!(receipt.error.is_none(), "{receipt}");
        assert_eq!((receipt.counts.acknowledged, texts(&broker, "out").len()), (10, 10));
    });
}

#[test]
fn b2_a_sink_whose_name_panics_hangs_nobody() {
    within(|| {
        let late = || {
            let armed = AtomicBool::new(false);
            hook(move |call| match call {
                Call::OpenSink => {
                    armed.store(true, Ordering::SeqCst);
                    Step::Go
                }
                Call::Name if armed.load(Ordering::SeqCst) => quiet_panic("no name"),
                _ => Step::Go,
            })
        };
        let (broker, receipt) = run(fine(), late(), late());
        adds_up(&receipt.counts);
        assert_eq!((receipt.counts.acknowledged, texts(&broker, "out").len()), (10, 10));
    });
}

#[test]
fn b2_an_engine_whose_name_panics_is_refused_at_start() {
    let nameless = || {
        hook(|call| match call {
            Call::Name => quiet_panic("no name"),
            _ => Step::Go,
        })
    };
    for (source, sink) in [(nameless(), fine()), (fine(), nameless())] {
        let broker = Memory::new();
        let consumer = FanOut::builder(echo)
            .consume(HookedSource(broker.source("in"), source), Utf8)
            .dead_letter(HookedSink(broker.sink("failed"), sink))
            .start();
        assert!(matches!(consumer, Err(ConnectError::Refused { .. })), "{consumer:?}");
    }
}

struct Bombed(Bomb);

impl Encode<String> for Bombed {
    fn encode(&self, text: String, into: &mut Vec<Message>) -> Result<(), CodecError> {
        Utf8.encode(text, into)
    }
}

#[test]
fn b2_codecs_engines_and_handlers_whose_drop_panics_hang_nobody() {
    within(|| {
        let broker = Memory::new();
        numbers(&broker, "in", 0..10);
        let bomb = || {
            let bomb = Bomb;
            move |_: &Call<'_>| {
                let _ = &bomb;
            }
        };
        let hook = || {
            let bomb = bomb();
            hook(move |call| {
                bomb(&call);
                Step::Go
            })
        };
        let bomb = Bomb;
        let decode = move |delivery: &Delivery| {
            let _ = &bomb;
            std::str::from_utf8(delivery.message.payload()).map(str::to_owned).map_err(CodecError::new)
        };
        let consumer = FanOut::builder(echo)
            .consume(HookedSource(broker.source("in"), hook()), decode)
            .publish(HookedSink(broker.sink("out"), hook()), Bombed(Bomb))
            .dead_letter(HookedSink(broker.sink("failed"), hook()))
            .start()
            .unwrap();
        let receipt = consumer.join();
        adds_up(&receipt.counts);
        assert_eq!((receipt.counts.acknowledged, receipt.counts.published), (10, 10));
    });
}

/// Says when it is dropped, and panics.
struct Told(mpsc::Sender<()>);

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.0.send(());
        quiet_panic("dropped");
    }
}

#[test]
fn b7_a_consumer_dropped_by_its_handler_ends_even_if_the_handlers_drop_panics() {
    within(|| {
        let broker = Memory::new();
        let place: Arc<Mutex<Option<Consumer>>> = Arc::default();
        let (own, (told, tells)) = (place.clone(), mpsc::channel());
        let (closed, closes) = mpsc::channel();
        let bomb = Told(told);
        let closing = Mutex::new(closed);
        let source = hook(move |call| {
            if let Call::CloseReader = call {
                closing.lock().unwrap().send(()).unwrap();
            }
            Step::Go
        });
        let consumer = FanOut::builder(move |_: String| {
            let _ = &bomb;
            let consumer = own.lock().unwrap().take();
            drop(consumer);
            Ok::<_, String>(())
        })
        .workers(1)
        .consume(HookedSource(broker.source("in"), source), Utf8)
        .discard_failed()
        .start()
        .unwrap();
        *place.lock().unwrap() = Some(consumer);
        broker.send("in", Message::new("a"));
        tells.recv().unwrap();
        closes.recv().unwrap();
        assert_eq!((broker.in_hand("in"), broker.messages("in").len()), (0, 0));
    });
}

#[test]
fn b7_a_handler_may_join_or_shut_down_its_own_consumer() {
    for joins in [true, false] {
        within(move || {
            let broker = Memory::new();
            let place: Arc<Mutex<Option<Consumer>>> = Arc::default();
            let (own, (told, tells)) = (place.clone(), mpsc::channel());
            let (closed, closes) = mpsc::channel();
            let (told, closed) = (Mutex::new(told), Mutex::new(closed));
            let source = hook(move |call| {
                if let Call::CloseReader = call {
                    closed.lock().unwrap().send(()).unwrap();
                }
                Step::Go
            });
            let consumer = FanOut::builder(move |_: String| {
                if let Some(consumer) = own.lock().unwrap().take() {
                    let receipt = if joins { consumer.join() } else { consumer.shutdown(Duration::from_secs(3600)) };
                    told.lock().unwrap().send(receipt.counts).unwrap();
                }
                Ok::<_, String>(())
            })
            .consume(HookedSource(broker.source("in"), source), Utf8)
            .discard_failed()
            .start()
            .unwrap();
            *place.lock().unwrap() = Some(consumer);
            broker.send("in", Message::new("a"));
            let counts = tells.recv().unwrap();
            assert_eq!((counts.delivered, counts.in_hand), (1, 1), "what is so far");
            closes.recv().unwrap();
            assert_eq!((broker.in_hand("in"), broker.messages("in").len()), (0, 0), "it was acknowledged");
        });
    }
}

#[test]
fn b7_engines_and_codecs_may_end_their_own_consumer() {
    for place in 0..6 {
        for joins in [false, true] {
            within(move || {
                let broker = Memory::new();
                let slot: Arc<Mutex<Option<Consumer>>> = Arc::default();
                let own = slot.clone();
                let end = Arc::new(move |at: usize| {
                    let consumer = if at == place { own.lock().unwrap().take() } else { None };
                    if let Some(consumer) = consumer {
                        if joins { _ = consumer.join() } else { drop(consumer) }
                    }
                });
                let (closed, closes) = mpsc::channel();
                let closed = Mutex::new(closed);
                let (ends, at_decode, at_encode) = (end.clone(), end.clone(), end.clone());
                let source = hook(move |call| {
                    match call {
                        Call::Poll(_) => ends(0),
                        Call::Ack(_) => ends(1),
                        Call::CloseReader => closed.lock().unwrap().send(()).unwrap(),
                        _ => {}
                    }
                    Step::Go
                });
                let ends = end.clone();
                let sink = hook(move |call| {
                    match call {
                        Call::Publish(_) => ends(2),
                        Call::CloseSink => ends(5),
                        _ => {}
                    }
                    Step::Go
                });
                let consumer = FanOut::builder(echo)
                    .consume(HookedSource(broker.source("in"), source), move |delivery: &Delivery| {
                        at_decode(3);
                        Ok(String::from_utf8(delivery.message.payload().to_vec()).unwrap())
                    })
                    .publish(HookedSink(broker.sink("out"), sink), move |text: String| {
                        at_encode(4);
                        Ok(Message::new(text))
                    })
                    .discard_failed()
                    .start()
                    .unwrap();
                let control = consumer.control();
                *slot.lock().unwrap() = Some(consumer);
                broker.send("in", Message::new("a"));
                if place == 5 {
                    control.stop();
                }
                closes.recv().unwrap();
                assert!(slot.lock().unwrap().is_none());
                assert_eq!(broker.in_hand("in"), 0);
                assert_eq!(texts(&broker, "in").len() + texts(&broker, "out").len(), 1);
            });
        }
    }
}

#[test]
fn b1_an_error_that_panics_when_it_is_shown_or_dropped_is_buried() {
    struct Sour;
    impl std::fmt::Display for Sour {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("sour")?;
            quiet_panic("shown")
        }
    }
    impl Drop for Sour {
        fn drop(&mut self) {
            quiet_panic("dropped");
        }
    }
    within(|| {
        let broker = Memory::new();
        numbers(&broker, "in", 0..10);
        let consumer = FanOut::builder(|text: String| if text == "3" { Err(Sour) } else { Ok(Bomb) })
            .retry(Retry::fixed(Duration::ZERO).max_attempts(2))
            .consume(broker.source("in"), Utf8)
            .dead_letter(broker.sink("failed"))
            .start()
            .unwrap();
        let receipt = consumer.join();
        adds_up(&receipt.counts);
        assert!(receipt.error.is_none(), "{receipt}");
        assert_eq!((receipt.counts.acknowledged, receipt.counts.dead_lettered), (10, 1));
        let letter = &broker.messages("failed")[0];
        assert_eq!((header(letter, "fanpool-error"), header(letter, "fanpool-attempts")), ("sour".into(), "2".into()));
        assert_eq!(header(letter, "fanpool-history"), "1: sour\n2: sour");
    });
}
