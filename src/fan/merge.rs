//! Several streams to one consumer.

use super::outcome::Outcome;
use super::output::Output;
use super::split::Branch;
use crate::error::RecvError;
use crate::sync::channel::{self, Receiver, Sender, Watched};
use std::cmp::Ordering;
use std::fmt;
use std::iter::FusedIterator;

/// Merges several sources, of one type, as their items come: receivers of crossbeam channels, outputs of services, or branches.
///
/// No thread is started: whoever iterates waits for all of them at once. Sources take turns, so none is left out while others are
/// busy. The iterator ends when all sources have; dropping it drops them.
///
/// # Examples
///
/// ```
/// let (left, one) = crossbeam_channel::unbounded();
/// let (right, two) = crossbeam_channel::unbounded();
/// left.send(1).unwrap();
/// right.send(2).unwrap();
/// drop((left, right));
/// assert_eq!(fanpool::fan_in([one, two]).sum::<i32>(), 3);
/// ```
///
/// ```
/// use fanpool::{FanOut, fan_in};
///
/// let (first, a) = FanOut::builder(|n: u64| Ok::<_, ()>(n)).start()?;
/// let (second, b) = FanOut::builder(|n: u64| Ok::<_, ()>(10 * n)).start()?;
/// first.send(1)?;
/// second.send(1)?;
/// drop((first, second));
/// assert_eq!(fan_in([a, b]).filter_map(|outcome| outcome.result.ok()).sum::<u64>(), 11);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn fan_in<S: Source>(sources: impl IntoIterator<Item = S>) -> FanIn<S> {
    let (bell, rings) = channel::bounded(1);
    let mut sources: Vec<S> = sources.into_iter().collect();
    sources.iter_mut().for_each(|source| source.share(&bell));
    FanIn { sources, bell: rings, turn: 0, keep: bell }
}

/// What can be merged by [`fan_in`]; implemented by [`Output`], [`Branch`] and crossbeam's receivers.
pub trait Source: sealed::Waits {
    /// What it yields.
    type Item;
    #[doc(hidden)]
    fn poll(&mut self) -> Result<Self::Item, RecvError>;
}

mod sealed {
    use crate::sync::channel::{Sender, Watched};

    pub trait Waits {
        /// From now on `bell` is rung for this source.
        fn share(&mut self, bell: &Sender<()>);
        /// About to wait: returns false if there is something already, else what to watch besides the bell, if anything.
        fn prepare(&mut self) -> bool;
        fn watched(&self) -> Option<&dyn Watched>;
        /// The wait is over.
        fn relax(&mut self);
    }
}

use sealed::Waits;

impl<T> Source for Receiver<T> {
    type Item = T;
    fn poll(&mut self) -> Result<T, RecvError> {
        channel::try_next(self).map_err(|ended| if ended { RecvError::Closed } else { RecvError::Empty })
    }
}

impl<T> Waits for Receiver<T> {
    fn share(&mut self, _: &Sender<()>) {}
    fn prepare(&mut self) -> bool {
        true
    }
    fn watched(&self) -> Option<&dyn Watched> {
        Some(self)
    }
    fn relax(&mut self) {}
}

impl<T> Source for Branch<T> {
    type Item = T;
    fn poll(&mut self) -> Result<T, RecvError> {
        self.try_recv()
    }
}

impl<T> Waits for Branch<T> {
    fn share(&mut self, _: &Sender<()>) {}
    fn prepare(&mut self) -> bool {
        true
    }
    fn watched(&self) -> Option<&dyn Watched> {
        Some(self.items())
    }
    fn relax(&mut self) {}
}

impl<R, E> Source for Output<'_, R, E> {
    type Item = Outcome<R, E>;
    fn poll(&mut self) -> Result<Outcome<R, E>, RecvError> {
        self.try_recv()
    }
}

impl<R, E> Waits for Output<'_, R, E> {
    fn share(&mut self, bell: &Sender<()>) {
        self.set_bell(bell.clone());
    }
    fn prepare(&mut self) -> bool {
        self.begin_wait()
    }
    fn watched(&self) -> Option<&dyn Watched> {
        None
    }
    fn relax(&mut self) {
        self.end_wait();
    }
}

/// Several sources as one iterator; made by [`fan_in`].
///
/// # Examples
///
/// ```
/// let (sender, receiver) = crossbeam_channel::bounded(1);
/// sender.send('a').unwrap();
/// drop(sender);
/// assert!(fanpool::fan_in([receiver]).eq(['a']));
/// ```
#[must_use = "sources are read as the iterator is"]
pub struct FanIn<S> {
    sources: Vec<S>,
    bell: Receiver<()>,
    turn: usize,
    /// So that the bell is never disconnected.
    #[expect(dead_code, reason = "kept")]
    keep: Sender<()>,
}

impl<S: Source> FanIn<S> {
    /// What a source has, if one has something. Sources that have ended are dropped.
    fn poll(&mut self) -> Option<S::Item> {
        let mut looked = 0;
        while looked < self.sources.len() {
            self.turn = (self.turn + 1) % self.sources.len();
            match self.sources[self.turn].poll() {
                Ok(item) => return Some(item),
                Err(RecvError::Closed) => {
                    drop(self.sources.remove(self.turn));
                    looked = 0;
                }
                Err(_) => looked += 1,
            }
        }
        None
    }

    fn wait(&mut self) {
        // Whoever is prepared rings; the others are watched.
        let prepared = self.sources.iter_mut().position(|source| !source.prepare()).unwrap_or(self.sources.len());
        if prepared == self.sources.len() {
            let watched: Vec<&dyn Watched> = self.sources.iter().filter_map(|source| source.watched()).collect();
            channel::wait_any(&self.bell, &watched);
        }
        self.sources[..prepared].iter_mut().for_each(Waits::relax);
    }
}

impl<S: Source> Iterator for FanIn<S> {
    type Item = S::Item;

    fn next(&mut self) -> Option<S::Item> {
        loop {
            if let Some(item) = self.poll() {
                return Some(item);
            }
            if self.sources.is_empty() {
                return None;
            }
            self.wait();
        }
    }
}

impl<S: Source> FusedIterator for FanIn<S> {}

impl<S> fmt::Debug for FanIn<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FanIn").field("sources", &self.sources.len()).finish_non_exhaustive()
    }
}

/// Merges sources that are sorted by `compare` into one that is. Of equal items, those of earlier sources come first.
///
/// Any iterators will do: ordered outputs, receivers, files. The next item of each source is needed before any can be given out, so
/// a source that is slow holds up all. Looks at every source for each item.
///
/// # Examples
///
/// ```
/// let merged = fanpool::fan_in_by([vec![1, 4, 9], vec![2, 3], vec![]], |a, b| a.cmp(b));
/// assert!(merged.eq([1, 2, 3, 4, 9]));
/// ```
pub fn fan_in_by<S, F>(sources: impl IntoIterator<Item = S>, compare: F) -> FanInBy<S::IntoIter, F>
where
    S: IntoIterator,
    F: FnMut(&S::Item, &S::Item) -> Ordering,
{
    let sources = sources.into_iter().map(|source| source.into_iter().peekable()).collect();
    FanInBy { sources, compare }
}

/// Sorted sources as one sorted iterator; made by [`fan_in_by`].
///
/// # Examples
///
/// ```
/// let mut merged = fanpool::fan_in_by(["ac".chars(), "b".chars()], |a, b| a.cmp(b));
/// assert_eq!(merged.next(), Some('a'));
/// ```
#[must_use = "sources are read as the iterator is"]
pub struct FanInBy<I: Iterator, F> {
    sources: Vec<std::iter::Peekable<I>>,
    compare: F,
}

impl<I: Iterator, F: FnMut(&I::Item, &I::Item) -> Ordering> Iterator for FanInBy<I, F> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        let mut heads = self.sources.iter_mut().enumerate().filter_map(|(at, source)| Some((at, source.peek()?)));
        let (mut least, mut head) = heads.next()?;
        for (at, other) in heads {
            if (self.compare)(other, head) == Ordering::Less {
                (least, head) = (at, other);
            }
        }
        self.sources[least].next()
    }
}

impl<I: Iterator, F> fmt::Debug for FanInBy<I, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FanInBy").field("sources", &self.sources.len()).finish_non_exhaustive()
    }
}
