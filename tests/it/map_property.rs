//! Random maps, held to the serial loop. `FANPOOL_MAP_SEED` is the seed of the first case, `FANPOOL_MAP_CASES` their number.

use super::{check_seeds, pool, setting};
use fanpool::{Map, Pool};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

pub(crate) struct SplitMix64(pub(crate) u64);

impl SplitMix64 {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    pub(crate) fn below_one_of(&mut self, bounds: &[usize]) -> usize {
        let bound = bounds[self.below(bounds.len())];
        self.below(bound)
    }

    pub(crate) fn maybe<T>(&mut self, one_in: usize, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(one_in) == 0).then(|| make(self))
    }
}

#[derive(Debug, Clone, Copy)]
enum Terminal {
    TryForEach,
    TryCollect,
    ForEach,
    Collect,
    Partition,
    Reduce,
    Stream,
}

#[derive(Debug)]
struct Case {
    terminal: Terminal,
    workers: usize,
    len: usize,
    window: Option<usize>,
    batch: Option<usize>,
    limit: Option<usize>,
    weigh: Option<usize>,
    ordered: bool,
    exact: bool,
    errors: Vec<usize>,
    panics: Vec<usize>,
    /// Where the source panics.
    source_panics: Option<usize>,
    /// How many results the consumer wants.
    stop: Option<usize>,
    /// One in so many items takes longer.
    slow: Option<usize>,
}

impl Case {
    fn random(seed: u64) -> Case {
        let r = &mut SplitMix64(seed);
        let all = [
            Terminal::TryForEach,
            Terminal::TryCollect,
            Terminal::ForEach,
            Terminal::Collect,
            Terminal::Partition,
            Terminal::Reduce,
            Terminal::Stream,
        ];
        let len = r.below_one_of(&[4, 101, 2001]);
        let some = |r: &mut SplitMix64| (0..=r.below(3)).map(|_| r.below(len)).collect::<Vec<_>>();
        Case {
            terminal: all[r.below(all.len())],
            workers: 1 + r.below(4),
            len,
            window: r.maybe(2, |r| 1 + r.below_one_of(&[1, 10, 300, 4000])),
            batch: r.maybe(3, |r| 1 + r.below_one_of(&[1, 10, 300])),
            limit: r.maybe(6, |r| 1 + r.below(3)),
            weigh: r.maybe(6, |r| r.below(100)),
            ordered: r.below(3) > 0,
            exact: r.below(2) == 0,
            errors: r.maybe(3, some).unwrap_or_default(),
            panics: r.maybe(5, some).unwrap_or_default(),
            source_panics: r.maybe(6, |r| r.below(len)),
            stop: r.maybe(4, |r| 1 + r.below(len)),
            slow: r.maybe(2, |r| 1 + r.below(200)),
        }
    }

    fn source(&self) -> impl Iterator<Item = usize> {
        (0..self.len).inspect(|n| {
            if self.source_panics == Some(*n) {
                panic_with(End::SourcePanicked(*n));
            }
        })
    }

    fn run(&self, n: usize) -> Result<usize, usize> {
        if self.slow.is_some_and(|slow| n % slow == slow / 2) {
            (0..n % 1000).for_each(|i| _ = std::hint::black_box(i));
        }
        if self.panics.contains(&n) {
            panic_with(End::Panicked(n));
        }
        if self.errors.contains(&n) { Err(n) } else { Ok(value(n)) }
    }

    fn stops_at_errors(&self) -> bool {
        matches!(self.terminal, Terminal::TryForEach | Terminal::TryCollect)
    }

    fn may_stop(&self) -> bool {
        matches!(self.terminal, Terminal::TryForEach | Terminal::Stream)
    }
}

fn panic_with(end: End) -> ! {
    resume_unwind(Box::new(end))
}

fn value(n: usize) -> usize {
    n.wrapping_mul(0x9e37_79b9).rotate_left(7)
}

/// How a run ended, and what it delivered; of `Reduce` one value that tells of all in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    Failed(usize),
    Panicked(usize),
    SourcePanicked(usize),
    Enough,
}

type Delivered = Vec<Result<usize, usize>>;

/// An operator that is associative and keeps to an order: composition of `x -> a * x + b`.
fn compose(left: (usize, usize), right: (usize, usize)) -> (usize, usize) {
    (left.0.wrapping_mul(right.0), left.1.wrapping_mul(right.0).wrapping_add(right.1))
}

fn single(result: Result<usize, usize>) -> (usize, usize) {
    match result {
        Ok(value) => (value, value ^ 5),
        Err(n) => (2 * n + 3, n),
    }
}

/// The serial loop.
fn serial(case: &Case) -> (End, Delivered) {
    let mut delivered = Vec::new();
    let caught = catch_unwind(AssertUnwindSafe(|| {
        for n in case.source() {
            let result = case.run(n);
            if let (Err(error), true) = (result, case.stops_at_errors()) {
                return End::Failed(error);
            }
            delivered.push(result);
            if case.may_stop() && case.stop == Some(delivered.len()) {
                return End::Enough;
            }
        }
        End::Whole
    }));
    (caught.unwrap_or_else(|payload| *payload.downcast().unwrap()), delivered)
}

fn mapped(case: &Case, pool: &Pool) -> (End, Delivered) {
    if case.exact {
        with_source(case, pool, case.source())
    } else {
        with_source(case, pool, case.source().filter(|_| true))
    }
}

fn chosen<'env, I: Iterator<Item = usize>, W>(case: &Case, mut map: Map<'env, I, W>) -> Map<'env, I, W> {
    map = if let Some(window) = case.window { map.window(window) } else { map };
    map = if let Some(batch) = case.batch { map.batch(batch) } else { map };
    map = if let Some(limit) = case.limit { map.limit(limit) } else { map };
    map = if let Some(max) = case.weigh { map.weigh(|n| n % 40, max) } else { map };
    if case.ordered { map } else { map.unordered() }
}

fn streamed(case: &Case, pool: &Pool, source: impl Iterator<Item = usize>, delivered: &mut Delivered) -> End {
    pool.scope(|s| {
        let mut stream = s.stream(source, |n| case.run(n));
        stream = if let Some(window) = case.window { stream.window(window) } else { stream };
        stream = if let Some(batch) = case.batch { stream.batch(batch) } else { stream };
        stream = if let Some(max) = case.weigh { stream.weigh(|n| n % 40, max) } else { stream };
        stream = if case.ordered { stream } else { stream.unordered() };
        for result in stream {
            delivered.push(result);
            if case.stop == Some(delivered.len()) {
                return End::Enough;
            }
        }
        End::Whole
    })
}

fn with_source(case: &Case, pool: &Pool, source: impl Iterator<Item = usize>) -> (End, Delivered) {
    let mut delivered = Vec::new();
    let caught = catch_unwind(AssertUnwindSafe(|| {
        if let Terminal::Stream = case.terminal {
            return streamed(case, pool, source, &mut delivered);
        }
        if let Terminal::Reduce = case.terminal {
            let map = chosen(case, pool.map(source, |n| single(case.run(n))));
            let (a, b) = map.reduce(|| (1, 0), compose);
            delivered = vec![Ok(a), Ok(b)];
            return End::Whole;
        }
        let map = chosen(case, pool.map(source, |n| case.run(n)));
        match case.terminal {
            Terminal::TryForEach => {
                let sink = |result: Result<usize, usize>| {
                    delivered.push(Ok(result.map_err(End::Failed)?));
                    if case.stop == Some(delivered.len()) { Err(End::Enough) } else { Ok(()) }
                };
                return map.try_for_each(sink).err().unwrap_or(End::Whole);
            }
            Terminal::TryCollect => match map.try_collect::<Vec<_>>() {
                Ok(values) => delivered.extend(values.into_iter().map(Ok)),
                Err(error) => return End::Failed(error),
            },
            Terminal::ForEach => map.for_each(|result| delivered.push(result)),
            Terminal::Collect => delivered = map.collect(),
            Terminal::Partition => {
                let (values, errors) = map.partition();
                let mut all: Vec<_> = values.into_iter().map(|(index, value)| (index, Ok(value))).collect();
                all.extend(errors.into_iter().map(|(index, error)| (index, Err(error))));
                all.sort();
                assert!(all.iter().map(|(index, _)| *index).eq(0..all.len()), "wrong indices");
                delivered.extend(all.into_iter().map(|(_, result)| result));
            }
            Terminal::Reduce | Terminal::Stream => unreachable!("above"),
        }
        End::Whole
    }));
    let end = caught.unwrap_or_else(|payload| match payload.downcast() {
        Ok(end) => *end,
        Err(payload) => resume_unwind(payload),
    });
    (end, delivered)
}

/// Compares a run with the serial loop.
fn check(case: &Case, pool: &Pool) -> Result<(), String> {
    let (end, delivered) = mapped(case, pool);
    let (serial_end, mut expected) = serial(case);
    let shown = matches!(case.terminal, Terminal::TryForEach | Terminal::ForEach | Terminal::Stream);
    if let Terminal::Reduce = case.terminal {
        let (a, b) = expected.into_iter().map(single).fold((1, 0), compose);
        expected = vec![Ok(a), Ok(b)];
    }
    if case.ordered || matches!(case.terminal, Terminal::Reduce) {
        if end != serial_end {
            return Err(format!("ended with {end:?} instead of {serial_end:?}"));
        }
        if (shown || end == End::Whole) && delivered != expected {
            let at = delivered.iter().zip(&expected).take_while(|(left, right)| left == right).count();
            let (got, wanted) = (delivered.len(), expected.len());
            return Err(format!("{got} results instead of {wanted}, the first that differs is number {at}"));
        }
        return Ok(());
    }
    unordered(case, end, &delivered, shown)
}

/// Any of the ends that lie ahead may come first, and any results before it.
fn unordered(case: &Case, end: End, delivered: &Delivered, shown: bool) -> Result<(), String> {
    let len = case.source_panics.unwrap_or(case.len).min(case.len);
    let runs = |at: &&usize| **at < len;
    let mut ends: Vec<End> = case.panics.iter().filter(runs).map(|n| End::Panicked(*n)).collect();
    if case.stops_at_errors() {
        ends.extend(case.errors.iter().filter(runs).filter(|n| !case.panics.contains(n)).map(|n| End::Failed(*n)));
    }
    let alone = ends.is_empty();
    if len < case.len {
        ends.push(End::SourcePanicked(len));
    }
    if let Some(stop) = case.stop.filter(|stop| case.may_stop() && *stop <= len) {
        ends = if alone { vec![End::Enough] } else { [ends, vec![End::Enough]].concat() };
        if end == End::Enough && delivered.len() != stop {
            return Err(format!("{} results instead of {stop}", delivered.len()));
        }
    }
    if ends.is_empty() {
        ends.push(End::Whole);
    }
    if !ends.contains(&end) {
        return Err(format!("ended with {end:?} instead of one of {ends:?}"));
    }
    if !shown && end != End::Whole {
        return Ok(());
    }
    let all: BTreeSet<_> = (0..len)
        .filter(|n| !case.panics.contains(n))
        .map(|n| if case.errors.contains(&n) { Err(n) } else { Ok(value(n)) })
        .collect();
    let distinct: BTreeSet<_> = delivered.iter().copied().collect();
    if distinct.len() != delivered.len() || !distinct.is_subset(&all) {
        return Err("a result twice, or one that nobody made".to_owned());
    }
    let complete = matches!(end, End::Whole) || alone && matches!(end, End::SourcePanicked(_));
    if complete && distinct != all {
        return Err(format!("{} results instead of {}", distinct.len(), all.len()));
    }
    Ok(())
}

#[test]
fn random_maps_are_serial_loops() {
    let seeds = (setting("FANPOOL_MAP_SEED", 1), setting("FANPOOL_MAP_CASES", 3000));
    let pools = [pool(1), pool(2), pool(3), pool(4)];
    check_seeds(seeds, Case::random, move |case| check(case, &pools[case.workers - 1]));
}
