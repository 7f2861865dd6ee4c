//! Right halves: the node on the owner's stack, and what becomes of one that is promoted.
#![allow(unsafe_code)]

use super::context::Forks;
use crate::group::{Options, TaskGroup};
use crate::job::{Call, Job, Verdict};
use crate::panics::{self, Payload};
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Arc, broken};
use crate::trace::Carried;
use std::cell::{Cell, UnsafeCell};
use std::mem::ManuallyDrop;
use std::ptr;

/// Where tasks of a `join` are in the pool's order of priorities.
const LANE: usize = 1;

/// The part of a node that does not depend on the closure's type.
pub(super) struct Header {
    /// The next newer private node; written and read by the owner.
    pub(super) next: Cell<*const Header>,
    /// From `Arc::into_raw`, or null while the half is not promoted.
    pub(super) half: Cell<*const Half>,
    /// Runs the closure and leaves its result in its place.
    run: unsafe fn(*const Header),
}

/// Both fields are at its start.
#[repr(C)]
union Slot<F, R> {
    closure: ManuallyDrop<F>,
    result: ManuallyDrop<Result<R, Payload>>,
}

/// A right half, on its owner's stack. The header comes first, so that a pointer to it is one to the node.
#[repr(C)]
pub(super) struct Node<F, R> {
    header: Header,
    slot: UnsafeCell<Slot<F, R>>,
}

impl<F: FnOnce() -> R, R> Node<F, R> {
    pub(super) fn new(closure: F) -> Self {
        let header = Header { next: Cell::new(ptr::null()), half: Cell::new(ptr::null()), run: Self::run };
        Node { header, slot: UnsafeCell::new(Slot { closure: ManuallyDrop::new(closure) }) }
    }

    /// # Safety
    /// `header` is that of a live `Node<F, R>`, made from a pointer to the whole node.
    unsafe fn slot(header: *const Header) -> *mut Slot<F, R> {
        // SAFETY: [node]: the header is the first field of a node of this type.
        let slot = unsafe { &raw const (*header.cast::<Self>()).slot };
        UnsafeCell::raw_get(slot)
    }

    /// # Safety
    /// As for `slot`; and as \[node\] says the closure is the caller's.
    pub(super) unsafe fn take_closure(header: *const Header) -> F {
        // SAFETY: as the caller's.
        let slot = unsafe { Self::slot(header) };
        // SAFETY: [node]: the closure is there, is the caller's alone, and is looked at no more afterwards.
        unsafe { slot.cast::<F>().read() }
    }

    /// # Safety
    /// As for `slot`, by the owner, once it has seen that the half has finished.
    pub(super) unsafe fn take_result(header: *const Header) -> Result<R, Payload> {
        // SAFETY: as the caller's.
        let slot = unsafe { Self::slot(header) };
        // SAFETY: [node]: `run` has put the result there, and the owner alone takes it, once.
        unsafe { slot.cast::<Result<R, Payload>>().read() }
    }

    /// # Safety
    /// As for `take_closure`.
    unsafe fn run(header: *const Header) {
        // SAFETY: as the caller's.
        let closure = unsafe { Self::take_closure(header) };
        let result = panics::catch(closure);
        // SAFETY: as the caller's.
        let slot = unsafe { Self::slot(header) };
        // SAFETY: [node]: the closure is gone, and nobody else touches the slot before the end is told.
        unsafe { slot.cast::<Result<R, Payload>>().write(result) };
    }
}

const PENDING: usize = 0;
const FINISHED: usize = 1;
/// Given back without having run.
const RETURNED: usize = 2;

/// A promoted half: what its owner and whoever runs it share, off the owner's stack.
pub(super) struct Half {
    node: *const Header,
    /// Where its job is queued.
    home: Arc<TaskGroup>,
    tag: usize,
    /// Where the halves that are forked inside it are queued. Its owner waits here, and so helps those alone.
    group: Arc<TaskGroup>,
    forks: Arc<Forks>,
    state: AtomicUsize,
}

// SAFETY: `node` is followed by whoever runs the half, before the end is told, and by nobody else through this value;
// the closure and the result behind it are `Send`.
unsafe impl Send for Half {}
// SAFETY: as above.
unsafe impl Sync for Half {}

impl Half {
    /// Whether to look no longer. Orders nothing: [`Half::settle`] does.
    fn is_ended(&self) -> bool {
        self.state.load(Ordering::Relaxed) != PENDING
    }

    fn end(&self, state: usize) {
        let order = if broken!("half_ends_relaxed") { Ordering::Relaxed } else { Ordering::Release };
        self.state.store(state, order);
        if !broken!("half_ends_silently") {
            self.group.nudge();
        }
    }

    /// Called by the owner after it left its left half. Returns whether the closure is the owner's to take, because
    /// nobody has started it; else it has ended.
    pub(super) fn settle(&self, help: bool) -> bool {
        if self.home.take_back(self.tag).is_some() {
            return true;
        }
        if help {
            self.group.help_until(|| self.is_ended());
        } else {
            self.group.park_while(|_| !self.is_ended());
        }
        self.state.load(if broken!("half_seen_relaxed") { Ordering::Relaxed } else { Ordering::Acquire }) == RETURNED
    }
}

/// What the job of a promoted half owns.
struct Lent {
    half: Arc<Half>,
    started: bool,
    trace: Carried,
}

impl Lent {
    fn call(mut self, call: Call) -> Verdict {
        // Halves are no tasks: how many are promoted depends on the moment, so none is counted.
        if call == Call::Start {
            self.started = true;
            let half = &self.half;
            {
                let _span = self.trace.half();
                let _entered = half.forks.enter(Some(half.group.clone()));
                // SAFETY: [node]: the job was taken from the queue, so the closure is this thread's, and the owner
                // stays until `end` below.
                let run = unsafe { (*half.node).run };
                // SAFETY: as above.
                unsafe { run(half.node) };
            }
            half.end(FINISHED);
        }
        Verdict::Elsewhere
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.started {
            self.half.end(RETURNED);
        }
    }
}

/// Makes a job of a half and queues it. The caller holds the context's lock and the node's slot, or owns the node.
pub(super) fn promote(forks: &Arc<Forks>, home: &mut Option<Arc<TaskGroup>>, node: *const Header, trace: Carried) {
    let host = &forks.host;
    let new_group = || {
        let options = Options { halves: true, ..Options::new(LANE) };
        let group = TaskGroup::new(host.clone(), options);
        host.register(&group);
        group
    };
    let home = home.get_or_insert_with(new_group).clone();
    let (tag, group, forks) = (home.next_tag(), new_group(), forks.clone());
    let half = Arc::new(Half { node, home: home.clone(), tag, group, forks, state: AtomicUsize::new(PENDING) });
    let lent = Lent { half: half.clone(), started: false, trace };
    // SAFETY: [node]: the owner leaves the node alone until it has taken the lock that the caller holds.
    let place = unsafe { &(*node).half };
    place.set(Arc::into_raw(half));
    home.push(Job::new(move |call| lent.call(call)).tagged(tag));
}
