//! A forest of regression trees: the mean of what its trees say.

/// Numbers in a request.
pub(crate) const FEATURES: usize = 16;
/// Questions from the root of a tree to a leaf.
pub(crate) const DEPTH: usize = 10;
pub(crate) const LEAVES: usize = 1 << DEPTH;

const MAGIC: &[u8; 8] = b"forest1\n";
const TREE_BYTES: usize = LEAVES * 8 + LEAVES * 4;

pub(crate) type Row = [f32; FEATURES];

/// Whether this feature of a row is greater than that.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Question {
    pub(crate) feature: u32,
    pub(crate) threshold: f32,
}

/// All trees have the same depth, so a walk needs no test for its end. Question 1 is the root, and below question `i` are `2 * i` for no and
/// `2 * i + 1` for yes; 0 is none.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tree {
    pub(crate) questions: Box<[Question; LEAVES]>,
    pub(crate) leaves: Box<[f32; LEAVES]>,
}

/// Walks that are under way at once: while one waits for memory, the others go on.
const LANES: usize = 8;

/// One walk in each lane, a step of each in turn.
fn walks(trees: [&Tree; LANES], rows: [&Row; LANES]) -> [f32; LANES] {
    let mut at = [1; LANES];
    for _ in 0..DEPTH {
        for lane in 0..LANES {
            // Never more than there are: the remainders save the checks.
            let Question { feature, threshold } = trees[lane].questions[at[lane] % LEAVES];
            at[lane] = 2 * at[lane] + usize::from(rows[lane][feature as usize % FEATURES] > threshold);
        }
    }
    std::array::from_fn(|lane| trees[lane].leaves[at[lane] % LEAVES])
}

#[derive(Debug, PartialEq)]
pub(crate) struct Forest {
    pub(crate) trees: Vec<Tree>,
}

impl Forest {
    /// One row through all trees.
    pub(crate) fn score(&self, row: &Row) -> f32 {
        let mut sum = 0.0;
        for trees in self.trees.chunks(LANES) {
            // Lanes too many walk again through the last tree.
            let last = trees.len() - 1;
            let found = walks(std::array::from_fn(|lane| &trees[lane.min(last)]), [row; LANES]);
            found.iter().take(trees.len()).for_each(|leaf| sum += leaf);
        }
        sum / self.trees.len() as f32
    }

    /// All rows through one tree after the other, which then is in the cache for all but the first. Each row's sum is made in the same order
    /// as alone.
    pub(crate) fn score_batch(&self, rows: &[Row]) -> Vec<f32> {
        let mut sums = vec![0.0; rows.len()];
        for tree in &self.trees {
            for (sums, rows) in sums.chunks_mut(LANES).zip(rows.chunks(LANES)) {
                let last = rows.len() - 1;
                let found = walks([tree; LANES], std::array::from_fn(|lane| &rows[lane.min(last)]));
                sums.iter_mut().zip(found).for_each(|(sum, leaf)| *sum += leaf);
            }
        }
        sums.iter_mut().for_each(|sum| *sum /= self.trees.len() as f32);
        sums
    }

    /// The forest as a file.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for tree in &self.trees {
            for question in tree.questions.iter() {
                bytes.extend(question.feature.to_le_bytes());
                bytes.extend(question.threshold.to_le_bytes());
            }
            bytes.extend(tree.leaves.iter().flat_map(|leaf| leaf.to_le_bytes()));
        }
        bytes
    }

    /// A file as a forest.
    pub(crate) fn read(bytes: &[u8]) -> Result<Forest, String> {
        let trees = bytes.strip_prefix(MAGIC).ok_or("not a model")?;
        if trees.is_empty() || trees.len() % TREE_BYTES != 0 {
            return Err("cut short, or too long".into());
        }
        trees.chunks_exact(TREE_BYTES).map(read_tree).collect::<Result<_, _>>().map(|trees| Forest { trees })
    }
}

fn read_tree(bytes: &[u8]) -> Result<Tree, String> {
    let mut words = bytes.chunks_exact(4).map(|word| {
        let mut four = [0; 4];
        four.copy_from_slice(word);
        four
    });
    let mut word = || words.next().unwrap_or_default();
    let mut questions = Box::new([Question { feature: 0, threshold: 0.0 }; LEAVES]);
    for question in questions.iter_mut() {
        *question = Question { feature: u32::from_le_bytes(word()), threshold: f32::from_le_bytes(word()) };
        if question.feature as usize >= FEATURES {
            return Err(format!("asks for number {} of {FEATURES}", question.feature + 1));
        }
    }
    let mut leaves = Box::new([0.0; LEAVES]);
    leaves.iter_mut().for_each(|leaf| *leaf = f32::from_le_bytes(word()));
    Ok(Tree { questions, leaves })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train;
    use fanpool::Pool;
    use tools::Random;

    #[test]
    fn a_batch_scores_as_its_rows_alone() {
        let forest = train::forest(&Pool::new(), 5, 3);
        let mut random = Random::new(1);
        let rows: Vec<Row> = (0..100).map(|_| [0.0; FEATURES].map(|_: f32| random.unit() as f32)).collect();
        let alone: Vec<u32> = rows.iter().map(|row| forest.score(row).to_bits()).collect();
        let batch: Vec<u32> = forest.score_batch(&rows).into_iter().map(f32::to_bits).collect();
        assert_eq!(alone, batch);
    }

    #[test]
    fn a_model_that_is_no_forest_is_refused() {
        let forest = train::forest(&Pool::new(), 2, 3);
        let bytes = forest.write();
        assert_eq!(Forest::read(&bytes), Ok(forest));
        assert!(Forest::read(&bytes[..bytes.len() - 1]).is_err());
        assert!(Forest::read(&bytes[1..]).is_err());
        assert!(Forest::read(MAGIC).is_err());
        let mut strange = bytes;
        strange[MAGIC.len()] = FEATURES as u8;
        assert!(Forest::read(&strange).is_err());
    }
}
