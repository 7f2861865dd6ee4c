//! Sinks that refuse.

use super::*;

#[test]
fn i4_a_result_that_is_refused_is_buried_and_the_others_are_sent() {
    for index in [0, 1, 5] {
        let broker = filled(100);
        let receipt = within({
            let broker = broker.clone();
            move || {
                let results = once(3, Fault::Message(index), |call| matches!(call, Call::Publish { .. }));
                let consumer = start(&broker, &none(), &results, &none());
                until(|| consumer.counts().acknowledged == 100);
                consumer.shutdown(PATIENCE)
            }
        });
        nothing_is_lost(&broker, &receipt, 100);
        let letters = broker.messages("letters");
        assert_eq!(letters.iter().filter(|letter| reason(letter) == "result-refused").count(), 1, "{index}");
        assert_eq!(letters.len(), 11, "{index}");
        assert_eq!(broker.messages("results").len(), 89, "{index}");
    }
}

#[test]
fn i4_a_letter_that_is_refused_once_is_sent_smaller() {
    within(|| {
        let broker = filled(100);
        broker.send("from", Message::new([0xff; 10_000]).with_header("own", "x"));
        let letters = once(1, Fault::Message(0), |call| matches!(call, Call::Publish { .. }));
        let consumer = start(&broker, &none(), &none(), &letters);
        until(|| consumer.counts().acknowledged == 101);
        is_accounted_for(&consumer.shutdown(PATIENCE));
        let truncated = |letter: &&Message| letter.header("fanpool-truncated").is_some();
        assert_eq!(broker.messages("letters").iter().filter(truncated).count(), 1);
        assert_eq!(broker.messages("letters").len(), 11);
    });
}

#[test]
fn i5_a_sink_for_letters_that_refuses_for_good_ends_the_consumer_and_nothing_is_lost() {
    for fault in [Fault::Message(0), Fault::Message(usize::MAX), Fault::Refused, Fault::Panic] {
        let broker = filled(100);
        let receipt = within({
            let broker = broker.clone();
            move || {
                let letters = Faults::new(move |call| matches!(call, Call::Publish { .. }).then_some(fault));
                start(&broker, &none(), &none(), &letters).join()
            }
        });
        refused(&receipt);
        if fault != Fault::Message(usize::MAX) {
            // With that index the sink says that it has stored them all.
            assert!(broker.messages("letters").is_empty());
        }
        nothing_is_lost(&broker, &receipt, 100);
    }
}

#[test]
fn i5_a_sink_for_results_that_refuses_for_good_ends_the_consumer_and_nothing_is_lost() {
    for fault in [Fault::Refused, Fault::Panic] {
        let broker = filled(100);
        let receipt = within({
            let broker = broker.clone();
            move || {
                let results = once(3, fault, |call| matches!(call, Call::Publish { .. }));
                start(&broker, &none(), &results, &none()).join()
            }
        });
        refused(&receipt);
        nothing_is_lost(&broker, &receipt, 100);
    }
}
