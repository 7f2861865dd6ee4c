//! Cooperative cancellation.

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, now};
use std::fmt;
use std::time::Instant;

/// A flag that asks work to stop, shared by everybody who holds a clone of it.
///
/// A task group that was given a token looks at it before it starts each task and drops the task instead once the
/// token is cancelled. A task that runs is never interrupted; it can hold a clone and ask.
///
/// A [`child`](CancelToken::child) is cancelled with its parent but not the other way round. Asking costs one load per
/// generation.
///
/// # Memory ordering
///
/// [`cancel`](CancelToken::cancel) releases and [`is_cancelled`](CancelToken::is_cancelled) acquires: whoever sees the
/// cancellation sees everything written before it.
///
/// # Examples
///
/// ```
/// use fanpool::CancelToken;
///
/// let all = CancelToken::new();
/// let one = all.child();
/// one.cancel();
/// assert!(one.is_cancelled() && !all.is_cancelled());
///
/// let other = all.child();
/// all.cancel();
/// assert!(other.is_cancelled());
/// ```
#[derive(Clone)]
pub struct CancelToken {
    node: Arc<Node>,
}

struct Node {
    cancelled: AtomicBool,
    deadline: Option<Instant>,
    parent: Option<Arc<Node>>,
    /// A second parent.
    other: Option<CancelToken>,
}

impl Node {
    fn token(parent: Option<Arc<Node>>, deadline: Option<Instant>, other: Option<CancelToken>) -> CancelToken {
        CancelToken { node: Arc::new(Node { cancelled: AtomicBool::new(false), deadline, parent, other }) }
    }
}

impl CancelToken {
    /// A token that nobody has cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(!fanpool::CancelToken::new().is_cancelled());
    /// ```
    #[must_use]
    pub fn new() -> CancelToken {
        Node::token(None, None, None)
    }

    /// A token that is cancelled with this one, and can be cancelled alone.
    ///
    /// # Examples
    ///
    /// ```
    /// let parent = fanpool::CancelToken::new();
    /// let child = parent.child();
    /// parent.cancel();
    /// assert!(child.is_cancelled());
    /// ```
    #[must_use]
    pub fn child(&self) -> CancelToken {
        Node::token(Some(self.node.clone()), None, None)
    }

    /// A child that also counts as cancelled from `deadline` on. Asking it costs a look at the clock.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// let token = fanpool::CancelToken::new();
    /// assert!(token.child_until(Instant::now()).is_cancelled());
    /// assert!(!token.child_until(Instant::now() + Duration::from_secs(3600)).is_cancelled());
    /// assert!(!token.is_cancelled());
    /// ```
    #[must_use]
    pub fn child_until(&self, deadline: Instant) -> CancelToken {
        Node::token(Some(self.node.clone()), Some(deadline), None)
    }

    /// A child of both.
    pub(crate) fn child_with(&self, other: &CancelToken) -> CancelToken {
        Node::token(Some(self.node.clone()), None, Some(other.clone()))
    }

    /// Whether this token counts as cancelled because a deadline has passed, and nobody cancelled it.
    ///
    /// # Examples
    ///
    /// ```
    /// let token = fanpool::CancelToken::new().child_until(std::time::Instant::now());
    /// assert!(token.is_expired());
    /// token.cancel();
    /// assert!(token.is_cancelled() && !token.is_expired());
    /// ```
    #[must_use]
    pub fn is_expired(&self) -> bool {
        !self.was_called() && self.is_cancelled()
    }

    /// Whether somebody called [`cancel`](CancelToken::cancel); does not look at the clock.
    pub(crate) fn was_called(&self) -> bool {
        self.any(|node| node.cancelled.load(Ordering::Acquire))
    }

    /// Cancels this token and its children, for good. Never blocks; a second call changes nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// let token = fanpool::CancelToken::new();
    /// token.cancel();
    /// token.cancel();
    /// assert!(token.is_cancelled());
    /// ```
    pub fn cancel(&self) {
        let order = if crate::sync::broken!("cancel_relaxed") { Ordering::Relaxed } else { Ordering::Release };
        self.node.cancelled.store(true, order);
    }

    /// Whether this token or one that it descends from was cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// let token = fanpool::CancelToken::new();
    /// let worker = token.clone();
    /// token.cancel();
    /// assert!(worker.is_cancelled());
    /// ```
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.any(|node| {
            node.cancelled.load(Ordering::Acquire) || node.deadline.is_some_and(|deadline| now() >= deadline)
        })
    }

    /// Whether `says` holds for this token or one that it descends from.
    fn any(&self, says: impl Fn(&Node) -> bool + Copy) -> bool {
        let mut node = &self.node;
        loop {
            if says(node) || node.other.as_ref().is_some_and(|other| other.any(says)) {
                return true;
            }
            match &node.parent {
                Some(parent) => node = parent,
                None => return false,
            }
        }
    }
}

impl Default for CancelToken {
    fn default() -> CancelToken {
        CancelToken::new()
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelToken").field("cancelled", &self.is_cancelled()).finish()
    }
}

impl Drop for Node {
    /// Unlinks the ancestors one by one: dropping a long line of generations must not recurse.
    fn drop(&mut self) {
        let mut parent = self.parent.take();
        while let Some(mut node) = parent.and_then(Arc::into_inner) {
            parent = node.parent.take();
        }
    }
}

#[cfg(all(test, not(fanpool_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_of_generations_is_dropped_without_recursion() {
        let mut token = CancelToken::new();
        for _ in 0..1_000_000 {
            token = token.child();
        }
        assert!(!token.is_cancelled());
        drop(token);
    }
}
