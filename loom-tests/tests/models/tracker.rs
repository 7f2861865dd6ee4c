//! Offsets: items that finish against commits, against the end of an assignment, and against the next one.

use super::model;
use fanpool::model::Tracker;
use std::sync::Arc;

#[test]
fn finish_against_revoke() {
    model(3, || {
        let tracker = Arc::new(Tracker::with(&[0, 2, 3]));
        let other = tracker.clone();
        let thread = loom::thread::spawn(move || [2, 0].map(|offset| other.finish(1, offset)));
        let last = tracker.revoke();
        let [second, first] = thread.join().unwrap();
        // Whatever was told to be in time is in what is committed last, unless something before it is not done.
        assert_eq!(last, first.then_some(3), "{second} {first}");
        assert!(second || !first, "what was late stays late");
        assert_eq!((tracker.committable(), tracker.outstanding()), (None, 0));
    });
}

#[test]
fn finish_against_commit() {
    model(3, || {
        let tracker = Arc::new(Tracker::with(&[0, 1, 2]));
        let other = tracker.clone();
        let thread = loom::thread::spawn(move || [1, 0, 2].map(|offset| other.finish(1, offset)));
        let mut done = 0;
        for _ in 0..2 {
            if let Some(commit) = tracker.committable() {
                assert!(commit.1 > done && commit.1 != 1, "offset 0 is finished after offset 1");
                done = commit.1;
                tracker.committed(commit);
                assert_eq!(tracker.outstanding(), 3 - done as usize);
            }
        }
        assert_eq!(thread.join().unwrap(), [true; 3]);
        // What finished between the question and the confirmation is committed by whoever asks next.
        assert_eq!(tracker.revoke(), (done < 3).then_some(3));
    });
}

#[test]
fn a_late_finish_against_the_next_assignment() {
    model(3, || {
        let tracker = Arc::new(Tracker::with(&[0, 1]));
        let other = tracker.clone();
        let thread = loom::thread::spawn(move || other.finish(1, 0));
        let last = tracker.revoke();
        tracker.assign(2, &[0, 1]);
        let in_time = thread.join().unwrap();
        assert_eq!(last, in_time.then_some(1));
        assert_eq!((tracker.committable(), tracker.outstanding()), (None, 2), "of the new session nothing is done");
        assert!(tracker.finish(2, 0) && tracker.finish(2, 1));
        assert_eq!(tracker.committable(), Some((2, 2)));
    });
}

#[test]
fn a_late_confirmation_against_the_next_assignment() {
    model(3, || {
        let tracker = Arc::new(Tracker::with(&[0, 1]));
        assert!(tracker.finish(1, 0));
        let commit = tracker.committable().unwrap();
        let other = tracker.clone();
        let thread = loom::thread::spawn(move || other.committed(commit));
        tracker.revoke();
        tracker.assign(2, &[0, 1]);
        thread.join().unwrap();
        assert_eq!(tracker.outstanding(), 2, "both are in hand, whatever was committed before");
        assert!(tracker.finish(2, 0));
    });
}
