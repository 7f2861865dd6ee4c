//! How dead letters are made, for the fuzz targets in `fuzz/` alone.

#![allow(missing_docs, unreachable_pub, clippy::missing_errors_doc, reason = "for tests")]

use super::super::message::{Message, Position};
use super::letter::{self, Cause};
use super::shared::{Entry, Told};
use crate::error::TaskError;

/// The letter of a message that failed with these texts in turn, and what is sent if a sink refuses that.
pub fn letters(message: &Message, errors: &[String]) -> (Message, Message) {
    let (last, before) = errors.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let failed = |(at, text): (usize, &String)| (at + 1, TaskError::Failed(text.clone()));
    let before: Vec<_> = before.iter().take(15).enumerate().map(failed).collect();
    let told = Told { unfit: None, history: letter::history(&before) };
    let position = Position { partition: 0, offset: 1, part: 2, session: 3 };
    let entry = Entry { message: message.clone(), position, attempt: 4, told: Some(Box::new(told)) };
    let attempts = u32::try_from(errors.len()).unwrap_or(u32::MAX);
    let whole = letter::letter(&entry, attempts, &Cause { reason: "failed", text: letter::text(&last) }, "memory");
    let small = letter::smaller(&whole);
    (whole, small)
}
