//! Rounds of all contenders in turn, and their medians.

use crate::load::{Contender, Load};
use benches::{Parameter, median, record};
use std::time::Duration;

pub(crate) const ROUNDS: usize = 5;

/// What a round takes, about.
const ROUND: Duration = Duration::from_millis(50);

pub(crate) type Contenders = Vec<Box<dyn Contender>>;

/// Medians for one window and how far rounds lay apart.
struct Cell {
    medians: Vec<f64>,
    spreads: Vec<f64>,
}

/// Runs every contender with every window and prints nanoseconds an item, each with the first contender's ratio to it.
pub(crate) fn matrix(title: &str, contenders: &mut Contenders, windows: &[usize], load: Load) {
    let names: Vec<String> = contenders.iter().map(|contender| contender.name()).collect();
    let cell = |window| {
        let load = Load { window, ..load };
        let items: Vec<u64> =
            contenders.iter_mut().map(|contender| items_of_a_round(&mut **contender, &load)).collect();
        let mut times = rounds(contenders, |which, contender| {
            let items = items[which];
            contender.run(&load, items).as_secs_f64() * 1e9 / items as f64
        });
        let title = format!("{title}, window {window}");
        for (name, times) in names.iter().zip(&times) {
            record(&title, name, "ns an item", &load.parameters(), times);
        }
        let medians = times.iter_mut().map(|times| median(times)).collect();
        let spreads = times.iter().map(|times| times[times.len() - 1] / times[0]).collect();
        Cell { medians, spreads }
    };
    let cells: Vec<Cell> = windows.iter().copied().map(cell).collect();
    heading(title, "ns an item and the first row's ratio to it");
    print!("  {:<24}", "window");
    windows.iter().for_each(|window| print!("{window:>16}"));
    println!("{:>10}", "max/min");
    for (which, name) in names.iter().enumerate() {
        print!("  {name:<24}");
        for Cell { medians, .. } in &cells {
            print!("{:>9.0} {:>6}", medians[which], format!("({})", ratio(medians[0] / medians[which])));
        }
        println!("{:>10.1}", cells.iter().map(|cell| cell.spreads[which]).fold(0.0, f64::max));
    }
}

/// Runs every contender `ROUNDS` times with one load, after one time to warm up, and prints what `figure` makes of the
/// time of a round.
pub(crate) fn list(
    title: &str,
    unit: &str,
    contenders: &mut Contenders,
    load: &Load,
    items: u64,
    figure: impl Fn(Duration) -> f64,
) {
    let times = rounds(contenders, |_, contender| figure(contender.run(load, items)));
    let names = contenders.iter().map(|contender| contender.name());
    figures(title, unit, &load.parameters(), names.zip(times).collect());
}

/// A line a name: the least, the median and the largest figure, and the first median's ratio to this one.
pub(crate) fn figures(title: &str, unit: &str, parameters: &[Parameter<'_>], mut rows: Vec<(String, Vec<f64>)>) {
    heading(title, unit);
    println!("  {:<24}{:>12}{:>12}{:>12}{:>18}", "", "min", "median", "max", "first / this");
    let medians: Vec<f64> = rows.iter_mut().map(|(_, figures)| median(figures)).collect();
    for ((name, figures), median) in rows.iter().zip(&medians) {
        let (min, max) = (figures[0], figures[figures.len() - 1]);
        println!("  {name:<24}{min:>12.2}{median:>12.2}{max:>12.2}{:>18}", ratio(medians[0] / median));
        record(title, name, unit, parameters, figures);
    }
}

pub(crate) fn heading(title: &str, unit: &str) {
    println!("\n{title} ({unit}); cache line to the other core and back: {:.0} ns", benches::ping_pong());
}

/// Figures of each contender, round by round in turn; the first round is not counted.
fn rounds(contenders: &mut Contenders, mut run: impl FnMut(usize, &mut dyn Contender) -> f64) -> Vec<Vec<f64>> {
    let mut figures = vec![Vec::new(); contenders.len()];
    for round in 0..=ROUNDS {
        for (which, contender) in contenders.iter_mut().enumerate() {
            let figure = run(which, &mut **contender);
            if round > 0 {
                figures[which].push(figure);
            }
        }
    }
    figures
}

/// So many that they take about as long as a round should.
fn items_of_a_round(contender: &mut dyn Contender, load: &Load) -> u64 {
    let mut items = 500;
    loop {
        let took = contender.run(load, items).max(Duration::from_micros(10));
        let scale = ROUND.as_secs_f64() / took.as_secs_f64();
        let fit = (items as f64 * scale.min(20.0)) as u64;
        if scale < 5.0 {
            return fit.max(100);
        }
        items = fit;
    }
}

fn ratio(ratio: f64) -> String {
    if ratio < 0.1 { format!("{ratio:.3}") } else { format!("{ratio:.2}") }
}
