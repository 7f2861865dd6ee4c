//! Looks for a smaller program that still fails.

use super::tree::{Child, Early, Home, Kind, Node, Program, Staff, Verb};
use fanpool::OnError;
use std::time::{Duration, Instant};

/// How long to look.
const TIME: Duration = Duration::from_secs(20);
/// A failure that depends on timing may need some runs to show again.
const RUNS: usize = 20;

/// The smallest program found that still fails, and how.
pub(crate) fn shrink(
    mut program: Program,
    mut why: String,
    check: impl Fn(&Program) -> Result<(), String>,
) -> (Program, String) {
    let end = Instant::now() + TIME;
    'again: loop {
        for smaller in smaller(&program) {
            if Instant::now() >= end {
                return (program, why);
            }
            if let Some(fault) = (0..RUNS).find_map(|_| check(&smaller).err()) {
                (program, why) = (smaller, fault);
                continue 'again;
            }
        }
        return (program, why);
    }
}

fn smaller(program: &Program) -> Vec<Program> {
    let mut programs = Vec::new();
    if program.roots.len() > 1 {
        for at in 0..program.roots.len() {
            let mut roots = program.roots.clone();
            roots.remove(at);
            programs.push(Program::new(program.workers, &roots));
        }
    }
    for (at, root) in program.roots.iter().enumerate() {
        for change in changes(root) {
            let mut roots = program.roots.clone();
            roots[at] = change;
            programs.push(Program::new(program.workers, &roots));
        }
    }
    for workers in [[Staff::Fixed(1); 2], program.workers.map(|_| Staff::Fixed(2))] {
        if program.workers != workers && program.workers != [Staff::Fixed(1); 2] {
            programs.push(Program::new(workers, &program.roots));
        }
    }
    programs
}

/// Every way to make a tree a little smaller, the largest steps first.
fn changes(node: &Child) -> Vec<Child> {
    // A child instead of its parent is inside of less, so it may not begin to hang.
    let mut trees = node.children.clone();
    if !node.children.is_empty() {
        trees.push(Node::new(Kind::Work(0), Vec::new()));
    }
    if node.children.len() > 1 {
        for at in 0..node.children.len() {
            let mut children = node.children.clone();
            children.remove(at);
            trees.push(Node::new(node.kind.clone(), children));
        }
    }
    for (at, child) in node.children.iter().enumerate() {
        for change in changes(child) {
            let mut children = node.children.clone();
            children[at] = change;
            trees.push(Node::new(node.kind.clone(), children));
        }
    }
    trees.extend(simpler(&node.kind).into_iter().map(|kind| Node::new(kind, node.children.clone())));
    trees
}

fn halves(n: usize, least: usize) -> Vec<usize> {
    let mut less = vec![least, n / 2, n.saturating_sub(1)];
    less.retain(|less| (least..n).contains(less));
    less.dedup();
    less
}

/// The same with fewer items, or an option less.
fn simpler(kind: &Kind) -> Vec<Kind> {
    let mut kinds = Vec::new();
    match kind {
        Kind::Work(turns) if *turns > 0 => kinds.extend([Kind::Work(0), Kind::Work(turns / 2)]),
        Kind::Scope { pool, limit, handles } if limit.is_some() || *handles => {
            kinds.push(Kind::Scope { pool: *pool, limit: None, handles: *handles });
            kinds.push(Kind::Scope { pool: *pool, limit: *limit, handles: false });
        }
        Kind::TryScope { pool, .. } => kinds.push(Kind::TryScope { pool: *pool, on_error: OnError::CollectAll }),
        Kind::Fresh { workers: Staff::Elastic(_), end } => {
            kinds.push(Kind::Fresh { workers: Staff::Fixed(1), end: *end });
        }
        Kind::Submit { pool, limit: Some(_), joined } => {
            kinds.push(Kind::Submit { pool: *pool, limit: None, joined: *joined });
        }
        Kind::Map(map) => {
            kinds.extend(halves(map.items, 1).into_iter().map(|items| {
                let verb = match map.verb {
                    Verb::Stop(n) => Verb::Stop(n.min(items + 1)),
                    Verb::Stream(n) => Verb::Stream(n.min(items + 1)),
                    Verb::Cancel(n) => Verb::Cancel(n.min(items + 1)),
                    verb => verb,
                };
                Kind::Map(super::tree::Map { items, verb, ..map.clone() })
            }));
            kinds.push(Kind::Map(super::tree::Map { batch: None, limit: None, known: true, ..map.clone() }));
            kinds.push(Kind::Map(super::tree::Map { window: None, ..map.clone() }));
        }
        Kind::Service(service) => {
            kinds.extend(halves(service.items, 1).into_iter().map(|items| {
                let end = match service.end {
                    Early::Drain(n) => Early::Drain(n.min(items)),
                    Early::Stop(n) => Early::Stop(n.min(items)),
                    Early::DropOutput(n) => Early::DropOutput(n.min(items)),
                    Early::Never => Early::Never,
                };
                Kind::Service(super::tree::Service { items, end, ..service.clone() })
            }));
            kinds.push(Kind::Service(super::tree::Service { pause: None, resize: None, ..service.clone() }));
            kinds.push(Kind::Service(super::tree::Service { limit: None, ..service.clone() }));
            kinds.push(Kind::Service(super::tree::Service { end: Early::Never, ..service.clone() }));
            kinds.push(Kind::Service(super::tree::Service { retry: None, ..service.clone() }));
            kinds.push(Kind::Service(super::tree::Service { breaker: None, ..service.clone() }));
            kinds.push(Kind::Service(super::tree::Service { on_error: OnError::CollectAll, ..service.clone() }));
            // More producers would let other threads hold items.
            kinds.push(Kind::Service(super::tree::Service { producers: 0, ..service.clone() }));
            if let Home::Own(_) = service.home {
                kinds.push(Kind::Service(super::tree::Service { home: Home::Own(1), ..service.clone() }));
            }
        }
        _ => {}
    }
    kinds.retain(|simpler| simpler != kind);
    kinds
}
