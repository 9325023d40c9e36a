//! How values are spread: count, sum and quantiles, in a few hundred bytes, for any union of times.

use sketches_ddsketch::{Config, DDSketch};

/// Values with their quantiles within one per cent.
#[derive(Clone)]
pub struct Spread(DDSketch);

impl Default for Spread {
    fn default() -> Self {
        // One per cent relative error; 2048 bins span eighteen orders of magnitude, so none is ever collapsed.
        Spread(DDSketch::new(Config::defaults()))
    }
}

impl Spread {
    /// Adds a value.
    pub fn insert(&mut self, value: f64) {
        self.0.add(value.max(0.0));
    }

    /// Adds the values of another one.
    pub fn add(&mut self, other: &Spread) {
        // Sketches of one configuration always merge.
        let _ = self.0.merge(&other.0);
    }

    /// Adds the values of a stored one; `false` when the bytes are none.
    #[must_use]
    pub fn merge(&mut self, stored: &[u8]) -> bool {
        DDSketch::from_java_bytes(stored).is_ok_and(|other| self.0.merge(&other).is_ok())
    }

    /// As the database keeps it: DataDog's encoding of a sketch with exact count and sum.
    pub fn stored(&self) -> Vec<u8> {
        self.0.to_java_bytes()
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.0.count() as u64
    }

    /// Their mean; 0 of none.
    pub fn mean(&self) -> f64 {
        match self.count() {
            0 => 0.0,
            count => self.0.sum().unwrap_or_default() / count as f64,
        }
    }

    /// A quantile; 0 of none.
    pub fn quantile(&self, at: f64) -> f64 {
        self.0.quantile(at).ok().flatten().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The value of this rank, as the sketch counts ranks.
    fn exact(sorted: &[f64], at: f64) -> f64 {
        sorted[((sorted.len() - 1) as f64 * at) as usize]
    }

    proptest! {
        /// Parts that are stored, read and merged in any order tell what the whole tells, within the stated error.
        #[test]
        fn merged_parts_keep_to_the_error(values in prop::collection::vec(0.0_f64..2_592_000.0, 1..300), parts in 1_usize..7) {
            let mut merged = Spread::default();
            for part in values.chunks(values.len().div_ceil(parts)) {
                let mut spread = Spread::default();
                part.iter().for_each(|value| spread.insert(*value));
                prop_assert!(merged.merge(&spread.stored()));
            }
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            prop_assert_eq!(merged.count(), values.len() as u64);
            prop_assert!((merged.mean() - values.iter().sum::<f64>() / values.len() as f64).abs() < 1e-3);
            for at in [0.5, 0.9, 0.95, 0.99] {
                let (found, exact) = (merged.quantile(at), exact(&sorted, at));
                prop_assert!((found - exact).abs() <= exact * 0.0101 + 1e-6, "{} for {}", found, exact);
            }
        }
    }

    #[test]
    fn nothing_tells_nothing_and_foreign_bytes_are_refused() {
        let mut spread = Spread::default();
        assert_eq!((spread.count(), spread.mean(), spread.quantile(0.5)), (0, 0.0, 0.0));
        assert!(!spread.merge(b"\x07nothing of the kind"));
        let empty = Spread::default().stored();
        assert!(spread.merge(&empty));
    }
}
