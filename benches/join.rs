//! Recursive fork-join and its rivals, side by side in one process with one worker per core.
//!
//! `cargo bench -p benches --bench join`. Everybody forks at every node. rayon and parkring run inside their pools
//! (`install`), which costs them one hop for each measured run; fanpool and chili start on the calling thread.

use benches::{Row, begin, compare, work};
use fanpool::{Pool, Workers};
use std::hint::black_box;

struct Rivals {
    fanpool: Pool,
    rayon: rayon::ThreadPool,
    chili: chili::ThreadPool,
    parkring: parkring::ThreadPool,
}

struct Node {
    value: u64,
    left: Option<Box<Node>>,
    right: Option<Box<Node>>,
}

impl Node {
    fn tree(layers: u32) -> Node {
        let mut node = Node { value: 1, left: None, right: None };
        node.grow(layers);
        node
    }

    /// Parents before children and left before right: whoever goes left first walks through memory in order.
    fn grow(&mut self, layers: u32) {
        if layers > 1 {
            for child in [&mut self.left, &mut self.right] {
                child.insert(Box::new(Node { value: 1, left: None, right: None })).grow(layers - 1);
            }
        }
    }
}

mod tree {
    use super::Node;
    use fanpool::Pool;

    pub(crate) fn serial(node: &Node) -> u64 {
        let left = node.left.as_deref().map(serial).unwrap_or_default();
        let right = node.right.as_deref().map(serial).unwrap_or_default();
        node.value + left + right
    }

    pub(crate) fn fanpool(pool: &Pool, node: &Node) -> u64 {
        let (left, right) = pool.join(
            || node.left.as_deref().map(|node| fanpool(pool, node)).unwrap_or_default(),
            || node.right.as_deref().map(|node| fanpool(pool, node)).unwrap_or_default(),
        );
        node.value + left + right
    }

    pub(crate) fn chili(scope: &mut chili::Scope<'_>, node: &Node) -> u64 {
        // chili's calling thread begins with the second closure.
        let (right, left) = scope.join(
            |s| node.right.as_deref().map(|node| chili(s, node)).unwrap_or_default(),
            |s| node.left.as_deref().map(|node| chili(s, node)).unwrap_or_default(),
        );
        node.value + left + right
    }

    pub(crate) fn rayon(node: &Node) -> u64 {
        let (left, right) = rayon::join(
            || node.left.as_deref().map(rayon).unwrap_or_default(),
            || node.right.as_deref().map(rayon).unwrap_or_default(),
        );
        node.value + left + right
    }

    pub(crate) fn parkring(node: &Node) -> u64 {
        let (left, right) = parkring::join(
            || node.left.as_deref().map(parkring).unwrap_or_default(),
            || node.right.as_deref().map(parkring).unwrap_or_default(),
        );
        node.value + left + right
    }
}

mod fib {
    use fanpool::Pool;

    pub(crate) fn serial(n: u64) -> u64 {
        if n < 2 { n } else { serial(n - 1) + serial(n - 2) }
    }

    pub(crate) fn fanpool(pool: &Pool, n: u64) -> u64 {
        if n < 2 {
            return n;
        }
        let (a, b) = pool.join(|| fanpool(pool, n - 1), || fanpool(pool, n - 2));
        a + b
    }

    pub(crate) fn chili(scope: &mut chili::Scope<'_>, n: u64) -> u64 {
        if n < 2 {
            return n;
        }
        let (b, a) = scope.join(|s| chili(s, n - 2), |s| chili(s, n - 1));
        a + b
    }

    pub(crate) fn rayon(n: u64) -> u64 {
        if n < 2 {
            return n;
        }
        let (a, b) = rayon::join(|| rayon(n - 1), || rayon(n - 2));
        a + b
    }

    pub(crate) fn parkring(n: u64) -> u64 {
        if n < 2 {
            return n;
        }
        let (a, b) = parkring::join(|| parkring(n - 1), || parkring(n - 2));
        a + b
    }
}

impl Rivals {
    fn new(workers: usize) -> Rivals {
        let threads = std::num::NonZero::new(workers);
        Rivals {
            fanpool: match Pool::builder().workers(Workers::Fixed(workers)).build() {
                Ok(pool) => pool,
                Err(error) => panic!("{error}"),
            },
            rayon: match rayon::ThreadPoolBuilder::new().num_threads(workers).build() {
                Ok(pool) => pool,
                Err(error) => panic!("{error}"),
            },
            chili: chili::ThreadPool::with_config(chili::Config { thread_count: threads, ..chili::Config::default() }),
            parkring: parkring::ThreadPool::new(workers),
        }
    }

    fn tree(&self, layers: u32, repeats: usize, rounds: usize) {
        let root = &Node::tree(layers);
        let nodes = (1_usize << layers) - 1;
        let check = move |sum: u64| assert_eq!(sum, nodes as u64);
        let times = move |run: &dyn Fn()| (0..repeats).for_each(|_| run());
        let mut scope = self.chili.scope();
        let rows: Vec<Row<'_>> = vec![
            ("fanpool", Box::new(move || times(&|| check(tree::fanpool(&self.fanpool, black_box(root)))))),
            ("serial", Box::new(move || times(&|| check(tree::serial(black_box(root)))))),
            ("chili", Box::new(move || (0..repeats).for_each(|_| check(tree::chili(&mut scope, black_box(root)))))),
            ("rayon", Box::new(move || self.rayon.install(|| times(&|| check(tree::rayon(black_box(root))))))),
            ("parkring", Box::new(move || self.parkring.install(|| times(&|| check(tree::parkring(black_box(root))))))),
        ];
        compare(
            &format!("sum of a tree of {nodes} nodes"),
            "node",
            nodes * repeats,
            &[("tasks", nodes as f64)],
            rounds,
            rows,
        );
    }

    fn fib(&self, n: u64, rounds: usize) {
        let forks = fib::serial(n + 1) as usize - 1;
        let mut scope = self.chili.scope();
        let rows: Vec<Row<'_>> = vec![
            ("fanpool", Box::new(move || _ = black_box(fib::fanpool(&self.fanpool, black_box(n))))),
            ("serial", Box::new(move || _ = black_box(fib::serial(black_box(n))))),
            ("chili", Box::new(move || _ = black_box(fib::chili(&mut scope, black_box(n))))),
            ("rayon", Box::new(move || _ = black_box(self.rayon.install(|| fib::rayon(black_box(n)))))),
            ("parkring", Box::new(move || _ = black_box(self.parkring.install(|| fib::parkring(black_box(n)))))),
        ];
        compare(&format!("fib({n})"), "fork", forks, &[("tasks", forks as f64)], rounds, rows);
    }

    /// Halves that do not fork again.
    fn coarse(&self, micros: usize, rounds: usize) {
        let half = move || work(micros * 1000);
        let mut scope = self.chili.scope();
        let rows: Vec<Row<'_>> = vec![
            ("fanpool", Box::new(move || _ = self.fanpool.join(half, half))),
            ("serial", Box::new(move || (half(), half()).0)),
            ("chili", Box::new(move || _ = scope.join(|_| half(), |_| half()))),
            ("rayon", Box::new(move || _ = self.rayon.install(|| rayon::join(half, half)))),
            ("parkring", Box::new(move || _ = self.parkring.install(|| parkring::join(half, half)))),
            (
                "std::thread::scope",
                Box::new(move || {
                    std::thread::scope(|s| {
                        s.spawn(half);
                        half();
                    });
                }),
            ),
        ];
        compare(&format!("two halves of {micros} µs"), "join", 1, &[("grain_ns", micros as f64 * 1e3)], rounds, rows);
    }
}

fn main() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    begin("join");
    let rivals = Rivals::new(cores);
    rivals.tree(10, 1_000, 21);
    rivals.tree(20, 1, 21);
    rivals.fib(32, 9);
    rivals.coarse(1_000, 101);
    rivals.coarse(10_000, 21);
}
