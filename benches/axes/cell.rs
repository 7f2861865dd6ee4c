//! A cell: one workload with one value of each parameter, run by all peers in turn.

use benches::{Parameter, median, record};
use std::time::Duration;

const ROUNDS: usize = 9;

/// What a peer takes in a round, about: quick runs are repeated.
const ROUND: Duration = Duration::from_millis(15);

/// A run that takes longer is left out of the cell.
const LIMIT: Duration = Duration::from_secs(1);

/// All rounds of a peer in a cell.
const BUDGET: Duration = Duration::from_millis(900);

const FEWEST: usize = 3;

/// A name and one run of the whole workload; it answers the time that counts.
pub(crate) type Peer<'a> = (&'a str, Box<dyn FnMut() -> Duration + 'a>);

/// A peer whose whole run counts.
pub(crate) fn peer<'a>(name: &'a str, mut run: impl FnMut() + 'a) -> Peer<'a> {
    let timed = move || {
        let began = std::time::Instant::now();
        run();
        began.elapsed()
    };
    (name, Box::new(timed))
}

pub(crate) struct Cell<'a> {
    title: String,
    unit: &'a str,
    parameters: &'a [Parameter<'a>],
    without: Vec<String>,
}

struct Contest<'a> {
    peer: Peer<'a>,
    repeats: usize,
    spent: Duration,
    figures: Vec<f64>,
}

impl<'a> Cell<'a> {
    pub(crate) fn new(title: String, unit: &'a str, parameters: &'a [Parameter<'a>]) -> Cell<'a> {
        Cell { title, unit, parameters, without: Vec::new() }
    }

    /// Leaves out peers that would take too long.
    pub(crate) fn without(&mut self, names: &[String]) {
        self.without = names.to_vec();
    }

    /// Measures all peers for one of `units`. Answers those that would take too long with ten times as much.
    pub(crate) fn run(self, units: usize, peers: Vec<Peer<'_>>) -> Vec<String> {
        println!("\n{} ({})", self.title, self.unit);
        let mut slow = Vec::new();
        let mut contests = Vec::new();
        for mut peer in peers {
            if self.without.iter().any(|name| name == peer.0) {
                println!("  {:<28} left out: it would take too long", peer.0);
                continue;
            }
            // The first run starts threads and fills caches.
            let first = peer.1();
            let took = if first < LIMIT { peer.1() } else { first };
            if took > LIMIT / 10 {
                slow.push(peer.0.to_owned());
            }
            if took > LIMIT {
                println!("  {:<28} left out: {took:.1?} a run", peer.0);
                continue;
            }
            let repeats = (ROUND.as_nanos() / took.as_nanos().max(100)).clamp(1, 20_000) as usize;
            contests.push(Contest { peer, repeats, spent: Duration::ZERO, figures: Vec::new() });
        }
        for round in 0..ROUNDS {
            for contest in &mut contests {
                if round < FEWEST || contest.spent < BUDGET {
                    let took: Duration = (0..contest.repeats).map(|_| contest.peer.1()).sum();
                    contest.spent += took;
                    contest.figures.push(took.as_secs_f64() * 1e9 / (units * contest.repeats) as f64);
                }
            }
        }
        for Contest { peer: (name, _), figures, .. } in &mut contests {
            record(&self.title, name, self.unit, self.parameters, figures);
            let median = median(figures);
            println!("  {name:<28}{:>12.1}{median:>12.1}{:>12.1}", figures[0], figures[figures.len() - 1]);
        }
        slow
    }
}
