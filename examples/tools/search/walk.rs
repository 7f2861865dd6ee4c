//! The files under folders, in the order of their paths.

use std::fs::{self, DirEntry, FileType};
use std::io;
use std::path::{Path, PathBuf};

/// A file, or what could not be read.
pub(crate) type Found = Result<PathBuf, (PathBuf, io::Error)>;

/// Holds only the siblings on the way.
pub(crate) struct Walk {
    /// The next at the end. What a path is known to be, if it was found and not asked for.
    open: Vec<(PathBuf, Option<FileType>)>,
    /// Whether nothing was asked for: then names begin without a dot.
    bare: bool,
}

impl Walk {
    /// Those under `paths`, one after the other; under the current folder if there are none.
    pub(crate) fn new(mut paths: Vec<PathBuf>) -> Walk {
        let bare = paths.is_empty();
        if bare {
            paths.push(".".into());
        }
        Walk { open: paths.into_iter().rev().map(|path| (path, None)).collect(), bare }
    }

    /// Puts what is in a folder on the stack.
    fn enter(&mut self, folder: &Path) -> io::Result<()> {
        let entries = fs::read_dir(folder)?;
        let before = self.open.len();
        let bare = self.bare;
        for entry in entries {
            let entry: DirEntry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_file() || kind.is_dir() {
                let path = if bare { path.strip_prefix(".").map(Path::to_owned).unwrap_or(path) } else { path };
                self.open.push((path, Some(kind)));
            }
        }
        self.open[before..].sort_unstable_by(|(a, _), (b, _)| b.as_os_str().cmp(a.as_os_str()));
        Ok(())
    }
}

impl Iterator for Walk {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        while let Some((path, kind)) = self.open.pop() {
            let is_folder = match kind {
                Some(kind) => kind.is_dir(),
                // A link that was asked for is followed.
                None => match fs::metadata(&path) {
                    Ok(metadata) => metadata.is_dir(),
                    Err(error) => return Some(Err((path, error))),
                },
            };
            if !is_folder {
                return Some(Ok(path));
            }
            if let Err(error) = self.enter(&path) {
                return Some(Err((path, error)));
            }
        }
        None
    }
}
