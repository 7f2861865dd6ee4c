//! Two sources of one group.

use super::*;
use std::collections::BTreeSet;

on_both! {
    i3_a_rebalance_while_items_are_in_hand
    i3_a_rebalance_that_takes_all
    i3_what_was_done_before_a_rebalance_does_not_come_again
    i3_what_a_source_acknowledges_that_was_put_out_stays_open
}

/// Opens a second one and polls both until it has got something; both may take all.
fn joined(cluster: &dyn Cluster, first: &mut Open) -> (Open, Vec<Delivery>) {
    let mut second = Open::new(cluster.member("t"), 1_000);
    let (mut taken, began) = (Vec::new(), Instant::now());
    while taken.is_empty() {
        assert!(first.poll(1_000, Duration::from_millis(20)).is_empty(), "it has all already");
        taken = second.poll(1_000, Duration::from_millis(20));
        assert!(began.elapsed() < PATIENCE);
    }
    (second, taken)
}

fn i3_a_rebalance_while_items_are_in_hand(cluster: &dyn Cluster) {
    cluster.create_with("t", 4);
    cluster.send("t", &numbers(0..400));
    let mut first = Open::new(cluster.member("t"), 1_000);
    let in_hand = first.take(400);
    let (mut second, mut moved) = joined(cluster, &mut first);
    // What the first one has still got, it can acknowledge; what has moved is late, and comes to the second.
    let own: BTreeSet<usize> = in_hand
        .iter()
        .filter(|delivery| first.settler.ack(&[delivery.position]).unwrap() == 1)
        .map(|delivery| number(&delivery.message))
        .collect();
    assert!(!own.is_empty() && own.len() < 400, "{} were in time", own.len());
    let began = Instant::now();
    while moved.len() + own.len() < 400 {
        assert!(first.poll(1_000, Duration::from_millis(20)).is_empty());
        moved.extend(second.poll(1_000, Duration::from_millis(20)));
        assert!(began.elapsed() < PATIENCE, "{} + {}", moved.len(), own.len());
    }
    let others: BTreeSet<usize> = sorted(&moved).into_iter().collect();
    assert_eq!((others.len(), moved.len()), (400 - own.len(), 400 - own.len()));
    assert!(own.is_disjoint(&others), "what moved was not acknowledged");
    assert_eq!(second.ack(&moved), moved.len());
    first.close();
    second.close();
    assert_eq!(cluster.committed("t").iter().sum::<u64>(), 400);
}

/// As groups do that share their topics with older clients.
fn i3_a_rebalance_that_takes_all(cluster: &dyn Cluster) {
    cluster.create_with("t", 4);
    cluster.send("t", &numbers(0..400));
    let source = || cluster.kafka().set("partition.assignment.strategy", "range").source(["t"], "t-group");
    let mut first = Open::new(source(), 1_000);
    let in_hand = first.take(400);
    assert_eq!(first.ack(&in_hand[..7]), 7);
    let done: BTreeSet<usize> = sorted(&in_hand[..7]).into_iter().collect();
    let mut second = Open::new(source(), 1_000);
    let (mut again, mut others, began) = (Vec::new(), Vec::new(), Instant::now());
    let distinct = |again: &[Delivery], others: &[Delivery]| -> BTreeSet<usize> {
        sorted(again).into_iter().chain(sorted(others)).collect()
    };
    while distinct(&again, &others).len() < 393 || again.is_empty() || others.is_empty() {
        again.extend(first.poll(1_000, Duration::from_millis(20)));
        others.extend(second.poll(1_000, Duration::from_millis(20)));
        assert!(began.elapsed() < PATIENCE, "{} + {}", again.len(), others.len());
    }
    // What is in a second session is late for those of the first, by the same source too.
    assert_eq!(first.ack(&in_hand), 0);
    let seen = distinct(&again, &others);
    assert_eq!(seen.len(), 393);
    assert!(seen.is_disjoint(&done), "they were committed as the partitions were taken");
    let came = again.len() + others.len();
    let settled = first.ack(&again) + second.ack(&others);
    // A group that is short of time is put together once more; what came before that is late, and comes again.
    assert!(settled == came || came > 393 && settled < came, "{settled} of {came}");
    while cluster.committed("t").iter().sum::<u64>() < 400 {
        for member in [&mut first, &mut second] {
            let more = member.poll(1_000, Duration::from_millis(20));
            assert!(came > 393 || more.is_empty(), "{more:?}");
            member.ack(&more);
        }
        assert!(began.elapsed() < PATIENCE, "{:?}", cluster.committed("t"));
    }
    assert_eq!(cluster.committed("t").iter().sum::<u64>(), 400);
    first.close();
    second.close();
}

/// A group that is short of time may be put together once more at the same moment. Then the commit is refused, and what was done comes again, as it
/// may; but not each time.
fn i3_what_was_done_before_a_rebalance_does_not_come_again(cluster: &dyn Cluster) {
    let kept = (0..5).any(|round| keeps_what_was_done(cluster, &format!("t{round}")));
    assert!(kept, "it came again each time");
}

fn keeps_what_was_done(cluster: &dyn Cluster, topic: &str) -> bool {
    cluster.create_with(topic, 2);
    cluster.send(topic, &numbers(0..100));
    // Without a rebalance nothing would be committed for an hour.
    let source = || cluster.member(topic).commit_interval(Duration::from_secs(3_600)).span(100_000);
    let mut first = Open::new(source(), 1_000);
    let taken = first.take(100);
    let (kept, done): (Vec<Delivery>, Vec<Delivery>) = taken.into_iter().partition(|it| it.position.offset >= 10);
    // The first commit is not put off; from the second on it is.
    assert_eq!(first.ack(&done[..1]), 1);
    wait_for_commits(cluster, topic, done[0].position.offset + 1);
    assert_eq!(first.ack(&done[1..]), done.len() - 1);
    let mut second = Open::new(source(), 1_000);
    let of = |partition: u32| -> BTreeSet<usize> {
        kept.iter().filter(|it| it.position.partition == partition).map(|it| number(&it.message)).collect()
    };
    let (one, other) = (of(0), of(1));
    let (mut moved, began) = (Vec::new(), Instant::now());
    loop {
        moved.extend(second.poll(1_000, Duration::from_millis(20)));
        let there: BTreeSet<usize> = sorted(&moved).into_iter().collect();
        if there.is_superset(&one) || there.is_superset(&other) {
            return moved.iter().all(|it| it.position.offset >= 10);
        }
        if first.poll(1_000, Duration::from_millis(20)).iter().any(|it| it.position.offset < 10) {
            return false;
        }
        assert!(began.elapsed() < PATIENCE, "{}", moved.len());
    }
}

/// It is put out of its group, and has not heard of it: what it acknowledges the cluster refuses. Once it has joined again, it knows.
fn i3_what_a_source_acknowledges_that_was_put_out_stays_open(cluster: &dyn Cluster) {
    cluster.create_with("t", 2);
    cluster.send("t", &numbers(0..20));
    let kafka = cluster.kafka().set("max.poll.interval.ms", "6000");
    let mut stalled = Open::new(kafka.source(["t"], "t-group"), 100);
    let held = stalled.take(20);
    let mut heir = Open::new(cluster.member("t"), 100);
    let came = heir.take(20);
    assert_eq!(sorted(&came), sorted(&held));
    let _ = stalled.settler.ack(&held[..10].iter().map(|it| it.position).collect::<Vec<_>>()).unwrap();
    let _ = stalled.settler.close();
    assert_eq!(cluster.committed("t").iter().sum::<u64>(), 0, "the heir has them");
    assert_eq!(heir.ack(&came), 20);
    if cluster.regroups() {
        // It joins again, in sessions that it has not had, and gets what was sent since.
        cluster.send("t", &numbers(20..60));
        let new = |it: &Delivery| held.iter().all(|old| old.position.session != it.position.session);
        let began = Instant::now();
        while !stalled.poll(100, Duration::from_millis(20)).iter().any(new) {
            heir.poll(100, Duration::from_millis(20));
            assert!(began.elapsed() < PATIENCE);
        }
        assert_eq!(stalled.ack(&held[10..]), 0);
    }
    drop(stalled);
    heir.close();
    assert_eq!(cluster.committed("t").iter().sum::<u64>(), 20, "what else came nobody has acknowledged");
}
