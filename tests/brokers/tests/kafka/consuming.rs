//! One source: what it delivers, commits, and holds back.

use super::*;

on_both! {
    what_is_acknowledged_is_committed_and_comes_once
    i3_no_commit_passes_an_unfinished_offset
    a_slow_offset_stops_others_at_the_end_of_the_span
    i4_odd_messages_come_as_they_are
    i2_all_that_was_not_acknowledged_comes_to_the_next_source
    i7_a_header_whose_name_is_not_utf_8_is_left_out
    several_topics_are_partitions_of_one_source
    the_lag_is_what_was_not_delivered
    fifty_thousand_pass
}

fn what_is_acknowledged_is_committed_and_comes_once(cluster: &dyn Cluster) {
    cluster.create_with("t", 2);
    cluster.send("t", &numbers(0..100));
    let mut open = Open::new(cluster.member("t"), 100);
    let taken = open.take(100);
    assert_eq!(sorted(&taken), (0..100).collect::<Vec<_>>());
    assert!(taken.iter().all(|delivery| delivery.attempt == 1 && delivery.message.key().is_some()));
    for partition in 0..2 {
        let offsets = taken.iter().filter(|it| it.position.partition == partition).map(|it| it.position.offset);
        assert!(offsets.is_sorted());
    }
    assert_eq!(open.ack(&taken), 100);
    assert_eq!(open.ack(&taken), 0, "they are acknowledged");
    open.close();
    assert_eq!(cluster.committed("t").iter().sum::<u64>(), 100);
    let mut open = Open::new(cluster.member("t"), 100);
    cluster.send("t", &numbers(100..101));
    assert_eq!(sorted(&open.take(1)), [100]);
}

fn i3_no_commit_passes_an_unfinished_offset(cluster: &dyn Cluster) {
    cluster.create_with("t", 1);
    cluster.send("t", &numbers(0..40));
    let mut open = Open::new(cluster.member("t").commit_interval(Duration::ZERO), 40);
    let taken = open.take(40);
    // Any order will do in which the first comes late now and then.
    let mut order: Vec<usize> = (0..40).collect();
    order.sort_by_key(|at| (at * 17 + 5) % 40 / 4);
    let mut done = [false; 40];
    let mut committed = 0;
    for at in order {
        done[at] = true;
        let contiguous = done.iter().take_while(|done| **done).count() as u64;
        assert_eq!(open.ack(&taken[at..=at]), 1);
        let began = Instant::now();
        loop {
            let now = cluster.committed("t")[0];
            assert!(now <= contiguous && now >= committed, "{now} is committed, {contiguous} are done");
            committed = now;
            if now == contiguous {
                break;
            }
            assert!(began.elapsed() < PATIENCE);
        }
    }
    assert_eq!(committed, 40);
}

fn a_slow_offset_stops_others_at_the_end_of_the_span(cluster: &dyn Cluster) {
    cluster.create_with("t", 2);
    cluster.send("t", &numbers(0..200));
    let mut open = Open::new(cluster.member("t").span(30), 10);
    // Both spans are full: 30 of each partition.
    let mut taken = open.take(60);
    open.takes_none();
    let slow = taken.iter().position(|delivery| delivery.position.partition == 0).unwrap();
    let slow = taken.remove(slow);
    assert_eq!(open.ack(&taken), 59);
    // The other partition goes on; the one of the slow message stays.
    let others = open.take(30);
    assert!(others.iter().all(|delivery| delivery.position.partition != slow.position.partition));
    open.takes_none();
    assert_eq!(open.ack(std::slice::from_ref(&slow)), 1);
    let next = open.take(1);
    assert_eq!(next[0].position.partition, slow.position.partition);
    assert_eq!(next[0].position.offset, 30);
}

fn i4_odd_messages_come_as_they_are(cluster: &dyn Cluster) {
    cluster.create_with("t", 1);
    let huge = (0..200).fold(Message::new("huge").with_key(""), |message, at| {
        message.with_header(format!("header-{at}"), vec![at as u8; 200])
    });
    let odd = [Message::new(""), Message::new([0, 255, 128]).with_key([0, 1, 255]), huge];
    cluster.send("t", &odd);
    cluster.send_tombstone("t", "gone");
    let mut sink = cluster.kafka().sink("t");
    fanpool::connect::Sink::publish(&mut sink, &odd).unwrap();
    let mut open = Open::new(cluster.member("t"), 100);
    let taken: Vec<Message> = open.take(7).into_iter().map(|delivery| delivery.message).collect();
    assert_eq!(taken[..3], odd);
    assert_eq!(taken[3], Message::new("").with_key("gone"));
    assert_eq!(taken[4..], odd);
}

fn i2_all_that_was_not_acknowledged_comes_to_the_next_source(cluster: &dyn Cluster) {
    cluster.create_with("t", 1);
    cluster.send("t", &numbers(0..20));
    let mut open = Open::new(cluster.member("t"), 20);
    let taken = open.take(20);
    assert_eq!(open.ack(&taken[..5]) + open.ack(&taken[10..]), 15);
    let back = [taken[5].position, taken[6].position];
    assert_eq!((open.settler.nack(&back).unwrap(), open.settler.ack(&back).unwrap()), (2, 0));
    open.close();
    assert_eq!(cluster.committed("t"), [5]);
    // This one is gone without a word.
    let mut open = Open::new(cluster.member("t"), 20);
    assert_eq!(sorted(&open.take(15)), (5..20).collect::<Vec<_>>());
    drop(open);
    let mut open = Open::new(cluster.member("t"), 20);
    let taken = open.take(15);
    assert_eq!(sorted(&taken), (5..20).collect::<Vec<_>>());
    assert_eq!(open.ack(&taken), 15);
    open.close();
    assert_eq!(cluster.committed("t"), [20]);
}

fn i7_a_header_whose_name_is_not_utf_8_is_left_out(cluster: &dyn Cluster) {
    cluster.create_with("t", 1);
    cluster.send_odd_header("t");
    let mut open = Open::new(cluster.member("t"), 1);
    let taken = open.take(1);
    assert_eq!(taken[0].message, Message::new("odd").with_header("good", "x"));
    assert_eq!(open.ack(&taken), 1);
}

fn several_topics_are_partitions_of_one_source(cluster: &dyn Cluster) {
    for (topic, range) in [("t", 0..50), ("u", 50..100)] {
        cluster.create_with(topic, 2);
        cluster.send(topic, &numbers(range));
    }
    let mut open = Open::new(cluster.kafka().source(["t", "u"], "t-group"), 100);
    let taken = open.take(100);
    assert_eq!(sorted(&taken), (0..100).collect::<Vec<_>>());
    let mut partitions: Vec<u32> = taken.iter().map(|delivery| delivery.position.partition).collect();
    partitions.sort_unstable();
    partitions.dedup();
    assert_eq!(partitions, [0, 1, 2, 3]);
    assert_eq!(open.ack(&taken), 100);
    open.close();
    assert_eq!(cluster.committed("t").iter().sum::<u64>(), 50);
}

/// Not with Tansu, which is asked where the end is and tells something else.
#[test]
fn a_new_group_begins_at_the_end_if_it_is_told_to() {
    let mock = partition(50);
    let mut open = Open::new(mock.member("t").from_beginning(false), 100);
    // Where the end is, it asks once it has the partition: whatever is sent until then may or may not come.
    let (mut taken, mut sent, began) = (Vec::new(), 50, Instant::now());
    while taken.is_empty() {
        mock.send("t", &numbers(sent..sent + 1));
        sent += 1;
        taken = open.poll(100, Duration::from_millis(100));
        assert!(began.elapsed() < PATIENCE);
    }
    assert!(number(&taken[0].message) >= 50);
}

fn the_lag_is_what_was_not_delivered(cluster: &dyn Cluster) {
    cluster.create_with("t", 2);
    cluster.send("t", &numbers(0..50));
    let mut open = Open::new(cluster.member("t"), 20);
    open.take(10);
    let began = Instant::now();
    while open.reader.lag() != Some(40) {
        assert!(open.poll(0, Duration::from_millis(50)).is_empty());
        assert!(began.elapsed() < PATIENCE, "{:?}", open.reader.lag());
    }
}

fn fifty_thousand_pass(cluster: &dyn Cluster) {
    const ALL: usize = 50_000;
    cluster.create_with("t", 3);
    let mut sink = cluster.kafka().sink("t");
    let began = Instant::now();
    for batch in numbers(0..ALL).chunks(1_000) {
        fanpool::connect::Sink::publish(&mut sink, batch).unwrap();
    }
    println!("published in {:?}", began.elapsed());
    let mut open = Open::new(cluster.member("t"), 1_000);
    let mut seen = vec![0; ALL];
    let mut taken = open.take(1);
    let began = Instant::now();
    let mut left = ALL;
    while left > 0 {
        taken.iter().for_each(|delivery| seen[number(&delivery.message)] += 1);
        left -= taken.len();
        assert_eq!(open.ack(&taken), taken.len());
        taken = open.take(1.min(left));
        if left > 1 {
            taken.extend(open.poll(999, Duration::ZERO));
        }
        assert!(began.elapsed() < PATIENCE, "{left} are left");
    }
    println!("taken in {:?}", began.elapsed());
    assert!(seen.iter().all(|times| *times == 1));
    open.close();
    assert_eq!(cluster.committed("t").iter().sum::<u64>(), ALL as u64);
}
