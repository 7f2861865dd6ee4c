use super::{Commit, newest};

#[test]
fn the_newest_session_of_a_partition_is_committed() {
    let commit = |partition, session, next| Commit { partition, session, next, entries: 1 };
    // What is committed last of partitions that were taken away comes first.
    let mut batch = vec![commit(1, 3, 10), commit(2, 4, 5), commit(1, 6, 12), commit(0, 1, 7), commit(1, 8, 20)];
    newest(&mut batch);
    assert_eq!(batch, [commit(0, 1, 7), commit(1, 8, 20), commit(2, 4, 5)]);
}
