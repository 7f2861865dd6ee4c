//! Runs maps and streams, and holds what comes out against the serial loop.

use super::reference::{constant, mix};
use super::run::run;
use super::tree::{Child, Map, Verb};
use super::world::{Made, Token, World, folded};
use fanpool::{CancelToken, StopReason};
use std::cell::Cell;
use std::sync::Arc;

struct Item {
    at: usize,
    token: Token,
}

/// The items, with an account of how many are in flight.
struct Source<'a> {
    world: &'a Arc<World>,
    node: &'a Child,
    map: &'a Map,
    flow: &'a Flow,
}

#[derive(Default)]
struct Flow {
    taken: Cell<usize>,
    delivered: Cell<usize>,
}

impl Iterator for Source<'_> {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        let at = self.flow.taken.get();
        if at == self.map.items {
            return None;
        }
        self.flow.taken.set(at + 1);
        // These tell nobody what is delivered before the end.
        let flying = at + 1 - self.flow.delivered.get();
        let window = match self.map.verb {
            Verb::Reduce | Verb::TryCollect => None,
            _ => self.map.window,
        };
        self.world.check(self.node, window.is_none_or(|window| flying <= window), || format!("{flying} in flight"));
        Some(Item { at, token: self.world.token() })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.map.items - self.flow.taken.get();
        if self.map.known { (left, Some(left)) } else { (0, None) }
    }
}

/// What is made of an item.
type Out = (usize, Made);

/// What the consumer saw.
struct Seen<'a> {
    world: &'a Arc<World>,
    node: &'a Child,
    map: &'a Map,
    flow: &'a Flow,
    value: u64,
    count: usize,
    came: Vec<bool>,
}

impl Seen<'_> {
    fn take(&mut self, (at, made): Out) {
        self.flow.delivered.set(self.flow.delivered.get() + 1);
        let in_turn = if self.map.ordered { at == self.count } else { !self.came[at] };
        self.world.check(self.node, in_turn, || format!("item {at} came as number {}", self.count));
        self.came[at] = true;
        self.count += 1;
        let value = folded(&made);
        self.value = if self.map.ordered { mix(self.value, value) } else { self.value.wrapping_add(value) };
        self.world.check_end(self.node.of(at), &Ok(made));
    }
}

pub(crate) fn run_map(world: &Arc<World>, node: &Child, map: &Map) -> u64 {
    let (pool, flow, token) = (world.pool(map.pool), Flow::default(), CancelToken::new());
    let source = Source { world, node, map, flow: &flow };
    let captured = world.token();
    let f = move |item: Item| -> Out {
        let _captured = &captured;
        let made = run(world, node.of(item.at));
        drop(item.token);
        (item.at, made)
    };
    let came = vec![false; map.items];
    let mut seen = Seen { world, node, map, flow: &flow, value: 0, count: 0, came };
    macro_rules! chosen {
        ($map:expr) => {{
            let chosen = if map.ordered { $map } else { $map.unordered() };
            let chosen = if let Some(window) = map.window { chosen.window(window) } else { chosen };
            if let Some(batch) = map.batch { chosen.batch(batch) } else { chosen }
        }};
    }
    macro_rules! limited {
        ($map:expr) => {{
            let chosen = chosen!($map);
            if let Some(limit) = map.limit { chosen.limit(limit) } else { chosen }
        }};
    }
    match map.verb {
        Verb::Collect => limited!(pool.map(source, f)).for_each(|out| seen.take(out)),
        Verb::Reduce => {
            let folding = move |item| (0, world.value(folded(&f(item).1)));
            let add = |left: Out, right: Out| (0, world.value(folded(&left.1).wrapping_add(folded(&right.1))));
            return folded(&limited!(pool.map(source, folding)).reduce(|| (0, world.value(0)), add).1);
        }
        Verb::TryCollect => {
            let failing = move |item| {
                let (at, made) = f(item);
                made.map(|val| (at, val))
            };
            match limited!(pool.map(source, failing)).try_collect::<Vec<_>>() {
                Ok(values) => values.into_iter().for_each(|(at, val)| seen.take((at, Ok(val)))),
                Err(error) => return mix(error.value, 77),
            }
        }
        Verb::Stop(n) => {
            let end = world.catch(|| {
                limited!(pool.map(source, f)).try_for_each(|out| {
                    seen.take(out);
                    if seen.count == n { Err(()) } else { Ok(()) }
                })
            });
            match end {
                Ok(result) => {
                    let right = seen.count == map.taken() && result.is_err() == (n <= map.items);
                    world.check(node, right, || format!("{result:?} after {} of {n}", seen.count));
                }
                Err(payload) if map.is_loose() => {
                    let any = node.children.iter().find(|child| world.expected.of(child).panics());
                    world.check(node, any.is_some(), || "a panic of nobody".into());
                    drop(payload);
                }
                Err(payload) => std::panic::resume_unwind(payload),
            }
        }
        Verb::Stream(n) => pool.scope(|s| chosen!(s.stream(source, f)).take(n).for_each(|out| seen.take(out))),
        Verb::Cancel(n) => {
            let end = world.catch(|| {
                limited!(pool.map(source, f)).cancel(&token).for_each(|out| {
                    seen.take(out);
                    if seen.count == n {
                        token.cancel();
                    }
                })
            });
            let panic = (0..map.items).find(|at| world.expected.of(node.of(*at)).panics());
            let right = match end {
                Ok(Ok(())) => seen.count == map.items,
                Ok(Err(stopped)) => stopped.reason == StopReason::Cancelled && seen.count >= n,
                Err(payload) => {
                    let at = panic.unwrap_or(0);
                    world.check_panic(node, world.expected.of(node.of(at)), &payload);
                    panic == Some(seen.count)
                }
            };
            world.check(node, right, || format!("cancelled after {n}, ended after {}", seen.count));
        }
    }
    if map.is_loose() { constant(node) } else { seen.value }
}
