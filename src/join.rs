//! Fork-join with heartbeat promotion.
//!
//! TODO
#![allow(unsafe_code)]

use crate::group::{Host, Options, TaskGroup};
use crate::job::{Call, Job, Verdict};
use crate::panics::{self, Payload};
use crate::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use crate::sync::{Arc, MODEL, Mutex, Weak, broken, local};
use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::marker::PhantomData;
use std::mem::{self, ManuallyDrop};
use std::ptr;

/// Forks of a context, counted from the outermost, whose halves others may promote.
const LEVELS: usize = if MODEL { 1 } else { 3 };

/// Private nodes that a context makes between two beats. Enough for the way down to the smallest pieces of any balanced
/// recursion, and few against the forks of a beat where forks are small.
const ALLOWANCE: usize = 16;

/// Where tasks of a `join` are in the pool's order of priorities.
const LANE: usize = 1;

/// What wakes the thread that ticks.
pub(crate) trait Clock: Send + Sync {
    /// A first context became busy, and nobody ticks. [`Forks::tick`] is to be called until [`Forks::rest`] says otherwise.
    fn wake(&self, forks: &Arc<Forks>);
}

/// The part of a node that does not depend on the closure's type.
struct Header {
    /// The next newer private node; written and read by the owner.
    next: Cell<*const Header>,
    /// From `Arc::into_raw`, or null while the half is not promoted.
    half: Cell<*const Half>,
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
struct Node<F, R> {
    header: Header,
    slot: UnsafeCell<Slot<F, R>>,
}

impl<F: FnOnce() -> R, R> Node<F, R> {
    fn new(closure: F) -> Self {
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
    unsafe fn take_closure(header: *const Header) -> F {
        // SAFETY: as the caller's.
        let slot = unsafe { Self::slot(header) };
        // SAFETY: [node]: the closure is there, is the caller's alone, and is looked at no more afterwards.
        unsafe { slot.cast::<F>().read() }
    }

    /// # Safety
    /// As for `slot`, by the owner, once it has seen that the half has finished.
    unsafe fn take_result(header: *const Header) -> Result<R, Payload> {
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
struct Half {
    node: *const Header,
    /// Where its job is queued.
    home: Arc<TaskGroup>,
    tag: usize,
    /// Where the halves that are forked inside it are queued. Its owner waits here, and so helps those alone.
    group: Arc<TaskGroup>,
    forks: Arc<Forks>,
    state: AtomicUsize,
}

// SAFETY: `node` is followed by whoever runs the half, before the end is told, and by nobody else through this value; the
// closure and the result behind it are `Send`.
unsafe impl Send for Half {}
// SAFETY: as above.
unsafe impl Sync for Half {}

impl Half {
    fn is_ended(&self) -> bool {
        self.state.load(Ordering::Acquire) != PENDING
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
    fn settle(&self, help: bool) -> bool {
        if self.home.take_back(self.tag).is_some() {
            return true;
        }
        if help {
            self.group.help_until(|| self.is_ended());
        } else {
            self.group.park_while(|_| !self.is_ended());
        }
        self.state.load(Ordering::Acquire) == RETURNED
    }
}

/// What the job of a promoted half owns.
struct Lent {
    half: Arc<Half>,
    started: bool,
}

impl Lent {
    fn call(mut self, call: Call) -> Verdict {
        // Halves are no tasks: how many are promoted depends on the moment, so none is counted.
        if call == Call::Start {
            self.started = true;
            let half = &self.half;
            {
                let _entered = half.forks.enter(Some(half.group.clone()));
                // SAFETY: [node]: the job was taken from the queue, so the closure is this thread's, and the owner stays
                // until `end` below.
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

/// What the owner of a context shares with those who promote for it.
struct Context {
    index: usize,
    forks: Weak<Forks>,
    /// Whether every fork promotes: in models.
    eager: bool,
    /// Tells the owner to promote at its next fork. Decides nothing else.
    beat: AtomicBool,
    /// The exposed nodes by level; null where there is none, or where it was promoted.
    exposed: [AtomicPtr<Header>; LEVELS],
    /// Held by whoever promotes. The group is where this context's halves are queued; made for the first of them.
    home: Mutex<Option<Arc<TaskGroup>>>,
}

impl Context {
    fn new(index: usize, forks: &Arc<Forks>, eager: bool) -> Arc<Context> {
        Arc::new(Context {
            index,
            forks: Arc::downgrade(forks),
            eager,
            beat: AtomicBool::new(eager),
            exposed: [const { ptr::null_mut() }; LEVELS].map(AtomicPtr::new),
            home: Mutex::new(None),
        })
    }

    /// Promotes the oldest exposed half, or tells the owner to promote a private one.
    fn tick(&self, forks: &Arc<Forks>) {
        let mut home = self.home.lock();
        if home.as_ref().is_some_and(|home| home.has_queued()) {
            // Nobody has come for the last one, so nobody would for another.
            return;
        }
        match self.take_exposed() {
            Some(node) => promote(forks, &mut home, node),
            None => self.beat.store(true, Ordering::Relaxed),
        }
    }

    #[inline]
    fn is_beaten(&self) -> bool {
        self.beat.load(Ordering::Relaxed)
    }

    fn take_exposed(&self) -> Option<*const Header> {
        self.exposed.iter().find_map(|slot| {
            let node = slot.swap(ptr::null_mut(), Ordering::AcqRel).cast_const();
            (!node.is_null()).then_some(node)
        })
    }
}

/// Makes a job of a half and queues it. The caller holds the context's lock and the node's slot, or owns the node.
fn promote(forks: &Arc<Forks>, home: &mut Option<Arc<TaskGroup>>, node: *const Header) {
    let host = &forks.host;
    let new_group = || {
        let group = TaskGroup::new(host.clone(), Options::new(LANE));
        host.register(&group);
        group
    };
    let home = home.get_or_insert_with(new_group).clone();
    let (tag, group, forks) = (home.next_tag(), new_group(), forks.clone());
    let half = Arc::new(Half { node, home: home.clone(), tag, group, forks, state: AtomicUsize::new(PENDING) });
    let lent = Lent { half: half.clone(), started: false };
    // SAFETY: [node]: the owner leaves the node alone until it has taken the lock that the caller holds.
    let place = unsafe { &(*node).half };
    place.set(Arc::into_raw(half));
    home.push(Job::new(move |call| lent.call(call)).tagged(tag));
}

/// The contexts of a pool.
pub(crate) struct Forks {
    host: Arc<dyn Host>,
    clock: Arc<dyn Clock>,
    contexts: Mutex<Contexts>,
}

struct Contexts {
    /// Never shrinks, so there are as many as threads have joined at once.
    all: Vec<Member>,
    idle: Vec<usize>,
    /// Whether the clock was woken and has not been told to rest.
    ticking: bool,
    /// Models have no clock: there every fork promotes, unless a model ticks by itself.
    eager: bool,
}

struct Member {
    context: Arc<Context>,
    busy: bool,
    /// Whether it was busy at the last tick, all the time since.
    aged: bool,
}

impl Forks {
    pub(crate) fn new(host: Arc<dyn Host>, clock: Arc<dyn Clock>) -> Arc<Forks> {
        let contexts = Contexts { all: Vec::new(), idle: Vec::new(), ticking: false, eager: MODEL };
        Arc::new(Forks { host, clock, contexts: Mutex::new(contexts) })
    }

    /// Makes the calling thread the owner of a context, whose halves are queued in `home`.
    fn enter(self: &Arc<Self>, home: Option<Arc<TaskGroup>>) -> Entered<'_> {
        let (context, wake) = {
            let mut contexts = self.contexts.lock();
            let wake = !mem::replace(&mut contexts.ticking, true);
            let index = contexts.idle.pop().unwrap_or(contexts.all.len());
            if index == contexts.all.len() {
                let context = Context::new(index, self, contexts.eager);
                contexts.all.push(Member { context, busy: false, aged: false });
            }
            let member = &mut contexts.all[index];
            (member.busy, member.aged) = (true, false);
            (Arc::as_ptr(&member.context), wake)
        };
        if wake {
            self.clock.wake(self);
        }
        let outer = HERE.with(|here| {
            here.replace(Position {
                pool: Arc::as_ptr(self),
                context,
                newest: ptr::null(),
                frontier: ptr::null(),
                exposed: 0,
                allowance: ALLOWANCE,
                promoted: home.is_some(),
            })
        });
        let entered = Entered { forks: self, context, outer };
        if home.is_some() {
            *entered.context().home.lock() = home;
        }
        entered
    }

    /// Lets every context that is older than a tick promote a half. Returns whether any is busy.
    pub(crate) fn tick(self: &Arc<Self>) -> bool {
        let (mut due, mut busy) = (Vec::new(), false);
        for member in &mut self.contexts.lock().all {
            if member.busy && (mem::replace(&mut member.aged, true) || MODEL) {
                due.push(member.context.clone());
            }
            busy |= member.busy;
        }
        for context in due {
            context.tick(self);
        }
        busy
    }

    #[cfg(fanpool_loom)]
    pub(crate) fn promote_on_ticks_only(&self) {
        self.contexts.lock().eager = false;
    }

    /// Returns whether nobody needs ticks. The next who does wakes the clock.
    pub(crate) fn rest(&self) -> bool {
        let mut contexts = self.contexts.lock();
        contexts.ticking = contexts.all.iter().any(|member| member.busy);
        !contexts.ticking
    }
}

impl fmt::Debug for Forks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forks").finish_non_exhaustive()
    }
}

/// Where the calling thread is.
struct Here {
    /// The pool of the context, by address: it lives as long as the context is entered.
    pool: Cell<*const Forks>,
    context: Cell<*const Context>,
    /// The newest node; null while fewer than `LEVELS` are live.
    newest: Cell<*const Header>,
    /// The newest private node that was promoted, or else the last exposed one. What is between it and `newest` is not promoted.
    frontier: Cell<*const Header>,
    /// How many exposed nodes are live.
    exposed: Cell<usize>,
    /// How many private nodes may still be made before the next beat.
    allowance: Cell<usize>,
    /// Beats that this thread has answered.
    beats: Cell<usize>,
    /// Whether the context may have a group.
    promoted: Cell<bool>,
}

#[derive(Clone, Copy)]
struct Position {
    pool: *const Forks,
    context: *const Context,
    newest: *const Header,
    frontier: *const Header,
    exposed: usize,
    allowance: usize,
    promoted: bool,
}

local! {
    static HERE: Here = Here::outside()
}

/// The calling thread's own. A pointer, since a closure around all of a fork would not be inlined.
#[inline]
fn here() -> *const Here {
    HERE.with(ptr::from_ref)
}

impl Here {
    const fn outside() -> Here {
        Here {
            pool: Cell::new(ptr::null()),
            context: Cell::new(ptr::null()),
            newest: Cell::new(ptr::null()),
            frontier: Cell::new(ptr::null()),
            exposed: Cell::new(0),
            allowance: Cell::new(0),
            beats: Cell::new(0),
            promoted: Cell::new(false),
        }
    }

    fn replace(&self, position: Position) -> Position {
        Position {
            pool: self.pool.replace(position.pool),
            context: self.context.replace(position.context),
            newest: self.newest.replace(position.newest),
            frontier: self.frontier.replace(position.frontier),
            exposed: self.exposed.replace(position.exposed),
            allowance: self.allowance.replace(position.allowance),
            promoted: self.promoted.replace(position.promoted),
        }
    }

    #[inline]
    fn context(&self) -> &Context {
        // SAFETY: [entered]: there is a context, and it outlives the stay in it.
        unsafe { &*self.context.get() }
    }

    /// Promotes the oldest half of this thread that is not.
    #[cold]
    #[inline(never)]
    fn promote(&self) {
        let context = self.context();
        context.beat.store(context.eager, Ordering::Relaxed);
        self.allowance.set(ALLOWANCE);
        self.beats.set(self.beats.get().wrapping_add(1));
        let mut home = context.home.lock();
        if home.as_ref().is_some_and(|home| home.has_queued()) {
            return;
        }
        let Some(forks) = context.forks.upgrade() else { unreachable!("whoever forks borrows the pool") };
        if let Some(node) = context.take_exposed() {
            return promote(&forks, &mut home, node);
        }
        let frontier = self.frontier.get();
        if frontier != self.newest.get() {
            // SAFETY: [node]: the frontier is live while it is the frontier.
            let node = unsafe { (*frontier).next.get() };
            promote(&forks, &mut home, node);
            self.frontier.set(node);
        }
    }
}

/// A stay in a context; ends when it is dropped.
struct Entered<'forks> {
    forks: &'forks Arc<Forks>,
    context: *const Context,
    outer: Position,
}

impl Entered<'_> {
    fn context(&self) -> &Context {
        // SAFETY: [entered]: `forks` keeps its contexts.
        unsafe { &*self.context }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let inner = HERE.with(|here| here.replace(self.outer));
        if inner.promoted {
            let home = self.context().home.lock().take();
            if let Some(home) = home {
                if home.is_posted() {
                    home.host().withdraw(&home);
                }
            }
        }
        let mut contexts = self.forks.contexts.lock();
        let index = self.context().index;
        contexts.all[index].busy = false;
        contexts.idle.push(index);
    }
}

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

#[inline]
/// `(a(), b())`, with what panics drop dropped quietly.
pub(crate) fn serially<RA, RB>(a: impl FnOnce() -> RA, b: impl FnOnce() -> RB) -> (RA, RB) {
    let b = Quiet::new(b);
    let a = Quiet::new(a());
    let b = (b.into_inner())();
    (a.into_inner(), b)
}

/// Runs both halves, the second perhaps on another thread, and returns once both have ended. Outside of any `fork` of these
/// `forks` it asks first whether to run them serially.
#[inline]
pub(crate) fn fork<A, B, RA, RB>(forks: &Arc<Forks>, serial: impl FnOnce() -> bool, a: A, b: B) -> (RA, RB)
where
    A: FnOnce() -> RA,
    B: FnOnce() -> RB + Send,
    RB: Send,
{
    let here = here();
    // SAFETY: it is this thread's, and this frame does not outlive the thread.
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
    let entered = forks.enter(None);
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

/// Where a node is kept.
#[derive(Clone, Copy)]
enum Place {
    Exposed(usize),
    /// In the list, after that one.
    Private(*const Header),
}

impl Place {
    /// Takes the newest node away. Returns its half if it was promoted, or else null.
    fn leave(self, here: &Here, header: *const Header) -> *const Half {
        match self {
            Place::Private(before) => here.newest.set(before),
            Place::Exposed(level) => {
                here.exposed.set(level);
                here.allowance.set(ALLOWANCE);
                if level + 1 == LEVELS {
                    here.newest.set(ptr::null());
                }
                let slot = &here.context().exposed[level];
                if !slot.swap(ptr::null_mut(), Ordering::AcqRel).is_null() {
                    return ptr::null();
                }
                if !broken!("half_read_early") {
                    // Whoever took it from the slot held the lock then, and holds it until the half is there.
                    drop(here.context().home.lock());
                }
            }
        }
        // SAFETY: [node]: the node is the caller's, and nobody promotes it any more.
        let half = unsafe { (*header).half.get() };
        if let (Place::Private(before), false) = (self, half.is_null()) {
            here.frontier.set(before);
        }
        half
    }
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
