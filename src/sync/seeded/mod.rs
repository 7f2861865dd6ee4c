//! The replaying side: `real`, until a thread takes part in a *run*; then one thread of the run at a time.
//!
//! # The protocol
//!
//! A **run** is what one call of [`run`] does: a program and the threads that it starts by `thread::start`, directly or through others
//! of the run. Each of them, a *member*, finds the run's `Scheduler` in a thread-local. All other threads of the process are
//! strangers to it and behave as in `real`; so does every member once the run is over.
//!
//! **Who holds the baton.** `running`, under the scheduler's lock, is the number of the one member that may execute. All others are
//! blocked in `Scheduler::wait_turn`, each on a condition variable of its own. A member that was started just now waits there before its
//! first step. So between two operations of this module a member is alone: whatever it reads of the run's state, nobody else of the
//! run changes before its next operation.
//!
//! **When it passes.** Before a lock is taken and after it is given back; after a notice; before each operation of a channel and after one
//! that did something; after a thread is started and when one ends; at `yield_now`; in the first turns of a loop that spins; and
//! whenever a member cannot go on. The holder picks the next, perhaps itself, among those that can go on, by a generator seeded with
//! the run's seed. The choice depends on numbers in the order of starting, never on addresses, names, thread ids or measured time. What
//! the program draws from outside (`outside`: time, the keys of hashes, the number of processors) comes from the run too.
//!
//! **Why no wake-up is lost.** A member that must wait says for what, and passes the baton, in one section of the scheduler's lock; and
//! from its last look at what it waits for until then it held the baton. So whoever brings it about does so before the look or after
//! the waiting is noted:
//!
//! * A *lock* that a member holds, a *condition variable* and the *end of a thread* are waited for by key. Only members give them, and they
//!   go through the scheduler, which makes everybody who waits for that key runnable.
//! * A *channel* is crossbeam's, and its ends may be dropped, or used by the program, without the scheduler's knowledge. So whoever
//!   waits for one *polls*: it is picked, looks, and says if it looked in vain. It is a candidate after each operation that changed any
//!   channel; besides, in one pick of sixteen, and whenever nobody else can go on, if anybody has made a step since its last look. So
//!   nobody rests while what it waits for is there and the others wait.
//! * A *lock that a stranger holds* is waited for as in `real`, baton in hand: the stranger does not need the baton to give it back. A lock
//!   notes the run of the member that holds it, which tells the two cases apart.
//!
//! **Time** is virtual: it begins with the system's clock and goes on by some microseconds at each step, by some nanoseconds at each
//! look, and, if nobody can go on, to the earliest deadline that a member waits for. Whoever's deadline has passed can go on.
//!
//! The ticks of `join` would keep a run alive for ever: a deadline that is a tick counts only until a hundred in a row have come and gone
//! without a step of anybody who does not tick.
//!
//! **Deadlock.** If nobody can go on, all have polled in vain and there is no deadline, nobody gets the baton any more. The members stay
//! blocked for ever, with their stacks and all that they own; they touch nothing again. [`run`] reports what each waits for. That is why the
//! program has a thread of its own: to unwind it would run destructors that wait for the others.
//!
//! **The end.** When the program has returned or unwound, the baton is thrown away: `is_over` is set and everybody is woken. From then
//! on no member finds a run. One that was blocked does the operation anew as in `real`: it takes the lock, receives from the channel,
//! joins the thread, sleeps what is left; a wait for a condition variable returns as if notified, which every caller in this crate allows
//! since it looks at its condition again.
//!
//! A member ends in the destructor of the thread-local in which it is noted. It was the first to be made on that thread, so it is destroyed
//! after all others, which may still use the pool.

pub(crate) mod channel;
mod locks;
mod member;
pub(crate) mod outside;
mod random;
mod scheduler;
pub(crate) mod thread;

pub(crate) use super::real::{atomic, local};
pub(crate) use locks::{Condvar, Mutex, MutexGuard};
pub(crate) use member::{run, yield_now};
