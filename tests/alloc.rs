//! What the library allocates, counted by a global allocator; in a binary of its own, since it counts everybody.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use fanpool::{Pool, Workers};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};

struct Counting;

static LIVE_BYTES: AtomicIsize = AtomicIsize::new(0);
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
thread_local!(static MINE: Cell<usize> = const { Cell::new(0) });

fn count(bytes: isize) {
    LIVE_BYTES.fetch_add(bytes, Ordering::SeqCst);
    if bytes > 0 {
        ALLOCATIONS.fetch_add(1, Ordering::SeqCst);
        MINE.with(|mine| mine.set(mine.get() + 1));
    }
}

fn bytes_of(layout: Layout) -> isize {
    // A layout is never larger than `isize::MAX`.
    layout.size() as isize
}

// SAFETY: every call goes to `System` as it came; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(bytes_of(layout));
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(-bytes_of(layout));
        // SAFETY: the caller keeps `dealloc`'s contract, and `place` came from `System`.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test at a time: the counts are everybody's.
static ALONE: Mutex<()> = Mutex::new(());

/// Allocations of a scope of `TASKS` tasks that capture `WORDS` words, after a first such scope.
fn least_allocations<const WORDS: usize>(pool: &Pool) -> usize {
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
#[cfg_attr(feature = "tracing", ignore = "a task carries one word more")]
fn six_words_are_inline_and_seven_are_boxed() {
    let _alone = ALONE.lock().unwrap();
    let pool = Pool::builder().workers(Workers::Fixed(1)).build().unwrap();
    assert_eq!(least_allocations::<6>(&pool), 0);
    assert!(least_allocations::<7>(&pool) >= TASKS);
}

fn pool(workers: usize) -> Pool {
    Pool::builder().workers(Workers::Fixed(workers)).build().unwrap()
}

/// Allocations of this thread in a scope of 100 tasks that capture `N` words each.
///
/// The pool is paused, so that this thread runs all of them and no ticket is sent after the first.
fn allocations<const N: usize>(pool: &Pool) -> usize {
    let before = MINE.with(Cell::get);
    pool.scope(|s| {
        for _ in 0..100 {
            let words = [1_usize; N];
            s.spawn(move || assert_eq!(std::hint::black_box(words).iter().sum::<usize>(), N));
        }
    });
    MINE.with(Cell::get) - before
}

#[test]
#[cfg_attr(feature = "tracing", ignore = "a task carries one word more")]
fn a_spawn_of_six_words_allocates_nothing_and_one_of_seven_does() {
    let _alone = ALONE.lock().unwrap();
    let pool = pool(1);
    pool.pause();
    // The queues reach their size: each of the two takes turns as the inbox.
    for _ in 0..3 {
        allocations::<6>(&pool);
    }
    for _ in 0..100 {
        assert_eq!(allocations::<0>(&pool), 0);
        assert_eq!(allocations::<6>(&pool), 0);
        assert_eq!(allocations::<7>(&pool), 100, "one box each");
    }
}

#[test]
#[cfg_attr(feature = "tracing", ignore = "a task carries one word more")]
fn scopes_on_busy_workers_allocate_less_than_once_each() {
    let _alone = ALONE.lock().unwrap();
    let pool = pool(2);
    let round = |scopes: usize| (0..scopes).map(|_| allocations::<6>(&pool)).sum::<usize>();
    round(100);
    let before = ALLOCATIONS.load(Ordering::SeqCst);
    round(1000);
    // Tickets travel in a channel that takes a block for every 31.
    let all = ALLOCATIONS.load(Ordering::SeqCst) - before;
    assert!(all < 1000, "{all} allocations in 1000 scopes of 100 tasks");
}

#[test]
fn b5_every_byte_of_closures_and_results_is_freed() {
    let _alone = ALONE.lock().unwrap();
    let round = || {
        let pool = pool(2);
        for _ in 0..100 {
            let captured = vec![1_u8; 4096];
            pool.spawn(move || drop(captured)).unwrap();
            let captured = [1_u8; 4096];
            drop(pool.submit(move || captured.to_vec()));
            assert_eq!(pool.submit(|| [2_u8; 4096]).join().unwrap()[0], 2);
        }
        pool.pause();
        let captured = vec![1_u8; 4096];
        drop(pool.submit(move || captured));
        pool.shutdown_now();
    };
    round();
    let before = LIVE_BYTES.load(Ordering::SeqCst);
    (0..20).for_each(|_| round());
    let left = LIVE_BYTES.load(Ordering::SeqCst) - before;
    assert!(left < 4096, "{left} bytes left");
}

#[test]
fn d7_ten_thousand_pools_leave_no_byte_behind() {
    let _alone = ALONE.lock().unwrap();
    let round = |pools: usize| {
        for i in 0..pools {
            let pool = pool(1 + i % 2);
            pool.scope(|s| s.spawn(|| ()));
            pool.spawn(|| ()).unwrap();
            drop(pool.submit(move || i));
            if i % 4 == 0 {
                pool.resize(2).unwrap();
                pool.resize(1).unwrap();
            }
        }
    };
    round(100);
    let before = LIVE_BYTES.load(Ordering::SeqCst);
    round(10_000);
    let left = LIVE_BYTES.load(Ordering::SeqCst) - before;
    // Less than a byte per pool: locks and channels keep some tables of their own.
    assert!(left < 8192, "{left} bytes left by 10,000 pools");
}

#[test]
fn b3_joins_behind_a_newer_task_keep_memory_flat() {
    let _alone = ALONE.lock().unwrap();
    // One newer handle is always in flight and nobody serves the queue, so each joined task leaves an empty place in it.
    let pool = Pool::builder().workers(Workers::Fixed(1)).build().unwrap();
    pool.pause();
    let submit = || pool.submit(|| [1_u8; 4096]);
    let mut previous = submit();
    let before = LIVE_BYTES.load(Ordering::SeqCst);
    for _ in 0..5000 {
        let next = submit();
        assert_eq!(previous.join().unwrap()[0], 1);
        previous = next;
    }
    let grown = LIVE_BYTES.load(Ordering::SeqCst) - before;
    // A dozen tasks' worth; without sweeping it would be 5000.
    assert!(grown < 12 * 4096, "{grown} bytes");
    assert_eq!(previous.join().unwrap()[0], 1);
    assert_eq!((pool.queued(), pool.counts().ran), (0, 5001));
}
