//! The same names without the feature `tracing`: nothing is carried, nothing is told, and no value takes a byte.
#![allow(clippy::unused_self, reason = "as on the other side")]

use crate::panics::Payload;
use crate::sync::Arc;
use std::fmt::Debug;
use std::io;
use std::time::Duration;

#[derive(Clone)]
pub(crate) struct Carried;

pub(crate) struct Entered;

pub(crate) struct Name;

#[derive(Default)]
pub(crate) struct Place;

pub(crate) fn carry<R, F: FnOnce() -> R + Send>(_: Option<&Arc<str>>, task: F) -> impl FnOnce() -> R + Send {
    task
}

pub(crate) fn within<R>(_: Option<super::TraceParent>, work: impl FnOnce() -> R) -> R {
    work()
}

pub(crate) fn is_on() -> bool {
    false
}

impl Carried {
    #[inline(always)]
    pub(crate) fn none() -> Carried {
        Carried
    }

    #[inline(always)]
    pub(crate) fn capture(_: Option<&Arc<str>>) -> Carried {
        Carried
    }

    #[inline(always)]
    pub(crate) fn wrap<R, F: FnOnce() -> R + Send>(self, task: F) -> impl FnOnce() -> R + Send {
        task
    }

    #[inline(always)]
    pub(crate) fn half(&self) -> Entered {
        Entered
    }

    #[inline(always)]
    pub(crate) fn map_batch(&self) -> Entered {
        Entered
    }

    #[inline(always)]
    pub(crate) fn item(&self, _: &Name, _: u64, _: u32) -> Entered {
        Entered
    }

    #[inline(always)]
    pub(crate) fn retried(&self, _: &Name, _: u64, _: u32, _: Duration) {}
}

impl Entered {
    #[inline(always)]
    pub(crate) fn batch<'c>(_: &Name, _: usize, _: impl Iterator<Item = &'c Carried>) -> Entered {
        Entered
    }

    #[inline(always)]
    pub(crate) fn panicked(&self, _: &Payload) {}

    #[inline(always)]
    pub(crate) fn leave(self) {}
}

impl Name {
    pub(crate) fn new(_: &str) -> Name {
        Name
    }
}

impl Place {
    #[inline(always)]
    pub(crate) fn new() -> Place {
        Place
    }

    #[inline(always)]
    pub(crate) fn put(&self, _: Carried) {}

    #[inline(always)]
    pub(crate) fn get(&self) -> Carried {
        Carried
    }
}

#[inline(always)]
pub(crate) fn resized(_: &str, _: usize, _: usize) {}

#[inline(always)]
pub(crate) fn thread_refused(_: &str, _: &io::Error) {}

#[inline(always)]
pub(crate) fn breaker_changed(_: Option<u64>, _: impl Debug, _: impl Debug, _: u64, _: u64) {}

#[cfg(all(test, not(fanpool_loom)))]
mod tests {
    use super::*;

    #[test]
    fn nothing_takes_a_byte() {
        let captured = [1_u8; 48];
        let task = carry(None, move || captured.len());
        assert_eq!(size_of_val(&task), size_of_val(&captured));
        assert_eq!(task(), 48);
        assert_eq!((size_of::<Carried>(), size_of::<Entered>(), size_of::<Place>(), size_of::<Name>()), (0, 0, 0, 0));
    }
}
