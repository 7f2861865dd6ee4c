//! What every engine is held to: cases over a [`Broker`], in lists.
//!
//! `brokers::conformance!(fixture)` makes a test of each. The fixture is an expression of a broker or of a reference to one; it is
//! evaluated once a case. Cases run at once on one broker, each with queues of its own; those that stop it run alone.

#![allow(missing_docs, reason = "the name of a case says what it holds")]

pub mod burying;
pub mod consumer_outage;
mod consumers;
pub mod consuming;
pub mod content;
pub mod delivery;
pub mod ending;
pub mod lives;
pub mod model;
pub mod outage;
pub mod settling;
pub mod sharing;
mod support;

use crate::Broker;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{PoisonError, RwLock, mpsc};
use std::thread;

/// Cases hold it shared, those that stop the broker alone. Where it cannot be stopped nobody is alone.
static BROKER: RwLock<()> = RwLock::new(());

/// Runs one case on a broker; no other at the same time if it is to be alone.
///
/// On a thread that stays: a server that is bound to the thread that has started it, by `PR_SET_PDEATHSIG`, is there for other cases, too.
pub fn run<B: Broker>(case: fn(&dyn Broker), alone: bool, broker: impl FnOnce() -> B + Send + 'static) {
    let (done, end) = mpsc::channel();
    thread::spawn(move || {
        let _ = done.send(panic::catch_unwind(AssertUnwindSafe(|| turn(case, alone, &broker()))));
        loop {
            thread::park();
        }
    });
    if let Err(payload) = end.recv().unwrap() {
        panic::resume_unwind(payload);
    }
}

fn turn(case: fn(&dyn Broker), alone: bool, broker: &dyn Broker) {
    if alone && broker.stops() {
        let _turn = BROKER.write().unwrap_or_else(PoisonError::into_inner);
        case(broker);
    } else {
        let _turn = BROKER.read().unwrap_or_else(PoisonError::into_inner);
        case(broker);
    }
}

/// Lists of cases: a function of each list that runs all of it, and the macro that makes a test of each case.
macro_rules! lists {
    ($d:tt $($list:ident, alone: $alone:literal { $($case:ident)* })*) => {
        /// Every case of the lists, one after the other.
        pub fn all(broker: &dyn Broker) {
            $(all::$list(broker);)*
        }

        /// Every case of one list, one after the other.
        pub mod all {
            use crate::Broker;
            $(pub fn $list(broker: &dyn Broker) {
                $(super::turn(super::$list::$case, $alone, broker);)*
            })*
        }

        /// Makes a test of each case.
        #[macro_export]
        macro_rules! conformance {
            ($d broker:expr) => {
                $(mod $list {
                    #[allow(unused_imports)]
                    use super::*;
                    $(#[test]
                    fn $case() {
                        $crate::conformance::run($crate::conformance::$list::$case, $alone, || $d broker);
                    })*
                })*
            };
        }
    };
}

lists! { $
    delivery, alone: false {
        engines_say_their_name
        every_message_arrives_once
        many_messages_may_be_sent_in_one_call
        a_sink_that_is_given_nothing_sends_nothing
        messages_sent_before_a_source_opens_come
        what_was_in_the_vector_stays
        room_is_never_exceeded
        no_room_takes_nothing_and_loses_nothing
        a_source_that_waits_is_woken
        an_idle_source_waits_and_returns_by_its_deadline
        halves_work_on_two_threads
        lag_is_what_waits
    }
    settling, alone: false {
        acknowledged_messages_never_come_again
        acknowledged_messages_between_others_never_come_again
        what_a_closed_source_had_in_hand_comes_again
        i2_what_a_dropped_source_had_in_hand_comes_again
        what_is_handed_back_comes_again
        attempts_are_counted
        acknowledging_twice_counts_once
        settling_nothing_settles_nothing
        unknown_positions_settle_nothing
        i3_positions_of_another_session_settle_nothing
        i3_positions_of_an_ended_session_settle_nothing
        i3_a_stalled_source_and_its_heir_settle_each_message_once
        a_source_may_be_opened_again
        closing_twice_does_no_harm
        halves_may_be_dropped_without_closing
    }
    sharing, alone: false {
        two_sources_share_messages
        i3_sources_come_and_go
        one_source_keeps_the_order_of_keys
        sources_together_keep_the_order_of_keys
        what_comes_again_keeps_the_order_of_keys
        a_sink_keeps_its_order
        many_sinks_and_sources_at_once
    }
    content, alone: false {
        payloads_are_kept
        i4_an_empty_message_is_one
        keys_are_kept
        headers_are_kept
        i4_large_headers_are_kept
        i7_messages_of_other_clients_come
        others_can_read_what_a_sink_sent
        i4_a_message_that_is_too_large_is_named
        the_largest_message_is_accepted
    }
    outage, alone: true {
        i1_a_sink_is_lost_and_comes_back
        i1_a_source_cannot_be_opened_until_the_broker_is_back
        i1_a_source_goes_on_after_the_broker_was_away
        i1_a_source_that_waits_learns_that_the_broker_is_gone
        i1_a_settler_may_be_closed_again_after_the_broker_was_away
        i1_in_hand_during_an_outage_nothing_is_lost
        messages_outlive_the_broker
    }
    model, alone: false {
        random_sources_lose_nothing
    }
    consuming, alone: false {
        all_are_handled_and_their_results_are_sent
        nothing_is_acknowledged_before_it_is_handled
        the_window_bounds_what_is_in_hand
        keys_are_handled_in_order
        results_carry_the_trace_of_their_message
        two_consumers_share_messages
        i7_messages_of_other_programs_are_decoded
    }
    burying, alone: false {
        i4_what_fails_is_tried_again_and_then_buried
        i4_what_cannot_be_decoded_is_buried_without_a_call
        i4_messages_without_anything_are_handled
        i4_a_handler_that_panics_is_buried_with_its_message
        i4_poison_holds_up_nobody
        i4_a_result_that_is_refused_is_buried
        i4_what_is_delivered_too_often_is_buried_without_a_call
        i5_no_acknowledgement_without_the_sink_for_letters
        i5_no_acknowledgement_without_the_sink_for_results
        i5_a_consumer_ends_while_a_sink_is_away
        i5_a_sink_that_is_away_at_the_start_is_an_error
    }
    ending, alone: false {
        shutdown_finishes_what_is_in_hand
        shutdown_hands_back_what_was_not_started
        a_dropped_consumer_hands_back_what_was_not_started
        a_consumer_that_is_closed_ends
        a_service_that_is_stopped_ends_its_consumer
        a_paused_consumer_goes_on
    }
    consumer_outage, alone: true {
        i1_a_broker_that_is_away_at_the_start_is_an_error
        i1_a_consumer_may_wait_for_its_broker
        i1_a_consumer_goes_on_after_the_broker_was_away
        i1_what_is_in_hand_is_handled_while_the_broker_is_away
        i1_a_lost_broker_is_seen_in_health
        i1_a_consumer_ends_while_the_broker_is_away
    }
    lives, alone: true {
        i2_random_consumers_lose_nothing
    }
}
