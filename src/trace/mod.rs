//! Traces: the `traceparent` of the W3C, and with the feature `tracing`, spans and events for the crate of that name.
//!
//! [`TraceParent`] parses and formats the header, with or without the feature. All that follows is with the feature `tracing`.
//!
//! # Spans
//!
//! All have the target `fanpool` and the level `INFO`. The parent is the span that was current where the work was handed over, whichever
//! thread runs it and on whosever stack; without one, the span is a root.
//!
//! | Span | Around | Parent | Fields |
//! |---|---|---|---|
//! | `task` | a task of a pool, a group, a scope or a broadcast | where it was spawned or submitted | `group`: its name; `traceparent` |
//! | `map` | items of a batch that a map has given to the pool; the calling thread's own are in its own span | where the map was begun | `group`, `traceparent` |
//! | `half` | a half of a `join` that another thread runs | where the outermost `join` of the calling thread was called | `traceparent` |
//! | `item` | an attempt at an item of a service | where it was sent | `service`: its name; `number`: the item's; `attempt`, from 1; `traceparent` |
//! | `batch` | a batch of a service | none: it follows from the spans in which its items were sent | `service`, `items` |
//!
//! Where the subscriber does not want such a span (the filter `fanpool=warn`), the parent is entered instead, so that the spans of the
//! program are still in their places. Items of a second stage are sent by the collector of the first, and those of a feeder by its thread;
//! both are in no span.
//!
//! # Events
//!
//! | Event | Level | Fields |
//! |---|---|---|
//! | `pool resized` | `INFO` | `pool`: its name; `from`, `to`: workers |
//! | `thread refused` | `WARN` | `pool`, `error` |
//! | `breaker changed` | `WARN` | `key`: the hash, of a breaker that has one; `from`, `to`: states; `calls`, `failures`: of the window that decided |
//! | `task panicked` | `ERROR`, in the span of the task, the item or the batch | `panic`: the text of the payload, if it is text |
//! | `item retried` | `DEBUG`, in the span in which the item was sent | `service`, `number`, `attempt`: the one that failed; `delay`; `traceparent` |
//!
//! # Subscribers that fail
//!
//! The subscriber is called by the thread that submits or runs a task, with no lock held. One that blocks holds up that task, and whoever
//! waits for it. A panic is caught and counted (`subscriber_panics`): the task runs as it would have, if need be without its span.
//!
//! A subscriber that is the default of one thread alone is told of the spans of what that thread submits; whatever else the tasks tell
//! goes to the default of the thread that runs them.
//!
//! # Cost
//!
//! Without the feature: nothing, and closures have the size that they have. With it and without a subscriber: a look at an atomic and at a
//! thread-local, and a word for each task and each item. With a subscriber: an allocation for each task and item, and what the
//! subscriber takes.

mod parent;

pub use parent::{TraceParent, TraceParentError};

#[cfg(not(feature = "tracing"))]
mod off;
#[cfg(not(feature = "tracing"))]
pub(crate) use off::*;

#[cfg(feature = "tracing")]
mod on;
#[cfg(feature = "tracing")]
#[cfg_attr(docsrs, doc(cfg(feature = "tracing")))]
pub use on::subscriber_panics;
#[cfg(feature = "tracing")]
pub(crate) use on::*;
