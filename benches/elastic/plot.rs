//! The picture: load, workers and waiting times of a run, over time.

use super::{BIN, PHASES, Run, p99, rate};
use std::fmt::Write;
use std::time::Duration;

const WIDTH: f64 = 900.0;
const LEFT: f64 = 70.0;
const PANEL: f64 = 90.0;
const GAP: f64 = 26.0;

/// Legible on light and on dark grounds.
const INK: &str = "#808890";
const LINE: &str = "#c0392b";

/// A row of values, one in each bin.
struct Panel {
    title: String,
    values: Vec<f64>,
}

fn panels(name: &str, run: &Run, bins: usize) -> [Panel; 3] {
    // Five bins are a step in which enough tasks end.
    let window = |bin: usize| (BIN * bin.saturating_sub(4) as u32, BIN * (bin + 1) as u32);
    let rates = (0..bins).map(|bin| rate(run, window(bin).0, window(bin).1)).collect();
    let waits = (0..bins).map(|bin| p99(run, window(bin).0, window(bin).1).as_secs_f64() * 1e3).collect();
    let workers = (0..bins).map(|bin| run.workers.get(bin).copied().unwrap_or(0) as f64).collect();
    [
        Panel { title: format!("{name}: tasks per second"), values: rates },
        Panel { title: format!("{name}: workers"), values: workers },
        Panel { title: format!("{name}: p99 of the wait, ms"), values: waits },
    ]
}

/// Draws runs of all phases.
pub(super) fn svg(runs: &[(&str, &Run)]) -> String {
    let total: Duration = PHASES.iter().map(|phase| phase.time).sum();
    let bins = (total.as_millis() / BIN.as_millis()) as usize;
    let panels: Vec<Panel> = runs.iter().flat_map(|(name, run)| panels(name, run, bins)).collect();
    let height = panels.len() as f64 * (PANEL + GAP) + 40.0;
    let x = |time: f64| LEFT + (WIDTH - LEFT - 10.0) * time / total.as_secs_f64();
    let mut out = String::new();
    let _ = writeln!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="11" fill="{INK}">"#
    );
    let mut from = 0.0;
    for phase in &PHASES {
        let _ =
            writeln!(out, r#"<text x="{:.0}" y="14">{} ({} clients)</text>"#, x(from) + 3.0, phase.name, phase.clients);
        let _ = writeln!(
            out,
            r#"<line x1="{0:.0}" x2="{0:.0}" y1="4" y2="{height}" stroke="{INK}" stroke-dasharray="2 4"/>"#,
            x(from)
        );
        from += phase.time.as_secs_f64();
    }
    for (at, panel) in panels.iter().enumerate() {
        let base = 24.0 + (at + 1) as f64 * (PANEL + GAP) - 4.0;
        let most = panel.values.iter().copied().fold(1.0, f64::max);
        let _ = writeln!(
            out,
            r#"<text x="{LEFT}" y="{:.0}" font-weight="bold">{}</text>"#,
            base - PANEL - 5.0,
            panel.title
        );
        let _ = writeln!(
            out,
            r#"<text x="{:.0}" y="{:.0}" text-anchor="end">{most:.0}</text>"#,
            LEFT - 5.0,
            base - PANEL + 10.0
        );
        let _ = writeln!(out, r#"<text x="{:.0}" y="{base:.0}" text-anchor="end">0</text>"#, LEFT - 5.0);
        let _ = writeln!(
            out,
            r#"<line x1="{LEFT}" x2="{:.0}" y1="{base:.0}" y2="{base:.0}" stroke="{INK}"/>"#,
            WIDTH - 10.0
        );
        let points = panel.values.iter().enumerate().map(|(bin, value)| {
            format!("{:.1},{:.1}", x((BIN * bin as u32).as_secs_f64()), base - PANEL * value / most)
        });
        let points = points.collect::<Vec<_>>().join(" ");
        let _ = writeln!(out, r#"<polyline fill="none" stroke="{LINE}" stroke-width="1.2" points="{points}"/>"#);
    }
    out.push_str("</svg>\n");
    out
}
