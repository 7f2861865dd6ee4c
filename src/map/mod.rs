//! Fan-out and fan-in over an iterator.
//!
//! # The protocol
//!
//! A map is a scope whose jobs run batches of items. Three parties work on it:
//!
//! * The *calling thread* (`engine`, `feed`) takes items from the source, puts batches of them on the *board* (`board`), collects from
//!   there what is done, and delivers it. It alone knows the window, the budget and the order, so none of that needs a lock.
//! * *Workers* (`core`) come with a job, take a batch from the board, run it, and bring the results back. A job stays queued as
//!   long as an item waits, so every idle worker of the pool comes.
//! * The *pace* (`pace`) says how many items make a batch: about 50 µs of work, so that the board costs little, and one item
//!   where an item takes longer. It is a guess, so what a thread has not started of its batch stays within reach of others: one
//!   that finds no batch takes over half of what is left of one that runs. No item waits behind a slow one while a thread has
//!   nothing to do.
//!
//! The calling thread does the first of these that it can: feed, while the window has room; deliver what is next; run a batch,
//! the oldest that waits, exactly as a worker does; park. It parks only when no item waits (or, in a group with a
//! limit, when it gets no place), so what it waits for is being run by some thread, or will be by one that has a place: a map in
//! a task of a map ends on one worker.
//!
//! **Why no wake-up is lost.** The calling thread parks in the group. It looks at the board under the group's inbox lock and the
//! board's own, and leaves a mark there of what it waits for. Whoever brings that does so under the board's lock, finds the
//! mark, and then takes the inbox lock to notify; it cannot get that lock before the calling thread is parked. Items that
//! wait come only from the calling thread itself. The lock order is inbox, board, batch; nobody takes the inbox lock while
//! holding one of the others.
//!
//! **Order.** Batches carry the index of their first item, and the calling thread delivers by index. A panic is a result with a
//! place in that order. Whatever ends the run (an error, a panic, a consumer that has enough) is met in order by the
//! calling thread, which then closes the board: what waits is dropped, and what runs ends with the item at hand and is dropped by
//! whoever runs it, before the scope ends.
//!
//! **Cheap items.** Where an item takes less time than handing it over and back, the calling thread runs it itself, as a plain
//! loop would, and looks at the clock every so often to notice when that changes.

mod board;
mod core;
mod engine;
mod feed;
mod options;
mod pace;
mod results;
mod stream;
mod terminals;
mod verbs;
mod work;

pub use options::{Ending, Map, StopReason, Stoppable, Stopped, Whole};
pub use stream::Stream;
