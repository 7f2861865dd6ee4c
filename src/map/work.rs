//! What is done with each item: a plain function, one with a state, or one whose results are reduced in the workers.

use crate::panics;
use crate::sync::Mutex;

/// The work of one map, shared by everybody who runs items.
pub trait Work<T>: Send + Sync {
    type State;
    type Out: Send;
    /// Whether results of neighbours are merged where they are made.
    const MERGES: bool = false;

    /// A state for a thread that begins to run items.
    fn state(&self) -> Self::State;
    /// Takes back a state that no panic has passed.
    fn keep(&self, state: Self::State);
    fn run(&self, state: &mut Self::State, item: T) -> Self::Out;
    fn merge(&self, left: Self::Out, right: Self::Out) -> Self::Out {
        drop(left);
        right
    }
}

/// A function of the item alone.
#[derive(Debug)]
pub struct Plain<F>(pub(super) F);

impl<T, R: Send, F: Fn(T) -> R + Send + Sync> Work<T> for Plain<F> {
    type State = ();
    type Out = R;
    fn state(&self) {}
    fn keep(&self, (): ()) {}
    #[inline]
    fn run(&self, (): &mut (), item: T) -> R {
        (self.0)(item)
    }
}

/// A function that also gets a state. States are lent out, so there are never more than threads that work at once.
#[derive(Debug)]
pub struct Stateful<S, G, F> {
    pub(super) init: G,
    pub(super) function: F,
    pub(super) states: Kept<S>,
}

/// States that no thread has.
#[derive(Debug)]
pub(super) struct Kept<S>(Mutex<Vec<S>>);

impl<S> Kept<S> {
    pub(super) fn none() -> Kept<S> {
        Kept(Mutex::new(Vec::new()))
    }
}

impl<S> Drop for Kept<S> {
    fn drop(&mut self) {
        // A list of values whose `Drop` panic would abort the process at the second.
        let states = std::mem::take(&mut *self.0.lock());
        panics::drop_each(states);
    }
}

impl<T, S, R, G, F> Work<T> for Stateful<S, G, F>
where
    S: Send,
    R: Send,
    G: Fn() -> S + Send + Sync,
    F: Fn(&mut S, T) -> R + Send + Sync,
{
    type State = S;
    type Out = R;
    fn state(&self) -> S {
        let kept = self.states.0.lock().pop();
        kept.unwrap_or_else(|| (self.init)())
    }
    fn keep(&self, state: S) {
        self.states.0.lock().push(state);
    }
    #[inline]
    fn run(&self, state: &mut S, item: T) -> R {
        (self.function)(state, item)
    }
}

/// Other work, whose results are turned into `A` and merged.
#[derive(Debug)]
pub(super) struct Reduced<W, G, O> {
    pub(super) work: W,
    pub(super) into: G,
    pub(super) operator: O,
}

impl<T, W, A, G, O> Work<T> for Reduced<W, G, O>
where
    W: Work<T>,
    A: Send,
    G: Fn(W::Out) -> A + Send + Sync,
    O: Fn(A, A) -> A + Send + Sync,
{
    type State = W::State;
    type Out = A;
    const MERGES: bool = true;
    fn state(&self) -> W::State {
        self.work.state()
    }
    fn keep(&self, state: W::State) {
        self.work.keep(state);
    }
    #[inline]
    fn run(&self, state: &mut W::State, item: T) -> A {
        (self.into)(self.work.run(state, item))
    }
    fn merge(&self, left: A, right: A) -> A {
        (self.operator)(left, right)
    }
}
