//! Patterns that match within a line.

use memchr::memmem::Finder;
use memchr::{memchr, memrchr};
use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::print::Printer;
use regex_syntax::hir::{
    Capture, Class, ClassBytes, ClassBytesRange, ClassUnicode, ClassUnicodeRange, Hir, HirKind, Look, Repetition,
};
use std::ops::Range;
use std::sync::Arc;

/// Bytes that are looked for before the expression is: fewer would be in too many lines.
const RARE: usize = 3;

/// A pattern, and how to find the lines that it matches with little work.
#[derive(Clone)]
pub(crate) struct Pattern {
    /// Finds in a whole text exactly what it would find in each of its lines alone: no part of it matches the end of a line, and the
    /// ends of the text are those of the line.
    regex: Regex,
    way: Way,
}

/// How to find lines.
#[derive(Clone)]
pub(crate) enum Way {
    /// The expression searches the text.
    Whole,
    /// Only lines with these bytes can match.
    Bytes(Arc<Finder<'static>>),
    /// It asks where words begin and end. The fast engines know that of ASCII alone and give up at any other byte, so each line is given
    /// to them on its own.
    Lines,
}

impl Pattern {
    pub(crate) fn new(pattern: &str, ignore_case: bool) -> Result<Pattern, String> {
        let mut parser = ParserBuilder::new().utf8(false).multi_line(true).case_insensitive(ignore_case).build();
        let parsed = parser.parse(pattern).map_err(|error| error.to_string())?;
        let pattern = within_a_line(parsed)?;
        let is_plain = matches!(pattern.kind(), HirKind::Literal(_));
        let way = match required(&pattern).filter(|bytes| bytes.len() >= RARE && !is_plain) {
            Some(bytes) => Way::Bytes(Arc::new(Finder::new(bytes).into_owned())),
            None if pattern.properties().look_set().contains_word_unicode() => Way::Lines,
            None => Way::Whole,
        };
        let mut text = String::new();
        Printer::new().print(&pattern, &mut text).map_err(|error| error.to_string())?;
        Ok(Pattern { regex: RegexBuilder::new(&text).build().map_err(|error| error.to_string())?, way })
    }

    /// How to find lines in this text.
    pub(crate) fn way(&self, text: &[u8]) -> &Way {
        if matches!(self.way, Way::Lines) && text.is_ascii() { &Way::Whole } else { &self.way }
    }

    /// A place in the next line that matches, from the beginning of a line on.
    pub(crate) fn next(&self, way: &Way, text: &[u8], from: usize) -> Option<usize> {
        let mut at = from;
        match way {
            Way::Bytes(finder) => loop {
                at += finder.find(&text[at..])?;
                let line = line_at(text, at);
                if self.regex.is_match(&text[line.clone()]) {
                    return Some(at);
                }
                at = line.end;
            },
            Way::Lines => loop {
                let line = line_at(text, at);
                if self.regex.is_match(&text[line.clone()]) {
                    return Some(at);
                }
                at = line.end + 1;
                if at >= text.len() {
                    return None;
                }
            },
            Way::Whole => self.regex.shortest_match_at(text, at),
        }
    }
}

/// The line around a place, without its end.
pub(crate) fn line_at(text: &[u8], at: usize) -> Range<usize> {
    let start = memrchr(b'\n', &text[..at]).map_or(0, |before| before + 1);
    let end = memchr(b'\n', &text[at..]).map_or(text.len(), |after| at + after);
    start..end
}

/// The longest bytes that are in all that the pattern matches.
fn required(pattern: &Hir) -> Option<&[u8]> {
    match pattern.kind() {
        HirKind::Literal(literal) => Some(&literal.0),
        HirKind::Capture(part) => required(&part.sub),
        HirKind::Repetition(part) if part.min > 0 => required(&part.sub),
        HirKind::Concat(parts) => parts.iter().filter_map(required).max_by_key(|bytes| bytes.len()),
        _ => None,
    }
}

fn within_a_line(pattern: Hir) -> Result<Hir, String> {
    let all = |parts: Vec<Hir>| parts.into_iter().map(within_a_line).collect::<Result<Vec<_>, _>>();
    Ok(match pattern.into_kind() {
        HirKind::Empty => Hir::empty(),
        HirKind::Literal(literal) if literal.0.contains(&b'\n') => {
            return Err("the pattern has the end of a line in it, and lines are searched one by one".into());
        }
        HirKind::Literal(literal) => Hir::literal(literal.0),
        HirKind::Class(Class::Unicode(mut class)) => {
            class.difference(&ClassUnicode::new([ClassUnicodeRange::new('\n', '\n')]));
            Hir::class(Class::Unicode(class))
        }
        HirKind::Class(Class::Bytes(mut class)) => {
            class.difference(&ClassBytes::new([ClassBytesRange::new(b'\n', b'\n')]));
            Hir::class(Class::Bytes(class))
        }
        HirKind::Look(Look::Start) => Hir::look(Look::StartLF),
        HirKind::Look(Look::End) => Hir::look(Look::EndLF),
        HirKind::Look(look) => Hir::look(look),
        HirKind::Repetition(part) => Hir::repetition(Repetition { sub: Box::new(within_a_line(*part.sub)?), ..part }),
        HirKind::Capture(part) => Hir::capture(Capture { sub: Box::new(within_a_line(*part.sub)?), ..part }),
        HirKind::Concat(parts) => Hir::concat(all(parts)?),
        HirKind::Alternation(parts) => Hir::alternation(all(parts)?),
    })
}
