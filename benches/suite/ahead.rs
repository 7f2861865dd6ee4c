//! Where this crate is ahead of every peer, and where not.

use crate::rows::{Results, Row};
use crate::tables::{heading, line, number};

/// One workload: our default, and what it is held to.
struct Standing<'a> {
    ours: &'a Row,
    peer: &'a Row,
    ratio: f64,
    /// The best of our other settings, where it is better than the default.
    setting: Option<(&'a str, f64)>,
    serial: Option<f64>,
}

/// Time beside the other's: below one is quicker.
fn ratio(ours: &Row, other: &Row) -> f64 {
    if ours.more_is_better() { other.median / ours.median } else { ours.median / other.median }
}

/// Ours first where names tell which setting is the default.
fn default_of<'a>(rows: &[&'a Row]) -> Option<&'a Row> {
    let named = |name: &str| rows.iter().find(|row| row.peer == name).copied();
    let first = || rows.iter().find(|row| row.is_ours()).copied();
    named("fanpool").or_else(|| named("fanpool, workers only")).or_else(first)
}

fn standing<'a>(rows: &[&'a Row]) -> Option<Standing<'a>> {
    let ours = default_of(rows)?;
    let better = |a: &&&Row, b: &&&Row| ratio(ours, b).total_cmp(&ratio(ours, a));
    let peer = rows.iter().filter(|row| !row.is_ours() && !row.is_loop()).min_by(better)?;
    // What is left of a service without its keys is no setting of it.
    let is_setting = |row: &&&Row| row.is_ours() && row.peer != ours.peer && row.peer != "fanpool, no keys";
    let other = rows.iter().filter(is_setting).min_by(better);
    let setting = other.filter(|other| ratio(other, ours) < 1.0);
    Some(Standing {
        ours,
        peer,
        ratio: ratio(ours, peer),
        setting: setting.map(|other| (other.peer.trim_start_matches("fanpool, "), ratio(other, peer))),
        serial: rows.iter().find(|row| row.is_serial()).map(|serial| ratio(ours, serial)),
    })
}

/// Programs are beside tools, not peers, and runs that hang have no ratio.
fn counts(rows: &[&Row]) -> bool {
    !["programs", "count"].contains(&rows[0].bench.as_str()) && rows[0].unit != "runs that end"
}

fn standings(results: &Results) -> Vec<Standing<'_>> {
    let workloads = results.workloads();
    let mut all: Vec<_> = workloads.iter().filter(|rows| counts(rows)).filter_map(|rows| standing(rows)).collect();
    all.sort_by(|a, b| b.ratio.total_cmp(&a.ratio));
    all
}

/// How many rows win, as a sentence.
pub(crate) fn summary(results: &Results) -> String {
    let all = standings(results);
    let (ahead, close) = all
        .iter()
        .fold((0, 0), |(ahead, close), s| (ahead + usize::from(s.ratio <= 1.0), close + usize::from(s.ratio <= 1.05)));
    format!(
        "Of {} workloads measured beside a peer, the defaults of this crate are ahead of every peer in {ahead}, and within 5 % of the best or ahead\nin {close}.",
        all.len()
    )
}

pub(crate) fn table(results: &Results) -> String {
    let all = standings(results);
    let lost = all.iter().take_while(|standing| standing.ratio > 1.0).count();
    let columns = ["fanpool", "best peer", "ratio", "with another setting", "to a serial loop"];
    let head = heading("Workload", columns.map(String::from).into_iter());
    let rows = |standings: &[Standing<'_>]| standings.iter().map(row).collect::<String>();
    format!(
        "{}\n\n{head}{}\n<details><summary>The {} workloads where fanpool is ahead</summary>\n\n{head}{}\n</details>",
        summary(results),
        rows(&all[..lost]),
        all.len() - lost,
        rows(&all[lost..]),
    )
}

fn row(standing: &Standing<'_>) -> String {
    let Standing { ours, peer, ratio, setting, serial } = standing;
    let label = format!("`{}`: {} ({})", ours.bench, ours.workload, ours.unit);
    let setting = setting.map(|(name, ratio)| format!("{} ({name})", number(ratio)));
    let plain = |text: &str| text.replace('|', "/").replace('<', "\\<");
    line(
        &plain(&label),
        [
            number(ours.median),
            format!("{} ({})", number(peer.median), plain(&peer.peer)),
            if *ratio > 1.0 { format!("**{}**", number(*ratio)) } else { number(*ratio) },
            setting.unwrap_or_default(),
            serial.map(number).unwrap_or_default(),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::{standing, table};
    use crate::rows::Results;

    fn results() -> Results {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("suite/sample.jsonl");
        Results::read(&path).unwrap()
    }

    #[test]
    fn the_default_is_held_to_the_best_peer_and_the_losing_come_first() {
        let results = results();
        let workloads = results.workloads();
        let first = standing(&workloads[0]).unwrap();
        assert_eq!((first.peer.peer.as_str(), first.ratio, first.serial), ("Go", 2.0, Some(0.5)));
        assert_eq!(first.setting, Some(("receiver helps", 1.5)));
        // Throughput: more is better.
        assert_eq!(standing(&workloads[1]).unwrap().ratio, 0.5);
        let table = table(&results);
        assert!(table.contains("ahead of every peer in 1,"), "{table}");
        assert!(table.find("window 1").unwrap() < table.find("1 ms of work").unwrap());
    }
}
