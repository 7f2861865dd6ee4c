//! What stands between `<!-- figures:NAME -->` and `<!-- end -->` of a page.

use std::fs;
use std::path::Path;

const END: &str = "<!-- end -->";

/// The page with `text` between its markers.
pub(crate) fn fill(page: &str, name: &str, text: &str) -> Result<String, String> {
    let marker = format!("<!-- figures:{name} -->");
    let (before, rest) = page.split_once(&marker).ok_or_else(|| format!("no marker {marker}"))?;
    let (_, after) = rest.split_once(END).ok_or_else(|| format!("no {END} after {marker}"))?;
    Ok(format!("{before}{marker}\n\n{}\n\n{END}{after}", text.trim()))
}

/// Fills a page's markers. Answers the first line that was another, if there was one; writes the page if asked to.
pub(crate) fn page(path: &Path, texts: &[(&str, String)], write: bool) -> Result<Option<String>, String> {
    let named = |error: String| format!("{}: {error}", path.display());
    let old = fs::read_to_string(path).map_err(|error| named(error.to_string()))?;
    let mut new = old.clone();
    for (name, text) in texts {
        new = fill(&new, name, text).map_err(named)?;
    }
    if new == old {
        return Ok(None);
    }
    if write {
        fs::write(path, &new).map_err(|error| named(error.to_string()))?;
    }
    let (mut there, mut due) = (old.lines(), new.lines());
    let at = (1..).find(|_| {
        let (there, due) = (there.next(), due.next());
        there != due || there.is_none()
    });
    let lines = |text: &str| text.lines().nth(at.unwrap_or(1) - 1).unwrap_or("nothing").to_owned();
    Ok(Some(format!("{}:{}:\n  is  {}\n  due {}", path.display(), at.unwrap_or(1), lines(&old), lines(&new))))
}

#[cfg(test)]
mod tests {
    use super::fill;

    #[test]
    fn a_marker_is_filled_and_nothing_else_changes() {
        let page = "a\n<!-- figures:x -->\nold\n<!-- end -->\nb <!-- figures:y --><!-- end -->";
        let filled = fill(page, "x", "new\n").unwrap();
        assert_eq!(filled, "a\n<!-- figures:x -->\n\nnew\n\n<!-- end -->\nb <!-- figures:y --><!-- end -->");
        assert_eq!(fill(&filled, "x", "new").unwrap(), filled);
        assert!(fill(page, "z", "").is_err());
        assert!(fill("<!-- figures:x -->", "x", "").is_err());
    }
}
