//! A lock that is held across a `join`, while the first half spawns a task that takes the same lock, later.
//!
//! **Why it hangs on rayon:** a thread that waits in `join` runs whatever it finds, and what it finds first is what was pushed last. So it runs the
//! task of the *outer* scope on its own stack, below the lock that it holds, and waits for itself. It needs one thread and no bad luck. Here, who waits runs
//! tasks of what it waits for, and no others: the task waits for its turn in the outer scope.

use crate::child::{Running, tell, way};
use std::sync::Mutex;

const NAME: &str = "lock::a_lock_held_across_a_join";

fn with_fanpool() {
    let pool = fanpool::Pool::builder().workers(1).build().unwrap();
    let log = Mutex::new(Vec::new());
    pool.scope(|outer| {
        outer.spawn(|| {
            let mut held = log.lock().unwrap();
            let later = || log.lock().unwrap().push("later");
            pool.join(|| outer.spawn(later), || tell("the other half"));
            held.push("first");
        });
    });
    assert_eq!(log.into_inner().unwrap(), ["first", "later"]);
}

fn with_rayon() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let log = Mutex::new(Vec::new());
    pool.scope(|outer| {
        outer.spawn(|outer| {
            let mut held = log.lock().unwrap();
            let later = |_: &rayon::Scope<'_>| {
                tell("the task, below the lock");
                log.lock().unwrap().push("later");
            };
            rayon::join(|| outer.spawn(later), || tell("the other half"));
            held.push("first");
        });
    });
}

#[test]
fn a_lock_held_across_a_join() {
    match way().as_deref() {
        Some("fanpool") => return with_fanpool(),
        Some(_) => return with_rayon(),
        None => {}
    }
    let ours = Running::start(NAME, "fanpool");
    assert_eq!(ours.told(), "the other half");
    ours.ends();
    let rayon = Running::start(NAME, "rayon");
    assert_eq!(rayon.told(), "the task, below the lock");
    rayon.hangs();
}
