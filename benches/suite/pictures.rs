//! The pictures that the pages show.

use crate::curves::{self, Curve, Panel, nanos};
use crate::rows::{Course, Results, Row};
use crate::svg::{Anchor, Page, colour};

/// Time beyond the ideal, which is the serial loop divided by the threads, for a task of each grain. What is less than a hundredth of the work is drawn as
/// that: medians tell no more.
pub(crate) fn overhead(results: &Results) -> Option<String> {
    let panel = |workload: &str, title: &str, least: f64, up: &'static str| {
        let cells: Vec<(f64, f64, Vec<&Row>)> = by(results, "axes", &format!("{workload} by grain:"), "grain_ns")
            .into_iter()
            .filter_map(|(_, rows)| {
                let serial = rows.iter().find(|row| row.is_serial())?;
                Some((serial.median, serial.median / serial.parameter("threads")?, rows))
            })
            .collect();
        let mut curves: Vec<Curve> = Vec::new();
        for (grain, ideal, rows) in &cells {
            for row in rows.iter().filter(|row| !row.is_serial()) {
                push(&mut curves, &row.peer, (grain.max(1.0), (row.median - ideal).max(ideal / 100.0)));
            }
        }
        for curve in &mut curves {
            curve.told =
                curve.points.first().map_or_else(String::new, |point| format!(", {}", nanos(point.1.max(0.1))));
        }
        let marks = (0..=6).map(|power| 10_f64.powi(power)).map(|value| (value, nanos(value))).collect();
        let bound = cells.iter().map(|(grain, ideal, _)| (grain.max(1.0), ideal / 100.0)).collect();
        (!curves.is_empty()).then(|| Panel {
            title: title.into(),
            across: "work of one, alone in a loop",
            up,
            marks,
            least,
            curves,
            bound: Some(("1 % of the work, the least told".into(), bound)),
        })
    };
    let scope =
        panel("tasks of a scope", "Spawned in a scope: time beyond the ideal (named: with no work)", 1.0, "a task");
    let map = panel("items of a map", "Ordered map: time beyond the ideal (named: with no work)", 0.1, "an item");
    let panels: Vec<Panel> = scope.into_iter().chain(map).collect();
    (!panels.is_empty()).then(|| curves::draw(&panels))
}

/// Time of an item by window.
pub(crate) fn service(results: &Results) -> Option<String> {
    let panel = |shape: &str, title: &str| {
        let mut curves: Vec<Curve> = Vec::new();
        let mut marks = Vec::new();
        for (window, rows) in by(results, "service", &format!("empty work, {shape}, as they end, window"), "window") {
            marks.push((window, format!("{window:.0}")));
            rows.iter().for_each(|row| push(&mut curves, &row.peer, (window, row.median)));
        }
        let least = curves.iter().flat_map(|curve| &curve.points).map(|point| point.1).fold(f64::MAX, f64::min);
        (!curves.is_empty()).then(|| Panel {
            title: title.into(),
            across: "items between send and receive (window)",
            up: "an item",
            marks,
            least: curves::below(least),
            curves,
            bound: None,
        })
    };
    let two =
        panel("a thread that sends and one that receives", "A thread that sends and one that receives, empty work");
    let one =
        panel("one thread that sends until full and then receives", "One thread that sends and receives, empty work");
    let panels: Vec<Panel> = two.into_iter().chain(one).collect();
    (!panels.is_empty()).then(|| curves::draw(&panels))
}

fn push(curves: &mut Vec<Curve>, peer: &str, point: (f64, f64)) {
    match curves.iter_mut().find(|curve| curve.peer == peer) {
        Some(curve) => curve.points.push(point),
        None => curves.push(Curve { peer: peer.into(), points: vec![point], told: String::new() }),
    }
}

/// Rows of the workloads that begin so, by a parameter.
fn by<'a>(results: &'a Results, bench: &str, workload: &str, parameter: &str) -> Vec<(f64, Vec<&'a Row>)> {
    let found = results.workloads().into_iter();
    let found = found.filter(|rows| rows[0].bench == bench && rows[0].workload.starts_with(workload));
    let mut cells: Vec<_> = found.filter_map(|rows| Some((rows[0].parameter(parameter)?, rows))).collect();
    cells.sort_by(|a, b| a.0.total_cmp(&b.0));
    cells
}

/// A bar for each row of a bench, in groups by workload.
pub(crate) fn bars(results: &Results, bench: &str) -> Option<String> {
    const WIDTH: f64 = 760.0;
    const LABEL: f64 = 236.0;
    let groups: Vec<Vec<&Row>> = results.workloads().into_iter().filter(|rows| rows[0].bench == bench).collect();
    let mut page = Page::new(WIDTH);
    let mut y = 0.0;
    for rows in groups.iter().filter(|rows| rows.len() > 1) {
        y += 24.0;
        page.bold(10.0, y, &format!("{}: {}", rows[0].workload, rows[0].unit.trim_start_matches("ns ")));
        y += 8.0;
        let longest = rows.iter().map(|row| row.median).fold(0.0, f64::max);
        for row in rows {
            let length = ((WIDTH - LABEL - 90.0) * row.median / longest).max(1.0);
            page.text(LABEL - 8.0, y + 12.0, Anchor::End, &row.peer);
            page.bar(LABEL, y, length, 15.0, colour(&row.peer));
            let told = if row.unit.starts_with("ns ") {
                nanos(row.median)
            } else {
                format!("{} {}", crate::tables::number(row.median), row.unit)
            };
            page.text(LABEL + length + 6.0, y + 12.0, Anchor::Start, &told);
            y += 18.0;
        }
    }
    (y > 0.0).then(|| page.finish(y + 8.0))
}

/// Load, workers and waiting times of the elastic pools, over time.
pub(crate) fn elastic(results: &Results) -> Option<String> {
    const WIDTH: f64 = 900.0;
    const LEFT: f64 = 60.0;
    const PANEL: f64 = 86.0;
    const GAP: f64 = 30.0;
    let steps = |course: &Course| course.lists.values().map(Vec::len).max().unwrap_or_default();
    let most = results.courses.iter().map(steps).max()?;
    let total = most as f64 * results.courses[0].step_ms;
    let x = |time: f64| LEFT + (WIDTH - LEFT - 10.0) * time / total;
    let mut page = Page::new(WIDTH);
    let height = 24.0 + 3.0 * results.courses.len() as f64 * (PANEL + GAP);
    let peer = &results.courses[0].peer;
    for load in results.of("elastic", "load step ").filter(|row| row.peer == *peer) {
        let from = x(load.parameter("from_ms")?);
        let name = load.workload.split_once(": ").map_or("", |(_, name)| name);
        page.text(from + 3.0, 13.0, Anchor::Start, &format!("{name} ({:.0})", load.parameter("clients")?));
        page.rule((from, 2.0), (from, height - 6.0), false);
    }
    let mut y = 24.0;
    for course in &results.courses {
        for (list, told) in
            [("tasks_a_s", "tasks per second"), ("workers", "workers"), ("p99_wait_ms", "p99 of the wait, ms")]
        {
            let values = course.lists.get(list)?;
            let most = values.iter().copied().fold(1.0, f64::max);
            y += GAP - 6.0;
            page.bold(LEFT, y - 8.0, &format!("{}: {told}", course.peer));
            page.text(LEFT - 6.0, y + 10.0, Anchor::End, &crate::tables::number(most));
            page.text(LEFT - 6.0, y + PANEL, Anchor::End, "0");
            page.rule((LEFT, y + PANEL), (WIDTH - 10.0, y + PANEL), true);
            let point = |(at, value): (usize, &f64)| (x(at as f64 * course.step_ms), y + PANEL * (1.0 - value / most));
            page.curve(&values.iter().enumerate().map(point).collect::<Vec<_>>(), colour("fanpool"), "", 1.3);
            y += PANEL + 6.0;
        }
    }
    Some(page.finish(height))
}
