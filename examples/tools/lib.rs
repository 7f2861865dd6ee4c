//! What the programs of this package share: arguments, the way they end, and numbers from a seed.

mod arguments;
mod end;
mod random;

pub use arguments::Arguments;
pub use end::{Failure, end};
pub use random::Random;

use std::path::Path;

/// A name for a message: on one line, whatever is in it.
#[must_use]
pub fn shown(path: &Path) -> String {
    path.display().to_string().escape_debug().to_string()
}
