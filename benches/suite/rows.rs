//! Reads what the benches wrote.

use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) bench: String,
    pub(crate) workload: String,
    pub(crate) peer: String,
    pub(crate) unit: String,
    pub(crate) median: f64,
    pub(crate) parameters: BTreeMap<String, f64>,
}

/// Values over time.
#[derive(Debug)]
pub(crate) struct Course {
    pub(crate) peer: String,
    pub(crate) step_ms: f64,
    pub(crate) lists: BTreeMap<String, Vec<f64>>,
}

#[derive(Debug, Default)]
pub(crate) struct Results {
    pub(crate) machine: Map<String, Value>,
    pub(crate) rows: Vec<Row>,
    pub(crate) courses: Vec<Course>,
}

impl Row {
    pub(crate) fn is_ours(&self) -> bool {
        self.peer.starts_with("fanpool")
    }

    /// Neither ours nor another's, but what is done where nothing is handed over.
    pub(crate) fn is_loop(&self) -> bool {
        self.is_serial() || self.peer.starts_with("std, loops")
    }

    pub(crate) fn is_serial(&self) -> bool {
        self.peer.starts_with("serial")
    }

    /// Throughput; of everything else the least is the best.
    pub(crate) fn more_is_better(&self) -> bool {
        ["items a ms", "of the best fixed size", "runs that end"].contains(&self.unit.as_str())
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<f64> {
        self.parameters.get(name).copied()
    }
}

fn text(fields: &mut Map<String, Value>, name: &str) -> Result<String, String> {
    match fields.remove(name) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(format!("no text `{name}`")),
    }
}

impl Results {
    pub(crate) fn read(path: &Path) -> Result<Results, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut results = Results::default();
        for (at, line) in text.lines().enumerate() {
            results.line(line).map_err(|error| format!("{}:{}: {error}", path.display(), at + 1))?;
        }
        if results.machine.is_empty() {
            return Err(format!("{}: no line of a machine", path.display()));
        }
        Ok(results)
    }

    fn line(&mut self, line: &str) -> Result<(), String> {
        let mut fields: Map<String, Value> = serde_json::from_str(line).map_err(|error| error.to_string())?;
        if fields.contains_key("machine") {
            self.machine = fields;
            return Ok(());
        }
        let (bench, workload) = (text(&mut fields, "bench")?, text(&mut fields, "workload")?);
        let peer = text(&mut fields, "peer")?;
        if let Some(step_ms) = fields.get("step_ms").and_then(Value::as_f64) {
            let list = |(name, value): (String, Value)| {
                Some((name, value.as_array()?.iter().filter_map(Value::as_f64).collect()))
            };
            self.courses.push(Course { peer, step_ms, lists: fields.into_iter().filter_map(list).collect() });
            return Ok(());
        }
        let unit = text(&mut fields, "unit")?;
        let parameters: BTreeMap<String, f64> =
            fields.into_iter().filter_map(|(name, value)| Some((name, value.as_f64()?))).collect();
        let median = parameters.get("median").copied().ok_or("no number `median`")?;
        if self.find(&bench, &workload, &peer).is_some() {
            return Err(format!("{bench}, {workload}, {peer} is there twice"));
        }
        self.rows.push(Row { bench, workload, peer, unit, median, parameters });
        Ok(())
    }

    pub(crate) fn find(&self, bench: &str, workload: &str, peer: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.bench == bench && row.workload == workload && row.peer == peer)
    }

    /// Rows of a bench whose workload begins so.
    pub(crate) fn of<'a>(&'a self, bench: &'a str, workload: &'a str) -> impl Iterator<Item = &'a Row> {
        self.rows.iter().filter(move |row| row.bench == bench && row.workload.starts_with(workload))
    }

    /// Rows of the same workload together, in the order in which they came.
    pub(crate) fn workloads(&self) -> Vec<Vec<&Row>> {
        let mut all: Vec<Vec<&Row>> = Vec::new();
        for row in &self.rows {
            let same = |rows: &&mut Vec<&Row>| rows[0].bench == row.bench && rows[0].workload == row.workload;
            match all.iter_mut().rev().find(same) {
                Some(rows) => rows.push(row),
                None => all.push(vec![row]),
            }
        }
        all
    }

    /// A text of the machine's line.
    pub(crate) fn machine(&self, name: &str) -> String {
        match self.machine.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => "unknown".into(),
        }
    }
}
