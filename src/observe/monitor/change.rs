//! Rates of change.

use std::time::Instant;

/// How fast a value changes: the difference to the reading before, for each second between the two.
#[derive(Debug)]
pub(super) struct Change {
    /// Whether the value only grows: where it has fallen, it has begun anew.
    counter: bool,
    before: Option<(Instant, f64)>,
}

impl Change {
    pub(super) fn new(counter: bool) -> Change {
        Change { counter, before: None }
    }

    /// Takes a reading. There is no rate at the first one, over no time, of what is not finite, and of a counter that went back.
    pub(super) fn rate(&mut self, now: Instant, value: f64) -> Option<f64> {
        if !value.is_finite() {
            return None;
        }
        let Some((then, old)) = self.before else {
            self.before = Some((now, value));
            return None;
        };
        let seconds = now.saturating_duration_since(then).as_secs_f64();
        if self.counter && value < old {
            // What it counted in between is lost. It counts from here on, whenever that is.
            self.before = Some((now.max(then), value));
            return None;
        }
        if seconds <= 0.0 {
            // The earlier reading stays: the next rate is then over the whole time.
            return None;
        }
        self.before = Some((now, value));
        let rate = (value - old) / seconds;
        // The difference of two that are far apart is not finite, and their quotients may be.
        let far = value / seconds - old / seconds;
        Some(if rate.is_finite() || far.is_nan() { rate } else { far })
    }
}

#[cfg(all(test, not(fanpool_loom)))]
mod tests {
    use super::*;
    use std::time::Duration;

    const NONE: f64 = f64::NAN;
    const YEAR: u64 = 365 * 24 * 3600 * 1000;

    /// Readings with the millisecond of each, and the rate at each.
    type Row = (&'static str, bool, &'static [(u64, f64, Option<f64>)]);

    const ROWS: &[Row] = &[
        ("one reading has no rate", false, &[(0, 7.0, None)]),
        ("up and down", false, &[(0, 7.0, None), (500, 8.0, Some(2.0)), (1_500, 5.0, Some(-3.0))]),
        ("over zero time", false, &[(0, 7.0, None), (0, 9.0, None), (0, 9.0, None), (1_000, 10.0, Some(3.0))]),
        ("an older reading", false, &[(500, 7.0, None), (0, 9.0, None), (1_500, 9.0, Some(2.0))]),
        ("no reading", false, &[(0, NONE, None), (0, 7.0, None), (1_000, NONE, None), (2_000, 9.0, Some(1.0))]),
        ("infinities", false, &[(0, f64::INFINITY, None), (1_000, 7.0, None), (2_000, f64::INFINITY, None)]),
        ("a year", false, &[(0, 0.0, None), (YEAR, 31_536_000.0, Some(1.0))]),
        ("extremes", false, &[(0, f64::MIN, None), (4_000, f64::MAX, Some(f64::MAX / 2.0))]),
        ("a counter", true, &[(0, 7.0, None), (1_000, 7.0, Some(0.0)), (2_000, 9.0, Some(2.0))]),
        (
            "a counter that went back",
            true,
            &[(0, 7.0, None), (1_000, 2.0, None), (2_000, 5.0, Some(3.0)), (2_000, 1.0, None), (3_000, 2.0, Some(1.0))],
        ),
        ("a counter near overflow", true, &[(0, u64::MAX as f64, None), (1_000, 3.0, None), (2_000, 4.0, Some(1.0))]),
    ];

    #[test]
    fn h5_rates_are_those_of_the_table_and_never_nan() {
        let start = Instant::now();
        for (name, counter, readings) in ROWS {
            let mut change = Change::new(*counter);
            for (step, (at, value, wanted)) in readings.iter().enumerate() {
                let rate = change.rate(start + Duration::from_millis(*at), *value);
                assert_eq!(rate, *wanted, "{name}, step {step}");
            }
        }
    }

    #[test]
    fn h5_no_pair_of_readings_makes_nan() {
        let values = [f64::MIN, -1.0, -0.0, 0.0, f64::MIN_POSITIVE, 5e-324, 1.0, f64::MAX, f64::INFINITY, f64::NAN];
        let times = [0, 1, 1_000_000_000, u64::MAX / 4];
        let start = Instant::now();
        for (old, new) in values.iter().flat_map(|old| values.iter().map(move |new| (*old, *new))) {
            for (time, counter) in times.iter().flat_map(|time| [(*time, false), (*time, true)]) {
                let mut change = Change::new(counter);
                assert_eq!(change.rate(start, old), None);
                let rate = change.rate(start + Duration::from_nanos(time), new);
                assert!(rate.is_none_or(|rate| !rate.is_nan()), "{old} to {new} in {time}: {rate:?}");
            }
        }
    }
}
