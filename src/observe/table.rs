//! A snapshot as a table.

use super::progress::Rate;
use super::{Metrics, TaskCounts};
use std::fmt;
use std::time::Duration;

/// Rows of cells in columns as wide as their widest. The first row is the heading.
struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    fn new<const N: usize>(heading: [&str; N]) -> Table {
        Table { rows: vec![heading.map(str::to_owned).to_vec()] }
    }

    fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |at: usize| self.rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
        let widths: Vec<_> = (0..columns).map(|at| width(at).unwrap_or(0)).collect();
        for row in &self.rows {
            writeln!(f)?;
            for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
                match at {
                    0 => write!(f, "{cell:<width$}")?,
                    _ => write!(f, "  {cell:>width$}")?,
                }
            }
        }
        Ok(())
    }
}

/// A time with three digits and a unit.
pub(super) fn time(time: Duration) -> String {
    if time.is_zero() {
        return "0".to_owned();
    }
    let (value, unit) = match time.as_secs_f64() {
        s if s < 999.5e-9 => (s * 1e9, "ns"),
        s if s < 999.5e-6 => (s * 1e6, "us"),
        s if s < 0.9995 => (s * 1e3, "ms"),
        s => (s, "s"),
    };
    let digits = if unit == "ns" || value >= 99.95 {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    format!("{value:.digits$} {unit}")
}

/// The counts with their names, in the order in which they are shown.
fn counts(tasks: &TaskCounts) -> impl Iterator<Item = (&'static str, u64)> {
    let others = [
        ("refused", tasks.refused),
        ("retried", tasks.retried),
        ("hedged", tasks.hedged),
        ("late", tasks.late),
        ("contained", tasks.contained),
        ("undelivered", tasks.undelivered),
    ];
    [("accepted", tasks.accepted)].into_iter().chain(tasks.outcomes()).chain(others)
}

/// What is not zero is shown; of counts that are always there, the zeros, too.
impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A name with a line break in it must not break the table.
        write!(f, "{} {}", self.of.name(), self.name.escape_debug())?;
        let mut table = Table { rows: Vec::new() };
        for (name, count) in counts(&self.tasks) {
            if count > 0 || matches!(name, "accepted" | "finished") {
                table.row([name.to_owned(), count.to_string()]);
            }
        }
        table.row(["queued".to_owned(), self.queued.to_string()]);
        if self.put_off > 0 {
            table.row(["put off".to_owned(), self.put_off.to_string()]);
        }
        table.row(["running".to_owned(), self.running.to_string()]);
        if let (Some(in_flight), Some(window)) = (self.in_flight, self.window) {
            table.row(["in flight".to_owned(), format!("{in_flight} of {window}")]);
        }
        if let Some(wait) = self.oldest_wait {
            table.row(["oldest wait".to_owned(), time(wait)]);
        }
        table.row(["workers".to_owned(), self.workers.total().to_string()]);
        for (name, count) in self.workers.states().into_iter().chain([("callers", self.workers.callers)]) {
            if count > 0 {
                table.row([format!("  {name}"), count.to_string()]);
            }
        }
        if let Some(progress) = &self.progress {
            table.row(["rate".to_owned(), format!("{}/s", Rate(progress.rate))]);
        }
        if let Some(broker) = &self.broker {
            let outcomes = broker.outcomes().into_iter();
            let others = [("published", broker.published), ("dead letters", broker.dead_lettered)];
            for (name, count) in outcomes.chain(others).chain([("reconnects", broker.reconnects)]) {
                if count > 0 || name == "acknowledged" {
                    table.row([name.replace('_', " "), count.to_string()]);
                }
            }
            table.row(["in hand".to_owned(), broker.in_hand.to_string()]);
            broker.lag.iter().for_each(|lag| table.row(["lag".to_owned(), lag.to_string()]));
        }
        write!(f, "{table}")?;
        self.write_routes(f)?;
        self.write_workers(f)?;
        self.write_times(f)
    }
}

impl Metrics {
    fn write_routes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.routes.len() < 2 {
            return Ok(());
        }
        let mut table = Table::new(["route", "queued", "running", "load"]);
        for (at, route) in self.routes.iter().enumerate() {
            let load = route.load.map_or_else(|| "-".to_owned(), |load| load.to_string());
            table.row([at.to_string(), route.queued.to_string(), route.running.to_string(), load]);
        }
        write!(f, "\n{table}")
    }

    fn write_workers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.per_worker.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(["worker", "ran", "busy", "state", "for", "group"]);
        for worker in &self.per_worker {
            table.row([
                worker.index.to_string(),
                worker.ran.to_string(),
                time(worker.busy),
                worker.state.to_string(),
                worker.busy_for.map_or_else(|| "-".to_owned(), time),
                worker.group.as_ref().map_or_else(|| "-".to_owned(), |group| group.escape_debug().to_string()),
            ]);
        }
        write!(f, "\n{table}")
    }

    #[cfg(not(feature = "timings"))]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    fn write_times(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }

    #[cfg(feature = "timings")]
    fn write_times(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(times) = &self.times else { return Ok(()) };
        let mut table = Table::new(["time", "count", "p50", "p90", "p99", "p99.9", "max"]);
        for (name, histogram) in times.each() {
            let shown = |value: Option<Duration>| value.map_or_else(|| "-".to_owned(), time);
            let at = |quantile| shown(histogram.quantile(quantile));
            table.row([
                name.to_owned(),
                histogram.count().to_string(),
                at(0.5),
                at(0.9),
                at(0.99),
                at(0.999),
                shown(histogram.max()),
            ]);
        }
        write!(f, "\n{table}")
    }
}
