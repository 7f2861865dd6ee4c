//! The `traceparent` of the W3C Recommendation "Trace Context", levels 1 and 2.

use crate::sync::Keys;
use std::error::Error;
use std::fmt;
use std::hash::BuildHasher;
use std::num::{NonZeroU64, NonZeroU128};
use std::str::FromStr;

/// Bytes of a header of version 00.
const LENGTH: usize = 55;

/// The caller may have recorded this trace.
const SAMPLED: u8 = 1;

/// The trace's id was made by chance (level 2).
const RANDOM: u8 = 2;

/// Where a call stands in a trace: the value of the header `traceparent` of the W3C Recommendation "Trace Context".
///
/// Parsed from a header of text or bytes, and formatted for the next one. It needs no feature; with the feature `tracing` it also
/// goes with tasks and items: see `TraceParent::current`.
///
/// A header of a version above 00 is read as far as the Recommendation says, and is written as version 00. Flags that the
/// Recommendation does not define are not kept. White space around a header's value is not part of it and is refused.
///
/// # Examples
///
/// ```
/// use fanpool::trace::TraceParent;
///
/// let incoming: TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse()?;
/// assert!(incoming.is_sampled());
/// let outgoing = incoming.child();
/// assert_eq!(outgoing.trace_id(), incoming.trace_id());
/// assert_ne!(outgoing.parent_id(), incoming.parent_id());
/// let header: String = outgoing.to_string();
/// assert_eq!(TraceParent::try_from(header.as_bytes())?, outgoing);
/// # Ok::<(), fanpool::trace::TraceParentError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    trace: NonZeroU128,
    parent: NonZeroU64,
    flags: u8,
}

impl TraceParent {
    /// One with these ids.
    ///
    /// # Errors
    ///
    /// If an id is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::trace::TraceParent;
    ///
    /// let parent = TraceParent::new(10, 11, true)?;
    /// assert_eq!(parent.to_string(), "00-0000000000000000000000000000000a-000000000000000b-01");
    /// # Ok::<(), fanpool::trace::TraceParentError>(())
    /// ```
    pub fn new(trace_id: u128, parent_id: u64, sampled: bool) -> Result<TraceParent, TraceParentError> {
        let trace = NonZeroU128::new(trace_id).ok_or(TraceParentError::ZeroTraceId)?;
        let parent = NonZeroU64::new(parent_id).ok_or(TraceParentError::ZeroParentId)?;
        Ok(TraceParent { trace, parent, flags: if sampled { SAMPLED } else { 0 } })
    }

    /// The beginning of a new trace, with ids made by chance: of the keys that std gives to hash maps, so they differ, but are no secret.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::trace::TraceParent;
    ///
    /// assert_ne!(TraceParent::root(true).trace_id(), TraceParent::root(true).trace_id());
    /// ```
    #[must_use]
    pub fn root(sampled: bool) -> TraceParent {
        let low = chance();
        let trace = NonZeroU128::from(low) | (u128::from(chance().get()) << 64);
        TraceParent { trace, parent: chance(), flags: if sampled { SAMPLED } else { 0 } }
    }

    /// For a call that is made on behalf of this one: the same trace and flags, and another parent id, made by chance.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::trace::TraceParent;
    ///
    /// let incoming = TraceParent::new(10, 11, false)?;
    /// let outgoing = incoming.child();
    /// assert_eq!((outgoing.trace_id(), outgoing.is_sampled()), (10, false));
    /// # Ok::<(), fanpool::trace::TraceParentError>(())
    /// ```
    #[must_use]
    pub fn child(&self) -> TraceParent {
        loop {
            let parent = chance();
            if parent != self.parent {
                return TraceParent { parent, ..*self };
            }
        }
    }

    /// The id of the whole trace; not zero.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::trace::TraceParent;
    /// assert_eq!(TraceParent::new(10, 11, true)?.trace_id(), 10);
    /// # Ok::<(), fanpool::trace::TraceParentError>(())
    /// ```
    #[must_use]
    pub fn trace_id(&self) -> u128 {
        self.trace.get()
    }

    /// The id of the call; not zero.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::trace::TraceParent;
    /// assert_eq!(TraceParent::new(10, 11, true)?.parent_id(), 11);
    /// # Ok::<(), fanpool::trace::TraceParentError>(())
    /// ```
    #[must_use]
    pub fn parent_id(&self) -> u64 {
        self.parent.get()
    }

    /// Whether the caller may have recorded this trace.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fanpool::trace::TraceParent;
    /// assert!(TraceParent::new(10, 11, true)?.is_sampled());
    /// # Ok::<(), fanpool::trace::TraceParentError>(())
    /// ```
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

/// A number that nobody can foresee.
fn chance() -> NonZeroU64 {
    loop {
        if let Some(number) = NonZeroU64::new(Keys::default().hash_one(0_u8)) {
            return number;
        }
    }
}

impl TryFrom<&[u8]> for TraceParent {
    type Error = TraceParentError;

    /// Parses the bytes of a header's value.
    fn try_from(header: &[u8]) -> Result<TraceParent, TraceParentError> {
        let found = header.len();
        let Some((fixed, rest)) = header.split_first_chunk::<LENGTH>() else {
            return Err(TraceParentError::Length { found });
        };
        let version = number(fixed, 0..2)?;
        if version == 0xff {
            return Err(TraceParentError::Version);
        }
        if version == 0 && !rest.is_empty() {
            return Err(TraceParentError::Length { found });
        }
        dash(fixed, 2)?;
        let trace = number(fixed, 3..35)?;
        dash(fixed, 35)?;
        let parent = number(fixed, 36..52)?;
        dash(fixed, 52)?;
        let flags = number(fixed, 53..55)?;
        if let Some(&found) = rest.first().filter(|byte| **byte != b'-') {
            return Err(TraceParentError::NotDash { at: LENGTH, found });
        }
        // Of a version to come, only this flag is known.
        let known = if version == 0 { SAMPLED | RANDOM } else { SAMPLED };
        let parent = TraceParent::new(trace, parent as u64, false)?;
        Ok(TraceParent { flags: flags as u8 & known, ..parent })
    }
}

/// The number that stands there in hexadecimal digits.
fn number(header: &[u8; LENGTH], range: std::ops::Range<usize>) -> Result<u128, TraceParentError> {
    range.into_iter().try_fold(0, |number, at| {
        let digit = match header[at] {
            digit @ b'0'..=b'9' => digit - b'0',
            digit @ b'a'..=b'f' => digit - b'a' + 10,
            found => return Err(TraceParentError::NotHex { at, found }),
        };
        Ok(number << 4 | u128::from(digit))
    })
}

fn dash(header: &[u8; LENGTH], at: usize) -> Result<(), TraceParentError> {
    match header[at] {
        b'-' => Ok(()),
        found => Err(TraceParentError::NotDash { at, found }),
    }
}

impl FromStr for TraceParent {
    type Err = TraceParentError;

    fn from_str(header: &str) -> Result<TraceParent, TraceParentError> {
        header.as_bytes().try_into()
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.parent, self.flags)
    }
}

impl fmt::Debug for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceParent({self})")
    }
}

/// What is wrong with a `traceparent`.
///
/// # Examples
///
/// ```
/// use fanpool::trace::{TraceParent, TraceParentError};
///
/// let error = "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01".parse::<TraceParent>().unwrap_err();
/// assert_eq!(error, TraceParentError::NotHex { at: 4, found: b'B' });
/// assert_eq!(error.to_string(), "byte 4 of a traceparent is 'B'; allowed are 0 to 9 and a to f");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TraceParentError {
    /// Shorter than 55 bytes, or of version 00 and longer.
    Length {
        /// Bytes of the header.
        found: usize,
    },
    /// A byte that should be a digit.
    NotHex {
        /// Its place, counted from 0.
        at: usize,
        /// The byte.
        found: u8,
    },
    /// A byte that should be a dash.
    NotDash {
        /// Its place, counted from 0.
        at: usize,
        /// The byte.
        found: u8,
    },
    /// The version is ff.
    Version,
    /// The trace's id is zero.
    ZeroTraceId,
    /// The parent's id is zero.
    ZeroParentId,
}

impl fmt::Display for TraceParentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            TraceParentError::Length { found } => {
                write!(f, "a traceparent has {found} bytes; version 00 has {LENGTH}, later ones at least {LENGTH}")
            }
            TraceParentError::NotHex { at, found } => {
                let found = found.escape_ascii();
                write!(f, "byte {at} of a traceparent is '{found}'; allowed are 0 to 9 and a to f")
            }
            TraceParentError::NotDash { at, found } => {
                write!(f, "byte {at} of a traceparent is '{}'; a dash is needed there", found.escape_ascii())
            }
            TraceParentError::Version => f.write_str("the version of a traceparent is ff; allowed are 00 to fe"),
            TraceParentError::ZeroTraceId => {
                f.write_str("the trace id of a traceparent is zero; all others are allowed")
            }
            TraceParentError::ZeroParentId => {
                f.write_str("the parent id of a traceparent is zero; all others are allowed")
            }
        }
    }
}

impl Error for TraceParentError {}
