//! A subscriber that writes down what it is told, and blocks or panics where a test says so.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_core::span::Current;

type Fields = BTreeMap<&'static str, String>;

#[derive(Debug, Clone)]
pub(crate) struct SpanSeen {
    pub(crate) id: u64,
    pub(crate) name: &'static str,
    pub(crate) parent: Option<u64>,
    pub(crate) fields: Fields,
    pub(crate) follows: Vec<u64>,
    pub(crate) entered: usize,
    pub(crate) left: usize,
    handles: usize,
    metadata: &'static Metadata<'static>,
}

#[derive(Debug, Clone)]
pub(crate) struct EventSeen {
    pub(crate) level: Level,
    pub(crate) target: &'static str,
    pub(crate) message: String,
    pub(crate) parent: Option<u64>,
    pub(crate) fields: Fields,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Log {
    spans: Vec<SpanSeen>,
    events: Vec<EventSeen>,
    calls: usize,
}

/// What the subscriber is called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    NewSpan(&'static str),
    Follows,
    Enter(&'static str),
    Exit(&'static str),
    Clone,
    Close,
    Current,
    Event(Level),
}

type Fault = Arc<dyn Fn(Call) + Send + Sync>;

static LOG: Mutex<Log> = Mutex::new(Log { spans: Vec::new(), events: Vec::new(), calls: 0 });
static FAULT: Mutex<Option<Fault>> = Mutex::new(None);
static ON: AtomicBool = AtomicBool::new(false);
static WANTS_SPANS: AtomicBool = AtomicBool::new(true);
static ALONE: Mutex<()> = Mutex::new(());

thread_local! {
    static STACK: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The time in which a test has the subscriber for itself.
pub(crate) struct Recording {
    first: (usize, usize, usize),
    _alone: MutexGuard<'static, ()>,
}

impl Recording {
    pub(crate) fn start() -> Recording {
        let recording = Recording::off();
        ON.store(true, Ordering::SeqCst);
        tracing::callsite::rebuild_interest_cache();
        recording
    }

    /// Without a subscriber that wants anything.
    pub(crate) fn off() -> Recording {
        static ONCE: Once = Once::new();
        let alone = lock(&ALONE);
        ONCE.call_once(|| tracing::subscriber::set_global_default(Recorder).unwrap());
        tracing::callsite::rebuild_interest_cache();
        let log = lock(&LOG);
        Recording { first: (log.spans.len(), log.events.len(), log.calls), _alone: alone }
    }

    /// From now on no spans of the crate are wanted.
    pub(crate) fn refuse_spans(&self) {
        WANTS_SPANS.store(false, Ordering::SeqCst);
        tracing::callsite::rebuild_interest_cache();
    }

    pub(crate) fn fault(&self, fault: impl Fn(Call) + Send + Sync + 'static) {
        *lock(&FAULT) = Some(Arc::new(fault));
    }

    pub(crate) fn heal(&self) {
        *lock(&FAULT) = None;
    }

    pub(crate) fn calls(&self) -> usize {
        lock(&LOG).calls - self.first.2
    }

    pub(crate) fn spans(&self) -> Vec<SpanSeen> {
        lock(&LOG).spans[self.first.0..].to_vec()
    }

    pub(crate) fn events(&self) -> Vec<EventSeen> {
        lock(&LOG).events[self.first.1..].to_vec()
    }

    pub(crate) fn named(&self, name: &str) -> Vec<SpanSeen> {
        self.spans().into_iter().filter(|span| span.name == name).collect()
    }

    pub(crate) fn the(&self, name: &str) -> SpanSeen {
        let mut named = self.named(name);
        assert_eq!(named.len(), 1, "{name}: {:#?}", self.spans());
        named.remove(0)
    }

    pub(crate) fn told(&self, message: &str) -> Vec<EventSeen> {
        self.events().into_iter().filter(|event| event.message == message).collect()
    }

    /// The names of a span's ancestors, the span's own first.
    pub(crate) fn line(&self, span: &SpanSeen) -> Vec<&'static str> {
        let spans = self.spans();
        let (mut line, mut parent) = (vec![span.name], span.parent);
        while let Some(found) = spans.iter().find(|span| Some(span.id) == parent) {
            line.push(found.name);
            parent = found.parent;
        }
        line
    }

    /// Every span was left as often as it was entered, and is closed.
    pub(crate) fn assert_closed(&self) {
        for span in self.spans() {
            assert_eq!((span.entered - span.left, span.handles), (0, 0), "{span:#?}");
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.heal();
        ON.store(false, Ordering::SeqCst);
        WANTS_SPANS.store(true, Ordering::SeqCst);
        tracing::callsite::rebuild_interest_cache();
    }
}

pub(crate) struct Recorder;

impl Recorder {
    fn call(&self, call: Call) {
        lock(&LOG).calls += 1;
        let fault = lock(&FAULT).clone();
        if let Some(fault) = fault {
            fault(call);
        }
    }
}

fn name_of(id: &Id) -> &'static str {
    lock(&LOG).spans[id.into_u64() as usize - 1].name
}

fn change<R>(id: u64, change: impl FnOnce(&mut SpanSeen) -> R) -> R {
    change(&mut lock(&LOG).spans[id as usize - 1])
}

fn current() -> Option<u64> {
    STACK.with_borrow(|stack| stack.last().copied())
}

impl Subscriber for Recorder {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(if ON.load(Ordering::SeqCst) { LevelFilter::TRACE } else { LevelFilter::OFF })
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        WANTS_SPANS.load(Ordering::SeqCst) || !metadata.is_span() || metadata.target() != "fanpool"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let metadata = span.metadata();
        self.call(Call::NewSpan(metadata.name()));
        let mut fields = Written::default();
        span.record(&mut fields);
        let contextual = span.is_contextual().then(current).flatten();
        let parent = span.parent().map(Id::into_u64).or(contextual);
        let mut log = lock(&LOG);
        let id = log.spans.len() as u64 + 1;
        log.spans.push(SpanSeen {
            id,
            name: metadata.name(),
            parent,
            fields: fields.0,
            follows: Vec::new(),
            entered: 0,
            left: 0,
            handles: 1,
            metadata,
        });
        Id::from_u64(id)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, id: &Id, follows: &Id) {
        self.call(Call::Follows);
        change(id.into_u64(), |span| span.follows.push(follows.into_u64()));
    }

    fn event(&self, event: &Event<'_>) {
        self.call(Call::Event(*event.metadata().level()));
        let mut fields = Written::default();
        event.record(&mut fields);
        let contextual = event.is_contextual().then(current).flatten();
        let seen = EventSeen {
            level: *event.metadata().level(),
            target: event.metadata().target(),
            message: fields.0.remove("message").unwrap_or_default(),
            parent: event.parent().map(Id::into_u64).or(contextual),
            fields: fields.0,
        };
        lock(&LOG).events.push(seen);
    }

    fn enter(&self, id: &Id) {
        self.call(Call::Enter(name_of(id)));
        change(id.into_u64(), |span| span.entered += 1);
        STACK.with_borrow_mut(|stack| stack.push(id.into_u64()));
    }

    fn exit(&self, id: &Id) {
        // What it is called for happens, and then it fails.
        change(id.into_u64(), |span| span.left += 1);
        STACK.with_borrow_mut(|stack| assert_eq!(stack.pop(), Some(id.into_u64()), "spans are left in turn"));
        self.call(Call::Exit(name_of(id)));
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.call(Call::Clone);
        change(id.into_u64(), |span| span.handles += 1);
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        let left = change(id.into_u64(), |span| {
            span.handles -= 1;
            span.handles
        });
        self.call(Call::Close);
        left == 0
    }

    fn current_span(&self) -> Current {
        self.call(Call::Current);
        match current() {
            Some(id) => Current::new(Id::from_u64(id), change(id, |span| span.metadata)),
            None => Current::none(),
        }
    }
}

#[derive(Default)]
struct Written(Fields);

impl Visit for Written {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}
