//! Fan-out and fan-in over an iterator.
//!
//! # The protocol
//!
//! A map is a scope whose tasks run items. Three parties work on it:
//!
//! * The *calling thread* (`engine`) takes items from the source, appends them to *segments* (`segment`), collects results from
//!   those and hands them to the consumer. It alone knows the order of the segments, the window and the budget, so none
//!   of that needs a lock.
//! * *Workers* (`core`) come with a job that points at a segment. They claim a few items under its lock, run them
//!   without it, and put the results back where the items stood. A job stays queued as long as its segment has unclaimed items,
//!   so every idle worker of the pool comes, and it comes also to what stands beside a slow item.
//! * The *pace* (`pace`) says how many items a few are: so many that the lock costs little, and one where an item takes longer
//!   than a quarter of a microsecond.
//!
//! The calling thread does the first of these that it can: deliver what is complete; feed, while the window has room; run items,
//! from the oldest segment, exactly as a worker does; park. It parks only when no item is unclaimed (or, in a group with a
//! limit, when it gets no place), so what it waits for is being run by some thread, or will be by one that has a place: a map in a
//! task of a map ends on one worker.
//!
//! **Why no wake-up is lost.** The calling thread parks in the group. It looks at the segment under the group's inbox lock and the
//! segment's own, and leaves a mark there with the slot it waits for. Whoever fills that slot does so under the segment's lock, finds
//! the mark, and then takes the inbox lock to notify; it cannot get that lock before the calling thread is parked. The lock order
//! is inbox, then segment; nobody takes the inbox lock while holding a segment's.
//!
//! **Order.** Results stand where their items stood, so delivering segments from front to back is delivering in order. A panic is
//! such a result. Whatever ends the run (an error, a panic, a consumer that has enough) is met in order by the calling thread, which
//! then closes every segment: what is unclaimed is dropped, and what runs is dropped by whoever runs it, before the scope
//! ends.
//!
//! **Cheap items.** Where an item takes less time than handing it over and back, the calling thread runs it itself, as a plain
//! loop would, and looks at the clock every so often to notice when that changes.

mod board;
mod core;
mod engine;
mod feed;
mod options;
mod pace;
mod stream;
mod terminals;
mod verbs;
mod work;

pub use options::{Ending, Map, StopReason, Stoppable, Stopped, Whole};
pub use stream::Stream;
