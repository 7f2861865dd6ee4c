//! Errors, codecs and handlers that do what they should not.

use super::*;

#[derive(Debug)]
struct Rude;

impl fmt::Display for Rude {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        std::panic::resume_unwind(Box::new("no text"))
    }
}

impl Drop for Rude {
    fn drop(&mut self) {
        if !thread::panicking() {
            std::panic::resume_unwind(Box::new("no end"));
        }
    }
}

#[test]
fn i4_errors_whose_text_and_drop_panic_are_buried() {
    within(|| {
        let broker = filled(20);
        let consumer = FanOut::builder(|_: String| Err::<(), _>(Rude))
            .retry(Retry::fixed(SOON).max_attempts(2))
            .consume(broker.source("from"), Utf8)
            .dead_letter(broker.sink("letters"))
            .start()
            .unwrap();
        until(|| consumer.counts().acknowledged == 20);
        let receipt = consumer.shutdown(PATIENCE);
        assert!(receipt.error.is_none(), "{receipt}");
        nothing_is_lost(&broker, &receipt, 20);
    });
}

#[test]
fn i4_codecs_that_fail_and_panic_bury_their_message() {
    within(|| {
        let broker = filled(40);
        let decode = |delivery: &fanpool::connect::Delivery| {
            let text = String::from_utf8_lossy(delivery.message.payload()).into_owned();
            match &*text {
                "1" => Err(CodecError::new("not one")),
                "2" => std::panic::resume_unwind(Box::new("not two")),
                _ => Ok(text),
            }
        };
        let encode = |text: String| match &*text {
            "3" => Err(CodecError::new("not three")),
            "4" => std::panic::resume_unwind(Box::new("not four")),
            _ => Ok(Message::new(text)),
        };
        let consumer = FanOut::builder(Ok::<String, String>)
            .consume(broker.source("from"), decode)
            .publish(broker.sink("results"), encode)
            .dead_letter(broker.sink("letters"))
            .start()
            .unwrap();
        until(|| consumer.counts().acknowledged == 40);
        nothing_is_lost(&broker, &consumer.shutdown(PATIENCE), 40);
        let mut reasons: Vec<_> = broker.messages("letters").iter().map(reason).collect();
        reasons.sort_unstable();
        assert_eq!(reasons, ["undecodable", "undecodable", "unencodable", "unencodable"]);
    });
}

/// The consumer is stopped and dropped by its own handlers.
#[test]
fn handlers_may_end_their_consumer() {
    for drops in [true, false] {
        within(move || {
            let broker = filled(100);
            let slot: Arc<std::sync::Mutex<Option<Consumer>>> = Arc::default();
            let (own, ended) = (slot.clone(), Arc::new(AtomicUsize::new(0)));
            let count = ended.clone();
            let builder = FanOut::builder(move |text: String| {
                if text == "50" {
                    until(|| own.lock().unwrap().is_some());
                    let consumer = own.lock().unwrap().take();
                    match consumer {
                        Some(consumer) if drops => drop(consumer),
                        Some(consumer) => {
                            consumer.control().stop();
                            *own.lock().unwrap() = Some(consumer);
                        }
                        None => {}
                    }
                    count.fetch_add(1, SeqCst);
                }
                Ok::<_, String>(text)
            });
            let builder: ConsumerBuilder<_, _> = builder.workers(2).window(16).consume(broker.source("from"), Utf8);
            let consumer =
                builder.publish(broker.sink("results"), Utf8).dead_letter(broker.sink("letters")).start().unwrap();
            *slot.lock().unwrap() = Some(consumer);
            until(|| ended.load(SeqCst) == 1);
            if !drops {
                let consumer = slot.lock().unwrap().take().unwrap();
                nothing_is_lost(&broker, &consumer.join(), 100);
            }
            until(|| broker.in_hand("from") == 0);
            until(|| broker.messages("from").len() + broker.messages("results").len() == 100);
        });
    }
}
