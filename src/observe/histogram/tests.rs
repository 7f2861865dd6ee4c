#![allow(clippy::unwrap_used, reason = "a test may fail")]

use super::super::recorder::Timings;
use super::*;

/// A generator of numbers that look random.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 to below 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn of(values: &[u64]) -> Histogram {
    let recorder = Timings::all().recorder().unwrap();
    values.iter().for_each(|value| recorder.record(*value, 0));
    recorder.load().wait
}

const QUANTILES: [f64; 9] = [0.0, 0.001, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0];

/// Compares with the same values sorted, within the error that is promised.
fn check(name: &str, mut values: Vec<u64>) {
    let histogram = of(&values);
    values.sort_unstable();
    assert_eq!(histogram.count(), values.len() as u64, "{name}");
    for quantile in QUANTILES {
        let rank = ((quantile * values.len() as f64).ceil() as usize).clamp(1, values.len());
        let exact = values[rank - 1];
        let told = u64::try_from(histogram.quantile(quantile).unwrap().as_nanos()).unwrap();
        assert!(exact <= told && told - exact <= exact / 64, "{name} at {quantile}: {told} for {exact}");
        assert!(exact >= 128 || told == exact, "{name} at {quantile}: {told} for {exact}");
    }
    let exact = values.iter().map(|value| *value as f64).sum::<f64>() / values.len() as f64;
    let told = histogram.mean().unwrap().as_secs_f64() * 1e9;
    assert!((told - exact).abs() <= exact / 128.0 + 1.0, "{name}: a mean of {told} for {exact}");
    assert_eq!(histogram.max(), histogram.quantile(1.0));
}

#[test]
fn answers_are_within_the_promised_error_of_sorted_values() {
    const VALUES: usize = 10_000;
    for seed in 0..8 {
        let mut random = Random(seed);
        let mut draw = |value: &mut dyn FnMut(&mut Random) -> u64| -> Vec<u64> {
            (0..VALUES).map(|_| value(&mut random)).collect()
        };
        check("uniform", draw(&mut |random| random.next() % 1_000_000));
        check("exponential", draw(&mut |random| (-(1.0 - random.unit()).ln() * 50_000.0) as u64));
        check(
            "bimodal",
            draw(&mut |random| {
                let base = if random.next() % 10 == 0 { 80_000_000 } else { 3_000 };
                base + random.next() % 1_000
            }),
        );
        check("all scales", draw(&mut |random| random.next() >> (random.next() % 64)));
    }
    for constant in [0, 1, 127, 128, 129, 1_000_003, u64::MAX] {
        check("constant", vec![constant; 100]);
    }
    check("powers and their neighbours", (0..64).flat_map(|at| [(1_u64 << at) - 1, 1 << at, (1 << at) + 1]).collect());
    check("huge", vec![u64::MAX, u64::MAX - 1, 1 << 63]);
}

#[test]
fn h5_quantiles_of_nothing_and_out_of_range_are_none() {
    let empty = of(&[]);
    assert_eq!((empty.count(), empty.quantile(0.5), empty.max(), empty.mean()), (0, None, None, None));
    let some = of(&[5]);
    for quantile in [f64::NAN, f64::INFINITY, -0.1, 1.1] {
        assert_eq!(some.quantile(quantile), None);
    }
}

#[test]
fn h5_a_histogram_since_a_later_one_is_empty() {
    let (earlier, later) = (of(&[5, 70, 70]), of(&[5, 70, 70, 100, 5]));
    let between = later.since(&earlier);
    assert_eq!((between.count(), between.max()), (2, Some(Duration::from_nanos(100))));
    assert_eq!(earlier.since(&later).count(), 0);
}

#[test]
fn h5_counts_near_overflow_neither_panic_nor_wrap() {
    let mut full = of(&[5, 1000]);
    full.0.as_mut_slice().iter_mut().for_each(|count| *count = u64::MAX);
    assert_eq!(full.count(), u64::MAX);
    assert!(full.quantile(0.5) < full.max());
    assert!(full.mean().is_some());
    assert_eq!(full.since(&of(&[5])).count(), u64::MAX);
}

#[test]
fn times_that_do_not_add_up_are_the_longest() {
    let recorder = Timings::all().recorder().unwrap();
    recorder.record(u64::MAX, u64::MAX);
    assert_eq!(recorder.load().total.max(), Some(Duration::from_nanos(u64::MAX)));
}
