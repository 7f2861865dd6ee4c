//! What is done with the items: a plain handler, one with a state, or one that takes batches.

use crate::error::TaskError;
use std::fmt;
use std::time::Duration;

/// The handler of a service, shared by all who run items.
pub trait Work<T>: Send + Sync {
    type Out: Send;
    type Error: Send;
    type State: Send;

    /// A state for a thread that begins to run items.
    fn state(&self) -> Self::State;
    fn run(&self, state: &mut Self::State, item: T) -> Result<Self::Out, TaskError<Self::Error>>;
    /// How items are run in batches; `None` if they are run one by one.
    fn batching(&self) -> Option<Batching<'_, T, Self::Out, Self::Error>> {
        None
    }
}

/// A handler of batches, and when one is due.
pub struct Batching<'a, T, R, E> {
    pub(super) max: usize,
    pub(super) max_wait: Duration,
    pub(super) handler: &'a dyn Fn(Vec<T>) -> Vec<Result<R, E>>,
}

impl<T, R, E> fmt::Debug for Batching<'_, T, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batching").field("max", &self.max).field("max_wait", &self.max_wait).finish_non_exhaustive()
    }
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
    fn run(&self, (): &mut (), item: T) -> Result<R, TaskError<E>> {
        (self.0)(item).map_err(TaskError::Failed)
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
    fn run(&self, state: &mut S, item: T) -> Result<R, TaskError<E>> {
        (self.function)(state, item).map_err(TaskError::Failed)
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
    fn run(&self, (): &mut (), item: T) -> Result<R, TaskError<E>> {
        let mut answers = (self.function)(vec![item]);
        match answers.pop() {
            Some(answer) if answers.is_empty() => answer.map_err(TaskError::Failed),
            last => Err(TaskError::WrongBatch { items: 1, answers: answers.len() + usize::from(last.is_some()) }),
        }
    }
    fn batching(&self) -> Option<Batching<'_, T, R, E>> {
        Some(Batching { max: self.max, max_wait: self.max_wait, handler: &self.function })
    }
}

impl<F> fmt::Debug for Batched<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batched").field("max", &self.max).field("max_wait", &self.max_wait).finish_non_exhaustive()
    }
}
