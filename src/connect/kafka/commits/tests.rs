use super::{Commit, Commits, Desk, newest};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::time::Duration;

/// Settles with a committer that fails so first, and succeeds then; whether it was settled, and by how many commits.
fn settled(last: &[Commit], failure: RDKafkaErrorCode) -> (bool, usize) {
    let commits = Commits::new(Duration::from_secs(3_600));
    std::thread::scope(|s| {
        let committer = s.spawn(|| {
            let mut made = 0;
            while let Some((_, ticket)) = commits.next(None) {
                made += 1;
                let result = if made == 1 { Err(KafkaError::ConsumerCommit(failure)) } else { Ok(()) };
                commits.desk.lock().made(ticket, result);
                commits.changed.notify_all();
            }
            commits.desk.lock().ended = true;
            commits.changed.notify_all();
            made
        });
        let settled = commits.settle(last, None);
        commits.stop(None);
        (settled, committer.join().unwrap_or_default())
    })
}

#[test]
fn who_is_taken_partitions_from_does_not_wait_for_a_group_that_waits_for_it() {
    use RDKafkaErrorCode::{FencedInstanceId, IllegalGeneration, RebalanceInProgress, UnknownMemberId};
    let last = [Commit { partition: 0, session: 1, next: 7, entries: 1 }];
    for failure in [FencedInstanceId, IllegalGeneration, RebalanceInProgress, UnknownMemberId] {
        assert_eq!(settled(&last, failure), (false, 1), "{failure}");
    }
    assert_eq!(settled(&last, RDKafkaErrorCode::RequestTimedOut), (true, 2));
    assert_eq!(settled(&[], RebalanceInProgress), (true, 2), "without anything to give away it joins again meanwhile");
}

#[test]
fn the_newest_session_of_a_partition_is_committed() {
    let commit = |partition, session, next| Commit { partition, session, next, entries: 1 };
    // What is committed last of partitions that were taken away comes first.
    let mut batch = vec![commit(1, 3, 10), commit(2, 4, 5), commit(1, 6, 12), commit(0, 1, 7), commit(1, 8, 20)];
    newest(&mut batch);
    assert_eq!(batch, [commit(0, 1, 7), commit(1, 8, 20), commit(2, 4, 5)]);
}

#[test]
fn a_commit_that_failed_is_not_taken_for_the_next_one() {
    let mut desk = Desk { asked: 1, ..Desk::default() };
    assert!(!desk.is_settled(1));
    desk.made(1, Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::RequestTimedOut)));
    // What is acknowledged meanwhile is committed before the holder of the ticket looks; what was last is not in it.
    desk.made(1, Ok(()));
    assert!(!desk.is_settled(1));
    desk.asked = 2;
    desk.made(2, Ok(()));
    assert!(desk.is_settled(2));
}
