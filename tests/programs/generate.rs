//! Programs from seeds.
//!
//! Only programs that must end are made. Scopes, maps and joins can always be run by whoever waits for them. A service on a shared pool may
//! need a worker that starts an item, so who waits for such a start must not keep the last worker from ever coming: from inside
//! one pool items may be sent to that pool, and from pool 0 to pool 1, but not back, and not from other threads that hold
//! items or from inside of a pause.

use super::tree::{Child, Early, Flavour, Home, Kind, Map, Node, PoolEnd, Program, Service, Staff, Verb};
use fanpool::{Help, OnError};

/// Steele, Lea and Flood's generator.
#[derive(Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn some(&mut self, one_in: usize, bound: usize) -> Option<usize> {
        self.one_in(one_in).then(|| 1 + self.below(bound))
    }

    fn of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }
}

/// What a node is inside of.
#[derive(Clone, Copy)]
struct Site {
    depth: usize,
    /// How often it may be run.
    times: usize,
    within: [bool; 2],
    /// Inside of a pause, or on threads that are not the pools'.
    foreign: bool,
}

/// Runs of one node, at most.
const TIMES: usize = 400;

impl Site {
    fn within(mut self, pool: usize) -> Site {
        self.within[pool] = true;
        self
    }

    fn foreign(self) -> Site {
        Site { foreign: true, ..self }
    }

    fn may_send_to(&self, pool: usize) -> bool {
        let [zero, one] = self.within;
        !self.foreign && if pool == 0 { !one } else { !(zero && one) }
    }

    fn times(self, items: usize) -> Site {
        Site { times: self.times * items.max(1), ..self }
    }
}

pub(crate) fn program(seed: u64) -> Program {
    let r = &mut Random(seed);
    let workers = [staff(r, 3), staff(r, 2)];
    let depth = 1 + r.below(4);
    let roots: Vec<Child> =
        (0..1 + r.below(3)).map(|_| node(r, Site { depth, times: 1, within: [false; 2], foreign: false })).collect();
    Program::new(workers, &roots)
}

fn staff(r: &mut Random, most: usize) -> Staff {
    if r.one_in(3) { Staff::Elastic(r.below(3)) } else { Staff::Fixed(1 + r.below(most)) }
}

fn on_error(r: &mut Random) -> OnError {
    let share = OnError::Share { percent: r.of(&[0, 30, 60, 100]), after: r.below(6) };
    r.of(&[OnError::FailFast, OnError::CollectAll, OnError::Limit(0), OnError::Limit(2), share, OnError::FirstSuccess])
}

fn nodes(r: &mut Random, most: usize, site: Site) -> Vec<Child> {
    (0..1 + r.below(most)).map(|_| node(r, Site { depth: site.depth - 1, ..site })).collect()
}

fn leaf(r: &mut Random) -> Child {
    let kind = match r.below(14) {
        0 => Kind::Panic,
        1 => Kind::Fail,
        _ => Kind::Work([0, 1, 50, 2000, 20_000][r.below(5)]),
    };
    Node::new(kind, Vec::new())
}

fn node(r: &mut Random, site: Site) -> Child {
    if site.depth == 0 || r.one_in(9) {
        return leaf(r);
    }
    let pool = usize::from(r.one_in(3));
    let inside = site.within(pool);
    match r.below(16) {
        0 => Node::new(Kind::Seq, nodes(r, 3, site)),
        1..=3 => {
            let kind = Kind::Scope { pool, limit: r.some(4, 3), handles: r.one_in(3) };
            Node::new(kind, nodes(r, 5, inside))
        }
        4 => {
            let kind = Kind::TryScope { pool, on_error: on_error(r) };
            Node::new(kind, nodes(r, 5, inside))
        }
        5 | 6 => {
            let mut halves = nodes(r, 1, inside);
            halves.extend(nodes(r, 2, inside));
            Node::new(Kind::Join { pool }, halves)
        }
        7 | 8 => map(r, pool, inside),
        9..=11 => service(r, pool, site),
        12 => match r.below(3) {
            0 => Node::new(Kind::Cancel { pool, after: r.below(4) }, nodes(r, 5, inside)),
            _ => Node::new(Kind::Submit { pool, limit: r.some(3, 2), joined: r.below(3) > 0 }, nodes(r, 5, inside)),
        },
        13 => {
            let end = r.of(&[PoolEnd::Drop, PoolEnd::Shutdown, PoolEnd::Now, PoolEnd::TimeoutZero]);
            Node::new(Kind::Fresh { workers: staff(r, 2), end }, nodes(r, 5, site.foreign()))
        }
        14 => Node::new(Kind::Resize { pool, workers: 2 + r.below(Staff::MOST - 1) }, Vec::new()),
        _ => Node::new(Kind::Pause { pool }, nodes(r, 1, site.foreign())),
    }
}

fn items(r: &mut Random, site: Site) -> usize {
    let most = (TIMES / site.times).max(1);
    r.of(&[1, 3, 8, 30, 100]).min(most).min(1 + r.below(100))
}

fn map(r: &mut Random, pool: usize, inside: Site) -> Child {
    let items = items(r, inside);
    let n = 1 + r.below(items + 1);
    let verb = r.of(&[Verb::Collect, Verb::Reduce, Verb::TryCollect, Verb::Stop(n), Verb::Stream(n), Verb::Cancel(n)]);
    let ordered = !(r.one_in(3) && matches!(verb, Verb::Collect | Verb::Stop(_)));
    // A stream has no such options.
    let limit = if matches!(verb, Verb::Stream(_)) { None } else { r.some(4, 3) };
    let (window, batch, known) = (r.some(2, 10), r.some(5, 5), r.one_in(2));
    Node::new(
        Kind::Map(Map { pool, items, ordered, window, batch, limit, known, verb }),
        nodes(r, 4, inside.times(items)),
    )
}

fn service(r: &mut Random, pool: usize, site: Site) -> Child {
    let items = items(r, site);
    let home = match r.below(3) {
        0 => Home::Own(1 + r.below(3)),
        1 if site.may_send_to(pool) => Home::Shared(pool),
        _ => Home::Scope(pool),
    };
    let scoped = matches!(home, Home::Scope(_));
    let window = 1 + r.below(12);
    let flavour = match r.below(8) {
        0 | 1 => Flavour::Strands,
        2 => Flavour::Shards,
        3 => Flavour::RoundRobin,
        4 if !scoped => Flavour::Batch(1 + r.below(window.min(5))),
        5 => Flavour::State,
        _ => Flavour::Plain,
    };
    let help = match r.below(4) {
        0 => Some(Help::Receiver),
        1 => Some(Help::Both),
        2 if !scoped => Some(Help::Never),
        _ => None,
    };
    let producers = if scoped { 0 } else { r.below(3) };
    let n = r.below(items + 1);
    let end = match r.below(8) {
        0 => Early::Drain(n),
        1 => Early::Stop(n),
        2 => Early::DropOutput(n),
        _ => Early::Never,
    };
    let inside = match home {
        Home::Own(_) => site.foreign(),
        // Who sends may hold an item as well.
        Home::Shared(pool) if producers > 0 => site.within(pool).foreign(),
        Home::Shared(pool) | Home::Scope(pool) => site.within(pool),
    };
    let (limit, ordered) = (r.some(4, 3), r.one_in(2));
    let (pause, resize) = (r.some(4, items), r.some(8, 3));
    // Neither in a scope nor of batches may something be tried again, and batches have no breaker.
    let may_retry = !scoped && !matches!(flavour, Flavour::Batch(_));
    let retry = if may_retry && r.one_in(3) { Some(2 + r.below(3)) } else { None };
    let on_error = if r.one_in(4) { on_error(r) } else { OnError::CollectAll };
    let breaker = if matches!(flavour, Flavour::Batch(_)) { None } else { r.some(6, 6) };
    let service = Service {
        home,
        items,
        window,
        limit,
        flavour,
        ordered,
        help,
        producers,
        pause,
        resize,
        retry,
        breaker,
        on_error,
        end,
    };
    Node::new(Kind::Service(service), nodes(r, 3, inside.times(items * retry.unwrap_or(1))))
}
