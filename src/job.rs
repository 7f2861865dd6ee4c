//! A run-once closure, erased.
//!
//! A [`Job`] is what a task group queues: eight words, of which six hold the closure itself if it fits (at most six
//! words, at most word alignment) and otherwise a box around it. Running consumes the job; dropping a job that never
//! ran drops the closure. Either way the closure is gone exactly once.
//!
//! # Safety
//!
//! One invariant carries every `unsafe` block here, and they cite it as **\[slot\]**: *between `Job::new` and the one
//! call through `table`, `slot` holds a value of the type `table` was made for: `F` itself where `fits::<F>()`, else
//! `Box<F>`. That one call moves the value out, and nothing looks at the slot afterwards.*
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};

/// Words that a closure may take without being boxed.
const WORDS: usize = 6;

/// `MaybeUninit` copies all bytes as they are, pointers and padding included.
type Slot = [MaybeUninit<usize>; WORDS];

/// What a job is called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// Run the task.
    Start,
    /// Drop it without starting it.
    Abandon,
}

/// How a task ended, as the job itself tells it. A panic that leaves the job is one more way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Ran to its end.
    Finished,
    /// Panicked; the job kept the payload.
    Panicked,
    /// Was dropped without being started.
    NotStarted,
    /// Was dropped without being started, and told its handle that the pool was shut down.
    Discarded,
    /// Somebody else had it and accounts for it.
    Elsewhere,
}

struct Table {
    /// Moves the closure out of the slot and calls it.
    call: unsafe fn(*mut Slot, Call) -> Verdict,
    /// Moves the closure out of the slot and drops it.
    discard: unsafe fn(*mut Slot),
}

pub(crate) struct Job<'a> {
    slot: Slot,
    table: &'static Table,
    /// Tells this job from others that are queued, for whoever wants it out of turn; 0 if nobody will.
    tag: usize,
    // Not `Sync`, `Send` because the closure is, and covariant in `'a`.
    closure: PhantomData<Box<dyn FnOnce(Call) -> Verdict + Send + 'a>>,
}

const fn fits<F>() -> bool {
    size_of::<F>() <= size_of::<Slot>() && align_of::<F>() <= align_of::<Slot>()
}

struct Inline<F>(PhantomData<F>);
struct Boxed<F>(PhantomData<F>);

impl<F: FnOnce(Call) -> Verdict> Inline<F> {
    const TABLE: Table = Table { call: Self::call, discard: Self::discard };

    /// # Safety
    /// As \[slot\] says, with an `F` in the slot that nobody uses afterwards.
    unsafe fn call(slot: *mut Slot, call: Call) -> Verdict {
        // SAFETY: [slot]: an `F` is there, aligned because it fits, and this is the call that moves it out.
        let closure = unsafe { slot.cast::<F>().read() };
        closure(call)
    }

    /// # Safety
    /// As \[slot\] says, with an `F` in the slot that nobody uses afterwards.
    unsafe fn discard(slot: *mut Slot) {
        // SAFETY: as in `call`.
        drop(unsafe { slot.cast::<F>().read() });
    }
}

impl<F: FnOnce(Call) -> Verdict> Boxed<F> {
    const TABLE: Table = Table { call: Self::call, discard: Self::discard };

    /// # Safety
    /// As \[slot\] says, with a `Box<F>` in the slot that nobody uses afterwards.
    unsafe fn call(slot: *mut Slot, call: Call) -> Verdict {
        // SAFETY: [slot]: a `Box<F>` is there, and this is the call that moves it out.
        let closure = unsafe { slot.cast::<Box<F>>().read() };
        closure(call)
    }

    /// # Safety
    /// As \[slot\] says, with a `Box<F>` in the slot that nobody uses afterwards.
    unsafe fn discard(slot: *mut Slot) {
        // SAFETY: as in `call`.
        drop(unsafe { slot.cast::<Box<F>>().read() });
    }
}

impl<'a> Job<'a> {
    pub(crate) fn new<F: FnOnce(Call) -> Verdict + Send + 'a>(closure: F) -> Job<'a> {
        let mut slot: Slot = [MaybeUninit::uninit(); WORDS];
        let place = &raw mut slot;
        let table = if fits::<F>() {
            // SAFETY: establishes [slot]: `F` fits the slot in size and alignment, and the slot is ours.
            unsafe { place.cast::<F>().write(closure) };
            &Inline::<F>::TABLE
        } else {
            // SAFETY: establishes [slot]: a box is one word.
            unsafe { place.cast::<Box<F>>().write(Box::new(closure)) };
            &Boxed::<F>::TABLE
        };
        Job { slot, table, tag: 0, closure: PhantomData }
    }

    /// A job that runs `task` and has nothing more to tell.
    pub(crate) fn plain(task: impl FnOnce() + Send + 'a) -> Job<'a> {
        Job::new(move |call| match call {
            Call::Start => {
                task();
                Verdict::Finished
            }
            Call::Abandon => Verdict::NotStarted,
        })
    }

    pub(crate) fn tagged(mut self, tag: usize) -> Self {
        self.tag = tag;
        self
    }

    pub(crate) fn tag(&self) -> usize {
        self.tag
    }

    /// Calls the closure. A panic of the closure, or of dropping it, comes out as it is.
    pub(crate) fn call(self, call: Call) -> Verdict {
        let mut job = ManuallyDrop::new(self);
        // SAFETY: [slot]: this is the one call, since `self` was consumed and its `Drop` will not run.
        unsafe { (job.table.call)(&raw mut job.slot, call) }
    }

    /// Forgets how long the closure's borrows live.
    ///
    /// # Safety
    ///
    /// The job must be run or dropped before `'a` ends.
    pub(crate) unsafe fn erase(self) -> Job<'static> {
        // SAFETY: the two types differ in a lifetime of `PhantomData` alone; the caller keeps to that lifetime.
        unsafe { std::mem::transmute::<Job<'a>, Job<'static>>(self) }
    }
}

impl Drop for Job<'_> {
    fn drop(&mut self) {
        // SAFETY: [slot]: this is the one call, since `call` would have suppressed this `Drop`.
        unsafe { (self.table.discard)(&raw mut self.slot) }
    }
}

#[cfg(all(test, not(fanpool_loom)))]
mod tests {
    use super::*;
    use crate::panics;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn check<const N: usize>() {
        for way in [Some(Call::Start), Some(Call::Abandon), None] {
            let (drops, runs) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let (guard, ran, ballast) = (Counted(drops.clone()), runs.clone(), [7_u8; N]);
            let job = Job::plain(move || {
                let _guard = &guard;
                assert!(ballast.iter().all(|byte| *byte == 7));
                ran.fetch_add(1, Ordering::Relaxed);
            });
            let moved = Box::new(job);
            match way {
                Some(Call::Start) => assert_eq!(moved.call(Call::Start), Verdict::Finished),
                Some(Call::Abandon) => assert_eq!(moved.call(Call::Abandon), Verdict::NotStarted),
                None => drop(moved),
            }
            let run = way == Some(Call::Start);
            assert_eq!((runs.load(Ordering::Relaxed), drops.load(Ordering::Relaxed)), (usize::from(run), 1));
        }
    }

    #[test]
    fn b5_captures_of_any_size_run_or_drop_once() {
        check::<0>();
        check::<32>();
        check::<33>();
        check::<4096>();
        // Unoptimised code keeps several copies of the closure on the stack while it moves.
        let large = std::thread::Builder::new().stack_size(64 << 20).spawn(check::<{ 1 << 20 }>).unwrap();
        large.join().unwrap();
    }

    #[test]
    fn b5_an_alignment_above_a_word_is_kept() {
        #[repr(align(128))]
        struct Wide(u8);
        let wide = Wide(3);
        let job = Job::plain(move || {
            let wide = &wide;
            assert_eq!(std::ptr::from_ref(wide).addr() % 128, 0);
            assert_eq!(wide.0, 3);
        });
        assert_eq!(job.call(Call::Start), Verdict::Finished);
    }

    #[test]
    fn b5_zero_sized_closures_work() {
        assert_eq!(Job::plain(|| ()).call(Call::Start), Verdict::Finished);
        drop(Job::plain(|| ()));
    }

    #[test]
    fn a_panic_drops_the_captures_once() {
        let drops = Arc::new(AtomicUsize::new(0));
        let guard = Counted(drops.clone());
        let job = Job::plain(move || {
            let _guard = guard;
            panic!("on purpose")
        });
        assert!(panics::catch(|| job.call(Call::Start)).is_err());
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_job_is_one_cache_line() {
        assert_eq!(size_of::<Job<'_>>(), size_of::<[usize; 8]>());
    }
}
