//! What a serial interpreter makes of a program.

use super::tree::{Child, Flavour, Kind, Map, Node, PoolEnd, Program, Verb};
use fanpool::OnError;

/// How a node ends, each time it is run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum End {
    Value(u64),
    Fail(u64),
    /// With the panic of one of these nodes.
    Panic(Vec<usize>),
}

/// How often a node is run, at least and at most.
pub(crate) type Times = (usize, usize);

pub(crate) struct Expected {
    /// By node.
    pub(crate) ends: Vec<End>,
    pub(crate) times: Vec<Times>,
}

pub(crate) fn mix(a: u64, b: u64) -> u64 {
    (a.rotate_left(7) ^ b).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// The value of a node whose results are checked where they come out.
pub(crate) fn constant(node: &Node) -> u64 {
    mix(node.id as u64, node.children.len() as u64)
}

impl End {
    /// As the value that is folded; a panic of a task with a handle is one, too.
    pub(crate) fn folded(&self) -> u64 {
        match self {
            End::Value(value) => *value,
            End::Fail(error) => mix(*error, 1),
            End::Panic(_) => 2,
        }
    }

    pub(crate) fn panics(&self) -> bool {
        matches!(self, End::Panic(_))
    }
}

/// Interprets a program. `wrong` spoils the value of every `Join`, to see whether that is found.
pub(crate) fn expected(program: &Program, wrong: bool) -> Expected {
    let mut expected = Expected { ends: vec![End::Value(0); program.nodes], times: vec![(0, 0); program.nodes] };
    for root in &program.roots {
        expected.end(root, wrong);
        expected.count(root, (1, 1));
    }
    expected
}

/// The panics of all of these.
fn any_of<'a>(ends: impl Iterator<Item = &'a End>) -> Option<End> {
    let mut panics: Vec<usize> =
        ends.filter_map(|end| if let End::Panic(ids) = end { Some(ids) } else { None }).flatten().copied().collect();
    panics.sort_unstable();
    panics.dedup();
    (!panics.is_empty()).then_some(End::Panic(panics))
}

impl Expected {
    pub(crate) fn of(&self, node: &Child) -> &End {
        &self.ends[node.id]
    }

    /// The first item that ends the serial loop.
    fn first(&self, node: &Node, items: usize, says: impl Fn(&End) -> bool) -> Option<usize> {
        (0..items).find(|item| says(self.of(node.of(*item))))
    }

    fn end(&mut self, node: &Child, wrong: bool) {
        node.children.iter().for_each(|child| self.end(child, wrong));
        let ends = || node.children.iter().map(|child| self.of(child));
        let in_order = || End::Value(ends().fold(0, |value, end| mix(value, end.folded())));
        let end = match &node.kind {
            Kind::Work(turns) => End::Value(u64::from(*turns) + 3),
            Kind::Panic => End::Panic(vec![node.id]),
            Kind::Fail => End::Fail(node.id as u64),
            Kind::Seq => ends().find(|end| end.panics()).cloned().unwrap_or_else(in_order),
            Kind::Join { .. } => match ends().find(|end| end.panics()) {
                Some(panic) => panic.clone(),
                None if wrong => End::Value(ends().fold(0, |value, end| mix(value, end.folded())).wrapping_add(1)),
                None => in_order(),
            },
            Kind::Scope { handles: false, .. } => any_of(ends()).unwrap_or_else(in_order),
            Kind::Pause { .. } => ends().next().cloned().unwrap_or(End::Value(0)),
            Kind::Scope { .. } | Kind::Submit { joined: true, .. } => in_order(),
            Kind::Map(map) => self.map_end(node, map),
            Kind::TryScope { .. }
            | Kind::Service(_)
            | Kind::Submit { .. }
            | Kind::Cancel { .. }
            | Kind::Fresh { .. }
            | Kind::Resize { .. } => End::Value(constant(node)),
        };
        self.ends[node.id] = end;
    }

    fn map_end(&self, node: &Node, map: &Map) -> End {
        let end_of = |item: usize| self.of(node.of(item));
        if map.is_loose() {
            return End::Value(constant(node));
        }
        let items = map.taken();
        if !map.ordered {
            let sum = || End::Value((0..items).fold(0, |sum, item| end_of(item).folded().wrapping_add(sum)));
            return any_of((0..items).map(end_of)).unwrap_or_else(sum);
        }
        let tries = map.verb == Verb::TryCollect;
        let stops = |end: &End| end.panics() || tries && matches!(end, End::Fail(_));
        match self.first(node, items, stops).map(end_of) {
            Some(End::Fail(error)) => End::Value(mix(*error, 77)),
            Some(panic) => panic.clone(),
            None if map.verb == Verb::Reduce => {
                End::Value((0..items).fold(0, |sum, item| end_of(item).folded().wrapping_add(sum)))
            }
            None => End::Value((0..items).fold(0, |value, item| mix(value, end_of(item).folded()))),
        }
    }

    fn count(&mut self, node: &Child, times: Times) {
        let (least, most) = times;
        let entry = &mut self.times[node.id];
        *entry = (entry.0 + least, entry.1 + most);
        let maybe = (0, most);
        let first_panic = node.children.iter().position(|child| self.of(child).panics());
        let fails = node.children.iter().any(|child| !matches!(self.of(child), End::Value(_)));
        for (at, child) in node.children.iter().enumerate() {
            let after_a_panic = first_panic.is_some_and(|first| at > first);
            let (each, number) = match &node.kind {
                Kind::Seq if after_a_panic => ((0, 0), 1),
                Kind::Join { .. } if after_a_panic => (maybe, 1),
                Kind::TryScope { on_error: OnError::FirstSuccess, .. } => (maybe, 1),
                Kind::TryScope { on_error, .. } if fails && *on_error != OnError::CollectAll => (maybe, 1),
                Kind::Cancel { .. } => (maybe, 1),
                Kind::Fresh { end: PoolEnd::Now | PoolEnd::TimeoutZero, .. } => (maybe, 1),
                Kind::Map(map) => {
                    let (sure, possible) = self.map_items(node, map);
                    let own = |items: usize| (0..items).filter(|item| item % node.children.len() == at).count();
                    ((least * own(sure), most * own(possible)), 1)
                }
                Kind::Service(service) => {
                    let own = (0..service.items).filter(|item| item % node.children.len() == at).count();
                    let sure = if service.is_cut_short() { 0 } else { least };
                    // What fails has all its attempts; a panic has no second.
                    let fails = matches!(self.of(child), End::Fail(_));
                    ((sure, most), own * if fails { service.retry.unwrap_or(1) } else { 1 })
                }
                _ => (times, 1),
            };
            self.count(child, (each.0 * number, each.1 * number));
        }
    }

    /// How many items are run for certain, and at most: the first ones, or with an unordered map any.
    fn map_items(&self, node: &Node, map: &Map) -> Times {
        let panic = self.first(node, map.items, End::panics);
        if !map.ordered {
            let sure = if panic.is_none() && map.verb == Verb::Collect { map.items } else { 0 };
            return (sure, map.items);
        }
        let tries = map.verb == Verb::TryCollect;
        let stops = |end: &End| end.panics() || tries && matches!(end, End::Fail(_));
        let stop = self.first(node, map.taken(), stops).map_or(map.taken(), |item| item + 1);
        let bounded = matches!(map.verb, Verb::Collect | Verb::Stop(_) | Verb::Stream(_) | Verb::TryCollect);
        let possible = match map.window {
            // The item that ends it is the last one that leaves the window.
            Some(window) if bounded => (stop + window).min(map.items),
            _ => map.items,
        };
        (stop, possible)
    }
}

impl Map {
    /// How many results the consumer takes.
    pub(crate) fn taken(&self) -> usize {
        match self.verb {
            Verb::Collect | Verb::Reduce | Verb::TryCollect => self.items,
            Verb::Stop(n) | Verb::Stream(n) | Verb::Cancel(n) => n.min(self.items),
        }
    }

    /// Whether the end is one of several, and caught where it comes out.
    pub(crate) fn is_loose(&self) -> bool {
        matches!(self.verb, Verb::Cancel(_)) || !self.ordered && matches!(self.verb, Verb::Stop(_))
    }
}

impl Flavour {
    /// Whether items of a key are promised to be in order.
    pub(crate) fn keeps_keys(self) -> bool {
        matches!(self, Flavour::Strands | Flavour::Shards)
    }
}
