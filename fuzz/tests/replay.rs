//! Every target with what is in its corpus, and with that, changed at random: `FANPOOL_FUZZ_CASES` times each, from `FANPOOL_FUZZ_SEED`.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

/// Steele, Lea and Flood's generator.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// What is in the corpus of a target, in the order of names.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut paths: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Bytes that mean something to one target or another.
const TELLING: &[u8] = b"-+:@/%[]{}\"\\,. \r\n$*\0\xff0129afAx";

/// A few changes of one of these.
fn changed(r: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut data = corpus[r.below(corpus.len())].clone();
    for _ in 0..1 + r.below(6) {
        let at = r.below(data.len() + 1);
        let to = (at + r.below(12)).min(data.len());
        match r.below(8) {
            0 => _ = data.splice(at..to, []),
            1 => data.insert(at, r.next() as u8),
            2 => data.insert(at, TELLING[r.below(TELLING.len())]),
            3 => {
                let piece = data[at..to].to_vec();
                data.splice(at..at, piece);
            }
            4 => {
                let other = &corpus[r.below(corpus.len())];
                let (from, until) = (r.below(other.len() + 1), r.below(other.len() + 1));
                data.splice(at..to, other[from.min(until)..until.max(from)].to_vec());
            }
            5 => data.truncate(at),
            _ if at < data.len() => data[at] ^= 1 << r.below(8),
            _ => {}
        }
    }
    data
}

fn replay(name: &str) {
    let corpus = corpus(name);
    let seed = setting("FANPOOL_FUZZ_SEED", 1);
    let (cases, mut random) = (setting("FANPOOL_FUZZ_CASES", 5_000) as usize, Random(seed));
    let changed = (0..cases).map(|_| changed(&mut random, &corpus));
    for data in corpus.iter().cloned().chain(changed) {
        if catch_unwind(|| fanpool_fuzz::run(name, &data)).is_err() {
            panic!("{name} fails with \"{}\"", data.escape_ascii());
        }
    }
}

macro_rules! replays {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*

        #[test]
        fn every_target_is_replayed() {
            let known: Vec<&str> = fanpool_fuzz::TARGETS.iter().map(|(name, _)| *name).collect();
            assert_eq!(known, [$(stringify!($name)),*]);
        }
    };
}

replays! {
    traceparent codec message letters redis_answers redis_fields redis_address amqp_address amqp_headers kafka_options
}
