//! Programs as data.

use fanpool::{Help, OnError};
use std::fmt;
use std::sync::Arc;

pub(crate) type Child = Arc<Node>;

/// One piece of a program: makes a value, fails or panics.
#[derive(Clone)]
pub(crate) struct Node {
    /// Its place in what is counted.
    pub(crate) id: usize,
    pub(crate) kind: Kind,
    pub(crate) children: Vec<Child>,
}

/// What a node does with its children. A pool is 0 or 1.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// Turns round so many times.
    Work(u32),
    Panic,
    Fail,
    /// One after the other.
    Seq,
    /// `handles`: submits and joins instead of spawning.
    Scope {
        pool: usize,
        limit: Option<usize>,
        handles: bool,
    },
    TryScope {
        pool: usize,
        on_error: OnError,
    },
    Join {
        pool: usize,
    },
    Map(Map),
    Service(Service),
    /// Tasks that own what they use, in a group.
    Submit {
        pool: usize,
        limit: Option<usize>,
        joined: bool,
    },
    /// As `Submit`; after so many tasks the group's token is cancelled.
    Cancel {
        pool: usize,
        after: usize,
    },
    /// A pool of its own, ended while its tasks wait and run.
    Fresh {
        workers: Staff,
        end: PoolEnd,
    },
    Resize {
        pool: usize,
        workers: usize,
    },
    /// Its child runs while the pool is paused.
    Pause {
        pool: usize,
    },
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum PoolEnd {
    Drop,
    Shutdown,
    Now,
    TimeoutZero,
}

/// Item `i` runs child `i` modulo their number.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Map {
    pub(crate) pool: usize,
    pub(crate) items: usize,
    pub(crate) ordered: bool,
    pub(crate) window: Option<usize>,
    pub(crate) batch: Option<usize>,
    pub(crate) limit: Option<usize>,
    /// Whether the source tells its length.
    pub(crate) known: bool,
    pub(crate) verb: Verb,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Verb {
    Collect,
    Reduce,
    TryCollect,
    /// The consumer stops after so many results.
    Stop(usize),
    /// A stream that is dropped after so many.
    Stream(usize),
    /// The consumer cancels the token after so many.
    Cancel(usize),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Service {
    pub(crate) home: Home,
    pub(crate) items: usize,
    pub(crate) window: usize,
    pub(crate) limit: Option<usize>,
    pub(crate) flavour: Flavour,
    pub(crate) ordered: bool,
    pub(crate) help: Option<Help>,
    /// Threads that send; with 0 the collector does.
    pub(crate) producers: usize,
    /// Pauses and resumes after so many outcomes.
    pub(crate) pause: Option<usize>,
    pub(crate) resize: Option<usize>,
    /// So many attempts at an item that fails.
    pub(crate) retry: Option<usize>,
    /// So many calls are looked back at by a breaker that opens for a moment if half of them failed.
    pub(crate) breaker: Option<usize>,
    pub(crate) on_error: OnError,
    pub(crate) end: Early,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Home {
    Own(usize),
    Shared(usize),
    Scope(usize),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Flavour {
    Plain,
    State,
    Strands,
    Shards,
    RoundRobin,
    Batch(usize),
}

/// What ends a service early, after so many outcomes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Early {
    Never,
    Drain(usize),
    Stop(usize),
    DropOutput(usize),
}

impl Service {
    /// Whether items may end without having been begun as often as they would by themselves.
    pub(crate) fn is_cut_short(&self) -> bool {
        self.end != Early::Never || self.on_error != OnError::CollectAll || self.breaker.is_some()
    }
}

/// Workers of a pool.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Staff {
    Fixed(usize),
    /// At least so many, and at most `Staff::MOST`.
    Elastic(usize),
}

impl Staff {
    pub(crate) const MOST: usize = 4;
}

#[derive(Clone)]
pub(crate) struct Program {
    pub(crate) workers: [Staff; 2],
    /// Each on a thread of its own.
    pub(crate) roots: Vec<Child>,
    /// How many nodes there are.
    pub(crate) nodes: usize,
}

impl Node {
    pub(crate) fn new(kind: Kind, children: Vec<Child>) -> Child {
        Arc::new(Node { id: 0, kind, children })
    }

    /// The child for an item.
    pub(crate) fn of(&self, item: usize) -> &Child {
        &self.children[item % self.children.len()]
    }

    fn numbered(&self, next: &mut usize) -> Child {
        let id = *next;
        *next += 1;
        let children = self.children.iter().map(|child| child.numbered(next)).collect();
        Arc::new(Node { id, kind: self.kind.clone(), children })
    }

    fn any(&self, says: &impl Fn(&Kind) -> bool) -> bool {
        says(&self.kind) || self.children.iter().any(|child| child.any(says))
    }
}

impl Program {
    pub(crate) fn new(workers: [Staff; 2], roots: &[Child]) -> Program {
        let mut nodes = 0;
        let roots = roots.iter().map(|root| root.numbered(&mut nodes)).collect();
        Program { workers, roots, nodes }
    }

    pub(crate) fn any(&self, says: impl Fn(&Kind) -> bool) -> bool {
        self.roots.iter().any(|root| root.any(&says))
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Program {{ workers: {:?} }} // {} nodes", self.workers, self.nodes)?;
        self.roots.iter().try_for_each(|root| root.print(f, 1))
    }
}

impl Node {
    /// One line a node, its number first.
    fn print(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        let (id, indent) = (self.id, "  ".repeat(depth));
        let kind = match &self.kind {
            Kind::Map(map) => format!("{map:?}"),
            Kind::Service(service) => format!("{service:?}"),
            kind => format!("{kind:?}"),
        };
        if self.children.is_empty() {
            return writeln!(f, "{indent}#{id} {kind},");
        }
        writeln!(f, "{indent}#{id} {kind} [")?;
        self.children.iter().try_for_each(|child| child.print(f, depth + 1))?;
        writeln!(f, "{indent}],")
    }
}
