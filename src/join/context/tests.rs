//! What a context does when nobody else is there.

use super::*;
use crate::group::Tally;
use crate::join::fork;
use crate::panics;

/// A pool without threads.
struct Nobody;

impl Host for Nobody {
    fn post(&self, _: Arc<TaskGroup>) {}
    fn nudge(&self) {}
    fn size(&self) -> usize {
        0
    }
    fn is_closed(&self) -> bool {
        false
    }
    fn count(&self, _: &Tally) {}
    fn refuse(&self) {}
    fn enter(&self) {}
    fn leave(&self) -> bool {
        false
    }
    fn quiet(&self) {}
    fn register(&self, _: &Arc<TaskGroup>) {}
    fn withdraw(&self, _: &Arc<TaskGroup>) {}
    fn inside(&self) {}
    fn outside(&self) {}
    fn is_inside(&self) -> bool {
        false
    }
    fn worker(&self) -> Option<usize> {
        None
    }
}

impl Clock for Nobody {
    fn wake(&self, _: &Arc<Forks>) {}
    fn is_forked(&self) -> bool {
        true
    }
}

#[test]
fn d5_a_lock_that_the_timer_held_when_the_process_was_forked_is_not_waited_for() {
    let forks = Forks::new(Arc::new(Nobody), Arc::new(Nobody));
    let held = forks.contexts.lock();
    assert_eq!(fork(&forks, || false, || fork(&forks, || false, || 1, || 2), || 3), ((1, 2), 3));
    drop(held);
    assert_eq!(fork(&forks, || false, || 1, || 2), (1, 2));
}

/// What happens if a beat is answered while the timer has taken every exposed node: there is nothing to promote, and
/// in particular nothing that is gone.
fn answer_a_beat(live: usize) {
    HERE.with(|here| {
        let context = here.context();
        let taken: Vec<_> = std::iter::from_fn(|| context.take_exposed()).collect();
        assert_eq!((taken.len(), here.exposed.get()), (live, live));
        here.promote();
        assert!(context.home.lock().is_none(), "something was promoted");
        for (slot, node) in context.exposed.iter().zip(taken) {
            slot.store(node.cast_mut(), Ordering::Release);
        }
    });
}

#[test]
fn a_beat_follows_no_node_that_is_gone() {
    let forks = Forks::new(Arc::new(Nobody), Arc::new(Nobody));
    // The last exposed node and a private one come and go, below two that stay.
    let third = |unwinds: bool| {
        let left = || {
            fork(&forks, || false, || (), || ());
            if unwinds {
                panics::resume(Box::new(()));
            }
        };
        let result = panics::catch(|| fork(&forks, || false, left, || answer_a_beat(LEVELS - 1)));
        assert_eq!(result.is_err(), unwinds);
        answer_a_beat(LEVELS - 1);
    };
    let second = || fork(&forks, || false, || [false, true, false].map(third), || ());
    fork(&forks, || false, second, || answer_a_beat(0));
    assert!(HERE.with(|here| here.pool.get().is_null()));
}
