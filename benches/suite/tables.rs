//! The tables of the pages, made from results.

use crate::rows::{Results, Row};

/// A heading, and the peers of whom the best counts.
type Column = (&'static str, &'static [&'static str]);

/// What is said of a workload, its bench and name, and what its figures are multiplied with.
type Line = (&'static str, &'static str, &'static str, f64);

const NS: f64 = 1.0;
const US: f64 = 1e-3;

pub(crate) fn scope(results: &Results) -> Result<String, String> {
    const COLUMNS: &[Column] = &[
        ("fanpool", &["fanpool"]),
        ("rayon `scope`", &["rayon scope"]),
        ("rayon `in_place_scope`", &["rayon in_place_scope"]),
        ("threadpool", &["threadpool"]),
        ("rusty_pool", &["rusty_pool"]),
        ("scoped-thread-pool", &["scoped-thread-pool"]),
        ("std, a thread a core", &["std::thread::scope"]),
    ];
    const LINES: &[Line] = &[
        ("500,000 empty tasks, ns each", "scope", "500,000 empty tasks in a scope", NS),
        ("500,000 tasks of 0.15 µs, ns each", "scope", "500,000 tasks of 0.15 µs", NS),
        ("a scope of 2 tasks of 0.15 µs, µs", "scope", "a scope of 2 tasks of 0.15 µs", US),
        ("a scope of 64 such tasks, µs", "scope", "a scope of 64 tasks of 0.15 µs", US),
        ("20,000 tasks of 15 µs, µs each", "scope", "20,000 tasks of 15 µs", US),
        (
            "16 threads, scopes of 8 tasks of 0.15 µs, µs each",
            "scope",
            "16 threads, scopes of 8 tasks of 0.15 µs on one pool",
            US,
        ),
    ];
    table(results, "", COLUMNS, LINES)
}

pub(crate) fn map(results: &Results) -> Result<String, String> {
    const COLUMNS: &[Column] = &[
        ("fanpool", &["fanpool"]),
        ("serial", &["serial loop"]),
        ("rayon indexed", &["rayon indexed"]),
        ("rayon `par_bridge`, no order", &["rayon par_bridge"]),
        ("pariter", &["pariter"]),
    ];
    const LINES: &[Line] = &[
        ("2,000,000 empty items, ns each", "map", "ordered, 2,000,000 items, empty work", NS),
        ("1,000,000 items of about 50 ns, ns each", "map", "ordered, 1,000,000 items of 65 ns", NS),
        ("100,000 items of 1.6 µs, ns each", "map", "ordered, 100,000 items of 1.6 µs", NS),
        (
            "one in a hundred costs a thousand times the others, ns each",
            "map",
            "skewed: of 100 items of 65 ns one takes 65 µs",
            NS,
        ),
        ("a call with 100 items of about 6 ns, µs", "map", "100 items of 10 ns", US),
        ("1 KiB values by reference, summed, ns each", "map", "slice of 1 KiB values, by reference, summed", NS),
        (
            "1 KiB values moved in and out, ns each",
            "map",
            "values of 1 KiB, moved, and values of 1 KiB back (cloning the input included)",
            NS,
        ),
    ];
    table(results, "Ordered map into a `Vec`", COLUMNS, LINES)
}

pub(crate) fn join(results: &Results) -> Result<String, String> {
    const COLUMNS: &[Column] = &[
        ("fanpool", &["fanpool"]),
        ("serial", &["serial"]),
        ("chili", &["chili"]),
        ("rayon", &["rayon"]),
        ("parkring", &["parkring"]),
        ("std, a thread a half", &["std::thread::scope"]),
    ];
    const LINES: &[Line] = &[
        ("tree of 1,023 nodes, ns a node", "join", "sum of a tree of 1023 nodes", NS),
        ("tree of 1,048,575 nodes, ns a node", "join", "sum of a tree of 1048575 nodes", NS),
        ("fib(32), ns a fork", "join", "fib(32)", NS),
        ("two halves of 1 ms, µs", "join", "two halves of 1000 µs", US),
    ];
    table(results, "Fork-join", COLUMNS, LINES)
}

/// Peers against windows; the best of a window is bold.
pub(crate) fn service(results: &Results) -> Result<String, String> {
    const PEERS: &[Column] = &[
        ("fanpool, workers only", &["fanpool, workers only"]),
        ("fanpool, the receiver helps", &["fanpool, receiver helps"]),
        ("crossbeam channels by hand", &["crossbeam by hand"]),
        ("a rayon task an item", &["rayon, a task an item"]),
        ("Go", &["Go, shared channel", "Go, channel a worker"]),
    ];
    const WINDOWS: [usize; 6] = [1, 4, 16, 64, 256, 4096];
    let workload =
        |window| format!("empty work, a thread that sends and one that receives, as they end, window {window}");
    let column = |window: &usize| {
        let figures = PEERS.iter().map(|(_, peers)| best_of(results, "service", &workload(*window), peers));
        with_bold(&figures.collect::<Vec<_>>(), 1.0)
    };
    let columns: Vec<Vec<String>> = WINDOWS.iter().map(column).collect();
    if columns.iter().flatten().all(String::is_empty) {
        return Err("no rows of the bench `service`".into());
    }
    let mut text = heading("A thread that sends and one that receives", WINDOWS.iter().map(|w| grouped(*w as f64)));
    for (at, (name, _)) in PEERS.iter().enumerate() {
        if columns.iter().any(|column| !column[at].is_empty()) {
            text += &line(name, columns.iter().map(|column| column[at].clone()));
        }
    }
    Ok(text)
}

/// The machine and the versions, as a sentence.
pub(crate) fn machine(results: &Results) -> String {
    let version = |name: &str| format!("{name} {}", short(&results.machine(name)));
    let line_ns: f64 = results.machine("line_ns").parse().unwrap_or_default();
    format!(
        "{} cores of “{}”, between which a cache line takes {line_ns:.0} ns there and back; one worker a core. {}; {}.",
        results.machine("cores"),
        results.machine("machine"),
        results.machine("rustc").split(" (").next().unwrap_or_default(),
        benches::PEERS.map(version).join(", "),
    )
}

/// What pools that size themselves keep, and what `blocking` is worth.
pub(crate) fn elastic(results: &Results) -> Result<String, String> {
    let kept: Vec<f64> = results.of("elastic", "load step").map(|row| row.median).collect();
    let (least, most) = (kept.iter().copied().fold(f64::MAX, f64::min), kept.iter().copied().fold(0.0, f64::max));
    let blocking = |peer| results.find("elastic", "200 tasks that block for 50 ms", peer).map(|row| row.median);
    let (Some(with), Some(without)) = (blocking("fanpool, in `blocking`"), blocking("fanpool, without")) else {
        return Err("no rows of the bench `elastic`".into());
    };
    Ok(format!(
        "Pools that size themselves kept {least:.2} to {most:.2} of the throughput of the best fixed size, from ten steps of their\n\
         controller after each change of the load on. 200 tasks that block for 50 ms ended after {with:.0} ms on a pool of two workers that may\n\
         have 64, if they say so with `blocking`, and after {without:.0} ms if they do not."
    ))
}

/// What is best said in a sentence: a line for each that was measured.
pub(crate) fn more(results: &Results) -> String {
    let find = |bench, workload: &str, peer| results.find(bench, workload, peer).map(|row: &Row| row.median);
    let ratio = |bench, workload: &str, a, b| Some(find(bench, workload, a)? / find(bench, workload, b)?);
    let keeps = |nanos| {
        let workload = format!("fanpool with more workers than cores, {nanos} ns an item");
        ratio("map", &workload, "2 workers", "64 workers").map(|ratio| format!("{ratio:.2}"))
    };
    let policies = |shape| {
        let workload = format!("policies that never act, 0 ns of work, {shape}, window 4,096");
        Some(find("service", &workload, "both")? - find("service", &workload, "no policies")?)
    };
    let keyed = "1,000,000 events of 10,000 keys, 1 in 1,000 takes 20 µs, window 4,096";
    let held = "a lock held across an inner scope, 5 runs";
    let grown = "100 million items through a window of 4,096";
    let lines = [
        find("map", "64 items that sleep for 10 ms, 64 workers", "fanpool")
            .map(|ns| format!("64 items that sleep for 10 ms take {:.1} ms on 64 workers.", ns / 1e6)),
        ratio("scope", "100,000 empty tasks, 64 workers against one a core", "64 workers", "one a core").map(|ratio| {
            format!("With 64 workers on these cores an empty task of a scope takes {ratio:.2} of what it takes with one a core.")
        }),
        keeps(65).zip(keeps(1600)).map(|(fine, coarse)| {
            format!("A map on 64 workers instead of 2 keeps {fine} of its throughput where an item takes about 50 ns, and {coarse} where 100,000 take 1.6 µs each.")
        }),
        ratio("service", keyed, "no keys", "strands").map(|ratio| {
            format!("A million events over 10,000 keys as strands keep {ratio:.2} of the throughput without keys.")
        }),
        policies("one thread").zip(policies("two threads")).map(|(one, two)| {
            // Less than nothing is what two runs differ by.
            let (one, two) = (one.max(0.0), two.max(0.0));
            format!("A retry and a breaker that never have anything to do add {one:.0} ns to an empty item of a service on one thread, {two:.0} ns on two.")
        }),
        find("memory", &format!("{grown}, ordered"), "fanpool")
            .zip(find("memory", &format!("{grown}, unordered"), "fanpool"))
            .map(|(ordered, not)| {
                format!("100 million items through a window of 4,096 with a slow consumer: the peak of memory grew by {ordered:.0} KiB in order, by {not:.0} KiB out of order.")
            }),
        find("fairness", "ten tasks of a group beside a million of another", "fanpool").map(|slices| {
            format!("Ten tasks of a group, beside a million of another, end after {slices:.1} time slices of 500 µs, in the median.")
        }),
        find("deadlock", held, "fanpool").zip(find("deadlock", held, "rayon")).map(|(ours, rayon)| {
            format!("Of five runs with a lock held across an inner scope {ours:.0} end, with rayon {rayon:.0}.")
        }),
        find("idle", "64 idle workers for 2 s", "fanpool")
            .map(|ticks| format!("64 idle workers used {ticks:.0} clock ticks of CPU time in 2 s.")),
    ];
    lines.into_iter().flatten().map(|line| format!("- {line}\n")).collect()
}

/// Programs beside what they replace: wall time and peak of memory.
pub(crate) fn programs(results: &Results) -> Result<String, String> {
    const NAMES: [(&str, &str); 8] = [
        ("checksum", "`checksum`, 52,000 files of documentation"),
        ("pgz", "`pgz`, 128 MiB of them"),
        ("wordcount", "`wordcount`, 4 million words"),
        ("thumbs", "`thumbs`, 60 photographs of 2 megapixels"),
        ("search-bytes", "`search`, bytes in the documentation"),
        ("search-expression", "`search`, words before `Error`"),
        ("csvmap", "`csvmap`, a million rows"),
        ("infer", "`infer`, 200,000 requests in batches of 128"),
    ];
    let columns = ["beside", "s", "its s", "fanpool / this", "peak, MiB", "its peak"];
    let mut text = heading("Program", columns.map(String::from).into_iter());
    for rows in results.workloads() {
        let Some(ours) = rows.iter().find(|row| row.bench == "programs" && row.is_ours()) else { continue };
        let name = NAMES.iter().find(|(workload, _)| *workload == ours.workload);
        let mut name = name.ok_or_else(|| format!("a program without a name: {}", ours.workload))?.1;
        let peak = |row: &Row| row.parameter("peak_mib").map(|mib| format!("{mib:.0}")).unwrap_or_default();
        for its in rows.iter().filter(|row| !row.is_ours()) {
            let ratio = number(ours.median / its.median);
            let ratio = if ours.median > its.median { format!("**{ratio}**") } else { ratio };
            let peer = its.peer.replace('|', "\\|");
            text += &line(name, [peer, number(ours.median), number(its.median), ratio, peak(ours), peak(its)]);
            name = "";
        }
    }
    Ok(text)
}

/// What an item costs that no further core takes off it: atomic operations that were counted, and lines that move one after the other,
/// which are counted in the sources; `benches/README.md` says where.
pub(crate) fn atomics(results: &Results) -> String {
    const LINES: [(&str, &str, Option<f64>); 10] = [
        ("scope", "a task spawned in a scope", Some(2.0)),
        ("scope-owner-alone", "the same, run by its owner", Some(0.0)),
        ("rayon-scope", "a task spawned in a `rayon` scope", Some(1.0)),
        ("map-of-50-steps", "an item of a map, about 50 ns", None),
        ("map-of-2000-steps", "an item of a map, about 2 µs", None),
        ("service-4096-one-thread", "an item of a service, one thread, window 4,096", Some(0.0)),
        ("service-4096", "an item of a service, workers only, window 4,096", Some(1.0)),
        ("service-4096-one-key", "the same, all of one key", Some(2.0)),
        ("service-16", "an item of a service, workers only, window 16", Some(2.0)),
        ("channels-4096", "an item through two crossbeam channels, window 4,096", Some(1.0)),
    ];
    let transfer = results.machine("line_ns").parse::<f64>().unwrap_or_default() / 2.0;
    let columns = [
        "atomics counted",
        "instructions",
        "lines in a row",
        "ns an item at least",
        "threads that 1 µs of work keeps busy",
    ];
    let mut text = heading("What", columns.map(String::from).into_iter());
    let mut any = false;
    for (workload, label, lines) in LINES {
        let Some(row) = results.find("count", workload, "callgrind") else { continue };
        any = true;
        let least = lines.map(|lines| lines * transfer);
        let bound = |least: f64| if least > 0.0 { number(1_000.0 / least) } else { "its own".into() };
        text += &line(
            label,
            [
                number(row.median),
                row.parameter("instructions").map(number).unwrap_or_default(),
                lines.map(|lines| format!("{lines:.0}")).unwrap_or_else(|| "none".into()),
                least.map(|least| format!("{least:.0}")).unwrap_or_default(),
                least.map(bound).unwrap_or_default(),
            ],
        );
    }
    if any { text } else { "Not counted: that takes valgrind and objdump.".into() }
}

fn table(results: &Results, corner: &str, columns: &[Column], lines: &[Line]) -> Result<String, String> {
    let mut text = heading(corner, columns.iter().map(|(heading, _)| (*heading).to_owned()));
    let mut any = false;
    for (label, bench, workload, scale) in lines {
        let figures: Vec<_> = columns.iter().map(|(_, peers)| best_of(results, bench, workload, peers)).collect();
        if figures.iter().any(Option::is_some) {
            any = true;
            text += &line(label, with_bold(&figures, *scale));
        }
    }
    any.then_some(text).ok_or_else(|| format!("no rows for the table “{}”", lines[0].1))
}

fn best_of(results: &Results, bench: &str, workload: &str, peers: &[&str]) -> Option<f64> {
    let found = peers.iter().filter_map(|peer| results.find(bench, workload, peer));
    found.map(|row: &Row| row.median).min_by(f64::total_cmp)
}

/// Figures as text. The least is bold, with all within a hundredth of it, unless that is everybody.
fn with_bold(figures: &[Option<f64>], scale: f64) -> Vec<String> {
    let known = || figures.iter().flatten().copied();
    let bound = known().fold(f64::MAX, f64::min) * 1.01;
    let differ = known().any(|figure| figure > bound);
    let text = |figure: &Option<f64>| match figure {
        None => String::new(),
        Some(figure) if differ && *figure <= bound => format!("**{}**", number(figure * scale)),
        Some(figure) => number(figure * scale),
    };
    figures.iter().map(text).collect()
}

pub(crate) fn heading(corner: &str, columns: impl Iterator<Item = String>) -> String {
    let columns: Vec<String> = columns.collect();
    format!("{}|{}\n", line(corner, columns.iter().cloned()), "---|".repeat(columns.len() + 1))
}

pub(crate) fn line(label: &str, cells: impl IntoIterator<Item = String>) -> String {
    let cells = cells.into_iter().map(|cell| if cell.is_empty() { " |".into() } else { format!(" {cell} |") });
    let label = if label.is_empty() { "|".into() } else { format!("| {label}") };
    format!("{label} |{}\n", cells.collect::<String>()).replace("||", "| |")
}

/// Three digits.
pub(crate) fn number(value: f64) -> String {
    match value {
        99.95.. => grouped(value),
        9.995.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn short(version: &str) -> String {
    version
        .rsplit_once('.')
        .map_or(version.into(), |(short, _)| if version.starts_with("0.0.") { version.into() } else { short.into() })
}

#[cfg(test)]
mod tests {
    use super::{line, number, with_bold};

    #[test]
    fn numbers_have_three_digits() {
        let texts = [0.567, 9.99, 9.996, 15.24, 99.96, 443.4, 13_720.0, 1_234_567.0].map(number);
        assert_eq!(texts, ["0.57", "9.99", "10.0", "15.2", "100", "443", "13,720", "1,234,567"]);
    }

    #[test]
    fn the_winner_is_bold_unless_all_are_the_same() {
        assert_eq!(with_bold(&[Some(2.0), Some(1.0), None], 1.0), ["2.00", "**1.00**", ""]);
        assert_eq!(with_bold(&[Some(1.005), Some(1.0)], 1.0), ["1.00", "1.00"]);
        assert_eq!(with_bold(&[Some(1.005), Some(1.0), Some(3.0)], 1.0), ["**1.00**", "**1.00**", "3.00"]);
    }

    #[test]
    fn a_line_has_a_place_for_what_is_missing() {
        assert_eq!(line("a", ["1".to_owned(), String::new()]), "| a | 1 | |\n");
        assert_eq!(line("", ["1".to_owned()]), "| | 1 |\n");
    }
}
