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
        is_plausible(stored) && DDSketch::from_java_bytes(stored).is_ok_and(|other| self.0.merge(&other).is_ok())
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

/// Bins that values of any size can have under one per cent.
const BIN_MAX: i64 = 1 << 17;
/// More than anybody counts, and far from where a sum of counts would overflow.
const COUNT_MAX: f64 = (1_u64 << 52) as f64;

/// Whether bytes are of the form that [`Spread::stored`] writes and hold numbers that were counted. The library's decoder
/// adds up whatever it reads, and panics over what does not fit.
fn is_plausible(stored: &[u8]) -> bool {
    let mut rest = stored;
    while let Some((field, after)) = rest.split_first() {
        rest = after;
        let fits = match field {
            // The base of the bins, with their offset.
            0x02 => skip(&mut rest, 16),
            // Least, largest, sum.
            0x84 | 0x88 | 0x8c => skip(&mut rest, 8),
            // Count, and count of zeros.
            0x04 | 0xa0 => count(&mut rest).is_some(),
            // Bins of positive values: how many, then each with its distance from the one before.
            0x05 => bins(&mut rest).is_some(),
            _ => false,
        };
        if !fits {
            return false;
        }
    }
    true
}

fn skip(rest: &mut &[u8], bytes: usize) -> bool {
    rest.split_at_checked(bytes).is_some_and(|(_, after)| {
        *rest = after;
        true
    })
}

fn bins(rest: &mut &[u8]) -> Option<()> {
    let (mut bin, mut sum) = (0_i64, 0.0);
    for _ in 0..integer(rest)? {
        let distance = integer(rest)?;
        let distance = i64::try_from(distance >> 1).ok()? ^ -i64::from(distance & 1 == 1);
        bin = bin.checked_add(distance).filter(|bin| bin.abs() <= BIN_MAX)?;
        sum += count(rest)?;
    }
    (sum <= COUNT_MAX).then_some(())
}

/// Seven bits to a byte, the lowest first; a ninth byte holds eight.
fn integer(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..=56).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        if *byte < 0x80 || shift == 56 {
            return Some(value | u64::from(*byte) << shift);
        }
        value |= u64::from(byte & 0x7f) << shift;
    }
    None
}

/// A count: a float whose bits are turned and counted from those of one, the highest seven first.
fn count(rest: &mut &[u8]) -> Option<f64> {
    let mut bits = 0;
    for shift in (1..=57).rev().step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        let last = *byte < 0x80 || shift == 1;
        bits |= if shift == 1 { u64::from(*byte) } else { u64::from(byte & 0x7f) << shift };
        if last {
            let count = f64::from_bits(bits.rotate_right(6).wrapping_add(1_f64.to_bits())) - 1.0;
            return (0.0..=COUNT_MAX).contains(&count).then_some(count);
        }
    }
    None
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

    proptest! {
        #[test]
        fn what_was_counted_is_plausible(values in proptest::collection::vec(prop_oneof![Just(0.0), Just(f64::MIN_POSITIVE), Just(f64::MAX), 0.001..1e6_f64], 0..400)) {
            let (mut counted, mut read) = (Spread::default(), Spread::default());
            values.iter().for_each(|value| counted.insert(*value));
            let stored = counted.stored();
            prop_assert!(stored.is_empty() || read.merge(&stored));
            prop_assert_eq!(read.count(), values.len() as u64);
        }

        /// A damaged row must not stop whoever sums up a report.
        #[test]
        fn no_bytes_make_the_decoder_panic(place in any::<proptest::sample::Index>(), bytes in proptest::collection::vec(any::<u8>(), 1..20)) {
            let mut counted = Spread::default();
            (1..50).for_each(|value| counted.insert(f64::from(value)));
            let mut stored = counted.stored();
            let at = place.index(stored.len());
            stored.splice(at..at, bytes);
            let mut read = Spread::default();
            let _ = read.merge(&stored) && read.merge(&stored);
        }
    }
}
