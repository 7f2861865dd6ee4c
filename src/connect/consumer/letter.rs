//! Dead letters: the message as it was, with headers that tell what happened.

use super::super::message::Message;
use super::shared::Entry;
use crate::error::TaskError;
use std::fmt::{self, Display, Write};

/// The most bytes of an error's text that go with a letter.
const TEXT: usize = 1_024;

/// The most bytes of a line of the history, of which there are at most 15 before the last.
const LINE: usize = 272;

/// What of the payload is left in a letter that was refused.
pub(super) const CUT: usize = 4_096;

/// The headers of a letter that are also in one that was refused. A message may bring others that are called much the same.
const KEPT: [&str; 7] = [
    "fanpool-reason",
    "fanpool-error",
    "fanpool-attempts",
    "fanpool-history",
    "fanpool-deliveries",
    "fanpool-position",
    "traceparent",
];

/// Why a message is buried: a word, and a text.
pub(super) struct Cause {
    pub(super) reason: &'static str,
    pub(super) text: String,
}

/// Takes text, up to a number of bytes.
struct Bounded {
    text: String,
    bytes: usize,
}

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let left = self.bytes - self.text.len();
        let cut = (0..=left.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        self.text.push_str(&text[..cut]);
        if cut < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

/// At most so many bytes of what it displays; what a `Display` that panics or fails has written till then.
fn bounded(bytes: usize, write: impl FnOnce(&mut dyn Write) -> fmt::Result) -> String {
    let mut sink = Bounded { text: String::new(), bytes };
    // Cut off, or a `Display` of the user's that fails: what is there is what is told.
    let _ = crate::panics::catch(|| write(&mut sink)).map_err(crate::panics::discard);
    sink.text
}

pub(super) fn text(what: &dyn Display) -> String {
    bounded(TEXT, |sink| write!(sink, "{what}"))
}

/// A line for each attempt: its number, from 1, and what it failed with.
pub(super) fn history<E: Display>(errors: &[(usize, TaskError<E>)]) -> String {
    errors.iter().map(|(attempt, error)| line(LINE, *attempt, error) + "\n").collect()
}

fn line(bytes: usize, attempt: usize, error: &dyn Display) -> String {
    bounded(bytes, |sink| write!(sink, "{attempt}: {error}")).replace(['\n', '\r'], " ")
}

/// Why an item without a result is buried; `None` if it is not, since nothing was wrong with it.
pub(super) fn cause<E: Display>(error: &TaskError<E>, entry: &mut Entry) -> Option<Cause> {
    let reason = match error {
        TaskError::Failed(_) => "failed",
        TaskError::Panicked(_) => "panicked",
        TaskError::Expired => "expired",
        TaskError::WrongBatch { .. } => "wrong-batch",
        TaskError::Rejected(crate::error::Rejection::Message) => {
            return entry.told.as_mut()?.unfit.take().map(|unfit| Cause { reason: unfit.reason, text: unfit.text });
        }
        TaskError::Cancelled | TaskError::Rejected(_) => return None,
    };
    Some(Cause { reason, text: text(error) })
}

/// The letter of a message.
pub(super) fn letter(entry: &Entry, attempts: u32, cause: &Cause, engine: &str) -> Message {
    let mut history = entry.told.as_ref().map_or_else(String::new, |told| told.history.clone());
    if attempts > 0 {
        history.push_str(&line(TEXT, attempts as usize, &cause.text));
    }
    let letter = entry.message.clone().with_header("fanpool-reason", cause.reason);
    let letter = letter.with_header("fanpool-error", &cause.text);
    let letter = letter.with_header("fanpool-attempts", attempts.to_string());
    let letter = letter.with_header("fanpool-history", history);
    let letter = letter.with_header("fanpool-deliveries", entry.attempt.to_string());
    letter.with_header("fanpool-position", format!("{engine} {}", entry.position))
}

/// A letter that the sink has refused, made small whatever the message brought: the first bytes of the payload, no key that is long, and
/// of the headers only those of this crate and `traceparent`.
pub(super) fn smaller(letter: &Message) -> Message {
    let bytes = letter.payload().len();
    let own = letter.headers().filter(|(name, _)| KEPT.contains(name));
    let small = letter.clone().without_headers().without_key_over(TEXT).cut(CUT);
    let small = own.fold(small, |small, (name, value)| small.with_header(name, beginning(value)));
    small.with_header("fanpool-truncated", bytes.to_string())
}

/// At most so many bytes of a value; if it is text, whole characters.
fn beginning(value: &[u8]) -> &[u8] {
    let cut = &value[..value.len().min(TEXT)];
    match std::str::from_utf8(cut) {
        // Cut off within the last one.
        Err(error) if error.error_len().is_none() && cut.len() < value.len() => &cut[..error.valid_up_to()],
        _ => cut,
    }
}
