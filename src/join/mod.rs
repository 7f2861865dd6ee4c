//! Fork-join with heartbeat promotion.
//!
//! The technique is that of Acar, Charguéraud, Guatto, Rainey and Sieczkowski, "Heartbeat Scheduling: Provable
//! Efficiency for Nested Parallelism" (PLDI 2018): a fork costs next to nothing, and now and then the oldest right
//! half that still waits is made a task. Zig's spice and the crate chili work by it as well.
//!
//! # The protocol
//!
//! **Contexts.** The outermost `join` of a thread enters a *context*, and so does whoever runs a promoted half. A
//! thread-local says which context of which pool the thread is in; a `join` of another pool enters one of its own on
//! top. A context is kept by the pool's [`Forks`] and used again, so a pointer to it is good for as long as the stay.
//!
//! **Nodes.** A fork puts its right half into a *node* on its own stack, runs the left half, and takes the newest node
//! away again. The first `LEVELS` live nodes are *exposed*: each stands in an atomic slot of the context, where the
//! timer finds it too. Those above are *private*: a list that the owner alone reads and writes. Once a context has
//! made `ALLOWANCE` private nodes since the last beat its forks are small, and it makes no more until the next: such a
//! fork looks at one flag and runs both halves in turn. A left half during which a beat was answered is not small, and
//! renews the allowance.
//!
//! **Beats.** While contexts are busy a thread of the pool ticks. A tick leaves contexts alone that are younger than
//! the tick before, so small problems pay nothing; from the others it takes the oldest exposed node and promotes it,
//! which is how coarse halves get to another thread while their owner is busy in one. If there is none it sets `beat`,
//! and the owner promotes the oldest of its private nodes at its next fork. `beat` is relaxed, because it orders
//! nothing: to see it late costs time and no more. While a promoted half of the context is still queued nobody
//! promotes another.
//!
//! **Promotion** happens under the context's `home` lock. It makes a [`Half`], on the heap, writes it into the node,
//! and pushes a job for it into the context's group, from where workers take it as any task. The half has a group of
//! its own: the home of the context in which it will run.
//!
//! * *A tick against the owner that leaves its left half.* Both swap the slot, so exactly one gets the node. The swap
//!   that put the node there releases what the owner wrote into it to the ticker. If the owner finds the slot empty,
//!   whoever emptied it held `home` by then; the owner takes that lock, and so comes after the write of the half and
//!   the push.
//! * *The owner that wants its half back against a worker that takes it.* The job is in the queue or it is not, and
//!   both ask under the group's locks. Whoever gets the job has the closure. A job taken back leaves nothing behind.
//! * *A half that ends against its owner that parks.* The end is a release store in the `Half` and then a nudge of the
//!   half's group, which takes the inbox lock. The owner looks at the state with acquire under that lock before it
//!   parks there. Either the nudge comes later and finds it registered, or it came earlier and the owner sees the
//!   state. What is touched after the store is kept alive by the `Half`, and nothing of it is on the owner's stack.
//!
//! **Waiting.** An owner whose half runs elsewhere runs jobs of that half's group, and no others: they are descendants
//! of the half for which it waits. So a lock that is held across a `join` is never asked for by a stranger on that
//! stack, and nobody waits for himself: each wait is for something deeper in the tree of forks.
//!
//! **Panics.** If the left half unwinds, its node is taken away as ever: a right half that was not started is dropped
//! unrun, and any other is waited for, without helping. Waiting that unwinds aborts.
//!
//! # Safety
//!
//! Two invariants carry the `unsafe` blocks of this module.
//!
//! **\[node\]**: *a node lives until the fork that made it returns or unwinds, and that happens only after the node
//! was taken from its slot or list, and after its half, if it was promoted, was taken back, given back or has ended.
//! The pointer to it was made from the whole node. Its closure belongs to the owner until the node is promoted, then
//! to whoever has the job, and to the owner again if the job comes back unrun; its owner moves it out. Running puts
//! the result in its place, and the owner takes it once.* So a pointer in a slot, in the list or in a `Half` that has
//! not ended leads to a live node, and nobody looks into a node that another thread may write.
//!
//! **\[entered\]**: *a thread-local context is one of a pool that the thread's outermost fork in it borrows, or that
//! the half it runs keeps; `Forks` never drops a context, and the outer context is put back before the stay ends.*
#![allow(unsafe_code)]

mod context;
mod half;

pub(crate) use context::{Clock, Forks};

use crate::panics;
use crate::sync::Arc;
use crate::sync::atomic::Ordering;
use context::{ALLOWANCE, HERE, Here, LEVELS, Place, here};
use half::{Half, Header, Node};
use std::marker::PhantomData;
use std::mem::{self, ManuallyDrop};

/// A value of the user's that is dropped quietly if the thread unwinds.
struct Quiet<T>(ManuallyDrop<T>);

impl<T> Quiet<T> {
    fn new(value: T) -> Quiet<T> {
        Quiet(ManuallyDrop::new(value))
    }

    fn into_inner(self) -> T {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `self` was consumed and its `Drop` will not run.
        unsafe { ManuallyDrop::take(&mut this.0) }
    }
}

impl<T> Drop for Quiet<T> {
    fn drop(&mut self) {
        // SAFETY: this is the only drop, and nobody looks at the value afterwards.
        panics::drop_each([unsafe { ManuallyDrop::take(&mut self.0) }]);
    }
}

/// `(a(), b())`, with what panics drop dropped quietly.
#[inline]
pub(crate) fn serially<RA, RB>(a: impl FnOnce() -> RA, b: impl FnOnce() -> RB) -> (RA, RB) {
    let b = Quiet::new(b);
    let a = Quiet::new(a());
    let b = (b.into_inner())();
    (a.into_inner(), b)
}

/// Runs both halves, the second perhaps on another thread, and returns once both have ended. Outside of any `fork` of
/// these `forks` it asks first whether to run them serially.
#[inline]
pub(crate) fn fork<A, B, RA, RB>(forks: &Arc<Forks>, serial: impl FnOnce() -> bool, a: A, b: B) -> (RA, RB)
where
    A: FnOnce() -> RA,
    B: FnOnce() -> RB + Send,
    RB: Send,
{
    let here = here();
    // SAFETY: it is this thread's, needs no destructor, and this frame does not outlive the thread.
    let here = unsafe { &*here };
    if here.pool.get() != Arc::as_ptr(forks) {
        return fork_outermost(forks, serial, a, b);
    }
    if here.allowance.get() == 0 && !here.context().is_beaten() {
        return serially(a, b);
    }
    fork_real(here, a, b)
}

#[inline(never)]
fn fork_real<A, B, RA, RB>(here: &Here, a: A, b: B) -> (RA, RB)
where
    A: FnOnce() -> RA,
    B: FnOnce() -> RB + Send,
    RB: Send,
{
    let newest = here.newest.get();
    if newest.is_null() {
        return fork_exposed(here, a, b);
    }
    here.allowance.set(here.allowance.get().saturating_sub(1));
    let node = Node::new(b);
    let header = (&raw const node).cast::<Header>();
    // SAFETY: [node]: the newest node is live.
    let previous = unsafe { &(*newest).next };
    previous.set(header);
    here.newest.set(header);
    if here.context().is_beaten() {
        here.promote();
    }
    let beats = here.beats.get();
    let unwind = Unwind::<B, RB> { header, place: Place::Private(newest), types: PhantomData };
    let a = a();
    mem::forget(unwind);
    here.newest.set(newest);
    if here.beats.get() != beats {
        here.allowance.set(ALLOWANCE);
    }
    // SAFETY: [node]: the node is this frame's.
    let half = unsafe { (*header).half.get() };
    if half.is_null() {
        // SAFETY: [node]: it left the list without having been promoted.
        let b = unsafe { Node::<B, RB>::take_closure(header) };
        let a = Quiet::new(a);
        let b = b();
        return (a.into_inner(), b);
    }
    here.frontier.set(newest);
    finish::<B, RA, RB>(header, half, a)
}

#[inline(never)]
fn fork_outermost<A, B, RA, RB>(forks: &Arc<Forks>, serial: impl FnOnce() -> bool, a: A, b: B) -> (RA, RB)
where
    A: FnOnce() -> RA,
    B: FnOnce() -> RB + Send,
    RB: Send,
{
    if serial() {
        return serially(a, b);
    }
    let Some(entered) = forks.enter(None) else { return serially(a, b) };
    // Caught, so that the context is left by a thread that does not unwind.
    let result = panics::catch(|| HERE.with(|here| fork_exposed(here, a, b)));
    drop(entered);
    result.unwrap_or_else(|payload| panics::resume(payload))
}

/// A fork whose half others may promote.
#[inline(never)]
fn fork_exposed<A, B, RA, RB>(here: &Here, a: A, b: B) -> (RA, RB)
where
    A: FnOnce() -> RA,
    B: FnOnce() -> RB + Send,
    RB: Send,
{
    let node = Node::new(b);
    let header = (&raw const node).cast::<Header>();
    let level = here.exposed.get();
    here.exposed.set(level + 1);
    if level + 1 == LEVELS {
        here.newest.set(header);
        here.frontier.set(header);
        here.allowance.set(ALLOWANCE);
    }
    here.context().exposed[level].store(header.cast_mut(), Ordering::Release);
    if here.context().is_beaten() {
        here.promote();
    }
    let unwind = Unwind::<B, RB> { header, place: Place::Exposed(level), types: PhantomData };
    let a = a();
    mem::forget(unwind);
    let half = Place::Exposed(level).leave(here, header);
    if half.is_null() {
        // SAFETY: [node]: the slot still held it, so nobody else will promote it.
        let b = unsafe { Node::<B, RB>::take_closure(header) };
        let a = Quiet::new(a);
        let b = b();
        return (a.into_inner(), b);
    }
    finish::<B, RA, RB>(header, half, a)
}

/// The rest of a fork whose half was promoted.
#[cold]
#[inline(never)]
fn finish<B, RA, RB>(header: *const Header, half: *const Half, a: RA) -> (RA, RB)
where
    B: FnOnce() -> RB,
{
    let a = Quiet::new(a);
    if settle(half, true) {
        // SAFETY: [node]: nobody has started it, and its job is gone.
        let b = unsafe { Node::<B, RB>::take_closure(header) };
        let b = b();
        return (a.into_inner(), b);
    }
    // SAFETY: [node]: it has run to its end.
    match unsafe { Node::<B, RB>::take_result(header) } {
        Ok(b) => (a.into_inner(), b),
        Err(payload) => {
            drop(a);
            panics::resume(payload)
        }
    }
}

/// Waits for a promoted half. Returns whether its closure is the caller's instead.
fn settle(half: *const Half, help: bool) -> bool {
    HERE.with(|here| here.promoted.set(true));
    // SAFETY: `promote` made this pointer of an `Arc`, for this one call.
    let half = unsafe { Arc::from_raw(half) };
    let abort = panics::AbortOnUnwind;
    let taken_back = half.settle(help);
    mem::forget(abort);
    taken_back
}

/// Ends a fork whose left half unwinds: its right half is dropped unrun if nobody has started it, and else waited for.
struct Unwind<B: FnOnce() -> RB, RB> {
    header: *const Header,
    place: Place,
    types: PhantomData<(B, RB)>,
}

impl<B: FnOnce() -> RB, RB> Drop for Unwind<B, RB> {
    // Passes values, so that they need no place in memory while `a` runs.
    #[inline(always)]
    fn drop(&mut self) {
        Self::unwind(self.header, self.place);
    }
}

impl<B: FnOnce() -> RB, RB> Unwind<B, RB> {
    #[cold]
    #[inline(never)]
    fn unwind(header: *const Header, place: Place) {
        let half = HERE.with(|here| place.leave(here, header));
        // No other half is run here: user code would find its thread panicking. Whoever runs this one needs no help.
        if half.is_null() || settle(half, false) {
            // SAFETY: [node]: as at the end of a fork.
            let closure = unsafe { Node::<B, RB>::take_closure(header) };
            panics::drop_each([closure]);
        } else {
            // SAFETY: [node]: as at the end of a fork.
            match unsafe { Node::<B, RB>::take_result(header) } {
                Ok(value) => panics::drop_each([value]),
                Err(payload) => panics::discard(payload),
            }
        }
    }
}
