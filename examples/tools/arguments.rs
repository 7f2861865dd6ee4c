//! Arguments: flags, some with a value, and the rest.

use std::ffi::{OsStr, OsString};
use std::ops::RangeInclusive;

/// What a program was called with.
///
/// ```
/// let given = ["--size", "64", "in", "--", "-out"].map(Into::into);
/// let mut arguments = tools::Arguments::parse(given, &["--size"], &[]).unwrap();
/// assert_eq!(arguments.number("--size", 1..=1000, 128), Ok(64));
/// assert_eq!(arguments.rest, ["in", "-out"]);
/// assert!(tools::Arguments::parse(["--what".into()], &[], &[]).is_err());
/// ```
#[derive(Debug)]
pub struct Arguments {
    flags: Vec<(String, OsString)>,
    /// What is no flag, in its order.
    pub rest: Vec<OsString>,
}

impl Arguments {
    /// Sorts out arguments. `valued` are the flags that take a value, as the next argument or, those of one letter, at once; `plain` are the
    /// others. After `--` there are no flags.
    ///
    /// # Errors
    ///
    /// What is wrong with them, for the user.
    pub fn parse(
        given: impl IntoIterator<Item = OsString>,
        valued: &[&str],
        plain: &[&str],
    ) -> Result<Arguments, String> {
        let mut arguments = Arguments { flags: Vec::new(), rest: Vec::new() };
        let mut given = given.into_iter();
        while let Some(argument) = given.next() {
            let text = argument.to_string_lossy().into_owned();
            if text == "--" {
                arguments.rest.extend(given);
                break;
            }
            let short = valued.iter().find(|flag| flag.len() == 2 && text.len() > 2 && text.starts_with(**flag));
            if !text.starts_with('-') || text == "-" {
                arguments.rest.push(argument);
            } else if let Some(flag) = short {
                arguments.flags.push(((*flag).to_owned(), text[2..].into()));
            } else if valued.contains(&text.as_str()) {
                let value = given.next().ok_or(format!("{text} without a value"))?;
                arguments.flags.push((text, value));
            } else if plain.contains(&text.as_str()) {
                arguments.flags.push((text, OsString::new()));
            } else {
                return Err(format!("unknown flag {}", text.escape_debug()));
            }
        }
        Ok(arguments)
    }

    /// The value of a flag; of several, the last.
    #[must_use]
    pub fn value(&self, flag: &str) -> Option<&OsStr> {
        self.flags.iter().rev().find(|(name, _)| name == flag).map(|(_, value)| value.as_os_str())
    }

    /// The value of a flag as a number, `default` without the flag.
    ///
    /// # Errors
    ///
    /// What is wrong with it, for the user.
    pub fn number(&self, flag: &str, allowed: RangeInclusive<usize>, default: usize) -> Result<usize, String> {
        let Some(value) = self.value(flag) else { return Ok(default) };
        let number = value.to_str().and_then(|text| text.parse().ok()).filter(|number| allowed.contains(number));
        number.ok_or(format!("{flag} takes {} to {}", allowed.start(), allowed.end()))
    }

    /// The number of threads after `-j`, one for each CPU without it.
    ///
    /// # Errors
    ///
    /// What is wrong with it, for the user.
    pub fn threads(&self) -> Result<usize, String> {
        let default = std::thread::available_parallelism().map_or(1, usize::from);
        self.number("-j", 1..=fanpool::MAX_WORKERS, default)
    }
}
