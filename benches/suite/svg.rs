//! A page of SVG on no ground, in colours that are legible on light and on dark ones.

use std::fmt::Write as _;

/// Text and axes.
const INK: &str = "#7d8590";

/// One colour a library, in every picture. What a name begins with decides.
const COLOURS: [(&str, &str); 14] = [
    ("fanpool", "#e5383b"),
    ("rayon", "#2f81f7"),
    ("threadpool", "#b7791f"),
    ("rusty_pool", "#a05cc5"),
    ("scoped-thread-pool", "#2a9d74"),
    ("std", "#8a94a0"),
    ("crossbeam", "#e8762c"),
    ("Go", "#17a2b8"),
    ("pariter", "#d6569f"),
    ("orx-parallel", "#76a229"),
    ("paralight", "#6f76e8"),
    ("chili", "#c9a20e"),
    ("parkring", "#9c6b4f"),
    ("serial", "#8a94a0"),
];

pub(crate) fn colour(peer: &str) -> &'static str {
    COLOURS.iter().find(|(library, _)| peer.starts_with(library)).map_or(INK, |(_, colour)| colour)
}

/// Tells rows of one library from each other: the second and third are dashed.
pub(crate) fn dash(which: usize) -> &'static str {
    ["", "6 3", "2 3"][which % 3]
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

#[derive(Debug)]
pub(crate) struct Page {
    width: f64,
    body: String,
}

impl Page {
    pub(crate) fn new(width: f64) -> Page {
        Page { width, body: String::new() }
    }

    pub(crate) fn text(&mut self, x: f64, y: f64, anchor: Anchor, text: &str) {
        self.styled(x, y, anchor, "", text);
    }

    pub(crate) fn bold(&mut self, x: f64, y: f64, text: &str) {
        self.styled(x, y, Anchor::Start, r#" font-weight="bold""#, text);
    }

    pub(crate) fn coloured(&mut self, x: f64, y: f64, colour: &str, text: &str) {
        self.styled(x, y, Anchor::Start, &format!(r#" fill="{colour}""#), text);
    }

    /// From the bottom to the top.
    pub(crate) fn upright(&mut self, x: f64, y: f64, text: &str) {
        self.styled(x, y, Anchor::Middle, &format!(r#" transform="rotate(-90 {x:.1} {y:.1})""#), text);
    }

    fn styled(&mut self, x: f64, y: f64, anchor: Anchor, style: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => r#" text-anchor="middle""#,
            Anchor::End => r#" text-anchor="end""#,
        };
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        self.put(&format!(r#"<text x="{x:.1}" y="{y:.1}"{anchor}{style}>{text}</text>"#));
    }

    pub(crate) fn bar(&mut self, x: f64, y: f64, width: f64, height: f64, colour: &str) {
        self.put(&format!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" rx="1.5" fill="{colour}"/>"#
        ));
    }

    pub(crate) fn dot(&mut self, (x, y): (f64, f64), colour: &str) {
        self.put(&format!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="2.2" fill="{colour}"/>"#));
    }

    /// A thin line of the grid.
    pub(crate) fn rule(&mut self, from: (f64, f64), to: (f64, f64), strong: bool) {
        let opacity = if strong { 0.8 } else { 0.22 };
        self.put(&format!(
            r#"<path d="M{:.1} {:.1}L{:.1} {:.1}" stroke="{INK}" stroke-opacity="{opacity}"/>"#,
            from.0, from.1, to.0, to.1
        ));
    }

    pub(crate) fn curve(&mut self, points: &[(f64, f64)], colour: &str, dash: &str, width: f64) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let dash = if dash.is_empty() { String::new() } else { format!(r#" stroke-dasharray="{dash}""#) };
        self.put(&format!(
            r#"<polyline fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round"{dash} points="{}"/>"#,
            points.join(" ")
        ));
    }

    fn put(&mut self, element: &str) {
        let _ = writeln!(self.body, "{element}");
    }

    pub(crate) fn finish(self, height: f64) -> String {
        let Page { width, body } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"sans-serif\" font-size=\"12\" fill=\"{INK}\">\n{body}</svg>\n"
        )
    }
}
