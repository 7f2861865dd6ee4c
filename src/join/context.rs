//! Contexts: where a thread is in its forks, and who promotes for it.
#![allow(unsafe_code)]

use super::half::{Half, Header, promote};
use crate::group::{Host, TaskGroup};
use crate::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use crate::sync::{Arc, MODEL, Mutex, MutexGuard, Weak, broken, is_eager, local};
use crate::trace::{Carried, Place as Kept};
use std::cell::Cell;
use std::fmt;
use std::mem;
use std::ptr;

/// Forks of a context, counted from the outermost, whose halves others may promote.
pub(super) const LEVELS: usize = if MODEL { 1 } else { 3 };

/// Private nodes that a context makes between two beats. With the exposed ones enough for the way down in a balanced
/// recursion of two thousand leaves, and few against the forks of a beat where forks are small.
pub(super) const ALLOWANCE: usize = 8;

/// What wakes the thread that ticks.
pub(crate) trait Clock: Send + Sync {
    /// A first context became busy, and nobody ticks. [`Forks::tick`] is to be called until [`Forks::rest`] says
    /// otherwise.
    fn wake(&self, forks: &Arc<Forks>);
    /// Whether this is a forked process, in which the other threads of the pool are missing.
    fn is_forked(&self) -> bool;
}

/// What the owner of a context shares with those who promote for it.
pub(super) struct Context {
    index: usize,
    forks: Weak<Forks>,
    /// Whether every fork promotes: in models, and in some seeded runs.
    eager: bool,
    /// Tells the owner to promote at its next fork. Decides nothing else.
    beat: AtomicBool,
    /// The exposed nodes by level; null where there is none, or where it was promoted.
    pub(super) exposed: [AtomicPtr<Header>; LEVELS],
    /// Held by whoever promotes. The group is where this context's halves are queued; made for the first of them.
    home: Mutex<Option<Arc<TaskGroup>>>,
    /// From where the outermost fork was called.
    trace: Kept,
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
            trace: Kept::new(),
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
            Some(node) => promote(forks, &mut home, node, self.trace.get()),
            None => self.beat.store(true, Ordering::Relaxed),
        }
    }

    #[inline]
    pub(super) fn is_beaten(&self) -> bool {
        self.beat.load(Ordering::Relaxed)
    }

    fn take_exposed(&self) -> Option<*const Header> {
        self.exposed.iter().find_map(|slot| {
            let node = slot.swap(ptr::null_mut(), Ordering::AcqRel).cast_const();
            (!node.is_null()).then_some(node)
        })
    }
}

/// The contexts of a pool.
pub(crate) struct Forks {
    pub(super) host: Arc<dyn Host>,
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
        let contexts = Contexts { all: Vec::new(), idle: Vec::new(), ticking: false, eager: is_eager() };
        Arc::new(Forks { host, clock, contexts: Mutex::new(contexts) })
    }

    /// Locks the contexts; `None` if a thread held the lock when this process was forked from its own, and so for ever.
    /// The timer may, in a pool that is idle to all appearance.
    fn lock(&self) -> Option<MutexGuard<'_, Contexts>> {
        let free = if MODEL { None } else { self.contexts.try_lock() };
        if free.is_none() && self.clock.is_forked() {
            return None;
        }
        Some(free.unwrap_or_else(|| self.contexts.lock()))
    }

    /// Makes the calling thread the owner of a context, whose halves are queued in `home`. `None` if there can be no
    /// context.
    pub(super) fn enter(self: &Arc<Self>, home: Option<Arc<TaskGroup>>) -> Option<Entered<'_>> {
        let trace = Carried::capture(None);
        let (context, wake) = {
            let mut contexts = self.lock()?;
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
        entered.context().trace.put(trace);
        if home.is_some() {
            *entered.context().home.lock() = home;
        }
        Some(entered)
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
pub(super) struct Here {
    /// The pool of the context, by address: it lives as long as the context is entered.
    pub(super) pool: Cell<*const Forks>,
    context: Cell<*const Context>,
    /// The newest node; null while fewer than `LEVELS` are live.
    pub(super) newest: Cell<*const Header>,
    /// The newest private node that was promoted, or else the last exposed one. What is between it and `newest` is not
    /// promoted.
    pub(super) frontier: Cell<*const Header>,
    /// How many exposed nodes are live.
    pub(super) exposed: Cell<usize>,
    /// How many private nodes may still be made before the next beat.
    pub(super) allowance: Cell<usize>,
    /// Beats that this thread has answered.
    pub(super) beats: Cell<usize>,
    /// Whether the context may have a group.
    pub(super) promoted: Cell<bool>,
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
    pub(super) static HERE: Here = Here::outside()
}

/// The calling thread's own. A pointer, since a closure around all of a fork would not be inlined.
#[inline]
pub(super) fn here() -> *const Here {
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
    pub(super) fn context(&self) -> &Context {
        // SAFETY: [entered]: there is a context, and it outlives the stay in it.
        unsafe { &*self.context.get() }
    }

    /// Promotes the oldest half of this thread that is not.
    #[cold]
    #[inline(never)]
    pub(super) fn promote(&self) {
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
            return promote(&forks, &mut home, node, context.trace.get());
        }
        let frontier = self.frontier.get();
        if frontier != self.newest.get() {
            // SAFETY: [node]: the frontier is live while it is the frontier.
            let node = unsafe { (*frontier).next.get() };
            promote(&forks, &mut home, node, context.trace.get());
            self.frontier.set(node);
        }
    }
}

/// A stay in a context; ends when it is dropped.
pub(super) struct Entered<'forks> {
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
        self.context().trace.put(Carried::none());
        // A beat that came too late is not for the next stay.
        self.context().beat.store(self.context().eager, Ordering::Relaxed);
        let mut contexts = self.forks.contexts.lock();
        let index = self.context().index;
        contexts.all[index].busy = false;
        contexts.idle.push(index);
    }
}

/// Where a node is kept.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Exposed(usize),
    /// In the list, after that one.
    Private(*const Header),
}

impl Place {
    /// Takes the newest node away. Returns its half if it was promoted, or else null.
    pub(super) fn leave(self, here: &Here, header: *const Header) -> *const Half {
        match self {
            Place::Private(before) => here.newest.set(before),
            Place::Exposed(level) => {
                here.exposed.set(level);
                here.allowance.set(ALLOWANCE);
                if level + 1 == LEVELS {
                    // Both: a promotion may come while fewer nodes are live, and must not follow what is gone.
                    here.newest.set(ptr::null());
                    here.frontier.set(ptr::null());
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

#[cfg(all(test, not(fanpool_loom)))]
mod tests;
