//! Errors of building and resizing.

use super::TaskPanicked;
use std::error::Error;
use std::fmt;
use std::io;
use std::ops::RangeInclusive;

/// Why something could not be built, started or resized: a pool, a group, a service, a policy, an object pool, a monitor or a consumer.
///
/// After a failed build nothing is left running; [`ResizeError`] says what a failed resize leaves.
///
/// # Examples
///
/// ```
/// use fanpool::{BuildError, Pool, Workers};
///
/// let error = Pool::builder().workers(Workers::Fixed(0)).build().unwrap_err();
/// assert!(matches!(error, BuildError::OutOfRange { option: "workers", value: 0, .. }));
/// assert_eq!(error.to_string(), "workers is 0; allowed is 1 to 65536");
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// An option's value is not allowed.
    OutOfRange {
        /// The option's name.
        option: &'static str,
        /// The value it was given.
        value: usize,
        /// What it may be.
        allowed: RangeInclusive<usize>,
    },
    /// An option's value is not allowed, or not a number. Times are in seconds.
    NotInRange {
        /// The option's name.
        option: &'static str,
        /// The value it was given.
        value: f64,
        /// What it may be.
        allowed: &'static str,
    },
    /// Two options contradict each other.
    Conflict {
        /// The option's name.
        option: &'static str,
        /// The option that excludes it.
        with: &'static str,
    },
    /// An option that has no default was not given.
    Missing {
        /// The option's name.
        option: &'static str,
    },
    /// Two of those that are told apart by their name have the same.
    Duplicate {
        /// What they are.
        option: &'static str,
        /// Their name.
        name: String,
    },
    /// A rule of a monitor was refused.
    Rule {
        /// Its name.
        rule: String,
        /// Why.
        source: Box<BuildError>,
    },
    /// The thread name holds a NUL byte, which the operating system cannot take.
    Name {
        /// Where in the name it stands.
        nul: usize,
    },
    /// The operating system refused a thread.
    Thread {
        /// How many threads were asked for.
        wanted: usize,
        /// How many could be started.
        started: usize,
        /// What the operating system said.
        source: io::Error,
    },
    /// The start hook panicked on a worker.
    StartHook {
        /// The worker's index.
        worker: usize,
        /// The panic.
        panicked: TaskPanicked,
    },
}

impl BuildError {
    /// Checks one option, so that every range error reads the same.
    pub(crate) fn check(option: &'static str, value: usize, allowed: RangeInclusive<usize>) -> Result<(), BuildError> {
        if allowed.contains(&value) { Ok(()) } else { Err(BuildError::OutOfRange { option, value, allowed }) }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // What nobody reaches is no help.
            BuildError::OutOfRange { option, value, allowed }
                if value < allowed.start() && *allowed.end() >= u32::MAX as usize =>
            {
                write!(f, "{option} is {value}; allowed is {} and more", allowed.start())
            }
            BuildError::OutOfRange { option, value, allowed } => {
                write!(f, "{option} is {value}; allowed is {} to {}", allowed.start(), allowed.end())
            }
            BuildError::NotInRange { option, value, allowed } => {
                write!(f, "{option} is {value}; allowed is {allowed}")
            }
            BuildError::Conflict { option, with } => write!(f, "{option} cannot be combined with this {with}"),
            BuildError::Missing { option } => write!(f, "{option} is missing"),
            BuildError::Duplicate { option, name } => write!(f, "there are two {option}s named {name:?}"),
            BuildError::Rule { rule, source } => write!(f, "rule {rule:?}: {source}"),
            BuildError::Name { nul } => write!(f, "the thread name holds a NUL byte at {nul}"),
            BuildError::Thread { wanted, started, source } => {
                write!(f, "the operating system gave {started} of {wanted} threads: {source}")
            }
            BuildError::StartHook { worker, panicked } => {
                write!(f, "the start hook of worker {worker} failed: {panicked}")
            }
        }
    }
}

impl Error for BuildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            BuildError::Thread { source, .. } => Some(source),
            BuildError::StartHook { panicked, .. } => Some(panicked),
            // What it is about is in the text already.
            BuildError::Rule { source, .. } => source.source(),
            _ => None,
        }
    }
}

/// Why a pool was not resized.
///
/// # Examples
///
/// ```
/// use fanpool::{BuildError, Pool, ResizeError};
///
/// let pool = Pool::new();
/// assert!(matches!(pool.resize(0), Err(ResizeError::Build(BuildError::OutOfRange { .. }))));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum ResizeError {
    /// The size is not allowed, or a new worker did not start. Workers that had started before the failing one stay.
    Build(BuildError),
    /// The pool is `sharded`: its tasks are bound to its workers.
    Sharded,
    /// The pool is closed.
    Closed,
}

impl fmt::Display for ResizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResizeError::Build(error) => error.fmt(f),
            ResizeError::Sharded => f.write_str("a sharded pool keeps its size"),
            ResizeError::Closed => f.write_str("the pool is closed"),
        }
    }
}

impl Error for ResizeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            ResizeError::Build(error) => error.source(),
            _ => None,
        }
    }
}

impl From<BuildError> for ResizeError {
    fn from(error: BuildError) -> ResizeError {
        ResizeError::Build(error)
    }
}
