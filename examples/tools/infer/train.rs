//! Grows a forest: each tree on its own sample of the examples, and so each on whatever thread is free.

use crate::forest::{DEPTH, FEATURES, Forest, LEAVES, Question, Row, Tree};
use fanpool::Pool;
use tools::Random;

const EXAMPLES: usize = 20_000;
/// Steps in which a feature is looked at.
const STEPS: usize = 32;
/// Features that are tried for a question.
const TRIED: usize = 5;
/// Fewer examples are not divided.
const SMALLEST: usize = 4;

/// Examples, each feature also as the number of its step.
struct Examples {
    steps: Vec<[u8; FEATURES]>,
    targets: Vec<f32>,
}

impl Examples {
    /// A function with a wave, a bend and a slope, of five features; noise; eleven features say nothing.
    fn new(seed: u64) -> Examples {
        let mut random = Random::new(seed);
        let mut examples = Examples { steps: Vec::new(), targets: Vec::new() };
        for _ in 0..EXAMPLES {
            let row: Row = [0.0; FEATURES].map(|_: f32| random.unit() as f32);
            let wave = 10.0 * (std::f32::consts::PI * row[0] * row[1]).sin();
            let bend = 20.0 * (row[2] - 0.5) * (row[2] - 0.5);
            let noise = random.between(-1.0, 1.0) as f32;
            examples.targets.push(wave + bend + 10.0 * row[3] + 5.0 * row[4] + noise);
            examples.steps.push(row.map(|number| (number * STEPS as f32) as u8));
        }
        examples
    }
}

/// The same forest from the same seed, whatever the number of threads.
pub(crate) fn forest(pool: &Pool, trees: usize, seed: u64) -> Forest {
    let examples = Examples::new(seed);
    let grow = |number: usize| Grower::new(&examples, seed ^ (number as u64 + 1) << 32).grow();
    Forest { trees: pool.map(0..trees, grow).collect() }
}

struct Grower<'a> {
    examples: &'a Examples,
    random: Random,
    sample: Vec<u32>,
    tree: Tree,
}

/// What is known of some examples.
#[derive(Clone, Copy, Default)]
struct Sum {
    count: f64,
    total: f64,
}

impl Sum {
    fn of(examples: &Examples, sample: &[u32]) -> Sum {
        let total = sample.iter().map(|example| f64::from(examples.targets[*example as usize])).sum();
        Sum { count: sample.len() as f64, total }
    }

    fn without(self, other: Sum) -> Sum {
        Sum { count: self.count - other.count, total: self.total - other.total }
    }

    /// The larger, the better two halves are told apart.
    fn weight(self) -> f64 {
        if self.count == 0.0 { 0.0 } else { self.total * self.total / self.count }
    }
}

impl<'a> Grower<'a> {
    fn new(examples: &'a Examples, seed: u64) -> Grower<'a> {
        let mut random = Random::new(seed);
        let sample = (0..EXAMPLES).map(|_| random.below(EXAMPLES) as u32).collect();
        let nothing = Question { feature: 0, threshold: f32::INFINITY };
        let tree = Tree { questions: Box::new([nothing; LEAVES]), leaves: Box::new([0.0; LEAVES]) };
        Grower { examples, random, sample, tree }
    }

    fn grow(mut self) -> Tree {
        let mut sample = std::mem::take(&mut self.sample);
        let mean = Sum::of(self.examples, &sample).total / EXAMPLES as f64;
        self.node(1, 0, &mut sample, mean as f32);
        self.tree
    }

    /// Grows what is below a node. Where no example comes by, `mean`, which is that of its parent, is the answer.
    fn node(&mut self, at: usize, depth: usize, sample: &mut [u32], mean: f32) {
        let all = Sum::of(self.examples, sample);
        let mean = if sample.is_empty() { mean } else { (all.total / all.count) as f32 };
        if depth == DEPTH {
            self.tree.leaves[at - LEAVES] = mean;
            return;
        }
        // Without a question, all go to the left.
        let mut end = sample.len();
        let question = if sample.len() < SMALLEST { None } else { self.question(sample, all) };
        if let Some((feature, step)) = question {
            let threshold = f32::from(step + 1) / STEPS as f32;
            // As the greatest number that is still in the step: `row > threshold` is what a walk asks.
            let threshold = f32::from_bits(threshold.to_bits() - 1);
            self.tree.questions[at] = Question { feature: feature as u32, threshold };
            end = divide(sample, |example| self.examples.steps[example as usize][feature] <= step);
        }
        let (left, right) = sample.split_at_mut(end);
        self.node(2 * at, depth + 1, left, mean);
        self.node(2 * at + 1, depth + 1, right, mean);
    }

    /// The best of some questions: a feature, and the last step of its left side.
    fn question(&mut self, sample: &[u32], all: Sum) -> Option<(usize, u8)> {
        let mut best = (all.weight() * (1.0 + 1e-9), None);
        for _ in 0..TRIED {
            let feature = self.random.below(FEATURES);
            let mut steps = [Sum::default(); STEPS];
            for example in sample {
                let step = &mut steps[usize::from(self.examples.steps[*example as usize][feature]) % STEPS];
                step.count += 1.0;
                step.total += f64::from(self.examples.targets[*example as usize]);
            }
            let mut left = Sum::default();
            for (step, sum) in steps.iter().enumerate().take(STEPS - 1) {
                left = Sum { count: left.count + sum.count, total: left.total + sum.total };
                let right = all.without(left);
                let weight = left.weight() + right.weight();
                if left.count > 0.0 && right.count > 0.0 && weight > best.0 {
                    best = (weight, Some((feature, step as u8)));
                }
            }
        }
        best.1
    }
}

/// Brings those of which `left` is true to the front, and says how many they are.
fn divide(sample: &mut [u32], left: impl Fn(u32) -> bool) -> usize {
    let mut end = 0;
    for at in 0..sample.len() {
        if left(sample[at]) {
            sample.swap(at, end);
            end += 1;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forest_does_not_depend_on_threads_and_has_learnt() {
        let one = forest(&Pool::builder().workers(1).build().unwrap(), 20, 7);
        let forest = forest(&Pool::builder().workers(3).build().unwrap(), 20, 7);
        assert_eq!(one, forest);
        let mut row: Row = [0.5; FEATURES];
        row[3] = 0.1;
        let low = forest.score(&row);
        row[3] = 0.9;
        // The slope is 10, of which noise and steps leave most.
        assert!(forest.score(&row) - low > 5.0, "{low} {}", forest.score(&row));
    }
}
