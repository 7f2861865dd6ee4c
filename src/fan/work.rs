//! What is done with the items: a plain handler, one with a state, or one that takes batches.

use std::fmt;
use std::time::Duration;

/// The handler of a service, shared by all who run items.
pub trait Work<T>: Send + Sync {
    type Out: Send;
    type Error: Send;
    type State: Send;

    /// A state for a thread that begins to run items.
    fn state(&self) -> Self::State;
    fn run(&self, state: &mut Self::State, item: T) -> Result<Self::Out, Self::Error>;
    /// How many items make a batch, and how long they are waited for; `None` if items are run one by one.
    fn batch(&self) -> Option<(usize, Duration)> {
        None
    }
    fn run_batch(&self, items: Vec<T>) -> Vec<Result<Self::Out, Self::Error>>;
}

/// A function of the item alone.
#[derive(Debug)]
pub struct Plain<F>(pub(super) F);

impl<T, R: Send, E: Send, F> Work<T> for Plain<F>
where
    F: Fn(T) -> Result<R, E> + Send + Sync,
{
    type Out = R;
    type Error = E;
    type State = ();
    fn state(&self) {}
    #[inline]
    fn run(&self, (): &mut (), item: T) -> Result<R, E> {
        (self.0)(item)
    }
    fn run_batch(&self, items: Vec<T>) -> Vec<Result<R, E>> {
        items.into_iter().map(&self.0).collect()
    }
}

/// A function that also gets a state.
#[derive(Debug)]
pub struct Stateful<G, F> {
    pub(super) init: G,
    pub(super) function: F,
}

impl<T, S: Send, R: Send, E: Send, G, F> Work<T> for Stateful<G, F>
where
    G: Fn() -> S + Send + Sync,
    F: Fn(&mut S, T) -> Result<R, E> + Send + Sync,
{
    type Out = R;
    type Error = E;
    type State = S;
    fn state(&self) -> S {
        (self.init)()
    }
    #[inline]
    fn run(&self, state: &mut S, item: T) -> Result<R, E> {
        (self.function)(state, item)
    }
    fn run_batch(&self, items: Vec<T>) -> Vec<Result<R, E>> {
        let mut state = self.state();
        items.into_iter().map(|item| self.run(&mut state, item)).collect()
    }
}

/// A function of batches.
pub struct Batched<F> {
    pub(super) max: usize,
    pub(super) max_wait: Duration,
    pub(super) function: F,
}

impl<T, R: Send, E: Send, F> Work<T> for Batched<F>
where
    F: Fn(Vec<T>) -> Vec<Result<R, E>> + Send + Sync,
{
    type Out = R;
    type Error = E;
    type State = ();
    fn state(&self) {}
    fn run(&self, (): &mut (), item: T) -> Result<R, E> {
        match self.run_batch(vec![item]).pop() {
            Some(answer) => answer,
            None => unreachable!("items of this handler are run in batches"),
        }
    }
    fn batch(&self) -> Option<(usize, Duration)> {
        Some((self.max, self.max_wait))
    }
    fn run_batch(&self, items: Vec<T>) -> Vec<Result<R, E>> {
        (self.function)(items)
    }
}

impl<F> fmt::Debug for Batched<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batched").field("max", &self.max).field("max_wait", &self.max_wait).finish_non_exhaustive()
    }
}
