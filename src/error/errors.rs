//! All that went wrong in a run.

use super::TaskError;
use std::error::Error;
use std::fmt;

/// How many errors of a run are kept.
pub(crate) const KEPT: usize = 1_000;

/// What went wrong in a run: the errors, each with the number of its task or item, counted from 0 in the order of spawning or of
/// the source. Of many the 1,000 with the lowest numbers are kept; all are counted.
///
/// In a [dead letter](crate::FanOutBuilder::dead_letter) they are the errors of one item, by attempt.
///
/// # Examples
///
/// ```
/// use fanpool::{OnError, Pool, TaskError};
///
/// let errors = Pool::new()
///     .try_scope(OnError::CollectAll, |s| {
///         s.spawn(|| Err("no disk"));
///         s.spawn(|| Ok(()));
///         s.spawn(|| panic!("no idea"));
///     })
///     .unwrap_err();
/// assert_eq!(errors.count(), 2);
/// assert!(matches!(errors.first(), Some((0, TaskError::Failed("no disk")))));
/// assert!(errors.iter().any(|(task, error)| *task == 2 && error.is_panicked()));
/// ```
pub struct Errors<E> {
    /// By number, the lowest first, once `sort` was called.
    kept: Vec<(usize, TaskError<E>)>,
    bound: usize,
    count: usize,
    cancelled: usize,
}

impl<E> Errors<E> {
    pub(crate) fn new(bound: usize) -> Errors<E> {
        Errors { kept: Vec::new(), bound: bound.max(1), count: 0, cancelled: 0 }
    }

    /// Those of `count` that are kept, in order.
    pub(crate) fn of(kept: Vec<(usize, TaskError<E>)>, count: usize) -> Errors<E> {
        Errors { bound: kept.len().max(1), kept, count, cancelled: 0 }
    }

    /// Takes the last that is kept.
    pub(crate) fn pop(&mut self) -> Option<(usize, TaskError<E>)> {
        self.kept.pop()
    }

    /// Adds one; returns what is not kept any more, for the caller to drop where that does no harm.
    pub(crate) fn push(&mut self, number: usize, error: TaskError<E>) -> Vec<(usize, TaskError<E>)> {
        self.count += 1;
        self.kept.push((number, error));
        if self.kept.len() < 2 * self.bound { Vec::new() } else { self.sort() }
    }

    /// Counts a task that was not started because of the others.
    pub(crate) fn cancel(&mut self, tasks: usize) {
        self.cancelled += tasks;
    }

    /// Puts them in order; returns what is not kept.
    pub(crate) fn sort(&mut self) -> Vec<(usize, TaskError<E>)> {
        self.kept.sort_by_key(|(number, _)| *number);
        self.kept.split_off(self.bound.min(self.kept.len()))
    }

    /// The one with the lowest number.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::{OnError, Pool};
    /// let errors = Pool::new().try_scope(OnError::FailFast, |s| s.spawn(|| Err("no disk"))).unwrap_err();
    /// assert_eq!(errors.first().unwrap().0, 0);
    /// ```
    #[must_use]
    pub fn first(&self) -> Option<(usize, &TaskError<E>)> {
        self.kept.first().map(|(number, error)| (*number, error))
    }

    /// How many there were, those that are not kept included.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::{OnError, Pool};
    /// let run = Pool::new().try_scope(OnError::CollectAll, |s| (0..2_000).for_each(|n| s.spawn(move || Err(n))));
    /// let errors = run.unwrap_err();
    /// assert_eq!((errors.count(), errors.iter().count()), (2_000, 1_000));
    /// ```
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// How many tasks were not started because of the others. They are not errors and have no entries.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::{OnError, Pool};
    /// let errors = Pool::new().try_scope(OnError::CollectAll, |s| s.spawn(|| Err("no disk"))).unwrap_err();
    /// assert_eq!(errors.cancelled(), 0);
    /// ```
    #[must_use]
    pub fn cancelled(&self) -> usize {
        self.cancelled
    }

    /// Whether nothing went wrong and nothing was left out.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::{OnError, Pool};
    /// let (_, errors) = Pool::new().try_scope_with(OnError::Limit(1), |s| s.spawn(|| Ok::<(), ()>(())));
    /// assert!(errors.is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0 && self.cancelled == 0
    }

    /// Those that are kept, the lowest number first.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::{OnError, Pool};
    /// let run = Pool::new().try_scope(OnError::CollectAll, |s| (0..3).for_each(|n| s.spawn(move || Err(n))));
    /// assert!(run.unwrap_err().iter().map(|(task, _)| *task).eq(0..3));
    /// ```
    pub fn iter(&self) -> std::slice::Iter<'_, (usize, TaskError<E>)> {
        self.kept.iter()
    }

    /// The tasks' own errors alone: no panics and nothing that was not started.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::{OnError, Pool};
    /// let run = Pool::new().try_scope(OnError::CollectAll, |s| (0..3).for_each(|n| s.spawn(move || Err(n * n))));
    /// assert_eq!(run.unwrap_err().into_failed(), [(0, 0), (1, 1), (2, 4)]);
    /// ```
    #[must_use]
    pub fn into_failed(self) -> Vec<(usize, E)> {
        self.into_iter().filter_map(|(number, error)| Some((number, error.into_failed()?))).collect()
    }
}

impl<E> IntoIterator for Errors<E> {
    type Item = (usize, TaskError<E>);
    type IntoIter = std::vec::IntoIter<(usize, TaskError<E>)>;
    fn into_iter(self) -> Self::IntoIter {
        self.kept.into_iter()
    }
}

impl<'a, E> IntoIterator for &'a Errors<E> {
    type Item = &'a (usize, TaskError<E>);
    type IntoIter = std::slice::Iter<'a, (usize, TaskError<E>)>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<E: fmt::Debug> fmt::Debug for Errors<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Errors")
            .field("count", &self.count)
            .field("cancelled", &self.cancelled)
            .field("kept", &self.kept)
            .finish()
    }
}

impl<E: fmt::Display> fmt::Display for Errors<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first() {
            Some((number, error)) if self.count == 1 => write!(f, "number {number} failed: {error}")?,
            Some((number, error)) => write!(f, "{} failed; the first, number {number}: {error}", self.count)?,
            None => f.write_str("none failed")?,
        }
        match self.cancelled {
            0 => Ok(()),
            cancelled => write!(f, "; {cancelled} were not started"),
        }
    }
}

impl<E: Error + 'static> Error for Errors<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let (_, first) = self.first()?;
        Some(first)
    }
}
