//! One workload along one axis at a time: grain of the work, number of tasks, threads, producers, keys and their skew, size
//! of the items. (Windows are in the bench `service`.)
//!
//! `cargo bench -p benches --bench axes [-- WORD..]`; words select axes: `grain`, `tasks`, `threads`, `producers`, `keys`,
//! `sizes`, and `scope` or `map`. Peers take turns in every round. A peer that takes too long for a cell is left out of it,
//! and a line says so.

#![expect(clippy::unwrap_used, reason = "a bench that cannot start may stop")]

#[path = "axes/cell.rs"]
mod cell;
#[path = "service/golang.rs"]
#[allow(dead_code, reason = "most of it is for the bench `service`")]
mod golang;
#[path = "axes/items.rs"]
mod items;
#[path = "service/load.rs"]
#[allow(dead_code, reason = "most of it is for the bench `service`")]
mod load;
#[path = "axes/maps.rs"]
mod maps;
#[path = "axes/producers.rs"]
mod producers;
#[path = "axes/spawns.rs"]
mod spawns;

use cell::Cell;
use maps::Maps;
use spawns::Spawns;
use std::time::Duration;

/// Nanoseconds of work; 0 is no work at all.
const GRAINS: [usize; 14] = [0, 1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000];

const TASKS: [usize; 8] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];

const THREADS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];

/// So many tasks that they take about 20 ms in a loop, but not more than fit a cache well.
fn tasks_of(grain: usize) -> usize {
    (20_000_000 / grain.max(1)).clamp(20, 100_000)
}

fn by_grain(cores: usize, scope: bool, map: bool) {
    let (spawns, mut maps) = (Spawns::new(cores), Maps::new(cores));
    for grain in GRAINS {
        let tasks = tasks_of(grain);
        let parameters = [("threads", cores as f64), ("tasks", tasks as f64), ("grain_ns", grain as f64)];
        let title = |what: &str| format!("{what} by grain: {}", time(grain));
        if scope {
            Cell::new(title("tasks of a scope"), "ns a task", &parameters).run(tasks, spawns.peers(tasks, grain));
        }
        if map {
            Cell::new(title("items of a map"), "ns an item", &parameters).run(tasks, maps.peers(tasks, grain));
        }
    }
}

fn by_tasks(cores: usize, scope: bool, map: bool) {
    const ITEM: usize = 65;
    let (spawns, mut maps) = (Spawns::new(cores), Maps::new(cores));
    let (mut slow_spawns, mut slow_maps) = (Vec::new(), Vec::new());
    for tasks in TASKS {
        let parameters = |grain| [("threads", cores as f64), ("tasks", tasks as f64), ("grain_ns", grain as f64)];
        let title = |what: &str| format!("{what} by number: {}", grouped(tasks));
        if scope {
            let parameters = parameters(0);
            let mut cell = Cell::new(title("empty tasks of a scope"), "ns a task", &parameters);
            cell.without(&slow_spawns);
            slow_spawns.extend(cell.run(tasks, spawns.peers(tasks, 0)));
        }
        if map {
            let parameters = parameters(ITEM);
            let mut cell = Cell::new(title("items of 65 ns of a map"), "ns an item", &parameters);
            cell.without(&slow_maps);
            slow_maps.extend(cell.run(tasks, maps.peers(tasks, ITEM)));
        }
    }
}

fn by_threads(scope: bool, map: bool) {
    for threads in THREADS {
        let (spawns, mut maps) = (Spawns::new(threads), Maps::new(threads));
        for grain in [0, 1_600] {
            let tasks = tasks_of(grain).min(20_000);
            let parameters = [("threads", threads as f64), ("tasks", tasks as f64), ("grain_ns", grain as f64)];
            let title = |what: &str| format!("{what} of {} by threads: {threads}", time(grain));
            if scope {
                let cell = Cell::new(title("tasks of a scope"), "ns a task", &parameters);
                cell.run(tasks, spawns.peers(tasks, grain));
            }
            if map {
                let cell = Cell::new(title("items of a map"), "ns an item", &parameters);
                cell.run(tasks, maps.peers(tasks, grain));
            }
        }
    }
}

fn time(nanos: usize) -> String {
    match nanos {
        0 => "no work".into(),
        1_000_000.. => format!("{} ms", nanos / 1_000_000),
        1_000.. => format!("{} µs", nanos as f64 / 1e3),
        _ => format!("{nanos} ns"),
    }
}

fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let parts: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|part| std::str::from_utf8(part).unwrap()).collect();
    parts.join(",")
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let wanted = |own: &[&str]| words.iter().all(|word| own.contains(&word.as_str()));
    let (scope, map) = (!words.iter().any(|word| word == "map"), !words.iter().any(|word| word == "scope"));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let began = std::time::Instant::now();
    benches::begin("axes");
    if wanted(&["grain", "scope", "map"]) {
        by_grain(cores, scope, map);
    }
    if wanted(&["tasks", "scope", "map"]) {
        by_tasks(cores, scope, map);
    }
    if wanted(&["threads", "scope", "map"]) {
        by_threads(scope, map);
    }
    if wanted(&["producers"]) {
        producers::into_pools(cores);
        producers::into_services();
    }
    if wanted(&["keys"]) {
        items::keys();
        items::skew();
    }
    if wanted(&["sizes"]) {
        items::sizes_of_a_map(cores);
        items::sizes_of_a_service();
    }
    println!("\nall axes took {:.0?}", Duration::from_secs(began.elapsed().as_secs()));
}
