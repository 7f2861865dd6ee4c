//! What becomes of what is acknowledged, handed back, or neither.

use super::support::*;
use crate::Broker;
use fanpool::connect::{Delivery, Position};
use std::time::{Duration, Instant};

/// What is handed back, or not, comes again to a new source within what is promised; a source that was not told of has until then.
fn comes_again(broker: &dyn Broker, queue: &str, expected: &[usize]) -> (Member, Vec<Delivery>) {
    let start = Instant::now();
    let mut heir = Member::join(broker, queue, 100);
    let came = heir.take(expected.len());
    let (after, takeover) = (start.elapsed(), broker.promises().takeover);
    assert_eq!(numbers(&came), expected);
    assert!(after < takeover + PATIENCE / 4, "came after {after:?}, {takeover:?} is promised");
    (heir, came)
}

/// Nothing but these come; what should not come would have come with them.
fn nothing_else(broker: &dyn Broker, queue: &str, mut member: Member, markers: std::ops::Range<usize>) {
    send(broker, queue, markers.clone());
    let came = member.take(markers.len());
    assert_eq!(numbers(&came), markers.collect::<Vec<_>>());
    assert_eq!(member.ack(&came), came.len());
    all_acknowledged(broker, queue);
    assert!(member.poll(100, TURN).is_empty());
    member.close();
}

pub fn acknowledged_messages_never_come_again(broker: &dyn Broker) {
    let queue = queue(broker, "acked");
    send(broker, &queue, 0..20);
    let mut member = Member::join(broker, &queue, 20);
    let came = member.take(20);
    assert_eq!(member.ack(&came[..7]), 7);
    assert_eq!(member.ack(&came[7..]), 13);
    member.close();
    all_acknowledged(broker, &queue);
    nothing_else(broker, &queue, Member::join(broker, &queue, 100), 100..120);
}

pub fn acknowledged_messages_between_others_never_come_again(broker: &dyn Broker) {
    if !broker.acknowledges_each() {
        return;
    }
    let queue = queue(broker, "between");
    send(broker, &queue, 0..20);
    let mut member = Member::join(broker, &queue, 20);
    let came = member.take(20);
    let (even, odd): (Vec<_>, Vec<_>) = came.into_iter().partition(|delivery| number(&delivery.message) % 2 == 0);
    assert_eq!(member.ack(&even), 10);
    member.close();
    eventually("the broker has counted", || broker.unacknowledged(&queue) == 10);
    let (mut heir, came) = comes_again(broker, &queue, &numbers(&odd));
    assert_eq!(heir.ack(&came), 10);
    nothing_else(broker, &queue, heir, 100..120);
}

pub fn what_a_closed_source_had_in_hand_comes_again(broker: &dyn Broker) {
    let queue = queue(broker, "closed");
    send(broker, &queue, 0..10);
    let mut member = Member::join(broker, &queue, 10);
    member.take(10);
    member.close();
    let (mut heir, came) = comes_again(broker, &queue, &(0..10).collect::<Vec<_>>());
    assert_eq!(heir.ack(&came), 10);
    nothing_else(broker, &queue, heir, 100..120);
}

pub fn i2_what_a_dropped_source_had_in_hand_comes_again(broker: &dyn Broker) {
    let queue = queue(broker, "dropped");
    send(broker, &queue, 0..10);
    let mut member = Member::join(broker, &queue, 10);
    member.take(10);
    drop(member);
    let (mut heir, came) = comes_again(broker, &queue, &(0..10).collect::<Vec<_>>());
    assert_eq!(heir.ack(&came), 10);
    nothing_else(broker, &queue, heir, 100..120);
}

pub fn what_is_handed_back_comes_again(broker: &dyn Broker) {
    let queue = queue(broker, "back");
    send(broker, &queue, 0..10);
    let mut member = Member::join(broker, &queue, 100);
    let came = member.take(10);
    let (back, kept): (Vec<_>, Vec<_>) = came.into_iter().partition(|delivery| number(&delivery.message) >= 6);
    assert_eq!(member.nack(&back), 4);
    // They are not in hand any more.
    assert_eq!(member.ack(&back), 0);
    assert_eq!(member.nack(&back), 0);
    assert_eq!(member.ack(&kept), 6);
    let (mut holder, again) = if broker.promises().returns_at_once {
        let again = member.take(4);
        (member, again)
    } else {
        member.close();
        comes_again(broker, &queue, &[6, 7, 8, 9])
    };
    assert_eq!(numbers(&again), [6, 7, 8, 9]);
    assert_eq!(holder.ack(&again), 4);
    nothing_else(broker, &queue, holder, 100..120);
}

pub fn attempts_are_counted(broker: &dyn Broker) {
    let queue = queue(broker, "attempts");
    let promises = broker.promises();
    send(broker, &queue, 0..3);
    let mut member = Member::join(broker, &queue, 10);
    for attempt in 1..=4 {
        let came = member.take(3);
        for delivery in &came {
            if promises.counts_attempts {
                assert_eq!((delivery.attempt, delivery.is_redelivered()), (attempt, attempt > 1));
            }
            assert!(delivery.attempt >= 1);
        }
        match attempt {
            4 => assert_eq!(member.ack(&came), 3),
            // Left in hand: what is handed back at once may be on its way to this source again, which would count.
            2 => {}
            _ => assert_eq!(member.nack(&came), 3),
        }
        if attempt == 2 || (attempt < 4 && !promises.returns_at_once) {
            member.close();
            member = Member::join(broker, &queue, 10);
        }
    }
    member.close();
    all_acknowledged(broker, &queue);
}

pub fn acknowledging_twice_counts_once(broker: &dyn Broker) {
    let queue = queue(broker, "twice");
    send(broker, &queue, 0..6);
    let mut member = Member::join(broker, &queue, 100);
    let came = member.take(6);
    let twice = [&came[..3], &came[..3]].concat();
    assert_eq!(member.ack(&twice), 3);
    assert_eq!(member.ack(&came[..3]), 0);
    assert_eq!(member.nack(&came[..3]), 0);
    assert_eq!(member.ack(&came), 3);
    nothing_else(broker, &queue, member, 100..120);
}

pub fn settling_nothing_settles_nothing(broker: &dyn Broker) {
    let queue = queue(broker, "none");
    send(broker, &queue, 0..1);
    let mut member = Member::join(broker, &queue, 10);
    assert_eq!(member.ack(&[]), 0);
    let came = member.take(1);
    assert_eq!((member.ack(&[]), member.nack(&[])), (0, 0));
    assert_eq!(member.ack(&came), 1);
    member.close();
}

pub fn unknown_positions_settle_nothing(broker: &dyn Broker) {
    let queue = queue(broker, "unknown");
    send(broker, &queue, 0..4);
    let mut member = Member::join(broker, &queue, 100);
    let came = member.take(4);
    let known = came[0].position;
    let unknown = [
        Position { offset: known.offset + 1_000_000, ..known },
        Position { offset: u64::MAX, ..known },
        Position { partition: known.partition + 77, offset: known.offset + 1_000_000, ..known },
        Position { partition: u32::MAX, offset: u64::MAX, ..known },
        Position { offset: known.offset + 1_000_000, part: u64::MAX, ..known },
        Position { session: known.session.wrapping_add(1_000_000), ..known },
        Position { session: u64::MAX, ..known },
        Position { partition: u32::MAX, offset: u64::MAX, part: u64::MAX, session: u64::MAX },
    ];
    for position in unknown {
        assert_eq!(member.settler.ack(&[position]).unwrap(), 0, "{position:?}");
        assert_eq!(member.settler.nack(&[position]).unwrap(), 0, "{position:?}");
    }
    // Among known ones they change nothing.
    assert_eq!(member.settler.ack(&[unknown[0], known, unknown[5]]).unwrap(), 1);
    assert_eq!(member.ack(&came), 3);
    nothing_else(broker, &queue, member, 100..120);
}

pub fn i3_positions_of_another_session_settle_nothing(broker: &dyn Broker) {
    let queue = queue(broker, "foreign");
    let (mut one, mut two) = (Member::join(broker, &queue, 100), Member::join(broker, &queue, 100));
    send(broker, &queue, 0..100);
    let taken = gather(&mut [&mut one, &mut two], 100);
    // Also of those that changed hands meanwhile: no two sources of a process have a session in common, whatever objects they are of.
    let of_one = positions(&taken[0]);
    assert!(!positions(&taken[1]).iter().any(|other| of_one.contains(other)), "{:?}", taken[1][0].position);
    assert_eq!((one.ack(&taken[1]), one.nack(&taken[1])), (0, 0));
    assert_eq!((two.ack(&taken[0]), two.nack(&taken[0])), (0, 0));
    one.ack(&taken[0]);
    two.ack(&taken[1]);
    two.close();
    drain(broker, &queue, one);
}

pub fn i3_positions_of_an_ended_session_settle_nothing(broker: &dyn Broker) {
    let queue = queue(broker, "late");
    send(broker, &queue, 0..8);
    let mut source = broker.source(&queue);
    let mut member = Member::open(&mut *source, 100);
    let earlier = member.take(8);
    member.close();
    let mut member = Member::open(&mut *source, 100);
    let again = member.take(8);
    assert_eq!((member.ack(&earlier), member.nack(&earlier)), (0, 0));
    assert_eq!(member.ack(&again), 8);
    nothing_else(broker, &queue, member, 100..120);
}

/// Whether a source that does not poll loses what it has in hand is up to the engine; but not both have it. Where a group is what decides, the
/// source may be out of it and not have heard of that: it counts what it acknowledges, and the broker does not.
pub fn i3_a_stalled_source_and_its_heir_settle_each_message_once(broker: &dyn Broker) {
    let queue = queue(broker, "stalled");
    send(broker, &queue, 0..10);
    let mut stalled = Member::join(broker, &queue, 100);
    let held = stalled.take(10);
    let mut heir = Member::join(broker, &queue, 100);
    let (mut came, start) = (Vec::new(), Instant::now());
    let until = (broker.promises().takeover * 2).min(PATIENCE / 2);
    while came.len() < 10 && start.elapsed() < until {
        came.extend(heir.poll(100, Duration::from_millis(100)));
    }
    let late = stalled.ack(&held);
    if broker.acknowledges_each() {
        assert_eq!(heir.ack(&came), came.len());
        assert!(late + came.len() <= 10, "{late} by the stalled one and {} by the heir", came.len());
    } else {
        // What it may acknowledge is committed by then.
        let _ = stalled.settler.close();
        let (open, mut has) = (broker.unacknowledged(&queue), numbers(&came));
        has.dedup();
        assert!(open >= has.len() as u64, "{open} are open, and the heir has {}", has.len());
        heir.ack(&came);
    }
    drop(stalled);
    drain(broker, &queue, heir);
}

pub fn a_source_may_be_opened_again(broker: &dyn Broker) {
    let queue = queue(broker, "again");
    let mut source = broker.source(&queue);
    for round in 0..3 {
        let mut member = Member::open(&mut *source, 10);
        send(broker, &queue, round * 5..round * 5 + 5);
        let came = member.take(5);
        assert_eq!(numbers(&came), (round * 5..round * 5 + 5).collect::<Vec<_>>());
        assert_eq!(member.ack(&came), 5);
        member.close();
        all_acknowledged(broker, &queue);
    }
}

pub fn closing_twice_does_no_harm(broker: &dyn Broker) {
    let queue = queue(broker, "closing");
    let mut sink = broker.sink(&queue);
    sink.open().unwrap();
    sink.publish(&(0..10).map(numbered).collect::<Vec<_>>()).unwrap();
    sink.close().unwrap();
    let _ = sink.close();
    drop(sink);
    let mut member = Member::join(broker, &queue, 10);
    let came = member.take(10);
    let (first, rest): (Vec<_>, Vec<_>) = came.into_iter().partition(|delivery| number(&delivery.message) < 5);
    assert_eq!(member.ack(&first), 5);
    member.settler.close().unwrap();
    let _ = member.settler.close();
    member.reader.close().unwrap();
    let _ = member.reader.close();
    drop(member);
    let (mut heir, came) = comes_again(broker, &queue, &numbers(&rest));
    assert_eq!(heir.ack(&came), 5);
    nothing_else(broker, &queue, heir, 100..120);
}

pub fn halves_may_be_dropped_without_closing(broker: &dyn Broker) {
    let queue = queue(broker, "halves-dropped");
    let mut sink = broker.sink(&queue);
    sink.open().unwrap();
    sink.publish(&(0..10).map(numbered).collect::<Vec<_>>()).unwrap();
    drop(sink);
    for reader_first in [true, false] {
        let Member { reader, settler } = Member::join(broker, &queue, 10);
        if reader_first {
            drop(reader);
            drop(settler);
        } else {
            drop(settler);
            drop(reader);
        }
    }
    drop(broker.sink(&queue));
    drop(broker.source(&queue));
    let (mut heir, came) = comes_again(broker, &queue, &(0..10).collect::<Vec<_>>());
    assert_eq!(heir.ack(&came), 10);
    all_acknowledged(broker, &queue);
}
