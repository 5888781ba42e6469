//! Many values of one kind: their median, how far they spread, and the worst of them.
//!
//! Never knows: what they are of.

/// Values in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Spread(Vec<f64>);

impl Spread {
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Spread {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Spread(values)
    }

    /// The least value that so many hundredths of all do not exceed; of none it is no number, which reaches no target.
    pub(super) fn percentile(&self, hundredths: usize) -> f64 {
        let rank = (self.0.len() * hundredths).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or(f64::NAN)
    }

    pub(super) fn median(&self) -> f64 {
        self.percentile(50)
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// `median (quarter to quarter; least to most) of so many`.
    pub(super) fn shown(&self, digits: usize) -> String {
        let at = |hundredths| format!("{:.digits$}", self.percentile(hundredths));
        let least = self.0.first().copied().unwrap_or(f64::NAN);
        format!("{} ({} to {}; {least:.digits$} to {}) of {}", at(50), at(25), at(75), at(100), self.count())
    }
}

#[cfg(test)]
mod tests {
    use super::Spread;

    #[test]
    fn percentiles_are_values_that_were_there() {
        let hundred = Spread::of((1..=100).rev().map(f64::from));
        assert_eq!([1, 50, 99, 100].map(|at| hundred.percentile(at)), [1.0, 50.0, 99.0, 100.0]);
        let few = Spread::of([3.0, 1.0, 2.0]);
        assert_eq!((few.median(), few.percentile(99), few.count()), (2.0, 3.0, 3));
        assert!(Spread::default().median().is_nan());
        assert_eq!(few.shown(0), "2 (1 to 3; 1 to 3) of 3");
    }
}
