//! What the documents name is there: tests, models, files, scripts, breaks. And each row of the table of faults has a line.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(root().join(&path)).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

/// Files of the repository that end so, but for what was built.
fn files(under: &str, end: &str) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![root().join(under)]);
    while let Some(path) = open.pop() {
        if !path.is_dir() {
            found.extend(path.to_str().is_some_and(|name| name.ends_with(end)).then_some(path));
        } else if !path.ends_with("target") && !path.ends_with(".git") {
            open.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    found
}

/// The name behind `fn `.
fn function(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("fn ")?;
    rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()
}

/// The functions with `#[test]` in these sources.
fn tests(paths: &[PathBuf]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for path in paths {
        let text = fs::read_to_string(path).unwrap();
        let mut is_next = false;
        for line in text.lines().map(str::trim_start) {
            if line.starts_with("#[test]") {
                is_next = true;
            } else if is_next && !line.starts_with("#[") && !line.starts_with("//") {
                is_next = false;
                names.extend(function(line).map(str::to_owned));
            }
        }
    }
    names
}

fn all_tests() -> BTreeSet<String> {
    let places = ["src", "tests", "loom-tests/tests", "examples", "fuzz/tests"];
    tests(&places.iter().flat_map(|place| files(place, ".rs")).collect::<Vec<_>>())
}

/// What stands between backticks, outside of blocks of code.
fn quoted(text: &str) -> Vec<&str> {
    let outside = text.split("```").step_by(2);
    outside.flat_map(|text| text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))).collect()
}

/// Whether it has the form of a test's name, or of the beginning of some: words with underscores, and at least three of them.
fn is_test_name(name: &str) -> bool {
    let words = name.strip_suffix('*').unwrap_or(name);
    words.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && (words.matches('_').count() >= 2 || name.ends_with("_*"))
}

fn names_one_of(name: &str, tests: &BTreeSet<String>) -> bool {
    match name.strip_suffix('*') {
        Some(beginning) => tests.iter().any(|test| test.starts_with(beginning)),
        None => tests.contains(name),
    }
}

/// What a document names and is not there.
fn missing(document: &str, text: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let beside = Path::new(document).parent().unwrap();
    let is_there = |path: &str| {
        let places = [beside.to_owned(), "".into(), "tests".into(), "tests/it".into(), "src".into()];
        places.iter().any(|place| root().join(place).join(path.trim_end_matches('/')).exists())
    };
    let is_missing = |name: &str| {
        let path = name.split(' ').next().unwrap_or_default();
        if path.starts_with(".ci/") || path.ends_with(".rs") || path.ends_with(".md") || path.ends_with('/') {
            return !is_there(path);
        }
        match name.split_once("::") {
            // A model, or with a star all of a file of models.
            Some((module, model)) if model == "*" || is_test_name(model) => {
                let models = root().join("loom-tests/tests/models").join(module).with_extension("rs");
                let own = self::tests(&models.exists().then_some(models).into_iter().collect::<Vec<_>>());
                if model == "*" { own.is_empty() } else { !own.contains(model) }
            }
            Some(_) => false,
            None => is_test_name(name) && !names_one_of(name, tests),
        }
    };
    quoted(text).into_iter().filter(|name| is_missing(name)).map(|name| format!("{document}: {name}")).collect()
}

#[test]
fn what_the_documents_name_is_there() {
    let tests = all_tests();
    assert!(tests.len() > 500, "{}", tests.len());
    let readme = read("README.md");
    let promises = readme.split("## What it promises").nth(1).and_then(|rest| rest.split("## ").next()).unwrap();
    let mut lost = missing("README.md", promises, &tests);
    for document in ["tests/README.md", "tests/DEMANDS.md"] {
        lost.extend(missing(document, &read(document), &tests));
    }
    assert!(lost.is_empty(), "not there:\n{}", lost.join("\n"));
}

#[test]
fn what_is_not_there_is_missed() {
    let tests = all_tests();
    let text = "`a_b_c` `b3_nothing_of_this_*` `it/none.rs` `.ci/none 10` `fan::no_such_model` `none::*` `Debug` `ulimit -v` `a_b`\n\
                `what_is_not_there_is_missed` `b3_*` `it/named.rs` `.ci/run` `fan::wait_against_the_last_item` `fan::*`";
    let lost = missing("tests/README.md", text, &tests);
    assert_eq!(lost.len(), 6, "{lost:?}");
}

#[test]
fn every_row_of_the_table_of_faults_has_a_test_or_a_reason() {
    let rows = [("A", 6), ("B", 10), ("C", 8), ("D", 7), ("E", 7), ("F", 9), ("G", 7), ("H", 7), ("I", 7), ("J", 6)];
    let text = read("tests/README.md");
    let faults = text.split("## Faults").nth(1).and_then(|rest| rest.split("## ").next()).unwrap();
    let mut told = BTreeSet::new();
    for line in faults.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| #")) {
        let mut cells = line.trim_matches('|').split(" | ").map(str::trim);
        let (name, held) = (cells.next().unwrap(), cells.next().unwrap());
        assert!(held.contains('`'), "{line}");
        let numbers: Vec<&str> = name.split([',', ' ']).filter(|word| word.len() > 1 && word.is_ascii()).collect();
        match numbers[..] {
            [from, "to", until] => {
                let number = |text: &str| text[1..].parse::<usize>().unwrap();
                told.extend((number(from)..=number(until)).map(|row| format!("{}{row}", &from[..1])));
            }
            _ => {
                told.extend(numbers.iter().filter(|word| word[1..].parse::<usize>().is_ok()).map(|it| (*it).to_owned()))
            }
        }
    }
    let all = rows.iter().flat_map(|(letter, last)| (1..=*last).map(move |row| format!("{letter}{row}")));
    let untold: Vec<String> = all.filter(|row| !told.contains(row)).collect();
    assert!(untold.is_empty(), "no line in the table for {untold:?}");
}

/// The first cells of the table of models, and the breaks in its last.
fn models() -> Vec<(String, Vec<String>)> {
    let text = read("loom-tests/README.md");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.filter_map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
        let breaks = quoted(cells.get(4)?).into_iter().map(str::to_owned).collect();
        Some((quoted(cells[0])[0].to_owned(), breaks))
    })
    .collect()
}

#[test]
fn every_model_is_in_the_table_and_every_break_in_the_list() {
    let written = tests(&files("loom-tests/tests", ".rs"));
    let told: BTreeSet<String> =
        models().iter().map(|(name, _)| name.rsplit("::").next().unwrap().to_owned()).collect();
    assert_eq!(told.symmetric_difference(&written).collect::<Vec<_>>(), Vec::<&String>::new());

    let script = read("loom-tests/breaks.sh");
    let mut planted = BTreeSet::new();
    for path in files("src", ".rs") {
        let text = fs::read_to_string(path).unwrap();
        planted.extend(text.split("broken!(\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()));
    }
    // Where documentation shows how it is done.
    planted.remove("name");
    // Lines of a name and a test.
    let listed = |line: &str| {
        let mut words = line.split_whitespace();
        let (name, test) = (words.next()?.to_owned(), words.next()?);
        (test.contains("::") && words.next().is_none()).then_some(name)
    };
    let listed: BTreeSet<String> = script.lines().filter_map(listed).collect();
    assert_eq!(planted.symmetric_difference(&listed).collect::<Vec<_>>(), Vec::<&String>::new());
    for (model, breaks) in models() {
        for name in breaks {
            assert!(planted.contains(&name), "{model}: {name} is planted nowhere");
        }
    }
    let told = format!("`./breaks.sh` runs each of the {}", planted.len());
    assert_eq!(read("loom-tests/README.md").matches("`./breaks.sh` runs each of the ").count(), 1);
    assert!(read("loom-tests/README.md").contains(&told), "{told}");
}
