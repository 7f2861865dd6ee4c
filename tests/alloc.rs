//! Counts allocations, in a process of its own.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use fanpool::{Pool, Workers};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps to the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Allocations of a scope of `TASKS` tasks that capture `WORDS` words, after a first such scope.
fn allocations<const WORDS: usize>(pool: &Pool) -> usize {
    let mut least = usize::MAX;
    // The queues and the tickets' channel grow now and then; the least of several scopes is the tasks' own share.
    for _ in 0..20 {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        pool.scope(|s| {
            for task in 0..TASKS {
                let captured = [task; WORDS];
                s.spawn(move || assert_eq!(captured, [captured[0]; WORDS]));
            }
        });
        least = least.min(ALLOCATIONS.load(Ordering::Relaxed) - before);
    }
    least
}

const TASKS: usize = 500;

#[test]
fn six_words_are_inline_and_seven_are_boxed() {
    let pool = Pool::builder().workers(Workers::Fixed(1)).build().unwrap();
    assert_eq!(allocations::<6>(&pool), 0);
    assert!(allocations::<7>(&pool) >= TASKS);
}
