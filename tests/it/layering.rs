//! Reads the sources and holds them to the project's own rules; also which public types may cross threads.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(under: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut found, mut open) = (Vec::new(), vec![root.join(under)]);
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path.strip_prefix(root).unwrap().to_owned(), text));
        }
    }
    assert!(!found.is_empty());
    found
}

/// The lines of code before the unit tests, without comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .take_while(|line| !line.starts_with("#[cfg(all(test"))
        .filter(|line| !line.trim_start().starts_with("//"))
}

/// Unit tests in a file of their own, which the file that they are of declares for test builds alone.
fn is_unit_tests(path: &Path) -> bool {
    let parent = Path::new(env!("CARGO_MANIFEST_DIR")).join(path.with_file_name("")).with_extension("rs");
    let declared = "#[cfg(all(test, not(fanpool_loom)))]\nmod tests;";
    path.ends_with("tests.rs") && fs::read_to_string(parent).is_ok_and(|text| text.contains(declared))
}

#[test]
fn only_sync_names_primitives() {
    for (path, text) in sources("src") {
        if path.starts_with("src/sync") || is_unit_tests(&path) {
            continue;
        }
        for line in code(&text) {
            let id_counter = path.ends_with("pool/shared.rs") && line.contains("std::sync::atomic");
            for name in ["std::sync", "std::thread", "parking_lot", "crossbeam_channel", "loom::"] {
                assert!(!line.contains(name) || id_counter, "{}: {line}", path.display());
            }
        }
    }
}

#[test]
fn unsafe_stands_in_three_places() {
    for (path, text) in sources("src") {
        let allowed = ["src/job.rs", "src/scope.rs", "src/join"].iter().any(|place| path.starts_with(place));
        let allowed = allowed && !path.ends_with("tests.rs");
        let used = code(&text).any(|line| line.contains("unsafe ") || line.contains("allow(unsafe_code)"));
        assert_eq!(used, allowed, "{}", path.display());
    }
}

#[test]
fn layers_know_only_those_below() {
    // Lowest first. `error` and `cancel` know only `sync` and `panics`; `resilience` and `object_pool` know only those, `error` and `trace`.
    let layers = [
        "sync",
        "panics",
        "error",
        "trace",
        "cancel",
        "resilience",
        "object_pool",
        "observe",
        "job",
        "group",
        "handle",
        "scope",
        "try_scope",
        "join",
        "pool",
        "map",
        "fan",
        "connect",
        "guide",
    ];
    for (path, text) in sources("src") {
        let layer = path.components().nth(1).unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs");
        let Some(own) = layers.iter().position(|name| *name == layer) else { continue };
        for line in code(&text) {
            for above in &layers[own + 1..] {
                assert!(!line.contains(&format!("crate::{above}::")), "{}: {line}", path.display());
            }
        }
    }
}

#[test]
fn the_drawing_on_the_front_page_is_true() {
    let front = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    // Names stand in the left half of each row.
    let rows: Vec<String> = front
        .lines()
        .skip_while(|line| *line != "//! ```text")
        .take_while(|line| *line != "//! ```")
        .map(|line| line.chars().skip(4).take(32).collect())
        .collect();
    let row_of = |name: &str| {
        let mut found = (0..rows.len()).filter(|row| rows[*row].split_whitespace().any(|word| word == name));
        let row = found.next().unwrap_or_else(|| panic!("{name} is not drawn"));
        assert_eq!(found.next(), None, "{name} is drawn twice");
        row
    };
    let mut arrows = 0;
    for (path, text) in sources("src") {
        let own = path.components().nth(1).unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs");
        if ["lib", "model", "guide"].contains(&own) || is_unit_tests(&path) {
            continue;
        }
        for line in code(&text) {
            for (at, _) in line.match_indices("crate::") {
                let other = line[at + 7..].split(|c: char| !c.is_ascii_lowercase() && c != '_').next().unwrap();
                if other != own {
                    arrows += 1;
                    assert!(row_of(own) < row_of(other), "{}: {line}", path.display());
                }
            }
        }
    }
    assert!(arrows > 100);
}

#[test]
fn the_guide_is_prose() {
    let mut chapters = 0;
    for (path, text) in sources("src/guide") {
        let lines = text.lines().count();
        assert!(lines < 400, "{} has {lines} lines", path.display());
        for line in code(&text).filter(|line| !line.is_empty()) {
            assert!(line.starts_with("pub mod "), "{}: {line}", path.display());
            chapters += 1;
        }
        assert!(path.ends_with("mod.rs") || text.contains("//! ```"), "{} has no example", path.display());
    }
    assert_eq!(chapters, sources("src/guide").len() - 1);
}

#[test]
fn files_are_short() {
    for under in ["src", "tests", "benches", "examples", "loom-tests/tests"] {
        for (path, text) in sources(under) {
            // Public verbs with an example each make a long page of little code.
            let lines = code(&text).count();
            assert!(lines <= 400, "{} has {lines} lines of code", path.display());
        }
    }
}

#[test]
fn nothing_is_unwrapped_outside_tests() {
    for (path, text) in sources("src") {
        if path.ends_with("conformance.rs") || is_unit_tests(&path) {
            continue;
        }
        for line in code(&text) {
            assert!(!line.contains(".unwrap()") && !line.contains(".expect("), "{}: {line}", path.display());
        }
    }
}

#[test]
fn public_types_cross_threads() {
    fn send_sync<T: Send + Sync>() {}
    send_sync::<fanpool::Pool>();
    send_sync::<fanpool::Builder>();
    send_sync::<fanpool::Group<'_>>();
    send_sync::<fanpool::GroupBuilder<'_>>();
    send_sync::<fanpool::Scope<'_, '_>>();
    send_sync::<fanpool::TryScope<'_, '_, std::cell::Cell<u8>>>();
    send_sync::<fanpool::Handle<std::cell::Cell<u8>>>();
    send_sync::<fanpool::CancelToken>();
    send_sync::<fanpool::TaskPanicked>();
    send_sync::<fanpool::JoinError>();
    send_sync::<fanpool::BuildError>();
    send_sync::<fanpool::ResizeError>();
    send_sync::<fanpool::Refused<fn()>>();
    send_sync::<fanpool::Errors<std::io::Error>>();
    send_sync::<fanpool::Shutdown>();
    send_sync::<fanpool::ObjectPool<std::cell::Cell<u8>, std::rc::Rc<u8>>>();
    send_sync::<fanpool::ObjectPoolBuilder<std::cell::Cell<u8>, std::rc::Rc<u8>>>();
    send_sync::<fanpool::Pooled<u8>>();
    send_sync::<fanpool::ObjectStats>();
    send_sync::<fanpool::GetError<u8>>();
    send_sync::<fanpool::CircuitBreaker>();
    send_sync::<fanpool::CircuitBreakerBuilder>();
    send_sync::<fanpool::Breakers>();
    send_sync::<fanpool::Permit>();
    send_sync::<fanpool::BreakerOpen>();
    send_sync::<fanpool::BreakerChange>();
    send_sync::<fanpool::BreakerCounts>();
    send_sync::<fanpool::CallError<u8>>();
    send_sync::<fanpool::Clock>();
    send_sync::<fanpool::testing::ManualClock>();
    send_sync::<fanpool::RateLimit>();
    send_sync::<fanpool::RateLimits>();
    send_sync::<fanpool::RateLimited>();
    send_sync::<fanpool::Retry<std::cell::Cell<u8>>>();
    send_sync::<fanpool::RetryBudget>();
    send_sync::<fanpool::RetryError<u8>>();
    send_sync::<fanpool::Monitor>();
    send_sync::<fanpool::MonitorCounts>();
    send_sync::<fanpool::NotifierCounts>();
    send_sync::<fanpool::RuleStatus>();
    send_sync::<fanpool::RuleState>();
    send_sync::<fanpool::Alert>();
    send_sync::<fanpool::AlertState>();
    send_sync::<fanpool::Metrics>();
    send_sync::<fanpool::Observed>();
    send_sync::<fanpool::Progress>();
    send_sync::<fanpool::Rates>();
    send_sync::<fanpool::RouteMetrics>();
    send_sync::<fanpool::TaskCounts>();
    send_sync::<fanpool::WorkerCounts>();
    send_sync::<fanpool::WorkerMetrics>();
    send_sync::<fanpool::WorkerState>();
    send_sync::<fanpool::trace::TraceParent>();
    send_sync::<fanpool::trace::TraceParentError>();
    send_sync::<fanpool::Health>();
    send_sync::<fanpool::HealthCheck>();
    send_sync::<fanpool::Reason>();
    send_sync::<fanpool::Status>();
    fn send<T: Send>() {}
    send::<fanpool::MonitorBuilder>();
    send::<fanpool::Rule>();
    send::<fanpool::Notifier>();
    send::<fanpool::Pooled<std::cell::Cell<u8>>>();
}
