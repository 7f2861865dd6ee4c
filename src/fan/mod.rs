//! Services: typed items in from many threads, their outcomes out through one collector, for as long as the program likes.
//!
//! # The protocol
//!
//! A service is a queue of items that a task group serves: jobs in the group's queue say "come to this service", and threads that
//! take one run items until none waits. Four parties work on it:
//!
//! * *Senders* (`core`) take a credit of the window (`credits`), give the item its number, and put it where items arrive.
//! * *Threads that run items* (`serve`) come with a job, or are callers that help. Each takes a place, then some items at a time from
//!   the lane's queue (`queue`) into its hand (`slot`), runs them, and lands what is done.
//! * The *collector* (`output`, `collect`) takes what has landed (`landing`), restores the order where it was asked for, delivers, and gives
//!   the credits back. It alone knows the reorder buffer.
//! * The *alarm*, on the pool's timer, looks after what was put off; see below.
//!
//! **Locks**, in this order: the lane's queue, the intake, a hand, the landing's (which is taken alone except by the alarm as it empties
//! a hand). None is held while user code runs (nor while a value of the user's is dropped), while a job is pushed or while the
//! timer is called.
//!
//! **The invariant.** Whenever nobody holds the intake's lock: *if an item may be started and fewer threads than `limit` have a
//! place and the service is not paused, then somebody will look*: a job is in the group's queue or about to be put there (`queued`),
//! or the parked collector was rung for, or the alarm is set. It is kept at each place where an item comes to wait or a place
//! comes free:
//!
//! * *push*: under the intake's lock, which is where `queued` and the places are.
//! * *arrival* clears `queued` and takes a place in one section with both locks, and summons the next if more waits.
//! * *leaving* gives the place up in a section that holds both locks and has just seen that nothing may be started; if
//!   the quota is over and something may, it summons.
//! * *giving on a key*: what was behind an item may be started when that has ended. Whoever ran it looks at the queue before leaving.
//! * *resume*, a higher *limit*, a *close* that ends the waiting for a batch: look at every lane anew.
//!
//! **Who is summoned.** A job wakes a worker, which takes some microseconds. So while items take less than that (`pace`), further
//! threads are not summoned at once: one that serves will look again before it leaves, and a caller that helps comes back
//! soon. What is left out in this way is marked by the alarm being set; it looks every 100 µs, and summons if an item
//! waits that already waited at the look before. It also takes back what a thread holds that is stuck in one item. Without a thread for
//! the alarm nothing is put off.
//!
//! **Senders and window**: see `credits`. **The collector's waiting**: see `landing`. A collector that helps registers as idle (under
//! the intake's lock) before its last look at the queues; a push that finds it idle clears the mark and rings, so the
//! collector is a thread that was summoned, and if it leaves instead (its time is over) it passes the summons on. A job that is
//! queued already does not count here, nor for parked senders that must help: its turn may come only after this very thread, the
//! pool's only worker or a scope's owner, has gone on.
//!
//! **Ending.** `closed` is set under the intake's lock, so that the number of accepted items is final with it; the landing is told
//! the total, and the collector is at the end when it has taken that many. Stopping also takes everything that waits, in the queues
//! and in the hands, and lands it as cancelled. What runs ends as ever.

mod alarm;
mod attempt;
mod batch;
mod breakers;
mod breaking;
mod builder;
mod choices;
mod collect;
mod collector;
mod control;
mod core;
mod credits;
mod delayed;
mod fan_out;
mod fed;
mod feeder;
mod guard;
mod health;
mod hedging;
mod helping;
mod input;
mod landing;
mod merge;
mod metrics;
mod outcome;
mod output;
mod pace;
mod policies;
mod put_off;
mod queue;
mod quick;
mod rating;
mod resilient;
mod send;
mod serve;
mod service;
mod settings;
mod slot;
mod split;
mod stages;
mod start;
mod summon;
mod verdict;
mod work;

pub use builder::FanOutBuilder;
pub use collector::Collector;
pub use control::Control;
pub use fan_out::FanOut;
pub(crate) use fed::{Fed, Feed};
pub use feeder::Feeder;
pub use input::Input;
pub use landing::ServiceCounts;
pub use merge::{FanIn, FanInBy, Source, fan_in, fan_in_by};
pub use outcome::Outcome;
pub use output::Output;
pub use settings::{Help, Route};
pub use split::Branch;
pub use stages::After;
pub use start::{Alone, Within};
pub(crate) use work::Work;

use crate::job::Job;
use helping::Patience;
use std::time::Instant;

/// Who would block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Party {
    Sender,
    Receiver,
}

/// How long to wait for room or an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    Not,
    /// Until then; `None` is for ever.
    Until(Option<Instant>),
}

/// Puts a lane's job into the queue of the group that serves it.
type Tap<'a> = Box<dyn Fn(usize, Job<'a>) + Send + Sync + 'a>;
