//! What a running program shares: pools, counters, faults.

use super::reference::{End, Expected, mix};
use super::tree::{Child, Node, Program, Staff};
use fanpool::{Elastic, Pool, Workers};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) struct World {
    pools: Mutex<Vec<Arc<Pool>>>,
    pub(crate) expected: Expected,
    /// By node: how often it was begun.
    pub(crate) begun: Vec<AtomicUsize>,
    /// By pool: tasks given to it, and tasks that ran and panicked. Only of verbs that count one task each.
    pub(crate) accounts: [Account; 2],
    ledger: Arc<Ledger>,
    faults: Mutex<Vec<String>>,
}

#[derive(Default)]
pub(crate) struct Account {
    pub(crate) accepted: AtomicUsize,
    pub(crate) ran: AtomicUsize,
    pub(crate) panicked: AtomicUsize,
}

#[derive(Default)]
struct Ledger {
    made: AtomicUsize,
    dropped: AtomicUsize,
}

/// Counts that it was made and dropped. What programs pass around holds one, on the heap, where a second drop would show.
pub(crate) struct Token(Arc<Ledger>, Box<u8>);

impl Drop for Token {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// What nodes make, and what they fail with.
pub(crate) struct Val {
    pub(crate) value: u64,
    _token: Token,
}

/// What nodes throw.
pub(crate) struct Thrown {
    node: usize,
    _token: Token,
}

pub(crate) type Made = Result<Val, Val>;
pub(crate) type Payload = Box<dyn Any + Send>;

/// Elastic ones soon become smaller again.
pub(crate) fn pool(workers: Staff) -> Pool {
    let workers = match workers {
        Staff::Fixed(workers) => Workers::Fixed(workers),
        Staff::Elastic(min) => Workers::Elastic(
            Elastic::new(min, Staff::MOST).target_wait(Duration::from_micros(500)).keep_alive(Duration::from_millis(2)),
        ),
    };
    Pool::builder().workers(workers).build().unwrap()
}

impl Clone for Token {
    fn clone(&self) -> Token {
        self.0.made.fetch_add(1, Ordering::Relaxed);
        Token(self.0.clone(), self.1.clone())
    }
}

impl World {
    pub(crate) fn new(program: &Program, expected: Expected) -> World {
        World {
            pools: Mutex::new(program.workers.into_iter().map(|workers| Arc::new(pool(workers))).collect()),
            expected,
            begun: (0..program.nodes).map(|_| AtomicUsize::new(0)).collect(),
            accounts: Default::default(),
            ledger: Arc::default(),
            faults: Mutex::default(),
        }
    }

    pub(crate) fn pool(&self, pool: usize) -> Arc<Pool> {
        self.pools.lock().unwrap()[pool].clone()
    }

    pub(crate) fn take_pools(&self) -> Vec<Arc<Pool>> {
        std::mem::take(&mut *self.pools.lock().unwrap())
    }

    pub(crate) fn fault(&self, node: &Node, what: impl std::fmt::Display) {
        self.faults.lock().unwrap().push(format!("#{}: {what}", node.id));
    }

    pub(crate) fn check(&self, node: &Node, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.fault(node, what());
        }
    }

    pub(crate) fn faults(&self) -> Vec<String> {
        std::mem::take(&mut *self.faults.lock().unwrap())
    }

    pub(crate) fn token(&self) -> Token {
        self.ledger.made.fetch_add(1, Ordering::Relaxed);
        Token(self.ledger.clone(), Box::new(0))
    }

    /// Values made and dropped so far.
    pub(crate) fn tokens(&self) -> (usize, usize) {
        (self.ledger.made.load(Ordering::SeqCst), self.ledger.dropped.load(Ordering::SeqCst))
    }

    pub(crate) fn value(&self, value: u64) -> Made {
        Ok(self.val(value))
    }

    pub(crate) fn val(&self, value: u64) -> Val {
        Val { value, _token: self.token() }
    }

    pub(crate) fn throw(&self, node: &Node) -> ! {
        resume_unwind(Box::new(Thrown { node: node.id, _token: self.token() }))
    }

    pub(crate) fn catch<R>(&self, body: impl FnOnce() -> R) -> Result<R, Payload> {
        catch_unwind(AssertUnwindSafe(body))
    }

    /// Whether `payload` is a panic that `of` may end with.
    pub(crate) fn check_panic(&self, node: &Node, of: &End, payload: &Payload) {
        let allowed = match (of, payload.downcast_ref::<Thrown>()) {
            (End::Panic(ids), Some(thrown)) => ids.contains(&thrown.node),
            _ => false,
        };
        self.check(node, allowed, || format!("panicked with {}, expected {of:?}", text(payload)));
    }

    /// Holds what came of `child` against what is expected of it.
    pub(crate) fn check_end(&self, child: &Child, end: &Result<Made, Payload>) {
        let expected = self.expected.of(child);
        match end {
            Err(payload) => self.check_panic(child, expected, payload),
            Ok(made) => {
                let (value, failed) = plain(made);
                let same = match expected {
                    End::Value(expected) => !failed && value == *expected,
                    End::Fail(expected) => failed && value == *expected,
                    End::Panic(_) => false,
                };
                self.check(child, same, || format!("ended with {value}, failed: {failed}, expected {expected:?}"));
            }
        }
    }

    /// Counts a task that is given to `pool`, and how it ends.
    pub(crate) fn task<R>(&self, pool: usize, body: impl FnOnce() -> R) -> R {
        let account = &self.accounts[pool];
        match self.catch(body) {
            Ok(value) => {
                account.ran.fetch_add(1, Ordering::Relaxed);
                value
            }
            Err(payload) => {
                account.panicked.fetch_add(1, Ordering::Relaxed);
                resume_unwind(payload)
            }
        }
    }

    pub(crate) fn accept(&self, pool: usize) {
        self.accounts[pool].accepted.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) fn plain(made: &Made) -> (u64, bool) {
    match made {
        Ok(val) => (val.value, false),
        Err(val) => (val.value, true),
    }
}

/// A value or a failure as the value that is folded.
pub(crate) fn folded(made: &Made) -> u64 {
    match made {
        Ok(val) => val.value,
        Err(val) => mix(val.value, 1),
    }
}

pub(crate) fn text(payload: &Payload) -> String {
    if let Some(thrown) = payload.downcast_ref::<Thrown>() {
        format!("that of #{}", thrown.node)
    } else if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "another payload".to_owned()
    }
}
