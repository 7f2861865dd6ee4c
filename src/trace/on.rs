//! With the feature `tracing`.
//!
//! Everything here calls the program's subscriber, which may block or panic, so: none of it is called while a lock is held, and every call
//! goes through [`contained`]. No panic of the subscriber gets out of this file.

use super::TraceParent;
use crate::panics::{self, Payload};
use crate::sync::estimate::{AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex, local};
use std::cell::Cell;
use std::fmt::Debug;
use std::io;
use std::time::Duration;
use tracing::field::{DisplayValue, display};
use tracing::level_filters::LevelFilter;
use tracing::span::Id;
use tracing::{Level, Span, dispatcher, event, span};

const TARGET: &str = "fanpool";

/// Panics of subscribers.
static PANICS: AtomicUsize = AtomicUsize::new(0);

local! {
    static CURRENT: Cell<Option<TraceParent>> = Cell::new(None)
}

/// How often the program's subscriber has panicked when it was told of a span or an event of this crate. Such panics end nothing: the task
/// goes on, if need be without its span.
///
/// # Examples
///
/// ```
/// assert_eq!(fanpool::trace::subscriber_panics(), 0);
/// ```
#[must_use]
pub fn subscriber_panics() -> usize {
    PANICS.load(Ordering::Relaxed)
}

/// Calls the subscriber.
fn contained<R>(call: impl FnOnce() -> R) -> Option<R> {
    panics::catch(call)
        .map_err(|payload| {
            PANICS.fetch_add(1, Ordering::Relaxed);
            panics::discard(payload);
        })
        .ok()
}

/// Whether there is a subscriber that wants anything. Calls nobody.
pub(crate) fn is_on() -> bool {
    LevelFilter::current() != LevelFilter::OFF
}

/// Calls `call` with the span's id and where the span's subscriber is the one that is told: it need not be that of this thread.
fn told_of<R>(span: &Span, call: impl FnOnce(Option<Id>) -> R) -> R {
    match span.with_subscriber(|(id, dispatch)| (id.clone(), dispatch.clone())) {
        Some((id, dispatch)) => dispatcher::with_default(&dispatch, || call(Some(id))),
        None => call(None),
    }
}

/// Works as a part of that trace, if there is one.
pub(crate) fn within<R>(trace: Option<TraceParent>, work: impl FnOnce() -> R) -> R {
    match trace {
        Some(trace) => trace.enter(work),
        None => work(),
    }
}

struct Context {
    parent: Span,
    trace: Option<TraceParent>,
    group: Option<Arc<str>>,
}

impl Drop for Context {
    fn drop(&mut self) {
        let parent = std::mem::replace(&mut self.parent, Span::none());
        contained(|| drop(parent));
    }
}

/// What goes with a task from where it was submitted; nothing, if there is no subscriber and no `traceparent`.
#[derive(Clone)]
pub(crate) struct Carried(Option<Arc<Context>>);

/// Takes along what is current here to where the task runs, in a span of its own. For where no lock is held.
pub(crate) fn carry<R, F: FnOnce() -> R + Send>(group: Option<&Arc<str>>, task: F) -> impl FnOnce() -> R + Send {
    Carried::capture(group).wrap(task)
}

impl Carried {
    pub(crate) fn none() -> Carried {
        Carried(None)
    }

    /// What is current here. Calls the subscriber, so it is done before a lock is taken.
    pub(crate) fn capture(group: Option<&Arc<str>>) -> Carried {
        let (trace, on) = (CURRENT.with(Cell::get), is_on());
        if !on && trace.is_none() {
            return Carried(None);
        }
        let parent = if on { contained(Span::current) } else { None };
        Carried(Some(Arc::new(Context { parent: parent.unwrap_or_else(Span::none), trace, group: group.cloned() })))
    }

    /// The task in its span. Moves, and calls nobody.
    pub(crate) fn wrap<R, F: FnOnce() -> R + Send>(self, task: F) -> impl FnOnce() -> R + Send {
        move || self.run(task)
    }

    fn run<R>(self, task: impl FnOnce() -> R) -> R {
        let entered = self.task();
        if self.0.is_none() {
            return task();
        }
        // Caught here, so that the span is left and the panic told while nothing unwinds.
        match panics::catch(task) {
            Ok(value) => {
                entered.leave();
                value
            }
            Err(payload) => {
                entered.panicked(&payload);
                entered.leave();
                panics::resume(payload)
            }
        }
    }

    fn task(&self) -> Entered {
        Entered::new(
            self,
            |parent, traceparent, group| span!(target: TARGET, parent: parent, Level::INFO, "task", group, traceparent),
        )
    }

    /// For a half of a join that another thread runs.
    pub(crate) fn half(&self) -> Entered {
        Entered::new(
            self,
            |parent, traceparent, _| span!(target: TARGET, parent: parent, Level::INFO, "half", traceparent),
        )
    }

    /// For a batch of a map.
    pub(crate) fn map_batch(&self) -> Entered {
        Entered::new(
            self,
            |parent, traceparent, group| span!(target: TARGET, parent: parent, Level::INFO, "map", group, traceparent),
        )
    }

    /// For an attempt at an item of a service.
    pub(crate) fn item(&self, Name(service): &Name, number: u64, attempt: u32) -> Entered {
        let service = &**service;
        Entered::new(
            self,
            |parent, traceparent, _| span!(target: TARGET, parent: parent, Level::INFO, "item", service, number, attempt, traceparent),
        )
    }

    /// An item will be tried again.
    pub(crate) fn retried(&self, Name(service): &Name, number: u64, attempt: u32, delay: Duration) {
        let Some(context) = &self.0 else { return };
        let service = &**service;
        contained(|| {
            told_of(&context.parent, |parent| {
                let traceparent = context.trace.map(display);
                event!(
                    target: TARGET, parent: parent, Level::DEBUG,
                    service, number, attempt, ?delay, traceparent, "item retried"
                );
            });
        });
    }
}

/// A thread is in a span, until this is dropped.
#[must_use = "dropping it leaves the span"]
pub(crate) struct Entered {
    context: Option<Arc<Context>>,
    own: Span,
    entered: bool,
    before: Option<TraceParent>,
}

impl Entered {
    /// Enters a new span, or if nobody wants that, the parent, so that what the task does is in its place all the same.
    fn new<F>(Carried(context): &Carried, make: F) -> Entered
    where
        F: FnOnce(Option<Id>, Option<DisplayValue<TraceParent>>, Option<&str>) -> Span,
    {
        let trace = context.as_ref().and_then(|context| context.trace);
        let before = CURRENT.with(|current| current.replace(trace));
        let mut entered = Entered { context: context.clone(), own: Span::none(), entered: false, before };
        if let Some(context) = context {
            let made = || told_of(&context.parent, |parent| make(parent, trace.map(display), context.group.as_deref()));
            if is_on() {
                entered.own = contained(made).unwrap_or_else(Span::none);
            }
            entered.enter();
        }
        entered
    }

    /// For a batch of a service: its items come from many places, which it follows.
    pub(crate) fn batch<'c>(Name(service): &Name, items: usize, from: impl Iterator<Item = &'c Carried>) -> Entered {
        let before = CURRENT.with(Cell::take);
        let mut entered = Entered { context: None, own: Span::none(), entered: false, before };
        if !is_on() {
            return entered;
        }
        let service = &**service;
        let made = || span!(target: TARGET, parent: None::<Id>, Level::INFO, "batch", service, items);
        entered.own = contained(made).unwrap_or_else(Span::none);
        if !entered.own.is_disabled() {
            let mut last = None;
            for id in from.filter_map(|Carried(context)| context.as_ref()?.parent.id()) {
                // Those of one sender mostly come together.
                if last.as_ref() != Some(&id) {
                    contained(|| _ = entered.own.follows_from(&id));
                    last = Some(id);
                }
            }
        }
        entered.enter();
        entered
    }

    fn span(&self) -> &Span {
        match &self.context {
            Some(context) if self.own.is_disabled() => &context.parent,
            _ => &self.own,
        }
    }

    fn enter(&mut self) {
        self.entered =
            contained(|| self.span().with_subscriber(|(id, dispatch)| dispatch.enter(id))).flatten().is_some();
    }

    /// Tells of a panic in this span.
    pub(crate) fn panicked(&self, payload: &Payload) {
        if !is_on() {
            return;
        }
        let static_text = payload.downcast_ref::<&'static str>().copied();
        let text = static_text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        contained(|| {
            told_of(self.span(), |parent| {
                event!(target: TARGET, parent: parent, Level::ERROR, panic = text, "task panicked");
            });
        });
    }

    pub(crate) fn leave(self) {}
}

impl Drop for Entered {
    fn drop(&mut self) {
        if self.entered {
            contained(|| self.span().with_subscriber(|(id, dispatch)| dispatch.exit(id)));
        }
        if !self.own.is_disabled() {
            let own = std::mem::replace(&mut self.own, Span::none());
            contained(|| drop(own));
        }
        CURRENT.with(|current| current.set(self.before));
    }
}

/// The name of a service.
pub(crate) struct Name(Arc<str>);

impl Name {
    pub(crate) fn new(name: &str) -> Name {
        Name(name.into())
    }
}

/// Where something that is carried is laid down for another thread.
pub(crate) struct Place(Mutex<Carried>);

impl Place {
    pub(crate) fn new() -> Place {
        Place(Mutex::new(Carried::none()))
    }

    pub(crate) fn put(&self, carried: Carried) {
        let before = std::mem::replace(&mut *self.0.lock(), carried);
        drop(before);
    }

    pub(crate) fn get(&self) -> Carried {
        self.0.lock().clone()
    }
}

/// A pool has another number of workers.
pub(crate) fn resized(pool: &str, from: usize, to: usize) {
    contained(|| event!(target: TARGET, Level::INFO, pool, from, to, "pool resized"));
}

/// The operating system gives a pool no thread.
pub(crate) fn thread_refused(pool: &str, error: &io::Error) {
    contained(|| event!(target: TARGET, Level::WARN, pool, %error, "thread refused"));
}

/// A circuit breaker has changed its state.
pub(crate) fn breaker_changed(key: Option<u64>, from: impl Debug, to: impl Debug, calls: u64, failures: u64) {
    contained(|| event!(target: TARGET, Level::WARN, key, ?from, ?to, calls, failures, "breaker changed"));
}

#[cfg_attr(docsrs, doc(cfg(feature = "tracing")))]
impl TraceParent {
    /// The `traceparent` under which the calling thread works; with the feature `tracing`.
    ///
    /// It is what [`enter`](TraceParent::enter) was called on, or in a task, a batch of a map or the handler of a service that takes
    /// items one by one, what was current where the task was submitted, the map begun or the item sent.
    ///
    /// # Examples
    ///
    /// An item with headers arrives with a `traceparent`; the handler runs under it, and what it asks of others carries it on.
    ///
    /// ```
    /// use fanpool::FanOut;
    /// use fanpool::trace::TraceParent;
    /// use std::collections::HashMap;
    ///
    /// type Headers = HashMap<String, String>;
    ///
    /// // The handler makes a call to another service.
    /// let handler = |_item: Headers| {
    ///     let mut outgoing = Headers::new();
    ///     if let Some(parent) = TraceParent::current() {
    ///         outgoing.insert("traceparent".into(), parent.child().to_string());
    ///     }
    ///     Ok::<Headers, ()>(outgoing)
    /// };
    /// let (input, mut output) = FanOut::builder(handler).start()?;
    ///
    /// // A message comes from a broker. One whose header is missing or damaged begins a trace of its own.
    /// let incoming = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    /// let item = Headers::from([("traceparent".into(), incoming.into())]);
    /// let parent = item.get("traceparent").and_then(|header| header.parse().ok());
    /// parent.unwrap_or_else(|| TraceParent::root(false)).enter(|| input.send(item))?;
    ///
    /// let Ok(outgoing) = output.recv()?.result else { unreachable!() };
    /// let sent: TraceParent = outgoing["traceparent"].parse()?;
    /// let incoming: TraceParent = incoming.parse()?;
    /// assert_eq!(sent.trace_id(), incoming.trace_id());
    /// assert_ne!(sent.parent_id(), incoming.parent_id());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn current() -> Option<TraceParent> {
        CURRENT.with(Cell::get)
    }

    /// Calls `work` with this as the [`current`](TraceParent::current) one; with the feature `tracing`. Tasks that it submits and items that
    /// it sends take it along.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{Pool, trace::TraceParent};
    ///
    /// let pool = Pool::new();
    /// let parent = TraceParent::root(true);
    /// let task = parent.enter(|| pool.submit(TraceParent::current));
    /// assert_eq!(task.join()?, Some(parent));
    /// assert_eq!(TraceParent::current(), None);
    /// # Ok::<(), fanpool::JoinError>(())
    /// ```
    pub fn enter<R>(self, work: impl FnOnce() -> R) -> R {
        struct Before(Option<TraceParent>);
        impl Drop for Before {
            fn drop(&mut self) {
                CURRENT.with(|current| current.set(self.0));
            }
        }
        let _before = Before(CURRENT.with(|current| current.replace(Some(self))));
        work()
    }
}
