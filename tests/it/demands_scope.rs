//! What suites of other libraries demand of scopes, forks and failures; `../DEMANDS.md` has the table.

use super::{pool, quiet_panic, within};
use fanpool::{CancelToken, OnError, Pool, Scope};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};

fn add(count: &AtomicUsize) {
    count.fetch_add(1, Ordering::SeqCst);
}

/// The value is one that cannot leave its thread, so the body must have run here.
#[test]
fn a_scope_without_tasks_returns_what_its_body_does() {
    within(|| {
        let pool = pool(1);
        let here = std::thread::current().id();
        let all = || {
            assert_eq!(*pool.scope(|_| Rc::new(22)), 22);
            let group = pool.group().limit(1).build().unwrap();
            assert_eq!(*group.scope(|_| Rc::new(23)), 23);
            assert_eq!(
                *pool.try_scope(OnError::FailFast, |_: &fanpool::TryScope<'_, '_, ()>| Rc::new(24)).unwrap(),
                24
            );
            assert_eq!(pool.scope(|_| std::thread::current().id()), here);
        };
        all();
        pool.pause();
        all();
        pool.close();
        all();
        assert_eq!(pool.shutdown().tasks.ran, 0);
    });
}

struct Node {
    value: usize,
    children: Vec<Node>,
}

impl Node {
    /// A tree with nodes that have none to three children; numbered from `first` on.
    fn grow(depth: usize, first: usize) -> (Node, usize) {
        let (mut next, mut children) = (first + 1, Vec::new());
        let dice = super::map_property::SplitMix64(first as u64).next() as usize % 3;
        let wanted = if depth == 0 { 0 } else { dice + usize::from(depth > 4) };
        for _ in 0..wanted {
            let (child, end) = Node::grow(depth - 1, next);
            children.push(child);
            next = end;
        }
        (Node { value: first, children }, next)
    }

    fn change<'scope>(&'scope mut self, s: &'scope Scope<'scope, '_>) {
        let Node { value, children } = self;
        s.spawn(move || children.iter_mut().for_each(|child| s.spawn(move || child.change(s))));
        *value = *value * 2 + 1;
    }

    fn values(&self, into: &mut Vec<usize>) {
        into.push(self.value);
        self.children.iter().for_each(|child| child.values(into));
    }
}

#[test]
fn tasks_of_tasks_change_each_node_of_a_tree_once() {
    within(|| {
        let (mut tree, nodes) = Node::grow(12, 4);
        assert!(nodes > 1000, "{nodes}");
        for workers in [1, 3] {
            let mut before = Vec::new();
            tree.values(&mut before);
            pool(workers).scope(|s| tree.change(s));
            let mut after = Vec::new();
            tree.values(&mut after);
            assert!(after.into_iter().eq(before.into_iter().map(|value| value * 2 + 1)));
        }
    });
}

#[test]
fn a_panic_comes_out_of_every_depth() {
    within(|| {
        for workers in [1, 2] {
            let (pool, ran) = (pool(workers), AtomicUsize::new(0));
            let caught =
                |body: &dyn Fn()| *catch_unwind(AssertUnwindSafe(body)).unwrap_err().downcast::<&str>().unwrap();
            let of_body = || pool.scope(|_| quiet_panic("body"));
            assert_eq!(caught(&of_body), "body");
            // Tasks of tasks, with a sister at each level that runs all the same.
            let of_tasks = || {
                pool.scope(|s| {
                    s.spawn(|| {
                        s.spawn(|| {
                            s.spawn(|| quiet_panic("third"));
                            s.spawn(|| add(&ran));
                        });
                        s.spawn(|| add(&ran));
                    });
                    s.spawn(|| add(&ran));
                });
            };
            assert_eq!(caught(&of_tasks), "third");
            // Through scopes of scopes, a fork, a map and a strand: the same value.
            let strand = pool.group().limit(1).build().unwrap();
            let through = || {
                pool.scope(|s| {
                    s.spawn(|| {
                        strand.scope(|s| {
                            s.spawn(|| {
                                pool.join(
                                    || pool.map(0..9, |n| if n == 4 { quiet_panic("map") } else { add(&ran) }).count(),
                                    || add(&ran),
                                );
                            });
                        });
                    });
                });
            };
            assert_eq!(caught(&through), "map");
            // The first four items of the map, at least, and the other half unless it was not started.
            assert!((3 + 4..=3 + 8 + 1).contains(&ran.load(Ordering::SeqCst)), "{ran:?}");
            assert_eq!(pool.scope(|s| s.submit(|| 5).join().unwrap()), 5);
        }
    });
}

#[test]
fn a_body_goes_on_after_a_panic_of_its_task_and_spawns_more() {
    within(|| {
        let (pool, ran) = (pool(1), AtomicUsize::new(0));
        let caught = catch_unwind(AssertUnwindSafe(|| {
            pool.scope(|s| {
                s.spawn(|| add(&ran));
                s.spawn(|| quiet_panic("early"));
                while pool.counts().panicked == 0 {
                    s.submit(|| ()).join().unwrap();
                }
                (0..10).for_each(|_| s.spawn(|| add(&ran)));
                assert_eq!(s.submit(|| 6).join().unwrap(), 6);
                add(&ran);
            });
        }));
        assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"early"));
        assert_eq!(ran.into_inner(), 12);
    });
}

/// A pool and its groups keep nothing of a scope that failed.
#[test]
fn a_pool_and_a_group_are_used_again_after_every_kind_of_failure() {
    within(|| {
        let pool = pool(2);
        let groups = [pool.group().build().unwrap(), pool.group().limit(1).build().unwrap()];
        for round in 0..300 {
            let ran = AtomicUsize::new(0);
            for group in &groups {
                match round % 4 {
                    0 => drop(
                        catch_unwind(AssertUnwindSafe(|| group.scope(|s| s.spawn(|| quiet_panic(1))))).unwrap_err(),
                    ),
                    1 => drop(catch_unwind(AssertUnwindSafe(|| group.scope(|_| quiet_panic(2)))).unwrap_err()),
                    2 => _ = group.try_scope(OnError::FailFast, |s| s.spawn(|| Err::<(), _>(3))).unwrap_err(),
                    _ => drop(group.scope(|s| s.submit(|| quiet_panic(4)).join().map(|()| 4)).unwrap_err()),
                }
                group.scope(|s| (0..10).for_each(|_| s.spawn(|| add(&ran))));
            }
            assert_eq!(ran.into_inner(), 20, "{round}");
        }
        let tasks = pool.shutdown().tasks;
        // A failure by an error is a task that ran.
        assert_eq!((tasks.ran, tasks.panicked, tasks.cancelled), (300 * 20 + 75 * 2, 75 * 2 * 2, 0));
    });
}

#[test]
fn a_strand_starts_tasks_of_tasks_in_the_order_of_their_spawns() {
    within(|| {
        for workers in [1, 3] {
            let (pool, seen) = (pool(workers), Mutex::new(Vec::new()));
            let strand = pool.group().limit(1).build().unwrap();
            strand.scope(|s| {
                for i in 0..10 {
                    let seen = &seen;
                    s.spawn(move || (0..10).for_each(|j| s.spawn(move || seen.lock().unwrap().push(i * 10 + j))));
                }
            });
            assert!(std::mem::take(&mut *seen.lock().unwrap()).into_iter().eq(0..100));
            // One scope inside the other: the inner one ends before the next task of the outer one.
            let inner = pool.group().limit(1).build().unwrap();
            strand.scope(|s| {
                for i in 0..10 {
                    let (seen, inner) = (&seen, &inner);
                    s.spawn(move || {
                        inner.scope(|s| (0..10).for_each(|j| s.spawn(move || seen.lock().unwrap().push(i * 10 + j))));
                    });
                }
            });
            assert!(seen.into_inner().unwrap().into_iter().eq(0..100));
        }
    });
}

/// No worker starts anything, so only those who wait run tasks: each its own, and nothing of the scope around it.
#[test]
fn an_inner_scope_waits_for_its_own_tasks_and_runs_none_of_the_outer_one() {
    within(|| {
        let pool = pool(2);
        pool.pause();
        let (outside, inside) = (AtomicUsize::new(0), AtomicUsize::new(0));
        pool.scope(|outer| {
            outer.spawn(|| add(&outside));
            pool.scope(|inner| {
                for _ in 0..3 {
                    inner.spawn(|| {
                        add(&inside);
                        outer.spawn(|| add(&outside));
                    });
                    outer.spawn(|| add(&outside));
                }
            });
            assert_eq!((inside.load(Ordering::SeqCst), outside.load(Ordering::SeqCst)), (3, 0));
            outer.spawn(|| add(&outside));
        });
        assert_eq!((inside.into_inner(), outside.into_inner()), (3, 8));
    });
}

/// What a body borrows may be shorter-lived than what its tasks borrow.
#[test]
fn a_body_borrows_what_its_tasks_may_not() {
    fn each(pool: &Pool, counters: &[&AtomicUsize], left: &mut impl Iterator<Item = usize>) {
        pool.scope(|s| {
            for &counter in counters {
                let more = left.next().unwrap_or(0);
                s.spawn(move || _ = counter.fetch_add(more, Ordering::SeqCst));
            }
        });
    }
    within(|| {
        static FOR_EVER: AtomicUsize = AtomicUsize::new(0);
        let (pool, counter) = (pool(2), AtomicUsize::new(0));
        let mut numbers = 1..=100;
        each(&pool, &[&counter; 60], &mut numbers);
        each(&pool, &[&FOR_EVER; 40], &mut numbers);
        assert_eq!((counter.into_inner(), FOR_EVER.load(Ordering::SeqCst)), (1830, 5050 - 1830));
        assert_eq!(numbers.next(), None);
    });
}

fn sort(pool: &Pool, values: &mut [u32]) {
    if values.len() <= 1 {
        return;
    }
    let (mut low, last) = (0, values.len() - 1);
    values.swap(last / 2, last);
    for at in 0..last {
        if values[at] < values[last] {
            values.swap(at, low);
            low += 1;
        }
    }
    values.swap(low, last);
    let (left, right) = values.split_at_mut(low);
    pool.join(|| sort(pool, left), || sort(pool, &mut right[1..]));
}

#[test]
fn a_sort_by_forks_sorts_on_every_thread() {
    within(|| {
        let mut random = super::map_property::SplitMix64(7);
        for workers in [1, 2, 4] {
            let pool = Arc::new(pool(workers));
            let mut values: Vec<u32> = (0..20_000).map(|_| random.next() as u32).collect();
            let mut sorted = values.clone();
            sorted.sort_unstable();
            let (inner, mut other) = (pool.clone(), values.clone());
            let worker = pool.submit(move || {
                sort(&inner, &mut other);
                other
            });
            sort(&pool, &mut values);
            assert_eq!(values, sorted);
            assert_eq!(worker.join().unwrap(), sorted);
        }
    });
}

#[test]
fn a_running_task_sees_that_another_has_failed_and_ends_with_its_own_error() {
    within(|| {
        for panics in [false, true] {
            let (pool, both) = (pool(2), Barrier::new(2));
            let failures = pool
                .try_scope(OnError::FailFast, |s| {
                    let (sees, both) = (s.clone(), &both);
                    s.spawn(move || {
                        both.wait();
                        while !sees.has_failed() {
                            std::thread::yield_now();
                        }
                        Err("gave up")
                    });
                    s.spawn(move || {
                        both.wait();
                        if panics { quiet_panic("broken") } else { Err("broken") }
                    });
                })
                .unwrap_err();
            let errors = if panics { vec![(0, "gave up")] } else { vec![(0, "gave up"), (1, "broken")] };
            assert_eq!((failures.count(), failures.cancelled()), (2, 0));
            assert_eq!(failures.into_failed(), errors);
        }
    });
}

#[test]
fn a_task_that_runs_when_its_group_is_cancelled_ends_and_keeps_its_result() {
    within(|| {
        let (pool, token) = (pool(1), CancelToken::new());
        let group = pool.group().cancel(&token).build().unwrap();
        let (started, start) = mpsc::channel();
        let (release, stuck) = mpsc::channel::<()>();
        let ended = group.submit(|| "ended");
        let seen = token.clone();
        let running = group.submit(move || {
            started.send(()).unwrap();
            assert!(stuck.recv().is_err());
            seen.is_cancelled()
        });
        let waiting = group.submit(|| unreachable!("cancelled"));
        start.recv().unwrap();
        token.cancel();
        drop(release);
        assert!(running.join().unwrap(), "it is asked to end, not made to");
        assert_eq!(ended.join().unwrap(), "ended");
        let waiting: Result<(), _> = waiting.join();
        assert!(matches!(waiting, Err(fanpool::JoinError::Cancelled)));
        let tasks = pool.shutdown().tasks;
        assert_eq!((tasks.ran, tasks.cancelled), (2, 1));
    });
}

#[test]
fn items_are_changed_in_place_and_every_index_once() {
    within(|| {
        for (workers, len) in [(1, 0), (2, 1), (2, 10_000)] {
            let pool = pool(workers);
            let mut values: Vec<usize> = (0..len).collect();
            pool.map(values.iter_mut().enumerate(), |(at, value)| {
                assert_eq!(*value, at);
                *value += len;
            })
            .for_each(|()| ());
            assert!(values.iter().copied().eq(len..2 * len));
            // As chunks in a scope.
            pool.scope(|s| values.chunks_mut(7).for_each(|chunk| s.spawn(|| chunk.iter_mut().for_each(|v| *v -= len))));
            assert!(values.into_iter().eq(0..len));
        }
    });
}
