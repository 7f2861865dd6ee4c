//! Threads of a run, and the run itself.

use super::scheduler::{Scheduler, Wait, What, Woken};
use crate::sync::Arc;
use std::any::Any;
use std::cell::RefCell;
use std::time::Instant;

/// What a program that panicked panicked with.
type Payload = Box<dyn Any + Send>;

/// A thread of a run.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) scheduler: Arc<Scheduler>,
    index: usize,
}

/// Says that the thread is a member, until it is destroyed.
struct Registered(Member);

thread_local! {
    static MEMBER: RefCell<Option<Registered>> = const { RefCell::new(None) };
}

/// The calling thread, if it is a member of a run that is not over.
pub(super) fn current() -> Option<Member> {
    let member = |registered: &RefCell<Option<Registered>>| registered.borrow().as_ref().map(|own| own.0.clone());
    MEMBER.try_with(member).ok().flatten().filter(|member| !member.scheduler.is_over())
}

impl Member {
    /// Makes the calling thread, which was just started, a member, and blocks it until its turn comes.
    pub(super) fn enter(scheduler: Arc<Scheduler>, index: usize) {
        let member = Member { scheduler, index };
        MEMBER.with(|registered| *registered.borrow_mut() = Some(Registered(member.clone())));
        member.scheduler.enter(index);
    }

    /// A step, at which somebody else may be picked.
    pub(super) fn switch(&self) {
        self.scheduler.switch(self.index, false);
    }

    /// Gives back whatever others wait for by this key.
    pub(super) fn give(&self, what: What, key: usize) {
        self.scheduler.wake(what, key);
        self.switch();
    }

    /// Makes who waits for this runnable, without a step.
    pub(super) fn wake(&self, what: What, key: usize) {
        self.scheduler.wake(what, key);
    }

    pub(super) fn wait(&self, what: What, key: usize, until: Option<Instant>) -> Woken {
        self.scheduler.wait(self.index, Wait { what, key, until, tick: None })
    }

    /// Waits for a notice, a deadline or a tick.
    pub(super) fn wait_ticking(&self, key: usize, tick: Option<Instant>, until: Option<Instant>) -> Woken {
        self.scheduler.wait(self.index, Wait { what: What::Notice, key, until, tick })
    }

    /// Looks by `attempt`, which returns `None` if it was in vain, until it was not. Fails if it is late, or the run over.
    pub(super) fn poll<R>(
        &self,
        what: &'static str,
        until: Option<Instant>,
        mut attempt: impl FnMut() -> Option<R>,
    ) -> Result<R, Woken> {
        self.switch();
        let mut first = true;
        loop {
            if let Some(result) = attempt() {
                self.change();
                return Ok(result);
            }
            match self.scheduler.poll(self.index, what, until, first) {
                Woken::Notified => first = false,
                // It may have come since.
                Woken::Late => return attempt().inspect(|_| self.change()).ok_or(Woken::Late),
                Woken::Over => return Err(Woken::Over),
            }
        }
    }

    /// Something of a channel was changed.
    pub(super) fn change(&self) {
        self.scheduler.change(self.index);
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.0.scheduler.end(self.0.index);
    }
}

/// A point where another thread of the run may be picked.
pub(crate) fn yield_now() {
    if let Some(member) = current() {
        member.scheduler.switch(member.index, true);
    }
}

/// Throws the baton away when the program returns or unwinds.
struct Finish(Arc<Scheduler>);

impl Drop for Finish {
    fn drop(&mut self) {
        self.0.finish();
    }
}

/// Runs `program` on a thread of its own as the first member of a run. Fails with the report if nobody of the run can go on, with the
/// system's words if there is no thread for it, and inside of a run.
pub(crate) fn run<R: Send + 'static>(
    seed: u64,
    program: impl FnOnce() -> R + Send + 'static,
) -> Result<Result<R, Payload>, String> {
    if current().is_some() {
        return Err(format!("seed {seed}: a seeded run inside of another"));
    }
    let scheduler = Scheduler::new(seed);
    let name = std::thread::current().name().unwrap_or("program").to_owned();
    let (index, own) = (scheduler.add(name.clone()), scheduler.clone());
    let thread = std::thread::Builder::new().name(name).spawn(move || {
        let _finish = Finish(own.clone());
        Member::enter(own, index);
        program()
    });
    let thread = thread.map_err(|refused| format!("seed {seed}: no thread for the program: {refused}"))?;
    scheduler.verdict()?;
    Ok(thread.join())
}
