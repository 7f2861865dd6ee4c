//! Panels of curves with logarithmic axes, and a legend beside each.

use crate::svg::{Anchor, Page, colour, dash};

const WIDTH: f64 = 900.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 634.0;
const PANEL: f64 = 300.0;
const HEAD: f64 = 34.0;
const FOOT: f64 = 46.0;

/// A peer's points, and the figure that its legend tells.
#[derive(Debug)]
pub(crate) struct Curve {
    pub(crate) peer: String,
    pub(crate) points: Vec<(f64, f64)>,
    pub(crate) told: String,
}

#[derive(Debug)]
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) across: &'static str,
    pub(crate) up: &'static str,
    /// Values of the horizontal axis that are named.
    pub(crate) marks: Vec<(f64, String)>,
    /// Points below lie on the foot of the panel.
    pub(crate) least: f64,
    pub(crate) curves: Vec<Curve>,
    /// A dashed line for comparison, with its name.
    pub(crate) bound: Option<(String, Vec<(f64, f64)>)>,
}

pub(crate) fn draw(panels: &[Panel]) -> String {
    let mut page = Page::new(WIDTH);
    let mut top = 0.0;
    for panel in panels {
        top += HEAD;
        panel.draw(&mut page, top);
        top += PANEL + FOOT;
    }
    page.finish(top)
}

impl Panel {
    fn draw(&self, page: &mut Page, top: f64) {
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let most = points().map(|point| point.1).fold(self.least * 10.0, f64::max);
        let (low, high) = (self.least.log10(), most.log10());
        let from = points().map(|point| point.0).fold(f64::MAX, f64::min).ln();
        let to = points().map(|point| point.0).fold(0.0, f64::max).ln();
        let x = |value: f64| LEFT + (RIGHT - LEFT) * ((value.ln() - from) / (to - from).max(1e-9)).clamp(0.0, 1.0);
        let y = |value: f64| {
            let place = (value.max(self.least).log10() - low) / (high - low);
            top + PANEL * (1.0 - place.clamp(0.0, 1.0))
        };
        page.bold(LEFT, top - 12.0, &self.title);
        // Where there are few decades, parts of them are named, too.
        let parts: &[f64] = if high - low < 2.5 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let decades = (low.floor() as i32)..=(high.floor() as i32);
        for value in decades.flat_map(|decade| parts.iter().map(move |part| part * 10_f64.powi(decade))) {
            if value >= self.least * 0.999 && value <= most {
                page.rule((LEFT, y(value)), (RIGHT, y(value)), false);
                page.text(LEFT - 7.0, y(value) + 4.0, Anchor::End, &nanos(value));
            }
        }
        for (value, name) in &self.marks {
            page.rule((x(*value), top), (x(*value), top + PANEL), false);
            page.text(x(*value), top + PANEL + 16.0, Anchor::Middle, name);
        }
        page.rule((LEFT, top), (LEFT, top + PANEL), true);
        page.rule((LEFT, top + PANEL), (RIGHT, top + PANEL), true);
        page.text((LEFT + RIGHT) / 2.0, top + PANEL + 32.0, Anchor::Middle, self.across);
        page.upright(13.0, top + PANEL / 2.0, self.up);
        let place = |points: &[(f64, f64)]| points.iter().map(|point| (x(point.0), y(point.1))).collect::<Vec<_>>();
        // What lies below the panel would run along its foot.
        if let Some((_, points)) = &self.bound {
            let points: Vec<_> = points.iter().copied().filter(|point| point.1 >= self.least).collect();
            page.curve(&place(&points), colour(""), "1 4", 1.5);
        }
        let mut seen: Vec<&str> = Vec::new();
        let mut legend = Vec::new();
        for curve in &self.curves {
            let colour = colour(&curve.peer);
            let dash = dash(seen.iter().filter(|other| **other == colour).count());
            seen.push(colour);
            legend.push((curve, colour, dash));
        }
        // Ours comes last, above the others.
        for (curve, colour, dash) in legend.iter().rev() {
            let points = place(&curve.points);
            let width = if curve.peer.starts_with("fanpool") { 2.6 } else { 1.6 };
            page.curve(&points, colour, dash, width);
            points.iter().for_each(|point| page.dot(*point, colour));
        }
        legend.sort_by(|a, b| first(b.0).total_cmp(&first(a.0)));
        let mut at = top + 10.0;
        for (curve, colour, dash) in &legend {
            page.curve(&[(RIGHT + 16.0, at - 4.0), (RIGHT + 40.0, at - 4.0)], colour, dash, 2.4);
            page.coloured(RIGHT + 46.0, at, colour, &format!("{}{}", curve.peer, curve.told));
            at += 18.0;
        }
        if let Some((name, _)) = &self.bound {
            page.curve(&[(RIGHT + 16.0, at - 4.0), (RIGHT + 40.0, at - 4.0)], crate::svg::colour(""), "1 4", 1.5);
            page.text(RIGHT + 46.0, at, Anchor::Start, name);
        }
    }
}

/// The largest of 1, 2 and 5 times a power of ten that is not above the value.
pub(crate) fn below(value: f64) -> f64 {
    let decade = 10_f64.powf(value.log10().floor());
    [5.0, 2.0].into_iter().map(|part| part * decade).find(|bound| *bound <= value).unwrap_or(decade)
}

fn first(curve: &Curve) -> f64 {
    curve.points.first().map_or(0.0, |point| point.1)
}

/// A time in its own unit.
pub(crate) fn nanos(value: f64) -> String {
    let (value, unit) = match value {
        999_500.0.. => (value / 1e6, "ms"),
        999.5.. => (value / 1e3, "µs"),
        _ => (value, "ns"),
    };
    let digits = if value >= 9.95 || value.fract().abs() < 1e-9 { 0 } else { 1 };
    format!("{value:.digits$} {unit}")
}
